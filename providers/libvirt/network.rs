//! The lab's network: made with NAT, DHCP and names, or used as it is where it exists untagged.

use super::forward::Forward;
use super::hypervisor::{Doing, Hypervisor, absent, parse};
use super::tag::{Role, Tag};
use super::xml::{Element, el};
use crate::{ProviderError, State};
use blueprints::{Address, Host, HostProvider, Libvirt};
use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr};
use virt::network::Network;
use virt::sys;

/// libvirt refuses DHCP ranges of more addresses.
const LARGEST_RANGE: u32 = 65_535;

/// What the network of a lab should be.
#[derive(Clone)]
pub struct Wanted {
    name: String,
    domain: String,
    subnet: Ipv4Net,
    gateway: Ipv4Addr,
    /// MAC, name and address of the hosts whose address is fixed.
    fixed: Vec<(String, String, Ipv4Addr)>,
    /// Who answers for the lab's zone in its place.
    forward: Option<Forward>,
}

impl Wanted {
    /// The network that a blueprint describes.
    pub fn new(lab: &blueprints::Lab, libvirt: &Libvirt, forward: Option<Forward>) -> Self {
        let fixed = |h: &Host| match h.address {
            Some(Address::Ip(IpAddr::V4(ip))) if h.provider == HostProvider::Libvirt => {
                Some((mac(&lab.name, &h.name), h.name.clone(), ip))
            }
            _ => None,
        };
        Self {
            name: libvirt.network.clone(),
            domain: lab.domain.clone(),
            subnet: libvirt.subnet,
            gateway: libvirt.gateway(),
            fixed: lab.hosts.iter().filter_map(fixed).collect(),
            forward,
        }
    }

    /// The network's XML.
    pub fn xml(&self, lab: &str) -> Element {
        let (first, last) = range(self.subnet);
        let ip = el("ip").attr("address", self.gateway).attr("netmask", self.subnet.netmask());
        let dhcp = el("dhcp")
            .child(el("range").attr("start", first).attr("end", last))
            .children(self.fixed.iter().map(entry));
        let mut network = el("network").child(el("name").text(&self.name)).child(
            el("metadata").child(Tag { ready: true, ..Tag::new(lab, Role::Network) }.element()),
        );
        // Addresses of the loopback network can't leave the machine: only the test driver has them.
        if !self.subnet.network().is_loopback() {
            network = network.child(el("forward").attr("mode", "nat"));
        }
        let mut network = network
            .child(el("bridge").attr("stp", "on").attr("delay", "0"))
            .child(el("domain").attr("name", &self.domain).attr("localOnly", "yes"))
            .child(ip.child(dhcp));
        if let Some(forward) = &self.forward {
            forward.put_in(&mut network);
        }
        network
    }

    /// The DHCP entries that a network lacks.
    fn missing(&self, xml: &Element) -> Vec<&(String, String, Ipv4Addr)> {
        let has = |(mac, name, ip): &(String, String, Ipv4Addr)| {
            entries(xml).any(|e| {
                e.get("mac").is_some_and(|m| m.eq_ignore_ascii_case(mac))
                    && e.get("name") == Some(name)
                    && e.get("ip") == Some(&ip.to_string())
            })
        };
        self.fixed.iter().filter(|f| !has(f)).collect()
    }
}

/// The MAC of a host's one interface: the same at every try, so that its address stays.
pub fn mac(lab: &str, host: &str) -> String {
    let digest = Sha256::digest(format!("{lab}/{host}"));
    format!("52:54:00:{:02x}:{:02x}:{:02x}", digest[0], digest[1], digest[2])
}

/// Whether the network is the lab's own.
pub fn is_own(hypervisor: &Hypervisor, name: &str) -> Result<bool, ProviderError> {
    Ok(hypervisor.network(name)?.is_some_and(|(_, xml)| tagged(hypervisor, &xml)))
}

/// Whether the network is as it should be.
pub fn check(hypervisor: &Hypervisor, wanted: &Wanted) -> Result<State, ProviderError> {
    let Some((network, xml)) = hypervisor.network(&wanted.name)? else {
        return Ok(State::Wrong("it does not exist".to_owned()));
    };
    let own = tagged(hypervisor, &xml);
    if own && subnet(&xml) != Some(wanted.subnet.trunc()) {
        let is = subnet(&xml).map_or("none".to_owned(), |s| s.to_string());
        return Ok(State::Conflict(format!(
            "its subnet is {is}, not {}: `bp destroy` first, or keep the old one",
            wanted.subnet
        )));
    }
    let doing = || format!("read network `{}`", wanted.name);
    if absent(network.is_active(), doing)? != Some(true) {
        return Ok(State::Wrong("it is not active".to_owned()));
    }
    if own && let Some(lacks) = wanted.forward.as_ref().filter(|f| !f.is_in(&xml)) {
        let lacks = format!("it does not forward names in {}", lacks.words());
        let running = running(hypervisor, &wanted.name)?;
        return Ok(match running.is_empty() {
            true => State::Wrong(lacks),
            // A network that is started anew leaves running machines unplugged.
            false => State::Conflict(format!(
                "{lacks}, and to change that it has to be started anew: shut down {} first, \
                 `bp up` starts them again",
                running.join(", ")
            )),
        });
    }
    let missing = wanted.missing(&xml);
    if own && !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|(_, name, _)| name.as_str()).collect();
        return Ok(State::Wrong(format!("it has no fixed address for {}", names.join(", "))));
    }
    Ok(State::Right)
}

/// Makes the network, starts it, and adds the fixed addresses that it lacks.
pub fn make(hypervisor: &Hypervisor, wanted: &Wanted) -> Result<(), ProviderError> {
    let doing = || format!("make network `{}`", wanted.name);
    let (network, xml) = match hypervisor.network(&wanted.name)? {
        Some(found) => found,
        None => {
            let xml = wanted.xml(&hypervisor.lab);
            let defined = hypervisor.connection()?.define_network_xml(&xml.to_string());
            let defined = defined.doing(doing)?;
            // A hypervisor that restarts brings the lab's network back.
            defined.set_autostart(true).doing(doing)?;
            (defined, xml)
        }
    };
    if tagged(hypervisor, &xml) {
        if let State::Conflict(cause) = check(hypervisor, wanted)? {
            return Err(ProviderError { doing: doing(), cause, hint: None });
        }
        if let Some(forward) = wanted.forward.as_ref().filter(|f| !f.is_in(&xml)) {
            forward_anew(hypervisor, &network, forward)?;
        }
        for fixed in wanted.missing(&xml) {
            add(&network, &xml, fixed).doing(doing)?;
        }
    }
    if !network.is_active().doing(doing)? {
        let started = network.create().doing(|| format!("start network `{}`", wanted.name));
        started.map_err(|e| ProviderError {
            hint: Some(format!(
                "where another network or route has {}, give the lab another `subnet`",
                wanted.subnet
            )),
            ..e
        })?;
    }
    Ok(())
}

/// Removes the lab's network; refuses while a domain that is not the lab's uses it.
pub fn remove(hypervisor: &Hypervisor, name: &str) -> Result<(), ProviderError> {
    let doing = || format!("remove network `{name}`");
    let Some((network, xml)) = hypervisor.network(name)? else { return Ok(()) };
    if !tagged(hypervisor, &xml) {
        return Ok(());
    }
    let users = users(hypervisor, name)?;
    if !users.is_empty() {
        return Err(ProviderError {
            doing: doing(),
            cause: format!("it is used by {}", users.join(", ")),
            hint: Some("move them to another network, then `bp destroy` again".to_owned()),
        });
    }
    if absent(network.is_active(), doing)? == Some(true) {
        absent(network.destroy(), doing)?;
    }
    absent(network.undefine(), doing).map(drop)
}

/// The lab's networks, by name.
pub fn owned(hypervisor: &Hypervisor) -> Result<Vec<String>, ProviderError> {
    let networks = hypervisor.connection()?.list_all_networks(0);
    let mut names = Vec::new();
    for network in networks.doing(|| "list networks".to_owned())? {
        let doing = || "read a network".to_owned();
        let Some(name) = absent(network.name(), doing)? else { continue };
        if is_own(hypervisor, &name)? {
            names.push(name);
        }
    }
    Ok(names)
}

/// Defines the network anew so that it forwards, and stops it: dnsmasq reads its options when it
/// starts.
fn forward_anew(
    hypervisor: &Hypervisor,
    network: &Network,
    forward: &Forward,
) -> Result<(), ProviderError> {
    let doing = || "let the network forward names".to_owned();
    let xml = network.xml_desc(sys::VIR_NETWORK_XML_INACTIVE).doing(doing)?;
    let mut xml = parse(&xml, &doing())?;
    forward.put_in(&mut xml);
    hypervisor.connection()?.define_network_xml(&xml.to_string()).doing(doing)?;
    if network.is_active().doing(doing)? {
        network.destroy().doing(doing)?;
    }
    Ok(())
}

/// The domains that have an interface on the network.
fn users(hypervisor: &Hypervisor, name: &str) -> Result<Vec<String>, ProviderError> {
    attached(hypervisor, name, 0)
}

/// Those of them that run.
fn running(hypervisor: &Hypervisor, name: &str) -> Result<Vec<String>, ProviderError> {
    attached(hypervisor, name, sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)
}

fn attached(
    hypervisor: &Hypervisor,
    name: &str,
    flags: sys::virConnectListAllDomainsFlags,
) -> Result<Vec<String>, ProviderError> {
    let domains = hypervisor.connection()?.list_all_domains(flags);
    let mut users = Vec::new();
    for domain in domains.doing(|| "list domains".to_owned())? {
        let doing = || "read a domain".to_owned();
        let Some(domain_name) = absent(domain.name(), doing)? else { continue };
        let Some((_, xml)) = hypervisor.domain(&domain_name)? else { continue };
        let uses = |e: &Element| e.at("source").and_then(|s| s.get("network")) == Some(name);
        if xml.at("devices").is_some_and(|d| d.all("interface").any(uses)) {
            users.push(format!("domain `{domain_name}`"));
        }
    }
    Ok(users)
}

fn tagged(hypervisor: &Hypervisor, xml: &Element) -> bool {
    Tag::of(xml).is_some_and(|t| t.lab == hypervisor.lab && t.role == Role::Network)
}

fn entry((mac, name, ip): &(String, String, Ipv4Addr)) -> Element {
    el("host").attr("mac", mac).attr("name", name).attr("ip", ip)
}

fn entries(xml: &Element) -> impl Iterator<Item = &Element> {
    xml.at("ip/dhcp").into_iter().flat_map(|d| d.all("host"))
}

/// Adds an entry; those that stand in its way (same host, another's old address) go first.
fn add(
    network: &Network,
    xml: &Element,
    fixed: &(String, String, Ipv4Addr),
) -> Result<(), virt::error::Error> {
    let new = entry(fixed);
    let update = |command, entry: &Element| {
        let active = network.is_active()?;
        let flags = sys::VIR_NETWORK_UPDATE_AFFECT_CONFIG
            | if active { sys::VIR_NETWORK_UPDATE_AFFECT_LIVE } else { 0 };
        let section = sys::VIR_NETWORK_SECTION_IP_DHCP_HOST;
        network.update(command, section, -1, &entry.to_string(), flags)
    };
    for old in entries(xml) {
        if ["mac", "name", "ip"].iter().any(|a| old.get(a) == new.get(a)) {
            update(sys::VIR_NETWORK_UPDATE_COMMAND_DELETE, old)?;
        }
    }
    update(sys::VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, &new)
}

/// The first and last address that DHCP gives out: all but the hypervisor's own, as many as
/// libvirt takes.
fn range(subnet: Ipv4Net) -> (Ipv4Addr, Ipv4Addr) {
    let first = u32::from(subnet.network()) + 2;
    let last = u32::from(subnet.broadcast()) - 1;
    (first.into(), last.min(first + LARGEST_RANGE - 1).into())
}

fn subnet(xml: &Element) -> Option<Ipv4Net> {
    let ip = xml.at("ip")?;
    let address: Ipv4Addr = ip.get("address")?.parse().ok()?;
    let net = match (ip.get("netmask"), ip.get("prefix")) {
        (Some(mask), _) => Ipv4Net::with_netmask(address, mask.parse().ok()?).ok()?,
        (None, Some(prefix)) => Ipv4Net::new(address, prefix.parse().ok()?).ok()?,
        (None, None) => return None,
    };
    Some(net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(subnet: &str) -> Wanted {
        let subnet: Ipv4Net = subnet.parse().expect("a subnet");
        Wanted {
            name: "lab".to_owned(),
            domain: "lab.test".to_owned(),
            subnet,
            gateway: subnet.hosts().next().expect("an address"),
            fixed: vec![(mac("lab", "node1"), "node1".to_owned(), [10, 20, 30, 11].into())],
            forward: None,
        }
    }

    #[test]
    fn a_network_with_nat() {
        insta::assert_snapshot!(wanted("10.20.30.0/24").xml("lab"));
    }

    #[test]
    fn loopback_addresses_are_not_forwarded() {
        let xml = wanted("127.9.0.0/16").xml("lab");
        assert_eq!(xml.at("forward"), None);
        assert_eq!(subnet(&xml), "127.9.0.0/16".parse().ok());
    }

    #[test]
    fn dhcp_gives_out_all_but_the_hypervisors_own() {
        let ends = |net: &str| {
            let (first, last) = range(net.parse().expect("a subnet"));
            format!("{first} {last}")
        };
        assert_eq!(ends("10.20.30.0/24"), "10.20.30.2 10.20.30.254");
        assert_eq!(ends("10.20.30.64/29"), "10.20.30.66 10.20.30.70");
        assert_eq!(ends("127.0.0.0/16"), "127.0.0.2 127.0.255.254");
        // libvirt takes no larger range.
        assert_eq!(ends("127.0.0.0/8"), "127.0.0.2 127.1.0.0");
    }

    #[test]
    fn a_host_has_the_same_mac_at_every_try() {
        assert_eq!(mac("lab", "node1"), mac("lab", "node1"));
        assert_ne!(mac("lab", "node1"), mac("lab", "node2"));
        assert_ne!(mac("lab", "node1"), mac("lab2", "node1"));
        assert!(mac("lab", "node1").starts_with("52:54:00:"));
    }
}
