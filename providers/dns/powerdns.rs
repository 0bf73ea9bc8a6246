//! PowerDNS, through its HTTP API.

use super::{Asker, Change, DnsServer, REGISTRY, RecordSet, chain, value};
use crate::ProviderError;
use async_trait::async_trait;
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::OnceCell;

/// One question or change: PowerDNS answers in milliseconds.
const CALL: Duration = Duration::from_secs(15);

/// What stands in the `account` of zones that bp made.
const MADE: &str = "bp";

/// Seconds that the absence of a name may be kept: it is to appear soon after it was made.
const NEGATIVE: u32 = 60;

/// What to do where the key is not right.
const KEY: &str = "`api_key` in the blueprint has to give what its configuration has as `api-key`";

/// What to do where something else answers.
const URL: &str = "is `url` that of PowerDNS's API, without `/api/v1`, and with what a proxy before \
                   it wants?";

/// A PowerDNS server.
pub struct PowerDns {
    client: Client,
    url: String,
    key: String,
    answers: Option<SocketAddr>,
    asker: OnceCell<Asker>,
    /// That it is PowerDNS which says that something is not there.
    real: OnceCell<()>,
}

/// A zone as the API shows it.
#[derive(Deserialize)]
struct Zone {
    #[serde(default)]
    account: String,
    #[serde(default)]
    dnssec: bool,
    #[serde(default)]
    api_rectify: bool,
    #[serde(default)]
    serial: u32,
    #[serde(default)]
    rrsets: Vec<RrSet>,
}

impl Zone {
    /// Whether it is signed and nobody puts its names in order after a change.
    fn needs_rectify(&self) -> bool {
        self.dnssec && !self.api_rectify
    }
}

#[derive(Deserialize)]
struct RrSet {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    ttl: u32,
    records: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    content: String,
    #[serde(default)]
    disabled: bool,
}

impl PowerDns {
    /// The server whose API is at this URL; `answers` is where it answers questions, by default
    /// the API's host, port 53.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(url: &str, key: &str, answers: Option<SocketAddr>) -> Result<Self, ProviderError> {
        // Another library may have installed the same provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The key goes to this URL and nowhere else, whatever it or the environment says.
        let client = Client::builder().timeout(CALL).redirect(Policy::none()).no_proxy();
        let client = client.build().map_err(|e| ProviderError {
            doing: format!("ask PowerDNS at `{url}`"),
            cause: chain(&e),
            hint: None,
        })?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self {
            client,
            url,
            key: key.to_owned(),
            answers,
            asker: OnceCell::new(),
            real: OnceCell::new(),
        })
    }

    fn failed(&self, doing: &str, cause: String, hint: Option<String>) -> ProviderError {
        ProviderError { doing: format!("{doing} on {}", self.words()), cause, hint }
    }

    /// One request; what came back, whatever it says.
    async fn send(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, String), ProviderError> {
        let url = format!("{}/api/v1/servers/localhost{path}", self.url);
        let key = HeaderValue::from_str(&self.key);
        let mut key = key.map_err(|_| {
            self.failed(doing, "the API key can't be sent".to_owned(), Some(KEY.to_owned()))
        })?;
        key.set_sensitive(true);
        let mut request = self.client.request(method, &url).header("X-API-Key", key);
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body.to_string());
        }
        let silent = "does it run, with `webserver=yes` and `api=yes`, and may this machine reach it \
                      (`webserver-address`, `webserver-allow-from`)?";
        let answer = request
            .send()
            .await
            .map_err(|e| self.failed(doing, chain(&e.without_url()), Some(silent.to_owned())))?;
        let status = answer.status();
        let text =
            answer.text().await.map_err(|e| self.failed(doing, chain(&e.without_url()), None))?;
        Ok((status, text))
    }

    /// One call; `None` where what it is about is not there.
    async fn call(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Option<Value>, ProviderError> {
        let (status, text) = self.send(doing, method, &format!("/{path}"), body).await?;
        let elsewhere = |cause: String| self.failed(doing, cause, Some(URL.to_owned()));
        match status {
            StatusCode::NOT_FOUND => {
                // Anything on the way answers so for what it does not know.
                self.real.get_or_try_init(|| self.known(doing)).await?;
                Ok(None)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let cause = format!("it refuses the API key ({status})");
                Err(self.failed(doing, cause, Some(KEY.to_owned())))
            }
            status if status.is_redirection() => {
                Err(elsewhere(format!("it sends elsewhere ({status}), where the key is not to go")))
            }
            status if !status.is_success() => {
                let said = serde_json::from_str::<Value>(&text).ok();
                let said = said.and_then(|v| v["error"].as_str().map(str::to_owned));
                let said = said.unwrap_or_else(|| text.chars().take(200).collect());
                Err(self.failed(doing, format!("{status}: {said}"), None))
            }
            _ if text.is_empty() => Ok(Some(Value::Null)),
            _ => serde_json::from_str(&text)
                .map(Some)
                .map_err(|e| elsewhere(format!("its answer is no JSON: {e}"))),
        }
    }

    /// Whether it is an authoritative PowerDNS at all.
    async fn known(&self, doing: &str) -> Result<(), ProviderError> {
        let (status, text) = self.send(doing, Method::GET, "", None).await?;
        let said = serde_json::from_str::<Value>(&text).unwrap_or_default();
        match status.is_success() && said["daemon_type"] == "authoritative" {
            true => Ok(()),
            false => {
                let cause = format!("no authoritative PowerDNS answers there ({status})");
                Err(self.failed(doing, cause, Some(URL.to_owned())))
            }
        }
    }

    /// A zone, its records included or not.
    async fn zone(&self, zone: &str, records: bool) -> Result<Option<Zone>, ProviderError> {
        let doing = format!("read zone `{zone}`");
        let path = format!("{}?rrsets={records}", path(zone));
        let Some(found) = self.call(&doing, Method::GET, &path, None).await? else {
            return Ok(None);
        };
        let zone = Zone::deserialize(found);
        zone.map(Some).map_err(|e| self.failed(&doing, e.to_string(), None))
    }

    /// The name server's own name: that of the URL, or one in the zone that stands for where it
    /// answers.
    async fn name_server(&self, zone: &str) -> (String, Option<SocketAddr>) {
        match host(&self.url) {
            Some(host) if host.contains('.') && host.parse::<std::net::IpAddr>().is_err() => {
                (value::name(host), None)
            }
            _ => (format!("ns.{zone}"), self.answers().await.ok()),
        }
    }

    async fn asker(&self) -> Result<&Asker, ProviderError> {
        self.asker.get_or_try_init(|| async { Asker::new(self.answers().await?) }).await
    }

    async fn rectify(&self, zone: &str) -> Result<(), ProviderError> {
        let path = format!("{}/rectify", path(zone));
        self.call(&format!("rectify zone `{zone}`"), Method::PUT, &path, None).await.map(drop)
    }

    /// What is remembered of this name alone, such as that it was not there.
    async fn flush(&self, name: &str) -> Result<(), ProviderError> {
        let path = format!("cache/flush?domain={name}.");
        self.call("empty the cache", Method::PUT, &path, None).await.map(drop)
    }
}

#[async_trait]
impl DnsServer for PowerDns {
    fn words(&self) -> String {
        format!("PowerDNS at `{}`", self.url)
    }

    async fn answers(&self) -> Result<SocketAddr, ProviderError> {
        if let Some(answers) = self.answers {
            return Ok(answers);
        }
        super::resolved(&self.url).await
    }

    async fn ask(&self, name: &str, kind: &str) -> Result<BTreeSet<String>, ProviderError> {
        self.asker().await?.ask(name, kind).await
    }

    async fn zone_of(&self, name: &str) -> Result<Option<String>, ProviderError> {
        self.asker().await?.zone_of(name).await
    }

    async fn read(
        &self,
        zone: &str,
        names: &BTreeSet<String>,
    ) -> Result<Option<Vec<RecordSet>>, ProviderError> {
        let Some(found) = self.zone(zone, true).await? else { return Ok(None) };
        let sets = found.rrsets.into_iter().map(read_set);
        let of_names = sets.filter(|s| names.contains(&s.name) || s.name.starts_with(REGISTRY));
        Ok(Some(of_names.filter(|s| !s.values.is_empty()).collect()))
    }

    async fn change(
        &self,
        zone: &str,
        changes: &[Change],
    ) -> Result<Option<String>, ProviderError> {
        let doing = format!("change zone `{zone}`");
        let gone = || self.failed(&doing, "there is no such zone".to_owned(), None);
        let before = self.zone(zone, true).await?.ok_or_else(gone)?;
        let (serial, rectify) = (before.serial, before.needs_rectify());
        let there: Vec<RecordSet> = before.rrsets.into_iter().map(read_set).collect();
        if let Some(of) = changes.iter().find_map(|change| moved(change, &there)) {
            let hint = "run it again: it goes by what is there then".to_owned();
            let cause = format!("somebody changed {} {} in the meantime", of.name, of.kind);
            return Err(self.failed(&doing, cause, Some(hint)));
        }
        let body = json!({ "rrsets": patch(changes) });
        let done = self.call(&doing, Method::PATCH, &path(zone), Some(body)).await?;
        done.ok_or_else(gone)?;
        if rectify {
            self.rectify(zone).await?;
        }
        let after = self.zone(zone, false).await?.ok_or_else(gone)?;
        Ok((after.serial == serial).then(|| {
            format!(
                "the serial of zone `{zone}` stands still at {}: its secondaries see no change; \
                 set its `soa_edit_api` to `DEFAULT`",
                after.serial
            )
        }))
    }

    async fn forget(&self, zone: &str, names: &BTreeSet<String>) -> Result<(), ProviderError> {
        // An apply that was cut off may have come to the change alone.
        if self.zone(zone, false).await?.is_some_and(|z| z.needs_rectify()) {
            self.rectify(zone).await?;
        }
        for name in names {
            self.flush(name).await?;
        }
        Ok(())
    }

    async fn make_zone(&self, zone: &str, taken: &BTreeSet<String>) -> Result<(), ProviderError> {
        let doing = format!("make zone `{zone}`");
        let mut above = zone.split_once('.').map(|(_, parent)| parent);
        while let Some(parent) = above {
            if self.zone(parent, false).await?.is_some() {
                let cause = format!(
                    "it holds the zone `{parent}`, whose names below `{zone}` would be gone with it"
                );
                let hint = format!("name `{parent}` as `zone`, or make `{zone}` there yourself");
                return Err(self.failed(&doing, cause, Some(hint)));
            }
            above = parent.split_once('.').map(|(_, parent)| parent);
        }
        let (server, address) = self.name_server(zone).await;
        let soa = format!("{server}. hostmaster.{zone}. 1 10800 3600 604800 {NEGATIVE}");
        let mut sets = vec![
            rrset(zone, "SOA", 3600, &[soa]),
            rrset(zone, "NS", 3600, &[format!("{server}.")]),
        ];
        if let Some(address) = address.filter(|_| !taken.contains(&server)) {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            sets.push(rrset(&server, kind, 3600, &[address.ip().to_string()]));
        }
        let body = json!({
            "name": format!("{zone}."), "kind": "Native", "account": MADE, "rrsets": sets,
            "soa_edit_api": "DEFAULT", "api_rectify": true,
        });
        match self.call(&doing, Method::POST, "zones", Some(body)).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(self.failed(&doing, "it knows no zones".to_owned(), None)),
            // Another run was faster.
            Err(_) if self.zone(zone, false).await?.is_some() => {}
            Err(error) => return Err(error),
        }
        self.flush(zone).await
    }

    async fn is_spare(&self, zone: &str) -> Result<bool, ProviderError> {
        let Some(found) = self.zone(zone, true).await? else { return Ok(false) };
        let (server, _) = self.name_server(zone).await;
        let made_with = |set: &RecordSet| {
            (set.name == zone && ["SOA", "NS"].contains(&set.kind.as_str())) || set.name == server
        };
        let sets: Vec<RecordSet> = found.rrsets.into_iter().map(read_set).collect();
        Ok(found.account == MADE && sets.iter().all(made_with))
    }

    async fn remove_zone(&self, zone: &str) -> Result<(), ProviderError> {
        let doing = format!("remove zone `{zone}`");
        self.call(&doing, Method::DELETE, &path(zone), None).await.map(drop)
    }

    fn makes_zones(&self) -> bool {
        true
    }
}

/// The path of a zone; a slash in its name (RFC 2317) is none in the path.
fn path(zone: &str) -> String {
    format!("zones/{}.", zone.replace('/', "=2F"))
}

/// The host of a URL.
pub(super) fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => authority.split(':').next(),
    }
}

fn read_set(set: RrSet) -> RecordSet {
    // What is not answered is there all the same, and somebody's.
    let value = |r: &Content| match r.disabled {
        true => format!("{} (disabled)", value::normal(&set.kind, &r.content)),
        false => value::normal(&set.kind, &r.content),
    };
    let values = set.records.iter().map(value).collect();
    RecordSet { name: value::name(&set.name), ttl: set.ttl, values, kind: set.kind }
}

/// What a change is about, where that is not as it was read any more.
fn moved<'a>(change: &'a Change, there: &[RecordSet]) -> Option<&'a RecordSet> {
    let of = change.was.as_ref().or(change.now.as_ref())?;
    let has = there.iter().find(|s| s.name == of.name && s.kind == of.kind);
    (has != change.was.as_ref()).then_some(of)
}

/// What goes first goes away: a CNAME can't come before what it takes the place of is gone.
fn patch(changes: &[Change]) -> Vec<Value> {
    let gone = changes.iter().filter(|c| c.now.is_none()).filter_map(|c| c.was.as_ref());
    let gone = gone.map(
        |set| json!({ "name": format!("{}.", set.name), "type": set.kind, "changetype": "DELETE" }),
    );
    let put = changes.iter().filter_map(|c| c.now.as_ref()).map(|set| {
        let values: Vec<String> = set.values.iter().map(|v| content(&set.kind, v)).collect();
        let mut put = rrset(&set.name, &set.kind, set.ttl, &values);
        put["changetype"] = json!("REPLACE");
        put
    });
    gone.chain(put).collect()
}

/// PowerDNS wants names with the dot at their end.
fn content(kind: &str, value: &str) -> String {
    match kind {
        "CNAME" | "PTR" | "SRV" | "NS" => format!("{value}."),
        _ => value.to_owned(),
    }
}

fn rrset(name: &str, kind: &str, ttl: u32, contents: &[String]) -> Value {
    let records: Vec<Value> =
        contents.iter().map(|c| json!({ "content": c, "disabled": false })).collect();
    json!({ "name": format!("{name}."), "type": kind, "ttl": ttl, "records": records })
}
