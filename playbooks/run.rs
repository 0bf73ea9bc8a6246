//! The run: goes through the steps in order, applies what is not true, and polls the same check
//! until it is or its time is out.

use crate::cx::Cx;
use crate::event::{Event, Sums};
use crate::limits;
use crate::lock::{Holder, LeaderLock, LockError};
use crate::step::{Check, Failure, On, Step, Trouble};
use crate::survey::{about, check, survey};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use providers::SessionError;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

/// Asks a run to end: steps in hand get a moment, nothing new begins.
pub type Stop = watch::Receiver<bool>;

/// How a run over the steps ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The counts.
    pub sums: Sums,
    /// Whether it was asked to stop before it was through.
    pub interrupted: bool,
}

struct Going<'a> {
    cx: &'a Cx,
    stop: Stop,
    hosts: Semaphore,
    locks: HashMap<&'static str, Mutex<()>>,
    changed: AtomicBool,
    applied: AtomicUsize,
    already: AtomicUsize,
    failed: AtomicUsize,
}

/// Makes the steps true in order. `found` is the survey's answer to each. `parallel` hosts are
/// worked on at once.
///
/// Consecutive steps of single hosts run side by side, a host not waiting for its neighbours; a
/// step of the lab waits for all hosts. All hosts finish before the run is judged. The lock on the
/// leader is taken as soon as there is one.
///
/// # Errors
/// When another run holds the leader.
pub async fn up(
    cx: &Cx,
    steps: &[Step],
    found: &[Check],
    parallel: usize,
    stop: Stop,
    me: &Holder,
) -> Result<Outcome, LockError> {
    let mut leader = LeaderLock::default();
    let going = Going {
        cx,
        stop,
        hosts: Semaphore::new(parallel),
        locks: steps.iter().filter_map(|s| s.alone).map(|what| (what, Mutex::default())).collect(),
        changed: AtomicBool::new(false),
        applied: AtomicUsize::new(0),
        already: AtomicUsize::new(0),
        failed: AtomicUsize::new(0),
    };
    // What needs nothing done needs nobody kept out.
    let idle = found.iter().all(|c| *c == Check::True);
    let mut found = found.to_vec();
    let mut at = 0;
    for segment in steps.chunk_by(|a, b| a.on != On::Lab && b.on != On::Lab) {
        if !idle {
            leader.take(cx, me).await?;
        }
        if going.changed.load(Ordering::Relaxed) && are_mostly_true(&found[at..]) {
            let rest = survey(&cx.fresh(), &steps[at..]).await;
            found.splice(at.., rest);
            going.changed.store(false, Ordering::Relaxed);
        }
        let here = segment.iter().zip(&found[at..]);
        at += segment.len();
        let mut lanes: Vec<(&On, Vec<(&Step, &Check)>)> = Vec::new();
        for (step, check) in here {
            match lanes.iter_mut().find(|(on, _)| *on == &step.on) {
                Some((_, lane)) => lane.push((step, check)),
                None => lanes.push((&step.on, vec![(step, check)])),
            }
        }
        let mut running: FuturesUnordered<_> =
            lanes.into_iter().map(|(_, steps)| going.lane(steps)).collect();
        while running.next().await.is_some() {}
        if going.stopped() || going.failed.load(Ordering::Relaxed) > 0 {
            break;
        }
    }
    let count = |of: &AtomicUsize| Some(of.load(Ordering::Relaxed));
    Ok(Outcome {
        interrupted: going.stopped(),
        sums: Sums {
            applied: count(&going.applied),
            already_true: count(&going.already),
            failed: count(&going.failed),
            ..Sums::default()
        },
    })
}

/// Whether asking all of them at once again is cheaper than asking each when its turn comes.
fn are_mostly_true(found: &[Check]) -> bool {
    2 * found.iter().filter(|c| **c == Check::True).count() > found.len()
}

impl Going<'_> {
    fn stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// One host's steps in order, until one fails.
    async fn lane(&self, steps: Vec<(&Step, &Check)>) {
        let _place = self.hosts.acquire().await;
        for (step, found) in steps {
            if self.stopped() {
                return;
            }
            let began = Instant::now();
            let settled = match self.settle(step, found, began).await {
                Settled::Applied => {
                    self.applied.fetch_add(1, Ordering::Relaxed);
                    true
                }
                Settled::True => {
                    self.already.fetch_add(1, Ordering::Relaxed);
                    false
                }
                Settled::Failed(mut failure) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    if let Some(shown) = self.diagnosis(step).await {
                        failure.message = format!("{}\n{shown}", failure.message);
                    }
                    if let Some(undo) = &step.undo
                        && let Some(done) = undo(self.cx.fresh()).await
                    {
                        failure.message = format!("{}\n{done}", failure.message);
                    }
                    self.cx.events().emit(Event::StepFailed {
                        about: about(step),
                        error: failure.message,
                        detail: failure.detail,
                        hint: failure.hint,
                    });
                    return;
                }
                Settled::Stopped => return,
            };
            let (about, seconds) = (about(step), began.elapsed().as_secs_f64());
            self.cx.events().emit(Event::StepDone { about, applied: settled, seconds });
        }
    }

    /// Makes one step true.
    async fn settle(&self, step: &Step, found: &Check, began: Instant) -> Settled {
        // As long as nothing was changed since, the survey is still right.
        if !self.changed.load(Ordering::Relaxed) && *found == Check::True {
            return Settled::True;
        }
        let _alone = match step.alone {
            Some(what) => Some(self.locks[what].lock().await),
            None => None,
        };
        let changed = self.changed.load(Ordering::Relaxed);
        let now = match found {
            Check::Not(_) | Check::Failed(_) if !changed => found.clone(),
            _ => check(&self.cx.fresh(), step).await,
        };
        if now == Check::True {
            return Settled::True;
        }
        // What is waited for changes by itself, and other things with it: a rolling change ends, and
        // what answered well before it does not any more.
        self.changed.store(true, Ordering::Relaxed);
        let reason = match now {
            Check::Failed(failure) => return Settled::Failed(failure),
            // What can't be known is waited for, never applied: a swarm that nobody could ask
            // about may be there.
            Check::Unknown(_) if step.apply.is_some() => {
                match self.poll(step, began, began + step.within, is_known).await {
                    Ok(Check::True) => return Settled::True,
                    Ok(known) => known.reason().to_owned(),
                    Err(settled) => return settled,
                }
            }
            other => other.reason().to_owned(),
        };
        if self.stopped() {
            return Settled::Stopped;
        }
        // Waiting for a lock is not the step's own time.
        let began = if step.alone.is_some() { Instant::now() } else { began };
        let until = began + step.within;
        let applied = step.apply.is_some();
        if applied {
            self.cx.events().emit(Event::Applying { about: about(step), reason });
            match self.apply(step, until).await {
                Ok(()) => {}
                Err(settled) => return settled,
            }
        }
        match self.poll(step, began, until, |check| *check == Check::True).await {
            Ok(_) if applied => Settled::Applied,
            Ok(_) => Settled::True,
            Err(settled) => settled,
        }
    }

    /// Applies, again where only the connection failed.
    async fn apply(&self, step: &Step, until: Instant) -> Result<(), Settled> {
        let Some(apply) = &step.apply else { return Ok(()) };
        for attempt in 1.. {
            let trying = apply(self.cx.fresh());
            let answer = tokio::select! {
                answer = timeout_at(until, trying) => answer,
                () = self.out_of_patience() => return Err(Settled::Stopped),
            };
            let trouble = match answer {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(trouble)) => trouble,
                Err(_) => Trouble::Failure(Failure::new(format!(
                    "did not end within {}",
                    limits::seconds(step.within)
                ))),
            };
            let passing = matches!(
                trouble,
                Trouble::Session(SessionError::Unreachable(_) | SessionError::NoExitStatus)
            );
            if !passing || attempt >= limits::APPLY_ATTEMPTS || self.stopped() {
                return Err(Settled::Failed(trouble.into()));
            }
            tokio::time::sleep(limits::POLL_SLOWEST).await;
        }
        unreachable!("the loop ends by its attempts")
    }

    /// Asks the step's check until it says enough or its time is out.
    async fn poll(
        &self,
        step: &Step,
        began: Instant,
        until: Instant,
        enough: fn(&Check) -> bool,
    ) -> Result<Check, Settled> {
        let mut pause = limits::POLL_FASTEST;
        let mut last = "its check gave no answer".to_owned();
        loop {
            let cx = self.cx.fresh();
            let asked = tokio::select! {
                asked = timeout_at(until, check(&cx, step)) => asked,
                () = self.out_of_patience() => return Err(Settled::Stopped),
            };
            let Ok(asked) = asked else { return Err(Settled::Failed(too_late(step, &last))) };
            let reason = match asked {
                Check::Failed(failure) => return Err(Settled::Failed(failure)),
                asked if enough(&asked) => return Ok(asked),
                other => other.reason().to_owned(),
            };
            if self.stopped() {
                return Err(Settled::Stopped);
            }
            if Instant::now() + pause > until {
                return Err(Settled::Failed(too_late(step, &reason)));
            }
            last.clone_from(&reason);
            self.cx.events().emit(Event::Waiting {
                about: about(step),
                reason,
                seconds: began.elapsed().as_secs_f64(),
                within: step.within.as_secs_f64(),
            });
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limits::POLL_SLOWEST);
        }
    }

    /// What the step shows of its failure, where it can be had in time.
    async fn diagnosis(&self, step: &Step) -> Option<String> {
        let ask = step.diagnose.as_ref()?;
        tokio::time::timeout(limits::DIAGNOSIS, ask(self.cx.fresh())).await.ok().flatten()
    }

    /// Ends a moment after the run was asked to stop.
    async fn out_of_patience(&self) {
        let mut stop = self.stop.clone();
        // A sender that is gone can't ask any more: never ends then.
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(limits::STOP_GRACE).await;
    }
}

fn is_known(check: &Check) -> bool {
    !matches!(check, Check::Unknown(_))
}

fn too_late(step: &Step, reason: &str) -> Failure {
    let bound = limits::seconds(step.within);
    Failure::new(format!("not true within {bound}: {reason}"))
}

enum Settled {
    True,
    Applied,
    Failed(Failure),
    Stopped,
}

/// The default for how many hosts are worked on at once.
pub const PARALLEL: usize = limits::PARALLEL;

/// A bound on anything that has none of its own.
pub(crate) async fn bounded<T>(
    within: Duration,
    what: &str,
    doing: impl Future<Output = T>,
) -> Result<T, Failure> {
    tokio::time::timeout(within, doing)
        .await
        .map_err(|_| Failure::new(format!("{what} did not end within {}", limits::seconds(within))))
}
