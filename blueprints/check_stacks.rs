//! Rules about stacks.

use crate::check::Plan;
use crate::compose::Port;
use crate::context::Context;
use crate::diagnostic::Problem;
use crate::field::Spanned;
use crate::lab::{Availability, Host, Phase, Role};
use crate::stacks::Written;
use crate::tree::Span;
use crate::wording::{list, nearest, short};
use std::collections::HashMap;

/// No name stands for two stacks.
pub(crate) fn duplicates(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut first: HashMap<&str, Span> = HashMap::new();
    for stack in plan.stacks {
        if let Some(at) = first.insert(&stack.stack.name, stack.at) {
            let line = context.line(at);
            let message = format!("the stack `{}` is there twice", short(&stack.stack.name));
            context
                .problems
                .push(Problem::error(stack.at, message).label(format!("first in line {line}")));
        }
    }
}

/// What a stack needs is a stack before it.
pub(crate) fn needs(plan: &Plan<'_>, context: &mut Context<'_>) {
    let names: Vec<&str> = plan.stacks.iter().map(|s| s.stack.name.as_str()).collect();
    for (index, stack) in plan.stacks.iter().enumerate() {
        let Some(file) = stack.file else { continue };
        for need in file.needs.items() {
            let name = short(&stack.stack.name);
            match names.iter().position(|n| *n == need.value) {
                Some(at) if at == index => {
                    context.error(need.at, format!("the stack `{name}` needs itself"));
                }
                Some(at) if at > index => {
                    let message =
                        format!("`{name}` needs `{}`, which comes after it", short(&need.value));
                    context.error_help(
                        need.at,
                        message,
                        "stacks are deployed in the order of the list",
                    );
                }
                Some(_) => {}
                None => unknown(need, "stack", &names, context),
            }
        }
    }
}

/// Reports a name that nothing has.
pub(crate) fn unknown(
    name: &Spanned<String>,
    what: &str,
    known: &[&str],
    context: &mut Context<'_>,
) {
    if context.is_full() {
        return;
    }
    let mut problem =
        Problem::error(name.at, format!("no {what} is called `{}`", short(&name.value)));
    // Where so much is wrong, comparing every word with all others only costs time.
    let near = if context.problems.len() < 100 { nearest(&name.value, known) } else { None };
    match near {
        Some(word) => problem.label = Some(format!("did you mean `{word}`?")),
        None if known.is_empty() => {}
        None => {
            let more = if known.len() > 20 { ", ..." } else { "" };
            let some = list(&known[..known.len().min(20)]);
            problem.help = Some(format!("there are {some}{more}"));
        }
    }
    context.problems.push(problem);
}

/// Stacks that are declared are deployed.
pub(crate) fn deployed(plan: &Plan<'_>, context: &mut Context<'_>) {
    if let Some(stack) = plan.stacks.first()
        && let Some(phases) = plan.file.phases.given()
        && !plan.lab.phases.contains(&Phase::Stacks)
    {
        let message =
            format!("`{}` is not deployed: `phases` leaves out `stacks`", short(&stack.stack.name));
        context.problems.push(Problem::warning(phases.at, message));
    }
}

/// A health check asks from networks and counts services that there are.
pub(crate) fn health(plan: &Plan<'_>, context: &mut Context<'_>) {
    let networks = known_networks(plan);
    for stack in plan.stacks {
        let Some(file) = stack.file else { continue };
        let own = stack.compose.iter().flat_map(|compose| &compose.own_networks);
        let networks: Vec<&str> = networks.iter().copied().chain(own.map(String::as_str)).collect();
        for check in file.health.items() {
            if let Some(network) = check.value.network.given()
                && !networks.contains(&network.value.as_str())
            {
                unknown(network, "network", &networks, context);
            }
            if let (Some(service), Some(compose)) = (check.value.service.given(), &stack.compose) {
                let services: Vec<&str> =
                    compose.services.iter().map(|s| s.name.as_str()).collect();
                if !services.contains(&service.value.as_str()) {
                    unknown(service, "service", &services, context);
                }
            }
        }
    }
}

/// Every service names an image: a swarm builds none.
pub(crate) fn images(plan: &Plan<'_>, context: &mut Context<'_>) {
    for stack in plan.stacks {
        for service in stack.compose.iter().flat_map(|c| &c.services).filter(|s| !s.has_image) {
            let message = format!("the service `{}` names no image", short(&service.name));
            context.error(stack.file_at, message);
        }
    }
}

/// The overlay networks that are declared, and those that bp's own stacks bring.
fn known_networks<'p>(plan: &'p Plan<'_>) -> Vec<&'p str> {
    let mut known: Vec<&str> = plan.lab.swarm.networks.iter().map(|n| n.name.as_str()).collect();
    for name in plan.lab.stacks.iter().flat_map(|s| s.kind.networks()) {
        if !known.contains(name) {
            known.push(name);
        }
    }
    known
}

/// The networks that a compose file takes from outside are declared.
pub(crate) fn networks(plan: &Plan<'_>, context: &mut Context<'_>) {
    let known = known_networks(plan);
    for stack in plan.stacks {
        for network in stack.compose.iter().flat_map(|c| &c.external_networks) {
            let own = ["host", "bridge", "none", "ingress"].contains(&network.as_str());
            if own || network.contains('$') || known.contains(&network.as_str()) {
                continue;
            }
            let name = short(network);
            let message = format!("the stack uses the network `{name}`, which nobody declares");
            let help = format!("`swarm: {{ networks: [{name}] }}`");
            context.error_help(stack.file_at, message, help);
        }
    }
}

/// What swarm nodes are asked for by a placement constraint.
struct Constraint<'a> {
    key: &'a str,
    equal: bool,
    value: &'a str,
}

fn constraint(text: &str) -> Option<Constraint<'_>> {
    let (equal, (key, value)) = match text.split_once("!=") {
        Some(parts) => (false, parts),
        None => (true, text.split_once("==")?),
    };
    Some(Constraint { key: key.trim(), equal, value: value.trim() })
}

impl Constraint<'_> {
    /// Whether a host meets it; what only a running node knows is taken to be met.
    fn met_by(&self, host: &Host) -> bool {
        let value = match self.key {
            "node.hostname" | "node.labels.bp.host" => host.name.as_str(),
            "node.role" if host.role == Role::Manager => "manager",
            "node.role" => "worker",
            key => match key.strip_prefix("node.labels.") {
                Some(label) => host.labels.get(label).map_or("", String::as_str),
                None => return true,
            },
        };
        value.eq_ignore_ascii_case(self.value) == self.equal
    }
}

/// For every service there is a node on which it may run.
pub(crate) fn placement(plan: &Plan<'_>, context: &mut Context<'_>) {
    for stack in plan.stacks {
        for service in stack.compose.iter().flat_map(|c| &c.services) {
            let written =
                service.constraints.iter().filter(|c| !c.contains('$') && !c.contains("{{"));
            place(plan, stack, &service.name, written, context);
        }
    }
}

fn place<'c>(
    plan: &Plan<'_>,
    stack: &Written<'_>,
    service: &str,
    written: impl Iterator<Item = &'c String>,
    context: &mut Context<'_>,
) {
    let at = stack.file_at;
    let service = short(service);
    let mut constraints = Vec::new();
    for text in written {
        let Some(constraint) = constraint(text) else {
            let message =
                format!("the service `{service}` has no valid constraint: `{}`", short(text));
            context.error_help(at, message, "a constraint is `key == value` or `key != value`");
            return;
        };
        if !plan.lab.nodes().any(|node| constraint.met_by(node)) {
            let text = short(text);
            let message = format!("no node meets `{text}`, which the service `{service}` asks for");
            context.error(at, message);
            return;
        }
        constraints.push(constraint);
    }
    let active = |node: &&Host| node.availability == Availability::Active;
    let meets = |node: &Host| constraints.iter().all(|c| c.met_by(node));
    if !constraints.is_empty() && !plan.lab.nodes().filter(active).any(meets) {
        let message = format!("no active node meets all constraints of the service `{service}`");
        context.error(at, message);
    }
}

/// A port that a stack publishes, who does it, and where that is written.
struct Published {
    user: String,
    port: Port,
    at: Span,
    /// Whether the stack is bp's own.
    own: bool,
}

/// The ports of all stacks, those that bp ships first: what they publish is not for others to say.
fn published(plan: &Plan<'_>) -> Vec<Published> {
    let mut all = Vec::new();
    for stack in plan.stacks {
        let at = stack.file.and_then(|f| f.ssh_port.given()).map_or(stack.at, |p| p.at);
        for (number, host_mode) in stack.stack.kind.ports() {
            let port = Port { number, protocol: "tcp".to_owned(), host_mode };
            all.push(Published { user: stack.stack.name.clone(), port, at, own: true });
        }
    }
    for stack in plan.stacks {
        for service in stack.compose.iter().flat_map(|c| &c.services) {
            let user = format!("{}/{}", short(&stack.stack.name), short(&service.name));
            let at = stack.file_at;
            let of =
                |port: &Port| Published { user: user.clone(), port: port.clone(), at, own: false };
            all.extend(service.ports.iter().map(of));
        }
    }
    all
}

/// No port is published twice, or taken by the swarm, by GlusterFS or by ssh.
pub(crate) fn ports(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut first: HashMap<(u16, String), (String, bool, bool)> = HashMap::new();
    for Published { user, port, at, own } in published(plan) {
        let shown = format!("{}/{}", port.number, port.protocol);
        if let Some(owner) = owner(&port, plan) {
            context.error(at, format!("`{user}` publishes {shown}, the port of {owner}"));
        }
        let key = (port.number, port.protocol);
        let Some((other, host_mode, of_bp)) =
            first.insert(key, (user.clone(), port.host_mode, own))
        else {
            continue;
        };
        // In host mode the two may be placed on different nodes.
        if host_mode && port.host_mode {
            continue;
        }
        let message = format!("`{user}` publishes {shown}, as `{other}` does");
        let mut problem = Problem::error(at, message);
        if !own && of_bp && other == "traefik" {
            let help =
                "Traefik leads to a service with `traefik.enable=true` among its `deploy.labels`";
            problem = problem.help(help);
        }
        context.problems.push(problem);
    }
}

/// Who publishes each port.
pub(crate) fn publishers(plan: &Plan<'_>) -> HashMap<(u16, String), String> {
    let mut all = HashMap::new();
    for Published { user, port, .. } in published(plan) {
        all.entry((port.number, port.protocol)).or_insert(user);
    }
    all
}

/// Who has a port of the nodes already.
fn owner(port: &Port, plan: &Plan<'_>) -> Option<&'static str> {
    match (port.number, port.protocol.as_str()) {
        (2377 | 7946, "tcp") | (7946 | 4789, "udp") => Some("the swarm"),
        (24007, "tcp") if !plan.lab.volumes.is_empty() => Some("GlusterFS"),
        (number, "tcp") if plan.lab.nodes().any(|n| n.ssh.port == number) => Some("ssh"),
        _ => None,
    }
}
