//! What the integration tests share.

pub mod bp;
pub mod guests;
pub mod hosts;
pub mod libvirtd;
pub mod sshd;
