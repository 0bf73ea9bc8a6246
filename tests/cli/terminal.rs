//! On a terminal: what `script` makes of the command's output, and of what it asks.

use crate::faults::existing::STEPS;
use crate::support::bp::{Desk, binary};
use crate::support::guests::Guests;
use crate::support::hosts::Hosts;
use std::io::{Read, Write};
use std::process::Stdio;

/// Runs `bp` on a terminal of its own where these words are typed when it asks; its exit code and
/// what is seen.
fn on_a_terminal(desk: &Desk, args: &str, env: &[(&str, &str)], typed: &str) -> (i32, String) {
    let line = format!("{} {args}", binary().display());
    let mut command = desk.command_of("script", &["-qefc", &line, "/dev/null"]);
    command.env("TERM", "xterm").env("SHELL", "/bin/sh").envs(env.iter().copied());
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("script runs");
    // Open until the command has ended: the end of the input would be the end of the terminal.
    let mut input = child.stdin.take().unwrap();
    let (mut out, mut seen, mut part) = (child.stdout.take().unwrap(), Vec::new(), [0; 4096]);
    let mut typed = Some(typed.as_bytes());
    loop {
        let count = out.read(&mut part).unwrap();
        seen.extend_from_slice(&part[..count]);
        if String::from_utf8_lossy(&seen).contains("[y/N] ")
            && let Some(typed) = typed.take()
        {
            input.write_all(typed).unwrap();
        }
        if count == 0 {
            break;
        }
    }
    let exit = child.wait().unwrap().code().unwrap();
    drop(input);
    (exit, String::from_utf8_lossy(&seen).into_owned())
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
fn an_interrupt_at_the_question_ends_the_run_and_touches_nothing() {
    let guests = Guests::new(1);
    let (exit, text) = on_a_terminal(&guests.desk, "up", &[], "\x03");
    assert!(exit == 130 && text.contains("interrupted"), "{exit} {text}");
    assert!(guests.own().is_empty());
}

#[test]
fn nothing_is_changed_without_a_yes() {
    let guests = Guests::new(1);
    let (exit, text) = on_a_terminal(&guests.desk, "up", &[], "n\n");
    let (before, _) = text.split_once("apply this to the lab").expect("it asks");
    assert!(exit == 0 && before.contains("it is not there"), "{exit} {text}");
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
