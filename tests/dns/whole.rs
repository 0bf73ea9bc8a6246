//! The real `bp` against real servers, on existing hosts.

use super::bind::Bind;
use super::pdns::{KEY, Pdns};
use super::{answer, gone, set};
use crate::support::hosts::Hosts;
use providers::dns::{DnsServer, registry};
use std::collections::BTreeSet;

/// Stands in for the resolver of a host: it asks the server, as one that was told of it would. It
/// answers from the zones' file, CNAMEs followed, in the form of `getent ahostsv4`.
fn resolver(pdns: &Pdns) -> String {
    let db = pdns.db();
    format!(
        "#!/bin/sh\n[ \"$1\" = ahostsv4 ] || exit 1; shift; code=0\n\
         find() {{ sqlite3 {db} \"select content from records where name = '$1' and type = '$2'\"; }}\n\
         for name; do a=$(find \"$name\" CNAME); all=$(find \"${{a:-$name}}\" A)\n\
         [ -n \"$all\" ] || {{ code=2; continue; }}\n\
         canon=$name; for ip in $all; do echo \"$ip STREAM $canon\"; canon=; done; done; exit $code\n"
    )
}

/// A lab of one host whose records lie in the zone `lab.test`.
fn lab(pdns: &Pdns, host: &str, records: &str) -> Hosts {
    let hosts = Hosts::new(1, "why: nothing\nsteps: []\n");
    hosts.nodes[0].program("getent", &resolver(pdns));
    write(&hosts, pdns, host, records);
    hosts
}

fn write(hosts: &Hosts, pdns: &Pdns, host: &str, records: &str) {
    let (url, port) = (pdns.url(), pdns.port);
    let text = hosts.blueprint().replace("  node1:", &format!("  {host}:"));
    let text = text.replace("phases: [machines, ./steps.yml]", "phases: [machines, dns]");
    let dns = format!(
        "domain: lab.test\ndns:\n  server: {{ powerdns: {{ url: \"{url}\", answers: \"127.0.0.1:{port}\", \
         api_key: {{ file: key }} }} }}\n  records: {{ {records} }}\n"
    );
    hosts.desk.write("key", &format!("{KEY}\n"));
    hosts.desk.write("bp.yml", &(text + &dns));
}

fn names(pdns: &Pdns) -> String {
    let sql = "select name || ' ' || type || ' ' || content from records where type != 'SOA' \
               and type != 'NS' and name not like '\\_bp%' escape '\\' order by name, type";
    pdns.sql(sql).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_labs_share_a_zone_and_destroy_of_one_leaves_the_other_whole() {
    let pdns = Pdns::start();
    let one = lab(&pdns, "one", "git: { cname: one }, note: { txt: ['it''s \"quoted\"; grün'] }");
    let plan = one.desk.bp(&["plan"]).exits(3);
    assert!(plan.out.contains("+ dns / zone"), "{}", plan.out);
    assert_eq!(names(&pdns), "", "a plan changes nothing");
    one.desk.bp(&["up"]).exits(0);
    assert!(one.desk.bp(&["plan"]).exits(0).out.contains("0 to apply, 0 not known"));
    let two = lab(&pdns, "two", "git: { cname: two }");
    let taken = two.desk.bp(&["up"]).exits(1);
    let says =
        format!("git.lab.test CNAME is one.lab.test, and it is a record of the lab `{}`", one.lab);
    let said = format!("{}{}", taken.out, taken.err);
    assert!(said.contains(&says) && said.contains("hint: "), "{said}");
    write(&two, &pdns, "two", "www: { a: [192.0.2.7] }");
    two.desk.bp(&["up"]).exits(0);
    let both = names(&pdns);
    assert!(both.contains("two.lab.test A 127.0.0.1") && both.contains("one.lab.test A 127.0.0.1"));

    // By hand: a record changed, one removed, one of somebody else's.
    pdns.sql(
        "update records set content = '192.0.2.9' where name = 'one.lab.test';
         delete from records where name = 'note.lab.test';
         insert into records (domain_id, name, type, content, ttl, auth)
         select id, 'theirs.lab.test', 'A', '192.0.2.1', 60, 1 from domains;",
    );
    let server = pdns.server();
    let all = ["one.lab.test".to_owned(), "note.lab.test".to_owned()].into();
    server.forget("lab.test", &all).await.unwrap();
    let plan = one.desk.bp(&["plan"]).exits(3);
    let differs = "note.lab.test TXT is missing, one.lab.test A is 192.0.2.9, not 127.0.0.1";
    assert!(plan.out.contains(differs), "{}", plan.out);
    let up = one.desk.bp(&["up", "--json"]).exits(0);
    assert_eq!(up.applied(), ["dns/records/"]);
    assert_eq!(names(&pdns).replace("\ntheirs.lab.test A 192.0.2.1", ""), both);

    one.desk.bp(&["destroy", "--yes"]).exits(0);
    let left = names(&pdns);
    assert_eq!(
        left.lines().filter(|l| !l.starts_with("ns.")).collect::<Vec<_>>(),
        ["theirs.lab.test A 192.0.2.1", "two.lab.test A 127.0.0.1", "www.lab.test A 192.0.2.7"]
    );
    two.desk.bp(&["plan"]).exits(0);
    two.desk.bp(&["destroy", "--yes"]).exits(0);
    assert!(names(&pdns).contains("theirs.lab.test"), "somebody else's keeps the zone");
    pdns.sql("delete from records where name = 'theirs.lab.test'");
    two.desk.bp(&["destroy", "--yes"]).exits(0);
    assert_eq!(server.read("lab.test", &BTreeSet::new()).await.unwrap(), None);
}

/// Stands in for the resolver of a host on which every name is its own.
const ALL_ONE: &str = "#!/bin/sh\nshift; for name; do echo \"127.0.0.1 STREAM $name\"; done\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_takes_updates_is_filled_mended_and_left_as_it_was() {
    let bind = Bind::start(&["lab.test"]);
    let server = bind.server();
    let hosts = Hosts::new(1, "why: nothing\nsteps: []\n");
    hosts.nodes[0].program("getent", ALL_ONE);
    let text = hosts.blueprint().replace("phases: [machines, ./steps.yml]", "phases: [dns]");
    let dns = format!(
        "domain: lab.test\ndns:\n  server: {{ rfc2136: {{ server: \"127.0.0.1:{}\", key: {{ name: {}, \
         secret: {{ env: TSIG }} }} }} }}\n  records: {{ note: {{ txt: [x] }} }}\n",
        bind.port,
        super::bind::KEY,
    );
    hosts.desk.write("bp.yml", &(text + &dns));
    let bp = |args: &[&str]| {
        let mut command = hosts.desk.command(args);
        command.env("TSIG", bind.secret());
        let ran = command.output().expect("bp runs");
        let said = [ran.stdout, ran.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
        assert!(!said.concat().contains(bind.secret()), "a key was said");
        (ran.status.code(), said.concat())
    };
    let up = bp(&["up"]);
    assert_eq!(up.0, Some(0), "{}", up.1);
    assert_eq!(answer(&server, "node1.lab.test", "A").await, "127.0.0.1");
    let plan = bp(&["plan"]);
    assert_eq!(plan.0, Some(0), "{}", plan.1);
    let has = set("note.lab.test", "TXT", &["\"x\""]);
    server.change("lab.test", &[gone(&has)]).await.unwrap();
    let plan = bp(&["plan"]);
    assert!(plan.1.contains("note.lab.test TXT is missing"), "{}", plan.1);
    assert_eq!(bp(&["up"]).0, Some(0));
    assert_eq!(answer(&server, "note.lab.test", "TXT").await, "\"x\"");
    let destroy = bp(&["destroy", "--yes"]);
    assert_eq!(destroy.0, Some(0), "{}", destroy.1);
    for (name, kind) in [
        ("node1.lab.test", "A"),
        ("note.lab.test", "TXT"),
        ("_bp.lab.test", "TXT"),
        (&registry(&hosts.lab, "lab.test"), "TXT"),
    ] {
        assert_eq!(answer(&server, name, kind).await, "", "{name}");
    }
    assert_eq!(answer(&server, "www.lab.test", "A").await, "192.0.2.1", "others' stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_and_a_dead_server_are_errors_with_hints_that_say_no_key() {
    let mut pdns = Pdns::start();
    let hosts = lab(&pdns, "one", "");
    hosts.desk.write("key", "a-wrong-key\n");
    let up = hosts.desk.bp(&["up"]).exits(1);
    let said = format!("{}{}", up.out, up.err);
    assert!(said.contains("it refuses the API key") && said.contains("hint: `api_key`"), "{said}");
    hosts.desk.write("key", &format!("{KEY}\n"));
    hosts.desk.bp(&["up"]).exits(0);
    pdns.stop();
    let plan = hosts.desk.bp(&["plan"]).exits(3);
    assert!(plan.out.contains("refused"), "{}", plan.out);
    let destroy = hosts.desk.bp(&["destroy", "--yes"]).exits(1);
    let said = format!("{}{}{said}{}", destroy.out, destroy.err, plan.out);
    assert!(said.contains("DNS records of zone lab.test"), "{said}");
    let journals = format!("{:?}", hosts.journals());
    for key in [KEY, "a-wrong-key"] {
        assert!(!said.contains(key) && !journals.contains(key), "a key was said");
    }
}
