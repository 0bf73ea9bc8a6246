//! A stack's deploy: what differs is sent, members of a quorum one after another.

use super::registry::{self, Login};
use super::{GONE, gone, last_words, own_networks};
use crate::compose::{Compose, SPEC_LABEL, Wanted};
use crate::cx::{Cx, Deployed};
use crate::docker::{self, Sealed, Service, SwarmView, no_manager};
use crate::secrets::{self, Secret};
use crate::step::{Check, Failure, Step, Trouble};
use crate::{converge, limits, survey};
use blueprints::Lab;
use providers::{Cmd, Stdin, quote};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Whether services change one after another, and the secrets that none of them changes alone.
pub(super) type Turns = Option<&'static [&'static str]>;

/// The swarm is asked for what the blueprint says.
pub(super) fn step(
    lab: &Lab,
    compose: &Arc<Compose>,
    secrets: &Arc<Vec<Secret>>,
    within: Duration,
    turns: Turns,
    gates: &[Step],
) -> Step {
    let (checked, applied, shown) = (compose.clone(), compose.clone(), compose.clone());
    let (of, gates) = (lab.name.clone(), Arc::new(gates.to_vec()));
    let secrets = secrets.clone();
    // Each member that takes its turn has the stack's own time.
    let members = if turns.is_some() { compose.services.len() as u32 } else { 1 };
    Step::lab(
        format!("{} deployed", compose.name),
        "the swarm is asked for what the blueprint says",
    )
    .within(Duration::from_secs(600) + within * members)
    .diagnose(move |cx| {
        let compose = shown.clone();
        async move { last_words(&cx, &compose).await }
    })
    .check(move |cx| {
        let (compose, lab, made) = (checked.clone(), of.clone(), secrets.clone());
        async move {
            let view = match cx.swarm().await {
                Ok(view) => view,
                Err(why) => return Check::Unknown(why),
            };
            match compose.settled(&view, &lab) {
                // What it needs is made by a step before it.
                Err(why) => Check::Not(why),
                Ok(compose) => {
                    if let Some(failure) = own_networks::changed(&view.networks, &compose) {
                        return Check::Failed(failure);
                    }
                    let why: Vec<String> =
                        differs(&view, &compose).into_iter().map(|(_, why)| why).collect();
                    if !why.is_empty() {
                        return Check::Not(why.join(", "));
                    }
                    match secrets::in_change(&cx, &view, &compose, &made).await {
                        Some(name) => {
                            Check::Unknown(format!("the secret {name} is made anew before"))
                        }
                        None => Check::True,
                    }
                }
            }
        }
    })
    .apply(move |cx| {
        let (compose, gates) = (applied.clone(), gates.clone());
        async move { deploy(&cx, &compose, within, turns, &gates).await }
    })
}

/// Sends what differs. Members of a quorum that run already take turns: each is healthy before the
/// next.
async fn deploy(
    cx: &Cx,
    compose: &Compose,
    within: Duration,
    turns: Turns,
    gates: &[Step],
) -> Result<(), Trouble> {
    let view = cx.swarm().await.map_err(no_manager)?;
    let compose = compose.settled(&view, &cx.lab().name).map_err(Failure::new)?;
    let differ: Vec<String> = differs(&view, &compose).into_iter().map(|(name, _)| name).collect();
    let (changed, new): (Vec<String>, Vec<String>) =
        differ.iter().cloned().partition(|name| deployed(&view, &compose, name).is_some());
    // Turns keep a healthy stack healthy. One that is not (its first deploy was cut off, a member is
    // away) would wait for a health that only the change can bring.
    let all_at_once = turns.is_none_or(|shared| is_in_change(&view, &compose, cx.lab(), shared));
    if all_at_once || changed.is_empty() || !is_healthy(cx, gates).await {
        return send_part(cx, &compose, &differ, false).await;
    }
    if !new.is_empty() {
        send_part(cx, &compose, &new, false).await?;
    }
    for service in changed {
        let part = [service];
        send_part(cx, &compose, &part, true).await?;
        let [service] = part;
        well_again(cx, &compose, &service, within, gates).await?;
    }
    Ok(())
}

/// These secrets as they were before, by their ids, as far as the swarm still has them.
fn former<'v>(view: &'v SwarmView, lab: &Lab, names: &[&str]) -> Vec<&'v str> {
    let is_former = |held: &&Sealed| {
        let name = held.label(secrets::SECRET_LABEL);
        let current = secrets::current(view, &lab.name, name);
        names.contains(&name) && current.is_some_and(|current| current.id != held.id)
    };
    view.secrets.iter().filter(is_former).map(|s| s.id.as_str()).collect()
}

/// Whether a service of the stack holds one of these secrets as it was before.
fn is_in_change(view: &SwarmView, compose: &Compose, lab: &Lab, names: &[&str]) -> bool {
    let former = former(view, lab, names);
    let mut services = view.services.iter().filter(|s| s.stack() == compose.name);
    services.any(|service| {
        let held = service.spec.task_template.container_spec["Secrets"].as_array();
        let mut ids = held.into_iter().flatten().filter_map(|entry| entry["SecretID"].as_str());
        ids.any(|id| former.contains(&id))
    })
}

async fn is_healthy(cx: &Cx, gates: &[Step]) -> bool {
    let fresh = cx.fresh();
    for gate in gates {
        if survey::check(&fresh, gate).await != Check::True {
            return false;
        }
    }
    true
}

/// Sends these services; again those that did not arrive, where managers were too slow.
async fn send_part(
    cx: &Cx,
    compose: &Compose,
    services: &[String],
    alone: bool,
) -> Result<(), Trouble> {
    let mut left = services.to_vec();
    for attempt in 1.. {
        let failure = match send_once(cx, compose, &left, alone).await {
            Err(Trouble::Failure(failure)) => failure,
            other => return other,
        };
        if attempt == docker::ATTEMPTS || !docker::passes(&failure) {
            return Err(failure.into());
        }
        tokio::time::sleep(limits::POLL_SLOWEST).await;
        // What arrived is not sent twice: the swarm would take it for the version before.
        let view = cx.fresh().swarm().await.map_err(no_manager)?;
        let differ = differs(&view, compose);
        left.retain(|name| differ.iter().any(|(d, _)| d == name));
        if left.is_empty() {
            return Ok(());
        }
    }
    unreachable!("the loop ends by its attempts")
}

/// Sends these services, and notes what they were before.
async fn send_once(
    cx: &Cx,
    compose: &Compose,
    services: &[String],
    alone: bool,
) -> Result<(), Trouble> {
    let view = cx.fresh().swarm().await.map_err(no_manager)?;
    let part = compose.part(services).map_err(Failure::new)?;
    for wanted in &part.services {
        let mut before = deployed(&view, compose, &wanted.name);
        // No swarm changes the mode of a service, nor takes such a change back.
        let other_mode = before.take_if(|s| s.mode() != wanted.mode);
        if let Some(other) = other_mode {
            let name = &other.spec.name;
            let rm = Cmd::new(format!("docker service rm {} >/dev/null", quote(name)));
            cx.ok(&view.manager, rm).await?;
            gone(cx, name, std::slice::from_ref(&other.id)).await?;
        }
        let is_given = |s: &&Service| s.spec.labels.get(GIVEN) == Some(&wanted.image);
        if let Some(other) = before.filter(is_given).filter(|s| has_another_image(s, wanted)) {
            let name = quote(&other.spec.name);
            let forget =
                format!("docker service update --detach --label-rm {GIVEN} {name} >/dev/null");
            cx.ok(&view.manager, Cmd::new(forget)).await?;
        }
        cx.note_deployed(
            &compose.name,
            Deployed {
                service: wanted.name.clone(),
                spec: wanted.spec.clone(),
                before: before.map(|s| s.spec.labels.get(SPEC_LABEL).cloned().unwrap_or_default()),
                alone,
                anew: other_mode.is_some(),
            },
        );
    }
    send(cx, &view, &part).await
}

/// Waits until a member that took its turn runs and the stack is healthy with it.
pub(super) async fn well_again(
    cx: &Cx,
    compose: &Compose,
    service: &str,
    within: Duration,
    gates: &[Step],
) -> Result<(), Trouble> {
    let part = compose.part(&[service.to_owned()]).map_err(Failure::new)?;
    let until = Instant::now() + within;
    loop {
        let fresh = cx.fresh();
        let mut check = match fresh.swarm().await {
            Ok(view) => converge::judge(&view, &part),
            Err(why) => Check::Unknown(why),
        };
        for gate in gates {
            if check == Check::True {
                check = survey::check(&fresh, gate).await;
            }
        }
        match check {
            Check::True => return Ok(()),
            Check::Failed(failure) => return Err(failure.into()),
            other if Instant::now() > until => {
                let why = other.reason();
                let what = format!(
                    "the others wait: {service} is not well within {} of its turn: {why}",
                    limits::seconds(within)
                );
                return Err(Failure::new(what).into());
            }
            _ => tokio::time::sleep(limits::POLL_SLOWEST).await,
        }
    }
}

/// What the swarm was asked for and what the blueprint says, where they differ.
fn differs(view: &SwarmView, compose: &Compose) -> Vec<(String, String)> {
    let mut differs = Vec::new();
    for wanted in &compose.services {
        let why = match deployed(view, compose, &wanted.name) {
            None => Some(format!("the service {}_{} is not there", compose.name, wanted.name)),
            Some(service) => service_differs(service, wanted, &service.spec.name),
        };
        differs.extend(why.map(|why| (wanted.name.clone(), why)));
    }
    differs
}

/// A service of the stack as the swarm has it.
fn deployed<'v>(view: &'v SwarmView, compose: &Compose, service: &str) -> Option<&'v Service> {
    let name = format!("{}_{service}", compose.name);
    view.services.iter().find(|s| s.stack() == compose.name && s.spec.name == name)
}

fn service_differs(service: &Service, wanted: &Wanted, name: &str) -> Option<String> {
    let image = service.spec.task_template.image();
    if service.mode() != wanted.mode {
        let (has, wants) = (service.mode(), &wanted.mode);
        return Some(format!("{name} is {has}, not {wants}: it is made anew"));
    }
    if service.spec.labels.get(SPEC_LABEL).map(String::as_str) != Some(&wanted.spec) {
        return Some(format!("{name} has another definition"));
    }
    if has_another_image(service, wanted) {
        return Some(format!("{name} has the image {image}"));
    }
    match (service.replicas(), wanted.replicas) {
        (Some(has), Some(wants)) if has != wants => {
            Some(format!("{name} has {has} replicas, not {wants}"))
        }
        _ => None,
    }
}

/// What `docker stack deploy` keeps the image by that a service was given last: it leaves a service
/// alone whose image was changed by other means.
const GIVEN: &str = "com.docker.stack.image";

fn has_another_image(service: &Service, wanted: &Wanted) -> bool {
    familiar(service.spec.task_template.image()) != familiar(&wanted.image)
}

/// An image as docker's command writes it: without the default registry, with a tag, without the
/// digest.
fn familiar(image: &str) -> String {
    let image = image.split('@').next().unwrap_or(image);
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    let has_tag = image.rsplit('/').next().is_some_and(|name| name.contains(':'));
    if has_tag { image.to_owned() } else { format!("{image}:latest") }
}

/// Everything that the deploy reads goes through one pipe, into a folder that does not outlive it.
async fn send(cx: &Cx, view: &SwarmView, compose: &Compose) -> Result<(), Trouble> {
    let login = login(cx, compose).await?;
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, name, bytes)
    };
    let files = compose.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let config = login.iter().map(|l| ("config.json", l.config.as_slice()));
    for (name, bytes) in files.chain([("compose.json", compose.text.as_bytes())]).chain(config) {
        add(name, bytes).map_err(|e| Failure::new(format!("pack `{name}`: {e}")))?;
    }
    let bytes = archive.into_inner().map_err(|e| Failure::new(format!("pack the stack: {e}")))?;
    let resolve = if compose.offline { "never" } else { "changed" };
    let name = quote(&compose.name);
    // Nodes are given the login with each task. What docker's own folder on the manager says is
    // read where the lab's registry has no part in the stack.
    let config = if login.is_some() { "export DOCKER_CONFIG=\"$d\"\n" } else { "" };
    // Since docker 26 `--detach` is asked for by name; older ones know no other way.
    let cmd = Cmd::new(format!(
        "set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf \"$d\"' EXIT; trap 'exit 129' HUP INT TERM; tar -x -C \"$d\"; cd \"$d\"\n\
         {config}detach=; if docker stack deploy --help | grep -q -- --detach; then detach=--detach=true; fi\n\
         docker stack deploy -c compose.json --with-registry-auth --resolve-image {resolve} $detach {name}"
    ))
    .stdin(Stdin::Bytes(bytes))
    .within(Duration::from_secs(240));
    let cmd = login.iter().fold(cmd, |cmd, login| login.hidden_in(cmd));
    cx.ok(&view.manager, cmd).await?;
    taken_back(cx, compose, view.now).await
}

/// The login of the lab's registry, where an image of the stack comes from there.
async fn login(cx: &Cx, compose: &Compose) -> Result<Option<Login>, Failure> {
    let Some(host) = registry::host(cx.lab()).filter(|_| !compose.offline) else {
        return Ok(None);
    };
    let prefix = format!("{host}/");
    let Some(service) = compose.services.iter().find(|s| s.image.starts_with(&prefix)) else {
        return Ok(None);
    };
    registry::login(cx, host).await.map(Some).map_err(|failure| {
        let (image, why) = (&service.image, &failure.message);
        let message = format!("the image {image} comes from the lab's registry: {why}");
        let hint = "a stack whose images are in the registry comes after `registry`, or \
                    `images.archives` brings them";
        Failure { message, ..failure }.hint(hint)
    })
}

/// On a slow swarm the definition may be taken back before anybody asks whether it arrived.
async fn taken_back(cx: &Cx, compose: &Compose, since: i64) -> Result<(), Trouble> {
    let until = Instant::now() + GONE;
    loop {
        let view = cx.fresh().swarm().await.map_err(no_manager)?;
        if !converge::rolls_back(&view, compose, since) {
            return Ok(());
        }
        if let Check::Failed(failure) = converge::judge(&view, compose) {
            return Err(failure.into());
        }
        if Instant::now() > until {
            return Err(
                Failure::new(format!("the stack {} is still rolled back", compose.name)).into()
            );
        }
        tokio::time::sleep(limits::POLL_SLOWEST).await;
    }
}
