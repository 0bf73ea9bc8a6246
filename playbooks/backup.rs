//! Backups on the operator's machine: PostgreSQL's databases, etcd's keys, GitLab's data, and a
//! manifest that is written last. A folder without it is no backup.

mod carry;
mod etcd;
mod fits;
mod gitlab;
mod pgsql;
mod stop;

pub(crate) use carry::folder;
pub use fits::fits;
pub use stop::stop;

use crate::cx::Cx;
use crate::event::{About, Event, Sums};
use crate::journal::{private_dir, private_file};
use crate::step::Failure;
use blueprints::{Lab, StackKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use tokio::time::Instant;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this form.
    pub version: u32,
    /// The lab that it is of.
    pub lab: String,
    /// When it was begun, in RFC 3339.
    pub time: String,
    /// Its files.
    pub items: Vec<Item>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// What it is of.
    pub kind: Kind,
    /// The database's name; empty for the others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The file's name in the folder.
    pub file: String,
    /// The version of the software that it was taken from; of GitLab, the image.
    pub from: String,
    /// Its length.
    pub bytes: u64,
    /// Its digest, in hex.
    pub sha256: String,
}

/// What a file of a backup is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A database, as `pg_dump -Fc` writes it.
    Pgsql,
    /// etcd's keys, those of Stolon and of bp left out.
    Etcd,
    /// GitLab's data without its database, as `gitlab-backup` writes it.
    Gitlab,
    /// The keys that GitLab encrypts its database's columns with.
    GitlabSecrets,
}

/// A whole backup on this machine.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its folder.
    pub dir: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

const VERSION: u32 = 1;
const MANIFEST: &str = "manifest.json";

/// A file to be taken or brought back.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    kind: Kind,
    name: String,
    file: String,
    from: String,
    /// The stack's name.
    stack: String,
}

fn is_of_gitlab(kind: Kind) -> bool {
    matches!(kind, Kind::Gitlab | Kind::GitlabSecrets)
}

impl Part {
    /// What it is called in events.
    fn title(&self) -> String {
        match self.kind {
            Kind::Pgsql => format!("database {}", self.name),
            Kind::Etcd => "etcd's keys".to_owned(),
            Kind::Gitlab => "GitLab's data".to_owned(),
            Kind::GitlabSecrets => "GitLab's keys".to_owned(),
        }
    }
}

/// What there is to back up of a lab, in the order in which it is brought back.
fn parts(lab: &Lab) -> Vec<Part> {
    let mut parts = Vec::new();
    for stack in &lab.stacks {
        let mut part = |kind, name: &str, file: String| {
            // Of GitLab every patch counts, and its edition.
            let from = if is_of_gitlab(kind) { &stack.image } else { &stack.version };
            let (from, stack) = (from.clone(), stack.name.clone());
            parts.push(Part { kind, name: name.to_owned(), file, from, stack });
        };
        match &stack.kind {
            StackKind::Etcd(_) => part(Kind::Etcd, "", "etcd.json".to_owned()),
            StackKind::Stolon(stolon) => {
                for name in stolon.databases.keys() {
                    part(Kind::Pgsql, name, format!("pgsql-{name}.dump"));
                }
            }
            StackKind::Gitlab(_) => {
                part(Kind::GitlabSecrets, "", "gitlab-secrets.json".to_owned());
                part(Kind::Gitlab, "", "gitlab.tar".to_owned());
            }
            _ => {}
        }
    }
    parts
}

/// Takes a backup into a new folder in this one, named after the lab and the time.
///
/// # Errors
/// What could not be taken. What is left then has another name, and no manifest.
pub async fn take(cx: &Cx, to: &Path) -> Result<Backup, Failure> {
    let parts = parts(cx.lab());
    if parts.is_empty() {
        return Err(Failure::new("no stack of the blueprint holds data that bp can back up"));
    }
    let now = jiff::Timestamp::now();
    let name = format!("{}-{}", cx.lab().name, now.strftime("%Y%m%dT%H%M%SZ"));
    let (dir, partial) = (to.join(&name), to.join(format!("{name}.partial")));
    let failed = |what: &str, path: &Path, e: std::io::Error| {
        Failure::new(format!("{what} `{}`: {e}", path.display()))
    };
    private_dir(&partial).map_err(|e| failed("make the folder", &partial, e))?;
    stop(cx).await;
    let mut items = Vec::new();
    for part in parts {
        let path = partial.join(&part.file);
        told(cx, "backup", &part, fetch(cx, &part, &path)).await?;
        let (bytes, sha256) = digest(&path)?;
        let Part { kind, name, file, from, .. } = part;
        items.push(Item { kind, name, file, from, bytes, sha256 });
    }
    let manifest =
        Manifest { version: VERSION, lab: cx.lab().name.clone(), time: now.to_string(), items };
    let text = serde_json::to_string_pretty(&manifest)
        .map_err(|e| Failure::new(format!("write the manifest: {e}")))?;
    let path = partial.join(MANIFEST);
    private_file(&path, &(text + "\n")).map_err(|e| failed("write", &path, e))?;
    // Only what is on the disk is a backup.
    for entry in [path.as_path(), partial.as_path()] {
        File::open(entry).and_then(|f| f.sync_all()).map_err(|e| failed("write", entry, e))?;
    }
    std::fs::rename(&partial, &dir).map_err(|e| failed("name the folder", &dir, e))?;
    cx.note(format!("the backup is `{}`", dir.display()));
    Ok(Backup { dir, manifest })
}

async fn fetch(cx: &Cx, part: &Part, to: &Path) -> Result<(), Failure> {
    match part.kind {
        Kind::Pgsql => pgsql::fetch(cx, part, to).await,
        Kind::Etcd => etcd::fetch(cx, part, to).await,
        Kind::Gitlab => gitlab::fetch(cx, part, to).await,
        Kind::GitlabSecrets => gitlab::fetch_secrets(cx, part, to).await,
    }
}

/// Reads a backup of this lab, and every byte of it.
///
/// # Errors
/// When it is half-made, of another lab, or not as it was written.
pub fn read(dir: &Path, lab: &str) -> Result<Backup, Failure> {
    let path = dir.join(MANIFEST);
    let text = std::fs::read_to_string(&path).map_err(|e| {
        Failure::new(format!("`{}` is no whole backup: read `{MANIFEST}`: {e}", dir.display()))
            .hint("the manifest is written last: name a folder that `bp backup` has finished")
    })?;
    if dir.extension().is_some_and(|e| e == "partial") {
        return Err(Failure::new(format!("`{}` is a half-made backup", dir.display())));
    }
    let manifest: Manifest = serde_json::from_str(&text)
        .map_err(|e| Failure::new(format!("`{}`: {e}", path.display())))?;
    if manifest.version != VERSION {
        let what = format!("`{}` has the version {}", path.display(), manifest.version);
        return Err(Failure::new(what).hint(format!("this bp knows version {VERSION}")));
    }
    if manifest.lab != lab {
        let what = format!("the backup is of the lab `{}`, not of `{lab}`", manifest.lab);
        return Err(Failure::new(what));
    }
    for item in &manifest.items {
        let path = dir.join(&item.file);
        if Path::new(&item.file).file_name().is_none_or(|name| name != item.file.as_str()) {
            return Err(Failure::new(format!("`{}` is no file of the backup", item.file)));
        }
        if digest(&path)? != (item.bytes, item.sha256.clone()) {
            let what = format!("`{}` is not what the manifest says", path.display());
            return Err(Failure::new(what).hint("it was changed, or the copy is not whole"));
        }
    }
    Ok(Backup { dir: dir.to_owned(), manifest })
}

impl Backup {
    /// What is brought back of it, a line each.
    pub fn words(&self) -> Vec<String> {
        let word = |item: &Item| Part::of(item, String::new()).title();
        self.manifest.items.iter().map(word).collect()
    }

    /// What of it the blueprint does not have, and so nothing can take back.
    pub fn unknown_to(&self, lab: &Lab) -> Vec<String> {
        let known = parts(lab);
        let unknown = self.manifest.items.iter().filter(|item| part_of(&known, item).is_none());
        unknown.map(|item| Part::of(item, String::new()).title()).collect()
    }
}

impl Part {
    fn of(item: &Item, stack: String) -> Self {
        let Item { kind, name, file, from, .. } = item.clone();
        Self { kind, name, file, from, stack }
    }
}

/// The part of a lab that an item of a backup is of.
fn part_of<'p>(parts: &'p [Part], item: &Item) -> Option<&'p Part> {
    parts.iter().find(|p| p.kind == item.kind && p.name == item.name)
}

/// Brings back what a backup holds, one after another: what fails does not stop the rest.
pub async fn restore(cx: &Cx, backup: &Backup) -> Sums {
    let wanted = parts(cx.lab());
    let (mut applied, mut failed) = (0, 0);
    let mut without_database = false;
    stop(cx).await;
    for item in &backup.manifest.items {
        let known = part_of(&wanted, item);
        let part = Part::of(item, known.map(|p| p.stack.clone()).unwrap_or_default());
        let path = backup.dir.join(&item.file);
        let bringing = async {
            if known.is_none() {
                let what = format!("the blueprint has no {}", part.title());
                return Err(Failure::new(what).hint("declare it, `bp up`, and restore again"));
            }
            if is_of_gitlab(part.kind) && without_database {
                let what = "its database was not brought back, and they belong together";
                return Err(Failure::new(what).hint("mend that, and restore again"));
            }
            match part.kind {
                Kind::Pgsql => pgsql::bring(cx, &part, &path).await,
                Kind::Etcd => etcd::bring(cx, &part, &path).await,
                Kind::Gitlab => gitlab::bring(cx, &part, &path).await,
                Kind::GitlabSecrets => gitlab::bring_secrets(cx, &part, &path).await,
            }
        };
        match told(cx, "restore", &part, bringing).await {
            Ok(()) => applied += 1,
            Err(failure) => {
                failed += 1;
                without_database |= part.kind == Kind::Pgsql && part.name == gitlab::DATABASE;
                let Failure { message: error, detail, hint } = failure;
                cx.events().emit(Event::StepFailed {
                    about: about("restore", &part),
                    error,
                    detail,
                    hint,
                });
            }
        }
    }
    Sums { applied: Some(applied), failed: Some(failed), ..Sums::default() }
}

fn about(phase: &str, part: &Part) -> About {
    About { phase: phase.to_owned(), step: part.title(), host: String::new() }
}

/// Says that it begins, and that it is done.
async fn told(
    cx: &Cx,
    phase: &str,
    part: &Part,
    doing: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let began = Instant::now();
    cx.events().emit(Event::Applying { about: about(phase, part), reason: String::new() });
    doing.await?;
    let seconds = began.elapsed().as_secs_f64();
    cx.events().emit(Event::StepDone { about: about(phase, part), applied: true, seconds });
    Ok(())
}

/// A file's length and digest.
fn digest(path: &Path) -> Result<(u64, String), Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("read `{}`: {e}", path.display()));
    let mut file = File::open(path).map_err(failed)?;
    let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut piece).map_err(failed)?;
        if read == 0 {
            break;
        }
        hash.update(&piece[..read]);
        bytes += read as u64;
    }
    Ok((bytes, hash.finalize().iter().map(|b| format!("{b:02x}")).collect()))
}
