//! `bp destroy`: removes everything that carries the lab's tag, and verifies it.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use crate::view;
use playbooks::destroy;
use playbooks::lock::LeaderLock;
use std::path::Path;

/// The arguments of `destroy`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
    /// Do not ask; needed where there is no terminal to ask on.
    #[arg(long, short)]
    yes: bool,
}

/// Lists, asks, removes, verifies.
///
/// # Errors
/// When the lab can't be opened, or nobody consented.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let asks = !args.yes;
    if asks && (json || !view::is_interactive()) {
        return Err(Error::input(
            "`bp destroy` asks before it removes, and there is nobody to ask",
        )
        .hint("say `--yes` if you mean it"));
    }
    let loaded = load::blueprint_alone(args.file.file.as_deref(), json)?;
    let run = open::machines(loaded, "destroy", Kind::Writes, json).await?;
    run.begin();
    // One who runs bp from another folder or machine is kept out, too.
    let mut leader = LeaderLock::default();
    if let Err(taken) = leader.reach(&run.cx, &run.me).await {
        return Err(run.give_up(open::held(taken)).await);
    }
    let doomed = match destroy::doomed(&run.cx).await {
        Ok(doomed) => doomed,
        Err(failure) => return Err(run.give_up(failure.into()).await),
    };
    if asks && !doomed.is_empty() {
        let question = format!(
            "remove all of this?\n  {}\nof the lab `{}`",
            doomed.words().join("\n  "),
            run.cx.lab().name
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
        sums = destroy::destroy(&run.cx, doomed) => sums,
        () = run.asked_to_stop() => {
            run.interrupted(Default::default()).await;
            return Ok(Exit::Interrupted);
        }
    };
    let failed = sums.failed.unwrap_or(0) > 0;
    if !failed && let Err(error) = forget(run.cx.dir()) {
        return Err(run.give_up(error).await);
    }
    run.end(sums).await;
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// Takes away what bp keeps of the lab on this machine. The journals stay: they are the record.
fn forget(dir: &Path) -> Result<(), Error> {
    for name in ["id_ed25519", "id_ed25519.pub", "known_hosts", "lock"] {
        let path = dir.join(name);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::failed(format!("remove `{}`: {e}", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}
