//! The stack gitlab.

use crate::shipped::Shipped;
use blueprints::{Lab, Stack, Gitlab};

/// What bp ships of it.
pub(crate) fn shipped(_lab: &Lab, _stack: &Stack, _gitlab: &Gitlab) -> Shipped {
    Shipped::new("gitlab.compose.yml", "services: {}")
}
