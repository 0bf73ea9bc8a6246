//! A lab on libvirt's test driver: guests that run nothing, and one real `sshd` that answers on all
//! of their addresses.

use crate::support::bp::Desk;
use crate::support::hosts::lab_name;
use crate::support::libvirtd::{Libvirtd, POOL};
use crate::support::sshd::Sshd;
use std::fs;
use std::sync::atomic::{AtomicU8, Ordering};

/// A lab of guests: node1, node2 and so on.
pub struct Guests {
    /// The folder with the blueprint `bp.yml`.
    pub desk: Desk,
    /// The hypervisor.
    pub libvirtd: Libvirtd,
    /// What answers on the guests' addresses.
    pub sshd: Sshd,
    /// The lab's name.
    pub lab: String,
    count: usize,
    _lock: LeaderLock,
}

/// The file of the lab's lock on its leader, which is this machine; removed with this.
struct LeaderLock(String);

impl Drop for LeaderLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Guests {
    /// A blueprint for so many; nothing is made yet.
    pub fn new(count: usize) -> Self {
        Self::on(Libvirtd::start(), Sshd::everywhere(), count)
    }

    /// The same on a hypervisor that is there.
    pub fn on(libvirtd: Libvirtd, sshd: Sshd, count: usize) -> Self {
        static SUBNET: AtomicU8 = AtomicU8::new(1);
        let lab = lab_name();
        let (uri, port, subnet) =
            (libvirtd.uri(), sshd.port, SUBNET.fetch_add(1, Ordering::Relaxed));
        let (key, host_key) = (sshd.at("key"), sshd.at("host_ed25519"));
        let mut text = format!(
            "version: 1\nname: {lab}\nprovider:\n  libvirt:\n    uri: {uri}\n    pool: {POOL}\n    \
             subnet: 127.{subnet}.0.0/16\n    template: {{ volume: base }}\n\
             machine: {{ cpus: 1, memory: 256MiB, disk: 1GiB }}\n\
             ssh: {{ port: {port}, key: {} }}\nhosts:\n",
            key.display()
        );
        for number in 1..=count {
            let role = if number == 1 { "manager" } else { "worker" };
            let host_key = host_key.display();
            text +=
                &format!("  node{number}: {{ role: {role}, ssh: {{ host_key: {host_key} }} }}\n");
        }
        text += "phases: [machines]\n";
        let _lock = LeaderLock(format!("/run/bp-{lab}.lock"));
        Self { desk: Desk::with(&text), libvirtd, sshd, lab, count, _lock }
    }

    /// What the lab stood on, to be used for another one.
    pub fn give_back(self) -> (Libvirtd, Sshd) {
        (self.libvirtd, self.sshd)
    }

    /// What the hypervisor has of the lab: its network, and of each guest the domain and volumes.
    pub fn own(&self) -> Vec<String> {
        let (dash, network) = (format!(" {}-", self.lab), format!("network {}", self.lab));
        let is_own = |thing: &String| thing.contains(&dash) || *thing == network;
        self.libvirtd.inventory().into_iter().filter(is_own).collect()
    }

    /// Whether exactly the lab is there: every guest running with its three volumes, one network.
    #[track_caller]
    pub fn assert_complete(&self) {
        let own = self.own();
        let count = |head: &str| own.iter().filter(|o| o.starts_with(head)).count();
        let running = own.iter().filter(|o| o.ends_with(" running")).count();
        let found = (count("domain "), running, count("volume "), count("network "));
        assert_eq!(found, (self.count, self.count, 3 * self.count, 1), "{own:#?}");
    }
}
