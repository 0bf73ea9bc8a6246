//! Rules about how the names of `dns` stand to each other and to the hosts.

use crate::check::Plan;
use crate::check_records::{MAX_NAME, Written, is_name, records, zone};
use crate::context::{Context, lies_in};
use crate::diagnostic::Problem;
use crate::field::Spanned;
use crate::ground::{DnsServer, Record, RecordData};
use crate::lab::{Address, Host};
use crate::tree::Span;
use crate::wording::short;
use std::collections::{HashMap, HashSet};

/// What the blueprint gives for names.
struct Names<'p> {
    /// Hosts by their whole names: those that bp writes an address for.
    hosts: HashMap<String, &'p Host>,
    records: HashMap<&'p str, &'p Record>,
    /// Records for all names below one, by that one.
    wildcards: HashMap<&'p str, &'p Record>,
}

impl<'p> Names<'p> {
    fn of(plan: &'p Plan<'_>) -> Self {
        let own = |host: &&Host| has_record(host, plan);
        let hosts = plan.lab.hosts.iter().filter(own);
        let hosts = hosts.map(|host| (plan.lab.fqdn(host), host)).collect();
        let records = plan.lab.dns.records.iter();
        let records: HashMap<&str, &Record> = records.map(|r| (r.name.as_str(), r)).collect();
        let below =
            |(name, record): (&&'p str, &&'p Record)| Some((name.strip_prefix("*.")?, *record));
        let wildcards = records.iter().filter_map(below).collect();
        Self { hosts, records, wildcards }
    }

    /// The record of a name: its own, or that of the nearest wildcard.
    fn record(&self, name: &str) -> Option<&'p Record> {
        if let Some(own) = self.records.get(name) {
            return Some(own);
        }
        if name.len() > MAX_NAME {
            return None;
        }
        let mut above = name.split_once('.');
        while let Some((_, rest)) = above {
            if let Some(wildcard) = self.wildcards.get(rest) {
                return Some(wildcard);
            }
            above = rest.split_once('.');
        }
        None
    }

    fn given(&self, name: &str) -> bool {
        self.hosts.contains_key(name) || self.record(name).is_some()
    }

    /// The other name that a name stands for.
    fn cname(&self, name: &str) -> Option<&'p str> {
        if self.hosts.contains_key(name) {
            return None;
        }
        self.record(name)?.data.iter().find_map(|data| match data {
            RecordData::Cname(target) => Some(target.as_str()),
            _ => None,
        })
    }

    /// Where a name leads in the end; `None`: round in a circle. What was found is kept in `ends`.
    fn end(&self, name: &'p str, ends: &mut HashMap<&'p str, Option<&'p str>>) -> Option<&'p str> {
        let mut path = HashSet::new();
        let mut at = name;
        let end = loop {
            if let Some(known) = ends.get(at) {
                break *known;
            }
            if !path.insert(at) {
                break None;
            }
            match self.cname(at) {
                Some(target) => at = target,
                None => break Some(at),
            }
        };
        ends.extend(path.into_iter().map(|step| (step, end)));
        end
    }
}

/// Whether bp writes an address for a host by itself. It knows none of an existing host that is
/// reached by a name; `/etc/hosts` gets the address that the run finds.
fn has_record(host: &Host, plan: &Plan<'_>) -> bool {
    plan.lab.dns.server == DnsServer::Hosts || !matches!(host.address, Some(Address::Name(_)))
}

/// No record gives what bp gives to every host by itself.
pub(crate) fn names_of_hosts(plan: &Plan<'_>, context: &mut Context<'_>) {
    let names = Names::of(plan);
    for Written { key, file, record } in records(plan) {
        let Some(host) = names.hosts.get(&record.name) else { continue };
        for (given, kind) in [
            (file.a.given().map(|f| f.at), "a"),
            (file.aaaa.given().map(|f| f.at), "aaaa"),
            (file.cname.given().map(|f| f.at), "cname"),
        ] {
            if given.is_some() {
                let message = format!("`{kind}` for the host `{}`", host.name);
                let help = "every host has its address by itself; give the record another name";
                context.error_help(key.at, message, help);
            }
        }
    }
}

/// A CNAME stands alone, and not where the zone itself has records.
pub(crate) fn alone(plan: &Plan<'_>, context: &mut Context<'_>) {
    for Written { file, record, .. } in records(plan) {
        let Some(cname) = file.cname.given() else { continue };
        let others = [
            (file.a.is_absent(), "a"),
            (file.aaaa.is_absent(), "aaaa"),
            (file.txt.is_absent(), "txt"),
            (file.srv.is_absent(), "srv"),
        ];
        if let Some((_, other)) = others.iter().find(|(absent, _)| !absent) {
            let message = format!("a `cname` can't stand beside `{other}`");
            context.error_help(cname.at, message, "the other name has the data: put them there");
        }
        if record.name == zone(plan) {
            let message = format!("the zone `{}` itself can't be a `cname`", record.name);
            context.error_help(cname.at, message, "`a` takes the hosts that it leads to");
        }
    }
}

/// No `cname` leads back to where it came from.
pub(crate) fn circles(plan: &Plan<'_>, context: &mut Context<'_>) {
    let names = Names::of(plan);
    let places: HashMap<&str, Span> = records(plan)
        .filter_map(|r| Some((r.record.name.as_str(), r.file.cname.given()?.at)))
        .collect();
    // What is known to lead out of the blueprint, or is reported.
    let mut done: HashSet<&str> = HashSet::new();
    for Written { file, record, .. } in records(plan) {
        if file.cname.given().is_none() {
            continue;
        }
        let mut path: Vec<&str> = Vec::new();
        let mut on_path: HashSet<&str> = HashSet::new();
        let mut name = record.name.as_str();
        while !done.contains(name) {
            if !on_path.insert(name) {
                let circle = path.iter().skip_while(|step| **step != name);
                let some: Vec<String> =
                    circle.clone().take(5).map(|step| format!("`{}`", short(step))).collect();
                let more = if circle.count() > some.len() { " -> ..." } else { "" };
                let place = names.record(name).and_then(|record| places.get(record.name.as_str()));
                let (some, name) = (some.join(" -> "), short(name));
                let message = format!("a `cname` leads back to itself: {some}{more} -> `{name}`");
                context.error(place.copied().unwrap_or_default(), message);
                break;
            }
            path.push(name);
            match names.cname(name) {
                Some(target) => name = target,
                None => break,
            }
        }
        done.extend(path);
    }
}

/// Without a server, names are addresses and aliases of what the blueprint has.
pub(crate) fn without_server(plan: &Plan<'_>, context: &mut Context<'_>) {
    let (what, only_addresses) = match plan.lab.dns.server {
        DnsServer::Hosts => ("`/etc/hosts`", true),
        DnsServer::Libvirt => ("libvirt's server", false),
        _ => return,
    };
    const HELP: &str = "a server does: `dns: { server: { powerdns: ... } }`, or `rfc2136`";
    for Written { key, file, record } in records(plan) {
        let mut unknown = |at, what_not: &str| {
            context.error_help(at, format!("{what} knows no {what_not}"), HELP);
        };
        if record.name.starts_with("*.") {
            unknown(key.at, "wildcards");
        }
        if let Some(cname) = file.cname.given()
            && record.name.starts_with('_')
        {
            unknown(cname.at, "names of services");
        }
        if let Some(txt) = file.txt.given().filter(|_| only_addresses) {
            unknown(txt.at, "`txt`");
        }
        if let Some(srv) = file.srv.given().filter(|_| only_addresses) {
            unknown(srv.at, "`srv`");
        }
    }
}

/// libvirt's server has one text a name, services of TCP and UDP, and no marks in texts that its
/// configuration would read as its own (libvirt, `src/conf/network_conf.c`; dnsmasq, `txt-record`).
pub(crate) fn of_libvirt(plan: &Plan<'_>, context: &mut Context<'_>) {
    if plan.lab.dns.server != DnsServer::Libvirt {
        return;
    }
    for Written { key, file, record } in records(plan) {
        if let Some(second) = file.txt.items().nth(1) {
            context.error(second.at, "libvirt's server knows one text a name");
        }
        for text in file.txt.items().filter(|t| t.value.contains([',', '"', '\\'])) {
            context.error(text.at, "libvirt's server can't have `,`, `\"` or `\\` in a text");
        }
        let protocol = record.name.split('.').nth(1).unwrap_or_default();
        if !file.srv.is_absent() && !["_tcp", "_udp"].contains(&protocol) {
            let message = "libvirt's server knows services of `_tcp` and `_udp` alone";
            context.error(key.at, message);
        }
    }
}

/// The targets of aliases and services are there. Where a server answers, others may have given
/// a name of the zone; where none does, the blueprint has to lead to an address.
pub(crate) fn lead_somewhere(plan: &Plan<'_>, context: &mut Context<'_>) {
    let names = Names::of(plan);
    let server = plan.lab.dns.server.zone().is_some();
    let mut ends = HashMap::new();
    for Written { file, record, .. } in records(plan) {
        if context.is_full() {
            return;
        }
        for data in &record.data {
            match (data, file.cname.given()) {
                (RecordData::Cname(name), Some(cname)) if server => {
                    given(name, cname, &names, plan, context);
                }
                (RecordData::Cname(name), Some(cname)) => {
                    if let Some(end) = names.end(name, &mut ends) {
                        addressed(end, cname, &names, context);
                    }
                }
                _ => {}
            }
            let RecordData::Srv(services) = data else { continue };
            for (service, written) in services.iter().zip(file.srv.items()) {
                let Some(target) = written.value.target.given() else { continue };
                given(&service.target, target, &names, plan, context);
                if names.cname(&service.target).is_some() {
                    let message = format!("`{}` is a `cname`", short(&target.value));
                    let help = "many clients take no alias as the target of a service (RFC 2782)";
                    context.problems.push(Problem::warning(target.at, message).help(help));
                }
            }
        }
    }
}

/// Warns of a name in the zone that nobody in the blueprint gives.
fn given(
    name: &str,
    written: &Spanned<String>,
    names: &Names<'_>,
    plan: &Plan<'_>,
    context: &mut Context<'_>,
) {
    let zone = zone(plan);
    if names.given(name) || name == zone || !lies_in(name, zone) || !is_name(name) {
        return;
    }
    let message = format!("neither a record nor a host gives `{}`", short(name));
    let mut problem = Problem::warning(written.at, message);
    match plan.lab.host(&written.value) {
        Some(host) if has_record(host, plan) => {
            problem.label = Some(format!("did you mean `{}`?", plan.lab.fqdn(host)));
        }
        Some(_) => problem.help = Some("the host's `address` is a name: use that one".to_owned()),
        None => {}
    }
    context.problems.push(problem);
}

/// Reports an alias whose end has no address in the blueprint.
fn addressed(end: &str, written: &Spanned<String>, names: &Names<'_>, context: &mut Context<'_>) {
    let addresses = |data: &RecordData| matches!(data, RecordData::A(_) | RecordData::Aaaa(_));
    let record = names.records.get(end);
    if names.hosts.contains_key(end) || record.is_some_and(|r| r.data.iter().any(addresses)) {
        return;
    }
    let message = format!("`{}` leads to no address of the blueprint", short(&written.value));
    let help = "there is no server to ask: a `cname` leads to a host, or to a record with `a`";
    context.error_help(written.at, message, help);
}
