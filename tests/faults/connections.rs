//! Connections that are cut, refused, or lead to the wrong host.

use super::existing::STEPS;
use super::interrupts::{GATE, at_the_gate, go};
use crate::support::hosts::{Hosts, fingerprint};
use crate::support::sshd::{keygen, signal, text};
use std::time::{Duration, Instant};

#[test]
fn a_connection_cut_mid_command_is_made_again() {
    let hosts = Hosts::new(2, GATE);
    let running = at_the_gate(&hosts);
    for pid in hosts.nodes[1].sessions() {
        signal("KILL", pid);
    }
    go(&hosts);
    running.finish().exits(0);
    for node in [1, 2] {
        assert!(hosts.home(node, "gate").exists() && hosts.home(node, "after").exists());
    }
    assert_eq!(hosts.noted(1), ["gate", "after"]);
}

#[test]
fn a_host_lost_mid_command_fails_and_is_named() {
    let mut hosts = Hosts::new(2, GATE);
    let running = at_the_gate(&hosts);
    hosts.nodes[1].stop();
    go(&hosts);
    let ran = running.finish().exits(1);
    assert_eq!(ran.steps("step_failed", |_| true), ["steps/gate/node2"]);
    assert_eq!(ran.applied(), ["steps/after/node1", "steps/gate/node1"]);
    assert!(ran.events("step_failed")[0]["error"].as_str().unwrap().contains("node2"), "{ran:?}");
}

#[test]
fn a_wrong_host_key_is_refused_at_once() {
    let hosts = Hosts::new(2, STEPS);
    let right = crate::support::hosts::fingerprint(&hosts.nodes[0]);
    hosts.desk.write("bp.yml", &hosts.blueprint_with(&[right.clone(), right.clone()]));
    let start = Instant::now();
    let ran = hosts.desk.bp(&["up", "--json"]).exits(1);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let failed = ran.events("step_failed");
    assert_eq!(ran.steps("step_failed", |_| true), ["machines/ssh/node2"]);
    let error = failed[0]["error"].as_str().unwrap();
    assert!(error.contains("host key") && error.contains(&right), "{error}");
    assert_eq!(hosts.noted(1), ["one", "two", "three"], "the other host finishes");
    assert!(hosts.noted(2).is_empty());
    let plan = hosts.desk.bp(&["plan", "--json"]).exits(3);
    assert!(plan.steps("survey", |e| e["mark"] == "=").iter().all(|s| !s.ends_with("node2")));
}

#[test]
fn a_host_that_known_hosts_does_not_know_is_refused_at_once() {
    let hosts = Hosts::new(1, STEPS);
    let (port, key) = (hosts.nodes[0].port, hosts.nodes[0].at("key"));
    let blueprint = hosts.blueprint();
    let (head, tail) = blueprint.split_once(", fingerprint").unwrap();
    let tail = tail.split_once('"').unwrap().1.split_once('"').unwrap().1;
    hosts.desk.write("bp.yml", &format!("{head}{tail}"));
    let ran = hosts.desk.bp(&["up"]).exits(1);
    assert!(ran.out.contains("machines / ssh / node1"), "{}", ran.out);
    assert!(hosts.noted(1).is_empty(), "{} {key:?}", port);
    std::fs::create_dir(hosts.desk.at(".ssh")).unwrap();
    let line = format!("[127.0.0.1]:{port} {}", hosts.nodes[0].host_key("ed25519"));
    hosts.desk.write(".ssh/known_hosts", &line);
    hosts.desk.bp(&["up"]).exits(0);
}

#[test]
fn ssh_takes_the_key_of_the_fingerprint_and_no_other() {
    let hosts = Hosts::new(2, STEPS);
    hosts.desk.bp(&["ssh", "node1", "--", "true"]).exits(0);
    let config = hosts.desk.bp(&["inventory", "--format", "ssh-config"]).exits(0);
    hosts.desk.write("config", &config.out);
    let mut ssh = hosts.desk.command_of("ssh", &["-F", "config", "node1", "true"]);
    assert!(ssh.status().expect("ssh starts").success(), "{}", config.out);
    let right = fingerprint(&hosts.nodes[0]);
    hosts.desk.write("bp.yml", &hosts.blueprint_with(&[right.clone(), right]));
    hosts.desk.bp(&["ssh", "node1", "--", "true"]).exits(0);
    let refused = hosts.desk.bp(&["ssh", "node2", "--", "true"]).exits(255);
    assert!(refused.err.contains("Host key verification failed"), "{}", refused.err);
}

#[test]
fn a_key_that_cannot_be_read_is_refused_at_once() {
    let hosts = Hosts::new(1, STEPS);
    std::fs::write(hosts.home(1, "key"), "no key at all\n").unwrap();
    let start = Instant::now();
    let ran = hosts.desk.bp(&["up", "--json"]).exits(1);
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    let error = ran.events("step_failed")[0]["error"].to_string();
    assert!(error.contains(&text(&hosts.home(1, "key"))), "{error}");
    // With a passphrase it can't be read either.
    std::fs::remove_file(hosts.home(1, "key")).unwrap();
    keygen(&["-q", "-t", "ed25519", "-N", "secret", "-f", &text(&hosts.home(1, "key"))]);
    hosts.desk.bp(&["up"]).exits(1);
    assert!(hosts.noted(1).is_empty());
}
