//! A volume made, lost in part, and found whole again.

use crate::ground::{Ground, lab};

const REPLICA: &str = "docker: { replica: 3, mount: /srv/docker }";
const BRICKS: [&str; 3] = ["node1", "node2", "node3"];
const ALL: [&str; 4] = ["node1", "node2", "node3", "node4"];

#[tokio::test]
async fn three_bricks_four_mounts_and_a_power_cut() {
    let ground = Ground::new("volume", 4);
    let lab = lab(&ALL, &BRICKS, REPLICA);
    ground.done(&lab).await;

    // Written on one, read on all.
    ground.node("node4").sh("echo hello >/srv/docker/hello");
    for host in ALL {
        assert_eq!(ground.node(host).sh("cat /srv/docker/hello"), "hello");
    }

    // A mount taken away by hand is shown, and mended; nothing else is.
    ground.node("node4").sh("umount /srv/docker");
    let plan = ground.plan(&lab).await;
    assert!(plan.starts_with("gluster / mount docker / node4: nothing is mounted"), "{plan}");
    assert!(
        ground.node("node4").sh("touch /srv/docker/x 2>&1 || echo refused").contains("refused")
    );
    assert_eq!(ground.up(&lab, false).await, (String::new(), 1));

    // A client that dies leaves a mount that does not answer.
    // The kernel lets go of the mount once the process has ended, a moment after the signal.
    ground.node("node4").sh(
        "kill -KILL $(pgrep -x glusterfs); timeout 30 sh -c 'while stat /srv/docker >/dev/null 2>&1; do sleep 0.05; done'",
    );
    let plan = ground.plan(&lab).await;
    assert!(plan.contains("does not answer"), "{plan}");
    ground.done(&lab).await;

    // A host loses its power while a file is written.
    let mut writer = ground.node("node1").start(
        "for i in $(seq 400); do head -c 65536 /dev/urandom; sleep 0.05; done >/srv/docker/big",
    );
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    ground.node("node3").cut();
    assert!(writer.wait().expect("it ends").success(), "the volume stays writable");
    assert_eq!(ground.node("node2").sh("stat -c %s /srv/docker/big"), (400 * 65536).to_string());
    let plan = ground.plan(&lab).await;
    for line in plan.lines() {
        assert!(line.contains("no route to host") || line.contains("node3"), "{line}");
    }

    // It comes back, and what it missed is healed.
    ground.boot("node3");
    ground.done(&lab).await;
    let sums = BRICKS.map(|h| ground.node(h).sh("sha256sum </srv/gluster/docker/big"));
    assert_eq!((&sums[0], &sums[1]), (&sums[1], &sums[2]), "the file is whole on its brick");

    // All at once: nobody can mount at boot, the next `up` mends it.
    for host in ALL {
        ground.node(host).cut();
    }
    for host in ALL {
        ground.boot(host);
    }
    ground.done(&lab).await;
    assert_eq!(ground.node("node4").sh("cat /srv/docker/hello"), "hello");
}

#[tokio::test]
async fn a_brick_of_another_volume_is_wiped_by_consent_alone() {
    let ground = Ground::new("brick", 3);
    let lab = lab(&BRICKS, &BRICKS, REPLICA);
    ground.done(&lab).await;
    ground.node("node1").sh("echo old >/srv/docker/old");
    for host in BRICKS {
        ground.node(host).sh("umount /srv/docker");
    }
    ground.node("node2").sh(
        "g() { gluster --mode=script \"$@\"; }; g volume stop docker && g volume delete docker",
    );
    let (failed, _) = ground.up(&lab, false).await;
    assert!(
        failed
            .contains("brick docker / node1: /srv/gluster/docker on node1 belonged to the volume"),
        "{failed}"
    );
    assert_eq!(ground.node("node3").sh("cat /srv/gluster/docker/old"), "old");
    let (failed, _) = ground.up(&lab, true).await;
    assert_eq!(failed, "");
    assert_eq!(ground.node("node1").sh("ls /srv/docker"), "");
    ground.done(&lab).await;
}
