//! Everything outside this machine: SSH sessions, hypervisors, hosts that are simply there.
//!
//! Knows nothing of phases or playbooks, and never prints.

mod provider;
mod session;
pub mod ssh;

pub use provider::*;
pub use session::*;
