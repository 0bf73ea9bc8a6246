//! `bp ssh`: the ordinary `ssh`, with the lab's key and the pinned host key.

use crate::exit::{Error, Exit};
use crate::load;
use crate::open::{self, Kind};
use playbooks::journal::{private_dir, private_file};
use providers::quote;
use providers::ssh::{HostKeys, Target};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The arguments of `ssh`.
#[derive(clap::Args)]
pub struct Args {
    /// The blueprint; by default `bp.yml`, or the only `*.yml` or `*.yaml` here with `version: 1`.
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
    for (name, value) in options(&target, &dir)? {
        command.arg("-o").arg(format!("{name}={value}"));
    }
    command.arg(&target.address).args(&args.command);
    let error = command.exec();
    Err(Error::failed(format!("start `ssh`: {error}"))
        .hint("install the OpenSSH client (Debian: `apt-get install openssh-client`)"))
}

/// The options that make `ssh` log in as bp does, as `name value` pairs of its configuration.
///
/// # Errors
/// When the pinned host key can't be written down.
pub fn options(target: &Target, dir: &Path) -> Result<Vec<(&'static str, String)>, Error> {
    let mut options = vec![("Port", target.port.to_string()), ("User", target.user.clone())];
    options.extend(keys(target));
    let only = |file: String| {
        [
            ("UserKnownHostsFile", file),
            ("GlobalKnownHostsFile", "/dev/null".to_owned()),
            ("HostKeyAlias", target.host.clone()),
            ("StrictHostKeyChecking", "yes".to_owned()),
        ]
    };
    match &target.host_keys {
        HostKeys::Pinned(keys) => options.extend(only(quoted(&pin(dir, &target.host, keys)?))),
        HostKeys::Fingerprint(print) => {
            options.extend(only("/dev/null".to_owned()));
            options.push(("KnownHostsCommand", of_print(print)));
        }
        HostKeys::KnownHosts(_) => {}
    }
    if let Some(jump) = &target.jump {
        let keys: String = keys(jump)
            .iter()
            .map(|(name, value)| format!("-o {} ", quote(&format!("{name}={value}"))))
            .collect();
        let through = format!(
            "ssh {keys}-p {} -l {} -W %h:%p {}",
            jump.port,
            quote(&jump.user),
            quote(&jump.address)
        );
        options.push(("ProxyCommand", through));
    }
    Ok(options)
}

/// The command that `ssh` asks for the keys of a host (OpenSSH 8.5 and later): it knows the one with
/// this fingerprint. The first question, in which order to try types, names no key.
fn of_print(print: &str) -> String {
    let print = print.trim().trim_end_matches('=');
    format!("/bin/sh -c \"test '%f' != '{print}' || echo '%H %t %K'\"")
}

/// Writes a host's pinned keys into the lab's known hosts, and says where that is.
fn pin(dir: &Path, host: &str, keys: &[String]) -> Result<PathBuf, Error> {
    let path = dir.join("known_hosts");
    let failed = |e| Error::failed(format!("write `{}`: {e}", path.display()));
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let others = before.lines().filter(|l| l.split(' ').next() != Some(host));
    let mut lines: Vec<String> = others.map(str::to_owned).collect();
    lines.extend(keys.iter().map(|key| format!("{host} {key}")));
    lines.sort();
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    if text != before {
        private_dir(dir).and_then(|()| private_file(&path, &text)).map_err(failed)?;
    }
    Ok(path)
}

/// The named keys and no others: an agent with many would use the server's patience up.
fn keys(target: &Target) -> Vec<(&'static str, String)> {
    let mut keys: Vec<_> = target.keys.iter().map(|key| ("IdentityFile", quoted(key))).collect();
    if target.agent.is_none() {
        keys.push(("IdentitiesOnly", "yes".to_owned()));
    }
    keys
}

/// A path as one word of ssh's configuration.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}
