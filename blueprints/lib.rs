//! The blueprint language of bp: types, checks, diagnostics.
//!
//! Does no IO: what lies outside the text is asked through [`Outside`].

mod base;
mod check;
mod check_base;
mod check_dns;
mod check_firewall;
mod check_gluster;
mod check_hosts;
mod check_names;
mod check_networks;
mod check_records;
mod check_services;
mod check_stacks;
mod compose;
mod context;
mod de;
mod diagnostic;
mod dns;
mod field;
mod file;
mod file_ground;
mod file_stacks;
mod firewall;
mod gluster;
mod ground;
mod hosts;
mod image;
mod lab;
mod libvirt;
mod login;
mod phases;
mod ranges;
mod schema;
mod services;
mod shipped;
mod stacks;
mod swarm;
mod text;
mod tree;
mod units;
pub mod versions;
mod wording;

pub use diagnostic::{Diagnostic, Severity, render};
pub use ground::*;
pub use image::is_image;
pub use lab::*;
pub use schema::schema;
pub use services::*;
pub use text::MAX_BYTES;

use check::Plan;
use context::Context;
use diagnostic::{Problem, sorted};
use std::path::{Path, PathBuf};

/// A commented blueprint to start from; it passes the check.
pub const STARTER: &str = include_str!("starter.yml");

/// What the checks may ask about the world outside the blueprint's text.
pub trait Outside {
    /// The content of a file, relative paths already joined to the blueprint's folder. An error
    /// of the kind `Unsupported` says that files are not to be looked at: no rule asks for it then.
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>>;
    /// Whether a file is there, without reading it.
    fn is_file(&self, path: &Path) -> bool;
    /// The paths that a glob pattern matches (sorted), relative paths already joined.
    fn glob(&self, pattern: &Path) -> std::io::Result<Vec<PathBuf>>;
    /// Whether an environment variable is set.
    fn env_is_set(&self, name: &str) -> bool;
    /// The user's home folder, which `~/` stands for.
    fn home(&self) -> Option<PathBuf>;
}

/// Reads a blueprint and checks it whole. `file` is the name that diagnostics carry, `dir` is
/// what relative paths start from.
///
/// # Errors
/// Every problem of the text, warnings among them, sorted by place. Without an error, the
/// warnings come with the lab.
pub fn read(
    text: &[u8],
    file: &str,
    dir: &Path,
    outside: &dyn Outside,
) -> Result<(Lab, Vec<Diagnostic>), Vec<Diagnostic>> {
    let text = match text::decode(text) {
        Ok(text) => text,
        Err((problem, before)) => return Err(sorted(vec![problem], before, file)),
    };
    let mut problems = Vec::new();
    match checked(text, dir, outside, &mut problems) {
        Some(lab) if problems.iter().all(|p| p.severity == Severity::Warning) => {
            Ok((lab, sorted(problems, text, file)))
        }
        _ => Err(sorted(problems, text, file)),
    }
}

/// The lab of a text as far as it can be read, and every problem of the text.
fn checked(
    text: &str,
    dir: &Path,
    outside: &dyn Outside,
    problems: &mut Vec<Problem>,
) -> Option<Lab> {
    let (root, wrong) = tree::parse(text);
    problems.extend(wrong);
    let root = root?;
    if matches!(root.kind, tree::Kind::Null) {
        let help = "`bp init` writes one to start from";
        let top = tree::Span::default();
        problems.push(Problem::error(top, "the blueprint is empty").help(help));
        return None;
    }
    let (file, wrong) = de::read::<file::Blueprint>(&root);
    problems.extend(wrong);
    let file = file?;
    let whole = problems.is_empty();
    let mut context = Context::new(text, dir, outside, std::mem::take(problems));
    let lab = resolve(&file, whole, &mut context);
    *problems = context.problems;
    Some(lab)
}

/// The lab that the file describes, with stand-ins where it is wrong, and every rule run.
fn resolve(file: &file::Blueprint, whole: bool, context: &mut Context<'_>) -> Lab {
    let name = file.name.get().cloned().unwrap_or_default();
    let libvirt = libvirt::resolve(file, &name, context);
    let hosts = hosts::resolve(file, context);
    let base = base::resolve(file);
    let engine = swarm::engine(file, context);
    let (swarm, networks) = swarm::swarm(file, context);
    let images = swarm::images(file, context);
    let all: Vec<&Host> = hosts.iter().map(|h| &h.host).collect();
    let domain = file.domain.get().cloned().unwrap_or_else(|| format!("{name}.internal"));
    let stacks = stacks::resolve(file, &domain, &all, context);
    let secrets = login::secrets(file, context);
    let dns = dns::resolve(file, &domain, &all, context);
    let firewall = firewall::resolve(file);
    let volumes = gluster::resolve(file, &all, context);
    let ssh_key = file.ssh.get().and_then(|ssh| ssh.key.get()).map(|key| context.path(key));
    let phases = phases::resolve(file, context);
    let lab = Lab {
        name,
        domain,
        hosts: hosts.iter().map(|h| h.host.clone()).collect(),
        libvirt,
        base,
        dns,
        firewall,
        engine,
        volumes,
        swarm,
        images,
        stacks: shipped::with_authority(stacks.iter().map(|s| s.stack.clone()).collect()),
        secrets,
        phases,
        ssh_key,
    };
    let plan = Plan { lab: &lab, file, hosts: &hosts, stacks: &stacks, networks: &networks };
    check::run(&plan, whole, context);
    lab
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_ground;
#[cfg(test)]
mod tests_services;
