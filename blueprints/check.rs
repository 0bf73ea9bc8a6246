//! The rules that look at the whole: one function per rule.

use crate::context::{Context, DOMAIN, is_dns_label, is_domain};
use crate::diagnostic::Problem;
use crate::field::Field;
use crate::file;
use crate::ground::Base;
use crate::hosts;
use crate::lab::{Lab, Phase};
use crate::stacks;
use crate::tree::Span;
use crate::{
    check_base, check_dns, check_firewall, check_gluster, check_hosts, check_names, check_networks,
    check_records, check_services, check_stacks,
};

/// The resolved blueprint beside the file, for the rules.
pub(crate) struct Plan<'a> {
    pub lab: &'a Lab,
    pub file: &'a file::Blueprint,
    pub hosts: &'a [hosts::Written<'a>],
    pub stacks: &'a [stacks::Written<'a>],
    /// Where each overlay network is declared.
    pub networks: &'a [Span],
}

/// A rule.
type Rule = fn(&Plan<'_>, &mut Context<'_>);

/// The rules that hold for whatever could be read.
const RULES: &[Rule] = &[
    version,
    name,
    domain,
    check_hosts::duplicate_names,
    check_hosts::duplicate_addresses,
    check_hosts::providers,
    check_hosts::meaningless,
    check_hosts::addresses,
    check_hosts::capacity,
    check_hosts::labels,
    check_hosts::root,
    check_networks::overlaps,
    check_networks::docker_pools,
    check_networks::hosts_in_pools,
    check_networks::servers_in_pools,
    check_networks::duplicates,
    check_base::timezone,
    check_base::time_servers,
    check_base::packages,
    check_dns::powerdns,
    check_dns::rfc2136,
    check_dns::libvirt,
    check_dns::zone,
    check_dns::ttls,
    check_records::names,
    check_records::twice,
    check_names::names_of_hosts,
    check_records::empty,
    check_names::alone,
    check_records::addresses,
    check_records::values_twice,
    check_records::texts,
    check_records::services,
    check_records::targets,
    check_names::circles,
    check_names::without_server,
    check_names::of_libvirt,
    check_firewall::ports_twice,
    check_firewall::ports_of_the_swarm,
    check_firewall::ports_of_stacks,
    check_firewall::nobody_opens,
    check_gluster::names,
    check_gluster::folders,
    check_gluster::nested,
    check_gluster::copies,
    check_gluster::options,
    check_stacks::duplicates,
    check_stacks::deployed,
    check_stacks::images,
    check_stacks::ports,
    check_services::reserved,
    check_services::secrets,
    check_services::mail,
];

/// The rules that conclude from what is not there: silent while a part is unreadable.
const RULES_ON_THE_WHOLE: &[Rule] = &[
    check_hosts::present,
    check_hosts::managers,
    check_hosts::drained,
    check_names::lead_somewhere,
    check_gluster::hosts,
    check_gluster::bricks,
    check_gluster::bricks_without_volume,
    left_out,
    check_stacks::needs,
    check_stacks::health,
    check_stacks::networks,
    check_stacks::placement,
    check_services::needs,
    check_services::versions,
    check_services::owners,
    check_services::hosts,
    check_services::registry_name,
    check_services::gitlab,
    check_services::answered,
];

/// Runs every rule.
pub(crate) fn run(plan: &Plan<'_>, whole: bool, context: &mut Context<'_>) {
    for rule in RULES {
        rule(plan, context);
    }
    if whole {
        for rule in RULES_ON_THE_WHOLE {
            rule(plan, context);
        }
    }
}

/// The place of what the whole file lacks: its first character.
pub(crate) const TOP: Span = Span { start: 0, end: 0 };

/// The version is there, and is 1.
fn version(plan: &Plan<'_>, context: &mut Context<'_>) {
    match &plan.file.version {
        Field::Absent => context.missing(TOP, "version", "a blueprint", "version: 1"),
        Field::Given(version) if version.value != 1 => {
            let message = format!("version {} of the language is not known", version.value);
            context.error_help(version.at, message, "this bp reads version 1");
        }
        _ => {}
    }
}

/// The name is there, and can be part of every other name that is made.
fn name(plan: &Plan<'_>, context: &mut Context<'_>) {
    if plan.file.name.is_absent() {
        context.missing(TOP, "name", "a blueprint", "name: lab");
    }
    let right = |text: &str| {
        text.len() <= 32 && is_dns_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())
    };
    let expected = "a name of letters a to z, digits and hyphens, at most 32, with a letter first";
    context.shape(&plan.file.name, right, expected);
}

/// The domain is a DNS name without a dot at its end.
fn domain(plan: &Plan<'_>, context: &mut Context<'_>) {
    context.shape(&plan.file.domain, is_domain, DOMAIN);
}

/// What is declared is seen to by a phase of the run.
fn left_out(plan: &Plan<'_>, context: &mut Context<'_>) {
    let Some(written) = plan.file.phases.given() else { return };
    for (declared, what, phase, name) in [
        (plan.lab.base != Base::default(), "`base`", Phase::Base, "base"),
        (!plan.lab.dns.records.is_empty(), "the `records`", Phase::Dns, "dns"),
        (plan.lab.firewall.is_some(), "`firewall`", Phase::Firewall, "firewall"),
        (!plan.lab.volumes.is_empty(), "`gluster`", Phase::Gluster, "gluster"),
    ] {
        if declared && !plan.lab.phases.contains(&phase) {
            let message = format!("nothing is done about {what}: `phases` leaves out `{name}`");
            context.problems.push(Problem::warning(written.at, message));
        }
    }
}
