//! The pool: every host with a brick knows every other, by name, and is connected to it.

use crate::cx::Cx;
use crate::gluster_host::HostView;
use crate::gluster_record as record;
use crate::gluster_view as view;
use crate::gluster_xml as xml;
use crate::limits;
use crate::step::{Check, Failure, Step, Trouble};
use futures::future::join_all;
use providers::quote;
use std::collections::HashMap;

/// A host with a brick: its name in the lab, its whole name, and what it says.
struct Member {
    host: String,
    fqdn: String,
    view: HostView,
}

/// What all hosts with a brick say.
async fn members(cx: &Cx) -> Result<Vec<Member>, Check> {
    let hosts: Vec<_> = cx.lab().brick_hosts().collect();
    let views = join_all(hosts.iter().map(|h| cx.gluster_host(&h.name))).await;
    let with = |(host, view): (&&blueprints::Host, Result<HostView, Check>)| {
        Ok(Member { host: host.name.clone(), fqdn: cx.lab().fqdn(host), view: view? })
    };
    hosts.iter().zip(views).map(with).collect()
}

/// Clones that kept their template's daemon take each other's place in the pool.
pub(crate) fn identities() -> Step {
    Step::lab("identities", "daemons that share an identity, as clones do, can't be in one pool")
        .check(|cx| async move {
            let members = match members(&cx).await {
                Ok(members) => members,
                Err(check) => return check,
            };
            let mut seen: HashMap<&str, &str> = HashMap::new();
            for member in members.iter().filter(|m| !m.view.uuid.is_empty()) {
                if let Some(other) = seen.insert(&member.view.uuid, &member.host) {
                    return Check::Failed(
                        Failure::new(format!(
                            "{other} and {} have the same glusterd identity {}",
                            member.host, member.view.uuid
                        ))
                        .hint(
                            "take /var/lib/glusterd out of the template, and make the hosts anew",
                        ),
                    );
                }
            }
            Check::True
        })
}

/// Every host knows every other, by name, and is connected to it.
pub(crate) fn peers() -> Step {
    Step::lab("peers", "hosts with a brick form one pool, each connected to each")
        .within(limits::GLUSTER)
        .check(|cx| async move {
            match members(&cx).await {
                Ok(members) => state(&members),
                Err(check) => check,
            }
        })
        .apply(|cx| async move {
            let members = members(&cx).await.map_err(not_known)?;
            match state(&members) {
                Check::Not(_) => probe(&cx, &members).await,
                Check::True => Ok(()),
                other => Err(not_known(other)),
            }
        })
}

fn not_known(check: Check) -> Trouble {
    match check {
        Check::Failed(failure) => failure.into(),
        other => Failure::new(other.reason()).into(),
    }
}

fn state(members: &[Member]) -> Check {
    for member in members {
        if let Err(why) = member.view.peers() {
            return Check::Unknown(format!("{}: {why}", member.host));
        }
    }
    for member in members {
        for other in members {
            let address = member.view.names.get(&other.fqdn).map_or("", String::as_str);
            if address.is_empty() {
                let why = format!("{}: the name {} does not resolve", member.host, other.fqdn);
                return Check::Unknown(why);
            }
            if other.host != member.host && (address.starts_with("127.") || address == "::1") {
                return Check::Unknown(format!(
                    "{}: the name {} resolves to {address}, which is {} itself",
                    member.host, other.fqdn, member.host
                ));
            }
        }
    }
    if let Some(failure) = two_pools(members) {
        return Check::Failed(failure);
    }
    for member in members {
        let peers = member.view.peers().unwrap_or_default();
        for other in members.iter().filter(|o| o.host != member.host) {
            let why = match peers.iter().find(|p| p.is_called(&other.fqdn)) {
                None => match peers.iter().find(|p| p.uuid == other.view.uuid) {
                    None => format!("does not know {}", other.fqdn),
                    Some(peer) => format!("knows {} only as {}", other.fqdn, peer.hostname),
                },
                Some(peer) if !other.view.uuid.is_empty() && peer.uuid != other.view.uuid => {
                    return Check::Failed(another_daemon(member, other, &peer.uuid));
                }
                Some(peer) => match peer.lacks() {
                    Some(lacks) => format!("says that {} {lacks}", other.fqdn),
                    None => continue,
                },
            };
            return Check::Not(format!("{} {why}", member.host));
        }
    }
    Check::True
}

/// Hosts that have peers, and do not have each other.
fn two_pools(members: &[Member]) -> Option<Failure> {
    let pool = |m: &Member| {
        let peers = m.view.peers().unwrap_or_default();
        let named = peers.iter().map(|p| p.hostname.clone());
        let all: Vec<String> = std::iter::once(m.fqdn.clone()).chain(named).collect();
        all.join(", ")
    };
    let knows = |a: &Member, b: &Member| {
        let peers = a.view.peers().unwrap_or_default();
        peers.iter().any(|p| p.uuid == b.view.uuid || p.is_called(&b.fqdn))
    };
    let grown: Vec<&Member> =
        members.iter().filter(|m| m.view.peers().is_ok_and(|p| !p.is_empty())).collect();
    let first = grown.first()?;
    let other = grown.iter().skip(1).find(|m| !knows(first, m) && !knows(m, first))?;
    Some(
        Failure::new(format!(
            "{} and {} are in two pools: one of {}; one of {}",
            first.host,
            other.host,
            pool(first),
            pool(other)
        ))
        .hint("bp never takes a host out of a pool that it did not make: `gluster peer detach` there, if you mean it"),
    )
}

fn another_daemon(member: &Member, other: &Member, known: &str) -> Failure {
    Failure::new(format!(
        "{} knows {} as the daemon {known}, it is now {}",
        member.host, other.fqdn, other.view.uuid
    ))
    .hint(format!(
        "was {} made anew? bring its old /var/lib/glusterd back, or take the old one out of the pool: \
         `gluster peer detach {} force`",
        other.host, other.fqdn
    ))
}

/// Probes from a host that is in the pool already; one of the others then probes it back, because
/// it is known to them by whatever name its address has.
async fn probe(cx: &Cx, members: &[Member]) -> Result<(), Trouble> {
    let count = |m: &Member| m.view.peers().map_or(0, <[_]>::len);
    let most = members.iter().map(count).max();
    let Some(base) = members.iter().find(|m| Some(count(m)) == most) else { return Ok(()) };
    let others: Vec<&Member> = members.iter().filter(|m| m.host != base.host).collect();
    let names: Vec<String> = others.iter().map(|m| quote(&m.fqdn)).collect();
    // Told before they are taken in, so that a run that is cut off knows them too. A pool of one is
    // no pool of somebody else's.
    let known = base.view.peers().unwrap_or_default();
    let is_new = |m: &&Member| match m.host == base.host {
        true => known.is_empty(),
        false => !known.iter().any(|p| p.uuid == m.view.uuid || p.is_called(&m.fqdn)),
    };
    let mut ours = record::of(members.iter().map(|m| &m.view));
    ours.extend(members.iter().filter(is_new).map(|m| m.fqdn.clone()));
    if members.iter().any(|m| m.view.probed != ours) {
        let hosts: Vec<String> = members.iter().map(|m| m.host.clone()).collect();
        record::tell(cx, &hosts, &ours).await?;
    }
    view::change(cx, &base.host, &probes(&names)).await.map_err(hinted)?;
    if let Some(back) = others.first() {
        view::change(cx, &back.host, &probes(&[quote(&base.fqdn)])).await.map_err(hinted)?;
    }
    Ok(())
}

/// A peer that was probed a moment ago may not take part in the next probe yet.
fn probes(names: &[String]) -> String {
    format!(
        "for n in {}; do\n\
         i=0; until said=$(g peer probe \"$n\" 2>&1); do\n\
         i=$((i + 1)); [ $i -lt 5 ] || {{ echo \"$n: $said\" >&2; exit 1; }}; sleep 2\n\
         done\n\
         done",
        names.join(" ")
    )
}

fn hinted(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Failure(failure) if failure.message.contains("another cluster") => failure
            .hint("a host that has volumes or peers of its own can't be taken into a pool")
            .into(),
        Trouble::Failure(failure) => {
            failure.hint("is 24007/tcp open between the hosts with a brick?").into()
        }
        session => session,
    }
}

/// Peers that bp took into the pool and that have no brick any more are let go.
pub(crate) fn unlisted() -> Step {
    Step::lab("unlisted peers", "a host whose bricks are gone has no place in the pool")
        .within(limits::GLUSTER)
        .check(|cx| async move {
            match without_brick(&cx).await {
                Ok((_, left)) => {
                    let names: Vec<&str> = left.iter().map(|p| p.hostname.as_str()).collect();
                    let why = format!("{} no host with a brick any more", is(&names));
                    Check::when(left.is_empty(), why)
                }
                Err(why) => Check::Unknown(why),
            }
        })
        .apply(|cx| async move {
            let (host, left) = without_brick(&cx).await.map_err(view::no_pool)?;
            for peer in &left {
                detach(&cx, &host, peer).await?;
            }
            // Who comes back by another's hand is not bp's any more.
            let members = members(&cx).await.map_err(not_known)?;
            let mut ours = record::of(members.iter().map(|m| &m.view));
            ours.retain(|name| !left.iter().any(|p| p.is_called(name)));
            let hosts: Vec<String> = members.into_iter().map(|m| m.host).collect();
            record::tell(&cx, &hosts, &ours).await
        })
}

/// Peers whom bp took into the pool, that are no host with a brick in the blueprint, and hold none of
/// a volume that the blueprint does not know: theirs in the lab's volumes are given up before. With
/// the host that knows them.
async fn without_brick(cx: &Cx) -> Result<(String, Vec<xml::Peer>), String> {
    let pool = cx.gluster_pool().await?;
    let view = cx.gluster_host(&pool.host).await.map_err(|c| c.reason().to_owned())?;
    let lab = cx.lab();
    let listed: Vec<String> = lab.brick_hosts().map(|h| lab.fqdn(h)).collect();
    let views = join_all(lab.brick_hosts().map(|h| cx.gluster_host(&h.name))).await;
    let ours = record::of(views.iter().flatten());
    let holds = |peer: &xml::Peer| {
        let others = pool.volumes.iter().filter(|v| lab.volumes.iter().all(|w| w.name != v.name));
        let bricks = others.flat_map(|v| &v.bricks);
        bricks.filter_map(|b| b.split_once(':')).any(|(host, _)| peer.is_called(host))
    };
    let left = view.peers()?.iter().filter(|p| {
        ours.iter().any(|n| p.is_called(n)) && !listed.iter().any(|l| p.is_called(l)) && !holds(p)
    });
    Ok((pool.host, left.cloned().collect()))
}

fn is(names: &[&str]) -> String {
    format!("{} {}", names.join(", "), if names.len() == 1 { "is" } else { "are" })
}

/// Lets a peer go. Who is away can't be asked to.
pub(crate) async fn detach(cx: &Cx, host: &str, peer: &xml::Peer) -> Result<(), Trouble> {
    let force = if peer.is_connected() { "" } else { " force" };
    let script = format!("g peer detach {}{force}\n", quote(&peer.hostname));
    view::change(cx, host, &script).await
}
