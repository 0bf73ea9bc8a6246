//! Destroy: all of the lab and nothing else, also cut off, also without a record.

use crate::support::guests::Guests;
use crate::support::libvirtd::POOL;
use std::fs;

/// What looks like the lab's and is not: as `inventory` names it.
fn look_alikes(guests: &Guests) -> Vec<String> {
    let (libvirtd, lab) = (&guests.libvirtd, &guests.lab);
    let domain = |name: &str, metadata: &str| {
        let os = "<os><type>hvm</type></os>";
        let head = format!("<name>{name}</name><metadata>{metadata}</metadata>");
        let xml = format!(
            "<domain type='test'>{head}<memory unit='MiB'>64</memory><vcpu>1</vcpu>{os}</domain>"
        );
        libvirtd.define("define", &xml);
    };
    let tag = |lab: &str| {
        format!(
            "<bp:lab xmlns:bp='urn:bp:lab:1' name='{lab}' role='machine' state='ready' host='node3'>\
             <bp:volume pool='{POOL}' name='{lab}-theirs.qcow2'/></bp:lab>"
        )
    };
    domain(&format!("{lab}-node1x"), "");
    domain(&format!("{lab}-node3"), &tag(&format!("{lab}2")));
    domain(&format!("{lab}-node4"), &tag("").replace("urn:bp:lab:1", "urn:other"));
    libvirtd.virsh(&["start", &format!("{lab}-node3")]);
    for volume in [format!("{lab}-node1-deadbeef.qcow2"), format!("{lab}2-theirs.qcow2")] {
        libvirtd.virsh(&["vol-create-as", POOL, &volume, "1G", "--format", "qcow2"]);
    }
    let address = "<ip address='127.200.0.1' netmask='255.255.0.0'/>";
    for name in [format!("{lab}2"), format!("{lab}-net")] {
        let xml = format!("<network><name>{name}</name>{address}</network>");
        libvirtd.define("net-define", &xml);
    }
    libvirtd.inventory()
}

#[test]
fn destroy_takes_the_lab_and_nothing_that_looks_like_it() {
    let guests = Guests::new(2);
    let foreign = look_alikes(&guests);
    assert_eq!(
        foreign.len(),
        10,
        "the driver's domain and network, `base`, seven more: {foreign:?}"
    );
    guests.desk.bp(&["up"]).exits(0);
    assert!(guests.libvirtd.inventory().len() > foreign.len());
    // Nobody is there to be asked.
    for args in [&["destroy"][..], &["destroy", "--json"]] {
        let refused = guests.desk.bp(args).exits(2);
        assert!(format!("{}{}", refused.err, refused.out).contains("--yes"), "{refused:?}");
    }
    let destroy = guests.desk.bp(&["destroy", "--yes", "--json"]).exits(0);
    assert_eq!(destroy.done()["removed"], 3);
    assert_eq!(destroy.done()["failed"], 0);
    assert_eq!(guests.libvirtd.inventory(), foreign);
    let kept: Vec<String> = fs::read_dir(guests.desk.at(".bp").join(&guests.lab))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(kept, ["journal"], "the lock is gone, and the key");
    assert_eq!(guests.desk.bp(&["destroy", "--yes", "--json"]).exits(0).done()["removed"], 0);
    guests.desk.bp(&["plan"]).exits(3);
}

#[test]
fn a_destroy_killed_at_any_removal_is_continued_by_the_next() {
    let guests = Guests::new(2);
    for number in 1..=4 {
        guests.desk.bp(&["up"]).exits(0);
        let mut running = guests.desk.start(&["destroy", "--yes", "--json"]);
        if !running.until_boundary(number) {
            assert_eq!(number, 4, "two machines and a network");
            running.finish().exits(0);
            break;
        }
        running.kill();
        fs::remove_dir_all(guests.desk.at(".bp")).unwrap();
        guests.desk.bp(&["destroy", "--yes"]).exits(0);
        assert!(guests.own().is_empty(), "killed at {number}: {:?}", guests.own());
    }
}

#[test]
fn a_foreign_domain_in_the_way_is_an_error_and_stays() {
    let guests = Guests::new(2);
    let name = format!("{}-node2", guests.lab);
    let xml = format!(
        "<domain type='test'><name>{name}</name><memory unit='MiB'>64</memory>\
         <os><type>hvm</type></os></domain>"
    );
    guests.libvirtd.define("define", &xml);
    let before = guests.libvirtd.virsh(&["dumpxml", &name]);
    let up = guests.desk.bp(&["up", "--json"]).exits(1);
    assert_eq!(up.steps("step_failed", |_| true), ["machines/machine/node2"]);
    assert!(
        up.events("step_failed")[0]["error"].to_string().contains("was not made for"),
        "{up:?}"
    );
    assert!(up.applied().contains(&"machines/running/node1".to_owned()), "the other one is made");
    guests.desk.bp(&["destroy", "--yes"]).exits(0);
    assert_eq!(guests.own(), [format!("domain {name} shut off")]);
    assert_eq!(guests.libvirtd.virsh(&["dumpxml", &name]), before);
}

#[test]
fn a_network_that_others_use_is_kept_and_said() {
    let guests = Guests::new(1);
    guests.desk.bp(&["up"]).exits(0);
    let lab = &guests.lab;
    let xml = format!(
        "<domain type='test'><name>visitor</name><memory unit='MiB'>64</memory>\
         <os><type>hvm</type></os><devices><interface type='network'>\
         <source network='{lab}'/></interface></devices></domain>"
    );
    guests.libvirtd.define("define", &xml);
    let destroy = guests.desk.bp(&["destroy", "--yes", "--json"]).exits(1);
    assert!(
        destroy.events("not_removed")[0]["error"].to_string().contains("visitor"),
        "{destroy:?}"
    );
    assert_eq!(guests.own(), [format!("network {lab}")]);
    guests.libvirtd.virsh(&["undefine", "visitor"]);
    guests.desk.bp(&["destroy", "--yes"]).exits(0);
    assert!(guests.own().is_empty());
}
