//! Bricks that come and go: copies kept whole, files moved before their brick is given up.

use crate::cx::Cx;
use crate::gluster_change::{Change, next};
use crate::gluster_view::{self as view, Pool, no_pool};
use crate::gluster_volume::{bricks, offline};
use crate::gluster_xml as xml;
use crate::limits;
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{Lab, Volume, VolumeKind};
use providers::{Cmd, quote};

/// The option by which a volume says that files are to be spread over bricks that are new: `due`
/// before they are added, `begun` from the moment that files move, then `done`: gluster can't take
/// an option of its users away again.
const SPREAD: &str = "user.bp.rebalance";

/// A volume has the bricks of the blueprint.
pub(crate) fn members(volume: &Volume) -> Step {
    let (checked, applied) = (volume.clone(), volume.clone());
    Step::lab(
        format!("bricks {}", volume.name),
        "a volume lies on the bricks that the blueprint says, every copy kept and every file moved",
    )
    .within(limits::HEAL)
    .check(move |cx| {
        let volume = checked.clone();
        async move {
            match cx.gluster_pool().await {
                Ok(pool) => state(cx.lab(), &pool, &volume),
                Err(why) => Check::Unknown(why),
            }
        }
    })
    .apply(move |cx| {
        let volume = applied.clone();
        async move { change_all(&cx, &volume).await }
    })
}

fn state(lab: &Lab, pool: &Pool, volume: &Volume) -> Check {
    let Some(has) = pool.volume(&volume.name) else {
        return Check::Unknown(format!("the volume `{}` is not there", volume.name));
    };
    match next(has, volume.kind, &bricks(lab, volume)) {
        Err(failure) => Check::Failed(failure),
        Ok(Some(change)) => Check::Not(change.words()),
        Ok(None) if is_spreading(has).is_some() => {
            Check::Not("files are not spread over the new bricks yet".to_owned())
        }
        Ok(None) => Check::True,
    }
}

/// How far the spreading of files over new bricks is, where it is not done.
fn is_spreading(has: &xml::Volume) -> Option<&str> {
    has.option(SPREAD).filter(|stage| *stage != "done")
}

/// One change after the other, each from what the pool says now, so that a run that was cut off is
/// taken up where it was. The step's bound ends it.
async fn change_all(cx: &Cx, volume: &Volume) -> Result<(), Trouble> {
    let wanted = bricks(cx.lab(), volume);
    loop {
        let pool = cx.fresh().gluster_pool().await.map_err(no_pool)?;
        let Some(has) = pool.volume(&volume.name) else {
            return Err(Failure::new(format!("the volume `{}` is gone", volume.name)).into());
        };
        let waits = match next(has, volume.kind, &wanted)? {
            Some(change) => take(cx, &pool, has, &change).await?,
            None => match is_spreading(has) {
                Some(stage) => spread(cx, &pool, has, stage == "begun").await?,
                None => return Ok(()),
            },
        };
        if waits {
            tokio::time::sleep(limits::POLL_SLOWEST).await;
        }
    }
}

/// Does a change, or says that something has to be waited for before.
async fn take(cx: &Cx, pool: &Pool, has: &xml::Volume, change: &Change) -> Result<bool, Trouble> {
    let name = quote(&has.name);
    let list = |all: &[String]| all.iter().map(|b| quote(b)).collect::<Vec<_>>().join(" ");
    let script = match change {
        Change::Add(new) => format!(
            "set -e\ng volume set {name} {SPREAD} due\ng volume add-brick {name} {} force\n",
            list(new)
        ),
        Change::Copy(count, new) => {
            format!("g volume add-brick {name} replica {count} {} force\n", list(new))
        }
        Change::Replace(old, new) => {
            if !is_safe_without(pool, has, std::slice::from_ref(old))? {
                return Ok(true);
            }
            format!("g volume replace-brick {name} {} {} commit force\n", quote(old), quote(new))
        }
        Change::Drop(count, old) => {
            if !is_safe_without(pool, has, old)? {
                return Ok(true);
            }
            format!("g volume remove-brick {name} replica {count} {} force\n", list(old))
        }
        Change::Drain(old) => return drain(cx, pool, has, old).await,
    };
    cx.note(format!("volume {}: {}", has.name, change.words()));
    view::change(cx, &pool.host, &script).await?;
    Ok(false)
}

/// Whether the copies that stay are whole. A brick that goes and still answers is needed until
/// nothing waits for healing; without it, the others have to have all that was written.
fn is_safe_without(pool: &Pool, has: &xml::Volume, going: &[String]) -> Result<bool, Failure> {
    let off = offline(pool, &has.name).map_err(Failure::new)?;
    let missing: Vec<&String> = off.iter().filter(|b| !going.contains(b)).collect();
    if let Some(brick) = missing.first() {
        return Err(Failure::new(format!(
            "{} can't be given up while {brick} is offline",
            going.join(", ")
        ))
        .hint("the copies that stay have to be at work: bring that host back first"));
    }
    let healing = match pool.healing.get(&has.name) {
        Some(Ok(bricks)) => bricks,
        Some(Err(why)) => return Err(Failure::new(format!("what waits for healing: {why}"))),
        None => return Err(Failure::new("nobody says what waits for healing")),
    };
    if going.iter().all(|b| off.contains(b)) {
        return match is_whole_without(has, going, healing) {
            true => Ok(true),
            false => Err(Failure::new(format!(
                "{} may hold what no other brick has, and can't say while offline",
                going.join(", ")
            ))
            .hint(format!(
                "bring that host back until nothing waits for healing; if it is gone for good, give \
                 its brick up by hand on {}: `gluster volume replace-brick {} {} NEW commit force`, \
                 or `remove-brick`",
                pool.host,
                has.name,
                going.join(" ")
            ))),
        };
    }
    Ok(healing.iter().all(|b| b.entries == Ok(0)))
}

/// Whether the bricks that stay have all that was written, whatever the ones that go and are offline
/// hold.
///
/// A brick knows what others have missed and never what it has missed itself. So it takes that every
/// write went to so many bricks that one of them is among those that stay. An arbiter keeps no files,
/// but it knows what the other brick has missed: what it lists alone is that.
fn is_whole_without(has: &xml::Volume, going: &[String], healing: &[xml::Healing]) -> bool {
    let copies = has.kind.map_or(1, VolumeKind::set) as usize;
    let quorum = match has.option("cluster.quorum-type") {
        // Exactly half of them are enough with the first among them.
        None | Some("auto") => copies.div_ceil(2),
        Some(_) => 1,
    };
    if copies.saturating_sub(going.len()) + quorum <= copies {
        return false;
    }
    if has.kind != Some(VolumeKind::Arbiter) {
        return true;
    }
    let listed = |brick: &String| healing.iter().find(|h| h.brick == *brick);
    has.bricks.chunks(copies).filter(|set| set.iter().any(|b| going.contains(b))).all(|set| {
        let [data @ .., arbiter] = set else { return false };
        if going.contains(arbiter) {
            return true;
        }
        let mut stay = data.iter().filter(|b| !going.contains(b));
        match (stay.next().and_then(listed), listed(arbiter)) {
            (Some(stays), Some(arbiter)) => {
                let known = |id: &String| stays.ids.contains(id);
                stays.entries.is_ok()
                    && arbiter.entries == Ok(arbiter.ids.len() as u64)
                    && arbiter.ids.iter().all(known)
            }
            _ => false,
        }
    })
}

/// Files move off the bricks, then the bricks go.
async fn drain(cx: &Cx, pool: &Pool, has: &xml::Volume, old: &[String]) -> Result<bool, Trouble> {
    let name = quote(&has.name);
    let list = old.iter().map(|b| quote(b)).collect::<Vec<_>>().join(" ");
    let running = pool.running(&has.name).map_err(Failure::new)?;
    let Some(task) = running.tasks.iter().find(|t| t.kind == "Remove brick") else {
        if running.tasks.iter().any(|t| t.state == "in progress") {
            return Ok(true);
        }
        cx.note(format!("volume {}: {}", has.name, Change::Drain(old.to_vec()).words()));
        view::change(cx, &pool.host, &format!("g volume remove-brick {name} {list} start\n"))
            .await?;
        return Ok(true);
    };
    if !task.is_over(old) {
        return Err(Failure::new(format!(
            "another removal is under way in the volume `{}`: of {}",
            has.name,
            task.bricks().join(", ")
        ))
        .hint(format!("`gluster volume remove-brick {} BRICK... commit` or `stop`", has.name))
        .into());
    }
    match task.state.as_str() {
        "in progress" => return Ok(true),
        "completed" => {}
        other => return Err(not_moved(has, old, other).into()),
    }
    let ask = Cmd::new(format!(
        "timeout -k 2 60 gluster --mode=script --xml volume remove-brick {name} {list} status"
    ));
    let said = cx.ok(&pool.host, ask).await?.out();
    match xml::left_behind(&said).map_err(Failure::new)? {
        0 => {}
        count => return Err(not_moved(has, old, &format!("{count} files were left")).into()),
    }
    view::change(cx, &pool.host, &format!("g volume remove-brick {name} {list} commit\n")).await?;
    Ok(false)
}

fn not_moved(has: &xml::Volume, old: &[String], why: &str) -> Failure {
    Failure::new(format!("the files of {} were not all moved: {why}", old.join(", "))).hint(format!(
        "see `gluster volume remove-brick {} {} status`; with `stop` in its place the bricks stay, \
         and `bp up` begins again",
        has.name,
        old.join(" ")
    ))
}

/// Files are spread over bricks that are new. With bricks that hold the same files there is nothing
/// to be done but the names' own layout, which is the same command.
async fn spread(cx: &Cx, pool: &Pool, has: &xml::Volume, begun: bool) -> Result<bool, Trouble> {
    let name = quote(&has.name);
    let running = pool.running(&has.name).map_err(Failure::new)?;
    let state = running.tasks.iter().find(|t| t.kind == "Rebalance").map(|t| t.state.as_str());
    match state {
        Some("in progress") => {
            if !begun {
                let script = format!("g volume set {name} {SPREAD} begun\n");
                view::change(cx, &pool.host, &script).await?;
            }
            Ok(true)
        }
        Some("completed") if begun => {
            view::change(cx, &pool.host, &format!("g volume set {name} {SPREAD} done\n")).await?;
            Ok(false)
        }
        Some(other @ ("failed" | "stopped")) if begun => {
            // So that the next run begins it again.
            view::change(cx, &pool.host, &format!("g volume set {name} {SPREAD} due\n")).await?;
            Err(Failure::new(format!("the files of `{}` were not spread: {other}", has.name))
                .hint(format!("see `gluster volume rebalance {} status`", has.name))
                .into())
        }
        _ => {
            let script = format!(
                "set -e\ng volume rebalance {name} start\ng volume set {name} {SPREAD} begun\n"
            );
            view::change(cx, &pool.host, &script).await?;
            Ok(true)
        }
    }
}
