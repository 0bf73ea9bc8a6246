//! One channel, closed on every path: also when a bound ends the wait, or nobody waits any more.

use super::command;
use super::connection::Connection;
use crate::{SessionError, Stdin};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

/// How often a refused channel is asked for, 20 ms after the first time, then twice that each time.
const OPENINGS: u32 = 9;
/// How long a command may take to start before its end can't be seen to any more, and how long to
/// end after each signal.
const STARTED: Duration = Duration::from_secs(5);
const ENDED: Duration = Duration::from_secs(3);
/// How long a held command may take to end after its input has.
const LET_GO: Duration = Duration::from_secs(10);

/// An open channel. Dropping it ends the command, closes the channel, and only then lets the next
/// one in: a server counts a session until its process has ended.
pub(super) struct Channel {
    read: Option<ChannelReadHalf>,
    /// Where commands, input and signals go.
    pub write: Arc<ChannelWriteHalf<Msg>>,
    /// The command's process, once it is known.
    pub pid: Option<u32>,
    /// What is to be done with the command when nobody waits for it any more.
    pub leave: Leave,
    /// Keeps the connection up while a command is held.
    connection: Arc<Connection>,
    permit: Option<OwnedSemaphorePermit>,
}

/// What is to be done with a command that nobody waits for any more.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leave {
    /// Nothing: it was not even sent.
    Nothing,
    /// Its input ends, and so will it.
    LetGo,
    /// It is ended.
    End,
}

impl Channel {
    /// Opens a channel.
    pub(super) async fn open(
        connection: Arc<Connection>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, russh::Error> {
        // In a task of its own: where nobody waits any more, the channel is still known, and closed.
        let opening = tokio::spawn(async move {
            let (read, write) = reopen(&connection).await?.split();
            let (read, write, permit) = (Some(read), Arc::new(write), Some(permit));
            Ok(Self { read, write, pid: None, leave: Leave::Nothing, connection, permit })
        });
        opening.await.unwrap_or(Err(russh::Error::Disconnect))
    }

    /// The next message; `None` after the server has closed the channel, or without that where the
    /// connection has ended.
    pub(super) async fn next(&mut self) -> Option<ChannelMsg> {
        let message = self.read.as_mut()?.wait().await;
        if matches!(message, None | Some(ChannelMsg::Close)) {
            self.read = None;
        }
        message
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // Outside a runtime the connection has ended already.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let Some(read) = self.read.take() else { return };
        let (write, connection) = (self.write.clone(), self.connection.clone());
        let (pid, leave, permit) = (self.pid, self.leave, self.permit.take());
        runtime.spawn(async move {
            let mut leaving = Leaving { read, write, connection, pid };
            // An error is a connection that has ended, and the command's input with it.
            drop(match leave {
                Leave::Nothing => Ok(()),
                Leave::LetGo => leaving.let_go().await,
                Leave::End => leaving.end().await,
            });
            // What still comes must not wait for a reader that is gone.
            drop(leaving.read);
            drop(leaving.write.close().await);
            drop(permit);
        });
    }
}

/// A channel that nobody waits for any more. Closing it does not end its process, and a root login
/// on OpenSSH takes no signals: the process is ended by another command.
struct Leaving {
    read: ChannelReadHalf,
    write: Arc<ChannelWriteHalf<Msg>>,
    connection: Arc<Connection>,
    pid: Option<u32>,
}

impl Leaving {
    /// Ends the command's input, and waits for it to end by itself.
    async fn let_go(&mut self) -> Result<(), russh::Error> {
        self.write.eof().await?;
        timeout(LET_GO, ended(&mut self.read)).await.unwrap_or(());
        Ok(())
    }

    /// Ends the command, its whole group where it does not listen.
    async fn end(&mut self) -> Result<(), russh::Error> {
        if self.pid.is_none() {
            timeout(STARTED, self.started()).await.unwrap_or(());
        }
        if let Some(pid) = self.pid {
            for signal in [format!("kill -TERM {pid}"), format!("kill -KILL -- -{pid}")] {
                // Its output is taken meanwhile: left alone it would block the whole connection.
                tokio::spawn(other(self.connection.clone(), signal));
                if timeout(ENDED, ended(&mut self.read)).await.is_ok() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits for the line that names the process.
    async fn started(&mut self) {
        let mut stdout = Vec::new();
        while let Some(message) = self.read.wait().await {
            match message {
                ChannelMsg::Data { data } => stdout.extend_from_slice(&data),
                ChannelMsg::Close => break,
                _ => continue,
            }
            self.pid = command::begun(&stdout).map(|(pid, _)| pid);
            if self.pid.is_some() {
                break;
            }
        }
    }
}

/// Runs a short command whose answer is not wanted.
async fn other(connection: Arc<Connection>, script: String) -> Result<(), russh::Error> {
    let sudo = &connection.sudo;
    let channel = reopen(&connection).await?;
    channel.exec(true, command::line(&script, sudo, Some(ENDED))).await?;
    if let Some(preamble) = command::preamble(sudo) {
        channel.data_bytes(preamble).await?;
    }
    let (mut read, write) = channel.split();
    timeout(ENDED, ended(&mut read)).await.unwrap_or(());
    write.close().await
}

/// Waits for the end of a channel's command.
async fn ended(read: &mut ChannelReadHalf) {
    use ChannelMsg::{Close, ExitSignal, ExitStatus};
    while !matches!(read.wait().await, None | Some(Close | ExitSignal { .. } | ExitStatus { .. })) {
    }
}

/// Opens a channel; one that the server refuses, since others are just closing, again and again.
async fn reopen(connection: &Connection) -> Result<russh::Channel<Msg>, russh::Error> {
    let mut pause = Duration::from_millis(20);
    for _ in 1..OPENINGS {
        match connection.handle.channel_open_session().await {
            Err(russh::Error::ChannelOpenFailure(_)) => sleep(pause).await,
            done => return done,
        }
        pause *= 2;
    }
    connection.handle.channel_open_session().await
}

/// Sends a command's input as fast as the host takes it, then end of file. A host that takes no
/// more is no error: `head -1` does not read to the end. Where the input can't be read there is no
/// end of file either, so that nothing cut off is taken for whole.
pub(super) async fn feed(write: &ChannelWriteHalf<Msg>, stdin: &Stdin) -> Result<(), SessionError> {
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
