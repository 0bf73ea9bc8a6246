//! Runs the real `bp` and reads its events.

use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What one command of bp may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(1800);

/// A folder with a blueprint.
pub struct Lab {
    /// The folder.
    pub dir: PathBuf,
}

/// How a run ended.
pub struct Ended {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Its events.
    pub events: Vec<Value>,
    /// What it said on standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

/// A run that goes on.
pub struct Going {
    words: String,
    child: Child,
    lines: Receiver<String>,
    began: Instant,
    events: Vec<Value>,
}

/// The binary under test: built beside the tests.
pub fn binary() -> PathBuf {
    let me = std::env::current_exe().expect("a test has a path");
    let bp = me.ancestors().nth(2).expect("target/debug/deps").join("bp");
    assert!(bp.is_file(), "{} is missing: `cargo build --package bp` first", bp.display());
    bp
}

impl Lab {
    /// Starts a verb on the lab's blueprint.
    pub fn start(&self, args: &[&str]) -> Going {
        let mut child = Command::new(binary())
            .args(args)
            .arg("--json")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bp starts");
        let lines = follow(child.stdout.take().expect("it is piped"));
        let words = args.join(" ");
        Going { words, child, lines, began: Instant::now(), events: Vec::new() }
    }

    /// Runs a verb to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        self.start(args).end()
    }

    /// Runs a verb that has to end with this code.
    pub fn expect(&self, args: &[&str], code: i32) -> Ended {
        println!("  bp {}", args.join(" "));
        self.start(args).ends_with(code)
    }

    /// Runs a verb and kills it with SIGKILL as soon as an event is of this kind.
    pub fn kill_when(&self, args: &[&str], what: &str, is: impl Fn(&Value) -> bool) {
        println!("  bp {}, killed when {what}", args.join(" "));
        let mut going = self.start(args);
        going.until(what, is);
        going.child.kill().expect("it runs");
        going.child.wait().expect("it ends");
    }

    /// Runs a command on a host through `bp ssh`.
    pub fn ssh(&self, host: &str, command: &str) -> (i32, String) {
        let output = Command::new(binary())
            .args(["ssh", "-f", "lab.yml", host, "--", command])
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()
            .expect("bp starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Runs a command on a host that has to succeed.
    pub fn on(&self, host: &str, command: &str) -> String {
        let (code, text) = self.ssh(host, command);
        assert_eq!(code, 0, "`{command}` on {host}: {text}");
        text
    }

    /// What a host answers as soon as it is right: an emulated machine that shares its cores misses a
    /// heartbeat now and then, and has no leader for a moment.
    pub fn in_time(&self, host: &str, command: &str, right: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + Duration::from_secs(300);
        loop {
            let (code, text) = self.ssh(host, command);
            if code == 0 && right(&text) {
                return text;
            }
            println!("  `{command}` on {host}, {code}: {text}");
            assert!(Instant::now() < until, "not right within 300 s");
        }
    }
}

fn follow(stdout: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Going {
    /// Reads events until one is of this kind.
    pub fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) {
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(self.began.elapsed())) {
                Ok(line) => {
                    let event: Value = serde_json::from_str(&line).expect("--json is JSON");
                    let found = is(&event);
                    self.events.push(event);
                    if found {
                        return;
                    }
                }
                Err(error) => {
                    let _ = self.child.kill();
                    for event in &self.events {
                        println!("    {event}");
                    }
                    panic!("bp never said: {what} ({error})");
                }
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, which has to be with this code.
    pub fn ends_with(self, code: i32) -> Ended {
        let words = self.words.clone();
        let ended = self.end();
        if ended.code != Some(code) {
            ended.show();
            panic!("`bp {words}` ended with {:?}, not {code}", ended.code);
        }
        println!("    {} ({:.1} s)", ended.last(), ended.took.as_secs_f64());
        ended
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(self.began.elapsed())) {
                Ok(line) => {
                    self.events.push(serde_json::from_str(&line).expect("--json is JSON"));
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("bp did not end within {PATIENCE:?}");
                }
            }
        }
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().expect("it is piped");
        pipe.read_to_string(&mut stderr).expect("it is text");
        let code = self.child.wait().expect("it ends").code();
        Ended { code, events: self.events, stderr, took: self.began.elapsed() }
    }
}

impl Ended {
    /// Everything that is needed to understand it.
    pub fn show(&self) {
        for event in &self.events {
            match event["event"].as_str() {
                Some("step_failed") => {
                    println!(
                        "    failed: {} / {} / {}",
                        event["phase"], event["step"], event["host"]
                    );
                    println!("{}", event["error"].as_str().unwrap_or_default());
                }
                Some("waiting" | "table") => {}
                Some("survey") if event["mark"] == "=" => {}
                _ => println!("    {event}"),
            }
        }
        println!("{}", self.stderr);
    }

    /// The last event.
    pub fn last(&self) -> &Value {
        self.events.last().unwrap_or(&Value::Null)
    }

    /// Steps that the survey marked as `+` or `?`.
    pub fn shown(&self) -> BTreeSet<String> {
        let open = |e: &&Value| e["event"] == "survey" && e["mark"] != "=";
        self.events.iter().filter(open).map(title).collect()
    }

    /// Steps that the survey marked like that.
    pub fn marked(&self, mark: &str) -> BTreeSet<String> {
        let with = |e: &&Value| e["event"] == "survey" && e["mark"] == mark;
        self.events.iter().filter(with).map(title).collect()
    }

    /// Steps that were applied.
    pub fn applied(&self) -> BTreeSet<String> {
        self.events.iter().filter(|e| e["event"] == "applying").map(title).collect()
    }

    /// The text of all failures.
    pub fn failures(&self) -> String {
        let failed = self.events.iter().filter(|e| e["event"] == "step_failed");
        failed.map(|e| format!("{}: {}\n", title(e), e["error"].as_str().unwrap_or(""))).collect()
    }
}

/// `phase/step/host` of an event.
pub fn title(event: &Value) -> String {
    let part = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    format!("{}/{}/{}", part("phase"), part("step"), part("host"))
}

/// Whether an event says that a step is being applied.
pub fn applies(event: &Value, step: &str) -> bool {
    event["event"] == "applying" && title(event) == step
}

/// Runs a command of this machine that has to succeed.
pub fn sh(script: &str, dir: &Path) -> String {
    let output = Command::new("bash").args(["-ec", script]).current_dir(dir).output();
    let output = output.expect("bash starts");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{script}`: {text}\n{error}");
    text
}
