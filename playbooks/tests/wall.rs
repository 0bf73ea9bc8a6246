//! The walls of a fake host: nft's one table, the files that bring it back at boot, and a revert
//! that really comes when nobody disarms it.

use super::shell::says;
use providers::{Cmd, Output, Stdin};
use std::time::Duration;
use tokio::time::Instant;

const TABLE: &str = "table inet bp_lab";
const ALONE: &str = "exec 9>>/run/bp-firewall.lock; flock -w 60 9 || { echo 'another change of the walls is at work' >&2; exit 1; }\n";

/// Docker's chains beside bp's, as nft lists them.
const CHAINS: &str = "table ip filter {
\tchain INPUT {
\t\ttype filter hook input priority filter; policy accept;
\t}
\tchain FORWARD {
\t\ttype filter hook forward priority filter; policy drop;
\t}
}
table inet bp_lab {
\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t}
}
";

/// A host's walls.
#[derive(Clone)]
pub struct Wall {
    /// Whether nft is installed.
    pub nft: bool,
    /// Whether ufw, and whether firewalld is at work.
    pub others: (bool, bool),
    /// bp's table as it is loaded; empty: there is none.
    pub table: String,
    /// The file, the unit, and whether the unit comes at boot.
    pub kept: (String, String, bool),
    /// What to go back to, and when.
    pub armed: Option<(String, Instant)>,
    /// Whether the last change was confirmed.
    pub confirmed: bool,
    /// The file `wanted` of the last change.
    pub wanted: String,
    /// Chains of others, as nft lists them.
    pub other: String,
    /// Where sshd listens.
    pub sshd: u16,
}

impl Default for Wall {
    fn default() -> Self {
        let kept = (String::new(), String::new(), false);
        Self {
            nft: false,
            others: (false, false),
            table: String::new(),
            kept,
            armed: None,
            confirmed: false,
            wanted: String::new(),
            other: String::new(),
            sshd: 22,
        }
    }
}

impl Wall {
    /// Time goes on: what is due undoes itself.
    fn now(&mut self) {
        if let Some((before, _)) = self.armed.take_if(|(_, at)| *at <= Instant::now()) {
            self.table = before;
        }
    }

    /// Whether a new connection to sshd comes through.
    pub fn lets_in(&mut self) -> bool {
        self.now();
        self.table.is_empty() || self.table.contains(&format!("tcp dport {} accept", self.sshd))
    }

    /// The machine starts anew: what was not kept is gone.
    pub fn boot(&mut self) {
        self.armed = None;
        let text = if self.kept.2 { self.kept.0.as_str() } else { "" };
        self.table = loaded(text);
    }

    /// Commands that only look.
    pub fn look(&mut self, script: &str) -> Option<Output> {
        self.now();
        let not = |why: &str| Output { code: 1, ..says(why) };
        let (ufw, firewalld) = self.others;
        match script {
            "command -v nft >/dev/null || grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf || { command -v firewalld >/dev/null && systemctl is-active -q firewalld; } || { echo 'nftables is not installed'; exit 1; }" => {
                Some(if self.nft || ufw || firewalld { says("") } else { not("nftables is not installed") })
            }
            "command -v nft >/dev/null || { echo 'nftables is not installed'; exit 1; }" => {
                Some(if self.nft { says("") } else { not("nftables is not installed") })
            }
            "if [ -e /run/bp-firewall/armed ]; then echo armed; elif [ -e /run/bp-firewall/confirmed ]; then echo confirmed; else echo undone; fi" => {
                Some(says(match (&self.armed, self.confirmed) {
                    (Some(_), _) => "armed",
                    (None, true) => "confirmed",
                    (None, false) => "undone",
                }))
            }
            s if s.starts_with("if command -v firewalld >/dev/null && systemctl is-active -q firewalld; then echo @firewalld; fi\nif grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf; then echo @ufw; fi\n[ ! -e /run/bp-firewall/armed ] || echo @armed\n") => {
                let mut said = String::new();
                let marks = [(firewalld, "@firewalld"), (ufw, "@ufw"), (self.armed.is_some(), "@armed")];
                for (_, mark) in marks.into_iter().filter(|(is, _)| *is) {
                    said += &format!("{mark}\n");
                }
                if self.nft {
                    let (file, unit, enabled) = &self.kept;
                    let enabled = if *enabled { "@enabled" } else { "" };
                    let (table, other) = (&self.table, &self.other);
                    said += &format!("@nft\n@table\n{table}@chains\n{CHAINS}{other}@file\n{file}@unit\n{unit}{enabled}\n");
                }
                Some(says(said))
            }
            _ => None,
        }
    }

    /// Commands that change something.
    pub fn act(&mut self, cmd: &Cmd) -> Option<Output> {
        self.now();
        let script = cmd.script.as_str();
        if script.starts_with("set -eu\ncommand -v apt-get >/dev/null || ")
            && script.contains(
                "\npatiently $apt install --no-remove --no-install-recommends nftables || ",
            )
        {
            self.nft = true;
            return Some(says(""));
        }
        let script = script.strip_prefix("set -eu; umask 077\n")?.strip_prefix(ALONE)?;
        assert!(self.nft, "there is no nft");
        if script
            .starts_with("mkdir -p /run/bp-firewall; cd /run/bp-firewall\nif [ ! -e armed ]; then ")
        {
            let Stdin::Bytes(content) = &cmd.stdin else { panic!("a change has its content") };
            return Some(self.arm(script, &String::from_utf8_lossy(content)));
        }
        if let Some(keep) = script
            .strip_prefix("cd /run/bp-firewall\nif [ -e armed ]; then mv armed confirmed; fi\n")
        {
            return Some(self.confirm(keep));
        }
        None
    }

    fn arm(&mut self, script: &str, content: &str) -> Output {
        let timer = "systemd-run --quiet --collect --unit=bp-firewall-revert-$$ --on-active=60 --timer-property=AccuracySec=1s /bin/sh /run/bp-firewall/revert 9>&-\n";
        let (arming, loading) =
            script.split_once(timer).expect("a timer is armed before the change");
        assert!(
            arming.contains("while flock 9; [ -e armed ] || exit 0; "),
            "a revert that was disarmed does nothing"
        );
        assert!(arming.contains("nft -s list table inet bp_lab >table"), "{arming}");
        assert!(arming.contains("cat table; } | nft -f -\nRESTORE\n"), "{arming}");
        let load = arming.split_once("<<'LOAD'\n").and_then(|(_, l)| l.split_once("\nLOAD\n"));
        let load = load.expect("what makes the change").0;
        let begins = "due() { echo $(($(cut -d. -f1 /proc/uptime) + $1)) >armed; }\ndue 60\nr=0; timeout -k 10 180 sh -eu load 9>&- || r=$?\n";
        assert!(loading.starts_with(begins), "{loading}");
        assert!(
            loading.ends_with("\ndue 60"),
            "the time is counted from when it is made: {loading}"
        );
        let before = self.armed.take().map_or_else(|| self.table.clone(), |(before, _)| before);
        self.armed = Some((before, Instant::now() + Duration::from_secs(60)));
        (self.confirmed, self.wanted) = (false, content.to_owned());
        self.table = match load {
            "nft -f wanted" => {
                let start = format!("{TABLE}\ndelete {TABLE}\n{TABLE} {{\n");
                assert!(content.starts_with(&start) && !content.contains("flush"), "{content}");
                loaded(content)
            }
            "printf 'table inet bp_lab\\ndelete table inet bp_lab\\n' | nft -f -" => String::new(),
            other => panic!("an unknown change: {other}"),
        };
        says("")
    }

    fn confirm(&mut self, script: &str) -> Output {
        if self.armed.take().is_some() {
            self.confirmed = true;
        }
        if !self.confirmed {
            return Output { code: 75, ..Output::default() };
        }
        if script.contains("cp wanted /etc/bp/firewall-lab.nft.new") {
            let unit = script.split_once("<<'END'\n").and_then(|(_, s)| s.split_once("END\n"));
            self.kept = (self.wanted.clone(), unit.expect("a unit").0.to_owned(), true);
        } else {
            assert!(script.contains("rm -f /etc/systemd/system/sysinit.target.wants/bp-firewall-lab.service /etc/systemd/system/bp-firewall-lab.service /etc/bp/firewall-lab.nft; "), "{script}");
            self.kept = (String::new(), String::new(), false);
        }
        says("")
    }
}

/// What nft lists of a file that was loaded.
fn loaded(file: &str) -> String {
    file.split_once(&format!("delete {TABLE}\n")).map_or("", |(_, table)| table).to_owned()
}
