//! What a host says of its walls, asked with one command.

use crate::cx::Cx;
use crate::firewall::{firewalld, guard, nftables, ufw};
use crate::step::{Failure, Trouble};
use blueprints::FirewallBackend;
use providers::Cmd;

/// A host's answer, in parts: a line `@name` begins one.
#[derive(Clone, Debug, Default)]
pub struct Asked(Vec<(String, Vec<String>)>);

/// What enforces a host's walls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// nftables, in a table of bp's own.
    Nftables,
    /// ufw.
    Ufw,
    /// firewalld.
    Firewalld,
}

/// Whether firewalld runs: asked of systemd only where it is installed.
pub const FIREWALLD_RUNS: &str =
    "command -v firewalld >/dev/null && systemctl is-active -q firewalld";

/// Whether ufw is on.
pub const UFW_IS_ON: &str = "grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf";

/// The question.
pub fn question(lab: &str) -> String {
    format!(
        "if {FIREWALLD_RUNS}; then echo @firewalld; fi\n\
         if {UFW_IS_ON}; then echo @ufw; fi\n\
         [ ! -e {} ] || echo @armed\n{}\n{}\n{}",
        guard::ARMED,
        nftables::question(lab),
        ufw::question(),
        firewalld::question()
    )
}

impl Asked {
    /// Asks.
    ///
    /// # Errors
    /// When the host does not answer.
    pub async fn of(cx: &Cx, host: &str) -> Result<Self, Trouble> {
        let output = cx.run(host, &Cmd::new(question(&cx.lab().name))).await?;
        Ok(Self::read(&output.out()))
    }

    /// Takes an answer apart.
    pub fn read(said: &str) -> Self {
        let mut parts = Vec::new();
        for line in said.lines() {
            match (line.strip_prefix('@'), parts.last_mut()) {
                (Some(name), _) => parts.push((name.to_owned(), Vec::new())),
                (None, Some((_, lines))) => lines.push(line.to_owned()),
                (None, None) => {}
            }
        }
        Self(parts)
    }

    /// Whether it has this part.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// The lines of a part; none where it is not there.
    pub fn part(&self, name: &str) -> &[String] {
        self.0.iter().find(|(n, _)| n == name).map_or(&[], |(_, lines)| lines)
    }

    /// Who enforces the walls here, as the blueprint wants it.
    ///
    /// # Errors
    /// When another one is at work too: each would close what the other opens.
    pub fn backend(&self, wanted: FirewallBackend) -> Result<Backend, Failure> {
        const NO_UFW: &str = "`ufw disable` there";
        const NO_FIREWALLD: &str = "`systemctl disable --now firewalld` there";
        let two = |a: &str, b: &str, hint: String| {
            let each = "each closes what the other opens";
            Err(Failure::new(format!("{a} and {b} are both at work, and {each}")).hint(hint))
        };
        let (firewalld, ufw) = (self.has("firewalld"), self.has("ufw"));
        match wanted {
            _ if firewalld && ufw => {
                two("firewalld", "ufw", format!("{NO_UFW}, or {NO_FIREWALLD}"))
            }
            FirewallBackend::Nftables if firewalld => {
                two("firewalld", "nftables", format!("{NO_FIREWALLD}, or `backend: firewalld`"))
            }
            FirewallBackend::Nftables if ufw => {
                two("ufw", "nftables", format!("{NO_UFW}, or `backend: ufw`"))
            }
            FirewallBackend::Ufw if firewalld => {
                two("firewalld", "ufw", format!("{NO_FIREWALLD}, or `backend: firewalld`"))
            }
            FirewallBackend::Firewalld if ufw => {
                two("ufw", "firewalld", format!("{NO_UFW}, or `backend: ufw`"))
            }
            FirewallBackend::Firewalld => Ok(Backend::Firewalld),
            FirewallBackend::Ufw => Ok(Backend::Ufw),
            FirewallBackend::Auto if firewalld => Ok(Backend::Firewalld),
            FirewallBackend::Auto if ufw => Ok(Backend::Ufw),
            FirewallBackend::Auto | FirewallBackend::Nftables | FirewallBackend::None => {
                Ok(Backend::Nftables)
            }
        }
    }
}
