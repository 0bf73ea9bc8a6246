//! The way from the bricks that a volume has to those that it is to have, one change at a time.

use crate::gluster_volume::words;
use crate::gluster_xml as xml;
use crate::step::Failure;
use blueprints::VolumeKind;

/// One change of a volume's bricks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// More room, in whole sets of copies.
    Add(Vec<String>),
    /// More copies of everything, so many in all.
    Copy(u32, Vec<String>),
    /// One brick in the place of another.
    Replace(String, String),
    /// Fewer copies of everything, so many in all.
    Drop(u32, Vec<String>),
    /// Less room: files move before the bricks go.
    Drain(Vec<String>),
}

impl Change {
    /// It in words.
    pub fn words(&self) -> String {
        match self {
            Self::Add(new) => format!("{} to be added", new.join(", ")),
            Self::Copy(count, new) => {
                format!("{} to be added, for {count} copies of every file", new.join(", "))
            }
            Self::Replace(old, new) => format!("{new} to take the place of {old}"),
            Self::Drop(count, old) => {
                format!("{} to be removed, for {count} copies of every file", old.join(", "))
            }
            Self::Drain(old) => format!("{} to be removed, its files moved before", old.join(", ")),
        }
    }
}

/// The next change on the way from what a volume has to what it is to have.
pub(crate) fn next(
    has: &xml::Volume,
    wants: VolumeKind,
    wanted: &[String],
) -> Result<Option<Change>, Failure> {
    let without = |all: &[String], others: &[String]| -> Vec<String> {
        all.iter().filter(|b| !others.contains(b)).cloned().collect()
    };
    let (new, old) = (without(wanted, &has.bricks), without(&has.bricks, wanted));
    if has.kind == Some(wants) {
        return Ok(match (new.first(), old.first()) {
            (None, None) => None,
            (Some(new), Some(old)) if wants.set() > 1 => {
                Some(Change::Replace(old.clone(), new.clone()))
            }
            (Some(_), _) => Some(Change::Add(new)),
            (None, Some(_)) => {
                let sets = has.bricks.chunks(wants.set() as usize);
                let whole = sets.filter(|s| s.iter().all(|b| old.contains(b))).count();
                if whole * wants.set() as usize != old.len() {
                    return Err(Failure::new(format!(
                        "{} are not whole sets of copies of the volume `{}`",
                        old.join(", "),
                        has.name
                    ))
                    .hint(format!(
                        "remove hosts that hold the same files together: {}",
                        sets_in_words(has, wants)
                    )));
                }
                Some(Change::Drain(old))
            }
        });
    }
    let copies = |kind: VolumeKind| match kind {
        VolumeKind::Distribute => Some(1),
        VolumeKind::Replica(count) => Some(count),
        VolumeKind::Arbiter => None,
    };
    let (from, to) = (has.kind.and_then(copies), copies(wants));
    match (from, to) {
        (Some(from), Some(to))
            if has.bricks.len() == from as usize && wanted.len() == to as usize =>
        {
            if from < to && old.is_empty() {
                return Ok(Some(Change::Copy(to, new)));
            }
            if from > to && new.is_empty() {
                return Ok(Some(Change::Drop(to, old)));
            }
        }
        _ => {}
    }
    Err(Failure::new(format!(
        "the volume `{}` is {} over {}, the blueprint says {} over {}",
        has.name,
        has.kind.map_or(has.kind_text.to_lowercase(), words),
        has.bricks.join(", "),
        words(wants),
        wanted.join(", ")
    ))
    .hint("gluster has no way from the one to the other: give the volume another name, and copy the files"))
}

fn sets_in_words(has: &xml::Volume, kind: VolumeKind) -> String {
    let sets = has.bricks.chunks(kind.set() as usize).map(|set| set.join(" and "));
    sets.collect::<Vec<_>>().join("; ")
}
