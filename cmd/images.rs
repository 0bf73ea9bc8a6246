//! `bp images`: the images that a lab needs, and archives of them pushed into its own registry.

use crate::exit::{Error, Exit};
use crate::open::{self, Kind};
use crate::{load, view};
use playbooks::event::Sums;
use playbooks::lock::LeaderLock;
use serde_json::json;
use std::path::PathBuf;

/// The arguments of `images`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// List every image that the blueprint's stacks need, and where nodes get it from.
    List(load::File),
    /// Push archives, as `docker save` writes them, into the lab's registry.
    Load {
        /// The blueprint, where the first one ends in `.yml` or `.yaml`, and the archives.
        #[arg(value_name = "[BLUEPRINT] ARCHIVE", required = true)]
        files: Vec<PathBuf>,
    },
}

/// Lists or loads.
///
/// # Errors
/// When the blueprint or an archive is wrong, or the registry does not take an image.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    match &args.what {
        What::List(file) => list(file, json),
        What::Load { files } => {
            let is_blueprint =
                |p: &PathBuf| p.extension().is_some_and(|e| e == "yml" || e == "yaml");
            let (blueprint, archives) = match files.split_first() {
                Some((first, rest)) if is_blueprint(first) => (Some(first.as_path()), rest),
                _ => (None, files.as_slice()),
            };
            if archives.is_empty() {
                return Err(Error::input("there is no archive to push")
                    .hint("`docker save -o redis.tar redis:8.0.2` writes one"));
            }
            push(load::blueprint(blueprint, json)?, archives, json).await
        }
    }
}

fn list(file: &load::File, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint(file.file.as_deref(), json)?;
    let needed = playbooks::needed_images(&loaded.lab, &loaded.dir).map_err(Error::of_input)?;
    if json {
        let body = json!({ "verb": "images", "lab": loaded.lab.name, "images": needed });
        view::json_line("done", &body);
        return Ok(Exit::Done);
    }
    let width = needed.iter().map(|n| n.image.len()).max().unwrap_or(0);
    for one in &needed {
        let from = match &one.archive {
            Some(path) => format!("from {}", path.display()),
            None => "pulled".to_owned(),
        };
        view::line(&format!("{:width$}  {from}  ({})", one.image, one.services.join(", ")));
    }
    Ok(Exit::Done)
}

async fn push(loaded: load::Loaded, archives: &[PathBuf], json: bool) -> Result<Exit, Error> {
    let archives = playbooks::read_archives(archives).map_err(Error::of_input)?;
    let early =
        playbooks::before_the_registry(&loaded.lab, &loaded.dir).map_err(Error::of_input)?;
    let run = open::machines(loaded, "images", Kind::Writes, json).await?;
    run.begin();
    let mut leader = LeaderLock::default();
    if let Err(taken) = leader.reach(&run.cx, &run.me).await {
        return Err(run.give_up(open::held(taken)).await);
    }
    let pushed = tokio::select! {
        pushed = playbooks::load_images(&run.cx, &archives) => pushed,
        () = run.asked_to_stop() => {
            run.interrupted(Sums::default()).await;
            return Ok(Exit::Interrupted);
        }
    };
    let pushed = match pushed {
        Ok(pushed) => pushed,
        Err(failure) => return Err(run.give_up(failure.into()).await),
    };
    let lab = run.cx.lab().clone();
    let (stay, replace): (Vec<_>, Vec<_>) = playbooks::replacements(&pushed)
        .into_iter()
        .filter(|(from, to)| lab.images.replace.get(from) != Some(to))
        .partition(|(from, _)| early.contains(from));
    let stay: Vec<String> = stay.into_iter().map(|(from, _)| from).collect();
    run.end(Sums { applied: Some(pushed.len()), ..Sums::default() }).await;
    if json {
        let replace: serde_json::Map<_, _> =
            replace.into_iter().map(|(from, to)| (from, json!(to))).collect();
        view::json_line("pushed", &json!({ "images": pushed, "replace": replace, "stay": stay }));
        return Ok(Exit::Done);
    }
    if !replace.is_empty() {
        view::line("nodes take them from the registry with these lines in the blueprint:");
        view::line("images:\n  replace:");
        for (from, to) in &replace {
            view::line(&format!("    {from}: {to}"));
        }
    }
    if !stay.is_empty() {
        view::line("these start before the registry, and stay in `images.archives`:");
        for image in &stay {
            view::line(&format!("  {image}"));
        }
    }
    Ok(Exit::Done)
}
