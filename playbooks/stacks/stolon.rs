//! The stack stolon.

use crate::shipped::Shipped;
use blueprints::{Lab, Stack, Stolon};

/// What bp ships of it.
pub(crate) fn shipped(_lab: &Lab, _stack: &Stack, _stolon: &Stolon) -> Shipped {
    Shipped::new("stolon.compose.yml", "services: {}")
}
