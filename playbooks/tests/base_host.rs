//! What phase base finds on a fake host, and makes of it.

use super::fake::State;
use super::shell::{says, words};
use providers::Output;
use std::collections::BTreeSet;

/// A host before anything else is installed.
#[derive(Clone, Default)]
pub struct Ground {
    /// What it calls itself; `None`: as cloud-init was told.
    pub name: Option<String>,
    /// What `/etc/hosts` knows it as; `None`: as cloud-init was told.
    pub whole: Option<String>,
    pub zone: String,
    /// Its time service, where one runs.
    pub time_service: Option<&'static str>,
    pub servers: String,
    pub modules: bool,
    pub settings: bool,
    pub packages: BTreeSet<String>,
    /// What its clock is ahead, in seconds.
    pub ahead: f64,
}

impl Ground {
    /// As a blueprint wants it that says nothing of its own.
    pub fn done() -> Self {
        let time_service = Some("systemd-timesyncd");
        Self { time_service, modules: true, settings: true, ..Self::default() }
    }
}

fn not(why: impl Into<String>) -> Output {
    Output { code: 1, ..says(why) }
}

fn when(is: bool, why: impl Into<String>) -> Output {
    if is { says("") } else { not(why) }
}

/// What a script sets a variable to, in a line of its own.
fn value(script: &str, name: &str) -> String {
    let line = script.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
    words(line.expect("the variable is set")).concat()
}

/// The words of a list in a line that begins and ends like that.
fn listed(script: &str, begins: &str, ends: &str) -> Vec<String> {
    let line = script.lines().find_map(|l| l.trim_start().strip_prefix(begins)?.strip_suffix(ends));
    words(line.expect("there is a list"))
}

impl State {
    /// The checks of phase base.
    pub fn ground(&self, host: &str, script: &str) -> Option<Output> {
        let now = self.began.elapsed().as_secs_f64();
        let ground = &self.guests[host].ground;
        Some(match script {
            "timedatectl show -p NTPSynchronized --value" => {
                says(if ground.ahead == 0.0 { "yes" } else { "no" })
            }
            "date +%s.%N" => says(format!("{:.9}", 1_763_600_000.0 + now + ground.ahead)),
            s if s.starts_with("name=")
                && s.contains("\nhas=$(cat /proc/sys/kernel/hostname)\n") =>
            {
                let want = value(s, "name");
                let has = ground.name.as_ref().unwrap_or(&want);
                when(*has == want, format!("it calls itself {has}"))
            }
            s if s.starts_with("name=") && s.contains("\nwhole=") => {
                let want = value(s, "whole");
                let has = ground.whole.as_ref().unwrap_or(&want);
                when(*has == want, format!("/etc/hosts knows its whole name as {has}"))
            }
            s if s.starts_with("# A container has the clock of its host.\n") => {
                when(ground.time_service.is_some(), "no time service runs")
            }
            s if s.starts_with("servers=") && s.contains("\n[ ! -e /run/systemd/container ]") => {
                let want = value(s, "servers");
                let file = "/etc/systemd/timesyncd.conf.d/90-bp.conf";
                when(ground.servers == want, format!("{file} does not say {want}"))
            }
            s if s.starts_with("for package in ") && s.contains("-f '${Status}'") => {
                let want = listed(s, "for package in ", "; do");
                match want.into_iter().find(|p| !ground.packages.contains(p)) {
                    Some(package) => not(format!("{package} is not installed")),
                    None => says(""),
                }
            }
            s if s.starts_with("want=") && s.contains("\nhas=$(readlink -f /etc/localtime ") => {
                let want = value(s, "want");
                when(want.is_empty() || ground.zone == want, format!("it is {}", ground.zone))
            }
            s if s.starts_with("modules='overlay br_netfilter vxlan ip_vs ip_vs_rr'\n# A ") => {
                when(ground.modules, "br_netfilter is not loaded")
            }
            s if s
                .starts_with("settings='net.ipv4.ip_forward = 1\nvm.overcommit_memory = 1'\n") =>
            {
                when(ground.settings, "net.ipv4.ip_forward is 0, it should be 1")
            }
            _ => return None,
        })
    }

    /// The applies of phase base.
    pub fn till(&mut self, host: &str, script: &str) -> Option<Output> {
        let ground = &mut self.guests.get_mut(host)?.ground;
        let rest = script.strip_prefix("set -eu\n")?;
        match rest {
            s if s.starts_with("name=") => ground.name = Some(value(s, "name")),
            s if s.starts_with("# Before all others") => {
                let line = value(s, "line");
                let names = line.strip_prefix("127.0.1.1 ").expect("Debian's own place");
                let (whole, name) = names.split_once(' ').expect("two names");
                assert!(name == host && whole.starts_with(&format!("{host}.")), "{line}");
                ground.whole = Some(whole.to_owned());
            }
            s if s.starts_with("# The one that is there") => {
                ground.time_service = Some("systemd-timesyncd");
                ground.ahead = 0.0;
            }
            s if s.starts_with("servers=") => ground.servers = value(s, "servers"),
            s if s.starts_with("command -v apt-get ")
                && s.contains(
                    "\npatiently $apt install --no-remove --no-install-recommends -- ",
                ) =>
            {
                let begins = "patiently $apt install --no-remove --no-install-recommends -- ";
                ground.packages.extend(listed(s, begins, " || { echo \"$said\" >&2; exit 1; }"));
            }
            s if s.starts_with("want=") && s.contains("/usr/share/zoneinfo/") => {
                ground.zone = value(s, "want");
            }
            s if s.starts_with("modules='overlay br_netfilter vxlan ip_vs ip_vs_rr'\n") => {
                ground.modules = true;
            }
            s if s
                .starts_with("settings='net.ipv4.ip_forward = 1\nvm.overcommit_memory = 1'\n") =>
            {
                ground.settings = true;
            }
            _ => return None,
        }
        Some(says(""))
    }
}
