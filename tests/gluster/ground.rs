//! Hosts on a wire, and bp's phase over them.

use crate::node::{Node, Wire};
use async_trait::async_trait;
use blueprints::{Host, Lab, Outside};
use playbooks::event::{Event, Events};
use playbooks::lock::Holder;
use playbooks::{Check, Cx, Failure, World, destroy, run, survey};
use providers::{Access, Existing, Machine, Provider, Session, SessionError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// Hosts `node1`, `node2` and so on, at 10.99.8.1 and so on.
pub struct Ground {
    pub nodes: BTreeMap<String, Arc<Node>>,
    wire: Wire,
    dir: PathBuf,
}

impl Ground {
    /// So many of them, all on.
    pub fn new(name: &str, count: usize) -> Self {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = tests.parent().expect("the workspace").join("target/gluster").join(name);
        remove(&dir);
        assert!(!dir.exists(), "{} is in the way", dir.display());
        let line = |n: usize| format!("10.99.8.{n} node{n}.lab.test node{n}\n");
        let hosts: String = (1..=count).map(line).collect();
        let hosts = format!("127.0.0.1 localhost\n{hosts}");
        let wire = Wire::new();
        let mut nodes = BTreeMap::new();
        for n in 1..=count {
            let name = format!("node{n}");
            let node = Node::new(&dir.join(&name), &format!("10.99.8.{n}"), &hosts);
            node.boot(&wire);
            nodes.insert(name, Arc::new(node));
        }
        Self { nodes, wire, dir }
    }

    /// A host.
    pub fn node(&self, name: &str) -> &Node {
        &self.nodes[name]
    }

    /// Power on again.
    pub fn boot(&self, name: &str) {
        self.node(name).boot(&self.wire);
    }

    /// What `bp plan` shows besides what is true.
    pub async fn plan(&self, lab: &Lab) -> String {
        let (cx, _) = self.cx(lab, false);
        let steps = self.steps(lab);
        let found = survey::survey(&cx, &steps).await;
        let not_true = steps.iter().zip(&found).filter(|(_, c)| **c != Check::True);
        let lines = not_true.map(|(step, check)| format!("{}: {}", step.title(), check.reason()));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// `bp up`: what failed, and how many steps were applied.
    pub async fn up(&self, lab: &Lab, wipe: bool) -> (String, usize) {
        let (cx, mut events) = self.cx(lab, wipe);
        let steps = self.steps(lab);
        let found = survey::survey(&cx, &steps).await;
        let me =
            Holder { verb: "up".to_owned(), who: "test".to_owned(), pid: 1, since: String::new() };
        let (_keep, stop) = watch::channel(false);
        let outcome = run::up(&cx, &steps, &found, 25, stop, &me).await.expect("no lock");
        let mut failed = Vec::new();
        while let Ok(event) = events.try_recv() {
            if let Event::StepFailed { about, error, .. } = event {
                failed.push(format!("{} / {}: {error}", about.step, about.host));
            }
        }
        (failed.join("\n"), outcome.sums.applied.unwrap_or(0))
    }

    /// `bp up` that has to succeed, with nothing left to do after it.
    pub async fn done(&self, lab: &Lab) {
        let (failed, _) = self.up(lab, false).await;
        assert_eq!(failed, "");
        assert_eq!(self.plan(lab).await, "", "right after `up` a plan is empty");
        assert_eq!(self.up(lab, false).await, (String::new(), 0));
    }

    /// `bp destroy`: what it found, and what of that is still there. The hosts share this machine's
    /// docker, whose swarm is not theirs.
    pub async fn destroy(&self, lab: &Lab) -> (String, String) {
        let (cx, mut events) = self.cx(lab, false);
        let found = destroy::doomed(&cx).await.expect("an answer");
        let words = found.words().join("\n");
        destroy::destroy(&cx, found).await;
        let mut left = Vec::new();
        while let Ok(event) = events.try_recv() {
            match event {
                Event::NotRemoved { what, error } if !what.starts_with("swarm membership") => {
                    left.push(format!("{what}: {error}"));
                }
                _ => {}
            }
        }
        (words, left.join("\n"))
    }

    fn steps(&self, lab: &Lab) -> Vec<playbooks::Step> {
        let world: Arc<dyn World> = Arc::new(Here(self.nodes.clone()));
        playbooks::plan(lab, &self.dir, &world).expect("a plan").steps
    }

    fn cx(&self, lab: &Lab, wipe: bool) -> (Cx, tokio::sync::mpsc::UnboundedReceiver<Event>) {
        let (listener, receiver) = tokio::sync::mpsc::unbounded_channel();
        let world: Arc<dyn World> = Arc::new(Here(self.nodes.clone()));
        let cx =
            Cx::new(Arc::new(lab.clone()), self.dir.clone(), Events::new(listener, None), world);
        (cx.wiping_bricks(wipe), receiver)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.nodes.values().for_each(|n| n.cut());
        remove(&self.dir);
    }
}

/// Takes a folder away, mount points included, which bp makes immutable.
fn remove(dir: &Path) {
    let script = "[ ! -e \"$1\" ] || { chattr -f -R -i \"$1\"; rm -rf \"$1\"; }";
    let _ = std::process::Command::new("sh").args(["-c", script, "sh"]).arg(dir).status();
}

/// A lab of these hosts, `brick` on the first so many, with these volumes.
pub fn lab(hosts: &[&str], bricks: &[&str], volumes: &str) -> Lab {
    let mut text =
        String::from("version: 1\nname: lab\ndomain: lab.test\nphases: [gluster]\nhosts:\n");
    for host in hosts {
        let (n, role) = (&host[4..], if *host == hosts[0] { "manager" } else { "worker" });
        let brick = if bricks.contains(host) { ", brick: /srv/gluster" } else { "" };
        text.push_str(&format!(
            "  {host}: {{ provider: existing, role: {role}, address: 10.99.8.{n}{brick} }}\n"
        ));
    }
    if !volumes.is_empty() {
        text.push_str(&format!("gluster: {{ {volumes} }}\n"));
    }
    let read = blueprints::read(text.as_bytes(), "bp.yml", Path::new("/"), &Nothing);
    read.unwrap_or_else(|wrong| panic!("{text}\n{wrong:?}")).0
}

struct Nothing;

impl Outside for Nothing {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn glob(&self, _: &Path) -> std::io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn env_is_set(&self, _: &str) -> bool {
        false
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }
}

/// A world of these hosts.
struct Here(BTreeMap<String, Arc<Node>>);

#[async_trait]
impl World for Here {
    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        vec![Arc::new(Existing)]
    }

    fn provider(&self, _: &Host) -> Arc<dyn Provider> {
        Arc::new(Existing)
    }

    async fn connect(&self, host: &Host, _: &Machine) -> Result<Arc<dyn Session>, SessionError> {
        let node = self.0[&host.name].clone();
        match node.alive() {
            true => Ok(node),
            false => Err(SessionError::Unreachable("no route to host".to_owned())),
        }
    }

    fn access(&self, host: &Host) -> Result<Access, Failure> {
        Err(Failure::new(format!("`{}` is there already", host.name)))
    }
}
