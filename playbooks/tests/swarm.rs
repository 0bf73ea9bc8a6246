//! Phase swarm.

use super::bench::{Bench, LAB};
use super::fake::Fault;
use crate::event::line;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

pub fn bench() -> Bench {
    Bench::new(LAB).with_engines().only(&["swarm"])
}

#[tokio::test(start_paused = true)]
async fn fresh_and_done() {
    let bench = bench();
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + swarm / swarm: there is no swarm yet
    ? swarm / manager / node1: node3 is no manager of a swarm with a quorum
    ? swarm / manager / node2: node3 is no manager of a swarm with a quorum
    ? swarm / manager / node3: node3 is no manager of a swarm with a quorum
    ? swarm / worker / worker1: node3 is no manager of a swarm with a quorum
    ? swarm / worker / worker2: node3 is no manager of a swarm with a quorum
    ? swarm / tokens: node3 is no manager of a swarm with a quorum
    ---
    node1$ docker swarm init --advertise-addr 10.20.30.11 --listen-addr 0.0.0.0:2377 --default-addr-pool 10.200.0.0/16 --default-addr-pool-mask-length 24 >/dev/null && docker node update --label-add bp.lab=lab --label-add bp.host=node1 "$(docker info --format '{{.Swarm.NodeID}}')" >/dev/null
    node1$ docker swarm join-token -q worker
    node1$ docker swarm join-token -q worker
    worker1$ read -r t && docker swarm join --advertise-addr 10.20.30.14 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    worker2$ read -r t && docker swarm join --advertise-addr 10.20.30.15 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ docker swarm join-token -q manager
    node2$ read -r t && docker swarm join --advertise-addr 10.20.30.12 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ docker swarm join-token -q manager
    node3$ read -r t && docker swarm join --advertise-addr 10.20.30.13 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ set -e; docker swarm join-token --rotate -q worker >/dev/null; docker swarm join-token --rotate -q manager >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node2 node7id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node3 node8id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=worker1 node5id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=worker2 node6id >/dev/null
    ---
    applied 6, already true 1, failed 0
    "#);
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 7, failed 0");
}

#[tokio::test(start_paused = true)]
async fn half_done() {
    let bench = bench();
    {
        let mut state = bench.site.lock();
        let id = state.init("node1");
        state.mark("node1");
        state.enter(&id, "node2", "manager");
        state.enter(&id, "node3", "worker");
        state.enter(&id, "worker1", "manager");
    }
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + swarm / manager / node3: it is a worker, not a manager
    + swarm / worker / worker1: it is a manager, not a worker
    + swarm / worker / worker2: it is in no swarm
    + swarm / tokens: node2 has joined since the last rotation
    ---
    node1$ docker node promote node6id
    node1$ docker node demote node7id
    node1$ docker swarm join-token -q worker
    worker2$ read -r t && docker swarm join --advertise-addr 10.20.30.15 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ set -e; docker swarm join-token --rotate -q worker >/dev/null; docker swarm join-token --rotate -q manager >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node2 node5id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node3 node6id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=worker1 node7id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=worker2 node8id >/dev/null
    ---
    applied 4, already true 3, failed 0
    "#);
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 7, failed 0");
}

#[tokio::test(start_paused = true)]
async fn managers_join_one_at_a_time_and_workers_together() {
    let bench = bench();
    let ran = bench.done().await;
    let applied = ran.applied();
    let at = |what: &str| applied.iter().position(|a| a == what).expect("applied");
    assert!(at("swarm") < at("manager node2").min(at("worker worker1")));
    assert!(at("tokens") > at("manager node3").max(at("worker worker2")));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_never_said_and_is_rotated_when_the_joins_are_done() {
    let bench = bench();
    let before = bench.site.lock().tokens.len();
    assert_eq!(before, 0);
    let ran = bench.done().await;
    let said: String = ran.events.iter().map(line).collect();
    let mut state = bench.site.lock();
    // Two at the beginning, two by the rotation; the joins knew only the first.
    assert_eq!(state.tokens.len(), 4);
    assert!(!said.contains("SWMTKN"), "{said}");
    let log = state.log.join("\n");
    assert!(!log.contains("SWMTKN"), "{log}");
    assert_ne!(state.swarm().worker_token, "SWMTKN-1-worker-0002-secret");
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_refused_says_the_command_without_its_token() {
    let bench = bench();
    let error = "Error response from daemon: rpc error: code = Unavailable desc = connection \
                 error: dial tcp 10.20.30.11:2377: i/o timeout (token SWMTKN-1-manager-0003-secret)";
    bench.site.fault("node3", "read -r t && docker swarm join", 9, Fault::Says(1, "", error));
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @r#"
    swarm / manager / node3: `read -r t && docker swarm join --advertise-addr 10.20.30.13 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377` exited with 1
    Error response from daemon: rpc error: code = Unavailable desc = connection error: dial tcp 10.20.30.11:2377: i/o timeout (token ***)
    hint: is 2377/tcp open from node3 to node1, and back?
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_slow_join_is_no_failure() {
    let bench = bench();
    let error = "Error response from daemon: Timeout was reached before node joined. The attempt \
                 to join the swarm will continue in the background.";
    bench.site.fault("node3", "read -r t && docker swarm join", 1, Fault::Says(1, "", error));
    let later = bench.site.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let mut state = later.lock();
        let id = state.swarms.keys().next().expect("a swarm").clone();
        state.enter(&id, "node3", "manager");
    });
    bench.done().await;
}

#[tokio::test(start_paused = true)]
async fn a_join_that_is_pending_is_waited_for_and_not_asked_for_again() {
    let bench = bench();
    {
        let mut state = bench.site.lock();
        state.init("node1");
        state.mark("node1");
    }
    bench.site.guest("worker2", |g| g.local_state = Some("pending"));
    let later = bench.site.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        let mut state = later.lock();
        let id = state.swarms.keys().next().expect("a swarm").clone();
        state.enter(&id, "worker2", "worker");
    });
    bench.done().await;
    let changes = bench.site.changes();
    assert!(changes.contains("worker1$ read -r t && docker swarm join "), "{changes}");
    assert!(!changes.contains("worker2$ "), "{changes}");
}

#[tokio::test(start_paused = true)]
async fn cut_between_join_and_rotation_the_next_run_rotates() {
    let bench = bench();
    bench.site.fault("node1", "set -e; docker swarm join-token --rotate", 3, Fault::Lost);
    let first = bench.up().await;
    assert_eq!(first.sums().failed, Some(1));
    bench.site.changes();
    insta::assert_snapshot!(bench.plan().await, @"+ swarm / tokens: node2 has joined since the last rotation");
    bench.done().await;
    insta::assert_snapshot!(bench.site.changes(), @"node1$ set -e; docker swarm join-token --rotate -q worker >/dev/null; docker swarm join-token --rotate -q manager >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node2 node7id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node3 node8id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=worker1 node5id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=worker2 node6id >/dev/null");
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_nothing_is_begun_anew() {
    let bench = bench().with_swarm().await.only(&["swarm"]);
    bench.site.cut("node2");
    bench.site.cut("node3");
    insta::assert_snapshot!(bench.transcript().await, @"
    ? swarm / swarm: no manager can act: node3: the machine is not running
    ? swarm / manager / node1: node3: the machine is not running
    ? swarm / manager / node2: node2: the machine is not running
    ? swarm / manager / node3: node3: the machine is not running
    ? swarm / worker / worker1: node3: the machine is not running
    ? swarm / worker / worker2: node3: the machine is not running
    ? swarm / tokens: node3: the machine is not running
    ---
    swarm / swarm / : not true within 5 min: no manager can act: node3: the machine is not running
    ---
    applied 0, already true 0, failed 1
    ");
    assert_eq!(bench.site.lock().swarms.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_a_manager_does_not_answer_no_swarm_is_begun() {
    let bench = bench();
    bench.site.cut("node2");
    let ran = bench.up().await;
    assert_eq!(ran.sums().failed, Some(1));
    insta::assert_snapshot!(ran.failures(), @"swarm / swarm / : not true within 5 min: whether there is a swarm: node2: the machine is not running");
    assert!(bench.site.lock().swarms.is_empty(), "{}", bench.site.changes());
}

#[tokio::test(start_paused = true)]
async fn while_the_only_member_does_not_answer_no_swarm_is_begun() {
    let bench = bench();
    bench.site.lock().init("node2");
    bench.site.cut("node2");
    let ran = bench.up().await;
    assert_eq!(ran.sums().failed, Some(1));
    assert_eq!(bench.site.lock().swarms.len(), 1);
    assert_eq!(bench.site.changes(), "");
}

#[tokio::test(start_paused = true)]
async fn a_locked_swarm_is_a_failure_that_says_so() {
    let bench = bench().with_swarm().await.only(&["swarm"]);
    bench.site.guest("node1", |g| g.local_state = Some("locked"));
    insta::assert_snapshot!(bench.transcript().await, @"
    ? swarm / swarm: the swarm is locked on node1
    + swarm / manager / node1: its part is locked
    ---
    swarm / swarm / : the swarm is locked on node1
    hint: `docker swarm unlock` on it, then `bp up` again
    ---
    applied 0, already true 0, failed 1
    ");
}

#[tokio::test(start_paused = true)]
async fn a_dead_namesake_makes_room() {
    let bench = bench().with_swarm().await.only(&["swarm"]);
    bench.site.guest("node3", |g| g.node = None);
    bench.site.guest("worker1", |g| g.node = None);
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + swarm / manager / node3: it is in no swarm
    + swarm / worker / worker1: it is in no swarm
    + swarm / tokens: node3 has joined since the last rotation
    ---
    node1$ if [ manager = manager ]; then docker node demote node8id >/dev/null || exit; fi; docker node rm --force node8id >/dev/null
    node1$ docker swarm join-token -q manager
    node3$ read -r t && docker swarm join --advertise-addr 10.20.30.13 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ if [ worker = manager ]; then docker node demote node5id >/dev/null || exit; fi; docker node rm --force node5id >/dev/null
    node1$ docker swarm join-token -q worker
    worker1$ read -r t && docker swarm join --advertise-addr 10.20.30.14 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ set -e; docker swarm join-token --rotate -q worker >/dev/null; docker swarm join-token --rotate -q manager >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node3 node11id >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=worker1 node12id >/dev/null
    ---
    applied 3, already true 4, failed 0
    "#);
    assert_eq!(bench.site.lock().swarm().nodes.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_just_left_is_waited_for_until_it_is_seen_as_dead() {
    let bench = bench().with_swarm().await.only(&["swarm"]);
    let left = bench.site.lock().guests["node3"].node.clone().expect("a node").1;
    bench.site.guest("node3", |g| g.node = None);
    bench.site.lock().unseen.insert(left, Instant::now() + Duration::from_secs(30));
    assert_eq!(bench.up().await.sums().applied, Some(2));
    assert_eq!(bench.site.lock().swarm().nodes.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_its_managers_do_not_hear_for_a_while_stays() {
    let bench = bench().with_swarm().await.only(&["swarm"]);
    let own = bench.site.lock().guests["node3"].node.clone().expect("a node").1;
    bench.site.lock().unheard.insert(own, Instant::now() + Duration::from_secs(30));
    let ran = bench.up().await;
    assert_eq!((ran.sums().applied, ran.sums().failed), (Some(0), Some(0)));
    assert_eq!(bench.site.changes(), "");
    assert_eq!(bench.site.lock().swarm().nodes.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_dead_namesake_beside_a_node_that_is_well_is_drift() {
    let bench = bench().with_swarm().await.only(&["swarm"]);
    let left = bench.site.lock().guests["node3"].node.clone().expect("a node").1;
    bench.site.guest("node3", |g| g.node = None);
    // Longer than bp waits: it may be another machine's.
    bench.site.lock().unseen.insert(left, Instant::now() + Duration::from_secs(200));
    bench.up().await;
    assert_eq!(bench.site.lock().swarm().nodes.len(), 6);
    tokio::time::advance(Duration::from_secs(200)).await;
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + swarm / manager / node3: its dead node node8id is still in the swarm
    ---
    node1$ docker swarm join-token -q manager
    node3$ read -r t && docker swarm join --advertise-addr 10.20.30.13 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ set -e; docker swarm join-token --rotate -q worker >/dev/null; docker swarm join-token --rotate -q manager >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node3 node11id >/dev/null
    node1$ if [ manager = manager ]; then docker node demote node8id >/dev/null || exit; fi; docker node rm --force node8id >/dev/null
    ---
    applied 1, already true 6, failed 0
    "#);
    assert_eq!(bench.site.lock().swarm().nodes.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_first_manager_made_anew_joins_the_others() {
    let bench = bench().with_swarm().await.only(&["swarm"]);
    bench.site.guest("node1", |g| {
        g.node = None;
        g.alive.store(false, Ordering::Relaxed);
    });
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + swarm / manager / node1: it is in no swarm
    + swarm / tokens: node1 has joined since the last rotation
    ---
    node2$ if [ manager = manager ]; then docker node demote node4id >/dev/null || exit; fi; docker node rm --force node4id >/dev/null
    node2$ docker swarm join-token -q manager
    node1$ read -r t && docker swarm join --advertise-addr 10.20.30.11 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.12:2377 <<<***
    node1$ set -e; docker swarm join-token --rotate -q worker >/dev/null; docker swarm join-token --rotate -q manager >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node1 node11id >/dev/null
    ---
    applied 2, already true 5, failed 0
    "#);
    assert_eq!(bench.site.lock().swarms.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn asked_to_stop_while_joining_the_next_run_goes_on() {
    let bench = bench();
    let (ask, stop) = watch::channel(false);
    let (ran, ()) = tokio::join!(bench.up_until(stop), async {
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        ask.send(true).expect("the run listens");
    });
    assert!(ran.outcome.interrupted);
    bench.done().await;
}
