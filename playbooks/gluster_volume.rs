//! Volumes: made from the hosts' bricks, marked as the lab's, started, every brick at work, nothing
//! left to heal.

use crate::cx::Cx;
use crate::gluster_view::{self as view, Pool, no_pool};
use crate::gluster_xml as xml;
use crate::limits;
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{Lab, Volume, VolumeKind};
use indexmap::IndexMap;
use providers::quote;

/// The option by which a volume says whose it is. Gluster keeps options that begin with `user.`
/// without a meaning of its own.
pub(crate) const LAB_OPTION: &str = "user.bp.lab";

/// The option by which a volume says which of its options bp has set.
const SET_OPTION: &str = "user.bp.options";

/// What a sound volume needs besides gluster's own defaults.
///
/// - `network.ping-timeout` 15: a machine that dies silently holds up every writer for that long;
///   gluster's own 42 s outlast health checks and leases of what runs on the volume. Much less
///   takes a busy machine for a dead one.
/// - `cluster.quorum-type` auto, with three copies: a writer that sees fewer than two bricks gets an
///   error instead of a second truth. That is also why no `cluster.favorite-child-policy` is set,
///   which would choose between two truths silently, and no `cluster.server-quorum-type`, which
///   stops bricks that clients can still use.
/// - `cluster.heal-timeout` 60: what a brick missed is looked for every minute, not every ten.
pub(crate) fn defaults(kind: VolumeKind) -> Vec<(&'static str, &'static str)> {
    let mut options = vec![("network.ping-timeout", "15")];
    if kind != VolumeKind::Distribute {
        options.push(("cluster.heal-timeout", "60"));
    }
    if kind.set() >= 3 {
        options.push(("cluster.quorum-type", "auto"));
    }
    options
}

/// The options that bp sets, the blueprint's over its own, and the list of them.
fn wanted(volume: &Volume) -> IndexMap<String, String> {
    let own = defaults(volume.kind).into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
    let mut options: IndexMap<String, String> = own.collect();
    options.extend(volume.options.clone());
    let names: Vec<&str> = options.keys().map(String::as_str).collect();
    let names = names.join(",");
    options.insert(SET_OPTION.to_owned(), names);
    options
}

/// A kind in words.
pub(crate) fn words(kind: VolumeKind) -> String {
    match kind {
        VolumeKind::Distribute => "distribute".to_owned(),
        VolumeKind::Replica(count) => format!("replica {count}"),
        VolumeKind::Arbiter => "replica 3 with an arbiter".to_owned(),
    }
}

/// The bricks of a volume as gluster writes them, in their order.
pub(crate) fn bricks(lab: &Lab, volume: &Volume) -> Vec<String> {
    let name = |host: &str| match lab.host(host) {
        Some(host) => lab.fqdn(host),
        None => host.to_owned(),
    };
    volume.bricks.iter().map(|b| format!("{}:{}", name(&b.host), b.path)).collect()
}

/// A volume is there, is the lab's, and is as the blueprint says.
pub(crate) fn made(volume: &Volume) -> Step {
    let (checked, applied) = (volume.clone(), volume.clone());
    Step::lab(format!("volume {}", volume.name), "files lie on a volume over the hosts' bricks")
        .within(limits::GLUSTER)
        .check(move |cx| {
            let volume = checked.clone();
            async move {
                match cx.gluster_pool().await {
                    Ok(pool) => state(&cx, &pool, &volume).await,
                    Err(why) => Check::Unknown(why),
                }
            }
        })
        .apply(move |cx| {
            let volume = applied.clone();
            async move {
                let pool = cx.gluster_pool().await.map_err(no_pool)?;
                match state(&cx, &pool, &volume).await {
                    Check::Not(_) => make(&cx, &pool, &volume).await,
                    Check::True => Ok(()),
                    Check::Failed(failure) => Err(failure.into()),
                    Check::Unknown(why) => Err(Failure::new(why).into()),
                }
            }
        })
}

async fn state(cx: &Cx, pool: &Pool, wants: &Volume) -> Check {
    let Some(has) = pool.volume(&wants.name) else {
        // It may be known where nobody could ask.
        for brick in &wants.bricks {
            if let Err(check) = cx.gluster_host(&brick.host).await {
                return Check::Unknown(check.reason().to_owned());
            }
        }
        return Check::Not("it is not there".to_owned());
    };
    let lab = cx.lab();
    match has.option(LAB_OPTION) {
        Some(owner) if owner == lab.name => {}
        Some(owner) => {
            return Check::Failed(
                Failure::new(format!("the volume `{}` is the lab `{owner}`'s", has.name))
                    .hint("give the volume another name in the blueprint"),
            );
        }
        // What a run leaves that was cut off before the mark: nobody has used it.
        None if has.state == "Created"
            && has.kind == Some(wants.kind)
            && has.bricks == bricks(lab, wants) =>
        {
            return Check::Not("it does not carry the lab's mark yet".to_owned());
        }
        None => {
            return Check::Failed(
                Failure::new(format!("the volume `{}` is not bp's own", has.name)).hint(format!(
                    "if it is to be the lab's: `gluster volume set {} {LAB_OPTION} {}` on {}",
                    has.name, lab.name, pool.host
                )),
            );
        }
    }
    let (set, reset) = differing(has, wants);
    let differ: Vec<String> = set.iter().map(|(k, _)| k.clone()).chain(reset).collect();
    if !differ.is_empty() {
        return Check::Not(format!("{} differ from the blueprint's", differ.join(", ")));
    }
    Check::when(has.is_started(), format!("it is {}", has.state.to_lowercase()))
}

/// The options to set, and those that bp once set and are not wanted any more.
fn differing(has: &xml::Volume, wants: &Volume) -> (Vec<(String, String)>, Vec<String>) {
    let wanted = wanted(wants);
    let differs = |(k, v): &(&String, &String)| has.option(k) != Some(v.as_str());
    let set = wanted.iter().filter(differs).map(|(k, v)| (k.clone(), v.clone())).collect();
    let once = has.option(SET_OPTION).unwrap_or_default().split(',').filter(|k| !k.is_empty());
    // Gluster can't take an option of its users away again.
    let once = once.filter(|k| !k.starts_with("user."));
    let left = once.filter(|k| !wanted.contains_key(*k) && has.options.contains_key(*k));
    (set, left.map(str::to_owned).collect())
}

async fn make(cx: &Cx, pool: &Pool, wants: &Volume) -> Result<(), Trouble> {
    let name = quote(&wants.name);
    let mut script = String::from("set -e\n");
    let has = pool.volume(&wants.name);
    if has.is_none() {
        let kind = match wants.kind {
            VolumeKind::Distribute => String::new(),
            VolumeKind::Replica(count) => format!(" replica {count}"),
            VolumeKind::Arbiter => " replica 3 arbiter 1".to_owned(),
        };
        let all: Vec<String> = bricks(cx.lab(), wants).iter().map(|b| quote(b)).collect();
        // What `force` is there to confirm was looked at by the bricks' own steps: a brick on the
        // root file system is the blueprint's choice.
        script.push_str(&format!("g volume create {name}{kind} {} force\n", all.join(" ")));
    }
    let (mut set, reset) = match has {
        Some(has) => differing(has, wants),
        None => (wanted(wants).into_iter().collect(), Vec::new()),
    };
    for option in reset {
        script.push_str(&format!("g volume reset {name} {}\n", quote(&option)));
    }
    set.push((LAB_OPTION.to_owned(), cx.lab().name.clone()));
    let pairs: Vec<String> =
        set.iter().map(|(k, v)| format!("{} {}", quote(k), quote(v))).collect();
    script.push_str(&format!("g volume set {name} {}\n", pairs.join(" ")));
    if !has.is_some_and(xml::Volume::is_started) {
        script.push_str(&format!("g volume start {name}\n"));
    }
    view::change(cx, &pool.host, &script).await
}

/// A volume that left the blueprint is said: what lies on it may be wanted, and only its owner knows.
pub(crate) fn unlisted() -> Step {
    Step::lab(
        "unlisted volumes",
        "a volume that left the blueprint is kept until somebody means it",
    )
    .check(|cx| async move {
        let pool = match cx.gluster_pool().await {
            Ok(pool) => pool,
            Err(why) => return Check::Unknown(why),
        };
        let lab = cx.lab();
        let mut ours = pool.volumes.iter().filter(|v| v.option(LAB_OPTION) == Some(&lab.name));
        match ours.find(|v| lab.volumes.iter().all(|w| w.name != v.name)) {
            None => Check::True,
            Some(left) => Check::Failed(
                Failure::new(format!("the volume `{}` left the blueprint", left.name)).hint(
                    format!(
                        "put it back; or, on {}: `gluster volume stop {}`, then `gluster volume \
                             delete {}`, which keeps what lies on its bricks",
                        pool.host, left.name, left.name
                    ),
                ),
            ),
        }
    })
}

/// Every brick of a volume has its process.
pub(crate) fn online(volume: &Volume) -> Step {
    let (checked, applied) = (volume.name.clone(), volume.name.clone());
    Step::lab(
        format!("online {}", volume.name),
        "a brick without its process holds no copy of what is written",
    )
    .within(limits::GLUSTER)
    .check(move |cx| {
        let name = checked.clone();
        async move {
            let pool = match cx.gluster_pool().await {
                Ok(pool) => pool,
                Err(why) => return Check::Unknown(why),
            };
            match offline(&pool, &name) {
                Err(why) => Check::Unknown(why),
                Ok(off) if off.is_empty() => Check::True,
                Ok(off) => {
                    // A host that is away brings its bricks back with itself.
                    for host in cx.lab().brick_hosts() {
                        if let Err(check) = cx.gluster_host(&host.name).await {
                            return Check::Unknown(check.reason().to_owned());
                        }
                    }
                    Check::Not(format!("{} {} offline", off.join(", "), are(off.len())))
                }
            }
        }
    })
    .apply(move |cx| {
        let name = applied.clone();
        async move {
            let pool = cx.gluster_pool().await.map_err(no_pool)?;
            // `force`: of a volume that is started, the bricks that are not.
            let script = format!("g volume start {} force", quote(&name));
            view::change(&cx, &pool.host, &script).await
        }
    })
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// The bricks of a volume that have no process.
pub(crate) fn offline(pool: &Pool, name: &str) -> Result<Vec<String>, String> {
    let Some(volume) = pool.volume(name) else {
        return Err(format!("the volume `{name}` is not there"));
    };
    let running = pool.running(name)?;
    let is_on = |brick: &&String| running.bricks.iter().any(|p| p.brick == **brick && p.online);
    Ok(volume.bricks.iter().filter(|b| !is_on(b)).cloned().collect())
}

/// Nothing of a volume waits for healing.
pub(crate) fn healed(volume: &Volume) -> Step {
    let (checked, applied) = (volume.name.clone(), volume.name.clone());
    Step::lab(
        format!("heal {}", volume.name),
        "every copy of every file is the same: a brick that was away has caught up",
    )
    .within(limits::HEAL)
    .check(move |cx| {
        let name = checked.clone();
        async move {
            match cx.gluster_pool().await {
                Ok(pool) => is_healed(&pool, &name),
                Err(why) => Check::Unknown(why),
            }
        }
    })
    .apply(move |cx| {
        let name = applied.clone();
        async move {
            let pool = cx.gluster_pool().await.map_err(no_pool)?;
            // Healing goes on by itself; asked for, it begins at once.
            view::change(&cx, &pool.host, &format!("g volume heal {}", quote(&name))).await
        }
    })
}

fn is_healed(pool: &Pool, name: &str) -> Check {
    if pool.volume(name).is_none() {
        return Check::Unknown(format!("the volume `{name}` is not there"));
    }
    let bricks = match pool.healing.get(name) {
        Some(Ok(bricks)) if !bricks.is_empty() => bricks,
        Some(Ok(_)) | None => return Check::Unknown("gluster names no brick".to_owned()),
        Some(Err(why)) => return Check::Unknown(why.clone()),
    };
    if let Some(Ok(split)) = pool.split.get(name) {
        let mut files: Vec<&str> =
            split.iter().flat_map(|b| &b.files).map(String::as_str).collect();
        files.sort_unstable();
        files.dedup();
        if let Some(file) = files.first() {
            return Check::Failed(
                Failure::new(format!("split-brain in the volume `{name}`: {}", files.join(", ")))
                    .hint(format!(
                        "choose the copy to keep: `gluster volume heal {name} split-brain latest-mtime {file}` on {}",
                        pool.host
                    )),
            );
        }
    }
    let waits = bricks.iter().filter_map(|b| match &b.entries {
        Ok(0) => None,
        Ok(count) => Some(format!("{count} entries of {} wait for healing", b.brick)),
        Err(why) => Some(format!("{}: {}", b.brick, why.to_lowercase())),
    });
    let waits: Vec<String> = waits.collect();
    let blind = bricks.iter().any(|b| b.entries.is_err());
    match waits.is_empty() {
        true => Check::True,
        false if blind => Check::Unknown(waits.join(", ")),
        false => Check::Not(waits.join(", ")),
    }
}
