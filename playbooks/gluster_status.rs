//! What `status` shows of volumes, and what `destroy` takes away of them on hosts that stay.

use crate::cx::Cx;
use crate::destroy::Leftover;
use crate::gluster_host::{HostView, Mounted, folder};
use crate::gluster_mount::unmount;
use crate::gluster_peers::detach;
use crate::gluster_record as record;
use crate::gluster_view::{self as view, Pool};
use crate::gluster_volume::{LAB_OPTION, bricks, words};
use crate::gluster_xml as xml;
use crate::step::Failure;
use crate::view::Table;
use blueprints::{HostProvider, Volume};
use futures::future::{BoxFuture, join_all};
use providers::{Cmd, quote};
use std::collections::{BTreeMap, BTreeSet};

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

/// Mounts, volumes, peers and files of the lab on hosts that bp does not remove, found by its tag,
/// whatever the blueprint says of volumes now. What lies on bricks stays.
pub(crate) async fn leftovers(cx: &Cx) -> Vec<Leftover> {
    let lab = cx.lab();
    let stay = lab.hosts.iter().filter(|h| h.provider == HostProvider::Existing);
    let stay: Vec<&str> = stay.map(|h| h.name.as_str()).collect();
    let asked = join_all(stay.iter().map(|h| cx.gluster_host(h))).await;
    let (mut left, mut views) = (Vec::new(), Vec::new());
    for (host, view) in stay.into_iter().zip(asked) {
        match view {
            Ok(view) => views.push((host, view)),
            Err(check) => left.push(unknown(format!("GlusterFS on {host}"), check.reason())),
        }
    }
    for (host, view) in &views {
        left.extend(view.tagged.iter().map(|folder| unmounted(host, folder)));
    }
    let mut volumes: BTreeMap<&str, &str> = BTreeMap::new();
    for (host, view) in &views {
        for volume in &view.volumes {
            volumes.entry(volume).or_insert(host);
        }
    }
    left.extend(volumes.into_iter().map(|(volume, host)| deleted(host, volume)));
    let (peers, why) = peers(cx, &views).await;
    left.extend(why.map(|why| unknown("GlusterFS peers".to_owned(), &why)));
    left.extend(peers.iter().map(|(host, peer)| detached(host, peer)));
    for (host, view) in views {
        if !view.files.is_empty() {
            left.push(without_files(host, view.files, peers.clone()));
        }
    }
    left
}

/// Whom bp took into the pool, each with a host that can let it go; and why that is not known.
async fn peers(cx: &Cx, views: &[(&str, HostView)]) -> (Vec<(String, String)>, Option<String>) {
    let ours = record::of(views.iter().map(|(_, v)| v));
    let lab = cx.lab();
    if ours.is_empty() {
        return (Vec::new(), None);
    }
    // Without a volume in the blueprint nobody is asked for the pool's: who has a brick of somebody
    // else's is not let go by gluster itself.
    let volumes = match lab.volumes.is_empty() {
        true => Vec::new(),
        false => match cx.gluster_pool().await {
            Ok(pool) => pool.volumes,
            Err(why) => return (Vec::new(), Some(why)),
        },
    };
    let is_theirs = |v: &&xml::Volume| v.option(LAB_OPTION) != Some(&lab.name);
    let bricks = volumes.iter().filter(is_theirs).flat_map(|v| &v.bricks);
    let used: Vec<&str> = bricks.filter_map(|b| Some(b.split_once(':')?.0)).collect();
    // One that was in the pool before it was the lab's stays in it, and lets the others go.
    let is_ours = |host: &str| lab.host(host).is_some_and(|h| ours.contains(&lab.fqdn(h)));
    let mut hosts = views.iter().filter(|(_, v)| v.peers().is_ok_and(|p| !p.is_empty()));
    let first = hosts.clone().next();
    let Some((host, view)) = hosts.find(|(h, _)| !is_ours(h)).or(first) else {
        return (Vec::new(), None);
    };
    let going = view.peers().unwrap_or_default().iter().filter(|p| {
        ours.iter().any(|n| p.is_called(n)) && !used.iter().any(|name| p.is_called(name))
    });
    (going.map(|p| ((*host).to_owned(), p.hostname.clone())).collect(), None)
}

fn unknown(what: String, why: &str) -> Leftover {
    let error = Failure::new(format!("it can't be asked: {why}"));
    let remove = Box::new(move |_: Cx| -> BoxFuture<'static, _> {
        let error = error.clone();
        Box::pin(async move { Err(error.into()) })
    });
    Leftover { what, remove }
}

fn deleted(host: &str, name: &str) -> Leftover {
    let what = format!("volume {name} (what lies on its bricks stays)");
    let (host, name) = (host.to_owned(), name.to_owned());
    let remove = Box::new(move |cx: Cx| -> BoxFuture<'static, _> {
        let (host, name) = (host.clone(), name.clone());
        Box::pin(async move {
            if !cx.gluster_host(&host).await.is_ok_and(|v| v.volumes.contains(&name)) {
                return Ok(());
            }
            let name = quote(&name);
            let script = format!(
                "set -e\nif g volume info {name} | grep -q '^Status: Started'; then g volume stop {name} force; fi\n\
                 g volume delete {name}\n"
            );
            view::change(&cx, &host, &script).await
        })
    });
    Leftover { what, remove }
}

/// What bp put beside the daemon's files, once the peers are gone that one of them names.
fn without_files(host: &str, files: BTreeSet<String>, peers: Vec<(String, String)>) -> Leftover {
    let quoted: Vec<String> = files.iter().map(|f| quote(f)).collect();
    let script = format!(
        "set -e; rm -f {}; rmdir /etc/systemd/system/glusterd.service.d 2>/dev/null || :\n\
         ! command -v systemctl >/dev/null || systemctl daemon-reload",
        quoted.join(" ")
    );
    let what = format!("bp's files beside glusterd's on {host}");
    let host = host.to_owned();
    let remove = Box::new(move |cx: Cx| -> BoxFuture<'static, _> {
        let (host, peers) = (host.clone(), peers.clone());
        let cmd = Cmd::new(script.clone());
        Box::pin(async move {
            let view = cx.gluster_host(&host).await.map_err(|c| Failure::new(c.reason()))?;
            let known = view.peers().unwrap_or_default();
            match peers
                .iter()
                .find(|(of, name)| *of == host && known.iter().any(|k| k.is_called(name)))
            {
                Some((_, name)) => Err(Failure::new(format!("{name} is still in the pool")).into()),
                None => cx.ok(&host, cmd).await.map(drop),
            }
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

fn unmounted(host: &str, folder: &str) -> Leftover {
    let what = format!("mount {folder} of {host}");
    let (host, folder) = (host.to_owned(), folder.to_owned());
    let remove = Box::new(move |cx: Cx| -> BoxFuture<'static, _> {
        let (host, folder) = (host.clone(), folder.clone());
        Box::pin(async move { unmount(&cx, &host, &folder).await })
    });
    Leftover { what, remove }
}
