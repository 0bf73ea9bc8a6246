//! Blueprints with base, names, walls and volumes in, labs out.

use crate::tests::{World, lab};
use crate::*;

/// Nothing is said against these either: base, names, walls and volumes.
#[test]
fn what_is_right_of_the_ground_passes() {
    let world = World::default()
        .with("/lab/tsig", "")
        .with("/lab/web.yml", "services: { a: { image: a, ports: [80:80] } }");
    let made = "provider: { libvirt: { subnet: 10.20.30.0/24, template: { volume: base } } }";
    let node = "hosts: { a: { role: manager, brick: /srv/gluster/ }, spare: { role: none } }\ngluster: { d: { mount: /srv/d/ } }";
    let nodes = "hosts: { \"n{1..6}\": { brick: /b }, m: { role: manager } }";
    let there = "hosts: { a: { role: manager, address: 192.0.2.1 }, six: { role: none, address: '2001:db8::1' }, named: { role: none, address: n.example.net } }";
    let update = "rfc2136: { server: '[2001:db8::53]:5353', key: { name: Ddns_Key., algorithm: hmac-sha512, secret: { file: tsig } } }";
    let pdns =
        "powerdns: { url: 'http://[2001:db8::53]:8081/', api_key: { env: IS_SET }, zone: test }";
    let named = "powerdns: { url: 'https://pdns.example.net', api_key: { env: IS_SET }, answers: 192.0.2.53 }";
    for body in [
        format!("{made}\n{node}\nbase: {{ timezone: UTC }}"),
        format!(
            "{made}\n{node}\nbase: {{ timezone: America/Argentina/Buenos_Aires, time_servers: [10.20.30.1, '2001:db8::1', ntp.example.net], packages: [g++, libc6] }}"
        ),
        format!("{made}\n{node}\nbase: {{ timezone: Etc/GMT+5 }}"),
        format!("{made}\n{node}\nbase:\ndns:\nfirewall:\n"),
        format!(
            "{made}\n{node}\ndns: {{ server: {{ libvirt: {{}} }}, records: {{ t: {{ txt: [one two] }}, _ldap._tcp: {{ srv: [{{ port: 389, target: a }}, {{ port: 389, target: spare, priority: 1 }}] }}, web: {{ cname: w }}, w: {{ cname: a }}, v6: {{ aaaa: ['2001:db8::1'] }} }} }}"
        ),
        format!(
            "{made}\n{node}\ndns: {{ server: {{ hosts: {{}} }}, records: {{ '@': {{ a: [a] }}, web.lab.test.: {{ cname: W.Lab.Test }}, w: {{ a: [a, 192.0.2.7] }} }} }}"
        ),
        format!(
            "{made}\n{node}\ndns: {{ ttl: 168h, server: {{ {pdns} }}, records: {{ a: {{ txt: [x] }}, '*': {{ a: [a], ttl: 1s }}, b: {{ cname: any.lab.test }}, _acme-challenge.b: {{ cname: acme.example.net }}, _dmarc: {{ txt: [v=DMARC1, ''] }}, test: {{ txt: [x] }}, out: {{ cname: c.test.example }} }} }}"
        ),
        format!(
            "{there}\ndns: {{ server: {{ {update} }}, records: {{ all: {{ a: [a], aaaa: [six] }}, named: {{ a: [192.0.2.9] }}, n: {{ cname: named }} }} }}"
        ),
        format!("{there}\ndns: {{ server: {{ {named} }} }}"),
        format!(
            "{there}\ndns: {{ records: {{ n: {{ cname: named }}, x: {{ a: [named, 192.0.2.4] }} }} }}"
        ),
        format!(
            "{made}\n{nodes}\ngluster: {{ a: {{ replica: 3, mount: /srv/a }}, b: {{ replica: 3, arbiter: true, mount: /srv/ab, hosts: [n3, n1, n2] }}, c: {{ replica: 1, arbiter: false, mount: /var/lib/c, options: {{ auth.allow: '10.20.30.*,10.20.31.*', performance.cache-size: 64MB }} }} }}"
        ),
        format!(
            "{made}\nhosts: {{ a: {{ role: manager, ports: [9100/tcp, 9100/udp, 9101-9102/tcp] }}, b: {{ role: none, ports: [80/tcp] }} }}\nfirewall: {{ open: [443/tcp, 81/tcp, 22/tcp] }}\nstacks: [{{ web: {{ file: web.yml }} }}]"
        ),
        format!("{made}\n{node}\nfirewall: {{ backend: none }}"),
        format!(
            "{made}\n{node}\nphases: [machines, base, firewall, dns, gluster, engine, swarm, stacks]"
        ),
        format!("{made}\n{node}\ndns: {{ records: }}\nphases: [machines, gluster]"),
    ] {
        let text = format!("version: 1\nname: lab\ndomain: lab.test\n{body}\n");
        let (_, warnings) = lab(&text, &world);
        assert!(warnings.is_empty(), "{}", render(&warnings, &text, "lab.yml", false));
    }
}

/// What is written in several ways is resolved to one.
#[test]
fn names_folders_and_servers_are_resolved_to_one_form() {
    let (lab, _) = lab(
        "version: 1
name: lab
domain: lab.example.test
hosts: { a: { role: manager, address: 192.0.2.1, brick: /srv/gluster/ }, b: { role: none, address: 192.0.2.2 } }
dns:
  server: { powerdns: { url: 'http://192.0.2.53:8081/', api_key: { env: IS_SET }, zone: example.test } }
  records: { GitLab: { cname: A.Lab.Example.Test. }, '@': { a: [b] }, _x: { txt: [X] }, www.example.test: { cname: other.example.net } }
gluster: { docker: { mount: /srv/docker/ } }
",
        &World::default(),
    );
    let DnsServer::PowerDns { url, zone, answers, .. } = &lab.dns.server else {
        panic!("it is PowerDNS")
    };
    assert_eq!((url.as_str(), zone.as_str()), ("http://192.0.2.53:8081", "example.test"));
    assert_eq!(*answers, Some("192.0.2.53:53".parse().expect("it is an address")));
    let names: Vec<&str> = lab.dns.records.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(
        names,
        ["gitlab.example.test", "example.test", "_x.example.test", "www.example.test"]
    );
    assert_eq!(lab.dns.records[0].data, [RecordData::Cname("a.lab.example.test".to_owned())]);
    assert_eq!(lab.dns.records[3].data, [RecordData::Cname("other.example.net".to_owned())]);
    let volume = &lab.volumes[0];
    assert_eq!((volume.mount.as_str(), volume.kind), ("/srv/docker", VolumeKind::Distribute));
    let path = "/srv/gluster/docker".to_owned();
    assert_eq!(volume.bricks, [Brick { host: "a".to_owned(), path }]);
    assert_eq!(lab.hosts[0].brick.as_deref(), Some("/srv/gluster"));
    assert_eq!(lab.fqdn(&lab.hosts[0]), "a.lab.example.test");
    assert_eq!(lab.brick_hosts().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(lab.mount_hosts().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["a"]);
}

/// What the starter shows as comments is right too: bricks, base, records, walls and volumes.
#[test]
fn the_starter_passes_with_what_it_shows() {
    let sections = ["base:", "dns:", "firewall:", "gluster:"];
    let mut shown = false;
    let mut text = String::new();
    for line in STARTER.lines() {
        let bare = line.trim_start_matches(' ').strip_prefix("# ");
        shown = bare.is_some_and(|bare| {
            sections.iter().any(|s| bare.starts_with(s)) || (shown && bare.starts_with("  "))
        });
        let brick = bare.is_some_and(|bare| bare.starts_with("brick:"));
        text += &if shown || brick { line.replacen("# ", "", 1) } else { line.to_owned() };
        text.push('\n');
    }
    let text = text.replace("PDNS_API_KEY", "IS_SET");
    let (lab, warnings) = lab(&text, &World::default());
    assert_eq!(warnings, []);
    assert_eq!((lab.dns.records.len(), lab.volumes[0].bricks.len()), (2, 3));
    assert!(lab.base.timezone.is_some() && lab.firewall.is_some(), "{text}");
    assert_eq!(lab.dns.server.zone(), Some("lab.test"));
}
