//! What machines share: the network and the template.

use super::*;

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
async fn a_network_that_was_there_is_used_and_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = lab("adopt", 18, 1, image(folder.path()));
    let provider = open(&lab).await;
    let xml = "<network><name>adopt-net</name><bridge/><ip address='10.99.0.1' prefix='16'>\
               <dhcp><range start='10.99.0.2' end='10.99.255.254'/></dhcp></ip></network>";
    let connection = provider.hypervisor.connection().expect("a connection");
    connection.define_network_xml(xml).expect("it is defined");
    let shared = provider.shared().remove(0);
    let state = provider.check_shared(&shared).await.expect("an answer");
    assert_eq!(state, State::Wrong("it is not active".to_owned()));
    up(&provider, &lab).await;
    let found = provider.find(&lab.hosts[0]).await.expect("an answer").expect("it exists");
    // Its subnet is not the blueprint's: that is its owner's business.
    assert!(found.address.expect("an address").to_string().starts_with("10.99."));
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
