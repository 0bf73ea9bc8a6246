//! Phase machines: made, started, reachable, ready. Shared things once before them all.

use crate::cx::Cx;
use crate::limits;
use crate::step::{Check, Failure, Step, tail};
use blueprints::{Host, HostProvider, Lab};
use futures::future::BoxFuture;
use providers::{Cmd, Machine, Provider, Shared, State};
use std::sync::Arc;
use std::time::Duration;

/// The steps of the phase. `shared` are the things that machines share, by their provider.
pub fn steps(lab: &Lab, shared: Vec<(Arc<dyn Provider>, Shared)>) -> Vec<Step> {
    let mut steps: Vec<Step> = shared.into_iter().map(|(p, s)| shared_step(p, s)).collect();
    for host in &lab.hosts {
        if host.provider != HostProvider::Existing {
            steps.push(made(host));
            steps.push(running(host));
            steps.push(address(host));
        }
        steps.push(ssh(host));
        if host.provider != HostProvider::Existing {
            steps.push(ready(host));
        }
    }
    steps
}

fn shared_step(provider: Arc<dyn Provider>, shared: Shared) -> Step {
    let (by, what) = (provider.clone(), shared.clone());
    Step::lab(&shared.name, &shared.why)
        .within(shared.within)
        .check(move |_| {
            let (provider, shared) = (by.clone(), what.clone());
            async move {
                match provider.check_shared(&shared).await {
                    Ok(state) => is_right(state),
                    Err(error) => Check::Not(error.to_string()),
                }
            }
        })
        .apply(move |_| {
            let (provider, shared) = (provider.clone(), shared.clone());
            async move { Ok(provider.make_shared(&shared).await?) }
        })
}

fn made(host: &Host) -> Step {
    let (checked, made) = (host.clone(), host.clone());
    Step::host(&host.name, "machine", "the host is a machine of its own, made from the template")
        .within(Duration::from_secs(900))
        .check(move |cx| {
            let name = checked.name.clone();
            async move {
                match cx.machine(&name).await {
                    Ok(Some(machine)) => is_right(machine.state),
                    Ok(None) => Check::Not("it is not there".to_owned()),
                    Err(error) => Check::Not(error),
                }
            }
        })
        .apply(move |cx| {
            let host = made.clone();
            async move {
                let access = cx.world().access(&host)?;
                Ok(cx.world().provider(&host).create(&host, &access).await?)
            }
        })
}

fn running(host: &Host) -> Step {
    let (checked, started) = (host.clone(), host.clone());
    Step::host(&host.name, "running", "a machine that is off serves nobody")
        .check(move |cx| {
            let name = checked.name.clone();
            async move { with_machine(&cx, &name, |m| Check::when(m.running, "it is off")).await }
        })
        .apply(move |cx| {
            let host = started.clone();
            async move { Ok(cx.world().provider(&host).start(&host).await?) }
        })
}

fn address(host: &Host) -> Step {
    let wanted = host.clone();
    Step::host(&host.name, "address", "everything after this reaches the host by its address")
        .within(limits::BOOT)
        .diagnose(with_console(&host.name))
        .check(move |cx| {
            let host = wanted.clone();
            async move {
                with_machine(&cx, &host.name, |machine| match (machine.address, &host.address) {
                    (None, _) => Check::Not("it has no address yet".to_owned()),
                    (Some(has), Some(wants)) if has.to_string() != wants.to_string() => {
                        Check::Not(format!("it has the address {has}, the blueprint says {wants}"))
                    }
                    _ => Check::True,
                })
                .await
            }
        })
}

fn ssh(host: &Host) -> Step {
    let name = host.name.clone();
    Step::host(&host.name, "ssh", "bp works on hosts over SSH")
        .within(limits::BOOT)
        .diagnose(with_console(&host.name))
        .check(move |cx| {
            let name = name.clone();
            async move {
                match cx.session(&name).await {
                    Ok(_) => Check::True,
                    Err(error) => cx.unanswered(&name, error).await,
                }
            }
        })
}

/// cloud-init's own record of this boot, where the image has cloud-init; its errors are the failure.
/// `cloud-init status` says the same, but takes seconds of Python to say it.
const READY: &str = "command -v cloud-init >/dev/null || exit 0
r=/run/cloud-init/result.json
[ -e /run/cloud-init/disabled ] && exit 0
[ -s $r ] || { echo 'cloud-init is at work'; exit 1; }
tr -d ' \\n' <$r | grep -q '\"errors\":\\[\\]' || { echo 'cloud-init failed:'; cat $r; exit 9; }";

fn ready(host: &Host) -> Step {
    let name = host.name.clone();
    Step::host(&host.name, "ready", "SSH open is not ready: cloud-init is still at work then")
        .within(limits::BOOT)
        .check(move |cx| {
            let name = name.clone();
            async move {
                match cx.run(&name, &Cmd::new(READY)).await {
                    Ok(output) if output.code == 9 => Check::Failed(
                        Failure::new(output.out())
                            .hint("`bp ssh` to it and read /var/log/cloud-init-output.log"),
                    ),
                    Ok(output) => Check::when(output.ok(), output.out()),
                    Err(error) => cx.unanswered(&name, error).await,
                }
            }
        })
}

async fn with_machine(cx: &Cx, host: &str, judge: impl FnOnce(&Machine) -> Check) -> Check {
    match cx.machine(host).await {
        Ok(Some(machine)) => judge(&machine),
        Ok(None) => Check::Unknown("it is not there yet".to_owned()),
        Err(error) => Check::Not(error),
    }
}

fn is_right(state: State) -> Check {
    match state {
        State::Right => Check::True,
        State::Wrong(why) => Check::Not(why),
        State::Conflict(why) => Check::Failed(Failure::new(why)),
    }
}

/// A console's text without the colours and cursor moves that a terminal would make of it.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.next_if_eq(&'[').is_some() => {
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\n' | '\t' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

fn with_console(host: &str) -> impl Fn(Cx) -> BoxFuture<'static, Option<String>> + use<> {
    let host = host.to_owned();
    move |cx| Box::pin(console(cx, host.clone()))
}

/// The console of a machine that does not come up, for the log.
async fn console(cx: Cx, host: String) -> Option<String> {
    let host = cx.lab().host(&host)?;
    let text = cx.world().provider(host).console(host).await?;
    let lines: String = tail(plain(&text), 30).lines().map(|l| format!("  {l}\n")).collect();
    Some(format!("the console of {} ends with\n{}", host.name, lines.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn a_console_is_shown_without_its_escapes() {
        let text = "\x1b[0;1;31mFAILED\x1b[0m to start\r\n\x1b[!p\x1b[?7hlogin: ";
        assert_eq!(plain(text), "FAILED to start\nlogin: ");
        assert_eq!(plain("\x1b[0;32mOK\x1b[0m"), "OK");
    }
}
