//! ufw: its own rules, made with its own command, known as the lab's by their comment.
//!
//! `ufw` changes its files and the kernel in one go. So the change is made in a copy of its files,
//! the kernel is given that copy, and only a confirmed copy takes the place of the files.

use crate::firewall::asked::{Asked, UFW_IS_ON};
use crate::firewall::doors::What;
use crate::firewall::guard::Change;
use crate::firewall::walls::{Open, Rule, Walls};
use crate::step::Failure;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A marker that ufw was off before bp turned it on.
const TURNED_ON: &str = "/etc/bp/ufw";

/// The comment of the lab's rules.
fn comment(lab: &str) -> String {
    format!("bp {lab}")
}

/// The part of the question that is about ufw.
pub fn question() -> String {
    format!(
        "if [ -e /etc/ufw/ufw.conf ]; then\n\
         echo @ufw-file; cat /etc/ufw/user.rules /etc/ufw/user6.rules 2>/dev/null\n\
         echo @ufw-settings; cat /etc/default/ufw\n\
         echo @ufw-live; for i in iptables ip6tables; do $i -S INPUT; done 2>/dev/null\n\
         iptables -S ufw-user-input 2>/dev/null; ip6tables -S ufw6-user-input 2>/dev/null\n\
         [ ! -e {TURNED_ON} ] || echo @ufw-by-bp\n\
         fi"
    )
}

/// Whether anything of bp's own is there.
pub fn is_there(lab: &str, asked: &Asked) -> bool {
    asked.has("ufw-by-bp") || !Written::read(lab, asked).own.is_empty()
}

/// Why the host's wall is not the wanted one, in words; nothing where it is.
pub fn differences(walls: &Walls, asked: &Asked) -> Vec<String> {
    if !asked.has("ufw-file") {
        return vec!["ufw is not there".to_owned()];
    }
    if !asked.has("ufw") {
        return vec!["nothing is closed: ufw is off".to_owned()];
    }
    let written = Written::read(&walls.lab, asked);
    let mut words = walls.differences(&written.all, &written.own);
    if !written.denies {
        words.push("ufw lets in what no rule forbids".to_owned());
    }
    if words.is_empty() {
        words = written.not_loaded(&walls.lab, asked);
    }
    words
}

/// What is open now.
pub fn open(walls: &Walls, asked: &Asked) -> Vec<Open> {
    if !asked.has("ufw") {
        return Vec::new();
    }
    walls.named(&Written::read(&walls.lab, asked).all)
}

/// The rules that are missing added, those of bp's own that nobody wants deleted.
pub fn change(walls: &Walls, asked: &Asked) -> Change {
    let (written, wanted) = (Written::read(&walls.lab, asked), walls.rules());
    let mut content = String::new();
    for rule in wanted.difference(&written.all) {
        content += &format!("allow {} comment '{}'\n", words(rule), comment(&walls.lab));
    }
    for rule in written.own.difference(&wanted) {
        content += &format!("delete allow {}\n", words(rule));
    }
    let deny = "sed -i 's/^DEFAULT_INPUT_POLICY=.ACCEPT.*/DEFAULT_INPUT_POLICY=\"DROP\"/' stage/etc/default/ufw\n\
                sed -i 's/^ENABLED=.*/ENABLED=yes/' stage/etc/ufw/ufw.conf";
    Change {
        content,
        prepare: format!("{STAGE}\n{deny}"),
        load: "/lib/ufw/ufw-init --datadir \"$PWD/stage\" force-reload".to_owned(),
        keep: format!(
            "mkdir -p /etc/bp; {UFW_IS_ON} || : >{TURNED_ON}\n{UNSTAGE}\n\
             [ ! -d /run/systemd/system ] || systemctl enable -q ufw"
        ),
        ..around()
    }
}

/// The lab's rules deleted, and ufw off again where bp turned it on.
pub fn removal(lab: &str, asked: &Asked) -> Change {
    let own = Written::read(lab, asked).own;
    let content = own.iter().map(|rule| format!("delete allow {}\n", words(rule))).collect();
    let was_on = asked.has("ufw") && !asked.has("ufw-by-bp");
    let (enabled, load) = match was_on {
        true => ("yes", "/lib/ufw/ufw-init --datadir \"$PWD/stage\" force-reload"),
        false => ("no", "/lib/ufw/ufw-init force-stop\n. before/policies"),
    };
    Change {
        content,
        prepare: format!(
            "{STAGE}\nsed -i 's/^ENABLED=.*/ENABLED={enabled}/' stage/etc/ufw/ufw.conf"
        ),
        load: load.to_owned(),
        keep: format!("{UNSTAGE}\nrm -f {TURNED_ON}; rmdir /etc/bp 2>/dev/null || :"),
        ..around()
    }
}

/// A copy of ufw's files, off, so that the command changes it alone.
const STAGE: &str = "rm -rf stage; mkdir -p stage/etc/default stage/lib/ufw
cp -a /etc/ufw stage/etc/; cp -a /etc/default/ufw stage/etc/default/
sed -i 's/^ENABLED=.*/ENABLED=no/' stage/etc/ufw/ufw.conf
while read -r rule; do eval \"ufw --datadir='$PWD/stage' $rule\" >/dev/null; done <wanted";

/// The copy takes the place of the files; what turns it on at boot comes last.
const UNSTAGE: &str = "for f in ufw/user.rules ufw/user6.rules default/ufw ufw/ufw.conf; do
cp -p stage/etc/$f /etc/$f.new; mv -f /etc/$f.new /etc/$f; done";

/// What is the same of every change: ufw's own files are still those before it. A stopped ufw
/// opens what is forwarded, which Docker keeps closed.
fn around() -> Change {
    Change {
        save: "for i in iptables ip6tables; do $i -S FORWARD 2>/dev/null | sed -n \"s/^-P/$i -P/p\"; done >policies".to_owned(),
        restore: format!(
            "if {UFW_IS_ON}; then /lib/ufw/ufw-init force-reload; else /lib/ufw/ufw-init force-stop; . ./policies; fi"
        ),
        ..Change::default()
    }
}

/// A rule in the words of ufw's command.
fn words(rule: &Rule) -> String {
    let from = rule.from.map_or_else(|| "any".to_owned(), |a| a.to_string());
    match rule.what.parts(':') {
        (protocol, Some(ports)) => format!("proto {protocol} from {from} to any port {ports}"),
        (protocol, None) => format!("proto {protocol} from {from}"),
    }
}

/// ufw's rules as they are written in its files.
struct Written {
    /// What they let in.
    all: BTreeSet<Rule>,
    /// What those of the lab let in.
    own: BTreeSet<Rule>,
    /// Whether the rest is denied.
    denies: bool,
    /// Whether IPv6 is ufw's too.
    v6: bool,
}

impl Written {
    fn read(lab: &str, asked: &Asked) -> Self {
        let settings = asked.part("ufw-settings");
        let says = |key: &str, values: &[&str]| {
            let value = settings.iter().rev().find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
            value.is_some_and(|v| {
                values.contains(&v.trim_matches(['"', '\'']).to_lowercase().as_str())
            })
        };
        let denies = says("DEFAULT_INPUT_POLICY", &["drop", "reject"]);
        let v6 = says("IPV6", &["yes"]);
        let tag = tag(lab);
        let lines = asked.part("ufw-file").iter();
        let tuples: Vec<Tuple> =
            lines.flat_map(|line| tuple(line, &tag)).filter(|t| t.opens).collect();
        // Everybody is two rules where IPv6 is ufw's too.
        let whole = |rule: &Rule, own: bool| {
            let has = |six: bool| {
                tuples.iter().any(|t| t.rule == *rule && t.six == six && (t.own || !own))
            };
            match rule.from {
                None if own => has(false) || has(true),
                None => has(false) && (has(true) || !v6),
                Some(address) => has(address.is_ipv6()),
            }
        };
        let rules = |own: bool| tuples.iter().map(|t| t.rule).filter(|r| whole(r, own)).collect();
        Self { all: rules(false), own: rules(true), denies, v6 }
    }

    /// What of the lab's rules and of ufw's hooks is not in the kernel, in words. Other rules, which
    /// the kernel lists in many more ways than ufw writes them, are the operator's.
    fn not_loaded(&self, lab: &str, asked: &Asked) -> Vec<String> {
        let live: Vec<String> = asked.part("ufw-live").iter().map(|l| plain(l)).collect();
        let mut wanted =
            vec!["-P INPUT DROP".to_owned(), "-A INPUT -j ufw-before-input".to_owned()];
        if self.v6 {
            wanted.push("-A INPUT -j ufw6-before-input".to_owned());
        }
        let (tag, mut own) = (tag(lab), false);
        for line in asked.part("ufw-file") {
            if line.starts_with("### ") {
                own = line.split(' ').any(|word| word == tag);
            } else if own
                && (line.starts_with("-A ufw-user-input ")
                    || (self.v6 && line.starts_with("-A ufw6-user-input ")))
            {
                wanted.push(plain(line));
            }
        }
        let missing = wanted.iter().filter(|l| !live.contains(l));
        missing.map(|l| format!("`{l}` is not loaded")).collect()
    }
}

/// How the lab's rules are marked in ufw's files.
fn tag(lab: &str) -> String {
    let hex: String = comment(lab).bytes().map(|b| format!("{b:02x}")).collect();
    format!("comment={hex}")
}

/// A rule as ufw's files say it.
struct Tuple {
    rule: Rule,
    /// Whether it is for IPv6.
    six: bool,
    /// Whether it is the lab's.
    own: bool,
    /// Whether it lets in, or shuts.
    opens: bool,
}

/// `### tuple ### allow tcp 2377 0.0.0.0/0 any 10.20.30.11 in comment=...`, or one that shuts, such
/// as `### tuple ### deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 in`: the rules that it stands for.
fn tuple(line: &str, tag: &str) -> Vec<Tuple> {
    let Some(rest) = line.strip_prefix("### tuple ### ") else { return Vec::new() };
    let words: Vec<&str> = rest.split(' ').collect();
    let [action, protocol, ports, to, "any", from, "in", end @ ..] = &words[..] else {
        return Vec::new();
    };
    // `allow_log` and the like do the same, and say so.
    let opens = match action.split('_').next() {
        Some("allow" | "limit") => true,
        Some("deny" | "reject") => false,
        _ => return Vec::new(),
    };
    if !["0.0.0.0/0", "::/0"].contains(to) {
        return Vec::new();
    }
    let from: Option<IpAddr> = match *from {
        "0.0.0.0/0" | "::/0" => None,
        address => match address.parse() {
            Ok(address) => Some(address),
            Err(_) => return Vec::new(),
        },
    };
    let protocols: &[&str] = if *protocol == "any" { &["tcp", "udp"] } else { &[protocol] };
    let whats = protocols.iter().filter_map(|p| What::read(p, ports));
    let (six, own) = (to.contains(':'), end.contains(&tag));
    whats.map(|what| Tuple { rule: Rule { what, from }, six, own, opens }).collect()
}

/// What of the wanted doors an earlier rule shuts, and what the operator can do. ufw takes the
/// first rule that fits, and bp's come last.
pub fn in_the_way(walls: &Walls, asked: &Asked) -> Option<Failure> {
    let tag = tag(&walls.lab);
    let tuples: Vec<Tuple> =
        asked.part("ufw-file").iter().flat_map(|line| tuple(line, &tag)).collect();
    walls.rules().into_iter().find_map(|wanted| {
        let shuts = |t: &Tuple| {
            let from = t.rule.from.is_none() || t.rule.from == wanted.from;
            !t.opens && from && t.rule.what.meets(wanted.what)
        };
        let first = |six: bool| {
            let family = || tuples.iter().filter(move |t| t.six == six);
            family().find(|t| shuts(t) || (t.opens && t.rule == wanted)).filter(|t| shuts(t))
        };
        let shut = first(false).or(first(true))?;
        let (what, words) = (wanted.what, words(&shut.rule));
        let failure = Failure::new(format!("a rule of ufw shuts {what}, which has to be open"));
        Some(
            failure
                .hint(format!("`ufw delete deny {words}` there, or `ufw delete reject {words}`")),
        )
    })
}

/// A rule as both ufw's files and the kernel's listing have it, its words in one order.
fn plain(line: &str) -> String {
    let mut words: Vec<&str> = line.split(' ').collect();
    // Nothing of it but `-A chain` has an order.
    let mut rest = words.split_off(2.min(words.len()));
    if rest.first() == Some(&"-j") || words.first() == Some(&"-P") {
        words.extend(rest);
        return words.join(" ");
    }
    let text = rest.join(" ").replace("-m tcp ", "").replace("-m udp ", "");
    rest = text.split(' ').collect();
    let mut pairs: Vec<String> = rest
        .chunks(2)
        .map(|pair| pair.join(" ").trim_end_matches("/32").trim_end_matches("/128").to_owned())
        .collect();
    pairs.sort();
    format!("{} {}", words.join(" "), pairs.join(" "))
}
