//! The hosts: ranges expanded, defaults merged.

use crate::context::{self, Context, is_dns_label};
use crate::field::{Field, Spanned};
use crate::lab::{Address, Host, HostProvider, Machine, Role};
use crate::ranges::{self, MAX_HOSTS};
use crate::tree::Span;
use crate::units::Size;
use crate::{file, login};
use indexmap::IndexMap;

/// A host and what the file says of it.
pub(crate) struct Written<'a> {
    pub host: Host,
    /// Its name in the file, ranges and all.
    pub key: &'a Spanned<String>,
    pub file: &'a file::Host,
}

/// More labels than any node needs; each host of a range has its own copy.
pub(crate) const MAX_LABELS: usize = 64;

/// More ports than any host opens one by one; each host of a range has its own copy.
pub(crate) const MAX_PORTS: usize = 64;

const GIB: u64 = 1 << 30;

/// Every host of the blueprint, in the order of the file.
pub(crate) fn resolve<'a>(
    blueprint: &'a file::Blueprint,
    context: &mut Context<'_>,
) -> Vec<Written<'a>> {
    check_machine(&blueprint.machine, context);
    login::check(&blueprint.ssh, context);
    let mut hosts: Vec<Written<'a>> = Vec::new();
    let mut expanded = 0;
    for (key, entry) in blueprint.hosts.entries() {
        let file = &entry.value;
        check_machine(&file.machine, context);
        login::check(&file.ssh, context);
        let names = match ranges::expand(&key.value) {
            Ok(names) => names,
            Err(message) => {
                context.error(key.at, message);
                continue;
            }
        };
        expanded += names.len();
        if expanded > MAX_HOSTS {
            context.error(key.at, format!("more than {MAX_HOSTS} hosts"));
            break;
        }
        if let Some(name) = names.iter().find(|name| !is_dns_label(name)) {
            let name = crate::wording::short(name);
            context.error_help(
                key.at,
                format!("`{name}` can't be the name of a host"),
                "letters a to z, digits and hyphens within, at most 63 characters",
            );
            continue;
        }
        let host = one(blueprint, file, context);
        hosts.extend(names.into_iter().map(|name| Written {
            host: Host { name, ..host.clone() },
            key,
            file,
        }));
    }
    hosts
}

/// A host without its name.
fn one(blueprint: &file::Blueprint, file: &file::Host, context: &mut Context<'_>) -> Host {
    let provider = provider_of(blueprint, file);
    let labels = file.labels.entries().take(MAX_LABELS);
    let labels = labels.map(|(k, v)| (k.value.clone(), v.value.clone()));
    Host {
        name: String::new(),
        provider,
        role: file.role.get().copied().unwrap_or(Role::Worker),
        labels: labels.collect::<IndexMap<_, _>>(),
        availability: file.availability.get().copied().unwrap_or_default(),
        address: file.address.get().map(|text| match text.parse() {
            Ok(ip) => Address::Ip(ip),
            Err(_) => Address::Name(text.clone()),
        }),
        machine: machine(&file.machine, &blueprint.machine),
        ssh: login::merge(&file.ssh, &blueprint.ssh, provider == HostProvider::Libvirt, context),
        brick: file.brick.get().and_then(|folder| context::folder(folder)),
        ports: file.ports.items().take(MAX_PORTS).map(|p| p.value.0).collect(),
    }
}

/// Who makes a host: its own word, or the blueprint's.
fn provider_of(blueprint: &file::Blueprint, file: &file::Host) -> HostProvider {
    match file.provider.get() {
        Some(file::HostProvider::Libvirt) => HostProvider::Libvirt,
        Some(file::HostProvider::Existing) => HostProvider::Existing,
        None => match &blueprint.provider {
            Field::Absent | Field::Given(Spanned { value: file::Provider::Existing, .. }) => {
                HostProvider::Existing
            }
            _ => HostProvider::Libvirt,
        },
    }
}

fn machine(host: &Field<file::Machine>, lab: &Field<file::Machine>) -> Machine {
    let empty = file::Machine::default();
    let (host, lab) = (host.get().unwrap_or(&empty), lab.get().unwrap_or(&empty));
    let bytes =
        |host: &Field<Size>, lab, default| host.or(lab).get().map_or(default, |s: &Size| s.0);
    Machine {
        cpus: host.cpus.or(&lab.cpus).get().copied().unwrap_or(2),
        memory: bytes(&host.memory, &lab.memory, 2 * GIB),
        disk: bytes(&host.disk, &lab.disk, 20 * GIB),
    }
}

/// What a guest with Docker can live with, and what no hypervisor has.
fn check_machine(machine: &Field<file::Machine>, context: &mut Context<'_>) {
    let Some(machine) = machine.get() else { return };
    if let Some(cpus) = machine.cpus.given()
        && !(1..=512).contains(&cpus.value)
    {
        context.error(cpus.at, format!("expected 1 to 512 cpus, found `{}`", cpus.value));
    }
    let mut bounds = |size: &Field<Size>, what: &str, from: (u64, &str), to: (u64, &str)| {
        if let Some(size) = size.given()
            && !(from.0..=to.0).contains(&size.value.0)
        {
            let written = written(context.text, size.at);
            context.error(
                size.at,
                format!("expected {what} of {} to {}, found `{written}`", from.1, to.1),
            );
        }
    };
    bounds(&machine.memory, "memory", (256 << 20, "256MiB"), (16 << 40, "16TiB"));
    bounds(&machine.disk, "a disk", (GIB, "1GiB"), (64 << 40, "64TiB"));
}

fn written(text: &str, at: Span) -> &str {
    text.get(at.start..at.end).unwrap_or_default()
}
