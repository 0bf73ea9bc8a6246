//! Existing hosts: real `sshd` processes on ports of their own, and a blueprint that names them.

use crate::support::bp::Desk;
use crate::support::sshd::{Sshd, text};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A name for a lab that no other test of this machine has: the lock on its leader lies in `/run`
/// of this machine.
pub fn lab_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("t{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A lab of existing hosts: node1, node2 and so on. The first is a manager.
pub struct Hosts {
    /// The folder with the blueprint `bp.yml` and the playbook `steps.yml`.
    pub desk: Desk,
    /// The lab's name.
    pub lab: String,
    /// The hosts.
    pub nodes: Vec<Sshd>,
    /// What else a host's `ssh` says.
    pub ssh: String,
}

impl Hosts {
    /// So many of them, with this playbook.
    pub fn new(count: usize, playbook: &str) -> Self {
        let nodes = (0..count).map(|_| Sshd::start()).collect();
        let hosts = Self { desk: Desk::new(), lab: lab_name(), nodes, ssh: String::new() };
        hosts.desk.write("bp.yml", &hosts.blueprint());
        hosts.desk.write("steps.yml", playbook);
        hosts
    }

    /// Its blueprint.
    pub fn blueprint(&self) -> String {
        let fingerprints: Vec<String> = self.nodes.iter().map(fingerprint).collect();
        self.blueprint_with(&fingerprints)
    }

    /// Its blueprint, the hosts' keys having these fingerprints.
    pub fn blueprint_with(&self, fingerprints: &[String]) -> String {
        let mut text = format!("version: 1\nname: {}\nhosts:\n", self.lab);
        for (index, (node, fingerprint)) in self.nodes.iter().zip(fingerprints).enumerate() {
            let role = if index == 0 { "manager" } else { "worker" };
            let (number, port, key) = (index + 1, node.port, node.at("key"));
            text += &format!(
                "  node{number}: {{ role: {role}, address: 127.0.0.1, ssh: {{ port: {port}, key: {}, \
                 fingerprint: \"{fingerprint}\"{} }} }}\n",
                key.display(),
                self.ssh
            );
        }
        text + "phases: [machines, ./steps.yml]\n"
    }

    /// A file in the home of the host of this number, from 1 on.
    pub fn home(&self, node: usize, name: &str) -> PathBuf {
        self.nodes[node - 1].at(name)
    }

    /// The steps that were applied on a host, in order, as the playbook itself noted them.
    pub fn noted(&self, node: usize) -> Vec<String> {
        let noted = fs::read_to_string(self.home(node, "applied")).unwrap_or_default();
        noted.lines().map(str::to_owned).collect()
    }

    /// The lab's folder.
    pub fn folder(&self) -> PathBuf {
        self.desk.at(".bp").join(&self.lab)
    }

    /// Its journals, the oldest first, each as its lines.
    pub fn journals(&self) -> Vec<Vec<serde_json::Value>> {
        let folder = fs::read_dir(self.folder().join("journal")).unwrap();
        let mut paths: Vec<PathBuf> = folder.map(|e| e.unwrap().path()).collect();
        paths.sort();
        let lines = |path: &PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
        };
        paths.iter().map(lines).collect()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = fs::remove_file(format!("/run/bp-{}.lock", self.lab));
    }
}

/// A host key's fingerprint, as `ssh-keygen` says it.
pub fn fingerprint(sshd: &Sshd) -> String {
    let key = text(&sshd.at("host_ed25519.pub"));
    let out = Command::new("ssh-keygen").args(["-lf", &key]).stdin(Stdio::null()).output().unwrap();
    let line = String::from_utf8(out.stdout).unwrap();
    line.split(' ').nth(1).unwrap().to_owned()
}
