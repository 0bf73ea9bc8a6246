//! Phase stacks: deployed in order, each converged and healthy before the next.
//!
//! bp converges by itself: `docker stack deploy` returns before anything runs, or waits without a
//! bound, and calls a rollback a success.

use crate::compose::{Compose, SPEC_LABEL, Wanted};
use crate::cx::Cx;
use crate::docker::{LAB_LABEL, Service, SwarmView, no_manager};
use crate::step::{Check, Failure, Step, Trouble, tail};
use crate::{converge, etcd, health, limits, networks};
use blueprints::{Lab, StackKind};
use providers::{Cmd, Stdin, quote};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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
    // What has left the blueprint goes last: what took its place runs by then.
    steps.push(unlisted(lab));
    steps.push(networks::pruned(lab));
    Ok((steps, remarks))
}

/// Stacks of this lab that have left the blueprint. Their data stays.
fn unlisted(lab: &Lab) -> Step {
    let names: Vec<String> = lab.stacks.iter().map(|s| s.name.clone()).collect();
    let (lab, keep) = (lab.name.clone(), names.clone());
    let of = lab.clone();
    Step::lab("unlisted stacks", "stacks of the lab that have left the blueprint are removed")
        .within(Duration::from_secs(600))
        .check(move |cx| {
            let (lab, names) = (lab.clone(), names.clone());
            async move {
                match cx.swarm().await {
                    Err(why) => Check::Unknown(why),
                    Ok(view) => {
                        let left = left(&view, &lab, &names);
                        let why = format!("{} left the blueprint", left.join(", "));
                        Check::when(left.is_empty(), why)
                    }
                }
            }
        })
        .apply(move |cx| {
            let (lab, names) = (of.clone(), keep.clone());
            async move {
                let view = cx.swarm().await.map_err(no_manager)?;
                for stack in left(&view, &lab, &names) {
                    remove(&cx, &view.manager, &stack).await?;
                }
                Ok(())
            }
        })
}

fn left(view: &SwarmView, lab: &str, names: &[String]) -> Vec<String> {
    let mine =
        view.services.iter().filter(|s| s.spec.labels.get(LAB_LABEL).is_some_and(|l| l == lab));
    let stacks: BTreeSet<&str> = mine.map(Service::stack).collect();
    stacks.into_iter().filter(|s| !names.iter().any(|n| n == s)).map(str::to_owned).collect()
}

/// Removes a stack and waits until its tasks on all nodes are gone: docker answers before that.
pub(crate) async fn remove(cx: &Cx, manager: &str, stack: &str) -> Result<(), Trouble> {
    let view = cx.fresh().swarm().await.map_err(no_manager)?;
    let ids: Vec<String> =
        view.services.iter().filter(|s| s.stack() == stack).map(|s| s.id.clone()).collect();
    let cmd = Cmd::new(format!("docker stack rm {} >/dev/null", quote(stack)));
    cx.ok(manager, cmd.within(Duration::from_secs(120))).await?;
    let until = Instant::now() + GONE;
    loop {
        let view = cx.fresh().swarm().await.map_err(no_manager)?;
        let tasks = view.tasks.iter().filter(|t| ids.contains(&t.service_id)).count();
        if tasks == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            let what =
                format!("{tasks} tasks of the stack {stack} are still there after its removal");
            return Err(Failure::new(what).into());
        }
        tokio::time::sleep(limits::POLL_SLOWEST).await;
    }
}

/// A task gets ten seconds to end by default, and what its author says otherwise.
const GONE: Duration = Duration::from_secs(300);

fn deployed(compose: &Arc<Compose>) -> Step {
    let (checked, applied, shown) = (compose.clone(), compose.clone(), compose.clone());
    Step::lab(
        format!("{} deployed", compose.name),
        "the swarm is asked for what the blueprint says",
    )
    .within(Duration::from_secs(600))
    .diagnose(move |cx| {
        let compose = shown.clone();
        async move { last_words(&cx, &compose).await }
    })
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
    if familiar(image) != familiar(&wanted.image) {
        return Some(format!("{name} has the image {image}"));
    }
    match (service.replicas(), wanted.replicas) {
        (Some(has), Some(wants)) if has != wants => {
            Some(format!("{name} has {has} replicas, not {wants}"))
        }
        _ => None,
    }
}

/// An image as docker's command writes it: without the default registry, with a tag, without the
/// digest.
fn familiar(image: &str) -> String {
    let image = image.split('@').next().unwrap_or(image);
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    let has_tag = image.rsplit('/').next().is_some_and(|name| name.contains(':'));
    if has_tag { image.to_owned() } else { format!("{image}:latest") }
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
        "set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf \"$d\"' EXIT; trap 'exit 129' HUP INT TERM; tar -x -C \"$d\"; cd \"$d\"\n\
         detach=; if docker stack deploy --help | grep -q -- --detach; then detach=--detach=true; fi\n\
         docker stack deploy -c compose.json --prune --with-registry-auth --resolve-image {resolve} $detach {name}"
    ))
    .stdin(Stdin::Bytes(bytes))
    .within(Duration::from_secs(240));
    cx.ok(&view.manager, cmd).await?;
    taken_back(cx, compose, view.now).await
}

/// On a slow swarm the definition may be taken back before anybody asks whether it arrived.
async fn taken_back(cx: &Cx, compose: &Compose, since: i64) -> Result<(), Trouble> {
    let until = Instant::now() + GONE;
    loop {
        let view = cx.fresh().swarm().await.map_err(no_manager)?;
        if !converge::rolls_back(&view, compose, since) {
            return Ok(());
        }
        if let Check::Failed(failure) = converge::judge(&view, compose) {
            return Err(failure.into());
        }
        if Instant::now() > until {
            return Err(
                Failure::new(format!("the stack {} is still rolled back", compose.name)).into()
            );
        }
        tokio::time::sleep(limits::POLL_SLOWEST).await;
    }
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
