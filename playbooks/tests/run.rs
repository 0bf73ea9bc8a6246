//! The engine on steps that are only state: who runs when, what is applied, how it ends.

use super::bench::{Bench, LAB, Ran, cx, me, ran};
use crate::cx::Cx;
use crate::event::{Event, Mark, Sums, line};
use crate::run::up;
use crate::step::{Check, Failure, Step};
use crate::survey::{marks, survey};
use providers::SessionError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// What steps do, and when.
#[derive(Clone, Default)]
struct Diary {
    is: Arc<Mutex<BTreeMap<String, bool>>>,
    lines: Arc<Mutex<Vec<String>>>,
    checks: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Diary {
    fn is(&self, what: &str) -> bool {
        self.is.lock().expect("lock").get(what).copied().unwrap_or(false)
    }

    fn set(&self, what: &str) {
        self.is.lock().expect("lock").insert(what.to_owned(), true);
    }

    fn say(&self, line: String) {
        self.lines.lock().expect("lock").push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("lock").clone()
    }

    fn checked(&self, what: &str) -> usize {
        self.checks.lock().expect("lock").get(what).copied().unwrap_or(0)
    }

    fn gate(&self, step: Step) -> Step {
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
    fn step(&self, step: Step, takes: Duration) -> Step {
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

fn key(step: &Step) -> String {
    format!("{} {}", step.name, step.on.host()).trim_end().to_owned()
}

fn host(name: &str, what: &str) -> Step {
    Step::host(name, what, "because")
}

fn lab(what: &str) -> Step {
    Step::lab(what, "because")
}

fn bench() -> (Cx, mpsc::UnboundedReceiver<Event>, Bench) {
    let bench = Bench::new(LAB);
    let (cx, events) = cx(bench.lab.clone(), bench.dir.path(), bench.site.world());
    (cx, events, bench)
}

async fn run(steps: &[Step]) -> Ran {
    let (cx, events, _bench) = bench();
    ran(&cx, events, steps, watch::channel(false).1).await.expect("no lock")
}

fn sums(applied: usize, already: usize, failed: usize) -> Sums {
    Sums {
        applied: Some(applied),
        already_true: Some(already),
        failed: Some(failed),
        ..Sums::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_does_not_wait_for_its_neighbours_and_the_lab_waits_for_all() {
    let diary = Diary::default();
    let steps = [
        diary.step(host("node1", "a"), SECOND),
        diary.step(host("node2", "a"), 10 * SECOND),
        diary.step(host("node1", "b"), SECOND),
        diary.step(host("node2", "b"), SECOND),
        diary.step(lab("all"), SECOND),
        diary.step(host("node1", "c"), SECOND),
    ];
    let began = Instant::now();
    let ran = run(&steps).await;
    assert_eq!(*ran.sums(), sums(6, 0, 0));
    insta::assert_snapshot!(diary.lines().join("\n"), @"
    a node1 begins
    a node2 begins
    a node1 ends
    b node1 begins
    b node1 ends
    a node2 ends
    b node2 begins
    b node2 ends
    all begins
    all ends
    c node1 begins
    c node1 ends
    ");
    assert!(began.elapsed() < 14 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn all_hosts_finish_before_the_run_is_judged_and_every_failure_is_said() {
    let diary = Diary::default();
    let broken = |name: &str| {
        host(name, "broken")
            .check(|_| async { Check::Not("no".to_owned()) })
            .apply(|_| async { Err(Failure::new("it broke").hint("mend it").into()) })
    };
    let steps = [
        broken("node1"),
        diary.step(host("node1", "after"), SECOND),
        broken("node2"),
        diary.step(host("node3", "slow"), 30 * SECOND),
        diary.step(host("node3", "slower"), 30 * SECOND),
        diary.step(lab("all"), SECOND),
        diary.step(host("node3", "last"), SECOND),
    ];
    let ran = run(&steps).await;
    assert_eq!(*ran.sums(), sums(2, 0, 2));
    insta::assert_snapshot!(ran.failures(), @"
     / broken / node1: it broke
    hint: mend it
     / broken / node2: it broke
    hint: mend it
    ");
    insta::assert_snapshot!(diary.lines().join("\n"), @"
    slow node3 begins
    slow node3 ends
    slower node3 begins
    slower node3 ends
    ");
}

#[tokio::test(start_paused = true)]
async fn what_is_true_is_not_applied_and_not_asked_again_while_nothing_changed() {
    let diary = Diary::default();
    for what in ["a node1", "b node1", "c"] {
        diary.set(what);
    }
    let steps = [
        diary.step(host("node1", "a"), SECOND),
        diary.step(host("node1", "b"), SECOND),
        diary.step(lab("c"), SECOND),
    ];
    let ran = run(&steps).await;
    assert_eq!(*ran.sums(), sums(0, 3, 0));
    assert!(diary.lines().is_empty());
    assert_eq!(["a node1", "b node1", "c"].map(|w| diary.checked(w)), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn after_a_change_what_was_true_is_asked_again() {
    let diary = Diary::default();
    diary.set("b node1");
    let undone = diary.clone();
    let spoils = diary.gate(host("node1", "a")).apply(move |_| {
        let diary = undone.clone();
        async move {
            diary.set("a node1");
            diary.is.lock().expect("lock").insert("b node1".to_owned(), false);
            Ok(())
        }
    });
    let steps = [spoils, diary.step(host("node1", "b"), SECOND)];
    // What an apply breaks is not in the plan; that is why checks of later steps are asked again.
    let (cx, _events, _bench) = bench();
    let found = survey(&cx, &steps).await;
    assert_eq!(marks(&steps, &found), [Mark::Apply, Mark::True]);
    let outcome = up(&cx, &steps, &found, 25, watch::channel(false).1, &me()).await;
    assert_eq!(outcome.expect("no lock").sums, sums(2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn marks_say_what_up_would_do() {
    let check = |step: Step, check: Check| {
        step.check(move |_| {
            let check = check.clone();
            async move { check }
        })
    };
    let apply = |step: Step| step.apply(|_| async { Ok(()) });
    let not = || Check::Not("no".to_owned());
    let unknown = || Check::Unknown("later".to_owned());
    let failed = || Check::Failed(Failure::new("never"));
    let steps = [
        apply(check(lab("true"), Check::True)),
        apply(check(lab("not"), not())),
        apply(check(lab("unknown"), unknown())),
        apply(check(lab("failed"), failed())),
        check(lab("gate true"), Check::True),
        check(lab("gate not"), not()),
        check(lab("gate unknown"), unknown()),
    ];
    let (cx, _events, _bench) = bench();
    let found = survey(&cx, &steps).await;
    let marks: String = marks(&steps, &found).iter().map(|m| m.as_str()).collect();
    assert_eq!(marks, "=+??=??");
}

#[tokio::test(start_paused = true)]
async fn a_gate_is_waited_for() {
    let diary = Diary::default();
    let later = diary.clone();
    let ran = {
        let steps = [diary.gate(host("node1", "gate"))];
        let (ran, ()) = tokio::join!(run(&steps), async move {
            sleep(30 * SECOND).await;
            later.set("gate node1");
        });
        ran
    };
    assert_eq!(*ran.sums(), sums(0, 1, 0));
    assert!(
        ran.events.iter().any(|e| matches!(e, Event::Waiting { within, .. } if *within == 60.0))
    );
    assert!(diary.checked("gate node1") < 25, "polls have pauses");
}

#[tokio::test(start_paused = true)]
async fn what_never_comes_true_fails_within_its_bound_and_says_the_last_reason() {
    let began = Instant::now();
    let since = move || began.elapsed().as_secs() / 50;
    let step = host("node1", "never")
        .within(100 * SECOND)
        .check(move |_| async move { Check::Not(format!("reason {}", since())) })
        .apply(|_| async { Ok(()) })
        .diagnose(|_| async { Some("the console says no".to_owned()) });
    let ran = run(&[step]).await;
    insta::assert_snapshot!(ran.failures(), @"
     / never / node1: not true within 100 s: reason 1
    the console says no
    ");
    assert!(began.elapsed() <= 100 * SECOND, "{:?}", began.elapsed());
    assert!(began.elapsed() >= 97 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_ends_with_the_bound_of_its_step() {
    let asked = Arc::new(Mutex::new(0));
    let step = host("node1", "hangs").within(100 * SECOND).check(move |_| {
        *asked.lock().expect("lock") += 1;
        let first = *asked.lock().expect("lock") == 1;
        async move {
            // The survey gets its answer; a poll does not.
            if first { Check::Not("not yet".to_owned()) } else { std::future::pending().await }
        }
    });
    let began = Instant::now();
    let (cx, events, _bench) = bench();
    let steps = [step];
    let running = ran(&cx, events, &steps, watch::channel(false).1);
    let ran = tokio::time::timeout(300 * SECOND, running).await.expect("it ends").expect("no lock");
    assert_eq!(*ran.sums(), sums(0, 0, 1));
    assert!(began.elapsed() <= 102 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_hopeless_check_fails_at_once_and_is_never_applied() {
    let diary = Diary::default();
    let step = diary
        .step(host("node1", "hopeless"), SECOND)
        .check(|_| async { Check::Failed(Failure::new("another swarm").hint("leave it")) });
    let began = Instant::now();
    let ran = run(&[step]).await;
    assert_eq!(*ran.sums(), sums(0, 0, 1));
    assert!(diary.lines().is_empty());
    assert!(began.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn steps_that_are_alone_never_overlap() {
    let diary = Diary::default();
    let steps = ["node1", "node2", "node3"]
        .map(|name| diary.step(host(name, "restart"), 50 * SECOND).alone("restart"));
    let ran = run(&steps).await;
    assert_eq!(*ran.sums(), sums(3, 0, 0));
    let lines = diary.lines();
    for pair in lines.chunks(2) {
        assert_eq!(pair[0].replace("begins", "ends"), pair[1], "{lines:?}");
    }
}

fn breaking(error: SessionError, times: usize) -> (Step, Arc<Mutex<usize>>) {
    let tried = Arc::new(Mutex::new(0));
    let (counted, checked) = (tried.clone(), tried.clone());
    let step = host("node1", "breaks")
        .check(move |_| {
            let done = *checked.lock().expect("lock") > times;
            async move { Check::when(done, "not yet") }
        })
        .apply(move |_| {
            let (tried, error) = (counted.clone(), error.clone());
            async move {
                *tried.lock().expect("lock") += 1;
                if *tried.lock().expect("lock") > times { Ok(()) } else { Err(error.into()) }
            }
        });
    (step, tried)
}

#[tokio::test(start_paused = true)]
async fn an_apply_is_tried_again_only_where_the_connection_failed() {
    let lost = || SessionError::Unreachable("no route to host".to_owned());
    let refused =
        || SessionError::Refused { message: "wrong key".to_owned(), hint: Some("h".to_owned()) };
    let cases = [
        (lost(), 2, 3, sums(1, 0, 0)),
        (lost(), 9, 3, sums(0, 0, 1)),
        (SessionError::NoExitStatus, 1, 2, sums(1, 0, 0)),
        (SessionError::Timeout(SECOND), 1, 1, sums(0, 0, 1)),
        (refused(), 1, 1, sums(0, 0, 1)),
        (SessionError::Output(1), 1, 1, sums(0, 0, 1)),
    ];
    for (error, times, tries, expected) in cases {
        let (step, tried) = breaking(error.clone(), times);
        let ran = run(&[step]).await;
        assert_eq!(*tried.lock().expect("lock"), tries, "{error:?}");
        assert_eq!(*ran.sums(), expected, "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_apply_that_never_ends_is_ended_by_its_bound() {
    let step = host("node1", "hangs")
        .within(90 * SECOND)
        .check(|_| async { Check::Not("no".to_owned()) })
        .apply(|_| std::future::pending());
    let began = Instant::now();
    let ran = run(&[step]).await;
    insta::assert_snapshot!(ran.failures(), @" / hangs / node1: did not end within 90 s");
    assert_eq!(began.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn asked_to_stop_steps_in_hand_get_their_moment_and_nothing_new_begins() {
    let diary = Diary::default();
    let steps = [
        diary.step(host("node1", "short"), 8 * SECOND),
        diary.step(host("node1", "next"), SECOND),
        diary.step(host("node2", "long"), 100 * SECOND),
        diary.step(lab("after"), SECOND),
    ];
    let (ask, stop) = watch::channel(false);
    let (cx, events, _bench) = bench();
    let (ran, ()) = tokio::join!(ran(&cx, events, &steps, stop), async move {
        sleep(SECOND).await;
        ask.send(true).expect("the run listens");
        sleep(300 * SECOND).await;
    });
    let ran = ran.expect("no lock");
    assert!(ran.outcome.interrupted);
    assert_eq!(*ran.sums(), sums(1, 0, 0));
    insta::assert_snapshot!(diary.lines().join("\n"), @"
    short node1 begins
    long node2 begins
    short node1 ends
    ");
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_a_moment_after_it_was_asked_to() {
    let diary = Diary::default();
    let steps =
        [diary.step(host("node2", "long"), 100 * SECOND), diary.gate(host("node3", "gate"))];
    let (ask, stop) = watch::channel(false);
    let (cx, events, _bench) = bench();
    let began = Instant::now();
    tokio::spawn(async move {
        sleep(SECOND).await;
        ask.send(true).expect("the run listens");
        sleep(300 * SECOND).await;
    });
    let ran = ran(&cx, events, &steps, stop).await.expect("no lock");
    assert!(ran.outcome.interrupted);
    assert_eq!(*ran.sums(), sums(0, 0, 0));
    assert_eq!(began.elapsed().as_secs(), 11);
}

#[tokio::test(start_paused = true)]
async fn no_more_hosts_at_once_than_asked_for() {
    let diary = Diary::default();
    let steps: Vec<Step> = ["node1", "node2", "node3", "worker1", "worker2"]
        .map(|name| diary.step(host(name, "a"), 10 * SECOND))
        .into();
    let (cx, _events, _bench) = bench();
    let found = survey(&cx, &steps).await;
    let began = Instant::now();
    up(&cx, &steps, &found, 2, watch::channel(false).1, &me()).await.expect("no lock");
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[test]
fn the_last_line_of_json_sums_up() {
    let stable = |event: &Event| {
        let line = line(event);
        let (start, rest) = line.split_once("\"time\":\"").expect("a time");
        format!("{start}{}", rest.split_once("\",").expect("its end").1)
    };
    let up = Event::Done { verb: "up", sums: sums(3, 4, 0), seconds: 1.5 };
    insta::assert_snapshot!(stable(&up), @r#"{"v":1,"event":"done","verb":"up","applied":3,"already_true":4,"failed":0,"seconds":1.5}"#);
    let plan = Sums { apply: Some(1), unknown: Some(2), already_true: Some(3), ..Sums::default() };
    let plan = Event::Done { verb: "plan", sums: plan, seconds: 0.0 };
    insta::assert_snapshot!(stable(&plan), @r#"{"v":1,"event":"done","verb":"plan","apply":1,"unknown":2,"already_true":3,"seconds":0.0}"#);
}
