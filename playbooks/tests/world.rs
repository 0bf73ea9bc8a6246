//! How the real world logs in.

use super::bench::{Bench, LAB};
use crate::world::{lab_key, read, ready_keys, target};
use providers::{Machine, SessionError, State, ssh};
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn machine() -> Machine {
    Machine {
        state: State::Right,
        running: true,
        address: Some("10.20.30.11".parse().expect("an address")),
        host_key: None,
    }
}

#[test]
fn a_lab_whose_own_key_is_gone_says_so() {
    let bench = Bench::new(LAB);
    let (host, dir) = (&bench.lab.hosts[0], bench.dir.path().join(".bp"));
    let Err(SessionError::Refused { message, hint }) = target(host, &machine(), &dir) else {
        panic!("nobody can log in without it");
    };
    let message = message.replace(&bench.dir.path().display().to_string(), "");
    insta::assert_snapshot!(format!("{message}\nhint: {}", hint.unwrap_or_default()), @"
    the lab's own key `/.bp/id_ed25519` is gone
    hint: put it back, or `bp destroy` and `bp up`: the machines let nobody else in
    ");
    std::fs::create_dir(&dir).expect("a folder");
    ssh::lab_key(&lab_key(&dir)).expect("a key");
    let target = target(host, &machine(), &dir).expect("the key is there");
    assert_eq!(target.keys, [lab_key(&dir)]);
    assert_eq!(target.agent, None, "no key of the operator's is offered");
}

#[test]
fn of_the_operators_keys_those_are_offered_that_need_no_passphrase() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    assert_eq!(ready_keys(folder.path()), [""; 0].map(PathBuf::from));
    for name in ["id_rsa", "id_ecdsa", "id_ed25519", "id_other"] {
        ssh::lab_key(&at(name)).expect("a key");
    }
    assert_eq!(ready_keys(folder.path()), ["id_ed25519", "id_ecdsa", "id_rsa"].map(at));
    std::fs::write(at("id_ecdsa"), "no key").expect("written");
    let encrypted = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "hunter2", "-f"])
        .arg(at("id_ed25519"))
        .stdin(Stdio::null())
        .output()
        .expect("ssh-keygen runs");
    assert!(encrypted.status.success(), "{encrypted:?}");
    assert_eq!(ready_keys(folder.path()), [at("id_rsa")]);
}

#[tokio::test]
async fn the_command_that_gives_a_secret_is_not_said() {
    for (command, why) in
        [("token=abc; exit 3", "failed: exit status: 3"), ("kill -9 $$", "signal: 9")]
    {
        let failed = read(&blueprints::Secret::Command(command.to_owned())).await;
        let message = failed.expect_err("it fails").to_string();
        assert!(message.contains(why) && !message.contains(command), "{message}");
    }
}
