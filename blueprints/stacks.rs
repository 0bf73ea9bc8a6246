//! The stacks, their compose files and their health checks.

use crate::compose::{self, Compose};
use crate::context::{Context, is_host_port, is_url};
use crate::diagnostic::Problem;
use crate::field::{Field, Spanned};
use crate::file;
use crate::file_stacks::{self, StackBody};
use crate::lab::Host;
use crate::services::{Health, Probe, Stack, StackKind};
use crate::shipped;
use crate::tree::Span;
use crate::units::Time;
use crate::wording::{nearest, short};
use std::time::Duration;

/// More stacks than any swarm has.
const MAX_STACKS: usize = 1000;

/// A stack and what the file says of it.
pub(crate) struct Written<'a> {
    pub stack: Stack,
    /// Where its name stands.
    pub at: Span,
    /// Where its compose file is named.
    pub file_at: Span,
    pub file: Option<&'a StackBody>,
    pub compose: Option<Compose>,
}

/// Every stack of the blueprint, in the order of the file.
pub(crate) fn resolve<'a>(
    blueprint: &'a file::Blueprint,
    domain: &str,
    hosts: &[&Host],
    context: &mut Context<'_>,
) -> Vec<Written<'a>> {
    let mut stacks = Vec::new();
    for (index, item) in blueprint.stacks.items().enumerate() {
        if index == MAX_STACKS {
            context.error(item.at, format!("more than {MAX_STACKS} stacks"));
            break;
        }
        match &item.value {
            file_stacks::Stack::Name(name) => {
                let name = Spanned { value: name.clone(), at: item.at };
                stacks.extend(one(&name, None, domain, hosts, context));
            }
            file_stacks::Stack::Settings(map) if map.0.len() == 1 => {
                let (name, body) = &map.0[0];
                if let Some(body) = body.get() {
                    stacks.extend(one(name, Some(body), domain, hosts, context));
                }
            }
            file_stacks::Stack::Settings(map) => {
                let message = format!("expected one stack, found {} keys", map.0.len());
                let help = "each stack is an item of its own: `- web: { file: stacks/web.yml }`";
                let at = map.0.get(1).map_or(item.at, |(name, _)| name.at);
                context.error_help(at, message, help);
            }
        }
    }
    stacks
}

fn one<'a>(
    name: &Spanned<String>,
    body: Option<&'a StackBody>,
    domain: &str,
    hosts: &[&Host],
    context: &mut Context<'_>,
) -> Option<Written<'a>> {
    let empty = StackBody::default();
    let file = body.unwrap_or(&empty);
    let shape = Field::Given(name.clone());
    context.shape(&shape, is_stack, "a stack's name (letters a to z, digits, `_`, `-`)");
    let mut compose = None;
    let (mut image, mut version) = (String::new(), String::new());
    let kind = match &file.file {
        Field::Given(path) => {
            shipped::belongs(file, None, context);
            compose = read_compose(path, context);
            StackKind::File(context.path(&path.value))
        }
        Field::Wrong => return None,
        Field::Absent => match shipped::kind(name, file, domain, hosts, context) {
            Some(kind) => {
                (image, version) = shipped::version(name, file, context);
                kind
            }
            None => {
                unknown(name, body.is_some(), context);
                return None;
            }
        },
    };
    let health = file.health.items().filter_map(|h| health(h, context)).collect();
    let within = file.within.get().map_or(shipped::within(&kind), |time| time.0);
    check_within(&file.within, context);
    Some(Written {
        stack: Stack {
            name: name.value.clone(),
            needs: shipped::needs(&kind)
                .iter()
                .map(|n| (*n).to_owned())
                .chain(file.needs.items().map(|n| n.value.clone()))
                .collect(),
            kind,
            image,
            version,
            health,
            within,
            on_failure: file.on_failure.get().copied().unwrap_or_default(),
        },
        at: name.at,
        file_at: file.file.given().map_or(name.at, |f| f.at),
        file: body,
        compose,
    })
}

/// Docker's rule for the names of stacks, in lower case as it stands in other names.
fn is_stack(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
    text.len() <= 63
        && text.bytes().all(inner)
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
}

fn unknown(name: &Spanned<String>, settings: bool, context: &mut Context<'_>) {
    let shown = short(&name.value);
    let mut problem = if settings {
        Problem::error(name.at, format!("the stack `{shown}` has no `file`"))
    } else {
        Problem::error(name.at, format!("unknown stack `{shown}`"))
    };
    match nearest(&name.value, shipped::NAMES) {
        Some(known) => problem.label = Some(format!("did you mean `{known}`?")),
        None => {
            let help = format!(
                "bp ships {}; a stack of one's own is `name: {{ file: stacks/name.yml }}`",
                crate::wording::list(shipped::NAMES)
            );
            problem.help = Some(help);
        }
    }
    context.problems.push(problem);
}

fn read_compose(path: &Spanned<String>, context: &mut Context<'_>) -> Option<Compose> {
    let full = context.path(&path.value);
    let shown = full.display();
    match context.outside.read(&full) {
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            context.error(path.at, format!("no such file: `{shown}`"));
            None
        }
        Err(error) => {
            context.error(path.at, format!("can't read `{shown}`: {error}"));
            None
        }
        Ok(bytes) => match compose::read(&bytes) {
            Ok(compose) => Some(compose),
            Err(message) => {
                context.error(path.at, format!("`{shown}` is no compose file: {message}"));
                None
            }
        },
    }
}

fn check_within(within: &Field<Time>, context: &mut Context<'_>) {
    if let Some(time) = within.given()
        && !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&time.value.0)
    {
        context.error(time.at, "expected a bound from `1s` to `24h`");
    }
}

fn health(written: &Spanned<file_stacks::Health>, context: &mut Context<'_>) -> Option<Health> {
    let file = &written.value;
    check_within(&file.within, context);
    let given = [
        ("http", !file.http.is_absent()),
        ("tcp", !file.tcp.is_absent()),
        ("check", !file.check.is_absent()),
        ("replicas", !file.replicas.is_absent()),
    ];
    let given: Vec<&str> = given.into_iter().filter(|(_, g)| *g).map(|(name, _)| name).collect();
    let [kind] = given.as_slice() else {
        let message = match given.len() {
            0 => "the health check asks nothing".to_owned(),
            _ => format!(
                "the health check asks more than one thing: {}",
                crate::wording::list(&given)
            ),
        };
        let help = "each item has one of `http`, `tcp`, `check`, `replicas`";
        context.error_help(written.at, message, help);
        return None;
    };
    belongs(&file.network, "network", kind, &["http", "tcp"], context);
    belongs(&file.expect, "expect", kind, &["http"], context);
    belongs(&file.service, "service", kind, &["replicas"], context);
    if file.service.is_absent() && *kind == "replicas" {
        context.missing(written.at, "service", "a check of `replicas`", "service: web");
    }
    context.shape(&file.http, is_url, "an http or https URL with a host");
    context.shape(&file.tcp, is_host_port, "`host:port`");
    context.shape(&file.check, |text| !text.trim().is_empty(), "a shell command");
    if let Some(expect) = file.expect.given()
        && !(100..=599).contains(&expect.value)
    {
        context.error(
            expect.at,
            format!("expected a status from 100 to 599, found `{}`", expect.value),
        );
    }
    if let Some(none) = file.replicas.given().filter(|count| count.value == 0) {
        context
            .error(none.at, "a service of which nothing runs is not healthy: expected 1 or more");
    }
    let network = file.network.get().cloned();
    let probe = match *kind {
        "http" => {
            let expect = file.expect.get().copied().unwrap_or(200);
            Probe::Http { url: file.http.get()?.clone(), network, expect }
        }
        "tcp" => Probe::Tcp { address: file.tcp.get()?.clone(), network },
        "check" => Probe::Check(file.check.get()?.clone()),
        _ => Probe::Replicas { service: file.service.get()?.clone(), count: *file.replicas.get()? },
    };
    let within = file.within.get().map_or(Duration::from_secs(120), |time| time.0);
    Some(Health { probe, within })
}

/// Reports a field that a health check of this kind does not have.
fn belongs<T>(field: &Field<T>, name: &str, kind: &str, to: &[&str], context: &mut Context<'_>) {
    if let Some(field) = field.given()
        && !to.contains(&kind)
    {
        let words: Vec<String> = to.iter().map(|w| format!("`{w}`")).collect();
        let owner = crate::wording::one_of(&words);
        context.error(field.at, format!("`{name}` belongs to {owner}, not to `{kind}`"));
    }
}
