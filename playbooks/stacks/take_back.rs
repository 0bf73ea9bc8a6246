//! A change that does not become healthy is taken back: the version before is known from the swarm,
//! which keeps one of every service.

use super::GONE;
use super::deploy;
use crate::compose::{Compose, SPEC_LABEL};
use crate::converge;
use crate::cx::{Cx, Deployed};
use crate::step::{Check, Failure, Step};
use crate::{limits, survey};
use blueprints::OnFailure;
use providers::{Cmd, quote};
use std::time::Duration;
use tokio::time::Instant;

/// Takes back what this run deployed of a stack, and says so; `None` where there is nothing to take
/// back: the run changed nothing, or there was no version before. New members of a quorum stay: the
/// others count them.
pub(super) async fn undo(
    cx: &Cx,
    compose: &Compose,
    on_failure: OnFailure,
    is_quorum: bool,
    gates: &[Step],
) -> Option<String> {
    let deployed = cx.deployed(&compose.name);
    let anew: Vec<&str> = deployed.iter().filter(|d| d.anew).map(|d| d.service.as_str()).collect();
    if !anew.is_empty() && on_failure != OnFailure::Keep {
        return Some(format!(
            "the version before can't come back: {} had another mode, and was made anew; the stack stays as it \
             is (`bp up` with what the file said before brings that back)",
            anew.join(", ")
        ));
    }
    let is_new = deployed.iter().all(|d| d.before.is_none());
    if deployed.is_empty() || is_new && is_quorum {
        return None;
    }
    if is_new {
        match stood(cx, compose, &deployed).await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(why) => return Some(format!("the new services stay: {why}")),
        }
    }
    if on_failure == OnFailure::Keep {
        return Some("it stays as it is (`on_failure: keep`)".to_owned());
    }
    Some(match back(cx, compose, &deployed, gates).await {
        Ok(()) => match healthy(cx, gates).await {
            Ok(()) => "the version before is back, and runs".to_owned(),
            Err(why) => format!("the version before is back, but is not healthy: {why}"),
        },
        Err(failure) => format!("the version before is not back: {}", failure.message),
    })
}

/// Whether the swarm has services of the stack that this run did not touch.
async fn stood(cx: &Cx, compose: &Compose, deployed: &[Deployed]) -> Result<bool, String> {
    let is_ours =
        |name: &str| deployed.iter().any(|d| format!("{}_{}", compose.name, d.service) == name);
    let view = cx.fresh().swarm().await?;
    let mut services = view.services.iter().filter(|s| s.stack() == compose.name);
    Ok(services.any(|s| !is_ours(&s.spec.name)))
}

/// How long what is back may take to be healthy: Traefik is told of its routers.
const HEALTHY: Duration = Duration::from_secs(120);

/// Waits until the stack's own health is true.
async fn healthy(cx: &Cx, gates: &[Step]) -> Result<(), String> {
    let until = Instant::now() + HEALTHY;
    for gate in gates {
        loop {
            match survey::check(&cx.fresh(), gate).await {
                Check::True => break,
                other if Instant::now() > until => return Err(other.reason().to_owned()),
                _ => tokio::time::sleep(limits::POLL_SLOWEST).await,
            }
        }
    }
    Ok(())
}

async fn back(
    cx: &Cx,
    compose: &Compose,
    deployed: &[Deployed],
    gates: &[Step],
) -> Result<(), Failure> {
    let was = self::before(compose, deployed);
    let mut again: Option<&str> = None;
    // The last that was changed is the one that is not well: from there on those that took turns take
    // them again. Those that changed all at once go back so.
    for Deployed { service, spec, before, alone, .. } in deployed.iter().rev() {
        if let Some(member) = again.take() {
            deploy::well_again(cx, &was, member, GONE, gates).await.map_err(Failure::from)?;
        }
        let name = format!("{}_{service}", compose.name);
        // Asked anew: it may have been taken back meanwhile, and a second time would undo that.
        let view = cx.fresh().swarm().await.map_err(Failure::new)?;
        let has = view.services.iter().find(|s| s.spec.name == name);
        let is_ours = has.is_some_and(|s| s.spec.labels.get(SPEC_LABEL) == Some(spec));
        // The swarm may have taken it back by itself.
        if !is_ours || before.as_ref() == Some(spec) {
            continue;
        }
        let script = match before {
            Some(_) => format!("docker service rollback --detach {} >/dev/null", quote(&name)),
            None => format!("docker service rm {} >/dev/null", quote(&name)),
        };
        again = before.as_ref().filter(|_| *alone).map(|_| service.as_str());
        cx.ok(&view.manager, Cmd::new(script)).await.map_err(Failure::from)?;
    }
    let until = Instant::now() + GONE;
    loop {
        let view = cx.fresh().swarm().await.map_err(Failure::new)?;
        match converge::judge(&view, &was) {
            Check::True => return Ok(()),
            other if Instant::now() > until => return Err(Failure::new(other.reason())),
            _ => tokio::time::sleep(limits::POLL_SLOWEST).await,
        }
    }
}

/// The services that were changed, as they were.
fn before(compose: &Compose, deployed: &[Deployed]) -> Compose {
    let mut was = compose.clone();
    was.services.retain_mut(|wanted| {
        let known = deployed.iter().find(|d| d.service == wanted.name);
        let Some(spec) = known.and_then(|d| d.before.clone()) else { return false };
        wanted.spec = spec;
        true
    });
    was
}
