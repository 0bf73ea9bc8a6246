//! The whole run on hosts that are there: what it applies, what it shows beforehand, what it leaves.

use crate::support::hosts::Hosts;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Three marks on every host, each noted when it is made.
pub const STEPS: &str = r#"why: marks for a test
steps:
  - name: one
    check: test -e "$HOME/one"
    apply: echo one >>"$HOME/applied"; touch "$HOME/one"
  - name: two
    check: test -e "$HOME/two"
    apply: echo two >>"$HOME/applied"; test ! -e "$HOME/broken" && touch "$HOME/two"
  - name: three
    check: test -e "$HOME/three"
    apply: echo three >>"$HOME/applied"; touch "$HOME/three"
"#;

#[test]
fn up_applies_what_plan_showed_and_then_nothing() {
    let hosts = Hosts::new(2, STEPS);
    let desk = &hosts.desk;
    let plan = desk.bp(&["plan", "--json"]).exits(3);
    assert!(!desk.at(".bp").exists(), "plan leaves nothing");
    let text = desk.bp(&["plan"]).exits(3);
    assert!(text.out.contains("+ steps / one / node1: not so"), "{}", text.out);
    desk.bp(&["status"]).exits(3);
    assert!(hosts.noted(1).is_empty() && hosts.noted(2).is_empty());

    let up = desk.bp(&["up", "--json"]).exits(0);
    let mut all: Vec<String> = Vec::new();
    for step in ["one", "two", "three"] {
        all.extend([1, 2].map(|n| format!("steps/{step}/node{n}")));
    }
    all.sort();
    assert_eq!(up.applied(), all);
    assert_eq!(plan.steps("survey", |e| e["mark"] != "="), all);
    let (done, planned) = (up.done(), plan.done());
    assert_eq!(
        (&done["applied"], &done["already_true"], &done["failed"]),
        (&6.into(), &2.into(), &0.into())
    );
    assert_eq!((&planned["apply"], &planned["unknown"]), (&6.into(), &0.into()));
    assert_eq!(hosts.noted(1), ["one", "two", "three"]);

    let again = desk.bp(&["up", "--json"]).exits(0).done();
    assert_eq!((&again["applied"], &again["already_true"]), (&0.into(), &8.into()));
    let plan = desk.bp(&["plan", "--json"]).exits(0);
    assert!(plan.steps("survey", |e| e["mark"] != "=").is_empty());
    assert_eq!(plan.done()["apply"], 0);
    assert_eq!(plan.done()["unknown"], 0);
    assert_eq!(desk.bp(&["status", "--json"]).exits(0).done()["failed"], 0);
    assert!(desk.bp(&["up"]).exits(0).out.ends_with('\n'));
    private(&desk.at(".bp"));
}

#[test]
fn nothing_is_applied_twice_and_only_what_is_undone_is_done_again() {
    let hosts = Hosts::new(2, STEPS);
    hosts.desk.bp(&["up"]).exits(0);
    fs::remove_file(hosts.home(2, "two")).unwrap();
    let plan = hosts.desk.bp(&["plan", "--json"]).exits(3);
    assert_eq!(plan.steps("survey", |e| e["mark"] == "+"), ["steps/two/node2"]);
    let status = hosts.desk.bp(&["status"]).exits(3);
    assert!(status.out.contains("! steps / two / node2"), "{}", status.out);
    assert_eq!(hosts.desk.bp(&["up", "--json"]).exits(0).applied(), ["steps/two/node2"]);
    assert_eq!(hosts.noted(1), ["one", "two", "three"]);
    assert_eq!(hosts.noted(2), ["one", "two", "three", "two"]);
}

#[test]
fn a_host_that_fails_is_named_and_the_others_finish() {
    let hosts = Hosts::new(3, STEPS);
    fs::write(hosts.home(2, "broken"), "").unwrap();
    let up = hosts.desk.bp(&["up", "--json"]).exits(1);
    assert_eq!(up.steps("step_failed", |_| true), ["steps/two/node2"]);
    assert_eq!(up.done()["failed"], 1);
    assert_eq!(up.done()["applied"], 7);
    for other in [1, 3] {
        assert_eq!(hosts.noted(other), ["one", "two", "three"]);
    }
    assert_eq!(hosts.noted(2), ["one", "two"]);
    let text = hosts.desk.bp(&["up"]).exits(1);
    let said = format!("{}{}", text.out, text.err);
    assert!(said.contains("error: steps / two / node2"), "{said}");
    fs::remove_file(hosts.home(2, "broken")).unwrap();
    let applied = hosts.desk.bp(&["up", "--json"]).exits(0).applied();
    assert_eq!(applied, ["steps/three/node2", "steps/two/node2"]);
}

#[test]
fn a_run_may_be_about_some_phases_or_hosts() {
    let hosts = Hosts::new(3, STEPS);
    let (desk, up) = (&hosts.desk, |args: &[&str]| hosts.desk.bp(args).exits(0));
    for args in [["--only", "steep"], ["--from", "steep"], ["--host", "node4"]] {
        for verb in ["up", "plan"] {
            let wrong = desk.bp(&[&[verb], &args[..]].concat()).exits(2);
            assert!(wrong.err.contains(&format!("`{}`", args[1])), "{}", wrong.err);
            assert!(wrong.err.contains("hint: the "), "{}", wrong.err);
        }
    }
    assert_eq!(up(&["up", "--json", "--only", "machines"]).done()["already_true"], 3);
    assert!(hosts.noted(1).is_empty());
    let two = up(&["up", "--json", "--host", "node2", "--host", "node3"]);
    assert!(two.applied().iter().all(|s| !s.ends_with("node1")), "{two:?}");
    assert_eq!(two.done()["applied"], 6);
    let rest = up(&["up", "--json", "--from", "steps"]);
    assert!(rest.applied().iter().all(|s| s.ends_with("node1")), "{rest:?}");
    assert_eq!(
        (rest.done()["applied"].clone(), rest.done()["already_true"].clone()),
        (3.into(), 6.into())
    );
}

#[test]
fn parallel_one_is_one_host_at_a_time() {
    let hosts = Hosts::new(3, STEPS);
    let up = hosts.desk.bp(&["up", "--json", "--parallel", "1"]).exits(0);
    let mut order: Vec<String> = up
        .json()
        .iter()
        .filter(|e| e["event"] == "step_done")
        .map(|e| e["host"].to_string())
        .collect();
    order.dedup();
    assert_eq!(order.len(), 3, "{order:?}");
    hosts.desk.bp(&["up", "--parallel", "0"]).exits(2);
}

/// Whether nobody but the owner may enter a folder or read a file of it, however deep.
fn private(path: &Path) {
    let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
    if path.is_file() {
        assert_eq!(mode, 0o600, "{}", path.display());
        return;
    }
    assert_eq!(mode, 0o700, "{}", path.display());
    for entry in fs::read_dir(path).unwrap() {
        private(&entry.unwrap().path());
    }
}
