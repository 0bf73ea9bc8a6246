//! How the real world logs in.

use super::bench::{Bench, LAB};
use crate::world::{lab_key, target};
use providers::{Machine, SessionError, State, ssh};

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
