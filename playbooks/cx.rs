//! What steps are given: the lab, its providers, and sessions on its hosts.

use crate::dns_records::Names;
use crate::docker::{EngineInfo, SwarmView};
use crate::event::{Event, Events};
use crate::gluster_host::HostView;
use crate::gluster_view::Pool;
use crate::stacks::stolon;
use crate::step::{Check, Failure, Trouble};
use async_trait::async_trait;
use blueprints::{Host, HostProvider, Lab};
use providers::dns::DnsServer;
use providers::{Access, Cmd, Machine, Output, Provider, ProviderError, Session, SessionError};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{Mutex, OnceCell};

/// What is outside this machine, so that tests can stand in for it.
#[async_trait]
pub trait World: Send + Sync {
    /// All providers of the lab.
    fn providers(&self) -> Vec<Arc<dyn Provider>>;

    /// The provider of this host.
    fn provider(&self, host: &Host) -> Arc<dyn Provider>;

    /// Logs in.
    async fn connect(
        &self,
        host: &Host,
        machine: &Machine,
    ) -> Result<Arc<dyn Session>, SessionError>;

    /// What a new machine is given so that bp can log in. Makes the lab's own key when it is needed
    /// and absent.
    fn access(&self, host: &Host) -> Result<Access, Failure>;

    /// The server that holds the lab's records, where the blueprint names one. Its secret is read
    /// now.
    async fn dns(&self) -> Result<Option<Arc<dyn DnsServer>>, Failure> {
        Ok(None)
    }

    /// What a secret of the blueprint holds now. Asked for once a run.
    async fn secret(&self, secret: &blueprints::Secret) -> Result<String, Failure> {
        let _ = secret;
        Err(Failure::new("there is nobody to give a secret"))
    }
}

/// What a step is given. Cheap to clone.
#[derive(Clone)]
pub struct Cx {
    run: Arc<Run>,
    round: Arc<Round>,
    wipe_bricks: bool,
}

/// Lasts for the whole run.
struct Run {
    lab: Arc<Lab>,
    dir: PathBuf,
    events: Events,
    world: Arc<dyn World>,
    sessions: HashMap<String, Mutex<Option<Arc<dyn Session>>>>,
    deployed: std::sync::Mutex<HashMap<String, Vec<Deployed>>>,
}

/// A service that this run has sent to the swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deployed {
    /// Its name in its stack.
    pub service: String,
    /// Its definition.
    pub spec: String,
    /// The definition before; `None`: it was not there.
    pub before: Option<String>,
    /// Whether it took its turn; else it was sent with others.
    pub alone: bool,
    /// Whether one of another mode had to go for it, which can't be brought back.
    pub anew: bool,
}

/// Lasts for one round of checks: what was asked once is not asked again.
#[derive(Default)]
struct Round {
    hosts: HashMap<String, HostRound>,
    swarm: OnceCell<Result<SwarmView, String>>,
    pool: OnceCell<Result<Pool, String>>,
    names: OnceCell<Result<Arc<Names>, String>>,
    stolon: OnceCell<Result<stolon::View, Check>>,
}

#[derive(Default)]
struct HostRound {
    machine: OnceCell<Result<Option<Machine>, String>>,
    session: OnceCell<Result<Arc<dyn Session>, SessionError>>,
    engine: OnceCell<Result<EngineInfo, String>>,
    gluster: OnceCell<Result<HostView, Check>>,
}

impl Cx {
    /// For one run over this lab; `dir` is the lab's own folder.
    pub fn new(lab: Arc<Lab>, dir: PathBuf, events: Events, world: Arc<dyn World>) -> Self {
        let sessions = lab.hosts.iter().map(|h| (h.name.clone(), Mutex::default())).collect();
        let round = Arc::new(Round::of(&lab));
        let deployed = std::sync::Mutex::default();
        let run = Arc::new(Run { lab, dir, events, world, sessions, deployed });
        Self { run, round, wipe_bricks: false }
    }

    /// The same run, with nothing remembered of the checks so far.
    pub fn fresh(&self) -> Self {
        let round = Arc::new(Round::of(&self.run.lab));
        Self { run: self.run.clone(), round, wipe_bricks: self.wipe_bricks }
    }

    /// With the operator's word that bricks of volumes that are gone may be wiped.
    pub fn wiping_bricks(mut self, consent: bool) -> Self {
        self.wipe_bricks = consent;
        self
    }

    /// Whether bricks of volumes that are gone may be wiped.
    pub fn may_wipe_bricks(&self) -> bool {
        self.wipe_bricks
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.run.lab
    }

    /// The lab's folder on the operator's machine.
    pub fn dir(&self) -> &std::path::Path {
        &self.run.dir
    }

    /// Where the run says what happens.
    pub fn events(&self) -> &Events {
        &self.run.events
    }

    /// What is outside this machine.
    pub fn world(&self) -> &Arc<dyn World> {
        &self.run.world
    }

    /// Notes that a service was sent to the swarm. The first word on what was before stays.
    pub(crate) fn note_deployed(&self, stack: &str, deployed: Deployed) {
        let mut all = self.run.deployed.lock().unwrap_or_else(|e| e.into_inner());
        let services = all.entry(stack.to_owned()).or_default();
        match services.iter_mut().find(|d| d.service == deployed.service) {
            Some(known) => known.spec = deployed.spec,
            None => services.push(deployed),
        }
    }

    /// The services of a stack that this run has sent to the swarm.
    pub(crate) fn deployed(&self, stack: &str) -> Vec<Deployed> {
        let all = self.run.deployed.lock().unwrap_or_else(|e| e.into_inner());
        all.get(stack).cloned().unwrap_or_default()
    }

    /// Says a remark.
    pub fn note(&self, text: impl Into<String>) {
        self.events().emit(Event::Note { text: text.into() });
    }

    fn known(&self, host: &str) -> (&Host, &HostRound) {
        let found = self.run.lab.host(host).expect("steps name hosts of the lab");
        (found, &self.round.hosts[host])
    }

    /// The host's machine, asked once a round.
    ///
    /// # Errors
    /// What the provider answered.
    pub async fn machine(&self, host: &str) -> Result<Option<Machine>, String> {
        let (host, round) = self.known(host);
        let find = || async {
            let provider = self.run.world.provider(host);
            provider.find(host).await.map_err(|e: ProviderError| e.to_string())
        };
        round.machine.get_or_init(find).await.clone()
    }

    /// The host's session: the one that is open, or a new one. Tried once a round.
    ///
    /// # Errors
    /// Why nobody could log in.
    pub async fn session(&self, host: &str) -> Result<Arc<dyn Session>, SessionError> {
        let (known, round) = self.known(host);
        let open = || async {
            let mut kept = self.run.sessions[host].lock().await;
            if let Some(session) = kept.as_ref().filter(|s| s.alive()) {
                return Ok(session.clone());
            }
            *kept = None;
            let unreachable = SessionError::Unreachable;
            let machine = self.machine(host).await.map_err(unreachable)?;
            let machine =
                machine.ok_or_else(|| unreachable("the machine is not there".to_owned()))?;
            if !machine.running {
                return Err(unreachable("the machine is not running".to_owned()));
            }
            let session = self.run.world.connect(known, &machine).await?;
            *kept = Some(session.clone());
            Ok(session)
        };
        round.session.get_or_init(open).await.clone()
    }

    /// A session of its own, beside the one that is open: whether a stranger could log in now.
    ///
    /// # Errors
    /// Why nobody could log in.
    pub async fn new_session(&self, host: &str) -> Result<Arc<dyn Session>, SessionError> {
        let unreachable = SessionError::Unreachable;
        let machine = self.machine(host).await.map_err(unreachable)?;
        let machine = machine.ok_or_else(|| unreachable("the machine is not there".to_owned()))?;
        self.run.world.connect(self.known(host).0, &machine).await
    }

    /// The host's session, where one is open already.
    pub async fn open_session(&self, host: &str) -> Option<Arc<dyn Session>> {
        let kept = self.run.sessions.get(host)?.lock().await;
        kept.as_ref().filter(|s| s.alive()).cloned()
    }

    /// Runs a command on a host. A non-zero exit is an answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn run(&self, host: &str, cmd: &Cmd) -> Result<Output, SessionError> {
        for secret in &cmd.secrets {
            self.events().hide(secret);
        }
        self.session(host).await?.run(cmd).await
    }

    /// Runs a command on a host that has to exit with 0.
    ///
    /// # Errors
    /// When it does not, or when there is no answer.
    pub async fn ok(&self, host: &str, cmd: Cmd) -> Result<Output, Trouble> {
        let output = self.run(host, &cmd).await?;
        if output.ok() { Ok(output) } else { Err(Failure::command(&cmd, &output).into()) }
    }

    /// Runs a check script on a host: 0 is true, otherwise its last line is the reason.
    pub async fn check(&self, host: &str, cmd: Cmd) -> Check {
        match self.run(host, &cmd).await {
            Ok(output) => verdict(output.code, &cmd.mask(&(output.out() + "\n" + &output.err()))),
            Err(error) => self.unanswered(host, error).await,
        }
    }

    /// What a check is that could not be asked: unknown while the machine is not there, or too busy to
    /// answer in time. What is unknown is asked again, and never made anew for that.
    pub async fn unanswered(&self, host: &str, error: SessionError) -> Check {
        // A machine that bp made is given its host key while it boots; another host has the one
        // that it has.
        let existing = self.known(host).0.provider == HostProvider::Existing;
        match self.machine(host).await {
            _ if existing && matches!(error, SessionError::HostKey { .. }) => {
                Check::Failed(Trouble::from(error).into())
            }
            Ok(Some(machine))
                if machine.running
                    && !matches!(
                        error,
                        SessionError::Unreachable(_) | SessionError::Timeout(_)
                    ) =>
            {
                Trouble::from(error).into()
            }
            _ => Check::Unknown(format!("{host}: {error}")),
        }
    }

    /// What the host's engine says of itself, asked once a round.
    ///
    /// # Errors
    /// Why it says nothing.
    pub async fn engine(&self, host: &str) -> Result<EngineInfo, String> {
        let (_, round) = self.known(host);
        round.engine.get_or_init(|| EngineInfo::ask(self, host)).await.clone()
    }

    /// The swarm as its managers know it, asked once a round.
    ///
    /// # Errors
    /// Why no manager answers.
    pub async fn swarm(&self) -> Result<SwarmView, String> {
        self.round.swarm.get_or_init(|| SwarmView::ask(self)).await.clone()
    }

    /// What the host says of GlusterFS on it, asked once a round.
    ///
    /// # Errors
    /// What a check says that needs the answer.
    pub(crate) async fn gluster_host(&self, host: &str) -> Result<HostView, Check> {
        let (_, round) = self.known(host);
        round.gluster.get_or_init(|| HostView::ask(self, host)).await.clone()
    }

    /// GlusterFS's volumes as its pool knows them, asked once a round.
    ///
    /// # Errors
    /// Why no host of the pool answers.
    pub(crate) async fn gluster_pool(&self) -> Result<Pool, String> {
        self.round.pool.get_or_init(|| Pool::ask(self)).await.clone()
    }

    /// What the lab's names stand for, asked once a round.
    ///
    /// # Errors
    /// Which host has no address yet, and why.
    pub(crate) async fn names(&self) -> Result<Arc<Names>, String> {
        self.round.names.get_or_init(|| Names::ask(self)).await.clone()
    }

    /// What the Stolon cluster says of itself, asked once a round.
    ///
    /// # Errors
    /// What a check says that needs the answer.
    pub(crate) async fn stolon(
        &self,
        stack: &str,
        members: &[String],
    ) -> Result<stolon::View, Check> {
        self.round.stolon.get_or_init(|| stolon::View::ask(self, stack, members)).await.clone()
    }
}

impl Round {
    fn of(lab: &Lab) -> Self {
        let hosts = lab.hosts.iter().map(|h| (h.name.clone(), HostRound::default())).collect();
        Self { hosts, ..Self::default() }
    }
}

/// A check script's verdict: its last line is the reason.
pub(crate) fn verdict(code: i32, printed: &str) -> Check {
    if code == 0 {
        return Check::True;
    }
    let last = printed.lines().map(str::trim).rfind(|l| !l.is_empty());
    Check::Not(last.map_or_else(|| "not so".to_owned(), str::to_owned))
}
