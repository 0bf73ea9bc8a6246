//! The Stolon stack: PostgreSQL with a keeper, a sentinel and a proxy on each member, and a service
//! that makes the declared databases and dumps them.
//!
//! The cluster is asked through `stolonctl` in a sentinel's container, the databases by a script in
//! the container of `databases`: one command each.

use super::{leavers, upgrades};
use crate::cx::Cx;
use crate::docker::{SwarmView, container};
use crate::first;
use crate::secrets::{Secret, Source};
use crate::shipped::Shipped;
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{Lab, Stack, StackKind, Stolon};
use futures::future::join_all;
use providers::{Cmd, Stdin};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// What bp ships of it.
pub(crate) fn shipped(lab: &Lab, stack: &Stack, stolon: &Stolon) -> Shipped {
    let folder = format!("{}/backup/pgsql", lab.shared().unwrap_or("/srv"));
    let pinned = format!("node.labels.bp.host == {}", stolon.members[0]);
    let place = lab.shared().map_or(pinned, |_| "node.role == manager".to_owned());
    let members: Vec<Value> =
        stolon.members.iter().map(|m| json!({ "host": m, "uid": uid(m) })).collect();
    let passwords = passwords(stolon);
    Shipped {
        values: json!({
            "members": members,
            "endpoints": endpoints(lab),
            "passwords": passwords,
            "backup": {
                "every": stolon.backup.every.as_secs(),
                "keep": stolon.backup.keep,
                "folder": folder,
                "place": place,
            },
        }),
        files: vec![
            ("databases", list(stolon)),
            ("common.sh", include_str!("stolon/common.sh").to_owned()),
            ("databases.sh", include_str!("stolon/databases.sh").to_owned()),
            ("check.sh", include_str!("stolon/check.sh").to_owned()),
            ("restore.sh", include_str!("stolon/restore.sh").to_owned()),
            ("keeper.sh", include_str!("stolon/keeper.sh").to_owned()),
        ],
        secrets: secrets(lab, stolon, passwords),
        playbook: Some((
            "stolon.yml",
            stolon.members.clone(),
            json!({ "backup": folder, "mount": lab.shared().unwrap_or("/") }),
        )),
        before: vec![
            leavers::step(&stack.name, &["sentinel", "proxy", "keeper"], "master", &stolon.members),
            upgrades::postgresql(stack, &stolon.members),
        ],
        health: vec![cluster(stack, stolon), members_well(stack, stolon), databases(stack)],
        takes_turns: true,
        ..Shipped::new("stolon.compose.yml", include_str!("stolon.compose.yml"))
    }
}

/// A keeper's uid: Stolon takes lower-case letters, digits and `_`.
fn uid(host: &str) -> String {
    host.replace('-', "_")
}

/// Where etcd's members are.
fn endpoints(lab: &Lab) -> String {
    let members = lab.stacks.iter().find_map(|s| match &s.kind {
        StackKind::Etcd(members) => Some(members.as_slice()),
        _ => None,
    });
    let urls = members.unwrap_or_default().iter().map(|m| format!("https://etcd-{m}:2379"));
    urls.collect::<Vec<_>>().join(",")
}

/// The names of the passwords that `databases` reads.
fn passwords(stolon: &Stolon) -> Vec<String> {
    let own = ["superuser", "replication", "bp"].into_iter();
    let owners: BTreeSet<&str> = stolon.databases.values().map(|d| d.owner.as_str()).collect();
    own.chain(owners).map(|name| format!("pgsql_{name}")).collect()
}

fn secrets(lab: &Lab, stolon: &Stolon, passwords: Vec<String>) -> Vec<Secret> {
    let mut names = vec!["postgresql".to_owned()];
    names.extend(stolon.members.iter().map(|m| format!("keeper-{m}")));
    let etcd = Source::Certificate(vec!["etcd-client".to_owned()]);
    let mut secrets = vec![
        Secret::of(lab, "tls_etcd_client", etcd),
        Secret::of(lab, "tls_stolon", Source::Certificate(names)),
    ];
    secrets.extend(passwords.into_iter().map(|name| Secret::generated(lab, name)));
    secrets
}

/// A line for each database: its name, its owner, its extensions.
fn list(stolon: &Stolon) -> String {
    let line = |(name, database): (&String, &blueprints::Database)| {
        let words = [name.as_str(), &database.owner].into_iter();
        let words = words.chain(database.extensions.iter().map(String::as_str));
        words.collect::<Vec<_>>().join(" ") + "\n"
    };
    stolon.databases.iter().map(line).collect()
}

/// What Stolon is told of the cluster.
fn spec(stolon: &Stolon) -> Value {
    let key = "/run/secrets/tls_stolon";
    json!({
        "initMode": "new",
        "newConfig": { "encoding": "UTF8", "locale": "C.UTF-8", "dataChecksums": true },
        // A master alone would wait for a standby that is not there.
        "synchronousReplication": stolon.synchronous && stolon.members.len() > 1,
        "usePgrewind": true,
        "automaticPgRestart": true,
        "sleepInterval": "5s",
        "requestTimeout": "10s",
        "failInterval": "20s",
        "initTimeout": "10m0s",
        "dbWaitReadyTimeout": "2m0s",
        // Without TLS nobody gets in but the keepers' own accounts, for which Stolon writes rules.
        "pgHBA": [
            "hostssl all all 0.0.0.0/0 scram-sha-256",
            "hostssl all all ::0/0 scram-sha-256",
            "hostssl replication all 0.0.0.0/0 scram-sha-256",
            "hostssl replication all ::0/0 scram-sha-256",
        ],
        "pgParameters": {
            "ssl": "on",
            "ssl_cert_file": key,
            "ssl_key_file": key,
            "ssl_min_protocol_version": "TLSv1.2",
            "password_encryption": "scram-sha-256",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "tcp_keepalives_idle": "60",
            "log_timezone": "UTC",
            "timezone": "UTC",
        },
    })
}

/// What the cluster says of itself, asked once a round.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The host whose sentinel was asked.
    host: String,
    /// The cluster data; `None`: there are none, the cluster was never initialized.
    data: Option<Value>,
    /// What `stolonctl status` says.
    status: Value,
    /// The host's time, in seconds since 1970.
    now: i64,
    /// The members whose machines do not answer: Stolon takes them for well at first.
    away: Vec<String>,
}

/// A command in the one container of a service on a host; fails where there is none.
pub(crate) fn inside(stack: &str, service: &str, command: &str) -> String {
    let c = container(&format!("{stack}_{service}"));
    format!(
        "{c}\n\
         [ -n \"$c\" ] || {{ echo '{service} does not run' >&2; exit 1; }}\n\
         docker exec -i \"$c\" {command}"
    )
}

/// What stands between the answers: the cluster data, what it says of itself, the time.
const NEXT: &str = "@next";

impl View {
    /// What the first sentinel says that answers, once each machine answers or is given up: what it
    /// says of a machine that is lost changes meanwhile.
    pub(crate) async fn ask(cx: &Cx, stack: &str, members: &[String]) -> Result<Self, Check> {
        let sessions = join_all(members.iter().map(|member| cx.session(member))).await;
        let away = members.iter().zip(sessions).filter(|(_, session)| session.is_err());
        let away: Vec<String> = away.map(|(member, _)| member.clone()).collect();
        let ask = format!(
            "sh -c 'stolonctl clusterdata read 2>&1; echo {NEXT}; stolonctl status -f json; echo {NEXT}; date +%s' 2>&1"
        );
        let answer = first::answer(members, |host| {
            let (cx, script) = (cx.clone(), inside(stack, &format!("sentinel-{host}"), &ask));
            async move {
                match cx.run(&host, &Cmd::new(script)).await {
                    Ok(output) if output.ok() => Self::read(&host, &output.out())
                        .map_err(|why| Check::Not(format!("{host}: {why}"))),
                    Ok(output) => {
                        let said = output.out() + "\n" + &output.err();
                        Err(Check::Not(format!("{host}: {}", last_line(&said))))
                    }
                    Err(error) => Err(cx.unanswered(&host, error).await),
                }
            }
        });
        answer.await.map(|view| Self { away, ..view })
    }

    fn read(host: &str, printed: &str) -> Result<Self, String> {
        let parts: Vec<&str> = printed.split(NEXT).collect();
        let [data, status, now] = parts.as_slice() else { return Err(last_line(printed)) };
        // Only these words say that there are none; any other error may be a store that is away.
        let data = match json_in(data) {
            Some(data) if data["cluster"].is_object() => Some(data),
            _ if data.contains("nil cluster data") => None,
            _ => return Err(last_line(data)),
        };
        // Where it can't say, it says `{}`.
        let status = json_in(status).ok_or_else(|| last_line(status))?;
        let now = now.trim().parse().map_err(|_| last_line(now))?;
        Ok(Self { host: host.to_owned(), data, status, now, away: Vec::new() })
    }
}

/// The JSON object of an answer before which warnings may stand.
fn json_in(text: &str) -> Option<Value> {
    let from = text.find('{')?;
    serde_json::from_str(text[from..].trim()).ok()
}

fn last_line(text: &str) -> String {
    text.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("no answer").trim().to_owned()
}

/// Initialized once, and specified as the blueprint says.
fn cluster(stack: &Stack, stolon: &Stolon) -> Step {
    let wanted = (stack.name.clone(), stolon.members.clone(), spec(stolon));
    let made = wanted.clone();
    Step::lab(
        format!("{} cluster", stack.name),
        "a cluster is initialized once: a second time would wipe its databases",
    )
    .within(Duration::from_secs(300))
    .check(move |cx| {
        let (stack, members, spec) = wanted.clone();
        async move {
            match cx.stolon(&stack, &members).await {
                Err(check) => check,
                Ok(View { data: None, .. }) => Check::Not("it is not initialized".to_owned()),
                Ok(View { data: Some(data), .. }) => {
                    let differs = differing(&spec, &data["cluster"]["spec"]);
                    Check::when(differs.is_empty(), format!("{} differ", differs.join(", ")))
                }
            }
        }
    })
    .apply(move |cx| {
        let (stack, members, spec) = made.clone();
        async move { specify(&cx, &stack, &members, spec).await }
    })
}

/// Asked again at the last moment, of a store that answers: where somebody was faster it is so.
pub(crate) const INIT: &str = "found=$(stolonctl clusterdata read 2>&1)
case $found in
*\"nil cluster data\"*) exec stolonctl init --yes -f - ;;
*\"formatVersion\"*) ;;
*) echo \"$found\" | tail -n 1 >&2; exit 1 ;;
esac";

/// What of a cluster can be specified only when it is initialized.
const ONCE: [&str; 2] = ["initMode", "newConfig"];

/// The declared fields that the cluster has otherwise.
fn differing(wanted: &Value, has: &Value) -> Vec<String> {
    let fields = wanted.as_object().into_iter().flatten();
    let later = fields.filter(|(key, _)| !ONCE.contains(&key.as_str()));
    later.filter(|(key, value)| !holds(&has[*key], value)).map(|(key, _)| key.clone()).collect()
}

/// Whether it says what is wanted, and maybe more: Stolon adds what `initdb` wrote.
fn holds(has: &Value, wanted: &Value) -> bool {
    match wanted {
        Value::Object(fields) => fields.iter().all(|(key, value)| holds(&has[key], value)),
        other => has == other,
    }
}

async fn specify(cx: &Cx, stack: &str, members: &[String], mut spec: Value) -> Result<(), Trouble> {
    let view = cx.stolon(stack, members).await.map_err(|c| Failure::new(c.reason()))?;
    let text = |spec: &Value| Stdin::Bytes(spec.to_string().into_bytes());
    if view.data.is_some() {
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|key, _| !ONCE.contains(&key.as_str()));
        }
        let update =
            inside(stack, &format!("sentinel-{}", view.host), "stolonctl update --patch -f -");
        return cx.ok(&view.host, Cmd::new(update).stdin(text(&spec))).await.map(drop);
    }
    for member in members {
        let has = "[ ! -e /srv/stolon/postgres/PG_VERSION ]";
        if !cx.run(member, &Cmd::new(has)).await?.ok() {
            let what =
                format!("{member} holds a database in /srv/stolon, and etcd knows no cluster");
            return Err(Failure::new(what)
                .hint(
                    "to initialize would wipe it: bring etcd's data back, or move the folder away",
                )
                .into());
        }
    }
    let init = format!("sh -c '{INIT}'");
    let script = inside(stack, &format!("sentinel-{}", view.host), &init);
    cx.ok(&view.host, Cmd::new(script).stdin(text(&spec))).await.map(drop)
}

/// Every keeper is healthy, one is the master, a sentinel leads.
fn members_well(stack: &Stack, stolon: &Stolon) -> Step {
    let (name, members) = (stack.name.clone(), stolon.members.clone());
    Step::lab(
        format!("{} members", stack.name),
        "every keeper is healthy, one of them is the master, and a sentinel leads",
    )
    .within(Duration::from_secs(900))
    .check(move |cx| {
        let (stack, members) = (name.clone(), members.clone());
        async move {
            match cx.stolon(&stack, &members).await {
                Err(check) => check,
                Ok(View { data: None, .. }) => Check::Unknown("it is not initialized".to_owned()),
                Ok(view) => judge(&view, &members),
            }
        }
    })
}

/// How long nobody takes writes where the master is lost: its `failInterval`, and as much for the
/// sentinels' rounds and the promotion.
const TAKEOVER: i64 = 60;

/// Until when another keeper takes over from this one, where it is the master.
fn countdown(view: &View, member: &str) -> Option<String> {
    if view.status["cluster"]["master_keeper_uid"] != uid(member).as_str() {
        return None;
    }
    let keeper = &view.data.as_ref()?["keepers"][uid(member).as_str()];
    let seen: jiff::Timestamp = keeper["status"]["lastHealthyTime"].as_str()?.parse().ok()?;
    let left = seen.as_second() + TAKEOVER - view.now;
    Some(match left {
        1.. => format!("it is the master, and another one takes over within {left} s"),
        _ => format!("it is the master, and another one should take over for {} s", -left),
    })
}

/// Reads `stolonctl status -f json`.
fn judge(view: &View, members: &[String]) -> Check {
    let status = &view.status;
    let list = |name: &str| status[name].as_array().cloned().unwrap_or_default();
    let keepers = list("keepers");
    let ill = members.iter().find_map(|member| {
        let Some(keeper) = keepers.iter().find(|k| k["uid"] == uid(member).as_str()) else {
            return Some(format!("the keeper of {member} is not known yet"));
        };
        let well = [("healthy", "keeper"), ("pg_healthy", "PostgreSQL")];
        let ill = well.into_iter().find(|(field, _)| keeper[field] != true);
        let ill = match ill {
            _ if view.away.contains(member) => format!("{member} does not answer"),
            Some((_, what)) => format!("the {what} of {member} is not healthy"),
            None => return None,
        };
        let countdown = countdown(view, member).map(|c| format!(": {c}")).unwrap_or_default();
        Some(format!("{ill}{countdown}"))
    });
    if let Some(ill) = ill {
        return Check::Not(ill);
    }
    let leaders = list("sentinels").iter().filter(|s| s["leader"] == true).count();
    if leaders != 1 {
        return Check::Not(format!("{leaders} sentinels lead"));
    }
    let master = status["cluster"]["master_keeper_uid"].as_str().unwrap_or_default();
    let known = members.iter().any(|m| uid(m) == master);
    Check::when(known, "no keeper is the master")
}

/// Clients find what is declared.
fn databases(stack: &Stack) -> Step {
    let name = stack.name.clone();
    Step::lab(
        format!("{} databases", stack.name),
        "each role logs in to its database, and what is written is read on every standby",
    )
    .within(Duration::from_secs(600))
    .check(move |cx| {
        let stack = name.clone();
        async move {
            let host = match cx.swarm().await {
                Ok(view) => host_of(&view, &format!("{stack}_databases")),
                Err(why) => return Check::Unknown(why),
            };
            let Some(host) = host.filter(|h| cx.lab().host(h).is_some()) else {
                return Check::Unknown("it does not run yet".to_owned());
            };
            let script = inside(&stack, "databases", "sh /etc/bp/check.sh");
            match cx.run(&host, &Cmd::new(script)).await {
                Ok(output) if output.ok() => Check::True,
                Ok(output) => {
                    let said = output.out() + "\n" + &output.err();
                    let lines: Vec<&str> = said.lines().filter(|l| !l.trim().is_empty()).collect();
                    Check::Not(lines.join("; "))
                }
                Err(error) => cx.unanswered(&host, error).await,
            }
        }
    })
}

/// The host that runs a service's task.
pub(crate) fn host_of(view: &SwarmView, service: &str) -> Option<String> {
    let id = &view.services.iter().find(|s| s.spec.name == service)?.id;
    let runs = |t: &&crate::docker::Task| {
        t.service_id == *id && t.status.state == "running" && t.desired_state == "running"
    };
    let newest = view.tasks.iter().filter(runs).max_by_key(|t| &t.created_at)?;
    view.node(&newest.node_id)?.spec.labels.get(crate::docker::HOST_LABEL).cloned()
}
