//! The Stolon stack: what is deployed, and what makes it healthy.

use super::bench::Bench;
use crate::compose::{Compose, all};
use serde_json::Value;

const ONE: &str = "
version: 1
name: lab
provider: { libvirt: { subnet: 10.20.30.0/24, template: debian-13.qcow2 } }
hosts: { a-1: { role: manager } }
engine: { source: distro }
stacks:
  - etcd
  - stolon: { databases: { shop: {} } }
";

const THREE: &str = "
version: 1
name: lab
provider: { libvirt: { subnet: 10.20.30.0/24, template: debian-13.qcow2 } }
hosts:
  'node{1..3}': { role: manager, brick: /srv/brick }
  worker1: { role: worker }
engine: { source: distro }
gluster: { docker: { replica: 3, mount: /srv/docker } }
stacks:
  - etcd
  - stolon:
      synchronous: true
      backup: { every: 6h, keep: 3 }
      databases:
        gitlab: { extensions: [pg_trgm, btree_gist, plpgsql] }
        shop: { owner: app }
        second: { owner: app, extensions: [uuid-ossp] }
";

fn rendered(blueprint: &str) -> Compose {
    let bench = Bench::new(blueprint);
    let all = all(&bench.lab, bench.dir.path()).unwrap_or_else(|f| panic!("{}", f.message));
    all.into_iter().find(|c| c.name == "stolon").expect("the stack")
}

fn yaml(compose: &Compose) -> String {
    let document: Value = serde_json::from_str(&compose.text).expect("JSON");
    serde_yaml::to_string(&document).expect("YAML")
}

#[test]
fn one_member() {
    insta::assert_snapshot!("stolon_1", yaml(&rendered(ONE)));
}

#[test]
fn three_members() {
    insta::assert_snapshot!("stolon_3", yaml(&rendered(THREE)));
}

#[test]
fn a_new_database_changes_the_service_that_makes_it_and_no_keeper() {
    let before = rendered(THREE);
    let more = THREE.replace("shop: { owner: app }", "shop: { owner: app }\n        news: {}");
    let changed: Vec<String> = rendered(&more)
        .services
        .iter()
        .filter(|s| !before.services.contains(s))
        .map(|s| s.name.clone())
        .collect();
    assert_eq!(changed, ["databases"]);
}
