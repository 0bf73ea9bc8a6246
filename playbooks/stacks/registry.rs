//! The registry: a login, engines that trust the lab's authority, and an image that goes from one
//! node to another.

use super::place::Place;
use crate::compose::Compose;
use crate::cx::Cx;
use crate::docker::{SwarmView, container, no_manager};
use crate::limits;
use crate::secrets::{self, Secret, Source};
use crate::shipped::Shipped;
use crate::step::{Check, Failure, Step, Trouble};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blueprints::{Lab, Stack, StackKind, Tls};
use providers::{Cmd, Stdin, quote};
use serde_json::json;
use std::time::Duration;
use tokio::time::Instant;

/// Who logs in.
const USER: &str = "bp";

/// The image that shows that images come and go.
const PROOF: &str = "bp/pause";

/// What bp ships of it.
pub(crate) fn shipped(lab: &Lab, stack: &Stack, host: &str) -> Shipped {
    let place = Place::of(lab, "registry");
    let order = if place.pinned.is_some() { "stop-first" } else { "start-first" };
    let service = format!("{}_registry", stack.name);
    Shipped {
        values: json!({ "host": host, "dir": place.dir, "pinned": place.pinned, "order": order }),
        files: vec![("config.yml", include_str!("registry/config.yml").to_owned())],
        secrets: vec![
            Secret::of(lab, "registry_password", Source::Login(USER)),
            Secret::generated(lab, "registry_http_secret"),
        ],
        playbook: Some(("registry.yml", place.hosts.clone(), place.values())),
        before: lab.nodes().map(|node| trusted(lab, &node.name, host)).collect(),
        health: vec![proven(lab, &stack.name, &service, host)],
        ..Shipped::new("registry.compose.yml", include_str!("registry.compose.yml"))
    }
}

/// The name of the lab's registry; `None`: there is none.
pub(crate) fn host(lab: &Lab) -> Option<&str> {
    lab.stacks.iter().find_map(|s| match &s.kind {
        StackKind::Registry { host } => Some(host.as_str()),
        _ => None,
    })
}

/// How many of the lab's stacks start before the registry runs, itself included.
pub(crate) fn before_it_runs(lab: &Lab) -> usize {
    let is_registry = |s: &Stack| matches!(s.kind, StackKind::Registry { .. });
    lab.stacks.iter().position(is_registry).map_or(0, |at| at + 1)
}

/// Refuses images that come from the lab's registry and are needed before it runs, which would only show
/// on a lab made anew. `composes` are those of the lab's stacks, in their order.
///
/// # Errors
/// Which stack needs which image.
pub(crate) fn is_there_in_time(lab: &Lab, composes: &[Compose]) -> Result<(), Failure> {
    let Some(host) = host(lab) else { return Ok(()) };
    let prefix = format!("{host}/");
    for compose in composes.iter().take(before_it_runs(lab)).filter(|c| !c.offline) {
        if let Some(early) = compose.services.iter().find(|s| s.image.starts_with(&prefix)) {
            let (name, image) = (&compose.name, &early.image);
            let what =
                format!("the stack {name} needs the image {image} before that registry runs");
            return Err(Failure::new(what).hint(
                "`images.archives` brings it, or the stack comes after `registry` in the list",
            ));
        }
    }
    Ok(())
}

/// What takes the trust away again, from a host that stays.
pub(crate) fn forgotten(lab: &Lab) -> String {
    let host = host(lab).map(|host| quote(&format!("/etc/docker/certs.d/{host}")));
    host.map_or_else(String::new, |d| format!("rm -f {d}/ca.crt; rmdir {d} 2>/dev/null; "))
}

/// Engines read this folder at each pull: none is started again.
fn trusted(lab: &Lab, node: &str, host: &str) -> Step {
    let path = format!("/etc/docker/certs.d/{host}/ca.crt");
    let (lab, of) = (lab.name.clone(), lab.name.clone());
    let (checked, applied, on) = (path.clone(), path, node.to_owned());
    let name = "registry trusted";
    Step::host(node, name, "engines refuse a registry whose certificate nobody vouches for")
        .check_shell_of(move |cx| {
            let (lab, path) = (lab.clone(), quote(&checked));
            async move {
                let data = authority(&cx.swarm().await.map_err(Check::Unknown)?, &lab)?;
                Ok(format!(
                    "printf %s {data} | base64 -d | cmp -s - {path} || {{ echo 'the engine does not trust the authority of the lab'; exit 1; }}"
                ))
            }
        })
        .apply(move |cx| {
            let (lab, path, on) = (of.clone(), applied.clone(), on.clone());
            async move {
                let view = cx.swarm().await.map_err(no_manager)?;
                let data = authority(&view, &lab).map_err(|c| Failure::new(c.reason()))?;
                let script = format!(
                    "set -e; umask 022; p={}; mkdir -p \"${{p%/*}}\"; t=$(mktemp \"$p.XXXXXX\"); trap 'rm -f \"$t\"' EXIT\n\
                     printf %s {data} | base64 -d >\"$t\"; chmod 0644 \"$t\"; mv -f \"$t\" \"$p\"",
                    quote(&path)
                );
                cx.ok(&on, Cmd::new(script)).await.map(drop)
            }
        })
}

/// The certificate of the lab's authority, in base64.
pub(crate) fn authority(view: &SwarmView, lab: &str) -> Result<String, Check> {
    let ca = secrets::config(view, lab, "ca").map(|c| c.spec.data.clone());
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"+/=".contains(&c);
    ca.filter(|data| !data.is_empty() && data.bytes().all(plain))
        .ok_or_else(|| Check::Unknown("the authority of the lab is not made yet".to_owned()))
}

/// How a node asks: by the registry's name, against the authority that Traefik's certificate is of.
fn ask(lab: &Lab, host: &str) -> String {
    let internal = lab.stacks.iter().any(|s| match &s.kind {
        StackKind::Traefik(traefik) => traefik.tls == Tls::Internal,
        _ => false,
    });
    let ca = match internal {
        true => format!(" --cacert {}", quote(&format!("/etc/docker/certs.d/{host}/ca.crt"))),
        false => String::new(),
    };
    format!("curl -sS -o /dev/null -w '%{{http_code}}' --max-time 10{ca}")
}

/// Asks on the node of the task, where the login is read without leaving it.
pub(crate) fn question(lab: &Lab, service: &str, host: &str) -> String {
    let (ask, url) = (ask(lab, host), format!("https://{host}/v2/"));
    let manifest = format!("{url}{PROOF}/manifests/pulled");
    let c = container(service);
    format!(
        "{c}\n\
         [ -n \"$c\" ] || {{ echo 'its task does not run'; exit 1; }}\n\
         code=$({ask} {url}) || exit 1\n\
         [ \"$code\" = 401 ] || {{ echo \"without the login it answers $code, not 401\"; exit 1; }}\n\
         p=$(docker exec \"$c\" cat /run/secrets/registry_password) || exit 1\n\
         p=$(printf %s \"$p\" | sed 's/[\\\\\"]/\\\\&/g')\n\
         login() {{ printf 'user = \"{USER}:%s\"\\n' \"$p\" | {ask} -K - \"$@\"; }}\n\
         code=$(login {url}) || exit 1\n\
         [ \"$code\" = 200 ] || {{ echo \"with the login it answers $code, not 200\"; exit 1; }}\n\
         code=$(login -I -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' -H 'Accept: application/vnd.oci.image.manifest.v1+json' {manifest}) || exit 1\n\
         case $code in 200) ;; 404) echo 'no node has pulled yet what another pushed'; exit {EMPTY};; *) echo \"it answers $code for an image\"; exit 1;; esac"
    )
}

/// The exit status of a registry that answers as it should and holds no image yet.
const EMPTY: i32 = 44;

/// It refuses who has no login, and holds an image that one node pushed and another pulled.
fn proven(lab: &Lab, stack: &str, service: &str, host: &str) -> Step {
    let script = question(lab, service, host);
    let (asked, again) = ((service.to_owned(), script.clone()), (service.to_owned(), script));
    let host = host.to_owned();
    Step::lab(
        format!("{stack} holds images"),
        "what one node pushes with the login another pulls, and nobody does without",
    )
    .within(REACHED + Duration::from_secs(480))
    .check(move |cx| {
        let (service, script) = asked.clone();
        async move { answer(&cx, &service, &script).await.1 }
    })
    .apply(move |cx| {
        let ((service, script), host) = (again.clone(), host.clone());
        async move {
            // Traefik learns of a task a moment after the swarm does.
            let until = Instant::now() + REACHED;
            loop {
                match answer(&cx.fresh(), &service, &script).await {
                    (EMPTY, _) => return exchange(&cx.fresh(), &host).await,
                    (_, Check::True) => return Ok(()),
                    (_, Check::Failed(failure)) => return Err(failure.into()),
                    (_, other) if Instant::now() > until => {
                        return Err(Failure::new(other.reason()).into());
                    }
                    _ => tokio::time::sleep(limits::POLL_SLOWEST).await,
                }
            }
        }
    })
}

/// From a task that runs to its router in Traefik, on a slow swarm.
const REACHED: Duration = Duration::from_secs(120);

async fn answer(cx: &Cx, service: &str, script: &str) -> (i32, Check) {
    let view = match cx.swarm().await {
        Ok(view) => view,
        Err(why) => return (-1, Check::Unknown(why)),
    };
    if !view.services.iter().any(|s| s.spec.name == service) {
        return (-1, Check::Unknown("it is not deployed yet".to_owned()));
    }
    let Some(node) = view.hosts_of(service).into_iter().next() else {
        return (-1, Check::Not("its task does not run".to_owned()));
    };
    match cx.run(&node, &Cmd::new(script)).await {
        Ok(output) => {
            let printed = output.out() + "\n" + &output.err();
            let said = match crate::cx::verdict(output.code, &printed) {
                Check::Not(why) => Check::Not(format!("{node}: {why}")),
                other => other,
            };
            (output.code, said)
        }
        Err(error) => (-1, cx.unanswered(&node, error).await),
    }
}

/// One node pushes a small image, another one pulls it, and says so by a tag of its own; neither keeps
/// it.
async fn exchange(cx: &Cx, host: &str) -> Result<(), Trouble> {
    let login = login(cx, host).await?;
    let view = cx.swarm().await.map_err(no_manager)?;
    let ready = |name: &&str| view.node_of(name).is_some_and(|n| n.status.state == "ready");
    let nodes: Vec<&str> = cx.lab().nodes().map(|h| h.name.as_str()).filter(ready).collect();
    let (Some(first), Some(last)) = (nodes.first(), nodes.last()) else { return Ok(()) };
    let image = quote(&format!("{host}/{PROOF}:pushed"));
    let pulled = quote(&format!("{host}/{PROOF}:pulled"));
    let push = format!(
        "{LOGGED_IN}\nmkdir \"$d/pause\"; echo {PROOF} >\"$d/pause/name\"\n\
         tar -C \"$d/pause\" -c name | docker import - {image} >/dev/null\n\
         docker --config \"$d\" push -q {image} >/dev/null; docker image rm {image} >/dev/null"
    );
    let pull = format!(
        "{LOGGED_IN}\ndocker --config \"$d\" pull -q {image} >/dev/null; docker tag {image} {pulled}\n\
         docker --config \"$d\" push -q {pulled} >/dev/null; docker image rm {image} {pulled} >/dev/null"
    );
    cx.ok(first, login.on(push)).await?;
    cx.ok(last, login.on(pull)).await.map(drop)
}

/// How a script begins that is given a login by its input: docker reads it from a folder in memory
/// that does not outlive the script.
pub(crate) const LOGGED_IN: &str = "set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf \"$d\"' EXIT; trap 'exit 129' HUP INT TERM; cat >\"$d/config.json\"";

/// The login of the lab's registry as docker's configuration says it.
pub(crate) struct Login {
    /// The file `config.json`.
    pub config: Vec<u8>,
    hidden: Vec<String>,
}

impl Login {
    fn new(host: &str, password: &str) -> Self {
        let auth = STANDARD.encode(format!("{USER}:{password}"));
        let config = json!({ "auths": { host: { "auth": auth } } }).to_string().into_bytes();
        Self { config, hidden: vec![password.to_owned(), auth] }
    }

    /// A command that is given the login by its input.
    pub fn on(&self, script: String) -> Cmd {
        self.hidden_in(Cmd::new(script).stdin(Stdin::Bytes(self.config.clone())))
            .within(Duration::from_secs(240))
    }

    /// The command with what must not be shown of it.
    pub fn hidden_in(&self, cmd: Cmd) -> Cmd {
        self.hidden.iter().fold(cmd, |cmd, secret| cmd.secret(secret.clone()))
    }
}

/// Reads the login from the registry's own task.
///
/// # Errors
/// When no task of it runs.
pub(crate) async fn login(cx: &Cx, host: &str) -> Result<Login, Failure> {
    let password = secrets::read(cx, "registry_password").await?;
    Ok(Login::new(host, String::from_utf8_lossy(&password).trim_end()))
}
