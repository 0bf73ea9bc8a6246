//! The lab's authority, its certificates, given secrets and logins: made, renewed, read, removed.

use super::bench::{Bench, LAB, Ran, ran};
use super::fake::Fault;
use crate::secrets::{self, Secret, Source, verbs};
use crate::step::Step;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

const ETCD: &str = "stacks: [{ etcd: { members: 3 } }]\n";

/// A lab with a swarm and these stacks, of which only the stacks are looked at.
async fn bench(stacks: &str, files: &[(&str, &[u8])]) -> Bench {
    Bench::with(&format!("{LAB}\n{stacks}"), files).with_swarm().await.only(&["stacks"])
}

/// What there is, by the names that the blueprint uses.
fn kept(bench: &Bench) -> Vec<String> {
    let mut state = bench.site.lock();
    let swarm = state.swarm();
    let of = |s: &Value| {
        let labels = &s["Spec"]["Labels"];
        let name = labels.get("bp.secret").or(labels.get("bp.config"));
        name.unwrap_or(&s["Spec"]["Name"]).as_str().expect("a name").to_owned()
    };
    let mut all: Vec<String> = swarm.secrets.iter().chain(&swarm.configs).map(of).collect();
    all.sort();
    all
}

/// The newest secret of a name: its id, and what it holds.
fn newest(bench: &Bench, name: &str) -> (String, String) {
    let mut state = bench.site.lock();
    let swarm = state.swarm();
    let found = swarm.secrets.iter().rfind(|s| s["Spec"]["Labels"]["bp.secret"] == name);
    let id = found.expect("it is there")["ID"].as_str().expect("an id").to_owned();
    let held = String::from_utf8(swarm.kept[&id].clone()).expect("text");
    (id, held)
}

/// The step of one secret.
fn step(secret: &Secret) -> Step {
    secrets::step("shop", std::slice::from_ref(secret)).expect("a step")
}

/// Runs a step alone, twice; says what it did the first time.
async fn run(bench: &Bench, step: Step) -> Ran {
    let (cx, events) = bench.cx();
    let first = ran(&cx, events, std::slice::from_ref(&step), watch::channel(false).1)
        .await
        .expect("no lock");
    if first.outcome.sums.failed == Some(0) {
        let (cx, events) = bench.cx();
        let again = ran(&cx, events, &[step], watch::channel(false).1).await.expect("no lock");
        assert_eq!(again.outcome.sums.applied, Some(0), "right after it, it is true");
    }
    first
}

#[tokio::test(start_paused = true)]
async fn fresh_and_done() {
    let bench = bench(ETCD, &[]).await;
    insta::assert_snapshot!(bench.plan().await, @"
    + stacks / pause image / node1: it is not loaded
    + stacks / pause image / node2: it is not loaded
    + stacks / pause image / node3: it is not loaded
    + stacks / secret ca_key: it is not there
    + stacks / bp deployed: the config ca is not made yet
    ? stacks / bp runs: it is not deployed yet
    + stacks / etcd data / node1: /srv/etcd is not there
    + stacks / etcd data / node2: /srv/etcd is not there
    + stacks / etcd data / node3: /srv/etcd is not there
    + stacks / etcd secrets: tls_etcd: it is not there, tls_etcd_client: it is not there
    + stacks / etcd deployed: the config ca is not made yet
    ? stacks / etcd runs: it is not deployed yet
    ? stacks / etcd members: node3: the member of node3 does not run
    ? stacks / etcd key: node1: the member of node1 does not run
    ");
    bench.done().await;
    assert_eq!(kept(&bench), ["ca", "ca_key", "tls_etcd", "tls_etcd_client"]);
    assert!(newest(&bench, "ca_key").1.starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_while_a_secret_is_made_is_continued() {
    for command in [
        "curl -sS --max-time 20",
        "uname",
        "docker load",
        "set -e\nprintf",
        "c=$(docker ps",
        "docker secret create",
    ] {
        for fault in [Fault::Lost, Fault::LostAfter] {
            for times in [1, 3] {
                let bench = bench(ETCD, &[]).await;
                bench.site.fault("node1", command, times, fault.clone());
                let _ = bench.up().await;
                bench.done().await;
                assert_eq!(
                    kept(&bench),
                    ["ca", "ca_key", "tls_etcd", "tls_etcd_client"],
                    "{command}"
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn half_an_authority_that_signed_nothing_is_made_anew() {
    let labels = json!({ "bp.lab": "lab", "bp.config": "ca" });
    let bench = bench(ETCD, &[]).await;
    bench.site.lock().keep("node1", "config", "lab_ca_0", labels, b"a certificate");
    let plan = bench.plan().await;
    assert!(plan.contains("+ stacks / secret ca_key: only half of it is there"), "{plan}");
    bench.done().await;
    assert_eq!(kept(&bench), ["ca", "ca_key", "tls_etcd", "tls_etcd_client"]);
}

#[tokio::test(start_paused = true)]
async fn half_an_authority_that_signed_something_is_for_the_operator() {
    let bench = bench(ETCD, &[]).await;
    bench.done().await;
    bench.site.changes();
    bench.site.lock().swarm().secrets.retain(|s| s["Spec"]["Labels"]["bp.secret"] != "ca_key");
    let ran = bench.up().await;
    insta::assert_snapshot!(ran.failures(), @"
    stacks / secret ca_key / : the key of the lab's authority, the secret `ca_key`, is gone, and it has signed certificates
    hint: for a new authority, take down the stacks that have certificates (`docker stack rm`), remove the secrets `tls_*`, `ca_key` and the config `ca`, and `bp up` makes all anew
    ");
    assert_eq!(bench.site.changes(), "");
}

#[tokio::test(start_paused = true)]
async fn certificates_are_renewed_when_a_third_of_their_life_is_left() {
    let bench = bench(ETCD, &[]).await;
    bench.done().await;
    bench.site.changes();
    sleep(Duration::from_secs(242 * 86_400)).await;
    assert_eq!(bench.plan().await, "");
    let before = newest(&bench, "tls_etcd");
    sleep(Duration::from_secs(2 * 86_400)).await;
    insta::assert_snapshot!(bench.plan().await, @"
    + stacks / etcd secrets: tls_etcd: it ends in 120 days, tls_etcd_client: it ends in 120 days
    ? stacks / etcd deployed: the secret tls_etcd is made anew before
    ? stacks / unused secrets: the secret tls_etcd is made anew before
    ");
    let ran = bench.done().await;
    assert_eq!(ran.applied(), ["etcd secrets", "etcd deployed", "unused secrets"]);
    assert_eq!(kept(&bench), ["ca", "ca_key", "tls_etcd", "tls_etcd_client"]);
    assert_ne!(newest(&bench, "tls_etcd"), before);
    // A member after the other: each of them is a deploy of its own.
    let deploys = bench.site.changes().matches("docker stack deploy -c compose.json").count();
    assert_eq!(deploys, 3);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_for_the_members_that_there_are() {
    let bench = bench("stacks: [{ etcd: { members: 1 } }]\n", &[]).await;
    bench.done().await;
    let bench = bench.edited(&format!("{LAB}\n{ETCD}"));
    let plan = bench.plan().await;
    assert!(plan.contains("+ stacks / etcd secrets: tls_etcd: it is for other names\n"), "{plan}");
    assert!(!plan.contains("tls_etcd_client"), "{plan}");
    // Members that run take no others in: nothing is sent.
    bench.site.changes();
    let failed = bench.up().await.failures();
    assert!(failed.contains("etcd runs with the members node1, not with node1, node2"), "{failed}");
    assert!(!bench.site.changes().contains("docker stack deploy"));
}

#[test]
fn the_key_is_held_on_managers_unless_none_of_them_takes_tasks() {
    let drained = LAB.replace("role: manager }", "role: manager, availability: drain }");
    let hosts = |lab: &str| {
        let bench = Bench::new(&format!("{lab}\nstacks: [traefik]\n"));
        let bp = crate::compose::all(&bench.lab, bench.dir.path()).expect("read").remove(0);
        let hosts = bench.lab.hosts.iter().filter(|h| bp.services[0].may_run_on(h));
        hosts.map(|h| h.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(hosts(LAB), ["node1", "node2", "node3"]);
    assert_eq!(hosts(&drained), ["node1", "node2", "node3", "worker1", "worker2"]);
}

const SHOP: &str = "
services:
  web:
    image: example/web:1
    secrets: [password]
    deploy: { placement: { constraints: ['node.role == worker'] } }
secrets: { password: { external: true } }
";

fn given() -> Secret {
    let source = blueprints::Secret::Env("PASSWORD".to_owned());
    Secret { name: "password".to_owned(), source: Source::Given(source) }
}

/// The variable holds this now.
fn give(bench: &Bench, value: &str) {
    let source = blueprints::Secret::Env("PASSWORD".to_owned());
    bench.site.lock().given.insert(format!("{source:?}"), value.to_owned());
}

#[tokio::test(start_paused = true)]
async fn a_given_secret_is_what_is_given_now() {
    let bench = bench("stacks: []\n", &[]).await;
    let secret = given();
    let mut ids = BTreeSet::new();
    // What was given once and is given again is new again.
    for value in ["correct horse", "staple\nbattery\n", "correct horse", "$(true) 'x' \\n"] {
        give(&bench, value);
        let ran = run(&bench, step(&secret)).await;
        assert_eq!(ran.applied(), ["secret password"], "{}", ran.failures());
        let (id, held) = newest(&bench, "password");
        assert_eq!(held, value);
        assert!(ids.insert(id), "a secret never changes");
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_given_secret_that_is_empty_or_can_t_be_had_is_a_failure() {
    let bench = bench("stacks: []\n", &[]).await;
    let secret = given();
    insta::assert_snapshot!(run(&bench, step(&secret)).await.failures(), @r#" / secret password / : the secret password: nobody gave Env("PASSWORD")"#);
    give(&bench, "");
    insta::assert_snapshot!(run(&bench, step(&secret)).await.failures(), @" / secret password / : the secret password is given, and it is empty");
    assert_eq!(kept(&bench), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_given_password_is_one_line() {
    let lab = "secrets: { redis_password: { command: pass show redis } }\nstacks: [redis]\n";
    let bench = bench(lab, &[]).await;
    let secret = Secret::generated(&bench.lab, "redis_password");
    for text in ["correct horse battery\nurl: redis.test", "correct horse battery\r"] {
        let source = blueprints::Secret::Command("pass show redis".to_owned());
        bench.site.lock().given.insert(format!("{source:?}"), text.to_owned());
        let (cx, events) = bench.cx();
        let ran =
            ran(&cx, events, &[step(&secret)], watch::channel(false).1).await.expect("no lock");
        let failures = ran.failures();
        assert!(failures.contains("is a password, and has a line break in it"), "{failures}");
        // Whoever says a part of it does not say it.
        let said = cx.events().mask("requirepass \"correct horse battery\"".to_owned());
        assert_eq!(said, "requirepass \"***\"");
    }
    assert_eq!(kept(&bench), [""; 0]);
    // A key is none.
    give(&bench, "-----BEGIN PRIVATE KEY-----\nlines\n-----END PRIVATE KEY-----\n");
    let key = Secret { name: "traefik_key".to_owned(), ..given() };
    let ran = run(&bench, step(&key)).await;
    assert_eq!(ran.applied(), ["secret traefik_key"], "{}", ran.failures());
}

/// Whether a line of `htpasswd` is of this password.
fn is_line(line: &str, user: &str, password: &str) -> bool {
    let Some(hash) = line.strip_prefix(&format!("{user}:")).map(str::trim_end) else {
        return false;
    };
    let perl = ["-e", "print crypt($ARGV[0], $ARGV[1])", password, hash];
    let again = Command::new("perl").args(perl).output().expect("perl runs").stdout;
    hash.starts_with("$2y$10$") && hash.len() == 60 && again == hash.as_bytes()
}

#[tokio::test(start_paused = true)]
async fn a_login_is_a_password_and_a_line_of_it() {
    let bench = bench("stacks: []\n", &[]).await;
    let login = Secret { name: "registry_password".to_owned(), source: Source::Login("bp") };
    let mut passwords = BTreeSet::new();
    for _ in 0..2 {
        let ran = run(&bench, step(&login)).await;
        assert_eq!(ran.applied(), ["secret registry_password"], "{}", ran.failures());
        let (_, password) = newest(&bench, "registry_password");
        let (_, line) = newest(&bench, "registry_password_htpasswd");
        assert!(password.len() == 32 && password.chars().all(|c| c.is_ascii_alphanumeric()));
        assert!(is_line(&line, "bp", &password) && !is_line(&line, "bp", "another"), "{line}");
        assert!(passwords.insert(password));
        sleep(Duration::from_secs(1)).await;
        // Nobody knows the password that half of it is of: both are made anew.
        let is = |s: &mut Value| s["Spec"]["Labels"]["bp.secret"] == "registry_password_htpasswd";
        bench.site.lock().swarm().secrets.retain_mut(|s| !is(s));
    }
}

#[tokio::test(start_paused = true)]
async fn a_given_login_keeps_its_password_and_gets_its_line() {
    let bench = bench("stacks: []\n", &[]).await;
    let source = blueprints::Secret::Env("PASSWORD".to_owned());
    let login = Secret { name: "x".to_owned(), source: Source::GivenLogin("bp", source) };
    give(&bench, "it's \"given\" ");
    run(&bench, step(&login)).await;
    let (id, held) = newest(&bench, "x");
    assert_eq!(held, "it's \"given\" ");
    assert!(is_line(&newest(&bench, "x_htpasswd").1, "bp", &held));
    bench.site.lock().swarm().secrets.retain(|s| s["Spec"]["Labels"]["bp.secret"] != "x_htpasswd");
    let ran = run(&bench, step(&login)).await;
    assert_eq!(ran.applied(), ["secret x"], "{}", ran.failures());
    assert_eq!(newest(&bench, "x").0, id);
    assert!(is_line(&newest(&bench, "x_htpasswd").1, "bp", &held));
}

#[tokio::test(start_paused = true)]
async fn what_has_a_long_name_has_a_shorter_one_in_docker() {
    let bench = bench("stacks: []\n", &[]).await;
    for source in [Source::Generated, Source::Login("bp")] {
        let name = format!("{}_{}", "long".repeat(15), source.clone() == Source::Generated);
        let ran = run(&bench, step(&Secret { name, source })).await;
        assert_eq!(ran.outcome.sums.applied, Some(1), "{}", ran.failures());
    }
}

async fn shop() -> Bench {
    let shop =
        bench("stacks: [{ shop: { file: shop.yml } }]\n", &[("shop.yml", SHOP.as_bytes())]).await;
    shop.done().await;
    shop.site.changes();
    shop
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_read_where_a_task_has_it() {
    let bench = shop().await;
    let (cx, mut events) = bench.cx();
    let held = secrets::read(&cx, "password").await.expect("read");
    assert_eq!(held, newest(&bench, "password").1.into_bytes());
    // From now on nobody says it.
    let text = String::from_utf8(held).expect("text");
    cx.note(format!("it is {text}"));
    let said = crate::event::line(&events.try_recv().expect("said"));
    assert!(said.contains("it is ***") && !said.contains(&text), "{said}");
    assert_eq!(bench.site.changes(), "");
    let why = |failure: crate::Failure| {
        format!("{}\nhint: {}", failure.message, failure.hint.unwrap_or_default())
    };
    let none = secrets::read(&cx, "other").await.expect_err("none");
    insta::assert_snapshot!(why(none), @"
    there is no secret other
    hint: `bp secret list` names them; `bp up` makes those that are missing
    ");
    bench.site.cut("worker1");
    let away = secrets::read(&cx.fresh(), "password").await.expect_err("away");
    insta::assert_snapshot!(why(away), @"
    read the secret password on worker1: the machine is not running
    hint:
    ");
    bench.site.lock().swarm().tasks.clear();
    let none = secrets::read(&cx.fresh(), "password").await.expect_err("none runs");
    insta::assert_snapshot!(why(none), @"
    nothing that uses the secret password runs
    hint: a swarm gives a secret to nobody but a running task: `bp status` says what does not run
    ");
}

#[tokio::test(start_paused = true)]
async fn what_leaves_the_blueprint_takes_its_secrets_with_it() {
    let files = "
services: { web: { image: example/web:1, configs: [site], secrets: [password] } }
configs: { site: { file: site.conf } }
secrets: { password: { external: true } }
";
    let files = [("shop.yml", files.as_bytes()), ("site.conf", b"listen 80".as_slice())];
    let bench = bench("stacks: [{ shop: { file: shop.yml } }]\n", &files).await;
    // What others made stays, and what they made by the same name.
    let other = json!({ "bp.lab": "other", "bp.secret": "password" });
    bench.site.lock().keep("node1", "secret", "other_password", other, b"not of this lab");
    bench.site.lock().keep("node1", "config", "by-hand", json!({}), b"not of bp");
    bench.done().await;
    let before = kept(&bench);
    std::fs::write(bench.dir.path().join("site.conf"), "listen 81").expect("written");
    bench.site.changes();
    insta::assert_snapshot!(bench.plan().await, @"
    + stacks / shop deployed: shop_web has another definition
    ? stacks / shop runs: shop_web has another definition
    ? stacks / unused secrets: shop_site_251ac9112fb0 is still in use
    ");
    bench.done().await;
    assert_eq!(kept(&bench).len(), before.len(), "{before:?} {:?}", kept(&bench));
    let bench = bench.edited(&format!("{LAB}\nstacks: []\n"));
    bench.done().await;
    assert_eq!(kept(&bench), ["by-hand", "password"]);
    assert_eq!(newest(&bench, "password").1, "not of this lab");
}

/// Rotates as `bp secret rotate` does it.
async fn rotate(bench: &Bench, name: &str) -> Result<Ran, String> {
    let (cx, events) = bench.cx();
    let step = match verbs::rotatable(&cx, bench.dir.path(), name) {
        Ok(secret) => verbs::rotation(&cx, secret).await,
        Err(failure) => Err(failure),
    };
    let step = step.map_err(|f| format!("{}\nhint: {}", f.message, f.hint.unwrap_or_default()))?;
    let mut steps = bench.steps();
    steps.insert(0, step);
    let found = crate::survey::survey(&cx, &steps).await;
    let outcome =
        crate::run::up(&cx, &steps, &found, 25, watch::channel(false).1, &super::bench::me()).await;
    let (outcome, mut events, mut all) = (outcome.expect("no lock"), events, Vec::new());
    while let Ok(event) = events.try_recv() {
        all.push(event);
    }
    let said: String = all.iter().map(|e| crate::event::line(e) + "\n").collect();
    for secret in &bench.site.lock().tokens {
        assert!(!said.contains(secret.as_str()), "a secret was said: {said}");
    }
    Ok(Ran { outcome, events: all })
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_reaches_its_services_and_the_old_one_is_gone() {
    let bench = shop().await;
    let before = newest(&bench, "password");
    let ran = rotate(&bench, "password").await.expect("rotated");
    assert_eq!(ran.outcome.sums.failed, Some(0), "{}", ran.failures());
    assert_eq!(ran.applied(), ["rotation of password", "shop deployed", "unused secrets"]);
    let after = newest(&bench, "password");
    assert!(before.0 != after.0 && before.1 != after.1);
    assert_eq!(kept(&bench), ["password"]);
    let (cx, _events) = bench.cx();
    assert_eq!(secrets::read(&cx, "password").await.expect("read"), after.1.into_bytes());
    assert_eq!(bench.plan().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_was_cut_off_is_continued_by_up() {
    let bench = shop().await;
    let full = Fault::Says(1, "", "no space left on device");
    bench.site.fault("node1", "set -e; umask 077; d=$(mktemp -d", 1, full);
    let ran = rotate(&bench, "password").await.expect("begun");
    assert_eq!(ran.outcome.sums.failed, Some(1));
    let ran = bench.done().await;
    assert_eq!(ran.applied(), ["shop deployed", "unused secrets"]);
    assert_eq!(kept(&bench), ["password"]);
}

#[tokio::test(start_paused = true)]
async fn certificates_are_rotated_one_member_after_the_other() {
    let bench = bench(ETCD, &[]).await;
    bench.done().await;
    bench.site.changes();
    let before = newest(&bench, "tls_etcd");
    let ran = rotate(&bench, "tls_etcd").await.expect("rotated");
    assert_eq!(ran.outcome.sums.failed, Some(0), "{}", ran.failures());
    assert_ne!(newest(&bench, "tls_etcd"), before);
    assert_eq!(bench.site.changes().matches("docker stack deploy -c").count(), 3);
    assert_eq!(bench.plan().await, "");
}

#[tokio::test(start_paused = true)]
async fn members_that_share_a_password_change_it_all_at_once() {
    let bench = bench("stacks: [{ redis: { members: 3 } }]\n", &[]).await;
    bench.done().await;
    for (name, deploys) in [("tls_redis", 6), ("redis_password", 1)] {
        bench.site.changes();
        let ran = rotate(&bench, name).await.expect("rotated");
        assert_eq!(ran.outcome.sums.failed, Some(0), "{}", ran.failures());
        let changes = bench.site.changes();
        assert_eq!(changes.matches("docker stack deploy -c").count(), deploys, "{changes}");
        assert_eq!(bench.plan().await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_t_be_rotated_says_why() {
    let text = "secrets: { password: { file: password.txt } }
stacks: [{ etcd: { members: 1 } }, { shop: { file: shop.yml } }, traefik, portainer]
";
    let read = format!("{LAB}\n{text}");
    let bench = Bench::with(&read, &[("shop.yml", SHOP.as_bytes()), ("password.txt", b"x")]);
    let bench = bench.with_swarm().await.only(&["stacks"]);
    let mut said = String::new();
    for name in ["password", "ca_key", "nothing", "tls_etcd", "portainer_password"] {
        let why = rotate(&bench, name).await.err().unwrap_or_default();
        let why = why.replace(&bench.dir.path().display().to_string(), "");
        said.push_str(&format!("{name}: {why}\n"));
    }
    insta::assert_snapshot!(said, @"
    password: the secret `password` is given by the file `/password.txt`
    hint: change it there; `bp up` takes it over
    ca_key: the key of the lab's authority is not rotated
    hint: services that know only the one before would trust nobody else: a new authority is for a new lab
    nothing: the lab has no secret `nothing` to rotate
    hint: there are ca_key, tls_etcd, tls_etcd_client, password, traefik_password, tls_traefik, portainer_password
    tls_etcd: the secret `tls_etcd` is not there yet
    hint: `bp up` makes it
    portainer_password: the secret `portainer_password` is read at the first start only
    hint: change the password in the service
    ");
    assert_eq!(kept(&bench), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn secrets_are_listed_without_what_they_hold() {
    let text = "stacks: [{ etcd: { members: 1 } }, { shop: { file: shop.yml } }]\n";
    let bench = bench(text, &[("shop.yml", SHOP.as_bytes())]).await;
    let lines = |all: Vec<verbs::Listed>| -> String {
        let days = |seconds: Option<i64>| seconds.map(|s| s / 86_400);
        let line = |s: verbs::Listed| {
            let users = s.users.join(", ");
            format!("{}: {}, {:?}, {:?}: {users}\n", s.name, s.source, days(s.age), days(s.left))
        };
        all.into_iter().map(line).collect()
    };
    let (cx, _events) = bench.cx();
    assert_eq!(verbs::authority(&cx).await.expect("asked"), None);
    let before = lines(verbs::list(&cx, bench.dir.path()).await.expect("listed"));
    assert_eq!(before.matches(", None, None: \n").count(), 4, "{before}");
    bench.done().await;
    sleep(Duration::from_secs(86_400)).await;
    let (cx, _events) = bench.cx();
    let after = lines(verbs::list(&cx, bench.dir.path()).await.expect("listed"));
    insta::assert_snapshot!(after, @"
    ca_key: the lab's authority, Some(1), None: bp_ca
    tls_etcd: a certificate of the lab's authority, Some(1), Some(363): etcd_etcd-node1
    tls_etcd_client: a certificate of the lab's authority, Some(1), Some(363): etcd_etcd-node1
    password: generated, Some(1), None: shop_web
    ");
    for secret in &bench.site.lock().tokens {
        assert!(!after.contains(secret.as_str()), "{after}");
    }
    let certificate = verbs::authority(&cx).await.expect("asked").expect("there is one");
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate}");
}
