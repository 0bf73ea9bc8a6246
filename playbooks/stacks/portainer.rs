//! The stack portainer: its server on a manager, an agent on every node.

use crate::docker::{SwarmView, container};
use crate::secrets::Secret;
use crate::shipped::Shipped;
use crate::step::{Check, Step};
use blueprints::{Availability, Host, Lab, Stack};
use providers::Cmd;
use serde_json::json;
use std::time::Duration;

/// What bp ships of it.
pub(crate) fn shipped(lab: &Lab, stack: &Stack, name: &str) -> Shipped {
    let managers: Vec<String> = lab
        .managers()
        .filter(|h| h.availability != Availability::Drain)
        .map(|h| h.name.clone())
        .collect();
    // Where its data is on one node only, it stays there.
    let pinned = managers.first().filter(|_| lab.shared().is_none()).cloned();
    let folder = lab.shared().map_or("/srv/portainer".to_owned(), |s| format!("{s}/portainer"));
    let holders = pinned.clone().map_or_else(|| managers.clone(), |host| vec![host]);
    Shipped {
        values: json!({
            "agent": agent(&stack.image),
            "folder": folder,
            "host": pinned,
            "name": name,
        }),
        secrets: vec![Secret::generated(lab, "portainer_password")],
        read_once: &["portainer_password"],
        playbook: Some(("portainer.yml", holders, json!({ "folder": folder }))),
        health: vec![answers(&stack.name, name)],
        ..Shipped::new("portainer.compose.yml", include_str!("portainer.compose.yml"))
    }
}

/// Agents have the version of their server, and come from where it comes from.
fn agent(server: &str) -> String {
    let (image, tag) = server.rsplit_once(':').unwrap_or((server, "latest"));
    let from = image.rsplit_once('/').map_or(String::new(), |(from, _)| format!("{from}/"));
    format!("{from}agent:{tag}")
}

/// How many agents there have to be: a paused node keeps its own, and is given none.
pub(crate) fn agents(lab: &Lab, view: &SwarmView, service: &str) -> usize {
    let takes = |h: &&Host| h.availability != Availability::Drain;
    lab.nodes().filter(takes).filter(|h| !view.is_passed_over(&h.name, service)).count()
}

/// It answers through Traefik, lets the administrator in, and counts as many agents as there are
/// nodes. Its image has no shell, so it is asked from its node, in its own network; the password is
/// read there and goes from pipe to pipe.
fn answers(stack: &str, host: &str) -> Step {
    let wanted = (format!("{stack}_server"), format!("{stack}_agent"), host.to_owned());
    Step::lab(format!("{stack} agents"), "an agent that is missing hides a node")
        .within(Duration::from_secs(300))
        .check(move |cx| {
            let (service, agent, host) = wanted.clone();
            async move {
                let view = match cx.swarm().await {
                    Ok(view) => view,
                    Err(why) => return Check::Unknown(why),
                };
                let Some(node) = view.host_of(&service) else {
                    return Check::Unknown(format!("{service} does not run"));
                };
                let agents = agents(cx.lab(), &view, &agent);
                cx.check(&node, Cmd::new(question(&service, &host, agents))).await
            }
        })
}

pub(crate) fn question(service: &str, host: &str, agents: usize) -> String {
    let c = container(service);
    format!(
        "{c}\n\
         [ -n \"$c\" ] || {{ echo 'it does not run'; exit 1; }}\n\
         p=$(docker inspect -f '{{{{.State.Pid}}}}' \"$c\")\n\
         code=$(curl -sSk --max-time 10 -o /dev/null -w '%{{http_code}}' --resolve {host}:443:127.0.0.1 https://{host}/api/system/status 2>&1)\n\
         [ \"$code\" = 200 ] || {{ echo \"through Traefik it answers $(printf '%s\\n' \"$code\" | head -n 1), not 200\"; exit 1; }}\n\
         api() {{ nsenter -t \"$p\" -n curl -sS --max-time 20 \"$@\" 2>&1; }}\n\
         said=$(printf '{{\"Username\":\"admin\",\"Password\":\"%s\"}}' \"$(sed 's/[\\\\\"]/\\\\&/g' /proc/$p/root/run/secrets/portainer_password)\" |\n\
         api -H 'Content-Type: application/json' --data-binary @- http://127.0.0.1:9000/api/auth)\n\
         token=$(printf '%s\\n' \"$said\" | sed -n 's/.*\"jwt\":\"\\([^\"]*\\)\".*/\\1/p')\n\
         case $said in *'Invalid credentials'*) echo 'its administrator has another password than portainer_password, which it reads at its first start only: change it in Portainer'; exit 1;; esac\n\
         [ -n \"$token\" ] || {{ echo 'it does not let the administrator in'; exit 1; }}\n\
         n=$(printf 'header = \"Authorization: Bearer %s\"\\n' \"$token\" |\n\
         api -K - http://127.0.0.1:9000/api/endpoints/1/docker/v2/agents | grep -o '\"NodeName\"' | wc -l)\n\
         [ \"$n\" = {agents} ] || {{ echo \"it counts $n agents, not {agents}\"; exit 1; }}\n"
    )
}
