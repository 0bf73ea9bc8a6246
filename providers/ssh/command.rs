//! What is sent for a command, and how its answer is put together.

use super::connection::Connection;
use super::{Become, Password};
use crate::{Output, SessionError, quote};
use russh::{ChannelMsg, Sig};
use std::time::Duration;

/// Printed before the command's own output, with the process's id. What comes before it is talk of
/// the login shell's start-up files and of sudo; where it is missing the command never ran.
const BEGIN: &str = "bp-begins";
/// What sudo asks for the password with, so that asking again is recognised.
const PROMPT: &str = "bp-asks-password";
/// What is kept of one command's output; more is an error.
const MOST: usize = 64 << 20;

/// The text for the login shell, which is taken to be a POSIX one. With a bound, the host itself
/// ends the command soon after it, so that nothing outlives a connection that was lost.
pub(super) fn line(script: &str, sudo: &Become, bound: Option<Duration>) -> String {
    let timeout = match bound {
        Some(bound) => format!("timeout -k 5 {} ", bound.as_secs() + 2),
        None => String::new(),
    };
    let script = quote(script);
    match sudo {
        Become::Nothing => format!("echo {BEGIN} $$; exec {timeout}sh -c {script}"),
        Become::Sudo { password: None } => {
            let inner = format!("echo {BEGIN} $$; exec {timeout}sh -c \"$1\"");
            format!("exec sudo -n -- sh -c {} sh {script}", quote(&inner))
        }
        // Where sudo asks for no password the line with it is still to be read, or it would be
        // the command's input.
        Become::Sudo { password: Some(_) } => {
            let inner = format!(
                "while IFS= read -r l && [ \"$l\" != {BEGIN} ]; do :; done; \
                 echo {BEGIN} $$; exec {timeout}sh -c \"$1\""
            );
            format!("exec sudo -S -p {PROMPT} -- sh -c {} sh {script}", quote(&inner))
        }
    }
}

/// What sudo reads before the command's own input.
pub(super) fn preamble(sudo: &Become) -> Option<Vec<u8>> {
    match sudo {
        Become::Sudo { password: Some(Password(password)) } => {
            Some(format!("{password}\n{BEGIN}\n").into_bytes())
        }
        _ => None,
    }
}

/// An answer as it comes in.
#[derive(Default)]
pub(super) struct Answer {
    /// The output so far, its exit status last.
    pub output: Output,
    /// The process, once the command itself has started; also that of its group.
    pub pid: Option<u32>,
    /// Whether the exit status is known.
    pub exited: bool,
    /// Whether the host has closed the channel: nothing more will come.
    pub closed: bool,
}

impl Answer {
    /// Takes one message.
    pub(super) fn take(
        &mut self,
        message: ChannelMsg,
        connection: &Connection,
    ) -> Result<(), SessionError> {
        let name = &connection.name;
        let refused = |message: String| Err(SessionError::Refused { message, hint: None });
        match message {
            ChannelMsg::Data { data } => {
                self.output.stdout.extend_from_slice(&data);
                self.begin();
            }
            ChannelMsg::ExtendedData { data, ext: 1 } => {
                self.output.stderr.extend_from_slice(&data);
                let err = &self.output.stderr;
                let asked = |from: usize| Some(from + find(&err[from..], PROMPT)? + PROMPT.len());
                if self.pid.is_none() && asked(0).and_then(asked).is_some() {
                    return refused(format!("sudo on {name} does not accept the password"));
                }
            }
            ChannelMsg::ExitStatus { exit_status } => {
                // A status is a byte on every system there is.
                self.output.code = exit_status as i32;
                self.exited = true;
            }
            ChannelMsg::ExitSignal { signal_name, .. } => {
                self.output.code = 128 + number(&signal_name);
                self.exited = true;
            }
            ChannelMsg::Failure => return refused(format!("{name} runs no commands")),
            ChannelMsg::Close => self.closed = true,
            _ => {}
        }
        if self.output.stdout.len().max(self.output.stderr.len()) > MOST {
            return Err(SessionError::Output(MOST));
        }
        Ok(())
    }

    /// Looks for the line that says that the command starts, and takes away what came before.
    fn begin(&mut self) {
        if self.pid.is_none()
            && let Some((pid, end)) = begun(&self.output.stdout)
        {
            self.output.stdout.drain(..end);
            self.pid = Some(pid);
        }
    }

    /// The answer as a whole, once nothing more will come.
    pub(super) fn finish(mut self, connection: &Connection) -> Result<Output, SessionError> {
        let Connection { sudo, name, .. } = connection;
        if !self.exited {
            return Err(SessionError::NoExitStatus);
        }
        if self.pid.is_some() {
            let err = &mut self.output.stderr;
            if let Some(at) = find(err, PROMPT).filter(|_| preamble(sudo).is_some()) {
                err.drain(..at + PROMPT.len());
            }
            return Ok(self.output);
        }
        let said = format!("{} {}", self.output.out(), self.output.err()).replace(PROMPT, "");
        let (what, hint) = match sudo {
            Become::Nothing => ("the login shell", None),
            Become::Sudo { password: None } => {
                ("`sudo -n`", Some("the user needs sudo without a password, or bp its password"))
            }
            Become::Sudo { .. } => ("`sudo -S`", Some("is it the login user's password?")),
        };
        Err(SessionError::Refused {
            message: format!("{what} on {name} exited with {}: {}", self.output.code, said.trim()),
            hint: hint.map(str::to_owned),
        })
    }
}

/// The process that a command's output announces, and where its own output begins.
pub(super) fn begun(stdout: &[u8]) -> Option<(u32, usize)> {
    let at = find(stdout, BEGIN)? + BEGIN.len();
    let end = at + stdout[at..].iter().position(|b| *b == b'\n')?;
    let pid = std::str::from_utf8(&stdout[at..end]).ok()?.trim().parse().ok()?;
    Some((pid, end + 1))
}

fn find(text: &[u8], word: &str) -> Option<usize> {
    text.windows(word.len()).position(|w| w == word.as_bytes())
}

/// The number of a signal; the same on every Linux for those that SSH can name.
fn number(signal: &Sig) -> i32 {
    match signal {
        Sig::HUP => 1,
        Sig::INT => 2,
        Sig::QUIT => 3,
        Sig::ILL => 4,
        Sig::ABRT => 6,
        Sig::FPE => 8,
        Sig::KILL => 9,
        Sig::USR1 => 10,
        Sig::SEGV => 11,
        Sig::PIPE => 13,
        Sig::ALRM => 14,
        Sig::TERM => 15,
        Sig::Custom(_) => 0,
    }
}
