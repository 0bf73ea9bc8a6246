//! How a command ends.

use playbooks::Failure;
use std::process::ExitCode;

/// The exit codes, for `--help`.
pub const HELP: &str = "\
Exit codes:
  0    done, or nothing to do
  1    a step failed
  2    the input is wrong: arguments, blueprint
  3    `plan` found changes, or `status` found something not true
  4    another run holds the lab
  130  interrupted; `bp up` continues";

/// Every way to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// A step failed.
    Failed = 1,
    /// The input is wrong.
    Input = 2,
    /// `plan` found changes, or `status` found something not true.
    Differs = 3,
    /// Another run holds the lab.
    Held = 4,
    /// Interrupted.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that ends a command, printed once.
#[derive(Debug)]
pub struct Error {
    /// How it ends.
    pub exit: Exit,
    /// What was being done and what came back.
    pub message: String,
    /// What the operator can do.
    pub hint: Option<String>,
}

impl Error {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// The input is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Exit::Input, message)
    }

    /// Something failed.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Another run holds the lab.
    pub fn held(message: impl Into<String>) -> Self {
        Self::new(Exit::Held, message)
    }

    /// With a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure as an error of the input: found before anything was touched.
    pub fn of_input(failure: Failure) -> Self {
        Self { exit: Exit::Input, message: failure.message, hint: failure.hint }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self { exit: Exit::Failed, message: failure.message, hint: failure.hint }
    }
}
