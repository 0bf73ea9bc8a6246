//! GitLab's data: repositories, uploads, artifacts, by its own command, in its own container. Its
//! database is one of PostgreSQL's.

use super::{Part, carry};
use crate::cx::Cx;
use crate::docker::no_manager;
use crate::stacks::stolon::{host_of, inside};
use crate::step::Failure;
use providers::quote;
use std::path::Path;

/// Where GitLab's command puts its archive: its `backup_path`, and the name that it is given.
const ARCHIVE: &str = "/var/opt/gitlab/backups/bp_gitlab_backup.tar";

/// The database that is GitLab's, of PostgreSQL's.
pub(super) const DATABASE: &str = "gitlab";

const SECRETS: &str = "/etc/gitlab/gitlab-secrets.json";

pub(super) async fn fetch(cx: &Cx, part: &Part, to: &Path) -> Result<(), Failure> {
    // What the command says goes where errors go: the archive alone is the file.
    let create = format!(
        "sh -c 'rm -f {ARCHIVE}; gitlab-backup create BACKUP=bp SKIP=db STRATEGY=copy >&2 && cat {ARCHIVE} && rm -f {ARCHIVE}'"
    );
    carry::fetch(cx, &host(cx, part).await?, &inside(&part.stack, "gitlab", &create), to).await
}

pub(super) async fn fetch_secrets(cx: &Cx, part: &Part, to: &Path) -> Result<(), Failure> {
    let read = inside(&part.stack, "gitlab", &format!("cat {SECRETS}"));
    carry::fetch(cx, &host(cx, part).await?, &read, to).await
}

pub(super) async fn bring(cx: &Cx, part: &Part, from: &Path) -> Result<(), Failure> {
    run(cx, part, "data", from).await
}

pub(super) async fn bring_secrets(cx: &Cx, part: &Part, from: &Path) -> Result<(), Failure> {
    run(cx, part, "keys", from).await
}

/// The script that brings something back, in GitLab's container.
async fn run(cx: &Cx, part: &Part, what: &str, from: &Path) -> Result<(), Failure> {
    let bytes = std::fs::metadata(from).map(|file| file.len());
    let bytes = bytes.map_err(|e| Failure::new(format!("read `{}`: {e}", from.display())))?;
    let script = format!("sh -c {} sh {what} {bytes}", quote(include_str!("gitlab.sh")));
    let script = inside(&part.stack, "gitlab", &script);
    carry::bring(cx, &host(cx, part).await?, from, &script).await.map(drop)
}

async fn host(cx: &Cx, part: &Part) -> Result<String, Failure> {
    let view = cx.fresh().swarm().await.map_err(no_manager)?;
    let host = host_of(&view, &format!("{}_gitlab", part.stack));
    host.filter(|h| cx.lab().host(h).is_some()).ok_or_else(|| {
        Failure::new("GitLab can't be reached: its service does not run")
            .hint("`bp status` says why, `bp up` brings it up")
    })
}
