//! What breaks: nothing waits for ever, and nothing that is not known passes for success.

use crate::support::sshd::{Sshd, signal, until};
use providers::ssh::{Target, connect};
use providers::{Cmd, HoldError, Session, SessionError, Stdin};
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_connection_that_ends_before_the_exit_status_is_an_error() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let (_, held) = session.hold(&Cmd::new("echo held; cat")).await.unwrap();
    let running = running(&session, "echo half; sleep 987");
    until("the command runs", || servers(&sshd, "sleep").len() == 1).await;
    for pid in servers(&sshd, "sshd") {
        signal("KILL", pid);
    }
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, SessionError::NoExitStatus), "{error:?}");
    until("the session knows", || !session.alive() && !held.alive()).await;
    let error = session.run(&Cmd::new("true")).await.unwrap_err();
    assert!(matches!(error, SessionError::Unreachable(_)), "{error:?}");
    let error = session.hold(&Cmd::new("echo; cat")).await.map(|(line, _)| line).unwrap_err();
    assert!(matches!(error, HoldError::Session(SessionError::Unreachable(_))), "{error:?}");
}

#[tokio::test]
async fn a_frozen_peer_is_noticed() {
    for stdin in [Stdin::Empty, Stdin::Bytes(vec![7; 64 << 20])] {
        let sshd = Sshd::start();
        let target = Target { keepalive: Duration::from_millis(500), ..sshd.target() };
        let session = connect(&target).await.unwrap();
        let (_, held) = session.hold(&Cmd::new("echo held; cat")).await.unwrap();
        let cmd = Cmd::new("exec sleep 987").stdin(stdin);
        let running = tokio::spawn({
            let session = session.clone();
            async move { session.run(&cmd).await }
        });
        until("the command runs", || servers(&sshd, "sleep").len() == 1).await;
        let start = Instant::now();
        for pid in servers(&sshd, "sshd") {
            signal("STOP", pid);
        }
        let error = running.await.unwrap().unwrap_err();
        assert!(matches!(error, SessionError::NoExitStatus), "{error:?}");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        until("the session knows", || !session.alive() && !held.alive()).await;
    }
}

#[tokio::test]
async fn a_quiet_connection_stays_up() {
    let sshd = Sshd::start();
    let target = Target { keepalive: Duration::from_secs(1), ..sshd.target() };
    let session = connect(&target).await.unwrap();
    let output = session.run(&Cmd::new("sleep 4.5; echo still here")).await.unwrap();
    assert_eq!(output.out(), "still here");
    assert!(session.alive());
}

#[tokio::test]
async fn a_closed_port_is_said_at_once() {
    let sshd = Sshd::start();
    // A port that no test is ever given: one that was just left may be another's by now.
    let target = Target { port: 1, ..sshd.target() };
    let start = Instant::now();
    assert!(unreachable(&target).await.contains("Connection refused"));
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unreachable() {
    let sshd = Sshd::start();
    let target = Target { address: "no-such-host.invalid".into(), ..sshd.target() };
    assert!(unreachable(&target).await.contains("no-such-host.invalid"));
}

#[tokio::test]
async fn a_server_that_never_speaks_or_speaks_something_else_is_given_up() {
    let sshd = Sshd::start();
    for words in ["", "SSH-2.0-mute\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(words.as_bytes()).unwrap();
            // Open until the client goes.
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap_or(0)
        });
        let target = Target {
            port,
            connect_within: Duration::from_millis(500),
            keepalive: Duration::from_millis(200),
            ..sshd.target()
        };
        let start = Instant::now();
        let message = unreachable(&target).await;
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        assert!(message.contains(&format!("node1 (127.0.0.1:{port})")), "{message}");
        until("the client let go of it", || server.is_finished()).await;
    }
}

fn running(
    session: &Arc<dyn Session>,
    script: &str,
) -> tokio::task::JoinHandle<Result<providers::Output, SessionError>> {
    let (session, cmd) = (session.clone(), Cmd::new(script));
    tokio::spawn(async move { session.run(&cmd).await })
}

/// The processes of this name below the server.
fn servers(sshd: &Sshd, name: &str) -> Vec<u32> {
    let comm = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm"));
    let named = |pid: &u32| comm(pid).is_ok_and(|c| c.trim() == name);
    sshd.sessions().into_iter().filter(named).collect()
}

async fn unreachable(target: &Target) -> String {
    match connect(target).await.map(drop) {
        Err(SessionError::Unreachable(message)) => message,
        other => panic!("{other:?}"),
    }
}
