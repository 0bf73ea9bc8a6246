//! The tables of `status`.

use super::bench::{Bench, LAB};
use super::whole;
use crate::event::Event;
use crate::{survey, view};

/// The tables as `bp status` says them after its survey.
async fn tables(bench: &Bench) -> String {
    let (cx, mut events) = bench.cx();
    let steps = bench.steps();
    let before = bench.site.lock().log.len();
    let found = survey::survey(&cx, &steps).await;
    let asked = bench.site.lock().asked;
    view::tell(&cx, &steps, &found).await;
    assert_eq!(bench.site.lock().asked, asked, "the survey has asked for it all");
    assert_eq!(bench.site.lock().log.len(), before, "it changes nothing");
    let mut shown = String::new();
    while let Ok(event) = events.try_recv() {
        if let Event::Table { title, head, rows } = event {
            assert!(rows.iter().all(|row| row.len() == head.len()), "{title}: {head:?} {rows:?}");
            let rows = std::iter::once(head).chain(rows).map(|row| row.join(" | ") + "\n");
            shown += &format!("## {title}\n{}", rows.collect::<String>());
        }
    }
    shown
}

#[tokio::test(start_paused = true)]
async fn hosts_by_phases_nodes_and_services() {
    let bench = whole::bench();
    bench.done().await;
    insta::assert_snapshot!(tables(&bench).await, @"
    ## hosts
    host | role | address | machines | base | dns | engine | swarm | labels | networks | images | stacks
    node1 | manager | 10.20.30.11 | 5/5 | 8/8 | 2/2 | 3/3 | 1/1 | 2/2 | - | 1/1 | 2/2
    node2 | manager | 10.20.30.12 | 5/5 | 8/8 | 2/2 | 3/3 | 1/1 | 2/2 | - | 1/1 | 2/2
    node3 | manager | 10.20.30.13 | 5/5 | 8/8 | 2/2 | 3/3 | 1/1 | 2/2 | - | 1/1 | 2/2
    worker1 | worker | 10.20.30.14 | 5/5 | 8/8 | 2/2 | 3/3 | 1/1 | 2/2 | - | - | -
    worker2 | worker | 10.20.30.15 | 5/5 | 8/8 | 2/2 | 3/3 | 1/1 | 2/2 | - | - | -
    (lab) | - | - | 2/2 | 1/1 | 1/1 | 1/1 | 2/2 | - | 1/1 | - | 12/12
    ## nodes
    node | role | status | availability | manager
    node1 | manager | ready | active | leader
    node2 | manager | ready | active | reachable
    node3 | manager | ready | active | reachable
    worker1 | worker | ready | active | -
    worker2 | worker | ready | active | -
    ## services
    service | running | image
    bp_ca | 1/1 | bp.invalid/pause:1
    etcd_etcd-node1 | 1/1 | quay.io/coreos/etcd:v3.5.16
    etcd_etcd-node2 | 1/1 | quay.io/coreos/etcd:v3.5.16
    etcd_etcd-node3 | 1/1 | quay.io/coreos/etcd:v3.5.16
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_away_is_shown_as_far_as_it_is_known() {
    let bench = whole::bench();
    bench.done().await;
    bench.site.cut("node2");
    insta::assert_snapshot!(tables(&bench).await, @"
    ## hosts
    host | role | address | machines | base | dns | engine | swarm | labels | networks | images | stacks
    node1 | manager | 10.20.30.11 | 5/5 | 8/8 | 0/2 | 3/3 | 1/1 | 2/2 | - | 1/1 | 2/2
    node2 | manager | - | 1/5 | 0/8 | 0/2 | 0/3 | 0/1 | 2/2 | - | 0/1 | 0/2
    node3 | manager | 10.20.30.13 | 5/5 | 8/8 | 0/2 | 3/3 | 1/1 | 2/2 | - | 1/1 | 2/2
    worker1 | worker | 10.20.30.14 | 5/5 | 8/8 | 0/2 | 3/3 | 1/1 | 2/2 | - | - | -
    worker2 | worker | 10.20.30.15 | 5/5 | 8/8 | 0/2 | 3/3 | 1/1 | 2/2 | - | - | -
    (lab) | - | - | 2/2 | 0/1 | 0/1 | 0/1 | 1/2 | - | 1/1 | - | 11/12
    ## nodes
    node | role | status | availability | manager
    node1 | manager | ready | active | leader
    node2 | manager | down | active | unreachable
    node3 | manager | ready | active | reachable
    worker1 | worker | ready | active | -
    worker2 | worker | ready | active | -
    ## services
    service | running | image
    bp_ca | 1/1 | bp.invalid/pause:1
    etcd_etcd-node1 | 1/1 | quay.io/coreos/etcd:v3.5.16
    etcd_etcd-node2 | 1/1 | quay.io/coreos/etcd:v3.5.16
    etcd_etcd-node3 | 1/1 | quay.io/coreos/etcd:v3.5.16
    ");
}

#[tokio::test(start_paused = true)]
async fn before_there_is_anything_there_are_hosts_alone() {
    let lab = LAB.replace("'worker{1..2}': { role: worker }", "box: { role: none }");
    let bench = Bench::new(&lab).only(&["machines", "engine"]);
    insta::assert_snapshot!(tables(&bench).await, @"
    ## hosts
    host | role | address | machines | engine
    node1 | manager | - | 0/5 | 0/3
    node2 | manager | - | 0/5 | 0/3
    node3 | manager | - | 0/5 | 0/3
    box | - | - | 0/5 | -
    (lab) | - | - | 0/2 | 0/1
    ");
}
