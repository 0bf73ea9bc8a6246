//! `bp plan`: what `up` would do. Changes nothing, takes no lock.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use crate::select::Select;
use playbooks::event::{Mark, Sums};
use playbooks::survey;

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
    let loaded = load::blueprint(args.file.file.as_deref(), json)?;
    let mut run = open::lab(loaded, "plan", Kind::Reads, json).await?;
    let hosts: Vec<String> = run.cx.lab().hosts.iter().map(|h| h.name.clone()).collect();
    if let Err(error) = args.select.apply(&mut run.plan, &hosts) {
        return Err(run.give_up(error).await);
    }
    run.begin();
    for provider in run.cx.world().providers() {
        match provider.choices().await {
            Ok(choices) => choices.into_iter().for_each(|choice| run.cx.note(choice)),
            Err(error) => return Err(run.give_up(playbooks::Failure::from(error).into()).await),
        }
    }
    let found = tokio::select! {
        found = survey::survey(&run.cx, &run.plan.steps) => found,
        () = run.asked_to_stop() => {
            run.interrupted(Default::default()).await;
            return Ok(Exit::Interrupted);
        }
    };
    let marks = survey::marks(&run.plan.steps, &found);
    survey::tell(&run.cx, &run.plan.steps, &found, &marks);
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
