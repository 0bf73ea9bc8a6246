//! Every wait of a run has a bound and a reason, and ends when it is asked to.

use super::bench::ran;
use super::diary::{Diary, SECOND, bench, host, lab, run, sums};
use crate::event::Event;
use crate::step::{Check, Failure, Step};
use providers::SessionError;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

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
async fn what_is_not_known_yet_is_waited_for_and_only_then_applied() {
    let diary = Diary::default();
    let (asked, applied) = (diary.clone(), diary.clone());
    let began = Instant::now();
    let step = host("node1", "later")
        .check(move |_| {
            let (diary, known) = (asked.clone(), began.elapsed() > 30 * SECOND);
            async move {
                match (known, diary.is("later node1")) {
                    (false, _) => Check::Unknown("the first one is away".to_owned()),
                    (_, is) => Check::when(is, "not yet"),
                }
            }
        })
        .apply(move |_| {
            let diary = applied.clone();
            async move {
                assert!(began.elapsed() > 30 * SECOND, "what is not known is not applied");
                diary.set("later node1");
                Ok(())
            }
        });
    let ran = run(&[step]).await;
    assert_eq!(*ran.sums(), sums(1, 0, 0), "{}", ran.failures());
}
