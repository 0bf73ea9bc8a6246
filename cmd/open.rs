//! Opens a lab for a run: its lock, its journal, its providers, its plan.

use crate::exit::Error;
use crate::load::{self, Loaded};
use crate::select::Select;
use crate::view::{self, View};
use playbooks::event::{Event, Events, Mark, Sums};
use playbooks::journal::{self, Journal};
use playbooks::lock::{Holder, LocalLock, LockError};
use playbooks::{Check, Cx, Plan, RealWorld, World, survey};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// A lab that is open for one run.
pub struct Run {
    /// What steps are given.
    pub cx: Cx,
    /// All steps.
    pub plan: Plan,
    /// Turns true when the operator asks to stop.
    pub stop: watch::Receiver<bool>,
    /// Who this is, to other runs.
    pub me: Holder,
    verb: &'static str,
    began: Instant,
    view: View,
    _lock: Option<LocalLock>,
}

/// Whether a run changes anything: then it is the only one, and leaves a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It looks.
    Reads,
    /// It changes.
    Writes,
}

/// Opens a lab with its plan.
///
/// # Errors
/// When another run holds it, a provider does not answer, or a playbook or stack is wrong.
pub async fn lab(loaded: Loaded, verb: &'static str, kind: Kind, json: bool) -> Result<Run, Error> {
    let dir = loaded.dir.clone();
    let mut run = machines(loaded, verb, kind, json).await?;
    match playbooks::plan(run.cx.lab(), &dir, run.cx.world()) {
        Ok(plan) => run.plan = plan,
        Err(failure) => return Err(run.give_up(Error::of_input(failure)).await),
    }
    Ok(run)
}

/// Opens a lab with the selected part of its plan, and says that the run begins.
///
/// # Errors
/// When the lab can't be opened, or nothing of its plan has the selected names.
pub async fn selected(
    file: &load::File,
    select: &Select,
    verb: &'static str,
    kind: Kind,
    json: bool,
) -> Result<Run, Error> {
    let mut run = lab(load::blueprint(file.file.as_deref(), json)?, verb, kind, json).await?;
    let hosts: Vec<String> = run.cx.lab().hosts.iter().map(|h| h.name.clone()).collect();
    if let Err(error) = select.apply(&mut run.plan, &hosts) {
        return Err(run.give_up(error).await);
    }
    run.begin();
    Ok(run)
}

/// Opens a lab without a plan, for verbs that only find or remove machines.
///
/// # Errors
/// When another run holds it, or a provider does not answer.
pub async fn machines(
    loaded: Loaded,
    verb: &'static str,
    kind: Kind,
    json: bool,
) -> Result<Run, Error> {
    let began = Instant::now();
    let lab = Arc::new(loaded.lab);
    let dir = journal::folder(&loaded.dir, &lab.name);
    let me = Holder::me(verb);
    let (lock, journal) = match kind {
        Kind::Reads => (None, None),
        Kind::Writes => {
            let lock = LocalLock::take(&dir, &me).map_err(held)?;
            let journal = Journal::begin(&dir, verb).map_err(|e| {
                Error::failed(format!("begin the journal in `{}`: {e}", dir.display()))
            })?;
            (Some(lock), Some(journal))
        }
    };
    let (view, listener) = View::start(json, verb);
    let events = Events::new(listener, journal);
    let tell = {
        let events = events.clone();
        Arc::new(move |text: String| events.emit(Event::Note { text }))
    };
    let world: Arc<dyn World> = Arc::new(RealWorld::open(&lab, &dir, tell).await?);
    let plan = Plan { steps: Vec::new(), remarks: Vec::new(), given: Vec::new() };
    let cx = Cx::new(lab, dir, events, world);
    Ok(Run { cx, plan, stop: interrupts(), me, verb, began, view, _lock: lock })
}

/// A lock that was not had, as an error.
pub fn held(error: LockError) -> Error {
    match error {
        LockError::Held(by) => Error::held(format!("the lab is held by {by}"))
            .hint("wait for it to end; its lock ends with it"),
        LockError::Io(why) => Error::failed(why),
    }
}

impl Run {
    /// Says that the run begins, and what stands in for bp's own parts.
    pub fn begin(&self) {
        let mut phases: Vec<String> = Vec::new();
        for step in &self.plan.steps {
            if !phases.contains(&step.phase) {
                phases.push(step.phase.clone());
            }
        }
        let hosts = self.cx.lab().hosts.iter().map(|h| h.name.clone()).collect();
        let lab = self.cx.lab().name.clone();
        self.cx.events().emit(Event::Begin { verb: self.verb, lab, phases, hosts });
        for remark in &self.plan.remarks {
            self.cx.note(remark);
        }
    }

    /// What all checks found, and the marks of it, which are said; `None` where the operator asked
    /// to stop before that.
    pub async fn survey(&self) -> Option<(Vec<Check>, Vec<Mark>)> {
        let found = tokio::select! {
            found = survey::survey(&self.cx, &self.plan.steps) => found,
            () = self.asked_to_stop() => return None,
        };
        let marks = survey::marks(&self.plan.steps, &found);
        survey::tell(&self.cx, &self.plan.steps, &found, &marks);
        Some((found, marks))
    }

    /// Whether the operator wants it; `None` where the answer is to stop.
    pub async fn consent(&self, question: &str) -> Option<bool> {
        self.view.shown().await;
        tokio::select! {
            yes = view::confirm(question) => Some(yes),
            () = self.asked_to_stop() => {
                view::line("");
                None
            }
        }
    }

    /// Says how it ended, and waits until all of it is printed.
    pub async fn end(self, sums: Sums) {
        let seconds = (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        self.cx.events().emit(Event::Done { verb: self.verb, sums, seconds });
        self.view.end().await;
    }

    /// Says that it was interrupted, and how far it came.
    pub async fn interrupted(self, sums: Sums) {
        self.cx.events().emit(Event::Interrupted);
        self.end(sums).await;
    }

    /// Prints what was said so far; for errors that end the run.
    pub async fn give_up(self, error: Error) -> Error {
        self.view.end().await;
        error
    }

    /// Ends when the operator asks to stop.
    pub async fn asked_to_stop(&self) {
        let mut stop = self.stop.clone();
        if stop.wait_for(|s| *s).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Ctrl-C and SIGTERM ask once, and end the process the second time.
fn interrupts() -> watch::Receiver<bool> {
    let (asked, stop) = watch::channel(false);
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut int), Ok(mut term)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        for time in 1.. {
            tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
            if time > 1 {
                std::process::exit(crate::exit::Exit::Interrupted as i32);
            }
            let _ = asked.send(true);
        }
    });
    stop
}
