//! What bp does with hosts and their swarm before any service is there: joins, what changed by hand,
//! what changed in the file, two runs at once.

use crate::bp::{Ended, Lab, sh};
use crate::{hosts, replaced};
use std::collections::BTreeSet;

/// The lab without a stack, with a change of its file.
fn write(lab: &Lab, change: impl Fn(String) -> String) {
    hosts::blueprint(lab, &[], "  []\n");
    let file = lab.dir.join("lab.yml");
    let text = std::fs::read_to_string(&file).expect("lab.yml");
    std::fs::write(&file, change(text)).expect("write lab.yml");
}

fn titles(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|&title| title.to_owned()).collect()
}

/// Hosts with nothing on them become a cluster; the token from before the joins is worth nothing after.
pub fn made(lab: &Lab) {
    hosts::fresh();
    write(lab, |text| text);
    lab.kill_when(&["up", "lab.yml", "--yes"], "the first host is a manager", |e| {
        e["event"] == "step_done" && e["step"] == "swarm"
    });
    let token = lab.on("node1", "docker swarm join-token -q manager");
    lab.expect(&["up", "lab.yml", "--yes"], 0);

    lab.on("node1", "docker node demote node3 && until [ \"$(docker node inspect node3 --format '{{.Spec.Role}} {{.ManagerStatus}}')\" = 'worker <nil>' ]; do sleep 1; done");
    lab.on("node3", "docker swarm leave --force");
    let address = lab.on("node1", "docker info --format '{{.Swarm.NodeAddr}}'");
    let join = format!("timeout 60 docker swarm join --token {token} {address}:2377");
    let (code, said) = lab.ssh("node3", &join);
    assert_ne!(code, 0, "an old token still works");
    assert!(said.contains("valid join token is necessary"), "{said}");
    let up = lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert!(up.applied().contains("swarm/manager/node3"), "{:?}", up.applied());
    let nodes = lab.on("node1", "docker node ls -q");
    assert_eq!(nodes.lines().count(), 3, "the node that was left behind is still there");
}

/// What somebody changed by hand is shown by `plan` and mended by `up`, and nothing else is: a name, a
/// rule, a mount.
pub fn by_hand(lab: &Lab) {
    lab.on("node1", "sed -i /traefik.lab.test/d /etc/hosts");
    lab.on(
        "node2",
        "handle=$(nft -a list chain inet bp_lab input | sed -n 's/.*24007.* # handle //p' | head -n 1) && \
         nft delete rule inet bp_lab input handle $handle",
    );
    lab.on("node3", "umount /srv/docker");
    mended(
        lab,
        &titles(&["dns/hosts file/node1", "firewall/doors/node2", "gluster/mount docker/node3"]),
    );
}

/// A label, an availability, a network; the file from before takes them back.
pub fn in_the_file(lab: &Lab) {
    let changes = titles(&["labels/labels/node3", "labels/availability/node3", "networks/pgsql/"]);
    write(lab, |text| {
        let text = replaced(
            &text,
            "  node3: { role: manager,",
            "  node3: { role: manager, labels: { placepoint: north }, availability: pause,",
        );
        replaced(
            &text,
            "networks: [etcd, pgsql,",
            "networks: [etcd, {name: pgsql, attachable: true},",
        )
    });
    assert_eq!(mended(lab, &changes).shown(), changes);
    write(lab, |text| text);
    assert_eq!(mended(lab, &changes).shown(), changes);
}

/// `plan` says that `up` does these, which it does, and then there is nothing to do. Gives the plan.
fn mended(lab: &Lab, expected: &BTreeSet<String>) -> Ended {
    let plan = lab.expect(&["plan", "lab.yml"], 3);
    assert_eq!(plan.marked("+"), *expected);
    assert_eq!(lab.expect(&["up", "lab.yml", "--yes"], 0).applied(), *expected);
    lab.expect(&["plan", "lab.yml"], 0);
    plan
}

/// A second run from the same folder and one from another are kept out by the leader's lock.
pub fn two_runs(lab: &Lab) {
    let wait =
        "steps:\n  - name: wait\n    check: test -e /run/go-on\n    within: 10m\n    on: node1\n";
    std::fs::write(lab.dir.join("wait.yml"), wait).expect("write wait.yml");
    write(lab, |text| {
        text + "phases: [machines, base, dns, firewall, engine, gluster, swarm, labels, networks, \
                images, stacks, ./wait.yml]\n"
    });
    let other = tempfile::tempdir().expect("a folder");
    sh(&format!("cp -a . {}", other.path().display()), &lab.dir);
    let mut first = lab.start(&["up", "lab.yml", "--yes"]);
    first.until("it waits", |e| e["event"] == "waiting" && e["step"] == "wait");
    let here = lab.expect(&["up", "lab.yml", "--yes"], 4);
    let there = Lab { dir: other.path().to_owned() }.expect(&["up", "lab.yml", "--yes"], 4);
    for second in [here, there] {
        let said = second.events.iter().map(ToString::to_string).collect::<String>();
        assert!(said.contains(&format!("process {}", first.pid())), "{said}");
    }
    lab.on("node1", "touch /run/go-on");
    let first = first.end();
    assert_eq!(first.code, Some(0), "{}", first.failures());
}
