//! The hosts' walls: the blueprint's `firewall`.

use crate::context::Context;
use crate::file;
use crate::ground::Firewall;

/// The blueprint's `firewall`, where it has one.
pub(crate) fn resolve(blueprint: &file::Blueprint, _context: &mut Context<'_>) -> Option<Firewall> {
    let file = blueprint.firewall.get()?;
    Some(Firewall {
        backend: file.backend.get().copied().unwrap_or_default(),
        open: file.open.items().map(|p| p.value.0).collect(),
    })
}
