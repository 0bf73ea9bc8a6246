//! The stack traefik.

use crate::shipped::Shipped;
use blueprints::{Lab, Stack, Traefik};

/// What bp ships of it.
pub(crate) fn shipped(_lab: &Lab, _stack: &Stack, _traefik: &Traefik) -> Shipped {
    Shipped::new("traefik.compose.yml", "services: {}")
}
