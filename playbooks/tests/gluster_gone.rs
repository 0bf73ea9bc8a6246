//! What of GlusterFS left the blueprint, and what was there before bp.

use super::bench::Bench;
use super::fake::Fault;
use super::gluster::{daemon, with_volume};
use super::glusterd::On;
use crate::destroy::{destroy, doomed};
use crate::event::Event;

/// Two hosts that bp did not make.
fn existing(gluster: &str) -> String {
    format!(
        "version: 1
name: lab
domain: lab.test
hosts:
  node1: {{ role: manager, provider: existing, address: 192.168.7.1, brick: /srv/gluster }}
  node2: {{ role: worker, provider: existing, address: 192.168.7.2, brick: /srv/gluster }}
engine: {{ source: distro }}
{gluster}"
    )
}

const VOLUME: &str = "gluster: { docker: { mount: /srv/docker } }\n";

async fn made(gluster: &str) -> Bench {
    let bench = Bench::new(&existing(gluster)).only(&["gluster"]);
    bench.done().await;
    bench.site.changes();
    bench
}

/// What would go, then what did not.
async fn gone(bench: &Bench) -> (String, String) {
    let (cx, mut events) = bench.cx();
    let found = doomed(&cx).await.unwrap_or_else(|f| panic!("{f:?}"));
    let words = found.words().join("\n");
    destroy(&cx, found).await;
    let mut not = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Event::NotRemoved { what, error } = event {
            not.push(format!("{what}: {error}"));
        }
    }
    (words, not.join("\n"))
}

#[tokio::test(start_paused = true)]
async fn a_mount_that_moved_leaves_nothing_behind() {
    let bench = made(VOLUME).await;
    let bench = bench.edited(&existing("gluster: { docker: { mount: /srv/data } }\n"));
    insta::assert_snapshot!(bench.plan().await, @"
    + gluster / mount docker / node1: nothing is mounted on /srv/data
    + gluster / mount docker / node2: nothing is mounted on /srv/data
    + gluster / unlisted mounts / node1: /srv/docker left the blueprint
    + gluster / unlisted mounts / node2: /srv/docker left the blueprint
    ? gluster / shared file docker: node1: the volume is not mounted
    ");
    bench.done().await;
    daemon(&bench, "node1", |d| {
        assert_eq!(d.mounts.keys().collect::<Vec<_>>(), ["/srv/data"]);
        assert_eq!(d.fstab.len(), 1);
    });
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_left_the_blueprint_is_said() {
    let two = "gluster: { docker: { mount: /srv/docker }, files: { mount: /srv/files } }\n";
    let bench = made(two).await;
    let bench = bench.edited(&existing(VOLUME));
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / unlisted volumes / : the volume `files` left the blueprint
    hint: put it back; or, on node1: `gluster volume stop files`, then `gluster volume delete files`, which keeps what lies on its bricks
    ");
    assert_eq!(bench.site.lock().gluster.volumes.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn destroy_finds_what_the_blueprint_does_not_name_any_more() {
    let bench = made(VOLUME).await;
    let bench = bench.edited(&existing(""));
    let (words, not) = gone(&bench).await;
    insta::assert_snapshot!(format!("{words}\n---\n{not}"), @"
    mount /srv/docker of node1
    mount /srv/docker of node2
    volume docker (what lies on its bricks stays)
    peer node2.lab.test of node1
    bp's files beside glusterd's on node1
    bp's files beside glusterd's on node2
    ---
    ");
    assert!(bench.site.lock().gluster.volumes.is_empty());
    assert_eq!(gone(&bench).await, (String::new(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn what_is_still_there_after_its_removal_is_said() {
    let bench = made(VOLUME).await;
    // It says yes, and nothing happens.
    bench.site.fault("node1", "set -eu; m=/srv/docker", 1, Fault::Says(0, "", ""));
    insta::assert_snapshot!(gone(&bench).await.1, @"mount /srv/docker of node1: it is still there");
    daemon(&bench, "node1", |d| assert!(matches!(d.mounts["/srv/docker"], On::Volume(_))));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_bp_did_not_take_in_stays() {
    // Theirs, by a name of the lab's domain, with no brick: it is there for the quorum.
    let bench = with_volume().await;
    let pool = bench.site.lock().gluster.daemon("node1").pool;
    daemon(&bench, "worker1", |d| (d.server, d.runs, d.pool) = (true, true, pool));
    for host in ["node1", "node2", "node3"] {
        daemon(&bench, host, |d| d.knows.insert("worker1.lab.test".to_owned(), 0));
        daemon(&bench, "worker1", |d| d.knows.insert(format!("{host}.lab.test"), 0));
    }
    bench.done().await;
    assert_eq!(bench.site.changes(), "");
    // A pool that was there before bp stays one.
    let bench = Bench::new(&existing(VOLUME)).only(&["gluster"]);
    let pool = bench.site.lock().gluster.daemon("node1").pool;
    for (host, other) in [("node1", "node2"), ("node2", "node1")] {
        daemon(&bench, host, |d| {
            (d.server, d.client, d.runs, d.pool) = (true, true, true, pool);
            d.knows.insert(format!("{other}.lab.test"), 0);
        });
    }
    bench.done().await;
    let (words, not) = gone(&bench).await;
    assert!(words.contains("volume docker") && !words.contains("peer"), "{words}");
    assert_eq!(not, "");
    daemon(&bench, "node1", |d| assert_eq!(d.knows.len(), 1));
}
