//! The record of a run: `.bp/<lab>/journal/<time>-<verb>.jsonl`. Never needed to converge or to destroy.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The folder of a lab on the operator's machine, beside its blueprint.
pub fn folder(blueprint_dir: &Path, lab: &str) -> PathBuf {
    blueprint_dir.join(".bp").join(lab)
}

/// Makes a folder that only its owner may enter.
///
/// # Errors
/// When it can't be made.
pub fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that only its owner may read.
///
/// # Errors
/// When it can't be written.
pub fn private_file(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

/// A journal that is open for writing.
pub struct Journal {
    file: Mutex<File>,
}

impl Journal {
    /// Begins the journal of one run.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn begin(lab_dir: &Path, verb: &str) -> io::Result<Self> {
        let dir = lab_dir.join("journal");
        private_dir(&dir)?;
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ");
        let path = dir.join(format!("{time}-{verb}.jsonl"));
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Appends one line. A full disk does not stop a run that makes a cluster.
    pub(crate) fn line(&self, line: &str) {
        let mut file = self.file.lock().unwrap_or_else(|e| e.into_inner());
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}
