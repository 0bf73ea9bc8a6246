//! The provider on libvirt's test driver: one hypervisor for the whole test process, so every
//! test has a lab name and a subnet of its own.

use super::hypervisor::{Hypervisor, volume_xml};
use super::tag::{Role, Tag, Volume};
use super::xml::{Element, el};
use super::{Libvirt, machine};
use crate::{Access, OwnedKind, Provider, State};
use blueprints::{
    Accel, Availability, CloneKind, Engine, EngineSource, Host, HostProvider, Images, Lab, Machine,
    Ssh, Sudo, Swarm, Template,
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

#[tokio::test]
async fn a_lab_is_made_found_and_removed_without_a_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = lab("whole", 11, 2, image(folder.path()));
    let provider = open(&lab).await;
    let host = &lab.hosts[0];
    assert_eq!(provider.find(host).await.expect("an answer"), None);
    for shared in provider.shared() {
        let state = provider.check_shared(&shared).await.expect("an answer");
        assert_eq!(state, State::Wrong("it does not exist".to_owned()), "{}", shared.name);
    }
    make_shared(&provider).await;
    provider.create(host, &access()).await.expect("it is created");
    let made = provider.find(host).await.expect("an answer").expect("it exists");
    assert_eq!((&made.state, made.running, made.address), (&State::Right, false, None));
    let key = made.host_key.clone().expect("a host key");
    assert!(key.starts_with("ssh-ed25519 AAAA"), "{key}");

    provider.start(host).await.expect("it starts");
    provider.start(host).await.expect("running already is fine");
    let running = provider.find(host).await.expect("an answer").expect("it exists");
    assert!(running.running);
    let address = running.address.expect("the test driver makes one up");
    assert!(address.to_string().starts_with("127.11."), "{address}");

    // Twice is the same: nothing is made anew.
    let before = volumes(&provider.hypervisor, "whole-");
    up(&provider, &lab).await;
    let again = provider.find(host).await.expect("an answer").expect("it exists");
    assert_eq!(again.host_key, Some(key));
    let after = volumes(&provider.hypervisor, "whole-");
    assert!(before.iter().all(|v| after.contains(v)), "{before:?} {after:?}");
    assert_eq!(after.len(), before.len() + 3, "the second machine's: {after:?}");

    let owned = provider.owned().await.expect("a list");
    let owned: Vec<_> = owned.iter().map(|o| format!("{} {}", o.kind, o.name)).collect();
    assert_eq!(
        owned,
        [
            "machine whole-node1",
            "machine whole-node2",
            "template whole-template",
            "network whole-net"
        ]
    );
    destroy(&provider).await;
    assert_eq!(volumes(&provider.hypervisor, "whole"), Vec::<String>::new());
    assert_eq!(provider.find(host).await.expect("an answer"), None);
}

#[tokio::test]
async fn a_machine_cut_off_at_any_stage_is_completed() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = lab("cut", 12, 1, image(folder.path()));
    let provider = open(&lab).await;
    let (host, hypervisor) = (&lab.hosts[0], provider.hypervisor.clone());
    make_shared(&provider).await;
    provider.create(host, &access()).await.expect("it is created");
    let whole = tag_of(&hypervisor, "cut-node1");
    assert_eq!(whole.volumes.len(), 3);
    // Cut off after so many of its volumes; the last one may be written in part.
    for made in 0..=whole.volumes.len() {
        let (domain, _) = hypervisor.domain("cut-node1").expect("an answer").expect("it exists");
        let tag = tag_of(&hypervisor, "cut-node1");
        for volume in &tag.volumes[made..] {
            hypervisor.delete_volume(volume).expect("it is deleted");
        }
        let half = Tag { ready: false, ..tag.clone() };
        hypervisor.retag(&domain, "cut-node1", &half).expect("it is tagged");
        let found = provider.find(host).await.expect("an answer").expect("it exists");
        assert_eq!(found.state, State::Wrong("it is half made".to_owned()));
        provider.create(host, &access()).await.expect("it is completed");
        let found = provider.find(host).await.expect("an answer").expect("it exists");
        assert_eq!(found.state, State::Right);
        // The old seed held the old key, and may be cut off: both are new.
        assert_ne!(found.host_key, tag.host_key);
        let mut listed: Vec<_> =
            tag_of(&hypervisor, "cut-node1").volumes.into_iter().map(|v| v.name).collect();
        listed.sort();
        assert_eq!(volumes(&hypervisor, "cut-node1"), listed);
    }
    // A ready machine whose disk somebody deleted is made anew.
    hypervisor.delete_volume(&whole.volumes[0]).expect("it is deleted");
    let found = provider.find(host).await.expect("an answer").expect("it exists");
    assert_eq!(found.state, State::Wrong("its disk is gone".to_owned()));
    provider.create(host, &access()).await.expect("it is completed");
    // Half made again, and destroyed instead.
    let (domain, _) = hypervisor.domain("cut-node1").expect("an answer").expect("it exists");
    let tag = tag_of(&hypervisor, "cut-node1");
    hypervisor.delete_volume(&tag.volumes[1]).expect("it is deleted");
    hypervisor.retag(&domain, "cut-node1", &Tag { ready: false, ..tag }).expect("it is tagged");
    destroy(&provider).await;
    assert_eq!(volumes(&hypervisor, "cut"), Vec::<String>::new());
}

#[tokio::test]
async fn a_template_cut_off_or_of_another_source_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = lab("tpl", 13, 1, image(folder.path()));
    let provider = open(&first).await;
    let hypervisor = provider.hypervisor.clone();
    let shared = provider.shared().remove(1);
    provider.make_shared(&shared).await.expect("it is made");
    let (domain, _) = hypervisor.domain("tpl-template").expect("an answer").expect("it exists");
    let tag = tag_of(&hypervisor, "tpl-template");
    hypervisor.retag(&domain, "tpl-template", &Tag { ready: false, ..tag }).expect("tagged");
    let state = provider.check_shared(&shared).await.expect("an answer");
    assert_eq!(state, State::Wrong("it is half made".to_owned()));
    make_shared(&provider).await;
    assert_eq!(volumes(&hypervisor, "tpl-template").len(), 1);

    let other = folder.path().join("other.raw");
    std::fs::write(&other, b"other").expect("it is written");
    let second = open(&lab("tpl", 13, 1, Template::File(other))).await;
    let shared = second.shared().remove(1);
    let state = second.check_shared(&shared).await.expect("an answer");
    assert_eq!(state, State::Wrong("it was made from another source".to_owned()));
    // Under a machine it must stay.
    provider.create(&first.hosts[0], &access()).await.expect("it is created");
    let state = second.check_shared(&shared).await.expect("an answer");
    assert!(matches!(&state, State::Conflict(why) if why.contains("node1")), "{state:?}");
    second.make_shared(&shared).await.expect_err("it would break the machine");
    destroy(&second).await;
}

#[tokio::test]
async fn what_others_made_is_never_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = lab("look", 14, 2, image(folder.path()));
    let provider = open(&lab).await;
    let hypervisor = provider.hypervisor.clone();
    // Look-alikes: a domain in the place of a host's, a name of the lab's kind, another lab's
    // tag, somebody else's metadata, volumes and a network of such names.
    define(&hypervisor, "look-node1", None);
    define(&hypervisor, "look-node9", None);
    define(&hypervisor, "looks", Some(Tag::new("looks", Role::Machine).element()));
    let alien = el("x:lab").attr("xmlns:x", "urn:other").attr("name", "look");
    define(&hypervisor, "look-alien", Some(alien));
    for name in ["look-node1.qcow2", "look-node2-00000000.qcow2", "look-template.img"] {
        hypervisor.create_volume(POOL, &volume_xml(name, "raw", MIB, false)).expect("it is made");
    }
    let network = el("network").child(el("name").text("look-other")).child(el("bridge"));
    let connection = hypervisor.connection().expect("a connection");
    connection.define_network_xml(&network.to_string()).expect("it is defined");

    make_shared(&provider).await;
    let found = provider.find(&lab.hosts[0]).await.expect("an answer").expect("it exists");
    assert!(matches!(&found.state, State::Conflict(why) if why.contains("`look-node1`")));
    provider.create(&lab.hosts[0], &access()).await.expect_err("it is somebody else's");
    provider.start(&lab.hosts[0]).await.expect_err("it is somebody else's");
    provider.create(&lab.hosts[1], &access()).await.expect("it is created");
    destroy(&provider).await;

    assert_eq!(
        volumes(&hypervisor, "look-"),
        ["look-node1.qcow2", "look-node2-00000000.qcow2", "look-template.img"]
    );
    for name in ["look-node1", "look-node9", "looks", "look-alien"] {
        assert!(hypervisor.domain(name).expect("an answer").is_some(), "{name}");
    }
    assert!(hypervisor.network("look-other").expect("an answer").is_some());
}

#[tokio::test]
async fn two_labs_side_by_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = lab("side", 15, 1, image(folder.path()));
    let two = lab("side-two", 16, 1, image(folder.path()));
    let (first, second) = (open(&one).await, open(&two).await);
    up(&first, &one).await;
    up(&second, &two).await;
    destroy(&first).await;
    let left = second.find(&two.hosts[0]).await.expect("an answer").expect("it exists");
    assert!(left.running && left.state == State::Right && left.address.is_some());
    assert_eq!(second.owned().await.expect("a list").len(), 3);
    destroy(&second).await;
}

#[tokio::test]
async fn five_machines_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = lab("many", 17, 5, image(folder.path()));
    let provider = open(&lab).await;
    make_shared(&provider).await;
    let all = lab.hosts.iter().map(|host| async {
        provider.create(host, &access()).await?;
        provider.start(host).await?;
        provider.find(host).await
    });
    let mut addresses = Vec::new();
    for found in futures::future::join_all(all).await {
        let found = found.expect("it is made").expect("it exists");
        assert_eq!(found.state, State::Right);
        addresses.push(found.address.expect("an address"));
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 5);
    destroy(&provider).await;
}

#[tokio::test]
async fn a_network_that_was_there_is_used_and_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = lab("adopt", 18, 1, image(folder.path()));
    let provider = open(&lab).await;
    let xml = "<network><name>adopt-net</name><bridge/><ip address='10.99.0.1' prefix='24'>\
               <dhcp><range start='10.99.0.2' end='10.99.0.254'/></dhcp></ip></network>";
    let connection = provider.hypervisor.connection().expect("a connection");
    connection.define_network_xml(xml).expect("it is defined");
    let shared = provider.shared().remove(0);
    let state = provider.check_shared(&shared).await.expect("an answer");
    assert_eq!(state, State::Wrong("it is not active".to_owned()));
    up(&provider, &lab).await;
    let found = provider.find(&lab.hosts[0]).await.expect("an answer").expect("it exists");
    // Its subnet is not the blueprint's: that is its owner's business.
    assert!(found.address.expect("an address").to_string().starts_with("10.99.0."));
    destroy(&provider).await;
    assert!(provider.hypervisor.network("adopt-net").expect("an answer").is_some());
    // A network of the lab's own, on the other hand, has the blueprint's subnet or none.
    if let Some(spec) = &mut lab.libvirt {
        spec.network = "adopt-own".to_owned();
    }
    make_shared(&open(&lab).await).await;
    if let Some(spec) = &mut lab.libvirt {
        spec.subnet = "127.118.0.0/16".parse().expect("a subnet");
    }
    let moved = open(&lab).await;
    let state = moved.check_shared(&shared_network(&moved)).await.expect("an answer");
    assert!(matches!(&state, State::Conflict(why) if why.contains("127.18.0.0/16")), "{state:?}");
    moved.make_shared(&shared_network(&moved)).await.expect_err("machines would be cut off");
    destroy(&moved).await;
}

fn shared_network(provider: &Libvirt) -> crate::Shared {
    provider.shared().remove(0)
}

#[tokio::test]
async fn fixed_addresses_are_added_to_a_network_that_exists() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = lab("fixed", 19, 2, image(folder.path()));
    make_shared(&open(&lab).await).await;
    lab.hosts[1].address = Some(blueprints::Address::Ip([127, 19, 0, 99].into()));
    let provider = open(&lab).await;
    let shared = shared_network(&provider);
    let state = provider.check_shared(&shared).await.expect("an answer");
    assert_eq!(state, State::Wrong("it has no fixed address for node2".to_owned()));
    make_shared(&provider).await;
    // The address goes over to another host, and then to yet another address.
    lab.hosts[0].address = lab.hosts[1].address.take();
    make_shared(&open(&lab).await).await;
    lab.hosts[0].address = Some(blueprints::Address::Ip([127, 19, 0, 100].into()));
    let provider = open(&lab).await;
    make_shared(&provider).await;
    let (_, xml) = provider.hypervisor.network("fixed-net").expect("an answer").expect("there");
    let entries: Vec<_> = xml.at("ip/dhcp").expect("dhcp").all("host").collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].get("name"), entries[0].get("ip")),
        (Some("node1"), Some("127.19.0.100"))
    );
    destroy(&provider).await;
}

#[tokio::test]
async fn a_network_that_others_use_is_kept_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = lab("used", 20, 1, image(folder.path()));
    let provider = open(&lab).await;
    make_shared(&provider).await;
    let source = el("source").attr("network", "used-net");
    let interface = el("interface").attr("type", "network").child(source);
    let guest = el("domain")
        .attr("type", "test")
        .child(el("name").text("guest-of-used"))
        .child(el("memory").text(8192))
        .child(el("os").child(el("type").text("hvm")))
        .child(el("devices").child(interface));
    let guest = provider.hypervisor.define("guest-of-used", &guest).expect("it is defined");
    let owned = provider.owned().await.expect("a list");
    let network = owned.iter().find(|o| o.kind == OwnedKind::Network).expect("the network");
    let error = provider.remove(network).await.expect_err("somebody uses it");
    assert!(error.to_string().contains("domain `guest-of-used`"), "{error}");
    guest.undefine().expect("it goes");
    destroy(&provider).await;
}

#[tokio::test]
async fn another_size_is_a_conflict_that_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let lab = lab("size", 21, 1, image(folder.path()));
    let provider = open(&lab).await;
    up(&provider, &lab).await;
    let sizes = [
        (Machine { cpus: 2, ..lab.hosts[0].machine }, "1 CPUs"),
        (Machine { memory: 65 * MIB, ..lab.hosts[0].machine }, "65536 KiB of memory"),
        (Machine { disk: 41 * MIB, ..lab.hosts[0].machine }, "41943040 bytes of disk"),
    ];
    for (machine, said) in sizes {
        let host = Host { machine, ..lab.hosts[0].clone() };
        let found = provider.find(&host).await.expect("an answer").expect("it exists");
        assert!(matches!(&found.state, State::Conflict(why) if why.contains(said)), "{found:?}");
        assert!(found.running && found.address.is_some());
    }
    destroy(&provider).await;
}

#[tokio::test]
async fn a_disk_smaller_than_its_template_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = lab("small", 22, 1, image(folder.path()));
    lab.hosts[0].machine.disk = MIB - 1;
    let provider = open(&lab).await;
    make_shared(&provider).await;
    let error = provider.create(&lab.hosts[0], &access()).await.expect_err("too small");
    assert!(error.to_string().contains("smaller than the template's 1048576"), "{error}");
    assert_eq!(provider.find(&lab.hosts[0]).await.expect("an answer"), None);
    destroy(&provider).await;
}

#[tokio::test]
async fn a_machine_is_cloned_from_one_that_is_shut_off() {
    let mut lab = lab("clone", 23, 1, Template::Domain("gold-vm".to_owned()));
    let provider = open(&lab).await;
    let hypervisor = provider.hypervisor.clone();
    let disks = ["gold-root.qcow2", "gold-data.qcow2"];
    for (name, size) in disks.iter().zip([4 * MIB, 2 * MIB]) {
        hypervisor.create_volume(POOL, &volume_xml(name, "qcow2", size, false)).expect("made");
    }
    let path = |name: &str| format!("/default-pool/{name}");
    let disk = |file: String, device: &str, dev: &str| {
        el("disk")
            .attr("type", "file")
            .attr("device", device)
            .child(el("source").attr("file", file))
            .child(el("target").attr("dev", dev).attr("bus", "virtio"))
    };
    let devices = el("devices")
        .child(disk(path(disks[0]), "disk", "vda"))
        .child(disk(path(disks[1]), "disk", "vdb"))
        .child(disk("/iso/old-seed.iso".to_owned(), "cdrom", "vdc"))
        .child(
            el("interface")
                .attr("type", "network")
                .child(el("mac").attr("address", "52:54:00:00:00:01"))
                .child(el("source").attr("network", "default")),
        );
    let gold = el("domain")
        .attr("type", "test")
        .child(el("name").text("gold-vm"))
        .child(el("uuid").text("11111111-1111-4111-8111-111111111111"))
        .child(el("memory").text(8192))
        .child(el("os").child(el("type").text("hvm")))
        .child(devices);
    let gold = hypervisor.define("gold-vm", &gold).expect("it is defined");
    gold.create().expect("it starts");
    let template = provider.shared().remove(1);
    let state = provider.check_shared(&template).await.expect("an answer");
    assert!(matches!(&state, State::Conflict(why) if why.contains("is running")), "{state:?}");
    gold.destroy().expect("it is shut off");
    up(&provider, &lab).await;
    let found = provider.find(&lab.hosts[0]).await.expect("an answer").expect("it exists");
    assert_eq!((found.state, found.running), (State::Right, true));
    let (_, xml) = hypervisor.domain("clone-node1").expect("an answer").expect("it exists");
    let uuid = xml.at("uuid").map(|u| u.text.clone()).unwrap_or_default();
    assert_ne!(uuid, "11111111-1111-4111-8111-111111111111");
    let mac = xml.at("devices/interface/mac").and_then(|m| m.get("address"));
    assert_eq!(mac, Some(super::network::mac("clone", "node1").as_str()));
    let sources: Vec<_> = xml
        .at("devices")
        .expect("devices")
        .all("disk")
        .map(|d| d.at("source").and_then(|s| s.get("volume")).unwrap_or("-").to_owned())
        .collect();
    let stem = format!("clone-node1-{}", &uuid[..8]);
    let expected = ["", "-1", "-seed"].map(|e| match e {
        "-seed" => format!("{stem}-seed.iso"),
        e => format!("{stem}{e}.qcow2"),
    });
    assert_eq!(sources, expected);
    assert_eq!(volumes(&hypervisor, "clone-node1").len(), 4);
    destroy(&provider).await;
    // The same as full copies.
    if let Some(spec) = &mut lab.libvirt {
        spec.clone = CloneKind::Full;
    }
    let provider = open(&lab).await;
    up(&provider, &lab).await;
    destroy(&provider).await;
    assert_eq!(volumes(&hypervisor, "clone"), Vec::<String>::new());
    assert_eq!(volumes(&hypervisor, "gold"), ["gold-data.qcow2", "gold-root.qcow2"]);
    assert!(hypervisor.domain("gold-vm").expect("an answer").is_some());
}

#[tokio::test]
async fn a_volume_as_template_is_used_and_stays() {
    let lab = lab("vol", 24, 1, Template::Volume("vol-image.qcow2".to_owned()));
    let provider = open(&lab).await;
    let template = provider.shared().remove(1);
    let state = provider.check_shared(&template).await.expect("an answer");
    assert!(matches!(&state, State::Conflict(why) if why.contains("vol-image.qcow2")), "{state:?}");
    let xml = volume_xml("vol-image.qcow2", "qcow2", MIB, false);
    provider.hypervisor.create_volume(POOL, &xml).expect("it is made");
    up(&provider, &lab).await;
    destroy(&provider).await;
    assert_eq!(volumes(&provider.hypervisor, "vol"), ["vol-image.qcow2"]);
}

#[tokio::test]
async fn hosts_that_left_the_blueprint_and_leftover_probes_are_owned() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = lab("left", 25, 2, image(folder.path()));
    let provider = open(&lab).await;
    up(&provider, &lab).await;
    let volume = Volume { pool: POOL.to_owned(), name: "left-probe-1.img".to_owned() };
    let xml = volume_xml(&volume.name, "raw", MIB, false);
    provider.hypervisor.create_volume(POOL, &xml).expect("it is made");
    let tag = Tag { volumes: vec![volume], ..Tag::new("left", Role::Probe) };
    define(&provider.hypervisor, "left-probe", Some(tag.element()));
    lab.hosts.pop();
    let provider = open(&lab).await;
    let owned = provider.owned().await.expect("a list");
    let owned: Vec<_> = owned.iter().map(|o| (o.name.as_str(), o.host.as_deref())).collect();
    assert_eq!(
        owned[..3],
        [("left-node1", Some("node1")), ("left-node2", Some("node2")), ("left-probe", None)]
    );
    destroy(&provider).await;
    assert_eq!(volumes(&provider.hypervisor, "left"), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_there_is_said_with_a_hint() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = lab("dead", 26, 1, image(folder.path()));
    let opened = |lab: Lab| async move {
        let opened = Libvirt::open(&lab, Path::new("/nonexistent"), Arc::new(|_| {})).await;
        opened.err().expect("it is refused")
    };
    let spec = lab.libvirt.clone().expect("a hypervisor");
    let with = |spec: blueprints::Libvirt| Lab { libvirt: Some(spec), ..lab.clone() };
    let uri = format!("qemu+unix:///system?socket={}/none", folder.path().display());
    let error = opened(with(blueprints::Libvirt { uri, ..spec.clone() })).await;
    assert!(error.hint.expect("a hint").contains("virsh"));
    let pool = "no-such-pool".to_owned();
    let error = opened(with(blueprints::Libvirt { pool, ..spec })).await;
    assert!(error.to_string().contains("no-such-pool"), "{error}");
    assert!(error.hint.expect("a hint").contains("pool-define-as"));
    lab.libvirt = None;
    let error = opened(lab.clone()).await;
    assert!(error.to_string().contains("the blueprint names none"), "{error}");
}

#[test]
fn names_at_the_hypervisor() {
    assert_eq!(machine::domain_name("lab", "node1"), "lab-node1");
}
