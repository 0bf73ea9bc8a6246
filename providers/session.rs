//! The smallest transport: run a command, hold a command. Everything else is built on it.

use async_trait::async_trait;
use std::path::PathBuf;
use std::time::Duration;

/// A shell command for a host.
#[derive(Clone, Debug)]
pub struct Cmd {
    /// POSIX shell, run by `sh -c` without start-up files, as root where the host says `sudo`.
    pub script: String,
    /// What it reads.
    pub stdin: Stdin,
    /// How long it may take, connection excluded.
    pub within: Duration,
    /// Strings that are masked as `***` wherever the command or its output is shown.
    pub secrets: Vec<String>,
}

/// What a command reads.
#[derive(Clone, Debug, Default)]
pub enum Stdin {
    /// Nothing: end of file at once.
    #[default]
    Empty,
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file of the operator's machine, streamed.
    File(PathBuf),
}

impl Cmd {
    /// A command with no input and a bound of one minute.
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            stdin: Stdin::Empty,
            within: Duration::from_secs(60),
            secrets: Vec::new(),
        }
    }

    /// With this input.
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// With this bound.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// With this string masked wherever the command or its output is shown.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// The text with every secret of this command masked.
    pub fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().filter(|s| !s.is_empty()) {
            text = text.replace(secret.as_str(), "***");
        }
        text
    }
}

/// What a command answered. A non-zero exit is an answer, not an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + N where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether the exit status is 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }

    /// Standard output as text, without white space at its end.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }

    /// Standard error as text, without white space at its end.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).trim_end().to_owned()
    }
}

/// Why a command has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SessionError {
    /// Nobody answers, or the login is refused: may pass while a machine is coming up.
    #[error("{0}")]
    Unreachable(String),
    /// What waiting can't change: an unknown or wrong host key, an unreadable private key.
    #[error("{message}")]
    Refused {
        /// What was refused, by whom.
        message: String,
        /// What the operator can do.
        hint: Option<String>,
    },
    /// The host key is not the expected one: another machine, a rebuilt one, or one that was not
    /// yet given its keys.
    #[error("{message}")]
    HostKey {
        /// Which key was expected and which one was shown, as fingerprints.
        message: String,
        /// What the operator can do.
        hint: Option<String>,
    },
    /// The connection ended before the command's exit status arrived.
    #[error("the connection ended before the exit status arrived")]
    NoExitStatus,
    /// The command did not end within its bound.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The command's input could not be read.
    #[error("{0}")]
    Input(String),
    /// The command printed more than this many bytes.
    #[error("more than {0} bytes of output")]
    Output(usize),
}

/// A running command whose input stays open; it ends when this is dropped.
pub trait Held: Send + Sync {
    /// Whether the command is still running, as far as the connection knows.
    fn alive(&self) -> bool;
}

/// A connection to one host. Safe to share: many commands at once.
#[async_trait]
pub trait Session: Send + Sync {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// When there is no exit status: see [`SessionError`].
    async fn run(&self, cmd: &Cmd) -> Result<Output, SessionError>;

    /// Starts a command whose standard input stays open, and returns once it has printed its
    /// first line. `Err(Ok(output))` where it ended before that.
    async fn hold(&self, cmd: &Cmd) -> Result<(String, Box<dyn Held>), HoldError>;

    /// Whether the connection still stands, as far as is known; once it does not, only a new
    /// session helps.
    fn alive(&self) -> bool;
}

/// Why a held command is not running.
#[derive(Debug)]
pub enum HoldError {
    /// It ended by itself, with this answer.
    Ended(Output),
    /// See there.
    Session(SessionError),
}

/// A file to be put on a host.
#[derive(Clone, Debug)]
pub struct File {
    /// Absolute path; its folder must exist.
    pub path: String,
    /// What it holds.
    pub content: Stdin,
    /// Permission bits, such as `0o644`.
    pub mode: u32,
    /// `user:group`.
    pub owner: String,
}

/// The command that puts a file in place atomically: written beside, mode and owner set, renamed.
///
/// It counts what has arrived: a connection that is cut off looks like the end of the file to the
/// host.
pub fn put(file: &File) -> Cmd {
    let path = quote(&file.path);
    let size = match &file.content {
        Stdin::Empty => 0,
        Stdin::Bytes(bytes) => bytes.len() as u64,
        // A file that can't be read fails when it is sent.
        Stdin::File(path) => std::fs::metadata(path).map(|m| m.len()).unwrap_or(0),
    };
    Cmd::new(format!(
        "set -eu; umask 077; t=$(mktemp {path}.XXXXXX); trap 'rm -f \"$t\"' EXIT; \
         trap 'exit 1' HUP INT PIPE TERM; cat >\"$t\"; \
         n=$(wc -c <\"$t\"); [ \"$n\" -eq {size} ] || {{ echo \"$n bytes of {size}\" >&2; exit 1; }}; \
         chmod {:o} \"$t\"; chown {} \"$t\"; mv -fT \"$t\" {path}",
        file.mode,
        quote(&file.owner),
    ))
    .stdin(file.content.clone())
    .within(Duration::from_secs(600))
}

/// One word of POSIX shell that stands for exactly this text.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_come_back_whole() {
        for text in ["", "plain", "two words", "it's", "a$b`c\\d\"e\nf", "'", "ü"] {
            let out = std::process::Command::new("sh")
                .arg("-c")
                .arg(format!("printf %s {}", quote(text)))
                .output()
                .expect("sh runs");
            assert_eq!(String::from_utf8_lossy(&out.stdout), text);
        }
    }
}
