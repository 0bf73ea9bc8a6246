//! Any bytes are answered: read as a blueprint, and what is said about them shown.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run read fuzz/corpus/read blueprints/broken -- -dict=fuzz/read.dict -max_total_time=300`
#![no_main]

use blueprints::{Outside, read, render};
use libfuzzer_sys::fuzz_target;
use std::io;
use std::path::{Path, PathBuf};

/// A world without files.
struct Nothing;

impl Outside for Nothing {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn is_file(&self, _: &Path) -> bool {
        false
    }

    fn glob(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn env_is_set(&self, _: &str) -> bool {
        false
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }
}

fuzz_target!(|bytes: &[u8]| {
    let diagnostics = match read(bytes, "lab.yml", Path::new("/lab"), &Nothing) {
        Ok((lab, warnings)) => {
            assert!(!lab.hosts.is_empty());
            warnings
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            problems
        }
    };
    render(&diagnostics, &String::from_utf8_lossy(bytes), "lab.yml", false);
});
