//! GlusterFS volumes: the blueprint's `gluster`.

use crate::context::{Context, folder};
use crate::file;
use crate::ground::{Brick, Volume, VolumeKind};
use crate::lab::Host;
use indexmap::IndexSet;
use std::collections::HashMap;

/// More volumes than any lab has; each may have a brick on every host.
const MAX_VOLUMES: usize = 32;

/// The volumes of the blueprint, in the order of the file.
pub(crate) fn resolve(
    blueprint: &file::Blueprint,
    hosts: &[&Host],
    context: &mut Context<'_>,
) -> Vec<Volume> {
    if let Some((name, _)) = blueprint.gluster.entries().nth(MAX_VOLUMES) {
        context.error(name.at, format!("more than {MAX_VOLUMES} volumes"));
    }
    let by_name: HashMap<&str, &Host> = hosts.iter().map(|h| (h.name.as_str(), *h)).collect();
    let entries = blueprint.gluster.entries().take(MAX_VOLUMES);
    entries
        .map(|(name, volume)| {
            let listed: IndexSet<&str> =
                volume.value.hosts.items().map(|h| h.value.as_str()).collect();
            let bricks = if !is_volume(&name.value) {
                Vec::new()
            } else if listed.is_empty() {
                hosts.iter().filter_map(|host| brick(host, &name.value)).collect()
            } else {
                let listed = listed.into_iter().filter_map(|host| by_name.get(host));
                listed.filter_map(|host| brick(host, &name.value)).collect()
            };
            one(&name.value, &volume.value, bricks)
        })
        .collect()
}

/// GlusterFS's rule for the names of volumes, but no longer than a name needs to be, and nothing
/// that a command could take for an option.
pub(crate) fn is_volume(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-')
}

/// A host's brick of a volume, where the host has any.
fn brick(host: &Host, volume: &str) -> Option<Brick> {
    let folder = host.brick.as_ref()?;
    Some(Brick { host: host.name.clone(), path: format!("{folder}/{volume}") })
}

fn one(name: &str, file: &crate::file_ground::Volume, bricks: Vec<Brick>) -> Volume {
    let kind = match (file.replica.get().copied().unwrap_or(1), file.arbiter.get()) {
        (3, Some(true)) => VolumeKind::Arbiter,
        (0 | 1, _) => VolumeKind::Distribute,
        (count, _) => VolumeKind::Replica(count),
    };
    let options = file.options.entries();
    Volume {
        name: name.to_owned(),
        kind,
        bricks,
        mount: file.mount.get().and_then(|mount| folder(mount)).unwrap_or_default(),
        options: options.map(|(k, v)| (k.value.clone(), v.value.clone())).collect(),
    }
}
