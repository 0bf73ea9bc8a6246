//! Phase labels: labels and availability.

use super::bench::{Bench, LAB};

fn lab(node1: &str, worker1: &str) -> String {
    LAB.replace(
        "'worker{1..2}': { role: worker }",
        &format!("worker1: {{ role: worker, {worker1} }}\n  worker2: {{ role: worker }}"),
    )
    .replace(
        "'node{1..3}': { role: manager }",
        &format!(
            "node1: {{ role: manager, labels: {{ {node1} }} }}\n  'node{{2..3}}': {{ role: manager }}"
        ),
    )
}

const FIRST: (&str, &str) = ("zone: east, disk: \"big ssd\"", "availability: drain");

async fn bench() -> Bench {
    Bench::new(&lab(FIRST.0, FIRST.1)).with_swarm().await.only(&["labels"])
}

#[tokio::test(start_paused = true)]
async fn fresh_and_done() {
    let bench = bench().await;
    insta::assert_snapshot!(bench.transcript().await, @"
    + labels / labels / node1: `zone=east` is missing, `disk=big ssd` is missing
    + labels / availability / worker1: it is `active`, the blueprint says `drain`
    ---
    node1$ docker node update --label-add zone=east --label-add 'disk=big ssd' --label-add bp.labels=zone,disk node4id
    node1$ docker node update --availability drain node5id
    ---
    applied 2, already true 8, failed 0
    ");
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 10, failed 0");
}

#[tokio::test(start_paused = true)]
async fn before_there_is_a_swarm_nothing_is_known() {
    let bench = Bench::new(&lab(FIRST.0, FIRST.1)).only(&["labels"]);
    insta::assert_snapshot!(bench.plan().await, @"
    ? labels / labels / node1: node3: the machine is not there
    ? labels / availability / node1: node3: the machine is not there
    ? labels / labels / node2: node3: the machine is not there
    ? labels / availability / node2: node3: the machine is not there
    ? labels / labels / node3: node3: the machine is not there
    ? labels / availability / node3: node3: the machine is not there
    ? labels / labels / worker1: node3: the machine is not there
    ? labels / availability / worker1: node3: the machine is not there
    ? labels / labels / worker2: node3: the machine is not there
    ? labels / availability / worker2: node3: the machine is not there
    ");
}

#[tokio::test(start_paused = true)]
async fn exactly_what_changed_is_applied() {
    let bench = bench().await;
    bench.done().await;
    bench.site.changes();
    {
        // Labels that others set stay, whatever they are.
        let mut state = bench.site.lock();
        let node = &mut state.swarm().nodes[0];
        node.labels.insert("theirs".to_owned(), "1".to_owned());
    }
    let bench = bench.edited(&lab("zone: west, rack: r1", "availability: active"));
    insta::assert_snapshot!(bench.transcript().await, @"
    + labels / labels / node1: `zone` is `east`, the blueprint says `west`, `rack=r1` is missing, `disk` has left the blueprint
    + labels / availability / worker1: it is `drain`, the blueprint says `active`
    ---
    node1$ docker node update --label-add zone=west --label-add rack=r1 --label-rm disk --label-add bp.labels=zone,rack node4id
    node1$ docker node update --availability active node5id
    ---
    applied 2, already true 8, failed 0
    ");
    let mut state = bench.site.lock();
    let labels: Vec<String> =
        state.swarm().nodes[0].labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    insta::assert_snapshot!(labels.join("\n"), @"
    bp.host=node1
    bp.lab=lab
    bp.labels=zone,rack
    rack=r1
    theirs=1
    zone=west
    ");
}

#[tokio::test(start_paused = true)]
async fn a_label_that_others_changed_is_set_back() {
    let bench = bench().await;
    bench.done().await;
    bench.site.changes();
    {
        let mut state = bench.site.lock();
        let swarm = state.swarm();
        swarm.nodes[0].labels.insert("zone".to_owned(), "north".to_owned());
        swarm.nodes[0].labels.remove("disk");
        swarm.nodes[1].availability = "pause".to_owned();
    }
    insta::assert_snapshot!(bench.transcript().await, @"
    + labels / labels / node1: `zone` is `north`, the blueprint says `east`, `disk=big ssd` is missing
    + labels / availability / worker1: it is `pause`, the blueprint says `drain`
    ---
    node1$ docker node update --label-add zone=east --label-add 'disk=big ssd' node4id
    node1$ docker node update --availability drain node5id
    ---
    applied 2, already true 8, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn all_labels_leave_the_blueprint() {
    let bench = bench().await;
    bench.done().await;
    bench.site.changes();
    let bench = bench.edited(&lab("", "availability: drain"));
    insta::assert_snapshot!(bench.transcript().await, @"
    + labels / labels / node1: `zone` has left the blueprint, `disk` has left the blueprint
    ---
    node1$ docker node update --label-rm zone --label-rm disk --label-rm bp.labels node4id
    ---
    applied 1, already true 9, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn what_docker_refuses_is_said() {
    let bench = bench().await;
    bench.site.fault(
        "node1",
        "docker node update --label-add",
        9,
        super::fake::Fault::Says(1, "", "Error response from daemon: update out of sequence"),
    );
    insta::assert_snapshot!(bench.transcript().await, @"
    + labels / labels / node1: `zone=east` is missing, `disk=big ssd` is missing
    + labels / availability / worker1: it is `active`, the blueprint says `drain`
    ---
    node1$ docker node update --availability drain node5id
    ---
    labels / labels / node1: `docker node update --label-add zone=east --label-add 'disk=big ssd' --label-add bp.labels=zone,disk node4id` exited with 1
    Error response from daemon: update out of sequence
    ---
    applied 1, already true 7, failed 1
    ");
}
