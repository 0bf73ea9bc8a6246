//! The real `bp`, run as an operator runs it: in a folder, with a home and an environment of its own.

use crate::support::sshd::{signal, text};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No run of these tests takes nearly as long, on any machine.
const BOUND: Duration = Duration::from_secs(240);

/// Waits, with a bound, until something is so.
#[track_caller]
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + BOUND;
    while !so() {
        assert!(Instant::now() < end, "never so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The binary beside this test's own.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let bp = test.parent().and_then(|deps| deps.parent()).unwrap().join("bp");
    assert!(
        bp.is_file(),
        "these tests run `{}`, which is not there: `cargo build -p bp` first",
        bp.display()
    );
    bp
}

/// A folder to run `bp` in.
pub struct Desk {
    dir: TempDir,
    env: Vec<(String, String)>,
    netns: Option<String>,
}

impl Desk {
    /// An empty one.
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap(), env: Vec::new(), netns: None }
    }

    /// One that holds this as `bp.yml`.
    pub fn with(blueprint: &str) -> Self {
        let desk = Self::new();
        desk.write("bp.yml", blueprint);
        desk
    }

    /// With this in the environment of every run.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With every run inside this network namespace.
    pub fn inside(mut self, netns: &str) -> Self {
        self.netns = Some(netns.to_owned());
        self
    }

    /// A path in the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    /// The names in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let name = |e: std::io::Result<fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(self.dir.path()).unwrap().map(name).collect();
        names.sort();
        names
    }

    /// The command, its output not yet redirected. Nothing is there to be asked.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(&text(&binary()), args)
    }

    /// Another program's command, run as `bp` would be.
    pub fn command_of(&self, program: &str, args: &[&str]) -> Command {
        let mut command = match &self.netns {
            None => Command::new(program),
            Some(netns) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", netns, program]);
                command
            }
        };
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.dir.path()).env("USER", "tester");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    pub fn bp(&self, args: &[&str]) -> Ran {
        self.start(args).finish()
    }

    /// Starts it.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (said, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = said.send(line);
            }
        });
        let mut err = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            text
        });
        let what = args.join(" ");
        Running { what, child, lines, errors: Some(errors), heard: Vec::new() }
    }
}

/// A run that is going on. It ends with this.
pub struct Running {
    what: String,
    child: Child,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
    heard: Vec<String>,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output; `None` when there are no more.
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(BOUND) {
            Ok(line) => {
                self.heard.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("`bp {}` says nothing more: {:#?}", self.what, self.heard)
            }
        }
    }

    /// Listens until it has said so many times that a step begins or is done, or that something is
    /// removed; whether it came to that.
    pub fn until_boundary(&mut self, number: usize) -> bool {
        let mut seen = 0;
        while seen < number {
            let Some(line) = self.line() else { return false };
            let event: Value = serde_json::from_str(&line).unwrap();
            let kind = event["event"].as_str().unwrap();
            seen += usize::from(["applying", "step_done", "removed"].contains(&kind));
        }
        true
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        signal(name, self.child.id());
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Ran {
        while self.line().is_some() {}
        let mut status = None;
        wait_until(&format!("`bp {}` ends", self.what), || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let err = self.errors.take().unwrap().join().unwrap();
        let out: String = self.heard.drain(..).map(|l| l + "\n").collect();
        Ran { what: self.what.clone(), code: status.unwrap().code(), out, err }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its arguments.
    pub what: String,
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ran {
    /// The same, having ended with this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "`bp {}`\n{}{}", self.what, self.out, self.err);
        self
    }

    /// Its lines as JSON; each must be an object of version 1 that says what it is.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        let line = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|e| {
                panic!("`bp {}` printed a line that is no JSON: {e}: {line}", self.what)
            });
            assert_eq!(value["v"], 1, "{line}");
            assert!(value["event"].is_string(), "{line}");
            value
        };
        self.out.lines().map(line).collect()
    }

    /// The last of them, which sums up.
    #[track_caller]
    pub fn done(&self) -> Value {
        let last = self.json().pop().unwrap_or_else(|| panic!("nothing printed: {self:?}"));
        assert_eq!(last["event"], "done", "{self:?}");
        last
    }

    /// The events of this kind.
    #[track_caller]
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.json().into_iter().filter(|e| e["event"] == kind).collect()
    }

    /// `phase/step/host` of these events, sorted.
    #[track_caller]
    pub fn steps(&self, kind: &str, is: impl Fn(&Value) -> bool) -> Vec<String> {
        let word = |e: &Value, key: &str| e[key].as_str().unwrap().to_owned();
        let title = |e: &Value| [word(e, "phase"), word(e, "step"), word(e, "host")].join("/");
        let mut steps: Vec<String> =
            self.events(kind).iter().filter(|e| is(e)).map(title).collect();
        steps.sort();
        steps
    }

    /// The steps that it applied.
    #[track_caller]
    pub fn applied(&self) -> Vec<String> {
        self.steps("step_done", |e| e["applied"] == true)
    }
}
