//! A host behind another one.

use crate::support::sshd::{Sshd, signal, until};
use providers::ssh::{HostKeys, Target, connect, lab_key, new_host_key};
use providers::{Cmd, SessionError};

/// The inner server, reached through the outer one; each knows its own key only.
fn through(outer: &Sshd, inner: &Sshd) -> Target {
    let jump = Target { host: "bastion".into(), ..outer.target() };
    Target { jump: Some(Box::new(jump)), ..inner.target() }
}

#[tokio::test]
async fn a_host_is_reached_through_another_each_with_its_own_keys() {
    let (outer, inner) = (Sshd::start(), Sshd::start());
    let session = connect(&through(&outer, &inner)).await.unwrap();
    let home = session.run(&Cmd::new("echo $HOME")).await.unwrap().out();
    assert_eq!(home, inner.dir.path().to_str().unwrap());
    let big = vec![1; 3_000_000];
    let cmd = Cmd::new("cat").stdin(providers::Stdin::Bytes(big.clone()));
    assert!(session.run(&cmd).await.unwrap().stdout == big);
    assert!(outer.log().contains("Accepted publickey"));
}

#[tokio::test]
async fn what_is_wrong_with_the_jump_host_says_so() {
    let (outer, inner) = (Sshd::start(), Sshd::start());
    let (_, other) = new_host_key().unwrap();
    let mut target = through(&outer, &inner);
    target.jump.as_mut().unwrap().host_keys = HostKeys::Pinned(vec![other]);
    match connect(&target).await.map(drop) {
        Err(SessionError::HostKey { message, .. }) => {
            assert!(message.starts_with("on the way to node1"), "{message}");
            assert!(message.contains("host key of bastion"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    let mut target = through(&outer, &inner);
    lab_key(&outer.at("other")).unwrap();
    target.jump.as_mut().unwrap().keys = vec![outer.at("other")];
    let message = unreachable(&target).await;
    assert!(message.contains("bastion") && message.contains("refuses `root`"), "{message}");
}

#[tokio::test]
async fn the_inner_host_key_is_judged_too() {
    let (outer, inner) = (Sshd::start(), Sshd::start());
    let (_, other) = new_host_key().unwrap();
    let target = Target { host_keys: HostKeys::Pinned(vec![other]), ..through(&outer, &inner) };
    match connect(&target).await.map(drop) {
        Err(SessionError::HostKey { message, .. }) => {
            assert!(message.starts_with("host key of node1"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_closed_port_behind_it_is_unreachable() {
    let (outer, mut inner) = (Sshd::start(), Sshd::start());
    let target = through(&outer, &inner);
    inner.stop();
    let message = unreachable(&target).await;
    assert!(message.starts_with("node1") && message.contains("from the jump host"), "{message}");
}

#[tokio::test]
async fn a_jump_host_that_goes_takes_the_session_with_it() {
    let (outer, inner) = (Sshd::start(), Sshd::start());
    let session = connect(&through(&outer, &inner)).await.unwrap();
    assert!(session.run(&Cmd::new("true")).await.unwrap().ok());
    for pid in outer.sessions() {
        signal("KILL", pid);
    }
    until("the session knows", || !session.alive()).await;
}

async fn unreachable(target: &Target) -> String {
    match connect(target).await.map(drop) {
        Err(SessionError::Unreachable(message)) => message,
        other => panic!("{other:?}"),
    }
}
