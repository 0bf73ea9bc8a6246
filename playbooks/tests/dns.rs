//! Phase dns: records on a server, blocks in `/etc/hosts`, and hosts that resolve them.

use super::bench::Bench;
use super::names::{Zones, set, strings};
use crate::destroy::{destroy, doomed};
use crate::event::Event;
use providers::dns::registry;
use std::net::IpAddr;

const HEAD: &str = "
version: 1
name: lab
domain: lab.test
provider: { libvirt: { subnet: 10.20.30.0/24, template: debian-13.qcow2 } }
engine: { source: distro }
phases: [machines, dns]
hosts:
  'node{1..2}': { role: manager, availability: active }
";

const RECORDS: &str = "
  records:
    web: { a: [node1, node2] }
    git: { cname: web }
    note: { txt: ['a \"quoted\" one'] }
    _ldap._tcp: { srv: [{ port: 389, target: node1 }] }
";

const SERVER: &str = "
dns:
  server: { powerdns: { url: 'http://10.20.30.1:8081', api_key: { command: 'true' }, zone: lab.test } }
";

fn served(records: &str) -> Bench {
    let bench = Bench::new(&format!("{HEAD}{SERVER}{records}")).with_engines().only(&["dns"]);
    bench.site.lock().zones = Some(Zones::default());
    bench
}

fn with_reverse(records: &str) -> Bench {
    let bench = served(records);
    zones(&bench, |z| {
        z.zones.insert("30.20.10.in-addr.arpa".to_owned(), Vec::new());
    });
    bench
}

fn zones<T>(bench: &Bench, of: impl FnOnce(&mut Zones) -> T) -> T {
    of(bench.site.lock().zones.as_mut().expect("a server"))
}

fn hold(bench: &Bench, name: &str, kind: &str, value: &str) {
    zones(bench, |z| {
        let sets = z.zones.entry("lab.test".to_owned()).or_default();
        sets.retain(|s| s.name != name || s.kind != kind);
        sets.push(set(name, kind, value));
    });
}

/// What a destroy says and does.
async fn destroyed(bench: &Bench) -> String {
    let (cx, mut events) = bench.cx();
    bench.site.changes();
    let found = doomed(&cx).await.unwrap_or_else(|f| panic!("{f:?}"));
    let mut said = found.words();
    said.retain(|w| {
        !w.starts_with("machine") && !w.starts_with("template") && !w.starts_with("network")
    });
    said.push("---".to_owned());
    destroy(&cx, found).await;
    let changes = bench.site.changes();
    said.extend(changes.lines().filter(|l| !l.starts_with("provider")).map(str::to_owned));
    while let Ok(event) = events.try_recv() {
        if let Event::NotRemoved { what, error } = event {
            said.push(format!("not removed: {what}: {error}"));
        }
    }
    said.join("\n")
}

#[tokio::test(start_paused = true)]
async fn from_nothing_to_records_that_are_answered() {
    let bench = with_reverse(RECORDS);
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + dns / zone: the fake server holds no zone `lab.test`
    + dns / records: _ldap._tcp.lab.test SRV is missing, git.lab.test CNAME is missing, node1.lab.test A is missing, node2.lab.test A is missing, note.lab.test TXT is missing, web.lab.test A is missing, 11.30.20.10.in-addr.arpa PTR is missing, 12.30.20.10.in-addr.arpa PTR is missing
    + dns / resolves / node1: git.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    + dns / resolves / node2: git.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    ---
    dns: make zone lab.test
    dns: in lab.test put _ldap._tcp.lab.test SRV 0 0 389 node1.lab.test; put git.lab.test CNAME web.lab.test; put node1.lab.test A 10.20.30.11; put node2.lab.test A 10.20.30.12; put note.lab.test TXT "a \"quoted\" one"; put web.lab.test A 10.20.30.11 10.20.30.12; put _bp-lab.lab.test TXT "_ldap._tcp.lab.test SRV" "git.lab.test CNAME" "node1.lab.test A" "node2.lab.test A" "note.lab.test TXT" "web.lab.test A" "zone 30.20.10.in-addr.arpa"
    dns: in 30.20.10.in-addr.arpa put 11.30.20.10.in-addr.arpa PTR node1.lab.test; put 12.30.20.10.in-addr.arpa PTR node2.lab.test; put _bp-lab.30.20.10.in-addr.arpa TXT "11.30.20.10.in-addr.arpa PTR" "12.30.20.10.in-addr.arpa PTR"
    ---
    applied 2, already true 3, failed 0
    "#);
    insta::assert_snapshot!(zones(&bench, |z| z.shown()), @r#"
    11.30.20.10.in-addr.arpa PTR node1.lab.test
    12.30.20.10.in-addr.arpa PTR node2.lab.test
    _bp-lab.30.20.10.in-addr.arpa TXT "11.30.20.10.in-addr.arpa PTR" "12.30.20.10.in-addr.arpa PTR"
    _bp-lab.lab.test TXT "_ldap._tcp.lab.test SRV" "git.lab.test CNAME" "node1.lab.test A" "node2.lab.test A" "note.lab.test TXT" "web.lab.test A" "zone 30.20.10.in-addr.arpa"
    _ldap._tcp.lab.test SRV 0 0 389 node1.lab.test
    git.lab.test CNAME web.lab.test
    node1.lab.test A 10.20.30.11
    node2.lab.test A 10.20.30.12
    note.lab.test TXT "a \"quoted\" one"
    web.lab.test A 10.20.30.11 10.20.30.12
    "#);
    bench.done().await;
    let listed = zones(&bench, |z| {
        let name = registry("lab", "lab.test");
        let found =
            z.zones["lab.test"].iter().find(|s| s.name == name).expect("a registry").clone();
        found.values.iter().flat_map(|v| strings(v)).collect::<Vec<_>>()
    });
    assert!(listed.contains(&"_ldap._tcp.lab.test SRV".to_owned()), "{listed:?}");
    assert!(listed.contains(&"zone 30.20.10.in-addr.arpa".to_owned()), "{listed:?}");
    insta::assert_snapshot!(destroyed(&bench).await, @"
    DNS records of zone lab.test: 11.30.20.10.in-addr.arpa PTR, 12.30.20.10.in-addr.arpa PTR, _bp-lab.30.20.10.in-addr.arpa TXT, _ldap._tcp.lab.test SRV, git.lab.test CNAME, node1.lab.test A, node2.lab.test A, note.lab.test TXT and 2 more
    ---
    dns: in 30.20.10.in-addr.arpa remove 11.30.20.10.in-addr.arpa PTR; remove 12.30.20.10.in-addr.arpa PTR; remove _bp-lab.30.20.10.in-addr.arpa TXT
    dns: in lab.test remove _ldap._tcp.lab.test SRV; remove git.lab.test CNAME; remove node1.lab.test A; remove node2.lab.test A; remove note.lab.test TXT; remove web.lab.test A; remove _bp-lab.lab.test TXT
    dns: remove zone lab.test
    ");
    assert_eq!(zones(&bench, |z| z.shown()), "");
    assert!(zones(&bench, |z| !z.zones.contains_key("lab.test")), "bp made it, bp removes it");
}

#[tokio::test(start_paused = true)]
async fn what_is_changed_by_hand_is_shown_and_mended_and_nothing_else() {
    let bench = with_reverse(RECORDS);
    bench.done().await;
    bench.site.changes();
    hold(&bench, "node1.lab.test", "A", "10.0.0.9");
    zones(&bench, |z| {
        let sets = z.zones.get_mut("lab.test").expect("the zone");
        sets.retain(|s| s.name != "git.lab.test");
        sets.iter_mut().filter(|s| s.kind == "SRV").for_each(|s| s.ttl = 5);
    });
    insta::assert_snapshot!(bench.transcript().await, @"
    + dns / records: _ldap._tcp.lab.test SRV may be kept 5 s, not 300 s, git.lab.test CNAME is missing, node1.lab.test A is 10.0.0.9, not 10.20.30.11
    + dns / resolves / node1: git.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    + dns / resolves / node2: git.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    ---
    dns: in lab.test put _ldap._tcp.lab.test SRV 0 0 389 node1.lab.test; put git.lab.test CNAME web.lab.test; put node1.lab.test A 10.20.30.11
    ---
    applied 1, already true 4, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_off_keeps_its_fixed_address() {
    let hosts = "\n  node1: { role: manager, address: 10.20.30.11 }\n  node2: { role: worker, address: 10.20.30.12 }\n";
    let head = HEAD.replace("\n  'node{1..2}': { role: manager, availability: active }\n", hosts);
    let bench = Bench::new(&format!("{head}{SERVER}")).with_engines().only(&["dns"]);
    bench.site.lock().zones = Some(Zones::default());
    bench.done().await;
    bench.site.cut("node2");
    let plan = bench.plan().await;
    assert!(plan.starts_with("? dns / resolves / node2: node2: "), "{plan}");
    assert_eq!(plan.lines().count(), 1, "{plan}");
}

#[tokio::test(start_paused = true)]
async fn what_left_the_file_is_removed() {
    let bench = with_reverse(RECORDS);
    bench.done().await;
    bench.site.changes();
    let bench = bench.edited(&format!("{HEAD}{SERVER}")).only(&["dns"]);
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + dns / records: _ldap._tcp.lab.test SRV 0 0 389 node1.lab.test is not in the blueprint, git.lab.test CNAME web.lab.test is not in the blueprint, note.lab.test TXT "a \"quoted\" one" is not in the blueprint, web.lab.test A 10.20.30.11 10.20.30.12 is not in the blueprint
    ---
    dns: in lab.test remove _ldap._tcp.lab.test SRV; remove git.lab.test CNAME; remove note.lab.test TXT; remove web.lab.test A; put _bp-lab.lab.test TXT "node1.lab.test A" "node2.lab.test A" "zone 30.20.10.in-addr.arpa"
    ---
    applied 1, already true 4, failed 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_run_cut_off_between_two_zones_is_continued_or_taken_away() {
    let bench = with_reverse("");
    bench.done().await;
    bench.site.changes();
    let reverse = "30.20.10.in-addr.arpa";
    zones(&bench, |z| z.zones.insert(reverse.to_owned(), Vec::new()));
    insta::assert_snapshot!(bench.plan().await, @"+ dns / records: 11.30.20.10.in-addr.arpa PTR is missing, 12.30.20.10.in-addr.arpa PTR is missing");
    bench.done().await;
    zones(&bench, |z| {
        z.zones.get_mut("lab.test").expect("the zone").retain(|s| s.kind == "TXT");
    });
    destroyed(&bench).await;
    assert_eq!(zones(&bench, |z| z.shown()), "", "what the registry lists of both is gone");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_gone_is_no_longer_listed() {
    let bench = with_reverse("");
    bench.done().await;
    bench.site.changes();
    zones(&bench, |z| z.zones.remove("30.20.10.in-addr.arpa"));
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + dns / records: the registry of zone lab.test is not what the lab owns
    ---
    dns: in lab.test put _bp-lab.lab.test TXT "node1.lab.test A" "node2.lab.test A"
    ---
    applied 1, already true 4, failed 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_is_dead_is_said_and_holds_nothing_up() {
    let bench = served("");
    bench.done().await;
    bench.site.guest("node1", |g| g.names.slow = true);
    insta::assert_snapshot!(bench.plan().await, @"+ dns / resolves / node1: its resolver takes more than 20 s (its resolver has to ask 10.20.30.1:5300 for `lab.test`)");
}

#[tokio::test(start_paused = true)]
async fn records_of_others_are_never_touched() {
    let bench = served("");
    hold(&bench, "node1.lab.test", "A", "10.20.30.11");
    hold(&bench, "www.lab.test", "A", "192.0.2.1");
    bench.done().await;
    let node1 = "in the zone already, and right: not the lab's";
    insta::assert_snapshot!(bench.site.changes(), @r#"dns: in lab.test put node2.lab.test A 10.20.30.12; put _bp-lab.lab.test TXT "node2.lab.test A""#);
    destroyed(&bench).await;
    let left = zones(&bench, |z| z.shown());
    assert_eq!(left, "node1.lab.test A 10.20.30.11\nwww.lab.test A 192.0.2.1", "{node1}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_an_error_that_says_by_whom() {
    let bench = served(RECORDS);
    hold(&bench, "node1.lab.test", "A", "10.9.9.9");
    hold(&bench, "git.lab.test", "TXT", "\"mine\"");
    hold(&bench, "web.lab.test", "A", "10.9.9.8");
    hold(&bench, &registry("other", "lab.test"), "TXT", "\"web.lab.test A\"");
    insta::assert_snapshot!(bench.transcript().await, @r#"
    ? dns / records: git.lab.test TXT is "mine", and no lab of bp made it
    node1.lab.test A is 10.9.9.9, and no lab of bp made it
    web.lab.test A is 10.9.9.8, and it is a record of the lab `other`
    + dns / resolves / node1: git.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    + dns / resolves / node2: git.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    ---
    dns / records / : git.lab.test TXT is "mine", and no lab of bp made it
    node1.lab.test A is 10.9.9.9, and no lab of bp made it
    web.lab.test A is 10.9.9.8, and it is a record of the lab `other`
    hint: give the host or record another name, or remove what is there if nobody needs it
    ---
    applied 0, already true 2, failed 1
    "#);
}

#[tokio::test(start_paused = true)]
async fn two_labs_share_a_zone() {
    let bench = served(RECORDS);
    hold(&bench, "other.lab.test", "A", "10.9.9.8");
    hold(&bench, &registry("other", "lab.test"), "TXT", "\"other.lab.test A\"");
    zones(&bench, |z| z.made.insert("lab.test".to_owned()));
    let before = zones(&bench, |z| z.shown());
    bench.done().await;
    destroyed(&bench).await;
    assert_eq!(zones(&bench, |z| z.shown()), before);
    assert!(zones(&bench, |z| z.zones.contains_key("lab.test")));
}

#[tokio::test(start_paused = true)]
async fn a_registry_entry_whose_record_is_gone_is_cleaned_up() {
    let bench = served("");
    bench.done().await;
    let name = registry("lab", "lab.test");
    zones(&bench, |z| {
        let sets = z.zones.get_mut("lab.test").expect("the zone");
        let registry = sets.iter_mut().find(|s| s.name == name).expect("a registry");
        registry.values.insert("\"gone.lab.test A\"".to_owned());
    });
    bench.site.changes();
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + dns / records: the registry lists gone.lab.test A, which is gone
    ---
    dns: in lab.test put _bp-lab.lab.test TXT "node1.lab.test A" "node2.lab.test A"
    ---
    applied 1, already true 4, failed 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_an_error_with_a_hint_and_keeps_no_machine() {
    let bench = served("");
    zones(&bench, |z| z.dead = Some(("it refuses the API key", "look at `api_key`")));
    insta::assert_snapshot!(bench.transcript().await, @"
    ? dns / zone: read: it refuses the API key
    ? dns / records: ask: it refuses the API key
    + dns / resolves / node1: node1.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    + dns / resolves / node2: node1.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    ---
    dns / zone / : read: it refuses the API key
    hint: look at `api_key`
    ---
    applied 0, already true 1, failed 1
    ");
    insta::assert_snapshot!(destroyed(&bench).await, @"
    DNS records of zone lab.test
    ---
    not removed: DNS records of zone lab.test: read: it refuses the API key
    ");
    assert!(bench.site.lock().guests.values().all(|g| g.machine.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_true_when_it_is_answered() {
    let bench = served("");
    bench.done().await;
    bench.site.changes();
    zones(&bench, |z| z.stale.insert("node1.lab.test A".to_owned(), "10.0.0.1".to_owned()));
    insta::assert_snapshot!(bench.transcript().await, @"
    + dns / records: node1.lab.test A is answered as 10.0.0.1 by 10.20.30.1:5300, not as 10.20.30.11
    ---
    dns: in lab.test forget node1.lab.test
    ---
    applied 1, already true 4, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_can_not_be_made_has_to_be_there() {
    let bench = served("");
    zones(&bench, |z| z.fixed = true);
    insta::assert_snapshot!(bench.transcript().await, @"
    ? dns / zone: the fake server holds no zone `lab.test`
    + dns / records: node1.lab.test A is missing, node2.lab.test A is missing
    + dns / resolves / node1: node1.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    + dns / resolves / node2: node1.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    ---
    dns / zone / : the fake server holds no zone `lab.test`
    hint: make the zone there, and let the key change it
    ---
    applied 0, already true 1, failed 1
    ");
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_known_before_the_machines_are_there() {
    let bench = Bench::new(&format!("{HEAD}{SERVER}")).only(&["dns"]);
    bench.site.lock().zones = Some(Zones::default());
    insta::assert_snapshot!(bench.plan().await, @"
    ? dns / addresses: node1: the machine is not there
    + dns / zone: the fake server holds no zone `lab.test`
    ? dns / records: node1: the machine is not there
    ? dns / resolves / node1: node1: the machine is not there
    ? dns / resolves / node2: node1: the machine is not there
    ");
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_resolver_answers_otherwise_is_told_or_an_error() {
    let bench = served("");
    bench.done().await;
    bench.site.changes();
    let stale = |host: &str, name: &str, remembers| {
        bench.site.guest(host, |g| {
            g.names.stale.insert(name.to_owned(), "10.0.0.1".to_owned());
            g.names.remembers = remembers;
        });
    };
    stale("node1", "node2.lab.test", true);
    stale("node2", "node1.lab.test", false);
    insta::assert_snapshot!(bench.transcript().await, @"
    + dns / resolves / node1: node2.lab.test resolves to 10.0.0.1, not 10.20.30.12 (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    + dns / resolves / node2: node1.lab.test resolves to 10.0.0.1, not 10.20.30.11 (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    ---
    node1$ resolvectl flush-caches 2>/dev/null || :
    node2$ resolvectl flush-caches 2>/dev/null || :
    ---
    dns / resolves / node2: node1.lab.test resolves to 10.0.0.1, not 10.20.30.11 (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    hint: bp tells systemd-resolved alone, which does not run on node2: make what it has instead ask 10.20.30.1:5300 for `lab.test`
    ---
    applied 1, already true 3, failed 1
    ");
}

#[tokio::test(start_paused = true)]
async fn the_networks_own_server_has_aliases_as_further_names_of_addresses() {
    let server = "dns:\n  server: { libvirt: {} }\n  records: { web: { a: [node1, node2] } }\n";
    let bench = Bench::new(&format!("{HEAD}{server}")).with_engines().only(&["dns"]);
    let zone = [("lab.test".to_owned(), Vec::new())].into();
    bench.site.lock().zones = Some(Zones { zones: zone, fixed: true, ..Zones::default() });
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + dns / records: node1.lab.test A is missing, node2.lab.test A is missing, web.lab.test A is missing
    ? dns / resolves / node1: node1.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    ? dns / resolves / node2: node1.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    ---
    dns: in lab.test put node1.lab.test A 10.20.30.11; put node2.lab.test A 10.20.30.12; put web.lab.test A 10.20.30.11 10.20.30.12; put _bp-lab.lab.test TXT "node1.lab.test A" "node2.lab.test A" "web.lab.test A"
    ---
    applied 1, already true 3, failed 0
    "#);
}

#[tokio::test(start_paused = true)]
async fn status_shows_what_is_answered() {
    let bench = served("\n  records: { git: { cname: node1 }, note: { txt: [x] } }\n");
    bench.done().await;
    zones(&bench, |z| z.stale.insert("node1.lab.test A".to_owned(), "10.0.0.1".to_owned()));
    zones(&bench, |z| {
        let sets = z.zones.get_mut("lab.test").expect("the zone");
        sets.retain(|s| s.kind != "CNAME");
    });
    let shown = async || {
        let (cx, _events) = bench.cx();
        let tables = crate::dns::shown(&cx).await;
        let lines = tables.iter().flat_map(|t| &t.rows).map(|row| row.join(" / "));
        lines.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(shown().await, @r#"
    git.lab.test / CNAME / not answered / node1.lab.test / 10.20.30.1:5300
    node1.lab.test / A / 10.0.0.1 / 10.20.30.11 / 10.20.30.1:5300
    node2.lab.test / A / 10.20.30.12 / 10.20.30.12 / 10.20.30.1:5300
    note.lab.test / TXT / "x" / "x" / 10.20.30.1:5300
    "#);
    zones(&bench, |z| z.dead = Some(("nobody answers", "start it")));
    insta::assert_snapshot!(shown().await, @"ask: nobody answers /  /  /  /");
}

const EXISTING: &str = "
version: 1
name: lab
domain: lab.test
phases: [dns]
hosts:
  a: { role: none, provider: existing, address: 192.168.7.1 }
  b: { role: none, provider: existing, address: 192.168.7.2 }
";

fn existing(server: &str) -> Bench {
    let bench = Bench::new(&format!("{EXISTING}{server}"));
    for host in ["a", "b"] {
        bench.site.guest(host, |g| g.names.forwarded = false);
    }
    bench
}

#[tokio::test(start_paused = true)]
async fn hosts_that_were_there_are_told_of_the_server_where_systemd_resolved_runs() {
    let bench = existing(SERVER);
    bench.site.lock().zones = Some(Zones::default());
    bench.site.guest("a", |g| g.names.resolved = true);
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + dns / zone: the fake server holds no zone `lab.test`
    + dns / records: a.lab.test A is missing, b.lab.test A is missing
    + dns / resolves / a: a.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    + dns / resolves / b: a.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    ---
    dns: make zone lab.test
    dns: in lab.test put a.lab.test A 192.168.7.1; put b.lab.test A 192.168.7.2; put _bp-lab.lab.test TXT "a.lab.test A" "b.lab.test A"
    a$ resolvectl flush-caches 2>/dev/null || :
    b$ resolvectl flush-caches 2>/dev/null || :
    a$ mkdir -p /etc/systemd/resolved.conf.d
    a$ set -eu; umask 077; t=$(mktemp /etc/systemd/resolved.conf.d/bp-lab.conf.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 78 ] || { echo "$n bytes of 78" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/systemd/resolved.conf.d/bp-lab.conf <<<# Made by bp for the lab lab. [Resolve] DNS=10.20.30.1:5300 Domains=~lab.test
    a$ systemctl try-restart systemd-resolved
    ---
    dns / resolves / b: a.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    hint: bp tells systemd-resolved alone, which does not run on b: make what it has instead ask 10.20.30.1:5300 for `lab.test`
    ---
    applied 3, already true 1, failed 1
    "#);
    let dropin = bench.site.lock().guests["a"].names.dropin.clone();
    insta::assert_snapshot!(dropin.unwrap_or_default(), @"
    # Made by bp for the lab lab.
    [Resolve]
    DNS=10.20.30.1:5300
    Domains=~lab.test
    ");
    insta::assert_snapshot!(destroyed(&bench).await, @"
    the lab's server in the resolver of a
    DNS records of zone lab.test: a.lab.test A, b.lab.test A, _bp-lab.lab.test TXT
    ---
    a$ rm -f /etc/systemd/resolved.conf.d/bp-lab.conf
    a$ systemctl try-restart systemd-resolved
    dns: in lab.test remove a.lab.test A; remove b.lab.test A; remove _bp-lab.lab.test TXT
    dns: remove zone lab.test
    ");
    assert_eq!(bench.site.lock().guests["a"].names.dropin, None);
}

#[tokio::test(start_paused = true)]
async fn no_host_is_told_of_a_server_that_it_can_not_reach() {
    let bench = existing(SERVER);
    bench.site.lock().zones = Some(Zones { local: true, ..Zones::default() });
    bench.site.guest("a", |g| g.names.resolved = true);
    bench.site.guest("b", |g| g.names.forwarded = true);
    insta::assert_snapshot!(bench.up().await.failures(), @"
    dns / resolves / a: a.lab.test does not resolve (its resolver has to ask 127.0.0.1:5300 for `lab.test`)
    hint: 127.0.0.1:5300 is the server for this machine alone: where hosts are to ask it themselves, it has to answer at an address that they reach
    ");
    assert_eq!(bench.site.lock().guests["a"].names.dropin, None);
}

#[tokio::test(start_paused = true)]
async fn names_in_etc_hosts_need_no_server() {
    let bench = existing("\ndns: { records: { web: { a: [a, b] }, git: { cname: web } } }\n");
    insta::assert_snapshot!(bench.transcript().await, @r#"
    + dns / hosts file / a: /etc/hosts has no names of the lab
    + dns / hosts file / b: /etc/hosts has no names of the lab
    ? dns / resolves / a: a.lab.test does not resolve
    ? dns / resolves / b: a.lab.test does not resolve
    ---
    a$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 200 ] || { echo "$n bytes of 200" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost # bp lab: begin 192.168.7.1 a.lab.test a 192.168.7.2 b.lab.test b 192.168.7.1 git.lab.test 192.168.7.2 git.lab.test 192.168.7.1 web.lab.test 192.168.7.2 web.lab.test # bp lab: end
    b$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 200 ] || { echo "$n bytes of 200" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost # bp lab: begin 192.168.7.1 a.lab.test a 192.168.7.2 b.lab.test b 192.168.7.1 git.lab.test 192.168.7.2 git.lab.test 192.168.7.1 web.lab.test 192.168.7.2 web.lab.test # bp lab: end
    ---
    applied 2, already true 3, failed 0
    "#);
    let file = bench.site.lock().guests["a"].names.file.clone();
    insta::assert_snapshot!(file, @"
    127.0.0.1 localhost
    # bp lab: begin
    192.168.7.1	a.lab.test	a
    192.168.7.2	b.lab.test	b
    192.168.7.1	git.lab.test
    192.168.7.2	git.lab.test
    192.168.7.1	web.lab.test
    192.168.7.2	web.lab.test
    # bp lab: end
    ");
    bench.done().await;
    bench.site.guest("a", |g| g.names.file = g.names.file.replace("192.168.7.2\tb", "10.0.0.9\tb"));
    bench.site.guest("b", |g| g.names.file = "127.0.0.1 localhost".to_owned());
    insta::assert_snapshot!(bench.plan().await, @"
    + dns / hosts file / a: /etc/hosts has `10.0.0.9 b.lab.test b` instead of `192.168.7.2 b.lab.test b`
    + dns / hosts file / b: /etc/hosts has no names of the lab
    ? dns / resolves / a: b.lab.test resolves to 10.0.0.9, not 192.168.7.2
    ? dns / resolves / b: a.lab.test does not resolve
    ");
    bench.done().await;
    let (cx, _events) = bench.cx();
    let ip = |host: &str| -> IpAddr { bench.site.lock().guests[host].address.parse().expect("ip") };
    assert_eq!(cx.machine("a").await.expect("a").expect("a").address, Some(ip("a")));
    insta::assert_snapshot!(destroyed(&bench).await, @r#"
    the lab's block in /etc/hosts of a
    the lab's block in /etc/hosts of b
    ---
    a$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 20 ] || { echo "$n bytes of 20" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost
    b$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 20 ] || { echo "$n bytes of 20" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost
    "#);
    assert_eq!(bench.site.lock().guests["a"].names.file, "127.0.0.1 localhost\n");
}

#[tokio::test(start_paused = true)]
async fn a_hosts_file_that_is_mounted_is_left_whole() {
    let bench = existing("");
    bench.site.guest("a", |g| g.names.mount = "mounted");
    insta::assert_snapshot!(bench.up().await.failures(), @"
    dns / hosts file / a: /etc/hosts is mounted by itself, so nothing can be put in its place
    hint: unmount it there, or let a server answer for the names (`dns: { server: ... }`)
    ");
    assert_eq!(bench.site.lock().guests["a"].names.file, "127.0.0.1 localhost\n");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_a_moment_later_is_waited_for() {
    let bench = served("");
    bench.done().await;
    zones(&bench, |z| z.silent = 10);
    insta::assert_snapshot!(bench.plan().await, @"+ dns / records: ask: nobody answers (start it)");
    assert!(zones(&bench, |z| z.silent) > 4, "the run has to wait, too");
    assert_eq!(bench.up().await.failures(), "");
    zones(&bench, |z| z.silent = usize::MAX);
    insta::assert_snapshot!(bench.up().await.failures(), @"dns / records / : not true within 2 min: ask: nobody answers (start it)");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_known_by_a_name_has_its_line_in_etc_hosts() {
    let named = EXISTING.replace("address: 192.168.7.2", "address: localhost");
    let bench = Bench::new(&named);
    assert_eq!(bench.up().await.failures(), "");
    insta::assert_snapshot!(bench.site.lock().guests["a"].names.file, @"
    127.0.0.1 localhost
    # bp lab: begin
    192.168.7.1	a.lab.test	a
    127.0.0.1	b.lab.test	b
    # bp lab: end
    ");
}

#[tokio::test(start_paused = true)]
async fn a_resolver_with_a_server_for_all_links_is_not_given_a_second_one() {
    let bench = existing(SERVER);
    bench.site.lock().zones = Some(Zones::default());
    bench.site.guest("a", |g| (g.names.resolved, g.names.global) = (true, "10.9.9.9"));
    bench.site.guest("b", |g| g.names.forwarded = true);
    insta::assert_snapshot!(bench.up().await.failures(), @"
    dns / resolves / a: a.lab.test does not resolve (its resolver has to ask 10.20.30.1:5300 for `lab.test`)
    hint: systemd-resolved on a asks 10.9.9.9 whatever the link: make that server ask 10.20.30.1:5300 for `lab.test`, or name it for its link alone
    ");
    assert_eq!(bench.site.lock().guests["a"].names.dropin, None);
}

#[tokio::test(start_paused = true)]
async fn what_two_labs_list_is_taken_and_never_removed() {
    let bench = served("");
    bench.done().await;
    let other = registry("other", "lab.test");
    hold(&bench, &other, "TXT", "\"node1.lab.test A\"");
    insta::assert_snapshot!(bench.up().await.failures(), @"
    dns / records / : node1.lab.test A is 10.20.30.11, and it is a record of the lab `other`
    hint: give the host or record another name, or remove what is there if nobody needs it
    ");
    destroyed(&bench).await;
    let left = zones(&bench, |z| z.shown());
    assert_eq!(left, format!("{other} TXT \"node1.lab.test A\"\nnode1.lab.test A 10.20.30.11"));
}
