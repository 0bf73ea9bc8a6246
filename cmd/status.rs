//! `bp status`: what is true of the cluster now. The same checks as `plan`, read as health.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use playbooks::event::Sums;
use playbooks::{Check, survey, view};

/// The arguments of `status`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
}

/// Surveys, says what is not true, and shows the cluster in tables.
///
/// # Errors
/// When the lab can't be opened.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint(args.file.file.as_deref(), json)?;
    let run = open::lab(loaded, "status", Kind::Reads, json).await?;
    run.begin();
    let asked = async {
        let (cx, steps) = (&run.cx, &run.plan.steps);
        let found = survey::survey(cx, steps).await;
        survey::tell(cx, steps, &found, &survey::marks(steps, &found));
        view::tell(cx, steps, &found).await;
        found
    };
    let found = tokio::select! {
        found = asked => found,
        () = run.asked_to_stop() => {
            run.interrupted(Default::default()).await;
            return Ok(Exit::Interrupted);
        }
    };
    let failed = found.iter().filter(|c| **c != Check::True).count();
    let already_true = Some(found.len() - failed);
    run.end(Sums { already_true, failed: Some(failed), ..Sums::default() }).await;
    Ok(if failed > 0 { Exit::Differs } else { Exit::Done })
}
