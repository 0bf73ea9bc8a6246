//! The whole way on fakes: from nothing to a swarm with a healthy etcd, and what comes after.

use super::base_host::Ground;
use super::bench::{Bench, LAB};
use super::fake::Fault;
use super::images::archive;
use providers::State as Is;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

pub const ETCD: &str = "quay.io/coreos/etcd:v3.5.16";

/// The lab with networks, an image archive and etcd.
pub fn blueprint() -> String {
    format!(
        "{LAB}
swarm: {{ networks: [etcd] }}
images: {{ archives: [etcd.tar] }}
stacks: [etcd]
"
    )
}

pub fn bench() -> Bench {
    Bench::with(&blueprint(), &[("etcd.tar", &archive(&[(ETCD, "11")], false))])
}

#[tokio::test(start_paused = true)]
async fn from_nothing_to_a_healthy_etcd_and_a_second_run_applies_nothing() {
    let bench = bench();
    let ran = bench.done().await;
    assert_eq!(ran.sums().failed, Some(0));
    insta::assert_snapshot!(bench.site.changes(), @r#"
    provider: make network lab
    provider: make template
    provider: create node1
    provider: start node1
    provider: create node2
    provider: start node2
    provider: create node3
    provider: start node3
    provider: create worker1
    provider: start worker1
    provider: create worker2
    provider: start worker2
    node1$ set -eu # The one that is there: two of them would fight over the clock. for uni…
    node2$ set -eu # The one that is there: two of them would fight over the clock. for uni…
    node3$ set -eu # The one that is there: two of them would fight over the clock. for uni…
    worker1$ set -eu # The one that is there: two of them would fight over the clock. for uni…
    worker2$ set -eu # The one that is there: two of them would fight over the clock. for uni…
    node1$ set -eu modules='overlay br_netfilter vxlan ip_vs ip_vs_rr' for module in $modules; do modprobe $module; done mkdir -p /etc/modules-load.d printf '%s\n' $modules >/etc/modules-load.d/bp.conf.new chmod 0644 /etc/modules-load.d/bp.conf.new mv -f /etc/modules-load.d/bp.conf.new /etc/modules-load.d/bp.conf
    node2$ set -eu modules='overlay br_netfilter vxlan ip_vs ip_vs_rr' for module in $modules; do modprobe $module; done mkdir -p /etc/modules-load.d printf '%s\n' $modules >/etc/modules-load.d/bp.conf.new chmod 0644 /etc/modules-load.d/bp.conf.new mv -f /etc/modules-load.d/bp.conf.new /etc/modules-load.d/bp.conf
    node3$ set -eu modules='overlay br_netfilter vxlan ip_vs ip_vs_rr' for module in $modules; do modprobe $module; done mkdir -p /etc/modules-load.d printf '%s\n' $modules >/etc/modules-load.d/bp.conf.new chmod 0644 /etc/modules-load.d/bp.conf.new mv -f /etc/modules-load.d/bp.conf.new /etc/modules-load.d/bp.conf
    worker1$ set -eu modules='overlay br_netfilter vxlan ip_vs ip_vs_rr' for module in $modules; do modprobe $module; done mkdir -p /etc/modules-load.d printf '%s\n' $modules >/etc/modules-load.d/bp.conf.new chmod 0644 /etc/modules-load.d/bp.conf.new mv -f /etc/modules-load.d/bp.conf.new /etc/modules-load.d/bp.conf
    worker2$ set -eu modules='overlay br_netfilter vxlan ip_vs ip_vs_rr' for module in $modules; do modprobe $module; done mkdir -p /etc/modules-load.d printf '%s\n' $modules >/etc/modules-load.d/bp.conf.new chmod 0644 /etc/modules-load.d/bp.conf.new mv -f /etc/modules-load.d/bp.conf.new /etc/modules-load.d/bp.conf
    node1$ set -eu settings='net.ipv4.ip_forward = 1 vm.overcommit_memory = 1' mkdir -p /etc/sysctl.d echo "$settings" >/etc/sysctl.d/90-bp.conf.new chmod 0644 /etc/sysctl.d/90-bp.conf.new mv -f /etc/sysctl.d/90-bp.conf.new /etc/sysctl.d/90-bp.conf while read -r key _ want; do echo "$want" >"/proc/sys/$(echo $key | tr . /)"; done </etc/sysctl.d/90-bp.conf
    node2$ set -eu settings='net.ipv4.ip_forward = 1 vm.overcommit_memory = 1' mkdir -p /etc/sysctl.d echo "$settings" >/etc/sysctl.d/90-bp.conf.new chmod 0644 /etc/sysctl.d/90-bp.conf.new mv -f /etc/sysctl.d/90-bp.conf.new /etc/sysctl.d/90-bp.conf while read -r key _ want; do echo "$want" >"/proc/sys/$(echo $key | tr . /)"; done </etc/sysctl.d/90-bp.conf
    node3$ set -eu settings='net.ipv4.ip_forward = 1 vm.overcommit_memory = 1' mkdir -p /etc/sysctl.d echo "$settings" >/etc/sysctl.d/90-bp.conf.new chmod 0644 /etc/sysctl.d/90-bp.conf.new mv -f /etc/sysctl.d/90-bp.conf.new /etc/sysctl.d/90-bp.conf while read -r key _ want; do echo "$want" >"/proc/sys/$(echo $key | tr . /)"; done </etc/sysctl.d/90-bp.conf
    worker1$ set -eu settings='net.ipv4.ip_forward = 1 vm.overcommit_memory = 1' mkdir -p /etc/sysctl.d echo "$settings" >/etc/sysctl.d/90-bp.conf.new chmod 0644 /etc/sysctl.d/90-bp.conf.new mv -f /etc/sysctl.d/90-bp.conf.new /etc/sysctl.d/90-bp.conf while read -r key _ want; do echo "$want" >"/proc/sys/$(echo $key | tr . /)"; done </etc/sysctl.d/90-bp.conf
    worker2$ set -eu settings='net.ipv4.ip_forward = 1 vm.overcommit_memory = 1' mkdir -p /etc/sysctl.d echo "$settings" >/etc/sysctl.d/90-bp.conf.new chmod 0644 /etc/sysctl.d/90-bp.conf.new mv -f /etc/sysctl.d/90-bp.conf.new /etc/sysctl.d/90-bp.conf while read -r key _ want; do echo "$want" >"/proc/sys/$(echo $key | tr . /)"; done </etc/sysctl.d/90-bp.conf
    node1$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 243 ] || { echo "$n bytes of 243" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost # bp lab: begin 10.20.30.11 node1.lab.internal node1 10.20.30.12 node2.lab.internal node2 10.20.30.13 node3.lab.internal node3 10.20.30.14 worker1.lab.internal worker1 10.20.30.15 worker2.lab.internal worker2 # bp lab: end
    node2$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 243 ] || { echo "$n bytes of 243" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost # bp lab: begin 10.20.30.11 node1.lab.internal node1 10.20.30.12 node2.lab.internal node2 10.20.30.13 node3.lab.internal node3 10.20.30.14 worker1.lab.internal worker1 10.20.30.15 worker2.lab.internal worker2 # bp lab: end
    node3$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 243 ] || { echo "$n bytes of 243" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost # bp lab: begin 10.20.30.11 node1.lab.internal node1 10.20.30.12 node2.lab.internal node2 10.20.30.13 node3.lab.internal node3 10.20.30.14 worker1.lab.internal worker1 10.20.30.15 worker2.lab.internal worker2 # bp lab: end
    worker1$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 243 ] || { echo "$n bytes of 243" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost # bp lab: begin 10.20.30.11 node1.lab.internal node1 10.20.30.12 node2.lab.internal node2 10.20.30.13 node3.lab.internal node3 10.20.30.14 worker1.lab.internal worker1 10.20.30.15 worker2.lab.internal worker2 # bp lab: end
    worker2$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 243 ] || { echo "$n bytes of 243" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost # bp lab: begin 10.20.30.11 node1.lab.internal node1 10.20.30.12 node2.lab.internal node2 10.20.30.13 node3.lab.internal node3 10.20.30.14 worker1.lab.internal worker1 10.20.30.15 worker2.lab.internal worker2 # bp lab: end
    node1$ mkdir -p /etc/docker
    node1$ set -eu; umask 077; t=$(mktemp /etc/docker/daemon.json.new.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 96 ] || { echo "$n bytes of 96" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/docker/daemon.json.new <<<{ "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "3" } }
    node1$ if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exit $r; }; touch /etc/docker/.bp-restart-due || exit; fi mv -f /etc/docker/daemon.json.new /etc/docker/daemon.json
    node1$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    node1$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    node1$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    node2$ mkdir -p /etc/docker
    node2$ set -eu; umask 077; t=$(mktemp /etc/docker/daemon.json.new.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 96 ] || { echo "$n bytes of 96" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/docker/daemon.json.new <<<{ "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "3" } }
    node2$ if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exit $r; }; touch /etc/docker/.bp-restart-due || exit; fi mv -f /etc/docker/daemon.json.new /etc/docker/daemon.json
    node2$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    node2$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    node2$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    node3$ mkdir -p /etc/docker
    node3$ set -eu; umask 077; t=$(mktemp /etc/docker/daemon.json.new.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 96 ] || { echo "$n bytes of 96" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/docker/daemon.json.new <<<{ "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "3" } }
    node3$ if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exit $r; }; touch /etc/docker/.bp-restart-due || exit; fi mv -f /etc/docker/daemon.json.new /etc/docker/daemon.json
    node3$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    node3$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    node3$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    worker1$ mkdir -p /etc/docker
    worker1$ set -eu; umask 077; t=$(mktemp /etc/docker/daemon.json.new.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 96 ] || { echo "$n bytes of 96" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/docker/daemon.json.new <<<{ "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "3" } }
    worker1$ if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exit $r; }; touch /etc/docker/.bp-restart-due || exit; fi mv -f /etc/docker/daemon.json.new /etc/docker/daemon.json
    worker1$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    worker1$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    worker1$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    worker2$ mkdir -p /etc/docker
    worker2$ set -eu; umask 077; t=$(mktemp /etc/docker/daemon.json.new.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 96 ] || { echo "$n bytes of 96" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/docker/daemon.json.new <<<{ "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "3" } }
    worker2$ if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exit $r; }; touch /etc/docker/.bp-restart-due || exit; fi mv -f /etc/docker/daemon.json.new /etc/docker/daemon.json
    worker2$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    worker2$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    worker2$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
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
    node1$ docker network create --driver overlay --label bp.lab=lab etcd >/dev/null
    node1$ docker load -q <etcd.tar
    node2$ docker load -q <etcd.tar
    node3$ docker load -q <etcd.tar
    node1$ docker load -q <<<(the pause image)
    node2$ docker load -q <<<(the pause image)
    node3$ docker load -q <<<(the pause image)
    node1$ docker config create ca
    node1$ docker secret create ca_key
    node1$ set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf "$d"' EXIT; trap 'exit 129' HUP INT TERM; tar -x -C "$d"; cd "$d" detach=; if docker stack deploy --help | grep -q -- --detach; then detach=--detach=true; fi docker stack deploy -c compose.json --with-registry-auth --resolve-image never $detach bp <<<(an archive)
    node1$ install -d -m 0700 -o root -g root /srv/etcd
    node2$ install -d -m 0700 -o root -g root /srv/etcd
    node3$ install -d -m 0700 -o root -g root /srv/etcd
    node1$ docker secret create tls_etcd
    node1$ docker secret create tls_etcd_client
    node1$ set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf "$d"' EXIT; trap 'exit 129' HUP INT TERM; tar -x -C "$d"; cd "$d" detach=; if docker stack deploy --help | grep -q -- --detach; then detach=--detach=true; fi docker stack deploy -c compose.json --with-registry-auth --resolve-image never $detach etcd <<<(an archive)
    node1$ etcdctl put bp/lab lab
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_asked_to_stop_anywhere_is_continued() {
    for seconds in [0, 2, 5, 9, 10, 11, 12, 13, 15] {
        let bench = bench();
        let (ask, stop) = watch::channel(false);
        let (ran, ()) = tokio::join!(bench.up_until(stop), async {
            sleep(Duration::from_millis(seconds * 1000 + 70)).await;
            let _ = ask.send(true);
        });
        assert_eq!(ran.sums().failed, Some(0), "{}", ran.failures());
        bench.done().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_in_any_command_is_continued() {
    let commands = [
        "set -eu\n# The one that is there",
        "set -eu\nmodules=",
        "set -eu\nsettings=",
        "date +%s.%N",
        "set -eu\ncommand -v apt-get",
        "mkdir -p /etc/docker",
        "set -eu; umask 077",
        "[ -e /etc/docker/.bp-restart-due ] || exit 0",
        "docker swarm init",
        "docker swarm join-token -q manager",
        "set -e; docker swarm join-token --rotate",
        "docker node update",
        "docker network create",
        "docker load",
        "install -d -m 0700",
        "set -e; umask 077; d=$(mktemp -d -p /run)",
    ];
    for command in commands {
        for (fault, times) in
            [Fault::Lost, Fault::LostAfter].into_iter().flat_map(|f| [(f.clone(), 1), (f, 3)])
        {
            let bench = bench();
            // Lost once it is tried again; lost thrice it is a failed step, and the next run goes on.
            bench.site.fault("node1", command, times, fault);
            let first = bench.up().await;
            let most = if times == 1 { 0 } else { 1 };
            assert!(first.sums().failed <= Some(most), "{command}: {}", first.failures());
            bench.done().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_cut_off_comes_back() {
    let bench = bench();
    bench.done().await;
    bench.site.changes();
    bench.site.cut("node2");
    insta::assert_snapshot!(bench.plan().await, @"
    + machines / running / node2: it is off
    ? machines / address / node2: it has no address yet
    ? machines / ssh / node2: node2: the machine is not running
    ? machines / ready / node2: node2: the machine is not running
    ? base / host name / node2: node2: the machine is not running
    ? base / whole name / node2: node2: the machine is not running
    ? base / time service / node2: node2: the machine is not running
    ? base / time servers / node2: node2: the machine is not running
    ? base / packages / node2: node2: the machine is not running
    ? base / time zone / node2: node2: the machine is not running
    ? base / kernel modules / node2: node2: the machine is not running
    ? base / kernel settings / node2: node2: the machine is not running
    ? base / clocks: node2: the machine is not running
    ? dns / addresses: node2: the machine has no address yet
    ? dns / hosts file / node1: node2: the machine has no address yet
    ? dns / hosts file / node2: node2: the machine has no address yet
    ? dns / hosts file / node3: node2: the machine has no address yet
    ? dns / hosts file / worker1: node2: the machine has no address yet
    ? dns / hosts file / worker2: node2: the machine has no address yet
    ? dns / resolves / node1: node2: the machine has no address yet
    ? dns / resolves / node2: node2: the machine has no address yet
    ? dns / resolves / node3: node2: the machine has no address yet
    ? dns / resolves / worker1: node2: the machine has no address yet
    ? dns / resolves / worker2: node2: the machine has no address yet
    ? engine / daemon.json / node2: node2: the machine is not running
    ? engine / packages / node2: node2: the machine is not running
    ? engine / engine / node2: node2: the machine is not running
    ? engine / identities: node2: the machine is not running
    ? swarm / manager / node2: node2: the machine is not running
    ? swarm / tokens: node2: the machine is not running
    ? images / etcd.tar / node2: node2: the machine is not running
    ? stacks / pause image / node2: node2: the machine is not running
    ? stacks / etcd data / node2: node2: the machine is not running
    ? stacks / etcd key: node2: the machine is not running
    ");
    bench.done().await;
    insta::assert_snapshot!(bench.site.changes(), @"provider: start node2");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_lost_is_made_anew_in_its_place() {
    let bench = bench();
    bench.done().await;
    bench.site.changes();
    bench.site.cut("node2");
    bench.site.guest("node2", |g| {
        (g.machine, g.node) = (None, None);
        (g.packages, g.engine, g.enabled, g.etcd_folder) = (false, false, false, false);
        (g.daemon_json, g.images, g.ground) = (None, Default::default(), Ground::default());
        g.engine_id = "ENGINE-anew".to_owned();
    });
    bench.done().await;
    insta::assert_snapshot!(bench.site.changes(), @r#"
    provider: create node2
    provider: start node2
    node2$ set -eu # The one that is there: two of them would fight over the clock. for uni…
    node2$ set -eu modules='overlay br_netfilter vxlan ip_vs ip_vs_rr' for module in $modules; do modprobe $module; done mkdir -p /etc/modules-load.d printf '%s\n' $modules >/etc/modules-load.d/bp.conf.new chmod 0644 /etc/modules-load.d/bp.conf.new mv -f /etc/modules-load.d/bp.conf.new /etc/modules-load.d/bp.conf
    node2$ set -eu settings='net.ipv4.ip_forward = 1 vm.overcommit_memory = 1' mkdir -p /etc/sysctl.d echo "$settings" >/etc/sysctl.d/90-bp.conf.new chmod 0644 /etc/sysctl.d/90-bp.conf.new mv -f /etc/sysctl.d/90-bp.conf.new /etc/sysctl.d/90-bp.conf while read -r key _ want; do echo "$want" >"/proc/sys/$(echo $key | tr . /)"; done </etc/sysctl.d/90-bp.conf
    node2$ mkdir -p /etc/docker
    node2$ set -eu; umask 077; t=$(mktemp /etc/docker/daemon.json.new.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 96 ] || { echo "$n bytes of 96" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/docker/daemon.json.new <<<{ "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "3" } }
    node2$ if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exit $r; }; touch /etc/docker/.bp-restart-due || exit; fi mv -f /etc/docker/daemon.json.new /etc/docker/daemon.json
    node2$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    node2$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    node2$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    node1$ if [ manager = manager ]; then docker node demote node7id >/dev/null || exit; fi; docker node rm --force node7id >/dev/null
    node1$ docker swarm join-token -q manager
    node2$ read -r t && docker swarm join --advertise-addr 10.20.30.12 --listen-addr 0.0.0.0:2377 --token "$t" 10.20.30.11:2377 <<<***
    node1$ set -e; docker swarm join-token --rotate -q worker >/dev/null; docker swarm join-token --rotate -q manager >/dev/null docker node update --label-add bp.lab=lab --label-add bp.host=node2 node19id >/dev/null
    node2$ docker load -q <etcd.tar
    node2$ docker load -q <<<(the pause image)
    node2$ install -d -m 0700 -o root -g root /srv/etcd
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_half_made_lab_is_completed() {
    let bench = bench();
    bench.site.guest("node1", |g| g.machine = Some(Is::Wrong("its disk is missing".to_owned())));
    bench.site.guest("node2", |g| g.machine = Some(Is::Right));
    bench.site.lock().shared.insert("template".to_owned(), Is::Right);
    bench.done().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_with_nothing_to_do_asks_each_host_little() {
    let bench = bench();
    bench.done().await;
    let before = bench.site.lock().asked;
    bench.plan().await;
    // Five hosts: their shell checks, cloud-init, clock, daemon.json, machine id and engine; one
    // view of the swarm; etcd's members once, and its key on each of three.
    assert_eq!(bench.site.lock().asked - before, 5 * 6 + 1 + 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn the_playbook_of_dockers_own_packages_is_shell() {
    let bench = Bench::new(&LAB.replace("source: distro", "version: '28'")).only(&["engine"]);
    for step in bench.steps() {
        if let crate::CheckBy::Shell(script) = &step.check {
            super::shell::is_shell(script);
            assert!(!script.contains("{{"), "{script}");
        }
    }
}
