//! Phase firewall: the hosts' walls, with the doors that roles and stacks need.

use crate::compose::Compose;
use crate::cx::Cx;
use crate::destroy::Leftover;
use crate::step::{Failure, Step};
use crate::view::Table;
use blueprints::Lab;

/// The steps of the phase. `stacks` are what is deployed later: their published ports are doors.
pub fn steps(_lab: &Lab, _stacks: &[Compose]) -> Vec<Step> {
    Vec::new()
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
