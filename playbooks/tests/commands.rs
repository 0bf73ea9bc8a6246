//! The changes that the docker command makes to the fake docker's state.

use super::docker::Swarm;
use super::fake::State;
use super::shell::{fails, says, words};
use providers::{Cmd, Output, Stdin};
use serde_json::{Value, json};

/// How long a task takes that is asked to end, in seconds.
const STOPS_WITHIN: i64 = 9;

impl State {
    /// Commands that change something.
    pub fn act(&mut self, host: &str, cmd: &Cmd) -> Option<Output> {
        let script = cmd.script.as_str();
        if script
            .starts_with("set -e; umask 077; d=$(mktemp -d -p /run); trap 'rm -rf \"$d\"' EXIT; trap 'exit 129' HUP INT TERM; tar -x ")
        {
            return Some(self.deploy(host, cmd));
        }
        if script.trim_start_matches("( ").starts_with("docker network ") {
            return self.network(host, script);
        }
        if script == "docker load -q" {
            let Stdin::File(path) = &cmd.stdin else { return None };
            let images = super::images::content(path);
            self.guests.get_mut(host)?.images.extend(images);
            return Some(says("Loaded image"));
        }
        if script == "rm -rf /var/tmp/bp-backup-lab; docker swarm leave --force" {
            self.guests.get_mut(host)?.node = None;
            return Some(says("Node left the swarm."));
        }
        if let Some(rest) = script.strip_prefix("docker stack rm ") {
            let stack = rest.strip_suffix(" >/dev/null")?;
            let gone_at = self.now() + STOPS_WITHIN;
            let swarm = self.managed(host);
            let gone: Vec<Value> =
                swarm.services.extract_if(.., |s| namespace(s) == stack).collect();
            // Docker answers before they are gone.
            let ids: Vec<&Value> = gone.iter().map(|s| &s["ID"]).collect();
            for task in swarm.tasks.iter_mut().filter(|t| ids.contains(&&t["ServiceID"])) {
                task["DesiredState"] = json!("remove");
                task["GoneAt"] = json!(gone_at);
            }
            swarm.networks.retain(|n| n["Labels"]["com.docker.stack.namespace"] != stack);
            return Some(says(""));
        }
        let service = script.strip_prefix("docker service ");
        if let Some(command) = service.filter(|_| script.ends_with(" >/dev/null")) {
            return Some(self.service(host, command));
        }
        if script.starts_with("timeout 12 docker service logs --raw --tail 20 ") {
            return Some(says("panic: no config\nexit status 2"));
        }
        if script.starts_with("read -r t && docker swarm join ") {
            return Some(self.join(host, cmd));
        }
        if !matches!(cmd.stdin, Stdin::Empty) {
            return None;
        }
        if script.starts_with("if [ ") {
            return self.forget(host, script);
        }
        if let Some(more) = script.strip_prefix(
            "set -e; docker swarm join-token --rotate -q worker >/dev/null; \
             docker swarm join-token --rotate -q manager >/dev/null\n",
        ) {
            let swarm = self.manages(host)?;
            self.rotate(&swarm, "worker");
            self.rotate(&swarm, "manager");
            for update in more.lines() {
                let update = update.strip_suffix(" >/dev/null")?;
                self.update(host, &words(update))?;
            }
            return Some(says(""));
        }
        if let Some((init, mark)) = script.split_once(" && ") {
            let answer = self.act(host, &Cmd::new(init))?;
            return if answer.ok() { self.act(host, &Cmd::new(mark)) } else { Some(answer) };
        }
        if script
            == format!(
                "docker node update --label-add bp.lab=lab --label-add bp.host={host} \
                 \"$(docker info --format '{{{{.Swarm.NodeID}}}}')\" >/dev/null"
            )
        {
            self.mark(host);
            return Some(says(""));
        }
        let words = words(script);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [
                "docker",
                "swarm",
                "init",
                "--advertise-addr",
                own,
                "--listen-addr",
                "0.0.0.0:2377",
                "--default-addr-pool",
                _,
                "--default-addr-pool-mask-length",
                "24",
                ">/dev/null",
            ] => {
                assert_eq!(*own, self.guests[host].address, "another host's address");
                if self.guests[host].node.is_some() {
                    return Some(fails(1, "This node is already part of a swarm."));
                }
                assert!(
                    self.swarms.values().all(|s| s
                        .nodes
                        .iter()
                        .all(|n| !self.guests.contains_key(&n.hostname)
                            || n.labels.contains_key("foreign"))),
                    "a second swarm"
                );
                self.init(host);
                Some(says(""))
            }
            ["docker", "swarm", "join-token", "-q", kind] => {
                let swarm = &self.swarms[&self.manages(host)?];
                Some(says(match *kind {
                    "worker" => swarm.worker_token.clone(),
                    _ => swarm.manager_token.clone(),
                }))
            }
            ["docker", "node", change @ ("promote" | "demote"), id] => {
                let node = self.managed(host).nodes.iter_mut().find(|n| n.id == *id)?;
                node.role = if *change == "promote" { "manager" } else { "worker" }.to_owned();
                Some(says(""))
            }
            ["docker", "node", "update", ..] => {
                let all: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
                self.update(host, &all)
            }
            _ => None,
        }
    }

    pub fn managed(&mut self, host: &str) -> &mut Swarm {
        let id = self.manages(host).unwrap_or_else(|| panic!("{host} is no manager"));
        self.swarms.get_mut(&id).expect("a swarm")
    }

    fn update(&mut self, host: &str, words: &[String]) -> Option<Output> {
        let (id, options) =
            words.strip_prefix(&["docker".into(), "node".into(), "update".into()])?.split_last()?;
        let node = self.managed(host).nodes.iter_mut().find(|n| n.id == *id)?;
        for option in options.chunks(2) {
            let [option, value] = option else { return None };
            match option.as_str() {
                "--label-add" => {
                    let (key, value) = value.split_once('=')?;
                    node.labels.insert(key.to_owned(), value.to_owned());
                }
                "--label-rm" => drop(node.labels.remove(value)),
                "--availability" => node.availability = value.clone(),
                _ => return None,
            }
        }
        Some(says(""))
    }

    /// The host's own node is marked as the lab's, on the host itself.
    pub fn mark(&mut self, host: &str) {
        let id = self.guests[host].node.as_ref().map(|(_, id)| id.clone()).expect("a node");
        let node = self.managed(host).nodes.iter_mut().find(|n| n.id == id).expect("a node");
        node.labels.insert("bp.lab".to_owned(), "lab".to_owned());
        node.labels.insert("bp.host".to_owned(), host.to_owned());
    }

    fn join(&mut self, host: &str, cmd: &Cmd) -> Output {
        let Stdin::Bytes(input) = &cmd.stdin else { panic!("the token comes through stdin") };
        let token = String::from_utf8(input.clone()).expect("text").trim_end().to_owned();
        assert!(cmd.secrets.contains(&token), "the token is no secret of its command");
        let own = &self.guests[host].address;
        let rest = cmd.script.strip_prefix(&format!(
            "read -r t && docker swarm join --advertise-addr {own} --listen-addr 0.0.0.0:2377 --token \"$t\" "
        ));
        let manager = rest.and_then(|r| r.strip_suffix(":2377")).expect("the manager's address");
        let manager = self.guests.iter().find(|(_, g)| g.address == manager);
        let manager = manager.map(|(n, _)| n.clone()).expect("a host of the lab");
        if self.guests[host].node.is_some() {
            return fails(1, "This node is already part of a swarm.");
        }
        let id = self.manages(&manager).expect("it joins at a manager");
        let swarm = &self.swarms[&id];
        let role = match token {
            t if t == swarm.worker_token => "worker",
            t if t == swarm.manager_token => "manager",
            _ => {
                return fails(
                    1,
                    "rpc error: code = InvalidArgument desc = A valid join token is necessary",
                );
            }
        };
        self.enter(&id, host, role);
        says("This node joined a swarm.")
    }

    fn forget(&mut self, host: &str, script: &str) -> Option<Output> {
        let (role, rest) =
            script.strip_prefix("if [ ")?.split_once(" = manager ]; then docker node demote ")?;
        let (id, rest) = rest.split_once(" >/dev/null || exit; fi; docker node rm --force ")?;
        assert_eq!(rest, format!("{id} >/dev/null"));
        let node = self.managed(host).nodes.iter().find(|n| n.id == id)?.clone();
        assert_eq!(node.role, role);
        assert!(!self.is_well(&node), "a node that is well was thrown out");
        self.managed(host).nodes.retain(|n| n.id != id);
        Some(says(""))
    }

    fn network(&mut self, host: &str, script: &str) -> Option<Output> {
        for part in script.split_inclusive(" >/dev/null") {
            let part = part.trim_start();
            let part = part.strip_prefix("( ").unwrap_or(part);
            let part = part.strip_prefix("|| exit\nfor i in $(seq 50); do ").unwrap_or(part);
            let part = part.strip_prefix("2>&1 || exit 0; sleep 0.2; done\necho 'it is still there after its removal' >&2; exit 1 ) || exit\n").unwrap_or(part);
            if part.is_empty() {
                continue;
            }
            let words = words(part);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["docker", "network", "rm", name, ">/dev/null"] => {
                    self.end_tasks();
                    let swarm = self.managed(host);
                    let used = swarm.tasks.iter().any(|t| super::tasks::is_on(t, name));
                    if used {
                        return Some(fails(
                            1,
                            &format!(
                                "Error response from daemon: network {name} is in use by task x"
                            ),
                        ));
                    }
                    swarm.networks.retain(|n| n["Name"] != *name);
                }
                [
                    "docker",
                    "network",
                    "create",
                    "--driver",
                    "overlay",
                    "--label",
                    label,
                    options @ ..,
                    name,
                    ">/dev/null",
                ] => {
                    let (key, value) = label.split_once('=')?;
                    let mut made = json!({ "Name": name, "Driver": "overlay", "Attachable": false,
                        "Ingress": false, "Options": {}, "Labels": { key: value },
                        "IPAM": { "Config": [{ "Subnet": "10.200.9.0/24" }] } });
                    let mut options = options.iter();
                    while let Some(option) = options.next() {
                        match *option {
                            "--attachable" => made["Attachable"] = json!(true),
                            "--opt" => made["Options"][*options.next()?] = json!(""),
                            "--subnet" => {
                                made["IPAM"]["Config"][0]["Subnet"] = json!(*options.next()?)
                            }
                            _ => return None,
                        }
                    }
                    self.managed(host).networks.push(made);
                }
                ["docker", "network", "inspect", _, ">/dev/null"] => {}
                _ => return None,
            }
        }
        Some(says(""))
    }
}

pub fn namespace(service: &Value) -> &str {
    service["Spec"]["Labels"]["com.docker.stack.namespace"].as_str().unwrap_or_default()
}
