//! Swarms that are not the lab's, or do not say yet that they are.

use super::bench::Bench;
use super::swarm::bench;
use serde_json::json;

/// Another swarm, of which bp knows nothing.
fn foreign(bench: &Bench, host: &str, role: &str) -> String {
    let mut state = bench.site.lock();
    let id = "foreign".to_owned();
    state.swarms.insert(id.clone(), Default::default());
    state.enter(&id, host, role);
    let swarm = state.swarms.get_mut(&id).expect("just made");
    swarm.nodes[0].labels.insert("foreign".to_owned(), "1".to_owned());
    id
}

#[tokio::test(start_paused = true)]
async fn a_swarm_of_several_nodes_without_the_labs_mark_is_refused() {
    let bench = bench();
    {
        let mut state = bench.site.lock();
        let id = state.init("node1");
        state.enter(&id, "node2", "manager");
        state.enter(&id, "worker1", "worker");
    }
    insta::assert_snapshot!(bench.transcript().await, @"
    ? swarm / swarm: node1 is a manager of the swarm swarm1, which does not carry the lab's mark
    + swarm / manager / node3: it is in no swarm
    + swarm / worker / worker2: it is in no swarm
    + swarm / tokens: node1 has joined since the last rotation
    ---
    swarm / swarm / : node1 is a manager of the swarm swarm1, which does not carry the lab's mark
    hint: if it is to be the lab's: `docker node update --label-add bp.lab=lab node4id` on node1
    ---
    applied 0, already true 0, failed 1
    ");
    let mut state = bench.site.lock();
    assert!(state.swarm().nodes.iter().all(|n| n.labels.is_empty()), "it never was the lab's");
}

#[tokio::test(start_paused = true)]
async fn cut_between_the_swarm_and_its_mark_the_next_run_marks_it_and_goes_on() {
    let bench = bench();
    bench.site.lock().init("node1");
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + swarm / swarm: the swarm swarm1 does not carry the lab's mark yet
    + swarm / manager / node2: it is in no swarm
    + swarm / manager / node3: it is in no swarm
    + swarm / worker / worker1: it is in no swarm
    + swarm / worker / worker2: it is in no swarm
    + swarm / tokens: node1 has joined since the last rotation
    ---
    node1$ docker node update --label-add bp.lab=lab --label-add bp.host=node1 "$(docker info --format '{{.Swarm.NodeID}}')" >/dev/null
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
    assert_eq!(bench.site.lock().swarms.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_swarm_of_one_node_that_somebody_uses_is_refused() {
    let mut said = String::new();
    for what in ["a service", "a network", "another lab's mark"] {
        let bench = bench();
        {
            let mut state = bench.site.lock();
            state.init("node1");
            let swarm = state.swarm();
            match what {
                "a service" => swarm.services.push(json!({ "ID": "s", "Spec": { "Name": "web",
                    "TaskTemplate": { "ContainerSpec": { "Image": "nginx:latest" } },
                    "Mode": { "Replicated": { "Replicas": 1 } } } })),
                "a network" => swarm
                    .networks
                    .push(json!({ "Name": "web", "Labels": {}, "IPAM": { "Config": null } })),
                _ => drop(swarm.nodes[0].labels.insert("bp.lab".into(), "another".into())),
            }
        }
        let ran = bench.up().await;
        assert_eq!(bench.site.changes(), "", "{what}");
        said.push_str(&format!("{what}: {}\n", ran.failures()));
    }
    insta::assert_snapshot!(said, @"
    a service: swarm / swarm / : node1 is a manager of the swarm swarm1, which does not carry the lab's mark
    hint: if it is to be the lab's: `docker node update --label-add bp.lab=lab node4id` on node1
    a network: swarm / swarm / : node1 is a manager of the swarm swarm1, which does not carry the lab's mark
    hint: if it is to be the lab's: `docker node update --label-add bp.lab=lab node4id` on node1
    another lab's mark: swarm / swarm / : node1 is a manager of the swarm swarm1, which does not carry the lab's mark
    hint: if it is to be the lab's: `docker node update --label-add bp.lab=lab node4id` on node1
    ");
}

#[tokio::test(start_paused = true)]
async fn a_manager_of_another_swarm_is_named_with_both() {
    let bench = bench();
    bench.site.lock().init("node1");
    foreign(&bench, "node2", "manager");
    insta::assert_snapshot!(bench.transcript().await, @"
    ? swarm / swarm: node1 belongs to the swarm swarm1, node2 to the swarm foreign
    ? swarm / manager / node2: node1 belongs to the swarm swarm1, node2 to the swarm foreign
    + swarm / manager / node3: it is in no swarm
    + swarm / worker / worker1: it is in no swarm
    + swarm / worker / worker2: it is in no swarm
    + swarm / tokens: node1 has joined since the last rotation
    ---
    swarm / swarm / : node1 belongs to the swarm swarm1, node2 to the swarm foreign
    hint: bp never takes a node out of another swarm: `docker swarm leave` there, if you mean it
    ---
    applied 0, already true 0, failed 1
    ");
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_another_swarm_is_named_with_both() {
    let bench = bench();
    bench.site.lock().init("node1");
    foreign(&bench, "worker2", "worker");
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + swarm / swarm: the swarm swarm1 does not carry the lab's mark yet
    + swarm / manager / node2: it is in no swarm
    + swarm / manager / node3: it is in no swarm
    + swarm / worker / worker1: it is in no swarm
    ? swarm / worker / worker2: worker2 is the node node5id of a swarm that is not the lab's swarm swarm1
    + swarm / tokens: node1 has joined since the last rotation
    ---
    node1$ docker node update --label-add bp.lab=lab --label-add bp.host=node1 "$(docker info --format '{{.Swarm.NodeID}}')" >/dev/null
    node1$ docker swarm join-token -q worker
    worker1$ read -r t && docker swarm join --advertise-addr 10.20.30.14 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ docker swarm join-token -q manager
    node2$ read -r t && docker swarm join --advertise-addr 10.20.30.12 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ docker swarm join-token -q manager
    node3$ read -r t && docker swarm join --advertise-addr 10.20.30.13 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    ---
    swarm / worker / worker2: worker2 is the node node5id of a swarm that is not the lab's swarm swarm1
    hint: bp never takes a node out of another swarm: `docker swarm leave` there, if you mean it
    ---
    applied 4, already true 1, failed 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_another_swarm_before_there_is_a_swarm_stops_the_run_there() {
    let bench = bench();
    foreign(&bench, "worker2", "worker");
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
    worker1$ read -r t && docker swarm join --advertise-addr 10.20.30.14 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ docker swarm join-token -q manager
    node2$ read -r t && docker swarm join --advertise-addr 10.20.30.12 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ docker swarm join-token -q manager
    node3$ read -r t && docker swarm join --advertise-addr 10.20.30.13 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    ---
    swarm / worker / worker2: worker2 is the node node1id of a swarm that is not the lab's swarm swarm2
    hint: bp never takes a node out of another swarm: `docker swarm leave` there, if you mean it
    ---
    applied 4, already true 1, failed 1
    "#);
}
