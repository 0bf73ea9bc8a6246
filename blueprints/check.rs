//! The rules that look at the whole: one function per rule.

use crate::check_stacks;
use crate::context::{Context, is_dns_label, is_dns_name};
use crate::field::Field;
use crate::file;
use crate::hosts;
use crate::lab::Lab;
use crate::stacks;
use crate::tree::Span;
use crate::{check_hosts, check_networks};

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
    check_networks::duplicates,
    check_stacks::duplicates,
    check_stacks::deployed,
    check_stacks::images,
    check_stacks::ports,
];

/// The rules that conclude from what is not there: silent while a part is unreadable.
const RULES_ON_THE_WHOLE: &[Rule] = &[
    check_hosts::present,
    check_hosts::managers,
    check_hosts::drained,
    check_stacks::needs,
    check_stacks::health,
    check_stacks::networks,
    check_stacks::placement,
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
    let expected = "a DNS domain such as `lab.test`, in lower case and without a dot at its end";
    let right = |text: &str| is_dns_name(text) && !text.bytes().any(|c| c.is_ascii_uppercase());
    context.shape(&plan.file.domain, right, expected);
}
