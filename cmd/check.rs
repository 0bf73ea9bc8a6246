//! `bp check`: a blueprint, offline.

use crate::exit::{Error, Exit};
use crate::{load, view};

/// The arguments of `check`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
}

/// Reads the blueprint and says how it is.
///
/// # Errors
/// When it is wrong.
pub fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint(args.file.file.as_deref(), json)?;
    let hosts = loaded.lab.hosts.len();
    if json {
        view::json_line(
            "done",
            &serde_json::json!({ "verb": "check", "hosts": hosts, "failed": 0 }),
        );
    } else {
        let own = |s: &&blueprints::Stack| s.kind == blueprints::StackKind::Authority;
        let stacks = loaded.lab.stacks.iter().filter(|s| !own(s)).count();
        let file = &loaded.file;
        let (hosts, stacks) = (view::count(hosts, "host"), view::count(stacks, "stack"));
        view::line(&format!("`{file}` is right: {hosts}, {stacks}"));
    }
    Ok(Exit::Done)
}
