//! Questions about the lab's zone go from the network's own DNS server to the one that holds it.

use super::xml::{Element, el};
use blueprints::{DnsServer, Lab};
use ipnet::Ipv4Net;
use std::net::SocketAddr;

/// Options for dnsmasq in a network's XML (libvirt 5.6 and newer).
const NAMESPACE: &str = "http://libvirt.org/schemas/network/dnsmasq/1.0";

/// A name that was asked for before it was there is to appear at once, and one that was changed soon
/// after.
const FORGET: [&str; 2] = ["no-negcache", "max-cache-ttl=10"];

/// Where questions about which names go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    zone: String,
    subnet: Ipv4Net,
    server: SocketAddr,
}

impl Forward {
    /// To the blueprint's server, where it names one whose address can be known.
    pub async fn of(lab: &Lab, subnet: Ipv4Net) -> Option<Self> {
        let (zone, server) = match &lab.dns.server {
            DnsServer::Hosts | DnsServer::Libvirt => return None,
            DnsServer::Rfc2136 { zone, server, .. } => (zone, *server),
            DnsServer::PowerDns { zone, answers: Some(server), .. } => (zone, *server),
            DnsServer::PowerDns { zone, url, .. } => (zone, crate::dns::resolved(url).await.ok()?),
        };
        Some(Self { zone: zone.clone(), subnet, server })
    }

    /// Whether the network's own server would keep questions about this domain to itself unless
    /// told otherwise.
    pub fn covers(&self, domain: &str) -> bool {
        domain == self.zone || domain.ends_with(&format!(".{}", self.zone))
    }

    /// What it does, in words.
    pub fn words(&self) -> String {
        format!("`{}` to {}", self.zone, self.server)
    }

    fn options(&self) -> Vec<String> {
        let zones = [self.zone.clone()].into_iter().chain(reverse_zones(self.subnet));
        let (ip, port) = (self.server.ip(), self.server.port());
        let servers = zones.map(|z| format!("server=/{z}/{ip}#{port}"));
        servers.chain(FORGET.map(str::to_owned)).collect()
    }

    /// Whether a network forwards so.
    pub fn is_in(&self, network: &Element) -> bool {
        let options = network.at("dnsmasq:options").into_iter();
        let has: Vec<&str> =
            options.flat_map(|o| o.all("dnsmasq:option")).filter_map(|o| o.get("value")).collect();
        let keeps = network.at("domain").is_some_and(|d| {
            d.get("localOnly") == Some("yes") && d.get("name").is_some_and(|n| self.covers(n))
        });
        !keeps && self.options().iter().all(|o| has.contains(&o.as_str()))
    }

    /// The network, forwarding so. Options of others stay.
    pub fn put_in(&self, network: &mut Element) {
        network.set("xmlns:dnsmasq", NAMESPACE);
        if let Some(domain) = network.at_mut("domain")
            && domain.get("name").is_some_and(|n| self.covers(n))
        {
            domain.attrs.retain(|(name, _)| name != "localOnly");
        }
        let mut options = network.at("dnsmasq:options").cloned().unwrap_or(el("dnsmasq:options"));
        let of_zone = |o: &Element| {
            let value = o.get("value").unwrap_or_default();
            let mut zones = [self.zone.clone()].into_iter().chain(reverse_zones(self.subnet));
            FORGET.contains(&value) || zones.any(|z| value.starts_with(&format!("server=/{z}/")))
        };
        options.children.retain(|o| !of_zone(o));
        let new = self.options();
        options.children.extend(new.iter().map(|o| el("dnsmasq:option").attr("value", o)));
        network.put(options);
    }
}

/// The zones in which addresses of a subnet have names: whole octets, as many as it takes.
fn reverse_zones(subnet: Ipv4Net) -> Vec<String> {
    let octets = usize::from(subnet.prefix_len()).div_ceil(8).clamp(1, 3);
    let aligned = subnet.prefix_len().max(octets as u8 * 8);
    let subnets = match octets as u8 * 8 > subnet.prefix_len() {
        true => subnet.subnets(octets as u8 * 8).map(Iterator::collect),
        false => Ok(vec![Ipv4Net::new(subnet.network(), aligned).unwrap_or(subnet)]),
    };
    let name = |net: Ipv4Net| {
        let mut labels: Vec<String> =
            net.network().octets()[..octets].iter().map(u8::to_string).collect();
        labels.reverse();
        format!("{}.in-addr.arpa", labels.join("."))
    };
    subnets.unwrap_or_else(|_| vec![subnet]).into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward() -> Forward {
        Forward {
            zone: "lab.test".to_owned(),
            subnet: "10.20.30.0/24".parse().expect("a subnet"),
            server: "10.20.30.1:5300".parse().expect("an address"),
        }
    }

    #[test]
    fn a_network_that_kept_names_to_itself_forwards_them() {
        let mut network = el("network")
            .attr("xmlns:dnsmasq", NAMESPACE)
            .child(el("name").text("lab"))
            .child(el("domain").attr("name", "lab.test").attr("localOnly", "yes"))
            .child(el("dnsmasq:options").children([
                el("dnsmasq:option").attr("value", "server=/lab.test/10.9.9.9"),
                el("dnsmasq:option").attr("value", "log-queries"),
            ]));
        assert!(!forward().is_in(&network));
        forward().put_in(&mut network);
        assert!(forward().is_in(&network));
        insta::assert_snapshot!(network, @"
        <network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
          <name>lab</name>
          <domain name='lab.test'/>
          <dnsmasq:options>
            <dnsmasq:option value='log-queries'/>
            <dnsmasq:option value='server=/lab.test/10.20.30.1#5300'/>
            <dnsmasq:option value='server=/30.20.10.in-addr.arpa/10.20.30.1#5300'/>
            <dnsmasq:option value='no-negcache'/>
            <dnsmasq:option value='max-cache-ttl=10'/>
          </dnsmasq:options>
        </network>
        ");
        let once = network.clone();
        forward().put_in(&mut network);
        assert_eq!(network, once);
    }

    #[test]
    fn a_domain_outside_the_zone_is_the_networks_own() {
        assert!(forward().covers("lab.test") && forward().covers("a.lab.test"));
        assert!(!forward().covers("slab.test") && !forward().covers("test"));
    }

    #[test]
    fn reverse_zones_of_subnets() {
        let zones = |net: &str| reverse_zones(net.parse().expect("a subnet"));
        assert_eq!(zones("10.20.30.0/24"), ["30.20.10.in-addr.arpa"]);
        assert_eq!(zones("10.20.30.64/29"), ["30.20.10.in-addr.arpa"]);
        assert_eq!(zones("10.20.0.0/16"), ["20.10.in-addr.arpa"]);
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa"]);
        assert_eq!(zones("10.20.30.0/23").len(), 2);
    }
}
