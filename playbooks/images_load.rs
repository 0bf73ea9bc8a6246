//! Images for a lab without a way outside: which ones it needs, and archives pushed into its own
//! registry.

use crate::cx::Cx;
use crate::images::{self, Archive};
use crate::step::{Failure, Trouble};
use crate::{compose, docker, stacks};
use blueprints::Lab;
use indexmap::IndexMap;
use providers::{Cmd, Stdin, quote};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// An image that the stacks of a lab need.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Needed {
    /// The image, replacements applied.
    pub image: String,
    /// The services that run it, as `stack/service`.
    pub services: Vec<String>,
    /// The archive that brings it; `None`: nodes pull it.
    pub archive: Option<PathBuf>,
}

/// Every image that the stacks of a lab need, in the order of the stacks. Reads files beside the
/// blueprint, touches nothing else.
///
/// # Errors
/// When a compose file or an archive is wrong.
pub fn needed(lab: &Lab, beside: &Path) -> Result<Vec<Needed>, Failure> {
    let brought = images::archives(lab)?;
    let mut needed: IndexMap<String, Needed> = IndexMap::new();
    for stack in compose::all(lab, beside)? {
        // bp's own is made by bp.
        for service in stack.services.iter().filter(|s| s.image != stacks::pause::IMAGE) {
            let archive = brought.iter().find(|a| a.tags().any(|t| t == service.image));
            let new = || Needed {
                image: service.image.clone(),
                services: Vec::new(),
                archive: archive.map(|a| a.path.clone()),
            };
            let one = needed.entry(service.image.clone()).or_insert_with(new);
            one.services.push(format!("{}/{}", stack.name, service.name));
        }
    }
    Ok(needed.into_values().collect())
}

/// An image that was pushed into the lab's registry.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pushed {
    /// What the archive calls it.
    pub image: String,
    /// What it is called in the registry.
    pub pushed: String,
}

/// Reads archives, as `docker save` writes them.
///
/// # Errors
/// Which one is none.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Archive>, Failure> {
    paths.iter().map(|path| images::read(path)).collect()
}

/// Pushes the images of archives into the lab's registry, from a manager.
///
/// # Errors
/// When the lab has no registry, or it does not take an image.
pub async fn load(cx: &Cx, archives: &[Archive]) -> Result<Vec<Pushed>, Failure> {
    let host = stacks::registry::host(cx.lab()).ok_or_else(|| {
        Failure::new("the lab has no registry").hint("`stacks: [traefik, registry]`, then `bp up`")
    })?;
    let manager = cx.swarm().await.map_err(docker::no_manager)?.manager;
    let login = stacks::registry::login(cx, host).await?;
    let mut all = Vec::new();
    for archive in archives {
        cx.note(format!("{} goes to {manager}", archive.path.display()));
        let load = Cmd::new("docker load -q").stdin(Stdin::File(archive.path.clone()));
        cx.ok(&manager, load.within(images::LOAD)).await?;
        for image in archive.tags() {
            let pushed = format!("{host}/{}", path_of(image));
            cx.note(format!("{image} is pushed as {pushed}"));
            let cmd = login.on(push(image, &pushed)).within(images::LOAD);
            cx.ok(&manager, cmd).await.map_err(|trouble: Trouble| Failure::from(trouble))?;
            all.push(Pushed { image: image.to_owned(), pushed });
        }
    }
    Ok(all)
}

fn push(image: &str, pushed: &str) -> String {
    let (image, pushed) = (quote(image), quote(pushed));
    format!(
        "{}\ndocker tag {image} {pushed}\n\
         docker --config \"$d\" push -q {pushed} >/dev/null; docker image rm {pushed} >/dev/null",
        stacks::registry::LOGGED_IN
    )
}

/// What the blueprint's `images.replace` has to say, so that nodes take the images from there: each
/// repository and what stands in for it.
pub fn replacements(pushed: &[Pushed]) -> IndexMap<String, String> {
    let entries = pushed.iter().map(|p| (repository(&p.image), repository(&p.pushed)));
    entries.map(|(from, to)| (from.to_owned(), to.to_owned())).collect()
}

/// The repositories that can't come from the lab's registry: of the stacks up to the registry itself,
/// which start before it.
///
/// # Errors
/// When a compose file or an archive is wrong.
pub fn before_the_registry(lab: &Lab, beside: &Path) -> Result<BTreeSet<String>, Failure> {
    let mut plain = lab.clone();
    plain.images.replace.clear();
    let until = stacks::registry::before_it_runs(lab);
    let composes = compose::all(&plain, beside)?;
    let services = composes.iter().take(until).flat_map(|stack| &stack.services);
    Ok(services.map(|service| repository(&service.image).to_owned()).collect())
}

/// An image without its tag or digest.
fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rfind(':') {
        Some(colon) if !image[colon..].contains('/') => &image[..colon],
        _ => image,
    }
}

/// An image without the registry that it comes from.
fn path_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => rest,
        _ => image,
    }
}
