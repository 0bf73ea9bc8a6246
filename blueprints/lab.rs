//! The resolved blueprint: ranges expanded, defaults merged, every rule passed.
//!
//! This is what the other crates know of the language. Every value here is valid;
//! nothing needs to be checked again.

use crate::ground::{Base, Dns, Firewall, Port, Volume};
use crate::services::Stack;
use indexmap::IndexMap;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// A whole cluster as its blueprint describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Lab {
    /// Tags and prefixes everything that is made: `[a-z][a-z0-9-]*`, at most 32 characters.
    pub name: String,
    /// The DNS domain of the hosts, without a leading or trailing dot.
    pub domain: String,
    /// Hosts in the order of the file, ranges expanded.
    pub hosts: Vec<Host>,
    /// The hypervisor, where one is declared.
    pub libvirt: Option<Libvirt>,
    /// What every host has before anything else is installed.
    pub base: Base,
    /// Who answers for the lab's names.
    pub dns: Dns,
    /// The hosts' walls; `None`: bp leaves them alone.
    pub firewall: Option<Firewall>,
    /// Docker Engine on every host that is in the swarm.
    pub engine: Engine,
    /// GlusterFS volumes, in the order of the file.
    pub volumes: Vec<Volume>,
    /// The swarm.
    pub swarm: Swarm,
    /// Images that are loaded instead of pulled.
    pub images: Images,
    /// Stacks in the order of the file, which is their order of deployment.
    pub stacks: Vec<Stack>,
    /// Secrets of stacks that are given, by name; all others are generated in the swarm.
    pub secrets: IndexMap<String, Secret>,
    /// The phases of the run, in order.
    pub phases: Vec<Phase>,
    /// The operator's own private key for hosts that name none; `None`: a key of the lab's own.
    pub ssh_key: Option<PathBuf>,
}

impl Lab {
    /// The hosts with the role of a manager, in the order of the file.
    pub fn managers(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|h| h.role == Role::Manager)
    }

    /// The hosts that are in the swarm, managers and workers, in the order of the file.
    pub fn nodes(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|h| h.role != Role::None)
    }

    /// Where the first volume is mounted on every node: what services keep there survives a node.
    pub fn shared(&self) -> Option<&str> {
        self.volumes.first().map(|v| v.mount.as_str())
    }

    /// The nodes that a stack with one home may run on: all of them where they share its data,
    /// otherwise the first that is not drained. Hosts that are added later do not change it.
    pub fn homes(&self) -> Vec<&Host> {
        let stays = |h: &&Host| h.availability != Availability::Drain;
        match self.shared() {
            Some(_) => self.nodes().collect(),
            None => self.nodes().find(stays).or(self.nodes().next()).into_iter().collect(),
        }
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|h| h.name == name)
    }
}

/// One machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// The host's name, unique in the lab: a DNS label.
    pub name: String,
    /// Who makes it.
    pub provider: HostProvider,
    /// Its part in the swarm.
    pub role: Role,
    /// The labels of its swarm node, as declared.
    pub labels: IndexMap<String, String>,
    /// Whether its swarm node takes tasks.
    pub availability: Availability,
    /// The address, where it is fixed by the blueprint; always set for existing hosts.
    pub address: Option<Address>,
    /// Size of the machine, for hosts that bp makes.
    pub machine: Machine,
    /// How to log in.
    pub ssh: Ssh,
    /// The folder of its GlusterFS bricks, where it has any.
    pub brick: Option<String>,
    /// Ports that everybody reaches on it, besides those that the blueprint opens everywhere.
    pub ports: Vec<Port>,
}

/// Where an existing host answers: an address or a name that resolves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A literal address.
    Ip(IpAddr),
    /// A DNS name.
    Name(String),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// Who makes a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostProvider {
    /// A guest of the blueprint's hypervisor.
    Libvirt,
    /// It is simply there; bp never makes or removes it.
    Existing,
}

/// A host's part in the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A swarm manager; managers run tasks too unless drained.
    Manager,
    /// A swarm worker.
    Worker,
    /// A machine outside the swarm.
    None,
}

/// Whether a swarm node takes tasks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// Takes tasks.
    #[default]
    Active,
    /// Keeps its tasks, takes no new ones.
    Pause,
    /// Gives its tasks up.
    Drain,
}

impl Availability {
    /// The word that docker uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }
}

/// Size of a machine that bp makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Virtual CPUs, 1 to 512.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of the root disk.
    pub disk: u64,
}

/// How to log in to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// The user, `root` by default.
    pub user: String,
    /// TCP port, 22 by default.
    pub port: u16,
    /// The private key to offer first; `None`: the lab's own key for machines that bp made,
    /// the agent's for existing hosts.
    pub key: Option<PathBuf>,
    /// How the user becomes root.
    pub sudo: Sudo,
    /// A host to go through: its address (or name), with its own user, port and key.
    pub jump: Option<Box<Jump>>,
    /// The host key's fingerprint (`SHA256:...`), for existing hosts; `None`: known_hosts.
    pub fingerprint: Option<String>,
    /// A private host key (OpenSSH format) to give to a machine that bp makes; `None`: bp makes one.
    pub host_key: Option<PathBuf>,
}

/// How the login user becomes root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sudo {
    /// The user is root already, or needs no more rights.
    No,
    /// `sudo` without a password.
    Passwordless,
    /// `sudo` with the password that this secret source gives.
    Password(Secret),
}

/// Where a secret comes from; the secret itself is never part of a blueprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable of bp.
    Env(String),
    /// A file, its trailing newline taken off.
    File(PathBuf),
    /// The standard output of a command run by `sh -c`, its trailing newline taken off.
    Command(String),
}

/// The host before the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Address or name.
    pub address: String,
    /// Login user.
    pub user: String,
    /// TCP port.
    pub port: u16,
    /// Its own private key.
    pub key: Option<PathBuf>,
    /// Its host key's fingerprint; `None`: known_hosts.
    pub fingerprint: Option<String>,
}

/// A libvirt hypervisor.
#[derive(Clone, Debug, PartialEq)]
pub struct Libvirt {
    /// Any libvirt URI.
    pub uri: String,
    /// KVM or emulation.
    pub accel: Accel,
    /// The storage pool that takes every file.
    pub pool: String,
    /// The network's name; made when absent, used as it is when present.
    pub network: String,
    /// The network's subnet, used when bp makes it.
    pub subnet: Ipv4Net,
    /// Where root disks come from.
    pub template: Template,
    /// Linked clones or full copies.
    pub clone: CloneKind,
}

impl Libvirt {
    /// The hypervisor's own address in the subnet: the first one.
    pub fn gateway(&self) -> Ipv4Addr {
        self.subnet.hosts().next().unwrap_or(self.subnet.network())
    }
}

/// How guests are run.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// KVM where a probe guest really boots under it, emulation elsewhere.
    #[default]
    Auto,
    /// KVM, whatever a probe would say.
    Kvm,
    /// Emulation.
    Emulate,
}

/// How a guest's disk relates to the template's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CloneKind {
    /// An overlay on the template: instant and small.
    #[default]
    Linked,
    /// A copy of its own.
    Full,
}

/// Where root disks come from. All but `Domain` need cloud-init in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Template {
    /// An image file (qcow2 or raw) on the operator's machine.
    File(PathBuf),
    /// An image that is downloaded and checked.
    Url {
        /// http or https.
        url: String,
        /// SHA-256 in hex (lower case).
        sha256: String,
    },
    /// A volume that is in the pool already; never removed.
    Volume(String),
    /// A virtual machine that exists and is shut off, cloned as virt-clone does; never removed.
    Domain(String),
    /// Built on the operator's machine from distribution packages.
    Bootstrap(Bootstrap),
}

/// A root disk built from distribution packages, its kernel and initrd booted directly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bootstrap {
    /// Debian or Ubuntu suite, such as `trixie`.
    pub suite: String,
    /// Package mirror; `None`: the distribution's own.
    pub mirror: Option<String>,
    /// Packages besides kernel, cloud-init and sshd.
    pub packages: Vec<String>,
}

/// Docker Engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// Where its packages come from.
    pub source: EngineSource,
    /// A version prefix that is pinned and held, such as `28`.
    pub version: Option<String>,
    /// Log rotation of the `json-file` driver: size of a file, such as `10m`.
    pub log_max_size: String,
    /// Log rotation: number of files.
    pub log_max_file: u32,
    /// Registry mirrors.
    pub registry_mirrors: Vec<String>,
    /// Docker's local address pools (`default-address-pools`), with the prefix length of each network.
    pub pools: Vec<(Ipv4Net, u8)>,
}

/// Where Docker Engine comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineSource {
    /// The distribution's `docker.io`.
    Distro,
    /// Docker's own repository, or one of its shape.
    DockerCe {
        /// Base URL; the distribution's id (`debian`, `ubuntu`) is appended. `None`: Docker's.
        repository: Option<String>,
        /// URL of the signing key. `None`: Docker's.
        key: Option<String>,
    },
}

/// Docker Swarm.
#[derive(Clone, Debug, PartialEq)]
pub struct Swarm {
    /// Addresses of overlay networks (`--default-addr-pool`).
    pub pool: Ipv4Net,
    /// Overlay networks, in the order of the file.
    pub networks: Vec<Network>,
}

/// An overlay network that stacks share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Whether its traffic is encrypted (needs ESP between the hosts).
    pub encrypted: bool,
    /// Whether containers that are no services may join.
    pub attachable: bool,
    /// A fixed subnet.
    pub subnet: Option<Ipv4Net>,
}

/// Images that are loaded instead of pulled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Images {
    /// Archives as `docker save` writes them, globs expanded, in order.
    pub archives: Vec<PathBuf>,
    /// Image repositories (no tag) and what stands in for them.
    pub replace: IndexMap<String, String>,
}

impl Images {
    /// The image reference with its repository replaced as declared, tag and digest kept.
    pub fn resolve(&self, image: &str) -> String {
        let end = match image.find('@') {
            Some(at) => at,
            None => match image.rfind(':') {
                Some(colon) if !image[colon..].contains('/') => colon,
                _ => image.len(),
            },
        };
        match self.replace.get(&image[..end]) {
            Some(with) => format!("{with}{}", &image[end..]),
            None => image.to_owned(),
        }
    }
}

/// A phase of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Machines made, started, reachable, ready.
    Machines,
    /// Names, time, kernel settings and packages of every host.
    Base,
    /// Names that are answered.
    Dns,
    /// The hosts' walls.
    Firewall,
    /// Docker Engine.
    Engine,
    /// GlusterFS volumes, mounted.
    Gluster,
    /// The swarm and its members.
    Swarm,
    /// Node labels and availability.
    Labels,
    /// Overlay networks.
    Networks,
    /// Images loaded from archives.
    Images,
    /// The stacks.
    Stacks,
    /// The user's own playbook.
    Playbook(PathBuf),
}
