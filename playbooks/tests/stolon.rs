//! The Stolon stack: what is deployed, and what makes it healthy.

use super::bench::{Bench, ran};
use super::desk::Desk;
use super::registry::Programs;
use crate::compose::{Compose, all};
use crate::step::{Check, Step};
use crate::survey;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tokio::sync::watch;

const ONE: &str = "
version: 1
name: lab
provider: { libvirt: { subnet: 10.20.30.0/24, template: debian-13.qcow2 } }
hosts: { a-1: { role: manager } }
engine: { source: distro }
stacks:
  - etcd
  - stolon: { databases: { shop: {} } }
";

const THREE: &str = "
version: 1
name: lab
provider: { libvirt: { subnet: 10.20.30.0/24, template: debian-13.qcow2 } }
hosts:
  'node{1..3}': { role: manager, brick: /srv/brick }
  worker1: { role: worker }
engine: { source: distro }
gluster: { docker: { replica: 3, mount: /srv/docker } }
stacks:
  - etcd
  - stolon:
      synchronous: true
      backup: { every: 6h, keep: 3 }
      databases:
        gitlab: { extensions: [pg_trgm, btree_gist, plpgsql] }
        shop: { owner: app }
        second: { owner: app, extensions: [uuid-ossp] }
";

fn rendered(blueprint: &str) -> Compose {
    let bench = Bench::new(blueprint);
    let all = all(&bench.lab, bench.dir.path()).unwrap_or_else(|f| panic!("{}", f.message));
    all.into_iter().find(|c| c.name == "stolon").expect("the stack")
}

fn yaml(compose: &Compose) -> String {
    let document: Value = serde_json::from_str(&compose.text).expect("JSON");
    serde_yaml::to_string(&document).expect("YAML")
}

#[test]
fn one_member() {
    insta::assert_snapshot!("stolon_1", yaml(&rendered(ONE)));
}

#[test]
fn three_members() {
    insta::assert_snapshot!("stolon_3", yaml(&rendered(THREE)));
}

#[test]
fn a_new_database_changes_the_service_that_makes_it_and_no_keeper() {
    let before = rendered(THREE);
    let more = THREE.replace("shop: { owner: app }", "shop: { owner: app }\n        news: {}");
    let changed: Vec<String> = rendered(&more)
        .services
        .iter()
        .filter(|s| !before.services.contains(s))
        .map(|s| s.name.clone())
        .collect();
    assert_eq!(changed, ["databases"]);
}

const DESK: &str = "
version: 1
name: lab
hosts:
  node1: { provider: existing, address: 10.1.1.1, role: manager }
  node2: { provider: existing, address: 10.1.1.2, role: manager }
  node3: { provider: existing, address: 10.1.1.3, role: manager }
engine: { source: distro }
stacks:
  - etcd
  - stolon: { synchronous: true, databases: { shop: { owner: app } } }
";

fn desk() -> Desk {
    let desk = Desk::new(DESK);
    for host in ["node1", "node2", "node3"] {
        desk.runs(host, &format!("stolon_sentinel-{host}"));
    }
    desk.runs("node2", "stolon_databases");
    desk.write("etc-bp/check.sh", "cat \"$STATE/wrong\" 2>/dev/null; [ ! -s \"$STATE/wrong\" ]\n");
    desk.write("status", &status(|_| {}).to_string());
    desk
}

/// What `stolonctl status -f json` says where all is well, changed.
fn status(change: impl Fn(&mut Value)) -> Value {
    let keeper = |n: u8| {
        json!({ "uid": format!("node{n}"), "listen_address": format!("keeper-node{n}:5432"),
            "healthy": true, "pg_healthy": true, "pg_wanted_generation": 2, "pg_current_generation": 2 })
    };
    let mut status = json!({
        "sentinels": [{ "uid": "11", "leader": false }, { "uid": "22", "leader": true }],
        "proxies": [{ "uid": "33", "generation": 1 }],
        "keepers": [keeper(1), keeper(2), keeper(3)],
        "cluster": { "available": true, "master_keeper_uid": "node1", "master_db_uid": "44" }
    });
    change(&mut status);
    status
}

/// The gates of the stack, as `up` goes through them: what it did, and how it ended.
async fn up(desk: &Desk) -> String {
    let names = ["stolon cluster", "stolon members", "stolon databases"];
    let steps: Vec<Step> =
        desk.bench.steps().into_iter().filter(|s| names.contains(&s.name.as_str())).collect();
    assert_eq!(steps.len(), names.len());
    let (cx, events) = desk.cx();
    let ran = ran(&cx, events, &steps, watch::channel(false).1).await.expect("the lock is free");
    assert!(!desk.path("wiped").exists(), "a cluster was wiped");
    let did: Vec<String> =
        desk.log().lines().filter(|l| ["init", "update"].contains(l)).map(str::to_owned).collect();
    format!("{} applied {:?} {}", did.join(", "), ran.sums().applied.unwrap_or(0), ran.failures())
}

#[test]
fn a_dump_that_failed_is_no_health() {
    let dir = tempfile::tempdir().expect("a folder");
    let scripts = [
        ("common.sh", include_str!("../stacks/stolon/common.sh")),
        ("check.sh", include_str!("../stacks/stolon/check.sh")),
    ];
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    for (name, text) in scripts {
        write(name, text);
    }
    for name in ["pgsql_superuser", "pgsql_replication", "pgsql_bp", "pgsql_app"] {
        write(&format!("secrets/{name}"), "hunter2");
    }
    write("databases", "shop app pg_trgm\n");
    write("state/converged", "");
    let psql = "case $PGHOST in keeper-node1) echo 'f|t';; keeper-node2) echo 't|t';; *) echo pg_trgm;; esac";
    let check = || {
        let stubs = super::stubs::Stubs::new().program("psql", &format!("*) {psql};;"));
        let at = dir.path().display();
        stubs.run(&format!(
            "export COMMON={at}/common.sh SECRETS={at}/secrets LIST={at}/databases STATE={at}/state \
             KEEPERS='keeper-node1 keeper-node2'; sh {at}/check.sh"
        ))
    };
    assert_eq!(check(), "ok");
    write("state/undumped/shop", "");
    assert_eq!(check(), "1: the last dump of shop failed: the logs of this service say why");
}

#[tokio::test(start_paused = true)]
async fn a_fresh_cluster_is_initialized_once() {
    let desk = desk();
    assert_eq!(up(&desk).await, "init applied 1 ");
    let data: Value = serde_json::from_str(&desk.read("clusterdata")).expect("JSON");
    insta::assert_snapshot!(serde_json::to_string_pretty(&data["cluster"]["spec"]).expect("JSON"));
    assert_eq!(up(&desk).await, " applied 0 ");
    // Stolon adds what initdb wrote.
    let more =
        desk.read("clusterdata").replace("\"ssl\":\"on\"", "\"ssl\":\"on\",\"lc_time\":\"C\"");
    desk.write("clusterdata", &more);
    assert_eq!(up(&desk).await, " applied 0 ");
}

#[tokio::test(start_paused = true)]
async fn a_changed_specification_is_an_update() {
    let desk = desk();
    up(&desk).await;
    let other = desk
        .read("clusterdata")
        .replace("\"max_connections\":\"200\"", "\"max_connections\":\"50\"");
    desk.write("clusterdata", &other);
    assert_eq!(up(&desk).await, "update applied 1 ");
    assert_eq!(up(&desk).await, " applied 0 ");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_no_empty_store() {
    let desk = desk();
    desk.write("away", "");
    insta::assert_snapshot!(up(&desk).await, @" applied 0 stacks / stolon cluster / : node3: cannot get cluster data: context deadline exceeded");
    std::fs::remove_file(desk.path("away")).expect("removed");
    assert_eq!(up(&desk).await, "init applied 1 ");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_the_store_does_not_know_is_not_wiped() {
    let desk = desk();
    desk.write("node3/srv/stolon/postgres/PG_VERSION", "14");
    insta::assert_snapshot!(up(&desk).await, @"
     applied 0 stacks / stolon cluster / : node3 holds a database in /srv/stolon, and etcd knows no cluster
    hint: to initialize would wipe it: bring etcd's data back, or move the folder away
    ");
}

/// What one gate says now.
async fn asked(desk: &Desk, name: &str) -> String {
    let step = desk.bench.steps().into_iter().find(|s| s.name == name).expect("a step");
    let (cx, _events) = desk.cx();
    let check = survey::check(&cx, &step).await;
    assert_ne!(check, Check::True, "{name}");
    check.reason().to_owned()
}

#[tokio::test(start_paused = true)]
async fn another_sentinel_is_asked_where_the_first_is_away() {
    let desk = desk();
    up(&desk).await;
    std::fs::remove_file(desk.path("node1/stolon_sentinel-node1")).expect("removed");
    assert_eq!(up(&desk).await, " applied 0 ");
}

#[tokio::test(start_paused = true)]
async fn members_that_are_to_leave_are_told_of_before() {
    let fewer =
        DESK.replace("stolon: { ", "stolon: { members: 1, ") + "  - redis: { members: 1 }\n";
    let desk = Desk::new(&fewer);
    let mut said = String::new();
    for service in ["redis_redis", "redis_sentinel", "stolon_keeper", "stolon_proxy"] {
        desk.runs("node1", &format!("{service}-node1"));
    }
    for more in [&[][..], &["stolon_proxy-node2", "redis_sentinel-node3", "redis_redis-node2"]] {
        for service in more {
            desk.runs(service.rsplit('-').next().expect("a host"), service);
        }
        for step in desk.bench.steps() {
            if step.name == "stolon membership" || step.name == "redis membership" {
                let (cx, _events) = desk.cx();
                said += &match survey::check(&cx, &step).await {
                    Check::Failed(f) => format!("{}\n  {}\n", f.message, f.hint.expect("a hint")),
                    other => format!("{}: {other:?}\n", step.name),
                };
            }
        }
    }
    insta::assert_snapshot!(said, @"
    stolon membership: True
    redis membership: True
    stolon has members on node2, and is to have them on node1
      keep those, which `members` and the roles of the hosts decide; or take them away one after another, none of them being the master, then `bp up`: `docker service rm stolon_sentinel-node2 stolon_proxy-node2 stolon_keeper-node2`
    redis has members on node2, node3, and is to have them on node1
      keep those, which `members` and the roles of the hosts decide; or take them away one after another, none of them being the primary, then `bp up`: `docker service rm redis_sentinel-node2 redis_redis-node2`
    ");
}

#[tokio::test(start_paused = true)]
async fn a_lost_master_is_counted_down() {
    let desk = desk();
    up(&desk).await;
    desk.write("status", &status(|s| s["keepers"][0]["healthy"] = json!(false)).to_string());
    let mut said = Vec::new();
    for ago in [10, 90] {
        let seen = jiff::Timestamp::now().as_second() - ago;
        let seen = jiff::Timestamp::from_second(seen).expect("a time").to_string();
        let mut data: Value = serde_json::from_str(&desk.read("clusterdata")).expect("JSON");
        data["keepers"]["node1"]["status"] = json!({ "healthy": false, "lastHealthyTime": seen });
        desk.write("clusterdata", &data.to_string());
        said.push(asked(&desk, "stolon members").await);
    }
    let left = |text: &str, before: &str| -> i64 {
        let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{text}"));
        rest.trim_end_matches(" s").parse().expect("a number")
    };
    let due = left(&said[0], "it is the master, and another one takes over within ");
    let late = left(&said[1], "it is the master, and another one should take over for ");
    assert!((30..=50).contains(&due) && (30..=50).contains(&late), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_lost_is_no_member_that_is_well() {
    let desk = desk();
    up(&desk).await;
    // For Stolon it is well, as long as it misses no more than a few of its words.
    let mut data: Value = serde_json::from_str(&desk.read("clusterdata")).expect("JSON");
    let now = jiff::Timestamp::now().to_string();
    data["keepers"]["node1"]["status"] = json!({ "healthy": true, "lastHealthyTime": now });
    desk.write("clusterdata", &data.to_string());
    // Its sentinel led, and nobody else leads yet.
    desk.write("status", &status(|s| s["sentinels"] = json!([])).to_string());
    desk.write("node1/away", "");
    let said = asked(&desk, "stolon members").await;
    let told = "node1 does not answer: it is the master, and another one takes over within ";
    assert!(said.starts_with(told), "{said}");
    std::fs::rename(desk.path("node1/away"), desk.path("node3/away")).expect("renamed");
    assert_eq!(asked(&desk, "stolon members").await, "node3 does not answer");
}

#[tokio::test(start_paused = true)]
async fn what_never_becomes_healthy_is_named() {
    let desk = desk();
    up(&desk).await;
    let mut said = String::new();
    type Damage = fn(&mut Value);
    let wrong: [(&str, Damage); 6] = [
        ("two lead", |s| s["sentinels"][0]["leader"] = json!(true)),
        ("none leads", |s| s["sentinels"] = json!([])),
        ("a keeper is away", |s| s["keepers"][2]["healthy"] = json!(false)),
        ("its database is", |s| s["keepers"][1]["pg_healthy"] = json!(false)),
        ("it never came", |s| drop(s["keepers"].as_array_mut().expect("a list").pop())),
        ("no master", |s| s["cluster"]["master_keeper_uid"] = json!("")),
    ];
    for (what, change) in wrong {
        desk.write("status", &status(change).to_string());
        said += &format!("{what}: {}\n", asked(&desk, "stolon members").await);
    }
    desk.write("wrong", "app can't log in to shop: FATAL:  password authentication failed\n");
    said += &format!("no login: {}\n", asked(&desk, "stolon databases").await);
    std::fs::remove_file(desk.path("node2/stolon_databases")).expect("removed");
    said += &format!("no container: {}\n", asked(&desk, "stolon databases").await);
    insta::assert_snapshot!(said, @"
    two lead: 2 sentinels lead
    none leads: 0 sentinels lead
    a keeper is away: the keeper of node3 is not healthy
    its database is: the PostgreSQL of node2 is not healthy
    it never came: the keeper of node3 is not known yet
    no master: no keeper is the master
    no login: app can't log in to shop: FATAL:  password authentication failed
    no container: databases does not run
    ");
}

#[test]
fn a_keeper_gives_its_data_the_accounts_until_that_worked() {
    let script = include_str!("../stacks/stolon/keeper.sh");
    let postgres = "cat >>\"$HERE/sql\"; [ ! -e \"$HERE/broken\" ]";
    let keeper = "echo \"starts, told: $(cat \"$DATA/bp-accounts\" 2>/dev/null | wc -l), given: $(grep -c CREATE \"$HERE/sql\" 2>/dev/null)\"";
    let data = |folder: &str| {
        format!(
            "export DATA=\"$HERE/{folder}\" SECRETS=\"$HERE\" KEEPERS=keeper-b; mkdir -p \"$DATA/postgres\"\n\
             echo one >\"$HERE/pgsql_superuser\"; echo two >\"$HERE/pgsql_replication\"\n"
        )
    };
    let on = |programs: &Programs, before: &str| programs.run(&format!("{before}\n{script}"));
    let no_other = [("psql", "exit 2"), ("postgres", postgres), ("stolon-keeper", keeper)];
    let programs = Programs::new(&no_other);
    let master = data("master") + "echo 17 >\"$DATA/postgres/PG_VERSION\"\n";
    let mut said = format!(
        "it fails: {}\nit works: {}\nit did: {}\n",
        on(&programs, &format!("{master}touch \"$HERE/broken\"")),
        on(&programs, &format!("{master}rm \"$HERE/broken\"")),
        on(&programs, &master),
    );
    said += &format!("no data: {}\n", on(&Programs::new(&no_other), &data("new")));
    let standby = format!("{master}touch \"$DATA/postgres/standby.signal\"");
    said += &format!("a standby: {}\n", on(&Programs::new(&no_other), &standby));
    let known = [("psql", ""), ("postgres", postgres), ("stolon-keeper", keeper)];
    said += &format!("known: {}\n", on(&Programs::new(&known), &master));
    insta::assert_snapshot!(said, @"
    it fails: 0 the data can not be given the accounts
    it works: 0 starts, told: 1, given: 4
    it did: 0 starts, told: 1, given: 4
    no data: 0 starts, told: 1, given:
    a standby: 0 starts, told: 1, given:
    known: 0 starts, told: 1, given:
    ");
}

/// A psql that notes what changes a database, and fails where a file says so.
const PSQL: &str = r#"#!/bin/sh
sql=$(cat)
echo "$sql" | grep -oE 'ALLOW_CONNECTIONS (true|false)|RENAME TO :"name"' >>"$DIR/asked"
case $sql in *RENAME*) [ ! -e "$DIR/refuses" ] || exit 3 ;; *'SELECT count'*) echo 0 ;; esac
"#;

/// Runs shell in a folder with these programs, the scripts of `databases`, and their secrets.
fn scripted(files: &[(&str, &str)], shell: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let scripts = [
        ("common.sh", include_str!("../stacks/stolon/common.sh")),
        ("databases.sh", include_str!("../stacks/stolon/databases.sh")),
        ("restore.sh", include_str!("../stacks/stolon/restore.sh")),
    ];
    let secrets = ["pgsql_bp", "pgsql_superuser", "pgsql_replication"].map(|name| (name, "x"));
    for (name, text) in scripts.iter().chain(&secrets).chain(files) {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").expect("PATH"));
    let output = Command::new("sh")
        .args(["-c", shell])
        .current_dir(dir.path())
        .env("PATH", path)
        .envs(["DIR", "SECRETS", "STATE", "BACKUP"].map(|name| (name, dir.path())))
        .env("COMMON", "./common.sh")
        .output();
    (dir, String::from_utf8(output.expect("sh").stdout).expect("text"))
}

#[test]
fn a_restore_keeps_its_archive_however_long_it_takes_and_what_one_left_goes() {
    // While it runs somebody restores; the first pause is over when it lives again.
    let psql = r#"#!/bin/sh
case $(cat) in *'UPDATE probe SET'*) rm -f "$STATE/alive"; : >"$BACKUP/.restore.now" ;; esac
"#;
    let files = [
        ("psql", psql),
        ("pg_dump", "#!/bin/sh\nexit 1\n"),
        ("sleep", "#!/bin/sh\nexec /bin/sleep 1\n"),
        ("list", "shop app\n"),
        (".restore.before", ""),
    ];
    let run = "export LIST=list KEEPERS= BACKUP_EVERY=0 BACKUP_KEEP=1
        sh ./databases.sh >log 2>&1 & p=$!
        end=$(($(date +%s) + 60))
        until [ -e .restore.now ] && [ -e alive ] && [ -e undumped/shop ]; do
            [ $(date +%s) -lt $end ] || break
        done
        kill $p; ls -d .restore.*";
    assert_eq!(scripted(&files, run).1, ".restore.now\n");
}

/// Restores over a database whose server may refuse to rename it; what was asked of it.
fn swapped(refuses: bool, more: &str) -> String {
    let mut files = vec![("psql", PSQL), ("pg_restore", "#!/bin/sh\n")];
    files.extend(refuses.then_some(("refuses", "")));
    let restore = format!("{more} sh ./restore.sh shop app 2>&1 </dev/null; echo $?");
    let (dir, said) = scripted(&files, &restore);
    let left = std::fs::read_dir(dir.path()).expect("a folder");
    let left = left.filter(|e| {
        let name = e.as_ref().expect("an entry").file_name();
        name.to_string_lossy().starts_with(".restore")
    });
    assert_eq!(left.count(), 0, "no archive stays");
    std::fs::read_to_string(dir.path().join("asked")).unwrap_or_default() + &said
}

#[test]
fn a_database_that_could_not_change_places_is_open_again() {
    insta::assert_snapshot!(swapped(false, ""), @r#"
    ALLOW_CONNECTIONS false
    RENAME TO :"name"
    0 tables
    0
    "#);
    insta::assert_snapshot!(swapped(true, ""), @r#"
    ALLOW_CONNECTIONS false
    RENAME TO :"name"
    ALLOW_CONNECTIONS true
    3
    "#);
}

#[test]
fn one_restore_runs_at_a_time_and_one_that_was_cut_off_stops_none() {
    let other = "sh -c 'read -r _ # restore.sh' <fifo & exec 3<>fifo; ln -s $! restoring;";
    insta::assert_snapshot!(swapped(false, &format!("mkfifo fifo; {other}")), @"
    another restore runs
    1
    ");
    insta::assert_snapshot!(swapped(false, "ln -s 999999 restoring;"), @r#"
    ALLOW_CONNECTIONS false
    RENAME TO :"name"
    0 tables
    0
    "#);
}

#[tokio::test(start_paused = true)]
async fn data_of_another_major_version_are_told_of_before() {
    let mut said = String::new();
    for settings in ["", "image: 'lab/stolon:17', ", "version: '17', image: 'lab/stolon:17', "] {
        let desk = Desk::new(&DESK.replace("stolon: { ", &format!("stolon: {{ {settings}")));
        let step = desk.bench.steps().into_iter().find(|s| s.name == "stolon version");
        let step = step.expect("a step");
        let (cx, _events) = desk.cx();
        said += &format!("{}:\n", settings.trim_end_matches(", "));
        for held in ["", "14\n", "17\n"] {
            if !held.is_empty() {
                desk.write("node2/srv/stolon/postgres/PG_VERSION", held);
            }
            let check = match survey::check(&cx.fresh(), &step).await {
                Check::Failed(f) => format!("{}\n    {}", f.message, f.hint.unwrap_or_default()),
                other => format!("{other:?}"),
            };
            said += &format!("  {}: {check}\n", held.trim());
        }
    }
    insta::assert_snapshot!(said, @"
    :
      : True
      14: True
      17: node2 holds a database of PostgreSQL 17 in /srv/stolon, not of 14
        take it along: `bp backup`, `bp destroy`, `bp up` with the new version, `bp restore`
    image: 'lab/stolon:17':
      : True
      14: True
      17: True
    version: '17', image: 'lab/stolon:17':
      : True
      14: node2 holds a database of PostgreSQL 14 in /srv/stolon, not of 17
        take it along: `bp backup`, `bp destroy`, `bp up` with the new version, `bp restore`
      17: True
    ");
}
