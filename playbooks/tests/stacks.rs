//! Phase stacks.

use super::bench::{Bench, LAB};
use super::fake::{Fault, Site};
use super::tasks::{foot, stamp};
use serde_json::json;
use std::time::Duration;

pub const WEB: &str = "
services:
  web: { image: example/web:1, deploy: { replicas: 2 } }
  db: { image: example/db:1 }
";

fn lab() -> String {
    format!("{LAB}\nstacks: [{{ shop: {{ file: shop.yml, within: 3m }} }}]\n")
}

async fn bench() -> Bench {
    Bench::with(&lab(), &[("shop.yml", WEB.as_bytes())]).with_swarm().await.only(&["stacks"])
}

/// The file of the stack is another one from now on.
fn write(bench: &Bench, text: &str) {
    std::fs::write(bench.dir.path().join("shop.yml"), text).expect("written");
}

/// Changes each task of a service.
fn tasks(site: &Site, service: &str, change: impl Fn(&mut serde_json::Value)) {
    let mut state = site.lock();
    let swarm = state.swarm();
    let id = swarm.services.iter().find(|s| s["Spec"]["Name"] == service).expect("a service")["ID"]
        .clone();
    swarm.tasks.iter_mut().filter(|t| t["ServiceID"] == id).for_each(change);
}

/// A service as the swarm has it.
fn service(site: &Site, name: &str) -> serde_json::Value {
    let mut state = site.lock();
    let services = &state.swarm().services;
    services.iter().find(|s| s["Spec"]["Name"] == name).expect("a service").clone()
}

fn update(site: &Site, service: &str, change: impl Fn(&mut serde_json::Value)) {
    let mut state = site.lock();
    let services = state.swarm().services.iter_mut();
    services.filter(|s| s["Spec"]["Name"] == service).for_each(change);
}

#[tokio::test(start_paused = true)]
async fn fresh_and_done() {
    let bench = bench().await;
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + stacks / shop deployed: the service shop_web is not there, the service shop_db is not there
    ? stacks / shop runs: it is not deployed yet
    ---
    node1$ set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf "$d"' EXIT; trap 'exit 129' HUP INT TERM; tar -x -C "$d"; cd "$d" detach=; if docker stack deploy --help | grep -q -- --detach; then detach=--detach=true; fi docker stack deploy -c compose.json --with-registry-auth --resolve-image changed $detach shop <<<(an archive)
    ---
    applied 1, already true 4, failed 0
    "#);
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 5, failed 0");
}

#[tokio::test(start_paused = true)]
async fn before_there_is_a_swarm_nothing_is_known() {
    let bench = Bench::with(&lab(), &[("shop.yml", WEB.as_bytes())]).only(&["stacks"]);
    insta::assert_snapshot!(bench.plan().await, @"
    ? stacks / shop deployed: node3: the machine is not there
    ? stacks / shop runs: node3: the machine is not there
    ? stacks / unlisted stacks: node3: the machine is not there
    ? stacks / unused secrets: node3: the machine is not there
    ? stacks / unlisted networks: node3: the machine is not there
    ");
}

#[tokio::test(start_paused = true)]
async fn what_differs_is_said() {
    let bench = bench().await;
    bench.done().await;
    bench.site.changes();
    write(&bench, &WEB.replace("example/db:1", "example/db:2"));
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + stacks / shop deployed: shop_db has another definition
    ? stacks / shop runs: shop_db has another definition
    ---
    node1$ set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf "$d"' EXIT; trap 'exit 129' HUP INT TERM; tar -x -C "$d"; cd "$d" detach=; if docker stack deploy --help | grep -q -- --detach; then detach=--detach=true; fi docker stack deploy -c compose.json --with-registry-auth --resolve-image changed $detach shop <<<(an archive)
    ---
    applied 1, already true 4, failed 0
    "#);
    // Others scaled it, and took another image.
    update(&bench.site, "shop_web", |s| s["Spec"]["Mode"]["Replicated"]["Replicas"] = json!(5));
    update(&bench.site, "shop_db", |s| {
        s["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] = json!("example/db:3@sha256:33");
    });
    insta::assert_snapshot!(bench.plan().await, @"
    + stacks / shop deployed: shop_web has 5 replicas, not 2, shop_db has the image example/db:3
    ? stacks / shop runs: 2 of 5 tasks of shop_web run; 0 of 1 tasks of shop_db run
    ");
    bench.done().await;
    assert_eq!(bench.plan().await, "");
    bench.site.changes();
    write(&bench, "services: { web: { image: 'example/web:1', deploy: { replicas: 2 } } }");
    insta::assert_snapshot!(bench.transcript().await, @"
    + stacks / unlisted stacks: shop_db left the blueprint
    ---
    node1$ docker service rm shop_db >/dev/null
    ---
    applied 1, already true 4, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_docker_added_is_no_difference() {
    let bench = bench().await;
    bench.done().await;
    let digest = |image: &mut serde_json::Value| {
        *image = json!(format!("{}@sha256:11", image.as_str().expect("an image")));
    };
    for service in ["shop_web", "shop_db"] {
        update(&bench.site, service, |s| {
            digest(&mut s["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"])
        });
        tasks(&bench.site, service, |t| digest(&mut t["Spec"]["ContainerSpec"]["Image"]));
    }
    assert_eq!(bench.plan().await, "");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_does_not_start_fails_with_the_tasks_error_and_its_last_words() {
    let bench = bench().await;
    bench.done().await;
    tasks(&bench.site, "shop_db", |t| {
        t["DesiredState"] = json!("shutdown");
        t["Status"] = json!({ "State": "failed", "Err": "task: non-zero exit (2)" });
    });
    bench.site.changes();
    let began = tokio::time::Instant::now();
    insta::assert_snapshot!(bench.transcript().await, @"
    ? stacks / shop runs: 0 of 1 tasks of shop_db run: task shop_db.1: task: non-zero exit (2)
    ---
    node1$ timeout 12 docker service logs --raw --tail 20 shop_db 2>&1
    ---
    stacks / shop runs / : not true within 3 min: 0 of 1 tasks of shop_db run: task shop_db.1: task: non-zero exit (2)
    last log lines of shop_db:
      panic: no config
      exit status 2
    ---
    applied 0, already true 1, failed 1
    ");
    assert!(began.elapsed().as_secs() < 190, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_update_that_rolls_back_is_a_failure_at_once() {
    let bench = bench().await;
    bench.done().await;
    bench.site.changes();
    write(&bench, &WEB.replace("example/web:1", "example/web:2"));
    let site = bench.site.clone();
    let was = service(&site, "shop_web")["Spec"].clone();
    tokio::spawn(async move {
        let image =
            |s: &serde_json::Value| s["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].clone();
        let asked = || site.lock().swarm().services.iter().any(|s| image(s) == "example/web:2");
        while !asked() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        update(&site, "shop_web", |s| {
            s["UpdateStatus"] = json!({ "State": "updating", "Message": "update in progress" });
        });
        tokio::time::sleep(Duration::from_secs(20)).await;
        update(&site, "shop_web", |s| {
            s["Spec"] = was.clone();
            s["UpdateStatus"] =
                json!({ "State": "rollback_completed", "Message": "rollback completed" });
        });
        tasks(&site, "shop_web", |t| t["Spec"] = was["TaskTemplate"].clone());
    });
    let began = tokio::time::Instant::now();
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    stacks / shop runs / : shop_web was rolled back
    last log lines of shop_web:
      panic: no config
      exit status 2
    the version before is back, and runs
    ");
    assert!(began.elapsed().as_secs() < 25, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_service_of_another_mode_is_made_anew() {
    let bench = bench().await;
    bench.done().await;
    bench.site.changes();
    write(&bench, &WEB.replace("replicas: 2", "mode: global"));
    insta::assert_snapshot!(bench.plan().await, @"
    + stacks / shop deployed: shop_web is replicated, not global: it is made anew
    ? stacks / shop runs: shop_web has another definition
    ");
    bench.done().await;
    let changes = bench.site.changes();
    let at = |what: &str| changes.find(what).unwrap_or_else(|| panic!("{what}: {changes}"));
    assert!(at("docker service rm shop_web") < at("docker stack deploy"), "{changes}");
    assert!(!changes.contains("rm shop_db"), "{changes}");
    assert!(service(&bench.site, "shop_web")["Spec"]["Mode"]["Global"].is_object());
}

#[tokio::test(start_paused = true)]
async fn of_a_change_of_mode_nothing_is_said_to_be_back() {
    let bench = bench().await;
    bench.done().await;
    write(&bench, &WEB.replace("replicas: 2", "mode: global").replace("web:1", "web:2"));
    let site = bench.site.clone();
    tokio::spawn(async move {
        let is_new =
            |site: &Site| {
                site.lock().swarm().services.iter().any(|s| {
                    s["Spec"]["Name"] == "shop_web" && s["Spec"]["Mode"]["Global"].is_object()
                })
            };
        while !is_new(&site) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tasks(&site, "shop_web", |t| {
            t["Status"] = json!({ "State": "failed", "Err": "task: non-zero exit (2)" });
        });
    });
    let ran = bench.up().await;
    let said = ran.failures();
    assert!(said.contains("the version before can't come back: web had another mode"), "{said}");
    assert!(!said.contains("is back, and runs"), "{said}");
}

/// A change of one service whose tasks end with an error, while another service is new.
async fn ill_change(stack: &str) -> Bench {
    let lab = format!("{LAB}\nstacks: [{{ shop: {{ file: shop.yml, within: 3m{stack} }} }}]\n");
    let bench = Bench::with(&lab, &[("shop.yml", WEB.as_bytes())]).with_swarm().await;
    let bench = bench.only(&["stacks"]);
    bench.done().await;
    bench.site.changes();
    let more = "\n  mail: { image: 'example/mail:1' }\n";
    write(&bench, &(WEB.replace("example/web:1", "example/web:2").trim_end().to_owned() + more));
    let site = bench.site.clone();
    tokio::spawn(async move {
        while service(&site, "shop_web")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
            != "example/web:2"
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tasks(&site, "shop_web", |t| {
            t["Status"] = json!({ "State": "failed", "Err": "task: non-zero exit (2)" });
        });
    });
    bench
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_not_run_is_taken_back() {
    let bench = ill_change("").await;
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    stacks / shop runs / : not true within 3 min: 0 of 2 tasks of shop_web run: task shop_web.2: task: non-zero exit (2)
    last log lines of shop_web:
      panic: no config
      exit status 2
    the version before is back, and runs
    ");
    let changes = bench.site.changes();
    insta::assert_snapshot!(changes, @r#"
    node1$ set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf "$d"' EXIT; trap 'exit 129' HUP INT TERM; tar -x -C "$d"; cd "$d" detach=; if docker stack deploy --help | grep -q -- --detach; then detach=--detach=true; fi docker stack deploy -c compose.json --with-registry-auth --resolve-image changed $detach shop <<<(an archive)
    node1$ timeout 12 docker service logs --raw --tail 20 shop_web 2>&1
    node1$ docker service rm shop_mail >/dev/null
    node1$ docker service rollback --detach shop_web >/dev/null
    "#);
    let image =
        service(&bench.site, "shop_web")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].clone();
    assert_eq!(image, "example/web:1");
    // The file still asks for the change.
    insta::assert_snapshot!(bench.plan().await, @"
    + stacks / shop deployed: shop_web has another definition, the service shop_mail is not there
    ? stacks / shop runs: shop_web was rolled back
    ");
}

/// Tasks of this service end with an error from when it is there.
fn crashes(site: &Site, name: &'static str) {
    let site = site.clone();
    tokio::spawn(async move {
        while !site.lock().swarm().services.iter().any(|s| s["Spec"]["Name"] == name) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tasks(&site, name, |t| {
            t["Status"] = json!({ "State": "failed", "Err": "task: non-zero exit (2)" });
        });
    });
}

#[tokio::test(start_paused = true)]
async fn a_change_that_brings_only_new_services_is_taken_back_too() {
    let bench = bench().await;
    bench.done().await;
    bench.site.changes();
    write(&bench, &WEB.replace("  web:", "  front:"));
    crashes(&bench.site, "shop_front");
    let ran = bench.up().await;
    assert!(ran.failures().ends_with("the version before is back, and runs"), "{}", ran.failures());
    let changes = bench.site.changes();
    assert!(changes.contains("docker service rm shop_front"), "{changes}");
    assert!(!changes.contains("rm shop_web") && !changes.contains("rollback"), "{changes}");
}

#[tokio::test(start_paused = true)]
async fn what_is_deployed_for_the_first_time_has_no_version_before() {
    let bench = bench().await;
    crashes(&bench.site, "shop_web");
    let ran = bench.up().await;
    assert!(ran.failures().starts_with("stacks / shop runs / : not true within"));
    assert!(!ran.failures().contains("version before"), "{}", ran.failures());
    assert!(!bench.site.changes().contains("docker service rm"));
}

#[tokio::test(start_paused = true)]
async fn gates_that_fail_together_take_a_change_back_once() {
    let bench = ill_change("").await;
    let steps = bench.steps();
    let step = |name: &str| steps.iter().find(|s| s.name == name).expect("a step");
    let (cx, _events) = bench.cx();
    let (deployed, runs) = (step("shop deployed"), step("shop runs"));
    deployed.apply.as_ref().expect("an apply")(cx.clone()).await.expect("deployed");
    // A second rollback would bring back what the first one took away.
    let undo = |step: &crate::step::Step| step.undo.as_ref().expect("an undo")(cx.clone());
    let (one, other) = futures::join!(undo(deployed), undo(runs));
    assert_eq!(one.as_deref(), Some("the version before is back, and runs"));
    assert_eq!(other, one);
    assert_eq!(bench.site.changes().matches("docker service rollback").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_not_run_stays_where_that_is_asked_for() {
    let bench = ill_change(", on_failure: keep").await;
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    stacks / shop runs / : not true within 3 min: 0 of 2 tasks of shop_web run: task shop_web.2: task: non-zero exit (2)
    last log lines of shop_web:
      panic: no config
      exit status 2
    it stays as it is (`on_failure: keep`)
    ");
    let image =
        service(&bench.site, "shop_web")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].clone();
    assert_eq!(image, "example/web:2");
    // What was deployed by an earlier run is not taken back by the next.
    let ran = bench.up().await;
    assert!(!ran.failures().contains("keep"), "{}", ran.failures());
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_manager_did_not_take_is_sent_again() {
    let bench = bench().await;
    let why = "failed to create service shop_db: Error response from daemon: rpc error: code = DeadlineExceeded desc = context deadline exceeded";
    bench.site.fault(
        "node1",
        "set -e; umask 077; d=$(mktemp -d -p /run)",
        2,
        Fault::Says(1, "", why),
    );
    let ran = bench.up().await;
    assert_eq!(ran.failures(), "");
    assert_eq!(ran.applied(), ["shop deployed"]);
    let bench = self::bench().await;
    bench.site.fault(
        "node1",
        "set -e; umask 077; d=$(mktemp -d -p /run)",
        99,
        Fault::Says(1, "", why),
    );
    let said = bench.up().await.failures();
    assert!(said.contains("DeadlineExceeded"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_docker_refuses_is_said() {
    let bench = bench().await;
    let why = "services.web.deploy.replicas must be a integer";
    bench.site.fault(
        "node1",
        "set -e; umask 077; d=$(mktemp -d -p /run)",
        1,
        Fault::Says(1, "", why),
    );
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @r#"
    stacks / shop deployed / : `set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf "$d"' EXIT; trap 'exit 129' HUP INT TERM; tar -x -C "$d"; cd "$d" detach=; if docker stack deploy --help…` exited with 1
    services.web.deploy.replicas must be a integer
    last log lines of shop_web:
      panic: no config
      exit status 2
    last log lines of shop_db:
      panic: no config
      exit status 2
    "#);
}

#[tokio::test(start_paused = true)]
async fn stacks_go_up_in_order_each_healthy_before_the_next() {
    let lab = format!(
        "{LAB}
stacks:
  - shop: {{ file: shop.yml, health: [{{ check: 'true', within: 1m }}] }}
  - blog: {{ file: shop.yml, needs: [shop] }}
"
    );
    let bench = Bench::with(&lab, &[("shop.yml", WEB.as_bytes())]).with_swarm().await;
    let bench = bench.only(&["stacks"]);
    bench.site.fault("node1", "true", 999, Fault::Says(1, "not well", ""));
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"stacks / shop check `true` / : not true within 1 min: not well");
    assert_eq!(ran.applied(), ["shop deployed"]);
}

#[tokio::test(start_paused = true)]
async fn images_are_the_same_however_docker_writes_them() {
    let images = [
        ("nginx", "nginx:latest"),
        ("docker.io/library/postgres:16", "postgres:16"),
        ("library/redis", "redis:latest"),
        ("docker.io/grafana/loki:3", "grafana/loki:3"),
        ("registry.test:5000/agent", "registry.test:5000/agent:latest"),
        ("localhost/library/tool:1", "localhost/library/tool:1"),
        (
            "nginx@sha256:2222222222222222222222222222222222222222222222222222222222222222",
            "nginx@sha256:2222222222222222222222222222222222222222222222222222222222222222",
        ),
    ];
    let service =
        |(at, (image, _)): (usize, &(&str, &str))| format!("  s{at}: {{ image: '{image}' }}\n");
    let text: String = images.iter().enumerate().map(service).collect();
    let text = format!("services:\n{text}");
    let bench = Bench::with(&lab(), &[("shop.yml", text.as_bytes())]).with_swarm().await;
    let bench = bench.only(&["stacks"]);
    bench.done().await;
    let has: Vec<String> = bench
        .site
        .lock()
        .swarm()
        .services
        .iter()
        .map(|s| {
            let image = &s["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"];
            image.as_str().expect("an image").to_owned()
        })
        .collect();
    assert_eq!(has, images.map(|(_, stored)| stored));
    for (at, (_, stored)) in images.iter().enumerate().filter(|(_, (_, s))| !s.contains('@')) {
        let pinned = json!(format!("{stored}@sha256:11"));
        update(&bench.site, &format!("shop_s{at}"), |s| {
            s["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] = pinned.clone();
        });
        tasks(&bench.site, &format!("shop_s{at}"), |t| {
            t["Spec"]["ContainerSpec"]["Image"] = pinned.clone();
        });
    }
    assert_eq!(bench.plan().await, "");
    // The same name in another registry is another image.
    for (service, image) in
        [("shop_s0", "mirror.test/nginx:latest"), ("shop_s1", "postgres:17"), ("shop_s5", "tool:1")]
    {
        update(&bench.site, service, |s| {
            s["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] = json!(image);
        });
    }
    insta::assert_snapshot!(bench.plan().await, @"
    + stacks / shop deployed: shop_s0 has the image mirror.test/nginx:latest, shop_s1 has the image postgres:17, shop_s5 has the image tool:1
    ? stacks / shop runs: 0 of 1 tasks of shop_s0 run; 0 of 1 tasks of shop_s1 run; 0 of 1 tasks of shop_s5 run
    ");
}

/// The one task of a service ends with an error, another one is started at once.
fn crash(site: &Site, service: &str) {
    let now = stamp(site.lock().now());
    let mut ended = Vec::new();
    tasks(site, service, |t| {
        if t["DesiredState"] == "running" {
            t["Status"]["Timestamp"] = now.clone();
        }
    });
    let mut state = site.lock();
    let swarm = state.swarm();
    let id = swarm.services.iter().find(|s| s["Spec"]["Name"] == service).expect("a service")["ID"]
        .clone();
    let mine = |t: &&serde_json::Value| t["ServiceID"] == id && t["DesiredState"] == "running";
    for task in swarm.tasks.iter().filter(mine) {
        let mut task = task.clone();
        task["DesiredState"] = json!("shutdown");
        task["Status"] =
            json!({ "State": "failed", "Timestamp": now, "Err": "task: non-zero exit (1)" });
        ended.push(task);
    }
    swarm.tasks.extend(ended);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_ends_again_and_again_never_runs() {
    let bench = bench().await;
    bench.done().await;
    bench.site.changes();
    let site = bench.site.clone();
    let crashing = tokio::spawn(async move {
        loop {
            crash(&site, "shop_db");
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
    });
    let ran = bench.up().await;
    crashing.abort();
    insta::assert_snapshot!(ran.failures(), @"
    stacks / shop runs / : not true within 3 min: 0 of 1 tasks of shop_db run: task shop_db.1: task: non-zero exit (1)
    last log lines of shop_db:
      panic: no config
      exit status 2
    ");
    assert_eq!(ran.applied(), [""; 0]);
    // What ended it is mended: it goes on by itself.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(bench.plan().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_container_in_an_attachable_network_hides_nothing() {
    let bench = bench().await;
    bench.site.lock().swarm().tasks.push(foot("web"));
    bench.done().await;
    tasks(&bench.site, "shop_db", |t| t["Status"]["State"] = json!("failed"));
    insta::assert_snapshot!(bench.plan().await, @"? stacks / shop runs: 0 of 1 tasks of shop_db run");
}

#[tokio::test(start_paused = true)]
async fn a_network_of_the_stack_that_docker_would_leave_as_it_is_is_no_change_that_was_made() {
    let bench = bench().await;
    let with = |options: &str| {
        WEB.to_owned() + &format!("networks: {{ inner: {{ driver: overlay{options} }} }}\n")
    };
    write(&bench, &with(""));
    bench.done().await;
    let made = json!({ "Name": "shop_inner", "Driver": "overlay", "Scope": "swarm",
        "Labels": { "com.docker.stack.namespace": "shop" } });
    bench.site.lock().swarm().networks.push(made);
    assert_eq!(bench.plan().await, "");
    let mut said = String::new();
    for options in [", internal: true", ", driver_opts: { encrypted: '' }", ", attachable: true"] {
        write(&bench, &with(options));
        let failures = bench.up().await.failures();
        let lines = failures.lines().filter(|l| l.contains("network"));
        said.extend(lines.map(|line| format!("{line}\n")));
    }
    let changes = bench.site.changes();
    assert_eq!(changes.lines().filter(|l| l.contains("docker stack deploy")).count(), 1);
    insta::assert_snapshot!(said, @"
    stacks / shop deployed / : the network shop_inner: internal is false, the compose file says true
    hint: docker changes no network that is there: `docker stack rm shop`, then `bp up`
    stacks / shop deployed / : the network shop_inner: encrypted is false, the compose file says true
    hint: docker changes no network that is there: `docker stack rm shop`, then `bp up`
    stacks / shop deployed / : the network shop_inner: attachable is false, the compose file says true
    hint: docker changes no network that is there: `docker stack rm shop`, then `bp up`
    ");
}
