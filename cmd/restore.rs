//! `bp restore`: what a backup holds, back into the lab's services.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use crate::view;
use playbooks::backup;
use playbooks::lock::LeaderLock;
use std::path::PathBuf;

/// The arguments of `restore`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
    /// A folder that `bp backup` made.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Do not ask; needed where there is no terminal to ask on.
    #[arg(long, short)]
    yes: bool,
}

/// Reads the backup, asks, brings it back.
///
/// # Errors
/// When it is no whole backup of this lab, the lab can't be opened, or nobody consented.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let asks = !args.yes;
    if asks && (json || !view::is_interactive()) {
        return Err(Error::input(
            "`bp restore` asks before it writes over what is there, and there is nobody to ask",
        )
        .hint("say `--yes` if you mean it"));
    }
    let loaded = load::blueprint_alone(args.file.file.as_deref(), json)?;
    let backup = backup::read(&args.from, &loaded.lab.name).map_err(Error::of_input)?;
    backup::fits(&loaded.lab, &backup).map_err(Error::of_input)?;
    let run = open::machines(loaded, "restore", Kind::Writes, json).await?;
    run.begin();
    let mut leader = LeaderLock::default();
    if let Err(taken) = leader.reach(&run.cx, &run.me).await {
        return Err(run.give_up(open::held(taken)).await);
    }
    for unknown in backup.unknown_to(run.cx.lab()) {
        run.cx.note(format!(
            "the blueprint has no {unknown}: declare it and `bp up` first, or it is not brought back"
        ));
    }
    if asks {
        let question = format!(
            "write this over what the lab `{}` has?\n  {}\nas it was at {}",
            run.cx.lab().name,
            backup.words().join("\n  "),
            backup.manifest.time
        );
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
    let sums = tokio::select! {
        sums = backup::restore(&run.cx, &backup) => sums,
        () = run.asked_to_stop() => {
            run.cx.note("what is being restored ends, which takes up to a minute");
            backup::stop(&run.cx).await;
            run.interrupted(Default::default()).await;
            return Ok(Exit::Interrupted);
        }
    };
    let failed = sums.failed.unwrap_or(0) > 0;
    run.end(sums).await;
    Ok(if failed { Exit::Failed } else { Exit::Done })
}
