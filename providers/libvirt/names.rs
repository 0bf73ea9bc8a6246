//! The DNS server of the lab's network: dnsmasq, told through the network's own definition, live
//! and for its next start.

use super::entries::{apply, entries, sets};
use super::hypervisor::Hypervisor;
use super::xml::Element;
use super::{CALL, blocking};
use crate::ProviderError;
use crate::dns::{Asker, Change, DnsServer, RecordSet, registrar};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use virt::network::Network;
use virt::sys;

/// The server of one network.
pub struct NetworkDns {
    pub hypervisor: Hypervisor,
    pub network: String,
    /// The hypervisor's own address there.
    pub gateway: IpAddr,
}

impl NetworkDns {
    fn failed(&self, doing: &str, cause: impl Into<String>) -> ProviderError {
        ProviderError {
            doing: format!("{doing} of network `{}`", self.network),
            cause: cause.into(),
            hint: None,
        }
    }

    /// Whether the network is one of this machine, whose server can be asked from here.
    fn is_local(&self) -> bool {
        let authority = self.hypervisor.uri.split_once("://").map_or("", |(_, rest)| rest);
        authority.starts_with('/') && !self.hypervisor.is_test()
    }

    async fn call<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Network, &Element) -> Result<T, String> + Send + 'static,
    ) -> Result<Option<T>, ProviderError> {
        let (hypervisor, name) = (self.hypervisor.clone(), self.network.clone());
        let said = format!("{doing} of network `{name}`");
        let done = blocking(said, CALL, move || {
            let Some((network, xml)) = hypervisor.network(&name)? else { return Ok(None) };
            Ok(Some(work(&network, &xml)))
        });
        done.await?.transpose().map_err(|cause| self.failed(doing, cause))
    }
}

#[async_trait]
impl DnsServer for NetworkDns {
    fn words(&self) -> String {
        format!("the network `{}`", self.network)
    }

    async fn answers(&self) -> Result<SocketAddr, ProviderError> {
        Ok(SocketAddr::new(self.gateway, 53))
    }

    /// Of a hypervisor elsewhere, what its network is told: nobody here can ask it.
    async fn ask(&self, name: &str, kind: &str) -> Result<BTreeSet<String>, ProviderError> {
        if self.is_local() {
            return Asker::new(self.answers().await?)?.ask(name, kind).await;
        }
        let names = [name.to_owned()].into();
        let sets = self.read("", &names).await?.unwrap_or_default();
        let found = sets.into_iter().find(|s| s.name == name && s.kind == kind);
        Ok(found.map(|s| s.values).unwrap_or_default())
    }

    /// It makes the names of addresses by itself.
    async fn zone_of(&self, _: &str) -> Result<Option<String>, ProviderError> {
        Ok(None)
    }

    async fn read(
        &self,
        zone: &str,
        names: &BTreeSet<String>,
    ) -> Result<Option<Vec<RecordSet>>, ProviderError> {
        let (zone, names) = (zone.to_owned(), names.clone());
        self.call("read the names", move |_, xml| {
            let of_names =
                |s: &RecordSet| names.contains(&s.name) || registrar(&s.name, &zone).is_some();
            Ok(sets(xml).into_iter().filter(of_names).collect())
        })
        .await
    }

    /// Not at once: libvirt takes one entry at a time.
    async fn change(&self, _: &str, changes: &[Change]) -> Result<Option<String>, ProviderError> {
        let doing = "change the names";
        let changes = changes.to_vec();
        let done = self.call(doing, move |network, xml| {
            let before = entries(xml);
            let mut wanted = before.clone();
            for change in &changes {
                apply(&mut wanted, change)?;
            }
            let is_registry = |e: &Element| e.get("name").is_some_and(|n| n.starts_with("_bp-"));
            let gone: Vec<&Element> = before.iter().filter(|e| !wanted.contains(e)).collect();
            let new: Vec<&Element> = wanted.iter().filter(|e| !before.contains(e)).collect();
            let delete = |e: &Element| update(network, sys::VIR_NETWORK_UPDATE_COMMAND_DELETE, e);
            let add = |e: &Element| update(network, sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, e);
            // What is made is listed before, what goes is listed until it is gone.
            new.iter().filter(|e| is_registry(e)).try_for_each(|e| add(e))?;
            gone.iter().filter(|e| !is_registry(e)).try_for_each(|e| delete(e))?;
            new.iter().filter(|e| !is_registry(e)).try_for_each(|e| add(e))?;
            gone.iter().filter(|e| is_registry(e)).try_for_each(|e| delete(e))
        });
        match done.await? {
            Some(()) => Ok(None),
            None => Err(self.failed(doing, "there is no such network")),
        }
    }

    async fn make_zone(&self, _: &str, _: &BTreeSet<String>) -> Result<(), ProviderError> {
        Err(self.failed("make a zone", "it comes with the network"))
    }

    async fn is_spare(&self, _: &str) -> Result<bool, ProviderError> {
        Ok(false)
    }

    async fn remove_zone(&self, _: &str) -> Result<(), ProviderError> {
        Err(self.failed("remove the zone", "it goes with the network"))
    }

    fn makes_zones(&self) -> bool {
        false
    }
}

fn update(
    network: &Network,
    command: sys::virNetworkUpdateCommand,
    entry: &Element,
) -> Result<(), String> {
    let section = match entry.name.as_str() {
        "host" => sys::VIR_NETWORK_SECTION_DNS_HOST,
        "txt" => sys::VIR_NETWORK_SECTION_DNS_TXT,
        _ => sys::VIR_NETWORK_SECTION_DNS_SRV,
    };
    let active = network.is_active().map_err(|e| e.to_string())?;
    let flags = sys::VIR_NETWORK_UPDATE_AFFECT_CONFIG
        | if active { sys::VIR_NETWORK_UPDATE_AFFECT_LIVE } else { 0 };
    let updated = network.update(command, section, -1, &entry.to_string(), flags);
    updated.map_err(|e| format!("{e}: {entry}"))
}
