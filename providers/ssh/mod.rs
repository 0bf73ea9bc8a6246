//! Sessions over SSH: one connection a host, many commands at once over it.
//!
//! Host keys are known beforehand, always; there is no "accept any". Every wait has a bound.

mod channel;
mod command;
mod connection;
mod host_keys;
mod keys;
mod known_hosts;
mod login;
mod session;

use crate::{Session, SessionError};
pub use host_keys::HostKeys;
pub use keys::{KeyError, is_ready, lab_key, new_host_key, public_of};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A host as it is reached by SSH.
#[derive(Clone, Debug)]
pub struct Target {
    /// The host's name, for messages.
    pub host: String,
    /// Address or name to connect to; also what is looked up in `known_hosts` files.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// Login user.
    pub user: String,
    /// Private keys, offered in this order.
    pub keys: Vec<PathBuf>,
    /// The socket of the agent whose keys are offered after them: what `SSH_AUTH_SOCK` says.
    pub agent: Option<PathBuf>,
    /// How commands become root.
    pub sudo: Become,
    /// The host to go through.
    pub jump: Option<Box<Target>>,
    /// Which host key is the right one.
    pub host_keys: HostKeys,
    /// How long connecting and logging in may take, jump hosts included.
    pub connect_within: Duration,
    /// How often a silent peer is asked for a sign of life; [`SILENCES`] without one end the
    /// connection.
    pub keepalive: Duration,
}

/// Unanswered keepalives that end a connection.
pub const SILENCES: u32 = 3;

impl Target {
    /// How messages name the host: its name, and where that leads.
    fn name(&self) -> String {
        if self.host == self.address {
            format!("{}:{}", self.host, self.port)
        } else {
            format!("{} ({}:{})", self.host, self.address, self.port)
        }
    }
}

/// How a command becomes root.
#[derive(Clone, Debug)]
pub enum Become {
    /// It runs as the login user.
    Nothing,
    /// By `sudo`.
    Sudo {
        /// The login user's password, where `sudo` asks for one.
        password: Option<Password>,
    },
}

/// A password. Its `Debug` form does not show it.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Keeps a password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Connects and logs in.
///
/// # Errors
/// [`SessionError::Unreachable`] where nobody answers or the login is refused, which may pass while
/// a machine comes up; [`SessionError::HostKey`] for the wrong host key; [`SessionError::Refused`]
/// for what waiting can't change.
pub async fn connect(target: &Target) -> Result<Arc<dyn Session>, SessionError> {
    let connection = connection::connect(target).await?;
    Ok(Arc::new(session::SshSession::new(connection)))
}
