//! The hosts' walls, measured by connecting, and the change that would lock the operator out.

use crate::bp::{Lab, sh};
use crate::{replaced, write_blueprint};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A host's address on the lab's network.
fn address(lab: &Lab, host: &str) -> String {
    lab.on(host, "hostname -I | tr ' ' '\\n' | grep '^10\\.20\\.30\\.' | head -n 1")
}

/// The ports to which a connection comes about, from the machine under the guests or from a host.
fn reached(lab: &Lab, from: Option<&str>, address: &str, ports: &[u16]) -> Vec<u16> {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let connect = format!(
        "for p in {}; do (timeout 20 bash -c \": </dev/tcp/{address}/$p\" 2>/dev/null && echo $p || :) & done; wait",
        ports.join(" ")
    );
    let said = match from {
        Some(host) => lab.on(host, &connect),
        None => sh(&connect, &lab.dir),
    };
    let mut open: Vec<u16> = said.lines().map(|l| l.parse().expect("a port")).collect();
    open.sort_unstable();
    open
}

/// What concerns the walls only: the rest of the lab is looked at by the stages around.
const UP: &[&str] = &["up", "lab.yml", "--yes", "--only", "firewall"];
const PLAN: &[&str] = &["plan", "lab.yml", "--only", "firewall"];

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
    assert_eq!(reached(lab, Some("node2"), "127.0.0.1", &[9999]), [9999], "nothing listens on it");
    let ports = [22, 2377, 7946, 9999, 24007];
    assert_eq!(reached(lab, Some("node1"), &node2, &ports), [22, 2377, 7946, 24007]);
    assert_eq!(reached(lab, None, &node2, &ports), [22], "open to everybody");

    write_blueprint(lab, &|text| {
        let host = "placepoint: gdc }, brick: /srv/gluster";
        replaced(
            &text,
            &format!("{host} }}\n  node3"),
            &format!("{host}, ports: [9999/tcp] }}\n  node3"),
        )
    });
    let plan = lab.expect(PLAN, 3);
    let only: BTreeSet<String> = ["firewall/doors/node2".to_owned()].into();
    assert_eq!(plan.shown(), only);
    let up = lab.expect(UP, 0);
    assert_eq!(up.applied(), only);
    assert_eq!(reached(lab, None, &node2, &[9999]), [9999], "the file opened it");

    write_blueprint(lab, &|text| text);
    let up = lab.expect(UP, 0);
    assert_eq!(up.applied(), only);
    assert_eq!(reached(lab, None, &node2, &[9999]), [0; 0], "it left the file");
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
    let up = lab.expect(UP, 1);
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
    lab.expect(UP, 0);
}
