//! Changes that undo themselves: a wall that keeps the operator out is gone again a minute later.
//!
//! A change arms a revert on the host, is made for the running system alone, is confirmed over a
//! new connection, and only then kept for the next boot. Whoever is cut off between leaves the
//! revert armed: it runs, and the next `up` starts over.

use crate::cx::Cx;
use crate::limits;
use crate::step::{Failure, Trouble};
use providers::{Cmd, SessionError, Stdin};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a change stands that nobody confirmed, once it is made.
const REVERT: Duration = Duration::from_secs(60);

/// How long it is tried to confirm one. Two logins on a busy machine; less than [`REVERT`], so that
/// the two do not race.
const CONFIRM: Duration = Duration::from_secs(40);

/// Making a change. A revert that is due waits for it, so it has an end of its own on the host.
const LOAD: Duration = Duration::from_secs(180);

/// Getting ready and making a change: ufw takes a second for each rule on an emulated machine.
const ARMING: Duration = Duration::from_secs(420);

/// The exit status of a confirmation that comes too late.
const TOO_LATE: i32 = 75;

/// A marker that is there while a revert is armed. It says when that is due, by the host's uptime.
pub const ARMED: &str = "/run/bp-firewall/armed";

/// Who changes the walls, reverts or confirms holds this: they never overlap. What they start
/// outlives them, and so is not given the lock.
const ALONE: &str = "exec 9>>/run/bp-firewall.lock; flock -w 60 9 || { echo 'another change of the walls is at work' >&2; exit 1; }";

/// What every timer runs. It waits as long as it takes for whoever is at work, and for the time
/// that is due now, which may be that of a later change; what is disarmed it leaves alone.
const REVERTS: &str = "set -eu
exec 9>>/run/bp-firewall.lock; cd /run/bp-firewall
while flock 9; [ -e armed ] || exit 0; left=$(($(cat armed) - $(cut -d. -f1 /proc/uptime))); [ $left -gt 0 ]; do
flock -u 9; sleep $left 9>&-; done
(cd before; sh -eu ../restore) 9>&-
rm -f armed
";

/// A change of a host's walls, as shell. All of it runs in `/run/bp-firewall`, saving and restoring
/// in `before` there.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What is wanted: the file `wanted` there.
    pub content: String,
    /// Saves what is.
    pub save: String,
    /// Gets ready what takes long, while nothing changes.
    pub prepare: String,
    /// Makes the change for the running system alone.
    pub load: String,
    /// Puts back what was saved.
    pub restore: String,
    /// Makes the change stay over a boot.
    pub keep: String,
}

/// The command that arms the revert and makes the change. What was saved stays where an earlier
/// change was never confirmed: it is still what to go back to. The timer is there before anything
/// changes; the time is counted anew when the change is made, however long that took.
fn arm(change: &Change) -> Cmd {
    let script = format!(
        "set -eu; umask 077\n{ALONE}\n\
         mkdir -p /run/bp-firewall; cd /run/bp-firewall\n\
         if [ ! -e armed ]; then rm -rf before confirmed; mkdir before; (cd before\n{save}\n); fi\n\
         cat >wanted\n{prepare}\n\
         cat >load <<'LOAD'\n{load}\nLOAD\n\
         cat >restore.new <<'RESTORE'\n{restore}\nRESTORE\n\
         cat >revert.new <<'REVERT'\n{REVERTS}REVERT\n\
         mv -f restore.new restore; mv -f revert.new revert\n\
         systemd-run --quiet --collect --unit=bp-firewall-revert-$$ --on-active={seconds} --timer-property=AccuracySec=1s \
         /bin/sh /run/bp-firewall/revert 9>&-\n\
         due() {{ echo $(($(cut -d. -f1 /proc/uptime) + $1)) >armed; }}\n\
         due {seconds}\n\
         r=0; timeout -k 10 {within} sh -eu load 9>&- || r=$?\n\
         [ $r != 124 ] || echo 'the change did not end within {within} s' >&2\n\
         [ $r = 0 ] || {{ due 0; exec 9>&-; sh revert; exit $r; }}\n\
         due {seconds}",
        save = change.save,
        prepare = change.prepare,
        restore = change.restore,
        load = change.load,
        seconds = REVERT.as_secs(),
        within = LOAD.as_secs(),
    );
    Cmd::new(script).stdin(Stdin::Bytes(change.content.clone().into_bytes())).within(ARMING)
}

/// The command that disarms the revert and keeps the change; again is no harm.
fn confirm(change: &Change) -> Cmd {
    Cmd::new(format!(
        "set -eu; umask 077\n{ALONE}\n\
         cd /run/bp-firewall\n\
         if [ -e armed ]; then mv armed confirmed; fi\n\
         [ -e confirmed ] || exit {TOO_LATE}\n{keep}",
        keep = change.keep,
    ))
    .within(Duration::from_secs(120))
}

/// Makes a change, confirms it over a new connection, keeps it.
///
/// # Errors
/// When nobody could log in any more: the change has undone itself then, or is about to.
pub async fn guarded(cx: &Cx, host: &str, change: &Change) -> Result<(), Trouble> {
    cx.ok(host, arm(change)).await?;
    let (cmd, until) = (confirm(change), Instant::now() + CONFIRM);
    let mut last = SessionError::Unreachable("no answer".to_owned());
    while Instant::now() < until {
        match tokio::time::timeout_at(until, cx.new_session(host)).await {
            Ok(Ok(session)) => match session.run(&cmd).await {
                Ok(output) if output.ok() => return Ok(()),
                Ok(output) if output.code == TOO_LATE => {
                    let late = Failure::new("the change has undone itself before it was confirmed");
                    return Err(late.hint("the host was too slow; `bp up` starts over").into());
                }
                Ok(output) => return Err(Failure::command(&cmd, &output).into()),
                Err(error) => last = error,
            },
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
        sleep(Duration::from_secs(1).min(until.saturating_duration_since(Instant::now()))).await;
    }
    locked_out(cx, host, change, &last).await
}

/// Waits until the change has undone itself, and says what happened. A confirmation whose answer
/// was lost has disarmed the revert just as well: then what is left of it is done.
async fn locked_out(
    cx: &Cx,
    host: &str,
    change: &Change,
    last: &SessionError,
) -> Result<(), Trouble> {
    let until = Instant::now() + REVERT + CONFIRM;
    let mut end = "it undoes itself, but the host does not answer since".to_owned();
    while Instant::now() < until {
        let cx = cx.fresh();
        let cmd = Cmd::new(format!(
            "if [ -e {ARMED} ]; then echo armed; elif [ -e /run/bp-firewall/confirmed ]; then echo confirmed; else echo undone; fi"
        ));
        let asked = tokio::time::timeout_at(until, cx.run(host, &cmd)).await;
        match asked {
            Ok(Ok(output)) if output.out().trim() == "confirmed" => {
                return cx.ok(host, confirm(change)).await.map(drop);
            }
            Ok(Ok(output)) if output.out().trim() == "undone" => {
                end = "it has undone itself".to_owned();
                break;
            }
            _ => {}
        }
        sleep(limits::POLL_SLOWEST).await;
    }
    let port = cx.lab().host(host).map_or(22, |h| h.ssh.port);
    let failure = Failure::new(format!(
        "with the new walls nobody could log in within {}: {last}\n\
         the change undoes itself after {}: {end}",
        limits::seconds(CONFIRM),
        limits::seconds(REVERT)
    ))
    .hint(format!(
        "does sshd there listen on {port}/tcp? where a port is forwarded, its own port is a door that `ports` of the host has to name"
    ));
    Err(failure.into())
}
