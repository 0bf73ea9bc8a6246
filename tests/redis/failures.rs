//! What must not be lost, and who may be the primary.

use crate::ground::{Ground, MEMBERS, Part};
use std::thread;

/// Started for the first time, all in order.
fn begun(name: &str, tls: bool) -> Ground {
    let mut ground = Ground::new(name, tls);
    ground.start_all(&MEMBERS);
    ground.well();
    assert_eq!(ground.primary("node1"), "node1", "the first member is the first primary");
    ground
}

fn another(than: &str) -> &'static str {
    MEMBERS.into_iter().find(|m| *m != than).expect("another one")
}

#[test]
fn strangers_are_refused() {
    let ground = begun("strangers", true);
    let say = |script: &str| ground.ask("node2", script).1;
    let tls = "redis-cli --tls --cacert /etc/bp/ca.crt -h";
    assert!(say(&format!("REDISCLI_AUTH=wrong {tls} redis-node1 ping")).contains("WRONGPASS"));
    assert!(say(&format!("{tls} redis-node1 get a")).contains("NOAUTH"));
    assert!(say(&format!("{tls} sentinel-node1 -p 26379 sentinel masters")).contains("NOAUTH"));
    let plain = "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning -h";
    for server in ["redis-node1 -p 6379", "sentinel-node1 -p 26379"] {
        let (well, said) = ground.ask("node2", &format!("{plain} {server} ping"));
        assert!(!well && !said.contains("PONG"), "{said}");
    }
    let (_, arguments) = ground.ask("node2", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '");
    assert!(!arguments.contains("0123456789abcdefghij"), "{arguments}");
    ground.writes("node2", "bp:lab");
    for value in ["value", "other"] {
        let (is, why) = ground.ask("node3", &format!("sh /etc/bp/redis.sh read bp:lab {value}"));
        assert_eq!(is, value == "value", "{why}");
    }
}

#[test]
fn a_primary_that_dies_or_ends_is_followed_by_another() {
    let mut ground = begun("changes", true);
    ground.writes("node2", "before");
    ground.kill(Part::Redis, "node1");
    ground.writes("node2", "after");
    ground.start(Part::Redis, "node1");
    ground.well();
    let second = ground.primary("node2");
    assert_ne!(second, "node1", "a member that comes back is no second primary");
    assert_eq!(ground.cli("node1", "127.0.0.1:6379", "dbsize"), "2");

    // One that is asked to end hands over: what it acknowledged until then is with the next one.
    let client = another(&second);
    let load = format!(
        "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); echo \"set load$i value\"; done | \
         REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli --no-auth-warning --tls --cacert /etc/bp/ca.crt -h redis-{second} | grep -c '^OK'"
    );
    let acknowledged = {
        let busy = || ground.cli(client, &format!("redis-{second}:6379"), "exists load500");
        thread::scope(|scope| {
            let load = scope.spawn(|| ground.ask(client, &load).1);
            ground.until("it is under load", || {
                if busy() == "1" { Ok(()) } else { Err("not yet".to_owned()) }
            });
            ground.end(Part::Redis, &second);
            load.join().expect("it counts")
        })
    };
    ground.forget(Part::Redis, &second);
    let acknowledged: u32 =
        acknowledged.lines().next().and_then(|l| l.parse().ok()).expect("a number");
    assert!(acknowledged >= 500, "{acknowledged}");
    let third = ground.primary(client);
    assert_ne!(third, second);
    let last = format!("exists load{acknowledged}");
    assert_eq!(ground.cli(client, &format!("redis-{third}:6379"), &last), "1");
    ground.start(Part::Redis, &second);
    ground.well();
}

#[test]
fn a_sentinel_that_keeps_an_old_primary_at_the_newest_epoch_is_put_right() {
    let mut ground = begun("astray", true);
    ground.kill(Part::Redis, "node1");
    ground.writes("node2", "after");
    ground.start(Part::Redis, "node1");
    ground.well();
    // As after a start at which the new primary's name could not be looked up.
    let primary = ground.primary("node1");
    ground.kill(Part::Sentinel, "node1");
    ground.believes("node1", "node1");
    ground.start(Part::Sentinel, "node1");
    ground.well();
    assert_eq!(ground.primary("node1"), primary);
    assert_eq!(ground.primary("node2"), primary);
    // As after a correction that was cut off in its middle.
    assert_eq!(ground.cli("node1", "sentinel-node1:26379", "sentinel remove redis"), "OK");
    ground.well();
    assert_eq!(ground.primary("node1"), primary);
}

#[test]
fn a_primary_that_is_cut_off_takes_no_writes_when_another_one_does() {
    let ground = begun("cut", false);
    ground.writes("node1", "before");
    ground.wire("node1", "down");
    let alone = || ground.cli("node1", "127.0.0.1:6379", "set alone value");
    ground.until("it refuses writes", || match alone() {
        said if said.starts_with("NOREPLICAS") => Ok(()),
        said => Err(said),
    });
    assert_eq!(ground.primary("node2"), "node1", "nobody else is the primary before that");
    let (well, why) = ground.ask("node2", "sh /etc/bp/redis.sh well");
    assert!(!well && why.contains("redis-node1 has not answered for"), "{why}");
    assert!(why.contains(" another one takes over within 3"), "{why}");
    ground.writes("node2", "after");
    assert!(alone().starts_with("NOREPLICAS"));
    ground.wire("node1", "up");
    ground.well();
    assert_ne!(ground.primary("node1"), "node1");
    assert_eq!(ground.cli("node1", "127.0.0.1:6379", "exists before after"), "2");
}

#[test]
fn all_of_them_start_again_and_a_disk_is_lost() {
    let mut ground = begun("again", true);
    ground.kill(Part::Redis, "node1");
    ground.writes("node2", "key");
    let primary = ground.primary("node2");
    ground.start(Part::Redis, "node1");
    ground.well();
    for member in MEMBERS {
        ground.kill(Part::Redis, member);
        ground.kill(Part::Sentinel, member);
    }
    ground.start_all(&MEMBERS);
    ground.well();
    assert_eq!(ground.primary("node1"), primary, "what was the primary still is");
    assert_eq!(ground.cli("node1", "127.0.0.1:6379", "get key"), "value");

    // Again, and the primary is lost for ever.
    for member in MEMBERS {
        ground.kill(Part::Redis, member);
        ground.kill(Part::Sentinel, member);
    }
    let others: Vec<&str> = MEMBERS.into_iter().filter(|m| *m != primary).collect();
    ground.start_all(&others);
    ground.writes(others[0], "without");
    // A machine made anew in its place has an empty disk.
    ground.empty(&primary);
    ground.start_all(&[&primary]);
    ground.well();
    assert_eq!(ground.cli(&primary, "127.0.0.1:6379", "exists key without"), "2");

    // A primary that comes back at once with an empty disk empties nobody.
    let primary = ground.primary("node1");
    ground.kill(Part::Redis, &primary);
    ground.empty_data(&primary);
    ground.start(Part::Redis, &primary);
    ground.well();
    assert_ne!(ground.primary("node1"), primary);
    assert_eq!(ground.cli(&primary, "127.0.0.1:6379", "exists key without"), "2");
}

#[test]
fn another_password_is_everybodys_at_once() {
    let mut ground = begun("password", true);
    ground.writes("node2", "key");
    ground.end_all();
    ground.set_password("another0123456789abcdefghijABCDEF");
    ground.start_all(&MEMBERS);
    ground.well();
    assert_eq!(ground.cli("node3", "127.0.0.1:6379", "get key"), "value");
    ground.writes("node1", "after");
}
