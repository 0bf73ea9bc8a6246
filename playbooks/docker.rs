//! What docker's API answers, as types.
//!
//! Changes go through the `docker` command. Questions go to the same engine's API by `curl` on its
//! socket: the command costs a third of a second a call on an emulated machine, `curl` a tenth of
//! that, and one call asks everything.

use crate::cx::Cx;
use crate::step::Failure;
use providers::Cmd;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// What one host's engine says of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EngineInfo {
    /// The engine's own id.
    #[serde(rename = "ID", default)]
    pub id: String,
    /// Its part in a swarm.
    #[serde(default)]
    pub swarm: EngineSwarm,
}

/// An engine's part in a swarm.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EngineSwarm {
    /// The node's id, empty outside a swarm.
    #[serde(rename = "NodeID")]
    pub node_id: String,
    /// `inactive`, `pending`, `active`, `error`, `locked`.
    pub local_node_state: String,
    /// Whether it is a manager that can act: there is a quorum.
    pub control_available: bool,
    /// What went wrong.
    pub error: String,
    /// The swarm, as far as this node knows it.
    pub cluster: Option<Cluster>,
}

/// A swarm's identity.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Cluster {
    /// The swarm's id.
    #[serde(rename = "ID")]
    pub id: String,
}

impl EngineInfo {
    /// Asks a host's engine.
    pub(crate) async fn ask(cx: &Cx, host: &str) -> Result<Self, String> {
        let answers = api(cx, host, &["/info"]).await?;
        read(answers.first())
    }

    /// Whether it is an active member of some swarm.
    pub fn is_member(&self) -> bool {
        self.swarm.local_node_state == "active"
    }
}

/// The swarm as one of its managers sees it.
#[derive(Clone, Debug)]
pub struct SwarmView {
    /// The host that was asked.
    pub manager: String,
    /// The swarm's id.
    pub id: String,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Its overlay networks, the ingress network left out.
    pub networks: Vec<OverlayNetwork>,
    /// Its services.
    pub services: Vec<Service>,
    /// Their tasks, those that ended not long ago among them.
    pub tasks: Vec<Task>,
    /// Its secrets, without what they hold.
    pub secrets: Vec<Sealed>,
    /// Its configs.
    pub configs: Vec<Sealed>,
    /// The manager's clock when it was asked, in seconds since 1970.
    pub now: i64,
}

/// A secret or a config: it never changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Sealed {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// When it was made, in RFC 3339, by a manager's clock.
    #[serde(default)]
    pub created_at: String,
    /// What it is.
    pub spec: SealedSpec,
}

impl Sealed {
    /// A label of it; empty where it has none of this name.
    pub fn label(&self, name: &str) -> &str {
        self.spec.labels.get(name).map_or("", String::as_str)
    }
}

/// What a secret or a config is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SealedSpec {
    /// Its name.
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// A config's content in base64; empty for secrets.
    #[serde(default)]
    pub data: String,
}

/// A node.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// The node's id.
    #[serde(rename = "ID")]
    pub id: String,
    /// What was asked of it.
    pub spec: NodeSpec,
    /// What it says of itself.
    pub description: NodeDescription,
    /// How it is.
    pub status: NodeStatus,
    /// For managers only.
    pub manager_status: Option<ManagerStatus>,
}

/// What was asked of a node.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeSpec {
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `manager` or `worker`.
    pub role: String,
    /// `active`, `pause`, `drain`.
    pub availability: String,
}

/// What a node says of itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeDescription {
    /// Its host name.
    #[serde(default)]
    pub hostname: String,
}

/// How a node is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeStatus {
    /// `ready`, `down`, `unknown`, `disconnected`.
    pub state: String,
}

/// How a manager is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ManagerStatus {
    /// Whether it leads.
    #[serde(default)]
    pub leader: bool,
    /// `reachable`, `unreachable`, `unknown`.
    #[serde(default)]
    pub reachability: String,
}

/// A network.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OverlayNetwork {
    /// Its name.
    pub name: String,
    /// `overlay`, `bridge`, ….
    #[serde(default)]
    pub driver: String,
    /// `swarm` or `local`.
    #[serde(default)]
    pub scope: String,
    /// Whether containers that are no services may join.
    #[serde(default)]
    pub attachable: bool,
    /// Whether it has no way out.
    #[serde(default)]
    pub internal: bool,
    /// Whether it is the routing mesh's own.
    #[serde(default)]
    pub ingress: bool,
    /// Driver options; `encrypted` stands here.
    #[serde(default)]
    pub options: Option<BTreeMap<String, String>>,
    /// Its labels.
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    /// Its addresses.
    #[serde(rename = "IPAM", default)]
    pub ipam: Ipam,
}

impl OverlayNetwork {
    /// Whether engines encrypt what goes over it: they look whether the option is there.
    pub fn is_encrypted(&self) -> bool {
        self.options.as_ref().is_some_and(|o| o.contains_key("encrypted"))
    }
}

/// A network's addresses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    /// One for each subnet.
    pub config: Option<Vec<IpamConfig>>,
}

/// One subnet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamConfig {
    /// In CIDR form.
    pub subnet: String,
}

/// A service.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    /// The service's id.
    #[serde(rename = "ID")]
    pub id: String,
    /// What was asked of it.
    pub spec: ServiceSpec,
    /// How its last update went.
    pub update_status: Option<UpdateStatus>,
}

/// What was asked of a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceSpec {
    /// Its name, `<stack>_<service>`.
    pub name: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its tasks.
    pub task_template: TaskTemplate,
    /// `Replicated`, `Global`, `ReplicatedJob`, `GlobalJob`: the key says which.
    #[serde(default)]
    pub mode: Value,
}

impl Service {
    /// The stack it belongs to.
    pub fn stack(&self) -> &str {
        self.spec.labels.get("com.docker.stack.namespace").map_or("", String::as_str)
    }

    /// Its mode, as a compose file calls it.
    pub fn mode(&self) -> &'static str {
        let modes = [
            ("Global", "global"),
            ("ReplicatedJob", "replicated-job"),
            ("GlobalJob", "global-job"),
        ];
        let is = |(key, _): &(&str, &str)| self.spec.mode.get(key).is_some();
        modes.into_iter().find(is).map_or("replicated", |(_, mode)| mode)
    }

    /// How many tasks it is asked to keep; `None` for global services and jobs.
    pub fn replicas(&self) -> Option<u64> {
        self.spec.mode.get("Replicated")?.get("Replicas")?.as_u64()
    }

    /// Whether it is a job: its tasks are to end.
    pub fn is_job(&self) -> bool {
        self.spec.mode.get("ReplicatedJob").or(self.spec.mode.get("GlobalJob")).is_some()
    }
}

/// A service's tasks.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskTemplate {
    /// Their container, as docker describes it; null for what is no container, such as a foot in
    /// an attachable network.
    #[serde(default)]
    pub container_spec: Value,
    /// Limits and reservations, as docker describes them.
    #[serde(default)]
    pub resources: Value,
    /// When they are started again.
    pub restart_policy: Option<RestartPolicy>,
    /// Raised by `--force`.
    #[serde(default)]
    pub force_update: u64,
}

impl TaskTemplate {
    /// The image, without the digest that docker may have added.
    pub fn image(&self) -> &str {
        let image = self.container_spec.get("Image").and_then(Value::as_str).unwrap_or_default();
        image.split('@').next().unwrap_or(image)
    }
}

/// When tasks are started again.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RestartPolicy {
    /// `none`, `on-failure`, `any`.
    #[serde(default)]
    pub condition: String,
}

/// How an update went.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateStatus {
    /// When it began, in RFC 3339, by a manager's clock.
    #[serde(default)]
    pub started_at: String,
    /// `updating`, `paused`, `completed`, `rollback_started`, `rollback_paused`, `rollback_completed`.
    #[serde(default)]
    pub state: String,
    /// In docker's words.
    #[serde(default)]
    pub message: String,
}

/// A task.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Task {
    /// The task's id, by which its container is known on its node.
    #[serde(rename = "ID", default)]
    pub id: String,
    /// Its service.
    #[serde(rename = "ServiceID", default)]
    pub service_id: String,
    /// Its node; empty while it has none.
    #[serde(rename = "NodeID", default)]
    pub node_id: String,
    /// Which replica it is; 0 for global services.
    #[serde(default)]
    pub slot: u64,
    /// When it was made, in RFC 3339.
    #[serde(default)]
    pub created_at: String,
    /// What it is asked to be: `running`, `shutdown`, `complete`, ….
    pub desired_state: String,
    /// How it is.
    pub status: TaskStatus,
    /// What it runs.
    pub spec: TaskTemplate,
}

/// How a task is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TaskStatus {
    /// Since when, in RFC 3339, by its node's clock.
    #[serde(default)]
    pub timestamp: String,
    /// `new`, `pending`, `preparing`, `starting`, `running`, `complete`, `failed`, `rejected`, ….
    pub state: String,
    /// What went wrong.
    #[serde(default)]
    pub err: String,
}

/// Asks a host's engine, one line for each path.
async fn api(cx: &Cx, host: &str, paths: &[&str]) -> Result<Vec<String>, String> {
    let urls: Vec<String> = paths.iter().map(|path| format!("http://docker{path}")).collect();
    let cmd = Cmd::new(format!(
        "command -v docker >/dev/null || {{ echo 'docker is not installed' >&2; exit 1; }}\n\
         curl -sS --max-time 50 --unix-socket /var/run/docker.sock -w '\\n' {} && date +%s",
        urls.join(" ")
    ));
    let output = cx.run(host, &cmd).await.map_err(|e| format!("{host}: {e}"))?;
    if !output.ok() {
        let why = output.err();
        return Err(format!("{host}: {}", why.lines().next().unwrap_or("docker does not answer")));
    }
    // Each answer is one line of JSON with a newline of its own, and curl's between them.
    let text = output.out();
    Ok(text.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect())
}

/// What a manager is asked for, in the order of [`SwarmView`]'s fields.
const VIEW: [&str; 6] = ["/nodes", "/networks", "/services", "/tasks", "/secrets", "/configs"];

impl SwarmView {
    /// Asks the first manager of the lab that can act.
    pub(crate) async fn ask(cx: &Cx) -> Result<Self, String> {
        let managers: Vec<String> = cx.lab().managers().map(|h| h.name.clone()).collect();
        let engines = futures::future::join_all(managers.iter().map(|name| cx.engine(name))).await;
        let mut why = String::from("the lab has no managers");
        for (name, engine) in managers.iter().zip(engines) {
            let swarm = match engine {
                Ok(engine) => engine.swarm,
                Err(error) => {
                    why = error;
                    continue;
                }
            };
            let id = swarm.cluster.unwrap_or_default().id;
            if !swarm.control_available || id.is_empty() {
                why = match swarm.error.as_str() {
                    "" => format!("{name} is no manager of a swarm with a quorum"),
                    error => format!("{name}: {error}"),
                };
                continue;
            }
            match Self::ask_manager(cx, name, id).await {
                Ok(view) => return Ok(view),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    async fn ask_manager(cx: &Cx, manager: &str, id: String) -> Result<Self, String> {
        let answers = api(cx, manager, &VIEW).await?;
        let networks: Vec<OverlayNetwork> = read(answers.get(1))?;
        let of_swarm =
            |n: &OverlayNetwork| n.driver == "overlay" && n.scope == "swarm" && !n.ingress;
        Ok(Self {
            manager: manager.to_owned(),
            id,
            nodes: read(answers.first())?,
            networks: networks.into_iter().filter(of_swarm).collect(),
            services: read(answers.get(2))?,
            tasks: read(answers.get(3))?,
            secrets: read(answers.get(4))?,
            configs: read(answers.get(5))?,
            now: read(answers.get(6))?,
        })
    }

    /// The node of this id.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.id == id)
    }

    /// The host on which a task of a service runs.
    pub fn host_of(&self, service: &str) -> Option<String> {
        let id = &self.services.iter().find(|s| s.spec.name == service)?.id;
        let runs = |t: &&Task| t.service_id == *id && t.status.state == "running";
        let task = self.tasks.iter().filter(runs).max_by_key(|t| &t.created_at)?;
        self.node(&task.node_id)?.spec.labels.get(HOST_LABEL).cloned()
    }

    /// Whether a node of it says that it is this lab's.
    pub fn is_of(&self, lab: &str) -> bool {
        self.nodes.iter().any(|n| n.spec.labels.get(LAB_LABEL).is_some_and(|l| l == lab))
    }

    /// The node that bp marked as this host.
    pub fn node_of(&self, host: &str) -> Option<&Node> {
        let mine = |n: &&Node| n.spec.labels.get(HOST_LABEL).is_some_and(|h| h == host);
        // A machine that was made anew leaves its dead namesake behind for a while.
        self.nodes.iter().filter(mine).min_by_key(|n| n.status.state != "ready")
    }
}

impl SwarmView {
    /// The hosts of the lab on which a task of this service runs.
    pub(crate) fn hosts_of(&self, service: &str) -> Vec<String> {
        let found = self.services.iter().find(|s| s.spec.name == service);
        let id = found.map_or("", |s| s.id.as_str());
        let runs = |t: &&Task| {
            t.service_id == id && t.status.state == "running" && t.desired_state == "running"
        };
        let nodes = self.tasks.iter().filter(runs).filter_map(|t| self.node(&t.node_id));
        nodes.filter_map(|n| n.spec.labels.get(HOST_LABEL).cloned()).collect()
    }

    /// Whether a host is paused and has no task of this service: it keeps what it runs, and is given
    /// nothing new.
    pub(crate) fn is_passed_over(&self, host: &str, service: &str) -> bool {
        let found = self.services.iter().find(|s| s.spec.name == service);
        let Some(node) = self.node_of(host).filter(|n| n.spec.availability == "pause") else {
            return false;
        };
        let here = |t: &Task| t.node_id == node.id && t.desired_state == "running";
        !found.is_some_and(|s| self.tasks.iter().any(|t| t.service_id == s.id && here(t)))
    }
}

/// The label that says which host of the lab a node is.
pub(crate) const HOST_LABEL: &str = "bp.host";

/// The label that says which lab a node, a network or a service belongs to.
pub(crate) const LAB_LABEL: &str = "bp.lab";

fn read<T: DeserializeOwned>(text: Option<&String>) -> Result<T, String> {
    let text = text.ok_or("docker's answer ended early")?;
    serde_json::from_str(text).map_err(|e| format!("docker answered what bp can't read: {e}"))
}

/// Whether a change failed of managers that are too slow for a moment, or elect a leader: docker's
/// own bound on a request is a few seconds.
pub(crate) fn passes(failure: &Failure) -> bool {
    ["context deadline exceeded", "The swarm does not have a leader", "update out of sequence"]
        .iter()
        .any(|p| failure.detail.contains(p))
}

/// How often a change is sent while managers answer so.
pub(crate) const ATTEMPTS: u32 = 5;

/// The failure of a step that needs a manager and finds none.
pub(crate) fn no_manager(why: String) -> Failure {
    Failure::new(format!("no manager can act: {why}"))
        .hint("a swarm needs more than half of its managers; `bp status` says which are away")
}

/// The shell that finds the container of a service's task on a host: its id in `$c`, which is empty where
/// none runs.
pub(crate) fn container(service: &str) -> String {
    let label = "com.docker.swarm.service.name";
    format!("c=$(docker ps -q --filter label={label}={service} | head -n 1)")
}
