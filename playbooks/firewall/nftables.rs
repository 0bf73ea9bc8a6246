//! nftables: one table of bp's own, replaced in one transaction. Nobody else's rules are touched.
//!
//! The table judges what comes in for the host itself. What Docker forwards to containers is
//! Docker's: published ports pass through its own chains.

use crate::firewall::asked::Asked;
use crate::firewall::doors::Who;
use crate::firewall::guard::Change;
use crate::firewall::walls::{Open, Walls, off_and_missing};
use crate::step::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The rules as they come back at boot. Not Debian's /etc/nftables.conf: that one begins with
/// `flush ruleset`, and so ends Docker's rules whenever it is loaded.
fn kept(lab: &str) -> String {
    format!("/etc/bp/firewall-{lab}.nft")
}

fn unit(lab: &str) -> String {
    format!("/etc/systemd/system/bp-firewall-{lab}.service")
}

fn wanted_by(lab: &str) -> String {
    format!("/etc/systemd/system/sysinit.target.wants/bp-firewall-{lab}.service")
}

/// Loads the file before any network is up; and again where Debian's own unit, whose file flushes
/// every table, was loaded again.
fn service(lab: &str) -> String {
    let file = kept(lab);
    format!(
        "[Unit]
Description=The walls of a lab of bp
DefaultDependencies=no
After=local-fs.target nftables.service
Before=network-pre.target shutdown.target docker.service
Wants=network-pre.target
Conflicts=shutdown.target
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {file}
ExecReload=/usr/sbin/nft -f {file}

[Install]
WantedBy=sysinit.target
"
    )
}

/// What every wall lets through besides its doors, as nft lists it.
const ALWAYS: [&str; 6] = [
    "iifname \"lo\" accept",
    "ct state established,related accept",
    "icmp type echo-request accept",
    "icmpv6 type { echo-request, mld-listener-query, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",
    "udp sport 67 udp dport 68 accept",
    "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
];

/// The chain's first line: what no rule lets in is dropped.
const DENY: &str = "type filter hook input priority filter; policy drop;";

/// The table's name. A lab's name has dashes, which nft does not take, and no underscores.
pub fn table(lab: &str) -> String {
    format!("bp_{}", lab.replace('-', "_"))
}

/// The part of the question that is about nftables.
pub fn question(lab: &str) -> String {
    format!(
        "if command -v nft >/dev/null; then\n\
         echo @nft\n\
         echo @table; nft -s list table inet {} 2>/dev/null\n\
         echo @chains; nft list chains 2>/dev/null\n\
         echo @file; cat {} 2>/dev/null\n\
         echo @unit; cat {} 2>/dev/null\n\
         [ ! -L {} ] || echo @enabled\n\
         fi",
        table(lab),
        kept(lab),
        unit(lab),
        wanted_by(lab)
    )
}

/// Another table that drops what comes in, and what the operator can do: what one of them lets in
/// the other still drops.
pub fn in_the_way(lab: &str, asked: &Asked) -> Option<Failure> {
    let own = format!("inet {}", table(lab));
    let mut inside = "";
    for line in asked.part("chains").iter().map(|l| l.trim()) {
        if let Some(name) = line.strip_prefix("table ") {
            inside = name.trim_end_matches(" {");
        } else if inside != own && line.contains(" hook input ") && line.contains("policy drop") {
            let failure =
                Failure::new(format!("another table of nftables, {inside}, drops what comes in"));
            return Some(failure.hint(match inside.strip_prefix("inet bp_") {
                Some(other) => format!(
                    "it is bp's, of a lab {}: `bp destroy` of that one, or, where its blueprint is gone, \
                     `nft delete table {inside}` there and its files in /etc/bp and /etc/systemd/system",
                    other.replace('_', "-")
                ),
                None => format!("`nft delete table {inside}` there, and no file that loads it, or `backend: none`"),
            }));
        }
    }
    None
}

/// Whether anything of bp's own is there.
pub fn is_there(asked: &Asked) -> bool {
    ["table", "file", "unit"].iter().any(|part| !asked.part(part).is_empty())
}

/// Why the host's wall is not the wanted one, in words; nothing where it is.
pub fn differences(walls: &Walls, asked: &Asked) -> Vec<String> {
    if !asked.has("nft") {
        return vec!["nft is not there".to_owned()];
    }
    let (live, wanted) = (Table::read(asked.part("table")), Table::wanted(walls));
    if live == Table::default() {
        return vec!["nothing is closed".to_owned()];
    }
    let mut words = off_and_missing(&live.open(), &wanted.open());
    let (all, expected) = (live.plain(), wanted.plain());
    words.extend(expected.iter().filter(|l| !all.contains(l)).map(|l| format!("`{l}` is missing")));
    words.extend(
        all.iter()
            .filter(|l| !expected.contains(l))
            .map(|l| format!("`{l}` is there, the blueprint does not say so")),
    );
    let sets: BTreeSet<&String> = live.sets.keys().chain(wanted.sets.keys()).collect();
    for name in sets {
        let of = |table: &Table| table.sets.get(name).cloned().unwrap_or_default();
        let (has, wants) = (of(&live), of(&wanted));
        words.extend(wants.difference(&has).map(|a| format!("{a} is not among {name}")));
        words.extend(
            has.difference(&wants)
                .map(|a| format!("{a} is among {name}, the blueprint does not say so")),
        );
    }
    if words.is_empty() && live != wanted {
        words.push("a rule is there twice".to_owned());
    }
    if words.is_empty() {
        let kept = asked.part("file").join("\n") + "\n" == file(walls);
        let service = service(&walls.lab);
        let unit = asked.part("unit").join("\n") + "\n" == service && asked.has("enabled");
        if !kept || !unit {
            words.push("the walls would not come back like this at a boot".to_owned());
        }
    }
    words
}

/// What is open now.
pub fn open(asked: &Asked) -> Vec<Open> {
    Table::read(asked.part("table")).open()
}

/// The whole table replaced.
pub fn change(walls: &Walls) -> Change {
    let lab = &walls.lab;
    let (kept, unit, wanted_by) = (kept(lab), unit(lab), wanted_by(lab));
    let keep = format!(
        "mkdir -p /etc/bp; cp wanted {kept}.new; chmod 644 {kept}.new; mv -f {kept}.new {kept}\n\
         cat >{unit}.new <<'END'\n{service}END\n\
         chmod 644 {unit}.new; mv -f {unit}.new {unit}\n\
         mkdir -p {dir}; ln -sfn ../bp-firewall-{lab}.service {wanted_by}\n\
         if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl restart bp-firewall-{lab}; fi",
        service = service(lab),
        dir = wanted_by.rsplit_once('/').map_or("", |(dir, _)| dir),
    );
    Change { content: file(walls), load: "nft -f wanted".to_owned(), keep, ..around(lab) }
}

/// The table and all that loads it taken away.
pub fn removal(lab: &str) -> Change {
    let table = table(lab);
    let load = format!("printf 'table inet {table}\\ndelete table inet {table}\\n' | nft -f -");
    let keep = format!(
        "rm -f {} {} {}; rmdir /etc/bp 2>/dev/null || :\n\
         if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl stop bp-firewall-{lab} 2>/dev/null || :; fi",
        wanted_by(lab),
        unit(lab),
        kept(lab)
    );
    Change { content: String::new(), load, keep, ..around(lab) }
}

/// What is the same of every change: how what is there before is saved, and put back.
fn around(lab: &str) -> Change {
    let table = table(lab);
    Change {
        save: format!(
            "all=$(nft list tables)\n\
             case $all in *'table inet {table}'*) nft -s list table inet {table} >table;; *) : >table;; esac"
        ),
        restore: format!(
            "{{ printf 'table inet {table}\\ndelete table inet {table}\\n'; cat table; }} | nft -f -"
        ),
        ..Change::default()
    }
}

/// The file that replaces the table: made where it is absent, so that deleting it never fails.
fn file(walls: &Walls) -> String {
    let (name, wanted) = (table(&walls.lab), Table::wanted(walls));
    let mut text = format!("table inet {name}\ndelete table inet {name}\ntable inet {name} {{\n");
    for (set, addresses) in &wanted.sets {
        let kind = if set.ends_with("v6") { "ipv6_addr" } else { "ipv4_addr" };
        let all: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        text += &format!(
            "\tset {set} {{\n\t\ttype {kind}\n\t\telements = {{ {} }}\n\t}}\n",
            all.join(", ")
        );
    }
    text += "\tchain input {\n";
    for line in &wanted.lines {
        text += &format!("\t\t{line}\n");
    }
    text + "\t}\n}\n"
}

/// The table as nft lists it, line by line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    sets: BTreeMap<String, BTreeSet<IpAddr>>,
    lines: Vec<String>,
}

impl Table {
    fn wanted(walls: &Walls) -> Self {
        let mut sets = BTreeMap::new();
        for (who, addresses) in &walls.addresses {
            for (family, v4) in [("v4", true), ("v6", false)] {
                let some: BTreeSet<IpAddr> =
                    addresses.iter().copied().filter(|a| a.is_ipv4() == v4).collect();
                if !some.is_empty() {
                    sets.insert(format!("{}_{family}", who.as_str()), some);
                }
            }
        }
        let mut lines = vec![DENY.to_owned()];
        lines.extend(ALWAYS.map(str::to_owned));
        for door in &walls.doors {
            let what = match door.what.parts('-') {
                (protocol, Some(ports)) => format!("{protocol} dport {ports}"),
                (protocol, None) => format!("meta l4proto {protocol}"),
            };
            let end = format!("{what} accept comment \"{}\"", door.why);
            if door.from == Who::Anyone {
                lines.push(end);
                continue;
            }
            for (family, word) in [("v4", "ip"), ("v6", "ip6")] {
                let set = format!("{}_{family}", door.from.as_str());
                if sets.contains_key(&set) {
                    lines.push(format!("{word} saddr @{set} {end}"));
                }
            }
        }
        Self { sets, lines }
    }

    /// Reads a listing: what stands in a set's braces, and every line of a chain.
    fn read(listing: &[String]) -> Self {
        let mut table = Self::default();
        let mut inside: Option<String> = None;
        for line in listing.iter().map(|l| l.trim()) {
            let mut words = line.split_whitespace();
            match (words.next(), &inside) {
                (None | Some("table"), _) => {}
                (Some("set"), None) => {
                    let name = words.next().unwrap_or_default().to_owned();
                    table.sets.insert(name.clone(), BTreeSet::new());
                    inside = Some(name);
                }
                (Some("chain"), None) => {
                    let name = words.next().unwrap_or_default();
                    if name != "input" {
                        table.lines.push(format!("chain {name}"));
                    }
                    inside = Some(String::new());
                }
                (Some("}"), _) => inside = None,
                (Some(_), Some(set)) if !set.is_empty() => {
                    let elements = line.trim_start_matches("elements = {").trim_end_matches('}');
                    let found = elements.split(',').filter_map(|e| e.trim().parse().ok());
                    if let Some(set) = table.sets.get_mut(set) {
                        set.extend::<Vec<IpAddr>>(found.collect());
                    }
                }
                (Some(_), _) => table.lines.push(line.to_owned()),
            }
        }
        table
    }

    /// The doors among its lines.
    fn open(&self) -> Vec<Open> {
        self.lines.iter().filter_map(|l| door(l)).collect()
    }

    /// Its lines that are no doors.
    fn plain(&self) -> Vec<&String> {
        self.lines.iter().filter(|l| door(l).is_none()).collect()
    }
}

/// `ip saddr @nodes_v4 tcp dport 2377 accept comment "swarm"` as a door.
fn door(line: &str) -> Option<Open> {
    let rule = line.split(" comment ").next()?.strip_suffix(" accept")?;
    let (from, what) = match rule.strip_prefix("ip saddr ").or(rule.strip_prefix("ip6 saddr ")) {
        Some(rest) => rest.split_once(' ')?,
        None => ("anyone", rule),
    };
    let what = match what.split(' ').collect::<Vec<_>>()[..] {
        [protocol @ ("tcp" | "udp"), "dport", port] => format!("{port}/{protocol}"),
        ["meta", "l4proto", "esp"] => "esp".to_owned(),
        _ => return None,
    };
    let from = from.trim_start_matches('@').trim_end_matches("_v4").trim_end_matches("_v6");
    Some(Open { what, from: from.to_owned() })
}
