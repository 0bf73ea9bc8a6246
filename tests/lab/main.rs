//! The main path on real virtual machines, and what may go wrong on it; the services on other hosts.
//!
//! Each runs inside a ground of its own: see `tests/lab/ground.sh`, `make test` and `make services`.
//! Three tests, in stages: a lab is too dear to be made for each.

#![expect(clippy::print_stdout, reason = "the log of a lab that failed is read by people")]

mod bp;
mod cluster;
mod hosts;
mod lost;
mod names;
mod services;
mod stacks;
mod volume;
mod walls;

use bp::{Ended, Lab, applies, sh, title};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[test]
fn the_main_path() {
    let temp = tempfile::tempdir().expect("a folder");
    let lab = Lab { dir: temp.path().to_owned() };
    let _server = names::PowerDns::start(&lab);
    write_blueprint(&lab, &|text| text);
    foreign_things(&lab);
    through(&lab, &STAGES);
    foreign_things_are_whole(&lab);
}

/// On hosts that share this machine's kernel, and so its speed: see `tests/lab/hosts.sh`.
#[test]
fn the_services() {
    let temp = tempfile::tempdir().expect("a folder");
    through(&Lab { dir: temp.path().to_owned() }, services::STAGES);
}

/// On other such hosts, beside them.
#[test]
fn their_changes() {
    let temp = tempfile::tempdir().expect("a folder");
    through(&Lab { dir: temp.path().to_owned() }, services::CHANGES);
}

fn through(lab: &Lab, stages: &[(&str, Stage)]) {
    for (name, stage) in stages {
        let began = Instant::now();
        println!("stage: {name}");
        stage(lab);
        println!("stage: {name}: passed in {} s", began.elapsed().as_secs());
    }
}

/// A part of a test, on the lab as the parts before have left it.
pub type Stage = fn(&Lab);

const STAGES: [(&str, Stage); 11] = [
    ("killed while machines are made, then destroyed without a record", killed_then_destroyed),
    ("killed while machines are made and while the swarm joins, then up", killed_then_up),
    ("right after up there is nothing to do", nothing_to_do),
    ("names are answered, also after one was changed by hand", names::changed_by_hand),
    ("etcd: written through one member, read through another", etcd),
    ("no secret where it does not belong", secrets),
    ("walls: wanted ports are open, others closed", walls::measured),
    ("a second lab beside it comes and goes", names::second_lab),
    ("a published port answers on every node, through the mesh", stacks::mesh),
    ("the first manager is killed while a file is written, and comes back", volume::guest_killed),
    ("destroy leaves nothing, the record being gone", destroyed),
];

/// The repository's folder.
fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").to_owned()
}

/// The shipped lab, with the test's own archives and changes.
pub fn write_blueprint(lab: &Lab, change: &dyn Fn(String) -> String) {
    let images = repository().join("target/images");
    let text = std::fs::read_to_string(repository().join("blueprints/lab.yml")).expect("lab.yml");
    let both = format!("[{}/etcd.tar, {}/web.tar]", images.display(), images.display());
    let changed = replaced(&text, "[../target/images/etcd.tar]", &both);
    // They take apt five minutes on an emulated machine: the hosts of the services get the engine from it.
    let suite = "{ suite: trixie, packages: [docker.io, docker-cli, glusterfs-server] }";
    let changed = replaced(&changed, "{ suite: trixie }", suite);
    let named = replaced(&changed, "\nfirewall:", &format!("{}\nfirewall:", names::DNS));
    let phases = "phases: [machines, base, ./quick.yml, dns, firewall, engine, gluster, swarm, labels, \
                  networks, images, stacks]\n";
    std::fs::write(lab.dir.join("quick.yml"), QUICK).expect("write quick.yml");
    std::fs::write(lab.dir.join("lab.yml"), change(named) + phases).expect("write lab.yml");
}

/// Every `gluster` command starts a Python to ask whether there is geo-replication, and its daemon does
/// when it starts, which is most of the time that either takes.
const QUICK: &str = "why: no geo-replication here
steps:
  - name: no geo-replication
    check: '[ ! -e /usr/lib/x86_64-linux-gnu/glusterfs/gsyncd ]'
    apply: rm /usr/lib/x86_64-linux-gnu/glusterfs/gsyncd
";

/// Replaces a part of the blueprint that has to be there.
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "lab.yml has no `{from}`");
    text.replace(from, to)
}

const FOREIGN: &str = "
virsh -q define /dev/stdin <<'XML'
<domain type='qemu'><name>lab-node9</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64'>hvm</type></os><features><acpi/></features></domain>
XML
virsh -q vol-create-as default lab-node1-00000000.qcow2 1M --format qcow2
virsh -q net-define /dev/stdin <<'XML'
<network><name>lab2</name><ip address='10.99.7.1' netmask='255.255.255.0'/></network>
XML
";

/// Look-alikes without the lab's tag, which nothing may touch.
fn foreign_things(lab: &Lab) {
    sh(FOREIGN, &lab.dir);
}

fn foreign_things_are_whole(lab: &Lab) {
    let all = everything(lab);
    let expected = ["domain lab-node9", "network lab2", "volume lab-node1-00000000.qcow2"];
    assert_eq!(all, expected.map(str::to_owned).into());
    sh(
        "virsh -q undefine lab-node9; virsh -q net-undefine lab2; \
        virsh -q vol-delete --pool default lab-node1-00000000.qcow2",
        &lab.dir,
    );
}

/// All domains, networks and volumes of the hypervisor.
fn everything(lab: &Lab) -> BTreeSet<String> {
    let list = "virsh -q list --all --name | sed '/^$/d;s/^/domain /'
        virsh -q net-list --all --name | sed '/^$/d;s/^/network /'
        virsh -q vol-list default | awk 'NF { print \"volume\", $1 }'";
    sh(list, &lab.dir).lines().map(str::to_owned).collect()
}

fn killed_then_destroyed(lab: &Lab) {
    let plan = lab.expect(&["plan", "lab.yml"], 3);
    // The stranger made the zone; nothing else is there.
    assert_eq!(plan.marked("="), ["dns/zone/".to_owned()].into());
    lab.kill_when(&["up", "lab.yml", "--yes"], "a machine is started", |e| {
        e["event"] == "applying" && e["step"] == "running"
    });
    std::fs::remove_dir_all(lab.dir.join(".bp")).expect("the record is removed");
    lab.expect(&["destroy", "lab.yml", "--yes"], 0);
    assert_eq!(everything(lab).len(), 3, "left: {:?}", everything(lab));
    names::only_the_strangers(lab);
}

fn killed_then_up(lab: &Lab) {
    let shown = lab.expect(&["plan", "lab.yml"], 3).shown();
    lab.kill_when(&["up", "lab.yml", "--yes"], "a machine is made", |e| {
        e["event"] == "step_done" && e["step"] == "machine"
    });
    lab.kill_when(&["up", "lab.yml", "--yes"], "the first host is a manager", |e| {
        e["event"] == "step_done" && e["step"] == "swarm"
    });
    // Emulated guests on a busy machine miss heartbeats of five seconds: that is no loss of a node.
    lab.on("node1", "docker swarm update --dispatcher-heartbeat 20s");
    // What the joins are to make worthless.
    let token = lab.on("node1", "docker swarm join-token -q manager");
    std::fs::write(lab.dir.join("old-token"), token).expect("write the token");
    watch_arguments(lab);
    lab.kill_when(&["up", "lab.yml", "--yes"], "the second manager joins", |e| {
        applies(e, "swarm/manager/node2")
    });
    let mut up = lab.start(&["up", "lab.yml", "--yes"]);
    up.until("all have joined", |e| e["event"] == "step_done" && title(e) == "swarm/tokens/");
    // It keeps an emulated machine busy.
    for host in WATCHED {
        lab.on(host, "systemctl stop watch-arguments");
    }
    let up = up.ends_with(0);
    let unshown: Vec<_> = up.applied().difference(&shown).cloned().collect();
    assert!(unshown.is_empty(), "applied, and not shown: {unshown:?}");
}

/// Waits until everything is true: a machine that shares its cores is late now and then.
pub fn settled(lab: &Lab) {
    let until = Instant::now() + Duration::from_secs(900);
    loop {
        let status = lab.run(&["status", "lab.yml"]);
        if status.code == Some(0) {
            return;
        }
        status.show();
        assert!(Instant::now() < until, "the lab does not settle");
    }
}

fn nothing_to_do(lab: &Lab) {
    settled(lab);
    let plan = empty_plan(lab);
    // Where no secret is to stand, as is looked at later.
    let said: String = plan.events.iter().map(ToString::to_string).collect();
    std::fs::write(lab.dir.join("said"), said).expect("write said");
    let up = lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert_eq!(up.last()["applied"], 0, "{:?}", up.applied());
}

/// A plan with nothing in it. Something that is waited for for a moment is `?`; nothing is ever `+`.
fn empty_plan(lab: &Lab) -> Ended {
    let until = Instant::now() + Duration::from_secs(900);
    loop {
        let plan = lab.run(&["plan", "lab.yml"]);
        if plan.code == Some(0) {
            assert_eq!(plan.shown(), BTreeSet::new());
            return plan;
        }
        plan.show();
        assert_eq!(plan.marked("+"), BTreeSet::new());
        assert!(Instant::now() < until, "the plan does not become empty");
    }
}

/// `etcdctl` on the member of a node.
pub fn etcdctl(node: &str, args: &str) -> String {
    format!(
        "docker exec $(docker ps -q --filter label=com.docker.swarm.service.name=etcd_etcd-{node}) \
         etcdctl --command-timeout=20s {args}"
    )
}

fn etcd(lab: &Lab) {
    lab.in_time("node1", &etcdctl("node1", "put greeting hello"), |said| said.starts_with("OK"));
    let get = etcdctl("node3", "get greeting --print-value-only");
    lab.in_time("node3", &get, |read| read == "hello");
    lab.in_time("node2", &etcdctl("node2", "endpoint health --cluster"), |said| {
        said.matches("is healthy").count() == 3
    });
    let nodes = "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}'";
    lab.in_time("node1", nodes, |said| {
        said.lines().count() == 3 && said.matches("Leader").count() == 1
    });
    let networks = "docker network ls --filter driver=overlay --format '{{.Name}}'";
    lab.in_time("node2", networks, |said| {
        let there = |name: &str| said.lines().any(|line| line == name);
        ["etcd", "pgsql", "redis", "traefik", "gitlab"].into_iter().all(there)
    });
    let label = "docker node inspect node3 --format '{{.Spec.Labels.placepoint}}'";
    lab.in_time("node1", label, |said| said == "rp");
}

/// The hosts that join.
const WATCHED: [&str; 2] = ["node2", "node3"];

/// Notes, on the joining hosts, every process that has a join token among its arguments.
fn watch_arguments(lab: &Lab) {
    let watch = "cat >/run/watch.sh <<'SH'
while :; do
for f in $(grep -laF SWMTKN /proc/[0-9]*/cmdline 2>/dev/null); do tr '\\0' ' ' <$f >>/run/seen 2>/dev/null; echo >>/run/seen; done
read -t 0.2 _ <> <(:) || :
done
SH
: >/run/seen; systemd-run --quiet --unit=watch-arguments bash /run/watch.sh";
    for host in WATCHED {
        lab.on(host, watch);
    }
}

fn secrets(lab: &Lab) {
    for host in WATCHED {
        let seen = lab.on(host, "sort -u /run/seen");
        let lines: Vec<&str> =
            seen.lines().filter(|l| !l.trim().is_empty() && !l.contains("grep -laF")).collect();
        assert!(!lines.is_empty(), "nobody saw {host} join: the watch is blind");
        for line in lines {
            let docker = line.contains("docker swarm join ") && !line.starts_with("sh -c");
            assert!(docker, "a token among the arguments of `{line}` on {host}");
        }
    }
    let key = std::fs::read_to_string(lab.dir.join(".bp/lab/id_ed25519")).expect("the lab's key");
    let key = key.lines().nth(2).expect("a key has lines").to_owned();
    let old = std::fs::read_to_string(lab.dir.join("old-token")).expect("the token");
    let ask = "docker swarm join-token -q worker";
    let new = lab.in_time("node1", ask, |said| said.starts_with("SWMTKN-") && !said.contains('\n'));
    let journals = sh("cat .bp/lab/journal/*", &lab.dir);
    let said = std::fs::read_to_string(lab.dir.join("said")).expect("the events of a plan");
    assert!(said.contains("\"surveyed\""), "no plan: {said}");
    let own = [key.as_str(), old.as_str(), new.as_str(), names::API_KEY];
    for secret in own.into_iter().chain(["PRIVATE KEY", "SWMTKN-"]) {
        assert!(!journals.contains(secret), "a secret stands in the journal");
        assert!(!said.contains(secret), "a secret stands in the events");
    }
    let loose = sh("find .bp ! -type l -perm /077", &lab.dir);
    assert_eq!(loose, "", "others may read this");
    for host in ["node1", "node2", "node3"] {
        let find = "grep -rlsE 'SWMTKN-1-|OPENSSH PRIVATE KEY' /tmp /var/tmp /root /home /etc /var/lib/cloud /var/log \
            --exclude-dir=journal | xargs -r stat -c '%a %n' | grep -vE '^[0-7]00 ' || true";
        assert_eq!(lab.on(host, find), "", "secrets that others may read on {host}");
    }
}

fn destroyed(lab: &Lab) {
    std::fs::remove_dir_all(lab.dir.join(".bp")).expect("the record is removed");
    lab.expect(&["destroy", "lab.yml", "--yes"], 0);
    let left = sh("find .bp -type f ! -path '*/journal/*'", &lab.dir);
    assert_eq!(left, "", "left of the lab's folder");
    assert_eq!(everything(lab).len(), 3, "left: {:?}", everything(lab));
    names::only_the_strangers(lab);
}
