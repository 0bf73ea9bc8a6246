//! Where a stack with one home keeps its data: on the shared volume, or on one node.

use blueprints::Lab;
use serde_json::{Value, json};

/// The home of a stack's data.
pub(super) struct Place {
    /// The folder.
    pub dir: String,
    /// The folder for what backups are made of it.
    pub backups: String,
    /// What has to be mounted for it; `/` where it lies on a node's own disk.
    pub mount: String,
    /// The node that its tasks stay on; `None`: any.
    pub pinned: Option<String>,
    /// The hosts that the folder is made on.
    pub hosts: Vec<String>,
}

impl Place {
    /// On the shared volume where there is one, otherwise on one node.
    pub fn of(lab: &Lab, stack: &str) -> Self {
        if let Some(shared) = lab.shared() {
            let hosts = lab.homes().into_iter().map(|h| h.name.clone()).collect();
            return Self {
                dir: format!("{shared}/{stack}"),
                backups: format!("{shared}/backups/{stack}"),
                mount: shared.to_owned(),
                pinned: None,
                hosts,
            };
        }
        let pinned = lab.homes().first().map(|h| h.name.clone());
        Self {
            dir: format!("/srv/{stack}"),
            backups: format!("/srv/{stack}/backups"),
            mount: "/".to_owned(),
            hosts: pinned.iter().cloned().collect(),
            pinned,
        }
    }

    /// What playbooks may name.
    pub fn values(&self) -> Value {
        json!({ "dir": self.dir, "backups": self.backups, "mount": self.mount })
    }
}
