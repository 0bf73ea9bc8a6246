//! Whether a stack runs: the table of what managers may say.

use crate::compose::{Compose, Wanted};
use crate::converge::{judge, unwell};
use crate::docker::{Node, Service, SwarmView};
use crate::step::Check;
use serde_json::{Value, json};

const NEW: &str = "new";

fn compose(replicas: Option<u64>, constraints: &[&str]) -> Compose {
    let wanted = Wanted {
        name: "web".to_owned(),
        image: "example/web:2".to_owned(),
        spec: NEW.to_owned(),
        mode: if replicas.is_some() { "replicated" } else { "global" }.to_owned(),
        replicas,
        constraints: constraints.iter().map(|c| (*c).to_owned()).collect(),
    };
    Compose {
        name: "shop".to_owned(),
        text: String::new(),
        files: Vec::new(),
        services: vec![wanted],
        offline: false,
        outside: Vec::new(),
        remarks: Vec::new(),
    }
}

fn spec(image: &str, condition: &str) -> Value {
    json!({ "ContainerSpec": { "Image": image }, "RestartPolicy": { "Condition": condition },
        "ForceUpdate": 0 })
}

fn service(mode: Value, condition: &str) -> Value {
    json!({ "ID": "s1", "Spec": { "Name": "shop_web",
        "Labels": { "com.docker.stack.namespace": "shop", "bp.spec": NEW },
        "TaskTemplate": spec("example/web:2", condition), "Mode": mode } })
}

fn replicated(replicas: u64) -> Value {
    json!({ "Replicated": { "Replicas": replicas } })
}

fn updated(mut service: Value, state: &str, message: &str, label: &str) -> Value {
    service["UpdateStatus"] = json!({ "State": state, "Message": message });
    service["Spec"]["Labels"]["bp.spec"] = json!(label);
    service
}

fn task(slot: u64, state: &str, desired: &str, err: &str, at: u32) -> Value {
    json!({ "ID": "t", "ServiceID": "s1", "NodeID": "n1", "Slot": slot,
        "CreatedAt": format!("2026-01-01T00:00:{at:02}.000000000Z"), "DesiredState": desired,
        "Status": { "State": state, "Err": err, "Timestamp": "2026-01-01T00:00:00Z" }, "Spec": spec("example/web:2", "any") })
}

fn old(mut task: Value) -> Value {
    task["Spec"] = spec("example/web:1", "any");
    task
}

fn node(id: &str, role: &str, availability: &str, state: &str) -> Value {
    json!({ "ID": id, "Spec": { "Labels": { "disk": "ssd" }, "Role": role, "Availability": availability },
        "Description": { "Hostname": format!("host-{id}") }, "Status": { "State": state } })
}

fn view(service: Option<Value>, nodes: &[Value]) -> SwarmView {
    let read = |v: &Value| serde_json::from_value::<Node>(v.clone()).expect("a node");
    let has = service.map(|v| serde_json::from_value::<Service>(v).expect("a service"));
    SwarmView {
        manager: "node1".to_owned(),
        id: "swarm".to_owned(),
        nodes: nodes.iter().map(read).collect(),
        networks: Vec::new(),
        services: has.into_iter().collect(),
        tasks: Vec::new(),
        secrets: Vec::new(),
        configs: Vec::new(),
        now: 4_000_000_000,
    }
}

fn said(check: Check) -> String {
    match check {
        Check::True => "true".to_owned(),
        Check::Not(why) => format!("not: {why}"),
        Check::Unknown(why) => format!("unknown: {why}"),
        Check::Failed(failure) => format!("failed: {}", failure.message),
    }
}

fn judged(service: Value, tasks: &[Value], compose: &Compose) -> String {
    judged_on("active", service, tasks, compose)
}

/// With a second node that is `active`, `pause` or `drain`.
fn judged_on(second: &str, service: Value, tasks: &[Value], compose: &Compose) -> String {
    let nodes = [
        node("n1", "manager", "active", "ready"),
        node("n2", "worker", second, "ready"),
        node("n3", "worker", "drain", "ready"),
        node("n4", "worker", "active", "down"),
    ];
    let mut view = view(Some(service), &nodes);
    view.tasks = tasks.iter().map(|t| serde_json::from_value(t.clone()).expect("a task")).collect();
    let check = judge(&view, compose);
    assert_eq!(unwell(&view, compose).is_empty(), check == Check::True);
    said(check)
}

#[test]
fn replicated_services() {
    let two = || compose(Some(2), &[]);
    let web = || service(replicated(2), "any");
    let runs = |slot| task(slot, "running", "running", "", 1);
    let table = [
        ("both run", web(), vec![runs(1), runs(2)]),
        ("one runs", web(), vec![runs(1), task(2, "preparing", "running", "", 2)]),
        ("none yet", web(), vec![]),
        (
            "old tasks do not count",
            web(),
            vec![
                runs(1),
                old(task(2, "running", "shutdown", "", 1)),
                task(2, "starting", "running", "", 3),
            ],
        ),
        (
            "an old one that still runs",
            web(),
            vec![runs(1), runs(2), old(task(2, "running", "shutdown", "", 1))],
        ),
        (
            "one that runs while it is asked to end",
            web(),
            vec![runs(1), task(2, "running", "shutdown", "", 1)],
        ),
        (
            "its newest error is said",
            web(),
            vec![
                runs(1),
                task(2, "failed", "shutdown", "task: non-zero exit (1)", 3),
                task(2, "rejected", "shutdown", "No such image: example/web:2", 9),
                task(2, "failed", "shutdown", "task: non-zero exit (2)", 5),
                task(2, "pending", "running", "", 12),
            ],
        ),
        ("nothing is asked for", service(replicated(0), "any"), vec![]),
        ("nothing is asked for, one still runs", service(replicated(0), "any"), vec![runs(1)]),
        ("updating", updated(web(), "updating", "update in progress", NEW), vec![runs(1), runs(2)]),
        (
            "update done",
            updated(web(), "completed", "update completed", NEW),
            vec![runs(1), runs(2)],
        ),
        (
            "paused",
            updated(
                web(),
                "paused",
                "update paused due to failure or early termination of task x",
                NEW,
            ),
            vec![runs(1), task(2, "failed", "shutdown", "task: non-zero exit (1)", 3)],
        ),
        ("rolling back", updated(web(), "rollback_started", "", "old"), vec![runs(1), runs(2)]),
        (
            "rolled back",
            updated(web(), "rollback_completed", "rollback completed", "old"),
            vec![runs(1), runs(2), task(1, "failed", "shutdown", "task: non-zero exit (3)", 8)],
        ),
        (
            "rolled back, a task being stopped while it started",
            updated(web(), "rollback_completed", "rollback completed", "old"),
            vec![
                task(1, "failed", "shutdown", "task: non-zero exit (1)", 8),
                task(2, "failed", "shutdown", "starting container failed: context canceled", 9),
            ],
        ),
        (
            "rolled back, a task's network being gone when it was cleared away",
            updated(web(), "rollback_completed", "rollback completed", "old"),
            vec![
                task(1, "failed", "shutdown", "task: non-zero exit (1)", 8),
                task(
                    2,
                    "failed",
                    "shutdown",
                    "error while removing network: unknown network traefik id q1rib",
                    9,
                ),
            ],
        ),
        (
            "rolled back before, right now",
            updated(web(), "rollback_completed", "", NEW),
            vec![runs(1), runs(2)],
        ),
        ("rollback paused", updated(web(), "rollback_paused", "rollback paused", "old"), vec![]),
        ("another definition", updated(web(), "", "", "old"), vec![runs(1), runs(2)]),
    ];
    let all: String = table
        .into_iter()
        .map(|(what, service, tasks)| format!("{what}: {}\n", judged(service, &tasks, &two())))
        .collect();
    insta::assert_snapshot!(all, @"
    both run: true
    one runs: not: 1 of 2 tasks of shop_web run
    none yet: not: 0 of 2 tasks of shop_web run
    old tasks do not count: not: 1 of 2 tasks of shop_web run
    an old one that still runs: true
    one that runs while it is asked to end: not: 1 of 2 tasks of shop_web run
    its newest error is said: not: 1 of 2 tasks of shop_web run: task shop_web.2 on host-n1: No such image: example/web:2
    nothing is asked for: true
    nothing is asked for, one still runs: not: no node may run shop_web
    updating: not: shop_web is updating
    update done: true
    paused: failed: the update of shop_web stands still: update paused due to failure or early termination of task x: task shop_web.2 on host-n1: task: non-zero exit (1)
    rolling back: not: shop_web is rollback_started
    rolled back: failed: shop_web was rolled back: task shop_web.1 on host-n1: task: non-zero exit (3)
    rolled back, a task being stopped while it started: failed: shop_web was rolled back: task shop_web.1 on host-n1: task: non-zero exit (1)
    rolled back, a task's network being gone when it was cleared away: failed: shop_web was rolled back: task shop_web.1 on host-n1: task: non-zero exit (1)
    rolled back before, right now: true
    rollback paused: failed: the update of shop_web stands still: rollback paused
    another definition: not: shop_web has another definition
    ");
}

#[test]
fn jobs() {
    let one = || compose(Some(1), &[]);
    let done = || task(1, "complete", "shutdown", "", 1);
    let failed = || task(1, "failed", "shutdown", "task: non-zero exit (1)", 2);
    let running = || task(1, "running", "running", "", 3);
    let job =
        |total: u64| json!({ "ReplicatedJob": { "MaxConcurrent": 1, "TotalCompletions": total } });
    let global = || json!({ "GlobalJob": {} });
    let table = [
        ("none: done", service(replicated(1), "none"), vec![done()]),
        ("none: failed", service(replicated(1), "none"), vec![failed()]),
        ("none: running", service(replicated(1), "none"), vec![running()]),
        (
            "none: not begun",
            service(replicated(1), "none"),
            vec![task(1, "preparing", "running", "", 1)],
        ),
        ("on-failure: done", service(replicated(1), "on-failure"), vec![done()]),
        (
            "on-failure: failed, tried again, done",
            service(replicated(1), "on-failure"),
            vec![failed(), done()],
        ),
        ("on-failure: failed", service(replicated(1), "on-failure"), vec![failed()]),
        ("any: done is not enough", service(replicated(1), "any"), vec![done()]),
        (
            "an old one is done, the new one is not",
            service(replicated(1), "none"),
            vec![old(done())],
        ),
        ("job: done", service(job(2), "none"), vec![done(), done()]),
        ("job: half done", service(job(2), "none"), vec![done(), running()]),
        ("job: failed", service(job(1), "none"), vec![failed()]),
        ("job: failed, to be tried again", service(job(1), "on-failure"), vec![failed()]),
        ("global job: done", service(global(), "none"), vec![done(), done()]),
        ("global job: not begun", service(global(), "none"), vec![]),
        ("global job: half done", service(global(), "none"), vec![done(), running()]),
    ];
    let all: String = table
        .into_iter()
        .map(|(what, service, tasks)| format!("{what}: {}\n", judged(service, &tasks, &one())))
        .collect();
    insta::assert_snapshot!(all, @"
    none: done: true
    none: failed: failed: shop_web failed: task shop_web.1 on host-n1: task: non-zero exit (1)
    none: running: true
    none: not begun: not: 0 of 1 tasks of shop_web run
    on-failure: done: true
    on-failure: failed, tried again, done: true
    on-failure: failed: not: 0 of 1 tasks of shop_web run: task shop_web.1 on host-n1: task: non-zero exit (1)
    any: done is not enough: not: 0 of 1 tasks of shop_web run
    an old one is done, the new one is not: not: 0 of 1 tasks of shop_web run
    job: done: true
    job: half done: not: the job shop_web has not ended
    job: failed: failed: the job shop_web failed: task shop_web.1 on host-n1: task: non-zero exit (1)
    job: failed, to be tried again: not: the job shop_web has not ended: task shop_web.1 on host-n1: task: non-zero exit (1)
    global job: done: true
    global job: not begun: not: the job shop_web has not ended
    global job: half done: not: the job shop_web has not ended
    ");
}

#[test]
fn global_services_run_on_every_node_that_may_run_them() {
    let global = || service(json!({ "Global": {} }), "any");
    let runs = || task(0, "running", "running", "", 1);
    let table: [(&str, &[&str], usize); 9] = [
        ("all that are up and active", &[], 2),
        ("one is missing", &[], 1),
        ("managers", &["node.role == manager"], 1),
        ("no managers", &["node.role!=manager"], 1),
        ("by host name", &["node.hostname == host-n2"], 1),
        ("by label", &["node.labels.disk == ssd"], 2),
        ("without a label", &["node.labels.gpu != yes"], 2),
        ("nowhere", &["node.labels.gpu == yes"], 0),
        ("by what bp does not know", &["node.platform.os == linux"], 2),
    ];
    let all: String = table
        .into_iter()
        .map(|(what, constraints, running)| {
            let tasks = vec![runs(); running];
            format!("{what}: {}\n", judged(global(), &tasks, &compose(None, constraints)))
        })
        .collect();
    insta::assert_snapshot!(all, @"
    all that are up and active: true
    one is missing: not: 1 of 2 tasks of shop_web run
    managers: true
    no managers: true
    by host name: true
    by label: true
    without a label: true
    nowhere: not: no node may run shop_web
    by what bp does not know: true
    ");
}

#[test]
fn a_paused_node_keeps_the_task_of_a_global_service() {
    let global = || service(json!({ "Global": {} }), "any");
    let runs = task(0, "running", "running", "", 1);
    let table = [
        ("paused, it kept its task", "pause", 2),
        ("paused, it never had one", "pause", 1),
        ("paused, the active one has none", "pause", 0),
        ("drained, its task is gone", "drain", 1),
        ("active, it has none yet", "active", 1),
    ];
    let all: String = table
        .into_iter()
        .map(|(what, second, running)| {
            let tasks = vec![runs.clone(); running];
            format!("{what}: {}\n", judged_on(second, global(), &tasks, &compose(None, &[])))
        })
        .collect();
    insta::assert_snapshot!(all, @"
    paused, it kept its task: true
    paused, it never had one: true
    paused, the active one has none: not: 0 of 1 tasks of shop_web run
    drained, its task is gone: true
    active, it has none yet: not: 1 of 2 tasks of shop_web run
    ");
}

#[test]
fn a_task_counts_when_it_has_run_for_a_while_by_the_managers_clock() {
    let since = |at: &str| {
        let mut task = task(1, "running", "running", "", 1);
        task["Status"]["Timestamp"] = json!(at);
        task
    };
    let table = [
        ("begun just now", "2096-10-02T07:06:40Z"),
        ("for 4 s", "2096-10-02T07:06:36Z"),
        ("for 5 s", "2096-10-02T07:06:35.000000000Z"),
        ("for an hour", "2096-10-02T06:06:40Z"),
        ("from a clock that is ahead", "2096-10-02T07:10:00Z"),
        ("with another offset", "2096-10-02T09:06:38+02:00"),
        ("without a moment", ""),
    ];
    let all: String = table
        .into_iter()
        .map(|(what, at)| {
            let service = service(replicated(1), "any");
            format!("{what}: {}\n", judged(service, &[since(at)], &compose(Some(1), &[])))
        })
        .collect();
    insta::assert_snapshot!(all, @"
    begun just now: not: 0 of 1 tasks of shop_web run
    for 4 s: not: 0 of 1 tasks of shop_web run
    for 5 s: true
    for an hour: true
    from a clock that is ahead: not: 0 of 1 tasks of shop_web run
    with another offset: not: 0 of 1 tasks of shop_web run
    without a moment: not: 0 of 1 tasks of shop_web run
    ");
}

#[test]
fn an_update_that_stands_still_says_how_to_go_on() {
    for state in ["paused", "rollback_paused"] {
        let stands = updated(service(replicated(1), "any"), state, "it stands", NEW);
        let nodes = [node("n1", "manager", "active", "ready")];
        let Check::Failed(failure) = judge(&view(Some(stands), &nodes), &compose(Some(1), &[]))
        else {
            panic!("{state} is a failure");
        };
        assert_eq!(
            failure.hint.as_deref(),
            Some(
                "where it still stands: what held it up being mended, `docker service update --force shop_web` on a manager goes on"
            )
        );
    }
}

#[test]
fn a_service_that_is_not_there() {
    let nodes = [node("n1", "manager", "active", "ready")];
    assert_eq!(
        said(judge(&view(None, &nodes), &compose(Some(1), &[]))),
        "not: shop_web is not there"
    );
}
