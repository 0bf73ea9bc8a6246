//! Phase dns: names that are answered.

use crate::cx::Cx;
use crate::destroy::Leftover;
use crate::dns_hosts as hosts;
use crate::dns_look::{self as look, Looked};
use crate::dns_records::zone;
use crate::dns_resolves as resolves;
use crate::limits;
use crate::step::{Check, Failure, Step, Trouble};
use crate::view::Table;
use blueprints::{DnsServer as Server, Lab};
use providers::dns::DnsServer;
use std::sync::Arc;
use std::time::Duration;

/// A server's answer may lag behind its API, and a secondary behind its primary.
const ANSWERED: Duration = Duration::from_secs(120);

/// The steps of the phase.
pub fn steps(lab: &Lab) -> Vec<Step> {
    let mut steps = vec![addresses()];
    match &lab.dns.server {
        Server::Hosts => steps.extend(lab.hosts.iter().map(|h| hosts::block(&h.name))),
        Server::Libvirt => steps.push(records_step()),
        Server::PowerDns { zone, .. } | Server::Rfc2136 { zone, .. } => {
            steps.push(zone_step(zone));
            steps.push(records_step());
        }
    }
    steps.extend(lab.hosts.iter().map(|host| resolves::step(lab, host)));
    steps
}

/// A gate before the first step that looks at all hosts.
fn addresses() -> Step {
    Step::lab("addresses", "names stand for addresses, so every host's own has to be known")
        .within(limits::BOOT)
        .check(|cx| async move {
            match cx.names().await {
                Ok(_) => Check::True,
                Err(why) => Check::Unknown(why),
            }
        })
}

fn zone_step(zone: &str) -> Step {
    let (checked, made) = (zone.to_owned(), zone.to_owned());
    Step::lab("zone", "records lie in a zone, which the server has to hold")
        .check(move |cx| {
            let zone = checked.clone();
            async move { zone_check(&cx, &zone).await.unwrap_or_else(Check::Failed) }
        })
        .apply(move |cx| {
            let zone = made.clone();
            async move {
                let taken = match cx.names().await {
                    Ok(names) => names.wanted.iter().map(|set| set.name.clone()).collect(),
                    Err(_) => Default::default(),
                };
                Ok(look::server(&cx).await?.make_zone(&zone, &taken).await?)
            }
        })
}

async fn zone_check(cx: &Cx, zone: &str) -> Result<Check, Failure> {
    let server = look::server(cx).await?;
    if server.read(zone, &Default::default()).await?.is_some() {
        return Ok(Check::True);
    }
    let why = format!("{} holds no zone `{zone}`", server.words());
    if server.makes_zones() {
        return Ok(Check::Not(why));
    }
    Err(Failure::new(why).hint("make the zone there, and let the key change it"))
}

fn records_step() -> Step {
    Step::lab("records", "a record is true when the server answers it, not when it took it")
        .within(ANSWERED)
        .check(|cx| async move { records_check(&cx).await.unwrap_or_else(Check::Failed) })
        .apply(|cx| async move { records_apply(&cx).await })
}

async fn records_check(cx: &Cx) -> Result<Check, Failure> {
    let names = match cx.names().await {
        Ok(names) => names,
        Err(why) => return Ok(Check::Unknown(why)),
    };
    let looked = look::look(cx, &names).await?;
    let differ: Vec<String> = looked.iter().flat_map(Looked::words).collect();
    if !differ.is_empty() {
        return Ok(Check::Not(differ.join(", ")));
    }
    let asked = look::ask(cx, &looked).await?;
    if asked.iter().all(|a| a.answer.is_err())
        && let Some(Err(silent)) = asked.iter().map(|a| &a.answer).next()
    {
        // Its API is there already, or its primary: it may need a moment.
        let hint = silent.hint.iter().map(|h| format!(" ({h})"));
        return Ok(Check::Not(hint.fold(silent.message.clone(), |why, hint| why + &hint)));
    }
    let wrong: Vec<String> = asked.iter().filter_map(look::Asked::wrong).collect();
    Ok(Check::when(wrong.is_empty(), wrong.join(", ")))
}

/// How often differences are looked for: the registry of the lab's zone is settled after that of a
/// zone which it lists.
const ROUNDS: usize = 3;

async fn records_apply(cx: &Cx) -> Result<(), Trouble> {
    let names = cx.names().await.map_err(Failure::new)?;
    let server = look::server(cx).await?;
    for round in 0..ROUNDS {
        let looked = look::look(cx, &names).await?;
        let differ: Vec<&Looked> = looked.iter().filter(|l| !l.changes.is_empty()).collect();
        if differ.is_empty() {
            return match round {
                // It holds what it should and answered something else: a cache.
                0 => forget(cx, &server, &looked).await,
                _ => Ok(()),
            };
        }
        for zone in differ {
            if let Some(remark) = server.change(&zone.zone, &zone.changes).await? {
                cx.note(remark);
            }
        }
    }
    Ok(())
}

/// Has the server forget what it answers wrong.
async fn forget(
    cx: &Cx,
    server: &Arc<dyn DnsServer>,
    looked: &[look::Looked],
) -> Result<(), Trouble> {
    let wrong: Vec<look::Asked> =
        look::ask(cx, looked).await?.into_iter().filter(|a| a.wrong().is_some()).collect();
    for zone in looked {
        let of_zone = wrong.iter().filter(|a| zone.wanted.contains(&a.set));
        let names = of_zone.map(|a| a.set.name.clone()).collect();
        server.forget(&zone.zone, &names).await?;
    }
    Ok(())
}

/// What the phase made outside the machines that bp removes: see [`crate::destroy`].
///
/// # Errors
/// Never: what can't be asked is reported when it is to be removed.
pub async fn leftovers(cx: &Cx) -> Result<Vec<Leftover>, Failure> {
    let mut left = hosts::leftovers(cx).await;
    if zone(cx.lab()).is_some() {
        left.extend(look::leftovers(cx).await);
    }
    Ok(left)
}

/// What `status` shows of it besides its steps.
pub async fn shown(cx: &Cx) -> Vec<Table> {
    look::shown(cx).await.into_iter().collect()
}
