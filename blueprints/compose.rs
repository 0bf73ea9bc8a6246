//! What the rules need to know of a user's compose file.

use crate::tree::{self, Entry, Kind, Node};

/// A compose file, as far as the rules look at it.
#[derive(Debug, Default)]
pub(crate) struct Compose {
    pub services: Vec<Service>,
    /// The networks that are declared outside of the file, by their real names.
    pub external_networks: Vec<String>,
    /// Its own networks, as the file calls them; `default` is there wherever it is used.
    pub own_networks: Vec<String>,
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

/// The ports of a service that are looked at: none has more.
const MAX_PORTS: usize = 1000;

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
    let own = networks.iter().filter(|n| external(n).is_none()).map(|n| n.key.clone());
    let own_networks = own.chain(["default".to_owned()]).collect();
    let external_networks = networks.iter().filter_map(external).collect();
    Ok(Compose { services, external_networks, own_networks })
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
        ports: ports.iter().flat_map(published).take(MAX_PORTS).collect(),
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
    (first.max(1)..=last).take(MAX_PORTS).map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(written: &str) -> String {
        let text = format!("services: {{ web: {{ image: a, ports: [{written}] }} }}");
        let compose = read(text.as_bytes()).expect("it is right");
        let shown = |p: &Port| {
            format!("{}/{}{}", p.number, p.protocol, if p.host_mode { " host" } else { "" })
        };
        compose.services[0].ports.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn published_ports() {
        assert_eq!(ports("\"8080:80\", 9000"), "8080/tcp");
        assert_eq!(ports("\"127.0.0.1:53:53/udp\", \"[::1]:5:5\""), "53/udp, 5/tcp");
        assert_eq!(ports("\"80\", \"127.0.0.1::80\", \"x:80\", [80]"), "");
        assert_eq!(ports("\"81-83:81-83\", \"0-1:0-1\""), "81/tcp, 82/tcp, 83/tcp, 1/tcp");
        assert_eq!(
            ports("{ target: 80 }, { target: 80, published: 80, mode: host }"),
            "80/tcp host"
        );
        assert_eq!(ports("{ target: 80, published: \"80\", protocol: udp }"), "80/udp");
        assert_eq!(ports("\"1-65535:1-65535\"").split(", ").count(), MAX_PORTS);
    }

    #[test]
    fn external_networks() {
        let text = "
services: { web: { image: a } }
networks:
  a: { external: true }
  b: { external: true, name: bee }
  c: { external: { name: sea } }
  d: { external: false }
  e:
";
        let compose = read(text.as_bytes()).expect("it is right");
        assert_eq!(compose.external_networks, ["a", "bee", "sea"]);
        assert_eq!(compose.own_networks, ["d", "e", "default"]);
    }

    #[test]
    fn merged_services() {
        let text = "
x-base: &base { image: a, deploy: { placement: { constraints: [node.role == manager] } } }
services: { web: { <<: *base }, db: { <<: *base, image: b } }
";
        let compose = read(text.as_bytes()).expect("it is right");
        assert!(compose.services.iter().all(|s| s.has_image && s.constraints.len() == 1));
    }
}
