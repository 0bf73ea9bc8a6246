//! Commands over a connection: each on a channel of its own that is closed on every path.

use super::Become;
use super::channel::{self, Channel, Leave};
use super::command::{self, Answer};
use super::connection::Connection;
use crate::{Cmd, Held, HoldError, Output, Session, SessionError, Stdin};
use async_trait::async_trait;
use russh::ChannelMsg;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

/// Commands that run at once, and those that are held: together below the ten sessions that
/// OpenSSH allows a connection (`MaxSessions`).
const RUNNING: usize = 4;
const HELD: usize = 4;
/// How long a channel may stay silent after the exit status: something that the command left in
/// the background keeps its output open.
const QUIET: Duration = Duration::from_secs(3);

/// A session over SSH.
pub(super) struct SshSession {
    connection: Arc<Connection>,
    running: Arc<Semaphore>,
    held: Arc<Semaphore>,
}

impl SshSession {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection: Arc::new(connection),
            running: Arc::new(Semaphore::new(RUNNING)),
            held: Arc::new(Semaphore::new(HELD)),
        }
    }

    /// A channel on which the command was sent off.
    async fn start(
        &self,
        line: String,
        permit: OwnedSemaphorePermit,
    ) -> Result<Channel, SessionError> {
        let mut channel = Channel::open(self.connection.clone(), permit).await.map_err(|e| {
            SessionError::Unreachable(format!("channel to {}: {e}", self.connection.name))
        })?;
        channel.leave = Leave::End;
        channel.write.exec(true, line).await.map_err(|_| self.gone())?;
        if let Some(preamble) = command::preamble(&self.connection.sudo) {
            channel.write.data_bytes(preamble).await.map_err(|_| self.gone())?;
        }
        Ok(channel)
    }

    fn gone(&self) -> SessionError {
        SessionError::Unreachable(format!("the connection to {} has ended", self.connection.name))
    }

    /// Sends the input and takes the answer, side by side, until the host closes the channel.
    async fn converse(&self, mut channel: Channel, stdin: &Stdin) -> Result<Output, SessionError> {
        let mut answer = Answer::default();
        // What sudo might still take for a password is not sent before it let the command start.
        let careful = matches!(self.connection.sudo, Become::Sudo { password: Some(_) });
        while careful && !matches!(stdin, Stdin::Empty) && answer.pid.is_none() && !answer.exited {
            self.listen(&mut channel, &mut answer).await?;
        }
        let write = channel.write.clone();
        let feed = channel::feed(&write, stdin);
        tokio::pin!(feed);
        let mut feeding = true;
        while !answer.closed {
            let exited = answer.exited;
            let quiet = async {
                match exited {
                    true => sleep(QUIET).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = self.listen(&mut channel, &mut answer) => heard?,
                fed = &mut feed, if feeding => {
                    feeding = false;
                    fed?;
                }
                () = quiet => break,
            }
        }
        answer.finish(&self.connection)
    }

    /// Takes the next message.
    async fn listen(&self, channel: &mut Channel, answer: &mut Answer) -> Result<(), SessionError> {
        match channel.next().await {
            Some(message) => answer.take(message, &self.connection).inspect_err(|_| {
                if answer.pid.is_none() {
                    // It never started: sudo ends with its input.
                    channel.leave = Leave::Nothing;
                }
            })?,
            None => return Err(SessionError::NoExitStatus),
        }
        channel.pid = answer.pid;
        if answer.exited {
            // What it left in the background is meant to stay.
            channel.leave = Leave::Nothing;
        }
        Ok(())
    }

    /// Waits for the first line of a held command.
    async fn first_line(&self, channel: &mut Channel, stdin: &Stdin) -> Result<String, HoldError> {
        let mut answer = Answer::default();
        let mut fed = false;
        loop {
            if answer.pid.is_some() && !fed {
                fed = true;
                if let Stdin::Bytes(bytes) = stdin {
                    let sent = channel.write.data_bytes(bytes.clone()).await;
                    sent.map_err(|_| HoldError::Session(self.gone()))?;
                }
            }
            let stdout = &answer.output.stdout;
            let end = stdout.iter().position(|b| *b == b'\n').filter(|_| answer.pid.is_some());
            if let Some(end) = end {
                return Ok(String::from_utf8_lossy(&stdout[..end]).into_owned());
            }
            if answer.closed {
                let ended = answer.finish(&self.connection).map_err(HoldError::Session)?;
                return Err(HoldError::Ended(ended));
            }
            self.listen(channel, &mut answer).await.map_err(HoldError::Session)?;
        }
    }
}

#[async_trait]
impl Session for SshSession {
    async fn run(&self, cmd: &Cmd) -> Result<Output, SessionError> {
        let permit = self.running.clone().acquire_owned().await.map_err(|_| self.gone())?;
        let line = command::line(&cmd.script, &self.connection.sudo, Some(cmd.within));
        let work = async {
            let channel = self.start(line, permit).await?;
            self.converse(channel, &cmd.stdin).await
        };
        timeout(cmd.within, work).await.unwrap_or(Err(SessionError::Timeout(cmd.within)))
    }

    async fn hold(&self, cmd: &Cmd) -> Result<(String, Box<dyn Held>), HoldError> {
        let line = command::line(&cmd.script, &self.connection.sudo, None);
        let work = async {
            let permit = self.held.clone().acquire_owned().await;
            let permit = permit.map_err(|_| HoldError::Session(self.gone()))?;
            let mut channel = self.start(line, permit).await.map_err(HoldError::Session)?;
            let first = self.first_line(&mut channel, &cmd.stdin).await?;
            channel.leave = Leave::LetGo;
            Ok((first, channel))
        };
        let late = || Err(HoldError::Session(SessionError::Timeout(cmd.within)));
        let (first, channel) = timeout(cmd.within, work).await.unwrap_or_else(|_| late())?;
        Ok((first, Box::new(HeldCommand::new(channel))))
    }

    fn alive(&self) -> bool {
        !self.connection.handle.is_closed()
    }
}

/// A held command: a task listens to it, so that its output blocks nobody.
struct HeldCommand {
    alive: Arc<AtomicBool>,
    /// Dropped with this: the task's sign to end.
    _end: oneshot::Sender<()>,
}

impl HeldCommand {
    fn new(mut channel: Channel) -> Self {
        let alive = Arc::new(AtomicBool::new(true));
        let (sender, mut end) = oneshot::channel::<()>();
        let says = alive.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = &mut end => break,
                    message = channel.next() => match message {
                        None | Some(ChannelMsg::Close) => break,
                        Some(ChannelMsg::ExitStatus { .. } | ChannelMsg::ExitSignal { .. }) => break,
                        Some(_) => {}
                    },
                }
            }
            says.store(false, Ordering::Release);
        });
        Self { alive, _end: sender }
    }
}

impl Held for HeldCommand {
    fn alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }
}
