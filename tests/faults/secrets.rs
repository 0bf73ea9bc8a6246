//! What must stay secret is nowhere to be seen: not in any process' arguments, not in what a run
//! prints, not in what it keeps.

use super::interrupts::{GATE, at_the_gate, go};
use crate::ssh::sudo::SUDO;
use crate::support::hosts::Hosts;
use std::fs;
use std::path::Path;

const PASSWORD: &str = "open-sesame-4711";

#[test]
fn a_password_for_sudo_is_seen_by_sudo_alone() {
    let mut hosts = Hosts::new(1, GATE);
    hosts.nodes[0].program("sudo", SUDO);
    fs::write(hosts.home(1, "password"), PASSWORD).unwrap();
    hosts.ssh = ", sudo: { password: { env: BP_TEST_PASSWORD } }".to_owned();
    hosts.desk.write("bp.yml", &hosts.blueprint());
    let unset = hosts.desk.bp(&["up"]).exits(2);
    assert!(unset.err.contains("BP_TEST_PASSWORD"), "{}", unset.err);
    let desk = std::mem::replace(&mut hosts.desk, crate::support::bp::Desk::new());
    hosts.desk = desk.env("BP_TEST_PASSWORD", PASSWORD);

    let mut running = at_the_gate(&hosts);
    let mut seen = arguments();
    assert!(seen.iter().any(|a| a.contains("$HOME/go")), "the scan sees the command itself");
    go(&hosts);
    while !running.has_ended() {
        seen.extend(arguments());
    }
    let ran = running.finish().exits(0);
    assert!(fs::read_to_string(hosts.home(1, "sudo.argv")).unwrap().contains("-S"), "it was asked");
    let plan = hosts.desk.bp(&["plan"]).exits(0);
    let failing = "steps:\n  - { name: fails, check: 'false', apply: 'env; exit 1' }\n";
    hosts.desk.write("steps.yml", failing);
    let failed = hosts.desk.bp(&["up", "--json"]).exits(1);
    seen.extend([ran, plan, failed].into_iter().flat_map(|r| [r.out, r.err]));
    assert!(!seen.iter().any(|text| text.contains(PASSWORD)));
    assert!(!any_file_has(&hosts.desk.at(""), PASSWORD));
    assert!(!hosts.nodes[0].log().contains(PASSWORD));
    fs::remove_file(hosts.home(1, "password")).unwrap();
    assert!(!any_file_has(hosts.nodes[0].dir.path(), PASSWORD), "nothing is left on the host");
}

/// The arguments of every process of this machine but this one.
fn arguments() -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if entry.file_name().to_string_lossy().parse::<u32>().is_ok()
            && let Ok(line) = fs::read(entry.path().join("cmdline"))
        {
            all.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
    all
}

fn any_file_has(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => any_file_has(&path, text),
            false => String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(text),
        }
    })
}
