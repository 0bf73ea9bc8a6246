//! The hosts' walls, measured by connecting, and the change that would lock the operator out.

use crate::bp::{Lab, sh};
use crate::{replaced, write_blueprint};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A host's address on the lab's network.
fn address(lab: &Lab, host: &str) -> String {
    lab.on(host, "hostname -I | tr ' ' '\\n' | grep '^10\\.20\\.30\\.' | head -n 1")
}

/// Whether a connection to a port comes about, from the machine under the guests or from a host.
fn reaches(lab: &Lab, from: Option<&str>, address: &str, port: u16) -> bool {
    let connect = format!("timeout 10 bash -c ': </dev/tcp/{address}/{port}' 2>/dev/null");
    match from {
        Some(host) => lab.ssh(host, &connect).0 == 0,
        None => sh(&format!("{connect} && echo yes || echo no"), &lab.dir) == "yes",
    }
}

/// Something that listens on a port of a host, until it is stopped.
fn listen(lab: &Lab, host: &str, port: u16) {
    lab.on(
        host,
        &format!(
            "systemd-run --quiet --unit=door-{port} python3 -m http.server {port} && \
             timeout 120 sh -c 'until ss -Hltn sport = :{port} | grep -q .; do sleep 1; done'"
        ),
    );
}

/// Wanted ports are open to those who need them, others are closed though something listens.
pub fn measured(lab: &Lab) {
    let node2 = address(lab, "node2");
    listen(lab, "node2", 9999);
    assert!(reaches(lab, Some("node2"), "127.0.0.1", 9999), "nothing listens on 9999");
    for port in [22, 2377, 7946, 24007] {
        assert!(reaches(lab, Some("node1"), &node2, port), "{port} of node2 is closed to node1");
    }
    assert!(reaches(lab, None, &node2, 22), "22 of node2 is closed to the operator");
    for port in [2377, 7946, 24007, 9999] {
        assert!(!reaches(lab, None, &node2, port), "{port} of node2 is open to everybody");
    }
    assert!(!reaches(lab, Some("node1"), &node2, 9999), "9999 of node2 is open to node1");

    write_blueprint(lab, &|text| {
        let host = "placepoint: gdc }, brick: /srv/gluster";
        replaced(
            &text,
            &format!("{host} }}\n  node3"),
            &format!("{host}, ports: [9999/tcp] }}\n  node3"),
        )
    });
    let plan = lab.expect(&["plan", "lab.yml"], 3);
    let only: BTreeSet<String> = ["firewall/doors/node2".to_owned()].into();
    assert_eq!(plan.shown(), only);
    let up = lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert_eq!(up.applied(), only);
    assert!(reaches(lab, None, &node2, 9999), "the port that the file opened is closed");

    write_blueprint(lab, &|text| text);
    let up = lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert_eq!(up.applied(), only);
    assert!(!reaches(lab, None, &node2, 9999), "the port that left the file is open");
    lab.on("node2", "systemctl stop door-9999");
}

/// An sshd behind a redirect: the door for its public port lets nobody in, so the change has to
/// undo itself.
pub fn locked_out(lab: &Lab) {
    let port = "2200";
    lab.on(
        "node3",
        &format!(
            "printf 'Port 22\\nPort {port}\\n' >/etc/ssh/sshd_config.d/moved.conf && \
             systemctl disable -q --now ssh.socket 2>/dev/null; systemctl restart ssh && \
             nft destroy table inet bp_lab && \
             nft 'table ip moved {{ chain in {{ type nat hook prerouting priority dstnat; \
             tcp dport 22 redirect to :{port}; }}; }}'"
        ),
    );
    lab.on("node3", "true");
    let up = lab.expect(&["up", "lab.yml", "--yes"], 1);
    let said = up.failures();
    assert!(said.contains("firewall/doors/node3"), "{said}");
    assert!(said.contains("undo"), "{said}");
    // Within the bound of the revert, somebody new gets in again.
    let until = Instant::now() + Duration::from_secs(300);
    while lab.ssh("node3", "true").0 != 0 {
        assert!(Instant::now() < until, "node3 stays locked");
    }
    let left = lab.on("node3", "nft list tables");
    assert!(!left.contains("bp_lab"), "the change was not undone: {left}");
    lab.on(
        "node3",
        "nft delete table ip moved; rm /etc/ssh/sshd_config.d/moved.conf; systemctl restart ssh",
    );
    lab.expect(&["up", "lab.yml", "--yes"], 0);
}
