//! Phase labels: node labels and availability, as the blueprint says.

use crate::docker::{Node, no_manager};
use crate::step::{Check, Failure, Step};
use blueprints::{Availability, Lab};
use indexmap::IndexMap;
use providers::{Cmd, quote};

/// Which labels of a node bp has set: the ones that leave the blueprint are taken off again, those
/// that others set stay.
const OWNED: &str = "bp.labels";

/// The steps of the phase.
pub fn steps(lab: &Lab) -> Vec<Step> {
    lab.nodes()
        .flat_map(|host| {
            [labelled(&host.name, &host.labels), available(&host.name, host.availability)]
        })
        .collect()
}

fn labelled(host: &str, wanted: &IndexMap<String, String>) -> Step {
    node_step(
        host,
        "labels",
        "stacks choose their nodes by labels",
        wanted.clone(),
        |node, wanted| changes(node, wanted).1,
        |node, wanted| changes(node, wanted).0,
    )
}

fn available(host: &str, wanted: Availability) -> Step {
    node_step(
        host,
        "availability",
        "a node takes tasks as the blueprint says",
        wanted,
        |node, wanted| {
            let has = node.spec.availability.as_str();
            if has == wanted.as_str() {
                Vec::new()
            } else {
                vec![format!("it is `{has}`, the blueprint says `{}`", wanted.as_str())]
            }
        },
        |_, wanted| format!("--availability {}", wanted.as_str()),
    )
}

/// A step on one node of the swarm: what differs, and the options of `docker node update` then.
fn node_step<T: Clone + Send + Sync + 'static>(
    host: &str,
    name: &str,
    why: &str,
    wanted: T,
    differs: fn(&Node, &T) -> Vec<String>,
    options: fn(&Node, &T) -> String,
) -> Step {
    let (checked, applied) = ((host.to_owned(), wanted.clone()), (host.to_owned(), wanted));
    Step::host(host, name, why)
        .check(move |cx| {
            let (host, wanted) = checked.clone();
            async move {
                let view = match cx.swarm().await {
                    Ok(view) => view,
                    Err(why) => return Check::Unknown(why),
                };
                match view.node_of(&host) {
                    None => Check::Unknown(format!("{host} is not in the swarm yet")),
                    Some(node) => {
                        let differs = differs(node, &wanted);
                        Check::when(differs.is_empty(), differs.join(", "))
                    }
                }
            }
        })
        .apply(move |cx| {
            let (host, wanted) = applied.clone();
            async move {
                let view = cx.swarm().await.map_err(no_manager)?;
                let node = view
                    .node_of(&host)
                    .ok_or_else(|| Failure::new(format!("{host} is not in the swarm")))?;
                let script =
                    format!("docker node update {} {}", options(node, &wanted), quote(&node.id));
                cx.ok(&view.manager, Cmd::new(script)).await.map(drop)
            }
        })
}

/// The options that make a node's labels right, and in words what is wrong.
fn changes(node: &Node, wanted: &IndexMap<String, String>) -> (String, Vec<String>) {
    let has = &node.spec.labels;
    let (mut options, mut words) = (Vec::new(), Vec::new());
    for (key, value) in wanted {
        let said = match has.get(key) {
            Some(has) if has == value => continue,
            Some(has) => format!("`{key}` is `{has}`, the blueprint says `{value}`"),
            None => format!("`{key}={value}` is missing"),
        };
        words.push(said);
        options.push(format!("--label-add {}", quote(&format!("{key}={value}"))));
    }
    let owned = has.get(OWNED).map_or("", String::as_str);
    for key in owned.split(',').filter(|k| has.contains_key(*k) && !wanted.contains_key(*k)) {
        words.push(format!("`{key}` has left the blueprint"));
        options.push(format!("--label-rm {}", quote(key)));
    }
    let all: Vec<&str> = wanted.keys().map(String::as_str).collect();
    let all = all.join(",");
    if all != owned {
        if words.is_empty() {
            words.push("bp has not noted which labels are its own".to_owned());
        }
        options.push(match all.as_str() {
            "" => format!("--label-rm {OWNED}"),
            all => format!("--label-add {}", quote(&format!("{OWNED}={all}"))),
        });
    }
    (options.join(" "), words)
}
