//! Who answers for the lab's names: the blueprint's `dns`.

use crate::context::Context;
use crate::field::{Field, Spanned};
use crate::file;
use crate::file_ground::{DnsServer as Server, PowerDns, Record as WrittenRecord};
use crate::ground::{AddressOf, Dns, DnsServer, Record, RecordData, Srv, TsigKey};
use crate::lab::{Host, Secret};
use crate::login;
use crate::units::Time;
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Seconds that an answer may be kept, where nobody says otherwise.
const TTL: u32 = 300;

/// Stands in for an address that is missing or wrong, which is reported.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 53);

/// The blueprint's `dns`, or the defaults.
pub(crate) fn resolve(
    blueprint: &file::Blueprint,
    domain: &str,
    hosts: &[&Host],
    context: &mut Context<'_>,
) -> Dns {
    let empty = crate::file_ground::Dns::default();
    let file = blueprint.dns.get().unwrap_or(&empty);
    let server = server(&file.server, domain, context);
    let zone = server.zone().unwrap_or(domain).to_owned();
    let ttl = seconds(&file.ttl).unwrap_or(TTL);
    let hosts: HashSet<&str> = hosts.iter().map(|h| h.name.as_str()).collect();
    let records = file.records.entries();
    let records = records.map(|(name, r)| record(&name.value, &r.value, &zone, ttl, &hosts));
    Dns { records: records.collect(), server, ttl }
}

fn seconds(time: &Field<Time>) -> Option<u32> {
    time.get().map(|t| t.0.as_secs().try_into().unwrap_or(u32::MAX))
}

fn server(server: &Field<Server>, domain: &str, context: &mut Context<'_>) -> DnsServer {
    let zone = |zone: &Field<String>| zone.get().map_or(domain, String::as_str).to_owned();
    match server.get() {
        None | Some(Server::Hosts(_)) => DnsServer::Hosts,
        Some(Server::Libvirt(_)) => DnsServer::Libvirt,
        Some(Server::PowerDns(pdns)) => DnsServer::PowerDns {
            url: pdns.url.get().map_or("", |url| url.trim_end_matches('/')).to_owned(),
            api_key: secret(&pdns.api_key, context),
            zone: zone(&pdns.zone),
            answers: match pdns.answers.get() {
                Some(answers) => socket(answers),
                None => api_address(pdns).map(|ip| SocketAddr::new(ip, 53)),
            },
        },
        Some(Server::Rfc2136(update)) => {
            let empty = crate::file_ground::TsigKey::default();
            let key = update.key.get().unwrap_or(&empty);
            DnsServer::Rfc2136 {
                server: update.server.get().and_then(|a| socket(a)).unwrap_or(NOWHERE),
                zone: zone(&update.zone),
                key: TsigKey {
                    name: whole(key.name.get().map_or("", String::as_str), ""),
                    algorithm: key.algorithm.get().copied().unwrap_or_default(),
                    secret: secret(&key.secret, context),
                },
            }
        }
    }
}

/// A secret's source, checked; a stand-in where it is missing, which is reported.
fn secret(secret: &Field<file::Secret>, context: &mut Context<'_>) -> Secret {
    match secret.given() {
        Some(given) => {
            login::check_secret(given, context);
            login::source(&given.value, context)
        }
        None => Secret::Env(String::new()),
    }
}

/// An address, with a port where that is not 53.
pub(crate) fn socket(text: &str) -> Option<SocketAddr> {
    let alone = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
    let socket = text.parse().ok().or_else(alone);
    socket.filter(|s| s.port() > 0 && !s.ip().is_unspecified())
}

/// The address of a PowerDNS's API, where its URL names no name instead.
pub(crate) fn api_address(pdns: &PowerDns) -> Option<IpAddr> {
    let (_, rest) = pdns.url.get()?.split_once("://")?;
    let authority = rest.split('/').next()?;
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next()?.parse().ok(),
        None => authority.split(':').next()?.parse().ok(),
    }
}

fn record(name: &str, file: &WrittenRecord, zone: &str, ttl: u32, hosts: &HashSet<&str>) -> Record {
    let addresses = |list: &Field<crate::field::List<String>>| {
        let of = |word: &Spanned<String>| match word.value.parse() {
            Ok(ip) => Some(AddressOf::Ip(ip)),
            Err(_) => {
                let host = hosts.get(word.value.as_str())?;
                Some(AddressOf::Host((*host).to_owned()))
            }
        };
        list.items().filter_map(of).collect::<Vec<_>>()
    };
    let mut data = Vec::new();
    if file.a.given().is_some() {
        data.push(RecordData::A(addresses(&file.a)));
    }
    if file.aaaa.given().is_some() {
        data.push(RecordData::Aaaa(addresses(&file.aaaa)));
    }
    if let Some(target) = file.cname.get() {
        data.push(RecordData::Cname(whole(target, zone)));
    }
    if file.txt.given().is_some() {
        data.push(RecordData::Txt(file.txt.items().map(|t| t.value.clone()).collect()));
    }
    if file.srv.given().is_some() {
        let srv = |s: &Spanned<crate::file_ground::Srv>| Srv {
            priority: s.value.priority.get().copied().unwrap_or(0),
            weight: s.value.weight.get().copied().unwrap_or(0),
            port: s.value.port.get().copied().unwrap_or(0),
            target: whole(s.value.target.get().map_or("", String::as_str), zone),
        };
        data.push(RecordData::Srv(file.srv.items().map(srv).collect()));
    }
    Record { name: whole(name, zone), ttl: seconds(&file.ttl).unwrap_or(ttl), data }
}

/// A whole name of what may be written in short: what has a dot is whole, what has none lies in
/// the zone, and `@` is the zone itself.
pub(crate) fn whole(name: &str, zone: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.strip_suffix('.') {
        Some(whole) => whole.to_owned(),
        None if zone.is_empty() => name,
        None if name == "@" => zone.to_owned(),
        None if name == zone || name.ends_with(&format!(".{zone}")) => name,
        None if name.contains('.') && !name.starts_with('_') && !name.starts_with('*') => name,
        None => format!("{name}.{zone}"),
    }
}
