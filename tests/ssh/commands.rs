//! Commands: what goes in, what comes out, how many at once.

use crate::support::sshd::{Sshd, until};
use providers::ssh::connect;
use providers::{Cmd, HoldError, SessionError, Stdin};
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_exit_status_and_both_streams_are_the_commands_own() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    for (script, code, out, err) in [
        ("echo out; echo err >&2; exit 3", 3, "out", "err"),
        ("true", 0, "", ""),
        ("exit 255", 255, "", ""),
        ("no-such-command", 127, "", "sh: 1: no-such-command: not found"),
        ("kill -KILL $$", 137, "", ""),
        ("kill -TERM $$", 143, "", ""),
        ("kill -SEGV $$", 139, "", ""),
        ("echo \"it's $((1 + 1))\"; echo 'a\nb'", 0, "it's 2\na\nb", ""),
        ("cat; echo end", 0, "end", ""),
        ("echo bp-begins", 0, "bp-begins", ""),
    ] {
        let output = session.run(&Cmd::new(script)).await.unwrap();
        let seen = (output.code, output.out(), output.err());
        assert_eq!(seen, (code, out.to_owned(), err.to_owned()), "{script}");
    }
}

#[tokio::test]
async fn what_start_up_files_say_is_no_part_of_the_output() {
    let sshd = Sshd::start();
    std::fs::write(sshd.at(".bashrc"), "echo welcome\n").unwrap();
    let session = connect(&sshd.target()).await.unwrap();
    let output = session.run(&Cmd::new("echo mine")).await.unwrap();
    assert_eq!(output.out(), "mine");
}

#[tokio::test]
async fn a_login_shell_that_runs_nothing_is_refused_and_quoted() {
    let sshd = Sshd::with(&["ed25519"], "ForceCommand echo not today; exit 7");
    let session = connect(&sshd.target()).await.unwrap();
    let error = session.run(&Cmd::new("true")).await.unwrap_err();
    assert!(
        matches!(&error, SessionError::Refused { message, .. }
        if message.ends_with("exited with 7: not today")),
        "{error:?}"
    );
}

#[tokio::test]
async fn input_arrives_whole_and_outputs_come_back_whole() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let bytes: Vec<u8> =
        (0..5_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let file = sshd.at("input");
    std::fs::write(&file, &bytes).unwrap();
    for stdin in [Stdin::Bytes(bytes.clone()), Stdin::File(file)] {
        let output = session.run(&Cmd::new("tee /dev/stderr").stdin(stdin)).await.unwrap();
        assert_eq!(output.code, 0);
        assert!(output.stdout == bytes, "{} bytes of stdout", output.stdout.len());
        assert!(output.stderr == bytes, "{} bytes of stderr", output.stderr.len());
    }
}

#[tokio::test]
async fn a_command_need_not_read_its_input() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let cmd = Cmd::new("head -c 3").stdin(Stdin::Bytes(b"abc".repeat(3_000_000)));
    assert_eq!(session.run(&cmd).await.unwrap().out(), "abc");
    assert_eq!(session.run(&Cmd::new("echo again")).await.unwrap().out(), "again");
}

#[tokio::test]
async fn input_that_can_not_be_read_is_an_error_and_ends_the_command() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let missing = Stdin::File(sshd.at("missing"));
    let cmd = Cmd::new("cat; sleep 987").stdin(missing);
    let error = session.run(&cmd).await.unwrap_err();
    assert!(matches!(&error, SessionError::Input(m) if m.contains("missing")), "{error:?}");
    ends(&sshd, "sleep 987").await;
}

#[tokio::test]
async fn output_without_end_is_an_error() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let error = session.run(&Cmd::new("exec cat /dev/zero")).await.unwrap_err();
    assert!(matches!(error, SessionError::Output(_)), "{error:?}");
    ends(&sshd, "cat /dev/zero").await;
    assert!(session.run(&Cmd::new("true")).await.unwrap().ok());
}

#[tokio::test]
async fn two_hundred_commands_one_after_the_other_wait_for_nothing() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let mut times = Vec::new();
    for i in 0..200 {
        let start = Instant::now();
        let output = session.run(&Cmd::new(format!("echo {i}"))).await.unwrap();
        assert_eq!(output.out(), i.to_string());
        times.push(start.elapsed());
    }
    // Without `nodelay` not one takes less than 40 ms; on a busy machine some do.
    let quickest = times.iter().min();
    assert!(quickest < Some(&Duration::from_millis(35)), "{quickest:?}");
}

#[tokio::test]
async fn many_at_once_go_through_a_server_that_allows_few() {
    let sshd = Sshd::with(&["ed25519"], "MaxSessions 3");
    let session = connect(&sshd.target()).await.unwrap();
    let commands = (0..32).map(|i| {
        let session = session.clone();
        async move { session.run(&Cmd::new(format!("echo {i}"))).await.unwrap().out() }
    });
    let answers = futures::future::join_all(commands).await;
    assert_eq!(answers, (0..32).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_more_than_four_commands_run_at_once() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let dir = sshd.at("running");
    std::fs::create_dir(&dir).unwrap();
    let script = format!("cd {}; : >$$; ls | wc -l; sleep 0.3; rm $$", dir.display());
    let commands = (0..12).map(|_| {
        let (session, cmd) = (session.clone(), Cmd::new(script.clone()));
        async move { session.run(&cmd).await.unwrap().out().parse::<usize>().unwrap() }
    });
    let most = futures::future::join_all(commands).await.into_iter().max();
    assert!(matches!(most, Some(2..=4)), "{most:?}");
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let bound = Duration::from_millis(300);
    for script in ["sleep 987", "sleep 987; true", "sleep 987 & wait"] {
        let error = session.run(&Cmd::new(script).within(bound)).await.unwrap_err();
        assert!(matches!(error, SessionError::Timeout(b) if b == bound), "{error:?}");
        ends(&sshd, "sleep 987").await;
    }
    // One that does not listen to SIGTERM is ended by the host itself, some seconds later.
    let deaf = Cmd::new("trap '' TERM; while :; do sleep 0.2; done; : deaf").within(bound);
    assert!(session.run(&deaf).await.is_err());
    assert!(session.alive());
    ends(&sshd, ": deaf").await;
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_leaves_nothing_behind() {
    let sshd = Sshd::with(&["ed25519"], "MaxSessions 6");
    let session = connect(&sshd.target()).await.unwrap();
    for i in 0..20 {
        let cmd = Cmd::new("sleep 987");
        let given_up = tokio::time::timeout(Duration::from_millis(i * 7), session.run(&cmd));
        assert!(given_up.await.is_err());
    }
    assert!(session.run(&Cmd::new("true")).await.unwrap().ok());
    ends(&sshd, "sleep 987").await;
}

#[tokio::test]
async fn what_stays_in_the_background_does_not_keep_the_answer() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let output = session.run(&Cmd::new("sleep 30 & echo $!")).await.unwrap();
    assert!(output.ok(), "{output:?}");
    let alive = format!("kill -0 {}", output.out());
    assert!(session.run(&Cmd::new(alive)).await.unwrap().ok());
}

#[tokio::test]
async fn a_held_command_lives_until_it_is_let_go() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let mark = sshd.at("released");
    let script = format!("read -r word; echo \"held $word\"; cat; : >{}", mark.display());
    let cmd = Cmd::new(script).stdin(Stdin::Bytes(b"fast\n".to_vec()));
    let (line, held) = session.hold(&cmd).await.unwrap();
    assert_eq!(line, "held fast");
    assert!(held.alive() && !mark.exists());
    // The session may go; the command is held until its holder goes.
    drop(session);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(held.alive() && !mark.exists());
    drop(held);
    until("it saw the end of its input", || mark.exists()).await;
}

#[tokio::test]
async fn a_held_command_that_ends_early_says_so() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    match session.hold(&Cmd::new("echo busy >&2; exit 4")).await {
        Err(HoldError::Ended(output)) => {
            assert_eq!((output.code, output.err().as_str()), (4, "busy"))
        }
        other => panic!("{:?}", other.map(|(line, _)| line)),
    }
    let silent = Cmd::new("cat").within(Duration::from_millis(300));
    let error = session.hold(&silent).await.map(|(line, _)| line).unwrap_err();
    assert!(matches!(error, HoldError::Session(SessionError::Timeout(_))), "{error:?}");
    ends(&sshd, "sh -c cat").await;

    let (_, held) = session.hold(&Cmd::new("echo here; sleep 0.2; exit 0")).await.unwrap();
    until("it has ended", || !held.alive()).await;
}

#[tokio::test]
async fn a_held_command_may_talk_without_blocking_the_others() {
    let sshd = Sshd::start();
    let session = connect(&sshd.target()).await.unwrap();
    let (line, _held) = session.hold(&Cmd::new("yes")).await.unwrap();
    assert_eq!(line, "y");
    for _ in 0..5 {
        assert!(session.run(&Cmd::new("true")).await.unwrap().ok());
    }
}

/// Waits until no process of this server has these words in its command line.
async fn ends(sshd: &Sshd, words: &str) {
    until(words, || {
        !sshd.sessions().iter().any(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).replace('\0', " ").contains(words)
        })
    })
    .await;
}
