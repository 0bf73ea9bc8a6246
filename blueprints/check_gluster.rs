//! Rules about GlusterFS volumes and their bricks.

use crate::check::Plan;
use crate::check_hosts::written;
use crate::check_stacks::unknown;
use crate::context::{Context, FOLDER, folder, is_folder};
use crate::diagnostic::Problem;
use crate::field::Spanned;
use crate::file_ground::Volume as WrittenVolume;
use crate::gluster::is_volume;
use crate::ground::Volume;
use crate::wording::short;
use std::collections::{HashMap, HashSet};

/// A volume, and what the file says of it.
struct Written<'p> {
    key: &'p Spanned<String>,
    file: &'p Spanned<WrittenVolume>,
    volume: &'p Volume,
}

/// Every volume, in the order of the file.
fn volumes<'p>(plan: &'p Plan<'_>) -> impl Iterator<Item = Written<'p>> {
    let pairs = plan.file.gluster.entries().zip(&plan.lab.volumes);
    pairs.map(|((key, file), volume)| Written { key, file, volume })
}

/// A volume's name is one.
pub(crate) fn names(plan: &Plan<'_>, context: &mut Context<'_>) {
    for Written { key, .. } in volumes(plan) {
        let name = short(&key.value);
        if !is_volume(&key.value) {
            let help = "letters, digits, `_` and `-` within, at most 63 characters";
            context.error_help(key.at, format!("`{name}` can't be the name of a volume"), help);
        } else if key.value == "all" {
            context.error(key.at, "`all` means every volume to the `gluster` command");
        }
    }
}

/// Folders that belong to the system, with all that is in them.
const SYSTEM: [&str; 21] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/lost+found",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",
    "/usr",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/glusterd",
    "/var/log",
    "/var/run",
    "/var/tmp",
];

/// Folders that the system has things in, but whose folders may be anybody's.
const SHARED: [&str; 4] = ["/home", "/opt", "/var", "/var/lib"];

/// Whether a folder is another or lies in it.
fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Bricks and mounts are folders of their own.
pub(crate) fn folders(plan: &Plan<'_>, context: &mut Context<'_>) {
    for Written { key, file, .. } in volumes(plan) {
        if file.value.mount.is_absent() {
            let what = format!("the volume `{}`", short(&key.value));
            context.missing(key.at, "mount", &what, "mount: /srv/docker");
        }
    }
    let mounts = volumes(plan).filter_map(|v| v.file.value.mount.given());
    let bricks = written(plan).filter_map(|host| host.file.brick.given());
    for written in mounts.chain(bricks) {
        if context.is_full() {
            return;
        }
        context.shape_of(written, is_folder, FOLDER);
        let Some(path) = folder(&written.value) else { continue };
        if SYSTEM.iter().any(|system| within(&path, system)) || SHARED.contains(&path.as_str()) {
            let message = format!("`{path}` belongs to the system");
            context.error_help(written.at, message, "a folder of its own, such as in `/srv`");
        }
    }
}

/// No volume is mounted where another is, nor in or around bricks.
pub(crate) fn nested(plan: &Plan<'_>, context: &mut Context<'_>) {
    let mut bricks: HashMap<&str, &str> = HashMap::new();
    for host in plan.hosts {
        if let Some(brick) = &host.host.brick {
            bricks.entry(brick).or_insert(&host.host.name);
        }
    }
    let mounts: Vec<(Written<'_>, &Spanned<String>)> = volumes(plan)
        .filter(|v| !v.volume.mount.is_empty())
        .filter_map(|v| v.file.value.mount.given().map(|mount| (v, mount)))
        .collect();
    for (index, (Written { volume, .. }, at)) in mounts.iter().enumerate() {
        let mount = volume.mount.as_str();
        for (Written { volume: other, key, .. }, _) in &mounts[..index] {
            let name = short(&key.value);
            let message = if other.mount == mount {
                format!("`{mount}` is the mount of `{name}` too")
            } else if within(mount, &other.mount) {
                format!("`{mount}` lies in the mount of `{name}`: `{}`", other.mount)
            } else if within(&other.mount, mount) {
                format!("`{mount}` has the mount of `{name}` in it: `{}`", other.mount)
            } else {
                continue;
            };
            context.error(at.at, message);
        }
        // One is enough, and the first in the order of their names is always the same.
        let near = bricks.iter().filter(|(b, _)| within(mount, b) || within(b, mount)).min();
        if let Some((brick, host)) = near {
            let message = if within(mount, brick) {
                format!("`{mount}` lies in the bricks of `{host}`: `{brick}`")
            } else {
                format!("`{mount}` would hide the bricks of `{host}`: `{brick}`")
            };
            let help = "a volume is written through its mount, never into its bricks";
            context.error_help(at.at, message, help);
        }
    }
}

/// A file has one to sixteen copies; an arbiter is the last of three.
pub(crate) fn copies(plan: &Plan<'_>, context: &mut Context<'_>) {
    for Written { file, .. } in volumes(plan) {
        let replica = file.value.replica.given();
        match replica.map(|replica| (replica.value, replica.at)) {
            Some((2, at)) => {
                let message = "two copies can't tell which of them is right when they differ";
                let help = "`replica: 3`, with `arbiter: true` where the third needs to be small";
                context.problems.push(Problem::warning(at, message).help(help));
            }
            Some((count, at)) if !(1..=16).contains(&count) => {
                context.error(at, format!("expected 1 to 16 copies, found `{count}`"));
            }
            _ => {}
        }
        if let Some(arbiter) = file.value.arbiter.given()
            && arbiter.value
            && file.value.replica.get() != Some(&3)
        {
            let help = "an arbiter is the third that tells which of two copies is right";
            context.error_help(arbiter.at, "`arbiter` needs `replica: 3`", help);
        }
    }
}

/// Options are words that the `gluster` command takes.
pub(crate) fn options(plan: &Plan<'_>, context: &mut Context<'_>) {
    let name = |text: &str| {
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"._-".contains(&c);
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.len() <= 128
            && text.bytes().all(inner)
    };
    let value = |text: &str| {
        !text.is_empty() && !text.starts_with('-') && text.bytes().all(|c| c.is_ascii_graphic())
    };
    for (key, text) in volumes(plan).flat_map(|v| v.file.value.options.entries()) {
        context.shape_of(key, name, "the name of an option such as `network.ping-timeout`");
        context.shape_of(text, value, "a value of one word");
    }
}

/// The hosts that a volume lists are there, once, and have bricks.
pub(crate) fn hosts(plan: &Plan<'_>, context: &mut Context<'_>) {
    let hosts: HashMap<&str, _> = plan.hosts.iter().map(|h| (h.host.name.as_str(), h)).collect();
    let with_bricks: Vec<&str> =
        plan.lab.hosts.iter().filter(|h| h.brick.is_some()).map(|h| h.name.as_str()).collect();
    for Written { file, .. } in volumes(plan) {
        let mut seen = HashSet::new();
        for name in file.value.hosts.items() {
            if context.is_full() {
                return;
            }
            let shown = short(&name.value);
            match hosts.get(name.value.as_str()) {
                None => unknown(name, "host", &with_bricks, context),
                Some(_) if !seen.insert(&name.value) => {
                    context.error(name.at, format!("`{shown}` is listed twice"));
                }
                Some(host) if host.file.brick.is_absent() => {
                    let help = format!("`{shown}: {{ brick: /srv/gluster }}`");
                    context.error_help(name.at, format!("`{shown}` has no `brick`"), help);
                }
                Some(_) => {}
            }
        }
    }
}

/// A volume has bricks, and as many as its copies need.
pub(crate) fn bricks(plan: &Plan<'_>, context: &mut Context<'_>) {
    if plan.hosts.iter().any(|h| !h.file.brick.is_absent() && h.host.brick.is_none()) {
        return;
    }
    for Written { key, file, volume } in volumes(plan) {
        if !is_volume(&key.value) {
            continue;
        }
        let listed = file.value.hosts.given().filter(|hosts| !hosts.value.0.is_empty());
        let named = listed.map_or(volume.bricks.len(), |hosts| hosts.value.0.len());
        if named != volume.bricks.len() {
            // A host of the list is reported already.
            continue;
        }
        if volume.bricks.is_empty() {
            let message = format!("no host has a brick for the volume `{}`", short(&key.value));
            context.error_help(key.at, message, "`node1: { brick: /srv/gluster }`");
            continue;
        }
        let (set, count) = (volume.kind.set() as usize, volume.bricks.len());
        if set > 16 || count.is_multiple_of(set) {
            continue;
        }
        let replica = file.value.replica.given().map(|replica| replica.at);
        let at = listed.map(|hosts| hosts.at).or(replica).unwrap_or(key.at);
        let bricks = if count == 1 { "1 brick" } else { &format!("{count} bricks") };
        let message = if count < set {
            format!("{bricks} for {set} copies of each file")
        } else {
            format!("{bricks} are no multiple of {set} copies")
        };
        let up = count.next_multiple_of(set);
        let help = match count - count % set {
            0 => format!("it takes {up} hosts with a `brick`"),
            down => format!("it takes {down} or {up} hosts: `hosts` lists those that are meant"),
        };
        context.error_help(at, message, help);
    }
}

/// Every brick is part of a volume.
pub(crate) fn bricks_without_volume(plan: &Plan<'_>, context: &mut Context<'_>) {
    let bricks = plan.lab.volumes.iter().flat_map(|volume| &volume.bricks);
    let used: HashSet<&str> = bricks.map(|brick| brick.host.as_str()).collect();
    let help = "`gluster: { docker: { replica: 3, mount: /srv/docker } }`";
    for host in written(plan).filter(|host| !used.contains(host.host.name.as_str())) {
        if context.is_full() {
            return;
        }
        if let (Some(brick), Some(_)) = (host.file.brick.given(), &host.host.brick) {
            let message = format!("no volume takes the brick of `{}`", host.host.name);
            context.problems.push(Problem::warning(brick.at, message).help(help));
        }
    }
}
