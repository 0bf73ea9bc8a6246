//! What root disks start from: an image put into the pool once, a volume, or another machine.

use super::Tell;
use super::domain::{self, Cpu, Kernel};
use super::hypervisor::{Doing, Hypervisor, absent};
use super::tag::{Role, Tag, Volume};
use super::volume::volume_xml;
use super::{bootstrap, clone, download, seed};
use crate::{ProviderError, State};
use blueprints::{CloneKind, Libvirt, Template};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use virt::storage_vol::StorageVol;

/// What a directly booted kernel is told. The root disk has no partitions; cloud-init need not
/// look for clouds; what is left out saves seconds under emulation.
const CMDLINE: &str = "root=/dev/vda rootfstype=ext4 rw console=ttyS0 quiet ds=nocloud \
                       random.trust_cpu=on net.ifnames=0";

/// What a new machine starts from.
pub struct Base {
    /// The root disk's volume.
    pub disk: Volume,
    /// Bytes of the root disk.
    pub capacity: u64,
    /// What is booted where the disk has no boot loader.
    pub kernel: Option<Kernel>,
    /// The machine that is cloned.
    pub source: Option<clone::Source>,
}

/// A template's files on the operator's machine.
pub struct Files {
    /// The image, qcow2 or raw.
    pub disk: PathBuf,
    /// Kernel and initrd, for images without a boot loader.
    pub kernel: Option<(PathBuf, PathBuf)>,
}

/// The name under which the template is shown.
pub fn shared_name(template: &Template) -> String {
    let last = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let name = match template {
        Template::File(path) => last(&path.to_string_lossy()),
        Template::Url { url, .. } => last(url),
        Template::Volume(name) | Template::Domain(name) => name.clone(),
        Template::Bootstrap(bootstrap) => bootstrap.suite.clone(),
    };
    format!("template {name}")
}

/// What tells one template from another; `None` for those that are used as they are.
fn identity(template: &Template) -> Option<String> {
    match template {
        // The size stands for the content: hashing gigabytes at every look would be slow.
        Template::File(path) => {
            let size = std::fs::metadata(path).map_or(0, |m| m.len());
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            Some(format!("file {name} of {size} bytes"))
        }
        Template::Url { sha256, .. } => Some(format!("sha256:{sha256}")),
        // Not the recipe: a newer bp must not disown the machines that stand on the template.
        Template::Bootstrap(inputs) => {
            Some(format!("bootstrap {}", serde_json::to_string(inputs).unwrap_or_default()))
        }
        Template::Volume(_) | Template::Domain(_) => None,
    }
}

/// The domain that owns the template's volumes.
fn keeper_name(lab: &str) -> String {
    format!("{lab}-template")
}

/// Whether the template is there. Changes nothing.
pub fn check(hypervisor: &Hypervisor, spec: &Libvirt) -> Result<State, ProviderError> {
    match &spec.template {
        Template::Volume(name) => {
            let volume = Volume { pool: spec.pool.clone(), name: name.clone() };
            return Ok(match hypervisor.volume(&volume)? {
                Some(_) => State::Right,
                None => State::Conflict(format!(
                    "pool `{}` has no volume `{name}`: upload it, or name another template",
                    spec.pool
                )),
            });
        }
        Template::Domain(name) => return check_domain(hypervisor, spec, name),
        Template::File(path) if !path.is_file() => {
            return Ok(State::Conflict(format!("there is no file `{}`", path.display())));
        }
        _ => {}
    }
    let Some(keeper) = hypervisor.own(&keeper_name(&hypervisor.lab), Role::Template)? else {
        return Ok(State::Wrong("it does not exist".to_owned()));
    };
    if !keeper.tag.ready {
        return Ok(State::Wrong("it is half made".to_owned()));
    }
    for volume in &keeper.tag.volumes {
        if hypervisor.volume(volume)?.is_none() {
            return Ok(State::Wrong(format!("its volume `{}` is gone", volume.name)));
        }
    }
    if keeper.tag.source == identity(&spec.template) {
        return Ok(State::Right);
    }
    let machines = machines(hypervisor)?;
    Ok(if machines.is_empty() {
        State::Wrong("it was made from another source".to_owned())
    } else {
        State::Conflict(format!(
            "it was made from another source, and the disks of {} stand on it: \
             `bp destroy` first, or put the old template back",
            machines.join(", ")
        ))
    })
}

fn check_domain(
    hypervisor: &Hypervisor,
    spec: &Libvirt,
    name: &str,
) -> Result<State, ProviderError> {
    let Some((domain, _)) = hypervisor.domain(name)? else {
        return Ok(State::Conflict(format!("there is no domain `{name}`")));
    };
    let running = absent(domain.is_active(), || format!("read domain `{name}`"))? == Some(true);
    Ok(if running && spec.clone == CloneKind::Linked {
        State::Conflict(format!(
            "domain `{name}` is running, and writes to the disk that the clones stand on: \
             shut it off, or set `clone: full`"
        ))
    } else {
        State::Right
    })
}

fn machines(hypervisor: &Hypervisor) -> Result<Vec<String>, ProviderError> {
    let tagged = hypervisor.tagged()?.into_iter();
    Ok(tagged.filter(|t| t.tag.role == Role::Machine).filter_map(|t| t.tag.host).collect())
}

/// Sees to the template's files on this machine: downloaded, built, or simply there.
pub async fn fetch(
    template: &Template,
    cache: &Path,
    tell: &Tell,
) -> Result<Option<Files>, ProviderError> {
    match template {
        Template::File(path) => Ok(Some(Files { disk: path.clone(), kernel: None })),
        Template::Url { url, sha256 } => {
            let disk = download::fetch(url, sha256, cache, tell).await?;
            Ok(Some(Files { disk, kernel: None }))
        }
        Template::Bootstrap(inputs) => bootstrap::build(inputs, cache, tell).await.map(Some),
        Template::Volume(_) | Template::Domain(_) => Ok(None),
    }
}

/// Puts the template's files into the pool, in place of what a cut-off try or another source left.
pub fn make(
    hypervisor: &Hypervisor,
    spec: &Libvirt,
    files: Option<Files>,
    tell: &Tell,
) -> Result<(), ProviderError> {
    if let State::Conflict(cause) = check(hypervisor, spec)? {
        let doing = format!("make {}", shared_name(&spec.template));
        return Err(ProviderError { doing, cause, hint: None });
    }
    let Some(files) = files else { return Ok(()) };
    let name = keeper_name(&hypervisor.lab);
    if let Some(old) = hypervisor.own(&name, Role::Template)? {
        hypervisor.remove(&old)?;
    }
    let uuid = seed::uuid();
    let stem = format!("{name}-{}", &uuid[..8]);
    let volume = |end: &str| Volume { pool: spec.pool.clone(), name: format!("{stem}{end}") };
    let mut parts = vec![(volume(".img"), files.disk.as_path())];
    if let Some((kernel, initrd)) = &files.kernel {
        parts.push((volume("-kernel"), kernel));
        parts.push((volume("-initrd"), initrd));
    }
    let mut tag = Tag {
        source: identity(&spec.template),
        volumes: parts.iter().map(|(v, _)| v.clone()).collect(),
        ..Tag::new(&hypervisor.lab, Role::Template)
    };
    // Never started, so the type that every hypervisor has will do.
    let cpu = if hypervisor.is_test() { Cpu::Test } else { Cpu::Emulated };
    let keeper = hypervisor.define(&name, &domain::keeper(&name, &uuid, &tag, cpu))?;
    for (volume, path) in &parts {
        upload(hypervisor, volume, path, tell)?;
    }
    tag.ready = true;
    hypervisor.retag(&keeper, &name, &tag)
}

fn upload(
    hypervisor: &Hypervisor,
    volume: &Volume,
    path: &Path,
    tell: &Tell,
) -> Result<(), ProviderError> {
    let failed = |cause: String| ProviderError {
        doing: format!("read image `{}`", path.display()),
        cause,
        hint: None,
    };
    let mut file = File::open(path).map_err(|e| failed(e.to_string()))?;
    let size = file.metadata().map_err(|e| failed(e.to_string()))?.len();
    let mut head = Vec::new();
    (&mut file).take(32).read_to_end(&mut head).map_err(|e| failed(e.to_string()))?;
    file.rewind().map_err(|e| failed(e.to_string()))?;
    let (format, capacity) = format(&head, size).map_err(failed)?;
    tell(format!("template: uploading {} ({} MiB)", volume.name, size.div_ceil(1 << 20)));
    let xml = volume_xml(&volume.name, format, capacity, false);
    hypervisor.upload(&volume.pool, &xml, size, &mut file)
}

/// The format of an image and the size of the disk in it, from its first bytes.
fn format(head: &[u8], size: u64) -> Result<(&'static str, u64), String> {
    let Some(rest) = head.strip_prefix(b"QFI\xfb") else { return Ok(("raw", size)) };
    let number = |at: usize| -> Option<u64> {
        Some(u64::from_be_bytes(rest.get(at..at + 8)?.try_into().ok()?))
    };
    // The header's fields: docs/interop/qcow2.rst of QEMU.
    match (number(4), number(20)) {
        (Some(0), Some(capacity)) => Ok(("qcow2", capacity)),
        (Some(_), Some(_)) => Err("it stands on another image (a qcow2 backing file)".to_owned()),
        _ => Err("its qcow2 header is cut off".to_owned()),
    }
}

/// What new machines start from.
pub fn base(hypervisor: &Hypervisor, spec: &Libvirt, lab: &str) -> Result<Base, ProviderError> {
    let plain = |disk: Volume, kernel| {
        let (_, _, capacity) = image(hypervisor, &disk)?;
        Ok(Base { disk, capacity, kernel, source: None })
    };
    match &spec.template {
        Template::Volume(name) => {
            plain(Volume { pool: spec.pool.clone(), name: name.clone() }, None)
        }
        Template::Domain(name) => clone::base(hypervisor, name),
        Template::File(_) | Template::Url { .. } | Template::Bootstrap(_) => {
            let name = keeper_name(lab);
            let keeper = hypervisor.own(&name, Role::Template)?.filter(|k| k.tag.ready);
            let volumes = keeper.map(|k| k.tag.volumes).unwrap_or_default();
            match volumes.as_slice() {
                [disk] => plain(disk.clone(), None),
                [disk, kernel, initrd] => {
                    let path = |v| {
                        let (volume, _, _) = image(hypervisor, v)?;
                        volume.path().doing(|| format!("find volume `{}`", v.name))
                    };
                    let kernel = Kernel {
                        kernel: path(kernel)?,
                        initrd: path(initrd)?,
                        cmdline: CMDLINE.to_owned(),
                    };
                    plain(disk.clone(), Some(kernel))
                }
                _ => Err(ProviderError {
                    doing: format!("find template `{name}`"),
                    cause: "it is not there".to_owned(),
                    hint: Some("`bp up` makes it before the machines".to_owned()),
                }),
            }
        }
    }
}

/// A volume that must exist, with its format and capacity.
pub fn image(
    hypervisor: &Hypervisor,
    volume: &Volume,
) -> Result<(StorageVol, String, u64), ProviderError> {
    let doing = || format!("find volume `{}`", volume.name);
    let Some(found) = hypervisor.volume(volume)? else {
        return Err(ProviderError {
            doing: doing(),
            cause: format!("pool `{}` does not have it", volume.pool),
            hint: None,
        });
    };
    let xml = super::hypervisor::parse(&found.xml_desc(0).doing(doing)?, &doing())?;
    let format = xml.at("target/format").and_then(|f| f.get("type")).unwrap_or("raw").to_owned();
    let capacity = found.info().doing(doing)?.capacity;
    Ok((found, format, capacity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_apart_by_their_first_bytes() {
        let qcow2 = |backing: u64, size: u64| {
            let mut head = b"QFI\xfb\0\0\0\x03".to_vec();
            head.extend(backing.to_be_bytes());
            head.extend([0; 8]);
            head.extend(size.to_be_bytes());
            head
        };
        assert_eq!(format(&qcow2(0, 5 << 30), 7), Ok(("qcow2", 5 << 30)));
        assert!(format(&qcow2(104, 5 << 30), 7).is_err_and(|e| e.contains("backing file")));
        assert!(format(&qcow2(0, 1)[..20], 20).is_err_and(|e| e.contains("cut off")));
        assert_eq!(format(b"\xeb\x63\x90", 3), Ok(("raw", 3)));
        assert_eq!(format(b"", 0), Ok(("raw", 0)));
    }
}
