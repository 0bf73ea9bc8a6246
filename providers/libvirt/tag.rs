//! The tag that everything made for a lab carries in libvirt's metadata, and is found again by.
//!
//! Volumes have no metadata: the domain that owns them lists them, and is defined before they
//! are made and undefined after they are gone. So whatever was cut off, nothing is out of reach.

use super::xml::{Element, el};

/// The XML namespace of the tag.
const NAMESPACE: &str = "urn:bp:lab:1";

/// What a domain or network is to the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A host of the lab.
    Machine,
    /// Never started; owns the template's volumes.
    Template,
    /// Finds out whether KVM works; short-lived.
    Probe,
    /// A network.
    Network,
}

impl Role {
    const ALL: [(Role, &str); 4] = [
        (Self::Machine, "machine"),
        (Self::Template, "template"),
        (Self::Probe, "probe"),
        (Self::Network, "network"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(r, _)| *r == self).map_or("", |(_, s)| s)
    }
}

/// A volume, by its pool and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub pool: String,
    pub name: String,
}

/// The tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The lab's name.
    pub lab: String,
    /// What it is.
    pub role: Role,
    /// The host it is, for machines.
    pub host: Option<String>,
    /// Whether all its volumes are complete.
    pub ready: bool,
    /// What it was made from or chosen for, in the owner's own words: a template's source.
    pub source: Option<String>,
    /// The public host key that its seed holds.
    pub host_key: Option<String>,
    /// Bytes of its root disk.
    pub disk: Option<u64>,
    /// The volumes that go when it goes.
    pub volumes: Vec<Volume>,
}

impl Tag {
    /// A tag with nothing but what it is.
    pub fn new(lab: &str, role: Role) -> Self {
        Self {
            lab: lab.to_owned(),
            role,
            host: None,
            ready: false,
            source: None,
            host_key: None,
            disk: None,
            volumes: Vec::new(),
        }
    }

    /// The element that goes into `<metadata>`.
    pub fn element(&self) -> Element {
        let mut tag = el("bp:lab")
            .attr("xmlns:bp", NAMESPACE)
            .attr("name", &self.lab)
            .attr("role", self.role.as_str())
            .attr("state", if self.ready { "ready" } else { "making" });
        let optional =
            [("host", &self.host), ("source", &self.source), ("host-key", &self.host_key)];
        for (name, value) in optional {
            if let Some(value) = value {
                tag.set(name, value);
            }
        }
        if let Some(disk) = self.disk {
            tag.set("disk", disk);
        }
        tag.children(
            self.volumes
                .iter()
                .map(|v| el("bp:volume").attr("pool", &v.pool).attr("name", &v.name)),
        )
    }

    /// The tag in the XML of a domain or network.
    pub fn of(xml: &Element) -> Option<Self> {
        let tag = xml.at("metadata")?.children.iter().find(|c| {
            let prefix = c.name.strip_suffix("lab").and_then(|p| p.strip_suffix(':'));
            prefix.is_some_and(|p| c.get(&format!("xmlns:{p}")) == Some(NAMESPACE))
        })?;
        let text = |name: &str| tag.get(name).map(str::to_owned);
        let volume = |v: &Element| {
            Some(Volume { pool: v.get("pool")?.to_owned(), name: v.get("name")?.to_owned() })
        };
        Some(Self {
            lab: text("name")?,
            role: Role::ALL.iter().find(|(_, s)| tag.get("role") == Some(s))?.0,
            host: text("host"),
            ready: tag.get("state") == Some("ready"),
            source: text("source"),
            host_key: text("host-key"),
            disk: text("disk").and_then(|d| d.parse().ok()),
            volumes: tag.children.iter().filter_map(volume).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_back_from_metadata_among_others() {
        let tag = Tag {
            host: Some("node1".to_owned()),
            host_key: Some("ssh-ed25519 AAAA".to_owned()),
            disk: Some(1 << 40),
            volumes: vec![Volume { pool: "it's".to_owned(), name: "a<b".to_owned() }],
            ..Tag::new("lab", Role::Machine)
        };
        let other = el("x:lab").attr("xmlns:x", "urn:other").attr("name", "lab");
        let domain = el("domain").child(el("metadata").child(other.clone()).child(tag.element()));
        let read = Element::parse(&domain.to_string()).expect("it parses");
        assert_eq!(Tag::of(&read), Some(tag));
        assert_eq!(Tag::of(&el("domain").child(el("metadata").child(other))), None);
        assert_eq!(Tag::of(&el("domain")), None);
    }
}
