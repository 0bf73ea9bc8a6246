//! The stack redis: a primary with replicas, and a sentinel beside each.
//!
//! What the containers run is `redis/redis.sh`, which also answers whether a member is in order: one
//! command a node asks its server and its sentinel.

use super::leavers;
use crate::cx::verdict;
use crate::docker::container;
use crate::first;
use crate::secrets::{Secret, Source};
use crate::shipped::Shipped;
use crate::step::Step;
use blueprints::{Lab, Stack};
use providers::{Cmd, quote};
use serde_json::json;
use std::time::Duration;

/// What bp ships of it.
pub(crate) fn shipped(lab: &Lab, stack: &Stack, members: &[String]) -> Shipped {
    // A primary takes writes while a majority, itself counted, follows it.
    let followers = (members.len() / 2).to_string();
    let conf = include_str!("redis/redis.conf").replace("{{followers}}", &followers);
    let mut secrets = vec![Secret::generated(lab, "redis_password")];
    if lab.redis_tls() {
        secrets.push(Secret::of(lab, "tls_redis", Source::Certificate(names(members))));
    }
    let mut health: Vec<Step> = members.iter().map(|m| well(&stack.name, m)).collect();
    health.push(key(lab, &stack.name, members));
    Shipped {
        values: json!({ "members": members, "names": members.join(" "), "tls": lab.redis_tls() }),
        files: vec![("redis.sh", include_str!("redis/redis.sh").to_owned()), ("redis.conf", conf)],
        secrets,
        playbook: Some(("redis.yml", members.to_vec(), json!({}))),
        before: vec![leavers::step(&stack.name, &["sentinel", "redis"], "primary", members)],
        health,
        takes_turns: true,
        shared: &["redis_password"],
        ..Shipped::new("redis.compose.yml", include_str!("redis.compose.yml"))
    }
}

/// The names that its certificate is for.
fn names(members: &[String]) -> Vec<String> {
    let of = |what: &'static str| members.iter().map(move |m| format!("{what}-{m}"));
    of("redis").chain(of("sentinel")).collect()
}

/// A question to the script in the member's own container; fails where the container does not run.
fn script(stack: &str, member: &str, args: &str) -> String {
    let c = container(&format!("{stack}_redis-{member}"));
    format!(
        "{c}\n\
         [ -n \"$c\" ] || {{ echo 'the member of {member} does not run'; exit 1; }}\n\
         docker exec \"$c\" sh /etc/bp/redis.sh {args} 2>&1"
    )
}

/// A member is the primary that all others follow, or follows it, and its sentinel has a quorum.
fn well(stack: &str, member: &str) -> Step {
    Step::host(
        member,
        format!("{stack} member"),
        "there is one primary that all others follow, and a quorum of sentinels that watch it",
    )
    .within(Duration::from_secs(300))
    .check_shell(script(stack, member, "well"))
}

const KEY: &str = "bp:lab";

fn key(lab: &Lab, stack: &str, members: &[String]) -> Step {
    let (lab, name, members) = (lab.name.clone(), stack.to_owned(), members.to_vec());
    let (of, written_in, writers) = (lab.clone(), name.clone(), members.clone());
    Step::lab(format!("{stack} key"), "what is written on the primary is read on every replica")
        .check(move |cx| {
            let args = format!("read {KEY} {}", quote(&lab));
            let (stack, members) = (name.clone(), members.clone());
            async move {
                let answer = first::answer(&members, |member| {
                    let (cx, ask) = (cx.clone(), Cmd::new(script(&stack, &member, &args)));
                    async move {
                        match cx.run(&member, &ask).await {
                            Ok(output) => Ok(verdict(output.code, &output.out())),
                            Err(error) => Err(cx.unanswered(&member, error).await),
                        }
                    }
                });
                answer.await.unwrap_or_else(|check| check)
            }
        })
        .apply(move |cx| {
            let args = format!("write {KEY} {}", quote(&of));
            let (stack, members) = (written_in.clone(), writers.clone());
            async move {
                let first = &members[0];
                cx.ok(first, Cmd::new(script(&stack, first, &args))).await.map(drop)
            }
        })
}
