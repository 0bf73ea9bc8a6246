//! The entries of a network's `dns` element, and the record sets that they stand for.

use super::xml::{Element, el};
use crate::dns::{Change, RecordSet, value};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The entries of a network's `dns` that bp knows, and that carry a value of their own each.
pub fn entries(xml: &Element) -> Vec<Element> {
    let dns = xml.at("dns").into_iter().flat_map(|d| &d.children);
    dns.filter(|e| ["host", "txt", "srv"].contains(&e.name.as_str())).cloned().collect()
}

/// What the entries say, as record sets. dnsmasq lets nobody keep an answer, so all have a TTL of 0.
pub fn sets(xml: &Element) -> Vec<RecordSet> {
    let mut sets: BTreeMap<(String, &'static str), BTreeSet<String>> = BTreeMap::new();
    for entry in entries(xml) {
        let get = |name: &str| entry.get(name).unwrap_or_default();
        match entry.name.as_str() {
            "host" => {
                let Ok(ip) = get("ip").parse::<IpAddr>() else { continue };
                let kind = if ip.is_ipv4() { "A" } else { "AAAA" };
                for name in entry.all("hostname") {
                    let name = value::name(&name.text);
                    sets.entry((name, kind)).or_default().insert(ip.to_string());
                }
            }
            "txt" => {
                let strings = texts(get("value"));
                let name = value::name(get("name"));
                let name = part_of(&name).unwrap_or(name);
                let values = sets.entry((name.clone(), "TXT")).or_default();
                // Here a registry is a few records of many strings each.
                match name.starts_with("_bp-") {
                    true => values.extend(strings.iter().map(|s| value::text([s.as_bytes()]))),
                    false => {
                        values.insert(value::text(strings.iter().map(String::as_bytes)));
                    }
                }
            }
            _ => {
                let number = |name: &str| get(name).parse::<u16>().unwrap_or(0);
                let name = format!("_{}._{}.{}", get("service"), get("protocol"), get("domain"));
                let (priority, weight) = (number("priority"), number("weight"));
                let target = value::name(get("target"));
                let value = format!("{priority} {weight} {} {target}", number("port"));
                sets.entry((value::name(&name), "SRV")).or_default().insert(value);
            }
        }
    }
    let set = |((name, kind), values): ((String, &str), BTreeSet<String>)| RecordSet {
        name,
        kind: kind.to_owned(),
        ttl: 0,
        values,
    };
    sets.into_iter().map(set).collect()
}

/// The entries after a change.
pub fn apply(entries: &mut Vec<Element>, change: &Change) -> Result<(), String> {
    let Some(of) = change.was.as_ref().or(change.now.as_ref()) else { return Ok(()) };
    let now = change.now.as_ref();
    if of.name.starts_with('*') {
        return Err(format!("`{}`: the network's server knows no wildcards", of.name));
    }
    match of.kind.as_str() {
        "A" | "AAAA" => host_entries(entries, of, now),
        "TXT" => {
            if of.name.starts_with("_bp-") {
                registry_entries(entries, &of.name, now);
                return Ok(());
            }
            entries
                .retain(|e| e.name != "txt" || value::name(e.get("name").unwrap_or("")) != of.name);
            let Some(now) = now else { return Ok(()) };
            if now.values.len() != 1 {
                return Err(format!("`{}` has several texts, libvirt takes one a name", of.name));
            }
            let strings: Vec<String> = now.values.iter().flat_map(|v| strings(v)).collect();
            let quoted: Vec<String> = strings.iter().map(|s| quoted(s)).collect();
            let value = quoted.join(",");
            if now.name.len() + value.len() > LINE {
                let name = &of.name;
                return Err(format!("`{name}` is longer than the network's server takes ({LINE})"));
            }
            entries.push(el("txt").attr("name", &now.name).attr("value", value));
        }
        "SRV" => {
            let (service, protocol, domain) = service(&of.name)?;
            let is = |e: &Element| {
                let same = |name: &str, text: &str| e.get(name).is_some_and(|v| v == text);
                e.name == "srv"
                    && same("service", service)
                    && same("protocol", protocol)
                    && same("domain", domain)
            };
            entries.retain(|e| !is(e));
            for value in now.iter().flat_map(|now| &now.values) {
                let words: Vec<&str> = value.split(' ').collect();
                let [priority, weight, port, target] = words[..] else { continue };
                let entry = el("srv").attr("service", service).attr("protocol", protocol);
                let entry = entry.attr("domain", domain).attr("target", target).attr("port", port);
                entries.push(entry.attr("priority", priority).attr("weight", weight));
            }
        }
        kind => return Err(format!("`{}`: libvirt knows no {kind} records", of.name)),
    }
    Ok(())
}

/// Bytes of a name and its text: dnsmasq reads lines of 1024, and dies of longer ones.
const LINE: usize = 900;

/// The registry that an entry of this name is a part of: `_bp-lab_2.lab.test` is one of
/// `_bp-lab.lab.test`. Names of labs have no `_`.
fn part_of(name: &str) -> Option<String> {
    let (label, zone) = name.strip_prefix("_bp-")?.split_once('.')?;
    let (lab, _) = label.split_once('_')?;
    Some(format!("_bp-{lab}.{zone}"))
}

/// A registry in parts that fit. A part that changes gets a name that no part had, so that it can be
/// added before the old one goes.
fn registry_entries(entries: &mut Vec<Element>, registry: &str, now: Option<&RecordSet>) {
    let name_of = |e: &Element| value::name(e.get("name").unwrap_or_default());
    let is_part = |e: &Element| {
        let name = name_of(e);
        e.name == "txt" && part_of(&name).unwrap_or(name) == registry
    };
    let mut values: Vec<String> = Vec::new();
    for string in now.iter().flat_map(|now| &now.values).flat_map(|v| strings(v)) {
        let string = quoted(&string);
        match values.last_mut() {
            Some(last) if registry.len() + last.len() + string.len() < LINE - 8 => {
                *last += ",";
                *last += &string;
            }
            _ => values.push(string),
        }
    }
    let old: Vec<Element> = entries.iter().filter(|e| is_part(e)).cloned().collect();
    entries.retain(|e| !is_part(e));
    let (label, zone) = registry.split_once('.').unwrap_or((registry, ""));
    let names = (1..).map(|number: usize| match number {
        1 => registry.to_owned(),
        _ => format!("{label}_{number}.{zone}"),
    });
    let mut unused = names.filter(|name| !old.iter().any(|e| name_of(e) == *name));
    for value in values {
        let kept = old.iter().find(|e| e.get("value") == Some(&value)).cloned();
        let new = || Some(el("txt").attr("name", unused.next()?).attr("value", &value));
        entries.extend(kept.or_else(new));
    }
}

/// One entry an address, with all its names; an address without names has none.
fn host_entries(entries: &mut Vec<Element>, of: &RecordSet, now: Option<&RecordSet>) {
    let is_of_kind = |e: &Element| {
        e.name == "host"
            && e.get("ip")
                .and_then(|ip| ip.parse::<IpAddr>().ok())
                .is_some_and(|ip| ip.is_ipv4() == (of.kind == "A"))
    };
    for entry in entries.iter_mut().filter(|e| is_of_kind(e)) {
        entry.children.retain(|n| n.name != "hostname" || value::name(&n.text) != of.name);
    }
    for ip in now.iter().flat_map(|now| &now.values) {
        let name = el("hostname").text(unused(entries, &of.name));
        match entries.iter_mut().find(|e| e.name == "host" && e.get("ip") == Some(ip)) {
            Some(entry) => entry.children.push(name),
            None => entries.push(el("host").attr("ip", ip).child(name)),
        }
    }
    entries.retain(|e| e.name != "host" || e.at("hostname").is_some());
}

/// A spelling of the name that no entry has: libvirt takes a name for one address only, but tells
/// upper case from lower; dnsmasq does not, and answers with all of them.
fn unused(entries: &[Element], name: &str) -> String {
    let is_used =
        |spelling: &String| entries.iter().any(|e| e.all("hostname").any(|n| n.text == *spelling));
    let letters: Vec<usize> = name
        .char_indices()
        .filter(|(_, c)| c.is_ascii_lowercase())
        .map(|(at, _)| at)
        .take(16)
        .collect();
    let spelling = |upper: u32| {
        let mut bytes = name.as_bytes().to_vec();
        for (bit, at) in letters.iter().enumerate() {
            if upper >> bit & 1 == 1 {
                bytes[*at].make_ascii_uppercase();
            }
        }
        String::from_utf8(bytes).unwrap_or_default()
    };
    (0..1u32 << letters.len()).map(spelling).find(|s| !is_used(s)).unwrap_or(name.to_owned())
}

/// The parts of a service's name: `_ldap._tcp.lab.test`.
fn service(name: &str) -> Result<(&str, &str, &str), String> {
    let mut parts = name.splitn(3, '.');
    let mut part = || parts.next();
    match (
        part().and_then(|s| s.strip_prefix('_')),
        part().and_then(|p| p.strip_prefix('_')),
        part(),
    ) {
        (Some(service), Some(protocol), Some(domain)) => Ok((service, protocol, domain)),
        _ => Err(format!("`{name}`: a service's name is `_service._protocol.domain`")),
    }
}

fn strings(value: &str) -> Vec<String> {
    let text = |s: Vec<u8>| String::from_utf8_lossy(&s).into_owned();
    value::strings(value).into_iter().map(text).collect()
}

/// A string as dnsmasq reads it: quoted, so that commas do not part it.
fn quoted(string: &str) -> String {
    format!("\"{}\"", string.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The strings of a text as dnsmasq reads it.
fn texts(value: &str) -> Vec<String> {
    let (mut texts, mut text, mut inside) = (Vec::new(), String::new(), false);
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => inside = !inside,
            '\\' if inside => text.extend(chars.next()),
            ',' if !inside => texts.push(std::mem::take(&mut text)),
            c => text.push(c),
        }
    }
    texts.push(text);
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTRY: &str = "_bp-lab.lab.test";

    fn registry(count: usize) -> RecordSet {
        let value = |n| value::text([format!("node{n:03}.lab.test A").as_bytes()]);
        let values = (0..count).map(value).collect();
        RecordSet { name: REGISTRY.to_owned(), kind: "TXT".to_owned(), ttl: 0, values }
    }

    fn sets_of(entries: &[Element]) -> Vec<RecordSet> {
        sets(&el("network").child(el("dns").children(entries.iter().cloned())))
    }

    #[test]
    fn a_registry_of_many_names_is_one_that_dnsmasq_reads() {
        let mut entries = Vec::new();
        let put = Change { was: None, now: Some(registry(100)) };
        apply(&mut entries, &put).expect("applied");
        assert_eq!(sets_of(&entries), [registry(100)]);
        let line = |e: &Element| {
            let get = |name: &str| e.get(name).unwrap_or_default();
            format!("txt-record={},{}\n", get("name"), get("value"))
        };
        let lines: String = entries.iter().map(line).collect();
        assert!(lines.lines().count() > 2 && lines.lines().all(|l| l.len() < 1000), "{lines}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, &lines).expect("written");
        let conf = format!("--conf-file={}", file.path().display());
        let ran = std::process::Command::new("/usr/sbin/dnsmasq").args(["--test", &conf]).output();
        let ran = ran.expect("Debian's `dnsmasq-base`");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let gone = Change { was: Some(registry(100)), now: None };
        apply(&mut entries, &gone).expect("applied");
        assert_eq!(entries, []);
    }

    #[test]
    fn a_registry_is_never_gone_between_two() {
        let mut entries = Vec::new();
        apply(&mut entries, &Change { was: None, now: Some(registry(100)) }).expect("applied");
        let before = entries.clone();
        let other = el("txt").attr("name", "_bp-lab-2.lab.test").attr("value", "\"x.lab.test A\"");
        entries.push(other.clone());
        let change = Change { was: Some(registry(100)), now: Some(registry(101)) };
        apply(&mut entries, &change).expect("applied");
        let new: Vec<&Element> = entries.iter().filter(|e| !before.contains(e)).collect();
        let had = |e: &&&Element| before.iter().any(|b| b.get("name") == e.get("name"));
        assert_eq!(new.iter().filter(had).count(), 0, "{new:?}");
        assert!(new.len() < before.len(), "parts that are the same stay");
        // Cut off between: both are there, and say all that either says.
        let both: Vec<Element> = before.iter().cloned().chain(new.into_iter().cloned()).collect();
        assert!(sets_of(&both).contains(&registry(101)));
        assert!(entries.contains(&other), "that of another lab stays");
    }

    #[test]
    fn a_text_that_would_kill_dnsmasq_is_refused() {
        let text = value::text([[b'x'; 250].as_slice(); 4]);
        let now = RecordSet { name: "a.lab.test".to_owned(), values: [text].into(), ..registry(0) };
        assert!(apply(&mut Vec::new(), &Change { was: None, now: Some(now) }).is_err());
    }
}
