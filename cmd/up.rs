//! `bp up`: makes the cluster as the blueprint says.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind, Run};
use crate::select::Select;
use crate::view;
use blueprints::Phase;
use playbooks::event::Mark;
use playbooks::secrets::verbs;
use playbooks::{phase_name, run};

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
    let mut run = open::selected(&args.file, &args.select, "up", Kind::Writes, json).await?;
    run.cx = run.cx.wiping_bricks(args.wipe_bricks);
    if run.plan.steps.iter().any(|s| s.phase == phase_name(&Phase::Stacks))
        && let Err(failure) = verbs::asked(&run.cx, &run.plan.given).await
    {
        return Err(run.give_up(Error::of_input(failure)).await);
    }
    apply(run, args.parallel, args.yes, json).await
}

/// The same for a plan that is open already.
///
/// # Errors
/// When the run can't begin.
pub async fn apply(run: Run, parallel: usize, yes: bool, json: bool) -> Result<Exit, Error> {
    let Some((found, marks)) = run.survey().await else {
        run.interrupted(Default::default()).await;
        return Ok(Exit::Interrupted);
    };
    let changes = marks.iter().filter(|m| **m != Mark::True).count();
    if changes > 0 && !yes && !json && view::is_interactive() {
        let question = format!("apply this to the lab `{}`?", run.cx.lab().name);
        match run.consent(&question).await {
            Some(true) => {}
            Some(false) => {
                run.end(Default::default()).await;
                return Ok(Exit::Done);
            }
            None => {
                run.interrupted(Default::default()).await;
                return Ok(Exit::Interrupted);
            }
        }
    }
    let stop = run.stop.clone();
    let outcome = run::up(&run.cx, &run.plan.steps, &found, parallel, stop, &run.me).await;
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
