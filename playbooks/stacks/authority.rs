//! bp's own stack: a task that holds the key of the lab's authority.
//!
//! A swarm gives a secret to nobody but a running task. So one runs that does nothing: bp reads the
//! key from its memory when it signs a certificate.

use super::pause;
use crate::secrets::{Secret, Source, authority};
use crate::shipped::Shipped;
use blueprints::{Availability, Host, Lab};
use serde_json::json;

/// What bp ships of it.
pub(crate) fn shipped(lab: &Lab) -> Shipped {
    let takes = |host: &&Host| host.availability == Availability::Active;
    // On a manager, where the key is known anyway; unless none of them takes tasks.
    let managers = lab.managers().any(|h| takes(&h));
    let hosts = if managers { lab.managers().collect() } else { lab.nodes().collect::<Vec<_>>() };
    Shipped {
        values: json!({ "pause": pause::IMAGE, "managers": managers }),
        secrets: vec![Secret { name: authority::KEY.to_owned(), source: Source::AuthorityKey }],
        before: hosts.iter().map(|host| pause::step(&host.name)).collect(),
        ..Shipped::new("bp.compose.yml", include_str!("bp.compose.yml"))
    }
}
