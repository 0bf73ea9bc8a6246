//! `bp status`: what is true of the cluster now. The same checks as `plan`, read as health.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use playbooks::event::Sums;
use playbooks::{Check, survey};

/// The arguments of `status`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
}

/// Surveys and says what is not true.
///
/// # Errors
/// When the lab can't be opened.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint(args.file.file.as_deref(), json)?;
    let run = open::lab(loaded, "status", Kind::Reads, json).await?;
    run.begin();
    let found = tokio::select! {
        found = survey::survey(&run.cx, &run.plan.steps) => found,
        () = run.asked_to_stop() => {
            run.interrupted(Default::default()).await;
            return Ok(Exit::Interrupted);
        }
    };
    let marks = survey::marks(&run.plan.steps, &found);
    survey::tell(&run.cx, &run.plan.steps, &found, &marks);
    let failed = found.iter().filter(|c| **c != Check::True).count();
    let already_true = Some(found.len() - failed);
    run.end(Sums { already_true, failed: Some(failed), ..Sums::default() }).await;
    Ok(if failed > 0 { Exit::Differs } else { Exit::Done })
}
