//! Phase gluster: volumes over the hosts' bricks, mounted.

use crate::cx::Cx;
use crate::destroy::Leftover;
use crate::step::{Failure, Step};
use crate::view::Table;
use blueprints::Lab;
use std::path::Path;

/// The steps of the phase, and remarks on playbooks that stand in for bp's own.
///
/// # Errors
/// When a playbook can't be read.
pub fn steps(_lab: &Lab, _beside: &Path) -> Result<(Vec<Step>, Vec<String>), Failure> {
    Ok((Vec::new(), Vec::new()))
}

/// What the phase made outside the machines that bp removes: see [`crate::destroy`].
///
/// # Errors
/// When nobody can say what is there.
pub async fn leftovers(_cx: &Cx) -> Result<Vec<Leftover>, Failure> {
    Ok(Vec::new())
}

/// What `status` shows of it besides its steps.
pub async fn shown(_cx: &Cx) -> Vec<Table> {
    Vec::new()
}
