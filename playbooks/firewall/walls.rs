//! A host's wall as it should be: its doors, with the addresses of those who go through.

use crate::cx::Cx;
use crate::dns_records::fixed;
use crate::firewall::doors::{Door, What, Who};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A host's wall.
#[derive(Clone, Debug)]
pub struct Walls {
    /// The lab's name, by which its rules are known.
    pub lab: String,
    /// Its doors.
    pub doors: Vec<Door>,
    /// The addresses of the groups that go through some of them.
    pub addresses: BTreeMap<Who, BTreeSet<IpAddr>>,
}

/// A door for one address, as ufw and firewalld know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// What goes through.
    pub what: What,
    /// Who goes through; `None`: everybody.
    pub from: Option<IpAddr>,
}

/// A door as it is found on a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Open {
    /// `80/tcp`, `esp`.
    pub what: String,
    /// `anyone`, the name of a group, or an address.
    pub from: String,
}

impl std::fmt::Display for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.from.as_str() {
            "anyone" => f.write_str(&self.what),
            from => write!(f, "{} from {from}", self.what),
        }
    }
}

impl Walls {
    /// With the addresses as the machines have them now.
    ///
    /// # Errors
    /// Whose address is not known yet.
    pub async fn of(cx: &Cx, doors: &[Door]) -> Result<Self, String> {
        let mut addresses = BTreeMap::new();
        for who in Who::GROUPS.into_iter().filter(|w| doors.iter().any(|d| d.from == *w)) {
            let mut of_group = BTreeSet::new();
            for host in who.hosts(cx.lab()) {
                let machine = cx.machine(&host.name).await?;
                // A machine that is off keeps the address that the blueprint gives it.
                let address = machine.and_then(|m| m.address).or(fixed(host));
                let unknown = || format!("the address of {} is not known yet", host.name);
                of_group.insert(address.ok_or_else(unknown)?);
            }
            addresses.insert(who, of_group);
        }
        Ok(Self { lab: cx.lab().name.clone(), doors: doors.to_vec(), addresses })
    }

    /// Its doors, one for each address.
    pub fn rules(&self) -> BTreeSet<Rule> {
        self.doors.iter().flat_map(|door| self.of_door(door)).collect()
    }

    fn of_door(&self, door: &Door) -> Vec<Rule> {
        let rule = |from| Rule { what: door.what, from };
        match self.addresses.get(&door.from) {
            Some(addresses) => addresses.iter().map(|a| rule(Some(*a))).collect(),
            None => vec![rule(None)],
        }
    }

    /// These rules as doors: under a group's name where all of the group is there.
    pub fn named(&self, rules: &BTreeSet<Rule>) -> Vec<Open> {
        let (mut rest, mut open) = (rules.clone(), Vec::new());
        for door in &self.doors {
            let all = self.of_door(door);
            if all.iter().all(|r| rules.contains(r)) {
                rest.retain(|r| !all.contains(r));
                open.push(Open::of(door));
            }
        }
        open.extend(rest.iter().map(|rule| Open {
            what: rule.what.to_string(),
            from: rule.from.map_or_else(|| "anyone".to_owned(), |a| a.to_string()),
        }));
        open
    }

    /// What differs, in words: of these rules, and of those among them that are the lab's own.
    pub fn differences(&self, has: &BTreeSet<Rule>, own: &BTreeSet<Rule>) -> Vec<String> {
        let wanted = self.rules();
        let missing = self.named(&wanted.difference(has).copied().collect());
        let more = self.named(&own.difference(&wanted).copied().collect());
        let missing = missing.iter().map(|o| format!("{o} is not open"));
        missing
            .chain(more.iter().map(|o| format!("{o} is open, the blueprint does not say so")))
            .collect()
    }
}

impl Open {
    /// A door as it would be found.
    pub fn of(door: &Door) -> Self {
        Self { what: door.what.to_string(), from: door.from.as_str().to_owned() }
    }
}

/// What is not open, and what is that should not be, in words.
pub fn off_and_missing(live: &[Open], wanted: &[Open]) -> Vec<String> {
    let missing = wanted.iter().filter(|o| !live.contains(o));
    let more = live.iter().filter(|o| !wanted.contains(o));
    let mut words: Vec<String> = missing.map(|o| format!("{o} is not open")).collect();
    words.extend(more.map(|o| format!("{o} is open, the blueprint does not say so")));
    words.dedup();
    words
}
