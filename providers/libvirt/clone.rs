//! A machine made from another machine that is shut off, as `virt-clone` does it: its hardware
//! kept, everything that identifies it new.

use super::domain::{self, Guest};
use super::hypervisor::{Doing, Hypervisor, absent, set_tag};
use super::tag::Volume;
use super::template::{Base, image};
use super::xml::{Element, el};
use crate::ProviderError;
use virt::storage_vol::StorageVol;

/// A machine that is cloned.
pub struct Source {
    /// Its XML.
    pub xml: Element,
    /// Its disks after the first.
    pub disks: Vec<Volume>,
    /// What its firmware remembers.
    pub nvram: Option<Volume>,
}

/// What clones of this domain start from.
pub fn base(hypervisor: &Hypervisor, name: &str) -> Result<Base, ProviderError> {
    let doing = || format!("clone domain `{name}`");
    let failed = |cause: String, hint: &str| ProviderError {
        doing: doing(),
        cause,
        hint: Some(hint.to_owned()),
    };
    let Some((domain, xml)) = hypervisor.domain(name)? else {
        return Err(failed(
            "it does not exist".to_owned(),
            "name a domain that `virsh list --all` shows",
        ));
    };
    if absent(domain.is_active(), doing)? == Some(true) {
        return Err(failed(
            "it is running".to_owned(),
            "shut it off: a copy of a disk in use is broken",
        ));
    }
    let mut volumes = Vec::new();
    for disk in xml.at("devices").into_iter().flat_map(|d| d.all("disk")).filter(|d| is_data(d)) {
        volumes.push(volume(hypervisor, disk)?.ok_or_else(|| {
            failed(
                "one of its disks is in no storage pool".to_owned(),
                "make a pool of the disk's folder: `virsh pool-create-as NAME dir --target FOLDER`",
            )
        })?);
    }
    if volumes.is_empty() {
        return Err(failed("it has no disk".to_owned(), "name another domain"));
    }
    let nvram = match xml.at("os/nvram").filter(|n| !n.text.is_empty()) {
        Some(nvram) => Some(by_path(hypervisor, &nvram.text)?.ok_or_else(|| {
            failed(
                "its nvram is in no storage pool".to_owned(),
                "make a pool of the nvram's folder: `virsh pool-create-as NAME dir --target FOLDER`",
            )
        })?),
        None => None,
    };
    let disk = volumes.remove(0);
    let (_, _, capacity) = image(hypervisor, &disk)?;
    Ok(Base { disk, capacity, kernel: None, source: Some(Source { xml, disks: volumes, nvram }) })
}

/// The clone's XML: the source's, with the guest's name, tag, size, disks and interface.
pub fn xml(source: &Element, guest: &Guest<'_>, others: &[Volume], nvram: Option<&str>) -> Element {
    let mut xml = source.clone();
    let plain = domain::guest(guest);
    xml.set("type", guest.cpu.domain_type());
    xml.attrs.retain(|(name, _)| name != "id");
    for name in ["name", "uuid", "memory", "vcpu"] {
        if let Some(element) = plain.at(name) {
            xml.put(element.clone());
        }
    }
    // Sizes and placements that belong to the source's own memory and CPUs.
    xml.children.retain(|c| {
        !["currentMemory", "maxMemory", "vcpus", "cputune", "numatune", "genid"]
            .contains(&c.name.as_str())
    });
    if let Some(cpu) = plain.at("cpu") {
        xml.put(cpu.clone());
    }
    if let (Some(os), Some(path)) = (xml.at_mut("os"), nvram) {
        os.put(el("nvram").text(path));
    }
    set_tag(&mut xml, guest.tag);
    let mut disks = std::iter::once(guest.disk).chain(others);
    let mut first_interface = true;
    if let Some(devices) = xml.at_mut("devices") {
        let mut kept = Vec::new();
        for mut device in std::mem::take(&mut devices.children) {
            device.children.retain(|c| c.name != "alias");
            match device.name.as_str() {
                "disk" if is_data(&device) => {
                    let Some(volume) = disks.next() else { continue };
                    replace_disk(&mut device, volume);
                }
                // A seed or an installer's CD would be read in place of ours.
                "disk" | "serial" | "console" => continue,
                "interface" if first_interface => {
                    first_interface = false;
                    replace_interface(&mut device, guest);
                }
                "interface" => device.children.retain(|c| c.name != "mac" && c.name != "target"),
                // Paths of the source's own sockets.
                "channel" if device.get("type") == Some("unix") => {
                    device.children.retain(|c| c.name != "source");
                }
                "graphics" => {
                    device.attrs.retain(|(n, _)| n != "port" && n != "websocket" && n != "tlsPort");
                    device.set("autoport", "yes");
                }
                _ => {}
            }
            kept.push(device);
        }
        let ours = |name| plain.at("devices").into_iter().flat_map(move |d| d.all(name));
        kept.extend(ours("disk").filter(|d| d.at("readonly").is_some()).cloned());
        kept.extend(ours("serial").cloned());
        if first_interface {
            kept.extend(ours("interface").cloned());
        }
        devices.children = kept;
    }
    xml
}

/// Whether a disk is part of the machine's state.
fn is_data(disk: &Element) -> bool {
    matches!(disk.get("device"), None | Some("disk")) && disk.at("readonly").is_none()
}

fn replace_disk(disk: &mut Element, volume: &Volume) {
    let ours = domain::disk(volume, "qcow2");
    disk.set("type", "volume");
    disk.children.retain(|c| c.name != "backingStore" && c.name != "serial" && c.name != "wwn");
    for name in ["driver", "source"] {
        if let Some(element) = ours.at(name) {
            disk.put(element.clone());
        }
    }
}

fn replace_interface(interface: &mut Element, guest: &Guest<'_>) {
    interface.set("type", "network");
    interface.children.retain(|c| c.name != "target" && c.name != "virtualport");
    interface.put(el("mac").attr("address", guest.mac));
    interface.put(el("source").attr("network", guest.network));
}

/// The volume behind a disk.
fn volume(hypervisor: &Hypervisor, disk: &Element) -> Result<Option<Volume>, ProviderError> {
    let Some(source) = disk.at("source") else { return Ok(None) };
    if let (Some(pool), Some(volume)) = (source.get("pool"), source.get("volume")) {
        return Ok(Some(Volume { pool: pool.to_owned(), name: volume.to_owned() }));
    }
    match source.get("file").or(source.get("dev")) {
        Some(path) => by_path(hypervisor, path),
        None => Ok(None),
    }
}

fn by_path(hypervisor: &Hypervisor, path: &str) -> Result<Option<Volume>, ProviderError> {
    let doing = || format!("find the volume of `{path}`");
    let connection = hypervisor.connection()?;
    let Some(volume) = absent(connection.lookup_storage_vol_by_path(path), doing)? else {
        return Ok(None);
    };
    let pool = StorageVol::lookup_storage_pool(&volume).doing(doing)?;
    Ok(Some(Volume { pool: pool.name().doing(doing)?, name: volume.name().doing(doing)? }))
}
