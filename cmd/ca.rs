//! `bp ca`: the certificate of the lab's own authority, for those who are to trust it.

use crate::exit::{Error, Exit};
use crate::open::{self, Kind};
use crate::{load, view};
use playbooks::secrets::verbs;

/// The arguments of `ca`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
}

/// Prints the certificate.
///
/// # Errors
/// When there is none, or no manager answers.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint_alone(args.file.file.as_deref(), json)?;
    let run = open::machines(loaded, "ca", Kind::Reads, json).await?;
    let Some(certificate) = verbs::authority(&run.cx).await? else {
        let lab = &run.cx.lab().name;
        return Err(Error::failed(format!("the lab `{lab}` has no authority of its own"))
            .hint("`bp up` makes it with the first stack that needs certificates"));
    };
    if json {
        let body = serde_json::json!({
            "verb": "ca", "lab": run.cx.lab().name, "certificate": certificate,
        });
        view::json_line("done", &body);
    } else {
        view::line(certificate.trim_end());
    }
    Ok(Exit::Done)
}
