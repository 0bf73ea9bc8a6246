//! The stack redis.

use crate::shipped::Shipped;
use blueprints::{Lab, Members, Stack};

/// What bp ships of it.
pub(crate) fn shipped(_lab: &Lab, _stack: &Stack, _members: &Members) -> Shipped {
    Shipped::new("redis.compose.yml", "services: {}")
}
