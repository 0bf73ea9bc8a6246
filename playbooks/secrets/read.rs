//! Secrets read back, from the memory of a task that uses them: a swarm gives them to nobody else.

use super::current;
use crate::cx::Cx;
use crate::docker::{HOST_LABEL, Sealed, SwarmView, Task, no_manager};
use crate::step::Failure;
use providers::{Cmd, quote};

/// Lines of a key are masked, too; shorter ones are the words around it.
const LINE: usize = 16;

/// A secret's content, read from a task that uses it, into bp's memory only.
///
/// # Errors
/// When there is no such secret, no task that uses it runs, or its node can't be asked.
pub(crate) async fn read(cx: &Cx, name: &str) -> Result<Vec<u8>, Failure> {
    let (view, lab) = (cx.swarm().await.map_err(no_manager)?, cx.lab());
    let by_hand = || view.secrets.iter().find(|s| s.spec.name == name);
    let Some(secret) = current(&view, &lab.name, name).or_else(by_hand) else {
        return Err(Failure::new(format!("there is no secret {name}"))
            .hint("`bp secret list` names them; `bp up` makes those that are missing"));
    };
    let mut failure = Failure::new(format!("nothing that uses the secret {name} runs")).hint(
        "a swarm gives a secret to nobody but a running task: `bp status` says what does not run",
    );
    for (host, task, path) in holders(&view, secret) {
        if lab.host(&host).is_none() {
            continue;
        }
        let cmd = Cmd::new(format!(
            "c=$(docker ps -q --filter label=com.docker.swarm.task.id={task} | head -n 1)\n\
             [ -n \"$c\" ] || {{ echo 'its container does not run' >&2; exit 1; }}\n\
             p=$(docker inspect -f '{{{{.State.Pid}}}}' \"$c\") && cat \"/proc/$p/root\"{}",
            quote(&path)
        ));
        let why = match cx.run(&host, &cmd).await {
            Ok(output) if output.ok() && !output.stdout.is_empty() => {
                hide(cx, &output.stdout);
                return Ok(output.stdout);
            }
            // What it printed may be a part of the secret.
            Ok(output) => output.err().lines().next().unwrap_or("it is empty").to_owned(),
            Err(error) => error.to_string(),
        };
        failure = Failure::new(format!("read the secret {name} on {host}: {why}"));
    }
    Err(failure)
}

/// The running tasks that have a secret: their host, their id, and where the secret lies in them.
fn holders(view: &SwarmView, secret: &Sealed) -> Vec<(String, String, String)> {
    let runs = |t: &&Task| t.status.state == "running" && t.desired_state == "running";
    let mut holders = Vec::new();
    for task in view.tasks.iter().filter(runs) {
        let entries = task.spec.container_spec["Secrets"].as_array().into_iter().flatten();
        let entry = entries.into_iter().find(|entry| entry["SecretID"] == secret.id.as_str());
        let target = entry.and_then(|entry| entry["File"]["Name"].as_str());
        let host = view.node(&task.node_id).and_then(|n| n.spec.labels.get(HOST_LABEL));
        if let (Some(target), Some(host)) = (target, host) {
            let path = match target.starts_with('/') {
                true => target.to_owned(),
                false => format!("/run/secrets/{target}"),
            };
            holders.push((host.clone(), task.id.clone(), path));
        }
    }
    holders
}

pub(super) fn hide(cx: &Cx, secret: &[u8]) {
    let Ok(text) = std::str::from_utf8(secret) else { return };
    cx.events().hide(text);
    for line in
        text.lines().map(str::trim_end).filter(|l| l.len() >= LINE && !l.starts_with("-----"))
    {
        cx.events().hide(line);
    }
}
