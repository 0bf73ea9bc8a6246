//! The connection to libvirt, and what carries the lab's tag there. Everything here blocks.

use super::tag::{Role, Tag};
use super::volume::CONSOLE;
use super::xml::{Element, el};
use crate::ProviderError;
use std::sync::{Arc, Mutex, PoisonError};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::network::Network;
use virt::sys;

/// A lab's view of a hypervisor. Cheap to clone: clones share the connection.
#[derive(Clone)]
pub struct Hypervisor {
    /// Where it is.
    pub uri: String,
    connection: Arc<Mutex<Connect>>,
    /// The lab whose tag is looked for.
    pub lab: String,
    /// The pool that takes new volumes.
    pub pool: String,
}

/// A domain of the lab with what its XML says.
pub struct Tagged {
    pub domain: Domain,
    pub xml: Element,
    pub tag: Tag,
}

impl Hypervisor {
    /// Connects.
    pub fn open(uri: &str, lab: &str, pool: &str) -> Result<Self, ProviderError> {
        // libvirt prints every error to stderr by itself otherwise.
        virt::error::clear_error_callback();
        let connection = connect(uri)?;
        Ok(Self {
            uri: uri.to_owned(),
            connection: Arc::new(Mutex::new(connection)),
            lab: lab.to_owned(),
            pool: pool.to_owned(),
        })
    }

    /// Whether this is libvirt's test driver, which keeps volumes in name only.
    pub fn is_test(&self) -> bool {
        self.uri.starts_with("test:") || self.uri.starts_with("test+")
    }

    /// The connection, made anew where libvirtd was restarted.
    pub fn connection(&self) -> Result<Connect, ProviderError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if !connection.is_alive().unwrap_or(false) {
            *connection = connect(&self.uri)?;
        }
        Ok(connection.clone())
    }

    /// All the lab's domains, running or not.
    pub fn tagged(&self) -> Result<Vec<Tagged>, ProviderError> {
        let domains = self.connection()?.list_all_domains(0).doing(|| "list domains".to_owned())?;
        let mut found = Vec::new();
        for domain in domains {
            // A domain may vanish between the list and the question.
            let Some(xml) = absent(domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE), || {
                "read a domain".to_owned()
            })?
            else {
                continue;
            };
            let xml = parse(&xml, "read a domain")?;
            if let Some(tag) = Tag::of(&xml).filter(|t| t.lab == self.lab) {
                found.push(Tagged { domain, xml, tag });
            }
        }
        Ok(found)
    }

    /// The domain of this name, tagged or not, with its inactive XML.
    pub fn domain(&self, name: &str) -> Result<Option<(Domain, Element)>, ProviderError> {
        let doing = || format!("read domain `{name}`");
        let connection = self.connection()?;
        let Some(domain) = absent(connection.lookup_domain_by_name(name), doing)? else {
            return Ok(None);
        };
        let xml = absent(domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE), doing)?;
        xml.map(|xml| Ok((domain, parse(&xml, &doing())?))).transpose()
    }

    /// The lab's domain of this name and role; an error where a foreign one has the name.
    pub fn own(&self, name: &str, role: Role) -> Result<Option<Tagged>, ProviderError> {
        let Some((domain, xml)) = self.domain(name)? else { return Ok(None) };
        match Tag::of(&xml).filter(|t| t.lab == self.lab && t.role == role) {
            Some(tag) => Ok(Some(Tagged { domain, xml, tag })),
            None => Err(ProviderError {
                doing: format!("find domain `{name}`"),
                cause: format!("it exists but was not made for lab `{}`", self.lab),
                hint: Some(format!(
                    "rename it, or give the lab another name: `virsh domrename {name} ...`"
                )),
            }),
        }
    }

    /// Defines a domain, or redefines the one with its uuid.
    pub fn define(&self, name: &str, xml: &Element) -> Result<Domain, ProviderError> {
        self.connection()?
            .define_domain_xml(&xml.to_string())
            .doing(|| format!("define domain `{name}`"))
    }

    /// Writes the tag of a domain that exists.
    pub fn retag(&self, domain: &Domain, name: &str, tag: &Tag) -> Result<(), ProviderError> {
        let doing = || format!("tag domain `{name}`");
        let xml = domain.xml_desc(sys::VIR_DOMAIN_XML_INACTIVE | sys::VIR_DOMAIN_XML_SECURE);
        let mut xml = parse(&xml.doing(doing)?, &doing())?;
        set_tag(&mut xml, tag);
        self.define(name, &xml).map(drop)
    }

    /// The network of this name.
    pub fn network(&self, name: &str) -> Result<Option<(Network, Element)>, ProviderError> {
        let doing = || format!("read network `{name}`");
        let connection = self.connection()?;
        let Some(network) = absent(connection.lookup_network_by_name(name), doing)? else {
            return Ok(None);
        };
        let xml = absent(network.xml_desc(0), doing)?;
        xml.map(|xml| Ok((network, parse(&xml, &doing())?))).transpose()
    }

    /// Stops a domain, deletes its volumes, and forgets it, in this order: cut off anywhere,
    /// what is left is still reachable from the domain.
    pub fn remove(&self, tagged: &Tagged) -> Result<(), ProviderError> {
        let name = tagged.xml.at("name").map_or("", |n| n.text.as_str());
        let doing = || format!("remove domain `{name}`");
        if absent(tagged.domain.is_active(), doing)? == Some(true) {
            // Stopped by itself in between is as good.
            if let Err(error) = tagged.domain.destroy()
                && tagged.domain.is_active().unwrap_or(false)
            {
                return Err(error).doing(doing);
            }
        }
        for volume in &tagged.tag.volumes {
            self.delete_volume(volume)?;
            if volume.name.ends_with(CONSOLE) {
                self.delete_rotated(volume)?;
            }
        }
        if absent(tagged.domain.is_persistent(), doing)? != Some(true) {
            return Ok(());
        }
        let flags = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            // The test driver knows no nvram and refuses its flag.
            | if self.is_test() { 0 } else { sys::VIR_DOMAIN_UNDEFINE_NVRAM | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA };
        absent(tagged.domain.undefine_flags(flags), doing).map(drop)
    }
}

/// Replaces the tag in a domain's XML.
pub fn set_tag(xml: &mut Element, tag: &Tag) {
    let mut metadata = xml.at("metadata").cloned().unwrap_or_else(|| el("metadata"));
    metadata.children.retain(|c| {
        let alone = el("x").child(el("metadata").child(c.clone()));
        Tag::of(&alone).is_none()
    });
    xml.put(metadata.child(tag.element()));
}

/// Reads libvirt's XML.
pub fn parse(xml: &str, doing: &str) -> Result<Element, ProviderError> {
    Element::parse(xml).map_err(|cause| ProviderError {
        doing: doing.to_owned(),
        cause: format!("libvirt's XML can't be read: {cause}"),
        hint: None,
    })
}

/// libvirt's error with what was being done.
pub trait Doing<T> {
    /// Names what was being done.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, ProviderError>;
}

impl<T> Doing<T> for Result<T, Error> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, ProviderError> {
        self.map_err(|e| ProviderError {
            doing: doing(),
            cause: e.message().trim().to_owned(),
            hint: None,
        })
    }
}

/// `None` where libvirt says that the thing does not exist.
pub fn absent<T>(
    answer: Result<T, Error>,
    doing: impl FnOnce() -> String,
) -> Result<Option<T>, ProviderError> {
    const GONE: [ErrorNumber; 4] = [
        ErrorNumber::NoDomain,
        ErrorNumber::NoNetwork,
        ErrorNumber::NoStorageVolume,
        ErrorNumber::NoStoragePool,
    ];
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(e) if GONE.iter().any(|gone| e.code() == (*gone).into()) => Ok(None),
        Err(e) => Err(e).doing(doing),
    }
}

fn connect(uri: &str) -> Result<Connect, ProviderError> {
    Connect::open(Some(uri)).doing(|| format!("connect to `{uri}`")).map_err(|e| ProviderError {
        hint: Some(format!(
            "is libvirtd running there, and may you use it? try `virsh -c {uri} list`"
        )),
        ..e
    })
}
