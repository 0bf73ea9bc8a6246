//! Blueprints in, diagnostics out.

use super::*;
use std::collections::BTreeMap;
use std::io;

/// A world of a few files, one environment variable and no home but `/home/me`.
#[derive(Default)]
struct World(BTreeMap<PathBuf, Vec<u8>>);

impl World {
    fn with(mut self, path: &str, content: &str) -> Self {
        self.0.insert(path.into(), content.into());
        self
    }
}

impl Outside for World {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.to_string_lossy();
        let (start, end) = pattern.split_once('*').unwrap_or((&pattern, ""));
        let matches = |path: &&PathBuf| {
            let path = path.to_string_lossy();
            if pattern.contains('*') {
                path.starts_with(start) && path.ends_with(end)
            } else {
                path == pattern
            }
        };
        Ok(self.0.keys().filter(matches).cloned().collect())
    }

    fn env_is_set(&self, name: &str) -> bool {
        name == "IS_SET"
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/me".into())
    }
}

fn shown(text: &str, world: &World) -> String {
    match read(text.as_bytes(), "lab.yml", Path::new("/lab"), world) {
        Ok((_, warnings)) => render(&warnings, text, "lab.yml", false),
        Err(problems) => render(&problems, text, "lab.yml", false),
    }
}

/// The lab of a blueprint that must be right.
fn lab(text: &str, world: &World) -> (Lab, Vec<Diagnostic>) {
    read(text.as_bytes(), "lab.yml", Path::new("/lab"), world)
        .unwrap_or_else(|problems| panic!("{}", render(&problems, text, "lab.yml", false)))
}

#[test]
fn the_starter_passes() {
    let (lab, warnings) = lab(STARTER, &World::default());
    assert_eq!(warnings, []);
    assert_eq!(
        lab.managers().map(|h| h.name.as_str()).collect::<Vec<_>>(),
        ["node1", "node2", "node3"]
    );
}

#[test]
fn the_shipped_lab_passes() {
    let world = World::default().with("/lab/images/etcd.tar", "");
    let (lab, warnings) = lab(include_str!("lab.yml"), &world);
    assert_eq!(warnings, []);
    assert_eq!(lab.images.archives, [PathBuf::from("/lab/images/etcd.tar")]);
    let members = ["node1", "node2", "node3"].map(str::to_owned).to_vec();
    assert_eq!(lab.stacks[0].kind, StackKind::Etcd { members });
    assert_eq!(lab.hosts[2].labels["placepoint"], "rp");
    assert_eq!(lab.hosts[0].machine, Machine { cpus: 1, memory: 2 << 30, disk: 10 << 30 });
}
