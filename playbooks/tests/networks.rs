//! Phase networks.

use super::bench::{Bench, LAB};
use super::tasks::foot;
use serde_json::json;

fn lab(networks: &str) -> String {
    format!("{LAB}\nswarm: {{ networks: [{networks}] }}\n")
}

const FIRST: &str = "web, { name: db, encrypted: true, attachable: true, subnet: 10.201.1.0/24 }";

async fn bench(networks: &str) -> Bench {
    Bench::new(&lab(networks)).with_swarm().await.only(&["networks", "stacks"])
}

#[tokio::test(start_paused = true)]
async fn fresh_and_done() {
    let bench = bench(FIRST).await;
    insta::assert_snapshot!(bench.transcript().await, @"
    + networks / web: it is not there
    + networks / db: it is not there
    ---
    node1$ docker network create --driver overlay --label bp.lab=lab web >/dev/null
    node1$ docker network create --driver overlay --label bp.lab=lab --attachable --opt encrypted --subnet 10.201.1.0/24 db >/dev/null
    ---
    applied 2, already true 3, failed 0
    ");
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 5, failed 0");
}

#[tokio::test(start_paused = true)]
async fn before_there_is_a_swarm_nothing_is_known() {
    let bench = Bench::new(&lab(FIRST)).only(&["networks", "stacks"]);
    insta::assert_snapshot!(bench.plan().await, @"
    ? networks / web: node3: the machine is not there
    ? networks / db: node3: the machine is not there
    ? stacks / unlisted stacks: node3: the machine is not there
    ? stacks / unused secrets: node3: the machine is not there
    ? stacks / unlisted networks: node3: the machine is not there
    ");
}

#[tokio::test(start_paused = true)]
async fn exactly_what_changed_is_applied_and_what_left_is_removed() {
    let bench = bench(FIRST).await;
    bench.done().await;
    bench.site.changes();
    bench.site.lock().swarm().networks.push(
        json!({ "Name": "theirs", "Labels": { "bp.lab": "another" }, "IPAM": { "Config": null } }),
    );
    let bench = bench.edited(&lab("{ name: db, encrypted: true }, cache"));
    insta::assert_snapshot!(bench.transcript().await, @"
    + networks / db: attachable is true, the blueprint says false
    + networks / cache: it is not there
    + stacks / unlisted networks: web left the blueprint
    ---
    node1$ ( docker network rm db >/dev/null || exit for i in $(seq 50); do docker network inspect db >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there after its removal' >&2; exit 1 ) || exit docker network create --driver overlay --label bp.lab=lab --opt encrypted db >/dev/null
    node1$ docker network create --driver overlay --label bp.lab=lab cache >/dev/null
    node1$ ( docker network rm web >/dev/null || exit for i in $(seq 50); do docker network inspect web >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there after its removal' >&2; exit 1 ) || exit
    ---
    applied 3, already true 2, failed 0
    ");
    let mut state = bench.site.lock();
    let left: Vec<String> = state.swarm().networks.iter().map(|n| n["Name"].to_string()).collect();
    assert_eq!(left, ["\"theirs\"", "\"db\"", "\"cache\""]);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_network_is_used_as_it_is_and_never_changed() {
    let bench = bench("web, db").await;
    for (name, attachable) in [("web", false), ("db", true)] {
        bench.site.lock().swarm().networks.push(json!({ "Name": name, "Attachable": attachable,
            "Labels": null, "Options": null, "IPAM": { "Config": [{ "Subnet": "10.9.0.0/24" }] } }));
    }
    insta::assert_snapshot!(bench.transcript().await, @"
    + networks / db: attachable is true, the blueprint says false
    ---
    networks / db / : the network `db` is not bp's own, and differs: attachable is true, the blueprint says false
    hint: remove it, or declare it in the blueprint as it is
    ---
    applied 0, already true 1, failed 1
    ");
}

#[tokio::test(start_paused = true)]
async fn a_network_in_use_says_what_to_do() {
    let bench = bench("web").await;
    bench.done().await;
    bench.site.changes();
    bench.site.lock().swarm().tasks.push(foot("web"));
    let bench = bench.edited(&lab("{ name: web, attachable: true }"));
    insta::assert_snapshot!(bench.transcript().await, @"
    + networks / web: attachable is false, the blueprint says true
    ---
    node1$ ( docker network rm web >/dev/null || exit for i in $(seq 50); do docker network inspect web >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there after its removal' >&2; exit 1 ) || exit docker network create --driver overlay --label bp.lab=lab --attachable web >/dev/null
    ---
    networks / web / : `( docker network rm web >/dev/null || exit for i in $(seq 50); do docker network inspect web >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there …` exited with 1
    Error response from daemon: network web is in use by task x
    hint: docker can't change a network that is used: `docker stack rm` what uses it, then `bp up`
    ---
    applied 0, already true 0, failed 1
    ");
}

#[tokio::test(start_paused = true)]
async fn a_network_in_use_that_left_the_blueprint_says_what_to_do() {
    let bench = bench("web").await;
    bench.done().await;
    bench.site.changes();
    bench.site.lock().swarm().tasks.push(foot("web"));
    let bench = bench.edited(&lab("db"));
    insta::assert_snapshot!(bench.transcript().await, @"
    + networks / db: it is not there
    + stacks / unlisted networks: web left the blueprint
    ---
    node1$ docker network create --driver overlay --label bp.lab=lab db >/dev/null
    node1$ ( docker network rm web >/dev/null || exit for i in $(seq 50); do docker network inspect web >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there after its removal' >&2; exit 1 ) || exit
    ---
    stacks / unlisted networks / : `( docker network rm web >/dev/null || exit for i in $(seq 50); do docker network inspect web >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there …` exited with 1
    Error response from daemon: network web is in use by task x
    hint: docker can't change a network that is used: `docker stack rm` what uses it, then `bp up`
    ---
    applied 1, already true 2, failed 1
    ");
}

#[test]
fn what_follows_a_removal_is_run_once_the_network_is_gone() {
    let run = |inspect: &str| {
        let docker = format!("docker() {{ [ $2 = rm ] || {inspect}; }}; sleep() {{ :; }}");
        let script = format!("{docker}\n{}echo made", crate::networks::remove("web"));
        let output = std::process::Command::new("sh").arg("-c").arg(script).output();
        let output = output.expect("sh runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert_eq!(run("false"), (true, "made\n".to_owned()));
    assert_eq!(run("true"), (false, String::new()));
}
