//! The verbs that touch nothing, and the words that are wrong.

use crate::support::bp::Desk;
use std::process::{Command, Stdio};

const VERBS: [&str; 15] = [
    "up",
    "plan",
    "status",
    "destroy",
    "backup",
    "restore",
    "check",
    "schema",
    "init",
    "ssh",
    "inventory",
    "ca",
    "secret",
    "completions",
    "images",
];

#[test]
fn every_verb_has_help() {
    let desk = Desk::new();
    let all = desk.bp(&["--help"]).exits(0);
    assert!(
        all.out.contains("Exit codes:") && all.out.contains("another run holds"),
        "{}",
        all.out
    );
    for verb in VERBS {
        assert!(all.out.contains(&format!("\n  {verb} ")), "{verb}: {}", all.out);
        let help = desk.bp(&[verb, "--help"]).exits(0);
        assert!(help.out.contains(&format!("Usage: bp {verb}")), "{}", help.out);
        assert!(help.out.contains("--json") && help.err.is_empty(), "{}", help.out);
    }
    assert!(desk.bp(&["--version"]).exits(0).out.starts_with("bp "));
    assert_eq!(desk.names(), [""; 0]);
}

#[test]
fn words_that_are_no_arguments_are_wrong_input() {
    let desk = Desk::new();
    for args in [
        &["upp"][..],
        &[],
        &["up", "--olny", "machines"],
        &["up", "--only", "machines", "--from", "swarm"],
        &["up", "--parallel", "many"],
        &["completions", "tcsh"],
        &["inventory", "--format", "xml"],
        &["ssh"],
    ] {
        let wrong = desk.bp(args).exits(2);
        assert!(wrong.out.is_empty() && !wrong.err.is_empty(), "{wrong:?}");
    }
    assert!(desk.bp(&["upp"]).err.contains("'up'"), "it says what was meant");
    assert_eq!(desk.names(), [""; 0]);
}

#[test]
fn the_starter_passes_check_and_is_never_written_over() {
    let desk = Desk::new();
    assert!(desk.bp(&["init"]).exits(0).out.contains("`bp.yml`"));
    let check = desk.bp(&["check"]).exits(0);
    assert!(
        check.out.contains("`bp.yml` is right: 3 hosts, 1 stack") && check.err.is_empty(),
        "{check:?}"
    );
    let written = std::fs::read_to_string(desk.at("bp.yml")).unwrap();
    assert!(desk.bp(&["init"]).exits(2).err.contains("is there already"));
    assert_eq!(std::fs::read_to_string(desk.at("bp.yml")).unwrap(), written);
    desk.bp(&["init", "other.yml"]).exits(0);
    desk.bp(&["init", "no/such/folder.yml"]).exits(2);
    assert_eq!(desk.names(), ["bp.yml", "other.yml"]);
}

#[test]
fn the_schema_knows_every_section() {
    let schema = Desk::new().bp(&["schema"]).exits(0);
    let schema: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
    for section in ["version", "name", "provider", "hosts", "ssh", "swarm", "stacks", "phases"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
    assert_eq!(schema["required"], serde_json::json!(["version", "name", "hosts"]));
    assert_eq!(schema["additionalProperties"], false);
}

#[test]
fn shells_take_their_completions() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = desk.bp(&["completions", shell]).exits(0).out;
        assert!(VERBS.iter().all(|verb| text.contains(verb)), "{shell}");
    }
    desk.write("bash", &desk.bp(&["completions", "bash"]).exits(0).out);
    let read = Command::new("bash").arg("-n").arg(desk.at("bash")).stdin(Stdio::null()).output();
    let read = read.unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
}

#[test]
fn destroy_needs_a_consent() {
    let desk = Desk::with("version: 1\nname: lab\nhosts: { node1: { address: 127.0.0.1 } }\n");
    for args in [&["destroy"][..], &["destroy", "--json"], &["destroy", "bp.yml"]] {
        let refused = desk.bp(args).exits(2);
        assert!(format!("{}{}", refused.out, refused.err).contains("--yes"), "{refused:?}");
    }
    assert_eq!(desk.names(), ["bp.yml"], "nothing was begun");
}

#[test]
fn nothing_is_written_over_without_a_word() {
    let desk = Desk::with(
        "version: 1\nname: lab\nhosts: { a: { provider: existing, address: 10.1.1.1, role: manager } }\n",
    );
    let mute = desk.bp(&["restore", "--from", "backups"]).exits(2);
    assert!(mute.err.contains("there is nobody to ask") && mute.err.contains("--yes"), "{mute:?}");
    let none = desk.bp(&["restore", "--yes", "--from", "backups"]).exits(2);
    assert!(none.err.contains("`backups` is no whole backup"), "{none:?}");
    let other = desk.at("other");
    std::fs::create_dir(&other).unwrap();
    let manifest =
        r#"{ "version": 1, "lab": "prod", "time": "2026-01-01T00:00:00Z", "items": [] }"#;
    std::fs::write(other.join("manifest.json"), manifest).unwrap();
    let other = desk.bp(&["restore", "--yes", "--from", "other", "--json"]).exits(2);
    assert!(other.out.contains("of the lab `prod`, not of `lab`"), "{other:?}");
    // Nothing of it was touched, and no run has begun.
    assert!(!desk.at(".bp").exists());
    let empty = desk.bp(&["backup", "--to", "backups"]).exits(1);
    assert!(empty.err.contains("no stack of the blueprint holds data"), "{empty:?}");
    assert!(!desk.at("backups").exists());
}

#[test]
fn an_archive_that_is_none_is_wrong_input() {
    let desk = Desk::with(
        "version: 1\nname: lab\nhosts: { a: { provider: existing, address: 10.1.1.1, role: manager } }\n",
    );
    desk.write("images.tar", "no archive");
    for archive in ["images.tar", "missing.tar"] {
        let wrong = desk.bp(&["images", "load", archive]).exits(2);
        assert!(wrong.err.contains(&format!("read the image archive `{archive}`")), "{wrong:?}");
    }
    assert_eq!(desk.names(), ["bp.yml", "images.tar"], "the lab was not even opened");
}

/// A stack of the user's, with a secret that the blueprint says somebody gives.
const SHOP: &str =
    "version: 1\nname: lab\nhosts: { a: { provider: existing, address: 10.1.1.1, role: manager } }
secrets: { shop_key: { file: key } }\nstacks: [{ shop: { file: shop.yml } }]\n";

#[test]
fn a_given_secret_that_can_not_be_had_ends_a_run_before_it_begins() {
    let desk = Desk::with(SHOP);
    desk.write(
        "shop.yml",
        "services: { web: { image: 'web:1', secrets: [shop_key] } }\nsecrets: { shop_key: { external: true } }\n",
    );
    desk.write("key", "\n");
    let empty = desk.bp(&["up", "--yes"]).exits(2);
    assert!(empty.err.contains("the secret shop_key is given, and it is empty"), "{empty:?}");
    desk.write("key", &"x".repeat(512_000));
    let large = desk.bp(&["up", "--yes"]).exits(2);
    assert!(large.err.contains("has 512000 bytes: a swarm keeps less than 512000"), "{large:?}");
    let strange = desk.bp(&["secret", "rotate", "shop_word", "--yes"]).exits(2);
    assert!(strange.err.contains("there are shop_key"), "{strange:?}");
    let given = desk.bp(&["secret", "rotate", "shop_key", "--yes"]).exits(2);
    assert!(given.err.contains("is given by the file"), "{given:?}");
    desk.write("bp.yml", &SHOP.replace("file: key", "command: 'exit 3'"));
    let fails = desk.bp(&["up", "--yes"]).exits(2);
    assert!(fails.err.contains("the secret shop_key: the command that gives"), "{fails:?}");
}
