//! What a run says: one event, one JSON object, for the terminal, `--json` and the journal alike.

use crate::journal::Journal;
use serde::Serialize;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedSender;

/// A mark of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Mark {
    /// True already.
    #[serde(rename = "=")]
    True,
    /// Would be applied.
    #[serde(rename = "+")]
    Apply,
    /// Can't be known yet.
    #[serde(rename = "?")]
    Unknown,
}

impl Mark {
    /// Its one character.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "=",
            Self::Apply => "+",
            Self::Unknown => "?",
        }
    }
}

/// Which step an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// The phase.
    pub phase: String,
    /// The step's name.
    pub step: String,
    /// The host; empty for steps of the whole lab.
    pub host: String,
}

/// Something that happened in a run.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    Begin {
        /// The verb, such as `up`.
        verb: &'static str,
        /// The lab's name.
        lab: String,
        /// Phases and hosts of the run, in order, for a table.
        phases: Vec<String>,
        /// The hosts, in order.
        hosts: Vec<String>,
    },
    /// A remark: a choice with its reason, a provider's progress.
    Note {
        /// What it says.
        text: String,
    },
    /// A step's mark, found by the survey.
    Survey {
        /// Which step.
        #[serde(flatten)]
        about: About,
        /// The mark.
        mark: Mark,
        /// Why it is not true.
        #[serde(skip_serializing_if = "String::is_empty")]
        reason: String,
        /// Why the step exists.
        why: String,
    },
    /// All steps have been asked.
    Surveyed {
        /// How many are true.
        already_true: usize,
        /// How many would be applied.
        apply: usize,
        /// How many can't be known yet.
        unknown: usize,
    },
    /// A table of what is; only `status` says them.
    Table {
        /// What it shows: `hosts`, `volumes`.
        title: String,
        /// The names of its columns.
        head: Vec<String>,
        /// Its rows, a text for each column.
        rows: Vec<Vec<String>>,
    },
    /// A step is being applied.
    Applying {
        /// Which step.
        #[serde(flatten)]
        about: About,
        /// What was found not to be so.
        reason: String,
    },
    /// A step waits for its check to come true.
    Waiting {
        /// Which step.
        #[serde(flatten)]
        about: About,
        /// What the check said last.
        reason: String,
        /// Seconds waited so far.
        seconds: f64,
        /// The bound in seconds.
        within: f64,
    },
    /// A step is true.
    StepDone {
        /// Which step.
        #[serde(flatten)]
        about: About,
        /// Whether it was applied in this run.
        applied: bool,
        /// Seconds it took.
        seconds: f64,
    },
    /// A step failed.
    StepFailed {
        /// Which step.
        #[serde(flatten)]
        about: About,
        /// What was being done and what came back.
        error: String,
        /// The whole output, where there is more.
        #[serde(skip_serializing_if = "String::is_empty")]
        detail: String,
        /// What the operator can do.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// Something of the lab was removed.
    Removed {
        /// What it was.
        what: String,
    },
    /// Something of the lab could not be removed.
    NotRemoved {
        /// What it is.
        what: String,
        /// Why.
        error: String,
    },
    /// The run was interrupted.
    Interrupted,
    /// The sum of the run; the last event.
    Done {
        /// The verb.
        verb: &'static str,
        /// The sums, as the verb has them.
        #[serde(flatten)]
        sums: Sums,
        /// Seconds of the whole run.
        seconds: f64,
    },
}

/// The sums of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Steps applied (`up`) or shown as to be applied (`plan`, under the name `apply`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied: Option<usize>,
    /// Steps that `up` would apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply: Option<usize>,
    /// Steps that can't be known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<usize>,
    /// Steps that were true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub already_true: Option<usize>,
    /// Steps that failed, or are not true (`status`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<usize>,
    /// Things removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<usize>,
}

#[derive(Serialize)]
struct Line<'a> {
    v: u32,
    time: String,
    #[serde(flatten)]
    event: &'a Event,
}

/// Where events go: to the journal as lines, and to whoever listens. Secrets are masked on the way.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

struct Inner {
    listener: UnboundedSender<Event>,
    journal: Option<Journal>,
    secrets: Mutex<Vec<String>>,
}

impl Events {
    /// Events for this listener and, where there is one, this journal.
    pub fn new(listener: UnboundedSender<Event>, journal: Option<Journal>) -> Self {
        Self { inner: Arc::new(Inner { listener, journal, secrets: Mutex::default() }) }
    }

    /// From now on this text is masked in every event.
    pub fn hide(&self, secret: &str) {
        let mut secrets = self.inner.secrets.lock().unwrap_or_else(|e| e.into_inner());
        if !secret.is_empty() && !secrets.iter().any(|s| s == secret) {
            secrets.push(secret.to_owned());
        }
    }

    /// The text with every hidden secret masked.
    pub fn mask(&self, mut text: String) -> String {
        let secrets = self.inner.secrets.lock().unwrap_or_else(|e| e.into_inner());
        for secret in secrets.iter() {
            if text.contains(secret) {
                text = text.replace(secret, "***");
            }
        }
        text
    }

    /// Says it.
    pub fn emit(&self, event: Event) {
        let event = self.masked(event);
        // Waiting is for the eye: a line a second would bury the journal.
        if let (Some(journal), false) =
            (&self.inner.journal, matches!(event, Event::Waiting { .. }))
        {
            journal.line(&line(&event));
        }
        // A listener that has gone away (a closed pipe) does not stop the run.
        let _ = self.inner.listener.send(event);
    }

    fn masked(&self, mut event: Event) -> Event {
        let texts: Vec<&mut String> = match &mut event {
            Event::Note { text } => vec![text],
            Event::Survey { about, reason, why, .. } => vec![&mut about.step, reason, why],
            Event::Applying { about, reason } | Event::Waiting { about, reason, .. } => {
                vec![&mut about.step, reason]
            }
            Event::StepDone { about, .. } => vec![&mut about.step],
            Event::StepFailed { about, error, detail, hint } => {
                [&mut about.step, error, detail].into_iter().chain(hint).collect()
            }
            Event::Table { rows, .. } => rows.iter_mut().flatten().collect(),
            Event::Removed { what } => vec![what],
            Event::NotRemoved { what, error } => vec![what, error],
            Event::Begin { .. }
            | Event::Surveyed { .. }
            | Event::Interrupted
            | Event::Done { .. } => Vec::new(),
        };
        for text in texts {
            *text = self.mask(std::mem::take(text));
        }
        event
    }
}

/// The event as one line of JSON, versioned and timed.
pub fn line(event: &Event) -> String {
    let line = Line { v: 1, time: jiff::Timestamp::now().to_string(), event };
    serde_json::to_string(&line).expect("events are plain data")
}
