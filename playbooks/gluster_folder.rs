//! Folders for bricks: there, and nobody else's.

use crate::cx::Cx;
use crate::gluster_host::Place;
use crate::gluster_xml as xml;
use crate::limits;
use crate::step::{Check, Failure, Step};
use blueprints::Brick;
use providers::{Cmd, quote};

/// The folder of a brick is there, and is no other volume's.
pub(crate) fn brick(volume: &str, brick: &Brick) -> Step {
    let checked = (volume.to_owned(), brick.clone());
    let applied = checked.clone();
    Step::host(
        &brick.host,
        format!("brick {volume}"),
        "a brick is a folder that no other volume has a claim on",
    )
    .check(move |cx| {
        let (volume, brick) = checked.clone();
        async move { is_free(&cx, &volume, &brick).await }
    })
    .apply(move |cx| {
        let (volume, brick) = applied.clone();
        async move {
            match is_free(&cx, &volume, &brick).await {
                Check::Not(_) => {}
                Check::True => return Ok(()),
                Check::Failed(failure) => return Err(failure.into()),
                Check::Unknown(why) => return Err(Failure::new(why).into()),
            }
            // What is there and not free is wiped: without consent it would have failed.
            let view = cx.gluster_host(&brick.host).await;
            let path = quote(&brick.path);
            let wipe = match view.ok().and_then(|v| v.bricks.get(&brick.path).cloned()) {
                Some(Place::Brick { .. } | Place::Remains) if cx.may_wipe_bricks() => {
                    cx.note(format!("{}: {} is wiped", brick.host, brick.path));
                    format!("rm -rf --one-file-system {path} || exit\n")
                }
                _ => String::new(),
            };
            let cmd = Cmd::new(format!("{wipe}mkdir -p {path}")).within(limits::GLUSTER);
            cx.ok(&brick.host, cmd).await.map(drop)
        }
    })
    .within(limits::GLUSTER)
}

async fn is_free(cx: &Cx, volume: &str, brick: &Brick) -> Check {
    let view = match cx.gluster_host(&brick.host).await {
        Ok(view) => view,
        Err(check) => return check,
    };
    let host = cx.lab().host(&brick.host).map(|h| cx.lab().fqdn(h)).unwrap_or_default();
    let (id, folder) = match view.bricks.get(&brick.path) {
        Some(place @ (Place::Absent | Place::Empty)) => {
            let own = format!("{host}:{}", brick.path);
            let pool = cx.gluster_pool().await;
            let owner =
                pool.ok().and_then(|p| p.volumes.into_iter().find(|v| v.bricks.contains(&own)));
            return match owner {
                Some(owner) => Check::Failed(lost(&owner.name, &own)),
                None if *place == Place::Empty => Check::True,
                None => Check::Not(format!("{} is not there", brick.path)),
            };
        }
        Some(Place::Files) => {
            return Check::Failed(
                Failure::new(format!("{} holds files that are of no volume", brick.path))
                    .hint("move them away, or name another folder in `brick`"),
            );
        }
        Some(Place::Unknown) | None => {
            return Check::Unknown("`getfattr` is not there to read the brick's mark".to_owned());
        }
        Some(Place::Remains) => ("", brick.path.as_str()),
        Some(Place::Brick { id, folder }) => (id.as_str(), folder.as_str()),
    };
    // Whose it is the pool says; without it nobody can tell a brick from a foreign one.
    let pool = match cx.gluster_pool().await {
        Ok(pool) => pool,
        Err(why) => return Check::Unknown(why),
    };
    let owner = pool.volumes.iter().find(|v| v.id.replace('-', "") == id);
    let is_in = |owner: &&xml::Volume| owner.bricks.contains(&format!("{host}:{folder}"));
    match owner {
        None if id.is_empty() => match pool.volumes.iter().find(is_in) {
            Some(owner) => Check::Failed(
                Failure::new(format!(
                    "{folder} has lost its mark as a brick of the volume `{}` ({})",
                    owner.name, owner.id
                ))
                .hint(format!(
                    "`setfattr -n trusted.glusterfs.volume-id -v 0x{} {folder}` on {}, if its files are the volume's",
                    owner.id.replace('-', ""),
                    brick.host
                )),
            ),
            None => claimed(cx, brick, "a volume whose mark is gone"),
        },
        _ if folder != brick.path => Check::Failed(
            Failure::new(format!(
                "{folder}, above {}, is a brick of the volume {}",
                brick.path,
                owner.map_or(id, |o| o.name.as_str())
            ))
            .hint("name another folder in `brick`"),
        ),
        Some(owner) if is_in(&owner) && owner.name == volume => Check::True,
        Some(owner) if is_in(&owner) => Check::Failed(
            Failure::new(format!(
                "{folder} is a brick of the volume `{}` ({})",
                owner.name, owner.id
            ))
            .hint("name another folder in `brick`: bp never wipes what a volume has in use"),
        ),
        Some(owner) => {
            claimed(cx, brick, &format!("the volume `{}` ({id}), which has left it", owner.name))
        }
        None => claimed(cx, brick, &format!("the volume {id}, which this pool does not know")),
    }
}

/// A brick of a volume that is there, and nothing of it on the disk.
fn lost(volume: &str, brick: &str) -> Failure {
    Failure::new(format!("nothing is left of {brick}, a brick of the volume `{volume}`")).hint(format!(
        "bring its disk back; or, where other bricks hold copies: `gluster volume reset-brick {volume} {brick} start`, \
         then `gluster volume reset-brick {volume} {brick} {brick} commit force`"
    ))
}

/// A brick of something that is gone: wiped by consent alone.
fn claimed(cx: &Cx, brick: &Brick, whose: &str) -> Check {
    let what = format!("{} on {} belonged to {whose}", brick.path, brick.host);
    if cx.may_wipe_bricks() {
        return Check::Not(format!("{what}, and is wiped"));
    }
    Check::Failed(
        Failure::new(what).hint("`bp up --wipe-bricks` removes it with all that lies on it"),
    )
}
