//! One connection: dialled, perhaps through another one, its host key judged, logged in.

use super::host_keys::{Expected, same_type};
use super::{Become, SILENCES, Target, login};
use crate::SessionError;
use futures::future::BoxFuture;
use russh::client::{self, Handle};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Preferred};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection that is logged in. It ends when this is dropped.
pub(super) struct Connection {
    /// What russh calls it.
    pub handle: Handle<Client>,
    /// How its commands become root.
    pub sudo: Become,
    /// How messages name the host.
    pub name: String,
    /// The connection that carries this one.
    _jump: Option<Arc<Connection>>,
}

/// Connects and logs in, within the target's bound.
pub(super) async fn connect(target: &Target) -> Result<Connection, SessionError> {
    match tokio::time::timeout(target.connect_within, dial(target)).await {
        Ok(done) => done,
        Err(_) => Err(SessionError::Unreachable(format!(
            "{} does not answer as an SSH server within {:?}",
            target.name(),
            target.connect_within
        ))),
    }
}

fn dial(target: &Target) -> BoxFuture<'_, Result<Connection, SessionError>> {
    Box::pin(async move {
        let expected = Arc::new(target.host_keys.expected(target)?);
        let mut credentials = login::Credentials::gather(target).await?;
        let jump = match &target.jump {
            Some(jump) => Some(Arc::new(dial(jump).await.map_err(|e| on_the_way(e, target))?)),
            None => None,
        };
        // A server ends a connection after a few refused keys; the next ones go over a new one.
        loop {
            let mut handle = handshake(target, &expected, jump.as_deref()).await?;
            if credentials.login(&mut handle, target).await? {
                let (sudo, name) = (target.sudo.clone(), target.name());
                return Ok(Connection { handle, sudo, name, _jump: jump });
            }
        }
    })
}

/// An established, encrypted connection whose host key is right.
async fn handshake(
    target: &Target,
    expected: &Arc<Expected>,
    jump: Option<&Connection>,
) -> Result<Handle<Client>, SessionError> {
    let mut algorithms = expected.algorithms();
    loop {
        let stream = stream(target, jump).await?;
        let client = Client { expected: expected.clone(), name: target.name() };
        match client::connect_stream(config(target, &algorithms), stream, client).await {
            Ok(handle) => return Ok(handle),
            // A fingerprint does not say its key's type: the server's keys of the other types are
            // looked at before the answer is no.
            Err(Failure::WrongKey(error, shown)) => {
                let before = algorithms.len();
                algorithms.retain(|a| !same_type(a, &shown));
                let more = matches!(**expected, Expected::Fingerprint(_));
                if !more || algorithms.is_empty() || algorithms.len() == before {
                    return Err(error);
                }
            }
            Err(Failure::Ssh(russh::Error::NoCommonAlgo {
                kind: AlgorithmKind::Key,
                theirs,
                ..
            })) => {
                return Err(
                    expected.wrong(&target.name(), &format!("one of {}", theirs.join(", ")))
                );
            }
            Err(Failure::Ssh(e)) => {
                return Err(SessionError::Unreachable(format!("{}: {e}", target.name())));
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

async fn stream(
    target: &Target,
    jump: Option<&Connection>,
) -> Result<Box<dyn Stream>, SessionError> {
    let failed = |e: String| SessionError::Unreachable(format!("{}: {e}", target.name()));
    match jump {
        Some(jump) => {
            let channel = jump
                .handle
                .channel_open_direct_tcpip(&target.address, target.port.into(), "127.0.0.1", 0)
                .await
                .map_err(|e| failed(format!("from the jump host: {e}")))?;
            Ok(Box::new(channel.into_stream()))
        }
        None => {
            let stream = tokio::net::TcpStream::connect((target.address.as_str(), target.port))
                .await
                .map_err(|e| failed(e.to_string()))?;
            // Without it every small command waits some 40 ms for Nagle's algorithm.
            stream.set_nodelay(true).map_err(|e| failed(e.to_string()))?;
            Ok(Box::new(stream))
        }
    }
}

fn config(target: &Target, algorithms: &[Algorithm]) -> Arc<client::Config> {
    Arc::new(client::Config {
        keepalive_interval: Some(target.keepalive),
        keepalive_max: SILENCES as usize,
        // Covers what keepalives don't: the key exchange, and a write that a dead peer blocks.
        inactivity_timeout: Some(target.keepalive * (SILENCES + 2)),
        preferred: Preferred { key: algorithms.to_vec().into(), ..Preferred::DEFAULT },
        ..client::Config::default()
    })
}

/// The error of a jump host, said from the view of the host behind it.
fn on_the_way(error: SessionError, target: &Target) -> SessionError {
    let through = |m: String| format!("on the way to {}: {m}", target.name());
    match error {
        SessionError::Unreachable(m) => SessionError::Unreachable(through(m)),
        SessionError::Refused { message, hint } => {
            SessionError::Refused { message: through(message), hint }
        }
        SessionError::HostKey { message, hint } => {
            SessionError::HostKey { message: through(message), hint }
        }
        other => other,
    }
}

/// Our side of the protocol: judges the host key.
pub(super) struct Client {
    expected: Arc<Expected>,
    name: String,
}

/// Why a handshake failed.
#[derive(Debug)]
pub(super) enum Failure {
    Ssh(russh::Error),
    WrongKey(SessionError, Algorithm),
}

impl From<russh::Error> for Failure {
    fn from(e: russh::Error) -> Self {
        Self::Ssh(e)
    }
}

impl client::Handler for Client {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let key = shown.public_key();
        match self.expected.judge(&key, &self.name) {
            Ok(()) => Ok(true),
            Err(e) => Err(Failure::WrongKey(e, key.algorithm())),
        }
    }
}
