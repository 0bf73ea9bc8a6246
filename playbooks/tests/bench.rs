//! A lab on fakes: read from a blueprint, surveyed and run as `bp` does it.

use super::base_host::Ground;
use super::fake::{Guest, Site};
use crate::cx::{Cx, World};
use crate::event::{Event, Events, Mark, Sums, line};
use crate::lock::{Holder, LockError};
use crate::run::{Outcome, up};
use crate::step::{Check, Step};
use crate::{phase_name, survey};
use blueprints::{Lab, Outside};
use providers::State as Is;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Three managers and two workers, made on a hypervisor.
pub const LAB: &str = "
version: 1
name: lab
provider: { libvirt: { subnet: 10.20.30.0/24, template: debian-13.qcow2 } }
hosts:
  'node{1..3}': { role: manager }
  'worker{1..2}': { role: worker }
engine: { source: distro }
";

/// The blueprint's folder as it is.
pub struct Disk;

impl Outside for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        path.is_file()
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(if pattern.is_file() { vec![pattern.to_owned()] } else { Vec::new() })
    }

    fn env_is_set(&self, _: &str) -> bool {
        false
    }

    fn home(&self) -> Option<PathBuf> {
        None
    }
}

/// What happened in a run.
pub struct Ran {
    pub outcome: Outcome,
    pub events: Vec<Event>,
}

/// A lab, its world, and the folder of its blueprint.
pub struct Bench {
    pub lab: Arc<Lab>,
    pub site: Site,
    pub dir: tempfile::TempDir,
    phases: Vec<&'static str>,
}

impl Bench {
    pub fn new(blueprint: &str) -> Self {
        Self::with(blueprint, &[])
    }

    /// With these files beside the blueprint.
    pub fn with(blueprint: &str, files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, content) in files.iter().chain([&("debian-13.qcow2", b"QFI".as_slice())]) {
            std::fs::write(dir.path().join(name), content).expect("written");
        }
        let lab = match blueprints::read(blueprint.as_bytes(), "bp.yml", dir.path(), &Disk) {
            Ok((lab, _)) => Arc::new(lab),
            Err(wrong) => {
                panic!("{}", wrong.iter().map(|d| format!("{d:?}\n")).collect::<String>())
            }
        };
        let site = Site::new(&lab.hosts);
        Self { lab, site, dir, phases: Vec::new() }
    }

    /// The same world under another blueprint, as after an edit of the file.
    pub fn edited(mut self, blueprint: &str) -> Self {
        let read = blueprints::read(blueprint.as_bytes(), "bp.yml", self.dir.path(), &Disk);
        self.lab = Arc::new(read.unwrap_or_else(|wrong| panic!("{wrong:?}")).0);
        self
    }

    /// Only these phases.
    pub fn only(mut self, phases: &[&'static str]) -> Self {
        self.phases = phases.to_vec();
        self
    }

    /// All machines are there, with an engine as the blueprint wants it.
    pub fn with_engines(self) -> Self {
        let wants = "{\"log-driver\": \"json-file\", \"log-opts\": {\"max-size\": \"10m\", \"max-file\": \"3\"}}";
        for host in &self.lab.hosts {
            self.site.guest(&host.name, |g: &mut Guest| {
                (g.machine, g.running) = (Some(Is::Right), true);
                (g.packages, g.engine, g.enabled) = (true, true, true);
                g.ground = Ground::done();
                g.daemon_json = Some(wants.to_owned());
            });
        }
        for is in self.site.lock().shared.values_mut() {
            *is = Is::Right;
        }
        self
    }

    /// All of that, and the swarm.
    pub async fn with_swarm(self) -> Self {
        let phases = self.phases.clone();
        let bench = self.with_engines().only(&["swarm"]);
        bench.done().await;
        bench.site.changes();
        bench.only(&phases)
    }

    pub fn steps(&self) -> Vec<Step> {
        let plan = crate::plan(&self.lab, self.dir.path(), &self.site.world());
        let mut steps = plan.unwrap_or_else(|f| panic!("{f:?}")).steps;
        let known: Vec<String> = self.lab.phases.iter().map(phase_name).collect();
        assert!(self.phases.iter().all(|p| known.iter().any(|k| k == p)), "{known:?}");
        steps.retain(|s| self.phases.is_empty() || self.phases.contains(&s.phase.as_str()));
        steps
    }

    pub fn cx(&self) -> (Cx, mpsc::UnboundedReceiver<Event>) {
        cx(self.lab.clone(), self.dir.path(), self.site.world())
    }

    /// What `bp plan` shows besides what is true.
    pub async fn plan(&self) -> String {
        let (cx, _events) = self.cx();
        let steps = self.steps();
        let before = self.site.changes();
        let found = survey::survey(&cx, &steps).await;
        assert_eq!(self.site.changes(), "", "a plan changes nothing");
        self.site.lock().log.extend(before.lines().map(str::to_owned));
        shown(&steps, &found)
    }

    /// `bp up`.
    pub async fn up(&self) -> Ran {
        self.up_until(watch::channel(false).1).await
    }

    pub async fn up_until(&self, stop: watch::Receiver<bool>) -> Ran {
        let (cx, events) = self.cx();
        let ran = ran(&cx, events, &self.steps(), stop).await.expect("the lock is free");
        let said: String = ran.events.iter().map(|e| line(e) + "\n").collect();
        for token in &self.site.lock().tokens {
            assert!(!said.contains(token), "a token was said: {said}");
        }
        ran
    }

    /// `bp up` that has to succeed; after it a plan is empty and a second run applies nothing.
    pub async fn done(&self) -> Ran {
        let ran = self.up().await;
        assert_eq!(ran.outcome.sums.failed, Some(0), "{}", ran.failures());
        assert!(!ran.outcome.interrupted);
        assert_eq!(self.plan().await, "", "right after `up` a plan is empty");
        let changes = self.site.changes();
        let again = self.up().await;
        assert_eq!((again.outcome.sums.applied, again.outcome.sums.failed), (Some(0), Some(0)));
        assert_eq!(self.site.changes(), "", "a second run changes nothing");
        self.site.lock().log.extend(changes.lines().map(str::to_owned));
        ran
    }

    /// The plan, what `up` then did, and how it ended.
    pub async fn transcript(&self) -> String {
        let plan = self.plan().await;
        let ran = self.up().await;
        let (sums, failures) = (&ran.outcome.sums, ran.failures());
        if sums.failed == Some(0) {
            assert_eq!(self.plan().await, "", "right after `up` a plan is empty");
        }
        let ended = format!(
            "applied {}, already true {}, failed {}",
            sums.applied.unwrap_or(0),
            sums.already_true.unwrap_or(0),
            sums.failed.unwrap_or(0)
        );
        let parts = [plan, self.site.changes(), failures, ended];
        parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("\n---\n")
    }
}

pub fn cx(
    lab: Arc<Lab>,
    dir: &Path,
    world: Arc<dyn World>,
) -> (Cx, mpsc::UnboundedReceiver<Event>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let events = Events::new(sender, None);
    (Cx::new(lab, dir.join(".bp"), events, world), receiver)
}

pub fn me() -> Holder {
    Holder { verb: "up".to_owned(), who: "me@here".to_owned(), pid: 1, since: "now".to_owned() }
}

fn shown(steps: &[Step], found: &[Check]) -> String {
    let marks = survey::marks(steps, found);
    let all = steps.iter().zip(found).zip(marks);
    let lines = all.filter(|(_, mark)| *mark != Mark::True).map(|((step, check), mark)| {
        format!("{} {}: {}", mark.as_str(), step.title(), check.reason())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Survey and run over these steps. Whatever happens, nothing is applied that was not shown.
pub async fn ran(
    cx: &Cx,
    mut receiver: mpsc::UnboundedReceiver<Event>,
    steps: &[Step],
    stop: watch::Receiver<bool>,
) -> Result<Ran, LockError> {
    let found = survey::survey(cx, steps).await;
    let marks = survey::marks(steps, &found);
    let shown: BTreeSet<String> = steps
        .iter()
        .zip(marks)
        .filter(|(_, m)| *m != Mark::True)
        .map(|(s, _)| format!("{} {}", s.name, s.on.host()))
        .collect();
    let outcome = up(cx, steps, &found, 25, stop, &me()).await?;
    let mut events = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        if let Event::Applying { about, .. } = &event {
            let name = format!("{} {}", about.step, about.host);
            assert!(shown.contains(&name), "`{name}` was applied, the plan did not show it");
        }
        events.push(event);
    }
    Ok(Ran { outcome, events })
}

impl Ran {
    /// Each failure with its place and its hint.
    pub fn failures(&self) -> String {
        let failed = self.events.iter().filter_map(|e| match e {
            Event::StepFailed { about, error, hint, .. } => {
                let hint = hint.as_ref().map(|h| format!("\nhint: {h}")).unwrap_or_default();
                Some(format!("{} / {} / {}: {error}{hint}", about.phase, about.step, about.host))
            }
            _ => None,
        });
        failed.collect::<Vec<_>>().join("\n")
    }

    /// The steps that were applied, in the order in which they began.
    pub fn applied(&self) -> Vec<String> {
        let applied = self.events.iter().filter_map(|e| match e {
            Event::Applying { about, .. } => Some(format!("{} {}", about.step, about.host)),
            _ => None,
        });
        applied.map(|a| a.trim_end().to_owned()).collect()
    }

    pub fn sums(&self) -> &Sums {
        &self.outcome.sums
    }
}
