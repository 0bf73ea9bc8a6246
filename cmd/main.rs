//! The command `bp`: arguments in, exit code out. The only code that prints, exits or knows clap.

mod backup;
mod ca;
mod check;
mod completions;
mod destroy;
mod exit;
mod images;
mod init;
mod inventory;
mod load;
mod open;
mod plan;
mod restore;
mod schema;
mod secret;
mod select;
mod ssh;
mod status;
mod up;
mod view;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use std::time::Duration;

/// One blueprint file describes a cluster, from machines to services: `bp up` makes it so and
/// proves it, `bp destroy` takes it away.
#[derive(Parser)]
#[command(name = "bp", version, after_help = exit::HELP)]
struct Cli {
    /// One JSON object a line on standard output instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make the cluster as the blueprint says; what is so already is left alone.
    Up(up::Args),
    /// Show what `up` would do, and change nothing.
    Plan(plan::Args),
    /// Show what is true of the cluster now, and change nothing.
    Status(status::Args),
    /// Remove everything that carries the lab's tag.
    Destroy(destroy::Args),
    /// Take a backup of the data of the lab's services.
    Backup(backup::Args),
    /// Bring a backup back.
    Restore(restore::Args),
    /// Check a blueprint, offline.
    Check(check::Args),
    /// Print the JSON Schema of blueprints.
    Schema,
    /// Write a commented blueprint to start from.
    Init(init::Args),
    /// Log in to a host of the lab, or run a command on it.
    Ssh(ssh::Args),
    /// List the hosts in a form that other tools read.
    Inventory(inventory::Args),
    /// List the images that a blueprint needs, or push archives of them into the lab's registry.
    Images(images::Args),
    /// Print the certificate of the lab's own authority.
    Ca(ca::Args),
    /// Show, list or rotate the secrets of the lab's stacks.
    Secret(secret::Args),
    /// Print the completions of a shell.
    Completions(completions::Args),
}

/// What threads get to end before the process does: they need milliseconds, on a busy machine more.
const THREADS_END: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = exit::Error::failed(format!("start the runtime: {error}"));
            return view::error(cli.json, &error).into();
        }
    };
    let json = cli.json;
    let done = runtime.block_on(async {
        match cli.verb {
            Verb::Up(args) => up::run(&args, json).await,
            Verb::Plan(args) => plan::run(&args, json).await,
            Verb::Status(args) => status::run(&args, json).await,
            Verb::Destroy(args) => destroy::run(&args, json).await,
            Verb::Backup(args) => backup::run(&args, json).await,
            Verb::Restore(args) => restore::run(&args, json).await,
            Verb::Check(args) => check::run(&args, json),
            Verb::Schema => schema::run(json),
            Verb::Init(args) => init::run(&args, json),
            Verb::Ssh(args) => ssh::run(&args).await,
            Verb::Inventory(args) => inventory::run(&args, json).await,
            Verb::Images(args) => images::run(&args, json).await,
            Verb::Ca(args) => ca::run(&args, json).await,
            Verb::Secret(args) => secret::run(&args, json).await,
            Verb::Completions(args) => completions::run(&args, json),
        }
    });
    // Threads that end while the process exits free what the exit handlers of libvirt's libraries
    // free too: they end before. What still blocks then (a hypervisor that does not answer) must
    // not hold the exit up, and is not about to end.
    runtime.shutdown_timeout(THREADS_END);
    match done {
        Ok(exit) => view::printed(exit).into(),
        Err(error) => view::error(json, &error).into(),
    }
}
