//! firewalld: rich rules in the default zone, known as the lab's by a priority of its own.
//!
//! Rich rules come into the running firewall without a reload, which new zones, services and policies
//! need, and which is when Docker's rules were lost (moby #50443).

use crate::firewall::asked::{Asked, FIREWALLD_RUNS};
use crate::firewall::doors::What;
use crate::firewall::guard::Change;
use crate::firewall::walls::{Open, Rule, Walls};
use crate::step::Failure;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// firewalld's own interface on the system's bus: asked of it, not of `firewall-cmd`, which takes
/// a second to start.
const LIVE: &str = "busctl call org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1.zone getRichRules s ''";

/// Which interfaces are in which zones; those in none are in the default one.
const ZONES: &str = "busctl call org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1.zone getActiveZones";

/// A marker that firewalld did not run before bp started it.
const STARTED: &str = "/etc/bp/firewalld";

/// A firewalld that starts or ends flushes what was there: an engine that runs and does not make its
/// rules again is started again.
const DOCKER: &str = "if systemctl is-active -q docker && ! iptables -S DOCKER-USER >/dev/null 2>&1; then systemctl restart docker; fi";

/// The part of the question that is about firewalld.
pub fn question() -> String {
    format!(
        "[ ! -e {STARTED} ] || echo @firewalld-by-bp\n\
         if [ -e /etc/firewalld/firewalld.conf ]; then\n\
         z=$(sed -n 's/^DefaultZone=//p' /etc/firewalld/firewalld.conf)\n\
         echo @firewalld-zone; cat /etc/firewalld/zones/$z.xml 2>/dev/null || cat /usr/lib/firewalld/zones/$z.xml\n\
         if {FIREWALLD_RUNS}; then echo @firewalld-live; {LIVE}; echo @firewalld-zones; echo \"$z\"; {ZONES}; fi\n\
         fi"
    )
}

/// The priority of the lab's rules: out of its name, before those of zones, which have none.
fn priority(lab: &str) -> String {
    let digest = Sha256::digest(lab.as_bytes());
    let number = u16::from_be_bytes([digest[0], digest[1]]);
    format!("-{}", 2000 + u32::from(number) % 30000)
}

/// Whether anything of bp's own is there.
pub fn is_there(lab: &str, asked: &Asked) -> bool {
    asked.has("firewalld-by-bp") || !kept(lab, asked).is_empty() || !live(lab, asked).is_empty()
}

/// Why the host's wall is not the wanted one, in words; nothing where it is.
pub fn differences(walls: &Walls, asked: &Asked) -> Vec<String> {
    if !asked.has("firewalld-zone") {
        return vec!["firewalld is not there".to_owned()];
    }
    if !asked.has("firewalld") {
        return vec!["nothing is closed: firewalld does not run".to_owned()];
    }
    let has = live(&walls.lab, asked);
    let mut words = walls.differences(&has, &has);
    let zone = asked.part("firewalld-zone");
    if zone.iter().any(|l| l.contains("<zone ") && l.contains("target=\"ACCEPT\"")) {
        words.push("the default zone lets in what no rule forbids".to_owned());
    }
    if words.is_empty() && kept(&walls.lab, asked) != has {
        words.push("the walls would not come back like this at a boot".to_owned());
    }
    words
}

/// Zones of what runs on the host alone, or of what lets everything in.
const ELSEWHERE: [&str; 5] = ["docker", "libvirt", "libvirt-routed", "nm-shared", "trusted"];

/// An interface in a zone that has none of the lab's doors, and what the operator can do.
pub fn in_the_way(asked: &Asked) -> Option<Failure> {
    let [default, said] = asked.part("firewalld-zones") else { return None };
    // `a{sa{sas}} 1 "public" 1 "interfaces" 2 "eth0" "eth1"`
    let mut words = said.split(' ').skip(1).map(|w| w.trim_matches('"'));
    let zones = words.next()?.parse().ok()?;
    for _ in 0..zones {
        let zone = words.next()?;
        for _ in 0..words.next()?.parse().ok()? {
            let (kind, count) = (words.next()?, words.next()?.parse().ok()?);
            let bound: Vec<&str> = words.by_ref().take(count).collect();
            if kind != "interfaces" || zone == default || ELSEWHERE.contains(&zone) {
                continue;
            }
            if let Some(interface) = bound.first() {
                let failure = Failure::new(format!(
                    "{interface} is in firewalld's zone {zone}, and the doors are in the default one, {default}"
                ));
                return Some(failure.hint(format!(
                    "`firewall-cmd --permanent --zone={default} --change-interface={interface}` there, and without `--permanent`, or `--set-default-zone={zone}`"
                )));
            }
        }
    }
    None
}

/// What is open now, as far as it is the lab's.
pub fn open(walls: &Walls, asked: &Asked) -> Vec<Open> {
    walls.named(&live(&walls.lab, asked))
}

/// The rules that are missing added, those of bp's own that nobody wants removed: in the running
/// firewall, and then in its files.
pub fn change(walls: &Walls, asked: &Asked) -> Change {
    let content = content(&walls.lab, &walls.rules(), asked);
    let zone = "z=$(firewall-cmd --get-default-zone)\n\
                [ \"$(firewall-cmd --permanent --zone=\"$z\" --get-target)\" != ACCEPT ] || \
                { echo \"the default zone $z of firewalld lets everything in: choose another with firewall-cmd --set-default-zone\" >&2; exit 1; }";
    Change {
        content,
        load: format!(
            "{FIREWALLD_RUNS} || {{ systemctl unmask firewalld 2>/dev/null || :; systemctl start firewalld; }}\n\
             {zone}\n{}\n{}",
            cmd("+", "--add-rich-rule", LIVELY),
            cmd("-", "--remove-rich-rule", LIVELY)
        ),
        keep: format!(
            "mkdir -p /etc/bp; [ -e before/ran ] || : >{STARTED}\n{}\n{}\n\
             systemctl enable -q firewalld\n[ -e before/ran ] || {{ {DOCKER}; }}",
            cmd("k+", "--add-rich-rule", KEEPING),
            cmd("k-", "--remove-rich-rule", KEEPING)
        ),
        ..around(&walls.lab)
    }
}

/// The lab's rules removed; firewalld itself ends where bp started it, as it would close the doors
/// that are open without it.
pub fn removal(lab: &str, asked: &Asked) -> Change {
    let by_bp = asked.has("firewalld-by-bp");
    let (load, after) = match by_bp {
        true => (
            "systemctl stop firewalld".to_owned(),
            format!("systemctl disable -q firewalld\n{DOCKER}\n"),
        ),
        false => (cmd("-", "--remove-rich-rule", LIVELY), String::new()),
    };
    Change {
        content: content(lab, &BTreeSet::new(), asked),
        load,
        keep: format!(
            "keeping='firewall-cmd -q --permanent'; {{ {FIREWALLD_RUNS}; }} || keeping='firewall-offline-cmd -q'\n\
             {}\n{after}rm -f {STARTED}; rmdir /etc/bp 2>/dev/null || :",
            cmd("k-", "--remove-rich-rule", "$keeping")
        ),
        ..around(lab)
    }
}

/// Changes the running firewall alone.
const LIVELY: &str = "firewall-cmd -q";

/// Changes what comes back at a boot alone.
const KEEPING: &str = "firewall-cmd -q --permanent";

/// What is the same of every change: the lab's rules as they run are saved, and put back.
fn around(lab: &str) -> Change {
    let own = format!(
        "{{ firewall-cmd --list-rich-rules | grep '^rule priority=\"{}\" ' || :; }}",
        priority(lab)
    );
    Change {
        save: format!("if {FIREWALLD_RUNS}; then : >ran; {own}; fi >wanted"),
        restore: format!(
            "if [ -e ran ]; then\n\
             {FIREWALLD_RUNS} || systemctl start firewalld\n\
             {own} >../now\n\
             {{ grep -vxFf wanted ../now | sed 's/^/-/'; sed 's/^/+/' wanted; }} >../wanted; cd ..\n{}\n{}\n\
             else systemctl stop firewalld; fi\n{DOCKER}",
            cmd("+", "--add-rich-rule", LIVELY),
            cmd("-", "--remove-rich-rule", LIVELY)
        ),
        ..Change::default()
    }
}

/// A call of this program with all rules of the file `wanted` that begin like this; none where
/// there are none.
fn cmd(begins: &str, option: &str, program: &str) -> String {
    format!(
        "set --; while read -r l; do case $l in '{begins}rule '*) set -- \"$@\" \"{option}=${{l#{begins}}}\";; esac; done <wanted\n\
         [ $# = 0 ] || {program} \"$@\""
    )
}

/// One line for each rule to add and to remove, in the running firewall and in what is kept.
fn content(lab: &str, wanted: &BTreeSet<Rule>, asked: &Asked) -> String {
    let mut lines = String::new();
    for (kept, has) in [("", live(lab, asked)), ("k", kept(lab, asked))] {
        let add = wanted.difference(&has).map(|r| ("+", r));
        let remove = has.difference(wanted).map(|r| ("-", r));
        for (sign, rule) in add.chain(remove) {
            lines += &format!("{kept}{sign}{}\n", words(lab, rule));
        }
    }
    lines
}

/// A rule in firewalld's rich language.
fn words(lab: &str, rule: &Rule) -> String {
    let mut words = format!("rule priority=\"{}\"", priority(lab));
    if let Some(address) = rule.from {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        words += &format!(" family=\"{family}\" source address=\"{address}\"");
    }
    match rule.what.parts('-') {
        (protocol, Some(ports)) => {
            words += &format!(" port port=\"{ports}\" protocol=\"{protocol}\"");
        }
        (protocol, None) => words += &format!(" protocol value=\"{protocol}\""),
    }
    words + " accept"
}

/// The lab's rules in the running firewall.
fn live(lab: &str, asked: &Asked) -> BTreeSet<Rule> {
    let said = asked.part("firewalld-live").join(" ").replace("\\\"", "'");
    said.split("\"rule ").skip(1).filter_map(|rule| read(lab, rule)).collect()
}

/// The lab's rules in the zone's file.
fn kept(lab: &str, asked: &Asked) -> BTreeSet<Rule> {
    let file = asked.part("firewalld-zone").join(" ").replace('"', "'");
    let rules = file.split("<rule ").skip(1).filter_map(|r| r.split("</rule>").next());
    rules.filter_map(|rule| read(lab, rule)).collect()
}

/// A rule as its language and as its file have it; both say `port port='80' protocol='tcp'`.
fn read(lab: &str, rule: &str) -> Option<Rule> {
    let after = |key: &str| rule.split_once(&format!("{key}='"))?.1.split('\'').next();
    if after("priority")? != priority(lab) || !rule.contains("accept") {
        return None;
    }
    let what = match after("protocol value") {
        Some(protocol) => What::read(protocol, "")?,
        None => What::read(after("' protocol")?, after("port port")?)?,
    };
    let from = match after("source address") {
        Some(address) => Some(address.parse().ok()?),
        None => None,
    };
    Some(Rule { what, from })
}
