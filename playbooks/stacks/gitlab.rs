//! GitLab and its runner: settings that read their passwords from memory, and what healthy means.

use super::place::Place;
use super::{registry, upgrades};
use crate::compose::template;
use crate::cx::Cx;
use crate::docker::container;
use crate::secrets::Secret;
use crate::shipped::Shipped;
use crate::step::{Check, Failure, Step};
use blueprints::{
    Availability, GITLAB_MEMORY, Gitlab, HostProvider, Lab, Smtp, Stack, StackKind, Tls,
};
use providers::{Cmd, quote};
use serde_json::{Value, json};
use std::time::Duration;

/// What bp ships of it.
pub(crate) fn shipped(lab: &Lab, stack: &Stack, gitlab: &Gitlab) -> Shipped {
    let place = Place::of(lab, "gitlab");
    let mut values = values(lab, stack, gitlab, &place);
    let omnibus = filled(include_str!("gitlab/gitlab.rb"), &values);
    // What JSON calls a string is one to YAML; docker would look for variables in it.
    values["omnibus"] = json!(json!(omnibus).to_string().replace('$', "$$"));
    let owner = owner(lab);
    let mut secrets =
        vec!["gitlab_root_password".to_owned(), format!("pgsql_{owner}"), "redis_password".into()];
    secrets.extend(gitlab.runner.iter().map(|_| "gitlab_runner_token".to_owned()));
    secrets.extend(gitlab.smtp.iter().map(|s| s.password.clone()));
    let mut health = vec![ready(stack), reached(lab, &stack.name, gitlab)];
    health.extend(gitlab.runner.iter().map(|_| runner(&stack.name)));
    Shipped {
        files: vec![
            ("runner.sh", filled(include_str!("gitlab/runner.sh"), &values)),
            ("runner.rb", include_str!("gitlab/runner.rb").to_owned()),
        ],
        secrets: secrets.into_iter().map(|name| Secret::generated(lab, name)).collect(),
        playbook: Some(("gitlab.yml", place.hosts.clone(), place.values())),
        read_once: &["gitlab_root_password"],
        before: vec![upgrades::gitlab(stack)],
        health,
        values,
        ..Shipped::new("gitlab.compose.yml", include_str!("gitlab.compose.yml"))
    }
}

/// A text of bp's own, which names nothing that is not in `values`.
fn filled(text: &str, values: &Value) -> String {
    template(text, values).unwrap_or_else(|failure| panic!("{}", failure.message))
}

/// What the templates may name.
fn values(lab: &Lab, stack: &Stack, gitlab: &Gitlab, place: &Place) -> Value {
    let sentinels = lab.stacks.iter().find_map(|s| match &s.kind {
        StackKind::Redis(members) => Some(members.clone()),
        _ => None,
    });
    let subnets = lab.swarm.networks.iter().filter_map(|n| n.subnet);
    let trusted: Vec<String> =
        std::iter::once(lab.swarm.pool).chain(subnets).map(|net| net.to_string()).collect();
    json!({
        "host": gitlab.host,
        "ssh_port": gitlab.ssh_port,
        "runner": gitlab.runner,
        "smtp": gitlab.smtp.as_ref().map(smtp),
        "owner": owner(lab),
        "client": client(lab, &stack.version),
        "sentinels": sentinels.unwrap_or_default(),
        "redis_tls": lab.redis_tls(),
        "trusted": trusted,
        "ca": of_the_authority(lab),
        "dir": place.dir,
        "backups": place.backups,
        "pinned": place.pinned,
        "reserved": has_room(lab),
        // An unhealthy task is ended: not while bp still waits for it.
        "start": stack.within.max(FIRST_START).as_secs(),
    })
}

/// Whether a node that it may run on is known to have the memory: that is kept free for it there, and
/// it is not started where less is. Nothing is kept where that would leave it without a node.
fn has_room(lab: &Lab) -> bool {
    lab.homes().iter().any(|h| {
        h.provider == HostProvider::Libvirt
            && h.availability == Availability::Active
            && h.machine.memory >= GITLAB_MEMORY
    })
}

/// The least time that a first start is given: it makes the database.
const FIRST_START: Duration = Duration::from_secs(1200);

/// On port 465 a mail server speaks TLS from the first byte, elsewhere after it was asked to. The
/// user may be anything, and stands between quotes of Ruby's.
fn smtp(smtp: &Smtp) -> Value {
    let tls = smtp.port == 465;
    let user = smtp.user.replace('\\', r"\\").replace('\'', r"\'");
    json!({ "address": smtp.address, "port": smtp.port, "user": user,
        "password": smtp.password, "tls": tls, "starttls": !tls })
}

fn stolon(lab: &Lab) -> Option<(&Stack, &blueprints::Stolon)> {
    lab.stacks.iter().find_map(|s| match &s.kind {
        StackKind::Stolon(stolon) => Some((s, stolon)),
        _ => None,
    })
}

/// The role that owns the database.
fn owner(lab: &Lab) -> String {
    let database = stolon(lab).and_then(|(_, stolon)| stolon.databases.get("gitlab"));
    database.map_or("gitlab", |d| d.owner.as_str()).to_owned()
}

/// The version of PostgreSQL's own programs that dump the database, where GitLab brings them.
fn client(lab: &Lab, version: &str) -> Option<u32> {
    let server: u32 = stolon(lab)?.0.version.parse().ok()?;
    let brings: &[u32] = match version {
        "17" => &[14, 16],
        "18" => &[16, 17],
        _ => &[17],
    };
    brings.contains(&server).then_some(server)
}

/// Whether Traefik's certificates are of the lab's own authority.
fn of_the_authority(lab: &Lab) -> bool {
    lab.stacks.iter().any(|s| match &s.kind {
        StackKind::Traefik(traefik) => traefik.tls == Tls::Internal,
        _ => false,
    })
}

/// A script that runs in the container of a service's task, on its node.
fn inside(service: &str, command: &str) -> String {
    let c = container(service);
    format!(
        "{c}\n\
         [ -n \"$c\" ] || {{ echo 'its task does not run'; exit 1; }}\n\
         docker exec \"$c\" {command}"
    )
}

/// The node of a service's task.
async fn node(cx: &Cx, service: &str) -> Result<String, Check> {
    let view = cx.swarm().await.map_err(Check::Unknown)?;
    if !view.services.iter().any(|s| s.spec.name == service) {
        return Err(Check::Unknown("it is not deployed yet".to_owned()));
    }
    let found = view.hosts_of(service).into_iter().next();
    found.ok_or_else(|| Check::Not("its task does not run".to_owned()))
}

/// Every part of it says that it is ready: PostgreSQL and Redis among them.
fn ready(stack: &Stack) -> Step {
    let service = format!("{}_gitlab", stack.name);
    let c = container(&service);
    // With the node's own curl in the container's network: who is not local there gets no answer.
    let script = format!(
        "{c}\n\
         [ -n \"$c\" ] || {{ echo 'its task does not run'; exit 1; }}\n\
         p=$(docker inspect -f '{{{{.State.Pid}}}}' \"$c\") || exit 1\n\
         nsenter -t \"$p\" -n curl -sS --max-time 30 'http://127.0.0.1/-/readiness?all=1' 2>&1"
    );
    let why = "GitLab itself looks at its database, its Redis and its repositories";
    Step::lab(format!("{} ready", stack.name), why).within(stack.within).check(move |cx| {
        let (service, script) = (service.clone(), script.clone());
        async move {
            let node = match node(&cx, &service).await {
                Ok(node) => node,
                Err(check) => return check,
            };
            match cx.run(&node, &Cmd::new(script)).await {
                Ok(output) => readiness(&output.out()),
                Err(error) => cx.unanswered(&node, error).await,
            }
        }
    })
}

/// Reads what `/-/readiness?all=1` answers: each check with its parts.
pub(crate) fn readiness(printed: &str) -> Check {
    let wait = "its first start makes the database, which takes up to 20 minutes";
    let line = printed.lines().rfind(|l| l.starts_with('{')).unwrap_or_default();
    let Ok(Value::Object(said)) = serde_json::from_str(line) else {
        let last = printed.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("no answer");
        let short: String = last.chars().take(120).collect();
        return Check::Not(format!("it does not say that it is ready ({short}): {wait}"));
    };
    let ok = |value: &Value| value["status"] == "ok";
    let mut ill = Vec::new();
    for (name, parts) in said.iter().filter(|(name, _)| *name != "status") {
        let all = parts.as_array().is_some_and(|parts| parts.iter().all(ok));
        if !all {
            let message = parts[0]["message"].as_str().unwrap_or("failed");
            ill.push(format!("{name}: {message}"));
        }
    }
    let checked = said.len() > 1 && said.get("status").is_some_and(|s| s == "ok");
    match ill.is_empty() {
        true => Check::when(checked, format!("it does not say that it is ready: {wait}")),
        false => Check::Not(ill.join(", ")),
    }
}

/// Users reach its pages through Traefik, with a certificate that verifies, and its SSH.
fn reached(lab: &Lab, stack: &str, gitlab: &Gitlab) -> Step {
    let internal = of_the_authority(lab);
    let active = lab.managers().find(|m| m.availability == Availability::Active);
    let (from, of) = (active.map(|m| m.name.clone()), lab.name.clone());
    let (host, port, service) = (gitlab.host.clone(), gitlab.ssh_port, format!("{stack}_gitlab"));
    let why = "its users see the sign-in page over HTTPS, and push over SSH";
    Step::lab(format!("{stack} reached"), why).check(move |cx| {
        let (from, lab, host, service) = (from.clone(), of.clone(), host.clone(), service.clone());
        async move {
            let view = match cx.swarm().await {
                Ok(view) => view,
                Err(why) => return Check::Unknown(why),
            };
            if !view.services.iter().any(|s| s.spec.name == service) {
                return Check::Unknown("it is not deployed yet".to_owned());
            }
            let ca = match registry::authority(&view, &lab) {
                Ok(data) if internal => Some(data),
                Err(check) if internal => return check,
                _ => None,
            };
            let script = from_outside(&host, port, ca.as_deref());
            cx.check(from.as_ref().unwrap_or(&view.manager), Cmd::new(script)).await
        }
    })
}

/// Asks Traefik on this node for the sign-in page, and the node's port for SSH.
pub(crate) fn from_outside(host: &str, port: u16, ca: Option<&str>) -> String {
    let (file, cacert) = match ca {
        Some(data) => (
            format!(
                "d=$(mktemp -d -p /run) || exit 1; trap 'rm -rf \"$d\"' EXIT; trap 'exit 129' HUP INT TERM\n\
                 printf %s {data} | base64 -d >\"$d/ca.crt\"\n"
            ),
            " --cacert \"$d/ca.crt\"",
        ),
        None => (String::new(), ""),
    };
    let (resolve, page) =
        (format!("{host}:443:127.0.0.1"), format!("https://{host}/users/sign_in"));
    format!(
        "{file}code=$(curl -sS -o /dev/null -w '%{{http_code}}' --max-time 20{cacert} --resolve {} {}) || exit 1\n\
         [ \"$code\" = 200 ] || {{ echo \"the sign-in page answers $code, not 200\"; exit 1; }}\n\
         timeout 8 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && IFS= read -r l <&3 && case $l in SSH-2.0-*) ;; *) exit 1;; esac' 2>/dev/null || {{ echo 'SSH does not answer on port {port}'; exit 1; }}",
        quote(&resolve),
        quote(&page)
    )
}

/// The exit status of a runner whose token is known, and which has not begun.
pub(crate) const WAITS: i32 = 45;

/// Whether GitLab knows the runner's token, and its container runs the runner: before that it runs the
/// script that waits.
pub(crate) fn runner_question(service: &str) -> String {
    let begun = "tr \"\\0\" \" \" </proc/1/cmdline | grep -q \"gitlab-runner run \"";
    inside(
        service,
        &format!("sh -c 'gitlab-runner verify 2>&1 || exit 1; {begun} || exit {WAITS}'"),
    )
}

/// The runner asks GitLab for work with a token that GitLab knows.
fn runner(stack: &str) -> Step {
    let (service, gitlab) = (format!("{stack}_runner"), format!("{stack}_gitlab"));
    let ask = runner_question(&service);
    let make = inside(&gitlab, "gitlab-rails runner /etc/bp/runner.rb");
    Step::lab(
        format!("{stack} runner"),
        "its token is made before GitLab; GitLab has to know it, once, for the runner to get work",
    )
    .within(Duration::from_secs(900))
    .check(move |cx| {
        let (service, ask) = (service.clone(), ask.clone());
        async move {
            let node = match node(&cx, &service).await {
                Ok(node) => node,
                Err(check) => return check,
            };
            match cx.run(&node, &Cmd::new(ask)).await {
                // It looks every quarter of a minute: nothing but time makes it begin.
                Ok(output) if output.code == WAITS => {
                    Check::Unknown("it does not ask for work yet".to_owned())
                }
                Ok(output) => crate::cx::verdict(output.code, &output.out()),
                Err(error) => cx.unanswered(&node, error).await,
            }
        }
    })
    .apply(move |cx| {
        let (gitlab, make) = (gitlab.clone(), make.clone());
        async move {
            let node = node(&cx, &gitlab).await.map_err(|c| Failure::new(c.reason()))?;
            // Rails needs a minute to begin.
            cx.ok(&node, Cmd::new(make).within(Duration::from_secs(600))).await.map(drop)
        }
    })
}
