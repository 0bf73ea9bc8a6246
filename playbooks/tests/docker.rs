//! A docker that is only state: swarms with nodes, networks, services and tasks.

use super::fake::State;
use super::shell::{fails, says};
use providers::Output;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::time::Instant;

/// A swarm as its managers know it.
#[derive(Clone, Default)]
pub struct Swarm {
    pub nodes: Vec<Node>,
    pub networks: Vec<Value>,
    pub services: Vec<Value>,
    pub tasks: Vec<Value>,
    pub secrets: Vec<Value>,
    pub configs: Vec<Value>,
    /// What secrets hold, by their ids.
    pub kept: BTreeMap<String, Vec<u8>>,
    pub worker_token: String,
    pub manager_token: String,
}

/// A node of a swarm; whether it is well depends on its machine.
#[derive(Clone, Default)]
pub struct Node {
    pub id: String,
    pub hostname: String,
    pub role: String,
    pub availability: String,
    pub labels: BTreeMap<String, String>,
}

/// How the engine's API is asked.
const API: &str = "command -v docker >/dev/null || { echo 'docker is not installed' >&2; exit 1; }
curl -sS --max-time 50 --unix-socket /var/run/docker.sock -w '\\n' ";

const NO_LEADER: &str = "rpc error: code = Unknown desc = The swarm does not have a leader.";

/// Whether a script needs the docker command.
pub fn is_docker(script: &str) -> bool {
    script.starts_with("docker ") || script.starts_with("read -r t && docker ")
}

impl State {
    /// A swarm begun on a host, as `docker swarm init` does.
    pub fn init(&mut self, host: &str) -> String {
        let id = format!("swarm{}", self.next());
        self.swarms.insert(id.clone(), Swarm::default());
        self.rotate(&id, "worker");
        self.rotate(&id, "manager");
        self.enter(&id, host, "manager");
        id
    }

    pub fn rotate(&mut self, swarm: &str, kind: &str) {
        let token = format!("SWMTKN-1-{kind}-{:04}-secret", self.next());
        self.tokens.insert(token.clone());
        let swarm = self.swarms.get_mut(swarm).expect("a swarm");
        match kind {
            "worker" => swarm.worker_token = token,
            _ => swarm.manager_token = token,
        }
    }

    /// A host becomes a node.
    pub fn enter(&mut self, swarm: &str, host: &str, role: &str) {
        let id = format!("node{}id", self.next());
        let guest = self.guests.get_mut(host).expect("a host of the lab");
        guest.node = Some((swarm.to_owned(), id.clone()));
        guest.local_state = None;
        let node = Node {
            id,
            hostname: host.to_owned(),
            role: role.to_owned(),
            availability: "active".to_owned(),
            labels: BTreeMap::new(),
        };
        self.swarms.get_mut(swarm).expect("a swarm").nodes.push(node);
    }

    /// The one swarm that there is.
    pub fn swarm(&mut self) -> &mut Swarm {
        assert_eq!(self.swarms.len(), 1, "there is one swarm");
        self.swarms.values_mut().next().expect("one")
    }

    pub fn is_well(&self, node: &Node) -> bool {
        self.guests
            .values()
            .any(|g| g.engine && g.is_up() && g.node.as_ref().is_some_and(|(_, id)| *id == node.id))
    }

    fn has_quorum(&self, swarm: &Swarm) -> bool {
        let managers: Vec<_> = swarm.nodes.iter().filter(|n| n.role == "manager").collect();
        managers.iter().filter(|n| self.is_well(n)).count() * 2 > managers.len()
    }

    pub fn manages(&self, host: &str) -> Option<String> {
        let (swarm, id) = self.guests[host].node.clone()?;
        let has = &self.swarms[&swarm];
        has.nodes.iter().any(|n| n.id == id && n.role == "manager").then_some(swarm)
    }

    fn info(&self, host: &str) -> Value {
        let guest = &self.guests[host];
        let mut swarm = json!({
            "NodeID": "", "NodeAddr": "", "LocalNodeState": guest.local_state.unwrap_or("inactive"),
            "ControlAvailable": false, "Error": "", "RemoteManagers": null
        });
        if let Some((id, node)) = &guest.node {
            swarm["NodeID"] = json!(node);
            swarm["LocalNodeState"] = json!(guest.local_state.unwrap_or("active"));
            if self.manages(host).is_some() && guest.local_state.is_none() {
                swarm["ControlAvailable"] = json!(true);
                let quorum = self.has_quorum(&self.swarms[id]);
                swarm["Cluster"] = json!({ "ID": if quorum { id } else { "" } });
                swarm["Error"] = json!(if quorum { "" } else { NO_LEADER });
            }
        }
        json!({ "ID": guest.engine_id, "ServerVersion": "28.1.1", "Swarm": swarm })
    }

    fn node_json(&self, node: &Node, leader: bool) -> Value {
        let until = |ends: &BTreeMap<String, Instant>| {
            ends.get(&node.id).is_some_and(|end| Instant::now() < *end)
        };
        let well = until(&self.unseen) || self.is_well(node) && !until(&self.unheard);
        let mut shown = json!({
            "ID": node.id,
            "Version": { "Index": 9 },
            "Spec": { "Labels": node.labels, "Role": node.role, "Availability": node.availability },
            "Description": { "Hostname": node.hostname },
            "Status": { "State": if well { "ready" } else { "down" }, "Addr": "10.20.30.1" }
        });
        if node.role == "manager" {
            let reach = if well { "reachable" } else { "unreachable" };
            shown["ManagerStatus"] = json!({ "Leader": leader, "Reachability": reach });
        }
        shown
    }

    /// Commands that only look; `None` where it is none of docker's.
    pub fn look(&mut self, host: &str, script: &str) -> Option<Output> {
        let daemon = self.guests[host].engine;
        let asked = script.strip_prefix(API).and_then(|s| s.strip_suffix(" && date +%s"));
        if let Some(urls) = asked {
            self.end_tasks();
            return Some(match (self.guests[host].packages, daemon) {
                (false, _) => fails(1, "docker is not installed"),
                (_, false) => fails(7, "curl: (7) Failed to connect to /var/run/docker.sock"),
                _ => {
                    let answers: String =
                        urls.split(' ').map(|u| self.answer(host, u) + "\n").collect();
                    says(answers + &self.now().to_string())
                }
            });
        }
        if let Some(rest) = script.strip_prefix("all=$(docker image inspect -f '{{.Id}}' ") {
            let (tag, rest) = rest.split_once(
                " 2>/dev/null) || { echo 'it is not loaded'; exit 1; }\nset -- $all\ncase $1 in ",
            )?;
            let (ids, end) = rest.split_once(") shift;; *) echo ")?;
            assert_eq!(end, format!("{tag} is another image; exit 1;; esac\n"), "one image");
            return Some(match self.guests[host].images.get(tag) {
                Some(id) if ids.split('|').any(|i| i == id) => says(""),
                Some(_) if daemon => Output { code: 1, ..says(format!("{tag} is another image")) },
                _ => Output { code: 1, ..says("it is not loaded") },
            });
        }
        if let Some(answer) = self.has_pause(host, script) {
            return Some(answer);
        }
        if script.starts_with("c=$(docker ps -q --filter label=com.docker.swarm.service.name=") {
            return self.look_redis(script).or_else(|| self.etcdctl(host, script));
        }
        None
    }

    /// What the API answers, an error of it being JSON, too.
    fn answer(&self, host: &str, url: &str) -> String {
        let path = url.strip_prefix("http://docker").expect("docker's socket");
        if path == "/info" {
            return self.info(host).to_string() + "\n";
        }
        let error = |text: &str| json!({ "message": text }).to_string() + "\n";
        let Some(id) = self.manages(host) else {
            return error("This node is not a swarm manager.");
        };
        let swarm = &self.swarms[&id];
        if !self.has_quorum(swarm) {
            return error(NO_LEADER);
        }
        let answer = match path {
            "/nodes" => {
                let node = |(at, n): (usize, &Node)| self.node_json(n, at == 0);
                swarm.nodes.iter().enumerate().map(node).collect()
            }
            "/networks" => {
                let other = |name: &str, driver: &str, scope: &str, ingress: bool| {
                    json!({ "Name": name, "Driver": driver, "Scope": scope, "Ingress": ingress,
                        "IPAM": { "Config": null }, "Labels": { "bp.lab": "lab" } })
                };
                let overlay = |n: &Value| {
                    let mut n = n.clone();
                    (n["Driver"], n["Scope"]) = (json!("overlay"), json!("swarm"));
                    n
                };
                let others = [
                    other("ingress", "overlay", "swarm", true),
                    other("bridge", "bridge", "local", false),
                ];
                swarm.networks.iter().map(overlay).chain(others).collect()
            }
            "/services" => swarm.services.clone(),
            "/tasks" => swarm.tasks.clone(),
            "/secrets" => swarm.secrets.clone(),
            "/configs" => swarm.configs.clone(),
            _ => panic!("{host}: unknown question {url}"),
        };
        json!(answer).to_string() + "\n"
    }

    /// `etcdctl` in a member's container.
    fn etcdctl(&mut self, host: &str, script: &str) -> Option<Output> {
        let service = format!("etcd_etcd-{host}");
        let begin = format!(
            "c=$(docker ps -q --filter label=com.docker.swarm.service.name={service} | head -n 1)\n\
             [ -n \"$c\" ] || {{ echo 'the member of {host} does not run' >&2; exit 1; }}\n\
             docker exec \"$c\" etcdctl "
        );
        let ask = script.strip_prefix(&begin)?;
        let runs = |s: &Swarm, name: &str| s.services.iter().any(|s| s["Spec"]["Name"] == name);
        let swarm = self.swarms.values().next();
        if !swarm.is_some_and(|s| runs(s, &service)) {
            return Some(fails(1, &format!("the member of {host} does not run")));
        }
        let own = swarm.and_then(|s| s.services.iter().find(|s| s["Spec"]["Name"] == service));
        if !own.is_some_and(|s| is_let_in(&s["Spec"]["TaskTemplate"]["ContainerSpec"])) {
            let why = "Error: context deadline exceeded: authentication handshake failed";
            return Some(Output { code: 1, ..says(why) });
        }
        let members: Vec<Value> = swarm
            .map(|s| s.services.as_slice())
            .unwrap_or_default()
            .iter()
            .filter_map(|s| s["Spec"]["Name"].as_str()?.strip_prefix("etcd_").map(str::to_owned))
            .map(|name| {
                json!({ "Endpoint": format!("https://{name}:2379"),
                    "Status": { "header": { "member_id": 1 }, "version": "3.5.16",
                        "dbSize": 20480, "leader": 8_211_337_445_u64, "raftTerm": 2 } })
            })
            .collect();
        // As many as the fake's services: they all began at once.
        let listed = |m: &Value| {
            let client = m["Endpoint"].as_str().expect("text");
            let peer = client.replace(":2379", ":2380");
            let name = client.trim_start_matches("https://").trim_end_matches(":2379");
            format!("1, started, {name}, {peer}, {client}, false\n")
        };
        Some(match ask.strip_suffix(" 2>&1").unwrap_or(ask) {
            "--command-timeout=20s endpoint status --cluster -w json" => {
                says(json!(members).to_string())
            }
            "--command-timeout=20s member list" => {
                says(members.iter().map(listed).collect::<String>())
            }
            "--command-timeout=45s get bp/lab --print-value-only" => {
                says(self.etcd.get("bp/lab").cloned().unwrap_or_default())
            }
            "--command-timeout=45s put bp/lab lab" => {
                self.etcd.insert("bp/lab".to_owned(), "lab".to_owned());
                self.log.push(format!("{host}$ etcdctl put bp/lab lab"));
                says("OK")
            }
            _ => return None,
        })
    }
}

/// Whether `etcdctl` in a container talks to its member as the member's certificates want it.
fn is_let_in(container: &Value) -> bool {
    let has = |list: &str, root: &str, path: &Value| {
        let entries = container[list].as_array().into_iter().flatten();
        let mut names =
            entries.map(|e| format!("{root}{}", e["File"]["Name"].as_str().unwrap_or("")));
        names.any(|name| *path == name)
    };
    let env = &container["Env"];
    let args = container["Args"].as_array().into_iter().flatten();
    let flag = |name: &str| {
        let found = args.clone().find_map(|a| a.as_str()?.strip_prefix(name));
        json!(found)
    };
    env["ETCDCTL_ENDPOINTS"] == "https://localhost:2379"
        && has("Secrets", "/run/secrets/", &env["ETCDCTL_CERT"])
        && env["ETCDCTL_KEY"] == env["ETCDCTL_CERT"]
        && has("Configs", "", &env["ETCDCTL_CACERT"])
        && ["--cert-file=", "--key-file=", "--peer-cert-file=", "--peer-key-file="]
            .iter()
            .all(|f| has("Secrets", "/run/secrets/", &flag(f)))
        && ["--trusted-ca-file=", "--peer-trusted-ca-file="]
            .iter()
            .all(|f| has("Configs", "", &flag(f)))
        && ["--client-cert-auth=", "--peer-client-cert-auth="].iter().all(|f| flag(f) == "true")
}
