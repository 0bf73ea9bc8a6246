//! Walls that would lock the operator out, and runs that are cut off.

use crate::firewall::ground::{Ground, address};
use crate::support::bp::wait_until;

/// The port that the blueprint says is forwarded to the one where sshd listens, as a router before
/// the host does it.
fn forwarded(ground: &Ground) {
    let rules = format!(
        "table ip nat {{\nchain output {{\ntype nat hook output priority -100;\n\
         ip daddr {{ {}, {} }} tcp dport 22 dnat to :2222\n}}\n}}\n",
        address(1),
        address(2)
    );
    ground.desk.write("nat.nft", &rules);
    let loaded = ground.desk.command_of("nft", &["-f", "nat.nft"]).status();
    assert!(loaded.unwrap().success());
}

/// With each backend, all at once: most of it is waiting.
fn with_each(what: fn(&str)) {
    std::thread::scope(|scope| {
        for backend in ["nftables", "ufw", "firewalld"] {
            scope.spawn(move || what(backend));
        }
    });
}

#[test]
fn a_wall_that_locks_out_undoes_itself() {
    with_each(locks_out);
}

fn locks_out(backend: &str) {
    let ground = Ground::new(2222);
    forwarded(&ground);
    let walls = format!("{{ backend: {backend}, open: [80/tcp] }}");
    ground.blueprint("", &walls);
    let up = ground.bp(&["up", "--yes"]).exits(1);
    let said = up.out + &up.err;
    assert!(said.contains("with the new walls nobody could log in within 40 s"), "{said}");
    assert!(said.contains("the change undoes itself after 1 min: it has undone itself"), "{said}");
    ground.assert(&[(0, 1, "2222/tcp"), (0, 1, "9999/tcp")], &[]);
    let plan = ground.bp(&["plan"]).exits(3);
    assert!(plan.out.contains("firewall / doors / node1: nothing is closed"), "{}", plan.out);

    // As the hint says.
    ground.blueprint("", &walls.replace("80/tcp", "80/tcp, 2222/tcp"));
    ground.bp(&["up", "--yes"]).exits(0);
    ground.assert(&[(0, 1, "2222/tcp"), (0, 1, "80/tcp")], &[(0, 1, "9999/tcp")]);
}

#[test]
fn a_run_that_is_killed_before_the_confirmation_leaves_nothing() {
    with_each(is_killed);
}

fn is_killed(backend: &str) {
    let ground = Ground::new(22);
    ground.blueprint("", &format!("{{ backend: {backend}, open: [80/tcp] }}"));
    ground.bp(&["up", "--yes"]).exits(0);
    ground.blueprint("", &format!("{{ backend: {backend}, open: [9999/tcp] }}"));
    ground.on(1, "echo 8 >/run/revert-after; : >/run/hold");
    let up = ground.desk.start(&["up", "--yes"]);
    wait_until("the revert is armed", || ground.try_on(1, "[ -e /run/held ]").0);
    up.kill();
    ground.on(1, "rm /run/hold");
    wait_until("the change is made", || ground.on(1, "nft list ruleset").contains("dport 9999"));
    let plan = ground.bp(&["plan"]).exits(3);
    assert!(plan.out.contains("firewall / doors / node1: "), "{}", plan.out);
    ground.until_reverted(1);
    ground.on(1, "rm /run/revert-after");
    ground.assert(&[(0, 1, "80/tcp"), (0, 1, "22/tcp")], &[(0, 1, "9999/tcp")]);
    ground.bp(&["up", "--yes"]).exits(0);
    ground.assert(&[(0, 1, "9999/tcp"), (0, 2, "9999/tcp")], &[(0, 1, "80/tcp")]);
    ground.bp(&["plan"]).exits(0);
}

#[test]
fn a_change_that_takes_longer_than_its_revert_is_confirmed_all_the_same() {
    let ground = Ground::new(22);
    ground.blueprint("", "{ backend: nftables, open: [80/tcp] }");
    // Makes the change when the timer is through and its revert waits for whoever is at work.
    ground.on(
        1,
        "echo 1 >/run/revert-after; cat >/run/bin/nft <<'END'\n#!/bin/sh\n\
         if [ \"$*\" = '-f wanted' ]; then i=0; while [ -e /run/revert.pid ] && [ $i -lt 600 ]; do \
         i=$((i + 1)); sleep 0.05; done; : >/run/was-late; fi\n\
         exec /usr/sbin/nft \"$@\"\nEND\nchmod 755 /run/bin/nft",
    );
    ground.bp(&["up", "--yes"]).exits(0);
    ground.on(1, "[ -e /run/was-late ]");
    ground.assert(&[(0, 1, "80/tcp"), (0, 1, "22/tcp")], &[(0, 1, "9999/tcp")]);
    ground.bp(&["plan"]).exits(0);
}

#[test]
fn two_walls_at_work_are_an_error_with_a_hint() {
    let ground = Ground::new(22);
    ground.blueprint("", "{ backend: nftables }");
    ground.on(1, "ufw allow 22/tcp && ufw --force enable");
    let up = ground.bp(&["up", "--yes"]).exits(1);
    let said = up.out + &up.err;
    assert!(said.contains("ufw and nftables are both at work"), "{said}");
    assert!(said.contains("hint: `ufw disable` there, or `backend: ufw`"), "{said}");
    ground.blueprint("", "{}");
    ground.bp(&["up", "--yes"]).exits(0);
    assert!(ground.on(1, "ufw status").contains("# bp lab"), "ufw is active: `auto` takes it");
    assert!(ground.on(2, "nft list tables").contains("inet bp_lab"), "nftables elsewhere");
    // Another firewall where bp's own table stood: the table goes.
    ground.on(2, "ufw allow 22/tcp && ufw --force enable");
    let plan = ground.bp(&["plan"]).exits(3);
    assert!(plan.out.contains("bp's own table of nftables is there beside it"), "{}", plan.out);
    ground.bp(&["up", "--yes"]).exits(0);
    assert!(!ground.on(2, "nft list tables").contains("inet bp_lab"));
    ground.assert(&[(0, 2, "22/tcp"), (1, 2, "7946/tcp")], &[(0, 2, "9999/tcp")]);
    ground.bp(&["destroy", "--yes"]).exits(0);
    ground.assert(&[(0, 1, "22/tcp")], &[(0, 1, "80/tcp")]);
}
