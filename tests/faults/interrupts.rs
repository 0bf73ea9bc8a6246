//! Runs that are stopped: by another run, by the operator, by a power cut.

use super::existing::STEPS;
use crate::support::bp::{Desk, Running, wait_until};
use crate::support::hosts::Hosts;
use std::time::{Duration, Instant};

/// A step that is being applied until the file `go` is there, and one after it.
pub const GATE: &str = r#"steps:
  - name: gate
    check: test -e "$HOME/gate"
    apply: echo gate >>"$HOME/applied"; while [ ! -e "$HOME/go" ]; do sleep 0.05; done; touch "$HOME/gate"
  - name: after
    check: test -e "$HOME/after"
    apply: echo after >>"$HOME/applied"; touch "$HOME/after"
"#;

/// Opens the gate on every host.
pub fn go(hosts: &Hosts) {
    for node in &hosts.nodes {
        std::fs::write(node.at("go"), "").unwrap();
    }
}

/// A run that is held up at the gate, on every host.
pub fn at_the_gate(hosts: &Hosts) -> Running {
    let running = hosts.desk.start(&["up", "--json"]);
    for node in 1..=hosts.nodes.len() {
        wait_until("the gate is reached", || hosts.noted(node) == ["gate"]);
    }
    running
}

#[test]
fn of_two_runs_the_second_gives_way_and_names_the_first() {
    let hosts = Hosts::new(1, GATE);
    let first = at_the_gate(&hosts);
    let holder = "`bp up` of tester@";
    let pid = format!("(process {})", first.pid());
    // Another folder has another lock; the leader is the same.
    let elsewhere = Desk::with(&hosts.blueprint());
    elsewhere.write("steps.yml", GATE);
    for desk in [&hosts.desk, &elsewhere] {
        let second = desk.bp(&["up"]).exits(4);
        assert!(second.err.contains(holder) && second.err.contains(&pid), "{}", second.err);
        let json = desk.bp(&["up", "--json"]).exits(4).json().pop().unwrap();
        assert_eq!((&json["event"], &json["exit"]), (&"error".into(), &4.into()), "{json}");
    }
    assert!(elsewhere.bp(&["up"]).exits(4).err.contains("(on node1)"));
    for desk in [&hosts.desk, &elsewhere] {
        let destroy = desk.bp(&["destroy", "--yes"]).exits(4);
        assert!(destroy.err.contains(&pid), "{}", destroy.err);
    }
    // Looking is always allowed.
    hosts.desk.bp(&["plan"]).exits(3);
    hosts.desk.bp(&["status"]).exits(3);
    go(&hosts);
    first.finish().exits(0);
    elsewhere.bp(&["up"]).exits(0);
    assert_eq!(hosts.noted(1), ["gate", "after"], "the second did nothing");
}

#[test]
fn an_interrupt_lets_the_step_in_hand_finish() {
    for signal in ["INT", "TERM"] {
        let hosts = Hosts::new(1, GATE);
        let running = at_the_gate(&hosts);
        running.signal(signal);
        go(&hosts);
        let ran = running.finish().exits(130);
        assert_eq!(ran.done()["applied"], 1);
        assert_eq!(ran.events("interrupted").len(), 1);
        assert_eq!(hosts.noted(1), ["gate"], "nothing new is begun");
        let journal = hosts.journals().pop().unwrap();
        let ends: Vec<&str> =
            journal.iter().rev().take(2).map(|l| l["event"].as_str().unwrap()).collect();
        assert_eq!(ends, ["done", "interrupted"]);
        assert_eq!(hosts.desk.bp(&["up", "--json"]).exits(0).applied(), ["steps/after/node1"]);
    }
}

#[test]
fn an_interrupt_does_not_wait_for_a_step_that_does_not_end() {
    let hosts = Hosts::new(2, GATE);
    let running = at_the_gate(&hosts);
    let start = Instant::now();
    running.signal("INT");
    let ran = running.finish().exits(130);
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    assert_eq!(ran.done()["applied"], 0);
    assert_eq!(hosts.journals()[0].last().unwrap()["event"], "done");
    go(&hosts);
    // What the host was at may have come to its end there by itself.
    hosts.desk.bp(&["up"]).exits(0);
    for node in [1, 2] {
        assert!(hosts.home(node, "gate").exists());
        assert_eq!(hosts.noted(node).iter().filter(|n| *n == "after").count(), 1);
    }
}

#[test]
fn a_second_interrupt_ends_the_run_at_once() {
    let hosts = Hosts::new(1, GATE);
    let mut running = at_the_gate(&hosts);
    let start = Instant::now();
    while !running.has_ended() {
        running.signal("INT");
        std::thread::yield_now();
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    running.finish().exits(130);
    go(&hosts);
    hosts.desk.bp(&["up"]).exits(0);
}

#[test]
fn a_run_killed_at_any_step_is_continued_by_the_next() {
    let mut number = 1;
    loop {
        let hosts = Hosts::new(2, STEPS);
        let mut running = hosts.desk.start(&["up", "--json"]);
        if !running.until_boundary(number) {
            break;
        }
        running.kill();
        hosts.desk.bp(&["up"]).exits(0);
        assert_eq!(hosts.desk.bp(&["up", "--json"]).exits(0).done()["applied"], 0);
        for node in [1, 2] {
            let mut noted = hosts.noted(node);
            // The one that the kill cut off may have been begun twice, none that was done was.
            noted.dedup();
            assert_eq!(noted, ["one", "two", "three"], "killed at {number}");
            assert!(hosts.noted(node).len() <= 4, "killed at {number}: {:?}", hosts.noted(node));
        }
        number += 1;
    }
    assert_eq!(number, 15, "two hosts reached, three steps each begun and done");
}
