//! Stacks that left the blueprint.

use super::bench::{Bench, LAB};
use super::fake::Fault;
use super::stacks::WEB;
use serde_json::json;
use std::time::Duration;

const TWO: &str = "swarm: { networks: [web, db] }
stacks: [{ shop: { file: shop.yml } }, { blog: { file: blog.yml } }]
";

const BLOG: &str = "
services: { blog: { image: example/blog:1, networks: [web], deploy: { replicas: 2 } } }
networks: { web: { external: true } }
";

/// Two stacks run, and one that is not the lab's.
async fn two() -> Bench {
    let files: [(&str, &[u8]); 2] = [("shop.yml", WEB.as_bytes()), ("blog.yml", BLOG.as_bytes())];
    let bench = Bench::with(&format!("{LAB}\n{TWO}"), &files).with_swarm().await;
    let bench = bench.only(&["networks", "stacks"]);
    for (stack, lab) in [("theirs", "another"), ("nobodys", "")] {
        let labels = json!({ "com.docker.stack.namespace": stack, "bp.lab": lab });
        bench.site.lock().swarm().services.push(json!({ "ID": stack,
            "Spec": { "Name": format!("{stack}_x"), "Labels": labels,
                "TaskTemplate": { "ContainerSpec": { "Image": "i" } },
                "Mode": { "Replicated": { "Replicas": 1 } } } }));
    }
    bench.done().await;
    bench.site.changes();
    bench
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_left_the_blueprint_goes_and_then_its_network() {
    let bench = two().await;
    let left = "swarm: { networks: [db] }\nstacks: [{ shop: { file: shop.yml } }]\n";
    let bench = bench.edited(&format!("{LAB}\n{left}"));
    // A network can't go while a task is on it, and tasks end later than docker answers.
    insta::assert_snapshot!(bench.transcript().await, @"
    + stacks / unlisted stacks: blog left the blueprint
    + stacks / unlisted networks: web left the blueprint
    ---
    node1$ docker stack rm blog >/dev/null
    node1$ ( docker network rm web >/dev/null || exit for i in $(seq 50); do docker network inspect web >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there after its removal' >&2; exit 1 ) || exit
    ---
    applied 2, already true 4, failed 0
    ");
    let mut state = bench.site.lock();
    let names: Vec<String> =
        state.swarm().services.iter().map(|s| s["Spec"]["Name"].to_string()).collect();
    assert_eq!(names, ["\"theirs_x\"", "\"nobodys_x\"", "\"shop_web\"", "\"shop_db\""]);
    assert!(!state.swarm().tasks.iter().any(|t| t["DesiredState"] == "remove"));
}

#[tokio::test(start_paused = true)]
async fn the_last_stack_that_left_the_blueprint_goes_too() {
    let bench = two().await;
    let bench = bench.edited(&format!("{LAB}\nswarm: {{ networks: [web, db] }}\n"));
    bench.done().await;
    insta::assert_snapshot!(bench.site.changes(), @"
    node1$ docker stack rm blog >/dev/null
    node1$ docker stack rm shop >/dev/null
    ");
    assert!(bench.site.lock().swarm().tasks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_manager_is_asked_again_to_remove_a_stack() {
    let bench = two().await;
    let left = "swarm: { networks: [db] }\nstacks: [{ shop: { file: shop.yml } }]\n";
    let bench = bench.edited(&format!("{LAB}\n{left}"));
    let why = "Failed to remove service blog_blog: rpc error: code = DeadlineExceeded desc = context deadline exceeded";
    bench.site.fault("node1", "docker stack rm blog", 2, Fault::Says(1, "", why));
    bench.done().await;
    let names: Vec<String> =
        bench.site.lock().swarm().services.iter().map(|s| s["Spec"]["Name"].to_string()).collect();
    assert!(!names.contains(&"\"blog_blog\"".to_owned()), "{names:?}");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_never_end_are_counted() {
    let bench = two().await;
    let left = "swarm: { networks: [db] }\nstacks: [{ shop: { file: shop.yml } }]\n";
    let bench = bench.edited(&format!("{LAB}\n{left}"));
    let site = bench.site.clone();
    tokio::spawn(async move {
        loop {
            for task in &mut site.lock().swarm().tasks {
                if task["DesiredState"] == "remove" {
                    task["GoneAt"] = json!(i64::MAX);
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"stacks / unlisted stacks / : 2 tasks of the stack blog are still there after its removal");
}
