//! The ground under the swarm as it is written: base of the hosts, DNS, firewall, GlusterFS.

use crate::field::{Field, List, Map};
use crate::file::Secret;
use crate::ground::{FirewallBackend, TsigAlgorithm};
use crate::units::{Ports, Time};
use schemars::JsonSchema;
use serde::Deserialize;

/// What every host has before anything else is installed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ timezone: Etc/UTC }`")]
pub(crate) struct Base {
    /// The time zone, `UTC` or such as `Europe/Berlin`; as the host has it by default.
    pub timezone: Field<String>,
    /// Addresses or names of time servers; those that the host's time service knows by default.
    pub time_servers: Field<List<String>>,
    /// Packages of the distribution.
    pub packages: Field<List<String>>,
}

/// Who answers for the lab's names.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ server: { hosts: {} } }`")]
pub(crate) struct Dns {
    /// Where records are written.
    pub server: Field<DnsServer>,
    /// How long an answer may be kept, where a record does not say otherwise: `1s` to a week
    /// (`168h`), 5m by default. Only `powerdns` and `rfc2136` know it.
    pub ttl: Field<Time>,
    /// Records besides those of the hosts, by name: a name without a dot lies in the zone, one
    /// with a dot is whole, `@` is the zone itself.
    pub records: Field<Map<Record>>,
}

/// Where records are written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DnsServer {
    /// PowerDNS, by its HTTP API.
    PowerDns(Box<PowerDns>),
    /// A server that takes dynamic updates (RFC 2136): BIND, Knot.
    Rfc2136(Box<Rfc2136>),
    /// The DNS server of the lab's libvirt network.
    Libvirt(NoSettings),
    /// `/etc/hosts` of every host, the default.
    Hosts(NoSettings),
}

/// No settings: `{}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "an empty map: `{}`")]
pub(crate) struct NoSettings {}

/// PowerDNS.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `url` and `api_key`")]
#[schemars(extend("required" = ["url", "api_key"]))]
pub(crate) struct PowerDns {
    /// The base URL of its HTTP API, such as `http://10.20.30.1:8081`.
    pub url: Field<String>,
    /// The API key.
    pub api_key: Field<Secret>,
    /// The zone, made where it is absent; the blueprint's domain by default.
    pub zone: Field<String>,
    /// The address where it answers DNS, with a port where that is not 53; by default the URL's
    /// host, so it is needed where the URL has a name.
    pub answers: Field<String>,
}

/// A server that takes dynamic updates.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `server` and `key`")]
#[schemars(extend("required" = ["server", "key"]))]
pub(crate) struct Rfc2136 {
    /// Its address (no name), with a port where that is not 53.
    pub server: Field<String>,
    /// The zone, which has to be there; the blueprint's domain by default.
    pub zone: Field<String>,
    /// The key that signs updates.
    pub key: Field<TsigKey>,
}

/// A TSIG key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `name` and `secret`")]
#[schemars(extend("required" = ["name", "secret"]))]
pub(crate) struct TsigKey {
    /// Its name.
    pub name: Field<String>,
    /// How it signs; `hmac-sha256` by default.
    pub algorithm: Field<TsigAlgorithm>,
    /// The key itself, in base64.
    pub secret: Field<Secret>,
}

/// The records of one name: addresses, texts and services, or a `cname` alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ cname: node1 }`")]
pub(crate) struct Record {
    /// IPv4 addresses, or hosts that have one.
    pub a: Field<List<String>>,
    /// IPv6 addresses, or hosts that have one.
    pub aaaa: Field<List<String>>,
    /// Another name; then there is nothing else.
    pub cname: Field<String>,
    /// Texts of at most 255 bytes.
    pub txt: Field<List<String>>,
    /// Services.
    pub srv: Field<List<Srv>>,
    /// How long an answer may be kept.
    pub ttl: Field<Time>,
}

/// A service and who gives it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ port: 389, target: node1 }`")]
#[schemars(extend("required" = ["port", "target"]))]
pub(crate) struct Srv {
    /// The lowest is asked first; 0 by default.
    pub priority: Field<u16>,
    /// The share among those of one priority; 0 by default.
    pub weight: Field<u16>,
    /// The port.
    #[schemars(range(min = 1))]
    pub port: Field<u16>,
    /// The name of who gives it.
    pub target: Field<String>,
}

/// The hosts' walls.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ open: [443/tcp] }`")]
pub(crate) struct Firewall {
    /// `firewalld`, `ufw`, `nftables`, `none`, or `auto` (the default): the one that is at work.
    pub backend: Field<FirewallBackend>,
    /// Ports that everybody reaches on every host, besides those that roles and stacks need.
    pub open: Field<List<Ports>>,
}

/// A GlusterFS volume: on the bricks of all hosts that declare one, or of those listed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a map such as `{ replica: 3, mount: /srv/docker }`"
)]
#[schemars(extend("required" = ["mount"]))]
pub(crate) struct Volume {
    /// How many bricks hold a copy of each file; 1 (no copies) by default.
    #[schemars(range(min = 1, max = 16))]
    pub replica: Field<u32>,
    /// Whether the last of three copies holds names and states only; needs `replica: 3`.
    pub arbiter: Field<bool>,
    /// The absolute folder where every node of the swarm, and every host with a brick, has it.
    #[schemars(regex(pattern = "^(/[A-Za-z0-9._+@-]+)+/?$"))]
    pub mount: Field<String>,
    /// The hosts whose bricks it takes, in order; all that declare one by default.
    pub hosts: Field<List<String>>,
    /// Options of the volume, such as `network.ping-timeout: "10"`.
    pub options: Field<Map<String>>,
}
