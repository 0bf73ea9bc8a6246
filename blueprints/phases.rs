//! The phases of the run.

use crate::context::Context;
use crate::diagnostic::Problem;
use crate::field::{Field, Spanned};
use crate::file;
use crate::lab::Phase;
use crate::tree::Span;
use crate::wording::{list, nearest, short};

/// The built-in phases in their order.
const PHASES: &[(&str, Phase)] = &[
    ("machines", Phase::Machines),
    ("base", Phase::Base),
    ("dns", Phase::Dns),
    ("firewall", Phase::Firewall),
    ("engine", Phase::Engine),
    ("gluster", Phase::Gluster),
    ("swarm", Phase::Swarm),
    ("labels", Phase::Labels),
    ("networks", Phase::Networks),
    ("images", Phase::Images),
    ("stacks", Phase::Stacks),
];

/// More phases than any run has.
const MAX_PHASES: usize = 100;

/// A phase that, where both are listed, comes after another; and why.
const AFTER: &[(Phase, Phase, &str)] = &[
    (Phase::Base, Phase::Machines, "hosts are set up that are up"),
    (Phase::Dns, Phase::Machines, "records name addresses of machines that are up"),
    (Phase::Firewall, Phase::Machines, "walls stand on machines that are up"),
    (Phase::Gluster, Phase::Machines, "bricks lie on machines that are up"),
    (Phase::Gluster, Phase::Dns, "peers know each other by name"),
    (Phase::Gluster, Phase::Firewall, "peers reach each other through the walls"),
    (Phase::Swarm, Phase::Base, "overlay networks need the kernel's settings and modules"),
    (Phase::Swarm, Phase::Firewall, "nodes reach each other through the walls"),
    (Phase::Stacks, Phase::Dns, "stacks and their health checks call each other by name"),
    (Phase::Stacks, Phase::Gluster, "stacks keep their data on the volumes"),
    (Phase::Engine, Phase::Machines, "the engine is installed on machines that are up"),
    (Phase::Swarm, Phase::Machines, "the swarm is made of machines that are up"),
    (Phase::Swarm, Phase::Engine, "the swarm is made of engines"),
    (Phase::Labels, Phase::Swarm, "labels belong to nodes of the swarm"),
    (Phase::Networks, Phase::Swarm, "overlay networks belong to the swarm"),
    (Phase::Images, Phase::Engine, "images are loaded into engines"),
    (Phase::Stacks, Phase::Swarm, "stacks run in the swarm"),
    (Phase::Stacks, Phase::Labels, "stacks are placed by labels"),
    (Phase::Stacks, Phase::Networks, "stacks use the networks"),
    (Phase::Stacks, Phase::Images, "stacks use the images"),
];

/// The blueprint's phases, or the built-in ones.
pub(crate) fn resolve(blueprint: &file::Blueprint, context: &mut Context<'_>) -> Vec<Phase> {
    let Some(written) = blueprint.phases.given() else {
        return PHASES.iter().map(|(_, phase)| phase.clone()).collect();
    };
    let mut phases: Vec<(Phase, Span)> = Vec::new();
    for (index, word) in blueprint.phases.items().enumerate() {
        if index == MAX_PHASES {
            context.error(word.at, format!("more than {MAX_PHASES} phases"));
            break;
        }
        let Some(phase) = phase(word, context) else { continue };
        if let Some((_, first)) = phases.iter().find(|(p, _)| *p == phase) {
            let line = context.line(*first);
            let message = format!("the phase `{}` is listed twice", short(&word.value));
            context
                .problems
                .push(Problem::error(word.at, message).label(format!("first in line {line}")));
        }
        phases.push((phase, word.at));
    }
    if written.value.0.is_empty() {
        context.error_help(written.at, "no phases", "leave `phases` out for the built-in order");
    }
    order(&phases, context);
    phases.into_iter().map(|(phase, _)| phase).collect()
}

fn phase(word: &Spanned<String>, context: &mut Context<'_>) -> Option<Phase> {
    if let Some((_, phase)) = PHASES.iter().find(|(name, _)| *name == word.value) {
        return Some(phase.clone());
    }
    if word.value.ends_with(".yml") || word.value.ends_with(".yaml") {
        let path = Field::Given(Spanned { value: word.value.clone(), at: word.at });
        return context.existing(&path).map(Phase::Playbook);
    }
    let names: Vec<&str> = PHASES.iter().map(|(name, _)| *name).collect();
    let mut problem = Problem::error(word.at, format!("unknown phase `{}`", short(&word.value)));
    match nearest(&word.value, &names) {
        Some(name) => problem.label = Some(format!("did you mean `{name}`?")),
        None => {
            let help =
                format!("phases are {}, and playbooks such as `./hardening.yml`", list(&names));
            problem.help = Some(help);
        }
    }
    context.problems.push(problem);
    None
}

/// Reports phases that come before what they build on.
fn order(phases: &[(Phase, Span)], context: &mut Context<'_>) {
    let name = |phase: &Phase| PHASES.iter().find(|(_, p)| p == phase).map_or("", |(name, _)| name);
    for (later, earlier, why) in AFTER {
        let place = |phase| phases.iter().position(|(p, _)| p == phase);
        if let (Some(later_at), Some(earlier_at)) = (place(later), place(earlier))
            && later_at < earlier_at
        {
            context.error_help(
                phases[later_at].1,
                format!("the phase `{}` comes before `{}`", name(later), name(earlier)),
                *why,
            );
        }
    }
}
