//! The engine on steps that are only state: who runs when, what is applied.

use super::bench::me;
use super::diary::{Diary, SECOND, bench, host, lab, run, sums};
use crate::event::{Event, Mark, Sums, line};
use crate::run::up;
use crate::step::{Check, Failure, Step};
use crate::survey::{marks, survey};
use tokio::sync::watch;
use tokio::time::Instant;

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
async fn after_a_wait_what_was_true_is_asked_again() {
    let diary = Diary::default();
    for number in 0..5 {
        diary.set(&format!("true {number}"));
    }
    let began = Instant::now();
    let after = move |seconds| began.elapsed() >= seconds * SECOND;
    // A rolling change: the old tasks answer well until the new ones run, which are not well.
    let mut steps = vec![
        diary.step(lab("deployed"), SECOND),
        lab("runs").check(move |_| async move { Check::when(after(30), "it is updating") }),
        host("node1", "well").check(move |_| async move { Check::when(!after(20), "it is ill") }),
    ];
    steps.extend((0..5).map(|number| diary.gate(lab(&format!("true {number}")))));
    let ran = run(&steps).await;
    assert_eq!(ran.sums().failed, Some(1));
    assert!(ran.failures().contains("it is ill"), "{}", ran.failures());
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
