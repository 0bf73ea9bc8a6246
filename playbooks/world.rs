//! The real world: providers as the blueprint names them, sessions over SSH.

use crate::cx::World;
use crate::limits;
use crate::step::{Failure, Trouble};
use async_trait::async_trait;
use blueprints::{Host, HostProvider, Jump, Lab, Secret, Sudo};
use providers::dns::{DnsServer, PowerDns, Rfc2136};
use providers::ssh::{self, Become, HostKeys, Password, Target};
use providers::{Access, Existing, Machine, Provider, Session, SessionError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};

/// Hypervisors, clouds and hosts that are there.
pub struct RealWorld {
    dir: PathBuf,
    dns: blueprints::DnsServer,
    server: OnceCell<Option<Arc<dyn DnsServer>>>,
    /// What secret sources gave: a person is not asked once a host.
    secrets: Mutex<HashMap<String, String>>,
    existing: Arc<dyn Provider>,
    made: Option<Arc<dyn Provider>>,
}

impl RealWorld {
    /// Opens what the blueprint names. `dir` is the lab's folder, `tell` takes progress lines.
    ///
    /// # Errors
    /// When a provider can't be opened.
    pub async fn open(
        lab: &Lab,
        dir: &Path,
        tell: Arc<dyn Fn(String) + Send + Sync>,
    ) -> Result<Self, Failure> {
        let made = if lab.libvirt.is_some() { Some(open_libvirt(lab, tell).await?) } else { None };
        Ok(Self {
            dir: dir.to_owned(),
            dns: lab.dns.server.clone(),
            server: OnceCell::new(),
            secrets: Mutex::default(),
            existing: Arc::new(Existing),
            made,
        })
    }
}

#[cfg(feature = "libvirt")]
async fn open_libvirt(
    lab: &Lab,
    tell: Arc<dyn Fn(String) + Send + Sync>,
) -> Result<Arc<dyn Provider>, Failure> {
    Ok(Arc::new(providers::Libvirt::open(lab, &cache(), tell).await?))
}

#[cfg(not(feature = "libvirt"))]
async fn open_libvirt(
    _lab: &Lab,
    _tell: Arc<dyn Fn(String) + Send + Sync>,
) -> Result<Arc<dyn Provider>, Failure> {
    Err(Failure::new("this bp was built without libvirt")
        .hint("build it with the cargo feature `libvirt`"))
}

/// Downloaded and built templates, kept between labs.
#[cfg(feature = "libvirt")]
fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from).join("bp")
}

/// The file of the lab's own key.
pub fn lab_key(dir: &Path) -> PathBuf {
    dir.join("id_ed25519")
}

#[async_trait]
impl World for RealWorld {
    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        self.made.iter().chain([&self.existing]).cloned().collect()
    }

    fn provider(&self, host: &Host) -> Arc<dyn Provider> {
        match (host.provider, &self.made) {
            (HostProvider::Libvirt, Some(made)) => made.clone(),
            _ => self.existing.clone(),
        }
    }

    async fn connect(
        &self,
        host: &Host,
        machine: &Machine,
    ) -> Result<Arc<dyn Session>, SessionError> {
        let mut target = target(host, machine, &self.dir)?;
        target.sudo = match &host.ssh.sudo {
            Sudo::No => Become::Nothing,
            Sudo::Passwordless => Become::Sudo { password: None },
            Sudo::Password(secret) => {
                Become::Sudo { password: Some(Password::new(self.given(secret).await?)) }
            }
        };
        ssh::connect(&target).await
    }

    fn access(&self, host: &Host) -> Result<Access, Failure> {
        let public = match &host.ssh.key {
            Some(key) => ssh::public_of(key),
            None => ssh::lab_key(&lab_key(&self.dir)),
        };
        let public = public.map_err(|e| Failure::new(format!("the key for {}: {e}", host.name)))?;
        Ok(Access { authorized: vec![public], user: host.ssh.user.clone() })
    }

    async fn dns(&self) -> Result<Option<Arc<dyn DnsServer>>, Failure> {
        self.server.get_or_try_init(|| self.open_dns()).await.cloned()
    }

    async fn secret(&self, secret: &Secret) -> Result<String, Failure> {
        self.given(secret).await.map_err(|error| Trouble::from(error).into())
    }
}

impl RealWorld {
    async fn open_dns(&self) -> Result<Option<Arc<dyn DnsServer>>, Failure> {
        use blueprints::DnsServer as Named;
        let secret = |source| async move { self.given(source).await.map_err(Trouble::from) };
        Ok(match &self.dns {
            Named::Hosts => None,
            Named::Libvirt => self.made.as_ref().and_then(|made| made.dns()),
            Named::PowerDns { url, api_key, answers, .. } => {
                Some(Arc::new(PowerDns::new(url, &secret(api_key).await?, *answers)?))
            }
            Named::Rfc2136 { server, key, .. } => {
                let text = secret(&key.secret).await?;
                Some(Arc::new(Rfc2136::new(*server, &key.name, key.algorithm, &text)?))
            }
        })
    }

    /// A secret, asked for once a run.
    async fn given(&self, secret: &Secret) -> Result<String, SessionError> {
        let mut known = self.secrets.lock().await;
        let name = format!("{secret:?}");
        if let Some(text) = known.get(&name) {
            return Ok(text.clone());
        }
        let text = read(secret).await?;
        known.insert(name, text.clone());
        Ok(text)
    }
}

/// How a host is logged in to, `sudo` left out.
///
/// # Errors
/// When it has no address yet, or the lab's own key is gone.
pub fn target(host: &Host, machine: &Machine, dir: &Path) -> Result<Target, SessionError> {
    let address = machine
        .address
        .ok_or_else(|| SessionError::Unreachable("the machine has no address yet".to_owned()))?;
    let own_key = host.ssh.key.is_none() && host.provider != HostProvider::Existing;
    let keys = match &host.ssh.key {
        Some(key) => vec![key.clone()],
        None if own_key => vec![lab_key(dir)],
        None => ready_keys(&home().join(".ssh")),
    };
    if own_key && !lab_key(dir).is_file() {
        return Err(SessionError::Refused {
            message: format!("the lab's own key `{}` is gone", lab_key(dir).display()),
            hint: Some(
                "put it back, or `bp destroy` and `bp up`: the machines let nobody else in"
                    .to_owned(),
            ),
        });
    }
    let host_keys = match (&machine.host_key, &host.ssh.fingerprint) {
        (Some(pinned), _) => HostKeys::Pinned(vec![pinned.clone()]),
        (None, Some(fingerprint)) => HostKeys::Fingerprint(fingerprint.clone()),
        (None, None) => HostKeys::KnownHosts(known_hosts()),
    };
    // known_hosts files are asked for the name that the operator knows the host by.
    let address = match (&host.address, host.provider) {
        (Some(named), HostProvider::Existing) => named.to_string(),
        _ => address.to_string(),
    };
    Ok(Target {
        host: host.name.clone(),
        address,
        port: host.ssh.port,
        user: host.ssh.user.clone(),
        keys,
        agent: if own_key { None } else { agent() },
        sudo: Become::Nothing,
        jump: host.ssh.jump.as_deref().map(|jump| Box::new(jump_target(jump))),
        host_keys,
        connect_within: limits::CONNECT,
        keepalive: limits::KEEPALIVE,
    })
}

fn jump_target(jump: &Jump) -> Target {
    Target {
        host: jump.address.clone(),
        address: jump.address.clone(),
        port: jump.port,
        user: jump.user.clone(),
        keys: jump.key.clone().map_or_else(|| ready_keys(&home().join(".ssh")), |key| vec![key]),
        agent: agent(),
        sudo: Become::Nothing,
        jump: None,
        host_keys: match &jump.fingerprint {
            Some(fingerprint) => HostKeys::Fingerprint(fingerprint.clone()),
            None => HostKeys::KnownHosts(known_hosts()),
        },
        connect_within: limits::CONNECT,
        keepalive: limits::KEEPALIVE,
    }
}

fn home() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").unwrap_or_default())
}

fn agent() -> Option<PathBuf> {
    std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from)
}

/// The keys that `ssh` takes from a folder by itself, those left out that need a passphrase: the
/// agent has them.
pub(crate) fn ready_keys(folder: &Path) -> Vec<PathBuf> {
    let names = ["id_ed25519", "id_ecdsa", "id_rsa"];
    names.iter().map(|n| folder.join(n)).filter(|p| ssh::is_ready(p)).collect()
}

fn known_hosts() -> Vec<PathBuf> {
    vec![home().join(".ssh/known_hosts"), PathBuf::from("/etc/ssh/ssh_known_hosts")]
}

/// How long a command may take that gives a secret: a person may have to unlock something.
const SECRET: Duration = Duration::from_secs(60);

/// A secret from where the blueprint says, at the moment of use.
pub(crate) async fn read(secret: &Secret) -> Result<String, SessionError> {
    let refused = |message: String| SessionError::Refused { message, hint: None };
    let text = match secret {
        Secret::Env(name) => std::env::var(name)
            .map_err(|_| refused(format!("the environment variable `{name}` is not set")))?,
        Secret::File(path) => std::fs::read_to_string(path)
            .map_err(|e| refused(format!("read `{}`: {e}", path.display())))?,
        Secret::Command(command) => {
            let mut shell = tokio::process::Command::new("sh");
            shell.arg("-c").arg(command).stdin(Stdio::null()).kill_on_drop(true);
            // The command is not said: a token may stand in it.
            let what = "the command that gives the secret";
            let output = tokio::time::timeout(SECRET, shell.output()).await.map_err(|_| {
                refused(format!("{what} has not ended within {}", limits::seconds(SECRET)))
            })?;
            let output = output.map_err(|e| refused(format!("run {what}: {e}")))?;
            if !output.status.success() {
                return Err(refused(format!("{what} failed: {}", output.status)));
            }
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
    };
    Ok(text.trim_end_matches('\n').to_owned())
}
