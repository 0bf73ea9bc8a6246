//! `bp plan`: what `up` would do. Changes nothing, takes no lock.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use crate::select::Select;
use playbooks::event::{Mark, Sums};

/// The arguments of `plan`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
    #[command(flatten)]
    select: Select,
}

/// Surveys and says the marks.
///
/// # Errors
/// When the lab can't be opened.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let run = open::selected(&args.file, &args.select, "plan", Kind::Reads, json).await?;
    for provider in run.cx.world().providers() {
        match provider.choices().await {
            Ok(choices) => choices.into_iter().for_each(|choice| run.cx.note(choice)),
            // What hangs on it is marked as not known; the rest is worth to be seen.
            Err(error) => run.cx.note(error.to_string()),
        }
    }
    let Some((_, marks)) = run.survey().await else {
        run.interrupted(Default::default()).await;
        return Ok(Exit::Interrupted);
    };
    let count = |mark: Mark| marks.iter().filter(|m| **m == mark).count();
    let changes = count(Mark::Apply) + count(Mark::Unknown);
    run.end(Sums {
        apply: Some(count(Mark::Apply)),
        unknown: Some(count(Mark::Unknown)),
        already_true: Some(count(Mark::True)),
        ..Sums::default()
    })
    .await;
    Ok(if changes > 0 { Exit::Differs } else { Exit::Done })
}
