//! What `status` shows of volumes, and what `destroy` takes away of them on hosts that stay.

use crate::cx::Cx;
use crate::destroy::Leftover;
use crate::gluster_host::{Mounted, NOT_INSTALLED, folder};
use crate::gluster_mount::{LAB_OPTION as MOUNT_OPTION, line_of_lab};
use crate::gluster_peers::detach;
use crate::gluster_view::{self as view, Pool};
use crate::gluster_volume::{LAB_OPTION, bricks, words};
use crate::gluster_xml as xml;
use crate::step::Failure;
use crate::view::Table;
use blueprints::{HostProvider, Volume};
use futures::future::{BoxFuture, join_all};
use providers::{Cmd, quote};
use std::time::Duration;

/// A row a brick: whether it is at work, what waits for healing, where its volume is mounted.
pub(crate) async fn table(cx: &Cx) -> Table {
    let head = vec!["volume", "kind", "brick", "online", "port", "to heal", "mounted"];
    let mut rows = Vec::new();
    let pool = cx.gluster_pool().await;
    for volume in &cx.lab().volumes {
        let mounted = mounted(cx, volume).await;
        for brick in bricks(cx.lab(), volume) {
            let [online, port, heal] = match &pool {
                Ok(pool) => of_brick(pool, volume, &brick),
                Err(_) => ["?", "?", "?"].map(str::to_owned),
            };
            let (name, kind) = (volume.name.clone(), words(volume.kind));
            rows.push(vec![name, kind, brick, online, port, heal, mounted.clone()]);
        }
    }
    Table { title: "volumes".to_owned(), head, rows }
}

async fn mounted(cx: &Cx, volume: &Volume) -> String {
    let hosts: Vec<&str> = cx.lab().mount_hosts().map(|h| h.name.as_str()).collect();
    let views = join_all(hosts.iter().map(|h| cx.gluster_host(h))).await;
    let answers = views.iter().flatten().filter(|v| {
        let mount = v.mounts.get(folder(volume));
        mount.is_some_and(|m| matches!(m.is, Mounted::Answers(_)))
    });
    format!("{} of {}", answers.count(), hosts.len())
}

fn of_brick(pool: &Pool, volume: &Volume, brick: &str) -> [String; 3] {
    let process = match pool.running(&volume.name) {
        Ok(status) => status.bricks.iter().find(|p| p.brick == brick),
        Err(_) => None,
    };
    let (online, port) = match process {
        Some(process) if process.online => ("yes", process.port.as_str()),
        _ => ("no", "-"),
    };
    let heal = match pool.healing.get(&volume.name) {
        Some(Ok(all)) => match all.iter().find(|h| h.brick == brick).map(|h| &h.entries) {
            Some(Ok(count)) => count.to_string(),
            _ => "?".to_owned(),
        },
        Some(Err(_)) => "?".to_owned(),
        None => "-".to_owned(),
    };
    [online.to_owned(), port.to_owned(), heal]
}

/// Mounts, volumes and peers of the lab on hosts that bp does not remove. What lies on bricks stays.
pub(crate) async fn leftovers(cx: &Cx) -> Vec<Leftover> {
    let stays = |h: &&blueprints::Host| h.provider == HostProvider::Existing;
    let lab = cx.lab();
    let mut left = Vec::new();
    for host in lab.mount_hosts().filter(stays).map(|h| &h.name) {
        let view = match cx.gluster_host(host).await {
            Ok(view) => view,
            Err(check) => {
                left.push(unknown(format!("GlusterFS mounts of {host}"), check.reason()));
                continue;
            }
        };
        for (folder, mount) in view.mounts {
            if mount.fstab.iter().any(|line| line_of_lab(line, &lab.name)) {
                left.push(unmounted(&lab.name, host, &folder));
            }
        }
    }
    if !lab.brick_hosts().any(|h| stays(&h)) {
        return left;
    }
    let pool = match cx.gluster_pool().await {
        Ok(pool) => pool,
        // Nobody installed it: then it is gone, or never was.
        Err(why) if why.ends_with(NOT_INSTALLED) => return left,
        Err(why) => {
            left.push(unknown("GlusterFS volumes".to_owned(), &why));
            return left;
        }
    };
    let is_ours = |v: &&xml::Volume| v.option(LAB_OPTION) == Some(&lab.name);
    left.extend(pool.volumes.iter().filter(is_ours).map(|v| deleted(&v.name)));
    let Ok(view) = cx.gluster_host(&pool.host).await else { return left };
    let others = pool.volumes.iter().filter(|v| !is_ours(v)).flat_map(|v| &v.bricks);
    let used: Vec<&str> = others.filter_map(|b| Some(b.split_once(':')?.0)).collect();
    for peer in view.peers().unwrap_or_default() {
        let of_lab = lab.brick_hosts().any(|h| peer.is_called(&lab.fqdn(h)));
        if of_lab && !used.iter().any(|name| peer.is_called(name)) {
            left.push(detached(&pool.host, &peer.hostname));
        }
    }
    left
}

fn unknown(what: String, why: &str) -> Leftover {
    let error = Failure::new(format!("it can't be asked: {why}"));
    let remove = Box::new(move |_: Cx| -> BoxFuture<'static, _> {
        let error = error.clone();
        Box::pin(async move { Err(error.into()) })
    });
    Leftover { what, remove }
}

fn deleted(name: &str) -> Leftover {
    let what = format!("volume {name} (what lies on its bricks stays)");
    let name = name.to_owned();
    let remove = Box::new(move |cx: Cx| -> BoxFuture<'static, _> {
        let name = name.clone();
        Box::pin(async move {
            let pool = cx.gluster_pool().await.map_err(view::no_pool)?;
            let Some(volume) = pool.volume(&name) else { return Ok(()) };
            let stop = match volume.is_started() {
                true => format!("g volume stop {} force\n", quote(&name)),
                false => String::new(),
            };
            let script = format!("set -e\n{stop}g volume delete {}\n", quote(&name));
            view::change(&cx, &pool.host, &script).await
        })
    });
    Leftover { what, remove }
}

fn detached(host: &str, peer: &str) -> Leftover {
    let what = format!("peer {peer} of {host}");
    let (host, peer) = (host.to_owned(), peer.to_owned());
    let remove = Box::new(move |cx: Cx| -> BoxFuture<'static, _> {
        let (host, peer) = (host.clone(), peer.clone());
        Box::pin(async move {
            let view = cx.gluster_host(&host).await.map_err(|c| Failure::new(c.reason()))?;
            let peers = view.peers().map_err(Failure::new)?;
            match peers.iter().find(|p| p.hostname == peer) {
                Some(known) => detach(&cx, &host, known).await,
                None => Ok(()),
            }
        })
    });
    Leftover { what, remove }
}

/// Unmounted, lazily where something holds it; the folder goes where it is empty.
fn unmounted(lab: &str, host: &str, folder: &str) -> Leftover {
    let script = format!(
        "set -eu; m={}\n\
         mounted() {{ awk -v m=\"$m\" '$2 == m && $3 == \"fuse.glusterfs\" {{ found = 1 }} END {{ exit !found }}' /proc/self/mounts; }}\n\
         f=$(mktemp /etc/fstab.XXXXXX); trap 'rm -f \"$f\"' EXIT\n\
         ! mounted || timeout -k 1 20 umount \"$m\" || umount -l \"$m\"\n\
         ! mounted || {{ echo \"$m is still mounted\" >&2; exit 1; }}\n\
         chattr -i \"$m\" 2>/dev/null || :\n\
         rmdir \"$m\" 2>/dev/null || :\n\
         awk -v m=\"$m\" '/^[^#]/ && $2 == m && $4 ~ /(^|,){MOUNT_OPTION}={lab}(,|$)/ {{ next }} {{ print }}' /etc/fstab >\"$f\"\n\
         chmod 644 \"$f\"; mv -f \"$f\" /etc/fstab\n\
         ! command -v systemctl >/dev/null || systemctl daemon-reload",
        quote(folder)
    );
    let what = format!("mount {folder} of {host}");
    let host = host.to_owned();
    let remove = Box::new(move |cx: Cx| -> BoxFuture<'static, _> {
        let (host, cmd) = (host.clone(), Cmd::new(script.clone()).within(Duration::from_secs(90)));
        Box::pin(async move { cx.ok(&host, cmd).await.map(drop) })
    });
    Leftover { what, remove }
}
