//! Phase stacks: deployed in order, each converged and healthy before the next.
//!
//! bp converges by itself: `docker stack deploy` returns before anything runs, or waits without a
//! bound, and calls a rollback a success.

pub(crate) mod authority;
mod deploy;
pub(crate) mod etcd;
mod etcd_members;
pub(crate) mod gitlab;
mod leavers;
mod own_networks;
pub(crate) mod pause;
mod place;
pub(crate) mod portainer;
pub(crate) mod redis;
pub(crate) mod registry;
pub(crate) mod stolon;
mod take_back;
pub(crate) mod traefik;
pub(crate) mod upgrades;

use crate::compose::Compose;
use crate::cx::Cx;
use crate::docker::{LAB_LABEL, Service, SwarmView, no_manager};
use crate::secrets::{self, Secret};
use crate::step::{Check, Failure, Step, Trouble, tail};
use crate::{converge, docker, health, limits, networks, runbook, shipped};
use blueprints::{Lab, Stack};
use providers::{Cmd, quote};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
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
    let made = secrets::all(lab, composes);
    let all: Arc<Vec<Secret>> = Arc::new(made.concat());
    for ((stack, compose), made) in lab.stacks.iter().zip(composes).zip(made) {
        let compose = Arc::new(compose.clone());
        let shipped = shipped::of(lab, stack);
        let (mut gates, mut turns) = (traefik::known(lab, stack, &compose), None);
        if let Some(shipped) = shipped {
            if let Some((playbook, hosts, vars)) = &shipped.playbook {
                let (text, remark) = runbook::built_in(playbook, beside)?;
                let mut only = lab.clone();
                only.hosts.retain(|h| hosts.is_empty() || hosts.contains(&h.name));
                steps.extend(runbook::steps(&only, playbook, &text, vars)?);
                remarks.extend(remark);
            }
            steps.extend(shipped.before);
            gates.extend(shipped.health);
            turns = shipped.takes_turns.then_some(shipped.shared);
        }
        steps.extend(secrets::step(&stack.name, &made));
        gates.extend(stack.health.iter().map(|h| health::step(&compose, h)));
        steps.extend(one(lab, stack, &compose, &all, turns, gates));
    }
    // What has left the blueprint goes last: what took its place runs by then.
    steps.push(unlisted(lab, composes));
    steps.push(secrets::pruned(lab, composes, all.to_vec()));
    steps.push(networks::pruned(lab));
    Ok((steps, remarks))
}

/// One stack: deployed, running, healthy; where a change does not get there, the version before
/// comes back.
fn one(
    lab: &Lab,
    stack: &Stack,
    compose: &Arc<Compose>,
    secrets: &Arc<Vec<Secret>>,
    turns: deploy::Turns,
    gates: Vec<Step>,
) -> Vec<Step> {
    let mut steps = vec![
        deploy::step(lab, compose, secrets, stack.within, turns, &gates),
        converged(compose, stack.within),
    ];
    steps.extend(gates.iter().cloned());
    let gates = Arc::new(gates);
    let (on_failure, is_quorum) = (stack.on_failure, turns.is_some());
    // Gates of several hosts may fail together: it is taken back once.
    let taken_back = Arc::new(OnceCell::new());
    let undoing = |step: Step| {
        let (compose, gates, taken_back) = (compose.clone(), gates.clone(), taken_back.clone());
        step.undo(move |cx| {
            let (compose, gates, taken_back) = (compose.clone(), gates.clone(), taken_back.clone());
            let undo =
                async move { take_back::undo(&cx, &compose, on_failure, is_quorum, &gates).await };
            async move { taken_back.get_or_init(|| undo).await.clone() }
        })
    };
    steps.into_iter().map(undoing).collect()
}

/// Stacks of this lab that have left the blueprint, and services that have left their stacks. Their
/// data stays.
fn unlisted(lab: &Lab, composes: &[Compose]) -> Step {
    let names: Arc<Vec<Compose>> = Arc::new(composes.to_vec());
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
                        let mut left = left(&view, &lab, &names);
                        let services = left_services(&view, &lab, &names).into_iter();
                        let known = |s: &str| names.iter().any(|c| c.name == s);
                        left.extend(services.filter(|(s, _)| known(s)).map(|(_, name)| name));
                        let why = format!("{} left the blueprint", left.join(", "));
                        Check::when(left.is_empty(), why)
                    }
                }
            }
        })
        .apply(move |cx| {
            let (lab, names) = (of.clone(), keep.clone());
            async move {
                for attempt in 1.. {
                    match remove_unlisted(&cx, &lab, &names).await {
                        Err(Trouble::Failure(failure))
                            if attempt < docker::ATTEMPTS && docker::passes(&failure) =>
                        {
                            tokio::time::sleep(limits::POLL_SLOWEST).await;
                        }
                        other => return other,
                    }
                }
                unreachable!("the loop ends by its attempts")
            }
        })
}

async fn remove_unlisted(cx: &Cx, lab: &str, composes: &[Compose]) -> Result<(), Trouble> {
    let view = cx.fresh().swarm().await.map_err(no_manager)?;
    for (stack, service) in left_services(&view, lab, composes) {
        if composes.iter().any(|c| c.name == stack) {
            let rm = Cmd::new(format!("docker service rm {} >/dev/null", quote(&service)));
            cx.ok(&view.manager, rm).await?;
        }
    }
    for stack in left(&view, lab, composes) {
        remove(cx, &view.manager, &stack).await?;
    }
    Ok(())
}

/// Stacks of the lab that are none of these.
fn left(view: &SwarmView, lab: &str, composes: &[Compose]) -> Vec<String> {
    let all = left_services(view, lab, composes).into_iter().map(|(stack, _)| stack);
    let stacks: BTreeSet<String> = all.collect();
    stacks.into_iter().filter(|s| !composes.iter().any(|c| c.name == *s)).collect()
}

/// Services of the lab that are in none of these stacks, with their stacks.
fn left_services(view: &SwarmView, lab: &str, composes: &[Compose]) -> Vec<(String, String)> {
    let mine = |s: &&Service| s.spec.labels.get(LAB_LABEL).is_some_and(|l| l == lab);
    let wanted = |s: &Service| {
        composes.iter().any(|c| {
            c.name == s.stack()
                && c.services.iter().any(|w| s.spec.name == format!("{}_{}", c.name, w.name))
        })
    };
    let left = view.services.iter().filter(mine).filter(|s| !wanted(s));
    left.map(|s| (s.stack().to_owned(), s.spec.name.clone())).collect()
}

/// Removes a stack and waits until its tasks on all nodes are gone: docker answers before that.
pub(crate) async fn remove(cx: &Cx, manager: &str, stack: &str) -> Result<(), Trouble> {
    let view = cx.fresh().swarm().await.map_err(no_manager)?;
    let ids: Vec<String> =
        view.services.iter().filter(|s| s.stack() == stack).map(|s| s.id.clone()).collect();
    let cmd = Cmd::new(format!("docker stack rm {} >/dev/null", quote(stack)));
    cx.ok(manager, cmd.within(Duration::from_secs(120))).await?;
    gone(cx, &format!("the stack {stack}"), &ids).await
}

/// Waits until the tasks of removed services are gone, from all nodes.
async fn gone(cx: &Cx, what: &str, ids: &[String]) -> Result<(), Trouble> {
    let until = Instant::now() + GONE;
    loop {
        let view = cx.fresh().swarm().await.map_err(no_manager)?;
        let tasks = view.tasks.iter().filter(|t| ids.contains(&t.service_id)).count();
        if tasks == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            let what = format!("{tasks} tasks of {what} are still there after its removal");
            return Err(Failure::new(what).into());
        }
        tokio::time::sleep(limits::POLL_SLOWEST).await;
    }
}

/// A task gets ten seconds to end by default, and what its author says otherwise.
const GONE: Duration = Duration::from_secs(300);

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
                match compose.settled(&view, &cx.lab().name) {
                    Ok(compose) => converge::judge(&view, &compose),
                    Err(why) => Check::Not(why),
                }
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
    let compose = &compose.settled(&view, &cx.lab().name).ok()?;
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
