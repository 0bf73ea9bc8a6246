//! Backups taken and brought back, of hosts whose shells are real.

use super::bench::Bench;
use super::desk::{Desk, tree};
use crate::backup::{Backup, Manifest, fits, read, restore, stop, take};
use crate::event::Event;
use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

const LAB: &str = "
version: 1
name: lab
hosts:
  node1: { provider: existing, address: 10.1.1.1, role: manager }
  node2: { provider: existing, address: 10.1.1.2, role: manager }
  node3: { provider: existing, address: 10.1.1.3, role: manager }
engine: { source: distro }
stacks:
  - etcd
  - stolon:
      databases: { shop: { owner: app }, gitlab: { extensions: [pg_trgm, btree_gist] } }
  - redis
  - traefik
  - gitlab
";

fn b64(text: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// What `etcdctl txn -w json` answers of keys; more of them may follow.
fn page(pairs: &[(&[u8], &[u8], i64)], more: bool) -> String {
    let pair = |(key, value, lease): &(&[u8], &[u8], i64)| {
        let mut pair = json!({ "key": b64(key), "create_revision": 2, "mod_revision": 3,
            "version": 1, "value": b64(value) });
        if *lease != 0 {
            pair["lease"] = json!(lease);
        }
        if value.is_empty() {
            pair.as_object_mut().expect("a map").remove("value");
        }
        pair
    };
    let kvs: Vec<Value> = pairs.iter().map(pair).collect();
    let range =
        json!({ "header": { "revision": 7 }, "kvs": kvs, "more": more, "count": kvs.len() });
    json!({ "header": { "cluster_id": 1130, "member_id": 1638, "revision": 7, "raft_term": 2 },
        "succeeded": true, "responses": [{ "Response": { "response_range": range } }] })
    .to_string()
        + "\n"
}

fn keys(pairs: &[(&[u8], &[u8], i64)]) -> String {
    page(pairs, false)
}

/// A lab with data of all kinds; the dump of `gitlab` is longer than one piece.
fn desk() -> Desk {
    let desk = Desk::new(LAB);
    for host in ["node1", "node2", "node3"] {
        desk.runs(host, &format!("etcd_etcd-{host}"));
    }
    desk.runs("node2", "stolon_databases");
    desk.runs("node3", "gitlab_gitlab");
    desk.write("etc-bp/common.sh", "secrets=$SECRETS\n");
    desk.write(
        "etc-bp/restore.sh",
        "cat >\"$STATE/database-$1\" && echo \"$1 of $2\" >>\"$STATE/log\"\n",
    );
    desk.write("secrets/pgsql_bp", "secret-of-bp");
    desk.write("database-shop", "the rows of shop");
    let long: Vec<u8> = (0..17_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(desk.path("database-gitlab"), long).expect("written");
    desk.write("gitlab/gitlab-secrets.json", "{\"db_key_base\":\"abc\"}");
    desk.write("gitlab-data", "the repositories");
    let all: [(&[u8], &[u8], i64); 7] = [
        (b"-app", b"-1", 0),
        (b"/stolon/cluster/lab/patroni/cluster/initialize", b"7", 0),
        (b"app/a \"b\"", b"two\nlines \\ \xff", 0),
        (b"app/empty", b"", 0),
        (b"bp/lab", b"lab", 0),
        (b"stolon/cluster/lab/clusterdata", b"{}", 0),
        (b"worker/1", b"alive", 42),
    ];
    desk.write("keys", &keys(&all));
    desk
}

async fn taken(desk: &Desk) -> Backup {
    let (cx, _events) = desk.cx();
    take(&cx, &desk.path("backups")).await.unwrap_or_else(|f| panic!("{f:?}"))
}

/// What `restore` said of what failed.
async fn restored(desk: &Desk, backup: &Backup) -> String {
    let (cx, mut events) = desk.cx();
    let sums = restore(&cx, backup).await;
    let mut said = String::new();
    while let Ok(event) = events.try_recv() {
        if let Event::StepFailed { about, error, .. } = event {
            said += &format!("{}: {error}\n", about.step);
        }
    }
    let (applied, failed) = (sums.applied.unwrap_or(0), sums.failed.unwrap_or(0));
    format!("{said}{applied} brought back, {failed} failed")
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_is_brought_back() {
    let desk = desk();
    let backup = taken(&desk).await;
    assert_eq!(backup.words().len(), 5);
    let name = backup.dir.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name.starts_with("lab-20") && name.ends_with('Z'), "{name}");
    assert_eq!(
        tree(&backup.dir),
        [
            "600 etcd.json",
            "600 gitlab-secrets.json",
            "600 gitlab.tar",
            "600 manifest.json",
            "600 pgsql-gitlab.dump",
            "600 pgsql-shop.dump"
        ]
    );
    assert!(tree(&desk.path("backups"))[0].starts_with("700 lab-"), "its owner's alone");
    // Whose keys they are not stays out.
    let text = std::fs::read_to_string(backup.dir.join("etcd.json")).expect("text");
    let pairs: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(pairs.len(), 3, "{text}");
    let long = std::fs::read(desk.path("database-gitlab")).expect("there");
    assert!(std::fs::read(backup.dir.join("pgsql-gitlab.dump")).expect("there") == long);
    // All is lost, and comes back.
    let backup = read(&backup.dir, "lab").expect("a whole backup");
    for (file, text) in [
        ("database-shop", ""),
        ("database-gitlab", ""),
        ("gitlab-data", ""),
        ("gitlab/gitlab-secrets.json", "{}"),
    ] {
        desk.write(file, text);
    }
    std::fs::copy(desk.path("keys"), desk.path("keys-after")).expect("copied");
    desk.write("keys", &keys(&[]));
    for _ in 0..2 {
        desk.log();
        assert_eq!(restored(&desk, &backup).await, "5 brought back, 0 failed");
        assert_eq!(desk.read("database-shop"), "the rows of shop");
        assert!(std::fs::read(desk.path("database-gitlab")).expect("there") == long);
        assert_eq!(desk.read("gitlab-data"), "the repositories");
        assert_eq!(desk.read("gitlab/gitlab-secrets.json"), "{\"db_key_base\":\"abc\"}");
        assert_ne!(desk.read("gitlab/gitlab-secrets.json.before-restore"), "");
    }
    let log = desk.log();
    assert!(log.contains("shop of app\n"), "the owner's name goes with it");
    let of_gitlab: Vec<&str> = log.lines().filter(|l| l.starts_with("gitlab-")).collect();
    insta::assert_snapshot!(of_gitlab.join("\n"), @"
    gitlab-ctl reconfigure
    gitlab-ctl restart
    gitlab-ctl start
    gitlab-healthcheck
    gitlab-ctl stop puma
    gitlab-ctl stop sidekiq
    gitlab-ctl start
    gitlab-healthcheck
    ");
    assert!(!desk.path("bp-restores").is_symlink());
    insta::assert_snapshot!(desk.read("transactions"), @r#"
    put -- "-app" "-1"
    put -- "app/a \"b\"" "two\x0alines \\ \xff"
    put -- "app/empty" ""



    put -- "-app" "-1"
    put -- "app/a \"b\"" "two\x0alines \\ \xff"
    put -- "app/empty" ""
    "#);
    // Nothing stays on the hosts.
    for host in ["node1", "node2", "node3"] {
        assert!(tree(&desk.path(&format!("{host}/tmp"))).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_was_cut_off_is_none() {
    let desk = desk();
    // One before it left a file on another host.
    desk.write("node1/tmp/bp-backup-lab/file", "rows");
    std::fs::remove_file(desk.path("database-gitlab")).expect("removed");
    let (cx, _events) = desk.cx();
    let failure = take(&cx, &desk.path("backups")).await.expect_err("it fails");
    assert!(failure.message.contains("no database gitlab"), "{failure:?}");
    let left = tree(&desk.path("backups"));
    let name = left.iter().find_map(|l| l.strip_prefix("700 ")).expect("a folder");
    assert!(name.ends_with(".partial") && !left.iter().any(|l| l.contains("manifest")), "{left:?}");
    let refused = read(&desk.path("backups").join(name), "lab").expect_err("it is none");
    assert!(refused.message.contains("is no whole backup"), "{refused:?}");
    for host in ["node1", "node2"] {
        assert!(tree(&desk.path(&format!("{host}/tmp"))).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_as_it_was_written_is_refused() {
    let desk = desk();
    let backup = taken(&desk).await;
    let path = backup.dir.join("manifest.json");
    let whole = std::fs::read_to_string(&path).expect("text");
    let mut said = String::new();
    let mut refused = |what: &str, lab: &str| {
        let failure = read(&backup.dir, lab).expect_err("refused");
        let message = failure.message.replace(&backup.dir.display().to_string(), "DIR");
        said += &format!("{what}: {message}\n");
    };
    refused("another lab", "prod");
    let change =
        |from: &str, to: &str| std::fs::write(&path, whole.replace(from, to)).expect("written");
    change("\"version\": 1", "\"version\": 2");
    refused("another version", "lab");
    change("\"etcd.json\"", "\"../etcd.json\"");
    refused("a file elsewhere", "lab");
    change("\"items\"", "\"things\"");
    refused("another form", "lab");
    change("", "");
    std::fs::write(backup.dir.join("pgsql-shop.dump"), "the rows of shoP").expect("written");
    refused("a changed file", "lab");
    std::fs::remove_file(backup.dir.join("pgsql-shop.dump")).expect("removed");
    refused("a missing file", "lab");
    insta::assert_snapshot!(said, @"
    another lab: the backup is of the lab `lab`, not of `prod`
    another version: `DIR/manifest.json` has the version 2
    a file elsewhere: `../etcd.json` is no file of the backup
    another form: `DIR/manifest.json`: unknown field `things`, expected one of `version`, `lab`, `time`, `items` at line 5 column 10
    a changed file: `DIR/pgsql-shop.dump` is not what the manifest says
    a missing file: read `DIR/pgsql-shop.dump`: No such file or directory (os error 2)
    ");
}

#[tokio::test(start_paused = true)]
async fn what_fails_does_not_stop_the_rest() {
    let desk = desk();
    let mut backup = taken(&desk).await;
    let Manifest { items, .. } = &mut backup.manifest;
    let mut gone = items.iter().find(|i| i.name == "shop").expect("an item").clone();
    gone.name = "news".to_owned();
    items.push(gone);
    let lab = Bench::new(LAB).lab;
    assert_eq!(backup.unknown_to(&lab), ["database news"]);
    std::fs::remove_file(desk.path("node3/gitlab_gitlab")).expect("removed");
    // The keys are not there afterwards.
    desk.write("keys", &keys(&[]));
    insta::assert_snapshot!(restored(&desk, &backup).await, @r#"
    etcd's keys: 3 of 3 keys are not as they were
    GitLab's keys: `( c=$(docker ps -q --filter label=com.docker.swarm.service.name=gitlab_gitlab | head -n 1) [ -n "$c" ] || { echo 'gitlab does not run' >&2; exit 1; } docker exe…` exited with 1
    gitlab does not run
    GitLab's data: `( c=$(docker ps -q --filter label=com.docker.swarm.service.name=gitlab_gitlab | head -n 1) [ -n "$c" ] || { echo 'gitlab does not run' >&2; exit 1; } docker exe…` exited with 1
    gitlab does not run
    database news: the blueprint has no database news
    2 brought back, 4 failed
    "#);
}

#[tokio::test(start_paused = true)]
async fn another_member_is_asked_for_the_keys() {
    let desk = desk();
    std::fs::remove_file(desk.path("node1/etcd_etcd-node1")).expect("removed");
    let backup = taken(&desk).await;
    assert!(std::fs::read_to_string(backup.dir.join("etcd.json")).expect("text").contains("key"));
    for member in ["node2", "node3"] {
        std::fs::remove_file(desk.path(&format!("{member}/etcd_etcd-{member}"))).expect("removed");
    }
    let (cx, _events) = desk.cx();
    let failure = take(&cx, &desk.path("more")).await.expect_err("it fails");
    assert!(failure.message.ends_with("the member of node3 does not run"), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_off_ends_in_its_container_and_leaves_nothing() {
    let desk = desk();
    for host in ["node1", "node2"] {
        desk.write(&format!("{host}/tmp/bp-backup-lab/file"), "rows");
    }
    // Its own group, as in a container; what it began ends with it.
    let restore = "trap 'echo cleaned up; exit 1' TERM; echo begun; sleep 999; : restores";
    let mut restore = Command::new("setsid")
        .args(["sh", "-c", restore])
        .stdout(Stdio::piped())
        .spawn()
        .expect("setsid");
    let mut said = BufReader::new(restore.stdout.take().expect("a pipe")).lines();
    assert_eq!(said.next().expect("a line").expect("text"), "begun");
    symlink(restore.id().to_string(), desk.path("restoring")).expect("a link");
    let ends = std::thread::spawn(move || restore.wait().expect("it ends").code());
    let (cx, mut events) = desk.cx();
    stop(&cx).await;
    assert_eq!(said.next().expect("a line").expect("text"), "cleaned up");
    assert_eq!(ends.join().expect("a thread"), Some(1));
    for host in ["node1", "node2"] {
        assert!(tree(&desk.path(&format!("{host}/tmp"))).is_empty());
    }
    // It is asked again, with nothing to end.
    stop(&cx).await;
    assert!(events.try_recv().is_err(), "there is nothing to say");
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_from_other_versions_is_refused() {
    let desk = desk();
    let mut backup = taken(&desk).await;
    let fit = |backup: &Backup, from: &str, to: &str| {
        let bench = Bench::new(&LAB.replace(from, to));
        fits(&bench.lab, backup).map_or_else(|f| f.message, |()| "they fit".to_owned())
    };
    let newer = "  - stolon:\n      version: '17'\n      image: 'stolon:17'";
    assert_eq!(fit(&backup, "  - stolon:", newer), "they fit");
    let etcd = "- etcd: { image: 'quay.io/coreos/etcd:v3.6.1' }";
    assert_eq!(fit(&backup, "- etcd", etcd), "they fit");
    let mirrored = "- gitlab: { image: 'mirror.test/gitlab-ce:17.11.7-ce.0' }";
    assert_eq!(fit(&backup, "- gitlab", mirrored), "they fit");
    let older = "- gitlab: { image: 'gitlab/gitlab-ce:17.11.6-ce.0' }";
    insta::assert_snapshot!(fit(&backup, "- gitlab", older), @"
    GitLab's keys: the backup is of `gitlab/gitlab-ce:17.11.7-ce.0`, the blueprint has `gitlab/gitlab-ce:17.11.6-ce.0`
    GitLab's data: the backup is of `gitlab/gitlab-ce:17.11.7-ce.0`, the blueprint has `gitlab/gitlab-ce:17.11.6-ce.0`
    ");
    let shop = backup.manifest.items.iter_mut().find(|i| i.name == "shop");
    shop.expect("an item").from = "17".to_owned();
    insta::assert_snapshot!(fit(&backup, "", ""), @"database shop: the backup is of `17`, the blueprint has `14`");
}

#[tokio::test(start_paused = true)]
async fn gitlab_keeps_its_keys_where_its_database_is_not_brought_back() {
    let desk = desk();
    let backup = taken(&desk).await;
    desk.write("etc-bp/restore.sh", "[ \"$1\" != gitlab ] || { echo 'disk full' >&2; exit 1; }\n");
    desk.write("gitlab/gitlab-secrets.json", "keys of now");
    desk.write("gitlab-data", "data of now");
    std::fs::copy(desk.path("keys"), desk.path("keys-after")).expect("copied");
    insta::assert_snapshot!(restored(&desk, &backup).await, @r#"
    database gitlab: `( c=$(docker ps -q --filter label=com.docker.swarm.service.name=stolon_databases | head -n 1) [ -n "$c" ] || { echo 'databases does not run' >&2; exit 1; } dock…` exited with 1
    disk full
    GitLab's keys: its database was not brought back, and they belong together
    GitLab's data: its database was not brought back, and they belong together
    2 brought back, 3 failed
    "#);
    assert_eq!(desk.read("gitlab/gitlab-secrets.json"), "keys of now");
    assert_eq!(desk.read("gitlab-data"), "data of now");
}

#[tokio::test(start_paused = true)]
async fn many_keys_come_in_pages_of_one_revision() {
    let desk = desk();
    let names: Vec<String> = (0..700).map(|n| format!("k{n:03}")).collect();
    let all: Vec<(&[u8], &[u8], i64)> =
        names.iter().map(|name| (name.as_bytes(), &b"v"[..], 0)).collect();
    desk.write("keys", &page(&all[..500], true));
    desk.write("keys-more", &keys(&all[500..]));
    let backup = taken(&desk).await;
    let text = std::fs::read_to_string(backup.dir.join("etcd.json")).expect("text");
    let pairs: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(pairs.len(), 700);
    assert_eq!(pairs[699]["key"], b64(b"k699"));
}
