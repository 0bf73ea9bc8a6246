//! Bricks that come and go, on the fake cluster of glusterd.

use super::bench::Bench;
use super::gluster::{daemon, volume, with_volume};
use crate::gluster_change::{Change, next};
use crate::gluster_xml::Volume;
use blueprints::VolumeKind;

/// Hosts, those of them with a brick, and the volume.
fn blueprint(bricks: &[&str], volume: &str) -> String {
    let mut text = String::from(
        "version: 1\nname: lab\ndomain: lab.test\nprovider: { libvirt: { subnet: 10.20.30.0/24, template: debian-13.qcow2 } }\nhosts:\n",
    );
    for host in ["node1", "node2", "node3", "worker1"] {
        let role = if host == "worker1" { "worker" } else { "manager" };
        let brick = if bricks.contains(&host) { ", brick: /srv/gluster" } else { "" };
        text.push_str(&format!("  {host}: {{ role: {role}{brick} }}\n"));
    }
    format!(
        "{text}engine: {{ source: distro }}\ngluster:\n  docker: {{ {volume}mount: /srv/docker }}\n"
    )
}

async fn made(bricks: &[&str], volume: &str) -> Bench {
    let bench = Bench::new(&blueprint(bricks, volume)).with_engines().only(&["gluster"]);
    bench.done().await;
    bench.site.changes();
    bench
}

/// The commands that changed the pool.
fn of_gluster(bench: &Bench) -> String {
    let changes = bench.site.changes();
    let lines =
        changes.lines().filter(|l| l.contains("$ g ") || l.contains("; g ") || l.contains(" g "));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(start_paused = true)]
async fn a_distributed_volume_grows_and_shrinks() {
    let bench = made(&["node1", "node2"], "").await;
    let bench = bench.edited(&blueprint(&["node1", "node2", "node3"], ""));
    insta::assert_snapshot!(bench.plan().await, @"
    + gluster / server / node3: glusterfs-server is not installed
    + gluster / glusterd / node3: glusterd is inactive
    ? gluster / peers: node3: gluster is not installed
    ? gluster / brick docker / node3: `getfattr` is not there to read the brick's mark
    + gluster / bricks docker: node3.lab.test:/srv/gluster/docker to be added
    + gluster / mount docker / node1: its line in /etc/fstab is not as it should be
    + gluster / mount docker / node2: its line in /etc/fstab is not as it should be
    + gluster / mount docker / node3: its line in /etc/fstab is not as it should be
    + gluster / mount docker / worker1: its line in /etc/fstab is not as it should be
    ");
    bench.done().await;
    insta::assert_snapshot!(of_gluster(&bench), @"
    node1$ set -e g volume set docker user.bp.rebalance due g volume add-brick docker node3.lab.test:/srv/gluster/docker force
    node1$ set -e g volume rebalance docker start g volume set docker user.bp.rebalance begun
    node1$ g volume set docker user.bp.rebalance done
    ");
    let bench = bench.edited(&blueprint(&["node1", "node3"], ""));
    insta::assert_snapshot!(bench.plan().await, @"
    + gluster / bricks docker: node2.lab.test:/srv/gluster/docker to be removed, its files moved before
    + gluster / mount docker / node1: its line in /etc/fstab is not as it should be
    + gluster / mount docker / node2: its line in /etc/fstab is not as it should be
    + gluster / mount docker / node3: its line in /etc/fstab is not as it should be
    + gluster / mount docker / worker1: its line in /etc/fstab is not as it should be
    + gluster / unlisted peers: node2.lab.test is no host with a brick any more
    ");
    bench.done().await;
    insta::assert_snapshot!(of_gluster(&bench), @"
    node1$ g volume remove-brick docker node2.lab.test:/srv/gluster/docker start
    node1$ g volume remove-brick docker node2.lab.test:/srv/gluster/docker commit
    node1$ g peer detach node2.lab.test
    ");
}

#[tokio::test(start_paused = true)]
async fn files_that_do_not_move_keep_their_brick() {
    let bench = made(&["node1", "node2", "node3"], "").await;
    volume(&bench, |v| v.left_behind = 2);
    let bench = bench.edited(&blueprint(&["node1", "node3"], ""));
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / bricks docker / : the files of node2.lab.test:/srv/gluster/docker were not all moved: 2 files were left
    hint: see `gluster volume remove-brick docker node2.lab.test:/srv/gluster/docker status`; with `stop` in its place the bricks stay, and `bp up` begins again
    ");
    assert_eq!(bench.site.lock().gluster.volumes["docker"].bricks.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_replica_gains_moves_and_loses_a_copy() {
    let bench = made(&["node1", "node2"], "replica: 2, ").await;
    let bench = bench.edited(&blueprint(&["node1", "node2", "node3"], "replica: 3, "));
    bench.done().await;
    insta::assert_snapshot!(of_gluster(&bench), @"
    node1$ set -e g volume set docker cluster.quorum-type auto user.bp.options network.ping-timeout,cluster.heal-timeout,cluster.quorum-type user.bp.lab lab
    node1$ g volume add-brick docker replica 3 node3.lab.test:/srv/gluster/docker force
    ");
    // A brick that still answers is needed until all is healed.
    volume(&bench, |v| v.pending.insert("node3.lab.test:/srv/gluster/docker".to_owned(), 9));
    let bench = bench.edited(&blueprint(&["node1", "node2", "worker1"], "replica: 3, "));
    bench.done().await;
    insta::assert_snapshot!(of_gluster(&bench), @"
    node1$ g volume replace-brick docker node3.lab.test:/srv/gluster/docker worker1.lab.test:/srv/gluster/docker commit force
    node1$ g peer detach node3.lab.test
    ");
    volume(&bench, |v| v.pending.insert("node1.lab.test:/srv/gluster/docker".to_owned(), 9));
    let bench = bench.edited(&blueprint(&["node1", "worker1"], "replica: 2, "));
    bench.done().await;
    insta::assert_snapshot!(of_gluster(&bench), @"
    node1$ set -e g volume reset docker cluster.quorum-type g volume set docker user.bp.options network.ping-timeout,cluster.heal-timeout user.bp.lab lab
    node1$ g volume remove-brick docker replica 2 node2.lab.test:/srv/gluster/docker force
    node1$ g peer detach node2.lab.test
    ");
}

#[tokio::test(start_paused = true)]
async fn copies_are_not_given_up_while_another_is_away() {
    let bench = with_volume().await;
    let bench = bench.edited(&blueprint(&["node1", "node2"], "replica: 2, "));
    daemon(&bench, "node2", |d| d.dead_bricks.insert("/srv/gluster/docker".to_owned()));
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / bricks docker / : node3.lab.test:/srv/gluster/docker can't be given up while node2.lab.test:/srv/gluster/docker is offline
    hint: the copies that stay have to be at work: bring that host back first
    ");
    assert_eq!(bench.site.lock().gluster.volumes["docker"].replica, 3);
}

/// What bp says of the bricks' step alone.
async fn refused(bench: &Bench) -> String {
    let failures = bench.up().await.failures();
    let (_, of_bricks) = failures.split_once("gluster / bricks docker / : ").unwrap_or_default();
    of_bricks.split("\ngluster / ").next().unwrap_or_default().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_alone_has_the_newest_files_is_not_replaced() {
    // node1 was away while it was written; it is back, and node2 died before it was healed.
    let bench = made(&["node1", "node2"], "replica: 2, ").await;
    volume(&bench, |v| v.written.push(["node2.lab.test:/srv/gluster/docker".to_owned()].into()));
    daemon(&bench, "node2", |d| d.dead_bricks.insert("/srv/gluster/docker".to_owned()));
    let bench = bench.edited(&blueprint(&["node1", "node3"], "replica: 2, "));
    insta::assert_snapshot!(refused(&bench).await, @"
    node2.lab.test:/srv/gluster/docker may hold what no other brick has, and can't say while offline
    hint: bring that host back until nothing waits for healing; if it is gone for good, give its brick up by hand on node1: `gluster volume replace-brick docker node2.lab.test:/srv/gluster/docker NEW commit force`, or `remove-brick`
    ");
    assert!(bench.site.lock().gluster.volumes["docker"].bricks[1].starts_with("node2"));
    // Of three, two had to write.
    let bench = made(&["node1", "node2", "node3"], "replica: 3, ").await;
    volume(&bench, |v| {
        let on = ["node2", "node3"].map(|h| format!("{h}.lab.test:/srv/gluster/docker"));
        v.written.push(on.into());
        v.pending.insert("node3.lab.test:/srv/gluster/docker".to_owned(), 2);
    });
    daemon(&bench, "node2", |d| d.dead_bricks.insert("/srv/gluster/docker".to_owned()));
    let bench = bench.edited(&blueprint(&["node1", "worker1", "node3"], "replica: 3, "));
    bench.done().await;
}

#[tokio::test(start_paused = true)]
async fn an_arbiter_knows_whether_the_copy_that_stays_is_whole() {
    let arbiter = "replica: 3, arbiter: true, ";
    for (stale, fits) in [(true, false), (false, true)] {
        let bench = made(&["node1", "node2", "node3"], arbiter).await;
        volume(&bench, |v| {
            let [first, second, third] = v.bricks.clone().try_into().expect("three bricks");
            // The arbiter says what others have missed; so does the copy that stays, where it was
            // there.
            v.pending.insert(third.clone(), 3);
            match stale {
                true => v.written.push([second, third].into()),
                false => {
                    v.pending.insert(first.clone(), 3);
                    v.written.push([first, third].into());
                }
            }
        });
        daemon(&bench, "node2", |d| d.dead_bricks.insert("/srv/gluster/docker".to_owned()));
        let bench = bench.edited(&blueprint(&["node1", "worker1", "node3"], arbiter));
        assert_eq!(refused(&bench).await.is_empty(), fits);
        let second = bench.site.lock().gluster.volumes["docker"].bricks[1].clone();
        assert_eq!(second.starts_with("worker1"), fits, "{second}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_copies_but_one_go_when_all_is_healed() {
    let bench = made(&["node1", "node2"], "replica: 2, ").await;
    volume(&bench, |v| v.pending.insert("node2.lab.test:/srv/gluster/docker".to_owned(), 5));
    let bench = bench.edited(&blueprint(&["node1"], ""));
    bench.done().await;
    insta::assert_snapshot!(of_gluster(&bench), @"
    node1$ set -e g volume reset docker cluster.heal-timeout g volume set docker user.bp.options network.ping-timeout user.bp.lab lab
    node1$ g volume remove-brick docker replica 1 node2.lab.test:/srv/gluster/docker force
    node1$ g peer detach node2.lab.test
    ");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_bricks_is_taken_up_where_it_was_cut_off() {
    let before = blueprint(&["node1", "node2"], "");
    let after = blueprint(&["node2", "node3"], "");
    let whole = made(&["node1", "node2"], "").await.edited(&after);
    whole.done().await;
    let changes = whole.site.changes().lines().count();
    assert!(changes > 8, "{changes}");
    for number in 1..=changes {
        for done in [false, true] {
            let bench = Bench::new(&before).with_engines().only(&["gluster"]);
            bench.done().await;
            bench.site.changes();
            let bench = bench.edited(&after);
            bench.site.lock().gluster.cut = Some((number, done));
            let ran = bench.up().await;
            assert!(ran.outcome.sums.failed > Some(0), "change {number}");
            bench.site.lock().gluster.dark = false;
            bench.done().await;
            assert_eq!(
                bench.site.lock().gluster.volumes["docker"].bricks,
                ["node2.lab.test:/srv/gluster/docker", "node3.lab.test:/srv/gluster/docker"]
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_brick_that_was_given_up_comes_back_by_consent_alone() {
    let bench = made(&["node1", "node2", "node3"], "").await;
    let bench = bench.edited(&blueprint(&["node1", "node3"], ""));
    bench.done().await;
    let bench = bench.edited(&blueprint(&["node1", "node2", "node3"], ""));
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / brick docker / node2: /srv/gluster/docker on node2 belonged to the volume `docker` (aaaaaaaa000040008000000000000005), which has left it
    hint: `bp up --wipe-bricks` removes it with all that lies on it
    ");
}

#[test]
fn the_way_from_one_set_of_bricks_to_another() {
    let bricks =
        |names: &str| -> Vec<String> { names.split_whitespace().map(str::to_owned).collect() };
    let way = |kind: VolumeKind, has: &str, to: VolumeKind, wanted: &str| {
        let has = Volume {
            name: "v".to_owned(),
            id: String::new(),
            state: "Started".to_owned(),
            kind: Some(kind),
            kind_text: String::new(),
            bricks: bricks(has),
            options: Default::default(),
        };
        next(&has, to, &bricks(wanted))
    };
    use VolumeKind::{Arbiter, Distribute, Replica};
    let list = |names: &str| bricks(names);
    assert_eq!(way(Replica(2), "a b", Replica(2), "b a"), Ok(None));
    assert_eq!(way(Replica(2), "a b", Replica(2), "a b c d"), Ok(Some(Change::Add(list("c d")))));
    assert_eq!(way(Replica(2), "a b c d", Replica(2), "a b"), Ok(Some(Change::Drain(list("c d")))));
    assert_eq!(
        way(Arbiter, "a b c", Arbiter, "a b d"),
        Ok(Some(Change::Replace("c".to_owned(), "d".to_owned())))
    );
    assert_eq!(way(Distribute, "a b", Distribute, "b c"), Ok(Some(Change::Add(list("c")))));
    assert_eq!(way(Distribute, "a", Replica(3), "a b c"), Ok(Some(Change::Copy(3, list("b c")))));
    assert_eq!(way(Replica(3), "a b c", Distribute, "b"), Ok(Some(Change::Drop(1, list("a c")))));
    for wrong in [
        way(Replica(2), "a b c d", Replica(2), "a c"),
        way(Replica(3), "a b c", Arbiter, "a b c"),
        way(Distribute, "a b", Replica(2), "a b"),
        way(Replica(3), "a b c", Replica(2), "a d"),
    ] {
        assert!(wrong.as_ref().is_err_and(|f| f.hint.is_some()), "{wrong:?}");
    }
}
