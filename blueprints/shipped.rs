//! The stacks that bp ships: their settings, their members, what they need.

use crate::context::{Context, is_address, is_domain};
use crate::diagnostic::Problem;
use crate::field::{Field, Spanned};
use crate::file_stacks::{self as file, StackBody};
use crate::image::is_image;
use crate::lab::{Availability, Host, Role};
use crate::services::{
    Backup, Database, Gitlab, Members, OnFailure, Smtp, Stack, StackKind, Stolon, Tls, Traefik,
};
use crate::versions;
use crate::wording::{list, one_of, short};
use std::path::PathBuf;
use std::time::Duration;

/// Their names.
pub(crate) const NAMES: &[&str] =
    &["etcd", "stolon", "redis", "traefik", "registry", "gitlab", "portainer"];

/// The name of the stack that bp adds by itself: it holds the key of the lab's authority.
pub(crate) const AUTHORITY: &str = "bp";

/// What a stack of this kind needs before it.
pub(crate) fn needs(kind: &StackKind) -> &'static [&'static str] {
    match kind {
        StackKind::Stolon(_) => &["etcd"],
        StackKind::Registry { .. } | StackKind::Portainer { .. } => &["traefik"],
        StackKind::Gitlab(_) => &["stolon", "redis", "traefik"],
        _ => &[],
    }
}

/// How long a stack may take to converge where nothing is said: GitLab's first start makes its
/// database, and Traefik's instances change one after another, each with its requests in hand.
pub(crate) fn within(kind: &StackKind) -> Duration {
    match kind {
        StackKind::Gitlab(_) => Duration::from_secs(1200),
        StackKind::Traefik(_) => Duration::from_secs(600),
        _ => Duration::from_secs(300),
    }
}

/// The settings of one stack that bp ships; `None` where it ships none of this name.
pub(crate) fn kind(
    name: &Spanned<String>,
    file: &StackBody,
    domain: &str,
    hosts: &[&Host],
    context: &mut Context<'_>,
) -> Option<StackKind> {
    let own = *NAMES.iter().find(|n| **n == name.value)?;
    belongs(file, Some(own), context);
    let host = || file.host.get().cloned().unwrap_or_else(|| format!("{own}.{domain}"));
    Some(match own {
        "etcd" => {
            let managers: Vec<&Host> =
                hosts.iter().copied().filter(|h| h.role == Role::Manager).collect();
            StackKind::Etcd(members(name, file, &managers, "managers", context))
        }
        "stolon" => StackKind::Stolon(Stolon {
            members: members(name, file, &nodes(hosts), "nodes", context),
            databases: databases(file, context),
            synchronous: file.synchronous.get().copied().unwrap_or(false),
            backup: backup(file, context),
        }),
        "redis" => StackKind::Redis(members(name, file, &nodes(hosts), "nodes", context)),
        "traefik" => StackKind::Traefik(Traefik { host: Some(host()), tls: tls(file, context) }),
        "registry" => StackKind::Registry { host: host() },
        "portainer" => StackKind::Portainer { host: host() },
        _ => StackKind::Gitlab(Gitlab {
            host: host(),
            ssh_port: file.ssh_port.get().copied().unwrap_or(22222),
            smtp: smtp(file, context),
            runner: runner(file, context),
        }),
    })
}

/// The nodes of the swarm, managers first: they are there from the beginning.
fn nodes<'h>(hosts: &[&'h Host]) -> Vec<&'h Host> {
    let of = |role| hosts.iter().copied().filter(move |h| h.role == role);
    of(Role::Manager).chain(of(Role::Worker)).collect()
}

/// The hosts that hold a member each, whatever their availability: a member stays with its data,
/// and a paused host keeps it.
fn members(
    name: &Spanned<String>,
    file: &StackBody,
    hosts: &[&Host],
    what: &str,
    context: &mut Context<'_>,
) -> Members {
    let most = hosts.len().min(if name.value == "etcd" { 5 } else { 3 });
    let mut members = most - usize::from(most > 0 && most.is_multiple_of(2));
    if let Some(written) = file.members.given() {
        members = written.value as usize;
        if ![1, 3, 5].contains(&members) {
            let help = "an even member adds a vote to lose and none to win";
            let message = format!("expected 1, 3 or 5 members, found `{members}`");
            context.error_help(written.at, message, help);
        } else if members > hosts.len() {
            let message = format!("{members} members, and {} {what}", hosts.len());
            let help = match what {
                "managers" => "each member runs on a manager of its own",
                _ => "each member runs on a node of its own",
            };
            context.error_help(written.at, message, help);
        }
    }
    let drained = |h: &&&Host| h.availability == Availability::Drain;
    if let Some(host) = hosts.iter().take(members).find(drained) {
        let stack = &name.value;
        let message = format!("{stack} would have a member on `{}`, which is drained", host.name);
        let help = "a member stays with its data: keep the host active or paused";
        context.error_help(name.at, message, help);
    }
    let paused = |h: &&&Host| h.availability == Availability::Pause;
    for host in hosts.iter().take(members).filter(paused) {
        let stack = &name.value;
        let message = format!("{stack} has a member on `{}`, which is paused", host.name);
        let help = "it goes on there, and is never started there anew: not by a first `up` either";
        context.problems.push(Problem::warning(name.at, message).help(help));
    }
    hosts.iter().take(members).map(|h| h.name.clone()).collect()
}

fn databases(file: &StackBody, context: &mut Context<'_>) -> indexmap::IndexMap<String, Database> {
    let mut databases = indexmap::IndexMap::new();
    let what = "a name of letters a to z, digits and `_`, with a letter first";
    for (name, database) in file.databases.entries() {
        context.shape_of(name, is_sql_name, what);
        context.shape(&database.value.owner, is_sql_name, what);
        for extension in database.value.extensions.items() {
            let right = |t: &str| is_sql_name(&t.replace('-', "_"));
            context.shape_of(extension, right, "the name of an extension, such as `pg_trgm`");
        }
        let owner = database.value.owner.get().unwrap_or(&name.value).clone();
        let at = database.value.owner.given().map_or(name.at, |o| o.at);
        if is_taken(&name.value, &["bp", "postgres", "template0", "template1"], &["bp_"]) {
            let message = format!("the database `{}` is PostgreSQL's or bp's own", name.value);
            context.error(name.at, message);
        } else if is_taken(&owner, OWN_ROLES, &["pg_", "stolon_", "repl_"]) {
            context.error(at, format!("the role `{owner}` is PostgreSQL's or bp's own"));
        }
        let extensions = database.value.extensions.items().map(|e| e.value.clone()).collect();
        databases.insert(name.value.clone(), Database { owner, extensions });
    }
    databases
}

/// Roles, and roles whose secret `pgsql_<role>` is another's.
const OWN_ROLES: &[&str] = &["bp", "postgres", "public", "superuser", "replication"];

fn is_taken(name: &str, names: &[&str], beginnings: &[&str]) -> bool {
    names.contains(&name) || beginnings.iter().any(|b| name.starts_with(b))
}

/// What needs no quotes in SQL, and is part of a secret's name.
fn is_sql_name(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    text.len() <= 48
        && text.bytes().all(inner)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
}

fn backup(file: &StackBody, context: &mut Context<'_>) -> Backup {
    let empty = file::Backup::default();
    let file = file.backup.get().unwrap_or(&empty);
    if let Some(every) = file.every.given()
        && !(60..=31 * 86_400).contains(&every.value.0.as_secs())
    {
        context.error(every.at, "expected a time from `1m` to `744h`");
    }
    if let Some(keep) = file.keep.given()
        && !(1..=1000).contains(&keep.value)
    {
        context.error(keep.at, "expected a number from 1 to 1000");
    }
    Backup {
        every: file.every.get().map_or(Duration::from_secs(86_400), |t| t.0),
        keep: file.keep.get().copied().unwrap_or(7),
    }
}

fn tls(file: &StackBody, context: &mut Context<'_>) -> Tls {
    let Some(Spanned { value: file::Tls::Source(source), at }) = file.tls.given() else {
        return Tls::Internal;
    };
    match (source.acme.get(), source.files.get()) {
        (Some(acme), None) => {
            let Some(email) = acme.email.given() else {
                context.missing(*at, "email", "`acme`", "email: ops@example.com");
                return Tls::Internal;
            };
            context.shape(&acme.email, |t| t.contains('@'), "a mail address");
            context.shape(&acme.server, crate::context::is_url, "the URL of an ACME directory");
            let ca = certificates(&acme.ca, context);
            Tls::Acme { email: email.value.clone(), server: acme.server.get().cloned(), ca }
        }
        (None, Some(files)) => {
            for (field, name) in [(&files.cert, "cert"), (&files.key, "key")] {
                if field.is_absent() {
                    context.missing(*at, name, "`files`", &format!("{name}: tls/{name}.pem"));
                }
            }
            let (cert, key) =
                (certificates(&files.cert, context), private_key(&files.key, context));
            Tls::Files { cert: cert.unwrap_or_default(), key: key.unwrap_or_default() }
        }
        _ => {
            let help = "`tls: internal`, `tls: { acme: { email: ops@example.com } }` or `tls: { files: { cert: ..., key: ... } }`";
            context.error_help(*at, "expected one of `acme`, `files`", help);
            Tls::Internal
        }
    }
}

/// A file of certificates. Everybody who may ask the swarm can read it, so no key stands in it.
fn certificates(field: &Field<String>, context: &mut Context<'_>) -> Option<PathBuf> {
    let (path, text) = context.existing_text(field)?;
    if let (Some(text), Some(written)) = (text, field.given()) {
        if text.contains("PRIVATE KEY-----") {
            let help =
                "certificates are no secret to a swarm; `key` is the file of the private key";
            context.error_help(written.at, "there is a private key in it", help);
        } else if !text.contains("-----BEGIN CERTIFICATE-----") {
            context.error(written.at, "there is no certificate in it, in PEM");
        }
    }
    Some(path)
}

/// A file of a private key that needs no passphrase.
fn private_key(field: &Field<String>, context: &mut Context<'_>) -> Option<PathBuf> {
    let (path, text) = context.existing_text(field)?;
    if let (Some(text), Some(written)) = (text, field.given()) {
        if text.contains("ENCRYPTED") {
            context
                .error(written.at, "the private key in it needs a passphrase, which nobody gives");
        } else if !text.contains("PRIVATE KEY-----") {
            context.error(written.at, "there is no private key in it, in PEM");
        }
    }
    Some(path)
}

fn smtp(file: &StackBody, context: &mut Context<'_>) -> Option<Smtp> {
    let smtp = file.smtp.given()?;
    for (field, name, example) in [
        (&smtp.value.address, "address", "address: smtp.example.com"),
        (&smtp.value.user, "user", "user: noreply@example.com"),
        (&smtp.value.password, "password", "password: smtp_password"),
    ] {
        if field.is_absent() {
            context.missing(smtp.at, name, "`smtp`", example);
        }
    }
    context.shape(&smtp.value.address, is_address, "the name or the address of a mail server");
    let user = |t: &str| !t.is_empty() && t.len() <= 254 && !t.contains(char::is_control);
    context.shape(&smtp.value.user, user, "the user of a mail account");
    context.shape(&smtp.value.password, is_secret, "the name of a secret, such as `smtp_password`");
    if let Some(port) = smtp.value.port.given().filter(|port| port.value == 0) {
        context.error(port.at, "expected a port from 1 to 65535, found `0`");
    }
    let text = |field: &Field<String>| field.get().cloned().unwrap_or_default();
    Some(Smtp {
        address: text(&smtp.value.address),
        port: smtp.value.port.get().copied().unwrap_or(587),
        user: text(&smtp.value.user),
        password: text(&smtp.value.password),
    })
}

fn runner(file: &StackBody, context: &mut Context<'_>) -> Option<String> {
    match file.runner.given() {
        Some(Spanned { value: file::Runner::Is(false), .. }) => None,
        Some(Spanned { value: file::Runner::Image(runner), at }) => {
            if runner.image.is_absent() {
                context.missing(
                    *at,
                    "image",
                    "`runner`",
                    "image: gitlab/gitlab-runner:alpine-v18.11.4",
                );
            }
            context.shape(&runner.image, is_pinned, IMAGE);
            Some(runner.image.get().cloned().unwrap_or_default())
        }
        _ => {
            let version = file.version.get().map_or("", String::as_str);
            Some(versions::runner(version).to_owned())
        }
    }
}

/// The image and the version of a stack that bp ships.
pub(crate) fn version(
    name: &Spanned<String>,
    file: &StackBody,
    context: &mut Context<'_>,
) -> (String, String) {
    let known: Vec<_> = versions::of(&name.value).collect();
    let found = match file.version.given() {
        None => known.first(),
        Some(written) => {
            let found = known.iter().find(|v| v.version == written.value);
            if found.is_none() {
                let all: Vec<&str> = known.iter().map(|v| v.version).collect();
                let message = format!("no version `{}` of {}", short(&written.value), name.value);
                let help = format!("bp knows {}", list(&all));
                context.error_help(written.at, message, help);
            }
            found
        }
    };
    let Some(found) = found else { return Default::default() };
    let own = file.image.get().cloned();
    if own.is_none() && found.image.is_empty() {
        let at = file.version.given().map_or(name.at, |v| v.at);
        let message = format!("nobody publishes an image of {} {}", name.value, found.version);
        let own = format!("image: registry.example/{}:pg{}", name.value, found.version);
        context.error_help(at, message, format!("name one of your own: `{own}`"));
    }
    if let Some(image) = file.image.given().filter(|i| is_image(&i.value)) {
        let (shown, software) = (short(&image.value), &name.value);
        let is = tagged(software, &image.value);
        let known_as = versions::numbers(found.version);
        if is.is_empty() && file.version.given().is_none() {
            let message = format!(
                "the tag of `{shown}` tells no version: it is taken for one of {software} {}",
                found.version
            );
            context.problems.push(Problem::warning(image.at, message));
        } else if is.first().is_some_and(|is| *is != known_as[0]) {
            let fits = known.iter().find(|v| versions::numbers(v.version)[0] == is[0]);
            let help = match fits {
                Some(fits) => format!("`version: \"{}\"` goes with it", fits.version),
                None => {
                    format!(
                        "bp knows {}",
                        list(&known.iter().map(|v| v.version).collect::<Vec<_>>())
                    )
                }
            };
            let message = format!("`{shown}` is not of {software} {}", found.version);
            context.error_help(image.at, message, help);
        } else if is.iter().zip(&known_as).any(|(is, known)| is != known) {
            let message =
                format!("`{shown}` is not of {software} {}, which bp is made for", found.version);
            context.problems.push(Problem::warning(image.at, message));
        }
    }
    (own.unwrap_or_else(|| found.image.to_owned()), found.version.to_owned())
}

/// The numbers of the version that an image's tag tells; none: it tells none. Stolon's tells
/// PostgreSQL's after `pg`.
fn tagged(stack: &str, image: &str) -> Vec<u32> {
    let image = image.split('@').next().unwrap_or(image);
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let number = match stack {
        "stolon" => tag.and_then(|tag| tag.split_once("pg")).map(|(_, number)| number),
        _ => tag.map(|tag| tag.trim_start_matches('v')),
    };
    let number = number.unwrap_or_default();
    let end = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
    let parts = number[..end].split('.');
    parts.map_while(|part| part.parse().ok()).collect()
}

/// Which settings belong to which stacks; `file` and what every stack has are not among them.
pub(crate) const SETTINGS: &[(&str, &[&str])] = &[
    ("version", NAMES),
    ("image", NAMES),
    ("members", &["etcd", "stolon", "redis"]),
    ("databases", &["stolon"]),
    ("synchronous", &["stolon"]),
    ("backup", &["stolon"]),
    ("host", &["traefik", "registry", "gitlab", "portainer"]),
    ("tls", &["traefik"]),
    ("ssh_port", &["gitlab"]),
    ("smtp", &["gitlab"]),
    ("runner", &["gitlab"]),
];

/// Reports settings that a stack does not have; `None`: the user's own.
pub(crate) fn belongs(file: &StackBody, stack: Option<&str>, context: &mut Context<'_>) {
    fn at<T>(field: &Field<T>) -> Option<crate::tree::Span> {
        field.given().map(|f| f.at)
    }
    for (name, owners) in SETTINGS {
        let given = match *name {
            "version" => at(&file.version),
            "image" => at(&file.image),
            "members" => at(&file.members),
            "databases" => at(&file.databases),
            "synchronous" => at(&file.synchronous),
            "backup" => at(&file.backup),
            "host" => at(&file.host),
            "tls" => at(&file.tls),
            "ssh_port" => at(&file.ssh_port),
            "smtp" => at(&file.smtp),
            _ => at(&file.runner),
        };
        if let Some(at) = given
            && !stack.is_some_and(|s| owners.contains(&s))
        {
            let owners: Vec<String> = owners.iter().map(|o| format!("`{o}`")).collect();
            let message = format!("`{name}` belongs to the {} that bp ships", one_of(&owners));
            let mut problem = Problem::error(at, message);
            if stack.is_none() {
                problem = problem.help("a stack of one's own says it in its compose file");
            }
            context.problems.push(problem);
        }
    }
    context.shape(&file.host, is_domain, "a DNS name such as `gitlab.lab.test`");
    context.shape(&file.image, is_pinned, IMAGE);
    if file.ssh_port.get() == Some(&0) {
        let at = at(&file.ssh_port).unwrap_or_default();
        context.error(at, "expected a port from 1 to 65535, found `0`");
    }
}

/// What is said of a text that is not [`is_pinned`].
const IMAGE: &str = "an image with its tag, such as `redis:8.0.2`";

fn is_pinned(text: &str) -> bool {
    let tagged = text.contains('@') || text.rsplit('/').next().is_some_and(|t| t.contains(':'));
    tagged && is_image(text)
}

/// Whether a secret can be called this.
pub(crate) fn is_secret(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
    text.len() <= 40
        && text.bytes().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// The stacks with bp's own before them, where one of them needs the lab's authority.
pub(crate) fn with_authority(mut stacks: Vec<Stack>) -> Vec<Stack> {
    if stacks.iter().any(|s| s.kind.is_certified()) {
        let own = Stack {
            name: AUTHORITY.to_owned(),
            kind: StackKind::Authority,
            image: String::new(),
            version: String::new(),
            needs: Vec::new(),
            health: Vec::new(),
            within: Duration::from_secs(300),
            on_failure: OnFailure::Keep,
        };
        stacks.insert(0, own);
    }
    stacks
}
