//! The blueprint as it is written: the types that read the file and make its JSON Schema.
//!
//! Every field is a [`Field`]: what must be there is checked by rules, which can say more.

use crate::field::{Field, List, Map};
use crate::file_ground::{Base, Dns, Firewall, Volume};
use crate::file_stacks::Stack;
use crate::lab::{Accel, Availability, CloneKind, Role};
use crate::units::{LogSize, Net, Ports, Size};
use schemars::JsonSchema;
use serde::Deserialize;

/// A blueprint of bp: one file that describes a cluster, from machines to services.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `version`, `name` and `hosts`")]
#[schemars(extend("required" = ["version", "name", "hosts"]))]
pub(crate) struct Blueprint {
    /// The version of the language: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: Field<u64>,
    /// Tags and prefixes everything that is made.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{0,31}$"))]
    pub name: Field<String>,
    /// The DNS domain of the hosts; `<name>.internal` by default.
    pub domain: Field<String>,
    /// Who makes the hosts; `existing` by default.
    pub provider: Field<Provider>,
    /// The size of every machine that states none of its own.
    pub machine: Field<Machine>,
    /// The hosts by name; a name may hold ranges, such as `worker{1..3}`.
    pub hosts: Field<Map<Host>>,
    /// How to log in to hosts that do not say otherwise.
    pub ssh: Field<Ssh>,
    /// What every host has before anything else is installed.
    pub base: Field<Base>,
    /// Who answers for the lab's names; `/etc/hosts` on every host by default.
    pub dns: Field<Dns>,
    /// The hosts' walls; left alone where this is absent.
    pub firewall: Field<Firewall>,
    /// Docker Engine on the hosts.
    pub engine: Field<Engine>,
    /// GlusterFS volumes by name.
    pub gluster: Field<Map<Volume>>,
    /// Docker Swarm.
    pub swarm: Field<Swarm>,
    /// Images that are loaded instead of pulled.
    pub images: Field<Images>,
    /// Secrets of stacks that are given; all others are generated in the swarm.
    pub secrets: Field<Map<Secret>>,
    /// What runs in the swarm, in the order of deployment.
    pub stacks: Field<List<Stack>>,
    /// The phases of the run, in order, where the built-in order is not wanted: `machines`,
    /// `base`, `dns`, `firewall`, `engine`, `gluster`, `swarm`, `labels`, `networks`, `images`,
    /// `stacks`, or a playbook such as `./hardening.yml`.
    pub phases: Field<List<String>>,
}

/// Who makes the hosts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Provider {
    /// A libvirt hypervisor.
    Libvirt(Box<Libvirt>),
    /// Nobody: they are there.
    Existing,
}

/// A libvirt hypervisor.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `subnet` and `template`")]
#[schemars(extend("required" = ["subnet", "template"]))]
pub(crate) struct Libvirt {
    /// Any libvirt URI; `qemu:///system` by default.
    pub uri: Field<String>,
    /// `kvm`, `emulate`, or `auto` (the default): KVM only where a guest really runs under it.
    pub accel: Field<Accel>,
    /// The storage pool that takes every file; `default` by default.
    pub pool: Field<String>,
    /// The network: made when absent, used as it is when present. The lab's name by default.
    pub network: Field<String>,
    /// The network's subnet.
    pub subnet: Field<Net>,
    /// Where root disks come from.
    pub template: Field<Template>,
    /// `linked` (the default) or `full` copies of the template.
    pub clone: Field<CloneKind>,
}

/// Where root disks come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Template {
    /// The path of an image file (qcow2 or raw).
    #[serde(rename = "word")]
    File(String),
    /// Something else.
    #[serde(rename = "map")]
    Source(Box<TemplateSource>),
}

/// Where root disks come from: one of `url`, `volume`, `domain`, `bootstrap`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map")]
pub(crate) struct TemplateSource {
    /// An image that is downloaded; needs `sha256`.
    pub url: Field<String>,
    /// The SHA-256 of the image, in hex.
    #[schemars(regex(pattern = "^[0-9a-fA-F]{64}$"))]
    pub sha256: Field<String>,
    /// A volume that is in the pool already.
    pub volume: Field<String>,
    /// A virtual machine that is shut off, cloned as virt-clone does.
    pub domain: Field<String>,
    /// Built from distribution packages.
    pub bootstrap: Field<Bootstrap>,
}

/// A root disk built from distribution packages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `suite`")]
#[schemars(extend("required" = ["suite"]))]
pub(crate) struct Bootstrap {
    /// The Debian or Ubuntu suite, such as `trixie`.
    pub suite: Field<String>,
    /// The package mirror; the distribution's own by default.
    pub mirror: Field<String>,
    /// Packages besides kernel, cloud-init and sshd.
    pub packages: Field<List<String>>,
}

/// The size of a machine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ cpus: 2, memory: 4GiB }`")]
pub(crate) struct Machine {
    /// Virtual CPUs; 2 by default.
    #[schemars(range(min = 1, max = 512))]
    pub cpus: Field<u32>,
    /// Memory; 2GiB by default.
    pub memory: Field<Size>,
    /// The root disk; 20GiB by default.
    pub disk: Field<Size>,
}

/// A host.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ role: worker }`")]
pub(crate) struct Host {
    /// Its part in the swarm; `worker` by default.
    pub role: Field<Role>,
    /// The labels of its swarm node.
    pub labels: Field<Map<String>>,
    /// Whether its swarm node takes tasks; `active` by default.
    pub availability: Field<Availability>,
    /// Its address; needed for existing hosts.
    pub address: Field<String>,
    /// Its size, where it differs from the blueprint's.
    pub machine: Field<Machine>,
    /// Who makes it, where that differs from the blueprint's.
    pub provider: Field<HostProvider>,
    /// How to log in, field by field where it differs from the blueprint's.
    pub ssh: Field<Ssh>,
    /// The absolute folder of its GlusterFS bricks, such as `/srv/gluster`.
    #[schemars(regex(pattern = "^(/[A-Za-z0-9._+@-]+)+/?$"))]
    pub brick: Field<String>,
    /// Ports that everybody reaches on it, besides those that roles and stacks need.
    pub ports: Field<List<Ports>>,
}

/// Who makes a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HostProvider {
    /// The blueprint's hypervisor.
    Libvirt,
    /// Nobody: it is there.
    Existing,
}

/// How to log in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ user: ops, sudo: true }`")]
pub(crate) struct Ssh {
    /// The login user; `root` by default.
    pub user: Field<String>,
    /// The TCP port; 22 by default.
    #[schemars(range(min = 1))]
    pub port: Field<u16>,
    /// The private key.
    pub key: Field<String>,
    /// How the user becomes root: `true` for `sudo` without a password.
    pub sudo: Field<Sudo>,
    /// A host to go through.
    pub jump: Field<Jump>,
    /// The fingerprint of the host key (`SHA256:...`), for existing hosts.
    pub fingerprint: Field<String>,
    /// A private host key to give to a machine that bp makes.
    pub host_key: Field<String>,
}

/// How the login user becomes root.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Sudo {
    /// Whether `sudo` without a password is used.
    #[serde(rename = "word")]
    Passwordless(bool),
    /// `sudo` with a password.
    #[serde(rename = "map")]
    Password(SudoPassword),
}

/// `sudo` with a password.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `password`")]
#[schemars(extend("required" = ["password"]))]
pub(crate) struct SudoPassword {
    /// Where the password comes from.
    pub password: Field<Secret>,
}

/// Where a secret comes from.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Secret {
    /// An environment variable.
    Env(String),
    /// A file.
    File(String),
    /// The output of a shell command.
    Command(String),
}

/// A host to go through.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Jump {
    /// Its address or name.
    #[serde(rename = "word")]
    Address(String),
    /// Its address, and how to log in to it.
    #[serde(rename = "map")]
    Host(Box<JumpHost>),
}

/// A host to go through, and how to log in to it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `address`")]
#[schemars(extend("required" = ["address"]))]
pub(crate) struct JumpHost {
    /// Its address or name.
    pub address: Field<String>,
    /// The login user; `root` by default.
    pub user: Field<String>,
    /// The TCP port; 22 by default.
    #[schemars(range(min = 1))]
    pub port: Field<u16>,
    /// Its own private key.
    pub key: Field<String>,
    /// The fingerprint of its host key.
    pub fingerprint: Field<String>,
}

/// Docker Engine.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ source: distro }`")]
pub(crate) struct Engine {
    /// `docker-ce` (Docker's repository, the default), `distro`, or a repository of Docker's shape.
    pub source: Field<EngineSource>,
    /// A version prefix that is pinned and held, such as `"28"`.
    pub version: Field<String>,
    /// Log rotation, so that logs can't fill the disk.
    pub log: Field<Log>,
    /// Registry mirrors.
    pub registry_mirrors: Field<List<String>>,
    /// Address pools of Docker's local networks.
    pub pools: Field<List<Pool>>,
}

/// Where Docker Engine comes from.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum EngineSource {
    /// A known source.
    #[serde(rename = "word")]
    Known(EngineRepository),
    /// A repository of Docker's shape.
    #[serde(rename = "map")]
    Own(OwnRepository),
}

/// A known source of Docker Engine.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EngineRepository {
    /// Docker's own repository.
    DockerCe,
    /// The distribution's package.
    Distro,
}

/// A repository of the shape of Docker's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `repository` and `key`")]
#[schemars(extend("required" = ["repository", "key"]))]
pub(crate) struct OwnRepository {
    /// Its base URL; the distribution's id is appended.
    pub repository: Field<String>,
    /// The URL of its signing key.
    pub key: Field<String>,
}

/// Log rotation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ max_size: 10m, max_file: 3 }`")]
pub(crate) struct Log {
    /// The size of a file; `10m` by default.
    pub max_size: Field<LogSize>,
    /// The number of files; 3 by default.
    #[schemars(range(min = 1, max = 1000))]
    pub max_file: Field<u32>,
}

/// An address pool of Docker's local networks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    expecting = "a map such as `{ base: 10.210.0.0/16, size: 24 }`"
)]
#[schemars(extend("required" = ["base", "size"]))]
pub(crate) struct Pool {
    /// The addresses.
    pub base: Field<Net>,
    /// The prefix length of each network.
    #[schemars(range(min = 1, max = 30))]
    pub size: Field<u8>,
}

/// Docker Swarm.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ networks: [web] }`")]
pub(crate) struct Swarm {
    /// The addresses of overlay networks; `10.200.0.0/16` by default.
    pub pool: Field<Net>,
    /// The overlay networks that stacks share.
    pub networks: Field<List<Network>>,
}

/// An overlay network.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Network {
    /// Its name.
    #[serde(rename = "word")]
    Name(String),
    /// Its name and what is special about it.
    #[serde(rename = "map")]
    Overlay(Overlay),
}

/// An overlay network and what is special about it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `name`")]
#[schemars(extend("required" = ["name"]))]
pub(crate) struct Overlay {
    /// Its name.
    pub name: Field<String>,
    /// Whether its traffic is encrypted.
    pub encrypted: Field<bool>,
    /// Whether containers that are no services may join.
    pub attachable: Field<bool>,
    /// A fixed subnet.
    pub subnet: Field<Net>,
}

/// Images that are loaded instead of pulled.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ archives: [images/*.tar] }`")]
pub(crate) struct Images {
    /// Archives as `docker save` writes them; patterns such as `images/*.tar`.
    pub archives: Field<List<String>>,
    /// Image repositories (without a tag) and what stands in for them.
    pub replace: Field<Map<String>>,
}
