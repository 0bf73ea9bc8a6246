//! Rules about the stacks that bp ships, and about secrets.

use crate::check::Plan;
use crate::context::Context;
use crate::diagnostic::Problem;
use crate::services::StackKind;
use crate::shipped::{self, AUTHORITY};
use crate::versions::{self, numbers};
use crate::wording::short;
use std::collections::HashMap;

/// No stack has the name of bp's own.
pub(crate) fn reserved(plan: &Plan<'_>, context: &mut Context<'_>) {
    for stack in plan.stacks.iter().filter(|s| s.stack.name == AUTHORITY) {
        let message = format!("`{AUTHORITY}` is the name of the stack that bp adds by itself");
        context.error(stack.at, message);
    }
}

/// A secret's name can be part of a swarm secret's.
pub(crate) fn secrets(plan: &Plan<'_>, context: &mut Context<'_>) {
    for (name, _) in plan.file.secrets.entries() {
        let expected = "a name of letters, digits, `_`, `.` and `-`, at most 40 characters";
        context.shape_of(name, shipped::is_secret, expected);
        if name.value == "ca_key" || name.value.starts_with("tls_") {
            let message = format!("the secret `{}` is made by bp itself", short(&name.value));
            context.error(name.at, message);
        }
    }
}

/// What a stack of bp's needs is there, before it.
pub(crate) fn needs(plan: &Plan<'_>, context: &mut Context<'_>) {
    let names: Vec<&str> = plan.stacks.iter().map(|s| s.stack.name.as_str()).collect();
    for (index, stack) in plan.stacks.iter().enumerate() {
        for need in shipped::needs(&stack.stack.kind) {
            let name = &stack.stack.name;
            match names.iter().position(|n| n == need) {
                Some(at) if at < index => {}
                Some(_) => context.error_help(
                    stack.at,
                    format!("`{name}` needs `{need}`, which comes after it"),
                    "stacks are deployed in the order of the list",
                ),
                None => context.error_help(
                    stack.at,
                    format!("`{name}` needs `{need}`, which is not among the stacks"),
                    format!("put `- {need}` before it"),
                ),
            }
        }
    }
}

/// Versions work together.
pub(crate) fn versions(plan: &Plan<'_>, context: &mut Context<'_>) {
    for stack in plan.stacks {
        let known = versions::of(&stack.stack.name).find(|v| v.version == stack.stack.version);
        let Some((other, least)) = known.and_then(|v| v.needs) else { continue };
        let Some(has) = plan.stacks.iter().find(|s| s.stack.name == other) else { continue };
        if matches!(has.stack.kind, StackKind::File(_)) || has.stack.version.is_empty() {
            continue;
        }
        if numbers(&has.stack.version) < numbers(least) {
            let software = if other == "stolon" { "PostgreSQL" } else { other };
            let message = format!(
                "{} {} needs {software} {least} or newer, and `{other}` has {}",
                stack.stack.name, stack.stack.version, has.stack.version
            );
            let at = stack.file.and_then(|f| f.version.given()).map_or(stack.at, |v| v.at);
            let help = format!("`- {other}: {{ version: \"{least}\", image: ... }}`");
            context.error_help(at, message, help);
        }
    }
}

/// GitLab's database is declared.
pub(crate) fn owners(plan: &Plan<'_>, context: &mut Context<'_>) {
    let Some(gitlab) = plan.stacks.iter().find(|s| matches!(s.stack.kind, StackKind::Gitlab(_)))
    else {
        return;
    };
    let databases = plan.stacks.iter().find_map(|s| match &s.stack.kind {
        StackKind::Stolon(stolon) => Some(&stolon.databases),
        _ => None,
    });
    let Some(databases) = databases else { return };
    let help = "`- stolon: { databases: { gitlab: { extensions: [pg_trgm, btree_gist] } } }`";
    match databases.get("gitlab") {
        None => context.error_help(
            gitlab.at,
            "`gitlab` needs the database `gitlab`, which `stolon` does not declare",
            help,
        ),
        Some(database) => {
            for extension in ["pg_trgm", "btree_gist"] {
                if !database.extensions.iter().any(|e| e == extension) {
                    let message =
                        format!("`gitlab` needs the extension `{extension}` in its database");
                    context.error_help(gitlab.at, message, help);
                }
            }
        }
    }
}

/// No two stacks are reached by one name.
pub(crate) fn hosts(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut first: HashMap<&str, &str> = HashMap::new();
    for stack in plan.stacks {
        let host = match &stack.stack.kind {
            StackKind::Traefik(traefik) => traefik.host.as_deref(),
            StackKind::Registry { host } | StackKind::Portainer { host } => Some(host.as_str()),
            StackKind::Gitlab(gitlab) => Some(gitlab.host.as_str()),
            _ => None,
        };
        let Some(host) = host else { continue };
        if let Some(other) = first.insert(host, &stack.stack.name) {
            let at = stack.file.and_then(|f| f.host.given()).map_or(stack.at, |h| h.at);
            let message =
                format!("`{}` and `{other}` have the same name `{host}`", stack.stack.name);
            context.problems.push(Problem::error(at, message));
        }
    }
}
