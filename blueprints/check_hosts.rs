//! Rules about hosts.

use crate::check::{Plan, TOP};
use crate::context::{Context, is_address};
use crate::diagnostic::Problem;
use crate::field::Field;
use crate::hosts::{MAX_LABELS, Written};
use crate::lab::{Address, Availability, HostProvider, Phase, Role, Sudo};
use crate::tree::Span;
use crate::wording::short;
use std::collections::HashMap;
use std::net::IpAddr;

/// The hosts as they are written: one of each range.
pub(crate) fn written<'p>(plan: &'p Plan<'_>) -> impl Iterator<Item = &'p Written<'p>> {
    let mut last = None;
    plan.hosts.iter().filter(move |host| last.replace(host.key.at) != Some(host.key.at))
}

/// There is a host.
pub(crate) fn present(plan: &Plan<'_>, context: &mut Context<'_>) {
    match &plan.file.hosts {
        Field::Absent => context.missing(TOP, "hosts", "a blueprint", "hosts: { node1: {} }"),
        Field::Given(hosts) if hosts.value.0.is_empty() => {
            context.error(hosts.at, "a blueprint needs at least one host");
        }
        _ => {}
    }
}

/// No name stands for two hosts.
pub(crate) fn duplicate_names(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut first: HashMap<&str, Span> = HashMap::new();
    let mut reported = None;
    for host in plan.hosts {
        let Some(at) = first.insert(&host.host.name, host.key.at) else { continue };
        if reported.replace(host.key.at) != Some(host.key.at) {
            let line = context.line(at);
            let message = format!("the host `{}` is there twice", host.host.name);
            let label = format!("first in line {line}");
            context.problems.push(Problem::error(host.key.at, message).label(label));
        }
    }
}

/// No address is given to two hosts.
pub(crate) fn duplicate_addresses(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut first: HashMap<String, &Written<'_>> = HashMap::new();
    for host in plan.hosts {
        let (Some(address), Some(at)) = (&host.host.address, host.file.address.given()) else {
            continue;
        };
        // Behind different jump hosts, one address may mean different machines.
        let key = format!("{address} {:?}", host.host.ssh.jump.as_ref().map(|j| &j.address));
        let Some(other) = first.insert(key, host) else { continue };
        if other.host.ssh.port != host.host.ssh.port && host.host.provider == HostProvider::Existing
        {
            continue;
        }
        let other = &other.host.name;
        let message = format!("`{}` has the address of `{other}`: `{address}`", host.host.name);
        context.error(at.at, message);
    }
}

/// An existing host has an address; one that bp makes has a hypervisor.
pub(crate) fn providers(plan: &Plan<'_>, context: &mut Context<'_>) {
    for host in written(plan) {
        match host.host.provider {
            HostProvider::Existing if host.file.address.is_absent() => {
                let what = format!("the existing host `{}`", short(&host.key.value));
                context.missing(host.key.at, "address", &what, "address: 192.0.2.10");
            }
            HostProvider::Libvirt if plan.lab.libvirt.is_none() => {
                let Some(at) = host.file.provider.given() else { continue };
                let help =
                    "the blueprint's `provider` has the hypervisor: `provider: { libvirt: ... }`";
                context.error_help(at.at, "no libvirt hypervisor is declared", help);
            }
            _ => {}
        }
    }
}

/// No host has a field that means nothing for its provider.
pub(crate) fn meaningless(plan: &Plan<'_>, context: &mut Context<'_>) {
    let each = "it differs from host to host; put it into a host's `ssh`";
    if let Some(ssh) = plan.file.ssh.get() {
        for (field, name) in [(&ssh.fingerprint, "fingerprint"), (&ssh.host_key, "host_key")] {
            if let Some(field) = field.given() {
                context.error_help(field.at, format!("`{name}` belongs to one host"), each);
            }
        }
    }
    for host in written(plan) {
        let empty = crate::file::Ssh::default();
        let ssh = host.file.ssh.get().unwrap_or(&empty);
        let mut wrong = |at: Option<Span>, name: &str, why: &str| {
            if let Some(at) = at {
                context.error(at, format!("`{name}` means nothing for {why}"));
            }
        };
        match host.host.provider {
            HostProvider::Existing => {
                let why = "a host that bp does not make";
                wrong(host.file.machine.given().map(|f| f.at), "machine", why);
                wrong(ssh.host_key.given().map(|f| f.at), "host_key", why);
            }
            HostProvider::Libvirt => {
                let why = "a host that bp makes: its key is known beforehand";
                wrong(ssh.fingerprint.given().map(|f| f.at), "fingerprint", why);
                if host.host.ssh.host_key.is_some()
                    && plan.hosts.iter().filter(|h| h.key.at == host.key.at).count() > 1
                {
                    wrong(ssh.host_key.given().map(|f| f.at), "host_key", "several hosts at once");
                }
            }
        }
        if host.host.role == Role::None {
            let why = "a host outside the swarm";
            wrong(host.file.labels.given().map(|f| f.at), "labels", why);
            wrong(host.file.availability.given().map(|f| f.at), "availability", why);
        }
    }
}

/// An address is one; a machine's is a free one of its subnet.
pub(crate) fn addresses(plan: &Plan<'_>, context: &mut Context<'_>) {
    for host in written(plan) {
        let Some(written) = host.file.address.given() else { continue };
        let found = short(&written.value);
        if host.host.provider == HostProvider::Existing {
            if !is_address(&written.value) {
                context
                    .error(written.at, format!("expected an address or a name, found `{found}`"));
            }
            continue;
        }
        let Some(Address::Ip(IpAddr::V4(ip))) = host.host.address else {
            context.error(written.at, format!("expected an IPv4 address, found `{found}`"));
            continue;
        };
        let Some(libvirt) = &plan.lab.libvirt else { continue };
        let subnet = libvirt.subnet;
        if subnet.prefix_len() == 32 {
            continue;
        }
        let wrong = if !subnet.contains(&ip) {
            format!("is not in the subnet `{subnet}`")
        } else if ip == subnet.network() {
            format!("is the subnet `{subnet}` itself")
        } else if ip == subnet.broadcast() {
            format!("is the broadcast address of `{subnet}`")
        } else if ip == libvirt.gateway() {
            "is the hypervisor's own".to_owned()
        } else {
            continue;
        };
        context.error(written.at, format!("`{ip}` {wrong}"));
    }
}

/// The subnet has an address for every machine.
pub(crate) fn capacity(plan: &Plan<'_>, context: &mut Context<'_>) {
    let Some(libvirt) = &plan.lab.libvirt else { return };
    let Some(crate::file::Provider::Libvirt(file)) = plan.file.provider.get() else { return };
    let Some(at) = file.subnet.given() else { return };
    let made = plan.lab.hosts.iter().filter(|h| h.provider == HostProvider::Libvirt).count();
    // Its own address, the hypervisor's and the broadcast address are taken.
    let room = (1_usize << (32 - libvirt.subnet.prefix_len())).saturating_sub(3);
    if made > room {
        let message = format!("`{}` has room for {room} machines, not for {made}", libvirt.subnet);
        context.error(at.at, message);
    }
}

/// Labels are of the shape that Docker takes, and leave bp's own alone.
pub(crate) fn labels(plan: &Plan<'_>, context: &mut Context<'_>) {
    let inner = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let right = |key: &str| {
        key.len() <= 128
            && key.chars().all(inner)
            && key.starts_with(|c: char| c.is_ascii_alphanumeric())
            && key.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    for host in written(plan) {
        if let Some((key, _)) = host.file.labels.entries().nth(MAX_LABELS) {
            context.error(key.at, format!("more than {MAX_LABELS} labels"));
        }
        for (key, value) in host.file.labels.entries() {
            let shown = short(&key.value);
            if key.value.starts_with("bp.") {
                context
                    .error(key.at, format!("`{shown}`: labels that begin with `bp.` are bp's own"));
            } else if !right(&key.value) {
                let help = "letters, digits, and `.`, `_`, `-`, `/` within";
                context.error_help(key.at, format!("`{shown}` can't be a label"), help);
            }
            if value.value.len() > 255 || value.value.chars().any(char::is_control) {
                context.error(value.at, "a label's value is one line of at most 255 bytes");
            }
        }
    }
}

/// A user who is not root needs a way to become root.
pub(crate) fn root(plan: &Plan<'_>, context: &mut Context<'_>) {
    for host in written(plan) {
        let ssh = &host.host.ssh;
        if ssh.user != "root" && ssh.sudo == Sudo::No {
            let own = host.file.ssh.get().and_then(|s| s.user.given());
            let lab = plan.file.ssh.get().and_then(|s| s.user.given());
            let at = own.or(lab).map_or(host.key.at, |user| user.at);
            let message = format!("`{}` may not be able to install anything", short(&ssh.user));
            let help = "`sudo: true`, or `sudo: { password: { env: NAME } }`";
            context.problems.push(Problem::warning(at, message).help(help));
        }
    }
}

/// A swarm has managers: at least one, an odd number, seven at most.
pub(crate) fn managers(plan: &Plan<'_>, context: &mut Context<'_>) {
    let managers: Vec<_> = plan.hosts.iter().filter(|h| h.host.role == Role::Manager).collect();
    let count = managers.len();
    let Some(last) = managers.last() else {
        if plan.lab.phases.contains(&Phase::Swarm) && !plan.hosts.is_empty() {
            let at = plan.hosts[0].key.at;
            context.error_help(at, "no host is a manager", "a swarm needs one: `role: manager`");
        }
        return;
    };
    if count.is_multiple_of(2) {
        let lost = count / 2;
        let message =
            format!("{count} managers survive the loss of {}, as {} would", lost - 1, count - 1);
        let help = format!(
            "a majority of {} is needed to decide anything; make it {} or {}",
            lost + 1,
            count - 1,
            count + 1
        );
        context.problems.push(Problem::warning(last.key.at, message).help(help));
    } else if count > 7 {
        let help = "every decision of the swarm waits for a majority of them; 3 or 5 will do";
        let message = format!("{count} managers slow the swarm down");
        context.problems.push(Problem::warning(last.key.at, message).help(help));
    }
}

/// Where there are stacks, some node takes their tasks.
pub(crate) fn drained(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut nodes = plan.lab.nodes().peekable();
    let any = nodes.peek().is_some();
    if !any || plan.stacks.is_empty() || nodes.any(|n| n.availability == Availability::Active) {
        return;
    }
    let at = plan.hosts.iter().find_map(|h| h.file.availability.given());
    let at = at.map_or(TOP, |availability| availability.at);
    context.error(at, "no node is active, so no stack can run");
}
