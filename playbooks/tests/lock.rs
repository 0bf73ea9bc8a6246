//! One writer.

use super::bench::{Bench, LAB, me, ran};
use crate::lock::{Holder, LocalLock, LockError};
use tokio::sync::watch;

fn held(result: Result<LocalLock, LockError>) -> String {
    match result {
        Ok(_) => "free".to_owned(),
        Err(LockError::Held(by)) => format!("held by {by}"),
        Err(LockError::Io(why)) => format!("error: {why}"),
    }
}

fn other() -> Holder {
    Holder {
        verb: "destroy".to_owned(),
        who: "ann@desk".to_owned(),
        pid: 77,
        since: "2026-01-01T00:00:00Z".to_owned(),
    }
}

#[test]
fn the_second_is_told_who_holds_the_lab() {
    let dir = tempfile::tempdir().expect("a folder");
    let lab = dir.path().join("lab");
    let first = LocalLock::take(&lab, &other()).expect("free");
    insta::assert_snapshot!(held(LocalLock::take(&lab, &me())), @"held by `bp destroy` of ann@desk (process 77) since 2026-01-01T00:00:00Z");
    drop(first);
    assert_eq!(held(LocalLock::take(&lab, &me())), "free");
}

#[test]
fn a_file_that_was_left_behind_holds_nobody_up() {
    let dir = tempfile::tempdir().expect("a folder");
    for left in ["", "{\"verb\": \"up\", ", &serde_json::to_string(&other()).expect("JSON")] {
        std::fs::write(dir.path().join("lock"), left).expect("written");
        let lock = LocalLock::take(dir.path(), &me()).expect("free");
        let says = std::fs::read_to_string(dir.path().join("lock")).expect("read");
        assert_eq!(serde_json::from_str::<Holder>(&says).expect("JSON"), me());
        drop(lock);
    }
}

#[test]
fn a_holder_that_does_not_say_who_it_is_still_holds() {
    let dir = tempfile::tempdir().expect("a folder");
    let _first = LocalLock::take(dir.path(), &me()).expect("free");
    std::fs::write(dir.path().join("lock"), "").expect("written");
    assert_eq!(held(LocalLock::take(dir.path(), &me())), "held by another run of bp");
}

#[test]
fn the_folder_and_the_lock_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    let lab = dir.path().join("lab");
    let _lock = LocalLock::take(&lab, &me()).expect("free");
    let mode = |path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&lab), mode(&lab.join("lock"))), (0o700, 0o600));
}

#[tokio::test(start_paused = true)]
async fn who_runs_bp_from_another_machine_is_kept_out_by_the_leader() {
    let bench = Bench::new(LAB).with_engines().only(&["swarm"]);
    bench.site.lock().leaders.insert("node1".to_owned(), other().to_string());
    let (cx, events) = bench.cx();
    let stop = watch::channel(false).1;
    let ran = ran(&cx, events, &bench.steps(), stop).await;
    let Err(LockError::Held(by)) = ran else { panic!("it was let in") };
    insta::assert_snapshot!(by, @"`bp destroy` of ann@desk (process 77) since 2026-01-01T00:00:00Z (on node1)");
    assert_eq!(bench.site.changes(), "");
}

#[tokio::test(start_paused = true)]
async fn a_run_with_nothing_to_do_keeps_nobody_out_and_waits_for_nobody() {
    let bench = Bench::new(LAB).with_swarm().await.only(&["swarm"]);
    bench.site.lock().leaders.insert("node1".to_owned(), other().to_string());
    let ran = bench.up().await;
    assert_eq!(ran.sums().failed, Some(0));
}

#[tokio::test(start_paused = true)]
async fn the_lock_on_the_leader_ends_with_the_run() {
    let bench = Bench::new(LAB).with_engines().only(&["swarm"]);
    bench.done().await;
    assert!(bench.site.lock().leaders.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_ones_own_dead_connection_keeps_oneself_not_out() {
    let bench = Bench::new(LAB).with_engines().only(&["swarm"]);
    bench.site.lock().leaders.insert("node1".to_owned(), me().to_string());
    let ran = bench.up().await;
    assert_eq!(ran.sums().failed, Some(0), "{}", ran.failures());
}
