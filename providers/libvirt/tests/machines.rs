//! Machines: made, found, cut off, completed.

use super::*;

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
