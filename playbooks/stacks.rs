//! Phase stacks: deployed in order, each converged and healthy before the next.
//!
//! bp converges by itself: `docker stack deploy` returns before anything runs, or waits without a
//! bound, and calls a rollback a success.

use crate::compose::{Compose, SPEC_LABEL, Wanted};
use crate::cx::Cx;
use crate::docker::{Service, SwarmView, no_manager};
use crate::step::{Check, Failure, Step, Trouble, tail};
use crate::{converge, etcd, health};
use blueprints::{Lab, StackKind};
use providers::{Cmd, Stdin, quote};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The steps of the phase, and remarks on playbooks that stand in for bp's own.
///
/// # Errors
/// When a stack's playbook can't be read.
pub fn steps(
    lab: &Lab,
    composes: &[Compose],
    beside: &Path,
) -> Result<(Vec<Step>, Vec<String>), Failure> {
    let (mut steps, mut remarks) = (Vec::new(), Vec::new());
    for (stack, compose) in lab.stacks.iter().zip(composes) {
        let compose = Arc::new(compose.clone());
        if let StackKind::Etcd { members } = &stack.kind {
            let (before, remark) = etcd::before(lab, members, beside)?;
            steps.extend(before);
            remarks.extend(remark);
        }
        steps.push(deployed(&compose));
        steps.push(converged(&compose, stack.within));
        if let StackKind::Etcd { members } = &stack.kind {
            steps.extend(etcd::health(&lab.name, &stack.name, members));
        }
        steps.extend(stack.health.iter().map(|h| health::step(&stack.name, h)));
    }
    Ok((steps, remarks))
}

fn deployed(compose: &Arc<Compose>) -> Step {
    let (checked, applied) = (compose.clone(), compose.clone());
    Step::lab(
        format!("{} deployed", compose.name),
        "the swarm is asked for what the blueprint says",
    )
    .within(Duration::from_secs(300))
    .check(move |cx| {
        let compose = checked.clone();
        async move {
            match cx.swarm().await {
                Err(why) => Check::Unknown(why),
                Ok(view) => {
                    let differs = differs(&view, &compose);
                    Check::when(differs.is_empty(), differs.join(", "))
                }
            }
        }
    })
    .apply(move |cx| {
        let compose = applied.clone();
        async move { deploy(&cx, &compose).await }
    })
}

/// What the swarm was asked for and what the blueprint says, where they differ.
fn differs(view: &SwarmView, compose: &Compose) -> Vec<String> {
    let has: Vec<&Service> = view.services.iter().filter(|s| s.stack() == compose.name).collect();
    let mut differs = Vec::new();
    for wanted in &compose.services {
        let name = format!("{}_{}", compose.name, wanted.name);
        match has.iter().find(|s| s.spec.name == name) {
            None => differs.push(format!("the service {name} is not there")),
            Some(service) => differs.extend(service_differs(service, wanted, &name)),
        }
    }
    for service in has.iter().filter(|s| !is_wanted(compose, s)) {
        differs.push(format!("the service {} has left the blueprint", service.spec.name));
    }
    differs
}

fn is_wanted(compose: &Compose, service: &Service) -> bool {
    compose.services.iter().any(|w| service.spec.name == format!("{}_{}", compose.name, w.name))
}

fn service_differs(service: &Service, wanted: &Wanted, name: &str) -> Option<String> {
    let image = service.spec.task_template.image();
    if service.spec.labels.get(SPEC_LABEL).map(String::as_str) != Some(&wanted.spec) {
        return Some(format!("{name} has another definition"));
    }
    if image != wanted.image.split('@').next().unwrap_or_default() {
        return Some(format!("{name} has the image {image}"));
    }
    match (service.replicas(), wanted.replicas) {
        (Some(has), Some(wants)) if has != wants => {
            Some(format!("{name} has {has} replicas, not {wants}"))
        }
        _ => None,
    }
}

/// Everything that the deploy reads goes through one pipe, into a folder that does not outlive it.
async fn deploy(cx: &Cx, compose: &Compose) -> Result<(), Trouble> {
    let view = cx.swarm().await.map_err(no_manager)?;
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, name, bytes)
    };
    let files = compose.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    for (name, bytes) in files.chain([("compose.json", compose.text.as_bytes())]) {
        add(name, bytes).map_err(|e| Failure::new(format!("pack `{name}`: {e}")))?;
    }
    let bytes = archive.into_inner().map_err(|e| Failure::new(format!("pack the stack: {e}")))?;
    let resolve = if compose.offline { "never" } else { "changed" };
    let name = quote(&compose.name);
    // Since docker 26 `--detach` is asked for by name; older ones know no other way.
    let cmd = Cmd::new(format!(
        "set -e; umask 077; d=$(mktemp -d); trap 'rm -rf \"$d\"' EXIT; tar -x -C \"$d\"; cd \"$d\"\n\
         detach=; if docker stack deploy --help | grep -q -- --detach; then detach=--detach=true; fi\n\
         docker stack deploy -c compose.json --prune --with-registry-auth --resolve-image {resolve} $detach {name}"
    ))
    .stdin(Stdin::Bytes(bytes))
    .within(Duration::from_secs(240));
    cx.ok(&view.manager, cmd).await.map(drop)
}

/// All tasks run, or have done their work; an update that was rolled back is a failure.
fn converged(compose: &Arc<Compose>, within: Duration) -> Step {
    let (checked, shown) = (compose.clone(), compose.clone());
    Step::lab(format!("{} runs", compose.name), "what was asked for is not yet what runs")
        .within(within)
        .check(move |cx| {
            let compose = checked.clone();
            async move {
                let view = match cx.swarm().await {
                    Ok(view) => view,
                    Err(why) => return Check::Unknown(why),
                };
                if !view.services.iter().any(|s| s.stack() == compose.name) {
                    return Check::Unknown("it is not deployed yet".to_owned());
                }
                converge::judge(&view, &compose)
            }
        })
        .diagnose(move |cx| {
            let compose = shown.clone();
            async move { last_words(&cx, &compose).await }
        })
}

/// The last log lines of the services that do not run.
async fn last_words(cx: &Cx, compose: &Compose) -> Option<String> {
    let view = cx.swarm().await.ok()?;
    let mut shown = String::new();
    for service in converge::unwell(&view, compose) {
        let name = quote(&service);
        let cmd = Cmd::new(format!("timeout 12 docker service logs --raw --tail 20 {name} 2>&1"));
        let logs = cx.run(&view.manager, &cmd).await.ok()?.out();
        let logs = match logs.as_str() {
            "" => "  (nothing)".to_owned(),
            logs => tail(logs.to_owned(), 20).lines().map(|l| format!("  {l}\n")).collect(),
        };
        shown.push_str(&format!("last log lines of {service}:\n{}\n", logs.trim_end()));
    }
    (!shown.is_empty()).then(|| shown.trim_end().to_owned())
}
