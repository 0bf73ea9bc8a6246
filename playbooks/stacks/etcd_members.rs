//! The members that etcd runs with: they are begun with once. It takes no other by itself, and none
//! back whose disk is a new one.

use super::etcd::etcdctl;
use crate::converge::is_steady;
use crate::cx::Cx;
use crate::docker::SwarmView;
use crate::step::{Check, Failure, Step};
use providers::Cmd;
use std::collections::BTreeSet;

/// Fails before anything is sent that could not become healthy.
pub(super) fn step(stack: &str, members: &[String]) -> Step {
    let (stack_name, wanted) = (stack.to_owned(), members.to_vec());
    let why = "those that run take nobody in whom they don't expect, nor one whose disk is lost";
    Step::lab(format!("{stack} membership"), why).check(move |cx| {
        let (stack, wanted) = (stack_name.clone(), wanted.clone());
        async move {
            match cx.swarm().await {
                Ok(view) => look(&cx, &view, &stack, wanted.into_iter().collect()).await,
                Err(why) => Check::Unknown(why),
            }
        }
    })
}

/// Asks only where not all is as it should be, and somebody is there to be asked.
async fn look(cx: &Cx, view: &SwarmView, stack: &str, wanted: BTreeSet<String>) -> Check {
    let running = running(view, stack);
    if running == wanted {
        return Check::True;
    }
    // Where most are away there is no list: what makes it healthy says so later.
    let Some((asked, known)) = list(cx, stack, &running, &wanted).await else { return Check::True };
    let has: BTreeSet<String> = known.iter().map(|m| m.host.clone()).collect();
    let deployed = |host: &String| {
        let name = format!("{stack}_etcd-{host}");
        view.services.iter().any(|s| s.spec.name == name)
    };
    let missing: Vec<&String> = wanted.difference(&has).collect();
    if let [host] = missing.as_slice()
        && has.is_subset(&wanted)
        && deployed(host)
    {
        return Check::Failed(lost(stack, &asked, host, None));
    }
    if has != wanted {
        return Check::Failed(others(stack, &asked, &known, &wanted));
    }
    for Member { id, host, .. } in known.iter().filter(|m| m.served && !running.contains(&m.host)) {
        // One that was refused has left other files there.
        let disk = cx.run(host, &Cmd::new("[ -d /srv/etcd/member/wal ]")).await;
        if disk.is_ok_and(|output| output.code == 1) {
            return Check::Failed(lost(stack, &asked, host, Some(id)));
        }
    }
    Check::True
}

/// The hosts whose members run, and not only for a moment.
fn running(view: &SwarmView, stack: &str) -> BTreeSet<String> {
    let prefix = format!("{stack}_etcd-");
    let steady = |id: &str| {
        let runs = |t: &&crate::docker::Task| t.service_id == id && t.status.state == "running";
        view.tasks.iter().filter(runs).any(|t| is_steady(t, view.now))
    };
    let services = view.services.iter().filter(|s| steady(&s.id));
    services.filter_map(|s| s.spec.name.strip_prefix(&prefix)).map(str::to_owned).collect()
}

/// A member as the others know it.
struct Member {
    id: String,
    host: String,
    /// Whether it ever ran.
    served: bool,
}

/// The list of the first that answers of those that stay, and who that is.
async fn list(
    cx: &Cx,
    stack: &str,
    running: &BTreeSet<String>,
    wanted: &BTreeSet<String>,
) -> Option<(String, Vec<Member>)> {
    for host in running.intersection(wanted) {
        let list = etcdctl(stack, host, "--command-timeout=20s member list");
        if let Ok(output) = cx.run(host, &Cmd::new(list)).await
            && output.ok()
        {
            return Some((host.clone(), output.out().lines().filter_map(read).collect()));
        }
    }
    None
}

/// Reads a line such as `8211f1d0f64f3269, started, etcd-a, https://etcd-a:2380,
/// https://etcd-a:2379, false`.
fn read(line: &str) -> Option<Member> {
    let fields: Vec<&str> = line.split(", ").collect();
    let [id, _, _, peer, client, _] = fields.as_slice() else { return None };
    let host = peer.strip_prefix("https://etcd-")?.strip_suffix(":2380")?;
    Some(Member { id: (*id).to_owned(), host: host.to_owned(), served: !client.is_empty() })
}

/// `etcdctl` in the container of a member, as an operator types it on its host.
fn typed(stack: &str, host: &str, args: &str) -> String {
    let label = format!("label=com.docker.swarm.service.name={stack}_etcd-{host}");
    format!("{host}$ docker exec $(docker ps -q --filter {label}) etcdctl {args}")
}

/// The blueprint asks for other members.
fn others(stack: &str, asked: &str, known: &[Member], wanted: &BTreeSet<String>) -> Failure {
    let has: BTreeSet<&str> = known.iter().map(|m| m.host.as_str()).collect();
    let all: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let list = has.iter().copied().collect::<Vec<_>>().join(", ");
    let what = format!("{stack} runs with the members {list}, not with {}", all.join(", "));
    let leave = known.iter().filter(|m| !wanted.contains(&m.host));
    let hint = if all.iter().all(|host| has.contains(host)) {
        let remove = leave.map(|m| typed(stack, asked, &format!("member remove {}", m.id)));
        in_order(remove.collect())
    } else {
        let keep = match leave.count() {
            0 => format!("keep those with `members: {}`", has.len()),
            _ => "keep those".to_owned(),
        };
        format!("{keep}, or take others anew: `bp backup`, `bp destroy`, `bp up`, `bp restore`")
    };
    Failure::new(what).hint(hint)
}

/// A member's data is gone: it comes back as a new one, which is told so at its first start. `id` is
/// the one that the others know.
fn lost(stack: &str, asked: &str, host: &str, id: Option<&str>) -> Failure {
    let service = format!("{stack}_etcd-{host}");
    let args = "{{join .Spec.TaskTemplate.ContainerSpec.Args \" \"}}";
    let args =
        format!("docker service inspect -f '{args}' {service} | sed s/state=new/state=existing/");
    let add = format!("member add etcd-{host} --peer-urls=https://etcd-{host}:2380");
    let mut all = vec![
        format!("{asked}$ docker service scale {service}=0"),
        format!("{host}$ rm -rf /srv/etcd/member"),
    ];
    all.extend(id.map(|id| typed(stack, asked, &format!("member remove {id}"))));
    all.push(typed(stack, asked, &add));
    all.push(format!(
        "{asked}$ docker service update --detach --replicas 1 --args \"$({args})\" {service}"
    ));
    let what = match id {
        Some(_) => format!("{stack}: {host} lost its disk, and the others wait for what was on it"),
        None => format!("{stack}: the others do not know the member of {host} any more"),
    };
    Failure::new(what).hint(in_order(all))
}

fn in_order(commands: Vec<String>) -> String {
    format!("one after another, then `bp up`:\n{}", commands.join("\n"))
}
