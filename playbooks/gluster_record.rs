//! Whom bp took into a pool: a file beside the daemons' own, on every host with a brick, so that
//! whoever stays can tell them from those who were there before.

use crate::cx::Cx;
use crate::gluster_host::HostView;
use crate::step::Trouble;
use futures::future::join_all;
use providers::{Cmd, quote};
use std::collections::BTreeSet;

/// The file, a whole name a line. A lab's name needs no quotes.
pub(crate) fn file(lab: &str) -> String {
    format!("/var/lib/glusterd/bp-{lab}")
}

/// All names that these hosts were told.
pub(crate) fn of<'a>(views: impl IntoIterator<Item = &'a HostView>) -> BTreeSet<String> {
    views.into_iter().flat_map(|v| v.probed.iter().cloned()).collect()
}

/// Tells these hosts.
///
/// # Errors
/// When one of them can't be told.
pub(crate) async fn tell(
    cx: &Cx,
    hosts: &[String],
    names: &BTreeSet<String>,
) -> Result<(), Trouble> {
    let names: Vec<String> = names.iter().map(|n| quote(n)).collect();
    let lab = &cx.lab().name;
    let script = format!(
        "set -e; cd /var/lib/glusterd; printf '%s\\n' {} >new-bp-{lab}; mv -f new-bp-{lab} bp-{lab}",
        names.join(" ")
    );
    let told = hosts.iter().map(|host| cx.ok(host, Cmd::new(script.clone())));
    join_all(told).await.into_iter().try_for_each(|done| done.map(drop))
}
