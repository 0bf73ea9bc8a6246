//! bp's own stack: a task that holds the key of the lab's authority.

use crate::shipped::Shipped;
use blueprints::Lab;

/// What bp ships of it.
pub(crate) fn shipped(_lab: &Lab) -> Shipped {
    Shipped::new("bp.compose.yml", "services: {}")
}
