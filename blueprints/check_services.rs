//! Rules about the stacks that bp ships, and about secrets.

use crate::check::Plan;
use crate::check_records::zone;
use crate::context::{Context, lies_in};
use crate::diagnostic::{Problem, SECRET_ITSELF};
use crate::lab::HostProvider;
use crate::services::{GITLAB_MEMORY, StackKind};
use crate::shipped::{self, AUTHORITY};
use crate::versions::{self, numbers};
use crate::wording::{nearest, short};
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
    // From 18.4 on GitLab looks at its indexes with `amcheck`.
    let wanted: &[&str] = match gitlab.stack.version.as_str() {
        "17" => &["pg_trgm", "btree_gist"],
        _ => &["pg_trgm", "btree_gist", "amcheck"],
    };
    let all = wanted.join(", ");
    let help = format!("`- stolon: {{ databases: {{ gitlab: {{ extensions: [{all}] }} }} }}`");
    match databases.get("gitlab") {
        None => context.error_help(
            gitlab.at,
            "`gitlab` needs the database `gitlab`, which `stolon` does not declare",
            help,
        ),
        Some(database) => {
            for extension in wanted {
                if !database.extensions.iter().any(|e| e == extension) {
                    let message =
                        format!("`gitlab` needs the extension `{extension}` in its database");
                    context.error_help(gitlab.at, message, help.clone());
                }
            }
        }
    }
}

/// The nodes know the name of the registry: their engines ask it for images.
pub(crate) fn registry_name(plan: &Plan<'_>, context: &mut Context<'_>) {
    for stack in plan.stacks {
        let StackKind::Registry { host } = &stack.stack.kind else { continue };
        let name = host.to_ascii_lowercase();
        let answered = |record: &str| match record.strip_prefix("*.") {
            Some(zone) => name.split_once('.').is_some_and(|(_, parent)| parent == zone),
            None => record == name,
        };
        let host_of_the_lab = plan.lab.hosts.iter().any(|h| plan.lab.fqdn(h) == name);
        if host_of_the_lab || plan.lab.dns.records.iter().any(|r| answered(&r.name)) {
            continue;
        }
        let managers: Vec<&str> = plan.lab.managers().map(|m| m.name.as_str()).collect();
        let message =
            format!("nodes ask `{host}` for images, and no record of the lab has this name");
        let help =
            format!("`dns: {{ records: {{ {name}: {{ a: [{}] }} }} }}`", managers.join(", "));
        context.problems.push(Problem::warning(stack.at, message).help(help));
    }
}

/// GitLab fits on a node, and its Redis speaks what it does.
pub(crate) fn gitlab(plan: &Plan<'_>, context: &mut Context<'_>) {
    for stack in plan.stacks {
        if !matches!(stack.stack.kind, StackKind::Gitlab(_)) {
            continue;
        }
        let homes = plan.lab.homes();
        let known = homes.iter().all(|h| h.provider == HostProvider::Libvirt);
        let most = homes.iter().map(|h| h.machine.memory).max().unwrap_or(u64::MAX);
        if known && most < GITLAB_MEMORY {
            let which = match homes.as_slice() {
                [one] => format!("`{}`, which it stays on,", one.name),
                _ => "the largest node".to_owned(),
            };
            let message = format!(
                "GitLab needs 4 GiB of memory, and {which} has {:.1} GiB",
                most as f64 / f64::from(1 << 30)
            );
            let help = "`machine: { memory: 8GiB }` of a node, or of all";
            context.problems.push(Problem::warning(stack.at, message).help(help));
        }
        let redis = plan.lab.swarm.networks.iter().find(|n| n.name == "redis");
        if !plan.lab.redis_tls() && !redis.is_some_and(|n| n.encrypted) {
            let message = "GitLab 17 speaks no TLS to Sentinels: Redis goes without it";
            let help = "`swarm: { networks: [{ name: redis, encrypted: true }] }` encrypts what the \
                        nodes say to each other";
            context.problems.push(Problem::warning(stack.at, message).help(help));
        }
    }
}

/// No two stacks are reached by one name.
pub(crate) fn hosts(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut first: HashMap<&str, &str> = HashMap::new();
    for stack in plan.stacks {
        let Some(host) = stack.stack.kind.host() else { continue };
        if let Some(other) = first.insert(host, &stack.stack.name) {
            let at = stack.file.and_then(|f| f.host.given()).map_or(stack.at, |h| h.at);
            let message =
                format!("`{}` and `{other}` have the same name `{host}`", stack.stack.name);
            context.problems.push(Problem::error(at, message));
        }
    }
}

/// The password of the account that sends mail is somebody's, so it is given.
pub(crate) fn mail(plan: &Plan<'_>, context: &mut Context<'_>) {
    for stack in plan.stacks {
        if !matches!(stack.stack.kind, StackKind::Gitlab(_)) {
            continue;
        }
        let smtp = stack.file.and_then(|f| f.smtp.get());
        let Some(name) = smtp.and_then(|smtp| smtp.password.given()) else { continue };
        let given: Vec<&str> = plan.file.secrets.entries().map(|(n, _)| n.value.as_str()).collect();
        if !shipped::is_secret(&name.value) || given.contains(&name.value.as_str()) {
            continue;
        }
        context.problems.push(match nearest(&name.value, &given) {
            Some(meant) => {
                let shown = short(&name.value);
                let message =
                    format!("the mail server's password `{shown}` is not among the `secrets`");
                Problem::error(name.at, message).label(format!("did you mean `{meant}`?"))
            }
            // It may be the password.
            None => Problem::error(
                name.at,
                format!("{SECRET_ITSELF}: this is the name of none of the `secrets`"),
            )
            .help("`smtp: { password: smtp_password }`, and `secrets: { smtp_password: { env: SMTP_PASSWORD } }`"),
        });
    }
}

/// Somebody answers for the names under which stacks are reached, where they lie in the lab's domain.
pub(crate) fn answered(plan: &Plan<'_>, context: &mut Context<'_>) {
    let zone = zone(plan);
    let is_there = |name: &str| {
        let record = plan.lab.dns.records.iter().any(|r| match r.name.strip_prefix('*') {
            Some(rest) => name.ends_with(rest),
            None => r.name == name,
        });
        let host = name.strip_suffix(&plan.lab.domain).and_then(|n| n.strip_suffix('.'));
        record || plan.lab.hosts.iter().any(|h| host == Some(h.name.as_str()))
    };
    let traefik = plan.stacks.iter().find_map(|s| match &s.stack.kind {
        StackKind::Traefik(traefik) => traefik.host.as_deref(),
        _ => None,
    });
    for stack in plan.stacks {
        // What nodes ask themselves is looked at apart.
        if matches!(stack.stack.kind, StackKind::Registry { .. }) {
            continue;
        }
        let Some(host) = stack.stack.kind.host() else { continue };
        if !lies_in(host, zone) || host == zone || is_there(host) {
            continue;
        }
        let managers: Vec<&str> = plan.lab.managers().map(|h| h.name.as_str()).collect();
        let data = match traefik.filter(|t| *t != host && lies_in(t, zone)) {
            Some(traefik) => format!("cname: {}", first_labels(traefik, zone)),
            None => format!("a: [{}]", managers.join(", ")),
        };
        let name = first_labels(host, zone);
        let name = if name.contains('.') { host } else { name };
        let at = stack.file.and_then(|f| f.host.given()).map_or(stack.at, |h| h.at);
        let message = format!("nobody answers for `{host}`, the name of `{}`", stack.stack.name);
        let help = format!("`dns: {{ records: {{ {name}: {{ {data} }} }} }}`");
        context.problems.push(Problem::warning(at, message).help(help));
    }
}

/// A name without the zone that it lies in.
fn first_labels<'n>(name: &'n str, zone: &str) -> &'n str {
    name.strip_suffix(zone).and_then(|n| n.strip_suffix('.')).unwrap_or(name)
}
