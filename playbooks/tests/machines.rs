//! Phase machines.

use super::bench::{Bench, LAB};
use providers::{SessionError, State as Is};
use std::time::Duration;

fn bench() -> Bench {
    Bench::new(LAB).only(&["machines"])
}

fn two() -> Bench {
    let lab = LAB.replace("'node{1..3}': { role: manager }", "node1: { role: manager }").replace(
        "'worker{1..2}': { role: worker }",
        "old: { provider: existing, role: none, address: 192.168.7.9 }",
    );
    Bench::new(&lab).only(&["machines"])
}

#[tokio::test(start_paused = true)]
async fn fresh_and_done() {
    let bench = two();
    insta::assert_snapshot!(bench.transcript().await, @"
    + machines / network lab: it is not there
    + machines / template: it is not there
    + machines / machine / node1: it is not there
    ? machines / running / node1: it is not there yet
    ? machines / address / node1: it is not there yet
    ? machines / ssh / node1: node1: the machine is not there
    ? machines / ready / node1: node1: the machine is not there
    ---
    provider: make network lab
    provider: make template
    provider: create node1
    provider: start node1
    ---
    applied 4, already true 4, failed 0
    ");
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 8, failed 0");
}

#[tokio::test(start_paused = true)]
async fn shared_things_are_made_once_before_the_machines() {
    let bench = bench();
    bench.done().await;
    let log = bench.site.changes();
    assert_eq!(log.matches("make ").count(), 2, "{log}");
    assert!(log.find("make template") < log.find("create"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn half_made_machines_are_completed() {
    let bench = bench();
    bench.site.guest("node1", |g| g.machine = Some(Is::Wrong("its seed is missing".to_owned())));
    bench.site.guest("node2", |g| g.machine = Some(Is::Right));
    bench.site.lock().shared.insert("network lab".to_owned(), Is::Right);
    insta::assert_snapshot!(bench.transcript().await, @"
    + machines / template: it is not there
    + machines / machine / node1: its seed is missing
    + machines / running / node1: it is off
    ? machines / address / node1: it has no address yet
    ? machines / ssh / node1: node1: the machine is not running
    ? machines / ready / node1: node1: the machine is not running
    + machines / running / node2: it is off
    ? machines / address / node2: it has no address yet
    ? machines / ssh / node2: node2: the machine is not running
    ? machines / ready / node2: node2: the machine is not running
    + machines / machine / node3: it is not there
    ? machines / running / node3: it is not there yet
    ? machines / address / node3: it is not there yet
    ? machines / ssh / node3: node3: the machine is not there
    ? machines / ready / node3: node3: the machine is not there
    + machines / machine / worker1: it is not there
    ? machines / running / worker1: it is not there yet
    ? machines / address / worker1: it is not there yet
    ? machines / ssh / worker1: worker1: the machine is not there
    ? machines / ready / worker1: worker1: the machine is not there
    + machines / machine / worker2: it is not there
    ? machines / running / worker2: it is not there yet
    ? machines / address / worker2: it is not there yet
    ? machines / ssh / worker2: worker2: the machine is not there
    ? machines / ready / worker2: worker2: the machine is not there
    ---
    provider: make template
    provider: start node2
    provider: create node1
    provider: start node1
    provider: create node3
    provider: start node3
    provider: create worker1
    provider: start worker1
    provider: create worker2
    provider: start worker2
    ---
    applied 10, already true 17, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_not_bps_own_is_left_alone() {
    let bench = two();
    let why = "the domain `lab-node1` does not carry the lab's tag";
    bench.site.guest("node1", |g| g.machine = Some(Is::Conflict(why.to_owned())));
    insta::assert_snapshot!(bench.transcript().await, @"
    + machines / network lab: it is not there
    + machines / template: it is not there
    ? machines / machine / node1: the domain `lab-node1` does not carry the lab's tag
    + machines / running / node1: it is off
    ? machines / address / node1: it has no address yet
    ? machines / ssh / node1: node1: the machine is not running
    ? machines / ready / node1: node1: the machine is not running
    ---
    provider: make network lab
    provider: make template
    ---
    machines / machine / node1: the domain `lab-node1` does not carry the lab's tag
    ---
    applied 2, already true 1, failed 1
    ");
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_an_address_shows_its_console() {
    let bench = two();
    bench.site.guest("node1", |g| {
        (g.machine, g.running) = (Some(Is::Right), true);
        g.up_at += Duration::from_secs(1_000_000);
    });
    let began = tokio::time::Instant::now();
    insta::assert_snapshot!(bench.transcript().await, @"
    + machines / network lab: it is not there
    + machines / template: it is not there
    ? machines / address / node1: it has no address yet
    ? machines / ssh / node1: node1: connection refused
    ? machines / ready / node1: node1: connection refused
    ---
    provider: make network lab
    provider: make template
    ---
    machines / address / node1: not true within 10 min: it has no address yet
    the console of node1 ends with
      FAILED to start networking on node1
    ---
    applied 2, already true 3, failed 1
    ");
    assert!(began.elapsed() < Duration::from_secs(620), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn another_address_than_the_blueprints_is_an_error() {
    let lab = LAB.replace(
        "'node{1..3}': { role: manager }",
        "node1: { role: manager, address: 10.20.30.77 }",
    );
    let bench = Bench::new(&lab).only(&["machines"]);
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    machines / address / node1: not true within 10 min: it has the address 10.20.30.11, the blueprint says 10.20.30.77
    the console of node1 ends with
      FAILED to start networking on node1
    ");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_refused_while_the_machine_comes_up_is_tried_again() {
    let bench = two();
    bench.site.guest("node1", |g| {
        let key = |message: &str| SessionError::HostKey { message: message.to_owned(), hint: None };
        g.logins = vec![
            SessionError::Unreachable("permission denied".to_owned()),
            key("the host key is not the pinned one yet"),
            SessionError::NoExitStatus,
        ];
    });
    bench.done().await;
}

#[tokio::test(start_paused = true)]
async fn a_login_that_waiting_does_not_change_fails_at_once() {
    let bench = two();
    bench.site.guest("old", |g| {
        let refused = SessionError::Refused {
            message: "192.168.7.9 is in no known_hosts file".to_owned(),
            hint: Some(
                "`ssh-keyscan 192.168.7.9`, or its `fingerprint` in the blueprint".to_owned(),
            ),
        };
        g.logins = vec![refused; 9];
    });
    let began = tokio::time::Instant::now();
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    machines / ssh / old: 192.168.7.9 is in no known_hosts file
    hint: `ssh-keyscan 192.168.7.9`, or its `fingerprint` in the blueprint
    ");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn cloud_init_is_waited_for_and_its_errors_are_the_failure() {
    let bench = two();
    bench.site.guest("node1", |g| g.cloud_init = "status: running");
    let later = bench.site.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        later.guest("node1", |g| g.cloud_init = "done");
    });
    bench.done().await;
    bench.site.guest("node1", |g| g.cloud_init = "error");
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    machines / ready / node1: cloud-init failed:
    no such module
    hint: `bp ssh` to it and read /var/log/cloud-init-output.log
    ");
}

#[tokio::test(start_paused = true)]
async fn another_key_of_a_host_that_bp_did_not_make_fails_at_once() {
    let bench = two();
    bench.site.guest("old", |g| {
        let wrong = SessionError::HostKey {
            message: "192.168.7.9 shows another host key".to_owned(),
            hint: Some("is it another machine?".to_owned()),
        };
        g.logins = vec![wrong; 99];
    });
    let began = tokio::time::Instant::now();
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    machines / ssh / old: 192.168.7.9 shows another host key
    hint: is it another machine?
    ");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
