//! What every host has: the blueprint's `base`.

use crate::file;
use crate::ground::Base;

/// The blueprint's `base`, or the defaults.
pub(crate) fn resolve(blueprint: &file::Blueprint) -> Base {
    let Some(file) = blueprint.base.get() else { return Base::default() };
    Base {
        timezone: file.timezone.get().cloned(),
        time_servers: file.time_servers.items().map(|s| s.value.clone()).collect(),
        packages: file.packages.items().map(|p| p.value.clone()).collect(),
    }
}
