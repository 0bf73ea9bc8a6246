//! Rules about the hosts' walls.

use crate::check::Plan;
use crate::check_hosts::written;
use crate::check_stacks::publishers;
use crate::context::Context;
use crate::diagnostic::Problem;
use crate::field::{Field, List, Spanned};
use crate::ground::{FirewallBackend, Port, Protocol};
use crate::hosts::MAX_PORTS;
use crate::lab::Role;
use crate::units::Ports;
use std::collections::HashSet;

/// The ports that are opened on every host, as they are written.
fn open<'p>(plan: &'p Plan<'_>) -> impl Iterator<Item = &'p Spanned<Ports>> {
    plan.file.firewall.get().into_iter().flat_map(|f| f.open.items()).take(MAX_PORTS)
}

fn covers(wide: Port, narrow: Port) -> bool {
    wide.protocol == narrow.protocol && wide.first <= narrow.first && narrow.last <= wide.last
}

fn overlap(a: Port, b: Port) -> bool {
    a.protocol == b.protocol && a.first <= b.last && b.first <= a.last
}

/// No port is opened twice: in one list, or on a host and everywhere.
pub(crate) fn ports_twice(plan: &Plan<'_>, context: &mut Context<'_>) {
    if let Some(firewall) = plan.file.firewall.get() {
        twice_in(&firewall.open, context);
    }
    for host in written(plan).filter(|host| !host.file.ports.is_absent()) {
        if context.is_full() {
            return;
        }
        twice_in(&host.file.ports, context);
        for port in host.file.ports.items().take(MAX_PORTS) {
            if let Some(wide) = open(plan).find(|wide| covers(wide.value.0, port.value.0)) {
                let (port_shown, wide) = (port.value.0, wide.value.0);
                let message = format!("`{port_shown}` is open on every host already");
                let help = format!("`firewall: {{ open: [{wide}] }}`");
                context.problems.push(Problem::warning(port.at, message).help(help));
            }
        }
    }
}

fn twice_in(list: &Field<List<Ports>>, context: &mut Context<'_>) {
    if let Some(port) = list.items().nth(MAX_PORTS) {
        context.error_help(port.at, format!("more than {MAX_PORTS} ports"), "ranges count as one");
    }
    let ports: Vec<&Spanned<Ports>> = list.items().take(MAX_PORTS).collect();
    for (index, later) in ports.iter().enumerate() {
        let Some(earlier) = ports[..index].iter().find(|p| overlap(p.value.0, later.value.0))
        else {
            continue;
        };
        let (port, other) = (later.value.0, earlier.value.0);
        if port == other {
            let line = context.line(earlier.at);
            let label = format!("first in line {line}");
            let problem = Problem::error(later.at, format!("`{port}` is listed twice"));
            context.problems.push(problem.label(label));
        } else {
            let message = format!("`{port}` overlaps `{other}`");
            context.problems.push(Problem::warning(later.at, message));
        }
    }
}

/// What the nodes of a swarm and the hosts with bricks say to each other is not for everybody.
pub(crate) fn ports_of_the_swarm(plan: &Plan<'_>, context: &mut Context<'_>) {
    const INTERNAL: [(u16, Protocol, &str); 5] = [
        (2377, Protocol::Tcp, "the swarm"),
        (7946, Protocol::Tcp, "the swarm"),
        (7946, Protocol::Udp, "the swarm"),
        (4789, Protocol::Udp, "the swarm"),
        (24007, Protocol::Tcp, "GlusterFS"),
    ];
    let hosts = written(plan).flat_map(|host| host.file.ports.items().take(MAX_PORTS));
    let all: Vec<&Spanned<Ports>> = open(plan).chain(hosts).collect();
    for port in all {
        if context.is_full() {
            return;
        }
        for (number, protocol, owner) in INTERNAL {
            let internal = Port { first: number, last: number, protocol };
            let used = number != 24007 || !plan.lab.volumes.is_empty();
            if used && covers(port.value.0, internal) {
                let message = format!("`{internal}` of {owner} is opened to everybody");
                let help = "bp opens it among the hosts that need it";
                context.problems.push(Problem::warning(port.at, message).help(help));
            }
        }
    }
}

/// What stacks publish is open already.
pub(crate) fn ports_of_stacks(plan: &Plan<'_>, context: &mut Context<'_>) {
    let published = publishers(plan);
    let nodes = written(plan).filter(|host| host.host.role != Role::None);
    let on_nodes = nodes.flat_map(|host| host.file.ports.items().take(MAX_PORTS));
    for port in open(plan).chain(on_nodes) {
        if context.is_full() {
            return;
        }
        let Port { first, last, protocol } = port.value.0;
        let owners: Option<Vec<&String>> =
            (first..=last).map(|n| published.get(&(n, protocol.as_str().to_owned()))).collect();
        let Some(owner) = owners.as_ref().and_then(|owners| owners.first()) else { continue };
        let message = format!("`{}` is open already: `{owner}` publishes it", port.value.0);
        context.problems.push(Problem::warning(port.at, message));
    }
}

/// Ports are opened by somebody.
pub(crate) fn nobody_opens(plan: &Plan<'_>, context: &mut Context<'_>) {
    let why = match &plan.lab.firewall {
        Some(firewall) if firewall.backend == FirewallBackend::None => {
            "the firewall's backend is `none`"
        }
        None if plan.file.firewall.is_absent() => "the blueprint has no `firewall`",
        _ => return,
    };
    let mut seen = HashSet::new();
    let hosts = written(plan).filter_map(|host| host.file.ports.given()).map(|ports| ports.at);
    let everywhere = plan.file.firewall.get().and_then(|f| f.open.given()).map(|open| open.at);
    for at in everywhere.into_iter().chain(hosts).filter(|at| seen.insert(*at)) {
        if context.is_full() {
            return;
        }
        let help = "`firewall: { backend: auto }` has bp open them";
        let message = format!("nobody opens these ports: {why}");
        context.problems.push(Problem::warning(at, message).help(help));
    }
}
