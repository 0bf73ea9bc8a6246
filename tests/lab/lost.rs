//! The machine of the services' primaries is lost, and comes back: what was acknowledged is there.

use crate::bp::{Ended, Lab, sh};
use crate::hosts::{self, NAMES};
use crate::services::{inside, nothing_to_do, primary, psql, secret, until};
use crate::settled;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Numbers that Redis acknowledged and that one more member has, one a line, as long as it runs.
const KEYS: &str = r#"
export REDISCLI_AUTH=$(cat /run/secrets/redis_password); i=0
cli() { timeout 10 redis-cli --no-auth-warning --tls --cacert /etc/bp/ca.crt "$@" 2>/dev/null; }
while [ ! -e /run/redis/enough ]; do
p=$(cli -h sentinel-NODE -p 26379 sentinel get-master-addr-by-name redis | head -n 1)
i=$((i+1))
case "$(printf "SET kept:$i 1\nWAIT 1 3000\n" | cli -h "${p:-nobody}" -p 6379 | tr "\n" " ")" in
"OK 1 "|"OK 2 ") echo $i ;; esac
done"#;

/// Numbers that PostgreSQL acknowledged, likewise: the rows of a client of the database `shop`.
const ROWS: &str = r#"
read -r PGPASSWORD; export PGPASSWORD PGCONNECT_TIMEOUT=5 PGSSLMODE=verify-full PGSSLROOTCERT=/etc/bp/ca.crt; i=0
while [ ! -e /tmp/enough ]; do
i=$((i+1))
timeout 20 psql -X -q -w -h postgresql -U shop -d shop -c "INSERT INTO kept VALUES ($i)" >/dev/null 2>&1 && echo $i
done"#;

/// One machine is lost with PostgreSQL's master, the primary of Redis and the swarm's leader on it:
/// both take writes again, and what they acknowledged is there afterwards.
pub fn machine_lost(lab: &Lab) {
    settled(lab);
    let lost = master(lab);
    let others: Vec<&str> = NAMES.into_iter().filter(|n| *n != lost).collect();
    become_primary(lab, &lost, others[0]);
    become_leader(lab, &lost);
    assert_eq!(psql(lab, "shop", "CREATE TABLE kept (n int)").0, 0);
    let writer = others[1];
    let keys = Kept::begin(lab, writer, "keys", &format!("redis_redis-{writer}"), KEYS);
    let rows = Kept::begin(lab, writer, "rows", &format!("stolon_proxy-{writer}"), ROWS);
    let roles = [master(lab), primary(lab, writer), leader(lab, writer)];
    assert!(roles.iter().all(|r| *r == lost), "not all on {lost}: {roles:?}");
    println!("  power off: {lost}");
    let since = Instant::now();
    hosts::cut(&lost);
    let status = lab.run(&["status", "lab.yml"]);
    assert_eq!(status.code, Some(3));
    let asked = since.elapsed();
    let told = told(&status);
    // A bound is told until somebody has taken over, which a slow `status` may come too late for.
    let bound = |stack, is_over: bool| match countdown(&told, stack) {
        Some(left) => Some(asked + left + PATIENCE),
        None => {
            assert!(is_over, "`status` tells no bound of {stack}: {told}");
            println!("  `status`: another one has taken over in {stack}");
            None
        }
    };
    let redis = bound("redis", primary(lab, writer) != lost);
    let stolon = bound("stolon", master_of(lab, &others).is_some());
    keys.goes_on(lab, since, redis);
    rows.goes_on(lab, since, stolon);
    hosts::boot(&lost);
    lab.expect(&["up", "lab.yml", "--yes"], 0);
    settled(lab);
    let there = "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning --tls --cacert /etc/bp/ca.crt keys \"kept:*\"";
    let primary = primary(lab, writer);
    let kept = keys.end(lab, "/run/redis/enough");
    let there = lab.on(&primary, &inside(&format!("redis_redis-{primary}"), there));
    whole("Redis", &kept, &there.replace("kept:", ""));
    let kept = rows.end(lab, "/tmp/enough");
    let (code, there) = psql(lab, "shop", "SELECT n FROM kept");
    assert_eq!(code, 0, "{there}");
    whole("PostgreSQL", &kept, &there);
    nothing_to_do(lab);
}

/// What the writing clients themselves may wait for: a call that met the lost machine, and the next.
const PATIENCE: Duration = Duration::from_secs(60);

/// Within how much time another member takes over, as `status` told it of a stack.
fn countdown(told: &str, stack: &str) -> Option<Duration> {
    let step = format!("\"step\":\"{stack}");
    let mut of_stack = told.lines().filter(|line| line.contains(&step));
    let left = of_stack.find_map(|line| line.split("takes over within ").nth(1))?;
    let left = left.split(' ').next()?.parse().expect("seconds");
    println!("  `status`: {stack} takes over within {left} s");
    Some(Duration::from_secs(left))
}

/// What is not true, with the reasons.
fn told(ended: &Ended) -> String {
    let open = ended.events.iter().filter(|e| e["event"] == "survey" && e["mark"] != "=");
    open.map(|e| format!("{e}\n")).collect()
}

/// The host of PostgreSQL's master among these: each instance is asked as its stand-in's keeper asks
/// it.
fn master_of(lab: &Lab, hosts: &[&str]) -> Option<String> {
    let ask =
        "psql -X -A -t -h /tmp -U stolon_keeper -d postgres -c \"SELECT pg_is_in_recovery()\"";
    let is = |n: &&&str| lab.ssh(n, &inside(&format!("stolon_keeper-{n}"), ask)).1 == "f";
    hosts.iter().find(is).map(ToString::to_string)
}

fn master(lab: &Lab) -> String {
    master_of(lab, &NAMES).expect("a master")
}

/// Makes a host's member of Redis the primary.
fn become_primary(lab: &Lab, host: &str, other: &str) {
    let cli = "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning --tls --cacert /etc/bp/ca.crt";
    let end = Instant::now() + Duration::from_secs(300);
    while primary(lab, other) != host {
        assert!(Instant::now() < end, "Redis' primary does not go to {host}");
        // Sentinels pick who has the lowest number of its own.
        for name in NAMES {
            let number = if name == host { 1 } else { 100 };
            let set = format!("{cli} config set replica-priority {number}");
            lab.on(name, &inside(&format!("redis_redis-{name}"), &set));
        }
        let fail = format!("{cli} -p 26379 sentinel failover redis");
        lab.ssh(other, &inside(&format!("redis_sentinel-{other}"), &fail));
        settled(lab);
    }
}

/// The swarm's leader, or what docker says where it knows none.
fn leader(lab: &Lab, from: &str) -> String {
    let list =
        "docker node ls --format '{{.Hostname}} {{.ManagerStatus}}' | sed -n 's/ Leader$//p'";
    lab.ssh(from, list).1
}

/// Makes a host the swarm's leader: the engine of whoever leads is stopped until another one does.
fn become_leader(lab: &Lab, host: &str) {
    let end = Instant::now() + Duration::from_secs(300);
    loop {
        let leads = leader(lab, host);
        if leads == host {
            return;
        }
        assert!(Instant::now() < end, "the swarm's leader is {leads}, never {host}");
        if !NAMES.contains(&leads.as_str()) {
            continue; // An election goes on.
        }
        lab.on(&leads, "pkill -STOP -x dockerd");
        until("another one leads", || {
            let now = leader(lab, host);
            NAMES.contains(&now.as_str()) && now != leads
        });
        lab.on(&leads, "pkill -CONT -x dockerd");
    }
}

/// Writes from inside a service's task that go on while a machine is lost.
struct Kept<'n> {
    node: &'n str,
    name: &'static str,
    service: String,
}

impl<'n> Kept<'n> {
    /// Begins.
    fn begin(lab: &Lab, node: &'n str, name: &'static str, service: &str, script: &str) -> Self {
        let password = secret(lab, "pgsql_shop");
        let input = lab.dir.join("keep");
        std::fs::write(&input, format!("{password}\n{}", script.replace("NODE", node)))
            .expect("write keep");
        let bp = crate::bp::binary();
        sh(
            &format!(
                "{} ssh -f lab.yml {node} -- 'umask 077; IFS= read -r p; printf \"%s\\n\" \"$p\" >/run/{name}.in; \
                 cat >/run/{name}.sh; : >/run/{name}' <keep",
                bp.display()
            ),
            &lab.dir,
        );
        let task = format!(
            "$(docker ps -q --filter label=com.docker.swarm.service.name={service} | head -n 1)"
        );
        lab.on(
            node,
            &format!(
                "systemd-run -q --unit=keep-{name} sh -c 'docker exec -i {task} sh -c \"$(cat /run/{name}.sh)\" </run/{name}.in >/run/{name}'"
            ),
        );
        let kept = Self { node, name, service: service.to_owned() };
        until("writes are acknowledged", || kept.count(lab) > 3);
        kept
    }

    fn count(&self, lab: &Lab) -> usize {
        lab.on(self.node, &format!("wc -l </run/{}", self.name)).parse().expect("a number")
    }

    /// Waits until more writes are acknowledged, within the bound that was told.
    fn goes_on(&self, lab: &Lab, since: Instant, bound: Option<Duration>) {
        let before = self.count(lab);
        until("writes are acknowledged again", || self.count(lab) > before + 3);
        let took = since.elapsed();
        println!("  {}: written again within {} s", self.name, took.as_secs());
        assert!(bound.is_none_or(|bound| took <= bound), "later than told: {bound:?}");
    }

    /// Ends; what was acknowledged.
    fn end(&self, lab: &Lab, enough: &str) -> String {
        lab.on(self.node, &inside(&self.service, &format!(": >{enough}")));
        let unit = format!("systemctl -q is-active keep-{}", self.name);
        until("the writer ends", || lab.ssh(self.node, &unit).0 != 0);
        lab.on(self.node, &format!("cat /run/{}", self.name))
    }
}

/// Every write that was acknowledged is there.
fn whole(what: &str, kept: &str, there: &str) {
    let there: BTreeSet<&str> = there.lines().map(str::trim).collect();
    let lost: Vec<&str> = kept.lines().filter(|n| !there.contains(n)).collect();
    assert_eq!(lost, Vec::<&str>::new(), "acknowledged by {what} and lost");
    println!("  {what}: {} writes acknowledged, all there", kept.lines().count());
}
