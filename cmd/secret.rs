//! `bp secret`: the secrets of the swarm that the lab's stacks use.

use crate::exit::{Error, Exit};
use crate::open::{self, Kind};
use crate::{load, up, view};
use playbooks::secrets::verbs::{self, Listed};
use playbooks::{phase_name, run};
use serde_json::json;

/// The arguments of `secret`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// Print what a secret holds, read from a running task that uses it.
    Show(One),
    /// Make a secret anew, and restart what uses it, in order.
    Rotate(Rotate),
    /// List the secrets of the lab, without what they hold.
    List(load::File),
}

#[derive(clap::Args)]
struct One {
    /// What the blueprint calls the secret.
    name: String,
    #[command(flatten)]
    file: load::File,
}

#[derive(clap::Args)]
struct Rotate {
    #[command(flatten)]
    one: One,
    /// Do not ask before changing anything; without a terminal, nothing is asked.
    #[arg(long, short)]
    yes: bool,
}

/// Does what is asked for.
///
/// # Errors
/// When the lab can't be opened, or it has no such secret.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    match &args.what {
        What::Show(one) => show(one, json).await,
        What::Rotate(args) => rotate(args, json).await,
        What::List(file) => list(file, json).await,
    }
}

async fn show(one: &One, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint_alone(one.file.file.as_deref(), json)?;
    let run = open::machines(loaded, "secret", Kind::Reads, json).await?;
    let value = verbs::show(&run.cx, &one.name).await?;
    let value = String::from_utf8(value)
        .map_err(|_| Error::failed(format!("the secret {} is no text", one.name)))?;
    if json {
        let lab = &run.cx.lab().name;
        let body = json!({ "verb": "secret show", "lab": lab, "name": one.name, "value": value });
        view::json_line("done", &body);
    } else {
        view::line(value.strip_suffix('\n').unwrap_or(&value));
    }
    Ok(Exit::Done)
}

async fn list(file: &load::File, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint(file.file.as_deref(), json)?;
    let dir = loaded.dir.clone();
    let run = open::machines(loaded, "secret", Kind::Reads, json).await?;
    let all = verbs::list(&run.cx, &dir).await?;
    if json {
        let body = json!({ "verb": "secret list", "lab": run.cx.lab().name, "secrets": all });
        view::json_line("done", &body);
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let head = ["secret", "source", "age", "ends in", "used by"].map(str::to_owned);
    view::table("secrets", &head, &rows);
    Ok(Exit::Done)
}

fn row(secret: &Listed) -> Vec<String> {
    let nothing = || "-".to_owned();
    let time = |seconds: Option<i64>| seconds.map_or_else(nothing, time);
    let users = if secret.users.is_empty() { nothing() } else { secret.users.join(", ") };
    let (name, source) = (secret.name.clone(), secret.source.clone());
    vec![name, source, time(secret.age), time(secret.left), users]
}

/// Seconds as a person reads them, in the largest unit that says enough.
fn time(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7200 => format!("{} min", s / 60),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

async fn rotate(args: &Rotate, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint(args.one.file.file.as_deref(), json)?;
    let dir = loaded.dir.clone();
    let mut run = open::lab(loaded, "rotate", Kind::Writes, json).await?;
    let secret = match verbs::rotatable(&run.cx, &dir, &args.one.name) {
        Ok(secret) => secret,
        Err(failure) => return Err(run.give_up(Error::of_input(failure)).await),
    };
    let step = match verbs::rotation(&run.cx, secret).await {
        Ok(step) => step,
        Err(failure) => return Err(run.give_up(failure.into()).await),
    };
    // What uses it restarts as after any change: in the order of the stacks, health kept.
    run.plan.steps.retain(|s| s.phase == phase_name(&blueprints::Phase::Stacks));
    run.plan.steps.insert(0, step);
    run.begin();
    up::apply(run, run::PARALLEL, args.yes, json).await
}
