//! The stack gitlab.

use crate::shipped::Shipped;
use blueprints::{Gitlab, Lab, Stack};

/// What bp ships of it.
pub(crate) fn shipped(_lab: &Lab, _stack: &Stack, _gitlab: &Gitlab) -> Shipped {
    Shipped::new("gitlab.compose.yml", "services: {}")
}
