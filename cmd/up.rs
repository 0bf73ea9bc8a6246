//! `bp up`: makes the cluster as the blueprint says.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use crate::select::Select;
use crate::view;
use playbooks::{run, survey};

/// The arguments of `up`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
    #[command(flatten)]
    select: Select,
    /// How many hosts are worked on at once.
    #[arg(long, value_name = "N", default_value_t = run::PARALLEL, value_parser = at_least_one)]
    parallel: usize,
    /// Wipe bricks that belonged to GlusterFS volumes that are gone, with all that lies on them.
    #[arg(long)]
    wipe_bricks: bool,
    /// Do not ask before changing anything; without a terminal, nothing is asked.
    #[arg(long, short)]
    yes: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "a number from 1 on".to_owned())
}

/// Survey, consent, and then every step in order.
///
/// # Errors
/// When the run can't begin.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint(args.file.file.as_deref(), json)?;
    let mut run = open::lab(loaded, "up", Kind::Writes, json).await?;
    run.cx = run.cx.wiping_bricks(args.wipe_bricks);
    let hosts: Vec<String> = run.cx.lab().hosts.iter().map(|h| h.name.clone()).collect();
    if let Err(error) = args.select.apply(&mut run.plan, &hosts) {
        return Err(run.give_up(error).await);
    }
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
    let changes = marks.iter().filter(|m| **m != playbooks::event::Mark::True).count();
    if changes > 0 && !args.yes && !json && view::is_interactive() {
        let question = format!("apply this to the lab `{}`?", run.cx.lab().name);
        if !view::confirm(&question) {
            run.end(Default::default()).await;
            return Ok(Exit::Done);
        }
    }
    let stop = run.stop.clone();
    let outcome = run::up(&run.cx, &run.plan.steps, &found, args.parallel, stop, &run.me).await;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(taken) => return Err(run.give_up(open::held(taken)).await),
    };
    let failed = outcome.sums.failed.unwrap_or(0) > 0;
    if outcome.interrupted {
        run.interrupted(outcome.sums).await;
        return Ok(Exit::Interrupted);
    }
    run.end(outcome.sums).await;
    Ok(if failed { Exit::Failed } else { Exit::Done })
}
