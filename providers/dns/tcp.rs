//! Whole messages to a server and back, over TCP.

use crate::ProviderError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// One message there and one back.
const EXCHANGE: Duration = Duration::from_secs(10);

/// Messages on their way at once: few enough that nobody waits for the other to read.
const IN_FLIGHT: usize = 32;

/// A connection to a server.
pub struct Line {
    stream: TcpStream,
}

impl Line {
    /// Connects.
    pub async fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = timeout(EXCHANGE, TcpStream::connect(server)).await;
        Ok(Self { stream: stream.map_err(|_| io::ErrorKind::TimedOut)?? })
    }

    /// Sends a message and gives the answer.
    pub async fn exchange(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        let exchange = async {
            self.stream.write_all(&framed(message)?).await?;
            self.answer().await
        };
        timeout(EXCHANGE, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Sends messages and gives their answers in the same order, in which a server need not give
    /// them (RFC 7766, 7). The messages get ids by which they are told apart.
    pub async fn exchange_all(&mut self, messages: &mut [Vec<u8>]) -> io::Result<Vec<Vec<u8>>> {
        let mut answers = Vec::new();
        for some in messages.chunks_mut(IN_FLIGHT) {
            let exchange = async {
                let mut frames = Vec::new();
                for (id, message) in (0u16..).zip(some.iter_mut()) {
                    message[..2].copy_from_slice(&id.to_be_bytes());
                    frames.extend(framed(message)?);
                }
                self.stream.write_all(&frames).await?;
                let mut of_ids = vec![None; some.len()];
                for _ in 0..some.len() {
                    let answer = self.answer().await?;
                    let id = answer.first_chunk().map(|id| u16::from_be_bytes(*id));
                    match id.and_then(|id| of_ids.get_mut(usize::from(id))) {
                        Some(of_id @ None) => *of_id = Some(answer),
                        _ => return Err(io::Error::other("an answer to no question")),
                    }
                }
                Ok(of_ids.into_iter().flatten())
            };
            let late = |_| io::Error::from(io::ErrorKind::TimedOut);
            answers.extend(timeout(EXCHANGE, exchange).await.map_err(late)??);
        }
        Ok(answers)
    }

    async fn answer(&mut self) -> io::Result<Vec<u8>> {
        let length = self.stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        self.stream.read_exact(&mut answer).await?;
        Ok(answer)
    }
}

/// A message after its length, in one piece: some servers take a length alone for the whole.
fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len())
        .map_err(|_| io::Error::other("too many changes for one message of 64 KiB"))?;
    Ok([&length.to_be_bytes(), message].concat())
}

/// A connection's failure, as an error with a hint.
pub fn broken(doing: String, error: &io::Error) -> ProviderError {
    let hint =
        "does the server run, does it answer TCP at `server`, and can this machine reach it?";
    ProviderError { doing, cause: error.to_string(), hint: Some(hint.to_owned()) }
}
