//! Volumes mounted on hosts, and the proof that all see one file.

use crate::cx::Cx;
use crate::gluster_host::{Mount, Mounted, folder, shared_file};
use crate::limits;
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::{Host, Lab, Volume};
use futures::future::join_all;
use providers::{Cmd, quote};
use std::time::Duration;

/// The option in fstab by which a line says whose it is; mount takes `x-` for a remark.
pub(crate) const LAB_OPTION: &str = "x-bp.lab";

/// A volume is mounted on a host, answers, and comes back with the machine.
pub(crate) fn mounted(lab: &Lab, host: &Host, volume: &Volume) -> Step {
    let wants = Wants::of(lab, host, volume);
    let (checked, applied) = (wants.clone(), wants);
    Step::host(
        &host.name,
        format!("mount {}", volume.name),
        "services find their files under the same folder on every node",
    )
    .within(limits::GLUSTER)
    .check(move |cx| {
        let wants = checked.clone();
        async move {
            match cx.gluster_host(&wants.host).await {
                Ok(view) => match view.mounts.get(&wants.folder) {
                    Some(mount) => wants.compare(mount),
                    None => Check::Unknown("the host does not say what is mounted".to_owned()),
                },
                Err(check) => check,
            }
        }
    })
    .apply(move |cx| {
        let wants = applied.clone();
        async move {
            let cmd = Cmd::new(wants.script()).within(Duration::from_secs(200));
            let said = cx.ok(&wants.host, cmd).await?.out();
            if said.contains("stale") {
                cx.note(format!(
                    "{}: what was mounted on {} had died; containers that used it need a restart",
                    wants.host, wants.folder
                ));
            }
            Ok(())
        }
    })
}

/// How a volume is to be mounted on one host.
#[derive(Clone)]
struct Wants {
    lab: String,
    host: String,
    volume: String,
    folder: String,
    source: String,
    line: String,
}

impl Wants {
    /// A host with a brick asks its own daemon first, the others share the hosts with bricks among
    /// them; which one it is matters only while mounting.
    ///
    /// - `_netdev`, `nofail`: after the network, and a machine whose volume is away still boots.
    /// - `x-systemd.after`, `x-systemd.before`: after the host's own daemon, before Docker, whose
    ///   tasks would otherwise look for their files too early.
    fn of(lab: &Lab, host: &Host, volume: &Volume) -> Self {
        let has = |h: &&Host| volume.bricks.iter().any(|b| b.host == h.name);
        let mut servers: Vec<String> = lab.hosts.iter().filter(has).map(|h| lab.fqdn(h)).collect();
        let own = servers.iter().position(|s| *s == lab.fqdn(host));
        let nth = lab.hosts.iter().position(|h| h.name == host.name).unwrap_or(0);
        let first = own.unwrap_or(nth % servers.len().max(1));
        servers.rotate_left(first);
        let source = format!("{}:/{}", servers.first().cloned().unwrap_or_default(), volume.name);
        let mut options = vec!["defaults".to_owned(), "_netdev".to_owned(), "nofail".to_owned()];
        if servers.len() > 1 {
            options.push(format!("backup-volfile-servers={}", servers[1..].join(":")));
        }
        if lab.brick_hosts().any(|h| h.name == host.name) {
            options.push("x-systemd.after=glusterd.service".to_owned());
        }
        options.push("x-systemd.before=docker.service".to_owned());
        options.push(format!("{LAB_OPTION}={}", lab.name));
        let folder = folder(volume).to_owned();
        let line = format!("{source} {folder} glusterfs {} 0 0", options.join(","));
        let (lab, host, volume) = (lab.name.clone(), host.name.clone(), volume.name.clone());
        Self { lab, host, volume, folder, source, line }
    }

    fn compare(&self, mount: &Mount) -> Check {
        let folder = &self.folder;
        let foreign = mount.fstab.iter().find(|line| !line_of_lab(line, &self.lab));
        if let Some(line) = foreign {
            return Check::Failed(
                Failure::new(format!("/etc/fstab mounts something else on {folder}: {line}"))
                    .hint("take the line away, or name another folder in `mount`"),
            );
        }
        let is_this = |source: &str| source.ends_with(&format!(":/{}", self.volume));
        match &mount.is {
            Mounted::Absent | Mounted::Empty => {
                Check::Not(format!("nothing is mounted on {folder}"))
            }
            Mounted::Files => Check::Failed(
                Failure::new(format!("{folder} holds files, which the volume would hide")).hint(
                    "move them away; `bp up` mounts the volume, then they can be copied into it",
                ),
            ),
            Mounted::Answers(source) | Mounted::Silent(source) if !is_this(source) => {
                Check::Failed(other_mount(folder, source))
            }
            Mounted::Other(what) => Check::Failed(other_mount(folder, what)),
            Mounted::Silent(_) => {
                Check::Not(format!("what is mounted on {folder} does not answer"))
            }
            Mounted::Answers(_) => Check::when(
                mount.fstab == [self.line.clone()],
                "its line in /etc/fstab is not as it should be",
            ),
        }
    }

    /// Makes it so: the line in fstab, the folder, the mount.
    ///
    /// The folder beneath is made immutable, so that nobody writes there while the volume is away:
    /// such files would be hidden when it comes back. Not every file system can do that.
    fn script(&self) -> String {
        let Self { lab, folder, line, source, .. } = self;
        let (m, line, source) = (quote(folder), quote(line), quote(source));
        format!(
            "set -eu\n\
             m={m}; line={line}; source={source}\n\
             mounted() {{ awk -v m=\"$m\" '$2 == m {{ found = 1 }} END {{ exit !found }}' /proc/self/mounts; }}\n\
             answers() {{ timeout -k 1 20 stat -t \"$m\" >/dev/null 2>&1; }}\n\
             f=$(mktemp /etc/fstab.XXXXXX); trap 'rm -f \"$f\"' EXIT\n\
             awk -v m=\"$m\" '/^[^#]/ && $2 == m && $4 ~ /(^|,){LAB_OPTION}={lab}(,|$)/ {{ next }} {{ print }}' /etc/fstab >\"$f\"\n\
             echo \"$line\" >>\"$f\"\n\
             if ! cmp -s \"$f\" /etc/fstab; then chmod 644 \"$f\"; mv -f \"$f\" /etc/fstab; fi\n\
             ! command -v systemctl >/dev/null || systemctl daemon-reload\n\
             # A client that lost its bricks a moment ago finds them again by itself.\n\
             if mounted; then for i in 1 2 3; do ! answers || exit 0; sleep 3; done; echo stale; umount -l \"$m\"; fi\n\
             mkdir -p \"$m\"\n\
             chattr +i \"$m\" 2>/dev/null || :\n\
             said=$(mount \"$m\" 2>&1) || {{ echo \"$said\" >&2; tail -n 5 \"/var/log/glusterfs/$(echo \"${{m#/}}\" | tr / -).log\" 2>/dev/null >&2 || :; exit 1; }}\n\
             answers || {{ echo \"$source is mounted on $m and does not answer\" >&2; exit 1; }}"
        )
    }
}

/// A mount that left the blueprint goes.
pub(crate) fn unlisted(lab: &Lab, host: &Host) -> Step {
    let mounts = lab.mount_hosts().any(|h| h.name == host.name);
    let volumes = lab.volumes.iter().filter(|_| mounts);
    let wanted: Vec<String> = volumes.map(|v| folder(v).to_owned()).collect();
    let (name, host) = (host.name.clone(), host.name.clone());
    let left = move |cx: Cx| {
        let (host, wanted) = (host.clone(), wanted.clone());
        async move {
            let mut folders = cx.gluster_host(&host).await?.tagged;
            folders.retain(|f| !wanted.contains(f));
            Ok::<_, Check>((host, folders))
        }
    };
    let asked = left.clone();
    Step::host(
        &name,
        "unlisted mounts",
        "a volume that left the blueprint is not found under its old folder",
    )
    .check(move |cx| {
        let left = asked(cx);
        async move {
            match left.await {
                Ok((_, folders)) => {
                    let all: Vec<String> = folders.into_iter().collect();
                    Check::when(all.is_empty(), format!("{} left the blueprint", all.join(", ")))
                }
                Err(check) => check,
            }
        }
    })
    .apply(move |cx| {
        let left = left(cx.clone());
        async move {
            let (host, folders) = left.await.map_err(|c| Failure::new(c.reason()))?;
            for folder in folders {
                unmount(&cx, &host, &folder).await?;
            }
            Ok(())
        }
    })
}

/// Unmounted, lazily where something holds it; its line in fstab goes, the folder where it is empty.
///
/// # Errors
/// When it does not go.
pub(crate) async fn unmount(cx: &Cx, host: &str, folder: &str) -> Result<(), Trouble> {
    let lab = &cx.lab().name;
    let script = format!(
        "set -eu; m={}\n\
         mounted() {{ awk -v m=\"$m\" '$2 == m && $3 == \"fuse.glusterfs\" {{ found = 1 }} END {{ exit !found }}' /proc/self/mounts; }}\n\
         f=$(mktemp /etc/fstab.XXXXXX); trap 'rm -f \"$f\"' EXIT\n\
         ! mounted || timeout -k 1 20 umount \"$m\" || umount -l \"$m\"\n\
         ! mounted || {{ echo \"$m is still mounted\" >&2; exit 1; }}\n\
         chattr -i \"$m\" 2>/dev/null || :\n\
         rmdir \"$m\" 2>/dev/null || :\n\
         awk -v m=\"$m\" '/^[^#]/ && $2 == m && $4 ~ /(^|,){LAB_OPTION}={lab}(,|$)/ {{ next }} {{ print }}' /etc/fstab >\"$f\"\n\
         chmod 644 \"$f\"; mv -f \"$f\" /etc/fstab\n\
         ! command -v systemctl >/dev/null || systemctl daemon-reload",
        quote(folder)
    );
    cx.ok(host, Cmd::new(script).within(Duration::from_secs(90))).await.map(drop)
}

/// Whether a line of fstab is this lab's.
pub(crate) fn line_of_lab(line: &str, lab: &str) -> bool {
    lab_of(line) == Some(lab)
}

fn lab_of(line: &str) -> Option<&str> {
    let mut options = line.split_whitespace().nth(3).unwrap_or_default().split(',');
    options.find_map(|o| o.strip_prefix(LAB_OPTION)?.strip_prefix('='))
}

fn other_mount(folder: &str, what: &str) -> Failure {
    Failure::new(format!("something else is mounted on {folder}: {what}"))
        .hint("unmount it, or name another folder in `mount`")
}

/// What one host writes, all read.
pub(crate) fn shared(volume: &Volume) -> Step {
    let (checked, applied) = (folder(volume).to_owned(), folder(volume).to_owned());
    Step::lab(
        format!("shared file {}", volume.name),
        "a file that one host writes is read on all the others",
    )
    .within(limits::GLUSTER)
    .check(move |cx| {
        let folder = checked.clone();
        async move { is_shared(&cx, &folder).await }
    })
    .apply(move |cx| {
        let folder = applied.clone();
        async move {
            let Some(host) = cx.lab().mount_hosts().next().map(|h| h.name.clone()) else {
                return Ok(());
            };
            let file = format!("{folder}/{}", shared_file(&cx.lab().name));
            // A new text each time, so that what others read was written now.
            let script = format!(
                "f={}; timeout -k 1 60 sh -c 'mkdir -p \"${{1%/*}}\" && echo \"$2\" >\"$1\"' sh \"$f\" \"$(hostname) $(date -u +%Y-%m-%dT%H:%M:%S.%NZ)\"",
                quote(&file)
            );
            cx.ok(&host, Cmd::new(script)).await.map(drop)
        }
    })
}

async fn is_shared(cx: &Cx, folder: &str) -> Check {
    let hosts: Vec<String> = cx.lab().mount_hosts().map(|h| h.name.clone()).collect();
    let views = join_all(hosts.iter().map(|h| cx.gluster_host(h))).await;
    let mut first: Option<(&String, String)> = None;
    for (host, view) in hosts.iter().zip(views) {
        let mount = match view {
            Ok(view) => view.mounts.get(folder).cloned().unwrap_or_default(),
            Err(check) => return Check::Unknown(check.reason().to_owned()),
        };
        if !matches!(mount.is, Mounted::Answers(_)) {
            return Check::Unknown(format!("{host}: the volume is not mounted"));
        }
        match &first {
            _ if mount.shared.is_empty() => {
                return Check::Not(format!("{host} reads no file of the lab on the volume"));
            }
            Some((other, text)) if *text != mount.shared => {
                return Check::Not(format!(
                    "{other} reads `{text}`, {host} reads `{}`",
                    mount.shared
                ));
            }
            Some(_) => {}
            None => first = Some((host, mount.shared)),
        }
    }
    Check::True
}
