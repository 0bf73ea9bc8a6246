//! Which doors a host's wall needs, for whom, and why: out of the blueprint alone.

use crate::compose::Compose;
use crate::firewall::published::{Published, encrypts, published};
use blueprints::{Host, Lab, Port, Protocol, Role};
use std::fmt;

/// Where managers of a swarm listen. Source: Docker's "Open protocols and ports between the hosts".
const SWARM: u16 = 2377;
/// Gossip of a swarm's nodes.
const GOSSIP: u16 = 7946;
/// VXLAN, the overlay networks' data.
const VXLAN: u16 = 4789;
/// glusterd, and its port for RDMA, which is still asked for by old peers.
const GLUSTERD: (u16, u16) = (24007, 24008);
/// Bricks: `base-port` and `max-port` of GlusterFS 11's `glusterd.vol`.
const BRICKS: (u16, u16) = (49152, 60999);

/// One door in a host's wall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// What goes through.
    pub what: What,
    /// Who goes through.
    pub from: Who,
    /// What it is there for, in plain words: letters, digits, spaces, `-` and `,`.
    pub why: String,
}

/// What goes through a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// A port, or a range of them.
    Port(Port),
    /// IPsec's payload, protocol 50: encrypted overlay networks.
    Esp,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => port.fmt(f),
            Self::Esp => f.write_str("esp"),
        }
    }
}

impl What {
    /// Out of the words of firewalls: a protocol, and its ports, `80` or `5000-5001`.
    pub fn read(protocol: &str, ports: &str) -> Option<Self> {
        let protocol = match protocol {
            "esp" => return Some(Self::Esp),
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return None,
        };
        let (first, last) = ports.split_once(['-', ':']).unwrap_or((ports, ports));
        let (first, last) = (first.parse().ok()?, last.parse().ok()?);
        Some(Self::Port(Port { first, last, protocol }))
    }

    /// Whether both have something in common.
    pub fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Port(a), Self::Port(b)) => {
                a.protocol == b.protocol && a.first <= b.last && b.first <= a.last
            }
            _ => self == other,
        }
    }

    /// Its protocol, and its ports with this between the first and the last.
    pub fn parts(self, between: char) -> (&'static str, Option<String>) {
        match self {
            Self::Esp => ("esp", None),
            Self::Port(port) if port.first == port.last => {
                (port.protocol.as_str(), Some(port.first.to_string()))
            }
            Self::Port(port) => {
                (port.protocol.as_str(), Some(format!("{}{between}{}", port.first, port.last)))
            }
        }
    }
}

/// Who goes through a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Everybody.
    Anyone,
    /// The nodes of the swarm.
    Nodes,
    /// The hosts that hold bricks or mount volumes.
    Storage,
}

impl Who {
    /// The groups of hosts, in the order in which they are shown.
    pub const GROUPS: [Self; 2] = [Self::Nodes, Self::Storage];

    /// Its name, also that of its set of addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Nodes => "nodes",
            Self::Storage => "storage",
        }
    }

    /// The hosts that it stands for, in the order of the file; none for everybody.
    pub fn hosts(self, lab: &Lab) -> Vec<&Host> {
        match self {
            Self::Anyone => Vec::new(),
            Self::Nodes => lab.nodes().collect(),
            Self::Storage => lab.mount_hosts().collect(),
        }
    }
}

/// The doors of one host, those of everybody first, each once.
pub fn doors(lab: &Lab, stacks: &[Compose], host: &Host) -> Vec<Door> {
    let mut doors = Doors(Vec::new());
    doors.port(host.ssh.port, host.ssh.port, Protocol::Tcp, Who::Anyone, "ssh");
    for port in lab.firewall.iter().flat_map(|f| &f.open) {
        doors.add(What::Port(*port), Who::Anyone, "open everywhere");
    }
    for port in &host.ports {
        doors.add(What::Port(*port), Who::Anyone, "open on this host");
    }
    for stack in stacks {
        for Published { service, port, on_its_hosts } in published(stack) {
            let wanted = stack.services.iter().find(|s| s.name == service);
            let runs_here = wanted.is_none_or(|s| s.may_run_on(host));
            if host.role != Role::None && (runs_here || !on_its_hosts) {
                let why = format!("published by {}-{service}", stack.name);
                doors.add(What::Port(port), Who::Anyone, &why);
            }
        }
    }
    if host.role == Role::Manager {
        doors.port(SWARM, SWARM, Protocol::Tcp, Who::Nodes, "swarm");
    }
    if host.role != Role::None {
        doors.port(GOSSIP, GOSSIP, Protocol::Tcp, Who::Nodes, "swarm gossip");
        doors.port(GOSSIP, GOSSIP, Protocol::Udp, Who::Nodes, "swarm gossip");
        doors.port(VXLAN, VXLAN, Protocol::Udp, Who::Nodes, "overlay networks");
        if lab.swarm.networks.iter().any(|n| n.encrypted) || stacks.iter().any(encrypts) {
            doors.add(What::Esp, Who::Nodes, "encrypted overlay networks");
        }
    }
    if lab.brick_hosts().any(|h| h.name == host.name) {
        doors.port(GLUSTERD.0, GLUSTERD.1, Protocol::Tcp, Who::Storage, "glusterd");
        doors.port(BRICKS.0, BRICKS.1, Protocol::Tcp, Who::Storage, "bricks");
    }
    doors.0
}

struct Doors(Vec<Door>);

impl Doors {
    fn port(&mut self, first: u16, last: u16, protocol: Protocol, from: Who, why: &str) {
        self.add(What::Port(Port { first, last, protocol }), from, why);
    }

    /// One more, where everybody or the same group does not go through it already.
    fn add(&mut self, what: What, from: Who, why: &str) {
        if self.0.iter().any(|d| d.what == what && (d.from == from || d.from == Who::Anyone)) {
            return;
        }
        let plain = |c: char| if c.is_ascii_alphanumeric() || " -,".contains(c) { c } else { '-' };
        // nft takes comments of at most 128 bytes.
        self.0.push(Door { what, from, why: why.chars().take(100).map(plain).collect() });
    }
}
