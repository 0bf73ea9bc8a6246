//! Everything outside this machine: SSH sessions, hypervisors, hosts that are simply there.
//!
//! Knows nothing of phases or playbooks, and never prints.

pub mod dns;
mod existing;
#[cfg(feature = "libvirt")]
mod libvirt;
mod provider;
mod session;
pub mod ssh;

pub use existing::Existing;
#[cfg(feature = "libvirt")]
pub use libvirt::Libvirt;
pub use provider::*;
pub use session::*;
