//! Finds the blueprint, reads it, and prints what is wrong with it.

use crate::exit::Error;
use crate::view;
use blueprints::{Diagnostic, Lab, Outside, Severity};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// A blueprint that passed its checks.
pub struct Loaded {
    /// What it says.
    pub lab: Lab,
    /// The folder it stands in.
    pub dir: PathBuf,
    /// How messages name the file.
    pub file: String,
}

/// What the language asks about the machine that bp runs on.
struct ThisMachine;

impl Outside for ThisMachine {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        glob(pattern)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn home(&self) -> Option<PathBuf> {
        std::env::var_os("HOME").map(PathBuf::from)
    }

    fn env_is_set(&self, name: &str) -> bool {
        std::env::var_os(name).is_some()
    }
}

/// For verbs that only find or remove machines: what stands beside the blueprint may be gone.
struct BlueprintAlone;

impl Outside for BlueprintAlone {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(vec![pattern.to_owned()])
    }

    fn is_file(&self, _: &Path) -> bool {
        true
    }

    fn home(&self) -> Option<PathBuf> {
        ThisMachine.home()
    }

    fn env_is_set(&self, _: &str) -> bool {
        true
    }
}

/// Reads a blueprint and nothing beside it, for verbs that only find or remove machines.
///
/// # Errors
/// When there is no blueprint, or its text is wrong.
pub fn blueprint_alone(file: Option<&Path>, json: bool) -> Result<Loaded, Error> {
    loaded(file, json, &BlueprintAlone)
}

/// Reads a blueprint. Warnings are printed; errors are printed all at once and end the command.
///
/// # Errors
/// When there is no blueprint, or it is wrong.
pub fn blueprint(file: Option<&Path>, json: bool) -> Result<Loaded, Error> {
    loaded(file, json, &ThisMachine)
}

fn loaded(file: Option<&Path>, json: bool, outside: &dyn Outside) -> Result<Loaded, Error> {
    let path = find(file)?;
    let name = path.display().to_string();
    let text = read(&path)?;
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = dir.canonicalize().map_err(|e| Error::input(format!("open `{name}`: {e}")))?;
    match blueprints::read(&text, &name, &dir, outside) {
        Ok((lab, warnings)) => {
            tell(&warnings, &text, &name, json);
            Ok(Loaded { lab, dir, file: name })
        }
        Err(all) => {
            tell(&all, &text, &name, json);
            let errors = all.iter().filter(|d| d.severity == Severity::Error).count();
            let what = view::count(errors, "error");
            Err(Error::input(format!("`{name}` has {what}; nothing was touched")))
        }
    }
}

/// Reads the file, one byte more than the language takes at the most: it says what is too long.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let fail = |e: io::Error| Error::input(format!("read `{}`: {e}", path.display()));
    // A pipe would be waited for, a device read for ever.
    if path.exists() && !path.is_file() {
        return Err(Error::input(format!("`{}` is no file", path.display())));
    }
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(blueprints::MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(fail)?;
    Ok(text)
}

fn tell(diagnostics: &[Diagnostic], text: &[u8], file: &str, json: bool) {
    if diagnostics.is_empty() {
        return;
    }
    if json {
        for diagnostic in diagnostics {
            view::json_line("diagnostic", diagnostic);
        }
    } else {
        let color = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let text = String::from_utf8_lossy(text);
        view::stderr(&blueprints::render(diagnostics, &text, file, color));
    }
}

/// The file that was named, else `bp.yml`, else the only `*.yml` or `*.yaml` with `version: 1`.
fn find(file: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(file) = file {
        return Ok(file.to_owned());
    }
    let default = PathBuf::from("bp.yml");
    if default.is_file() {
        return Ok(default);
    }
    let mut found: Vec<PathBuf> = std::fs::read_dir(".")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|e| PathBuf::from(e.file_name())))
        .filter(|path| path.extension().is_some_and(|e| e == "yml" || e == "yaml"))
        .filter(|path| path.is_file() && is_blueprint(path))
        .collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Error::input(
            "there is no blueprint here: no `bp.yml`, no `*.yml` with `version: 1`",
        )
        .hint("name the file, or write one to start from with `bp init`")),
        many => {
            let names: Vec<String> = many.iter().map(|p| format!("`{}`", p.display())).collect();
            Err(Error::input(format!("which blueprint? {} could be it", names.join(", "))))
        }
    }
}

/// Whether a file says `version: 1` on a line of its own and lists hosts: a playbook or a compose
/// file does not.
fn is_blueprint(path: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(path) else { return false };
    let has = |key: &str| text.lines().any(|l| l.starts_with(key));
    text.lines().any(|l| l.split('#').next().is_some_and(|l| l.trim_end() == "version: 1"))
        && has("hosts:")
}

/// The paths that match a pattern, sorted. `*` stands within one component, and only in the last.
fn glob(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if !name.contains('*') {
        return Ok(if pattern.is_file() { vec![pattern.to_owned()] } else { Vec::new() });
    }
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|n| matches(name, n)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Which blueprint.
#[derive(clap::Args)]
pub struct File {
    /// The blueprint; by default `bp.yml`, or the only `*.yml` or `*.yaml` here with `version: 1`.
    pub file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_part_of_a_name() {
        for (pattern, name, is) in [
            ("*.tar", "etcd.tar", true),
            ("*.tar", "etcd.tar.gz", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("etcd*", "etcd", true),
            ("*", "anything", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }
}
