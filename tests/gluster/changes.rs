//! Bricks that come and go.

use crate::ground::{Ground, lab};

const ALL: [&str; 4] = ["node1", "node2", "node3", "node4"];

#[tokio::test]
async fn a_distributed_volume_grows_and_shrinks_with_all_its_files() {
    const DIST: &str = "files: { mount: /srv/files }";
    let ground = Ground::new("spread", 4);
    ground.done(&lab(&ALL, &["node1", "node2"], DIST)).await;
    ground.node("node4").sh("for i in $(seq 200); do echo $i >/srv/files/f$i; done");
    let count = |host: &str| -> u32 {
        ground.node(host).sh("ls /srv/gluster/files | wc -l").parse().expect("a number")
    };
    ground.done(&lab(&ALL, &["node1", "node2", "node3"], DIST)).await;
    assert!(count("node3") > 20, "{} files on the new brick", count("node3"));
    ground.done(&lab(&ALL, &["node1", "node3"], DIST)).await;
    assert_eq!(count("node2"), 0, "files moved before their brick went");
    assert_eq!(ground.node("node2").sh("cat /srv/files/f* | sort -n | tail -n 1"), "200");
    assert_eq!(ground.node("node4").sh("ls /srv/files | wc -l"), "200");
    let peers = ground.node("node1").sh("gluster peer status");
    assert!(!peers.contains("node2"), "{peers}");
}

#[tokio::test]
async fn a_replica_moves_and_shrinks_with_all_its_copies() {
    let volume = |count: u32| format!("docker: {{ replica: {count}, mount: /srv/docker }}");
    let ground = Ground::new("copies", 4);
    ground.done(&lab(&ALL, &["node1", "node2"], &volume(2))).await;
    ground.node("node4").sh("for i in $(seq 50); do echo $i >/srv/docker/f$i; done");
    let whole = |hosts: &[&str]| {
        for host in hosts {
            assert_eq!(ground.node(host).sh("cat /srv/gluster/docker/f* | wc -l"), "50", "{host}");
        }
    };
    ground.done(&lab(&ALL, &["node1", "node2", "node3"], &volume(3))).await;
    whole(&["node1", "node2", "node3"]);
    // Its host is gone for good; another takes the place.
    ground.node("node3").cut();
    let three = ["node1", "node2", "node4"];
    ground.done(&lab(&three, &three, &volume(3))).await;
    whole(&three);
    ground.done(&lab(&three, &["node1", "node4"], &volume(2))).await;
    whole(&["node1", "node4"]);
    // All copies but one, and another folder.
    let alone = "docker: { mount: /srv/elsewhere }";
    ground.done(&lab(&three, &["node1"], alone)).await;
    whole(&["node1"]);
    assert_eq!(
        ground.node("node2").sh("cat /srv/elsewhere/f* | wc -l; ls /srv"),
        "50\nelsewhere\ngluster"
    );
    assert_eq!(ground.node("node1").sh("gluster --xml peer status | grep -c '<peer>' || :"), "0");
}

#[tokio::test]
async fn destroy_finds_volumes_of_which_the_blueprint_says_nothing_any_more() {
    let ground = Ground::new("gone", 2);
    let both = ["node1", "node2"];
    ground.done(&lab(&both, &both, "docker: { mount: /srv/docker }")).await;
    ground.node("node1").sh("echo kept >/srv/docker/kept");
    let (found, left) = ground.destroy(&lab(&both, &[], "")).await;
    assert_eq!(
        found,
        "mount /srv/docker of node1\nmount /srv/docker of node2\n\
         volume docker (what lies on its bricks stays)\npeer node2.lab.test of node1\n\
         bp's files beside glusterd's on node1\nbp's files beside glusterd's on node2"
    );
    assert_eq!(left, "");
    assert_eq!(
        ground.node("node1").sh("gluster volume list 2>&1"),
        "No volumes present in cluster"
    );
    let kept = both.map(|h| ground.node(h).sh("cat /srv/gluster/docker/kept 2>/dev/null || :"));
    assert_eq!(kept.concat(), "kept");
    assert_eq!(ground.destroy(&lab(&both, &[], "")).await, (String::new(), String::new()));
}
