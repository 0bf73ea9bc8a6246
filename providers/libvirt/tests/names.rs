//! Names that the network's own DNS server is told.

use super::*;
use crate::dns::{Change, RecordSet, registry};
use std::collections::BTreeSet;

fn set(name: &str, kind: &str, values: &[&str]) -> RecordSet {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    RecordSet { name: name.to_owned(), kind: kind.to_owned(), ttl: 0, values }
}

fn new(now: &RecordSet) -> Change {
    Change { was: None, now: Some(now.clone()) }
}

/// The network's `dns` as libvirt has it.
fn dns(provider: &Libvirt, network: &str) -> Element {
    let (_, xml) = provider.hypervisor.network(network).expect("an answer").expect("it is there");
    xml.at("dns").cloned().unwrap_or_default()
}

#[tokio::test]
async fn names_are_told_changed_and_forgotten() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = lab("names", 31, 1, image(folder.path()));
    let provider = open(&lab).await;
    let server = provider.dns().expect("a server");
    assert_eq!(server.read("lab.test", &BTreeSet::new()).await.expect("an answer"), None);
    make_shared(&provider).await;
    let registry = set(
        &registry("names", "lab.test"),
        "TXT",
        &["\"git.lab.test A\"", "\"note.lab.test TXT\"", "\"web.lab.test A\""],
    );
    let sets = [
        set("web.lab.test", "A", &["127.31.0.11", "127.31.0.12"]),
        set("git.lab.test", "A", &["127.31.0.11"]),
        set("six.lab.test", "AAAA", &["fd00::11"]),
        set(
            "note.lab.test",
            "TXT",
            &["\"a \\\"quoted\\\" one, with commas \\\\ and gr\\195\\188n\""],
        ),
        set("_ldap._tcp.lab.test", "SRV", &["0 5 389 web.lab.test", "10 0 390 git.lab.test"]),
        registry,
    ];
    let changes: Vec<Change> = sets.iter().map(new).collect();
    server.change("lab.test", &changes).await.expect("it is told");
    let names: BTreeSet<String> = sets.iter().map(|s| s.name.clone()).collect();
    let mut wanted = sets.to_vec();
    wanted.sort();
    let read = server.read("lab.test", &names).await.expect("an answer").expect("a network");
    assert_eq!(read, wanted);
    insta::assert_snapshot!(dns(&provider, "names-net"), @r"
    <dns>
      <txt name='_bp-names.lab.test' value='&quot;git.lab.test A&quot;,&quot;note.lab.test TXT&quot;,&quot;web.lab.test A&quot;'/>
      <txt name='note.lab.test' value='&quot;a \&quot;quoted\&quot; one, with commas \\ and grün&quot;'/>
      <srv service='ldap' protocol='tcp' domain='lab.test' target='web.lab.test' port='389' weight='5'/>
      <srv service='ldap' protocol='tcp' domain='lab.test' target='git.lab.test' port='390' priority='10'/>
      <host ip='127.31.0.11'>
        <hostname>web.lab.test</hostname>
        <hostname>git.lab.test</hostname>
      </host>
      <host ip='127.31.0.12'>
        <hostname>Web.lab.test</hostname>
      </host>
      <host ip='fd00::11'>
        <hostname>six.lab.test</hostname>
      </host>
    </dns>
    ");

    let moved = set("web.lab.test", "A", &["127.31.0.13"]);
    let changes = [
        Change { was: Some(sets[0].clone()), now: Some(moved) },
        Change { was: Some(sets[3].clone()), now: None },
        Change { was: Some(sets[4].clone()), now: None },
    ];
    server.change("lab.test", &changes).await.expect("it is told");
    insta::assert_snapshot!(dns(&provider, "names-net"), @"
    <dns>
      <txt name='_bp-names.lab.test' value='&quot;git.lab.test A&quot;,&quot;note.lab.test TXT&quot;,&quot;web.lab.test A&quot;'/>
      <host ip='fd00::11'>
        <hostname>six.lab.test</hostname>
      </host>
      <host ip='127.31.0.11'>
        <hostname>git.lab.test</hostname>
      </host>
      <host ip='127.31.0.13'>
        <hostname>web.lab.test</hostname>
      </host>
    </dns>
    ");
    let wildcard = [new(&set("*.lab.test", "A", &["127.31.0.11"]))];
    let refused = server.change("lab.test", &wildcard).await;
    assert!(refused.expect_err("it is refused").cause.contains("wildcard"));
    destroy(&provider).await;
}

#[tokio::test]
async fn what_others_told_a_network_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = lab("told", 32, 1, image(folder.path()));
    let provider = open(&lab).await;
    let xml = "<network><name>told-net</name><bridge/>\
               <dns><host ip='127.32.0.9'><hostname>theirs.lab.test</hostname></host>\
               <txt name='note' value='x'/></dns>\
               <ip address='127.32.0.1' prefix='16'/></network>";
    let connection = provider.hypervisor.connection().expect("a connection");
    connection.define_network_xml(xml).expect("it is defined");
    make_shared(&provider).await;
    let before = dns(&provider, "told-net");
    let server = provider.dns().expect("a server");
    // A further name of an address that has one.
    let mine = set("mine.lab.test", "A", &["127.32.0.9"]);
    server.change("lab.test", &[new(&mine)]).await.expect("it is told");
    let told = server.read("", &["mine.lab.test".to_owned()].into()).await.expect("an answer");
    assert_eq!(told, Some(vec![mine.clone()]));
    let gone = Change { was: Some(mine), now: None };
    server.change("lab.test", &[gone]).await.expect("it is told");
    let after = dns(&provider, "told-net");
    let sorted = |mut dns: Element| {
        dns.children.sort_by_key(ToString::to_string);
        dns
    };
    assert_eq!(sorted(after), sorted(before));
    destroy(&provider).await;
    let (network, _) = provider.hypervisor.network("told-net").expect("an answer").expect("there");
    network.destroy().expect("it ends");
    network.undefine().expect("it goes");
}
