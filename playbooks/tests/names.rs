//! Names on fakes: a server that holds zones in memory, and hosts with `/etc/hosts` and a resolver.

use super::fake::{Site, State};
use super::shell::{says, words};
use crate::{dns_hosts, dns_resolves};
use async_trait::async_trait;
use providers::dns::{Change, DnsServer, RecordSet, value};
use providers::{Cmd, File, Output, ProviderError, Stdin, put, quote};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;

/// What a host knows of names.
#[derive(Clone)]
pub struct Names {
    pub file: String,
    /// Whether it is `free` or `mounted` by itself.
    pub mount: &'static str,
    /// Whether questions of its resolver reach the lab's server without bp's doing.
    pub forwarded: bool,
    /// Whether systemd-resolved runs.
    pub resolved: bool,
    pub dropin: Option<String>,
    /// The servers that it asks whatever the link, besides those of the drop-in.
    pub global: &'static str,
    /// What its resolver answers whoever else says otherwise.
    pub stale: BTreeMap<String, String>,
    /// Whether it answers so because it remembers.
    pub remembers: bool,
    /// Whether it takes longer than anybody waits.
    pub slow: bool,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            file: "127.0.0.1 localhost\n".to_owned(),
            mount: "free",
            forwarded: true,
            resolved: false,
            dropin: None,
            global: "",
            stale: BTreeMap::new(),
            remembers: false,
            slow: false,
        }
    }
}

/// A server with its zones.
#[derive(Default)]
pub struct Zones {
    pub zones: BTreeMap<String, Vec<RecordSet>>,
    pub made: BTreeSet<String>,
    /// Why it does not answer, where it does not.
    pub dead: Option<(&'static str, &'static str)>,
    /// Answers that differ from what it holds, by `name kind`.
    pub stale: BTreeMap<String, String>,
    /// Whether zones can't be made on it.
    pub fixed: bool,
    /// How many questions it does not answer yet, while its API does.
    pub silent: usize,
    /// Whether it answers this machine alone.
    pub local: bool,
}

/// A record set of one value.
pub fn set(name: &str, kind: &str, value: &str) -> RecordSet {
    let values = [value.to_owned()].into();
    RecordSet { name: name.to_owned(), kind: kind.to_owned(), ttl: 300, values }
}

impl Zones {
    /// All records but the apex's, one a line.
    pub fn shown(&self) -> String {
        let line = |s: &RecordSet| {
            let values: Vec<&str> = s.values.iter().map(String::as_str).collect();
            format!("{} {} {}", s.name, s.kind, values.join(" "))
        };
        let mut lines: Vec<String> = self.zones.values().flatten().map(line).collect();
        lines.sort();
        lines.join("\n")
    }

    fn find(&self, name: &str, kind: &str) -> Option<&RecordSet> {
        self.zones.values().flatten().find(|s| s.name == name && s.kind == kind)
    }

    fn addresses(&self, name: &str) -> BTreeSet<String> {
        match (self.find(name, "CNAME"), self.find(name, "A")) {
            (Some(alias), _) => alias.values.iter().flat_map(|v| self.addresses(v)).collect(),
            (None, Some(set)) => set.values.clone(),
            _ => BTreeSet::new(),
        }
    }
}

/// The server of a site.
pub struct FakeDns(pub Site);

impl FakeDns {
    fn asked<T>(&self, doing: &str, of: impl FnOnce(&mut Zones) -> T) -> Result<T, ProviderError> {
        let mut state = self.0.lock();
        state.asked += 1;
        let zones = state.zones.as_mut().expect("a lab with a server");
        match zones.dead {
            None => Ok(of(zones)),
            Some((cause, hint)) => Err(ProviderError {
                doing: doing.to_owned(),
                cause: cause.to_owned(),
                hint: Some(hint.to_owned()),
            }),
        }
    }

    fn log(&self, what: String) {
        self.0.lock().log.push(format!("dns: {what}"));
    }
}

#[async_trait]
impl DnsServer for FakeDns {
    fn words(&self) -> String {
        "the fake server".to_owned()
    }

    async fn answers(&self) -> Result<SocketAddr, ProviderError> {
        let local = self.0.lock().zones.as_ref().is_some_and(|z| z.local);
        let at = if local { "127.0.0.1:5300" } else { "10.20.30.1:5300" };
        Ok(at.parse().expect("an address"))
    }

    async fn ask(&self, name: &str, kind: &str) -> Result<BTreeSet<String>, ProviderError> {
        let silent = self.0.lock().zones.as_mut().is_some_and(|z| {
            z.silent = z.silent.saturating_sub(1);
            z.silent > 0
        });
        if silent {
            return Err(ProviderError {
                doing: "ask".to_owned(),
                cause: "nobody answers".to_owned(),
                hint: Some("start it".to_owned()),
            });
        }
        self.asked("ask", |z| match z.stale.get(&format!("{name} {kind}")) {
            Some(stale) => [stale.clone()].into(),
            None => z.find(name, kind).map(|s| s.values.clone()).unwrap_or_default(),
        })
    }

    async fn zone_of(&self, name: &str) -> Result<Option<String>, ProviderError> {
        self.asked("ask", |z| {
            let holds = |zone: &&String| name == **zone || name.ends_with(&format!(".{zone}"));
            z.zones.keys().filter(holds).max_by_key(|z| z.len()).cloned()
        })
    }

    async fn read(
        &self,
        zone: &str,
        names: &BTreeSet<String>,
    ) -> Result<Option<Vec<RecordSet>>, ProviderError> {
        self.asked("read", |z| {
            let wanted = |s: &&RecordSet| names.contains(&s.name) || s.name.starts_with("_bp-");
            z.zones.get(zone).map(|sets| sets.iter().filter(wanted).cloned().collect())
        })
    }

    async fn change(
        &self,
        zone: &str,
        changes: &[Change],
    ) -> Result<Option<String>, ProviderError> {
        let mut said = Vec::new();
        assert!(!changes.is_empty(), "a change of nothing");
        self.asked("change", |zones| {
            let sets = zones.zones.get_mut(zone).expect("a zone that is there");
            for change in changes {
                let of =
                    change.now.as_ref().or(change.was.as_ref()).expect("a change of something");
                let within = of.name == zone || of.name.ends_with(&format!(".{zone}"));
                assert!(within, "{} is not in {zone}", of.name);
                assert!(!of.values.is_empty(), "an empty set");
                let is = |s: &RecordSet| s.name == of.name && s.kind == of.kind;
                let there = sets.iter().find(|s| is(s)).cloned();
                assert_eq!(there, change.was, "it is not what was read");
                sets.retain(|s| !is(s));
                let kind = &of.kind;
                match &change.now {
                    Some(now) => {
                        sets.push(now.clone());
                        let values: Vec<&str> = now.values.iter().map(String::as_str).collect();
                        said.push(format!("put {} {kind} {}", now.name, values.join(" ")));
                    }
                    None => said.push(format!("remove {} {kind}", of.name)),
                }
            }
            for alias in sets.iter().filter(|s| s.kind == "CNAME") {
                let beside = sets.iter().filter(|s| s.name == alias.name).count();
                assert_eq!(beside, 1, "a CNAME beside other records of {}", alias.name);
            }
        })?;
        self.log(format!("in {zone} {}", said.join("; ")));
        Ok(None)
    }

    async fn forget(&self, zone: &str, names: &BTreeSet<String>) -> Result<(), ProviderError> {
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        self.log(format!("in {zone} forget {}", all.join(" ")));
        self.asked("forget", |z| z.stale.retain(|of, _| !names.iter().any(|n| of.starts_with(n))))
    }

    async fn make_zone(&self, zone: &str, taken: &BTreeSet<String>) -> Result<(), ProviderError> {
        self.log(format!("make zone {zone}"));
        self.asked("make a zone", |z| {
            assert!(!z.fixed, "zones can't be made here");
            assert!(taken.iter().all(|t| t.ends_with(zone)));
            z.zones.entry(zone.to_owned()).or_default();
            z.made.insert(zone.to_owned());
        })
    }

    async fn is_spare(&self, zone: &str) -> Result<bool, ProviderError> {
        let empty = |z: &Zones| z.zones.get(zone).is_some_and(Vec::is_empty);
        self.asked("read", |z| z.made.contains(zone) && empty(z))
    }

    async fn remove_zone(&self, zone: &str) -> Result<(), ProviderError> {
        self.log(format!("remove zone {zone}"));
        self.asked("remove a zone", |z| {
            z.zones.remove(zone).map(drop).expect("a zone that is there")
        })
    }

    fn makes_zones(&self) -> bool {
        !self.0.lock().zones.as_ref().is_some_and(|z| z.fixed)
    }
}

/// Runs a check as it is: what it answers depends on its text alone, so once.
fn run(script: &str) -> Output {
    static KNOWN: Mutex<BTreeMap<String, Output>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    let run = || {
        let ran = std::process::Command::new("sh").args(["-c", script]).output().expect("sh runs");
        let code = ran.status.code().expect("an exit status");
        Output { code, stdout: ran.stdout, stderr: ran.stderr }
    };
    known.entry(script.to_owned()).or_insert_with(run).clone()
}

impl State {
    /// What a host's resolver answers.
    fn resolve(&self, host: &str, name: &str) -> BTreeSet<String> {
        let names = &self.guests[host].names;
        if let Some(stale) = names.stale.get(name) {
            return [stale.clone()].into();
        }
        let fields = names.file.lines().filter(|l| !l.starts_with('#'));
        let fields = fields.map(|l| l.split_whitespace().collect::<Vec<_>>());
        let of_file: BTreeSet<String> = fields
            .filter(|f| f.iter().skip(1).any(|n| *n == name))
            .map(|f| f[0].to_owned())
            .collect();
        let asks = names.forwarded || names.resolved && names.dropin.is_some();
        match &self.zones {
            Some(zones) if of_file.is_empty() && asks => zones.addresses(name),
            _ => of_file,
        }
    }

    /// The check as a shell runs it that has this host's resolver for `getent`.
    fn resolves(&self, host: &str, script: &str) -> Output {
        let asked = script.split_once("\nh=").expect("what is said with it").0;
        let asked = words(asked.strip_prefix("w=").expect("names")).concat();
        let mut known = String::new();
        let slow = if self.guests[host].names.slow { "return 124;" } else { "" };
        for name in asked.lines().filter_map(|l| l.split(' ').next()) {
            let ips: Vec<String> = self.resolve(host, name).into_iter().collect();
            let Some(first) = ips.first() else { continue };
            let more: String = ips[1..].iter().map(|ip| format!("{ip} STREAM\n")).collect();
            let said = format!("{first} STREAM canonical\n{first} DGRAM\n{more}");
            known.push_str(&format!("{name}) printf '{said}';;\n"));
        }
        run(&format!(
            "getent() {{ [ \"$1\" = ahostsv4 ] || exit 99; shift; c=0\n\
             for i; do case $i in {known}*) c=2;; esac; done; {slow} return $c; }}\n\
             timeout() {{ [ \"$1\" = 20 ] || exit 99; shift; \"$@\"; }}\n{script}"
        ))
    }

    /// Questions about names.
    pub fn names_look(&self, host: &str, cmd: &Cmd) -> Option<Output> {
        let names = &self.guests[host].names;
        let exactly = |text: String| Output { stdout: text.into_bytes(), ..Output::default() };
        let script = cmd.script.as_str();
        if script.ends_with(dns_resolves::ASK) {
            return Some(self.resolves(host, script));
        }
        if script.ends_with(dns_hosts::LOOK) {
            let reads = format!("printf %s {} | sed -n \"$b\"", quote(&names.file));
            return Some(run(&script.replace("sed -n \"$b\" /etc/hosts", &reads)));
        }
        match (script, &cmd.stdin) {
            (dns_hosts::READ, Stdin::Empty) => {
                Some(exactly(format!("644 root:root {} /etc/hosts\n{}", names.mount, names.file)))
            }
            (s, Stdin::Empty) if s == dns_hosts::look_left("lab") => {
                let block = names.file.lines().any(|l| l == "# bp lab: begin");
                let dropin = names.dropin.is_some();
                let said = [(block, "hosts\n"), (dropin, "resolver\n")];
                let said: String = said.iter().filter(|s| s.0).map(|s| s.1).collect();
                Some(Output { code: i32::from(said.is_empty()), ..exactly(said) })
            }
            (dns_resolves::GLOBAL, Stdin::Empty) => Some(exactly(format!("{}\n", names.global))),
            ("systemctl is-active --quiet systemd-resolved", Stdin::Empty) => {
                Some(Output { code: if names.resolved { 0 } else { 3 }, ..Output::default() })
            }
            _ => None,
        }
    }

    /// Changes of names.
    pub fn names_act(&mut self, host: &str, cmd: &Cmd) -> Option<Output> {
        let dropin = dns_resolves::dropin("lab");
        let names = &mut self.guests.get_mut(host).expect("a host of the lab").names;
        if let Stdin::Bytes(content) = &cmd.stdin {
            let is_put = |path: &str| {
                let (path, owner) = (path.to_owned(), "root:root".to_owned());
                put(&File { path, content: cmd.stdin.clone(), mode: 0o644, owner }).script
            };
            let text = String::from_utf8(content.clone()).expect("text");
            match cmd.script.as_str() {
                s if s == is_put("/etc/hosts") => names.file = text,
                s if s == is_put(&dropin) => names.dropin = Some(text),
                _ => return None,
            }
            return Some(says(""));
        }
        match cmd.script.as_str() {
            "mkdir -p /etc/systemd/resolved.conf.d" => {}
            "systemctl try-restart systemd-resolved" => {}
            "resolvectl flush-caches 2>/dev/null || :" if names.remembers => {
                names.stale.clear();
            }
            "resolvectl flush-caches 2>/dev/null || :" => {}
            s if s == format!("rm -f {dropin}") => names.dropin = None,
            _ => return None,
        }
        Some(says(""))
    }
}

/// The strings of a text's value, for tests that read registries.
pub fn strings(value: &str) -> Vec<String> {
    let text = |s: Vec<u8>| String::from_utf8(s).expect("text");
    value::strings(value).into_iter().map(text).collect()
}
