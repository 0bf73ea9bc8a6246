//! `bp inventory`: the hosts in a form that other tools read.

use crate::exit::{Error, Exit};
use crate::open::{self, Kind};
use crate::{load, ssh, view};
use blueprints::{Host, Role};
use providers::{Machine, quote};
use serde_json::{Value, json};

/// The arguments of `inventory`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: load::File,
    /// The form.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// An inventory for Ansible, in YAML's JSON form.
    Ansible,
    /// `Host` blocks for `~/.ssh/config`.
    SshConfig,
    /// Lines for `/etc/hosts`.
    Hosts,
    /// One JSON object.
    Json,
}

/// Finds the machines and prints those that have an address.
///
/// # Errors
/// When the provider does not answer.
pub async fn run(args: &Args, json: bool) -> Result<Exit, Error> {
    let loaded = load::blueprint_alone(args.file.file.as_deref(), json)?;
    let run = open::machines(loaded, "inventory", Kind::Reads, json).await?;
    let (lab, dir) = (run.cx.lab().clone(), run.cx.dir().to_owned());
    let mut found: Vec<(&Host, Machine)> = Vec::new();
    for host in &lab.hosts {
        let machine = run.cx.machine(&host.name).await.map_err(Error::failed)?;
        match machine.filter(|m| m.address.is_some()) {
            Some(machine) => found.push((host, machine)),
            None => view::note(&format!("{} has no address now", host.name)),
        }
    }
    let format = if json { Format::Json } else { args.format };
    let address = |m: &Machine| m.address.map(|a| a.to_string()).unwrap_or_default();
    let login = |host: &Host, machine: &Machine| {
        let target = playbooks::target(host, machine, &dir)
            .map_err(|e| Error::failed(format!("{}: {e}", host.name)))?;
        Ok::<_, Error>((target.address.clone(), ssh::options(&target, &dir)?))
    };
    match format {
        Format::Hosts => {
            for (host, machine) in &found {
                view::line(&format!(
                    "{} {}.{} {}",
                    address(machine),
                    host.name,
                    lab.domain,
                    host.name
                ));
            }
        }
        Format::SshConfig => {
            for (host, machine) in &found {
                let (address, options) = login(host, machine)?;
                view::line(&format!("Host {}\n  HostName {address}", host.name));
                for (name, value) in options {
                    view::line(&format!("  {name} {value}"));
                }
            }
        }
        Format::Ansible => {
            let mut hosts = serde_json::Map::new();
            for (host, machine) in &found {
                let (address, options) = login(host, machine)?;
                let own = |(name, _): &&(&str, String)| !["Port", "User"].contains(name);
                let args: Vec<String> = options
                    .iter()
                    .filter(own)
                    .map(|(name, value)| format!("-o {}", quote(&format!("{name}={value}"))))
                    .collect();
                let vars = json!({
                    "ansible_host": address,
                    "ansible_user": host.ssh.user,
                    "ansible_port": host.ssh.port,
                    "ansible_ssh_common_args": args.join(" "),
                });
                hosts.insert(host.name.clone(), vars);
            }
            let group = |role: Role| -> Value {
                let named = found.iter().filter(|(h, _)| h.role == role);
                named
                    .map(|(h, _)| (h.name.clone(), json!({})))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            };
            let inventory = json!({ "all": { "hosts": hosts, "children": {
                "managers": { "hosts": group(Role::Manager) },
                "workers": { "hosts": group(Role::Worker) },
            }}});
            view::line(&serde_json::to_string_pretty(&inventory).unwrap_or_default());
        }
        Format::Json => {
            let hosts: Vec<Value> = found
                .iter()
                .map(|(host, machine)| {
                    json!({
                        "name": host.name,
                        "fqdn": format!("{}.{}", host.name, lab.domain),
                        "address": address(machine),
                        "role": host.role,
                        "labels": host.labels,
                        "user": host.ssh.user,
                        "port": host.ssh.port,
                        "host_key": machine.host_key,
                    })
                })
                .collect();
            let body = json!({ "verb": "inventory", "lab": lab.name, "hosts": hosts });
            view::json_line("done", &body);
        }
    }
    Ok(Exit::Done)
}
