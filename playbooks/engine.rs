//! Phase engine: Docker Engine installed, configured, running, and nobody's twin.

use crate::cx::Cx;
use crate::limits;
use crate::runbook;
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{Engine, EngineSource, Lab};
use futures::future::join_all;
use providers::{Cmd, File, Stdin, put};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// Docker's own repository, without the distribution's id.
/// Source: Docker's installation guide for Debian and Ubuntu.
const DOCKER_REPOSITORY: &str = "https://download.docker.com/linux";

/// Engines that restart take turns, so that managers keep their quorum.
pub(crate) const RESTART: &str = "engine restart";

/// The steps of the phase, and remarks on playbooks that stand in for bp's own.
///
/// # Errors
/// When a playbook can't be read.
pub fn steps(lab: &Lab, beside: &Path) -> Result<(Vec<Step>, Vec<String>), Failure> {
    let (file, vars) = playbook(&lab.engine);
    let (text, remark) = runbook::built_in(file, beside)?;
    // Before the packages: an engine that starts with its settings needs no restart.
    let mut steps: Vec<Step> =
        lab.nodes().map(|host| configured(&host.name, wanted(&lab.engine))).collect();
    steps.extend(runbook::steps(lab, file, &text, &vars)?);
    steps.extend(lab.nodes().map(|host| answers(&host.name)));
    steps.push(identities(lab));
    Ok((steps, remark.into_iter().collect()))
}

fn playbook(engine: &Engine) -> (&'static str, Value) {
    let version = engine.version.clone().unwrap_or_default();
    match &engine.source {
        EngineSource::Distro => ("engine-distro.yml", json!({ "version": version })),
        EngineSource::DockerCe { repository, key } => (
            "engine-docker-ce.yml",
            json!({
                "version": version,
                "repository": repository.as_deref().unwrap_or(DOCKER_REPOSITORY),
                "key": key.clone().unwrap_or_default(),
            }),
        ),
    }
}

/// What the blueprint says about `daemon.json`.
fn wanted(engine: &Engine) -> Map<String, Value> {
    let mut wanted = Map::new();
    wanted.insert("log-driver".to_owned(), json!("json-file"));
    wanted.insert(
        "log-opts".to_owned(),
        json!({ "max-size": engine.log_max_size, "max-file": engine.log_max_file.to_string() }),
    );
    if !engine.pools.is_empty() {
        let pools: Vec<Value> =
            engine.pools.iter().map(|(base, size)| json!({ "base": base, "size": size })).collect();
        wanted.insert("default-address-pools".to_owned(), json!(pools));
    }
    if !engine.registry_mirrors.is_empty() {
        wanted.insert("registry-mirrors".to_owned(), json!(engine.registry_mirrors));
    }
    wanted
}

/// `daemon.json` with what the blueprint says; what else stands in it stays.
fn merged(has: &str, wanted: &Map<String, Value>) -> Result<Option<String>, String> {
    let mut config: Map<String, Value> = match has.trim() {
        "" => Map::new(),
        text => serde_json::from_str(text).map_err(|e| e.to_string())?,
    };
    if wanted.iter().all(|(key, value)| config.get(key) == Some(value)) {
        return Ok(None);
    }
    config.extend(wanted.clone());
    let text = serde_json::to_string_pretty(&config).map_err(|e| e.to_string())?;
    Ok(Some(text + "\n"))
}

const DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// A marker that is there while the running engine does not yet use its configuration: written
/// before the file is in place, taken away after the restart, so that a cut between the two is seen.
const RESTART_DUE: &str = "/etc/docker/.bp-restart-due";

fn configured(host: &str, wanted: Map<String, Value>) -> Step {
    let (checked, applied) = ((host.to_owned(), wanted.clone()), (host.to_owned(), wanted));
    Step::host(
        host,
        "daemon.json",
        "logs are rotated so that they can't fill the disk, and networks take the blueprint's addresses",
    )
    .alone(RESTART)
    .within(Duration::from_secs(600))
    .check(move |cx| {
        let (host, wanted) = checked.clone();
        async move {
            let read = match current(&cx, &host).await {
                Ok(read) => read,
                Err(Trouble::Session(error)) => return cx.unanswered(&host, error).await,
                Err(trouble) => return trouble.into(),
            };
            match (merged(&read.text, &wanted), read.restart_due) {
                (Err(why), _) => unreadable(&why),
                (Ok(Some(_)), _) => Check::Not(difference(&read.text, &wanted)),
                (Ok(None), true) => Check::Not("the engine runs with its old settings".to_owned()),
                (Ok(None), false) => Check::True,
            }
        }
    })
    .apply(move |cx| {
        let (host, wanted) = applied.clone();
        async move {
            let read = current(&cx, &host).await?;
            let text = merged(&read.text, &wanted).map_err(|why| {
                Failure::new(format!("{DAEMON_JSON} is no JSON: {why}"))
            })?;
            if let Some(text) = text {
                cx.ok(&host, Cmd::new("mkdir -p /etc/docker")).await?;
                let content = Stdin::Bytes(text.into_bytes());
                let (path, owner) = (format!("{DAEMON_JSON}.new"), "root:root".to_owned());
                cx.ok(&host, put(&File { path, content, mode: 0o644, owner })).await?;
                let place = format!(
                    "if command -v dockerd >/dev/null; then dockerd --validate --config-file {DAEMON_JSON}.new >/dev/null || \
                     {{ r=$?; rm -f {DAEMON_JSON}.new; exit $r; }}; touch {RESTART_DUE} || exit; fi\n\
                     mv -f {DAEMON_JSON}.new {DAEMON_JSON}"
                );
                cx.ok(&host, Cmd::new(place)).await?;
            }
            // systemd refuses a unit that was started too often; a restart asked for is no crash.
            let restart = Cmd::new(format!(
                "[ -e {RESTART_DUE} ] || exit 0\n\
                 systemctl reset-failed docker; systemctl restart docker && rm -f {RESTART_DUE}"
            ));
            cx.ok(&host, restart.within(Duration::from_secs(240))).await?;
            wait_for_node(&cx, &host).await
        }
    })
}

/// After a restart the next engine's turn comes when this one is a reachable node again.
pub(crate) async fn wait_for_node(cx: &Cx, host: &str) -> Result<(), Trouble> {
    let script = "command -v docker >/dev/null || exit 0
for i in $(seq 100); do
s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; }
case $s in inactive*) exit 0;; 'active true') [ \"$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)\" = ready ] && exit 0;; 'active false') exit 0;; esac
sleep 1
done
echo \"the node is not back in its swarm: $s\" >&2; exit 1";
    cx.ok(host, Cmd::new(script).within(Duration::from_secs(200))).await.map(drop)
}

struct Current {
    text: String,
    restart_due: bool,
}

async fn current(cx: &Cx, host: &str) -> Result<Current, Trouble> {
    let script = format!(
        "[ -e {RESTART_DUE} ] && echo due || echo ok; [ ! -e {DAEMON_JSON} ] || cat {DAEMON_JSON}"
    );
    let output = cx.ok(host, Cmd::new(script)).await?.out();
    let (first, text) = output.split_once('\n').unwrap_or((&output, ""));
    Ok(Current { text: text.to_owned(), restart_due: first == "due" })
}

fn difference(has: &str, wanted: &Map<String, Value>) -> String {
    let has: Map<String, Value> = serde_json::from_str(has).unwrap_or_default();
    let differs: Vec<&str> =
        wanted.iter().filter(|(k, v)| has.get(*k) != Some(v)).map(|(k, _)| k.as_str()).collect();
    format!("{} in {DAEMON_JSON} differs", differs.join(", "))
}

fn unreadable(why: &str) -> Check {
    Check::Failed(
        Failure::new(format!("{DAEMON_JSON} is no JSON: {why}"))
            .hint("mend it by hand; bp keeps what it does not know and so must be able to read it"),
    )
}

fn answers(host: &str) -> Step {
    Step::host(host, "engine", "the engine answers, not only its package is there")
        .within(limits::JOIN)
        .check_shell(
            "e=$(curl -sS --max-time 50 -o /dev/null --unix-socket /var/run/docker.sock http://docker/_ping 2>&1) || { echo \"$e\" | tail -n 1; exit 1; }\n\
             systemctl is-enabled --quiet docker || { echo 'docker does not start with the machine'; exit 1; }",
        )
        .apply_shell("systemctl enable --now docker")
}

/// Clones that share an identity get the same address or throw each other out of the swarm.
fn identities(lab: &Lab) -> Step {
    let hosts: Vec<String> = lab.nodes().map(|h| h.name.clone()).collect();
    Step::lab("identities", "clones that kept their template's identity take each other's place")
        .check(move |cx| {
            let hosts = hosts.clone();
            async move {
                let ask = |host: String| {
                    let cx = cx.clone();
                    async move {
                        let engine = cx.engine(&host).await?;
                        let cmd = Cmd::new("cat /etc/machine-id");
                        let machine = cx.run(&host, &cmd).await.map_err(|e| e.to_string())?.out();
                        Ok::<_, String>((host, engine.id, machine))
                    }
                };
                let mut seen: HashMap<String, String> = HashMap::new();
                for answer in join_all(hosts.into_iter().map(ask)).await {
                    let (host, engine, machine) = match answer {
                        Ok(answer) => answer,
                        Err(why) => return Check::Unknown(why),
                    };
                    let ids = [("engine id", engine), ("machine id", machine)];
                    for (what, id) in ids.into_iter().filter(|(_, id)| !id.is_empty()) {
                        if let Some(other) = seen.insert(format!("{what} {id}"), host.clone()) {
                            return Check::Failed(
                                Failure::new(format!("{other} and {host} have the same {what} {id}"))
                                    .hint("take /etc/machine-id and /var/lib/docker out of the template, and make the hosts anew"),
                            );
                        }
                    }
                }
                Check::True
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants() -> Map<String, Value> {
        let text = r#"{"log-driver": "json-file", "log-opts": {"max-size": "10m"}}"#;
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn what_stands_in_daemon_json_stays() {
        let text = merged(r#"{"debug": true, "log-driver": "journald"}"#, &wants());
        let text = text.expect("JSON").expect("a change");
        let config: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(config["debug"], json!(true));
        assert_eq!(config["log-driver"], json!("json-file"));
        assert_eq!(merged(&text, &wants()), Ok(None));
    }

    #[test]
    fn what_is_no_json_is_left_alone() {
        assert!(merged("{oops", &wants()).is_err());
    }
}
