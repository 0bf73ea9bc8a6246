//! Machines from what is at the hypervisor already.

use super::*;

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
    assert_eq!(mac, Some(crate::libvirt::network::mac("clone", "node1").as_str()));
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
