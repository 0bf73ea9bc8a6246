//! One writer: a lock on the lab's folder, and a lock on the leader that dies with its connection.

use crate::cx::Cx;
use crate::journal::private_dir;
use crate::limits;
use futures::future::join_all;
use providers::{Cmd, Held, HoldError, quote};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// What it does, such as `up`.
    pub verb: String,
    /// `user@machine`.
    pub who: String,
    /// Its process id there.
    pub pid: u32,
    /// Since when, in RFC 3339.
    pub since: String,
}

impl Holder {
    /// This process.
    pub fn me(verb: &str) -> Self {
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            verb: verb.to_owned(),
            who: format!("{}@{}", user.unwrap_or_else(|_| uid()), machine.trim()),
            pid: std::process::id(),
            since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }
}

/// Who runs this, where the environment does not say.
fn uid() -> String {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self")
        .map_or_else(|_| "someone".to_owned(), |m| format!("uid {}", m.uid()))
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`bp {}` of {} (process {}) since {}", self.verb, self.who, self.pid, self.since)
    }
}

/// Why a lock was not had.
#[derive(Debug)]
pub enum LockError {
    /// Another run has it; what it says of itself.
    Held(String),
    /// It could not be asked.
    Io(String),
}

/// The lock on the lab's folder; given back when dropped, or when the process ends in any way.
pub struct LocalLock {
    _file: File,
}

impl LocalLock {
    /// Takes the lock, without waiting.
    ///
    /// # Errors
    /// When another run has it, or the file can't be made.
    pub fn take(dir: &Path, me: &Holder) -> Result<Self, LockError> {
        let path = dir.join("lock");
        let io = |e: std::io::Error| LockError::Io(format!("lock `{}`: {e}", path.display()));
        private_dir(dir).map_err(io)?;
        let mut options = OpenOptions::new();
        options.create(true).read(true).append(true).mode(0o600);
        let mut file = options.open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(io)?;
                let holder = serde_json::from_str::<Holder>(&text).map(|h| h.to_string());
                return Err(LockError::Held(
                    holder.unwrap_or_else(|_| "another run of bp".to_owned()),
                ));
            }
            Err(TryLockError::Error(e)) => return Err(io(e)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        file.write_all(serde_json::to_string(me).expect("plain data").as_bytes()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// The lock on the leader: one who runs bp from another machine is kept out, too. Taken as soon as
/// a manager can be logged in to.
#[derive(Default)]
pub struct LeaderLock {
    held: Option<Box<dyn Held>>,
}

/// The exit status of the lock's command where another run has the lock.
const TAKEN: i32 = 75;

impl LeaderLock {
    /// Takes the lock of a lab that may be up: logs in to its managers first.
    ///
    /// # Errors
    /// When another run has it.
    pub async fn reach(&mut self, cx: &Cx, me: &Holder) -> Result<(), LockError> {
        // One that can't be logged in to is not locked either.
        join_all(cx.lab().managers().map(|m| cx.session(&m.name))).await;
        self.take(cx, me).await
    }

    /// Takes the lock on the first manager whose session is open; does nothing while there is none,
    /// or where the lock is held already.
    ///
    /// # Errors
    /// When another run has it.
    pub async fn take(&mut self, cx: &Cx, me: &Holder) -> Result<(), LockError> {
        if self.held.as_ref().is_some_and(|h| h.alive()) {
            return Ok(());
        }
        let managers: Vec<String> = cx.lab().managers().map(|h| h.name.clone()).collect();
        for manager in managers {
            let Some(session) = cx.open_session(&manager).await else { continue };
            let path = quote(&format!("/run/bp-{}.lock", cx.lab().name)).to_string();
            let said = quote(&me.to_string());
            // `cat` ends with the connection, and with it the lock.
            let script = format!(
                "exec 9>>{path}; flock -n 9 || {{ cat {path}; exit {TAKEN}; }}\n\
                 printf '%s' {said} >{path}; echo held; exec cat >/dev/null"
            );
            match session.hold(&Cmd::new(script).within(limits::CONNECT)).await {
                Ok((_, held)) => {
                    self.held = Some(held);
                    return Ok(());
                }
                // What is left of this run's own connection that died: taken again later.
                Err(HoldError::Ended(output)) if output.out() == me.to_string() => return Ok(()),
                Err(HoldError::Ended(output)) if output.code == TAKEN => {
                    return Err(LockError::Held(format!("{} (on {manager})", output.out())));
                }
                Err(HoldError::Ended(output)) => {
                    let why = output.err();
                    return Err(LockError::Io(format!("lock the lab on {manager}: {why}")));
                }
                // A manager that can't be asked has no swarm that another run could change now.
                Err(HoldError::Session(_)) => {}
            }
        }
        Ok(())
    }
}
