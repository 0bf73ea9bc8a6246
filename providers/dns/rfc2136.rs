//! Servers that take dynamic updates (RFC 2136) signed with TSIG (RFC 8945): BIND, Knot.
//!
//! Such a server shows one name at a time. So that labs find each other's registries, an index lists
//! the labs that have one: the TXT records of `_bp.<zone>`.

use super::tcp::{Line, broken};
use super::{Asker, Change, DnsServer, RecordSet, rdata, registrar, registry, value};
use crate::ProviderError;
use async_trait::async_trait;
use base64::Engine;
use hickory_net::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_net::proto::rr::rdata::tsig::{TsigAlgorithm as Algorithm, TsigError};
use hickory_net::proto::rr::{DNSClass, RData, Record, RecordType, TSigner};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds by which the clocks of both may differ (RFC 8945, 10).
const FUDGE: u16 = 300;

/// Seconds that the index may be kept.
const INDEX_TTL: u32 = 60;

/// What is asked of a name: everything at once, which shows what would be in an alias's way, and
/// each kind that a lab may have, for a server may answer the first with any one (RFC 8482).
const KINDS: [RecordType; 7] = [
    RecordType::ANY,
    RecordType::A,
    RecordType::AAAA,
    RecordType::CNAME,
    RecordType::TXT,
    RecordType::SRV,
    RecordType::PTR,
];

/// What to do where questions are refused.
const ANSWERS: &str = "it has to answer this machine's questions about the zone: `allow-query`, and \
                       the view that this address gets";

/// A server that takes updates.
pub struct Rfc2136 {
    server: SocketAddr,
    key: TSigner,
    asker: Asker,
}

fn failed(doing: &str, cause: impl Into<String>) -> ProviderError {
    ProviderError { doing: doing.to_owned(), cause: cause.into(), hint: None }
}

fn hinted(doing: &str, cause: impl Into<String>, hint: impl Into<String>) -> ProviderError {
    ProviderError { hint: Some(hint.into()), ..failed(doing, cause) }
}

impl Rfc2136 {
    /// The server at this address; `secret` is the key in base64.
    ///
    /// # Errors
    /// When the key is none.
    pub fn new(
        server: SocketAddr,
        key: &str,
        algorithm: blueprints::TsigAlgorithm,
        secret: &str,
    ) -> Result<Self, ProviderError> {
        let doing = format!("read the TSIG key `{key}`");
        let secret = base64::engine::general_purpose::STANDARD.decode(secret.trim());
        // What is wrong with it would quote it.
        let secret = secret.map_err(|_| {
            hinted(&doing, "it is not base64", "`tsig-keygen` prints a key as it has to be")
        })?;
        let algorithm = match algorithm {
            blueprints::TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
            blueprints::TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
            blueprints::TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
        };
        let name = rdata::name(key).map_err(|e| failed(&doing, e))?;
        let key = TSigner::new(secret, algorithm, name, FUDGE);
        let key = key.map_err(|e| failed(&doing, e.to_string()))?;
        Ok(Self { server, key, asker: Asker::new(server)? })
    }

    /// The record sets of names. What a wildcard answers in a name's place is none of its own.
    async fn sets(
        &self,
        zone: &str,
        names: &BTreeSet<String>,
    ) -> Result<Vec<RecordSet>, ProviderError> {
        let doing = format!("read zone `{zone}` on {}", self.words());
        let mut all = names.clone();
        all.extend(names.iter().flat_map(|name| wildcards(name, zone)));
        let mut questions = Vec::new();
        for (name, kind) in all.iter().flat_map(|name| KINDS.map(|kind| (name, kind))) {
            let mut message = Message::query();
            message.metadata.recursion_desired = false;
            message
                .add_query(Query::query(rdata::name(name).map_err(|e| failed(&doing, e))?, kind));
            questions.push(message.to_vec().map_err(|e| failed(&doing, e.to_string()))?);
        }
        let broken = |e| broken(doing.clone(), &e);
        let mut line = Line::open(self.server).await.map_err(broken)?;
        let answers = line.exchange_all(&mut questions).await.map_err(broken)?;
        let mut found = BTreeSet::new();
        for (name, answers) in all.iter().zip(answers.chunks(KINDS.len())) {
            for answer in answers {
                let answer =
                    Message::from_vec(answer).map_err(|e| failed(&doing, e.to_string()))?;
                match answer.metadata.response_code {
                    ResponseCode::NoError => found.extend(
                        rdata::sets(&answer.answers).into_iter().filter(|s| s.name == *name),
                    ),
                    ResponseCode::NXDomain => {}
                    code => {
                        let cause = format!("{name}: it answers `{code}`");
                        return Err(hinted(&doing, cause, ANSWERS));
                    }
                }
            }
        }
        let mut own = Vec::new();
        for set in found.iter().filter(|s| names.contains(&s.name)) {
            let mut above = wildcards(&set.name, zone);
            let same = |w: &RecordSet, name: &str| {
                w.name == name && w.kind == set.kind && w.values == set.values
            };
            let like_wildcard = above.any(|name| found.iter().any(|w| same(w, &name)));
            if !like_wildcard || self.is_own(zone, set).await? {
                own.push(set.clone());
            }
        }
        Ok(own)
    }

    /// Whether a name has records of its own: answers do not tell them from those of a wildcard,
    /// but the condition of an update does (RFC 2136, 2.4.1), here of one that changes nothing.
    async fn is_own(&self, zone: &str, set: &RecordSet) -> Result<bool, ProviderError> {
        let doing = format!("look at {} {} on {}", set.name, set.kind, self.words());
        let wrong = |e: String| failed(&doing, e);
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.metadata.recursion_desired = false;
        message.add_query(Query::query(rdata::name(zone).map_err(wrong)?, RecordType::SOA));
        let kind = RecordType::from_str(&set.kind).map_err(|e| wrong(e.to_string()))?;
        let mut any = Record::update0(rdata::name(&set.name).map_err(wrong)?, 0, kind);
        any.dns_class = DNSClass::ANY;
        message.answers.push(any);
        let answer = self.signed(&doing, message).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(true),
            ResponseCode::NXRRSet => Ok(false),
            _ => Err(self.refused(&doing, &answer)),
        }
    }

    /// Sends an update, and gives the server's verdict.
    async fn update(&self, doing: &str, message: Message) -> Result<(), ProviderError> {
        let answer = self.signed(doing, message).await?;
        match answer.metadata.response_code {
            ResponseCode::NoError => Ok(()),
            _ => Err(self.refused(doing, &answer)),
        }
    }

    /// Sends a signed message, and gives the answer, which is signed, too, where it is a yes or says
    /// that a condition is not met.
    async fn signed(&self, doing: &str, mut message: Message) -> Result<Message, ProviderError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        let verifier =
            message.finalize(&self.key, now).map_err(|e| failed(doing, e.to_string()))?;
        let bytes = message.to_vec().map_err(|e| failed(doing, e.to_string()))?;
        let broken = |e| broken(doing.to_owned(), &e);
        let mut line = Line::open(self.server).await.map_err(broken)?;
        let bytes = line.exchange(&bytes).await.map_err(broken)?;
        let answer = Message::from_vec(&bytes).map_err(|e| failed(doing, e.to_string()))?;
        let said = answer.metadata.response_code;
        if ![ResponseCode::NoError, ResponseCode::NXRRSet].contains(&said) {
            return Ok(answer);
        }
        match verifier.map(|mut v| v.verify(&bytes)) {
            Some(Ok(_)) => Ok(answer),
            _ => Err(failed(doing, "its answer is not signed with the key")),
        }
    }

    /// Why an update was not made.
    fn refused(&self, doing: &str, answer: &Message) -> ProviderError {
        let key = value::name(&self.key.signer_name().to_ascii());
        let code = answer.metadata.response_code;
        let of_key = answer.signature().and_then(|s| s.data.error);
        match (code, of_key) {
            (_, Some(TsigError::BadKey)) => hinted(
                doing,
                format!("it does not know the key `{key}` (BADKEY)"),
                "name and algorithm of the key have to be those in its configuration",
            ),
            (_, Some(TsigError::BadSig | TsigError::BadTrunc)) => hinted(
                doing,
                format!("it does not accept what the key `{key}` signs (BADSIG)"),
                "is the key's `secret` in the blueprint the one in its configuration?",
            ),
            (_, Some(TsigError::BadTime)) => hinted(
                doing,
                "its clock differs from this machine's by more than five minutes (BADTIME)",
                "set the clocks of both",
            ),
            (ResponseCode::NotAuth | ResponseCode::NotZone, _) => hinted(
                doing,
                format!("it is not the primary server of the zone ({code})"),
                "name the zone's primary server as `server`",
            ),
            (ResponseCode::Refused, _) => hinted(
                doing,
                "it refuses (REFUSED)",
                format!("let the key `{key}` change the zone: `allow-update` or `update-policy`"),
            ),
            (ResponseCode::YXRRSet | ResponseCode::NXRRSet | ResponseCode::YXDomain, _) => hinted(
                doing,
                format!("somebody changed it in the meantime ({code})"),
                "run it again: it goes by what is there then",
            ),
            _ => failed(doing, format!("it answers `{code}`")),
        }
    }

    /// An update of a zone with these changes, each only where it is still as it was read.
    fn message(&self, zone: &str, changes: &[Change]) -> Result<Message, String> {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.metadata.recursion_desired = false;
        message.add_query(Query::query(rdata::name(zone)?, RecordType::SOA));
        for change in changes {
            let Some(of) = change.was.as_ref().or(change.now.as_ref()) else { continue };
            let kind = RecordType::from_str(&of.kind).map_err(|e| e.to_string())?;
            let name = rdata::name(&of.name)?;
            match &change.was {
                // RFC 2136, 2.4.3 and 2.4.2: there is no such set, or exactly this one.
                None => {
                    let mut none = Record::update0(name.clone(), 0, kind);
                    none.dns_class = DNSClass::NONE;
                    message.answers.push(none);
                }
                Some(was) => message.answers.extend(records(was, 0)?),
            }
            if change.was.is_some() {
                let mut all = Record::update0(name, 0, kind);
                all.dns_class = DNSClass::ANY;
                message.authorities.push(all);
            }
        }
        // A CNAME is refused beside what is still there.
        for now in changes.iter().filter_map(|c| c.now.as_ref()) {
            message.authorities.extend(records(now, now.ttl)?);
        }
        for change in changes {
            let of = change.now.as_ref().or(change.was.as_ref());
            let Some(lab) = of.and_then(|s| registrar(&s.name, zone)) else { continue };
            let text = RData::TXT(rdata::text(lab));
            let mut entry = Record::from_rdata(rdata::name(&index(zone))?, INDEX_TTL, text);
            if change.now.is_none() {
                // RFC 2136, 2.5.4: this one record goes.
                (entry.dns_class, entry.ttl) = (DNSClass::NONE, 0);
            }
            message.authorities.push(entry);
        }
        Ok(message)
    }
}

fn records(set: &RecordSet, ttl: u32) -> Result<Vec<Record>, String> {
    let name = rdata::name(&set.name)?;
    let record =
        |value: &String| Ok(Record::from_rdata(name.clone(), ttl, rdata::data(&set.kind, value)?));
    set.values.iter().map(record).collect()
}

/// Whether a string of the index can be the name of a lab.
fn is_lab(string: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (1..=32).contains(&string.len()) && string.iter().all(plain)
}

fn index(zone: &str) -> String {
    format!("_bp.{zone}")
}

/// The wildcards of a zone that may answer for a name.
fn wildcards(name: &str, zone: &str) -> impl Iterator<Item = String> {
    let parent = |name: &str| name.split_once('.').map(|(_, rest)| rest.to_owned());
    let within = format!(".{zone}");
    let zone = zone.to_owned();
    let parents = std::iter::successors(parent(name), move |n| parent(n));
    let of_zone = parents.take_while(move |p| *p == zone || p.ends_with(&within));
    let itself = name.to_owned();
    of_zone.map(|p| format!("*.{p}")).filter(move |w| *w != itself)
}

#[async_trait]
impl DnsServer for Rfc2136 {
    fn words(&self) -> String {
        format!("the server at {}", self.server)
    }

    async fn answers(&self) -> Result<SocketAddr, ProviderError> {
        Ok(self.server)
    }

    async fn ask(&self, name: &str, kind: &str) -> Result<BTreeSet<String>, ProviderError> {
        self.asker.ask(name, kind).await
    }

    async fn zone_of(&self, name: &str) -> Result<Option<String>, ProviderError> {
        self.asker.zone_of(name).await
    }

    async fn read(
        &self,
        zone: &str,
        names: &BTreeSet<String>,
    ) -> Result<Option<Vec<RecordSet>>, ProviderError> {
        if self.zone_of(zone).await?.as_deref() != Some(zone) {
            return Ok(None);
        }
        let labs = self.asker.ask(&index(zone), "TXT").await?;
        // A wildcard of somebody else's may answer in the index's place.
        let labs = labs.iter().flat_map(|v| value::strings(v)).filter(|lab| is_lab(lab));
        let registries = labs.map(|lab| registry(&String::from_utf8_lossy(&lab), zone));
        let names = names.iter().cloned().chain(registries).collect();
        self.sets(zone, &names).await.map(Some)
    }

    async fn change(
        &self,
        zone: &str,
        changes: &[Change],
    ) -> Result<Option<String>, ProviderError> {
        let doing = format!("change zone `{zone}` on {}", self.words());
        let message = self.message(zone, changes).map_err(|e| failed(&doing, e))?;
        self.update(&doing, message).await.map(|()| None)
    }

    async fn make_zone(&self, zone: &str, _: &BTreeSet<String>) -> Result<(), ProviderError> {
        let doing = format!("make zone `{zone}` on {}", self.words());
        Err(failed(&doing, "dynamic updates make no zones"))
    }

    async fn is_spare(&self, _: &str) -> Result<bool, ProviderError> {
        Ok(false)
    }

    async fn remove_zone(&self, zone: &str) -> Result<(), ProviderError> {
        let doing = format!("remove zone `{zone}` on {}", self.words());
        Err(failed(&doing, "dynamic updates remove no zones"))
    }

    fn makes_zones(&self) -> bool {
        false
    }
}
