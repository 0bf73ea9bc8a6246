//! BIND, by dynamic updates.

use super::bind::{Bind, KEY};
use super::{answer, gone, new, read, set};
use providers::dns::{Change, DnsServer, RecordSet, Rfc2136, registry, value};
use std::collections::BTreeSet;

const ZONE: &str = "lab.test";

fn started() -> (Bind, Rfc2136) {
    let bind = Bind::start(&[ZONE, "20.10.in-addr.arpa"]);
    let server = bind.server();
    (bind, server)
}

async fn serial(server: &Rfc2136) -> u32 {
    let soa = answer(server, ZONE, "SOA").await;
    soa.split(' ').nth(2).unwrap().parse().unwrap()
}

#[tokio::test]
async fn records_of_all_kinds_are_made_changed_and_removed() {
    let (_bind, server) = started();
    let long = "x".repeat(255);
    let texts: Vec<String> = ["a \"quoted\" one; with \\ and $", "grüße", &long, ""]
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
    let before = serial(&server).await;
    let changes: Vec<Change> = sets.iter().map(new).collect();
    server.change(ZONE, &changes).await.unwrap();
    assert!(serial(&server).await > before, "a secondary sees the change");
    for s in &sets {
        assert_eq!(server.ask(&s.name, &s.kind).await.unwrap(), s.values, "{} {}", s.name, s.kind);
    }
    let names: Vec<&str> = sets.iter().map(|s| s.name.as_str()).collect();
    let mut wanted = sets.to_vec();
    wanted.sort();
    assert_eq!(read(&server, ZONE, &names).await, wanted, "read as they were written");
    assert_eq!(answer(&server, "any.apps.lab.test", "A").await, "10.20.30.12");
    assert_eq!(read(&server, ZONE, &["any.apps.lab.test"]).await, [], "a wildcard's answer");

    let moved = set("node1.lab.test", "A", &["10.20.30.99"]);
    let alias = set("web.lab.test", "CNAME", &["node1.lab.test"]);
    let changes = [
        Change { was: Some(sets[0].clone()), now: Some(moved) },
        new(&alias),
        gone(&sets[2]),
        gone(&sets[4]),
    ];
    server.change(ZONE, &changes).await.unwrap();
    assert_eq!(answer(&server, "node1.lab.test", "A").await, "10.20.30.99");
    assert_eq!(answer(&server, "web.lab.test", "CNAME").await, "node1.lab.test");
    assert_eq!(answer(&server, "note.lab.test", "TXT").await, "");
    assert_eq!(answer(&server, "www.lab.test", "A").await, "192.0.2.1", "others' stay");
}

#[tokio::test]
async fn nothing_is_changed_where_something_is_not_as_it_was_read() {
    let (_bind, server) = started();
    let good = set("good.lab.test", "A", &["10.20.30.11"]);
    let taken = set("www.lab.test", "A", &["10.20.30.11"]);
    let error = server.change(ZONE, &[new(&good), new(&taken)]).await.unwrap_err();
    assert!(error.cause.contains("in the meantime") && error.hint.is_some(), "{error}");
    let was = set("www.lab.test", "A", &["192.0.2.99"]);
    let replaced = Change { was: Some(was), now: Some(taken) };
    server.change(ZONE, &[new(&good), replaced]).await.unwrap_err();
    assert_eq!(answer(&server, "good.lab.test", "A").await, "");
    assert_eq!(answer(&server, "www.lab.test", "A").await, "192.0.2.1");
}

#[tokio::test]
async fn labs_see_each_others_registries() {
    let (_bind, server) = started();
    let registries =
        ["one", "two"].map(|lab| set(&registry(lab, ZONE), "TXT", &["\"x.lab.test A\""]));
    for registry in &registries {
        server.change(ZONE, &[new(registry)]).await.unwrap();
    }
    assert_eq!(read(&server, ZONE, &[]).await, registries);
    let two = [gone(&registries[1])];
    server.change(ZONE, &two).await.unwrap();
    assert_eq!(read(&server, ZONE, &[]).await, [registries[0].clone()]);
    server.change(ZONE, &[gone(&registries[0])]).await.unwrap();
    assert_eq!(answer(&server, "_bp.lab.test", "TXT").await, "", "nothing of bp is left");
}

#[tokio::test]
async fn zones_are_found_and_never_made() {
    let (_bind, server) = started();
    assert_eq!(server.zone_of("node1.lab.test").await.unwrap().as_deref(), Some(ZONE));
    let reverse = server.zone_of("30.20.10.in-addr.arpa").await.unwrap().expect("a zone");
    assert_eq!(reverse, "20.10.in-addr.arpa");
    let ptr = set("11.30.20.10.in-addr.arpa", "PTR", &["node1.lab.test"]);
    server.change(&reverse, &[new(&ptr)]).await.unwrap();
    assert_eq!(answer(&server, "11.30.20.10.in-addr.arpa", "PTR").await, "node1.lab.test");
    assert_eq!(server.zone_of("node1.example.test").await.unwrap(), None);
    assert_eq!(server.read("example.test", &BTreeSet::new()).await.unwrap(), None);
    // A name in the zone is no zone.
    assert_eq!(server.read("www.lab.test", &BTreeSet::new()).await.unwrap(), None);
    server.make_zone("example.test", &BTreeSet::new()).await.unwrap_err();
    assert!(!server.makes_zones());
}

#[tokio::test]
async fn refusals_are_explained() {
    let (mut bind, server) = started();
    let one = [new(&set("one.lab.test", "A", &["10.20.30.11"]))];
    let wrong = "d3JvbmctZG9lcy1ub3QtbWF0Y2gtYXQtYWxs";
    let elsewhere = [new(&set("one.example.test", "A", &["10.20.30.11"]))];
    for (error, cause) in [
        (bind.with(KEY, wrong).change(ZONE, &one).await, "BADSIG"),
        (bind.with("nobody", wrong).change(ZONE, &one).await, "BADKEY"),
        (bind.with("reader", bind.secret()).change(ZONE, &one).await, "REFUSED"),
        (server.change("example.test", &elsewhere).await, "not the primary"),
    ] {
        let error = error.unwrap_err();
        let text = format!("{error} {:?}", error.hint);
        assert!(text.contains(cause) && error.hint.is_some(), "{cause}: {text}\n{}", bind.log());
        assert!(!text.contains(wrong) && !text.contains(bind.secret()), "a key was said: {text}");
    }
    assert_eq!(answer(&server, "one.lab.test", "A").await, "");
    bind.stop();
    let error = server.change(ZONE, &one).await.unwrap_err();
    assert!(error.cause.contains("refused") && error.hint.is_some(), "{error}");
    let error = server.read(ZONE, &BTreeSet::new()).await.unwrap_err();
    assert!(error.hint.is_some(), "{error}");
}

#[test]
fn a_key_that_is_no_base64_is_not_quoted() {
    let at = "127.0.0.1:1".parse().unwrap();
    let algorithm = blueprints::TsigAlgorithm::HmacSha256;
    let error = Rfc2136::new(at, KEY, algorithm, "no base64!").err().expect("it is refused");
    assert!(!error.to_string().contains("no base64!") && error.hint.is_some(), "{error}");
}

#[tokio::test]
async fn a_zone_that_a_server_knows_from_others_is_none_of_its_own() {
    let others = Bind::start(&["30.20.10.in-addr.arpa"]);
    let asks = format!(
        "recursion yes; allow-recursion {{ any; }}; empty-zones-enable no; forward only;\n\
         forwarders {{ 127.0.0.1 port {}; }};",
        others.port
    );
    let bind = Bind::with_more(&[ZONE], "", &asks);
    // Somebody's question for the zone makes it known there.
    let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let question =
        b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x0230\x0220\x0210\x07in-addr\x04arpa\0\0\x06\0\x01";
    client.send_to(question, ("127.0.0.1", bind.port)).await.unwrap();
    let mut answer = [0; 512];
    let answered = client.recv(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(20), answered).await.unwrap().unwrap();
    assert_eq!((answer[3] & 15, answer[7]), (0, 1), "an answer of one record");
    let server = bind.server();
    assert_eq!(server.zone_of("30.20.10.in-addr.arpa").await.unwrap(), None);
    assert_eq!(server.zone_of("11.30.20.10.in-addr.arpa").await.unwrap(), None);
    assert_eq!(server.zone_of("node1.lab.test").await.unwrap().as_deref(), Some(ZONE));
}

#[tokio::test]
async fn a_wildcard_that_answers_for_the_index_names_no_labs() {
    let more = "* TXT \"v=spf1 -all\"\n* TXT \"word\"\n";
    let bind = Bind::with_more(&[ZONE], more, "recursion no;");
    let server = bind.server();
    assert_eq!(read(&server, ZONE, &["node1.lab.test"]).await, []);
    let mine = set(&registry("one", ZONE), "TXT", &["\"x.lab.test A\""]);
    server.change(ZONE, &[new(&mine)]).await.unwrap();
    assert_eq!(read(&server, ZONE, &[]).await, [mine]);
}

#[tokio::test]
async fn a_record_like_a_wildcard_is_there_all_the_same() {
    let more = "* A 10.20.30.11\n*.apps CNAME www\n";
    let bind = Bind::with_more(&[ZONE], more, "recursion no;");
    let server = bind.server();
    let names = ["node1.lab.test", "git.apps.lab.test", "other.lab.test"];
    assert_eq!(read(&server, ZONE, &names).await, []);
    let mine = [
        set("git.apps.lab.test", "CNAME", &["www.lab.test"]),
        set("node1.lab.test", "A", &["10.20.30.11"]),
    ];
    let before = serial(&server).await;
    server.change(ZONE, &mine.each_ref().map(new)).await.unwrap();
    let after = serial(&server).await;
    assert!(after > before);
    assert_eq!(read(&server, ZONE, &names).await, mine);
    assert_eq!(serial(&server).await, after, "a look changes nothing");
    server.change(ZONE, &mine.each_ref().map(gone)).await.unwrap();
    assert_eq!(read(&server, ZONE, &names).await, []);
}

#[tokio::test]
async fn all_kinds_are_read_where_a_server_answers_any_with_one() {
    let bind = Bind::with_more(&[ZONE], "", "recursion no; minimal-any yes;");
    let server = bind.server();
    let mut both =
        [set("both.lab.test", "A", &["10.20.30.11"]), set("both.lab.test", "TXT", &["\"x\""])];
    both.sort();
    server.change(ZONE, &both.each_ref().map(new)).await.unwrap();
    assert_eq!(read(&server, ZONE, &["both.lab.test"]).await, both);
    let many: Vec<String> = (0..100).map(|n| format!("n{n:03}.lab.test")).collect();
    let sets: Vec<RecordSet> = many.iter().map(|n| set(n, "A", &["10.20.30.12"])).collect();
    server.change(ZONE, &sets.iter().map(new).collect::<Vec<_>>()).await.unwrap();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(read(&server, ZONE, &names).await, sets);
}
