//! `bp completions`: for a shell.

use crate::Cli;
use crate::exit::{Error, Exit};
use crate::view;
use clap::CommandFactory;

/// The arguments of `completions`.
#[derive(clap::Args)]
pub struct Args {
    /// Which shell.
    shell: clap_complete::Shell,
}

/// Prints them.
///
/// # Errors
/// Never.
pub fn run(args: &Args) -> Result<Exit, Error> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bp", &mut text);
    view::line(String::from_utf8_lossy(&text).trim_end());
    Ok(Exit::Done)
}
