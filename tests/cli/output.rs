//! What is printed, where to, and what happens when nobody reads it.

use crate::faults::existing::STEPS;
use crate::support::bp::{Desk, Ran};
use crate::support::hosts::Hosts;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

#[test]
fn json_is_json_to_the_last_line() {
    let hosts = Hosts::new(1, STEPS);
    let desk = &hosts.desk;
    let ends = |ran: &Ran, verb: &str, keys: &[&str]| {
        let done = ran.done();
        assert_eq!(done["verb"], verb);
        for key in keys {
            assert!(done[key].is_number(), "{key}: {done}");
        }
    };
    ends(&desk.bp(&["check", "--json"]).exits(0), "check", &["hosts", "failed"]);
    let plan = desk.bp(&["--json", "plan"]).exits(3);
    ends(&plan, "plan", &["apply", "unknown", "already_true", "seconds"]);
    let up = desk.bp(&["up", "--json"]).exits(0);
    ends(&up, "up", &["applied", "already_true", "failed", "seconds"]);
    assert!(up.err.is_empty(), "{}", up.err);
    let status = desk.bp(&["status", "--json"]).exits(0);
    ends(&status, "status", &["already_true", "failed"]);
    let tables: Vec<_> = status.json().into_iter().filter(|e| e["event"] == "table").collect();
    assert_eq!((&tables[0]["title"], &tables[0]["v"]), (&"hosts".into(), &1.into()));
    let columns = tables[0]["head"].as_array().unwrap();
    assert_eq!(columns[..3], ["host", "role", "address"]);
    assert_eq!(tables[0]["rows"][0].as_array().unwrap().len(), columns.len());
    ends(&desk.bp(&["destroy", "--yes", "--json"]).exits(0), "destroy", &["removed", "failed"]);
    ends(&desk.bp(&["init", "other.yml", "--json"]).exits(0), "init", &[]);
    desk.bp(&["inventory", "--json"]).exits(0).json();
    desk.bp(&["schema", "--json"]).exits(0).json();
    let completions = desk.bp(&["completions", "bash", "--json"]).exits(0).json();
    assert!(completions[0]["script"].as_str().unwrap().contains("complete "));
    for args in [&["up", "nowhere.yml", "--json"][..], &["up", "--json", "--host", "node7"]] {
        let error = desk.bp(args).exits(2).json().pop().unwrap();
        assert_eq!((&error["event"], &error["exit"]), (&"error".into(), &2.into()));
    }
}

#[test]
fn what_is_no_terminal_gets_no_colours() {
    let hosts = Hosts::new(1, STEPS);
    let broken = Desk::with("version: 1\nname: Lab!\n");
    for no_color in ["", "1"] {
        for (desk, args) in [(&hosts.desk, ["up"]), (&hosts.desk, ["status"]), (&broken, ["check"])]
        {
            let mut command = desk.command(&args);
            let out = command.env("NO_COLOR", no_color).env("TERM", "xterm").output().unwrap();
            assert!(![out.stdout, out.stderr].concat().contains(&0x1b), "{args:?}");
        }
    }
}

#[test]
fn what_can_not_be_printed_is_an_error() {
    let hosts = Hosts::new(1, STEPS);
    for args in
        [&["check"][..], &["schema"], &["completions", "bash"], &["plan"], &["check", "--json"]]
    {
        let mut command = hosts.desk.command(args);
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let out = command.stdout(full).output().unwrap();
        let err = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {err}");
        assert!(err.starts_with("error: print to standard output: No space left"), "{err}");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_stop_a_run() {
    let hosts = Hosts::new(2, STEPS);
    for (args, code) in [
        (&["plan"][..], 3),
        (&["up", "--json"], 0),
        (&["up"], 0),
        (&["status"], 0),
        (&["--help"], 0),
        (&["schema"], 0),
        (&["completions", "bash"], 0),
        (&["check"], 0),
    ] {
        let mut command = hosts.desk.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        // The reader, and with it the pipe's end, is gone here.
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert!(!line.is_empty() && err.is_empty(), "{args:?}: {err}");
        assert_eq!(child.wait().unwrap().code(), Some(code), "{args:?}");
    }
    for node in [1, 2] {
        assert_eq!(hosts.noted(node), ["one", "two", "three"], "the run went on to its end");
    }
    assert_eq!(hosts.desk.bp(&["plan", "--json"]).exits(0).done()["apply"], 0);
}
