//! Becoming root. `sudo` here is a stand-in: it knows the options that bp uses and refuses every
//! other word, asks on stderr and reads its password from standard input byte by byte, three times
//! at most, as sudo does with `-S`. It changes no user: the command sees `BECAME=root` instead.

use crate::support::sshd::Sshd;
use providers::ssh::{Become, Password, Target, connect};
use providers::{Cmd, HoldError, Session, SessionError, Stdin};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The stand-in.
pub const SUDO: &str = r#"#!/bin/sh
printf '%s\n' "$*" >>"$HOME/sudo.argv"
case $1 in
-n)
    shift
    [ -e "$HOME/password" ] && { echo 'sudo: a password is required' >&2; exit 1; }
    ;;
-S)
    [ "$2" = -p ] || exit 64
    prompt=$3
    shift 3
    tries=0
    while [ -e "$HOME/password" ]; do
        printf %s "$prompt" >&2
        IFS= read -r word || { echo 'sudo: no password was provided' >&2; exit 1; }
        [ "$word" = "$(cat "$HOME/password")" ] && break
        tries=$((tries + 1))
        [ $tries -lt 3 ] || { echo 'sudo: 3 incorrect password attempts' >&2; exit 1; }
        echo 'Sorry, try again.' >&2
    done
    ;;
*) exit 64 ;;
esac
[ "$1" = -- ] || exit 64
shift
export BECAME=root
exec "$@"
"#;

const RIGHT: &str = "pass 'word' $HOME";

/// A session through the stand-in, which asks for a password where it `asks`.
async fn session(sshd: &Sshd, asks: bool, password: Option<&str>) -> Arc<dyn Session> {
    sshd.program("sudo", SUDO);
    if asks {
        std::fs::write(sshd.at("password"), RIGHT).unwrap();
    }
    let sudo = Become::Sudo { password: password.map(Password::new) };
    connect(&Target { sudo, ..sshd.target() }).await.unwrap()
}

#[tokio::test]
async fn commands_become_root_with_their_input_untouched() {
    // The last: a password is there, and nobody asks for it.
    for (asks, password) in [(false, None), (true, Some(RIGHT)), (false, Some(RIGHT))] {
        let sshd = Sshd::start();
        let session = session(&sshd, asks, password).await;
        let big = vec![b'y'; 2_000_000];
        for input in [Stdin::Empty, Stdin::Bytes(b"first\nsecond".to_vec()), Stdin::Bytes(big)] {
            let expected = match &input {
                Stdin::Bytes(bytes) => bytes.clone(),
                _ => Vec::new(),
            };
            let script = "echo \"$BECAME it's\" >&2; cat; exit 5";
            let output = session.run(&Cmd::new(script).stdin(input)).await.unwrap();
            assert_eq!((output.code, output.err().as_str()), (5, "root it's"));
            assert!(output.stdout == expected, "{:?}", output.out());
        }
        let hold = Cmd::new("read -r w; echo \"$w\"; cat").stdin(Stdin::Bytes(b"word\n".to_vec()));
        let (line, held) = session.hold(&hold).await.unwrap();
        assert!(line == "word" && held.alive());
        let argv = std::fs::read_to_string(sshd.at("sudo.argv")).unwrap();
        assert!(!argv.contains(RIGHT) && !sshd.log().contains(RIGHT), "no password in sight");
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_and_waits_for_nothing() {
    let sshd = Sshd::start();
    let session = session(&sshd, true, Some("wrong")).await;
    let start = Instant::now();
    for stdin in [Stdin::Empty, Stdin::Bytes(b"input".to_vec())] {
        let error = session.run(&Cmd::new("cat").stdin(stdin)).await.unwrap_err();
        assert!(
            matches!(&error, SessionError::Refused { message, .. }
            if message.contains("does not accept the password")),
            "{error:?}"
        );
        assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
    }
    let error = session.hold(&Cmd::new("echo; cat")).await.map(|(line, _)| line).unwrap_err();
    assert!(matches!(error, HoldError::Session(SessionError::Refused { .. })), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[tokio::test]
async fn sudo_that_wants_a_password_which_nobody_gave_is_refused() {
    let sshd = Sshd::start();
    let session = session(&sshd, true, None).await;
    match session.run(&Cmd::new("true")).await {
        Err(SessionError::Refused { message, hint }) => {
            assert!(message.ends_with("exited with 1: sudo: a password is required"), "{message}");
            assert!(hint.is_some());
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_host_without_sudo_says_so() {
    let sshd = Sshd::with(&["ed25519"], "");
    let session = session(&sshd, false, None).await;
    sshd.program("sudo", "#!/no/such/interpreter\n");
    let error = session.run(&Cmd::new("true")).await.unwrap_err();
    assert!(
        matches!(&error, SessionError::Refused { message, .. }
        if message.contains("sudo -n")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_command_of_roots_that_takes_too_long_is_ended_by_root() {
    let sshd = Sshd::start();
    let session = session(&sshd, true, Some(RIGHT)).await;
    let cmd = Cmd::new("exec sleep 986").within(Duration::from_millis(500));
    let error = session.run(&cmd).await.unwrap_err();
    assert!(matches!(error, SessionError::Timeout(_)), "{error:?}");
    crate::support::sshd::until("it has ended", || {
        !sshd.sessions().iter().any(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c == b"sleep\x00986\x00")
        })
    })
    .await;
    let argv = std::fs::read_to_string(sshd.at("sudo.argv")).unwrap();
    assert!(argv.contains("kill -TERM"), "{argv}");
}

#[test]
fn a_password_is_never_shown() {
    let sudo = Become::Sudo { password: Some(Password::new("hunter2")) };
    assert_eq!(format!("{sudo:?}"), "Sudo { password: Some(***) }");
}
