//! Storage: pools and volumes through libvirt's API alone, so that a remote hypervisor works.

use super::hypervisor::{Doing, Hypervisor, absent, parse};
use super::tag::Volume;
use super::xml::{Element, el};
use crate::ProviderError;
use std::io::Read;
use std::time::Duration;
use virt::connect::Connect;
use virt::error::Error;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::stream::Stream;

/// One send of an upload: libvirt's own limit for a stream message is a little above.
const CHUNK: usize = 256 * 1024;

/// How the name of a console's volume ends.
pub const CONSOLE: &str = "-console.log";
/// Tries to look at a pool's folder, and the time between them: volumes are made in moments.
const REFRESHES: u32 = 20;
const REFRESH: Duration = Duration::from_millis(100);

impl Hypervisor {
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
        let doing = || format!("find volume `{}`", volume.name);
        let connection = self.connection()?;
        let Some(pool) = absent(connection.lookup_storage_pool_by_name(&volume.pool), doing)?
        else {
            return Ok(None);
        };
        absent(pool.lookup_storage_vol_by_name(&volume.name), doing)
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

    /// Deletes what virtlogd made of a console that grew: files beside it, with a number at the
    /// end. libvirt sees them after a look at its pool's folder only.
    pub fn delete_rotated(&self, console: &Volume) -> Result<(), ProviderError> {
        let pool = self.pool(&console.pool)?;
        for _ in 0..REFRESHES {
            // Refused while a volume is being made there.
            if pool.refresh(0).is_ok() {
                break;
            }
            std::thread::sleep(REFRESH);
        }
        let prefix = format!("{}.", console.name);
        let names = pool.list_volumes().doing(|| format!("list pool `{}`", console.pool))?;
        for name in names.into_iter().filter(|n| n.starts_with(&prefix)) {
            self.delete_volume(&Volume { pool: console.pool.clone(), name })?;
        }
        Ok(())
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
