//! The connection to libvirt, and what is done with volumes. Everything here blocks.

use super::tag::{Role, Tag, Volume};
use super::xml::{Element, el};
use crate::ProviderError;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::{Error, ErrorNumber};
use virt::network::Network;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::stream::Stream;
use virt::sys;

/// One send of an upload: libvirt's own limit for a stream message is a little above.
const CHUNK: usize = 256 * 1024;

/// A lab's view of a hypervisor. Cheap to clone: clones share the connection.
#[derive(Clone)]
pub struct Hypervisor {
    uri: String,
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

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Result<StoragePool, ProviderError> {
        let pool = self.connection()?.lookup_storage_pool_by_name(name);
        let pool = pool.doing(|| format!("find storage pool `{name}`")).map_err(|e| ProviderError {
            hint: Some(format!(
                "make it: `virsh -c {} pool-define-as {name} dir --target /var/lib/libvirt/images && \
                 virsh -c {} pool-start {name}`",
                self.uri, self.uri
            )),
            ..e
        })?;
        if !pool.is_active().unwrap_or(false) {
            return Err(ProviderError {
                doing: format!("find storage pool `{name}`"),
                cause: "it is not active".to_owned(),
                hint: Some(format!("start it: `virsh -c {} pool-start {name}`", self.uri)),
            });
        }
        Ok(pool)
    }

    /// The folder in which the pool's volumes lie as files, where they do.
    pub fn folder(&self, name: &str) -> Result<Option<String>, ProviderError> {
        let doing = || format!("read storage pool `{name}`");
        let xml = parse(&self.pool(name)?.xml_desc(0).doing(doing)?, &doing())?;
        let files = matches!(xml.get("type"), Some("dir" | "fs" | "netfs"));
        Ok(xml.at("target/path").filter(|_| files).map(|p| p.text.clone()))
    }

    /// The volume, where it exists.
    pub fn volume(&self, volume: &Volume) -> Result<Option<StorageVol>, ProviderError> {
        let pool = self.pool(&volume.pool)?;
        absent(pool.lookup_storage_vol_by_name(&volume.name), || {
            format!("find volume `{}`", volume.name)
        })
    }

    /// Makes a volume from its XML; the pool's other volumes are left as they are.
    pub fn create_volume(&self, pool: &str, xml: &Element) -> Result<StorageVol, ProviderError> {
        let name = xml.at("name").map_or("", |n| n.text.as_str());
        StorageVol::create_xml(&self.pool(pool)?, &xml.to_string(), 0)
            .doing(|| format!("make volume `{name}`"))
    }

    /// Makes a volume and fills it with what the reader gives, which must be so many bytes.
    pub fn upload(
        &self,
        pool: &str,
        xml: &Element,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), ProviderError> {
        let made = self.create_volume(pool, xml)?;
        // The test driver keeps no bytes and refuses them.
        if self.is_test() {
            return Ok(());
        }
        send(&self.connection()?, &made, size, content).map_err(|cause| ProviderError {
            doing: format!("upload volume `{}`", xml.at("name").map_or("", |n| n.text.as_str())),
            cause,
            hint: None,
        })
    }

    /// The content of a volume, at most so many bytes from its end.
    pub fn tail(&self, volume: &Volume, bytes: u64) -> Result<Vec<u8>, ProviderError> {
        let Some(found) = self.volume(volume)? else { return Ok(Vec::new()) };
        let doing = || format!("read volume `{}`", volume.name);
        let stream = Stream::new(&self.connection()?, 0).doing(doing)?;
        found.download(&stream, 0, 0, 0).doing(doing)?;
        let (mut content, mut chunk) = (Vec::new(), vec![0; CHUNK]);
        loop {
            match stream.recv(&mut chunk).doing(doing)? {
                n if n > 0 => content.extend_from_slice(&chunk[..n as usize]),
                _ => break,
            }
        }
        stream.finish().doing(doing)?;
        let from = content.len().saturating_sub(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(content.split_off(from))
    }

    /// Deletes a volume; gone already is fine.
    pub fn delete_volume(&self, volume: &Volume) -> Result<(), ProviderError> {
        let Some(found) = self.volume(volume)? else { return Ok(()) };
        absent(found.delete(0), || format!("delete volume `{}`", volume.name)).map(drop)
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

/// The XML of a new volume of this capacity.
pub fn volume_xml(name: &str, format: &str, capacity: u64, private: bool) -> Element {
    let mut target = el("target").child(el("format").attr("type", format));
    if private {
        target = target.child(el("permissions").child(el("mode").text("0600")));
    }
    el("volume")
        .child(el("name").text(name))
        .child(el("capacity").attr("unit", "bytes").text(capacity))
        .child(target)
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

fn send(
    connection: &Connect,
    volume: &StorageVol,
    size: u64,
    content: &mut dyn Read,
) -> Result<(), String> {
    let said = |e: Error| e.message().trim().to_owned();
    let stream = Stream::new(connection, 0).map_err(said)?;
    volume.upload(&stream, 0, size, 0).map_err(said)?;
    let (mut chunk, mut sent) = (vec![0; CHUNK], 0);
    loop {
        let read = match content.read(&mut chunk) {
            Ok(0) if sent == size => return stream.finish().map_err(said),
            Ok(n) if n > 0 && sent + n as u64 <= size => n,
            Ok(_) => {
                let _ = stream.abort();
                return Err(format!("its content is not of {size} bytes"));
            }
            Err(e) => {
                let _ = stream.abort();
                return Err(format!("its content can't be read: {e}"));
            }
        };
        let mut rest = &chunk[..read];
        while !rest.is_empty() {
            let n = stream.send(rest).map_err(said)?;
            rest = &rest[usize::try_from(n).unwrap_or(0)..];
        }
        sent += read as u64;
    }
}
