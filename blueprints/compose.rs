//! What the rules need to know of a user's compose file.

use crate::tree::{self, Entry, Kind, Node};

/// A compose file, as far as the rules look at it.
#[derive(Debug, Default)]
pub(crate) struct Compose {
    pub services: Vec<Service>,
    /// The networks that are declared outside of the file, by their real names.
    pub external_networks: Vec<String>,
}

/// A service of a compose file.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub name: String,
    pub has_image: bool,
    pub constraints: Vec<String>,
    pub ports: Vec<Port>,
}

/// A port that is published to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub number: u16,
    pub protocol: String,
    /// Whether it is published on the nodes of the tasks only, past the routing mesh.
    pub host_mode: bool,
}

/// Reads a compose file.
///
/// # Errors
/// What is wrong with it, with the line where there is one.
pub(crate) fn read(bytes: &[u8]) -> Result<Compose, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    if text.len() > crate::text::MAX_BYTES {
        return Err("it is larger than 1 MiB".to_owned());
    }
    let (root, problems) = tree::parse(text);
    if let Some(problem) = problems.first() {
        let line = text[..problem.at.start.min(text.len())].matches('\n').count() + 1;
        return Err(format!("line {line}: {}", problem.message));
    }
    let Some(Node { kind: Kind::Map(top), .. }) = root else {
        return Err("it is no map".to_owned());
    };
    let services = match find(&top, "services") {
        Some(Node { kind: Kind::Map(services), .. }) if !services.is_empty() => {
            services.iter().map(service).collect()
        }
        _ => return Err("it has no services".to_owned()),
    };
    let networks = find(&top, "networks").map(entries).unwrap_or_default();
    Ok(Compose { services, external_networks: networks.iter().filter_map(external).collect() })
}

fn find<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Node> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

fn entries(node: &Node) -> &[Entry] {
    match &node.kind {
        Kind::Map(entries) => entries,
        _ => &[],
    }
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    find(entries(node), key)
}

fn items(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        _ => &[],
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    }
}

/// The real name of an external network: the newer `name`, the older `external.name`, the key.
fn external(entry: &Entry) -> Option<String> {
    let external = get(&entry.value, "external")?;
    let name = match &external.kind {
        Kind::Bool(true) => get(&entry.value, "name").and_then(text),
        Kind::Map(_) => get(external, "name").and_then(text),
        _ => return None,
    };
    Some(name.unwrap_or(&entry.key).to_owned())
}

fn service(entry: &Entry) -> Service {
    let node = &entry.value;
    let placement = get(node, "deploy").and_then(|deploy| get(deploy, "placement"));
    let constraints = placement.and_then(|p| get(p, "constraints")).map(items).unwrap_or_default();
    let ports = get(node, "ports").map(items).unwrap_or_default();
    Service {
        name: entry.key.clone(),
        has_image: get(node, "image").and_then(text).is_some_and(|image| !image.is_empty()),
        constraints: constraints.iter().filter_map(text).map(str::to_owned).collect(),
        ports: ports.iter().flat_map(published).collect(),
    }
}

/// The ports of one entry of `ports`, in the short or the long syntax; none where Docker picks.
fn published(node: &Node) -> Vec<Port> {
    let (range, protocol, host_mode) = match &node.kind {
        Kind::Text(text) => {
            let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let mut parts = ports.rsplit(':');
            let (_, published) = (parts.next(), parts.next());
            (published.unwrap_or_default().to_owned(), protocol, false)
        }
        Kind::Map(_) => {
            let published = match get(node, "published").map(|n| &n.kind) {
                Some(Kind::Unsigned(number)) => number.to_string(),
                Some(Kind::Text(text)) => text.clone(),
                _ => return Vec::new(),
            };
            let word = |key| get(node, key).and_then(text);
            (published, word("protocol").unwrap_or("tcp"), word("mode") == Some("host"))
        }
        _ => return Vec::new(),
    };
    let (first, last) = range.split_once('-').unwrap_or((&range, &range));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
        return Vec::new();
    };
    let port = |number| Port { number, protocol: protocol.to_owned(), host_mode };
    (first.max(1)..=last).map(port).collect()
}
