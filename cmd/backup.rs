//! `bp backup`: the data of the lab's services, into a folder on this machine.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use playbooks::backup;
use playbooks::event::Sums;
use playbooks::lock::LeaderLock;
use std::path::PathBuf;

/// The arguments of `backup`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
    /// The folder in which a new one is made, named after the lab and the time.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Takes a backup.
///
/// # Errors
/// When the lab can't be opened, or something of it could not be taken.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint_alone(args.file.file.as_deref(), json)?;
    let run = open::machines(loaded, "backup", Kind::Writes, json).await?;
    run.begin();
    let mut leader = LeaderLock::default();
    if let Err(taken) = leader.reach(&run.cx, &run.me).await {
        return Err(run.give_up(open::held(taken)).await);
    }
    let taken = tokio::select! {
        taken = backup::take(&run.cx, &args.to) => taken,
        () = run.asked_to_stop() => {
            backup::stop(&run.cx).await;
            run.interrupted(Default::default()).await;
            return Ok(Exit::Interrupted);
        }
    };
    match taken {
        Ok(taken) => {
            let applied = Some(taken.manifest.items.len());
            run.end(Sums { applied, failed: Some(0), ..Sums::default() }).await;
            Ok(Exit::Done)
        }
        Err(failure) => Err(run.give_up(failure.into()).await),
    }
}
