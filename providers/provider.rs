//! What a provider of machines can do. All of it is safe to repeat and may be cut off anywhere.

use crate::dns::DnsServer;
use async_trait::async_trait;
use blueprints::Host;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A thing that several machines share, made once before them: a network, a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Short name, such as `network lab`.
    pub name: String,
    /// Why it exists, one sentence.
    pub why: String,
    /// How long making it may take.
    pub within: Duration,
}

/// Whether something is as the blueprint wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    Right,
    /// It is not, and making it so is possible; the reason.
    Wrong(String),
    /// It is not, and making it so would be wrong or impossible; the reason and what to do.
    Conflict(String),
}

/// A machine as the provider knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Whether all its parts exist (a create that was cut off leaves some out), with the reason.
    pub state: State,
    /// Whether it runs.
    pub running: bool,
    /// Its address on the lab's network, as soon as it is known. Never loopback unless the
    /// network itself is, never link-local.
    pub address: Option<IpAddr>,
    /// Its public host key in OpenSSH's one-line form, as pinned when it was made.
    pub host_key: Option<String>,
}

/// What a new machine is given, so that bp can log in to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Public keys that may log in, OpenSSH's one-line form.
    pub authorized: Vec<String>,
    /// The login user (`root`, or one with passwordless sudo).
    pub user: String,
}

/// Something that carries the lab's tag and would be removed by destroy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// `machine`, `template`, `network`.
    pub kind: OwnedKind,
    /// Its name at the provider.
    pub name: String,
    /// The host it is, for machines.
    pub host: Option<String>,
}

/// The kinds of things that a provider owns, in the order in which they are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnedKind {
    /// A machine with all its volumes.
    Machine,
    /// A template with all its volumes.
    Template,
    /// A network.
    Network,
}

impl std::fmt::Display for OwnedKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Machine => "machine",
            Self::Template => "template",
            Self::Network => "network",
        })
    }
}

/// Why a provider could not do it.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {cause}")]
pub struct ProviderError {
    /// What was being done, to what: ``define domain `lab-node1` ``.
    pub doing: String,
    /// What the provider answered.
    pub cause: String,
    /// What the operator can do.
    pub hint: Option<String>,
}

/// A provider of machines.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What it found out about the place and chose, one sentence a choice, such as the
    /// acceleration with the reason.
    async fn choices(&self) -> Result<Vec<String>, ProviderError>;

    /// What the machines share, in the order in which it is made.
    fn shared(&self) -> Vec<Shared>;

    /// Whether a shared thing is there and right. Changes nothing.
    async fn check_shared(&self, shared: &Shared) -> Result<State, ProviderError>;

    /// Makes a shared thing, or completes what was cut off.
    async fn make_shared(&self, shared: &Shared) -> Result<(), ProviderError>;

    /// The machine of this host, by the lab's tag. Changes nothing.
    async fn find(&self, host: &Host) -> Result<Option<Machine>, ProviderError>;

    /// Makes the machine (not started), or completes what was cut off.
    async fn create(&self, host: &Host, access: &Access) -> Result<(), ProviderError>;

    /// Starts the machine.
    async fn start(&self, host: &Host) -> Result<(), ProviderError>;

    /// The last lines of the machine's console, where the provider keeps one.
    async fn console(&self, host: &Host) -> Option<String>;

    /// The DNS server of the machines' network, where the provider has one.
    fn dns(&self) -> Option<Arc<dyn DnsServer>> {
        None
    }

    /// Everything that carries the lab's tag, in the order in which it is to be removed; also
    /// what no host of the blueprint stands for any more.
    async fn owned(&self) -> Result<Vec<Owned>, ProviderError>;

    /// Removes one of them. Gone already is success.
    async fn remove(&self, owned: &Owned) -> Result<(), ProviderError>;
}
