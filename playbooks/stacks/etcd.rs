//! The etcd stack: what its nodes need before it, and what makes it healthy.
//!
//! The members are asked on their own nodes, in their own containers, which are found by the
//! service's label.
//!
//! A lab of before the members had certificates does not change over by itself: members keep the
//! addresses of their fellows in their data, and those began with `http://`. Its operator takes a
//! snapshot (`etcdctl snapshot save`), removes the stack, empties `/srv/etcd` on each member, lets
//! `bp up` make the cluster anew, and puts back what was in it.

use super::etcd_members;
use crate::cx::Cx;
use crate::docker::container;
use crate::first;
use crate::secrets::{Secret, Source};
use crate::shipped::Shipped;
use crate::step::{Check, Step};
use blueprints::{Lab, Stack};
use futures::future::join_all;
use providers::{Cmd, Output};
use serde_json::json;
use std::time::Duration;

/// What bp ships of it.
pub(crate) fn shipped(lab: &Lab, stack: &Stack, members: &[String]) -> Shipped {
    Shipped {
        values: json!({ "members": members }),
        secrets: certificates(members),
        playbook: Some(("etcd.yml", members.to_vec(), json!({}))),
        before: vec![etcd_members::step(&stack.name, members)],
        health: health(&lab.name, &stack.name, members),
        takes_turns: true,
        ..Shipped::new("etcd.compose.yml", include_str!("etcd.compose.yml"))
    }
}

/// One for the members, for servers and among themselves; one for their clients.
fn certificates(members: &[String]) -> Vec<Secret> {
    let own = members.iter().map(|member| format!("etcd-{member}"));
    let own = own.chain(["localhost".to_owned(), "127.0.0.1".to_owned()]).collect();
    let certificate = |name: &str, names: Vec<String>| Secret {
        name: name.to_owned(),
        source: Source::Certificate(names),
    };
    vec![
        certificate("tls_etcd", own),
        certificate("tls_etcd_client", vec!["etcd-client".to_owned()]),
    ]
}

/// What healthy means: every member answers, there are as many as asked for, and what is written
/// through one is read through all.
fn health(lab: &str, stack: &str, members: &[String]) -> Vec<Step> {
    vec![whole(stack, members), key(lab, stack, members)]
}

/// `etcdctl` in the member's own container; fails where the container does not run.
pub(crate) fn etcdctl(stack: &str, member: &str, args: &str) -> String {
    let c = container(&format!("{stack}_etcd-{member}"));
    format!(
        "{c}\n\
         [ -n \"$c\" ] || {{ echo 'the member of {member} does not run' >&2; exit 1; }}\n\
         docker exec \"$c\" etcdctl {args} 2>&1"
    )
}

fn whole(stack: &str, members: &[String]) -> Step {
    let (stack_name, members) = (stack.to_owned(), members.to_vec());
    Step::lab(
        format!("{stack} members"),
        "the cluster has as many members as the blueprint says, and one leads",
    )
    .check(move |cx| {
        let (stack, members) = (stack_name.clone(), members.clone());
        async move {
            let answer = first::answer(&members, |member| {
                let (cx, stack) = (cx.clone(), stack.clone());
                async move { told(&cx, &stack, &member, STATUS).await }
            });
            answer.await.map_or_else(|check| check, |printed| judge(&printed, members.len()))
        }
    })
}

/// Every member is asked, one that is away, too: not for as long as a member that runs.
const STATUS: &str = "--command-timeout=20s endpoint status --cluster -w json";

/// Reads what [`STATUS`] prints.
fn judge(printed: &str, wanted: usize) -> Check {
    // Warnings may stand before the answer, which is one line.
    let line = printed.lines().rfind(|l| l.starts_with('[')).unwrap_or_default();
    let Ok(status) = serde_json::from_str::<Vec<serde_json::Value>>(line) else {
        return Check::Not(last_line(printed));
    };
    let leaders: Vec<_> = status.iter().map(|m| &m["Status"]["leader"]).collect();
    if status.len() != wanted {
        return Check::Not(format!("{} of {wanted} members answer", status.len()));
    }
    let errors: Vec<&str> = status
        .iter()
        .flat_map(|m| m["Status"]["errors"].as_array().into_iter().flatten())
        .filter_map(|e| e.as_str().map(str::trim))
        .collect();
    if !errors.is_empty() {
        return Check::Not(format!("a member says {}", errors.join(", ")));
    }
    let agreed = leaders.iter().all(|l| *l == leaders[0] && l.as_u64().is_some_and(|l| l != 0));
    Check::when(agreed, "the members do not agree on a leader")
}

fn last_line(text: &str) -> String {
    text.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("no answer").to_owned()
}

/// The member's own last word, else the shell's.
fn why_not(output: &Output) -> String {
    let out = output.out();
    last_line(&if out.trim().is_empty() { output.err() } else { out })
}

const KEY: &str = "bp/lab";

/// A member on a busy emulated machine takes longer than ten seconds to shake hands.
const SLOWLY: &str = "--command-timeout=45s";

fn key(lab: &str, stack: &str, members: &[String]) -> Step {
    let wanted = (lab.to_owned(), stack.to_owned(), members.to_vec());
    let written = wanted.clone();
    Step::lab(
        format!("{stack} key"),
        "a member is healthy when it reads through its quorum what was written through another",
    )
    .check(move |cx| {
        let (lab, stack, members) = wanted.clone();
        async move {
            let get = format!("{SLOWLY} get {KEY} --print-value-only");
            let read = join_all(members.iter().map(|member| told(&cx, &stack, member, &get))).await;
            for (member, read) in members.iter().zip(read) {
                match read {
                    Ok(value) if value == lab => {}
                    Ok(value) => {
                        return Check::Not(format!("`{KEY}` reads `{value}` through {member}"));
                    }
                    Err(check) => return check,
                }
            }
            Check::True
        }
    })
    .apply(move |cx| {
        let (lab, stack, members) = written.clone();
        async move {
            let first = &members[0];
            let put = etcdctl(&stack, first, &format!("{SLOWLY} put {KEY} {lab}"));
            cx.ok(first, Cmd::new(put).within(ASKED)).await.map(drop)
        }
    })
}

/// How long a member may take to answer: a busy emulated machine takes a minute to start the command.
const ASKED: Duration = Duration::from_secs(110);

/// What `etcdctl` prints through a member.
async fn told(cx: &Cx, stack: &str, member: &str, args: &str) -> Result<String, Check> {
    match cx.run(member, &Cmd::new(etcdctl(stack, member, args)).within(ASKED)).await {
        // It fails where one member does not answer, and yet prints what the others say.
        Ok(output) if output.ok() || output.out().lines().any(|l| l.starts_with("[{")) => {
            Ok(output.out())
        }
        // What it would read is not known: nothing is written anew for that.
        Ok(output) => Err(Check::Unknown(format!("{member}: {}", why_not(&output)))),
        Err(error) => Err(cx.unanswered(member, error).await),
    }
}
