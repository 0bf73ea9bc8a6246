//! What `docker stack deploy` makes in a fake swarm, and the tasks that come of it.

use super::fake::State;
use super::shell::says;
use providers::{Cmd, Output, Stdin};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use tokio::time::Instant;

/// The managers' clock when a test begins, in seconds since 1970.
const BEGAN: i64 = 4_000_000_000;

/// What a stack was last deployed with.
const IMAGE_LABEL: &str = "com.docker.stack.image";

/// A moment as docker writes it.
pub fn stamp(second: i64) -> Value {
    json!(jiff::Timestamp::from_second(second).expect("a moment").to_string())
}

/// A container that is no service's, with a foot in an attachable network.
pub fn foot(network: &str) -> Value {
    json!({ "ID": "foot", "CreatedAt": stamp(BEGAN), "DesiredState": "running", "NodeID": "",
        "Status": { "State": "running", "Timestamp": stamp(BEGAN) },
        "Spec": { "NetworkAttachmentSpec": { "ContainerID": "c0ffee" }, "ForceUpdate": 0,
            "Runtime": "attachment" },
        "NetworksAttachments": [{ "Network": { "Spec": { "Name": network } } }] })
}

/// Whether a task has a foot in a network.
pub fn is_on(task: &Value, network: &str) -> bool {
    let feet = task["NetworksAttachments"].as_array().into_iter().flatten();
    feet.into_iter().any(|a| a["Network"]["Spec"]["Name"] == network)
}

/// An image as docker's command hands it to a swarm: by its familiar name, with a tag.
fn image(written: &str) -> String {
    let (domain, path) = match written.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", written),
    };
    let path = if path.contains([':', '@']) { path.to_owned() } else { format!("{path}:latest") };
    match domain {
        "docker.io" => path.strip_prefix("library/").unwrap_or(&path).to_owned(),
        domain => format!("{domain}/{path}"),
    }
}

impl State {
    /// The managers' clock, in seconds since 1970.
    pub fn now(&self) -> i64 {
        BEGAN + Instant::now().duration_since(self.began).as_secs() as i64
    }

    /// Tasks whose time has come are gone.
    pub fn end_tasks(&mut self) {
        let now = self.now();
        for swarm in self.swarms.values_mut() {
            swarm.tasks.retain(|t| t["GoneAt"].as_i64().is_none_or(|at| at > now));
        }
    }

    pub fn deploy(&mut self, host: &str, cmd: &Cmd) -> Output {
        let Stdin::Bytes(bytes) = &cmd.stdin else { panic!("the stack comes through stdin") };
        let stack = cmd.script.rsplit(' ').next().expect("a name").to_owned();
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().expect("an archive") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            files.insert(path, content);
        }
        let compose: Value = serde_json::from_slice(&files["compose.json"]).expect("JSON");
        if let Err(refused) = self.sealed_of(host, &compose, &files) {
            return refused;
        }
        let services = compose["services"].as_object().expect("services");
        let now = stamp(self.now());
        for (key, wanted) in services {
            let serial = self.next();
            let deploy = &wanted["deploy"];
            let mut labels = deploy["labels"].clone();
            labels["com.docker.stack.namespace"] = json!(stack);
            let global = deploy["mode"] == "global";
            let replicas = deploy["replicas"].as_u64().unwrap_or(1);
            labels[IMAGE_LABEL] = wanted["image"].clone();
            let mut image = json!(image(wanted["image"].as_str().expect("an image")));
            let name = format!("{stack}_{key}");
            // Docker asks what it was given last, not what the service has.
            let old =
                self.managed(host).services.iter().find(|s| s["Spec"]["Name"] == name.as_str());
            if let Some(old) = old.filter(|o| o["Spec"]["Labels"][IMAGE_LABEL] == wanted["image"]) {
                image = old["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].clone();
            }
            let container = json!({ "Image": image, "Env": wanted["environment"],
                "Args": wanted["command"],
                "Secrets": self.mounted(host, &compose, wanted, "secrets"),
                "Configs": self.mounted(host, &compose, wanted, "configs") });
            let nodes = self.places(host, &deploy["placement"]["constraints"], global);
            let task = json!({ "ContainerSpec": container, "ForceUpdate": 0,
                "RestartPolicy": { "Condition": deploy["restart_policy"]["condition"].as_str().unwrap_or("any") } });
            let feet = wanted["networks"].as_array().into_iter().flatten();
            let feet: Vec<Value> =
                feet.map(|name| json!({ "Network": { "Spec": { "Name": name } } })).collect();
            let swarm = self.managed(host);
            let old = swarm.services.iter().find(|s| s["Spec"]["Name"] == name.as_str());
            let id = old.map_or_else(|| json!(format!("service{serial}")), |s| s["ID"].clone());
            let previous = old.map_or(Value::Null, |s| s["Spec"].clone());
            if !previous.is_null() && previous["Mode"]["Global"].is_object() != global {
                let why =
                    "rpc error: code = Unimplemented desc = service mode change is not allowed";
                return Output { code: 1, ..says(why) };
            }
            let mode = match global {
                true => json!({ "Global": {} }),
                false => json!({ "Replicated": { "Replicas": replicas } }),
            };
            let slots: Vec<(u64, String)> = match global {
                true => nodes.into_iter().map(|node| (0, node)).collect(),
                false => {
                    let node = nodes.into_iter().next().unwrap_or_default();
                    (1..=replicas).map(|slot| (slot, node.clone())).collect()
                }
            };
            swarm.services.retain(|s| s["ID"] != id);
            swarm.tasks.retain(|t| t["ServiceID"] != id);
            swarm.services.push(json!({ "ID": id, "Spec": { "Name": name, "Labels": labels,
                "TaskTemplate": task, "Mode": mode }, "PreviousSpec": previous }));
            for (number, (slot, node)) in slots.into_iter().enumerate() {
                swarm.tasks.push(
                    json!({ "ID": format!("t{serial}{}", number + 1), "ServiceID": id,
                    "NodeID": node, "Slot": slot, "CreatedAt": now, "DesiredState": "running",
                    "Status": { "State": "running", "Timestamp": now }, "Spec": task,
                    "NetworksAttachments": feet }),
                );
            }
        }
        says("")
    }

    /// The nodes that satisfy the constraints; a task of one service without any is nowhere in
    /// particular.
    fn places(&mut self, host: &str, constraints: &Value, global: bool) -> Vec<String> {
        let none = Vec::new();
        let all = match constraints.as_array() {
            None if !global => return Vec::new(),
            all => all.unwrap_or(&none),
        };
        let fits = |node: &super::docker::Node| {
            all.iter().all(|constraint| {
                let constraint = constraint.as_str().expect("text");
                let (left, right) = constraint.split_once(" == ").unwrap_or((constraint, ""));
                match left {
                    "node.role" => node.role == right,
                    "node.labels.bp.host" => node.labels.get("bp.host").is_some_and(|h| h == right),
                    _ => false,
                }
            })
        };
        let nodes = self.managed(host).nodes.iter().filter(|n| fits(n));
        nodes.map(|n| n.id.clone()).collect()
    }

    /// `docker service rm`, `docker service rollback --detach`, and a label that goes.
    pub fn service(&mut self, host: &str, command: &str) -> Output {
        let (verb, name) = command
            .strip_suffix(" >/dev/null")
            .and_then(|c| c.rsplit_once(' '))
            .unwrap_or_else(|| panic!("{host}: unknown command: docker service {command}"));
        let swarm = self.managed(host);
        let Some(at) = swarm.services.iter().position(|s| s["Spec"]["Name"] == name) else {
            return Output { code: 1, ..says(format!("no such service: {name}")) };
        };
        let id = swarm.services[at]["ID"].clone();
        match verb {
            "rm" => {
                swarm.services.remove(at);
                swarm.tasks.retain(|t| t["ServiceID"] != id);
            }
            "update --detach --label-rm com.docker.stack.image" => {
                let labels = &mut swarm.services[at]["Spec"]["Labels"];
                labels.as_object_mut().expect("labels").remove(IMAGE_LABEL);
            }
            "rollback --detach" => {
                let service = &mut swarm.services[at];
                let before = service["PreviousSpec"].take();
                if before.is_null() {
                    let why = format!("service {name} does not have a previous spec");
                    return Output { code: 1, ..says(why) };
                }
                // The other way round from now on.
                service["PreviousSpec"] = service["Spec"].take();
                service["Spec"] = before;
                service["UpdateStatus"] = json!({ "State": "rollback_completed" });
                let spec = service["Spec"]["TaskTemplate"].clone();
                for task in swarm.tasks.iter_mut().filter(|t| t["ServiceID"] == id) {
                    task["Spec"] = spec.clone();
                    task["DesiredState"] = json!("running");
                    task["Status"] =
                        json!({ "State": "running", "Timestamp": "2026-01-01T00:00:00Z" });
                }
            }
            _ => panic!("{host}: unknown command: docker service {command}"),
        }
        says("")
    }
}
