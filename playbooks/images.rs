//! Phase images: archives loaded on the nodes that need them, where no registry is reached.

use crate::compose::Compose;
use crate::stacks::pause;
use crate::step::{Failure, Step};
use blueprints::{Host, Lab};
use flate2::read::GzDecoder;
use providers::{Cmd, Stdin, quote};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Sending and loading one archive: a gigabyte over a slow line.
pub(crate) const LOAD: Duration = Duration::from_secs(1800);

/// The steps of the phase.
///
/// # Errors
/// When an archive can't be read.
pub fn steps(lab: &Lab, stacks: &[Compose]) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for archive in archives(lab)? {
        for host in needed_on(lab, stacks, &archive) {
            steps.push(loaded(&host.name, &archive));
        }
    }
    Ok(steps)
}

/// The nodes that may get a task with one of the archive's images; all, where no stack uses one.
fn needed_on<'a>(lab: &'a Lab, stacks: &[Compose], archive: &Archive) -> Vec<&'a Host> {
    let services = stacks.iter().flat_map(|s| &s.services);
    let users: Vec<_> = services.filter(|s| archive.tags().any(|t| t == s.image)).collect();
    lab.nodes().filter(|h| users.is_empty() || users.iter().any(|s| s.may_run_on(h))).collect()
}

/// The images that the archives of a lab bring.
///
/// # Errors
/// When an archive can't be read.
pub(crate) fn brought(lab: &Lab) -> Result<BTreeSet<String>, Failure> {
    let archives = archives(lab)?;
    // bp's own comes from bp.
    let own = std::iter::once(pause::IMAGE);
    Ok(archives.iter().flat_map(Archive::tags).chain(own).map(str::to_owned).collect())
}

/// The archives of a lab.
///
/// # Errors
/// When one can't be read.
pub(crate) fn archives(lab: &Lab) -> Result<Vec<Archive>, Failure> {
    lab.images.archives.iter().map(|path| read(path)).collect()
}

/// Reads an archive.
///
/// # Errors
/// When it is none.
pub(crate) fn read(path: &Path) -> Result<Archive, Failure> {
    Archive::read(path).map_err(|why| {
        Failure::new(format!("read the image archive `{}`: {why}", path.display()))
            .hint("an archive is what `docker save` writes, gzipped or not")
    })
}

fn loaded(host: &str, archive: &Archive) -> Step {
    let name = archive.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // One call for all: the command costs a third of a second on an emulated machine.
    let tags: Vec<String> = archive.images.iter().map(|(tag, _)| quote(tag)).collect();
    let mut check = format!(
        "all=$(docker image inspect -f '{{{{.Id}}}}' {} 2>/dev/null) || {{ echo 'it is not loaded'; exit 1; }}\nset -- $all\n",
        tags.join(" ")
    );
    for (tag, ids) in &archive.images {
        check.push_str(&format!(
            "case $1 in {}) shift;; *) echo {} is another image; exit 1;; esac\n",
            ids.join("|"),
            quote(tag),
        ));
    }
    let (host_name, path) = (host.to_owned(), archive.path.clone());
    Step::host(host, name, "the node gets this image from an archive, not from a registry")
        .within(LOAD)
        .check_shell(check)
        .apply(move |cx| {
            let (host, path) = (host_name.clone(), path.clone());
            async move {
                let load = Cmd::new("docker load -q").stdin(Stdin::File(path)).within(LOAD);
                cx.ok(&host, load).await.map(drop)
            }
        })
}

/// An archive as `docker save` writes it.
pub struct Archive {
    /// Where it lies.
    pub path: PathBuf,
    /// Each tag with the ids that it may have once loaded: the config's digest with the classic
    /// image store, a manifest's with containerd's.
    images: Vec<(String, Vec<String>)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

impl Archive {
    /// The images that it brings.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.images.iter().map(|(tag, _)| tag.as_str())
    }

    fn read(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|e| e.to_string())?;
        let mut magic = [0; 2];
        file.read_exact(&mut magic).map_err(|e| e.to_string())?;
        file.seek(SeekFrom::Start(0)).map_err(|e| e.to_string())?;
        // What the reader says of a file that is no archive quotes from it, and it may be a secret.
        let no_archive = |_| "it is no tar archive".to_owned();
        let (manifest, index) = if magic == [0x1f, 0x8b] {
            files(tar::Archive::new(GzDecoder::new(file)).entries().map_err(no_archive)?)?
        } else {
            files(tar::Archive::new(file).entries_with_seek().map_err(no_archive)?)?
        };
        let manifest = manifest.ok_or("it holds no manifest.json")?;
        let entries: Vec<Entry> =
            serde_json::from_slice(&manifest).map_err(|e| format!("its manifest.json: {e}"))?;
        let index = index.and_then(|i| serde_json::from_slice::<Index>(&i).ok());
        let manifests: Vec<String> =
            index.into_iter().flat_map(|i| i.manifests).map(|d| d.digest).collect();
        let mut images = Vec::new();
        for entry in entries {
            let name = entry.config.rsplit('/').next().unwrap_or(&entry.config);
            let config = format!("sha256:{}", name.trim_end_matches(".json"));
            let ids: Vec<String> = std::iter::once(config).chain(manifests.clone()).collect();
            for tag in entry.repo_tags.unwrap_or_default() {
                images.push((tag, ids.clone()));
            }
        }
        if images.is_empty() {
            return Err("it names no image: save it by its tag".to_owned());
        }
        Ok(Self { path: path.to_owned(), images })
    }
}

type Files = (Option<Vec<u8>>, Option<Vec<u8>>);

/// `manifest.json` and `index.json` of an archive.
fn files<R: Read>(entries: tar::Entries<'_, R>) -> Result<Files, String> {
    /// Both are a few kilobytes; what is larger is none.
    const LARGEST: u64 = 16 << 20;
    let mut found: Files = (None, None);
    for entry in entries {
        let entry = entry.map_err(|_| "it is no tar archive".to_owned())?;
        let path = entry.path().map_err(|e| e.to_string())?.into_owned();
        let slot = match path.to_str().map(|p| p.trim_start_matches("./")) {
            Some("manifest.json") => &mut found.0,
            Some("index.json") => &mut found.1,
            _ => continue,
        };
        let mut bytes = Vec::new();
        entry.take(LARGEST).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        *slot = Some(bytes);
    }
    Ok(found)
}
