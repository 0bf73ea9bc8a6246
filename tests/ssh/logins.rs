//! Logging in: which key first, and what is said where none is right.

use crate::support::sshd::{Sshd, keygen, signal, text};
use providers::ssh::{Target, connect, lab_key, public_of};
use providers::{Cmd, SessionError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A real `ssh-agent`, ended with this.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    async fn start(sshd: &Sshd) -> Self {
        let socket = sshd.at("agent");
        let child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("`ssh-agent` of Debian's `openssh-client`");
        let agent = Self { child, socket };
        crate::support::sshd::until("the agent listens", || agent.socket.exists()).await;
        agent
    }

    fn add(&self, key: &Path) {
        let out = Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &self.socket)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        signal("TERM", self.child.id());
        let _ = self.child.wait();
    }
}

/// An agent with eight keys that the server does not know.
async fn full_agent(sshd: &Sshd) -> Agent {
    let agent = Agent::start(sshd).await;
    for i in 0..8 {
        let key = sshd.at(&format!("agent{i}"));
        lab_key(&key).unwrap();
        agent.add(&key);
    }
    agent
}

#[tokio::test]
async fn the_named_key_gets_in_before_an_agent_with_many_is_asked() {
    let sshd = Sshd::with(&["ed25519"], "MaxAuthTries 3");
    let agent = full_agent(&sshd).await;
    let target = Target { agent: Some(agent.socket.clone()), ..sshd.target() };
    works(&target).await;
    assert!(!sshd.log().contains("Too many authentication failures"));
    assert!(!sshd.log().contains("Failed publickey"), "{}", sshd.log());
}

#[tokio::test]
async fn a_key_that_only_the_agent_has_gets_in_also_as_its_last_one() {
    let sshd = Sshd::with(&["ed25519"], "MaxAuthTries 3");
    let agent = full_agent(&sshd).await;
    agent.add(&sshd.at("key"));
    let wrong = sshd.at("agent0");
    let socket = agent.socket.clone();
    works(&Target { keys: vec![wrong], agent: Some(socket.clone()), ..sshd.target() }).await;
    works(&Target { keys: Vec::new(), agent: Some(socket), ..sshd.target() }).await;
}

#[tokio::test]
async fn a_refused_login_may_pass_and_names_what_was_offered() {
    let sshd = Sshd::with(&["ed25519"], "MaxAuthTries 2");
    for name in ["a", "b", "c"] {
        lab_key(&sshd.at(name)).unwrap();
    }
    let keys = vec![sshd.at("a"), sshd.at("b"), sshd.at("c")];
    let target = Target { keys: keys.clone(), ..sshd.target() };
    let message = match connect(&target).await.map(drop) {
        Err(SessionError::Unreachable(message)) => message,
        other => panic!("{other:?}"),
    };
    for key in &keys {
        assert!(message.contains(&text(key)), "{message}");
    }
    assert!(message.contains("refuses `root`"), "{message}");
    // The right one after them all still gets in.
    let keys = keys.into_iter().chain([sshd.at("key")]).collect();
    works(&Target { keys, ..sshd.target() }).await;
}

#[tokio::test]
async fn all_usual_kinds_of_keys_get_in() {
    let sshd = Sshd::start();
    let mut authorized = String::new();
    for (kind, form) in
        [("rsa", "RFC4716"), ("ecdsa", "RFC4716"), ("ed25519", "RFC4716"), ("rsa", "PEM")]
    {
        let key = sshd.at(&format!("{kind}-{form}"));
        keygen(&["-q", "-t", kind, "-m", form, "-N", "", "-f", &text(&key)]);
        authorized += &(public_of(&key).unwrap() + "\n");
    }
    std::fs::write(sshd.at("authorized"), authorized).unwrap();
    for key in ["rsa-RFC4716", "ecdsa-RFC4716", "ed25519-RFC4716", "rsa-PEM"] {
        works(&Target { keys: vec![sshd.at(key)], ..sshd.target() }).await;
    }
    let agent = Agent::start(&sshd).await;
    agent.add(&sshd.at("rsa-PEM"));
    works(&Target { keys: Vec::new(), agent: Some(agent.socket.clone()), ..sshd.target() }).await;
}

#[tokio::test]
async fn an_encrypted_key_is_left_to_the_agent() {
    let sshd = Sshd::start();
    let agent = Agent::start(&sshd).await;
    agent.add(&sshd.at("key"));
    keygen(&["-q", "-p", "-P", "", "-N", "hunter2", "-f", &text(&sshd.at("key"))]);
    works(&Target { agent: Some(agent.socket.clone()), ..sshd.target() }).await;
    let (message, hint) = refused(&sshd.target()).await;
    assert!(message.ends_with("is encrypted"), "{message}");
    assert_eq!(
        hint,
        Some(format!("`ssh-add {}`: the agent keeps it decrypted", text(&sshd.at("key"))))
    );
    let pem = sshd.at("pem");
    keygen(&["-q", "-t", "rsa", "-m", "PEM", "-N", "hunter2", "-f", &text(&pem)]);
    let (message, _) = refused(&Target { keys: vec![pem], ..sshd.target() }).await;
    assert!(message.ends_with("is encrypted"), "{message}");
}

#[tokio::test]
async fn without_a_key_or_with_none_that_can_be_read_nothing_is_tried() {
    let sshd = Sshd::start();
    let (message, _) = refused(&Target { keys: Vec::new(), ..sshd.target() }).await;
    assert!(message.starts_with("no key to log in to node1"), "{message}");
    for key in ["absent", "authorized"] {
        let (message, _) = refused(&Target { keys: vec![sshd.at(key)], ..sshd.target() }).await;
        assert!(message.contains(key), "{message}");
    }
    assert!(!sshd.log().contains("publickey"), "{}", sshd.log());
}

#[test]
fn the_labs_key_is_made_once_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let lines: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| lab_key(&path).unwrap())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(lines.iter().all(|line| *line == lines[0] && line.starts_with("ssh-ed25519 ")));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let out = Command::new("ssh-keygen").arg("-yf").arg(&path).output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap().trim(), lines[0]);
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
    assert_eq!(files.len(), 1, "nothing is left beside it: {files:?}");
    assert!(lab_key(&dir.path().join("no/such/folder")).is_err());
}

async fn works(target: &Target) {
    let session = connect(target).await.unwrap();
    assert!(session.run(&Cmd::new("true")).await.unwrap().ok());
}

async fn refused(target: &Target) -> (String, Option<String>) {
    match connect(target).await.map(drop) {
        Err(SessionError::Refused { message, hint }) => (message, hint),
        other => panic!("{other:?}"),
    }
}
