//! The records that a lab wants, of its hosts and of its blueprint.

use crate::cx::Cx;
use blueprints::{Address, AddressOf, Host, HostProvider, Lab, RecordData};
use futures::future::join_all;
use providers::dns::{RecordSet, value};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The addresses of hosts, by name. A host that is known by a name itself has none here.
pub type Addresses = BTreeMap<String, IpAddr>;

/// The hosts' addresses as they are now.
///
/// # Errors
/// Which host has none yet, and why.
pub async fn addresses(cx: &Cx) -> Result<Addresses, String> {
    let hosts: Vec<&Host> = cx.lab().hosts.iter().filter(|h| has_records(h)).collect();
    let asked = join_all(hosts.iter().map(|h| cx.machine(&h.name))).await;
    let mut known = Addresses::new();
    for (host, machine) in hosts.into_iter().zip(asked) {
        let address = match machine.map_err(|e| format!("{}: {e}", host.name))? {
            None => Err("the machine is not there"),
            Some(machine) => machine.address.ok_or("the machine has no address yet"),
        };
        let address = address.map_err(|why| format!("{}: {why}", host.name))?;
        known.insert(host.name.clone(), address);
    }
    Ok(known)
}

/// A host that answers under a name of somebody else's gets no record: its address may change.
fn has_records(host: &Host) -> bool {
    host.provider != HostProvider::Existing || !matches!(host.address, Some(Address::Name(_)))
}

/// All record sets of the lab, by name and kind: its hosts' addresses and its blueprint's records.
pub fn wanted(lab: &Lab, known: &Addresses) -> Vec<RecordSet> {
    let mut sets: BTreeMap<(String, &'static str), RecordSet> = BTreeMap::new();
    let mut add = |name: &str, kind: &'static str, ttl: u32, values: Vec<String>| {
        let set = || RecordSet {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ttl,
            values: BTreeSet::new(),
        };
        let key = (name.to_owned(), kind);
        if !values.is_empty() {
            sets.entry(key).or_insert_with(set).values.extend(values);
        }
    };
    for host in &lab.hosts {
        if let Some(ip) = known.get(&host.name) {
            add(&lab.fqdn(host).to_lowercase(), kind_of(*ip), lab.dns.ttl, vec![ip.to_string()]);
        }
    }
    for record in &lab.dns.records {
        for data in &record.data {
            let (kind, values) = match data {
                RecordData::A(of) => ("A", ips(of, "A", known)),
                RecordData::Aaaa(of) => ("AAAA", ips(of, "AAAA", known)),
                RecordData::Cname(target) => ("CNAME", vec![target.clone()]),
                RecordData::Txt(texts) => {
                    ("TXT", texts.iter().map(|t| value::text([t.as_bytes()])).collect())
                }
                RecordData::Srv(all) => {
                    let srv = |s: &blueprints::Srv| {
                        format!("{} {} {} {}", s.priority, s.weight, s.port, s.target)
                    };
                    ("SRV", all.iter().map(srv).collect())
                }
            };
            add(&record.name, kind, record.ttl, values);
        }
    }
    sets.into_values().collect()
}

/// The names that addresses of hosts stand for.
pub fn reverse(lab: &Lab, known: &Addresses) -> Vec<RecordSet> {
    let of = |host: &Host| {
        let ip = known.get(&host.name)?;
        Some(RecordSet {
            name: value::reverse(*ip),
            kind: "PTR".to_owned(),
            ttl: lab.dns.ttl,
            values: [lab.fqdn(host).to_lowercase()].into(),
        })
    };
    lab.hosts.iter().filter_map(of).collect()
}

fn kind_of(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "A" } else { "AAAA" }
}

fn ips(of: &[AddressOf], kind: &str, known: &Addresses) -> Vec<String> {
    let ip = |of: &AddressOf| match of {
        AddressOf::Ip(ip) => Some(*ip),
        AddressOf::Host(host) => known.get(host).copied(),
    };
    of.iter().filter_map(ip).filter(|ip| kind_of(*ip) == kind).map(|ip| ip.to_string()).collect()
}

/// The addresses that each name stands for in the end, CNAMEs of the lab followed. A wildcard
/// is no name that can be asked for.
pub fn addressed(sets: &[RecordSet]) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut found = BTreeMap::new();
    for set in sets.iter().filter(|s| !s.name.starts_with('*')) {
        let mut name = &set.name;
        // A chain of CNAMEs is no longer than there are records; a circle ends here.
        for _ in 0..sets.len() {
            match sets.iter().find(|s| s.name == *name && s.kind == "CNAME") {
                Some(alias) => name = alias.values.first().unwrap_or(name),
                None => break,
            }
        }
        let of_name = sets.iter().filter(|s| s.name == *name && ["A", "AAAA"].contains(&&*s.kind));
        let ips: BTreeSet<IpAddr> =
            of_name.flat_map(|s| &s.values).filter_map(|v| v.parse().ok()).collect();
        if !ips.is_empty() {
            found.insert(set.name.clone(), ips);
        }
    }
    found
}
