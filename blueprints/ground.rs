//! The resolved ground under the swarm: base of the hosts, DNS, firewall, GlusterFS.

use crate::lab::{Host, Lab, Role, Secret};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

/// What every host has before anything else is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The time zone, such as `Europe/Berlin`; `None`: as the host has it.
    pub timezone: Option<String>,
    /// Time servers; empty: those that the host's time service knows.
    pub time_servers: Vec<String>,
    /// Packages of the distribution that every host gets.
    pub packages: Vec<String>,
}

/// Who answers for the lab's names, and for which besides the hosts' own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Where records are written.
    pub server: DnsServer,
    /// Seconds that an answer may be kept, where a record does not say otherwise.
    pub ttl: u32,
    /// Records besides those of the hosts, in the order of the file.
    pub records: Vec<Record>,
}

/// Where records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsServer {
    /// `/etc/hosts` of every host: needs no server, and knows addresses and aliases alone.
    Hosts,
    /// The DNS server of the lab's libvirt network: knows no CNAME.
    Libvirt,
    /// PowerDNS, by its HTTP API.
    PowerDns {
        /// The API's base URL, such as `http://10.20.30.1:8081`.
        url: String,
        /// The API key.
        api_key: Secret,
        /// The zone, without a dot at its end; made where it is absent.
        zone: String,
        /// Where it answers DNS: always given here, by the blueprint or as the URL's host, port 53.
        answers: Option<SocketAddr>,
    },
    /// A server that takes dynamic updates (RFC 2136) signed with TSIG: BIND, Knot.
    Rfc2136 {
        /// Where it takes updates and answers.
        server: SocketAddr,
        /// The zone, without a dot at its end; it has to be there.
        zone: String,
        /// The key that signs updates.
        key: TsigKey,
    },
}

impl DnsServer {
    /// The zone that the server holds, where the blueprint names one.
    pub fn zone(&self) -> Option<&str> {
        match self {
            Self::Hosts | Self::Libvirt => None,
            Self::PowerDns { zone, .. } | Self::Rfc2136 { zone, .. } => Some(zone),
        }
    }
}

/// A TSIG key (RFC 8945).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TsigKey {
    /// Its name, without a dot at its end.
    pub name: String,
    /// How it signs.
    pub algorithm: TsigAlgorithm,
    /// The key itself, in base64.
    pub secret: Secret,
}

/// How a TSIG key signs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TsigAlgorithm {
    /// HMAC with SHA-256, which every server knows.
    #[default]
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

/// The records of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The whole name, in lower case, without a dot at its end.
    pub name: String,
    /// Seconds that an answer may be kept.
    pub ttl: u32,
    /// What the name stands for: one kind of data at most once, a CNAME alone.
    pub data: Vec<RecordData>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordData {
    /// IPv4 addresses.
    A(Vec<AddressOf>),
    /// IPv6 addresses.
    Aaaa(Vec<AddressOf>),
    /// Another name, whole, without a dot at its end.
    Cname(String),
    /// Texts of at most 255 bytes each.
    Txt(Vec<String>),
    /// Services.
    Srv(Vec<Srv>),
}

/// An address, or the one that a host of the lab has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressOf {
    /// Of this host.
    Host(String),
    /// This one.
    Ip(IpAddr),
}

/// A service and who gives it (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// The lowest is asked first.
    pub priority: u16,
    /// The share among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The whole name of who gives it, without a dot at its end.
    pub target: String,
}

/// The hosts' walls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// What enforces them.
    pub backend: FirewallBackend,
    /// Doors for everybody, on every host, besides those that roles and stacks need.
    pub open: Vec<Port>,
}

/// What enforces a host's walls.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum FirewallBackend {
    /// firewalld where it runs, ufw where it is active, nftables elsewhere.
    #[default]
    Auto,
    /// firewalld.
    Firewalld,
    /// ufw.
    Ufw,
    /// nftables, in a table of bp's own.
    Nftables,
    /// Nobody: bp leaves the hosts' walls alone.
    None,
}

/// A port, or a range of them, as others reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The first.
    pub first: u16,
    /// The last; the first where it is one.
    pub last: u16,
    /// Over which protocol.
    pub protocol: Protocol,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last != self.first {
            write!(f, "-{}", self.last)?;
        }
        write!(f, "/{}", self.protocol.as_str())
    }
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The word that firewalls use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A GlusterFS volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// How files lie on its bricks.
    pub kind: VolumeKind,
    /// Its bricks in their order: consecutive ones hold copies of the same files.
    pub bricks: Vec<Brick>,
    /// The folder where every node of the swarm, and every host with a brick, has it.
    pub mount: String,
    /// Options of the volume, such as `network.ping-timeout`.
    pub options: IndexMap<String, String>,
}

/// How files lie on the bricks of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// Every file on one brick.
    Distribute,
    /// Every file on so many bricks.
    Replica(u32),
    /// Every file on two bricks, its name and state on a third that breaks ties.
    Arbiter,
}

impl VolumeKind {
    /// How many bricks hold the same files; the number of bricks is a multiple of it.
    pub fn set(self) -> u32 {
        match self {
            Self::Distribute => 1,
            Self::Replica(count) => count,
            Self::Arbiter => 3,
        }
    }
}

/// One brick of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brick {
    /// The host that has it.
    pub host: String,
    /// Its folder there: the host's `brick`, and in it the volume's name.
    pub path: String,
}

impl Lab {
    /// A host's whole name: `<host>.<domain>`.
    pub fn fqdn(&self, host: &Host) -> String {
        format!("{}.{}", host.name, self.domain)
    }

    /// The hosts that hold a brick of some volume, in the order of the file.
    pub fn brick_hosts(&self) -> impl Iterator<Item = &Host> {
        let bricks = self.with_bricks();
        self.hosts.iter().filter(move |host| bricks.contains(host.name.as_str()))
    }

    /// The hosts that mount volumes: the nodes of the swarm and those with a brick.
    pub fn mount_hosts(&self) -> impl Iterator<Item = &Host> {
        let any = !self.volumes.is_empty();
        let bricks = self.with_bricks();
        self.hosts.iter().filter(move |host| {
            any && (host.role != Role::None || bricks.contains(host.name.as_str()))
        })
    }

    /// The names of the hosts that hold a brick of some volume.
    fn with_bricks(&self) -> HashSet<&str> {
        self.volumes.iter().flat_map(|v| &v.bricks).map(|brick| brick.host.as_str()).collect()
    }
}
