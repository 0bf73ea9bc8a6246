//! Questions to one server, asked as any client asks, never answered from a cache.

use super::{rdata, value};
use crate::ProviderError;
use hickory_net::proto::rr::rdata::SOA;
use hickory_net::proto::rr::{RData, RecordType};
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::{DnsError, NetError};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// One try of a question: a server of the lab answers in milliseconds.
const TRY: Duration = Duration::from_secs(3);

/// Asks one server.
pub struct Asker {
    resolver: TokioResolver,
    /// The server's address.
    pub at: SocketAddr,
}

impl Asker {
    /// For the server at this address.
    ///
    /// # Errors
    /// When no question can be asked from this machine at all.
    pub fn new(at: SocketAddr) -> Result<Self, ProviderError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut c| {
            c.port = at.port();
            c
        });
        let server = NameServerConfig::new(at.ip(), true, connections.to_vec());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        let options = builder.options_mut();
        options.cache_size = 0;
        options.recursion_desired = false;
        options.use_hosts_file = ResolveHosts::Never;
        options.ndots = 0;
        options.timeout = TRY;
        options.attempts = 2;
        let resolver = builder.build().map_err(|e| ProviderError {
            doing: format!("ask {at}"),
            cause: e.to_string(),
            hint: None,
        })?;
        Ok(Self { resolver, at })
    }

    /// The values of this kind that the server answers for a name; empty where there is none.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask(&self, name: &str, kind: &str) -> Result<BTreeSet<String>, ProviderError> {
        let doing = || format!("ask {} for {name} {kind}", self.at);
        let of = RecordType::from_str(kind).map_err(|e| wrong(doing(), e.to_string()))?;
        let whole = rdata::name(name).map_err(|e| wrong(doing(), e))?;
        match self.resolver.lookup(whole, of).await {
            Ok(answer) => {
                let records = answer.answers().iter();
                let of_kind = records.filter(|r| r.record_type() == of);
                Ok(of_kind.map(|r| rdata::spelled(&r.data)).collect())
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Ok(BTreeSet::new()),
            Err(error) => Err(said(doing(), &error)),
        }
    }

    /// The zone that holds a name, where the server answers for one with authority.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn zone_of(&self, name: &str) -> Result<Option<String>, ProviderError> {
        let doing = || format!("ask {} for the zone of {name}", self.at);
        let whole = rdata::name(name).map_err(|e| wrong(doing(), e))?;
        let zone = match self.resolver.lookup(whole.clone(), RecordType::SOA).await {
            Ok(answer) => return Ok(its_own(&answer)),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => none.soa.map(|r| r.name.clone()),
            // A server that has no such zone refuses.
            Err(NetError::Dns(DnsError::ResponseCode(_))) => None,
            Err(error) => return Err(said(doing(), &error)),
        };
        // Whether it is said with authority is known of answers that have something.
        let Some(zone) = zone.filter(|zone| *zone != whole) else { return Ok(None) };
        match self.resolver.lookup(zone, RecordType::SOA).await {
            Ok(answer) => Ok(its_own(&answer)),
            Err(NetError::Dns(_)) => Ok(None),
            Err(error) => Err(said(doing(), &error)),
        }
    }
}

/// The zone of an answer that the server gives by itself: one that asks others, too, knows theirs.
fn its_own(answer: &Lookup) -> Option<String> {
    if !answer.message().metadata.authoritative {
        return None;
    }
    let zone = answer.answers().iter().find_map(|r| match &r.data {
        RData::SOA(soa) if !is_made_up(soa) => Some(&r.name),
        _ => None,
    });
    zone.map(|zone| value::name(&zone.to_ascii()))
}

/// BIND answers with authority for zones that nobody configured, so that questions about private
/// addresses stay in the house (RFC 6303): nobody is responsible for those.
fn is_made_up(soa: &SOA) -> bool {
    soa.rname.is_root()
}

fn wrong(doing: String, cause: String) -> ProviderError {
    ProviderError { doing, cause, hint: None }
}

fn said(doing: String, error: &NetError) -> ProviderError {
    match error {
        NetError::Dns(DnsError::ResponseCode(code)) => ProviderError {
            hint: Some(
                "does it hold the zone at that address, and may this machine ask (`allow-query`)?"
                    .to_owned(),
            ),
            ..wrong(doing, format!("it answers `{code}`"))
        },
        NetError::Timeout | NetError::NoConnections | NetError::Io(_) => ProviderError {
            hint: Some(
                "does the server run, does it answer there, and can this machine reach it? The \
                 blueprint says where (`answers`, `server`)"
                    .to_owned(),
            ),
            ..wrong(doing, "nobody answers".to_owned())
        },
        other => wrong(doing, other.to_string()),
    }
}
