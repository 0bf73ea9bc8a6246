//! Machines on a libvirt hypervisor, through its API alone: any URI will do.

mod bootstrap;
mod clone;
mod disks;
mod domain;
mod download;
mod entries;
mod forward;
mod hypervisor;
mod machine;
mod names;
mod network;
mod probe;
mod seed;
mod tag;
mod template;
#[cfg(test)]
mod tests;
mod volume;
mod xml;

use crate::dns::DnsServer;
use crate::{Access, Machine, Owned, OwnedKind, Provider, ProviderError, Shared, State};
use async_trait::async_trait;
use blueprints::{Accel, Host, HostProvider, Lab};
use domain::Cpu;
use hypervisor::Hypervisor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tag::Role;
use tokio::sync::Mutex;

/// Takes progress lines such as `mmdebstrap: installing packages`.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// A connection and a look around.
const OPEN: Duration = Duration::from_secs(30);
/// One question or small change: libvirt answers in milliseconds; where it has to probe QEMU
/// anew first, a start took a minute and a half.
const CALL: Duration = Duration::from_secs(120);
/// A probe guest: its start, its own bound, its removal.
const PROBE: Duration = Duration::from_secs(180);
/// A machine's volumes: a full copy of a large disk takes its time.
const CREATE: Duration = Duration::from_secs(900);
/// Download or build, and upload of a template.
const TEMPLATE: Duration = Duration::from_secs(3600);

/// The machines of one lab on one hypervisor.
pub struct Libvirt {
    hypervisor: Hypervisor,
    lab: Arc<Lab>,
    spec: blueprints::Libvirt,
    network: network::Wanted,
    cache: PathBuf,
    tell: Tell,
    /// Whether the network is seen to be the lab's own.
    own_network: Arc<AtomicBool>,
    /// What the probe found out in this process, with the reason.
    probed: Mutex<Option<(Cpu, String)>>,
}

impl Libvirt {
    /// Connects to the blueprint's hypervisor and looks whether its pool is there.
    ///
    /// `cache` is a folder of this machine for templates that are downloaded or built.
    ///
    /// # Errors
    /// When the blueprint has no hypervisor, nobody answers, or the pool is not active.
    pub async fn open(lab: &Lab, cache: &Path, tell: Tell) -> Result<Self, ProviderError> {
        let Some(spec) = lab.libvirt.clone() else {
            return Err(ProviderError {
                doing: "connect to a hypervisor".to_owned(),
                cause: "the blueprint names none".to_owned(),
                hint: Some("add `provider: { libvirt: { uri: qemu:///system } }`".to_owned()),
            });
        };
        distinct_macs(lab)?;
        let (uri, name, pool) = (spec.uri.clone(), lab.name.clone(), spec.pool.clone());
        let hypervisor = blocking(format!("connect to `{}`", spec.uri), OPEN, move || {
            let hypervisor = Hypervisor::open(&uri, &name, &pool)?;
            hypervisor.pool(&pool)?;
            Ok(hypervisor)
        })
        .await?;
        // The test driver knows no options of dnsmasq.
        let forward = match hypervisor.is_test() {
            true => None,
            false => forward::Forward::of(lab, spec.subnet).await,
        };
        Ok(Self {
            hypervisor,
            network: network::Wanted::new(lab, &spec, forward),
            lab: Arc::new(lab.clone()),
            spec,
            cache: cache.to_owned(),
            tell,
            own_network: Arc::default(),
            probed: Mutex::new(None),
        })
    }

    /// Runs a blocking piece of work on the hypervisor, bounded.
    async fn call<T: Send + 'static>(
        &self,
        doing: String,
        within: Duration,
        work: impl FnOnce(&Hypervisor) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let hypervisor = self.hypervisor.clone();
        blocking(doing, within, move || work(&hypervisor)).await
    }

    fn network_name(&self) -> String {
        format!("network {}", self.spec.network)
    }

    /// How a new machine is run; finds out at the first one.
    async fn cpu(&self) -> Result<Cpu, ProviderError> {
        if self.hypervisor.is_test() {
            return Ok(Cpu::Test);
        }
        match self.spec.accel {
            Accel::Kvm => return Ok(Cpu::Kvm),
            Accel::Emulate => return Ok(Cpu::Emulated),
            Accel::Auto => {}
        }
        // Machines are made side by side: the first one asks, the others wait for its answer.
        let mut probed = self.probed.lock().await;
        if let Some((cpu, _)) = &*probed {
            return Ok(*cpu);
        }
        let found = self.call("find out whether KVM works".to_owned(), PROBE, probe::run).await?;
        (self.tell)(found.1.clone());
        let cpu = found.0;
        *probed = Some(found);
        Ok(cpu)
    }
}

#[async_trait]
impl Provider for Libvirt {
    async fn choices(&self) -> Result<Vec<String>, ProviderError> {
        let probed = self.probed.lock().await.clone();
        let accel = match (self.spec.accel, probed) {
            _ if self.hypervisor.is_test() => {
                "accel: none, libvirt's test driver runs nothing".to_owned()
            }
            (Accel::Kvm, _) => "accel: kvm, the blueprint says so".to_owned(),
            (Accel::Emulate, _) => "accel: emulate, the blueprint says so".to_owned(),
            (Accel::Auto, Some((_, reason))) => reason,
            (Accel::Auto, None) => {
                self.call("list machines".to_owned(), CALL, probe::recall).await?
            }
        };
        Ok(vec![accel])
    }

    fn shared(&self) -> Vec<Shared> {
        vec![
            Shared {
                name: self.network_name(),
                why: "the machines' own network, with addresses, names and a way out".to_owned(),
                within: CALL,
            },
            Shared {
                name: template::shared_name(&self.spec.template),
                why: "the root disk that the machines start from, made once".to_owned(),
                within: TEMPLATE,
            },
        ]
    }

    async fn check_shared(&self, shared: &Shared) -> Result<State, ProviderError> {
        let doing = format!("check {}", shared.name);
        if shared.name == self.network_name() {
            let wanted = self.network.clone();
            return self.call(doing, CALL, move |h| network::check(h, &wanted)).await;
        }
        let spec = self.spec.clone();
        self.call(doing, CALL, move |h| template::check(h, &spec)).await
    }

    async fn make_shared(&self, shared: &Shared) -> Result<(), ProviderError> {
        let doing = format!("make {}", shared.name);
        if shared.name == self.network_name() {
            let wanted = self.network.clone();
            return self.call(doing, CALL, move |h| network::make(h, &wanted)).await;
        }
        let spec = self.spec.clone();
        if self.call(doing.clone(), CALL, move |h| template::check(h, &spec)).await? == State::Right
        {
            return Ok(());
        }
        let files = template::fetch(&self.spec.template, &self.cache, &self.tell).await?;
        let (spec, tell) = (self.spec.clone(), self.tell.clone());
        self.call(doing, TEMPLATE, move |h| template::make(h, &spec, files, &tell)).await
    }

    async fn find(&self, host: &Host) -> Result<Option<Machine>, ProviderError> {
        let (host, spec, own) = (host.clone(), self.spec.clone(), self.own_network.clone());
        self.call(format!("find machine `{}`", host.name), CALL, move |h| {
            // Asked once: a network never becomes somebody else's.
            let own = own.load(Relaxed) || {
                own.store(network::is_own(h, &spec.network)?, Relaxed);
                own.load(Relaxed)
            };
            machine::find(h, &host, own.then_some(spec.subnet))
        })
        .await
    }

    async fn create(&self, host: &Host, access: &Access) -> Result<(), ProviderError> {
        let cpu = self.cpu().await?;
        let (lab, spec, host, access) =
            (self.lab.clone(), self.spec.clone(), host.clone(), access.clone());
        self.call(format!("make machine `{}`", host.name), CREATE, move |h| {
            machine::create(h, &lab, &spec, &host, &access, cpu)
        })
        .await
    }

    async fn start(&self, host: &Host) -> Result<(), ProviderError> {
        let host = host.clone();
        let doing = format!("start machine `{}`", host.name);
        self.call(doing, CALL, move |h| machine::start(h, &host)).await
    }

    async fn console(&self, host: &Host) -> Option<String> {
        let host = host.clone();
        let doing = format!("read the console of `{}`", host.name);
        self.call(doing, CALL, move |h| Ok(machine::console(h, &host))).await.ok()?
    }

    fn dns(&self) -> Option<Arc<dyn DnsServer>> {
        Some(Arc::new(names::NetworkDns {
            hypervisor: self.hypervisor.clone(),
            network: self.spec.network.clone(),
            gateway: self.spec.gateway().into(),
        }))
    }

    async fn owned(&self) -> Result<Vec<Owned>, ProviderError> {
        self.call("list what the lab owns".to_owned(), CALL, |h| {
            let name = |x: &xml::Element| x.at("name").map_or(String::new(), |n| n.text.clone());
            let mut owned: Vec<Owned> = h
                .tagged()?
                .into_iter()
                .map(|t| {
                    let kind = match t.tag.role {
                        Role::Template => OwnedKind::Template,
                        _ => OwnedKind::Machine,
                    };
                    Owned { kind, name: name(&t.xml), host: t.tag.host }
                })
                .collect();
            owned.extend(network::owned(h)?.into_iter().map(|name| Owned {
                kind: OwnedKind::Network,
                name,
                host: None,
            }));
            owned.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
            Ok(owned)
        })
        .await
    }

    async fn remove(&self, owned: &Owned) -> Result<(), ProviderError> {
        let owned = owned.clone();
        self.call(format!("remove {} `{}`", owned.kind, owned.name), CALL, move |h| {
            if owned.kind == OwnedKind::Network {
                return network::remove(h, &owned.name);
            }
            match h
                .tagged()?
                .into_iter()
                .find(|t| t.xml.at("name").is_some_and(|n| n.text == owned.name))
            {
                Some(tagged) => h.remove(&tagged),
                None => Ok(()),
            }
        })
        .await
    }
}

/// Two hosts whose MACs are the same could never both have an address.
fn distinct_macs(lab: &Lab) -> Result<(), ProviderError> {
    let mut seen = std::collections::HashMap::new();
    for host in lab.hosts.iter().filter(|h| h.provider == HostProvider::Libvirt) {
        if let Some(other) = seen.insert(network::mac(&lab.name, &host.name), &host.name) {
            return Err(ProviderError {
                doing: format!("give host `{}` a MAC", host.name),
                cause: format!("by chance it is that of host `{other}`"),
                hint: Some("rename one of the two".to_owned()),
            });
        }
    }
    Ok(())
}

/// Runs blocking work on a thread of its own, and stops waiting for it after its bound.
async fn blocking<T: Send + 'static>(
    doing: String,
    within: Duration,
    work: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, ProviderError> {
    let failed = |cause: String| ProviderError { doing: doing.clone(), cause, hint: None };
    match tokio::time::timeout(within, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(panicked)) => Err(failed(panicked.to_string())),
        Err(_) => Err(failed(format!("no answer within {within:?}"))),
    }
}
