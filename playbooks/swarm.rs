//! Phase swarm: one swarm, its managers joined one at a time, its workers together.

use crate::cx::Cx;
use crate::docker::{HOST_LABEL, LAB_LABEL, Node, SwarmView, no_manager};
use crate::limits;
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{Lab, Role};
use futures::future::join_all;
use providers::{Cmd, quote};
use std::time::Duration;
use tokio::time::Instant;

/// Managers join one at a time: raft takes one change of membership at once.
const MANAGER_JOIN: &str = "manager join";

/// The port of the managers' API, fixed by docker.
const PORT: u16 = 2377;

/// The steps of the phase.
pub fn steps(lab: &Lab) -> Vec<Step> {
    let mut steps = vec![initialised(lab)];
    let (managers, workers): (Vec<_>, Vec<_>) = lab.nodes().partition(|h| h.role == Role::Manager);
    for host in managers.into_iter().chain(workers) {
        steps.push(member(&host.name, host.role));
    }
    steps.push(sealed(lab));
    steps
}

/// There is a swarm that one of the managers leads, and no host is in another one.
fn initialised(lab: &Lab) -> Step {
    let pool = lab.swarm.pool;
    Step::lab("swarm", "the managers share one swarm, begun on the first of them")
        .within(limits::JOIN)
        .check(|cx| async move { state(&cx).await })
        .apply(move |cx| async move {
            match state(&cx).await {
                Check::Not(_) => {}
                // An answer that was lost on the way: it is done.
                Check::True => return Ok(()),
                Check::Failed(failure) => return Err(failure.into()),
                // A second swarm is worse than none.
                Check::Unknown(why) => {
                    return Err(Failure::new(why)
                        .hint("a swarm is begun only when every manager says that it is in none")
                        .into());
                }
            }
            let lab = &cx.lab().name;
            let own = "\"$(docker info --format '{{.Swarm.NodeID}}')\"";
            // Begun already, by a run that was cut off before the mark.
            if let Ok(view) = cx.swarm().await {
                let mark = Cmd::new(mark(lab, &view.manager, own));
                return cx.ok(&view.manager, mark).await.map(drop);
            }
            let Some(first) = cx.lab().managers().next().map(|h| h.name.clone()) else {
                return Err(Failure::new("the lab has no managers").into());
            };
            let address = own_address(&cx, &first).await?;
            let script = format!(
                "docker swarm init --advertise-addr {address} --listen-addr 0.0.0.0:{PORT} \
                 --default-addr-pool {pool} --default-addr-pool-mask-length 24 >/dev/null && {}",
                mark(lab, &first, own)
            );
            // Its answer holds a join token: only the exit status is looked at.
            cx.ok(&first, Cmd::new(script).within(Duration::from_secs(120))).await.map(drop)
        })
}

async fn state(cx: &Cx) -> Check {
    let managers: Vec<String> = cx.lab().managers().map(|h| h.name.clone()).collect();
    let engines = join_all(managers.iter().map(|name| cx.engine(name))).await;
    let mut members = Vec::new();
    for (name, engine) in managers.iter().zip(&engines) {
        match engine {
            Ok(engine) if engine.swarm.local_node_state == "locked" => {
                return Check::Failed(
                    Failure::new(format!("the swarm is locked on {name}"))
                        .hint("`docker swarm unlock` on it, then `bp up` again"),
                );
            }
            Ok(engine) if engine.swarm.local_node_state != "inactive" => {
                members.push((name, engine));
            }
            _ => {}
        }
    }
    let known: Vec<(&String, &str)> = members
        .iter()
        .filter_map(|(name, e)| e.swarm.cluster.as_ref().map(|c| (*name, c.id.as_str())))
        .filter(|(_, id)| !id.is_empty())
        .collect();
    if let Some(((first, one), (second, other))) =
        known.first().and_then(|a| known.iter().find(|b| b.1 != a.1).map(|b| (*a, *b)))
    {
        return two_swarms(first, one, second, other);
    }
    match cx.swarm().await {
        Ok(view) if view.is_of(&cx.lab().name) => Check::True,
        Ok(view) if is_newborn(&view) => {
            Check::Not(format!("the swarm {} does not carry the lab's mark yet", view.id))
        }
        Ok(view) => Check::Failed(
            Failure::new(format!(
                "{} is a manager of the swarm {}, which does not carry the lab's mark",
                view.manager, view.id
            ))
            .hint(format!(
                "if it is to be the lab's: `docker node update --label-add {LAB_LABEL}={} {}` on {}",
                cx.lab().name,
                view.nodes.first().map_or("NODE", |n| n.id.as_str()),
                view.manager
            )),
        ),
        // A member that can't act waits for its fellows; a new swarm beside it would be a second one.
        Err(why) if !members.is_empty() => Check::Unknown(format!("no manager can act: {why}")),
        Err(_) => match managers.iter().zip(&engines).find_map(|(_, e)| e.as_ref().err()) {
            // Where a manager does not answer, there may be a swarm that is not seen.
            Some(why) if engines.iter().any(Result::is_ok) => {
                Check::Unknown(format!("whether there is a swarm: {why}"))
            }
            Some(why) => Check::Unknown(why.clone()),
            None => Check::Not("there is no swarm yet".to_owned()),
        },
    }
}

/// What a run leaves that was cut off between the beginning of its swarm and the mark: one node,
/// and nothing that anybody would miss.
fn is_newborn(view: &SwarmView) -> bool {
    let unmarked = view.nodes.iter().all(|n| !n.spec.labels.contains_key(LAB_LABEL));
    view.nodes.len() == 1 && view.services.is_empty() && view.networks.is_empty() && unmarked
}

fn two_swarms(first: &str, one: &str, second: &str, other: &str) -> Check {
    Check::Failed(
        Failure::new(format!("{first} belongs to the swarm {one}, {second} to the swarm {other}"))
            .hint("bp never takes a node out of another swarm: `docker swarm leave` there, if you mean it"),
    )
}

/// The address of a host that the others reach it by, which is the one bp reaches it by.
async fn own_address(cx: &Cx, host: &str) -> Result<String, Trouble> {
    let machine = cx.machine(host).await.map_err(Failure::new)?;
    let address = machine.and_then(|m| m.address);
    Ok(address.ok_or_else(|| Failure::new(format!("{host} has no address")))?.to_string())
}

fn member(host: &str, role: Role) -> Step {
    let (checked, applied) = (host.to_owned(), host.to_owned());
    let name = if role == Role::Manager { "manager" } else { "worker" };
    let step = Step::host(host, name, "the host is a node of the lab's swarm, in its role")
        .within(limits::JOIN)
        .check(move |cx| {
            let host = checked.clone();
            async move { is_member(&cx, &host, role).await }
        })
        .apply(move |cx| {
            let host = applied.clone();
            async move { join(&cx, &host, role).await }
        });
    if role == Role::Manager { step.alone(MANAGER_JOIN) } else { step }
}

async fn is_member(cx: &Cx, host: &str, role: Role) -> Check {
    let engine = match cx.engine(host).await {
        Ok(engine) => engine,
        Err(why) => return Check::Unknown(why),
    };
    let view = match cx.swarm().await {
        Ok(view) => view,
        Err(why) => return Check::Unknown(why),
    };
    let mine = engine.swarm.cluster.clone().unwrap_or_default().id;
    if !mine.is_empty() && mine != view.id {
        return two_swarms(&view.manager, &view.id, host, &mine);
    }
    match engine.swarm.local_node_state.as_str() {
        "active" => {}
        "inactive" => return Check::Not("it is in no swarm".to_owned()),
        other if engine.swarm.error.is_empty() => {
            return Check::Not(format!("its part is {other}"));
        }
        other => return Check::Not(format!("its part is {other}: {}", engine.swarm.error)),
    }
    let Some(node) = view.node(&engine.swarm.node_id) else {
        // Workers know no swarm id: the lab's managers not knowing them says the same.
        return Check::Failed(
            Failure::new(format!(
                "{host} is the node {} of a swarm that is not the lab's swarm {}",
                engine.swarm.node_id, view.id
            ))
            .hint("bp never takes a node out of another swarm: `docker swarm leave` there, if you mean it"),
        );
    };
    if let Some(dead) = namesakes(&view, host).find(|n| n.id != node.id && is_dead(n)) {
        return Check::Not(format!("its dead node {} is still in the swarm", dead.id));
    }
    is_well(node, role)
}

/// The nodes that are marked as the host: its own, and those of machines that it once was.
fn namesakes<'a>(view: &'a SwarmView, host: &'a str) -> impl Iterator<Item = &'a Node> {
    view.nodes.iter().filter(move |n| n.spec.labels.get(HOST_LABEL).is_some_and(|h| h == host))
}

fn is_dead(node: &Node) -> bool {
    node.status.state == "down"
}

/// A node in its role, whom the managers do not hear at the moment, is waited for: nothing that could
/// be done to it would help, and a busy machine misses a heartbeat now and then.
fn is_well(node: &Node, role: Role) -> Check {
    let wanted = if role == Role::Manager { "manager" } else { "worker" };
    if node.spec.role != wanted {
        return Check::Not(format!("it is a {}, not a {wanted}", node.spec.role));
    }
    if node.status.state != "ready" {
        return Check::Unknown(format!("the managers see it as {}", node.status.state));
    }
    match &node.manager_status {
        Some(status) if status.reachability != "reachable" => {
            Check::Unknown(format!("as a manager it is {}", status.reachability))
        }
        None if role == Role::Manager => Check::Unknown("it is no manager yet".to_owned()),
        _ => Check::True,
    }
}

async fn join(cx: &Cx, host: &str, role: Role) -> Result<(), Trouble> {
    let view = cx.swarm().await.map_err(no_manager)?;
    let engine = cx.engine(host).await.map_err(Failure::new)?;
    // A join that was cut off goes on in the background.
    if engine.swarm.local_node_state == "pending" {
        return Ok(());
    }
    if engine.is_member() {
        forget_namesakes(cx, &view, host, &engine.swarm.node_id).await?;
        // In the swarm, but in the other role. Where it is in the right one, it is waited for.
        let change = match (view.node(&engine.swarm.node_id), role) {
            (Some(node), Role::Manager) if node.spec.role == "worker" => "promote",
            (Some(node), Role::Worker) if node.spec.role == "manager" => "demote",
            _ => return Ok(()),
        };
        let script = format!("docker node {change} {}", quote(&engine.swarm.node_id));
        return cx.ok(&view.manager, Cmd::new(script)).await.map(drop);
    }
    forget_namesakes(cx, &without_the_host(cx, host).await?, host, "").await?;
    let kind = if role == Role::Manager { "manager" } else { "worker" };
    let ask = Cmd::new(format!("docker swarm join-token -q {kind}"));
    let token = cx.ok(&view.manager, ask).await?.out();
    let manager = own_address(cx, &view.manager).await?;
    let own = own_address(cx, host).await?;
    // docker forces the token into the argv of its command; bp's own shell reads it from stdin.
    let cmd = Cmd::new(format!(
        "read -r t && docker swarm join --advertise-addr {own} --listen-addr 0.0.0.0:{PORT} \
         --token \"$t\" {manager}:{PORT}"
    ))
    .stdin(providers::Stdin::Bytes(format!("{token}\n").into_bytes()))
    .secret(token)
    .within(Duration::from_secs(180));
    cx.events().hide(&cmd.secrets[0]);
    let output = cx.run(host, &cmd).await?;
    // A slow join goes on in the background; the check says how it ends.
    if output.ok() || output.err().contains("will continue") {
        return Ok(());
    }
    let hint = format!("is {PORT}/tcp open from {host} to {}, and back?", view.manager);
    Err(Failure::command(&cmd, &output).hint(hint).into())
}

/// The swarm when its managers have seen what the host says of itself: that it has left.
///
/// A node that stays alive beyond the bound is another machine's, and is left alone.
async fn without_the_host(cx: &Cx, host: &str) -> Result<SwarmView, Trouble> {
    let until = Instant::now() + limits::NODE_DOWN;
    loop {
        let view = cx.fresh().swarm().await.map_err(no_manager)?;
        let Some(alive) = namesakes(&view, host).find(|n| !is_dead(n)) else { return Ok(view) };
        if Instant::now() >= until {
            cx.note(format!(
                "the node {} is marked as {host} and alive, though {host} is in no swarm: \
                 it is left alone",
                alive.id
            ));
            return Ok(view);
        }
        tokio::time::sleep(limits::POLL_SLOWEST).await;
    }
}

/// A machine made anew under the same name: its dead node makes room, as a manager it would count
/// against the quorum for ever. The node that the host itself is stays, however the managers see it.
async fn forget_namesakes(cx: &Cx, view: &SwarmView, host: &str, own: &str) -> Result<(), Trouble> {
    for node in namesakes(view, host).filter(|n| n.id != own && is_dead(n)) {
        let id = quote(&node.id);
        let script = format!(
            "if [ {} = manager ]; then docker node demote {id} >/dev/null || exit; fi; \
             docker node rm --force {id} >/dev/null",
            quote(&node.spec.role)
        );
        cx.ok(&view.manager, Cmd::new(script)).await?;
        cx.note(format!("the dead node {} of {host} was taken out of the swarm", node.id));
    }
    Ok(())
}

/// The joins are done: their tokens are worth nothing any more, and each node says which host it is.
///
/// The mark is set after the tokens are rotated, so that a run that was cut off in between rotates
/// again.
fn sealed(lab: &Lab) -> Step {
    let hosts: Vec<String> = lab.nodes().map(|h| h.name.clone()).collect();
    let applied = hosts.clone();
    Step::lab("tokens", "a join token stood in the arguments of a command, so it is rotated when the joins are done")
        .check(move |cx| {
            let hosts = hosts.clone();
            async move {
                let view = match cx.swarm().await {
                    Ok(view) => view,
                    Err(why) => return Check::Unknown(why),
                };
                for host in hosts {
                    match cx.engine(&host).await {
                        Ok(engine) if !is_marked(&view, &engine.swarm.node_id, &host) => {
                            return Check::Not(format!("{host} has joined since the last rotation"));
                        }
                        Ok(_) => {}
                        Err(why) => return Check::Unknown(why),
                    }
                }
                Check::True
            }
        })
        .apply(move |cx| {
            let hosts = applied.clone();
            async move {
                let view = cx.swarm().await.map_err(no_manager)?;
                let mut script = String::from(
                    "set -e; docker swarm join-token --rotate -q worker >/dev/null; \
                     docker swarm join-token --rotate -q manager >/dev/null\n",
                );
                for host in &hosts {
                    let id = cx.engine(host).await.map_err(Failure::new)?.swarm.node_id;
                    if !is_marked(&view, &id, host) {
                        script.push_str(&mark(&cx.lab().name, host, &quote(&id)));
                        script.push('\n');
                    }
                }
                cx.ok(&view.manager, Cmd::new(script)).await.map(drop)
            }
        })
}

/// The command that marks a node as a host of the lab.
fn mark(lab: &str, host: &str, node: &str) -> String {
    format!(
        "docker node update --label-add {LAB_LABEL}={lab} --label-add {HOST_LABEL}={} {node} >/dev/null",
        quote(host)
    )
}

fn is_marked(view: &SwarmView, id: &str, host: &str) -> bool {
    view.node(id).is_some_and(|n| n.spec.labels.get(HOST_LABEL).is_some_and(|h| h == host))
}
