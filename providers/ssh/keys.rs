//! Key pairs: the lab's own, and host keys for machines that bp makes.

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Why a key can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or written.
    #[error("{doing} `{}`: {source}", path.display())]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The key's file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The file is no private key, or the key can't be made.
    #[error("{0}")]
    Key(String),
}

/// The public line of the lab's own key (ed25519), which is made when it is absent.
///
/// The file appears whole or not at all, readable by its owner alone; of two that make it at the
/// same time one wins, and both return its key.
///
/// # Errors
/// When the file can't be read or written, or holds no private key.
pub fn lab_key(path: &Path) -> Result<String, KeyError> {
    if !path.exists() {
        let (private, _) = new_key("bp lab key")?;
        let write = |source| KeyError::File { doing: "write", path: path.to_owned(), source };
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A temporary file of this crate is made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(write)?;
        file.write_all(private.as_bytes()).map_err(write)?;
        file.as_file().sync_all().map_err(write)?;
        match file.persist_noclobber(path) {
            Err(lost) if lost.error.kind() == std::io::ErrorKind::AlreadyExists => {}
            done => drop(done.map_err(|e| write(e.error))?),
        }
    }
    public_of(path)
}

/// A new ed25519 host key: the private one in OpenSSH's form, and its public line.
///
/// # Errors
/// When the key can't be encoded.
pub fn new_host_key() -> Result<(String, String), KeyError> {
    new_key("")
}

/// The public line of a private key's file.
///
/// # Errors
/// When the file can't be read, holds no private key, or an encrypted one of a form that does not
/// show its public half.
pub fn public_of(path: &Path) -> Result<String, KeyError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeyError::File {
        doing: "read",
        path: path.to_owned(),
        source,
    })?;
    let key = parse(&text).map_err(|e| KeyError::Key(format!("`{}`: {e}", path.display())))?;
    key.public_key().to_openssh().map_err(|e| KeyError::Key(e.to_string()))
}

/// Whether a file holds a private key that needs no passphrase.
pub fn is_ready(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    parse(&text).is_ok_and(|key| !key.is_encrypted())
}

/// A private key in any usual form; one in OpenSSH's own form may come out still encrypted.
pub(super) fn parse(text: &str) -> Result<PrivateKey, russh::keys::Error> {
    match PrivateKey::from_openssh(text) {
        Ok(key) => Ok(key),
        Err(_) => russh::keys::decode_secret_key(text, None),
    }
}

fn new_key(comment: &str) -> Result<(String, String), KeyError> {
    let failed = |e: russh::keys::ssh_key::Error| KeyError::Key(format!("make a key: {e}"));
    let mut rng = russh::keys::key::safe_rng();
    let mut key = PrivateKey::random(&mut rng, Algorithm::Ed25519).map_err(failed)?;
    key.set_comment(comment);
    let private = key.to_openssh(LineEnding::LF).map_err(failed)?;
    let public = key.public_key().to_openssh().map_err(failed)?;
    Ok((private.to_string(), public))
}
