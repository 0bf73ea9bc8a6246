//! Phase gluster on the fake cluster of glusterd.

use super::bench::{Bench, Ran, ran};
use super::glusterd::{Daemon, Lies, On, Vol};
use crate::destroy::{destroy, doomed};
use crate::gluster_host::FUNCTIONS;
use crate::gluster_volume::defaults;
use blueprints::VolumeKind;
use tokio::sync::watch;

const LAB: &str = "
version: 1
name: lab
domain: lab.test
provider: { libvirt: { subnet: 10.20.30.0/24, template: debian-13.qcow2 } }
hosts:
  'node{1..3}': { role: manager, brick: /srv/gluster }
  worker1: { role: worker }
engine: { source: distro }
gluster:
  docker: { replica: 3, mount: /srv/docker }
";

pub fn bench() -> Bench {
    Bench::new(LAB).with_engines().only(&["gluster"])
}

/// With the volume, mounted.
pub async fn with_volume() -> Bench {
    let bench = bench();
    bench.done().await;
    bench.site.changes();
    bench
}

/// Changes GlusterFS on one host; what the change answers is of no use.
pub fn daemon<T>(bench: &Bench, host: &str, change: impl FnOnce(&mut Daemon) -> T) {
    change(bench.site.lock().gluster.daemon(host));
}

/// Changes the volume; what the change answers is of no use.
pub fn volume<T>(bench: &Bench, change: impl FnOnce(&mut Vol) -> T) {
    change(bench.site.lock().gluster.volumes.get_mut("docker").expect("the volume"));
}

async fn up_wiping(bench: &Bench) -> Ran {
    let (cx, events) = bench.cx();
    let stop = watch::channel(false).1;
    ran(&cx.wiping_bricks(true), events, &bench.steps(), stop).await.expect("the lock is free")
}

#[tokio::test(start_paused = true)]
async fn fresh_and_done() {
    let bench = bench();
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + gluster / server / node1: glusterfs-server is not installed
    + gluster / server / node2: glusterfs-server is not installed
    + gluster / server / node3: glusterfs-server is not installed
    + gluster / client / node1: glusterfs-client is not installed
    + gluster / client / node2: glusterfs-client is not installed
    + gluster / client / node3: glusterfs-client is not installed
    + gluster / client / worker1: glusterfs-client is not installed
    + gluster / glusterd / node1: glusterd is inactive
    + gluster / glusterd / node2: glusterd is inactive
    + gluster / glusterd / node3: glusterd is inactive
    ? gluster / peers: node1: gluster is not installed
    ? gluster / brick docker / node1: `getfattr` is not there to read the brick's mark
    ? gluster / brick docker / node2: `getfattr` is not there to read the brick's mark
    ? gluster / brick docker / node3: `getfattr` is not there to read the brick's mark
    ? gluster / volume docker: node3: gluster is not installed
    ? gluster / bricks docker: node3: gluster is not installed
    ? gluster / online docker: node3: gluster is not installed
    + gluster / mount docker / node1: nothing is mounted on /srv/docker
    + gluster / mount docker / node2: nothing is mounted on /srv/docker
    + gluster / mount docker / node3: nothing is mounted on /srv/docker
    + gluster / mount docker / worker1: nothing is mounted on /srv/docker
    ? gluster / heal docker: node3: gluster is not installed
    ? gluster / shared file docker: node1: the volume is not mounted
    ? gluster / unlisted volumes: node3: gluster is not installed
    ? gluster / unlisted peers: node3: gluster is not installed
    ---
    node1$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    node2$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    node3$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    worker1$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    node1$ set -eu d=/etc/systemd/system/glusterd.service.d mkdir -p $d printf '%s\n' '[Unit]' 'StartLimitIntervalSec=0' '[Service]' 'Restart=on-failure' 'RestartSec=5' >$d/bp.conf.new mv -f $d/bp.conf.new $d/bp.conf systemctl daemon-reload systemctl reset-failed glusterd 2>/dev/null || : systemctl enable --now glusterd
    node2$ set -eu d=/etc/systemd/system/glusterd.service.d mkdir -p $d printf '%s\n' '[Unit]' 'StartLimitIntervalSec=0' '[Service]' 'Restart=on-failure' 'RestartSec=5' >$d/bp.conf.new mv -f $d/bp.conf.new $d/bp.conf systemctl daemon-reload systemctl reset-failed glusterd 2>/dev/null || : systemctl enable --now glusterd
    node3$ set -eu d=/etc/systemd/system/glusterd.service.d mkdir -p $d printf '%s\n' '[Unit]' 'StartLimitIntervalSec=0' '[Service]' 'Restart=on-failure' 'RestartSec=5' >$d/bp.conf.new mv -f $d/bp.conf.new $d/bp.conf systemctl daemon-reload systemctl reset-failed glusterd 2>/dev/null || : systemctl enable --now glusterd
    node1$ set -e; cd /var/lib/glusterd; printf '%s\n' node1.lab.test node2.lab.test node3.lab.test >new-bp-lab; mv -f new-bp-lab bp-lab
    node2$ set -e; cd /var/lib/glusterd; printf '%s\n' node1.lab.test node2.lab.test node3.lab.test >new-bp-lab; mv -f new-bp-lab bp-lab
    node3$ set -e; cd /var/lib/glusterd; printf '%s\n' node1.lab.test node2.lab.test node3.lab.test >new-bp-lab; mv -f new-bp-lab bp-lab
    node1$ for n in node2.lab.test node3.lab.test; do i=0; until said=$(g peer probe "$n" 2>&1); do i=$((i + 1)); [ $i -lt 5 ] || { echo "$n: $said" >&2; exit 1; }; sleep 2 done done
    node2$ for n in node1.lab.test; do i=0; until said=$(g peer probe "$n" 2>&1); do i=$((i + 1)); [ $i -lt 5 ] || { echo "$n: $said" >&2; exit 1; }; sleep 2 done done
    node1$ mkdir -p /srv/gluster/docker
    node2$ mkdir -p /srv/gluster/docker
    node3$ mkdir -p /srv/gluster/docker
    node1$ set -e g volume create docker replica 3 node1.lab.test:/srv/gluster/docker node2.lab.test:/srv/gluster/docker node3.lab.test:/srv/gluster/docker force g volume set docker network.ping-timeout 15 cluster.heal-timeout 60 cluster.quorum-type auto user.bp.options network.ping-timeout,cluster.heal-timeout,cluster.quorum-type user.bp.lab lab g volume start docker
    node1$ set -eu m=/srv/docker; line='node1.lab.test:/docker /srv/docker glusterfs defaul…
    node2$ set -eu m=/srv/docker; line='node2.lab.test:/docker /srv/docker glusterfs defaul…
    node3$ set -eu m=/srv/docker; line='node3.lab.test:/docker /srv/docker glusterfs defaul…
    worker1$ set -eu m=/srv/docker; line='node1.lab.test:/docker /srv/docker glusterfs defaul…
    node1$ f=/srv/docker/.bp/lab; timeout -k 1 60 sh -c 'mkdir -p "${1%/*}" && echo "$2" >"$1"' sh "$f" "$(hostname) $(date -u +%Y-%m-%dT%H:%M:%S.%NZ)"
    ---
    applied 17, already true 13, failed 0
    "#);
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 30, failed 0");
}

#[tokio::test(start_paused = true)]
async fn a_plan_costs_a_healthy_lab_two_questions_a_host_and_one_more() {
    let bench = with_volume().await;
    let before = bench.site.lock().asked;
    assert_eq!(bench.plan().await, "");
    assert_eq!(bench.site.lock().asked - before, 2 * 4 + 1);
}

#[tokio::test(start_paused = true)]
async fn half_done() {
    // Probed, and not connected yet: waited for.
    let bench = with_volume().await;
    daemon(&bench, "node2", |d| {
        d.knows.insert("node3.lab.test".to_owned(), 4);
    });
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + gluster / peers: node2 says that node3.lab.test is not in the pool yet: Accepted peer request
    ---
    node1$ for n in node2.lab.test node3.lab.test; do i=0; until said=$(g peer probe "$n" 2>&1); do i=$((i + 1)); [ $i -lt 5 ] || { echo "$n: $said" >&2; exit 1; }; sleep 2 done done
    node2$ for n in node1.lab.test; do i=0; until said=$(g peer probe "$n" 2>&1); do i=$((i + 1)); [ $i -lt 5 ] || { echo "$n: $said" >&2; exit 1; }; sleep 2 done done
    ---
    applied 1, already true 29, failed 0
    "#);
    // Made, and not started.
    let bench = with_volume().await;
    volume(&bench, |v| v.state = "Stopped");
    insta::assert_snapshot!(bench.transcript().await, @"
    + gluster / volume docker: it is stopped
    ? gluster / online docker: it is not started
    ? gluster / heal docker: Volume docker is not started
    ---
    node1$ set -e g volume set docker user.bp.lab lab g volume start docker
    ---
    applied 1, already true 29, failed 0
    ");
    // One mount and one process missing, one client dead.
    let bench = with_volume().await;
    daemon(&bench, "worker1", |d| d.mounts.clear());
    daemon(&bench, "node1", |d| {
        d.mounts.insert("/srv/docker".to_owned(), On::Dead("node1.lab.test:/docker".to_owned()));
    });
    daemon(&bench, "node2", |d| {
        d.dead_bricks.insert("/srv/gluster/docker".to_owned());
    });
    insta::assert_snapshot!(bench.transcript().await, @"
    + gluster / online docker: node2.lab.test:/srv/gluster/docker is offline
    + gluster / mount docker / node1: what is mounted on /srv/docker does not answer
    + gluster / mount docker / worker1: nothing is mounted on /srv/docker
    ? gluster / heal docker: node2.lab.test:/srv/gluster/docker: transport endpoint is not connected
    ? gluster / shared file docker: node1: the volume is not mounted
    ---
    node1$ g volume start docker force
    node1$ set -eu m=/srv/docker; line='node1.lab.test:/docker /srv/docker glusterfs defaul…
    worker1$ set -eu m=/srv/docker; line='node1.lab.test:/docker /srv/docker glusterfs defaul…
    ---
    applied 3, already true 27, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn cut_off_at_each_change_the_next_run_ends_it() {
    let whole = bench();
    whole.done().await;
    let changes = whole.site.changes().lines().count();
    assert!(changes > 15, "{changes}");
    for number in 1..=changes {
        for done in [false, true] {
            let bench = bench();
            bench.site.lock().gluster.cut = Some((number, done));
            let ran = bench.up().await;
            assert!(ran.outcome.sums.failed > Some(0), "change {number}");
            bench.site.lock().gluster.dark = false;
            bench.done().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_volume_of_somebody_else_is_not_touched() {
    let bench = with_volume().await;
    volume(&bench, |v| v.options.remove("user.bp.lab"));
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / volume docker / : the volume `docker` is not bp's own
    hint: if it is to be the lab's: `gluster volume set docker user.bp.lab lab` on node1
    ");
    volume(&bench, |v| v.options.insert("user.bp.lab".to_owned(), "other".to_owned()));
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / volume docker / : the volume `docker` is the lab `other`'s
    hint: give the volume another name in the blueprint
    ");
    assert_eq!(bench.site.changes(), "");
}

#[tokio::test(start_paused = true)]
async fn a_brick_of_a_volume_that_is_gone_is_wiped_by_consent_alone() {
    let bench = bench();
    let id = "0f0f0f0f-1111-4222-8333-444444444444".to_owned();
    daemon(&bench, "node2", |d| {
        d.server = true;
        d.lies.insert("/srv/gluster/docker".to_owned(), Lies::Brick(id));
    });
    daemon(&bench, "node3", |d| {
        d.lies.insert("/srv/gluster/docker".to_owned(), Lies::Remains);
    });
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / brick docker / node2: /srv/gluster/docker on node2 belonged to the volume 0f0f0f0f111142228333444444444444, which this pool does not know
    hint: `bp up --wipe-bricks` removes it with all that lies on it
    gluster / brick docker / node3: /srv/gluster/docker on node3 belonged to a volume whose mark is gone
    hint: `bp up --wipe-bricks` removes it with all that lies on it
    ");
    assert!(!bench.site.changes().contains("rm -rf"));
    let ran = up_wiping(&bench).await;
    assert_eq!(ran.failures(), "");
    let wiped = bench.site.changes();
    let wiped: Vec<&str> = wiped.lines().filter(|l| l.contains("rm -rf")).collect();
    insta::assert_snapshot!(wiped.join("\n"), @"
    node2$ rm -rf --one-file-system /srv/gluster/docker || exit mkdir -p /srv/gluster/docker
    node3$ rm -rf --one-file-system /srv/gluster/docker || exit mkdir -p /srv/gluster/docker
    ");
    bench.done().await;
}

#[tokio::test(start_paused = true)]
async fn a_brick_in_use_and_files_of_nobody_are_never_wiped() {
    let bench = with_volume().await;
    let mut other = bench.site.lock().gluster.volumes["docker"].clone();
    other.id = "0f0f0f0f-1111-4222-8333-444444444444".to_owned();
    let id = other.id.clone();
    bench.site.lock().gluster.volumes.clear();
    bench.site.lock().gluster.volumes.insert("theirs".to_owned(), other);
    daemon(&bench, "node1", |d| {
        d.mounts.clear();
        d.lies.insert("/srv/gluster/docker".to_owned(), Lies::Brick(id));
    });
    for host in ["node2", "node3", "worker1"] {
        daemon(&bench, host, |d| {
            d.mounts.clear();
            d.lies.insert("/srv/gluster/docker".to_owned(), Lies::Files);
        });
    }
    insta::assert_snapshot!(up_wiping(&bench).await.failures(), @"
    gluster / brick docker / node1: /srv/gluster/docker is a brick of the volume `theirs` (0f0f0f0f-1111-4222-8333-444444444444)
    hint: name another folder in `brick`: bp never wipes what a volume has in use
    gluster / brick docker / node2: /srv/gluster/docker holds files that are of no volume
    hint: move them away, or name another folder in `brick`
    gluster / brick docker / node3: /srv/gluster/docker holds files that are of no volume
    hint: move them away, or name another folder in `brick`
    ");
    assert_eq!(bench.site.changes(), "");
}

#[tokio::test(start_paused = true)]
async fn a_brick_that_lost_its_mark_is_not_wiped() {
    let bench = with_volume().await;
    daemon(&bench, "node2", |d| {
        d.lies.insert("/srv/gluster/docker".to_owned(), Lies::Remains);
    });
    insta::assert_snapshot!(up_wiping(&bench).await.failures(), @"
    gluster / brick docker / node2: /srv/gluster/docker has lost its mark as a brick of the volume `docker` (aaaaaaaa-0000-4000-8000-000000000005)
    hint: `setfattr -n trusted.glusterfs.volume-id -v 0xaaaaaaaa000040008000000000000005 /srv/gluster/docker` on node2, if its files are the volume's
    ");
    assert_eq!(bench.site.changes(), "");
}

#[tokio::test(start_paused = true)]
async fn a_brick_whose_disk_was_lost_is_said() {
    let bench = with_volume().await;
    daemon(&bench, "node2", |d| d.lies.clear());
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / brick docker / node2: nothing is left of node2.lab.test:/srv/gluster/docker, a brick of the volume `docker`
    hint: bring its disk back; or, where other bricks hold copies: `gluster volume reset-brick docker node2.lab.test:/srv/gluster/docker start`, then `gluster volume reset-brick docker node2.lab.test:/srv/gluster/docker node2.lab.test:/srv/gluster/docker commit force`
    ");
    assert_eq!(bench.site.changes(), "");
}

#[tokio::test(start_paused = true)]
async fn two_pools_and_twins_are_named() {
    let bench = with_volume().await;
    daemon(&bench, "node3", |d| {
        d.pool = 77;
        d.knows.clear();
        d.knows.insert("worker1.lab.test".to_owned(), 0);
    });
    for host in ["node1", "node2"] {
        daemon(&bench, host, |d| d.knows.remove("node3.lab.test"));
    }
    daemon(&bench, "worker1", |_| {});
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / peers / : node1 and node3 are in two pools: one of node1.lab.test, node2.lab.test; one of node3.lab.test, worker1.lab.test
    hint: bp never takes a host out of a pool that it did not make: `gluster peer detach` there, if you mean it
    ");

    let bench = bench_with_servers();
    let uuid = bench.site.lock().gluster.daemon("node1").uuid.clone();
    daemon(&bench, "node2", |d| d.uuid = uuid);
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / identities / : node1 and node2 have the same glusterd identity 00000000-0000-4000-8000-000000000001
    hint: take /var/lib/glusterd out of the template, and make the hosts anew
    ");
}

fn bench_with_servers() -> Bench {
    let bench = bench();
    for host in ["node1", "node2", "node3"] {
        daemon(&bench, host, |d| (d.server, d.client, d.runs) = (true, true, true));
    }
    bench
}

#[tokio::test(start_paused = true)]
async fn names_that_do_not_resolve_are_said() {
    let bench = bench_with_servers();
    daemon(&bench, "node2", |d| d.nameless.insert("node3.lab.test".to_owned()));
    insta::assert_snapshot!(bench.up().await.failures(), @"gluster / peers / : not true within 5 min: node2: the name node3.lab.test does not resolve");
    daemon(&bench, "node2", |d| {
        d.nameless.clear();
        d.resolves.insert("node3.lab.test".to_owned(), "127.0.1.1".to_owned());
    });
    insta::assert_snapshot!(bench.up().await.failures(), @"gluster / peers / : not true within 5 min: node2: the name node3.lab.test resolves to 127.0.1.1, which is node2 itself");
    daemon(&bench, "node2", |d| d.resolves.clear());
    bench.done().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_away_is_said_and_heals_when_it_is_back() {
    let bench = with_volume().await;
    bench.site.cut("node3");
    insta::assert_snapshot!(bench.plan().await, @"
    ? gluster / server / node3: node3: the machine is not running
    ? gluster / client / node3: node3: the machine is not running
    ? gluster / glusterd / node3: node3: the machine is not running
    ? gluster / identities: node3: the machine is not running
    ? gluster / peers: node3: the machine is not running
    ? gluster / brick docker / node3: node3: the machine is not running
    ? gluster / online docker: node3: the machine is not running
    ? gluster / mount docker / node3: node3: the machine is not running
    ? gluster / unlisted mounts / node3: node3: the machine is not running
    ? gluster / heal docker: node3.lab.test:/srv/gluster/docker: transport endpoint is not connected
    ? gluster / shared file docker: node3: the machine is not running
    ");
    // Written meanwhile.
    volume(&bench, |v| v.pending.insert("node1.lab.test:/srv/gluster/docker".to_owned(), 7));
    bench.site.guest("node3", |g| g.running = true);
    insta::assert_snapshot!(bench.transcript().await, @"
    + gluster / heal docker: 7 entries of node1.lab.test:/srv/gluster/docker wait for healing
    ---
    node1$ g volume heal docker
    ---
    applied 1, already true 29, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn split_brain_is_named() {
    let bench = with_volume().await;
    volume(&bench, |v| {
        v.pending.insert("node1.lab.test:/srv/gluster/docker".to_owned(), 1);
        v.split.push("etcd/data".to_owned());
    });
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / heal docker / : split-brain in the volume `docker`: /etcd/data
    hint: choose the copy to keep: `gluster volume heal docker split-brain latest-mtime /etcd/data` on node1
    ");
}

#[tokio::test(start_paused = true)]
async fn what_stands_where_the_volume_is_to_be_mounted_stays() {
    let bench = with_volume().await;
    daemon(&bench, "node1", |d| {
        d.mounts.clear();
        d.full.insert("/srv/docker".to_owned());
    });
    daemon(&bench, "node2", |d| {
        d.mounts.insert("/srv/docker".to_owned(), On::Other("ext4 /dev/vdb".to_owned()));
    });
    daemon(&bench, "node3", |d| {
        let line = "/dev/vdb /srv/docker ext4 defaults,x-bp.lab=other 0 0";
        (d.mounts, d.fstab) = (Default::default(), vec![line.to_owned()]);
    });
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / mount docker / node1: /srv/docker holds files, which the volume would hide
    hint: move them away; `bp up` mounts the volume, then they can be copied into it
    gluster / mount docker / node2: something else is mounted on /srv/docker: ext4 /dev/vdb
    hint: unmount it, or name another folder in `mount`
    gluster / mount docker / node3: /etc/fstab mounts something else on /srv/docker: /dev/vdb /srv/docker ext4 defaults,x-bp.lab=other 0 0
    hint: take the line away, or name another folder in `mount`
    ");
    assert_eq!(bench.site.changes(), "");
}

#[tokio::test(start_paused = true)]
async fn options_follow_the_blueprint() {
    let bench = with_volume().await;
    let options = "mount: /srv/docker, options: { performance.cache-size: 64MB, network.ping-timeout: '30' } }";
    let bench = bench.edited(&LAB.replace("mount: /srv/docker }", options));
    insta::assert_snapshot!(bench.transcript().await, @"
    + gluster / volume docker: network.ping-timeout, performance.cache-size, user.bp.options differ from the blueprint's
    ---
    node1$ set -e g volume set docker network.ping-timeout 30 performance.cache-size 64MB user.bp.options network.ping-timeout,cluster.heal-timeout,cluster.quorum-type,performance.cache-size user.bp.lab lab
    ---
    applied 1, already true 29, failed 0
    ");
    let bench = bench.edited(LAB);
    insta::assert_snapshot!(bench.transcript().await, @"
    + gluster / volume docker: network.ping-timeout, user.bp.options, performance.cache-size differ from the blueprint's
    ---
    node1$ set -e g volume reset docker performance.cache-size g volume set docker network.ping-timeout 15 user.bp.options network.ping-timeout,cluster.heal-timeout,cluster.quorum-type user.bp.lab lab
    ---
    applied 1, already true 29, failed 0
    ");
    let unknown = "mount: /srv/docker, options: { performance.cash: 64MB } }";
    let bench = bench.edited(&LAB.replace("mount: /srv/docker }", unknown));
    insta::assert_snapshot!(bench.up().await.failures(), @"
    gluster / volume docker / : `set -e g volume set docker performance.cash 64MB user.bp.options network.ping-timeout,cluster.heal-timeout,cluster.quorum-type,performance.cash user.bp.lab lab` exited with 1
    volume set: failed: option : performance.cash does not exist
    ");
}

#[tokio::test(start_paused = true)]
async fn status_shows_bricks_and_mounts() {
    let bench = with_volume().await;
    bench.site.cut("node3");
    let (cx, _events) = bench.cx();
    let tables = crate::gluster::shown(&cx).await;
    let rows: Vec<String> = tables[0].rows.iter().map(|r| r.join(" | ")).collect();
    insta::assert_snapshot!(format!("{}\n{}", tables[0].head.join(" | "), rows.join("\n")), @"
    volume | kind | brick | online | port | to heal | mounted
    docker | replica 3 | node1.lab.test:/srv/gluster/docker | yes | 49152 | 0 | 3 of 4
    docker | replica 3 | node2.lab.test:/srv/gluster/docker | yes | 49152 | 0 | 3 of 4
    docker | replica 3 | node3.lab.test:/srv/gluster/docker | no | - | ? | 3 of 4
    ");
}

#[tokio::test(start_paused = true)]
async fn destroy_takes_mounts_volumes_and_peers_of_hosts_that_stay() {
    let text = "
version: 1
name: lab
domain: lab.test
hosts:
  node1: { role: manager, provider: existing, address: 192.168.7.1, brick: /srv/gluster }
  node2: { role: worker, provider: existing, address: 192.168.7.2, brick: /srv/gluster }
engine: { source: distro }
gluster: { docker: { mount: /srv/docker } }
";
    let bench = Bench::new(text).only(&["gluster"]);
    let (cx, _events) = bench.cx();
    assert_eq!(doomed(&cx).await.expect("an answer").words(), [""; 0], "nothing is there yet");
    bench.done().await;
    bench.site.changes();
    // What is not the lab's stays.
    let pool = bench.site.lock().gluster.volumes["docker"].pool;
    let theirs = Vol { pool, state: "Started", replica: 1, ..Vol::default() };
    bench.site.lock().gluster.volumes.insert("theirs".to_owned(), theirs);
    let line = "/dev/vdb /srv/else ext4 defaults 0 0".to_owned();
    daemon(&bench, "node1", |d| d.fstab.push(line));
    let (cx, _events) = bench.cx();
    let found = doomed(&cx).await.unwrap_or_else(|f| panic!("{f:?}"));
    let words = found.words().join("\n");
    let sums = destroy(&cx, found).await;
    assert_eq!(sums.failed, Some(0));
    insta::assert_snapshot!(format!("{words}\n---\n{}", bench.site.changes()), @r#"
    mount /srv/docker of node1
    mount /srv/docker of node2
    volume docker (what lies on its bricks stays)
    peer node2.lab.test of node1
    bp's files beside glusterd's on node1
    bp's files beside glusterd's on node2
    ---
    node1$ set -eu; m=/srv/docker mounted() { awk -v m="$m" '$2 == m && $3 == "fuse.glusterfs" { found = 1 } END { exit !found }' /proc/self/mounts; } f=$(mktemp /etc/fstab.XXXXXX); trap 'rm -f "$f"' EXIT ! mounted || timeout -k 1 20 umount "$m" || umount -l "$m" ! mounted || { echo "$m is still mounted" >&2; exit 1; } chattr -i "$m" 2>/dev/null || : rmdir "$m" 2>/dev/null || : awk -v m="$m" '/^[^#]/ && $2 == m && $4 ~ /(^|,)x-bp.lab=lab(,|$)/ { next } { print }' /etc/fstab >"$f" chmod 644 "$f"; mv -f "$f" /etc/fstab ! command -v systemctl >/dev/null || systemctl daemon-reload
    node2$ set -eu; m=/srv/docker mounted() { awk -v m="$m" '$2 == m && $3 == "fuse.glusterfs" { found = 1 } END { exit !found }' /proc/self/mounts; } f=$(mktemp /etc/fstab.XXXXXX); trap 'rm -f "$f"' EXIT ! mounted || timeout -k 1 20 umount "$m" || umount -l "$m" ! mounted || { echo "$m is still mounted" >&2; exit 1; } chattr -i "$m" 2>/dev/null || : rmdir "$m" 2>/dev/null || : awk -v m="$m" '/^[^#]/ && $2 == m && $4 ~ /(^|,)x-bp.lab=lab(,|$)/ { next } { print }' /etc/fstab >"$f" chmod 644 "$f"; mv -f "$f" /etc/fstab ! command -v systemctl >/dev/null || systemctl daemon-reload
    node1$ set -e if g volume info docker | grep -q '^Status: Started'; then g volume stop docker force; fi g volume delete docker
    node1$ g peer detach node2.lab.test
    node1$ set -e; rm -f /etc/systemd/system/glusterd.service.d/bp.conf /var/lib/glusterd/bp-lab; rmdir /etc/systemd/system/glusterd.service.d 2>/dev/null || : ! command -v systemctl >/dev/null || systemctl daemon-reload
    node2$ set -e; rm -f /etc/systemd/system/glusterd.service.d/bp.conf /var/lib/glusterd/bp-lab; rmdir /etc/systemd/system/glusterd.service.d 2>/dev/null || : ! command -v systemctl >/dev/null || systemctl daemon-reload
    "#);
    let (cx, _events) = bench.cx();
    assert_eq!(doomed(&cx).await.expect("an answer").words(), [""; 0]);
    let mut state = bench.site.lock();
    assert_eq!(state.gluster.volumes.len(), 1);
    assert_eq!(state.gluster.daemon("node1").fstab.len(), 1);
    assert!(matches!(state.gluster.daemon("node2").lies["/srv/gluster/docker"], Lies::Brick(_)));
}

/// A machine that dies holds up the others' mounts for a while: they are good ones.
#[test]
fn a_mount_is_given_longer_than_a_dead_machine_holds_it_up() {
    let options = defaults(VolumeKind::Replica(3));
    let held_up = options.iter().find(|o| o.0 == "network.ping-timeout").expect("it is set").1;
    let held_up: u32 = held_up.parse().expect("seconds");
    let given: Vec<u32> = FUNCTIONS
        .split("timeout -k 1 ")
        .skip(1)
        .map(|rest| rest.split(' ').next().and_then(|n| n.parse().ok()).expect("seconds"))
        .collect();
    assert_eq!(given.len(), 2);
    assert!(given.iter().all(|seconds| *seconds > held_up), "{given:?} and {held_up}");
}
