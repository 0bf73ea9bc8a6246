//! `bp ssh`: the ordinary `ssh`, with the lab's key and the pinned host key.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use playbooks::journal::{private_dir, private_file};
use providers::ssh::{HostKeys, Target};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The arguments of `ssh`.
#[derive(clap::Args)]
pub struct Args {
    /// The blueprint; by default `bp.yml`, or the only `*.yml` here with `version: 1`.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The host's name.
    host: String,
    /// A command to run there; without one, a shell.
    #[arg(last = true)]
    command: Vec<String>,
}

/// Becomes `ssh`.
///
/// # Errors
/// When the host is not there.
pub async fn run(args: &Args) -> Result<Exit, Error> {
    let loaded = load::blueprint_alone(args.file.as_deref(), false)?;
    let Some(host) = loaded.lab.host(&args.host).cloned() else {
        let names: Vec<&str> = loaded.lab.hosts.iter().map(|h| h.name.as_str()).collect();
        return Err(Error::input(format!("there is no host `{}`", args.host))
            .hint(format!("the hosts are {}", names.join(", "))));
    };
    let run = open::machines(loaded, "ssh", Kind::Reads, false).await?;
    let machine = run.cx.machine(&host.name).await.map_err(Error::failed)?;
    let Some(machine) = machine.filter(|m| m.running) else {
        return Err(
            Error::failed(format!("{} does not run", host.name)).hint("`bp up` makes it so")
        );
    };
    let dir = run.cx.dir().to_owned();
    let target = playbooks::target(&host, &machine, &dir)
        .map_err(|e| Error::failed(format!("{}: {e}", host.name)))?;
    let mut command = Command::new("ssh");
    command.args(options(&target, &dir)?);
    command.arg(&target.address).args(&args.command);
    let error = command.exec();
    Err(Error::failed(format!("start `ssh`: {error}"))
        .hint("install the OpenSSH client (Debian: `apt-get install openssh-client`)"))
}

/// The options that make `ssh` log in as bp does.
fn options(target: &Target, dir: &Path) -> Result<Vec<String>, Error> {
    let mut options =
        vec!["-p".to_owned(), target.port.to_string(), "-l".to_owned(), target.user.clone()];
    options.extend(keys(target));
    if let HostKeys::Pinned(keys) = &target.host_keys {
        let path = dir.join("known_hosts");
        let lines: String = keys.iter().map(|k| format!("{} {k}\n", target.host)).collect();
        private_dir(dir)
            .and_then(|()| private_file(&path, &lines))
            .map_err(|e| Error::failed(format!("write `{}`: {e}", path.display())))?;
        for option in [
            format!("UserKnownHostsFile={}", path.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            format!("HostKeyAlias={}", target.host),
            "StrictHostKeyChecking=yes".to_owned(),
        ] {
            options.extend(["-o".to_owned(), option]);
        }
    }
    if let Some(jump) = &target.jump {
        let keys = keys(jump).join(" ");
        let through = format!(
            "ProxyCommand=ssh {keys} -p {} -l {} -W %h:%p {}",
            jump.port, jump.user, jump.address
        );
        options.extend(["-o".to_owned(), through]);
    }
    Ok(options)
}

/// The named keys and no others: an agent with many would use the server's patience up.
fn keys(target: &Target) -> Vec<String> {
    let named = target.keys.iter().flat_map(|key| ["-i".to_owned(), key.display().to_string()]);
    let mut keys: Vec<String> = named.collect();
    if target.agent.is_none() {
        keys.extend(["-o".to_owned(), "IdentitiesOnly=yes".to_owned()]);
    }
    keys
}
