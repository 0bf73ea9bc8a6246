//! The volume: a guest is killed while a file is being written to it, and comes back.

use crate::bp::{Lab, sh};
use std::time::{Duration, Instant};

/// Appends blocks to a file on the volume until it is told to end; every line of the list beside
/// it is a block that is safely on disk.
const WRITER: &str = "cat >/run/writer.sh <<'SH'
set -e
n=0
while [ ! -e /run/writer-end ]; do
  n=$((n + 1))
  head -c 48000 /dev/urandom | base64 -w 0 | dd of=/srv/docker/ledger bs=64000 oflag=append conv=notrunc,fsync status=none
  echo $n >/run/written
done
SH
rm -f /run/writer-end /run/written; systemd-run --quiet --unit=writer bash /run/writer.sh";

/// Bytes that one block of the writer takes.
const BLOCK: usize = 64_000;

fn written(lab: &Lab) -> usize {
    lab.on("node2", "cat /run/written 2>/dev/null || echo 0").parse().expect("a number")
}

/// Waits until the writer has written this many blocks.
fn until_written(lab: &Lab, count: usize, what: &str) {
    let until = Instant::now() + Duration::from_secs(300);
    while written(lab) < count {
        let state =
            lab.on("node2", "systemctl is-active writer; journalctl -u writer -n 5 --no-pager");
        assert!(state.starts_with("active"), "{what}: {state}");
        assert!(Instant::now() < until, "{what}: {} of {count} blocks", written(lab));
    }
}

/// What is written on one node is read on the others, also while one is cut off; what it missed
/// it has when it is back.
pub fn guest_killed(lab: &Lab) {
    lab.on("node1", "echo from-node1 >/srv/docker/greeting");
    assert_eq!(lab.on("node3", "cat /srv/docker/greeting"), "from-node1");

    lab.on("node2", WRITER);
    until_written(lab, 3, "before anything is cut off");
    // The first manager, which leads the swarm and which bp asks first.
    sh("virsh -q destroy lab-node1", &lab.dir);
    let before = written(lab);
    until_written(lab, before + 5, "after node1 was cut off");
    let plan = lab.expect(&["plan", "lab.yml", "--only", "machines"], 3);
    assert!(plan.marked("+").contains("machines/running/node1"), "{:?}", plan.shown());
    lab.on("node2", "touch /run/writer-end; timeout 120 sh -c 'while systemctl -q is-active writer; do sleep 1; done'; ! systemctl -q is-failed writer");
    let blocks = written(lab);

    // What the services do then is looked at on quicker hosts.
    for phase in ["machines", "gluster", "swarm"] {
        lab.expect(&["up", "lab.yml", "--yes", "--only", phase], 0);
    }
    let nodes = "docker node ls --format '{{.Status}} {{.ManagerStatus}}'";
    lab.in_time("node1", nodes, |said| {
        said.matches("Ready").count() == 3 && !said.contains("Unreachable")
    });
    let heal = lab.on("node1", "gluster volume heal docker info");
    assert_eq!(heal.matches("Number of entries: 0").count(), 3, "{heal}");
    let sums: Vec<String> = ["node1", "node2", "node3"]
        .map(|node| lab.on(node, "sha256sum </srv/gluster/docker/ledger"))
        .into();
    assert!(sums.iter().all(|sum| *sum == sums[0]), "the bricks differ: {sums:?}");
    let size: usize =
        lab.on("node1", "stat -c %s /srv/gluster/docker/ledger").parse().expect("a number");
    assert_eq!(size, blocks * BLOCK, "{blocks} blocks were written");
    lab.on("node2", "rm /srv/docker/ledger /srv/docker/greeting");
}
