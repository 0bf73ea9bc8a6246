//! `bp init`: a commented blueprint to start from.

use crate::exit::{Error, Exit};
use crate::view;
use std::io::Write;
use std::path::PathBuf;

/// The arguments of `init`.
#[derive(clap::Args)]
pub struct Args {
    /// The file to write; never one that is there.
    #[arg(default_value = "bp.yml")]
    file: PathBuf,
}

/// Writes it.
///
/// # Errors
/// When the file is there already, or can't be written.
pub fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let name = args.file.display();
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&args.file);
    let mut file = file.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Error::input(format!("`{name}` is there already")).hint("name another file")
        }
        std::io::ErrorKind::NotFound => {
            Error::input(format!("write `{name}`: {e}")).hint("its folder has to be there")
        }
        _ => Error::failed(format!("write `{name}`: {e}")),
    })?;
    file.write_all(blueprints::STARTER.as_bytes())
        .map_err(|e| Error::failed(format!("write `{name}`: {e}")))?;
    if json {
        view::json_line("done", &serde_json::json!({ "verb": "init", "file": args.file }));
    } else {
        view::line(&format!("wrote `{name}`: change it to what you want, then `bp plan {name}`"));
    }
    Ok(Exit::Done)
}
