//! A step: a check and, if it can make the check true, an apply.

use crate::cx::Cx;
use futures::future::BoxFuture;
use providers::{Cmd, Output, ProviderError, SessionError};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It is so.
    True,
    /// It is not so, and this is why.
    Not(String),
    /// It can't be known yet, because something before it is not there.
    Unknown(String),
    /// It is not so, and neither an apply nor waiting can change that.
    Failed(Failure),
}

impl Check {
    /// True, or not true for this reason.
    pub fn when(is: bool, reason: impl Into<String>) -> Self {
        if is { Self::True } else { Self::Not(reason.into()) }
    }

    /// The reason why it is not true; empty where it is.
    pub fn reason(&self) -> &str {
        match self {
            Self::True => "",
            Self::Not(reason) | Self::Unknown(reason) => reason,
            Self::Failed(failure) => &failure.message,
        }
    }
}

/// Why a step failed: what is printed, what goes only to the journal, and what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// What was being done and what came back, a few lines.
    pub message: String,
    /// The whole output of what failed, for the journal.
    pub detail: String,
    /// What the operator can do.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with only a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// With a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A command that exited with another status than 0.
    pub fn command(cmd: &Cmd, output: &Output) -> Self {
        let stderr = cmd.mask(&output.err());
        let tail =
            tail(if stderr.is_empty() { cmd.mask(&output.out()) } else { stderr.clone() }, 12);
        Self {
            message: format!(
                "`{}` exited with {}\n{tail}",
                shorten(&cmd.mask(cmd.script.trim())),
                output.code
            )
            .trim_end()
            .to_owned(),
            detail: format!("{}\n{stderr}\n{}", cmd.mask(&cmd.script), cmd.mask(&output.out())),
            hint: None,
        }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self { message: error.to_string(), detail: String::new(), hint: error.hint }
    }
}

/// The last lines of a text.
pub(crate) fn tail(text: String, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A script as one line of at most 160 characters.
fn shorten(script: &str) -> String {
    let line = script.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// Why an apply did not work.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// The connection failed: applying again may work.
    Session(SessionError),
    /// Anything else.
    Failure(Failure),
}

impl From<SessionError> for Trouble {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<ProviderError> for Trouble {
    fn from(error: ProviderError) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Failure(failure) => failure,
            Trouble::Session(
                SessionError::Refused { message, hint } | SessionError::HostKey { message, hint },
            ) => Self { message, hint, ..Self::default() },
            Trouble::Session(error) => Self::new(error.to_string()),
        }
    }
}

impl From<Trouble> for Check {
    /// A check that can't run is not true; what waiting can't change is a failure.
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Session(SessionError::Refused { .. }) => Self::Failed(trouble.into()),
            other => Self::Not(Failure::from(other).message),
        }
    }
}

/// What a step concerns, which is also the lane it runs in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum On {
    /// The whole lab: waits for all hosts.
    Lab,
    /// One host: runs beside the other hosts' steps.
    Host(String),
}

impl On {
    /// The host's name; the empty text for the lab.
    pub fn host(&self) -> &str {
        match self {
            Self::Lab => "",
            Self::Host(host) => host,
        }
    }
}

type CheckFn = Arc<dyn Fn(Cx) -> BoxFuture<'static, Check> + Send + Sync>;
type ApplyFn = Arc<dyn Fn(Cx) -> BoxFuture<'static, Result<(), Trouble>> + Send + Sync>;

type ScriptFn = Arc<dyn Fn(Cx) -> BoxFuture<'static, Result<String, Check>> + Send + Sync>;

type DiagnoseFn = Arc<dyn Fn(Cx) -> BoxFuture<'static, Option<String>> + Send + Sync>;

/// How a step is checked.
#[derive(Clone)]
pub enum CheckBy {
    /// Plain shell on the step's own host: exit status 0 is true, otherwise the last line that it
    /// printed is the reason. Such checks travel together.
    Shell(String),
    /// The same, the shell made when it is asked: of what is known only then, such as addresses of
    /// other hosts. Or the answer itself, where it can be given without asking the host.
    ShellOf(ScriptFn),
    /// Anything else.
    Rust(CheckFn),
}

/// One step of a run.
#[derive(Clone)]
pub struct Step {
    /// The phase it belongs to; set by [`crate::plan`].
    pub phase: String,
    /// Its name, unique in its phase and host.
    pub name: String,
    /// Why it exists, one sentence.
    pub why: String,
    /// What it concerns.
    pub on: On,
    /// How it is checked.
    pub check: CheckBy,
    /// How the check is made true; `None`: a health gate.
    pub apply: Option<ApplyFn>,
    /// How long the check may take to come true, the apply included.
    pub within: Duration,
    /// Steps that name the same thing here are applied one at a time, over the whole lab.
    pub alone: Option<&'static str>,
    /// What is shown with a failure, so that it can be understood from the log alone.
    pub diagnose: Option<DiagnoseFn>,
    /// Takes back what the run began, where the step fails, and says so.
    pub undo: Option<DiagnoseFn>,
}

impl Step {
    /// A step of the whole lab that is never true: give it a check.
    pub fn lab(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(On::Lab, name, why)
    }

    /// A step of one host.
    pub fn host(host: &str, name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(On::Host(host.to_owned()), name, why)
    }

    fn new(on: On, name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            phase: String::new(),
            name: name.into(),
            why: why.into(),
            on,
            check: CheckBy::Shell("false".to_owned()),
            apply: None,
            within: Duration::from_secs(120),
            alone: None,
            diagnose: None,
            undo: None,
        }
    }

    /// Checked by plain shell on its host.
    pub fn check_shell(mut self, script: impl Into<String>) -> Self {
        self.check = CheckBy::Shell(script.into());
        self
    }

    /// Checked by the plain shell on its host that this function gives.
    pub fn check_shell_of<F>(mut self, script: impl Fn(Cx) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, Check>> + Send + 'static,
    {
        self.check = CheckBy::ShellOf(Arc::new(move |cx| Box::pin(script(cx))));
        self
    }

    /// Checked by this function.
    pub fn check<F>(mut self, check: impl Fn(Cx) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Check> + Send + 'static,
    {
        self.check = CheckBy::Rust(Arc::new(move |cx| Box::pin(check(cx))));
        self
    }

    /// Made true by this function.
    pub fn apply<F>(mut self, apply: impl Fn(Cx) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Trouble>> + Send + 'static,
    {
        self.apply = Some(Arc::new(move |cx| Box::pin(apply(cx))));
        self
    }

    /// Made true by plain shell on its host, within the step's own bound.
    pub fn apply_shell(self, script: impl Into<String>) -> Self {
        let (host, script, within) = (self.on.host().to_owned(), script.into(), self.within);
        self.apply(move |cx| {
            let (host, cmd) = (host.clone(), Cmd::new(script.clone()).within(within));
            async move { cx.ok(&host, cmd).await.map(drop) }
        })
    }

    /// With this bound instead of two minutes. Before `apply_shell`, which takes it over.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Applied one at a time with all steps that name the same thing.
    pub fn alone(mut self, what: &'static str) -> Self {
        self.alone = Some(what);
        self
    }

    /// With this shown when it fails: a console, a unit's journal, a task's log.
    pub fn diagnose<F>(mut self, ask: impl Fn(Cx) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        self.diagnose = Some(Arc::new(move |cx| Box::pin(ask(cx))));
        self
    }

    /// With this done when it fails, which says what it did; `None`: there was nothing to do.
    pub fn undo<F>(mut self, undo: impl Fn(Cx) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Option<String>> + Send + 'static,
    {
        self.undo = Some(Arc::new(move |cx| Box::pin(undo(cx))));
        self
    }

    /// What the operator calls it: `phase / step / host`.
    pub fn title(&self) -> String {
        match &self.on {
            On::Lab => format!("{} / {}", self.phase, self.name),
            On::Host(host) => format!("{} / {} / {host}", self.phase, self.name),
        }
    }
}
