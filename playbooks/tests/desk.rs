//! Hosts that are folders: what bp runs on them really runs, in a shell of this machine, where
//! `docker` and the programs of containers are stubs that know nothing but what they are asked.

use super::bench::{Bench, cx};
use crate::cx::{Cx, World};
use crate::event::Event;
use crate::step::Failure;
use async_trait::async_trait;
use blueprints::Host;
use providers::{
    Access, Cmd, Existing, Held, HoldError, Machine, Output, Provider, Session, SessionError, Stdin,
};
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::sync::mpsc;

const STUBS: [(&str, &str); 10] = [
    ("chown", include_str!("stubs/chown")),
    ("curl", include_str!("stubs/curl")),
    ("docker", include_str!("stubs/docker")),
    ("etcdctl", include_str!("stubs/etcdctl")),
    ("gitlab-backup", include_str!("stubs/gitlab-backup")),
    ("gitlab-ctl", include_str!("stubs/gitlab-ctl")),
    ("gitlab-healthcheck", include_str!("stubs/gitlab-healthcheck")),
    ("mountpoint", "#!/bin/sh\n"),
    ("pg_dump", include_str!("stubs/pg_dump")),
    ("stolonctl", include_str!("stubs/stolonctl")),
];

/// A lab of such hosts.
pub struct Desk {
    pub bench: Bench,
    state: tempfile::TempDir,
}

impl Desk {
    pub fn new(blueprint: &str) -> Self {
        let desk =
            Self { bench: Bench::new(blueprint), state: tempfile::tempdir().expect("a folder") };
        for (name, text) in STUBS {
            let path = desk.write(&format!("bin/{name}"), text);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        }
        for host in &desk.bench.lab.hosts {
            std::fs::create_dir_all(desk.path(&format!("{}/tmp", host.name))).expect("a folder");
        }
        desk.write("log", "");
        desk.api();
        desk
    }

    /// A file of this state.
    pub fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What was done since the last time this was asked.
    pub fn log(&self) -> String {
        let log = self.read("log");
        self.write("log", "");
        log
    }

    /// A container of a service runs on a host.
    pub fn runs(&self, host: &str, service: &str) {
        self.write(&format!("{host}/{service}"), "");
        self.api();
    }

    /// The swarm's API says what runs.
    fn api(&self) {
        let hosts: Vec<&str> = self.bench.lab.hosts.iter().map(|h| h.name.as_str()).collect();
        let node = |host: &&str| {
            json!({ "ID": host, "Spec": { "Labels": { "bp.host": host, "bp.lab": "lab" },
                "Role": "manager", "Availability": "active" },
                "Description": { "Hostname": host }, "Status": { "State": "ready" } })
        };
        let (mut services, mut tasks) = (Vec::<Value>::new(), Vec::<Value>::new());
        for host in &hosts {
            for entry in std::fs::read_dir(self.path(host)).expect("a host") {
                let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
                if !name.contains('_') {
                    continue;
                }
                services.push(json!({ "ID": name, "Spec": { "Name": name, "TaskTemplate": {} } }));
                tasks.push(json!({ "ServiceID": name, "NodeID": host, "DesiredState": "running",
                    "Status": { "State": "running", "Timestamp": "2026-01-01T00:00:00Z" }, "Spec": {} }));
            }
        }
        let info = json!({ "ID": "E", "Swarm": { "NodeID": "n", "LocalNodeState": "active",
            "ControlAvailable": true, "Error": "", "Cluster": { "ID": "swarm" } } });
        let nodes: Vec<Value> = hosts.iter().map(node).collect();
        for (name, answer) in [
            ("info", info),
            ("nodes", json!(nodes)),
            ("networks", json!([])),
            ("services", json!(services)),
            ("tasks", json!(tasks)),
            ("secrets", json!([])),
            ("configs", json!([])),
        ] {
            self.write(&format!("api/{name}"), &(answer.to_string() + "\n"));
        }
    }

    pub fn cx(&self) -> (Cx, mpsc::UnboundedReceiver<Event>) {
        let world = Arc::new(Shells { state: self.state.path().to_owned() });
        let (cx, events) = cx(self.bench.lab.clone(), self.bench.dir.path(), world);
        crate::journal::private_dir(cx.dir()).expect("the lab's folder");
        (cx, events)
    }
}

struct Shells {
    state: PathBuf,
}

#[async_trait]
impl World for Shells {
    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        vec![Arc::new(Existing)]
    }

    fn provider(&self, _: &Host) -> Arc<dyn Provider> {
        Arc::new(Existing)
    }

    async fn connect(&self, host: &Host, _: &Machine) -> Result<Arc<dyn Session>, SessionError> {
        if self.state.join(&host.name).join("away").exists() {
            return Err(SessionError::Unreachable("it is away".to_owned()));
        }
        Ok(Arc::new(Shell { state: self.state.clone(), host: host.name.clone() }))
    }

    fn access(&self, _: &Host) -> Result<Access, Failure> {
        Err(Failure::new("nothing is made here"))
    }
}

struct Shell {
    state: PathBuf,
    host: String,
}

impl Shell {
    /// Folders of hosts and of containers are folders of this test.
    fn moved(&self, script: &str) -> String {
        let state = self.state.display();
        script
            .replace("/var/tmp/", &format!("{state}/{}/tmp/", self.host))
            .replace("/srv/", &format!("{state}/{}/srv/", self.host))
            .replace("/etc/bp/", &format!("{state}/etc-bp/"))
            .replace("/etc/gitlab/", &format!("{state}/gitlab/"))
            .replace("/tmp/restoring", &format!("{state}/restoring"))
            .replace("/run/bp-restores", &format!("{state}/bp-restores"))
            .replace("/opt/gitlab/bin/", &format!("{state}/bin/"))
            .replace("/var/opt/gitlab/", &format!("{state}/gitlab/"))
    }
}

#[async_trait]
impl Session for Shell {
    async fn run(&self, cmd: &Cmd) -> Result<Output, SessionError> {
        super::shell::is_shell(&cmd.script);
        let path = std::env::var("PATH").unwrap_or_default();
        let mut child = Command::new("sh")
            .args(["-c", &self.moved(&cmd.script)])
            .env("PATH", format!("{}/bin:{path}", self.state.display()))
            .env("STATE", &self.state)
            .env("HOST", &self.host)
            .env("SECRETS", self.state.join("secrets"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let input = match &cmd.stdin {
            Stdin::Empty => Vec::new(),
            Stdin::Bytes(bytes) => bytes.clone(),
            Stdin::File(path) => std::fs::read(path).expect("a file"),
        };
        let mut stdin = child.stdin.take().expect("a pipe");
        // Who reads nothing of it may end before all is written.
        let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("it ends");
        writing.join().expect("written");
        let code = output.status.code().expect("no signal");
        assert_ne!(code, 99, "{}\n{}", cmd.script, String::from_utf8_lossy(&output.stderr));
        Ok(Output { code, stdout: output.stdout, stderr: output.stderr })
    }

    async fn hold(&self, _: &Cmd) -> Result<(String, Box<dyn Held>), HoldError> {
        Ok(("held".to_owned(), Box::new(Forever)))
    }

    fn alive(&self) -> bool {
        true
    }
}

struct Forever;

impl Held for Forever {
    fn alive(&self) -> bool {
        true
    }
}

/// Every file below a folder, with its mode.
pub fn tree(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let about = entry.metadata().expect("there");
        all.push(format!("{:o} {name}", about.permissions().mode() & 0o777));
        if about.is_dir() {
            all.extend(tree(&entry.path()).into_iter().map(|below| format!("{name}: {below}")));
        }
    }
    all.sort();
    all
}
