//! Three hosts that are there already: see `tests/lab/hosts.sh`.

use crate::bp::{Lab, sh};
use crate::repository;
use std::path::PathBuf;

/// Their names; the first is at 10.20.30.11, and so on.
pub const NAMES: [&str; 3] = ["node1", "node2", "node3"];

/// New ones, with nothing on their disks.
pub fn fresh() {
    run(&format!("up {}", NAMES.join(" ")));
}

/// Power off, at once.
pub fn cut(name: &str) {
    run(&format!("cut {name}"));
}

/// Power on.
pub fn boot(name: &str) {
    run(&format!("boot {name}"));
}

/// A host's address.
pub fn address(name: &str) -> String {
    let at = NAMES.iter().position(|n| *n == name).expect("a host");
    format!("10.20.30.{}", 11 + at)
}

fn run(verb: &str) {
    sh(&format!("tests/lab/hosts.sh {verb}"), &repository());
}

fn folder() -> PathBuf {
    let variable = |name: &str| std::env::var(name).ok();
    let root = variable("BP_GROUND_ROOT").unwrap_or_else(|| "/var/lib/bp-ground".to_owned());
    let ground = variable("BP_GROUND").expect("the test runs inside a ground");
    PathBuf::from(root).join(ground).join("hosts")
}

/// The blueprint of a lab on them, with these archives and stacks.
pub fn blueprint(lab: &Lab, archives: &[&str], stacks: &str) {
    let folder = folder();
    let images = repository().join("target/images");
    let archives: Vec<String> =
        archives.iter().map(|name| format!("{}/{name}.tar", images.display())).collect();
    let hosts: String = NAMES
        .iter()
        .map(|name| {
            let print = format!("ssh-keygen -lf {}/{name}.pub", folder.display());
            let print = sh(&print, &lab.dir);
            let print = print.split(' ').nth(1).expect("a fingerprint");
            let address = address(name);
            format!(
                "  {name}: {{ role: manager, provider: existing, address: {address}, \
                 ssh: {{ fingerprint: \"{print}\" }}, brick: /srv/gluster }}\n"
            )
        })
        .collect();
    let text = format!(
        "version: 1
name: lab
domain: lab.test
ssh: {{ user: root, key: {key} }}
hosts:
{hosts}
dns:
  server: {{ hosts: {{}} }}
  records:
    traefik: {{ a: [{names}] }}
    gitlab: {{ cname: traefik }}
    registry: {{ cname: traefik }}
    portainer: {{ cname: traefik }}
    shop: {{ cname: traefik }}
firewall: {{ backend: nftables, open: [22223/tcp] }} # the port of the mesh's stand-in
gluster:
  docker: {{ replica: 3, mount: /srv/docker }}
engine: {{ source: distro }}
swarm:
  pool: 10.200.0.0/16
  networks: [etcd, pgsql, redis, traefik, gitlab]
images:
  archives: [{archives}]
  replace: {{ lab/portainer-stand-in: registry.lab.test/lab/portainer-stand-in, lab/agent: registry.lab.test/lab/portainer-agent-stand-in }}
stacks:
{stacks}",
        key = folder.join("key").display(),
        names = NAMES.join(", "),
        archives = archives.join(", "),
    );
    std::fs::write(lab.dir.join("lab.yml"), text).expect("write lab.yml");
}
