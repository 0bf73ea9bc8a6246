//! A database, through the container of `databases`.

use super::{Part, carry};
use crate::cx::Cx;
use crate::docker::no_manager;
use crate::stacks::stolon::{host_of, inside};
use crate::step::Failure;
use blueprints::StackKind;
use std::path::Path;

/// Takes a dump of it.
pub(super) async fn fetch(cx: &Cx, part: &Part, to: &Path) -> Result<(), Failure> {
    let host = host(cx, &part.stack).await?;
    let dump = format!(
        "sh -c '. /etc/bp/common.sh; PGUSER=bp PGPASSWORD=$(cat \"$secrets/pgsql_bp\"); \
         export PGUSER PGPASSWORD; exec pg_dump -w -Fc -d \"$1\"' sh {}",
        part.name
    );
    carry::fetch(cx, &host, &inside(&part.stack, "databases", &dump), to).await
}

/// The database becomes what the dump holds.
pub(super) async fn bring(cx: &Cx, part: &Part, from: &Path) -> Result<(), Failure> {
    let owner = cx.lab().stacks.iter().find_map(|s| match &s.kind {
        StackKind::Stolon(stolon) => stolon.databases.get(&part.name).map(|d| d.owner.clone()),
        _ => None,
    });
    let owner = owner.unwrap_or_else(|| part.name.clone());
    let host = host(cx, &part.stack).await?;
    let restore = format!("sh /etc/bp/restore.sh {} {owner}", part.name);
    let script = inside(&part.stack, "databases", &restore);
    let said = carry::bring(cx, &host, from, &script).await?;
    cx.note(format!("{}: {said}", part.title()));
    Ok(())
}

async fn host(cx: &Cx, stack: &str) -> Result<String, Failure> {
    let view = cx.fresh().swarm().await.map_err(no_manager)?;
    let host = host_of(&view, &format!("{stack}_databases"));
    host.filter(|h| cx.lab().host(h).is_some()).ok_or_else(|| {
        Failure::new("the databases can't be reached: their service does not run")
            .hint("`bp status` says why, `bp up` brings it up")
    })
}
