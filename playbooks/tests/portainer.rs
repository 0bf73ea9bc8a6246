//! The stack portainer: what is deployed, and how it is asked.

use super::bench::{Bench, LAB};
use super::stubs::{is_sound, named, rendered};
use crate::shipped;

const VOLUME: &str = "gluster: { docker: { replica: 3, mount: /srv/docker } }";

fn lab(more: &str, settings: &str) -> Bench {
    let bricks = LAB.replace("{ role: manager }", "{ role: manager, brick: /srv/gluster }");
    Bench::new(&format!("{bricks}{more}\nstacks: [traefik, {{ portainer: {{ {settings} }} }}]\n"))
}

#[test]
fn on_the_shared_volume_any_manager_may_run_it() {
    let compose = rendered(&lab(VOLUME, ""), "portainer");
    is_sound(&compose, &[]);
    insta::assert_snapshot!("portainer_shared", compose.text);
}

#[test]
fn without_one_it_stays_with_its_data() {
    let compose = rendered(&lab("", "host: containers.example.org"), "portainer");
    let server = compose.services.iter().find(|s| s.name == "server").expect("a service");
    assert_eq!(server.constraints, ["node.role == manager", "node.labels.bp.host == node1"]);
    assert!(compose.text.contains("\"source\": \"/srv/portainer\""));
    assert!(compose.text.contains("Host(`containers.example.org`)"));
}

#[test]
fn agents_come_from_where_the_server_comes_from() {
    let image = "image: \"registry.test:5000/tools/portainer-ee:2.40.1\"";
    let compose = rendered(&lab("", image), "portainer");
    let agent = compose.services.iter().find(|s| s.name == "agent").expect("a service");
    assert_eq!(agent.image, "registry.test:5000/tools/agent:2.40.1");
}

#[test]
fn its_folder_is_made_where_it_may_run() {
    let hosts = |bench: &Bench| {
        let steps = named(bench, "portainer data");
        steps.iter().map(|s| s.on.host().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(hosts(&lab("", "")), "node1");
    assert_eq!(hosts(&lab(VOLUME, "")), "node1 node2 node3");
    let bench = lab("", "");
    let stack = bench.lab.stacks.iter().find(|s| s.name == "portainer").expect("portainer");
    let shipped = shipped::of(&bench.lab, stack).expect("shipped");
    assert_eq!(shipped.secrets.len(), 1);
    assert_eq!(shipped.secrets[0].name, "portainer_password");
}
