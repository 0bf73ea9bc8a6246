//! The records that a lab wants, of its hosts and of its blueprint.

use crate::cx::Cx;
use blueprints::{Address, AddressOf, DnsServer, Host, Lab, RecordData};
use futures::future::join_all;
use providers::dns::{RecordSet, value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Aliases of aliases: resolvers follow no more than about so many.
const LONGEST_CHAIN: usize = 16;

/// The zone that holds the lab's records, where a server does.
pub fn zone(lab: &Lab) -> Option<&str> {
    match &lab.dns.server {
        DnsServer::Libvirt => Some(&lab.domain),
        server => server.zone(),
    }
}

/// For a server that knows no CNAME and lets nobody keep an answer: an alias is a further name of
/// the addresses.
fn without_aliases(
    sets: Vec<RecordSet>,
    addressed: &BTreeMap<String, BTreeSet<IpAddr>>,
) -> Vec<RecordSet> {
    let (aliases, mut sets): (Vec<_>, Vec<_>) = sets.into_iter().partition(|s| s.kind == "CNAME");
    for alias in aliases {
        let ips = addressed.get(&alias.name).into_iter().flatten();
        for kind in ["A", "AAAA"] {
            let of_kind = ips.clone().filter(|ip| kind_of(**ip) == kind);
            let values: BTreeSet<String> = of_kind.map(IpAddr::to_string).collect();
            if !values.is_empty() {
                sets.push(RecordSet { kind: kind.to_owned(), values, ..alias.clone() });
            }
        }
    }
    sets.iter_mut().for_each(|set| set.ttl = 0);
    sets
}

/// The addresses of hosts, by name. A host that is known by a name itself has none here where a
/// server answers.
pub type Addresses = BTreeMap<String, IpAddr>;

/// What the lab's names stand for now: asked once a round, for every host needs it.
pub struct Names {
    /// The hosts' addresses.
    pub addresses: Addresses,
    /// All record sets that the lab wants.
    pub wanted: Vec<RecordSet>,
    /// The addresses that each name stands for in the end.
    pub addressed: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The zone that resolvers have to ask a server for, and that server's address.
    pub server: Option<(String, SocketAddr)>,
}

impl Names {
    /// As they are now: see [`Cx::names`].
    ///
    /// # Errors
    /// Which host has no address yet, and why.
    pub async fn ask(cx: &Cx) -> Result<Arc<Self>, String> {
        let addresses = addresses(cx).await?;
        let mut wanted = wanted(cx.lab(), &addresses);
        let addressed = addressed(&wanted);
        if cx.lab().dns.server == DnsServer::Libvirt {
            wanted = without_aliases(wanted, &addressed);
        }
        let server = match zone(cx.lab()) {
            Some(zone) => server(cx).await.map(|at| (zone.to_owned(), at)),
            None => None,
        };
        Ok(Arc::new(Self { addresses, wanted, addressed, server }))
    }
}

async fn server(cx: &Cx) -> Option<SocketAddr> {
    cx.world().dns().await.ok()??.answers().await.ok()
}

async fn addresses(cx: &Cx) -> Result<Addresses, String> {
    let hosts: Vec<&Host> = cx.lab().hosts.iter().filter(|h| has_records(cx.lab(), h)).collect();
    let asked = join_all(hosts.iter().map(|h| cx.machine(&h.name))).await;
    let mut known = Addresses::new();
    for (host, machine) in hosts.into_iter().zip(asked) {
        let address = match machine.map_err(|e| format!("{}: {e}", host.name))? {
            None => Err("the machine is not there"),
            // A machine that is off keeps the address that the blueprint gives it.
            Some(machine) => {
                machine.address.or(fixed(host)).ok_or("the machine has no address yet")
            }
        };
        let address = address.map_err(|why| format!("{}: {why}", host.name))?;
        known.insert(host.name.clone(), address);
    }
    Ok(known)
}

/// The address that the blueprint gives a host.
pub(crate) fn fixed(host: &Host) -> Option<IpAddr> {
    match host.address {
        Some(Address::Ip(ip)) => Some(ip),
        _ => None,
    }
}

/// A host that answers under a name of somebody else's gets no record: its address may change. In
/// `/etc/hosts` it has the one of now.
fn has_records(lab: &Lab, host: &Host) -> bool {
    lab.dns.server == DnsServer::Hosts || !matches!(host.address, Some(Address::Name(_)))
}

/// All record sets of the lab, by name and kind: its hosts' addresses and its blueprint's records.
fn wanted(lab: &Lab, known: &Addresses) -> Vec<RecordSet> {
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
fn addressed(sets: &[RecordSet]) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut of_name: HashMap<&str, Vec<&RecordSet>> = HashMap::new();
    for set in sets {
        of_name.entry(&set.name).or_default().push(set);
    }
    let find = |name: &str, kind: &str| {
        of_name.get(name).and_then(|sets| sets.iter().find(|s| s.kind == kind).copied())
    };
    let mut found = BTreeMap::new();
    for set in sets.iter().filter(|s| !s.name.starts_with('*')) {
        let mut name = set.name.as_str();
        for _ in 0..LONGEST_CHAIN {
            match find(name, "CNAME").and_then(|alias| alias.values.first()) {
                Some(target) => name = target,
                None => break,
            }
        }
        let sets = ["A", "AAAA"].into_iter().filter_map(|kind| find(name, kind));
        let ips: BTreeSet<IpAddr> =
            sets.flat_map(|s| &s.values).filter_map(|v| v.parse().ok()).collect();
        if !ips.is_empty() {
            found.insert(set.name.clone(), ips);
        }
    }
    found
}
