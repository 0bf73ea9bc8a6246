//! The ports that a stack publishes, read from its compose file.

use crate::compose::Compose;
use blueprints::{Port, Protocol};
use serde_json::Value;

/// A port that a service publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The service's name in the compose file.
    pub service: String,
    /// The port as others reach it.
    pub port: Port,
    /// Whether it is there on the hosts of its tasks alone (`mode: host`), not on every node.
    pub on_its_hosts: bool,
}

/// All of them, in the order of the file. A port that Docker picks itself is nobody's door: who
/// wants one names it.
pub fn published(compose: &Compose) -> Vec<Published> {
    let document: Value = serde_json::from_str(&compose.text).unwrap_or_default();
    let services = document["services"].as_object().into_iter().flatten();
    let ports = services.flat_map(|(service, definition)| {
        let ports = definition["ports"].as_array().into_iter().flatten();
        ports.filter_map(move |written| {
            let (port, on_its_hosts) = match written {
                Value::String(short) => (short_form(short)?, false),
                long => (long_form(long)?, long["mode"] == "host"),
            };
            Some(Published { service: service.clone(), port, on_its_hosts })
        })
    });
    ports.collect()
}

/// Whether a network of the stack is encrypted: engines look whether the option is there, many of
/// them not at what it says.
pub fn encrypts(compose: &Compose) -> bool {
    let document: Value = serde_json::from_str(&compose.text).unwrap_or_default();
    let mut networks = document["networks"].as_object().into_iter().flat_map(|n| n.values());
    networks.any(|network| network["driver_opts"].get("encrypted").is_some())
}

/// `80:8080`, `53:53/udp`, `3000-3005:3000-3005`; `8080` alone publishes a port of Docker's choice.
fn short_form(text: &str) -> Option<Port> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let mut parts = ports.rsplitn(3, ':').skip(1);
    range(parts.next()?, protocol)
}

fn long_form(value: &Value) -> Option<Port> {
    let published = match &value["published"] {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    range(&published, value["protocol"].as_str().unwrap_or("tcp"))
}

fn range(text: &str, protocol: &str) -> Option<Port> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    (0 < first && first <= last).then_some(Port { first, last, protocol })
}
