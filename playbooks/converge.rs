//! Whether a stack runs: bp's own rules over what the managers know.

use crate::compose::{Compose, SPEC_LABEL, Wanted};
use crate::docker::{Service, SwarmView, Task};
use crate::step::{Check, Failure};
use serde_json::Value;

/// True when every service of the stack runs what the blueprint says, or has done its work.
///
/// - An update that was rolled back or paused is a failure, not a success.
/// - A finished job is done: nothing has to run.
/// - Tasks of an older definition do not count.
pub fn judge(view: &SwarmView, compose: &Compose) -> Check {
    let mut waits = Vec::new();
    for wanted in &compose.services {
        match service(view, compose, wanted) {
            Check::True => {}
            Check::Failed(failure) => return Check::Failed(failure),
            other => waits.push(other.reason().to_owned()),
        }
    }
    Check::when(waits.is_empty(), waits.join("; "))
}

/// The names of the stack's services that are not true.
pub fn unwell(view: &SwarmView, compose: &Compose) -> Vec<String> {
    let ill = |w: &&Wanted| service(view, compose, w) != Check::True;
    compose.services.iter().filter(ill).map(|w| full(compose, w)).collect()
}

/// Whether a service takes back what it was asked for since then: its definition is the one before
/// again.
pub fn rolls_back(view: &SwarmView, compose: &Compose, since: i64) -> bool {
    compose.services.iter().any(|wanted| {
        let name = full(compose, wanted);
        let Some(service) = view.services.iter().find(|s| s.spec.name == name) else {
            return false;
        };
        let Some(status) = &service.update_status else { return false };
        let began: Result<jiff::Timestamp, _> = status.started_at.parse();
        status.state.starts_with("rollback")
            && service.spec.labels.get(SPEC_LABEL) != Some(&wanted.spec)
            && began.is_ok_and(|began| began.as_second() >= since)
    })
}

fn full(compose: &Compose, wanted: &Wanted) -> String {
    format!("{}_{}", compose.name, wanted.name)
}

fn service(view: &SwarmView, compose: &Compose, wanted: &Wanted) -> Check {
    let name = full(compose, wanted);
    let Some(service) = view.services.iter().find(|s| s.spec.name == name) else {
        return Check::Not(format!("{name} is not there"));
    };
    let mine: Vec<&Task> = view.tasks.iter().filter(|t| t.service_id == service.id).collect();
    let error = last_error(view, &name, &mine);
    let with_error = |text: String| match &error {
        Some(error) => format!("{text}: {error}"),
        None => text,
    };
    let deployed = service.spec.labels.get(SPEC_LABEL) == Some(&wanted.spec);
    let (state, message) = match &service.update_status {
        Some(status) => (status.state.as_str(), status.message.as_str()),
        None => ("", ""),
    };
    match state {
        // After a rollback the service says what it said before: what was asked for is not there.
        "rollback_completed" if !deployed => {
            return Check::Failed(Failure::new(with_error(format!("{name} was rolled back"))));
        }
        "rollback_paused" | "paused" => {
            let hint = format!(
                "where it still stands: what held it up being mended, `docker service update --force {name}` on a manager goes on"
            );
            let text = with_error(format!("the update of {name} stands still: {message}"));
            return Check::Failed(Failure::new(text).hint(hint));
        }
        "updating" | "rollback_started" => {
            return Check::Not(with_error(format!("{name} is {state}")));
        }
        _ if !deployed => return Check::Not(format!("{name} has another definition")),
        _ => {}
    }
    if service.is_job() {
        return job(service, &mine, &name, with_error);
    }
    let current: Vec<&&Task> = mine.iter().filter(|t| is_current(t, service)).collect();
    let runs = |t: &&&&Task| {
        t.status.state == "running" && t.desired_state == "running" && is_steady(t, view.now)
    };
    let expected = match service.replicas() {
        Some(replicas) => replicas as usize,
        None => eligible(view, wanted),
    };
    let running = current.iter().filter(runs).count();
    let all = match service.replicas() {
        Some(replicas) => running as u64 == replicas,
        // A node that was paused keeps its task.
        None => running >= expected && running > 0,
    };
    if all {
        return Check::True;
    }
    if ends_by_itself(service) {
        let ended = |state: &str| current.iter().filter(|t| t.status.state == state).count();
        if ended("complete") >= expected && expected > 0 {
            return Check::True;
        }
        if condition(service) == "none" && ended("failed") + ended("rejected") > 0 {
            return Check::Failed(Failure::new(with_error(format!("{name} failed"))));
        }
    }
    if expected == 0 {
        return Check::Not(format!("no node may run {name}"));
    }
    Check::Not(with_error(format!("{running} of {expected} tasks of {name} run")))
}

fn job(service: &Service, mine: &[&Task], name: &str, with: impl Fn(String) -> String) -> Check {
    let current: Vec<&&Task> = mine.iter().filter(|t| is_current(t, service)).collect();
    let complete = current.iter().filter(|t| t.status.state == "complete").count() as u64;
    let asked = service.spec.mode.get("ReplicatedJob").and_then(|j| j.get("TotalCompletions"));
    let asked = asked.and_then(Value::as_u64).unwrap_or(1);
    let done = match service.spec.mode.get("GlobalJob") {
        Some(_) => !current.is_empty() && complete as usize == current.len(),
        None => complete >= asked,
    };
    if done {
        return Check::True;
    }
    let failed = current.iter().any(|t| matches!(t.status.state.as_str(), "failed" | "rejected"));
    if failed && condition(service) == "none" {
        return Check::Failed(Failure::new(with(format!("the job {name} failed"))));
    }
    Check::Not(with(format!("the job {name} has not ended")))
}

/// Whether the task runs the service's present definition.
fn is_current(task: &Task, service: &Service) -> bool {
    let wanted = &service.spec.task_template;
    task.spec.container_spec == wanted.container_spec
        && task.spec.resources == wanted.resources
        && task.spec.force_update == wanted.force_update
}

/// How long a task has to run before it counts: one that ends at once is started again and again.
const STEADY_SECONDS: i64 = 5;

/// Whether it has run for so long.
pub(crate) fn is_steady(task: &Task, now: i64) -> bool {
    let since: Result<jiff::Timestamp, _> = task.status.timestamp.parse();
    since.is_ok_and(|since| now - since.as_second() >= STEADY_SECONDS)
}

fn condition(service: &Service) -> &str {
    service.spec.task_template.restart_policy.as_ref().map_or("any", |p| p.condition.as_str())
}

/// A service whose tasks are not started again when they end well: a job written the old way.
fn ends_by_itself(service: &Service) -> bool {
    matches!(condition(service), "none" | "on-failure")
}

/// How many nodes a global service has a task on.
fn eligible(view: &SwarmView, wanted: &Wanted) -> usize {
    let fits = |node: &&crate::docker::Node| {
        node.status.state == "ready"
            && node.spec.availability == "active"
            && wanted.constraints.iter().all(|c| satisfied(c, node))
    };
    view.nodes.iter().filter(fits).count()
}

fn satisfied(constraint: &str, node: &crate::docker::Node) -> bool {
    let (left, equal, right) = match (constraint.split_once("=="), constraint.split_once("!=")) {
        (Some((left, right)), _) => (left.trim(), true, right.trim()),
        (None, Some((left, right))) => (left.trim(), false, right.trim()),
        (None, None) => return true,
    };
    let has = match left {
        "node.id" => node.id.as_str(),
        "node.role" => node.spec.role.as_str(),
        "node.hostname" => node.description.hostname.as_str(),
        label => match label.strip_prefix("node.labels.") {
            Some(key) => node.spec.labels.get(key).map_or("", String::as_str),
            None => return true,
        },
    };
    (has == right) == equal
}

/// What docker says of a task that was told to stop while it started, or whose network was gone when
/// it was cleared away: a consequence, no cause.
fn is_consequence(error: &str) -> bool {
    error.ends_with("context canceled") || error.contains("error while removing network")
}

/// The newest error of a service's tasks, in docker's words.
fn last_error(view: &SwarmView, name: &str, mine: &[&Task]) -> Option<String> {
    let ill = mine.iter().filter(|t| !t.status.err.is_empty());
    let newest = ill.max_by_key(|t| (!is_consequence(&t.status.err), &t.created_at))?;
    let place = match view.node(&newest.node_id) {
        Some(node) => format!(" on {}", node.description.hostname),
        None => String::new(),
    };
    let slot = if newest.slot > 0 { format!(".{}", newest.slot) } else { String::new() };
    Some(format!("task {name}{slot}{place}: {}", newest.status.err))
}
