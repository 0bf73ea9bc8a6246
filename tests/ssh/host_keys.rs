//! Host keys: known beforehand, or no connection.

use crate::support::sshd::{Sshd, keygen, text};
use providers::ssh::{HostKeys, Target, connect, new_host_key};
use providers::{Cmd, SessionError};
use std::path::PathBuf;
use std::process::Command;

#[tokio::test]
async fn a_pinned_key_of_several_is_enough() {
    let sshd = Sshd::start();
    let (_, other) = new_host_key().unwrap();
    let keys = HostKeys::Pinned(vec![other, sshd.host_key("ed25519")]);
    works(&Target { host_keys: keys, ..sshd.target() }).await;
}

#[tokio::test]
async fn a_wrong_pinned_key_is_told_with_both_fingerprints() {
    let sshd = Sshd::start();
    let (_, other) = new_host_key().unwrap();
    std::fs::write(sshd.at("other.pub"), &other).unwrap();
    let target = Target { host_keys: HostKeys::Pinned(vec![other]), ..sshd.target() };
    let message = wrong(&target).await;
    for key in ["other.pub", "host_ed25519.pub"] {
        let print = fingerprint(&sshd, key);
        assert!(message.contains(&print), "{message} names {print}");
    }
    assert!(!sshd.log().contains("Accepted"), "nobody logged in");
}

#[tokio::test]
async fn nothing_pinned_is_no_permission() {
    let sshd = Sshd::start();
    let target = Target { host_keys: HostKeys::Pinned(Vec::new()), ..sshd.target() };
    assert!(refused(&target).await.starts_with("no host key is pinned"));
}

#[tokio::test]
async fn a_fingerprint_may_be_that_of_any_key_of_the_host() {
    let sshd = Sshd::with(&["ed25519", "ecdsa", "rsa"], "");
    for key in ["host_ed25519.pub", "host_ecdsa.pub", "host_rsa.pub"] {
        let host_keys = HostKeys::Fingerprint(fingerprint(&sshd, key));
        works(&Target { host_keys, ..sshd.target() }).await;
    }
    let host_keys = HostKeys::Fingerprint(fingerprint(&sshd, "key"));
    let message = wrong(&Target { host_keys, ..sshd.target() }).await;
    assert!(message.contains(&fingerprint(&sshd, "key")), "{message}");
    let host_keys = HostKeys::Fingerprint("MD5:00:11".into());
    assert!(refused(&Target { host_keys, ..sshd.target() }).await.contains("is not `SHA256:...`"));
}

#[tokio::test]
async fn a_host_is_known_by_its_port_plainly_or_hashed() {
    let sshd = Sshd::start();
    let file = known(&sshd, &format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key("ed25519")));
    let target = Target { host_keys: HostKeys::KnownHosts(vec![file.clone()]), ..sshd.target() };
    works(&target).await;
    keygen(&["-q", "-H", "-f", &text(&file)]);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
    works(&target).await;
}

#[tokio::test]
async fn an_unknown_host_is_refused_with_the_files_that_do_not_know_it() {
    let sshd = Sshd::start();
    // Known on the standard port is not known on this one.
    let file = known(&sshd, &format!("127.0.0.1 {}\n", sshd.host_key("ed25519")));
    let files = vec![sshd.at("absent"), file.clone()];
    let target = Target { host_keys: HostKeys::KnownHosts(files), ..sshd.target() };
    let message = refused(&target).await;
    assert!(message.contains(&text(&file)) && message.contains("absent"), "{message}");
    assert!(!sshd.log().contains("Accepted"), "nobody logged in");
}

#[tokio::test]
async fn a_host_known_by_one_type_of_key_is_asked_for_that_type() {
    let sshd = Sshd::with(&["ed25519", "ecdsa"], "");
    let line = |key: &str| format!("[127.0.0.1]:{} {key}\n", sshd.port);
    let file = known(&sshd, &line(&sshd.host_key("ecdsa")));
    let target = Target { host_keys: HostKeys::KnownHosts(vec![file]), ..sshd.target() };
    works(&target).await;
    // Known by another ecdsa key: its ed25519 key, of which nothing is recorded, is no way in.
    keygen(&["-q", "-t", "ecdsa", "-N", "", "-f", &text(&sshd.at("other"))]);
    known(&sshd, &line(&std::fs::read_to_string(sshd.at("other.pub")).unwrap()));
    let message = wrong(&target).await;
    assert!(message.contains(&fingerprint(&sshd, "host_ecdsa.pub")), "{message}");
    // Nor where it has no key of the recorded type at all.
    let only = Sshd::start();
    let line = format!("[127.0.0.1]:{} {}\n", only.port, sshd.host_key("ecdsa"));
    let file = known(&only, &line);
    let target = Target { host_keys: HostKeys::KnownHosts(vec![file]), ..only.target() };
    let message = wrong(&target).await;
    assert!(message.contains("ssh-ed25519") && message.contains("ecdsa"), "{message}");
    assert!(!only.log().contains("Accepted"), "nobody logged in");
}

#[tokio::test]
async fn a_revoked_key_is_refused_even_where_it_is_recorded_too() {
    let sshd = Sshd::start();
    let (key, name) = (sshd.host_key("ed25519"), format!("[127.0.0.1]:{}", sshd.port));
    let file = known(&sshd, &format!("{name} {key}\n@revoked * {key}\n"));
    let target = Target { host_keys: HostKeys::KnownHosts(vec![file]), ..sshd.target() };
    assert!(refused(&target).await.contains("is revoked"));
}

#[tokio::test]
async fn an_authority_is_no_host_key() {
    let sshd = Sshd::start();
    let (key, name) = (sshd.host_key("ed25519"), format!("[127.0.0.1]:{}", sshd.port));
    let file = known(&sshd, &format!("@cert-authority {name} {key}\n"));
    let target = Target { host_keys: HostKeys::KnownHosts(vec![file.clone()]), ..sshd.target() };
    let message = refused(&target).await;
    assert!(message.contains("known by a certificate authority only"), "{message}");
    assert!(message.contains(&format!("{}:1", text(&file))), "{message}");
}

#[tokio::test]
async fn a_known_hosts_file_that_can_not_be_read_is_an_error() {
    let sshd = Sshd::start();
    let good = known(&sshd, &format!("[127.0.0.1]:{} {}", sshd.port, sshd.host_key("ed25519")));
    let files = vec![good, sshd.at("bin")];
    let target = Target { host_keys: HostKeys::KnownHosts(files), ..sshd.target() };
    assert!(refused(&target).await.starts_with("read `"));
}

async fn works(target: &Target) {
    let session = connect(target).await.unwrap();
    assert!(session.run(&Cmd::new("true")).await.unwrap().ok());
}

async fn refused(target: &Target) -> String {
    match connect(target).await.map(drop) {
        Err(SessionError::Refused { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

async fn wrong(target: &Target) -> String {
    match connect(target).await.map(drop) {
        Err(SessionError::HostKey { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

fn known(sshd: &Sshd, text: &str) -> PathBuf {
    let file = sshd.at("known_hosts");
    std::fs::write(&file, text).unwrap();
    file
}

/// The fingerprint of a key's file, as `ssh-keygen` says it.
fn fingerprint(sshd: &Sshd, key: &str) -> String {
    let out = Command::new("ssh-keygen").arg("-lf").arg(sshd.at(key)).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}
