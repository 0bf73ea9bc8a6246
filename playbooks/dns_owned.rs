//! Whose a record is. Each lab has a registry in each zone: a TXT record set that lists, one string
//! each, the record sets that the lab made there. It is written together with them, so what it does
//! not list is somebody else's.

use crate::step::Failure;
use providers::dns::{Change, RecordSet, registrar, registry, value};
use std::collections::BTreeSet;

/// Seconds that a registry may be kept; nobody but bp asks for it.
const TTL: u32 = 60;

/// What begins an entry of a registry that names another zone with a registry of the same lab.
const ZONE: &str = "zone ";

/// The entries of the lab's registry in a zone: `<name> <kind>`, or `zone <zone>`.
pub fn entries(lab: &str, zone: &str, there: &[RecordSet]) -> BTreeSet<String> {
    let name = registry(lab, zone);
    let of_lab = there.iter().filter(|s| s.name == name && s.kind == "TXT");
    let strings = of_lab.flat_map(|s| &s.values).flat_map(|v| value::strings(v));
    strings.map(|s| String::from_utf8_lossy(&s).into_owned()).collect()
}

/// What registries of other labs list. Two that began at once may both list a record: then it is
/// nobody's to change, and the last to go takes it away.
fn of_others(lab: &str, zone: &str, there: &[RecordSet]) -> BTreeSet<String> {
    let labs = there.iter().filter(|s| s.kind == "TXT").filter_map(|s| registrar(&s.name, zone));
    labs.filter(|other| *other != lab).flat_map(|other| entries(other, zone, there)).collect()
}

/// The other zones that a registry lists.
pub fn zones(entries: &BTreeSet<String>) -> BTreeSet<String> {
    entries.iter().filter_map(|e| e.strip_prefix(ZONE)).map(str::to_owned).collect()
}

/// The record sets that a registry lists, by name and kind.
pub fn listed(entries: &BTreeSet<String>) -> impl Iterator<Item = (&str, &str)> {
    entries.iter().filter(|e| !e.starts_with(ZONE)).filter_map(|e| e.split_once(' '))
}

/// What makes a zone right: what differs, in words, and the changes that mend it, all at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// One sentence a difference.
    pub words: Vec<String>,
    /// The changes, the registry's among them.
    pub changes: Vec<Change>,
}

/// Compares what is in a zone with what the lab wants there. `others` are the other zones that the
/// lab's registry here is to list.
///
/// # Errors
/// Which names are taken, and by whom.
pub fn differences(
    lab: &str,
    zone: &str,
    there: &[RecordSet],
    wanted: &[RecordSet],
    others: &BTreeSet<String>,
) -> Result<Differences, Failure> {
    let (mine, theirs) = (entries(lab, zone, there), of_others(lab, zone, there));
    let (mut differ, mut taken) = (Differences::default(), Vec::new());
    let mut owned: BTreeSet<String> = others.iter().map(|z| format!("{ZONE}{z}")).collect();
    for set in wanted {
        let key = key(set);
        let has = there.iter().find(|s| s.name == set.name && s.kind == set.kind);
        let beside = there.iter().filter(|s| s.name == set.name && s.kind != set.kind);
        let in_the_way: Vec<&RecordSet> = beside
            .filter(|s| s.kind == "CNAME" || set.kind == "CNAME")
            .filter(|s| !mine.contains(&self::key(s)))
            .collect();
        match has {
            _ if !in_the_way.is_empty() => taken.extend(in_the_way),
            None => {
                differ.words.push(format!("{} {} is missing", set.name, set.kind));
                owned.insert(key);
                differ.changes.push(Change { was: None, now: Some(set.clone()) });
            }
            Some(has) if mine.contains(&key) && theirs.contains(&key) => taken.push(has),
            Some(has) if mine.contains(&key) => {
                if has != set {
                    differ.words.push(difference(has, set));
                    let (was, now) = (Some(has.clone()), Some(set.clone()));
                    differ.changes.push(Change { was, now });
                }
                owned.insert(key);
            }
            // It is right, and whoever made it may keep it.
            Some(has) if has.values == set.values => {}
            Some(has) => taken.push(has),
        }
    }
    if !taken.is_empty() {
        return Err(conflict(lab, zone, there, &taken));
    }
    for (name, kind) in listed(&mine) {
        if wanted.iter().any(|s| s.name == name && s.kind == kind) {
            continue;
        }
        match there.iter().find(|s| s.name == name && s.kind == kind) {
            Some(_) if theirs.contains(&format!("{name} {kind}")) => {
                differ.words.push(format!("the registry lists {name} {kind} of another lab"));
            }
            Some(has) => {
                let values = values(has);
                differ.words.push(format!("{name} {kind} {values} is not in the blueprint"));
                differ.changes.push(Change { was: Some(has.clone()), now: None });
            }
            None => differ.words.push(format!("the registry lists {name} {kind}, which is gone")),
        }
    }
    if owned != mine {
        let was = there.iter().find(|s| s.name == registry(lab, zone) && s.kind == "TXT").cloned();
        let now = (!owned.is_empty()).then(|| RecordSet {
            name: registry(lab, zone),
            kind: "TXT".to_owned(),
            ttl: TTL,
            values: owned.iter().map(|e| value::text([e.as_bytes()])).collect(),
        });
        if differ.words.is_empty() {
            differ.words.push(format!("the registry of zone {zone} is not what the lab owns"));
        }
        differ.changes.push(Change { was, now });
    }
    Ok(differ)
}

/// The changes that take everything of the lab out of a zone.
pub fn removal(lab: &str, zone: &str, there: &[RecordSet]) -> Vec<Change> {
    let mut mine = entries(lab, zone, there);
    mine.retain(|entry| !of_others(lab, zone, there).contains(entry));
    let name = registry(lab, zone);
    let is_mine = |s: &&RecordSet| mine.contains(&key(s)) || (s.name == name && s.kind == "TXT");
    there.iter().filter(is_mine).map(|s| Change { was: Some(s.clone()), now: None }).collect()
}

fn key(set: &RecordSet) -> String {
    format!("{} {}", set.name, set.kind)
}

/// The values of a set in one line.
pub fn values(set: &RecordSet) -> String {
    set.values.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn difference(has: &RecordSet, wants: &RecordSet) -> String {
    let what = format!("{} {}", wants.name, wants.kind);
    if has.values == wants.values {
        return format!("{what} may be kept {} s, not {} s", has.ttl, wants.ttl);
    }
    format!("{what} is {}, not {}", values(has), values(wants))
}

fn conflict(lab: &str, zone: &str, there: &[RecordSet], taken: &[&RecordSet]) -> Failure {
    let whose = |set: &RecordSet| {
        let lists = |other: &&RecordSet| {
            registrar(&other.name, zone)
                .is_some_and(|of| of != lab && entries(of, zone, there).contains(&key(set)))
        };
        match there.iter().find(lists).and_then(|s| registrar(&s.name, zone)) {
            Some(lab) => format!("it is a record of the lab `{lab}`"),
            None => "no lab of bp made it".to_owned(),
        }
    };
    let mut words: Vec<String> = taken
        .iter()
        .map(|set| format!("{} {} is {}, and {}", set.name, set.kind, values(set), whose(set)))
        .collect();
    words.dedup();
    Failure::new(words.join("\n"))
        .hint("give the host or record another name, or remove what is there if nobody needs it")
}
