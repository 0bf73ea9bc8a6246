//! On a terminal: what `script` makes of the command's output, and of what it asks.

use crate::faults::existing::STEPS;
use crate::support::bp::{Desk, binary};
use crate::support::guests::Guests;
use crate::support::hosts::Hosts;
use std::io::Write;
use std::process::Stdio;

/// Runs `bp` on a terminal of its own where these words are typed; its exit code and what is seen.
fn on_a_terminal(desk: &Desk, args: &str, env: &[(&str, &str)], typed: &str) -> (i32, String) {
    let line = format!("{} {args}", binary().display());
    let mut command = desk.command_of("script", &["-qefc", &line, "/dev/null"]);
    command.env("TERM", "xterm").env("SHELL", "/bin/sh").envs(env.iter().copied());
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("script runs");
    // Open until the command has ended: the end of the input would be the end of the terminal.
    let mut input = child.stdin.take().unwrap();
    input.write_all(typed.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    drop(input);
    (out.status.code().unwrap(), String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Whether there is a sequence that sets colours or weight.
fn is_coloured(text: &str) -> bool {
    text.split('\x1b').skip(1).any(|sequence| {
        let letter = sequence.find(|c: char| c.is_ascii_alphabetic());
        letter.is_some_and(|at| sequence.as_bytes()[at] == b'm')
    })
}

#[test]
fn no_color_is_honoured() {
    let hosts = Hosts::new(1, STEPS);
    let broken = Desk::with("version: 1\nname: Lab!\n");
    for (desk, args, code) in [(&hosts.desk, "up --yes", 0), (&broken, "check", 2)] {
        let (exit, text) = on_a_terminal(desk, args, &[], "");
        assert!(exit == code && is_coloured(&text), "{exit} {text:?}");
        let (exit, text) = on_a_terminal(desk, args, &[("NO_COLOR", "1")], "");
        assert!(exit == code && !is_coloured(&text), "{exit} {text:?}");
    }
}

#[test]
fn nothing_is_changed_without_a_yes() {
    let guests = Guests::new(1);
    let (exit, text) = on_a_terminal(&guests.desk, "up", &[], "n\n");
    assert!(exit == 0 && text.contains("apply this to the lab"), "{exit} {text}");
    assert!(guests.own().is_empty());
    let (exit, text) = on_a_terminal(&guests.desk, "up", &[], "y\n");
    assert!(exit == 0, "{text}");
    guests.assert_complete();
    let machine = format!("machine {}-node1", guests.lab);
    for typed in ["n\n", "\n", "yess\n"] {
        let (exit, text) = on_a_terminal(&guests.desk, "destroy", &[], typed);
        assert!(exit == 0 && text.contains(&machine), "{exit} {text}");
        guests.assert_complete();
    }
    let (exit, text) = on_a_terminal(&guests.desk, "destroy", &[], "yes\n");
    assert!(exit == 0, "{text}");
    assert!(guests.own().is_empty());
}
