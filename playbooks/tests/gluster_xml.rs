//! What glusterd 10.3 said, three of them in three namespaces, one brick killed.

use crate::gluster_host::HostView;
use crate::gluster_xml::{healing, left_behind, peers, status, volumes};
use blueprints::VolumeKind;

fn answer(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<cliOutput>\n  <opRet>0</opRet>\n  \
         <opErrno>0</opErrno>\n  <opErrstr/>\n{body}</cliOutput>\n"
    )
}

#[test]
fn peers_are_read() {
    let text = answer(
        "  <peerStatus>
    <peer>
      <uuid>142c85b0-ee21-4b7c-92c3-dca505e4ca08</uuid>
      <hostname>10.99.7.2</hostname>
      <hostnames>
        <hostname>10.99.7.2</hostname>
        <hostname>node2.lab.test</hostname>
      </hostnames>
      <connected>1</connected>
      <state>3</state>
      <stateStr>Peer in Cluster</stateStr>
    </peer>
    <peer>
      <uuid>ced7bf59-0b61-4801-911e-1bc7c195c949</uuid>
      <hostname>node3.lab.test</hostname>
      <hostnames>
        <hostname>node3.lab.test</hostname>
      </hostnames>
      <connected>0</connected>
      <state>3</state>
      <stateStr>Peer in Cluster</stateStr>
    </peer>
    <peer>
      <uuid>00000000-0000-0000-0000-000000000000</uuid>
      <hostname>node4.lab.test</hostname>
      <hostnames>
        <hostname>node4.lab.test</hostname>
      </hostnames>
      <connected>1</connected>
      <state>0</state>
      <stateStr>Establishing Connection</stateStr>
    </peer>
  </peerStatus>
",
    );
    let peers = peers(&text).expect("peers");
    let lacks: Vec<_> = peers.iter().map(|p| (p.hostname.as_str(), p.lacks())).collect();
    insta::assert_debug_snapshot!(lacks, @r#"
    [
        (
            "10.99.7.2",
            None,
        ),
        (
            "node3.lab.test",
            Some(
                "is not connected",
            ),
        ),
        (
            "node4.lab.test",
            Some(
                "is not in the pool yet: Establishing Connection",
            ),
        ),
    ]
    "#);
    assert!(peers[0].is_called("node2.lab.test") && peers[0].is_called("10.99.7.2"));
    assert_eq!(super::super::gluster_xml::peers(&answer("  <peerStatus/>\n")), Ok(Vec::new()));
}

#[test]
fn what_is_no_answer_is_said_as_it_is() {
    let down = "Connection failed. Please check if gluster daemon is operational.\n";
    assert_eq!(peers(down), Err(down.trim_end().to_owned()));
    assert_eq!(peers(""), Err("no answer".to_owned()));
    let refused = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<cliOutput>\n  \
        <opRet>-1</opRet>\n  <opErrno>30806</opErrno>\n  <opErrstr>Volume does not exist</opErrstr>\n  \
        <volInfo>\n    <volumes>\n      <count>0</count>\n    </volumes>\n  </volInfo>\n</cliOutput>\n";
    assert_eq!(volumes(refused), Err("Volume does not exist".to_owned()));
    assert!(volumes("<cliOutput><opRet>0").is_err());
}

#[test]
fn volumes_are_read() {
    let volume = |kind: &str, replica: u32, arbiter: u32, disperse: u32| {
        let text = answer(&format!(
            "  <volInfo>
    <volumes>
      <volume>
        <name>docker</name>
        <id>152f071d-7a8a-45da-9b26-f1f988311469</id>
        <status>1</status>
        <statusStr>Started</statusStr>
        <snapshotCount>0</snapshotCount>
        <brickCount>2</brickCount>
        <distCount>1</distCount>
        <replicaCount>{replica}</replicaCount>
        <arbiterCount>{arbiter}</arbiterCount>
        <disperseCount>{disperse}</disperseCount>
        <redundancyCount>0</redundancyCount>
        <type>2</type>
        <typeStr>{kind}</typeStr>
        <transport>0</transport>
        <bricks>
          <brick uuid=\"bb9e\">node1.lab.test:/srv/gluster/docker<name>node1.lab.test:/srv/gluster/docker</name><hostUuid>bb9e</hostUuid><isArbiter>0</isArbiter></brick>
          <brick uuid=\"142c\">node2.lab.test:/srv/gluster/docker<name>node2.lab.test:/srv/gluster/docker</name><hostUuid>142c</hostUuid><isArbiter>0</isArbiter></brick>
        </bricks>
        <optCount>2</optCount>
        <options>
          <option>
            <name>user.bp.lab</name>
            <value>lab</value>
          </option>
          <option>
            <name>network.ping-timeout</name>
            <value>15</value>
          </option>
        </options>
      </volume>
      <count>1</count>
    </volumes>
  </volInfo>
"
        ));
        volumes(&text).expect("volumes").remove(0)
    };
    insta::assert_debug_snapshot!(volume("Replicate", 2, 0, 0), @r#"
    Volume {
        name: "docker",
        id: "152f071d-7a8a-45da-9b26-f1f988311469",
        state: "Started",
        kind: Some(
            Replica(
                2,
            ),
        ),
        kind_text: "Replicate",
        bricks: [
            "node1.lab.test:/srv/gluster/docker",
            "node2.lab.test:/srv/gluster/docker",
        ],
        options: {
            "user.bp.lab": "lab",
            "network.ping-timeout": "15",
        },
    }
    "#);
    assert_eq!(volume("Distribute", 1, 0, 0).kind, Some(VolumeKind::Distribute));
    assert_eq!(volume("Replicate", 3, 1, 0).kind, Some(VolumeKind::Arbiter));
    assert_eq!(volume("Disperse", 1, 0, 3).kind, None);
}

#[test]
fn what_runs_and_what_moves_is_read() {
    let text = answer(
        "  <volStatus>
    <volumes>
      <volume>
        <volName>dist</volName>
        <nodeCount>3</nodeCount>
        <node>
          <hostname>node1.lab.test</hostname>
          <path>/srv/gluster/dist</path>
          <peerid>bb9e853d-fc1d-45d4-a7ce-f61c0efe3e05</peerid>
          <status>1</status>
          <port>54826</port>
          <ports>
            <tcp>54826</tcp>
            <rdma>N/A</rdma>
          </ports>
          <pid>1204</pid>
        </node>
        <node>
          <hostname>node3.lab.test</hostname>
          <path>/srv/gluster/dist</path>
          <peerid>ced7bf59-0b61-4801-911e-1bc7c195c949</peerid>
          <status>0</status>
          <port>N/A</port>
          <ports>
            <tcp>N/A</tcp>
            <rdma>N/A</rdma>
          </ports>
          <pid>-1</pid>
        </node>
        <node>
          <hostname>Self-heal Daemon</hostname>
          <path>localhost</path>
          <peerid>bb9e853d-fc1d-45d4-a7ce-f61c0efe3e05</peerid>
          <status>1</status>
          <port>N/A</port>
          <ports>
            <tcp>N/A</tcp>
            <rdma>N/A</rdma>
          </ports>
          <pid>1221</pid>
        </node>
        <tasks>
          <task>
            <type>Remove brick</type>
            <id>add7d73f-4456-4dc5-b9c6-b56a9ca2ccd8</id>
            <status>1</status>
            <statusStr>in progress</statusStr>
            <params>
              <brick>node3.lab.test:/srv/gluster/dist</brick>
            </params>
          </task>
        </tasks>
      </volume>
      <volume>
        <volName>quiet</volName>
        <nodeCount>0</nodeCount>
        <tasks/>
      </volume>
    </volumes>
  </volStatus>
",
    );
    insta::assert_debug_snapshot!(status(&text).expect("status"), @r#"
    [
        Status {
            volume: "dist",
            bricks: [
                Process {
                    brick: "node1.lab.test:/srv/gluster/dist",
                    online: true,
                    port: "54826",
                },
                Process {
                    brick: "node3.lab.test:/srv/gluster/dist",
                    online: false,
                    port: "N/A",
                },
            ],
            tasks: [
                Task {
                    kind: "Remove brick",
                    state: "in progress",
                    params: Params {
                        brick: [
                            "node3.lab.test:/srv/gluster/dist",
                        ],
                    },
                },
            ],
        },
        Status {
            volume: "quiet",
            bricks: [],
            tasks: [],
        },
    ]
    "#);
    let none = answer("  <volStatus>\n    <volumes/>\n  </volStatus>\n");
    assert_eq!(status(&none), Ok(Vec::new()));
}

#[test]
fn what_waits_for_healing_is_read() {
    let text = answer(
        "  <healInfo>
    <bricks>
      <brick hostUuid=\"bb9e853d-fc1d-45d4-a7ce-f61c0efe3e05\">
        <name>node1.lab.test:/srv/gluster/docker</name>
        <file gfid=\"00000000-0000-0000-0000-000000000001\">/</file>
        <file gfid=\"7a0cfada-5820-40f2-86ec-2457bc26e053\">/a &amp; b</file>
        <status>Connected</status>
        <numberOfEntries>2</numberOfEntries>
      </brick>
      <brick hostUuid=\"-\">
        <name>node3.lab.test:/srv/gluster/docker</name>
        <status>Transport endpoint is not connected</status>
        <numberOfEntries>-</numberOfEntries>
      </brick>
    </bricks>
  </healInfo>
",
    );
    insta::assert_debug_snapshot!(healing(&text).expect("healing"), @r#"
    [
        Healing {
            brick: "node1.lab.test:/srv/gluster/docker",
            entries: Ok(
                2,
            ),
            files: [
                "/",
                "/a & b",
            ],
            ids: {
                "00000000-0000-0000-0000-000000000001",
                "7a0cfada-5820-40f2-86ec-2457bc26e053",
            },
        },
        Healing {
            brick: "node3.lab.test:/srv/gluster/docker",
            entries: Err(
                "Transport endpoint is not connected",
            ),
            files: [],
            ids: {},
        },
    ]
    "#);
}

#[test]
fn files_that_did_not_move_are_counted() {
    let text = |failures: u32, skipped: u32| {
        answer(&format!(
            "  <volRemoveBrick>
    <task-id>add7d73f-4456-4dc5-b9c6-b56a9ca2ccd8</task-id>
    <nodeCount>3</nodeCount>
    <node>
      <nodeName>node2.lab.test</nodeName>
      <failures>7</failures>
    </node>
    <aggregate>
      <files>95</files>
      <size>348</size>
      <lookups>95</lookups>
      <failures>{failures}</failures>
      <skipped>{skipped}</skipped>
      <status>3</status>
      <statusStr>completed</statusStr>
      <runtime>3.00</runtime>
    </aggregate>
  </volRemoveBrick>
"
        ))
    };
    assert_eq!(left_behind(&text(0, 0)), Ok(0));
    assert_eq!(left_behind(&text(1, 2)), Ok(3));
}

#[test]
fn a_daemon_that_does_not_answer_in_time_is_said_to() {
    // What a host prints comes without the white space at its end.
    let peers = HostView::read("@uuid 11\n@peers").peers().map(<[_]>::len);
    assert_eq!(peers, Err("its daemon gives no answer within 60 s".to_owned()));
    let peers = HostView::read("@uuid 11").peers().map(<[_]>::len);
    assert_eq!(peers, Err("it has no brick".to_owned()));
}
