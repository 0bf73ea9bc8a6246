//! Destroy: everything that carries the lab's tag, in reverse, verified.

use crate::cx::Cx;
use crate::docker::LAB_LABEL;
use crate::event::{Event, Sums};
use crate::limits;
use crate::step::{Failure, Trouble};
use crate::{backup, dns, firewall, gluster, networks, stacks};
use blueprints::{Host, HostProvider, Role};
use futures::future::{BoxFuture, join_all};
use providers::{Cmd, Owned, OwnedKind, Provider};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Something that a phase made outside the machines that bp removes: on hosts that stay, on servers.
pub struct Leftover {
    /// What it is, in words: `records of lab.test`.
    pub what: String,
    /// Takes it away, and waits until it is gone. Gone already is success.
    pub remove: Box<dyn Fn(Cx) -> BoxFuture<'static, Result<(), Trouble>> + Send + Sync>,
}

/// What a destroy would remove, in its order.
pub struct Doomed {
    machines: Vec<(Arc<dyn Provider>, Owned)>,
    existing: Vec<Host>,
    /// What phases left on hosts that stay and on servers, in the order in which it goes.
    left: Vec<Leftover>,
    /// Hosts in a swarm that does not say that it is the lab's, and why bp thinks so.
    strangers: Vec<(String, String)>,
}

impl Doomed {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
            && self.existing.is_empty()
            && self.left.is_empty()
            && self.strangers.is_empty()
    }

    /// Each thing in words.
    pub fn words(&self) -> Vec<String> {
        let left = self.existing.iter().map(|h| {
            format!("stacks, networks and the swarm membership of {} (the host stays)", h.name)
        });
        let of_phases = self.left.iter().map(|l| l.what.clone());
        left.chain(of_phases).chain(self.machines.iter().map(|(_, o)| words(o))).collect()
    }
}

fn words(owned: &Owned) -> String {
    format!("{} {}", owned.kind, owned.name)
}

/// What carries the lab's tag now. Existing hosts count while they are in the lab's swarm, which is
/// known by its marks on nodes.
///
/// # Errors
/// When a provider does not answer.
pub async fn doomed(cx: &Cx) -> Result<Doomed, Failure> {
    let mut machines = Vec::new();
    for provider in cx.world().providers() {
        for owned in provider.owned().await? {
            machines.push((provider.clone(), owned));
        }
    }
    let all: Vec<&Host> = cx.lab().hosts.iter().collect();
    let of_bp = all.iter().filter(|h| h.provider == HostProvider::Existing && h.role != Role::None);
    let asked = of_bp.map(|h| async move {
        // Without docker there is no membership; without an answer there may be one.
        match cx.run(&h.name, &Cmd::new(HAS_DOCKER)).await {
            Ok(said) if said.out().lines().any(|l| l == NO_DOCKER) => return None,
            Ok(_) => {}
            Err(error) => {
                let check = cx.unanswered(&h.name, error).await;
                return Some((*h, Err(check.reason().to_owned())));
            }
        }
        match cx.engine(&h.name).await {
            Ok(engine) if engine.swarm.local_node_state == "inactive" => None,
            Ok(engine) => Some((*h, Ok(engine.swarm.node_id))),
            Err(why) => Some((*h, Err(why))),
        }
    });
    let (mut existing, mut strangers) = (Vec::new(), Vec::new());
    for (host, node) in join_all(asked).await.into_iter().flatten() {
        let mine = match node {
            Ok(node) => is_in_the_labs_swarm(cx, &node).await,
            Err(why) => Err(format!("it can't be asked: {why}")),
        };
        match mine {
            Ok(()) => existing.push(host.clone()),
            Err(why) => strangers.push((host.name.clone(), why)),
        }
    }
    Ok(Doomed { machines, existing, left: of_phases(cx).await?, strangers })
}

/// What phases left on hosts that stay and on servers.
async fn of_phases(cx: &Cx) -> Result<Vec<Leftover>, Failure> {
    let mut left = gluster::leftovers(cx).await?;
    left.extend(firewall::leftovers(cx).await?);
    left.extend(dns::leftovers(cx).await?);
    Ok(left)
}

/// Asks whether there is docker. The answer is a word of its own, because a shell may print more.
const HAS_DOCKER: &str = "command -v docker >/dev/null || echo @no-docker";
const NO_DOCKER: &str = "@no-docker";

async fn is_in_the_labs_swarm(cx: &Cx, node: &str) -> Result<(), String> {
    let view = cx.swarm().await?;
    if view.node(node).is_none() {
        return Err(format!("it is no node of the swarm {} of {}", view.id, view.manager));
    }
    if view.is_of(&cx.lab().name) {
        Ok(())
    } else {
        Err(format!("no node of the swarm {} is marked as the lab's", view.id))
    }
}

/// Removes it all and verifies that nothing is left.
pub async fn destroy(cx: &Cx, doomed: Doomed) -> Sums {
    // Each thing once: whether it is gone.
    let mut told: BTreeMap<String, bool> = BTreeMap::new();
    let mut count = |what: String, result: Result<(), String>| {
        let before = told.insert(what.clone(), result.is_ok());
        match result {
            Ok(()) => cx.events().emit(Event::Removed { what }),
            // What could not be removed is still there when that is verified.
            Err(_) if before == Some(false) => {}
            Err(error) => cx.events().emit(Event::NotRemoved { what, error }),
        }
    };
    for (host, why) in &doomed.strangers {
        let error = format!("{why}: `docker swarm leave` there, if you mean it");
        count(format!("swarm membership of {host}"), Err(error));
    }
    if !doomed.existing.is_empty() {
        let others = doomed.machines.iter().all(|(_, o)| o.kind != OwnedKind::Machine);
        if others {
            for (what, result) in empty_swarm(cx).await {
                count(what, result);
            }
        }
        let leave = doomed.existing.iter().map(|host| async move {
            let what = format!("swarm membership of {}", host.name);
            // A backup that was cut off may have left what services hold.
            let script = format!(
                "rm -rf {}; {}docker swarm leave --force",
                backup::folder(cx),
                stacks::registry::forgotten(cx.lab())
            );
            let cmd = Cmd::new(script).within(Duration::from_secs(120));
            let left = cx.ok(&host.name, cmd).await.map_err(|t| Failure::from(t).message);
            (what, left.and(is_out(cx, &host.name).await))
        });
        for (what, result) in join_all(leave).await {
            count(what, result);
        }
    }
    for left in &doomed.left {
        let removing = (left.remove)(cx.fresh());
        let result = crate::run::bounded(limits::REMOVE, "the removal", removing).await;
        let result = result.and_then(|r| r.map_err(Failure::from)).map_err(|f| f.message);
        count(left.what.clone(), result);
    }
    // Looked at while the machines are there still, which may have been asked for it.
    if !doomed.left.is_empty() {
        match of_phases(&cx.fresh()).await {
            Ok(left) => {
                for left in left {
                    count(left.what, Err("it is still there".to_owned()));
                }
            }
            Err(failure) => count("what phases left".to_owned(), Err(failure.message)),
        }
    }
    // Machines before the template they are clones of, that before the network they are on.
    let kinds: BTreeSet<OwnedKind> = doomed.machines.iter().map(|(_, o)| o.kind).collect();
    for kind in kinds {
        let of_kind = doomed.machines.iter().filter(|(_, o)| o.kind == kind);
        let gone = join_all(of_kind.map(|(provider, owned)| async move {
            let removing = provider.remove(owned);
            let result = crate::run::bounded(limits::REMOVE, "the removal", removing).await;
            let result = result.map_err(|f| f.message);
            (words(owned), result.and_then(|r| r.map_err(|e| e.to_string())))
        }));
        for (what, result) in gone.await {
            count(what, result);
        }
    }
    for provider in cx.world().providers() {
        match provider.owned().await {
            Ok(left) => {
                for owned in left {
                    count(words(&owned), Err("it is still there".to_owned()));
                }
            }
            Err(error) => count("what is left".to_owned(), Err(error.to_string())),
        }
    }
    let removed = told.values().filter(|gone| **gone).count();
    let failed = told.len() - removed;
    Sums { removed: Some(removed), failed: Some(failed), ..Sums::default() }
}

/// Whether a host that left a swarm says so itself.
async fn is_out(cx: &Cx, host: &str) -> Result<(), String> {
    match cx.fresh().engine(host).await?.swarm.local_node_state.as_str() {
        "inactive" => Ok(()),
        other => Err(format!("it is still {other} in a swarm")),
    }
}

/// Takes the lab's stacks and networks out of a swarm of hosts that stay, and waits until they are
/// gone: docker answers before that.
async fn empty_swarm(cx: &Cx) -> Vec<(String, Result<(), String>)> {
    let Ok(view) = cx.fresh().swarm().await else { return Vec::new() };
    let lab = &cx.lab().name;
    let is_mine = |s: &&crate::docker::Service| s.spec.labels.get(LAB_LABEL) == Some(lab);
    let mine: BTreeSet<&str> = view.services.iter().filter(is_mine).map(|s| s.stack()).collect();
    let mut results = Vec::new();
    for stack in mine {
        let gone = stacks::remove(cx, &view.manager, stack).await;
        results.push((format!("stack {stack}"), gone.map_err(|t| Failure::from(t).message)));
    }
    let mine = view
        .networks
        .iter()
        .filter(|n| n.labels.as_ref().and_then(|l| l.get(LAB_LABEL)) == Some(lab));
    for network in mine {
        let cmd = Cmd::new(networks::remove(&network.name));
        let gone = cx.ok(&view.manager, cmd).await;
        results.push((
            format!("network {}", network.name),
            gone.map(drop).map_err(|t| Failure::from(t).message),
        ));
    }
    results
}
