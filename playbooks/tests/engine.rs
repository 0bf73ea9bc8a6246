//! Phase engine.

use super::bench::{Bench, LAB};
use super::fake::Fault;
use serde_json::{Value, json};

fn bench() -> Bench {
    Bench::new(&LAB.replace("'worker{1..2}'", "worker1").replace("'node{1..3}'", "node1"))
        .with_engines()
        .only(&["engine"])
}

#[tokio::test(start_paused = true)]
async fn fresh_and_done() {
    let bench = bench();
    for host in ["node1", "worker1"] {
        bench.site.guest(host, |g| {
            (g.packages, g.engine, g.enabled, g.daemon_json) = (false, false, false, None);
        });
    }
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + engine / daemon.json / node1: log-driver, log-opts in /etc/docker/daemon.json differs
    + engine / daemon.json / worker1: log-driver, log-opts in /etc/docker/daemon.json differs
    + engine / packages / node1: docker.io is not installed
    + engine / packages / worker1: docker.io is not installed
    + engine / engine / node1: curl: (7) Failed to connect to /var/run/docker.sock
    + engine / engine / worker1: curl: (7) Failed to connect to /var/run/docker.sock
    ? engine / identities: node1: docker is not installed
    ---
    node1$ mkdir -p /etc/docker
    node1$ set -eu; umask 077; t=$(mktemp /etc/docker/daemon.json.new.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 96 ] || { echo "$n bytes of 96" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/docker/daemon.json.new <<<{ "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "3" } }
    node1$ if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exit $r; }; touch /etc/docker/.bp-restart-due || exit; fi mv -f /etc/docker/daemon.json.new /etc/docker/daemon.json
    node1$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    node1$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    node1$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    worker1$ mkdir -p /etc/docker
    worker1$ set -eu; umask 077; t=$(mktemp /etc/docker/daemon.json.new.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 96 ] || { echo "$n bytes of 96" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/docker/daemon.json.new <<<{ "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "3" } }
    worker1$ if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exit $r; }; touch /etc/docker/.bp-restart-due || exit; fi mv -f /etc/docker/daemon.json.new /etc/docker/daemon.json
    worker1$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    worker1$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    worker1$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    ---
    applied 4, already true 3, failed 0
    "#);
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 7, failed 0");
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_into_daemon_json_stays() {
    let bench = bench();
    bench.site.guest("node1", |g| {
        let text = r#"{ "debug": true, "log-driver": "journald", "log-opts": { "tag": "x" } }"#;
        g.daemon_json = Some(text.to_owned());
    });
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + engine / daemon.json / node1: log-driver, log-opts in /etc/docker/daemon.json differs
    ---
    node1$ mkdir -p /etc/docker
    node1$ set -eu; umask 077; t=$(mktemp /etc/docker/daemon.json.new.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 113 ] || { echo "$n bytes of 113" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/docker/daemon.json.new <<<{ "debug": true, "log-driver": "json-file", "log-opts": { "max-size": "10m", "max-file": "3" } }
    node1$ if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exit $r; }; touch /etc/docker/.bp-restart-due || exit; fi mv -f /etc/docker/daemon.json.new /etc/docker/daemon.json
    node1$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    node1$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    ---
    applied 1, already true 6, failed 0
    "#);
    let text = bench.site.lock().guests["node1"].daemon_json.clone().expect("written");
    let config: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["debug"], json!(true));
    assert_eq!(bench.site.lock().guests["worker1"].restarts, 0, "nothing changed there");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_json_that_can_not_be_read_is_left_as_it_is() {
    let bench = bench();
    bench.site.guest("node1", |g| g.daemon_json = Some("{ oops".to_owned()));
    insta::assert_snapshot!(bench.transcript().await, @"
    ? engine / daemon.json / node1: /etc/docker/daemon.json is no JSON: key must be a string at line 1 column 3
    ---
    engine / daemon.json / node1: /etc/docker/daemon.json is no JSON: key must be a string at line 1 column 3
    hint: mend it by hand; bp keeps what it does not know and so must be able to read it
    ---
    applied 0, already true 3, failed 1
    ");
    assert_eq!(bench.site.lock().guests["node1"].daemon_json.as_deref(), Some("{ oops"));
}

#[tokio::test(start_paused = true)]
async fn settings_that_dockerd_refuses_are_not_put_in_place() {
    let bench = bench();
    let old = r#"{ "log-driver": "journald" }"#;
    bench.site.guest("node1", |g| {
        g.daemon_json = Some(old.to_owned());
        g.refuses = Some("unable to configure the Docker daemon: unknown log opt 'max-file'");
    });
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    engine / daemon.json / node1: `if command -v dockerd >/dev/null; then dockerd --validate --config-file /etc/docker/daemon.json.new >/dev/null || { r=$?; rm -f /etc/docker/daemon.json.new; exi…` exited with 1
    unable to configure the Docker daemon: unknown log opt 'max-file'
    ");
    let guest = bench.site.lock().guests["node1"].clone();
    assert_eq!(guest.daemon_json.as_deref(), Some(old));
    assert_eq!((guest.daemon_new, guest.restart_due, guest.restarts), (None, false, 0));
    bench.site.guest("node1", |g| g.refuses = None);
    bench.done().await;
    assert_eq!(bench.site.lock().guests["node1"].restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn refused_settings_leave_a_restart_due_that_was_due_before() {
    let bench = bench();
    let before = bench.site.lock().guests["node1"].daemon_json.clone();
    bench.site.guest("node1", |g| {
        (g.restart_due, g.daemon_json) = (true, Some("{}".to_owned()));
        g.refuses = Some("unable to configure the Docker daemon");
    });
    assert_eq!(bench.up().await.sums().failed, Some(1));
    // The settings that the engine does not use yet are wanted again.
    bench.site.guest("node1", |g| g.daemon_json = before);
    insta::assert_snapshot!(bench.plan().await, @"+ engine / daemon.json / node1: the engine runs with its old settings");
    bench.done().await;
    assert_eq!(bench.site.lock().guests["node1"].restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn cut_between_the_file_and_the_restart_the_next_run_restarts() {
    let bench = bench();
    bench.site.guest("node1", |g| g.daemon_json = None);
    bench.site.fault("node1", "[ -e /etc/docker/.bp-restart-due ] || exit 0", 3, Fault::Lost);
    let first = bench.up().await;
    assert_eq!(first.sums().failed, Some(1));
    assert_eq!(bench.site.lock().guests["node1"].restarts, 0);
    bench.site.changes();
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + engine / daemon.json / node1: the engine runs with its old settings
    ---
    node1$ [ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due
    node1$ command -v docker >/dev/null || exit 0 for i in $(seq 100); do s=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null) || { sleep 1; continue; } case $s in inactive*) exit 0;; 'active true') [ "$(docker node inspect self --format '{{.Status.State}}' 2>/dev/null)" = ready ] && exit 0;; 'active false') exit 0;; esac sleep 1 done echo "the node is not back in its swarm: $s" >&2; exit 1
    ---
    applied 1, already true 6, failed 0
    "#);
    assert_eq!(bench.site.lock().guests["node1"].restarts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_dockerd_refuses_is_said_and_the_restart_stays_due() {
    let bench = bench();
    bench.site.guest("node1", |g| g.daemon_json = Some("{\"hosts\": 3}".to_owned()));
    let why = "unable to configure the Docker daemon with file /etc/docker/daemon.json: hosts";
    bench.site.fault(
        "node1",
        "[ -e /etc/docker/.bp-restart-due ] || exit 0",
        1,
        Fault::Says(1, "", why),
    );
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    engine / daemon.json / node1: `[ -e /etc/docker/.bp-restart-due ] || exit 0 systemctl reset-failed docker; systemctl restart docker && rm -f /etc/docker/.bp-restart-due` exited with 1
    unable to configure the Docker daemon with file /etc/docker/daemon.json: hosts
    ");
    assert!(bench.site.lock().guests["node1"].restart_due);
}

#[tokio::test(start_paused = true)]
async fn engines_restart_one_after_another() {
    let bench = Bench::new(LAB).with_swarm().await.only(&["engine"]);
    for host in ["node1", "node2", "node3", "worker1", "worker2"] {
        bench.site.guest(host, |g| g.daemon_json = None);
    }
    bench.done().await;
    let log = bench.site.changes();
    let mut hosts: Vec<&str> = log.lines().filter_map(|l| Some(l.split_once('$')?.0)).collect();
    hosts.dedup();
    assert_eq!(hosts.len(), 5, "hosts took turns: {hosts:?}");
}

#[tokio::test(start_paused = true)]
async fn clones_that_share_an_identity_are_named() {
    for what in ["engine", "machine"] {
        let bench = bench();
        bench.site.guest("worker1", |g| match what {
            "engine" => g.engine_id = "ENGINE-1".to_owned(),
            _ => g.machine_id = format!("{:032x}", 1),
        });
        let ran = bench.up().await;
        if what == "engine" {
            insta::assert_snapshot!(ran.failures(), @"
            engine / identities / : node1 and worker1 have the same engine id ENGINE-1
            hint: take /etc/machine-id and /var/lib/docker out of the template, and make the hosts anew
            ");
        } else {
            insta::assert_snapshot!(ran.failures(), @"
            engine / identities / : node1 and worker1 have the same machine id 00000000000000000000000000000001
            hint: take /etc/machine-id and /var/lib/docker out of the template, and make the hosts anew
            ");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_never_answers_fails_within_its_bound() {
    let bench = bench();
    bench.site.guest("node1", |g| g.engine = false);
    bench.site.fault("node1", "systemctl enable --now docker", 9, Fault::Says(0, "", ""));
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"engine / engine / node1: not true within 5 min: curl: (7) Failed to connect to /var/run/docker.sock");
}
