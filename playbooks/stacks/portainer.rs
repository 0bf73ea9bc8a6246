//! The stack portainer.

use crate::shipped::Shipped;
use blueprints::{Lab, Stack};

/// What bp ships of it.
pub(crate) fn shipped(_lab: &Lab, _stack: &Stack, _host: &str) -> Shipped {
    Shipped::new("portainer.compose.yml", "services: {}")
}
