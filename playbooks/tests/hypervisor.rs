//! A hypervisor that is only state.

use super::fake::Site;
use async_trait::async_trait;
use blueprints::Host;
use providers::{Access, Machine, Owned, OwnedKind, Provider, ProviderError, Shared, State as Is};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// From a machine's start until SSH answers.
const BOOT: Duration = Duration::from_secs(8);

/// A hypervisor.
pub struct FakeProvider(pub Site);

impl FakeProvider {
    fn log(&self, what: String) {
        self.0.lock().log.push(format!("provider: {what}"));
    }
}

#[async_trait]
impl Provider for FakeProvider {
    async fn choices(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }

    fn shared(&self) -> Vec<Shared> {
        let one = |name: &str| Shared {
            name: name.to_owned(),
            why: "the machines share it".to_owned(),
            within: Duration::from_secs(60),
        };
        vec![one("network lab"), one("template")]
    }

    async fn check_shared(&self, shared: &Shared) -> Result<Is, ProviderError> {
        Ok(self.0.lock().shared[&shared.name].clone())
    }

    async fn make_shared(&self, shared: &Shared) -> Result<(), ProviderError> {
        self.log(format!("make {}", shared.name));
        self.0.lock().shared.insert(shared.name.clone(), Is::Right);
        Ok(())
    }

    async fn find(&self, host: &Host) -> Result<Option<Machine>, ProviderError> {
        let state = self.0.lock();
        let guest = &state.guests[&host.name];
        Ok(guest.machine.clone().map(|state| Machine {
            state,
            running: guest.running,
            address: guest.is_up().then(|| guest.address.parse().expect("an address")),
            host_key: None,
        }))
    }

    async fn create(&self, host: &Host, access: &Access) -> Result<(), ProviderError> {
        sleep(Duration::from_secs(1)).await;
        assert!(!access.authorized.is_empty(), "a machine that nobody can log in to");
        assert!(self.0.lock().shared.values().all(|s| *s == Is::Right), "shared things first");
        self.log(format!("create {}", host.name));
        self.0.guest(&host.name, |g| g.machine = Some(Is::Right));
        Ok(())
    }

    async fn start(&self, host: &Host) -> Result<(), ProviderError> {
        self.log(format!("start {}", host.name));
        self.0.guest(&host.name, |g| {
            assert_eq!(g.machine, Some(Is::Right), "a half made machine was started");
            g.running = true;
            g.up_at = Instant::now() + BOOT;
        });
        Ok(())
    }

    async fn console(&self, host: &Host) -> Option<String> {
        Some(format!("\x1b[0;1;31mFAILED\x1b[0m to start networking on {}\r\n", host.name))
    }

    async fn owned(&self) -> Result<Vec<Owned>, ProviderError> {
        let state = self.0.lock();
        let machines = state.guests.iter().filter(|(_, g)| g.machine.is_some() && !g.existing);
        let owned = |kind, name: &str, host: Option<&String>| Owned {
            kind,
            name: name.to_owned(),
            host: host.cloned(),
        };
        let mut all: Vec<Owned> = machines
            .map(|(n, _)| owned(OwnedKind::Machine, &format!("lab-{n}"), Some(n)))
            .collect();
        all.extend(state.left_over.clone());
        for (name, is) in &state.shared {
            let kind = if name == "template" { OwnedKind::Template } else { OwnedKind::Network };
            if *is == Is::Right {
                all.push(owned(kind, name, None));
            }
        }
        all.sort_by_key(|o| o.kind);
        Ok(all)
    }

    async fn remove(&self, owned: &Owned) -> Result<(), ProviderError> {
        if let Some(why) = self.0.lock().stuck.get(&owned.name) {
            return Err(ProviderError {
                doing: format!("remove `{}`", owned.name),
                cause: why.clone(),
                hint: None,
            });
        }
        self.log(format!("remove {} {}", owned.kind, owned.name));
        let mut state = self.0.lock();
        if let Some(guest) = owned.host.as_ref().and_then(|h| state.guests.get_mut(h)) {
            (guest.machine, guest.running) = (None, false);
            guest.alive.store(false, Ordering::Relaxed);
        }
        state.left_over.retain(|o| o != owned);
        if state.shared.contains_key(&owned.name) {
            let machines = state.guests.values().any(|g| g.machine.is_some() && !g.existing);
            assert!(!machines, "{} went before its machines", owned.name);
            state.shared.insert(owned.name.clone(), Is::Wrong("it is not there".to_owned()));
        }
        Ok(())
    }
}
