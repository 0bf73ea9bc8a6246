//! Which host key is the right one.

use super::{Target, known_hosts};
use crate::SessionError;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey};
use std::path::PathBuf;

/// Which host key is the right one.
#[derive(Clone, Debug)]
pub enum HostKeys {
    /// One of these, OpenSSH's one-line form.
    Pinned(Vec<String>),
    /// The one with this fingerprint, `SHA256:...`.
    Fingerprint(String),
    /// One that these files record for the host's address. A file that is not there is empty; at
    /// least one must know the host.
    KnownHosts(Vec<PathBuf>),
}

/// What is expected of one host.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    /// One of `keys`, none of `revoked`; `place` says where that is written.
    Keys { keys: Vec<PublicKey>, revoked: Vec<PublicKey>, place: String },
    /// The key of this fingerprint, whatever its type.
    Fingerprint(String),
}

impl HostKeys {
    /// Reads what is expected of a host, before it is asked.
    pub(super) fn expected(&self, target: &Target) -> Result<Expected, SessionError> {
        match self {
            Self::Pinned(lines) => {
                let keys = lines.iter().map(|line| PublicKey::from_openssh(line));
                let keys = keys.collect::<Result<Vec<_>, _>>().map_err(|e| {
                    refused(format!("pinned host key of {}: {e}", target.name()), None)
                })?;
                if keys.is_empty() {
                    return Err(refused(
                        format!("no host key is pinned for {}", target.name()),
                        None,
                    ));
                }
                Ok(Expected::Keys { keys, revoked: Vec::new(), place: "pinned".into() })
            }
            Self::Fingerprint(print) => {
                let wanted = print.trim().trim_end_matches('=');
                if !wanted.starts_with("SHA256:") {
                    return Err(refused(
                        format!("fingerprint `{print}` of {} is not `SHA256:...`", target.name()),
                        Some("`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host shows it".into()),
                    ));
                }
                Ok(Expected::Fingerprint(wanted.to_owned()))
            }
            Self::KnownHosts(files) => known_hosts::lookup(files, target),
        }
    }
}

impl Expected {
    /// The host key algorithms that are asked for, so that the server shows a key of a type that
    /// is on record: where several types exist it would show its favourite, and a host that is
    /// known would look like one that is not.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let all = [
            Algorithm::Ed25519,
            Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
            Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
            Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
            Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
            Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
        ];
        let wanted = |a: &Algorithm| match self {
            Self::Keys { keys, .. } => keys.iter().any(|k| same_type(&k.algorithm(), a)),
            Self::Fingerprint(_) => true,
        };
        all.into_iter().filter(wanted).collect()
    }

    /// Judges the key that the server shows and has proved to hold.
    pub(super) fn judge(&self, shown: &PublicKey, name: &str) -> Result<(), SessionError> {
        match self {
            Self::Keys { revoked, place, .. }
                if revoked.iter().any(|k| k.key_data() == shown.key_data()) =>
            {
                Err(refused(
                    format!("host key {} of {name} is revoked ({place})", describe(shown)),
                    Some("whoever shows this key is not to be trusted".into()),
                ))
            }
            Self::Keys { keys, .. } if keys.iter().any(|k| k.key_data() == shown.key_data()) => {
                Ok(())
            }
            Self::Fingerprint(wanted) if *wanted == print(shown) => Ok(()),
            _ => Err(self.wrong(name, &describe(shown))),
        }
    }

    /// The error for a key that is not the expected one.
    pub(super) fn wrong(&self, name: &str, shown: &str) -> SessionError {
        let expected = match self {
            Self::Keys { keys, place, .. } => {
                let keys: Vec<_> = keys.iter().map(describe).collect();
                format!("{} ({place})", keys.join(" or "))
            }
            Self::Fingerprint(print) => print.clone(),
        };
        SessionError::HostKey {
            message: format!("host key of {name} is {shown}, expected {expected}"),
            hint: Some(
                "another machine answers at this address, or this one was rebuilt; compare the \
                 fingerprints on its console"
                    .into(),
            ),
        }
    }
}

/// Whether keys of one type sign with the other's algorithm: RSA keys do with several.
pub(super) fn same_type(key: &Algorithm, algorithm: &Algorithm) -> bool {
    match (key, algorithm) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        _ => key == algorithm,
    }
}

pub(super) fn refused(message: String, hint: Option<String>) -> SessionError {
    SessionError::Refused { message, hint }
}

fn print(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn describe(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), print(key))
}
