//! Which blueprint is meant, and what is said of one that is wrong.

use crate::support::bp::Desk;
use std::fs;

const RIGHT: &str =
    "version: 1\nname: lab\nhosts: { node1: { role: manager, address: 127.0.0.1 } }\n";

#[test]
fn the_blueprint_is_found() {
    let desk = Desk::new();
    let none = desk.bp(&["check"]).exits(2);
    assert!(
        none.err.contains("there is no blueprint here") && none.err.contains("hint:"),
        "{}",
        none.err
    );
    // What is none: a playbook, a compose file, another version, another ending.
    desk.write("playbook.yml", "steps: []\n");
    desk.write("compose.yml", "services: {}\n");
    desk.write("later.yml", &RIGHT.replace("version: 1", "version: 12"));
    desk.write("blueprint.txt", RIGHT);
    desk.bp(&["check"]).exits(2);
    desk.write("one.yml", &format!("# mine\n{}", RIGHT.replace("version: 1", "version: 1 # yes")));
    assert!(desk.bp(&["check"]).exits(0).out.contains("`one.yml` is right: 1 host, 0 stacks"));
    desk.write("two.yml", RIGHT);
    let two = desk.bp(&["check"]).exits(2);
    assert!(two.err.contains("`one.yml`, `two.yml`"), "{}", two.err);
    desk.write("bp.yml", RIGHT);
    assert!(desk.bp(&["check"]).exits(0).out.contains("`bp.yml`"));
    assert!(desk.bp(&["check", "two.yml"]).exits(0).out.contains("`two.yml`"));
    let missing = desk.bp(&["check", "three.yml"]).exits(2);
    assert!(missing.err.contains("`three.yml`"), "{}", missing.err);
    desk.bp(&["check", "."]).exits(2);
}

#[test]
fn every_problem_of_a_broken_blueprint_is_said_and_nothing_is_touched() {
    let broken = "version: 1\nname: Lab!\nhosts:\n  node1: { rol: manager }\n  node2: { address: 300.1.2.3.4: }\n";
    let desk = Desk::with(
        "version: 1\nname: Lab!\ncolour: red\nhosts:\n  node1: { rol: manager, address: 127.0.0.1 }\n  node2: {}\n",
    );
    for args in [
        &["check"][..],
        &["plan"],
        &["up"],
        &["up", "--yes"],
        &["status"],
        &["destroy", "--yes"],
        &["inventory"],
        &["ssh", "node1"],
    ] {
        let ran = desk.bp(args).exits(2);
        assert!(ran.out.is_empty(), "{ran:?}");
        for said in [
            "bp.yml:2:7",
            "bp.yml:3:1",
            "bp.yml:5:12",
            "did you mean `role`?",
            "bp.yml:6:",
            "nothing was touched",
        ] {
            assert!(ran.err.contains(said), "{said}: {}", ran.err);
        }
    }
    let json = desk.bp(&["check", "--json"]).exits(2);
    let lines = json.json();
    let (last, diagnostics) = lines.split_last().unwrap();
    assert_eq!((&last["event"], &last["exit"]), (&"error".into(), &2.into()));
    assert!(diagnostics.len() >= 4 && diagnostics.iter().all(|d| d["event"] == "diagnostic"));
    assert!(json.err.is_empty(), "{}", json.err);
    desk.write("bp.yml", broken);
    assert!(desk.bp(&["check"]).exits(2).err.contains("bp.yml:5:"));
    assert_eq!(desk.names(), ["bp.yml"], "no folder is made");
}

#[test]
fn a_warning_is_said_and_stops_nothing() {
    let desk = Desk::with(
        "version: 1\nname: lab\nhosts:\n  node1: { role: manager, address: 127.0.0.1 }\n  \
         node2: { role: manager, address: 127.0.0.2 }\n",
    );
    let ran = desk.bp(&["check"]).exits(0);
    assert!(ran.err.starts_with("bp.yml:5:3: warning: 2 managers"), "{}", ran.err);
    assert!(ran.out.contains("is right"), "{}", ran.out);
    assert_eq!(desk.bp(&["check", "--json"]).exits(0).done()["hosts"], 2);
}

#[test]
fn a_broken_playbook_is_found_before_anything_is_touched() {
    let desk = Desk::with(&format!("{RIGHT}phases: [machines, ./steps.yml]\n"));
    assert!(desk.bp(&["check"]).exits(2).err.contains("steps.yml"), "it does not exist");
    for (playbook, said) in [
        ("steps: [{ name: a }]", "check"),
        ("steps: [{ name: a, check: 'true', when: x }]", "when"),
        ("steps: [{ name: a, check: '{{nothing}}' }]", "nothing"),
        ("steps: [{ name: a, check: 'true', on: node9 }]", "node9"),
        ("steps: [{ name: a, check: '{{#if lab}}true{{/if}}' }]", "no conditions"),
        ("steps: [{ name: a, check: 'true', within: soon }]", "soon"),
        ("steps: {", "steps.yml"),
    ] {
        desk.write("steps.yml", playbook);
        for verb in ["plan", "up"] {
            let ran = desk.bp(&[verb]).exits(2);
            assert!(
                ran.err.contains("steps.yml") && ran.err.contains(said),
                "{playbook}: {}",
                ran.err
            );
        }
    }
    // A run that began to look leaves its record, and no more.
    let _ = fs::remove_dir_all(desk.at(".bp"));
    assert_eq!(desk.names(), ["bp.yml", "steps.yml"]);
}
