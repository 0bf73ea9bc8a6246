//! The volumes of one machine: their names, and how they come from the template's.

use super::hypervisor::{Doing, Hypervisor};
use super::tag::Volume;
use super::template::{self, Base};
use super::volume::{CONSOLE, volume_xml};
use super::xml::el;
use crate::ProviderError;
use blueprints::CloneKind;
use virt::storage_vol::StorageVol;

/// A machine's volumes and where its files lie.
pub struct Parts {
    /// Disk, seed, console; then a clone's further disks; then its nvram.
    pub volumes: Vec<Volume>,
    /// The console's path at the hypervisor.
    pub console: Option<String>,
    /// The nvram of a clone, with its path at the hypervisor.
    pub nvram: Option<(Volume, String)>,
}

impl Parts {
    /// The parts of a new machine.
    pub fn new(
        hypervisor: &Hypervisor,
        name: &str,
        uuid: &str,
        base: &Base,
    ) -> Result<Self, ProviderError> {
        // The uuid's head keeps names apart from volumes that others made.
        let stem = format!("{name}-{}", &uuid[..8]);
        let volume =
            |end: &str| Volume { pool: hypervisor.pool.clone(), name: format!("{stem}{end}") };
        let folder = hypervisor.folder(&hypervisor.pool)?;
        let path =
            |v: &Volume| folder.as_ref().map(|f| format!("{}/{}", f.trim_end_matches('/'), v.name));
        let mut volumes = [".qcow2", "-seed.iso", CONSOLE].map(volume).to_vec();
        let console = path(&volumes[2]);
        let mut nvram = None;
        if let Some(source) = &base.source {
            volumes.extend((1..=source.disks.len()).map(|n| volume(&format!("-{n}.qcow2"))));
            if source.nvram.is_some() {
                let copy = volume("-nvram.fd");
                let path = path(&copy).ok_or_else(|| ProviderError {
                    doing: format!("copy the nvram for `{name}`"),
                    cause: format!("pool `{}` has no files", hypervisor.pool),
                    hint: Some("use a pool of type `dir`".to_owned()),
                })?;
                volumes.push(copy.clone());
                nvram = Some((copy, path));
            }
        }
        Ok(Self { volumes, console, nvram })
    }

    /// The root disk.
    pub fn disk(&self) -> &Volume {
        &self.volumes[0]
    }

    /// The cloud-init seed.
    pub fn seed(&self) -> &Volume {
        &self.volumes[1]
    }

    /// A clone's further disks.
    pub fn others(&self) -> &[Volume] {
        &self.volumes[3..self.volumes.len() - usize::from(self.nvram.is_some())]
    }
}

/// An exact copy of a small volume.
pub fn copy_raw(hypervisor: &Hypervisor, to: &Volume, from: &Volume) -> Result<(), ProviderError> {
    let (source, format, capacity) = template::image(hypervisor, from)?;
    let xml = volume_xml(&to.name, &format, capacity, true);
    StorageVol::create_xml_from(&hypervisor.pool(&to.pool)?, &xml.to_string(), &source, 0)
        .map(drop)
        .doing(|| format!("copy volume `{}` to `{}`", from.name, to.name))
}

/// A volume over another, or a copy of it; at least as large, grown to a size.
pub fn copy(
    hypervisor: &Hypervisor,
    volume: &Volume,
    source: &Volume,
    clone: CloneKind,
    size: Option<u64>,
) -> Result<(), ProviderError> {
    let doing = || format!("make volume `{}` from `{}`", volume.name, source.name);
    let (from, format, capacity) = template::image(hypervisor, source)?;
    let size = size.unwrap_or(capacity);
    match clone {
        CloneKind::Linked => {
            let backing = el("backingStore")
                .child(el("path").text(from.path().doing(doing)?))
                .child(el("format").attr("type", format));
            let xml = volume_xml(&volume.name, "qcow2", size, false).child(backing);
            hypervisor.create_volume(&volume.pool, &xml)?;
        }
        CloneKind::Full => {
            let xml = volume_xml(&volume.name, "qcow2", size, false);
            let pool = hypervisor.pool(&volume.pool)?;
            let made =
                StorageVol::create_xml_from(&pool, &xml.to_string(), &from, 0).doing(doing)?;
            // Some drivers copy the source's size along; the test driver can't resize.
            if made.info().doing(doing)?.capacity < size && !hypervisor.is_test() {
                made.resize(size, 0).doing(|| format!("grow volume `{}`", volume.name))?;
            }
        }
    }
    Ok(())
}
