//! Rules about networks and addresses.

use crate::check::Plan;
use crate::context::Context;
use crate::diagnostic::Problem;
use crate::dns;
use crate::field::Spanned;
use crate::file;
use crate::file_ground::DnsServer;
use crate::lab::{Address, HostProvider};
use crate::swarm::MAX_NETWORKS;
use crate::tree::Span;
use ipnet::Ipv4Net;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// What Docker takes its local networks from where it is not told
/// (moby, `daemon/libnetwork/ipamutils`).
const DOCKER_POOLS: [Ipv4Net; 5] = [
    Ipv4Net::new_assert(Ipv4Addr::new(172, 17, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 18, 0, 0), 15),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 20, 0, 0), 14),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 24, 0, 0), 13),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
];

/// A range of addresses that something takes.
struct Taken {
    what: String,
    net: Ipv4Net,
    at: Option<Span>,
    /// An overlay network: may lie within the swarm's pool.
    overlay: bool,
    /// The swarm's pool.
    pool: bool,
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// Everything of the blueprint that takes addresses, in the order of what yields to what.
fn taken(plan: &Plan<'_>) -> Vec<Taken> {
    let mut taken = Vec::new();
    let mut add = |what: String, net, at, overlay, pool| {
        taken.push(Taken { what, net, at, overlay, pool });
    };
    if let (Some(libvirt), Some(subnet)) = (&plan.lab.libvirt, subnet_at(plan)) {
        add("the subnet".to_owned(), libvirt.subnet, Some(subnet), false, false);
    }
    let pool = plan.file.swarm.get().and_then(|s| s.pool.given()).map(|p| p.at);
    add("the swarm's pool".to_owned(), plan.lab.swarm.pool, pool, false, true);
    if let Some(engine) = plan.file.engine.get() {
        for pool in engine.pools.items().take(MAX_NETWORKS) {
            if let Some(base) = pool.value.base.given() {
                add(
                    "the engine's pool".to_owned(),
                    base.value.0.trunc(),
                    Some(base.at),
                    false,
                    false,
                );
            }
        }
    }
    for (network, at) in plan.lab.swarm.networks.iter().zip(plan.networks) {
        if let Some(subnet) = network.subnet {
            add(format!("the network `{}`", network.name), subnet, Some(*at), true, false);
        }
    }
    taken
}

fn subnet_at(plan: &Plan<'_>) -> Option<Span> {
    match plan.file.provider.get() {
        Some(file::Provider::Libvirt(libvirt)) => libvirt.subnet.given().map(|s| s.at),
        _ => None,
    }
}

/// No two of them overlap.
pub(crate) fn overlaps(plan: &Plan<'_>, context: &mut Context<'_>) {
    let taken = taken(plan);
    for (index, later) in taken.iter().enumerate() {
        if context.is_full() {
            return;
        }
        for earlier in &taken[..index] {
            let within_pool = earlier.pool && later.overlay;
            let Some(at) = later.at.or(earlier.at) else { continue };
            if !within_pool && overlap(later.net, earlier.net) {
                let message = format!(
                    "{} `{}` overlaps {} `{}`",
                    later.what, later.net, earlier.what, earlier.net
                );
                let help = "a host could not tell which of the two an address belongs to";
                context.error_help(at, message, help);
            }
        }
    }
}

/// The subnet is none of those that Docker would take for its own.
pub(crate) fn docker_pools(plan: &Plan<'_>, context: &mut Context<'_>) {
    let (Some(libvirt), Some(at)) = (&plan.lab.libvirt, subnet_at(plan)) else { return };
    if !plan.lab.engine.pools.is_empty() {
        return;
    }
    if let Some(pool) = DOCKER_POOLS.iter().find(|pool| overlap(**pool, libvirt.subnet)) {
        let message =
            format!("Docker may take a part of `{pool}`, where the subnet is, for its own");
        let help =
            "give it other addresses: `engine: { pools: [{ base: 10.210.0.0/16, size: 24 }] }`";
        context.problems.push(Problem::warning(at, message).help(help));
    }
}

/// No existing host has an address that the swarm would give to a container.
pub(crate) fn hosts_in_pools(plan: &Plan<'_>, context: &mut Context<'_>) {
    let taken = taken(plan);
    for host in plan.hosts.iter().filter(|h| h.host.provider == HostProvider::Existing) {
        let (Some(Address::Ip(IpAddr::V4(ip))), Some(at)) =
            (&host.host.address, host.file.address.given())
        else {
            continue;
        };
        in_pools(*ip, at.at, &taken, context);
    }
}

/// No server that bp or its hosts ask has such an address.
pub(crate) fn servers_in_pools(plan: &Plan<'_>, context: &mut Context<'_>) {
    let taken = taken(plan);
    let mut servers: Vec<(IpAddr, Span)> = Vec::new();
    let socket = |text: &Spanned<String>| Some((dns::socket(&text.value)?.ip(), text.at));
    match plan.file.dns.get().and_then(|dns| dns.server.get()) {
        Some(DnsServer::PowerDns(pdns)) => {
            servers.extend(pdns.answers.given().and_then(socket));
            servers.extend(dns::api_address(pdns).zip(pdns.url.given().map(|url| url.at)));
        }
        Some(DnsServer::Rfc2136(update)) => servers.extend(update.server.given().and_then(socket)),
        _ => {}
    }
    for server in plan.file.base.get().into_iter().flat_map(|base| base.time_servers.items()) {
        servers.extend(server.value.parse().ok().map(|ip| (ip, server.at)));
    }
    for (ip, at) in servers {
        if let IpAddr::V4(ip) = ip {
            in_pools(ip, at, &taken, context);
        }
    }
}

/// Reports an address that lies where containers get theirs.
fn in_pools(ip: Ipv4Addr, at: Span, taken: &[Taken], context: &mut Context<'_>) {
    for range in taken.iter().skip_while(|range| range.what == "the subnet") {
        if range.net.contains(&ip) && !context.is_full() {
            let message = format!("`{ip}` lies in {} `{}`", range.what, range.net);
            context.error_help(at, message, "containers would get addresses beside it");
        }
    }
}

/// No network is declared twice.
pub(crate) fn duplicates(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut first: HashMap<&str, Span> = HashMap::new();
    for (network, at) in plan.lab.swarm.networks.iter().zip(plan.networks) {
        if let Some(other) = first.insert(&network.name, *at) {
            let line = context.line(other);
            let message = format!("the network `{}` is declared twice", network.name);
            context
                .problems
                .push(Problem::error(*at, message).label(format!("first in line {line}")));
        }
    }
}
