//! Whether what a backup was taken from and what it is brought back into go together.

use super::{Backup, Item, Kind, Part, part_of, parts};
use crate::step::Failure;
use blueprints::Lab;

/// Refuses a backup of other versions than the blueprint's, before anything is touched: GitLab
/// takes data of its own version alone, PostgreSQL dumps of older servers, etcd's keys are text.
///
/// # Errors
/// Which parts do not fit, and both versions of each.
pub fn fits(lab: &Lab, backup: &Backup) -> Result<(), Failure> {
    let parts = parts(lab);
    let mut wrong = Vec::new();
    for item in &backup.manifest.items {
        if let Some(part) = part_of(&parts, item).filter(|part| !takes(part, item)) {
            let (title, from, has) = (part.title(), &item.from, &part.from);
            wrong.push(format!("{title}: the backup is of `{from}`, the blueprint has `{has}`"));
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(wrong.join("\n"))
            .hint("restore into the version that it was taken from, then change the version")),
    }
}

fn takes(part: &Part, item: &Item) -> bool {
    let number = |version: &str| version.parse::<u32>().ok();
    match part.kind {
        Kind::Etcd => true,
        Kind::Pgsql => match (number(&item.from), number(&part.from)) {
            (Some(from), Some(server)) => from <= server,
            _ => item.from == part.from,
        },
        Kind::Gitlab | Kind::GitlabSecrets => name(&item.from) == name(&part.from),
    }
}

/// An image without where it comes from: a copy in another registry is the same one.
fn name(image: &str) -> &str {
    image.rsplit('/').next().unwrap_or(image)
}
