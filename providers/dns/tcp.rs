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
            let length = u16::try_from(message.len())
                .map_err(|_| io::Error::other("too many changes for one message of 64 KiB"))?;
            // In one piece: some servers take a length alone for the whole.
            let framed = [&length.to_be_bytes(), message].concat();
            self.stream.write_all(&framed).await?;
            let length = self.stream.read_u16().await?;
            let mut answer = vec![0; usize::from(length)];
            self.stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        timeout(EXCHANGE, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// A connection's failure, as an error with a hint.
pub fn broken(doing: String, error: &io::Error) -> ProviderError {
    let hint =
        "does the server run, does it answer TCP at `server`, and can this machine reach it?";
    ProviderError { doing, cause: error.to_string(), hint: Some(hint.to_owned()) }
}
