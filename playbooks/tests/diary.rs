//! Steps that are only state, and the diary of what they do.

use super::bench::{Bench, LAB, Ran, cx, ran};
use crate::cx::Cx;
use crate::event::{Event, Sums};
use crate::step::{Check, Step};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

pub const SECOND: Duration = Duration::from_secs(1);

/// What steps do, and when.
#[derive(Clone, Default)]
pub struct Diary {
    pub is: Arc<Mutex<BTreeMap<String, bool>>>,
    lines: Arc<Mutex<Vec<String>>>,
    checks: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Diary {
    pub fn is(&self, what: &str) -> bool {
        self.is.lock().expect("lock").get(what).copied().unwrap_or(false)
    }

    pub fn set(&self, what: &str) {
        self.is.lock().expect("lock").insert(what.to_owned(), true);
    }

    pub fn say(&self, line: String) {
        self.lines.lock().expect("lock").push(line);
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("lock").clone()
    }

    pub fn checked(&self, what: &str) -> usize {
        self.checks.lock().expect("lock").get(what).copied().unwrap_or(0)
    }

    pub fn gate(&self, step: Step) -> Step {
        let (diary, key) = (self.clone(), key(&step));
        step.within(60 * SECOND).check(move |_| {
            let (diary, key) = (diary.clone(), key.clone());
            async move {
                *diary.checks.lock().expect("lock").entry(key.clone()).or_default() += 1;
                Check::when(diary.is(&key), "not yet")
            }
        })
    }

    /// A step whose apply takes so long and makes it true.
    pub fn step(&self, step: Step, takes: Duration) -> Step {
        let (diary, key) = (self.clone(), key(&step));
        self.gate(step).apply(move |_| {
            let (diary, key) = (diary.clone(), key.clone());
            async move {
                diary.say(format!("{key} begins"));
                sleep(takes).await;
                diary.set(&key);
                diary.say(format!("{key} ends"));
                Ok(())
            }
        })
    }
}

pub fn key(step: &Step) -> String {
    format!("{} {}", step.name, step.on.host()).trim_end().to_owned()
}

pub fn host(name: &str, what: &str) -> Step {
    Step::host(name, what, "because")
}

pub fn lab(what: &str) -> Step {
    Step::lab(what, "because")
}

pub fn bench() -> (Cx, mpsc::UnboundedReceiver<Event>, Bench) {
    let bench = Bench::new(LAB);
    let (cx, events) = cx(bench.lab.clone(), bench.dir.path(), bench.site.world());
    (cx, events, bench)
}

pub async fn run(steps: &[Step]) -> Ran {
    let (cx, events, _bench) = bench();
    ran(&cx, events, steps, watch::channel(false).1).await.expect("no lock")
}

pub fn sums(applied: usize, already: usize, failed: usize) -> Sums {
    Sums {
        applied: Some(applied),
        already_true: Some(already),
        failed: Some(failed),
        ..Sums::default()
    }
}
