//! Phase base: names, time, kernel settings and packages of every host, and clocks that agree.

use crate::step::{Failure, Step};
use crate::{clocks, runbook};
use blueprints::Lab;
use serde_json::json;
use std::path::Path;

/// The playbook; a file of this name beside the blueprint stands in for it.
const PLAYBOOK: &str = "base.yml";

/// The steps of the phase, and remarks on playbooks that stand in for bp's own.
///
/// # Errors
/// When a playbook can't be read.
pub fn steps(lab: &Lab, beside: &Path) -> Result<(Vec<Step>, Vec<String>), Failure> {
    let (text, remark) = runbook::built_in(PLAYBOOK, beside)?;
    let vars = json!({
        "timezone": lab.base.timezone.as_deref().unwrap_or_default(),
        "time_servers": lab.base.time_servers.join(" "),
        "packages": lab.base.packages,
    });
    let mut steps = runbook::steps(lab, PLAYBOOK, &text, &vars)?;
    steps.push(clocks::agree(lab));
    Ok((steps, remark.into_iter().collect()))
}
