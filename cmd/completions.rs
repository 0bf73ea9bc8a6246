//! `bp completions`: for a shell.

use crate::Cli;
use crate::exit::{Error, Exit};
use crate::view;
use clap::CommandFactory;
use serde_json::json;

/// The arguments of `completions`.
#[derive(clap::Args)]
pub struct Args {
    /// Which shell.
    shell: clap_complete::Shell,
}

/// Prints them; as JSON lines, within the one that says that this was all.
///
/// # Errors
/// Never.
pub fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bp", &mut text);
    let script = String::from_utf8_lossy(&text);
    if json {
        let shell = args.shell.to_string();
        let body = json!({ "verb": "completions", "shell": shell, "script": script });
        view::json_line("done", &body);
    } else {
        view::line(script.trim_end());
    }
    Ok(Exit::Done)
}
