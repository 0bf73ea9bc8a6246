//! The cluster as `status` shows it besides the steps: tables of hosts, of the swarm, and those that
//! phases fill.

use crate::cx::Cx;
use crate::docker::{Service, SwarmView, Task};
use crate::event::Event;
use crate::step::{Check, On, Step};
use crate::{dns, firewall, gluster};
use blueprints::{Host, Phase, Role};
use futures::future::join_all;
use serde::Serialize;

/// A table of what is, as it was asked now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// What it shows: `volumes`.
    pub title: String,
    /// The names of its columns.
    pub head: Vec<&'static str>,
    /// Its rows, a text for each column.
    pub rows: Vec<Vec<String>>,
}

/// The row of steps that concern the whole lab.
const LAB: &str = "(lab)";

/// What there is nothing to say of.
const NOTHING: &str = "-";

/// Says the tables, in the order of the phases; one without rows is not said. `found` is what the
/// survey found of each step. Asks, changes nothing.
pub async fn tell(cx: &Cx, steps: &[Step], found: &[Check]) {
    hosts(cx, steps, found).await;
    let mut tables = dns::shown(cx).await;
    tables.extend(firewall::shown(cx).await);
    tables.extend(gluster::shown(cx).await);
    if cx.lab().phases.contains(&Phase::Swarm) {
        // Where no manager answers, the steps say why.
        if let Ok(view) = cx.swarm().await {
            tables.extend([nodes(&view), services(&view)]);
        }
    }
    for table in tables {
        let head = table.head.iter().map(|name| (*name).to_owned()).collect();
        say(cx, &table.title, head, table.rows);
    }
}

fn say(cx: &Cx, title: &str, head: Vec<String>, rows: Vec<Vec<String>>) {
    if !rows.is_empty() {
        cx.events().emit(Event::Table { title: title.to_owned(), head, rows });
    }
}

/// Hosts by phases: how many steps of each are true.
async fn hosts(cx: &Cx, steps: &[Step], found: &[Check]) {
    let mut phases: Vec<&str> = steps.iter().map(|s| s.phase.as_str()).collect();
    phases.dedup();
    let true_of = |on: &On| {
        let counted = phases.iter().map(|phase| {
            let here = |(step, _): &(&Step, &Check)| step.phase == *phase && step.on == *on;
            let (mut all, mut is) = (0, 0);
            for (_, check) in steps.iter().zip(found).filter(here) {
                all += 1;
                is += usize::from(*check == Check::True);
            }
            if all == 0 { NOTHING.to_owned() } else { format!("{is}/{all}") }
        });
        counted.collect::<Vec<_>>()
    };
    let named = cx.lab().hosts.iter().map(|host| async {
        let known = [host.name.clone(), role(host).to_owned(), address(cx, host).await];
        [known.to_vec(), true_of(&On::Host(host.name.clone()))].concat()
    });
    let mut rows = join_all(named).await;
    if steps.iter().any(|s| s.on == On::Lab) {
        let known = [LAB, NOTHING, NOTHING].map(str::to_owned).to_vec();
        rows.push([known, true_of(&On::Lab)].concat());
    }
    let head = ["host", "role", "address"].into_iter().chain(phases.iter().copied());
    say(cx, "hosts", head.map(str::to_owned).collect(), rows);
}

fn role(host: &Host) -> &'static str {
    match host.role {
        Role::Manager => "manager",
        Role::Worker => "worker",
        Role::None => NOTHING,
    }
}

/// Where the host is now; where nobody knows, what the blueprint says.
async fn address(cx: &Cx, host: &Host) -> String {
    let now = cx.machine(&host.name).await.ok().flatten().and_then(|m| m.address);
    let written = || host.address.as_ref().map(ToString::to_string);
    now.map(|a| a.to_string()).or_else(written).unwrap_or_else(|| NOTHING.to_owned())
}

/// The nodes as a manager sees them, those that are no host of the blueprint among them.
fn nodes(view: &SwarmView) -> Table {
    let row = |node: &crate::docker::Node| {
        let manager = match &node.manager_status {
            Some(status) if status.leader => "leader",
            Some(status) => status.reachability.as_str(),
            None => NOTHING,
        };
        let (spec, status) = (&node.spec, &node.status);
        [&node.description.hostname, &spec.role, &status.state, &spec.availability, manager]
            .map(str::to_owned)
            .to_vec()
    };
    let mut rows: Vec<Vec<String>> = view.nodes.iter().map(row).collect();
    rows.sort();
    let head = vec!["node", "role", "status", "availability", "manager"];
    Table { title: "nodes".to_owned(), head, rows }
}

/// The services, with how many of their tasks run and how many are to.
fn services(view: &SwarmView) -> Table {
    let row = |service: &Service| {
        let kept = |t: &&Task| t.service_id == service.id && t.desired_state == "running";
        let kept: Vec<&Task> = view.tasks.iter().filter(kept).collect();
        let running = kept.iter().filter(|t| t.status.state == "running").count();
        let wanted = match service.replicas() {
            Some(replicas) => replicas.to_string(),
            None if service.is_job() => NOTHING.to_owned(),
            None => kept.len().to_string(),
        };
        let image = service.spec.task_template.image().to_owned();
        vec![service.spec.name.clone(), format!("{running}/{wanted}"), image]
    };
    let mut rows: Vec<Vec<String>> = view.services.iter().map(row).collect();
    rows.sort();
    Table { title: "services".to_owned(), head: vec!["service", "running", "image"], rows }
}
