//! Phase base.

use super::base_host::Ground;
use super::bench::{Bench, LAB};
use super::fake::Fault;
use crate::limits;
use crate::runbook::{Playbook, render};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A manager and a host outside the swarm, with everything that a blueprint can say.
fn bench() -> Bench {
    let lab = LAB.replace("'worker{1..2}': { role: worker }", "box: { role: none }");
    let base = "base: { timezone: Europe/Berlin, time_servers: [10.0.0.1, ntp.lab.test], \
                packages: [jq, vim] }\n";
    Bench::new(&(lab.replace("'node{1..3}'", "node1") + base)).with_engines().only(&["base"])
}

#[tokio::test(start_paused = true)]
async fn fresh_and_done() {
    let bench = bench();
    for host in ["node1", "box"] {
        bench.site.guest(host, |g| {
            let said = |text: &str| Some(text.to_owned());
            g.ground = Ground { name: said("debian"), whole: said("debian"), ..Ground::default() };
        });
    }
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + base / host name / node1: it calls itself debian
    + base / host name / box: it calls itself debian
    + base / whole name / node1: /etc/hosts knows its whole name as debian
    + base / whole name / box: /etc/hosts knows its whole name as debian
    + base / time service / node1: no time service runs
    + base / time service / box: no time service runs
    + base / time servers / node1: /etc/systemd/timesyncd.conf.d/90-bp.conf does not say 10.0.0.1 ntp.lab.test
    + base / time servers / box: /etc/systemd/timesyncd.conf.d/90-bp.conf does not say 10.0.0.1 ntp.lab.test
    + base / packages / node1: jq is not installed
    + base / packages / box: jq is not installed
    + base / time zone / node1: it is
    + base / time zone / box: it is
    + base / kernel modules / node1: br_netfilter is not loaded
    + base / kernel settings / node1: net.ipv4.ip_forward is 0, it should be 1
    ---
    node1$ set -eu name=node1 echo "$name" >/etc/hostname.bp chmod 0644 /etc/hostname.bp mv -f /etc/hostname.bp /etc/hostname echo "$name" >/proc/sys/kernel/hostname
    box$ set -eu name=box echo "$name" >/etc/hostname.bp chmod 0644 /etc/hostname.bp mv -f /etc/hostname.bp /etc/hostname echo "$name" >/proc/sys/kernel/hostname
    node1$ set -eu # Before all others, which stay: Debian's own place for a host's name is 127.0.1.1. line='127.0.1.1 'node1.lab.internal' 'node1 { echo "$line"; grep -vxF "$line" /etc/hosts || :; } >/etc/hosts.bp chmod 0644 /etc/hosts.bp mv -f /etc/hosts.bp /etc/hosts
    box$ set -eu # Before all others, which stay: Debian's own place for a host's name is 127.0.1.1. line='127.0.1.1 'box.lab.internal' 'box { echo "$line"; grep -vxF "$line" /etc/hosts || :; } >/etc/hosts.bp chmod 0644 /etc/hosts.bp mv -f /etc/hosts.bp /etc/hosts
    node1$ set -eu # The one that is there: two of them would fight over the clock. for uni…
    box$ set -eu # The one that is there: two of them would fight over the clock. for uni…
    node1$ set -eu servers='10.0.0.1 ntp.lab.test' chrony=$(for server in $servers; do echo…
    box$ set -eu servers='10.0.0.1 ntp.lab.test' chrony=$(for server in $servers; do echo…
    node1$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    box$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    node1$ set -eu want=Europe/Berlin [ -f "/usr/share/zoneinfo/$want" ] || { echo "the host knows no time zone $want: is tzdata installed?" >&2; exit 1; } ln -sfn "/usr/share/zoneinfo/$want" /etc/localtime.bp mv -fT /etc/localtime.bp /etc/localtime if [ -e /etc/timezone ]; then echo "$want" >/etc/timezone; fi
    box$ set -eu want=Europe/Berlin [ -f "/usr/share/zoneinfo/$want" ] || { echo "the host knows no time zone $want: is tzdata installed?" >&2; exit 1; } ln -sfn "/usr/share/zoneinfo/$want" /etc/localtime.bp mv -fT /etc/localtime.bp /etc/localtime if [ -e /etc/timezone ]; then echo "$want" >/etc/timezone; fi
    node1$ set -eu modules='overlay br_netfilter vxlan ip_vs ip_vs_rr' for module in $modules; do modprobe $module; done mkdir -p /etc/modules-load.d printf '%s\n' $modules >/etc/modules-load.d/bp.conf.new chmod 0644 /etc/modules-load.d/bp.conf.new mv -f /etc/modules-load.d/bp.conf.new /etc/modules-load.d/bp.conf
    node1$ set -eu settings='net.ipv4.ip_forward = 1 vm.overcommit_memory = 1' mkdir -p /etc/sysctl.d echo "$settings" >/etc/sysctl.d/90-bp.conf.new chmod 0644 /etc/sysctl.d/90-bp.conf.new mv -f /etc/sysctl.d/90-bp.conf.new /etc/sysctl.d/90-bp.conf while read -r key _ want; do echo "$want" >"/proc/sys/$(echo $key | tr . /)"; done </etc/sysctl.d/90-bp.conf
    ---
    applied 14, already true 1, failed 0
    "#);
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 15, failed 0");
    let guests = &bench.site.lock().guests;
    assert_eq!(guests["box"].ground.whole.as_deref(), Some("box.lab.internal"));
    assert_eq!(guests["node1"].ground.servers, "10.0.0.1 ntp.lab.test");
    assert!(!guests["box"].ground.modules, "no node needs no overlay networks");
}

#[tokio::test(start_paused = true)]
async fn a_blueprint_that_says_nothing_leaves_zone_servers_and_packages_alone() {
    let bench = Bench::new(LAB).with_engines().only(&["base"]);
    bench.site.guest("node1", |g| g.ground.zone = "Asia/Tokyo".to_owned());
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 41, failed 0");
}

#[tokio::test(start_paused = true)]
async fn only_what_is_missing_is_made() {
    let bench = bench();
    bench.done().await;
    bench.site.changes();
    bench.site.guest("node1", |g| g.ground.packages.retain(|p| p != "vim"));
    bench.site.guest("box", |g| g.ground.zone = "UTC".to_owned());
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + base / packages / node1: vim is not installed
    + base / time zone / box: it is UTC
    ---
    node1$ set -eu command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp kn…
    box$ set -eu want=Europe/Berlin [ -f "/usr/share/zoneinfo/$want" ] || { echo "the host knows no time zone $want: is tzdata installed?" >&2; exit 1; } ln -sfn "/usr/share/zoneinfo/$want" /etc/localtime.bp mv -fT /etc/localtime.bp /etc/localtime if [ -e /etc/timezone ]; then echo "$want" >/etc/timezone; fi
    ---
    applied 2, already true 13, failed 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn packages_that_can_not_be_had_fail_with_what_apt_says() {
    let bench = bench();
    bench.done().await;
    bench.site.changes();
    bench.site.guest("box", |g| g.ground.packages.clear());
    let why = Fault::Says(1, "", "E: Unable to locate package jq");
    bench.site.fault("box", "set -eu\ncommand -v apt-get", 1, why);
    let failures = bench.up().await.failures();
    assert!(failures.starts_with("base / packages / box: "), "{failures}");
    assert!(failures.ends_with("exited with 1\nE: Unable to locate package jq"), "{failures}");
}

#[tokio::test(start_paused = true)]
async fn clocks_that_are_apart_are_waited_for_and_named() {
    let bench = bench();
    bench.done().await;
    bench.site.guest("box", |g| g.ground.ahead = -3.25);
    insta::assert_snapshot!(bench.plan().await, @"? base / clocks: node1 is 3.2 s ahead of box (measured to 0.0 s), at most 1 s are good");
    let began = tokio::time::Instant::now();
    insta::assert_snapshot!(bench.up().await.failures(), @"
    base / clocks / : not true within 3 min: node1 is 3.2 s ahead of box (measured to 0.0 s), at most 1 s are good
    no time server has answered box
    ");
    assert!(began.elapsed() <= limits::CLOCKS_AGREE, "{:?}", began.elapsed());
    // A clock that somebody sets right in the meantime is good.
    let site = bench.site.clone();
    let (ran, ()) = tokio::join!(bench.up(), async move {
        tokio::time::sleep(limits::CLOCKS_AGREE / 2).await;
        site.guest("box", |g| g.ground.ahead = 0.9);
    });
    assert_eq!(ran.sums().failed, Some(0), "{}", ran.failures());
}

#[tokio::test(start_paused = true)]
async fn clocks_of_hosts_that_are_away_are_not_known_unless_others_differ() {
    let bench = Bench::new(LAB).with_engines().only(&["base"]);
    bench.site.cut("node2");
    let plan = bench.plan().await;
    assert!(plan.ends_with("\n? base / clocks: node2: the machine is not running"), "{plan}");
    bench.site.guest("worker1", |g| g.ground.ahead = 60.0);
    let plan = bench.plan().await;
    assert!(plan.contains("\n? base / clocks: worker1 is 60.0 s ahead of node"), "{plan}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_can_not_tell_the_time_is_not_known() {
    let bench = Bench::new(LAB).with_engines().only(&["base"]);
    bench.site.fault("node3", "date +%s.%N", 1, Fault::Says(0, "1763600000.%N", ""));
    insta::assert_snapshot!(bench.plan().await, @"? base / clocks: node3: `date` says `1763600000.%N`");
}

/// What runs has a file of its own; what it is told is written down.
const SYSTEMCTL: &str = "#!/bin/sh\n\
    if [ \"$1\" = is-active ]; then [ -e \"$ROOT/runs/$3\" ]; else echo \"$*\" >>\"$ROOT/units\"; fi\n";

/// A machine's own folders, as far as the playbook knows them, and stubs of its tools.
fn machine() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let files = [
        ("etc/hosts", "# 1.1.1.1 node1\n127.0.0.1\tlocalhost\n10.1.1.1\tnode1\tother\n"),
        ("etc/localtime", "UTC"),
        ("proc/modules", ""),
        ("proc/sys/kernel/hostname", "debian\n"),
        ("proc/sys/net/ipv4/ip_forward", "0\n"),
        ("proc/sys/vm/overcommit_memory", "0\n"),
        ("run/none", ""),
        ("sys/module/none", ""),
        ("usr/share/zoneinfo/Europe/Berlin", "TZif"),
        ("bin/systemctl", SYSTEMCTL),
        ("bin/modprobe", "#!/bin/sh\nmkdir -p \"$ROOT/sys/module/$1\"\n"),
    ];
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    }
    root
}

/// Runs a script with these folders in the place of the machine's own.
fn really(script: &str, root: &Path) -> (Option<i32>, String) {
    let mut moved = String::new();
    for (at, c) in script.char_indices() {
        let own = ["etc/", "proc/", "run/", "sys/", "usr/"];
        let begins = moved.ends_with(|c: char| !c.is_ascii_alphanumeric());
        if c == '/' && begins && own.iter().any(|o| script[at + 1..].starts_with(o)) {
            moved.push_str(&root.display().to_string());
        }
        moved.push(c);
    }
    let path = format!("{}/bin:{}", root.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    let out = command.args(["-c", &moved]).env("PATH", path).env("ROOT", root).output();
    let out = out.expect("sh runs");
    let said = [out.stdout, out.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim_end().replace(&root.display().to_string(), "");
    (out.status.code(), said)
}

#[test]
fn the_playbook_does_what_it_says() {
    let text = include_str!("../base.yml");
    let playbook: Playbook = serde_saphyr::from_str(text).expect("a playbook");
    let values = json!({
        "host": { "name": "node1", "fqdn": "node1.lab.test" }, "timezone": "Europe/Berlin",
        "time_servers": "10.0.0.1 ntp.lab.test", "packages": [],
    });
    let root = machine();
    let mut reasons = String::new();
    for step in playbook.steps.iter().filter(|s| s.name != "time service" && s.name != "packages") {
        let check = render(&step.check, &values).expect("rendered");
        let apply = render(step.apply.as_ref().expect("an apply"), &values).expect("rendered");
        let (code, why) = really(&check, root.path());
        assert_eq!(code, Some(1), "{}: {why}", step.name);
        reasons += &format!("{}: {why}\n", step.name);
        // Twice: whatever a cut-off run left is no obstacle.
        for _ in 0..2 {
            assert_eq!(really(&apply, root.path()), (Some(0), String::new()), "{}", step.name);
            assert_eq!(really(&check, root.path()), (Some(0), String::new()), "{}", step.name);
        }
    }
    insta::assert_snapshot!(reasons, @"
    host name: it calls itself debian
    whole name: /etc/hosts knows its whole name as node1
    time servers: /etc/systemd/timesyncd.conf.d/90-bp.conf does not say 10.0.0.1 ntp.lab.test
    time zone: it is /etc/localtime
    kernel modules: overlay is not loaded
    kernel settings: net.ipv4.ip_forward is 0, it should be 1
    ");
    let read = |path: &str| std::fs::read_to_string(root.path().join(path)).expect("written");
    let files = [
        "etc/hosts",
        "etc/hostname",
        "proc/sys/kernel/hostname",
        "etc/systemd/timesyncd.conf.d/90-bp.conf",
        "etc/modules-load.d/bp.conf",
        "etc/sysctl.d/90-bp.conf",
        "proc/sys/net/ipv4/ip_forward",
        "units",
    ];
    let all: String = files.map(|f| format!("## {f}\n{}", read(f))).concat();
    insta::assert_snapshot!(all, @"
    ## etc/hosts
    127.0.1.1 node1.lab.test node1
    # 1.1.1.1 node1
    127.0.0.1	localhost
    10.1.1.1	node1	other
    ## etc/hostname
    node1
    ## proc/sys/kernel/hostname
    node1
    ## etc/systemd/timesyncd.conf.d/90-bp.conf
    [Time]
    NTP=10.0.0.1 ntp.lab.test
    ## etc/modules-load.d/bp.conf
    overlay
    br_netfilter
    vxlan
    ip_vs
    ip_vs_rr
    ## etc/sysctl.d/90-bp.conf
    net.ipv4.ip_forward = 1
    vm.overcommit_memory = 1
    ## proc/sys/net/ipv4/ip_forward
    1
    ## units
    restart systemd-timesyncd
    restart systemd-timesyncd
    ");
}

#[test]
fn time_servers_that_left_the_blueprint_leave_the_host_and_a_due_restart_is_seen() {
    let text = include_str!("../base.yml");
    let playbook: Playbook = serde_saphyr::from_str(text).expect("a playbook");
    let step = playbook.steps.iter().find(|s| s.name == "time servers").expect("it is there");
    let root = machine();
    std::fs::create_dir_all(root.path().join("runs")).expect("made");
    std::fs::write(root.path().join("runs/chrony"), "").expect("written");
    let run = |script: &str, servers: &str| {
        let script = render(script, &json!({ "time_servers": servers })).expect("rendered");
        really(&script, root.path())
    };
    let apply = step.apply.as_ref().expect("an apply");
    let file = root.path().join("etc/chrony/sources.d/bp.sources");
    assert_eq!(run(&step.check, "").0, Some(0));
    assert_eq!(run(apply, "a b").0, Some(0));
    let is = std::fs::read_to_string(&file).expect("written");
    assert_eq!(is, "server a iburst\nserver b iburst\n");
    std::fs::write(root.path().join("run/bp-time-restart-due"), "").expect("written");
    let why = "the time service runs with its old servers".to_owned();
    assert_eq!(run(&step.check, "a b"), (Some(1), why));
    assert_eq!(run(apply, "a b").0, Some(0));
    assert_eq!(run(&step.check, "a b").0, Some(0));
    assert_eq!(run(&step.check, "").0, Some(1));
    assert_eq!(run(apply, "").0, Some(0));
    assert_eq!(run(&step.check, "").0, Some(0));
    assert!(!file.exists());

    // Installed is not running, and what bp can not tell is left alone.
    std::fs::rename(root.path().join("runs/chrony"), root.path().join("runs/openntpd"))
        .expect("renamed");
    let why = "bp can tell systemd-timesyncd and chrony their servers, not openntpd: without time_servers it stays as it is";
    assert_eq!(run(&step.check, "a b"), (Some(1), why.to_owned()));
    assert_eq!(run(apply, "a b"), (Some(1), why.to_owned()));
    assert_eq!(run(&step.check, "").0, Some(0));
    assert!(!file.exists());
}

#[test]
fn a_package_that_is_only_a_name_is_said() {
    let text = include_str!("../base.yml");
    let playbook: Playbook = serde_saphyr::from_str(text).expect("a playbook");
    let step = playbook.steps.iter().find(|s| s.name == "packages").expect("it is there");
    let script = step.apply.as_ref().expect("an apply");
    let script = render(script, &json!({ "packages": ["jq", "awk"] })).expect("rendered");
    let root = machine();
    let showpkg = "Package: awk\nVersions: \n\nReverse Depends: \n  base-files,awk\nDependencies: \nProvides: \n\
                   Reverse Provides: \noriginal-awk 1:20220912-2 (= )\nmawk 1.3.4 (= )\ngawk 1:5.2.1 (= )\n";
    let cache = format!(
        "#!/bin/sh\ncase \"$*\" in 'madison jq') echo 'jq | 1.6 | here';; 'madison awk') ;; 'showpkg awk') printf '{}';; *) exit 9;; esac\n",
        showpkg.replace('\n', "\\n")
    );
    for (name, text) in [
        ("apt-cache", cache.as_str()),
        ("dpkg", "#!/bin/sh\n"),
        ("apt-get", "#!/bin/sh\ncase \"$*\" in *' update') ;; *) echo \"$*\"; exit 9;; esac\n"),
    ] {
        let path = root.path().join("bin").join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    }
    let why = "awk is a virtual package: name one of gawk mawk original-awk";
    assert_eq!(really(&script, root.path()), (Some(1), why.to_owned()));
}
