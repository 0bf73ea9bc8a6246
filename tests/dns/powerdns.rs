//! PowerDNS.

use super::pdns::Pdns;
use super::{answer, gone, new, read, set};
use providers::dns::{Change, DnsServer, PowerDns, registry, value};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

const ZONE: &str = "lab.test";

async fn with_zone() -> (Pdns, PowerDns) {
    let pdns = Pdns::start();
    let server = pdns.server();
    server.make_zone(ZONE, &BTreeSet::new()).await.unwrap();
    (pdns, server)
}

fn serial(pdns: &Pdns) -> u32 {
    let soa = pdns.sql("select content from records where type = 'SOA' and name = 'lab.test'");
    soa.split(' ').nth(2).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_zone_is_made_once_and_names_that_were_asked_for_before_appear() {
    let pdns = Pdns::start();
    let server = pdns.server();
    assert_eq!(server.read(ZONE, &BTreeSet::new()).await.unwrap(), None);
    assert_eq!(server.zone_of("node1.lab.test").await.unwrap(), None);
    let refused = server.ask("node1.lab.test", "A").await.unwrap_err().to_string();
    assert!(refused.contains("Refused"), "{refused}");
    server.make_zone(ZONE, &BTreeSet::new()).await.unwrap();
    server.make_zone(ZONE, &BTreeSet::new()).await.unwrap();
    assert_eq!(answer(&server, "node1.lab.test", "A").await, "");
    assert_eq!(server.zone_of("node1.lab.test").await.unwrap().as_deref(), Some(ZONE));
    assert_eq!(answer(&server, ZONE, "NS").await, "ns.lab.test");
    assert_eq!(answer(&server, "ns.lab.test", "A").await, "127.0.0.1");
    assert!(server.is_spare(ZONE).await.unwrap());
    server.remove_zone(ZONE).await.unwrap();
    assert_eq!(server.read(ZONE, &BTreeSet::new()).await.unwrap(), None);
    assert!(!server.is_spare(ZONE).await.unwrap());
    // A name server's name that the lab wants for itself is the lab's.
    server.make_zone(ZONE, &["ns.lab.test".to_owned()].into()).await.unwrap();
    assert_eq!(answer(&server, "ns.lab.test", "A").await, "");
}

#[tokio::test]
async fn records_of_all_kinds_are_made_changed_and_removed() {
    let (pdns, server) = with_zone().await;
    let texts: Vec<String> = ["a \"quoted\" one; with \\ and $", "grüße", &"x".repeat(255), ""]
        .iter()
        .map(|t| value::text([t.as_bytes()]))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let sets = [
        set("node1.lab.test", "A", &["10.20.30.11"]),
        set("node1.lab.test", "AAAA", &["fd00::11"]),
        set("web.lab.test", "A", &["10.20.30.11", "10.20.30.12"]),
        set("git.lab.test", "CNAME", &["web.lab.test"]),
        set("note.lab.test", "TXT", &texts),
        set("_ldap._tcp.lab.test", "SRV", &["0 5 389 node1.lab.test", "10 0 389 web.lab.test"]),
        set("*.apps.lab.test", "A", &["10.20.30.12"]),
    ];
    let before = serial(&pdns);
    let changes: Vec<Change> = sets.iter().map(new).collect();
    assert_eq!(server.change(ZONE, &changes).await.unwrap(), None, "no remark");
    assert!(serial(&pdns) > before, "a secondary sees the change");
    for s in &sets {
        assert_eq!(server.ask(&s.name, &s.kind).await.unwrap(), s.values, "{} {}", s.name, s.kind);
    }
    assert_eq!(answer(&server, "any.apps.lab.test", "A").await, "10.20.30.12");
    let names: Vec<&str> = sets.iter().map(|s| s.name.as_str()).collect();
    let mut wanted = sets.to_vec();
    wanted.sort();
    assert_eq!(read(&server, ZONE, &names).await, wanted, "read as they were written");

    // In one change: a value, a name that becomes an alias, and one that goes.
    let moved = set("node1.lab.test", "A", &["10.20.30.99"]);
    let alias = set("web.lab.test", "CNAME", &["node1.lab.test"]);
    let changes = [
        Change { was: Some(sets[0].clone()), now: Some(moved.clone()) },
        new(&alias),
        gone(&sets[2]),
        gone(&sets[4]),
    ];
    server.change(ZONE, &changes).await.unwrap();
    assert_eq!(answer(&server, "node1.lab.test", "A").await, "10.20.30.99");
    assert_eq!(answer(&server, "web.lab.test", "CNAME").await, "node1.lab.test");
    assert_eq!(answer(&server, "note.lab.test", "TXT").await, "");
}

#[tokio::test]
async fn a_change_is_made_whole_or_not_at_all() {
    let (_pdns, server) = with_zone().await;
    let good = set("good.lab.test", "A", &["10.20.30.11"]);
    let bad = set("bad.lab.test", "A", &["no address"]);
    let error = server.change(ZONE, &[new(&good), new(&bad)]).await.unwrap_err();
    assert!(error.cause.contains("422") && error.cause.contains("bad.lab.test"), "{error}");
    assert_eq!(answer(&server, "good.lab.test", "A").await, "");
    let elsewhere = set("node1.example.test", "A", &["10.20.30.11"]);
    server.change(ZONE, &[new(&good), new(&elsewhere)]).await.unwrap_err();
    assert_eq!(answer(&server, "good.lab.test", "A").await, "");
}

#[tokio::test]
async fn what_others_have_in_a_zone_stays_and_keeps_it() {
    let (pdns, server) = with_zone().await;
    let others = set("www.lab.test", "A", &["192.0.2.1"]);
    let other_lab = set(&registry("other", ZONE), "TXT", &["\"x.lab.test A\""]);
    server.change(ZONE, &[new(&others), new(&other_lab)]).await.unwrap();
    let mine = set("node1.lab.test", "A", &["10.20.30.11"]);
    server.change(ZONE, &[new(&mine)]).await.unwrap();
    server.change(ZONE, &[gone(&mine)]).await.unwrap();
    let left = read(&server, ZONE, &["www.lab.test", "node1.lab.test"]).await;
    assert_eq!(left, [other_lab, others], "registries are read by themselves");
    assert!(!server.is_spare(ZONE).await.unwrap());
    // A zone that somebody else made is no spare one, however empty.
    pdns.util(&["create-zone", "theirs.test", "ns.theirs.test"]);
    assert!(!server.is_spare("theirs.test").await.unwrap());
}

#[tokio::test]
async fn addresses_have_names_where_the_server_holds_their_zone() {
    let pdns = Pdns::start();
    let server = pdns.server();
    assert_eq!(server.zone_of("30.20.10.in-addr.arpa").await.unwrap(), None);
    server.make_zone("20.10.in-addr.arpa", &BTreeSet::new()).await.unwrap();
    let zone = server.zone_of("30.20.10.in-addr.arpa").await.unwrap().expect("a zone");
    assert_eq!(zone, "20.10.in-addr.arpa");
    let ptr = set("11.30.20.10.in-addr.arpa", "PTR", &["node1.lab.test"]);
    server.change(&zone, &[new(&ptr)]).await.unwrap();
    assert_eq!(answer(&server, "11.30.20.10.in-addr.arpa", "PTR").await, "node1.lab.test");
}

#[tokio::test]
async fn a_serial_that_stands_still_is_said_and_signed_zones_stay_whole() {
    let (pdns, server) = with_zone().await;
    pdns.sql("delete from domainmetadata where kind = 'SOA-EDIT-API'");
    let one = set("one.lab.test", "A", &["10.20.30.11"]);
    let remark = server.change(ZONE, &[new(&one)]).await.unwrap().expect("a remark");
    assert!(remark.contains("stands still") && remark.contains("soa_edit_api"), "{remark}");

    pdns.sql("delete from domainmetadata where kind = 'API-RECTIFY'");
    pdns.util(&["secure-zone", ZONE]);
    let two = set("b.two.lab.test", "A", &["10.20.30.12"]);
    server.change(ZONE, &[new(&two)]).await.unwrap();
    // The empty name between has to be there for NSEC.
    let between = pdns.sql("select count(*) from records where name = 'two.lab.test'");
    assert_eq!(between.trim(), "1");
}

#[tokio::test]
async fn a_refused_key_and_a_dead_server_are_errors_with_hints() {
    let (mut pdns, server) = with_zone().await;
    let wrong = pdns.with("a-wrong-key");
    for error in [
        wrong.read(ZONE, &BTreeSet::new()).await.unwrap_err(),
        wrong.make_zone("more.test", &BTreeSet::new()).await.unwrap_err(),
        wrong.forget(ZONE, &[ZONE.to_owned()].into()).await.unwrap_err(),
    ] {
        let text = format!("{error} {:?}", error.hint);
        assert!(text.contains("401") && text.contains("`api_key`"), "{text}");
        assert!(!text.contains("a-wrong-key"), "a key was said: {text}");
    }
    let elsewhere = PowerDns::new(&format!("http://127.0.0.1:{}", pdns.port), "k", None).unwrap();
    assert!(elsewhere.read(ZONE, &BTreeSet::new()).await.unwrap_err().hint.is_some());
    pdns.stop();
    let error = server.read(ZONE, &BTreeSet::new()).await.unwrap_err();
    assert!(error.cause.contains("refused"), "{error}");
    assert!(error.hint.is_some_and(|h| h.contains("api=yes")));
    let error = server.ask("node1.lab.test", "A").await.unwrap_err();
    assert!(error.cause.contains("nobody answers") && error.hint.is_some(), "{error}");
}

/// A server that is no PowerDNS: it gives one answer to all, and the requests that it had.
fn stranger(answer: String) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let had = Arc::new(Mutex::new(Vec::new()));
    let (kept, at) = (had.clone(), url.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let head: Vec<String> =
                (&mut stream).lines().map(Result::unwrap).take_while(|l| !l.is_empty()).collect();
            kept.lock().unwrap().push(head[0].clone());
            let answer = answer.replace("URL", &at);
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, had)
}

#[tokio::test]
async fn the_key_goes_to_no_other_url() {
    let moved = "HTTP/1.1 307 Moved\r\nlocation: URL/elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (url, had) = stranger(moved.to_owned());
    let server = PowerDns::new(&url, "k", Some("127.0.0.1:9".parse().unwrap())).unwrap();
    let error = server.read(ZONE, &BTreeSet::new()).await.unwrap_err();
    assert!(error.cause.contains("307") && error.hint.is_some(), "{error}");
    assert_eq!(had.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_powerdns_does_not_say_that_a_zone_is_gone() {
    let said = |code: &str, body: &str| {
        let length = body.len();
        let head = format!("HTTP/1.1 {code}\r\ncontent-length: {length}\r\nconnection: close");
        stranger(format!("{head}\r\n\r\n{body}")).0
    };
    let at = Some("127.0.0.1:9".parse().unwrap());
    for url in [said("404 Not Found", "not here"), said("404 Not Found", "{}")] {
        let server = PowerDns::new(&url, "k", at).unwrap();
        for error in [
            server.read(ZONE, &BTreeSet::new()).await.unwrap_err(),
            server.is_spare(ZONE).await.unwrap_err(),
            server.remove_zone(ZONE).await.unwrap_err(),
            server.make_zone(ZONE, &BTreeSet::new()).await.unwrap_err(),
        ] {
            assert!(error.cause.contains("no authoritative PowerDNS"), "{error}");
            assert!(error.hint.is_some_and(|h| h.contains("/api/v1")));
        }
    }
    let pdns = Pdns::start();
    let below = PowerDns::new(&format!("{}/api/v1", pdns.url()), super::pdns::KEY, at).unwrap();
    let error = below.read(ZONE, &BTreeSet::new()).await.unwrap_err();
    assert!(error.hint.is_some_and(|h| h.contains("/api/v1")));
    assert_eq!(pdns.server().read(ZONE, &BTreeSet::new()).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_is_changed_where_something_is_not_as_it_was_read() {
    let (_pdns, server) = with_zone().await;
    let good = set("good.lab.test", "A", &["10.20.30.11"]);
    let theirs = set("www.lab.test", "A", &["192.0.2.1"]);
    server.change(ZONE, &[new(&theirs)]).await.unwrap();
    let mine = set("www.lab.test", "A", &["10.20.30.11"]);
    let other = set("www.lab.test", "A", &["192.0.2.99"]);
    for change in
        [new(&mine), gone(&other), Change { was: Some(other.clone()), now: Some(mine.clone()) }]
    {
        let error = server.change(ZONE, &[new(&good), change]).await.unwrap_err();
        assert!(error.cause.contains("in the meantime") && error.hint.is_some(), "{error}");
    }
    assert_eq!(answer(&server, "good.lab.test", "A").await, "");
    assert_eq!(answer(&server, "www.lab.test", "A").await, "192.0.2.1");
}

#[tokio::test]
async fn what_is_disabled_is_there() {
    let (pdns, server) = with_zone().await;
    let mine = set("one.lab.test", "A", &["10.20.30.11"]);
    server.change(ZONE, &[new(&mine)]).await.unwrap();
    pdns.sql("update records set disabled = 1 where name = 'one.lab.test'");
    let there = read(&server, ZONE, &["one.lab.test"]).await;
    assert_eq!(there, [set("one.lab.test", "A", &["10.20.30.11 (disabled)"])]);
    server.change(ZONE, &[new(&mine)]).await.unwrap_err();
    let mended = Change { was: Some(there[0].clone()), now: Some(mine.clone()) };
    server.change(ZONE, &[mended]).await.unwrap();
    assert_eq!(read(&server, ZONE, &["one.lab.test"]).await, [mine]);
}

#[tokio::test]
async fn a_name_that_is_remembered_is_forgotten() {
    let (pdns, server) = with_zone().await;
    assert_eq!(answer(&server, "late.lab.test", "A").await, "");
    pdns.sql(
        "insert into records (domain_id, name, type, content, ttl, auth)
         select id, 'late.lab.test', 'A', '192.0.2.1', 60, 1 from domains",
    );
    assert_eq!(answer(&server, "late.lab.test", "A").await, "", "it is remembered");
    server.forget(ZONE, &["late.lab.test".to_owned()].into()).await.unwrap();
    assert_eq!(answer(&server, "late.lab.test", "A").await, "192.0.2.1");
}

#[tokio::test]
async fn a_signed_zone_whose_change_was_cut_off_is_put_in_order() {
    let pdns = Pdns::start();
    let server = pdns.server();
    pdns.util(&["create-zone", ZONE, "ns.lab.test"]);
    pdns.util(&["set-meta", ZONE, "API-RECTIFY", "0"]);
    pdns.util(&["secure-zone", ZONE]);
    pdns.sql(
        "insert into records (domain_id, name, type, content, ttl)
         select id, 'b.two.lab.test', 'A', '192.0.2.1', 60 from domains",
    );
    server.forget(ZONE, &BTreeSet::new()).await.unwrap();
    let between = pdns.sql("select count(*) from records where name = 'two.lab.test'");
    assert_eq!(between.trim(), "1");
}

#[tokio::test]
async fn no_zone_is_made_within_another() {
    let (_pdns, server) = with_zone().await;
    let error = server.make_zone("a.sub.lab.test", &BTreeSet::new()).await.unwrap_err();
    assert!(error.cause.contains("the zone `lab.test`") && error.hint.is_some(), "{error}");
    assert_eq!(server.read("a.sub.lab.test", &BTreeSet::new()).await.unwrap(), None);
}
