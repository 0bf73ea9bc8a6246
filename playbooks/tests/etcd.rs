//! What makes etcd healthy.

use super::bench::Bench;
use super::desk::Desk;
use super::fake::Fault;
use super::whole;
use crate::Check;
use crate::step::Step;
use crate::survey::check;
use serde_json::{Value, json};

fn status(leaders: &[u64]) -> String {
    let member = |(at, leader): (usize, &u64)| -> Value {
        json!({ "Endpoint": format!("http://etcd-node{}:2379", at + 1), "Status": {
            "header": { "cluster_id": 14841639068965178418_u64, "member_id": 10276657743932975437_u64,
                "revision": 2, "raft_term": 2 },
            "version": "3.5.16", "dbSize": 20480, "leader": leader, "raftIndex": 9, "raftTerm": 2,
            "raftAppliedIndex": 9, "dbSizeInUse": 16384 } })
    };
    json!(leaders.iter().enumerate().map(member).collect::<Vec<_>>()).to_string()
}

/// A lab with etcd, and its step of this name.
async fn ready(name: &str) -> (Bench, Step) {
    let bench = whole::bench();
    bench.done().await;
    let step = bench.steps().into_iter().find(|s| s.name == name).expect("a step");
    (bench, step)
}

async fn asked(bench: &Bench, step: &Step) -> String {
    let (cx, _events) = bench.cx();
    match check(&cx, step).await {
        Check::True => "true".to_owned(),
        Check::Not(why) => format!("not: {why}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn members_are_counted_and_agree_on_a_leader() {
    let (bench, step) = ready("etcd members").await;
    let leader = 10276657743932975437;
    let warning =
        "{\"level\":\"warn\",\"ts\":\"2026\",\"msg\":\"retrying of unary invoker failed\"}\n";
    let alarm = |leaders: &[u64]| {
        let mut all: Value = serde_json::from_str(&status(leaders)).expect("JSON");
        all[1]["Status"]["errors"] = json!(["memberID:10276657743932975437 alarm:NOSPACE "]);
        all.to_string()
    };
    let answers = [
        ("no space left in one", 0, alarm(&[leader; 3])),
        ("all", 0, status(&[leader; 3])),
        ("all, after a warning", 0, warning.to_owned() + &status(&[leader; 3])),
        ("two of three", 0, status(&[leader; 2])),
        ("two of three, and a failure", 1, status(&[leader; 2]) + "\nFailed to get the status"),
        ("none leads", 0, status(&[0; 3])),
        ("two leaders", 0, status(&[leader, leader, 7])),
        ("one too many", 0, status(&[leader; 4])),
        ("no JSON", 0, "Error: context deadline exceeded".to_owned()),
        ("nothing", 0, String::new()),
        ("an empty list", 0, "[]".to_owned()),
    ];
    let mut said = String::new();
    for (what, code, out) in answers {
        let out: &'static str = out.leak();
        bench.site.fault("node1", "c=$(docker ps", 1, Fault::Says(code, out, ""));
        said.push_str(&format!("{what}: {}\n", asked(&bench, &step).await));
    }
    insta::assert_snapshot!(said, @"
    no space left in one: not: a member says memberID:10276657743932975437 alarm:NOSPACE
    all: true
    all, after a warning: true
    two of three: not: 2 of 3 members answer
    two of three, and a failure: not: 2 of 3 members answer
    none leads: not: the members do not agree on a leader
    two leaders: not: the members do not agree on a leader
    one too many: not: 4 of 3 members answer
    no JSON: not: Error: context deadline exceeded
    nothing: not: no answer
    an empty list: not: 0 of 3 members answer
    ");
}

#[tokio::test(start_paused = true)]
async fn another_member_is_asked_where_the_first_is_away() {
    let (bench, step) = ready("etcd members").await;
    let away = Fault::Says(1, "the member of node1 does not run", "");
    bench.site.fault("node1", "c=$(docker ps", 1, away);
    assert_eq!(asked(&bench, &step).await, "true");
    bench.site.cut("node1");
    bench.site.cut("node2");
    assert_eq!(asked(&bench, &step).await, "true");
    bench.site.cut("node3");
    insta::assert_snapshot!(asked(&bench, &step).await, @r#"Unknown("node3: the machine is not running")"#);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_reads_something_else_is_named() {
    let (bench, step) = ready("etcd key").await;
    assert_eq!(asked(&bench, &step).await, "true");
    bench.site.fault("node3", "c=$(docker ps", 1, Fault::Says(0, "stale\n", ""));
    insta::assert_snapshot!(asked(&bench, &step).await, @"not: `bp/lab` reads `stale` through node3");
}

/// A member that was too slow to say what it reads: asked again, and nothing is written anew.
#[tokio::test(start_paused = true)]
async fn a_member_that_gives_no_answer_is_asked_again() {
    let (bench, step) = ready("etcd key").await;
    let late = Fault::Says(1, "Error: context deadline exceeded", "");
    bench.site.fault("node3", "c=$(docker ps", 1, late.clone());
    insta::assert_snapshot!(asked(&bench, &step).await, @r#"Unknown("node3: Error: context deadline exceeded")"#);
    bench.site.changes();
    bench.site.fault("node3", "c=$(docker ps", 2, late);
    let ran = bench.up().await;
    assert_eq!((ran.sums().applied, bench.site.changes().as_str()), (Some(0), ""));
}

/// Changes each member's definition: another image, which the nodes have.
fn changed(bench: Bench) -> Bench {
    let image = "{ etcd: { image: 'quay.io/coreos/etcd:v3.5.99' } }";
    let bench =
        bench.edited(&whole::blueprint().replace("stacks: [etcd]", &format!("stacks: [{image}]")));
    bench.only(&["stacks"])
}

#[tokio::test(start_paused = true)]
async fn members_take_turns_each_healthy_before_the_next() {
    let bench = whole::bench();
    bench.done().await;
    bench.site.changes();
    let bench = changed(bench);
    bench.up().await;
    let changes = bench.site.changes();
    let sent = changes.lines().filter(|l| l.contains("docker stack deploy")).count();
    assert_eq!(sent, 3, "{changes}");

    // A member that is not well after its turn keeps the others as they are.
    let bench = whole::bench();
    bench.done().await;
    bench.site.changes();
    let bench = changed(bench);
    // Right before the deploy it is healthy, after it not.
    let site = bench.site.clone();
    tokio::spawn(async move {
        while !site.lock().swarm().services.iter().any(|s| s.to_string().contains("v3.5.99")) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        site.fault("node2", "c=$(docker ps", 9999, Fault::Says(1, "it does not run", ""));
    });
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    stacks / etcd deployed / : the others wait: etcd-node1 is not well within 5 min of its turn: node2: it does not run
    last log lines of etcd_etcd-node2:
      panic: no config
      exit status 2
    last log lines of etcd_etcd-node3:
      panic: no config
      exit status 2
    the version before is back, but is not healthy: node2: it does not run
    ");
    let changes = bench.site.changes();
    assert_eq!(
        changes.lines().filter(|l| l.contains("docker stack deploy")).count(),
        1,
        "{changes}"
    );
    assert!(changes.contains("docker service rollback --detach etcd_etcd-node1"), "{changes}");
}

/// The third member does not run with its change, or is ill after it for good: in which order the
/// members go back, and what is said.
async fn taken_back(ill_for_good: bool) -> (String, String) {
    let bench = whole::bench();
    bench.done().await;
    bench.site.changes();
    let bench = changed(bench);
    let site = bench.site.clone();
    tokio::spawn(async move {
        let is_changed = |s: &&Value| {
            s["Spec"]["Name"] == "etcd_etcd-node3" && s.to_string().contains("v3.5.99")
        };
        let id = loop {
            let id = site.lock().swarm().services.iter().find(is_changed).map(|s| s["ID"].clone());
            if let Some(id) = id {
                break id;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        };
        for task in site.lock().swarm().tasks.iter_mut().filter(|t| t["ServiceID"] == id) {
            task["Status"] = json!({ "State": "failed", "Err": "no such image" });
        }
        if ill_for_good {
            site.fault("node3", "c=$(docker ps", 9999, Fault::Says(1, "it does not run", ""));
        }
    });
    let ran = bench.up().await;
    let changes = bench.site.changes();
    let back = changes.lines().filter_map(|l| l.split("docker service rollback --detach ").nth(1));
    let back: Vec<&str> = back.filter_map(|l| l.split(' ').next()).collect();
    let said = ran.failures().lines().last().unwrap_or_default().trim().to_owned();
    (back.join(" "), said)
}

#[tokio::test(start_paused = true)]
async fn members_go_back_one_after_another() {
    let (back, said) = taken_back(false).await;
    assert_eq!(back, "etcd_etcd-node3 etcd_etcd-node2 etcd_etcd-node1");
    assert_eq!(said, "the version before is back, and runs");
    // One that is ill keeps the others as they are: they are the quorum.
    let (back, said) = taken_back(true).await;
    assert_eq!(back, "etcd_etcd-node3");
    assert_eq!(
        said,
        "the version before is not back: the others wait: etcd-node3 is not well within 5 min of its turn: node3: it does not run"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_is_not_healthy_does_not_wait_for_turns() {
    let bench = whole::bench();
    bench.done().await;
    bench.site.changes();
    let bench = changed(bench);
    bench.site.fault("node2", "c=$(docker ps", 2, Fault::Says(1, "it does not run", ""));
    bench.up().await;
    let changes = bench.site.changes();
    assert_eq!(
        changes.lines().filter(|l| l.contains("docker stack deploy")).count(),
        1,
        "{changes}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_late_is_asked_again_and_nothing_is_written_for_it() {
    let bench = whole::bench();
    bench.done().await;
    bench.site.fault("node2", "c=$(docker ps", 1, Fault::Hangs);
    let ran = bench.up().await;
    assert_eq!((ran.applied(), ran.failures()), (Vec::new(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn those_that_were_sent_at_once_go_back_at_once() {
    let bench = whole::bench();
    bench.done().await;
    bench.site.changes();
    let bench = changed(bench);
    // A member is away before the change, and stays so.
    bench.site.fault("node3", "c=$(docker ps", 9999, Fault::Says(1, "it does not run", ""));
    let ran = bench.up().await;
    let changes = bench.site.changes();
    let count = |what: &str| changes.lines().filter(|l| l.contains(what)).count();
    assert_eq!((count("docker stack deploy"), count("docker service rollback")), (1, 3));
    let said = ran.failures();
    let told = "the version before is back, but is not healthy: node3: it does not run";
    assert!(said.ends_with(told), "{said}");
}

/// What stands before the deploy of a lab whose etcd knows these members, by their hosts; one that
/// ends with `!` never ran.
async fn before(desk: &Desk, known: &str) -> String {
    let line = |(at, host): (usize, &str)| {
        let client = if host.ends_with('!') { "" } else { "https://client:2379" };
        let host = host.trim_end_matches('!');
        format!("{at}{at}ff, started, etcd-{host}, https://etcd-{host}:2380, {client}, false\n")
    };
    desk.write("members", &known.split(' ').enumerate().map(line).collect::<String>());
    let step = desk.bench.steps().into_iter().find(|s| s.name == "etcd membership");
    let (cx, _events) = desk.cx();
    match check(&cx, &step.expect("a step")).await {
        Check::Failed(f) => format!("{}\n{}", f.message, f.hint.unwrap_or_default()),
        other => format!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn members_that_could_not_join_are_told_of_before() {
    let host = |n: u8| {
        format!("  node{n}: {{ provider: existing, address: 10.1.1.{n}, role: manager }}\n")
    };
    let hosts: String = (1..=3).map(host).collect();
    let lab = |etcd: &str| {
        format!(
            "version: 1\nname: lab\nhosts:\n{hosts}engine: {{ source: distro }}\nstacks: [{etcd}]\n"
        )
    };
    let desk = Desk::new(&lab("etcd"));
    let mut said = format!("nothing runs: {}\n", before(&desk, "node1").await);
    desk.runs("node1", "etcd_etcd-node1");
    desk.runs("node2", "etcd_etcd-node2");
    said += &format!("never begun: {}\n", before(&desk, "node1 node2 node3!").await);
    desk.write("node3/srv/etcd/member/snap/db", "");
    said += &format!("a new disk: {}\n", before(&desk, "node1 node2 node3").await);
    desk.write("node3/srv/etcd/member/wal/0.wal", "");
    said += &format!("away: {}\n", before(&desk, "node1 node2 node3").await);
    said += &format!("more: {}\n", before(&desk, "node1").await);
    said += &format!("another one: {}\n", before(&desk, "node1 node2 old").await);
    let mut services: Value = serde_json::from_str(&desk.read("api/services")).expect("JSON");
    services
        .as_array_mut()
        .expect("a list")
        .push(json!({ "ID": "3", "Spec": { "Name": "etcd_etcd-node3", "TaskTemplate": {} } }));
    desk.write("api/services", &format!("{services}\n"));
    said += &format!("removed: {}\n", before(&desk, "node1 node2").await);
    let desk = Desk::new(&lab("{ etcd: { members: 1 } }"));
    desk.runs("node1", "etcd_etcd-node1");
    desk.runs("node2", "etcd_etcd-node2");
    said += &format!("fewer: {}\n", before(&desk, "node1 node2 node3").await);
    said += &format!("they left: {}\n", before(&desk, "node1").await);
    insta::assert_snapshot!(said, @r#"
    nothing runs: True
    never begun: True
    a new disk: etcd: node3 lost its disk, and the others wait for what was on it
    one after another, then `bp up`:
    node1$ docker service scale etcd_etcd-node3=0
    node3$ rm -rf /srv/etcd/member
    node1$ docker exec $(docker ps -q --filter label=com.docker.swarm.service.name=etcd_etcd-node1) etcdctl member remove 22ff
    node1$ docker exec $(docker ps -q --filter label=com.docker.swarm.service.name=etcd_etcd-node1) etcdctl member add etcd-node3 --peer-urls=https://etcd-node3:2380
    node1$ docker service update --detach --replicas 1 --args "$(docker service inspect -f '{{join .Spec.TaskTemplate.ContainerSpec.Args " "}}' etcd_etcd-node3 | sed s/state=new/state=existing/)" etcd_etcd-node3
    away: True
    more: etcd runs with the members node1, not with node1, node2, node3
    keep those with `members: 1`, or take others anew: `bp backup`, `bp destroy`, `bp up`, `bp restore`
    another one: etcd runs with the members node1, node2, old, not with node1, node2, node3
    keep those, or take others anew: `bp backup`, `bp destroy`, `bp up`, `bp restore`
    removed: etcd: the others do not know the member of node3 any more
    one after another, then `bp up`:
    node1$ docker service scale etcd_etcd-node3=0
    node3$ rm -rf /srv/etcd/member
    node1$ docker exec $(docker ps -q --filter label=com.docker.swarm.service.name=etcd_etcd-node1) etcdctl member add etcd-node3 --peer-urls=https://etcd-node3:2380
    node1$ docker service update --detach --replicas 1 --args "$(docker service inspect -f '{{join .Spec.TaskTemplate.ContainerSpec.Args " "}}' etcd_etcd-node3 | sed s/state=new/state=existing/)" etcd_etcd-node3
    fewer: etcd runs with the members node1, node2, node3, not with node1
    one after another, then `bp up`:
    node1$ docker exec $(docker ps -q --filter label=com.docker.swarm.service.name=etcd_etcd-node1) etcdctl member remove 11ff
    node1$ docker exec $(docker ps -q --filter label=com.docker.swarm.service.name=etcd_etcd-node1) etcdctl member remove 22ff
    they left: True
    "#);
}
