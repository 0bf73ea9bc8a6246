//! What is not the lab's is never touched; what is the lab's is always found.

use super::*;

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
