//! GlusterFS volumes: the blueprint's `gluster`.

use crate::context::Context;
use crate::file;
use crate::ground::{Brick, Volume, VolumeKind};
use crate::lab::Host;

/// The volumes of the blueprint, in the order of the file.
pub(crate) fn resolve(
    blueprint: &file::Blueprint,
    hosts: &[&Host],
    _context: &mut Context<'_>,
) -> Vec<Volume> {
    let entries = blueprint.gluster.entries();
    entries.map(|(name, volume)| one(&name.value, &volume.value, hosts)).collect()
}

fn one(name: &str, file: &crate::file_ground::Volume, hosts: &[&Host]) -> Volume {
    let listed: Vec<&str> = file.hosts.items().map(|h| h.value.as_str()).collect();
    let takes = |host: &&&Host| listed.is_empty() || listed.contains(&host.name.as_str());
    let brick = |host: &&Host| {
        let folder = host.brick.as_ref()?.trim_end_matches('/');
        Some(Brick { host: host.name.clone(), path: format!("{folder}/{name}") })
    };
    let mut bricks: Vec<Brick> = hosts.iter().filter(takes).filter_map(brick).collect();
    if !listed.is_empty() {
        bricks.sort_by_key(|b| listed.iter().position(|name| *name == b.host));
    }
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
        mount: file.mount.get().cloned().unwrap_or_default(),
        options: options.map(|(k, v)| (k.value.clone(), v.value.clone())).collect(),
    }
}
