//! Hosts that are simply there: found, never made, never removed.

use crate::{Access, Machine, Owned, Provider, ProviderError, Shared, State};
use async_trait::async_trait;
use blueprints::{Address, Host};
use std::net::IpAddr;
use std::time::Duration;

/// How long a name server may take.
const RESOLVED_WITHIN: Duration = Duration::from_secs(10);

/// The provider of hosts that bp did not make.
#[derive(Clone, Copy, Debug, Default)]
pub struct Existing;

#[async_trait]
impl Provider for Existing {
    async fn choices(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }

    fn shared(&self) -> Vec<Shared> {
        Vec::new()
    }

    async fn check_shared(&self, shared: &Shared) -> Result<State, ProviderError> {
        Err(not_ours(format!("check {}", shared.name)))
    }

    async fn make_shared(&self, shared: &Shared) -> Result<(), ProviderError> {
        Err(not_ours(format!("make {}", shared.name)))
    }

    async fn find(&self, host: &Host) -> Result<Option<Machine>, ProviderError> {
        let address = match &host.address {
            Some(Address::Ip(ip)) => *ip,
            Some(Address::Name(name)) => resolve(&host.name, name).await?,
            None => return Ok(None),
        };
        Ok(Some(Machine {
            state: State::Right,
            running: true,
            address: Some(address),
            host_key: None,
        }))
    }

    async fn create(&self, host: &Host, _: &Access) -> Result<(), ProviderError> {
        Err(not_ours(format!("make `{}`", host.name)))
    }

    async fn start(&self, host: &Host) -> Result<(), ProviderError> {
        Err(not_ours(format!("start `{}`", host.name)))
    }

    async fn console(&self, _: &Host) -> Option<String> {
        None
    }

    async fn owned(&self) -> Result<Vec<Owned>, ProviderError> {
        Ok(Vec::new())
    }

    async fn remove(&self, owned: &Owned) -> Result<(), ProviderError> {
        Err(not_ours(format!("remove {} `{}`", owned.kind, owned.name)))
    }
}

async fn resolve(host: &str, name: &str) -> Result<IpAddr, ProviderError> {
    let failed = |cause: String| ProviderError {
        doing: format!("resolve `{name}`, the address of `{host}`"),
        cause,
        hint: Some("write the address itself where no name server knows the name".into()),
    };
    let found = tokio::time::timeout(RESOLVED_WITHIN, tokio::net::lookup_host((name, 0)))
        .await
        .map_err(|_| failed(format!("no answer within {RESOLVED_WITHIN:?}")))?
        .map_err(|e| failed(e.to_string()))?
        .next();
    found.map(|socket| socket.ip()).ok_or_else(|| failed("it has no address".into()))
}

fn not_ours(doing: String) -> ProviderError {
    ProviderError {
        doing,
        cause: "bp does not make existing hosts, and what they are made of is not its own".into(),
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blueprints::{Availability, HostProvider, Role, Ssh, Sudo};

    fn host(address: Option<Address>) -> Host {
        Host {
            name: "old".into(),
            provider: HostProvider::Existing,
            role: Role::Worker,
            labels: Default::default(),
            availability: Availability::Active,
            address,
            machine: blueprints::Machine { cpus: 1, memory: 1 << 30, disk: 1 << 30 },
            ssh: Ssh {
                user: "root".into(),
                port: 22,
                key: None,
                sudo: Sudo::No,
                jump: None,
                fingerprint: None,
                host_key: None,
            },
            brick: None,
            ports: Vec::new(),
        }
    }

    #[tokio::test]
    async fn an_existing_host_is_found_and_nothing_of_it_is_owned() {
        let ip: IpAddr = "192.0.2.7".parse().expect("an address");
        for (address, found) in [
            (Address::Ip(ip), vec![ip]),
            (
                Address::Name("localhost".into()),
                vec![
                    IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
                    IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
                ],
            ),
        ] {
            let machine = Existing.find(&host(Some(address))).await.expect("it resolves");
            let machine = machine.expect("it is there");
            assert!(machine.running && machine.state == State::Right);
            assert!(found.contains(&machine.address.expect("it has an address")));
        }
        assert!(Existing.owned().await.expect("nothing to ask").is_empty());
        assert!(Existing.shared().is_empty());
    }

    #[tokio::test]
    async fn an_existing_host_is_never_made() {
        let access = Access { authorized: Vec::new(), user: "root".into() };
        let error = Existing.create(&host(None), &access).await.expect_err("it is not ours");
        assert_eq!(error.doing, "make `old`");
        assert!(Existing.start(&host(None)).await.is_err());
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_an_error_that_names_both() {
        let address = Some(Address::Name("no-such-host.invalid".into()));
        let error = Existing.find(&host(address)).await.expect_err("reserved never to resolve");
        assert_eq!(error.doing, "resolve `no-such-host.invalid`, the address of `old`");
    }
}
