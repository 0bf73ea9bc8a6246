//! What the lab's zones hold, compared with what they should, and what is answered.

use crate::cx::Cx;
use crate::destroy::Leftover;
use crate::dns_owned::{self as owned, Differences};
use crate::dns_records::{Names, reverse, zone};
use crate::step::{Failure, Trouble};
use crate::view::Table;
use futures::StreamExt;
use providers::dns::{Change, DnsServer, RecordSet, registry};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Questions in flight to one server. They are small, but a burst of hundreds of datagrams is lost
/// in its queue.
const QUESTIONS: usize = 32;

/// One zone of the lab.
pub struct Looked {
    /// Its name.
    pub zone: String,
    /// What the lab wants there.
    pub wanted: Vec<RecordSet>,
    /// What mends the differences.
    pub changes: Vec<Change>,
    words: Vec<String>,
}

impl Looked {
    /// What differs, one sentence each.
    pub fn words(&self) -> Vec<String> {
        self.words.clone()
    }
}

/// The server of the blueprint.
///
/// # Errors
/// When its secret can't be had, or the blueprint names no server.
pub async fn server(cx: &Cx) -> Result<Arc<dyn DnsServer>, Failure> {
    let server = cx.world().dns().await?;
    server.ok_or_else(|| Failure::new("the blueprint names no DNS server"))
}

/// Compares every zone of the lab with what it wants: first the blueprint's own, then those for the
/// names of addresses, then those where the lab has records that it wants no more.
///
/// # Errors
/// When the server can't be asked, or names are taken.
pub async fn look(cx: &Cx, names: &Names) -> Result<Vec<Looked>, Failure> {
    let (lab, server) = (cx.lab(), server(cx).await?);
    let zone = zone(lab).unwrap_or_default().to_owned();
    let mut wanted: BTreeMap<String, Vec<RecordSet>> = BTreeMap::new();
    for set in reverse(lab, &names.addresses) {
        wanted.entry(parent(&set.name)).or_default().push(set);
    }
    let mut of_zones: BTreeMap<String, Vec<RecordSet>> = BTreeMap::new();
    for (parent, sets) in wanted {
        // Where the server has no such zone, addresses have no names there.
        if let Some(zone) = server.zone_of(&parent).await? {
            of_zones.entry(zone).or_default().extend(sets);
        }
    }
    let forward = names.wanted.clone();
    let there = read(&server, &lab.name, &zone, &forward).await?;
    let listed = owned::zones(&owned::entries(&lab.name, &zone, &there));
    for left in listed.into_iter().filter(|z| *z != zone) {
        of_zones.entry(left).or_default();
    }
    let (mut others, mut looked) = (BTreeSet::new(), Vec::new());
    for (zone, wanted) in of_zones {
        let there = read(&server, &lab.name, &zone, &wanted).await?;
        let differ = owned::differences(&lab.name, &zone, &there, &wanted, &BTreeSet::new())?;
        // It is listed before anything is written there, and until nothing is left.
        let writes = differ.changes.iter().any(|c| c.now.is_some());
        if writes || !owned::entries(&lab.name, &zone, &there).is_empty() {
            others.insert(zone.clone());
        }
        looked.push(one(zone, wanted, differ));
    }
    let differ = owned::differences(&lab.name, &zone, &there, &forward, &others)?;
    looked.insert(0, one(zone, forward, differ));
    Ok(looked)
}

fn one(zone: String, wanted: Vec<RecordSet>, differ: Differences) -> Looked {
    Looked { zone, wanted, changes: differ.changes, words: differ.words }
}

/// A name without its first label.
fn parent(name: &str) -> String {
    name.split_once('.').map_or(name, |(_, parent)| parent).to_owned()
}

/// What a zone holds under the wanted names and under those that the lab's registry lists; nothing
/// where there is no such zone.
async fn read(
    server: &Arc<dyn DnsServer>,
    lab: &str,
    zone: &str,
    wanted: &[RecordSet],
) -> Result<Vec<RecordSet>, Failure> {
    let mut names: BTreeSet<String> = wanted.iter().map(|s| s.name.clone()).collect();
    names.insert(registry(lab, zone));
    let there = server.read(zone, &names).await?.unwrap_or_default();
    let entries = owned::entries(lab, zone, &there);
    let more: Vec<&str> = owned::listed(&entries).map(|(name, _)| name).collect();
    if more.iter().all(|name| names.contains(*name)) {
        return Ok(there);
    }
    names.extend(more.into_iter().map(str::to_owned));
    Ok(server.read(zone, &names).await?.unwrap_or_default())
}

/// What the server answered for one record set.
pub struct Asked {
    /// What is wanted.
    pub set: RecordSet,
    /// What it answered, or why it did not.
    pub answer: Result<BTreeSet<String>, Failure>,
    by: String,
}

impl Asked {
    /// What is wrong with the answer, in words.
    pub fn wrong(&self) -> Option<String> {
        let Self { set, answer, by } = self;
        let what = format!("{} {}", set.name, set.kind);
        match answer {
            Ok(values) if *values == set.values => None,
            Ok(values) if values.is_empty() => Some(format!("{what} is not answered by {by}")),
            Ok(values) => {
                let (is, wants) = (shown_values(values), owned::values(set));
                Some(format!("{what} is answered as {is} by {by}, not as {wants}"))
            }
            Err(failure) => Some(failure.message.clone()),
        }
    }
}

fn shown_values(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// Asks the server itself for each wanted record set, as any client does.
///
/// # Errors
/// When it has no address.
pub async fn ask(cx: &Cx, looked: &[Looked]) -> Result<Vec<Asked>, Failure> {
    let server = server(cx).await?;
    let by = server.answers().await?.to_string();
    let sets: Vec<RecordSet> = looked.iter().flat_map(|l| l.wanted.clone()).collect();
    let asked = sets.into_iter().map(|set| {
        let (server, by) = (&server, by.clone());
        async move {
            let answer = server.ask(&set.name, &set.kind).await.map_err(Failure::from);
            Asked { set, answer, by }
        }
    });
    Ok(futures::stream::iter(asked).buffered(QUESTIONS).collect().await)
}

/// The lab's records on the server, and the zone that bp made for them.
pub async fn leftovers(cx: &Cx) -> Vec<Leftover> {
    let zone = zone(cx.lab()).unwrap_or_default().to_owned();
    let what = format!("DNS records of zone {zone}");
    match found(cx).await {
        // What can't be asked can't be removed; that must keep nothing else.
        Err(failure) => vec![Leftover {
            what,
            remove: Box::new(move |_| {
                let failure = failure.clone();
                Box::pin(async move { Err(failure.into()) })
            }),
        }],
        Ok(found) if found.is_empty() => Vec::new(),
        Ok(found) => vec![Leftover {
            what: format!("{what}: {}", shortened(&found)),
            remove: Box::new(|cx| Box::pin(async move { remove(&cx).await })),
        }],
    }
}

/// The first of many.
fn shortened(found: &[String]) -> String {
    const SHOWN: usize = 8;
    match found.len() {
        0..=SHOWN => found.join(", "),
        all => format!("{} and {} more", found[..SHOWN].join(", "), all - SHOWN),
    }
}

/// The zones that may hold something of the lab, the blueprint's own last.
async fn zones(cx: &Cx, server: &Arc<dyn DnsServer>) -> Result<Vec<String>, Failure> {
    let lab = cx.lab();
    let zone = zone(lab).unwrap_or_default().to_owned();
    let there = read(server, &lab.name, &zone, &[]).await?;
    let mut zones = owned::zones(&owned::entries(&lab.name, &zone, &there));
    zones.remove(&zone);
    Ok(zones.into_iter().chain([zone]).collect())
}

/// What there is of the lab, in words.
async fn found(cx: &Cx) -> Result<Vec<String>, Failure> {
    let (lab, server) = (&cx.lab().name, server(cx).await?);
    let mut found = Vec::new();
    for zone in zones(cx, &server).await? {
        let there = read(&server, lab, &zone, &[]).await?;
        let all = owned::removal(lab, &zone, &there);
        let sets = all.iter().filter_map(|c| c.was.as_ref());
        found.extend(sets.map(|s| format!("{} {}", s.name, s.kind)));
        if server.is_spare(&zone).await? {
            found.push(format!("the zone {zone}"));
        }
    }
    Ok(found)
}

async fn remove(cx: &Cx) -> Result<(), Trouble> {
    let (lab, server) = (cx.lab().name.clone(), server(cx).await?);
    for zone in zones(cx, &server).await? {
        let there = read(&server, &lab, &zone, &[]).await?;
        let changes = owned::removal(&lab, &zone, &there);
        if !changes.is_empty()
            && let Some(remark) = server.change(&zone, &changes).await?
        {
            cx.note(remark);
        }
        if server.is_spare(&zone).await? {
            server.remove_zone(&zone).await?;
        }
    }
    let left = found(cx).await?;
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("still there: {}", left.join(", "))).into())
}

/// The records with who answers them, as they are answered now.
pub async fn shown(cx: &Cx) -> Option<Table> {
    zone(cx.lab())?;
    let rows = match rows(cx).await {
        Ok(rows) => rows,
        Err(why) => vec![vec![why, String::new(), String::new(), String::new(), String::new()]],
    };
    let head = vec!["name", "type", "value", "wanted", "answered by"];
    Some(Table { title: "records".to_owned(), head, rows })
}

async fn rows(cx: &Cx) -> Result<Vec<Vec<String>>, String> {
    let names = cx.names().await?;
    let looked = look(cx, &names).await.map_err(|f| f.message)?;
    let asked = ask(cx, &looked).await.map_err(|f| f.message)?;
    let row = |a: Asked| {
        let wanted = owned::values(&a.set);
        let value = match a.answer {
            Ok(values) if values.is_empty() => "not answered".to_owned(),
            Ok(values) => shown_values(&values),
            Err(failure) => failure.message,
        };
        vec![a.set.name, a.set.kind, value, wanted, a.by]
    };
    Ok(asked.into_iter().map(row).collect())
}
