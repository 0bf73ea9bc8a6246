//! Logging in: the named keys first, then the agent's, never more than a server takes at once.

use super::connection::Client;
use super::host_keys::refused;
use super::{Target, keys};
use crate::SessionError;
use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixStream;

/// Keys offered on one connection: OpenSSH's default `MaxAuthTries` of 6 ends it at the sixth.
const OFFERS: usize = 5;
/// Keys offered at all: more would look like guessing, to a human and to fail2ban.
const OFFERS_AT_ALL: usize = 20;

/// What can be offered to a host, the best first; what was refused is gone from it.
pub(super) struct Credentials {
    left: VecDeque<Identity>,
    refused: Vec<String>,
    agent: Option<AgentClient<UnixStream>>,
}

/// A key to log in with, and its name for messages.
struct Identity {
    name: String,
    key: Key,
}

enum Key {
    File(Arc<PrivateKey>),
    Agent(PublicKey),
}

impl Credentials {
    /// Reads the named keys and asks the agent for its own.
    pub(super) async fn gather(target: &Target) -> Result<Self, SessionError> {
        let (agent, held) = match &target.agent {
            Some(socket) => agent(socket).await,
            None => (None, Vec::new()),
        };
        let mut left: VecDeque<Identity> = VecDeque::new();
        for path in &target.keys {
            left.push_back(named(path, &held)?);
        }
        for (key, comment) in held {
            let same = |i: &Identity| i.public().key_data() == key.key_data();
            if !left.iter().any(same) {
                let name = format!("`{comment}` of the agent");
                left.push_back(Identity { name, key: Key::Agent(key) });
            }
        }
        left.truncate(OFFERS_AT_ALL);
        if left.is_empty() {
            return Err(refused(
                format!("no key to log in to {} with", target.name()),
                Some("name a private key in the blueprint, or `ssh-add` one to the agent".into()),
            ));
        }
        Ok(Self { left, refused: Vec::new(), agent })
    }

    /// Offers keys over a fresh connection. `false`: the server takes no more on this one, and
    /// there are some left for the next.
    pub(super) async fn login(
        &mut self,
        handle: &mut Handle<Client>,
        target: &Target,
    ) -> Result<bool, SessionError> {
        for _ in 0..OFFERS {
            let Some(identity) = self.left.pop_front() else { break };
            match self.offer(handle, &target.user, &identity).await {
                Some(AuthResult::Success) => return Ok(true),
                Some(AuthResult::Failure { partial_success: true, remaining_methods }) => {
                    let methods: Vec<_> = remaining_methods.iter().map(String::from).collect();
                    return Err(refused(
                        format!(
                            "{} wants more than a key from `{}`: {}",
                            target.name(),
                            target.user,
                            methods.join(", ")
                        ),
                        None,
                    ));
                }
                Some(AuthResult::Failure { remaining_methods, .. })
                    if !remaining_methods.is_empty() =>
                {
                    self.refused.push(identity.name);
                }
                // The server has ended the connection, or is about to: the next key would be lost.
                _ => {
                    self.refused.push(identity.name);
                    break;
                }
            }
        }
        if self.left.is_empty() {
            return Err(SessionError::Unreachable(format!(
                "{} refuses `{}` with {}",
                target.name(),
                target.user,
                self.refused.join(", ")
            )));
        }
        Ok(false)
    }

    /// `None`: the offer could not be made, or the connection ended.
    async fn offer(
        &mut self,
        handle: &mut Handle<Client>,
        user: &str,
        identity: &Identity,
    ) -> Option<AuthResult> {
        let hash = match identity.public().algorithm().is_rsa() {
            true => handle.best_supported_rsa_hash().await.ok()?.unwrap_or(Some(HashAlg::Sha512)),
            false => None,
        };
        match &identity.key {
            Key::File(key) => {
                let key = PrivateKeyWithHashAlg::new(key.clone(), hash);
                handle.authenticate_publickey(user, key).await.ok()
            }
            Key::Agent(key) => {
                let agent = self.agent.as_mut()?;
                handle.authenticate_publickey_with(user, key.clone(), hash, agent).await.ok()
            }
        }
    }
}

impl Identity {
    fn public(&self) -> &PublicKey {
        match &self.key {
            Key::File(key) => key.public_key(),
            Key::Agent(key) => key,
        }
    }
}

/// A key that the blueprint names; the agent signs for it where its file is encrypted.
fn named(path: &Path, held: &[(PublicKey, String)]) -> Result<Identity, SessionError> {
    let name = format!("`{}`", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|e| refused(format!("read private key {name}: {e}"), None))?;
    let encrypted = || {
        refused(
            format!("private key {name} is encrypted"),
            Some(format!("`ssh-add {}`: the agent keeps it decrypted", path.display())),
        )
    };
    match keys::parse(&text) {
        Ok(key) if !key.is_encrypted() => Ok(Identity { name, key: Key::File(Arc::new(key)) }),
        Ok(key) => {
            let same = |(k, _): &&(PublicKey, String)| k.key_data() == key.public_key().key_data();
            let (key, _) = held.iter().find(same).ok_or_else(encrypted)?;
            Ok(Identity { name, key: Key::Agent(key.clone()) })
        }
        Err(russh::keys::Error::KeyIsEncrypted) => Err(encrypted()),
        Err(e) => Err(refused(format!("private key {name}: {e}"), None)),
    }
}

/// The agent and its keys; an agent that does not answer has none.
async fn agent(socket: &Path) -> (Option<AgentClient<UnixStream>>, Vec<(PublicKey, String)>) {
    let Ok(mut agent) = AgentClient::connect_uds(socket).await else {
        return (None, Vec::new());
    };
    let held = agent.request_identities().await.unwrap_or_default();
    let plain = held.into_iter().filter_map(|identity| match identity {
        AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
        AgentIdentity::Certificate { .. } => None,
    });
    (Some(agent), plain.collect())
}
