//! What is hidden is shown nowhere: not in events, not in errors, not in the journal.

use super::bench::{Bench, LAB, ran};
use super::fake::Fault;
use crate::cx::Cx;
use crate::event::{Event, Events, line};
use crate::journal::Journal;
use crate::step::{Check, Step};
use providers::{Cmd, Stdin};
use std::os::unix::fs::PermissionsExt;
use tokio::sync::{mpsc, watch};

const SECRET: &str = "hunter2-of-the-lab";

/// Runs a step and gives every word that was said or written.
async fn said(step: Step, fault: Fault) -> String {
    let bench = Bench::new(LAB).with_engines();
    let (sender, events) = mpsc::unbounded_channel();
    let folder = bench.dir.path().join("journal-of-the-test");
    let journal = Journal::begin(&folder, "up").expect("a journal");
    let cx = Cx::new(
        bench.lab.clone(),
        folder.clone(),
        Events::new(sender, Some(journal)),
        bench.site.world(),
    );
    bench.site.fault("node1", "login ", 99, fault);
    let ran = ran(&cx, events, &[step], watch::channel(false).1).await.expect("no lock");
    let mut said: String = ran.events.iter().map(|e| line(e) + "\n").collect();
    for entry in std::fs::read_dir(folder.join("journal")).expect("the journal") {
        let path = entry.expect("an entry").path();
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "a journal is its owner's alone");
        said.push_str(&std::fs::read_to_string(path).expect("text"));
    }
    assert!(said.lines().count() > 1, "{said}");
    said
}

fn login() -> Cmd {
    Cmd::new(format!("login --password {SECRET}")).stdin(Stdin::Bytes(SECRET.into())).secret(SECRET)
}

#[tokio::test(start_paused = true)]
async fn in_a_failed_command() {
    let step = Step::host("node1", "login", "because")
        .check(|_| async { Check::Not("no".to_owned()) })
        .apply(|cx| async move { cx.ok("node1", login()).await.map(drop) });
    let out = "the password hunter2-of-the-lab is wrong";
    let said = said(step, Fault::Says(1, out, out)).await;
    assert!(!said.contains(SECRET), "{said}");
    assert!(said.contains("the password *** is wrong"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn in_the_reason_of_a_check() {
    let step = Step::host("node1", "login", "because")
        .check(|cx| async move { cx.check("node1", login()).await });
    let said = said(step, Fault::Says(1, "hunter2-of-the-lab?", "")).await;
    assert!(!said.contains(SECRET), "{said}");
}

#[tokio::test(start_paused = true)]
async fn in_what_other_steps_say_later() {
    let step = Step::host("node1", "login", "because")
        .check(|cx| async move {
            let _ = cx.run("node1", &login()).await;
            cx.note(format!("the note has {SECRET}"));
            Check::Not(format!("the reason has {SECRET}"))
        })
        .diagnose(|_| async { Some(format!("the log has {SECRET}")) });
    let said = said(step, Fault::Says(1, "", "")).await;
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn every_text_of_every_event_is_masked() {
    let (sender, mut events) = mpsc::unbounded_channel();
    let all = Events::new(sender, None);
    all.hide(SECRET);
    all.hide("");
    let text = || format!("a {SECRET} b");
    let about = || crate::event::About {
        phase: "swarm".to_owned(),
        step: text(),
        host: "node1".to_owned(),
    };
    for event in [
        Event::Note { text: text() },
        Event::Survey {
            about: about(),
            mark: crate::event::Mark::Apply,
            reason: text(),
            why: text(),
        },
        Event::Applying { about: about(), reason: text() },
        Event::Waiting { about: about(), reason: text(), seconds: 1.0, within: 2.0 },
        Event::StepDone { about: about(), applied: true, seconds: 1.0 },
        Event::StepFailed { about: about(), error: text(), detail: text(), hint: Some(text()) },
        Event::Removed { what: text() },
        Event::NotRemoved { what: text(), error: text() },
    ] {
        all.emit(event);
    }
    while let Ok(event) = events.try_recv() {
        let line = line(&event);
        assert!(!line.contains(SECRET), "{line}");
        assert!(line.contains("a *** b"), "{line}");
    }
}
