//! Health checks of the user's own stacks: what their author calls healthy.

use crate::compose::Compose;
use crate::cx::Cx;
use crate::stacks::registry::authority;
use crate::step::{Check, Step};
use blueprints::{Health, Probe};
use providers::{Cmd, quote};
use std::time::Duration;

/// One question of a health check; what takes longer is no healthy answer.
const ASK_SECONDS: u32 = 8;

/// The exit status of a probe that found no container on its node to ask from.
const NOBODY_HERE: i32 = 42;

/// The gate of one health check.
pub fn step(compose: &Compose, health: &Health) -> Step {
    let (stack, name) = (&compose.name, compose.name.clone());
    let mut probe = health.probe.clone();
    if let Probe::Http { network, .. } | Probe::Tcp { network, .. } = &mut probe {
        *network = network.as_deref().map(|network| compose.network(network));
    }
    Step::lab(format!("{stack} {}", title(&health.probe)), "its author calls it healthy then")
        .within(health.within)
        .check(move |cx| {
            let (stack, probe) = (name.clone(), probe.clone());
            async move {
                match ask(&cx, &stack, &probe).await {
                    Ok(check) | Err(check) => check,
                }
            }
        })
}

fn title(probe: &Probe) -> String {
    match probe {
        Probe::Http { url, .. } => format!("answers {url}"),
        Probe::Tcp { address, .. } => format!("listens on {address}"),
        Probe::Check(script) => format!("check `{}`", script.trim().lines().next().unwrap_or("")),
        Probe::Replicas { service, count } => format!("has {count} of {service}"),
    }
}

async fn ask(cx: &Cx, stack: &str, probe: &Probe) -> Result<Check, Check> {
    let view = cx.swarm().await.map_err(Check::Unknown)?;
    let deployed = view.services.iter().any(|s| s.stack() == stack);
    if !deployed {
        return Ok(Check::Unknown("it is not deployed yet".to_owned()));
    }
    Ok(match probe {
        Probe::Http { url, network, expect } => {
            // Traefik's certificate is of the lab's authority, where nothing else is said.
            let ours = if url.starts_with("https:") {
                authority(&view, &cx.lab().name).ok()
            } else {
                None
            };
            let curl = get(url, *expect, ours.as_deref());
            from(cx, &view.manager, network.as_deref(), &curl).await
        }
        Probe::Tcp { address, network } => {
            let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
            let connect = format!(
                "timeout {ASK_SECONDS} bash -c 'exec 3<>\"/dev/tcp/$0/$1\"' {} {} || exit 1",
                quote(host.trim_matches(['[', ']'])),
                quote(port)
            );
            from(cx, &view.manager, network.as_deref(), &connect).await
        }
        Probe::Check(script) => {
            cx.check(&view.manager, Cmd::new(script.clone()).within(Duration::from_secs(60))).await
        }
        Probe::Replicas { service, count } => {
            let name = format!("{stack}_{service}");
            let found = view.services.iter().find(|s| s.spec.name == name);
            let id = found.map(|s| s.id.clone()).unwrap_or_default();
            let runs = |t: &&crate::docker::Task| t.service_id == id && t.status.state == "running";
            let running = view.tasks.iter().filter(runs).count() as u64;
            Check::when(running >= *count, format!("{running} of {count} tasks of {name} run"))
        }
    })
}

/// A script that asks for a page; `authority` is a certificate in base64 that is trusted besides those
/// that the host trusts.
pub(crate) fn get(url: &str, expect: u16, authority: Option<&str>) -> String {
    let (trusted, option) = match authority {
        None => (String::new(), ""),
        Some(data) => (
            format!(
                "t=$(mktemp) || exit 1; trap 'rm -f \"$t\"' EXIT\n\
                 {{ cat /etc/ssl/certs/ca-certificates.crt; echo; printf %s {data} | base64 -d; }} >\"$t\" 2>/dev/null\n"
            ),
            "--cacert \"$t\" ",
        ),
    };
    format!(
        "{trusted}code=$(curl -sS -o /dev/null -w '%{{http_code}}' --max-time {ASK_SECONDS} {option}{}) || exit 1\n\
         [ \"$code\" = {expect} ] || {{ echo \"it answers $code, not {expect}\"; exit 1; }}",
        quote(url)
    )
}

/// Asks from a manager, or from inside an overlay network: in the network namespace of a container
/// that is on it, with that container's own resolver, on whichever node has one.
async fn from(cx: &Cx, manager: &str, network: Option<&str>, script: &str) -> Check {
    let Some(network) = network else {
        return cx.check(manager, Cmd::new(script)).await;
    };
    let inside = format!(
        "c=$(docker ps -q --filter network={} | head -n 1); [ -n \"$c\" ] || exit {NOBODY_HERE}\n\
         set -- $(docker inspect -f '{{{{.State.Pid}}}} {{{{.ResolvConfPath}}}}' \"$c\")\n\
         exec nsenter -t \"$1\" -n unshare -m sh -c 'mount --bind \"$1\" /etc/resolv.conf && eval \"$2\"' sh \"$2\" {}",
        quote(network),
        quote(script)
    );
    let others = cx.lab().nodes().map(|h| h.name.as_str()).filter(|n| *n != manager);
    for host in std::iter::once(manager).chain(others) {
        let cmd = Cmd::new(inside.clone());
        match cx.run(host, &cmd).await {
            Ok(output) if output.code == NOBODY_HERE => {}
            Ok(output) => {
                let printed = output.out() + "\n" + &output.err();
                return crate::cx::verdict(output.code, &printed);
            }
            // A node that is away has no say: another one may have a container on the network.
            Err(_) => {}
        }
    }
    Check::Not(format!("no node has a container on the network `{network}` yet"))
}
