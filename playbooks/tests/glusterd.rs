//! A cluster of glusterd: peers, volumes, bricks, healing, mounts. What it does not know fails the
//! test. Its answers have the shape that glusterd 10.3 gave.

use super::fake::State;
use super::shell::{says, words};
use crate::gluster_host::FUNCTIONS;
use crate::gluster_view::ASKS;
use providers::Output;
use std::collections::{BTreeMap, BTreeSet};

/// What lies where a brick is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lies {
    Empty,
    Files,
    Remains,
    /// A brick of the volume with this id.
    Brick(String),
}

/// What is mounted on a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum On {
    /// A volume from this source.
    Volume(String),
    /// The client of such a mount has died.
    Dead(String),
    /// Something else: type and source.
    Other(String),
}

/// GlusterFS on one host.
#[derive(Clone, Debug, Default)]
pub struct Daemon {
    pub client: bool,
    pub server: bool,
    pub runs: bool,
    pub uuid: String,
    /// The pool it is in.
    pub pool: u32,
    /// The names by which it knows others, and how many more questions it takes until it has a
    /// connection to each.
    pub knows: BTreeMap<String, u32>,
    /// Names that do not resolve here.
    pub nameless: BTreeSet<String>,
    /// Names that resolve to something else.
    pub resolves: BTreeMap<String, String>,
    pub lies: BTreeMap<String, Lies>,
    pub mounts: BTreeMap<String, On>,
    /// Folders under mount points that hold files.
    pub full: BTreeSet<String>,
    pub fstab: Vec<String>,
    /// Whom bp took into the pool, as the host was told.
    pub probed: Option<BTreeSet<String>>,
    /// Whether its unit is started again after a failure.
    pub drop_in: bool,
    /// Bricks whose process is gone.
    pub dead_bricks: BTreeSet<String>,
}

/// A volume.
#[derive(Clone, Debug, Default)]
pub struct Vol {
    pub id: String,
    pub pool: u32,
    pub state: &'static str,
    pub replica: u32,
    pub arbiter: u32,
    pub bricks: Vec<String>,
    pub options: BTreeMap<String, String>,
    /// Entries that wait for healing, by brick.
    pub pending: BTreeMap<String, u32>,
    /// What was written while not every brick was there: the bricks that hold it.
    pub written: Vec<BTreeSet<String>>,
    /// Files in split-brain.
    pub split: Vec<String>,
    /// What moves: kind, bricks, state, and how many more questions until it is completed.
    pub task: Option<(&'static str, Vec<String>, &'static str, u32)>,
    /// Files that a removal of bricks leaves behind.
    pub left_behind: u32,
    /// Files on it, by path.
    pub files: BTreeMap<String, String>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Gluster {
    pub daemons: BTreeMap<String, Daemon>,
    pub volumes: BTreeMap<String, Vol>,
    /// What every `peer status` says instead of an answer.
    pub busy: Option<&'static str>,
    /// The connection ends at this change, which is done or not; after it nobody answers.
    pub cut: Option<(usize, bool)>,
    /// Nobody answers.
    pub dark: bool,
    serial: u32,
}

const DOMAIN: &str = "lab.test";

pub fn host_of(name: &str) -> &str {
    name.strip_suffix(&format!(".{DOMAIN}")).unwrap_or(name)
}

fn xml(body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<cliOutput>\n  \
         <opRet>0</opRet>\n  <opErrno>0</opErrno>\n  <opErrstr/>\n{body}</cliOutput>\n"
    )
}

fn refused(why: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n<cliOutput>\n  \
         <opRet>-1</opRet>\n  <opErrno>30800</opErrno>\n  <opErrstr>{why}</opErrstr>\n</cliOutput>\n"
    )
}

impl Gluster {
    /// A host's part, made when it is first asked for.
    pub fn daemon(&mut self, host: &str) -> &mut Daemon {
        if !self.daemons.contains_key(host) {
            self.serial += 1;
            let uuid = format!("00000000-0000-4000-8000-{:012}", self.serial);
            let daemon = Daemon { uuid, pool: self.serial, ..Daemon::default() };
            self.daemons.insert(host.to_owned(), daemon);
        }
        self.daemons.get_mut(host).expect("made")
    }

    pub fn new_id(&mut self) -> String {
        self.serial += 1;
        format!("aaaaaaaa-0000-4000-8000-{:012}", self.serial)
    }
}

impl State {
    /// Whether the connection ends at the command that has just run; `before` is how it was before.
    pub fn cut_gluster(&mut self, before: (usize, Gluster)) -> bool {
        let (logged, was) = before;
        let Some((number, done)) = self.gluster.cut.filter(|_| self.log.len() > logged) else {
            return false;
        };
        if number == 1 {
            if !done {
                self.log.truncate(logged);
                self.gluster = was;
            }
            self.gluster.dark = true;
        }
        self.gluster.cut = Some((number.saturating_sub(1), done)).filter(|(n, _)| *n > 0);
        self.gluster.dark
    }

    pub fn answers(&self, host: &str) -> bool {
        let runs = self.gluster.daemons.get(host).is_some_and(|d| d.runs);
        runs && self.guests.get(host).is_some_and(super::fake::Guest::is_up)
    }

    pub fn brick_online(&self, brick: &str) -> bool {
        let (name, path) = brick.split_once(':').expect("host:/path");
        let dead = &self.gluster.daemons[host_of(name)].dead_bricks;
        self.answers(host_of(name)) && !dead.contains(path)
    }

    /// What commands that only look say.
    pub fn look_gluster(&mut self, host: &str, script: &str) -> Option<Output> {
        if let Some(asked) = script.strip_prefix(FUNCTIONS) {
            let asked: Vec<String> = asked.lines().map(str::to_owned).collect();
            return Some(says(self.host_view(host, &asked)));
        }
        if let Some(asked) = script.strip_prefix(ASKS) {
            let asked = asked.to_owned();
            return Some(says(self.pool_view(host, &asked)));
        }
        if let Some(asked) =
            script.strip_prefix("timeout -k 2 60 gluster --mode=script --xml volume remove-brick ")
        {
            let asked = words(asked);
            assert_eq!(asked.last().map(String::as_str), Some("status"));
            let left = self.gluster.volumes[&asked[0]].left_behind;
            return Some(says(xml(&format!(
                "  <volRemoveBrick>\n    <aggregate>\n      <files>9</files>\n      <failures>0</failures>\n      \
                 <skipped>{left}</skipped>\n      <statusStr>completed</statusStr>\n    </aggregate>\n  </volRemoveBrick>\n"
            ))));
        }
        let daemon = self.gluster.daemon(host).clone();
        let so =
            |is: bool, why: &str| Some(if is { says("") } else { Output { code: 1, ..says(why) } });
        if script.starts_with("command -v apt-get")
            && script.contains("for p in glusterfs-server attr; do")
        {
            return so(daemon.server, "glusterfs-server is not installed");
        }
        if script.starts_with("command -v apt-get")
            && script.contains("for p in glusterfs-client; do")
        {
            return so(daemon.client, "glusterfs-client is not installed");
        }
        if script.starts_with("d=/etc/systemd/system/glusterd.service.d/bp.conf\n") {
            return so(daemon.runs, "glusterd is inactive");
        }
        None
    }

    fn host_view(&mut self, host: &str, asked: &[String]) -> String {
        let mut said = String::new();
        let mut lines = asked.iter();
        while let Some(line) = lines.next() {
            let asked = words(line);
            let daemon = self.gluster.daemon(host).clone();
            match asked[0].as_str() {
                "names" => {
                    for name in &asked[1..] {
                        let mut address = self.guests[host_of(name)].address.clone();
                        if let Some(other) = daemon.resolves.get(name) {
                            address.clone_from(other);
                        }
                        if daemon.nameless.contains(name) {
                            address.clear();
                        }
                        said.push_str(&format!("@name {name} {address}\n"));
                    }
                }
                "brick" => {
                    let is = match daemon.lies.get(&asked[1]) {
                        _ if !daemon.server => "unknown".to_owned(),
                        None => "absent".to_owned(),
                        Some(Lies::Empty) => "empty".to_owned(),
                        Some(Lies::Files) => "files".to_owned(),
                        Some(Lies::Remains) => "remains".to_owned(),
                        Some(Lies::Brick(id)) => {
                            format!("brick {} {}", id.replace('-', ""), asked[1])
                        }
                    };
                    said.push_str(&format!("@brick {} {is}\n", asked[1]));
                }
                "volume" => {
                    let folder = &asked[1];
                    let (is, shared) = match daemon.mounts.get(folder) {
                        Some(On::Volume(source)) => {
                            let name = source.rsplit(":/").next().expect("a volume");
                            // Of one that was deleted nothing answers.
                            let volume =
                                self.gluster.volumes.get(name).cloned().unwrap_or_default();
                            let any = volume.bricks.iter().any(|b| self.brick_online(b));
                            let text = volume.files.get(&asked[2]).cloned().unwrap_or_default();
                            match any {
                                true => (format!("answers {source}"), Some(text)),
                                false => (format!("silent {source}"), None),
                            }
                        }
                        Some(On::Dead(source)) => (format!("silent {source}"), None),
                        Some(On::Other(what)) => (format!("other {what}"), None),
                        None if daemon.full.contains(folder) => ("files".to_owned(), None),
                        None => ("absent".to_owned(), None),
                    };
                    said.push_str(&format!("@mount {folder} {is}\n"));
                    for line in daemon.fstab.iter().filter(|l| l.split(' ').nth(1) == Some(folder))
                    {
                        said.push_str(&format!("@fstab {folder} {line}\n"));
                    }
                    if let Some(text) = shared {
                        said.push_str(&format!("@shared {folder} {text}\n"));
                    }
                }
                "lab" => {
                    let [_, lab, mount, volume, drop_in, record] = &asked[..] else {
                        panic!("{host}: {line}")
                    };
                    assert_eq!((mount.as_str(), volume.as_str()), ("x-bp.lab", "user.bp.lab"));
                    let option = format!("x-bp.lab={lab}");
                    for line in &daemon.fstab {
                        let fields: Vec<&str> = line.split(' ').collect();
                        if fields[3].split(',').any(|o| o == option) {
                            said.push_str(&format!("@tagged {}\n", fields[1]));
                        }
                    }
                    for (name, vol) in &self.gluster.volumes {
                        if vol.pool == daemon.pool && vol.options.get(volume) == Some(lab) {
                            said.push_str(&format!("@volume {name}\n"));
                        }
                    }
                    if daemon.drop_in {
                        said.push_str(&format!("@file {drop_in}\n"));
                    }
                    if let Some(names) = &daemon.probed {
                        said.push_str(&format!("@file {record}\n"));
                        names.iter().for_each(|n| said.push_str(&format!("@probed {n}\n")));
                    }
                }
                "[" => {
                    assert_eq!(line, "[ -e /var/lib/glusterd/bp-lab ] || exit 0");
                    if daemon.probed.is_none() {
                        break;
                    }
                }
                "printf" => {
                    let uuid = if daemon.server { daemon.uuid.as_str() } else { "" };
                    said.push_str(&format!("@uuid {uuid}\n"));
                }
                "echo" => {
                    let head = "echo @peers; command -v gluster >/dev/null || { echo 'gluster is not installed'; exit 0; }";
                    let then = "timeout -k 2 60 gluster --mode=script --xml peer status 2>&1";
                    assert_eq!(
                        (line.as_str(), lines.next().map(String::as_str)),
                        (head, Some(then))
                    );
                    said.push_str(&format!("@peers\n{}", self.peer_status(host)));
                }
                "exit" => {}
                _ => panic!("{host}: unknown question: {line}"),
            }
        }
        said
    }

    fn peer_status(&mut self, host: &str) -> String {
        let daemon = self.gluster.daemon(host).clone();
        if !daemon.server {
            return "gluster is not installed\n".to_owned();
        }
        if !daemon.runs {
            return "Connection failed. Please check if gluster daemon is operational.\n"
                .to_owned();
        }
        if let Some(busy) = self.gluster.busy {
            return refused(busy);
        }
        let mut peers = String::new();
        for (name, wait) in &daemon.knows {
            let other = self.gluster.daemons[host_of(name)].clone();
            let connected = u8::from(self.answers(host_of(name)) && *wait == 0);
            let (state, text) = match wait {
                0 => (3, "Peer in Cluster"),
                _ => (4, "Accepted peer request"),
            };
            peers.push_str(&format!(
                "    <peer>\n      <uuid>{}</uuid>\n      <hostname>{name}</hostname>\n      <hostnames>\n        \
                 <hostname>{name}</hostname>\n      </hostnames>\n      <connected>{connected}</connected>\n      \
                 <state>{state}</state>\n      <stateStr>{text}</stateStr>\n    </peer>\n",
                other.uuid
            ));
        }
        for wait in self.gluster.daemon(host).knows.values_mut() {
            *wait = wait.saturating_sub(1);
        }
        xml(&format!("  <peerStatus>\n{peers}  </peerStatus>\n"))
    }

    fn pool_view(&mut self, host: &str, asked: &str) -> String {
        assert!(self.answers(host), "{host}: asked for the pool, and its daemon does not run");
        let pool = self.gluster.daemons[host].pool;
        let names: Vec<String> = self
            .gluster
            .volumes
            .iter()
            .filter(|(_, v)| v.pool == pool)
            .map(|(n, _)| n.clone())
            .collect();
        let mut said = format!("@info\n{}", xml(&self.volume_info(&names)));
        said.push_str("@status\n");
        match self.gluster.busy {
            Some(busy) => said.push_str(&refused(busy)),
            None => said.push_str(&xml(&self.volume_status(&names))),
        }
        for line in asked.lines() {
            if line == "exit 0" {
                break;
            }
            let name = line.strip_prefix("healing ").expect("a question about healing");
            // A volume without copies, or none at all, is not asked.
            let copies = self.gluster.volumes.get(name).filter(|v| v.pool == pool);
            if copies.is_none_or(|v| v.replica == 1) {
                continue;
            }
            said.push_str(&format!("@heal {name}\n"));
            let started = self
                .gluster
                .volumes
                .get(name)
                .is_some_and(|v| v.state == "Started" && v.pool == pool);
            if !started {
                said.push_str(&refused(&format!("Volume {name} is not started")));
                continue;
            }
            let volume = self.gluster.volumes[name].clone();
            said.push_str(&xml(&self.heal_info(&volume, &volume.pending, "f")));
            if volume.pending.values().any(|n| *n > 0) {
                let split: BTreeMap<String, u32> =
                    volume.bricks.iter().map(|b| (b.clone(), volume.split.len() as u32)).collect();
                said.push_str(&format!(
                    "@split {name}\n{}",
                    xml(&self.heal_info(&volume, &split, &volume.split.join("")))
                ));
            }
        }
        self.time_passes(&names);
        said
    }

    /// Between two questions files are healed and moved.
    fn time_passes(&mut self, names: &[String]) {
        for name in names {
            let bricks = self.gluster.volumes[name].bricks.clone();
            let all = bricks.iter().all(|b| self.brick_online(b));
            let volume = self.gluster.volumes.get_mut(name).expect("there");
            if all && volume.split.is_empty() {
                volume.pending.values_mut().for_each(|n| *n = n.saturating_sub(2));
                if volume.pending.values().all(|n| *n == 0) {
                    volume.written.clear();
                }
            }
            if let Some((_, _, state, left)) = &mut volume.task {
                *left = left.saturating_sub(1);
                if *left == 0 && *state == "in progress" {
                    *state = "completed";
                }
            }
        }
    }

    fn volume_info(&self, names: &[String]) -> String {
        let mut volumes = String::new();
        for name in names {
            let v = &self.gluster.volumes[name];
            let bricks: String = v
                .bricks
                .iter()
                .map(|b| format!("          <brick uuid=\"u\">{b}<name>{b}</name><hostUuid>u</hostUuid><isArbiter>0</isArbiter></brick>\n"))
                .collect();
            let options: String = v
                .options
                .iter()
                .map(|(k, v)| format!("          <option>\n            <name>{k}</name>\n            <value>{v}</value>\n          </option>\n"))
                .collect();
            let status = ["Created", "Started", "Stopped"]
                .iter()
                .position(|s| *s == v.state)
                .expect("a state");
            let kind = match (v.replica, v.bricks.len() as u32) {
                (1, _) => "Distribute",
                (r, n) if r == n => "Replicate",
                _ => "Distributed-Replicate",
            };
            volumes.push_str(&format!(
                "      <volume>\n        <name>{name}</name>\n        <id>{}</id>\n        <status>{status}</status>\n        \
                 <statusStr>{}</statusStr>\n        <replicaCount>{}</replicaCount>\n        <arbiterCount>{}</arbiterCount>\n        \
                 <disperseCount>0</disperseCount>\n        <typeStr>{kind}</typeStr>\n        <bricks>\n{bricks}        </bricks>\n        \
                 <options>\n{options}        </options>\n      </volume>\n",
                v.id, v.state, v.replica, v.arbiter
            ));
        }
        format!(
            "  <volInfo>\n    <volumes>\n{volumes}      <count>{}</count>\n    </volumes>\n  </volInfo>\n",
            names.len()
        )
    }

    fn volume_status(&self, names: &[String]) -> String {
        let mut volumes = String::new();
        for name in names {
            let v = &self.gluster.volumes[name];
            if v.state != "Started" {
                continue;
            }
            let mut nodes = String::new();
            for brick in &v.bricks {
                let (host, path) = brick.split_once(':').expect("host:/path");
                // A daemon that is away says nothing: its bricks are not in the answer.
                if !self.answers(host_of(host)) {
                    continue;
                }
                let (on, port) = if self.brick_online(brick) { (1, "49152") } else { (0, "N/A") };
                nodes.push_str(&format!(
                    "        <node>\n          <hostname>{host}</hostname>\n          <path>{path}</path>\n          <peerid>u</peerid>\n          \
                     <status>{on}</status>\n          <port>{port}</port>\n          <ports>\n            <tcp>{port}</tcp>\n            <rdma>N/A</rdma>\n          </ports>\n          <pid>7</pid>\n        </node>\n"
                ));
            }
            nodes.push_str("        <node>\n          <hostname>Self-heal Daemon</hostname>\n          <path>localhost</path>\n          <status>1</status>\n          <port>N/A</port>\n        </node>\n");
            let tasks = match &v.task {
                None => "        <tasks/>\n".to_owned(),
                Some((kind, bricks, state, _)) => {
                    let bricks: String = bricks
                        .iter()
                        .map(|b| format!("              <brick>{b}</brick>\n"))
                        .collect();
                    format!(
                        "        <tasks>\n          <task>\n            <type>{kind}</type>\n            <id>1</id>\n            <statusStr>{state}</statusStr>\n            <params>\n{bricks}            </params>\n          </task>\n        </tasks>\n"
                    )
                }
            };
            volumes.push_str(&format!(
                "      <volume>\n        <volName>{name}</volName>\n{nodes}{tasks}      </volume>\n"
            ));
        }
        format!("  <volStatus>\n    <volumes>\n{volumes}    </volumes>\n  </volStatus>\n")
    }

    fn heal_info(&self, volume: &Vol, pending: &BTreeMap<String, u32>, file: &str) -> String {
        let mut bricks = String::new();
        for brick in &volume.bricks {
            let count = pending.get(brick).copied().unwrap_or(0);
            bricks
                .push_str(&format!("      <brick hostUuid=\"u\">\n        <name>{brick}</name>\n"));
            if self.brick_online(brick) {
                for n in 0..count {
                    bricks.push_str(&format!("        <file gfid=\"g{n}\">/{file}</file>\n"));
                }
                bricks.push_str(&format!("        <status>Connected</status>\n        <numberOfEntries>{count}</numberOfEntries>\n"));
            } else {
                bricks.push_str("        <status>Transport endpoint is not connected</status>\n        <numberOfEntries>-</numberOfEntries>\n");
            }
            bricks.push_str("      </brick>\n");
        }
        format!("  <healInfo>\n    <bricks>\n{bricks}    </bricks>\n  </healInfo>\n")
    }
}
