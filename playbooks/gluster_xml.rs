//! What `gluster --xml` says, read into plain values. Versions 10 and 11 were seen; what is missing
//! or new is no error.

use blueprints::VolumeKind;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// A peer as one daemon knows it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Peer {
    pub uuid: String,
    /// The name that it goes by.
    pub hostname: String,
    hostnames: Hostnames,
    connected: u8,
    state: u8,
    #[serde(rename = "stateStr")]
    state_text: String,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Hostnames {
    hostname: Vec<String>,
}

impl Peer {
    /// Whether it is known by this name.
    pub fn is_called(&self, name: &str) -> bool {
        self.hostname == name || self.hostnames.hostname.iter().any(|n| n == name)
    }

    /// What it lacks to be of use; `None`: nothing. `Peer in Cluster` is the state 3.
    pub fn lacks(&self) -> Option<String> {
        match (self.state, self.connected) {
            (3, 1) => None,
            (3, _) => Some("is not connected".to_owned()),
            _ => Some(format!("is not in the pool yet: {}", self.state_text)),
        }
    }

    /// Whether the daemon has a connection to it.
    pub fn is_connected(&self) -> bool {
        self.connected == 1
    }
}

/// A volume as the pool knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub name: String,
    pub id: String,
    /// `Created`, `Started` or `Stopped`.
    pub state: String,
    /// `None`: a kind that bp does not make.
    pub kind: Option<VolumeKind>,
    /// The kind in gluster's words.
    pub kind_text: String,
    /// Its bricks in their order, as `host:/path`.
    pub bricks: Vec<String>,
    pub options: IndexMap<String, String>,
}

impl Volume {
    /// Whether its bricks are to run.
    pub fn is_started(&self) -> bool {
        self.state == "Started"
    }

    /// An option of it.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

/// What runs of a volume, and what is being done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub volume: String,
    pub bricks: Vec<Process>,
    pub tasks: Vec<Task>,
}

/// A brick's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// `host:/path`.
    pub brick: String,
    pub online: bool,
    pub port: String,
}

/// Files on their way between bricks.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct Task {
    /// `Rebalance` or `Remove brick`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `in progress`, `completed`, `failed`, `stopped`, `not started`.
    #[serde(rename = "statusStr")]
    pub state: String,
    params: Params,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Params {
    brick: Vec<String>,
}

impl Task {
    /// The bricks that it takes files from.
    pub fn bricks(&self) -> &[String] {
        &self.params.brick
    }

    /// Whether it is about exactly these bricks.
    pub fn is_over(&self, bricks: &[String]) -> bool {
        let sorted = |all: &[String]| {
            let mut all = all.to_vec();
            all.sort();
            all
        };
        sorted(self.bricks()) == sorted(bricks)
    }
}

/// What waits for healing on a brick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Healing {
    /// `host:/path`.
    pub brick: String,
    /// How many entries, or why the brick can't say.
    pub entries: Result<u64, String>,
    /// The first of them.
    pub files: Vec<String>,
    /// What gluster knows them by on every brick, all of them.
    pub ids: BTreeSet<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer<T> {
    #[serde(rename = "opRet")]
    code: i32,
    #[serde(rename = "opErrstr")]
    error: String,
    #[serde(
        rename = "peerStatus",
        alias = "volInfo",
        alias = "volStatus",
        alias = "healInfo",
        alias = "volRemoveBrick"
    )]
    body: T,
}

/// The part that was asked for, or what gluster says instead.
fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, String> {
    let last = || text.lines().map(str::trim).rfind(|l| !l.is_empty()).unwrap_or("no answer");
    if !text.contains("<cliOutput>") {
        return Err(last().to_owned());
    }
    let answer: Answer<T> =
        quick_xml::de::from_str(text).map_err(|e| format!("gluster's answer: {e}"))?;
    match answer.code {
        0 => Ok(answer.body),
        code if answer.error.is_empty() => Err(format!("gluster ended with {code}")),
        _ => Err(answer.error),
    }
}

/// Of `peer status`.
pub(crate) fn peers(text: &str) -> Result<Vec<Peer>, String> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Body {
        peer: Vec<Peer>,
    }
    Ok(read::<Body>(text)?.peer)
}

/// Of `volume info`.
pub(crate) fn volumes(text: &str) -> Result<Vec<Volume>, String> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Body {
        volumes: Volumes,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Volumes {
        volume: Vec<Written>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Written {
        name: String,
        id: String,
        #[serde(rename = "statusStr")]
        state: String,
        #[serde(rename = "typeStr")]
        kind: String,
        #[serde(rename = "replicaCount")]
        replica: u32,
        #[serde(rename = "arbiterCount")]
        arbiter: u32,
        #[serde(rename = "disperseCount")]
        disperse: u32,
        bricks: Bricks,
        options: Options,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Bricks {
        brick: Vec<Brick>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Brick {
        name: String,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Options {
        option: Vec<Pair>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Pair {
        name: String,
        value: String,
    }
    let volume = |v: Written| Volume {
        kind: match (v.disperse, v.arbiter, v.replica) {
            (0, 0, 0 | 1) => Some(VolumeKind::Distribute),
            (0, 0, replica) => Some(VolumeKind::Replica(replica)),
            (0, 1, 3) => Some(VolumeKind::Arbiter),
            _ => None,
        },
        name: v.name,
        id: v.id,
        state: v.state,
        kind_text: v.kind,
        bricks: v.bricks.brick.into_iter().map(|b| b.name).collect(),
        options: v.options.option.into_iter().map(|o| (o.name, o.value)).collect(),
    };
    Ok(read::<Body>(text)?.volumes.volume.into_iter().map(volume).collect())
}

/// Of `volume status all`. Volumes that are not started are not in it.
pub(crate) fn status(text: &str) -> Result<Vec<Status>, String> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Body {
        volumes: Volumes,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Volumes {
        volume: Vec<Written>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Written {
        #[serde(rename = "volName")]
        name: String,
        node: Vec<Node>,
        tasks: Tasks,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Node {
        hostname: String,
        path: String,
        status: u8,
        port: String,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Tasks {
        task: Vec<Task>,
    }
    // Daemons of the pool stand in the same list, without a path of their own.
    let process = |n: Node| {
        let (brick, online) = (format!("{}:{}", n.hostname, n.path), n.status == 1);
        n.path.starts_with('/').then_some(Process { brick, online, port: n.port })
    };
    let one = |v: Written| Status {
        volume: v.name,
        bricks: v.node.into_iter().filter_map(process).collect(),
        tasks: v.tasks.task,
    };
    Ok(read::<Body>(text)?.volumes.volume.into_iter().map(one).collect())
}

/// Of `volume heal V info` and of `volume heal V info split-brain`.
pub(crate) fn healing(text: &str) -> Result<Vec<Healing>, String> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Body {
        bricks: Bricks,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Bricks {
        brick: Vec<Written>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Written {
        name: String,
        file: Vec<File>,
        status: String,
        #[serde(rename = "numberOfEntries")]
        entries: String,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct File {
        #[serde(rename = "@gfid")]
        id: String,
        #[serde(rename = "$text")]
        path: String,
    }
    let one = |b: Written| Healing {
        brick: b.name,
        entries: b.entries.parse().map_err(|_| b.status),
        ids: b.file.iter().map(|f| f.id.clone()).collect(),
        files: b.file.into_iter().map(|f| f.path).take(5).collect(),
    };
    Ok(read::<Body>(text)?.bricks.brick.into_iter().map(one).collect())
}

/// Of `volume remove-brick V BRICK... status`: how many files did not move.
pub(crate) fn left_behind(text: &str) -> Result<u64, String> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Body {
        aggregate: Sum,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Sum {
        failures: u64,
        skipped: u64,
    }
    let sum = read::<Body>(text)?.aggregate;
    Ok(sum.failures + sum.skipped)
}
