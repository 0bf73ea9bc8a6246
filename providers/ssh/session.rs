//! Commands over a connection: each on a channel of its own that is closed on every path.

use super::command::{self, Answer};
use super::connection::Connection;
use super::{Become, Target};
use crate::{Cmd, Held, HoldError, Output, Session, SessionError, Stdin};
use async_trait::async_trait;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

/// Commands that run at once, and those that are held: together below the ten sessions that
/// OpenSSH allows a connection (`MaxSessions`), with room for some that are just ending.
const RUNNING: usize = 4;
const HELD: usize = 3;
/// How often a refused channel is asked for again, 20 ms later at first, twice that each time.
const OPENINGS: u32 = 7;
/// How long a channel may stay silent after the exit status: something that the command left in
/// the background keeps its output open.
const QUIET: Duration = Duration::from_secs(3);
/// How long saying goodbye to a channel may take before the connection must be dead.
const GOODBYE: Duration = Duration::from_secs(10);

/// A session over SSH.
pub(super) struct SshSession {
    name: String,
    sudo: Become,
    connection: Arc<Connection>,
    running: Arc<Semaphore>,
    held: Arc<Semaphore>,
}

impl SshSession {
    pub(super) fn new(connection: Connection, target: &Target) -> Self {
        Self {
            name: target.name(),
            sudo: target.sudo.clone(),
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
        let connection = self.connection.clone();
        // In a task of its own: where nobody waits any more the channel is still known, and closed.
        let opening = tokio::spawn(async move { open(connection, permit).await });
        let channel = match opening.await {
            Ok(Ok(channel)) => channel,
            Ok(Err(e)) => {
                return Err(SessionError::Unreachable(format!("channel to {}: {e}", self.name)));
            }
            Err(e) => return Err(SessionError::Unreachable(format!("{}: {e}", self.name))),
        };
        channel.write.exec(true, line).await.map_err(|_| self.gone())?;
        if let Some(preamble) = command::preamble(&self.sudo) {
            channel.write.data_bytes(preamble).await.map_err(|_| self.gone())?;
        }
        Ok(channel)
    }

    fn gone(&self) -> SessionError {
        SessionError::Unreachable(format!("the connection to {} has ended", self.name))
    }

    /// Sends the input and takes the answer, side by side, until the host closes the channel.
    async fn converse(&self, mut channel: Channel, stdin: &Stdin) -> Result<Output, SessionError> {
        let mut answer = Answer::default();
        // What sudo might still take for a password is not sent before it let the command start.
        let careful = matches!(self.sudo, Become::Sudo { password: Some(_) });
        while careful && !matches!(stdin, Stdin::Empty) && !answer.begun && !answer.exited {
            self.listen(&mut channel, &mut answer).await?;
        }
        let write = channel.write.clone();
        let feed = feed(&write, stdin);
        tokio::pin!(feed);
        let mut feeding = true;
        while !answer.closed {
            let quiet = async {
                match answer.exited {
                    true => sleep(QUIET).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                message = channel.read.wait() => match message {
                    Some(message) => answer.take(message, &self.sudo, &self.name)?,
                    None => return Err(SessionError::NoExitStatus),
                },
                fed = &mut feed, if feeding => {
                    feeding = false;
                    fed?;
                }
                () = quiet => break,
            }
        }
        channel.over = answer.closed;
        answer.finish(&self.sudo, &self.name)
    }

    async fn listen(&self, channel: &mut Channel, answer: &mut Answer) -> Result<(), SessionError> {
        match channel.read.wait().await {
            Some(message) => answer.take(message, &self.sudo, &self.name),
            None => Err(SessionError::NoExitStatus),
        }
    }

    /// Waits for the first line of a held command.
    async fn first_line(&self, channel: &mut Channel, stdin: &Stdin) -> Result<String, HoldError> {
        let mut answer = Answer::default();
        let mut fed = false;
        loop {
            if answer.begun && !fed {
                fed = true;
                if let Stdin::Bytes(bytes) = stdin {
                    let sent = channel.write.data_bytes(bytes.clone()).await;
                    sent.map_err(|_| HoldError::Session(self.gone()))?;
                }
            }
            let stdout = &answer.output.stdout;
            let end = stdout.iter().position(|b| *b == b'\n').filter(|_| answer.begun);
            if let Some(end) = end {
                return Ok(String::from_utf8_lossy(&stdout[..end]).into_owned());
            }
            if answer.closed {
                channel.over = true;
                let ended = answer.finish(&self.sudo, &self.name).map_err(HoldError::Session)?;
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
        let line = command::line(&cmd.script, &self.sudo, Some(cmd.within));
        let work = async {
            let channel = self.start(line, permit).await?;
            self.converse(channel, &cmd.stdin).await
        };
        timeout(cmd.within, work).await.unwrap_or(Err(SessionError::Timeout(cmd.within)))
    }

    async fn hold(&self, cmd: &Cmd) -> Result<(String, Box<dyn Held>), HoldError> {
        let line = command::line(&cmd.script, &self.sudo, None);
        let work = async {
            let permit = self.held.clone().acquire_owned().await;
            let permit = permit.map_err(|_| HoldError::Session(self.gone()))?;
            let mut channel = self.start(line, permit).await.map_err(HoldError::Session)?;
            let first = self.first_line(&mut channel, &cmd.stdin).await?;
            channel.gently = true;
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

/// An open channel. Dropping it ends the command, closes the channel, and only then lets the
/// next one in.
struct Channel {
    read: ChannelReadHalf,
    write: Arc<ChannelWriteHalf<Msg>>,
    /// Keeps the connection up while a command is held.
    connection: Arc<Connection>,
    permit: Option<OwnedSemaphorePermit>,
    /// Whether the host has closed it already.
    over: bool,
    /// Whether the command is to end by itself, at the end of its input.
    gently: bool,
}

impl Drop for Channel {
    fn drop(&mut self) {
        let (write, connection) = (self.write.clone(), self.connection.clone());
        let (permit, gently) = (self.permit.take(), self.gently);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.over {
            return;
        }
        runtime.spawn(async move {
            let goodbye = async {
                match gently {
                    true => write.eof().await?,
                    false => write.signal(Sig::TERM).await?,
                }
                write.close().await
            };
            // An error is a connection that has ended, and the command's input with it.
            drop(timeout(GOODBYE, goodbye).await);
            drop((permit, connection));
        });
    }
}

async fn open(
    connection: Arc<Connection>,
    permit: OwnedSemaphorePermit,
) -> Result<Channel, russh::Error> {
    let mut pause = Duration::from_millis(20);
    let mut openings = 1;
    let channel = loop {
        match connection.handle.channel_open_session().await {
            Err(russh::Error::ChannelOpenFailure(_)) if openings < OPENINGS => {
                openings += 1;
                sleep(pause).await;
                pause *= 2;
            }
            done => break done?,
        }
    };
    let (read, write) = channel.split();
    let write = Arc::new(write);
    Ok(Channel { read, write, connection, permit: Some(permit), over: false, gently: false })
}

/// Sends a command's input as fast as the host takes it, then end of file. A host that takes no
/// more is no error: `head -1` does not read to the end. Where the input can't be read there is no
/// end of file either, so that nothing cut off is taken for whole.
async fn feed(write: &ChannelWriteHalf<Msg>, stdin: &Stdin) -> Result<(), SessionError> {
    match stdin {
        Stdin::Empty => {}
        Stdin::Bytes(bytes) => drop(write.data_bytes(bytes.clone()).await),
        Stdin::File(path) => {
            let failed =
                |e: std::io::Error| SessionError::Input(format!("read `{}`: {e}", path.display()));
            let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
            let mut to = write.make_writer();
            let mut buffer = vec![0; 64 << 10];
            loop {
                let n = file.read(&mut buffer).await.map_err(failed)?;
                if n == 0 || to.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
        }
    }
    drop(write.eof().await);
    Ok(())
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
                    message = channel.read.wait() => match message {
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
