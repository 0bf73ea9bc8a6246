//! One machine: found, made, started, by its tagged domain.

use super::clone;
use super::disks::{Parts, copy, copy_raw};
use super::domain::{self, Cpu, Guest};
use super::hypervisor::{Doing, Hypervisor, Tagged, absent};
use super::network;
use super::seed::{self, Seed};
use super::tag::{Role, Tag};
use super::template;
use super::volume::{CONSOLE, volume_xml};
use super::xml::Element;
use crate::{Access, Machine, ProviderError, State};
use blueprints::{Host, Lab, Libvirt};
use ipnet::Ipv4Net;
use std::net::IpAddr;
use virt::domain::Domain;
use virt::sys;

/// A host's name at the hypervisor.
pub fn domain_name(lab: &str, host: &str) -> String {
    format!("{lab}-{host}")
}

/// What the lab's tag says of a host's machine. Changes nothing.
pub fn find(
    hypervisor: &Hypervisor,
    host: &Host,
    subnet: Option<Ipv4Net>,
) -> Result<Option<Machine>, ProviderError> {
    let name = domain_name(&hypervisor.lab, &host.name);
    let Some((domain, xml)) = hypervisor.domain(&name)? else { return Ok(None) };
    let doing = || format!("read domain `{name}`");
    let running = absent(domain.is_active(), doing)? == Some(true);
    let tag = Tag::of(&xml).filter(|t| t.lab == hypervisor.lab && t.role == Role::Machine);
    let Some(tag) = tag else {
        return Ok(Some(Machine {
            state: State::Conflict(format!(
                "domain `{name}` exists but was not made for this lab: rename it (`virsh domrename`), or the lab"
            )),
            running,
            address: None,
            host_key: None,
        }));
    };
    let mac = xml.at("devices/interface/mac").and_then(|m| m.get("address")).unwrap_or_default();
    let address = if running { address(&domain, mac, host, subnet) } else { None };
    let state = state(hypervisor, host, &xml, &tag, running)?;
    Ok(Some(Machine { state, running, address, host_key: tag.host_key }))
}

fn state(
    hypervisor: &Hypervisor,
    host: &Host,
    xml: &Element,
    tag: &Tag,
    running: bool,
) -> Result<State, ProviderError> {
    if !tag.ready {
        return Ok(State::Wrong("it is half made".to_owned()));
    }
    // A running machine has its disk; this is asked often, and of many machines at once.
    if !running && !has_disk(hypervisor, tag)? {
        return Ok(State::Wrong("its disk is gone".to_owned()));
    }
    // libvirt keeps memory in KiB, rounded up.
    let kib = |bytes: u64| bytes.div_ceil(1024);
    let number = |path: &str| xml.at(path).and_then(|e| e.text.parse::<u64>().ok());
    let wanted = host.machine;
    let sizes = [
        ("CPUs", number("vcpu"), u64::from(wanted.cpus)),
        ("KiB of memory", number("memory"), kib(wanted.memory)),
        ("bytes of disk", tag.disk, wanted.disk),
    ];
    let differs = sizes.iter().find(|(_, is, should)| *is != Some(*should));
    Ok(match differs {
        Some((what, is, should)) => State::Conflict(format!(
            "it has {} {what}, the blueprint says {should}: bp does not resize a machine that \
             exists; put the old size back, or remove the machine and `bp up` makes it anew",
            is.map_or_else(|| "unknown".to_owned(), |n| n.to_string()),
        )),
        None => State::Right,
    })
}

/// Whether the root disk exists: the first of the volumes.
fn has_disk(hypervisor: &Hypervisor, tag: &Tag) -> Result<bool, ProviderError> {
    let Some(disk) = tag.volumes.first() else { return Ok(false) };
    Ok(hypervisor.volume(disk)?.is_some())
}

/// The address of the interface with this MAC: lease, then agent, then ARP.
fn address(domain: &Domain, mac: &str, host: &Host, subnet: Option<Ipv4Net>) -> Option<IpAddr> {
    let sources = [
        sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
        sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
        sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
    ];
    let fixed = match &host.address {
        Some(blueprints::Address::Ip(ip)) => Some(*ip),
        _ => None,
    };
    sources.iter().find_map(|source| {
        // No answer is usual: no lease yet, no agent.
        let interfaces = domain.interface_addresses(*source, 0).ok()?;
        let addresses: Vec<IpAddr> = interfaces
            .iter()
            .filter(|i| i.hwaddr.as_deref().is_some_and(|m| m.eq_ignore_ascii_case(mac)))
            .flat_map(|i| &i.addrs)
            .filter_map(|a| a.addr.parse().ok())
            .collect();
        choose(&addresses, fixed, subnet)
    })
}

/// The address to talk to: inside the lab's subnet where that is known, the fixed one first, then
/// IPv4; never one that means another machine elsewhere.
fn choose(addresses: &[IpAddr], fixed: Option<IpAddr>, subnet: Option<Ipv4Net>) -> Option<IpAddr> {
    let usable = |ip: &&IpAddr| match (ip, subnet) {
        (IpAddr::V4(v4), Some(subnet)) => subnet.contains(v4),
        (IpAddr::V6(_), Some(_)) => false,
        (IpAddr::V4(v4), None) => !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()),
        (IpAddr::V6(v6), None) => {
            !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    };
    let usable: Vec<&IpAddr> = addresses.iter().filter(usable).collect();
    let wanted = usable.iter().find(|ip| Some(***ip) == fixed);
    wanted.or(usable.iter().find(|ip| ip.is_ipv4())).or(usable.first()).map(|ip| **ip)
}

/// Makes a host's machine, or completes one that was cut off.
pub fn create(
    hypervisor: &Hypervisor,
    lab: &Lab,
    spec: &Libvirt,
    host: &Host,
    access: &Access,
    cpu: Cpu,
) -> Result<(), ProviderError> {
    let name = domain_name(&lab.name, &host.name);
    let old = hypervisor.own(&name, Role::Machine)?;
    if let Some(old) = &old
        && old.tag.ready
        && has_disk(hypervisor, &old.tag)?
    {
        return Ok(());
    }
    let base = template::base(hypervisor, spec, &lab.name)?;
    if host.machine.disk < base.capacity {
        return Err(ProviderError {
            doing: format!("make machine `{}`", host.name),
            cause: format!(
                "its disk of {} bytes is smaller than the template's {}",
                host.machine.disk, base.capacity
            ),
            hint: Some("give it a larger `disk`".to_owned()),
        });
    }
    let uuid = match &old {
        Some(old) => {
            stop(old, &name)?;
            for volume in &old.tag.volumes {
                hypervisor.delete_volume(volume)?;
            }
            old.xml.at("uuid").map(|u| u.text.clone()).unwrap_or_else(seed::uuid)
        }
        None => seed::uuid(),
    };
    let key = seed::host_key(host.ssh.host_key.as_deref())?;
    let mac = network::mac(&lab.name, &host.name);
    let parts = Parts::new(hypervisor, &name, &uuid, &base)?;
    let mut tag = Tag {
        host: Some(host.name.clone()),
        host_key: Some(key.public.clone()),
        disk: Some(host.machine.disk),
        volumes: parts.volumes.clone(),
        ..Tag::new(&lab.name, Role::Machine)
    };
    let kernel = base.kernel.as_ref().map(|kernel| kernel.on(cpu));
    let guest = Guest {
        name: &name,
        uuid: &uuid,
        tag: &tag,
        cpu,
        machine: host.machine,
        kernel: kernel.as_ref(),
        disk: parts.disk(),
        seed: parts.seed(),
        network: &spec.network,
        mac: &mac,
        console: parts.console.as_deref(),
    };
    let xml = match &base.source {
        Some(source) => {
            let nvram = parts.nvram.as_ref().map(|(_, path)| path.as_str());
            clone::xml(&source.xml, &guest, parts.others(), nvram)
        }
        None => domain::guest(&guest),
    };
    let domain = hypervisor.define(&name, &xml)?;
    let files = seed::files(&Seed {
        instance: &uuid,
        host: &host.name,
        domain: &lab.domain,
        mac: &mac,
        access,
        key: &key,
    });
    let image = seed::image(&files)?;
    copy(hypervisor, parts.disk(), &base.disk, spec.clone, Some(host.machine.disk))?;
    if let Some(source) = &base.source {
        for (volume, source) in parts.others().iter().zip(&source.disks) {
            copy(hypervisor, volume, source, spec.clone, None)?;
        }
        if let (Some((volume, _)), Some(source)) = (&parts.nvram, &source.nvram) {
            copy_raw(hypervisor, volume, source)?;
        }
    }
    let size = image.len() as u64;
    let xml = volume_xml(&parts.seed().name, "raw", size, true);
    hypervisor.upload(&hypervisor.pool, &xml, size, &mut image.as_slice())?;
    hypervisor
        .create_volume(&hypervisor.pool, &volume_xml(&parts.volumes[2].name, "raw", 0, true))?;
    tag.ready = true;
    hypervisor.retag(&domain, &name, &tag)
}

fn stop(tagged: &Tagged, name: &str) -> Result<(), ProviderError> {
    let doing = || format!("stop domain `{name}`");
    if absent(tagged.domain.is_active(), doing)? == Some(true) {
        absent(tagged.domain.destroy(), doing)?;
    }
    Ok(())
}

/// Starts a host's machine; running already is fine.
pub fn start(hypervisor: &Hypervisor, host: &Host) -> Result<(), ProviderError> {
    let name = domain_name(&hypervisor.lab, &host.name);
    let doing = || format!("start domain `{name}`");
    let Some(tagged) = hypervisor.own(&name, Role::Machine)? else {
        return Err(ProviderError {
            doing: doing(),
            cause: "it does not exist".to_owned(),
            hint: None,
        });
    };
    if tagged.domain.is_active().doing(doing)? {
        return Ok(());
    }
    match tagged.domain.create() {
        // Two starts at once: the other one was first.
        Err(_) if tagged.domain.is_active().unwrap_or(false) => Ok(()),
        answer => answer.doing(doing),
    }
}

/// The last lines of a host's console.
pub fn console(hypervisor: &Hypervisor, host: &Host) -> Option<String> {
    const TAIL: u64 = 16 * 1024;
    let name = domain_name(&hypervisor.lab, &host.name);
    let tagged = hypervisor.own(&name, Role::Machine).ok()??;
    let log = tagged.tag.volumes.iter().find(|v| v.name.ends_with(CONSOLE))?;
    let text = hypervisor.tail(log, TAIL).ok()?;
    let text = String::from_utf8_lossy(&text).replace('\r', "");
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_to_talk_to() {
        let lab: Option<Ipv4Net> = "10.20.30.0/24".parse().ok();
        let loopback: Option<Ipv4Net> = "127.5.0.0/16".parse().ok();
        let cases = [
            (lab, None, "fe80::1 2001:db8::1 10.20.30.7 172.17.0.1", "10.20.30.7"),
            (lab, Some("10.20.30.9"), "10.20.30.7 10.20.30.9", "10.20.30.9"),
            (lab, Some("10.20.30.9"), "10.20.30.7", "10.20.30.7"),
            (lab, None, "127.0.0.1 169.254.1.1 2001:db8::1 10.99.0.1", "-"),
            (loopback, None, "127.0.0.1 127.5.0.3", "127.5.0.3"),
            (None, None, "127.0.0.1 169.254.1.1 ::1 fe80::1 0.0.0.0", "-"),
            (None, None, "2001:db8::1 10.99.0.1", "10.99.0.1"),
            (None, None, "fe80::1 2001:db8::1", "2001:db8::1"),
            (lab, None, "", "-"),
        ];
        for (subnet, fixed, found, expected) in cases {
            let found: Vec<IpAddr> =
                found.split_whitespace().map(|a| a.parse().expect("an address")).collect();
            let fixed = fixed.map(|f| f.parse().expect("an address"));
            let chosen = choose(&found, fixed, subnet);
            assert_eq!(chosen.map_or("-".to_owned(), |a| a.to_string()), expected, "{found:?}");
        }
    }
}
