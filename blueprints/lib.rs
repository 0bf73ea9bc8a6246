//! The blueprint language of bp: types, checks, diagnostics.
//!
//! Does no IO: what lies outside the text is asked through [`Outside`].

mod lab;

pub use lab::*;

use std::path::Path;

/// What the checks may ask about the world outside the blueprint's text.
pub trait Outside {
    /// The content of a file, relative paths already joined to the blueprint's folder.
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>>;
    /// The paths that a glob pattern matches (sorted), relative paths already joined.
    fn glob(&self, pattern: &Path) -> std::io::Result<Vec<std::path::PathBuf>>;
    /// Whether an environment variable is set.
    fn env_is_set(&self, name: &str) -> bool;
}
