//! The provider on libvirt's test driver: one hypervisor for the whole test process, so every
//! test has a lab name and a subnet of its own.

mod clones;
mod foreign;
mod machines;
mod names;
mod shared;

use super::Libvirt;
use super::hypervisor::Hypervisor;
use super::tag::{Role, Tag, Volume};
use super::volume::volume_xml;
use super::xml::{Element, el};
use crate::{Access, OwnedKind, Provider, State};
use blueprints::{
    Accel, Availability, Base, CloneKind, Dns, DnsServer, Engine, EngineSource, Host, HostProvider,
    Images, Lab, Machine, Ssh, Sudo, Swarm, Template,
};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use virt::domain::Domain;

const POOL: &str = "default-pool";
const MIB: u64 = 1 << 20;

/// A lab of so many hosts on 127.x.0.0/16.
fn lab(name: &str, x: u8, hosts: usize, template: Template) -> Lab {
    let host = |n: usize| Host {
        name: format!("node{n}"),
        provider: HostProvider::Libvirt,
        role: blueprints::Role::Manager,
        labels: Default::default(),
        availability: Availability::Active,
        address: None,
        machine: Machine { cpus: 1, memory: 64 * MIB, disk: 40 * MIB },
        ssh: Ssh {
            user: "root".to_owned(),
            port: 22,
            key: None,
            sudo: Sudo::No,
            jump: None,
            fingerprint: None,
            host_key: None,
        },
        brick: None,
        ports: Vec::new(),
    };
    Lab {
        name: name.to_owned(),
        domain: "lab.test".to_owned(),
        hosts: (1..=hosts).map(host).collect(),
        libvirt: Some(blueprints::Libvirt {
            uri: "test:///default".to_owned(),
            accel: Accel::Auto,
            pool: POOL.to_owned(),
            network: format!("{name}-net"),
            subnet: format!("127.{x}.0.0/16").parse().expect("a subnet"),
            template,
            clone: CloneKind::Linked,
        }),
        base: Base::default(),
        dns: Dns { server: DnsServer::Hosts, ttl: 300, records: Vec::new() },
        firewall: None,
        volumes: Vec::new(),
        engine: Engine {
            source: EngineSource::Distro,
            version: None,
            log_max_size: "10m".to_owned(),
            log_max_file: 3,
            registry_mirrors: Vec::new(),
            pools: Vec::new(),
        },
        swarm: Swarm { pool: "10.200.0.0/16".parse().expect("a pool"), networks: Vec::new() },
        images: Images::default(),
        stacks: Vec::new(),
        secrets: Default::default(),
        phases: Vec::new(),
        ssh_key: None,
    }
}

/// A template that is a file: the test driver reads its size only.
fn image(folder: &Path) -> Template {
    let path = folder.join("image.raw");
    std::fs::write(&path, vec![0; MIB as usize]).expect("it is written");
    Template::File(path)
}

async fn open(lab: &Lab) -> Libvirt {
    // The driver forgets everything when its last connection is closed.
    static KEEPER: OnceLock<virt::connect::Connect> = OnceLock::new();
    KEEPER.get_or_init(|| {
        virt::connect::Connect::open(Some("test:///default")).expect("it connects")
    });
    Libvirt::open(lab, Path::new("/nonexistent"), Arc::new(|_| {})).await.expect("it connects")
}

fn access() -> Access {
    Access { authorized: vec!["ssh-ed25519 AAAA op".to_owned()], user: "root".to_owned() }
}

async fn make_shared(provider: &Libvirt) {
    for shared in provider.shared() {
        provider.make_shared(&shared).await.expect("it is made");
        assert_eq!(provider.check_shared(&shared).await.expect("an answer"), State::Right);
    }
}

async fn up(provider: &Libvirt, lab: &Lab) {
    make_shared(provider).await;
    for host in &lab.hosts {
        provider.create(host, &access()).await.expect("it is created");
        provider.start(host).await.expect("it starts");
    }
}

async fn destroy(provider: &Libvirt) {
    for owned in provider.owned().await.expect("a list") {
        provider.remove(&owned).await.expect("it is removed");
        provider.remove(&owned).await.expect("gone already is fine");
    }
    assert_eq!(provider.owned().await.expect("a list"), []);
}

/// The names of all volumes that begin so, sorted.
fn volumes(hypervisor: &Hypervisor, prefix: &str) -> Vec<String> {
    let pool = hypervisor.pool(POOL).expect("the pool");
    let mut names = pool.list_volumes().expect("a list");
    names.retain(|n| n.starts_with(prefix));
    names.sort();
    names
}

fn define(hypervisor: &Hypervisor, name: &str, metadata: Option<Element>) -> Domain {
    let mut xml = el("domain")
        .attr("type", "test")
        .child(el("name").text(name))
        .child(el("memory").text(8192))
        .child(el("os").child(el("type").text("hvm")));
    if let Some(metadata) = metadata {
        xml = xml.child(el("metadata").child(metadata));
    }
    hypervisor.define(name, &xml).expect("it is defined")
}

fn tag_of(hypervisor: &Hypervisor, domain: &str) -> Tag {
    let (_, xml) = hypervisor.domain(domain).expect("an answer").expect("it exists");
    Tag::of(&xml).expect("it is tagged")
}
