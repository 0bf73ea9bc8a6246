//! Rules about the records of `dns`: each by itself. How they stand to each other is in
//! `check_names.rs`.

use crate::check::Plan;
use crate::check_stacks::unknown;
use crate::context::{Context, is_dns_label, is_domain, lies_in};
use crate::diagnostic::Problem;
use crate::dns::whole;
use crate::field::{Field, List, Spanned};
use crate::file_ground::Record as WrittenRecord;
use crate::ground::{DnsServer, Record};
use crate::lab::{Address, Host, HostProvider};
use crate::wording::short;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// A record, and what the file says of it.
pub(crate) struct Written<'p> {
    pub key: &'p Spanned<String>,
    pub file: &'p WrittenRecord,
    pub record: &'p Record,
}

/// Every record, in the order of the file.
pub(crate) fn records<'p>(plan: &'p Plan<'_>) -> impl Iterator<Item = Written<'p>> {
    let entries = plan.file.dns.get().into_iter().flat_map(|dns| dns.records.entries());
    let pairs = entries.zip(&plan.lab.dns.records);
    pairs.map(|((key, file), record)| Written { key, file: &file.value, record })
}

/// The zone of the records: the server's, or the blueprint's domain.
pub(crate) fn zone<'p>(plan: &'p Plan<'_>) -> &'p str {
    plan.lab.dns.server.zone().unwrap_or(&plan.lab.domain)
}

/// A label that hosts don't have, but services and keys do: `_ldap`.
fn is_underscored(label: &str) -> bool {
    label.strip_prefix('_').is_some_and(is_dns_label)
}

/// The longest name of DNS, as it is written.
pub(crate) const MAX_NAME: usize = 253;

/// A whole name: labels of hosts or services, and `*` as the first.
pub(crate) fn is_name(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    name.len() <= MAX_NAME
        && rest.split('.').all(|label| is_dns_label(label) || is_underscored(label))
}

/// Every name is one of DNS, lies in the zone, and is of the kind that its data ask for.
pub(crate) fn names(plan: &Plan<'_>, context: &mut Context<'_>) {
    let zone = zone(plan);
    if !is_domain(zone) {
        return;
    }
    let what = if plan.lab.dns.server.zone().is_some() { "zone" } else { "domain" };
    for Written { key, file, record } in records(plan) {
        let shown = short(&key.value);
        let name = record.name.as_str();
        if !is_name(name) {
            let help = "letters a to z, digits and hyphens within, dots between; `*` or `_` first";
            context.error_help(key.at, format!("`{shown}` can't be a name of DNS"), help);
        } else if !lies_in(name, zone) {
            let first = name.split('.').next().unwrap_or_default();
            let help = format!("a name with a dot is whole; `{first}` alone is `{first}.{zone}`");
            let message = format!("`{shown}` does not lie in the {what} `{zone}`");
            context.error_help(key.at, message, help);
        } else if let Some(problem) = misplaced(name, file) {
            context.error(key.at, format!("`{shown}` {problem}"));
        }
    }
}

/// What is wrong with data of this kind at a name of this kind.
fn misplaced(name: &str, file: &WrittenRecord) -> Option<&'static str> {
    let mut labels = name.split('.');
    let (first, second) = (labels.next().unwrap_or_default(), labels.next().unwrap_or_default());
    let addresses = !file.a.is_absent() || !file.aaaa.is_absent();
    if first == "*" && (!file.txt.is_absent() || !file.srv.is_absent()) {
        return Some("stands for many names: it gives addresses or a `cname`");
    }
    if name.split('.').any(is_underscored) && addresses {
        return Some("can't have addresses: no host's name has a `_`");
    }
    let of_service = is_underscored(first) && is_underscored(second);
    if !file.srv.is_absent() && !of_service {
        return Some("can't have `srv`: its name is that of a service, such as `_ldap._tcp`");
    }
    None
}

/// No name is there twice, in short and whole.
pub(crate) fn twice(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut first = HashMap::new();
    for Written { key, record, .. } in records(plan) {
        let Some(at) = first.insert(record.name.as_str(), key.at) else { continue };
        let line = context.line(at);
        let message = format!("the name `{}` is there twice", short(&record.name));
        let label = format!("first in line {line}");
        context.problems.push(Problem::error(key.at, message).label(label));
    }
}

/// Every record says something.
pub(crate) fn empty(plan: &Plan<'_>, context: &mut Context<'_>) {
    fn nothing<T>(list: &Field<List<T>>) -> Option<crate::tree::Span> {
        list.given().filter(|list| list.value.0.is_empty()).map(|list| list.at)
    }
    for Written { key, file, .. } in records(plan) {
        let WrittenRecord { a, aaaa, cname, txt, srv, .. } = file;
        let absent = [a.is_absent(), aaaa.is_absent(), cname.is_absent()];
        if absent.iter().all(|a| *a) && txt.is_absent() && srv.is_absent() {
            let message = format!("`{}` stands for nothing", short(&key.value));
            let help = "such as `{ a: [node1] }` or `{ cname: node1 }`";
            context.error_help(key.at, message, help);
        }
        let lists = [("a", nothing(a)), ("aaaa", nothing(aaaa)), ("txt", nothing(txt))];
        for (kind, at) in lists.into_iter().chain([("srv", nothing(srv))]) {
            if let Some(at) = at {
                context.error(at, format!("`{kind}` lists nothing"));
            }
        }
    }
}

/// Addresses are of their family, or of hosts that have one of it.
pub(crate) fn addresses(plan: &Plan<'_>, context: &mut Context<'_>) {
    let hosts: HashMap<&str, &Host> = plan.lab.hosts.iter().map(|h| (h.name.as_str(), h)).collect();
    let known: Vec<&str> = plan.lab.hosts.iter().map(|h| h.name.as_str()).collect();
    for Written { file, .. } in records(plan) {
        for (word, v6) in
            file.a.items().map(|w| (w, false)).chain(file.aaaa.items().map(|w| (w, true)))
        {
            if context.is_full() {
                return;
            }
            let text = word.value.as_str();
            let numbers =
                text.contains(':') || text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
            let own_domain =
                text.strip_suffix(&plan.lab.domain).and_then(|host| host.strip_suffix('.'));
            let of_host = hosts.get(text).map(|host| no_address(host, v6, plan));
            match (text.parse::<IpAddr>(), of_host) {
                (Ok(ip), _) => family(ip, word, v6, context),
                (_, Some(None)) => {}
                (_, Some(Some(why))) => {
                    let kind = if v6 { "IPv6" } else { "IPv4" };
                    let message = format!("bp knows no {kind} address of `{text}`: {}", why.0);
                    context.error_help(word.at, message, why.1);
                }
                _ if numbers => {
                    let what = if v6 { "an IPv6 address" } else { "an IPv4 address" };
                    context.shape_of(word, |_| false, &format!("{what} or a host"));
                }
                _ => match own_domain.filter(|host| hosts.contains_key(host)) {
                    Some(host) => {
                        let problem = Problem::error(word.at, "a host is meant by its short name");
                        context.problems.push(problem.label(format!("did you mean `{host}`?")));
                    }
                    None => unknown(word, "host", &known, context),
                },
            }
        }
    }
}

/// Reports an address of the other family.
fn family(ip: IpAddr, word: &Spanned<String>, v6: bool, context: &mut Context<'_>) {
    let (found, right) = match (ip, v6) {
        (IpAddr::V6(_), false) => ("IPv6", "aaaa"),
        (IpAddr::V4(_), true) => ("IPv4", "a"),
        _ => return,
    };
    let message = format!("`{ip}` is an {found} address");
    context.error_help(word.at, message, format!("`{right}` takes it"));
}

/// Why a host has no address of a family that bp could write, and what helps.
fn no_address(host: &Host, v6: bool, plan: &Plan<'_>) -> Option<(&'static str, &'static str)> {
    let other = "its other addresses are given as addresses, not by its name";
    match (&host.address, v6) {
        _ if host.provider == HostProvider::Libvirt && v6 => {
            Some(("machines on a libvirt network get IPv4 alone", other))
        }
        (Some(Address::Ip(IpAddr::V4(_))), true) => Some(("its `address` is IPv4", other)),
        (Some(Address::Ip(IpAddr::V6(_))), false) => Some(("its `address` is IPv6", other)),
        (Some(Address::Name(_)), _) if plan.lab.dns.server != DnsServer::Hosts => {
            Some(("its `address` is a name", "give its address here, or as the host's `address`"))
        }
        _ => None,
    }
}

/// Nothing is listed twice: a server keeps it once, and it would never be as it is written.
pub(crate) fn values_twice(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut once = |items: &mut dyn Iterator<Item = (String, crate::tree::Span)>| {
        let mut seen = HashSet::new();
        for (value, at) in items.filter(|(value, _)| !seen.insert(value.clone())) {
            context.error(at, format!("`{}` is listed twice", short(&value)));
        }
    };
    for Written { file, .. } in records(plan) {
        for list in [&file.a, &file.aaaa] {
            once(&mut list.items().map(|w| {
                let ip = w.value.parse::<IpAddr>().map(|ip| ip.to_string());
                (ip.unwrap_or_else(|_| w.value.clone()), w.at)
            }));
        }
        once(&mut file.txt.items().map(|t| (t.value.clone(), t.at)));
        once(&mut file.srv.items().map(|s| {
            let number = |field: &Field<u16>| field.get().copied().unwrap_or(0);
            let target = whole(s.value.target.get().map_or("", String::as_str), zone(plan));
            let (priority, weight) = (number(&s.value.priority), number(&s.value.weight));
            (format!("{priority} {weight} {} {target}", number(&s.value.port)), s.at)
        }));
    }
}

/// A text is one line of at most 255 bytes, as DNS has it.
pub(crate) fn texts(plan: &Plan<'_>, context: &mut Context<'_>) {
    for text in records(plan).flat_map(|r| r.file.txt.items()) {
        let length = text.value.len();
        if length > 255 {
            let help = "DNS has texts of 255 bytes at most";
            context.error_help(text.at, format!("a text of {length} bytes"), help);
        } else if text.value.chars().any(char::is_control) {
            context.error(text.at, "a text is one line of visible characters");
        }
    }
}

/// A service has a port and somebody who gives it.
pub(crate) fn services(plan: &Plan<'_>, context: &mut Context<'_>) {
    for srv in records(plan).flat_map(|r| r.file.srv.items()) {
        for (absent, name, example) in [
            (srv.value.port.is_absent(), "port", "port: 389"),
            (srv.value.target.is_absent(), "target", "target: node1"),
        ] {
            if absent {
                context.missing(srv.at, name, "a service", example);
            }
        }
        if let Some(port) = srv.value.port.given()
            && port.value == 0
        {
            context.error(port.at, "expected a port from 1 to 65535, found `0`");
        }
    }
}

/// The target of a `cname` or of a service is a name.
pub(crate) fn targets(plan: &Plan<'_>, context: &mut Context<'_>) {
    if !is_domain(zone(plan)) {
        return;
    }
    for Written { file, .. } in records(plan) {
        let services = file.srv.items().filter_map(|srv| srv.value.target.given());
        for target in file.cname.given().into_iter().chain(services) {
            let name = whole(&target.value, zone(plan));
            let found = short(&target.value);
            if target.value.parse::<IpAddr>().is_ok() {
                let message = format!("expected a name, found `{found}`");
                context.error_help(target.at, message, "`a` and `aaaa` take addresses");
            } else if name.starts_with('*') || !is_name(&name) {
                context.error(target.at, format!("expected a name of DNS, found `{found}`"));
            }
        }
    }
}
