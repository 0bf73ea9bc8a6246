//! Servers that answer for names: what they hold is read and changed, whoever made it.
//!
//! Names are whole, in lower case, without a dot at their end. Values are texts as zone files have
//! them, of one spelling, so that they can be compared: see [`value`].

mod ask;
mod powerdns;
mod rdata;
mod rfc2136;
mod tcp;
pub mod value;

use crate::ProviderError;
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::net::SocketAddr;

pub use ask::Asker;
pub use powerdns::PowerDns;
pub use rfc2136::Rfc2136;

/// All values of one kind that one name has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordSet {
    /// The whole name.
    pub name: String,
    /// The kind's mnemonic, such as `A`.
    pub kind: String,
    /// Seconds that an answer may be kept.
    pub ttl: u32,
    /// The values.
    pub values: BTreeSet<String>,
}

/// One record set as it was read and as it is to be; both are of one name and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was there, as far as it was read; `None`: nothing.
    pub was: Option<RecordSet>,
    /// What is to be there; `None`: nothing.
    pub now: Option<RecordSet>,
}

/// A server that holds zones. Everything here is safe to repeat.
#[async_trait]
pub trait DnsServer: Send + Sync {
    /// What it is, in words: ``PowerDNS at `http://10.20.30.1:8081` ``.
    fn words(&self) -> String;

    /// Where it answers questions.
    ///
    /// # Errors
    /// When its own name does not resolve.
    async fn answers(&self) -> Result<SocketAddr, ProviderError>;

    /// The values of this kind that it answers for a name, asked as any client asks; empty where
    /// there is none.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn ask(&self, name: &str, kind: &str) -> Result<BTreeSet<String>, ProviderError>;

    /// The zone that holds a name, where the server answers for one with authority.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn zone_of(&self, name: &str) -> Result<Option<String>, ProviderError>;

    /// The record sets of these names in a zone, and the registries of all labs there, as far as
    /// the server shows them. `None`: there is no such zone.
    ///
    /// # Errors
    /// When it does not answer, or refuses to.
    async fn read(
        &self,
        zone: &str,
        names: &BTreeSet<String>,
    ) -> Result<Option<Vec<RecordSet>>, ProviderError>;

    /// Makes changes to one zone, where everything is still as it was read: all of them or none, but
    /// for the server of a libvirt network, which takes one after another. Gives a remark where something about it is
    /// not as it should be, such as a serial that stands still.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    async fn change(&self, zone: &str, changes: &[Change])
    -> Result<Option<String>, ProviderError>;

    /// Has it forget what it remembers of names of a zone.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    async fn forget(&self, _zone: &str, _names: &BTreeSet<String>) -> Result<(), ProviderError> {
        Ok(())
    }

    /// Makes a zone, marked as made by bp. Names in `taken` get no records with it.
    ///
    /// # Errors
    /// When it does not answer, refuses, or bp can't make zones on such a server.
    async fn make_zone(&self, zone: &str, taken: &BTreeSet<String>) -> Result<(), ProviderError>;

    /// Whether bp made a zone that holds nothing any more but what it was made with.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    async fn is_spare(&self, zone: &str) -> Result<bool, ProviderError>;

    /// Removes a zone.
    ///
    /// # Errors
    /// When it does not answer, or refuses.
    async fn remove_zone(&self, zone: &str) -> Result<(), ProviderError>;

    /// Whether it makes zones.
    fn makes_zones(&self) -> bool;
}

/// The first label of a lab's registry: the TXT record set that lists what is the lab's in a zone.
const REGISTRY: &str = "_bp-";

/// The name of a lab's registry in a zone.
pub fn registry(lab: &str, zone: &str) -> String {
    format!("{REGISTRY}{lab}.{zone}")
}

/// The lab whose registry in a zone has this name.
pub fn registrar<'a>(name: &'a str, zone: &str) -> Option<&'a str> {
    name.strip_prefix(REGISTRY)?.strip_suffix(zone)?.strip_suffix('.')
}

/// An error with what is behind it: reqwest's own text leaves the cause out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Where a server answers whose API is at this URL: the same host, port 53.
pub(crate) async fn resolved(url: &str) -> Result<SocketAddr, ProviderError> {
    let failed = |cause: String| ProviderError {
        doing: format!("find out where the server of `{url}` answers"),
        cause,
        hint: Some("name the address and port as `answers`".to_owned()),
    };
    let host = powerdns::host(url).unwrap_or_default();
    let found = tokio::net::lookup_host((host, 53)).await.map_err(|e| failed(e.to_string()))?;
    let mut found: Vec<SocketAddr> = found.collect();
    // Guests have IPv4 alone on most networks.
    found.sort_by_key(SocketAddr::is_ipv6);
    found.into_iter().next().ok_or_else(|| failed("it has no address".to_owned()))
}
