//! The world outside: hosts that answer what they are asked for, and fail the test where they do not
//! know the question.

use super::base_host::Ground;
use super::docker::Swarm;
use super::glusterd::Gluster;
use super::hypervisor::FakeProvider;
use super::names::{FakeDns, Names, Zones};
use super::wall::Wall;
use crate::cx::World;
use crate::step::Failure;
use async_trait::async_trait;
use blueprints::{Host, HostProvider};
use providers::dns::DnsServer;
use providers::{
    Access, Cmd, Existing, Held, HoldError, Machine, Output, Owned, Provider, Session,
    SessionError, State as Is, Stdin,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// One command on a host takes this long.
const COMMAND: Duration = Duration::from_millis(20);

/// One host as it really is.
#[derive(Clone)]
pub struct Guest {
    /// The machine: whole or half made; `None`: not there.
    pub machine: Option<Is>,
    /// Whether it is a host that bp did not make.
    pub existing: bool,
    pub running: bool,
    pub up_at: Instant,
    pub address: String,
    /// What phase base makes.
    pub ground: Ground,
    /// What cloud-init says.
    pub cloud_init: &'static str,
    pub packages: bool,
    /// Whether the engine's daemon runs.
    pub engine: bool,
    pub enabled: bool,
    pub engine_id: String,
    pub machine_id: String,
    pub daemon_json: Option<String>,
    /// Written beside, not yet in place.
    pub daemon_new: Option<String>,
    pub restart_due: bool,
    /// What `dockerd` has against every configuration.
    pub refuses: Option<&'static str>,
    pub restarts: u32,
    /// The swarm that it is in, and its node's id.
    pub node: Option<(String, String)>,
    /// `locked`, `pending` and the like, where it is neither active nor inactive.
    pub local_state: Option<&'static str>,
    pub images: BTreeMap<String, String>,
    pub etcd_folder: bool,
    pub names: Names,
    pub wall: Wall,
    /// Answers of a login, in turn; then it works.
    pub logins: Vec<SessionError>,
    pub alive: Arc<AtomicBool>,
}

impl Guest {
    fn absent(number: usize) -> Self {
        Self {
            machine: None,
            existing: false,
            running: false,
            up_at: Instant::now(),
            address: format!("10.20.30.{}", 10 + number),
            ground: Ground::default(),
            cloud_init: "done",
            packages: false,
            engine: false,
            enabled: false,
            engine_id: format!("ENGINE-{number}"),
            machine_id: format!("{number:032x}"),
            daemon_json: None,
            daemon_new: None,
            restart_due: false,
            refuses: None,
            restarts: 0,
            node: None,
            local_state: None,
            images: BTreeMap::new(),
            etcd_folder: false,
            names: Names::default(),
            wall: Wall::default(),
            logins: Vec::new(),
            alive: Arc::default(),
        }
    }

    pub fn is_up(&self) -> bool {
        self.running && Instant::now() >= self.up_at
    }
}

/// What a rule makes of a command.
#[derive(Clone)]
pub enum Fault {
    /// It answers this and does nothing.
    Says(i32, &'static str, &'static str),
    /// The connection ends before it is done.
    Lost,
    /// It is done, but the connection ends before its exit status arrives.
    LostAfter,
    /// It never ends.
    Hangs,
}

struct Rule {
    host: String,
    starts: String,
    times: usize,
    fault: Fault,
}

/// Everything that is outside.
pub struct State {
    /// When the test began.
    pub began: Instant,
    pub guests: BTreeMap<String, Guest>,
    pub swarms: BTreeMap<String, Swarm>,
    /// Every join token that there ever was.
    pub tokens: BTreeSet<String>,
    /// Commands that change something, and what providers did, in order.
    pub log: Vec<String>,
    /// How often hosts were asked anything.
    pub asked: usize,
    pub shared: BTreeMap<String, Is>,
    /// Things of the lab at the provider that no host stands for.
    pub left_over: Vec<Owned>,
    /// Things that can't be removed, and why.
    pub stuck: BTreeMap<String, String>,
    /// Who holds the lock on a leader.
    pub leaders: BTreeMap<String, String>,
    /// Nodes that are gone, and when their managers see it.
    pub unseen: BTreeMap<String, Instant>,
    /// Nodes that are well, and until when their managers hear nothing of them.
    pub unheard: BTreeMap<String, Instant>,
    pub etcd: BTreeMap<String, String>,
    /// The DNS server, where there is one.
    pub zones: Option<Zones>,
    pub serial: u32,
    pub gluster: Gluster,
    /// What secret sources of the blueprint give.
    pub given: BTreeMap<String, String>,
    rules: Vec<Rule>,
}

/// Shared by the fakes and the test.
#[derive(Clone)]
pub struct Site(Arc<Mutex<State>>);

impl Site {
    pub fn new(hosts: &[Host]) -> Self {
        let name = |(number, host): (usize, &Host)| {
            let mut guest = Guest::absent(number + 1);
            if let (HostProvider::Existing, Some(address)) = (host.provider, &host.address) {
                (guest.machine, guest.running, guest.existing) = (Some(Is::Right), true, true);
                guest.address = address.to_string();
            }
            (host.name.clone(), guest)
        };
        Self(Arc::new(Mutex::new(State {
            began: Instant::now(),
            guests: hosts.iter().enumerate().map(name).collect(),
            swarms: BTreeMap::new(),
            tokens: BTreeSet::new(),
            log: Vec::new(),
            asked: 0,
            shared: ["network lab", "template"]
                .map(|n| (n.to_owned(), Is::Wrong("it is not there".to_owned())))
                .into(),
            left_over: Vec::new(),
            stuck: BTreeMap::new(),
            leaders: BTreeMap::new(),
            unseen: BTreeMap::new(),
            unheard: BTreeMap::new(),
            etcd: BTreeMap::new(),
            zones: None,
            serial: 0,
            gluster: Gluster::default(),
            given: BTreeMap::new(),
            rules: Vec::new(),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The next `times` commands of this beginning on this host go wrong like that.
    pub fn fault(&self, host: &str, starts: &str, times: usize, fault: Fault) {
        let (host, starts) = (host.to_owned(), starts.to_owned());
        self.lock().rules.push(Rule { host, starts, times, fault });
    }

    /// Changes one host.
    pub fn guest(&self, host: &str, change: impl FnOnce(&mut Guest)) {
        change(self.lock().guests.get_mut(host).expect("a host of the lab"));
    }

    /// The machine under a host is cut off.
    pub fn cut(&self, host: &str) {
        self.guest(host, |g| {
            g.running = false;
            g.alive.store(false, Ordering::Relaxed);
        });
    }

    /// The commands that changed something since the last time this was asked.
    pub fn changes(&self) -> String {
        std::mem::take(&mut self.lock().log).join("\n")
    }

    pub fn world(&self) -> Arc<dyn World> {
        Arc::new(FakeWorld(self.clone()))
    }
}

impl State {
    /// A number that was not used before.
    pub fn next(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    fn rule(&mut self, host: &str, script: &str) -> Option<Fault> {
        let fits = |r: &&mut Rule| r.host == host && r.times > 0 && script.starts_with(&r.starts);
        let rule = self.rules.iter_mut().find(fits)?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}

struct FakeWorld(Site);

#[async_trait]
impl World for FakeWorld {
    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        vec![Arc::new(FakeProvider(self.0.clone())), Arc::new(Existing)]
    }

    fn provider(&self, host: &Host) -> Arc<dyn Provider> {
        match host.provider {
            HostProvider::Existing => Arc::new(Existing),
            HostProvider::Libvirt => Arc::new(FakeProvider(self.0.clone())),
        }
    }

    async fn connect(
        &self,
        host: &Host,
        machine: &Machine,
    ) -> Result<Arc<dyn Session>, SessionError> {
        sleep(COMMAND).await;
        assert!(machine.running, "{}: a login to a machine that is off", host.name);
        let mut state = self.0.lock();
        let guest = state.guests.get_mut(&host.name).expect("a host of the lab");
        if !guest.is_up() {
            return Err(SessionError::Unreachable("connection refused".to_owned()));
        }
        if !guest.wall.lets_in() {
            return Err(SessionError::Unreachable("no answer".to_owned()));
        }
        if !guest.logins.is_empty() {
            return Err(guest.logins.remove(0));
        }
        let alive = Arc::new(AtomicBool::new(true));
        guest.alive = alive.clone();
        Ok(Arc::new(FakeSession { site: self.0.clone(), host: host.name.clone(), alive }))
    }

    fn access(&self, host: &Host) -> Result<Access, Failure> {
        Ok(Access { authorized: vec!["ssh-ed25519 AAAA".to_owned()], user: host.ssh.user.clone() })
    }

    async fn dns(&self) -> Result<Option<Arc<dyn DnsServer>>, Failure> {
        let any = self.0.lock().zones.is_some();
        Ok(any.then(|| Arc::new(FakeDns(self.0.clone())) as Arc<dyn DnsServer>))
    }

    async fn secret(&self, secret: &blueprints::Secret) -> Result<String, Failure> {
        let state = self.0.lock();
        let known = state.given.get(&format!("{secret:?}"));
        known.cloned().ok_or_else(|| Failure::new(format!("nobody gave {secret:?}")))
    }
}

struct FakeSession {
    site: Site,
    host: String,
    alive: Arc<AtomicBool>,
}

#[async_trait]
impl Session for FakeSession {
    async fn run(&self, cmd: &Cmd) -> Result<Output, SessionError> {
        sleep(COMMAND).await;
        if !self.alive() {
            return Err(SessionError::NoExitStatus);
        }
        super::shell::is_shell(&cmd.script);
        let fault = {
            let mut state = self.site.lock();
            state.asked += 1;
            for token in &state.tokens {
                assert!(!cmd.script.contains(token), "a token in argv: {}", cmd.script);
            }
            state.rule(&self.host, &cmd.script)
        };
        match fault {
            None => {
                let mut state = self.site.lock();
                if state.gluster.dark {
                    return Err(SessionError::Unreachable("nobody answers".to_owned()));
                }
                let before = (state.log.len(), state.gluster.clone());
                let output = state.execute(&self.host, cmd);
                if state.cut_gluster(before) {
                    self.alive.store(false, Ordering::Relaxed);
                    return Err(SessionError::NoExitStatus);
                }
                Ok(output)
            }
            Some(Fault::Says(code, out, err)) => {
                Ok(Output { code, stdout: out.into(), stderr: err.into() })
            }
            Some(Fault::Hangs) => {
                sleep(cmd.within).await;
                Err(SessionError::Timeout(cmd.within))
            }
            Some(lost) => {
                if matches!(lost, Fault::LostAfter) {
                    self.site.lock().execute(&self.host, cmd);
                }
                self.alive.store(false, Ordering::Relaxed);
                Err(SessionError::NoExitStatus)
            }
        }
    }

    async fn hold(&self, cmd: &Cmd) -> Result<(String, Box<dyn Held>), HoldError> {
        sleep(COMMAND).await;
        let known = cmd.script.strip_prefix("exec 9>>/run/bp-lab.lock; flock -n 9 || ");
        let said = known.and_then(|s| s.split_once("printf '%s' "));
        let said = said.and_then(|(_, s)| s.split_once(" >/run/bp-lab.lock; echo held; "));
        let Some((said, "exec cat >/dev/null")) = said else {
            panic!("{}: unknown held command: {}", self.host, cmd.script);
        };
        assert!(matches!(cmd.stdin, Stdin::Empty));
        let mut state = self.site.lock();
        if let Some(holder) = state.leaders.get(&self.host) {
            let stdout = holder.clone().into_bytes();
            return Err(HoldError::Ended(Output { code: 75, stdout, stderr: Vec::new() }));
        }
        state.leaders.insert(self.host.clone(), super::shell::words(said).concat());
        let (site, host) = (self.site.clone(), self.host.clone());
        Ok(("held".to_owned(), Box::new(FakeHeld { site, host, alive: self.alive.clone() })))
    }

    fn alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }
}

struct FakeHeld {
    site: Site,
    host: String,
    alive: Arc<AtomicBool>,
}

impl Held for FakeHeld {
    fn alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }
}

impl Drop for FakeHeld {
    fn drop(&mut self) {
        self.site.lock().leaders.remove(&self.host);
    }
}
