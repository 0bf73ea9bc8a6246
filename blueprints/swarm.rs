//! Docker Engine, the swarm, and the images.

use crate::context::{Context, is_url};
use crate::diagnostic::Problem;
use crate::field::{Field, Spanned};
use crate::file;
use crate::lab::{Engine, EngineSource, Images, Network, Swarm};
use crate::tree::Span;
use indexmap::IndexSet;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Addresses of overlay networks where the blueprint names none.
const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 200, 0, 0), 16);

/// More networks or pools than any swarm has.
pub(crate) const MAX_NETWORKS: usize = 1000;

/// The blueprint's `engine`, or the defaults.
pub(crate) fn engine(blueprint: &file::Blueprint, context: &mut Context<'_>) -> Engine {
    let empty = file::Engine::default();
    let file = blueprint.engine.get().unwrap_or(&empty);
    context.shape(&file.version, is_version, "a version prefix such as `28`");
    for mirror in file.registry_mirrors.items().filter(|m| !is_url(&m.value)) {
        let found = crate::wording::short(&mirror.value);
        context.error(mirror.at, format!("expected an http or https URL, found `{found}`"));
    }
    let empty = file::Log::default();
    let log = file.log.get().unwrap_or(&empty);
    if let Some(files) = log.max_file.given()
        && !(1..=1000).contains(&files.value)
    {
        context.error(files.at, format!("expected 1 to 1000 files, found `{}`", files.value));
    }
    Engine {
        source: source(&file.source, context),
        version: file.version.get().cloned(),
        log_max_size: log.max_size.get().map_or_else(|| "10m".to_owned(), |size| size.0.clone()),
        log_max_file: log.max_file.get().copied().unwrap_or(3),
        registry_mirrors: file.registry_mirrors.items().map(|m| m.value.clone()).collect(),
        pools: file
            .pools
            .items()
            .take(MAX_NETWORKS)
            .filter_map(|pool| pool_of(pool, context))
            .collect(),
    }
}

/// What a package's version may begin with.
fn is_version(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b".:~+-".contains(&c);
    text.bytes().all(inner) && text.starts_with(|c: char| c.is_ascii_digit())
}

fn source(source: &Field<file::EngineSource>, context: &mut Context<'_>) -> EngineSource {
    let docker = EngineSource::DockerCe { repository: None, key: None };
    match source.given() {
        None => docker,
        Some(Spanned { value: file::EngineSource::Known(known), .. }) => match known {
            file::EngineRepository::DockerCe => docker,
            file::EngineRepository::Distro => EngineSource::Distro,
        },
        Some(Spanned { value: file::EngineSource::Own(own), at }) => {
            for (field, name) in [(&own.repository, "repository"), (&own.key, "key")] {
                if field.is_absent() {
                    let example = format!("{name}: https://packages.example.net/...");
                    context.missing(*at, name, "an engine `source` of one's own", &example);
                }
                context.shape(field, is_url, "an http or https URL");
            }
            EngineSource::DockerCe {
                repository: own.repository.get().cloned(),
                key: own.key.get().cloned(),
            }
        }
    }
}

fn pool_of(pool: &Spanned<file::Pool>, context: &mut Context<'_>) -> Option<(Ipv4Net, u8)> {
    for (absent, name, example) in [
        (pool.value.base.is_absent(), "base", "base: 10.210.0.0/16"),
        (pool.value.size.is_absent(), "size", "size: 24"),
    ] {
        if absent {
            context.missing(pool.at, name, "a pool", example);
        }
    }
    let base = context.net(&pool.value.base)?;
    let size = pool.value.size.given()?;
    if size.value < base.prefix_len() || size.value > 30 {
        let prefix = base.prefix_len();
        let message = format!("expected a size from {prefix} to 30, found `{}`", size.value);
        context.error_help(size.at, message, "the prefix length of each network of the pool");
    }
    Some((base, size.value))
}

/// The blueprint's `swarm`, or the defaults; and where each network is declared.
pub(crate) fn swarm(blueprint: &file::Blueprint, context: &mut Context<'_>) -> (Swarm, Vec<Span>) {
    let empty = file::Swarm::default();
    let file = blueprint.swarm.get().unwrap_or(&empty);
    let pool = context.net(&file.pool).unwrap_or(POOL);
    if let Some(written) = file.pool.given()
        && pool.prefix_len() > 23
    {
        let message = format!("the pool has no room for two networks: `{pool}`");
        context.error_help(
            written.at,
            message,
            "every overlay network takes a /24; ingress is one",
        );
    }
    let mut networks = Vec::new();
    let mut places = Vec::new();
    for (index, written) in file.networks.items().enumerate() {
        if index == MAX_NETWORKS {
            context.error(written.at, format!("more than {MAX_NETWORKS} networks"));
            break;
        }
        if let Some((network, at)) = network(written, context) {
            networks.push(network);
            places.push(at);
        }
    }
    (Swarm { pool, networks }, places)
}

fn network(written: &Spanned<file::Network>, context: &mut Context<'_>) -> Option<(Network, Span)> {
    let overlay = match &written.value {
        file::Network::Name(name) => &file::Overlay {
            name: Field::Given(Spanned { value: name.clone(), at: written.at }),
            ..file::Overlay::default()
        },
        file::Network::Overlay(overlay) => overlay,
    };
    if overlay.name.is_absent() {
        context.missing(written.at, "name", "a network", "name: web");
    }
    context.shape(&overlay.name, is_network, "a network's name (letters, digits, `_`, `.`, `-`)");
    let name = overlay.name.given()?;
    if ["ingress", "docker_gwbridge", "bridge", "host", "none"].contains(&name.value.as_str()) {
        let message = format!("`{}` is a network of Docker's own", name.value);
        context.problems.push(Problem::error(name.at, message));
    }
    let network = Network {
        name: name.value.clone(),
        encrypted: overlay.encrypted.get().copied().unwrap_or(false),
        attachable: overlay.attachable.get().copied().unwrap_or(false),
        subnet: context.net(&overlay.subnet),
    };
    Some((network, name.at))
}

/// Docker's rule for names.
pub(crate) fn is_network(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
    text.len() <= 63
        && text.bytes().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// The blueprint's `images`.
pub(crate) fn images(blueprint: &file::Blueprint, context: &mut Context<'_>) -> Images {
    let empty = file::Images::default();
    let file = blueprint.images.get().unwrap_or(&empty);
    let mut archives = IndexSet::new();
    for pattern in file.archives.items() {
        let path = context.path(&pattern.value);
        match context.outside.glob(&path) {
            Ok(found) if found.is_empty() => {
                context.error(pattern.at, format!("no file matches `{}`", path.display()));
            }
            Ok(found) => archives.extend(found),
            Err(error) => {
                let pattern_shown = path.display();
                context.error(pattern.at, format!("can't look for `{pattern_shown}`: {error}"));
            }
        }
    }
    for (from, to) in file.replace.entries() {
        repository(from, context);
        repository(to, context);
    }
    let replace = file.replace.entries().map(|(from, to)| (from.value.clone(), to.value.clone()));
    Images { archives: archives.into_iter().collect(), replace: replace.collect() }
}

/// Reports what is no repository of images, or one with a tag.
fn repository(name: &Spanned<String>, context: &mut Context<'_>) {
    let text = name.value.as_str();
    let (path, digest) = text.split_once('@').map_or((text, None), |(p, d)| (p, Some(d)));
    let tag = path.rsplit('/').next().is_some_and(|last| last.contains(':')) && path.contains('/')
        || (!path.contains('/') && path.contains(':'));
    if tag || digest.is_some() {
        let help = "the tag of the image that a stack names is kept";
        context.error_help(name.at, format!("`{}` has a tag", crate::wording::short(text)), help);
        return;
    }
    let right = |c: u8| c.is_ascii_alphanumeric() || b"._-/:".contains(&c);
    if text.is_empty() || !text.bytes().all(right) || text.split('/').any(str::is_empty) {
        let found = crate::wording::short(text);
        context.error(name.at, format!("expected an image repository, found `{found}`"));
    }
}
