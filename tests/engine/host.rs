//! One host of a blueprint, and the steps that bp would run on it.

use crate::root::{OneRoot, Root};
use blueprints::{EngineSource, Lab, Outside};
use playbooks::event::Events;
use playbooks::{Check, Cx, Failure, Plan, Step, World, survey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const BLUEPRINT: &[u8] = b"
version: 1
name: lab
domain: lab.test
hosts: { node1: { provider: existing, role: manager, address: 127.0.0.1 } }
phases: [engine]
";

/// A host with the engine that the blueprint wants there.
pub struct Host {
    /// What stands for the machine.
    pub root: Arc<Root>,
    /// The blueprint, as it is read.
    pub lab: Lab,
}

impl Host {
    /// A fresh one.
    pub fn new(name: &str, source: EngineSource) -> Self {
        let read = blueprints::read(BLUEPRINT, "bp.yml", Path::new("/"), &Nothing);
        let (mut lab, _) = read.expect("the blueprint is right");
        lab.engine.source = source;
        Self { root: Arc::new(Root::new(name)), lab }
    }

    /// From now on the blueprint pins this version.
    pub fn pin(&mut self, version: &str) {
        self.lab.engine.version = Some(version.to_owned());
    }

    /// What bp would do: its step of this name, and what it is given.
    fn step(&self, name: &str) -> (Cx, Step) {
        let world: Arc<dyn World> = Arc::new(OneRoot(self.root.clone()));
        let beside = Path::new("/nonexistent");
        let Plan { steps, .. } = playbooks::plan(&self.lab, beside, &world).expect("a plan");
        let step = steps.into_iter().find(|s| s.name == name).expect("a step of this name");
        let (listener, _) = tokio::sync::mpsc::unbounded_channel();
        let events = Events::new(listener, None);
        (Cx::new(Arc::new(self.lab.clone()), beside.to_owned(), events, world), step)
    }

    /// Why a step is not true; `None` where it is.
    pub async fn reason(&self, name: &str) -> Option<String> {
        let (cx, step) = self.step(name);
        match survey::check(&cx, &step).await {
            Check::True => None,
            Check::Not(reason) => Some(reason),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Applies a step in the background. Whoever aborts it cuts the connection.
    pub fn start(&self, name: &str) -> JoinHandle<Result<(), Failure>> {
        let (cx, step) = self.step(name);
        tokio::spawn(async move {
            let apply = step.apply.as_ref().expect("the step has an apply");
            apply(cx).await.map_err(Failure::from)
        })
    }

    /// Waits until a process whose command line begins like this runs on the host, while
    /// something is being done there.
    pub async fn until_runs(&self, command: &str, doing: &JoinHandle<Result<(), Failure>>) {
        let end = Instant::now() + Duration::from_secs(300);
        while !self.root.runs(command) {
            assert!(!doing.is_finished(), "it ended, and `{command}` did not run");
            assert!(Instant::now() < end, "no `{command}`");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Applies a step.
    pub async fn apply(&self, name: &str) -> Result<(), Failure> {
        self.start(name).await.expect("it ends")
    }

    /// What a step says that does not work.
    pub async fn refused(&self, name: &str) -> String {
        match self.apply(name).await {
            Ok(()) => panic!("{name} was applied"),
            Err(failure) => failure.message,
        }
    }

    /// A step that is not so for this reason is made so; and made so again, it stays so.
    pub async fn makes(&self, name: &str, because: &str) {
        assert_eq!(self.reason(name).await.as_deref(), Some(because));
        for _ in 0..2 {
            self.apply(name).await.unwrap_or_else(|e| panic!("{name}: {}", e.message));
            assert_eq!(self.reason(name).await, None, "{name}, after it was applied");
        }
    }

    /// The version of a package.
    pub fn version(&self, package: &str) -> String {
        self.root.sh(&format!("dpkg-query -W -f '${{Version}}' {package}"))
    }
}

/// A blueprint that names nothing outside.
struct Nothing;

impl Outside for Nothing {
    fn read(&self, _: &Path) -> std::io::Result<Vec<u8>> {
        Err(std::io::ErrorKind::NotFound.into())
    }

    fn is_file(&self, _: &Path) -> bool {
        false
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
