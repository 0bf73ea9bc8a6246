//! The hosts' walls: the blueprint's `firewall`.

use crate::file;
use crate::ground::Firewall;
use crate::hosts::MAX_PORTS;

/// The blueprint's `firewall`, where it has one.
pub(crate) fn resolve(blueprint: &file::Blueprint) -> Option<Firewall> {
    let file = blueprint.firewall.get()?;
    Some(Firewall {
        backend: file.backend.get().copied().unwrap_or_default(),
        open: file.open.items().take(MAX_PORTS).map(|p| p.value.0).collect(),
    })
}
