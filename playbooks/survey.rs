//! All checks of all phases at once. Plain-shell checks of one host travel together, as one script
//! over one connection, so that a run with nothing to do costs one round trip.

use crate::cx::{Cx, verdict};
use crate::event::{About, Event, Mark};
use crate::step::{Check, CheckBy, On, Step};
use futures::future::join_all;
use providers::{Cmd, Stdin, quote};
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

/// What all the checks of one host may take together.
const SURVEY_WITHIN: Duration = Duration::from_secs(120);

/// What goes as an argument of a shell; Linux takes 128 KiB (`MAX_ARG_STRLEN`), quoting included.
const LONGEST_ARGUMENT: usize = 32 << 10;

/// The checks of these steps, in their order. Changes nothing.
pub async fn survey(cx: &Cx, steps: &[Step]) -> Vec<Check> {
    let scripts = join_all(steps.iter().map(|step| script(cx, step))).await;
    let mut shell: HashMap<&str, Vec<(usize, &str)>> = HashMap::new();
    let mut found: Vec<Option<Check>> = vec![None; steps.len()];
    for (at, (step, script)) in steps.iter().zip(&scripts).enumerate() {
        match (script, &step.on) {
            (Some(Ok(script)), On::Host(host)) => {
                shell.entry(host).or_default().push((at, script));
            }
            (Some(Err(answer)), _) => found[at] = Some(answer.clone()),
            _ => {}
        }
    }
    let together = join_all(shell.into_iter().map(|(host, asked)| async move {
        let (at, scripts): (Vec<usize>, Vec<&str>) = asked.into_iter().unzip();
        at.into_iter().zip(ask(cx, host, &scripts).await).collect::<Vec<_>>()
    }));
    let alone = join_all(steps.iter().enumerate().filter_map(|(at, step)| match &step.check {
        CheckBy::Rust(check) => {
            let answer = check(cx.clone());
            Some(async move { (at, answer.await) })
        }
        CheckBy::Shell(_) | CheckBy::ShellOf(_) => None,
    }));
    let (together, alone) = futures::join!(together, alone);
    for (at, check) in together.into_iter().flatten().chain(alone) {
        found[at] = Some(check);
    }
    found.into_iter().map(|c| c.expect("every step was checked")).collect()
}

/// One step's check, asked now.
pub async fn check(cx: &Cx, step: &Step) -> Check {
    if let CheckBy::Rust(check) = &step.check {
        return check(cx.clone()).await;
    }
    match script(cx, step).await {
        Some(Ok(script)) => {
            ask(cx, step.on.host(), &[&script]).await.pop().expect("one script, one answer")
        }
        Some(Err(answer)) => answer,
        None => unreachable!("a check that is no shell was asked already"),
    }
}

/// The marks of a survey: what `up` would do with each step, in their order.
///
/// A health gate that is not true is `?`: it is waited for. So is a step after something of the
/// lab or of its host that is not there, and one that `up` would stop at.
pub fn marks(steps: &[Step], found: &[Check]) -> Vec<Mark> {
    let mark = |(step, check): (&Step, &Check)| match check {
        Check::True => Mark::True,
        Check::Not(_) if step.apply.is_some() => Mark::Apply,
        _ => Mark::Unknown,
    };
    steps.iter().zip(found).map(mark).collect()
}

/// Says the marks, and how many there are of each.
pub fn tell(cx: &Cx, steps: &[Step], found: &[Check], marks: &[Mark]) {
    for ((step, check), mark) in steps.iter().zip(found).zip(marks) {
        cx.events().emit(Event::Survey {
            about: about(step),
            mark: *mark,
            reason: check.reason().to_owned(),
            why: step.why.clone(),
        });
    }
    let count = |mark: Mark| marks.iter().filter(|m| **m == mark).count();
    cx.events().emit(Event::Surveyed {
        already_true: count(Mark::True),
        apply: count(Mark::Apply),
        unknown: count(Mark::Unknown),
    });
}

/// Which step an event is about.
pub(crate) fn about(step: &Step) -> About {
    About { phase: step.phase.clone(), step: step.name.clone(), host: step.on.host().to_owned() }
}

/// The shell of a check, or its answer where that needs none; `None` where it is no shell.
async fn script<'a>(cx: &Cx, step: &'a Step) -> Option<Result<Cow<'a, str>, Check>> {
    match &step.check {
        CheckBy::Shell(script) => Some(Ok(Cow::Borrowed(script))),
        CheckBy::ShellOf(script) => Some(script(cx.clone()).await.map(Cow::Owned)),
        CheckBy::Rust(_) => None,
    }
}

/// Runs check scripts on a host in one command and gives their verdicts in order.
async fn ask(cx: &Cx, host: &str, scripts: &[&str]) -> Vec<Check> {
    let all = batch(scripts);
    let cmd = if all.len() < LONGEST_ARGUMENT {
        Cmd::new(all)
    } else {
        Cmd::new("eval \"$(cat)\"").stdin(Stdin::Bytes(all.into_bytes()))
    }
    .within(SURVEY_WITHIN);
    match cx.run(host, &cmd).await {
        Ok(output) => answers(&output.out(), scripts.len()),
        Err(error) => vec![cx.unanswered(host, error).await; scripts.len()],
    }
}

/// One script of many: each in a subshell of its own, its answer one line with its number and
/// status, and one line with the last that it printed. `eval`, so that a script that is no shell
/// spoils only its own answer.
fn batch(scripts: &[&str]) -> String {
    let mut all = String::new();
    for (number, script) in scripts.iter().enumerate() {
        all.push_str(&format!(
            "o=$( eval {} </dev/null 2>&1 ); r=$?; [ $r = 0 ] && o=; o=${{o##*\"\n\"}}; \
             printf '@%s %s\\n%s\\n' {number} $r \"$o\"\n",
            quote(script)
        ));
    }
    all.push_str("exit 0\n");
    all
}

/// Takes the answers apart again. What did not answer is not true.
fn answers(printed: &str, count: usize) -> Vec<Check> {
    let mut checks = vec![Check::Not("the check gave no answer".to_owned()); count];
    let mut lines = printed.lines();
    for (number, check) in checks.iter_mut().enumerate() {
        let mark = format!("@{number} ");
        let Some(code) = lines.find_map(|l| l.strip_prefix(&mark)?.parse().ok()) else { break };
        *check = verdict(code, lines.next().unwrap_or_default());
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(scripts: &[&str]) -> Vec<Check> {
        let out = std::process::Command::new("sh").arg("-c").arg(batch(scripts)).output();
        answers(&String::from_utf8_lossy(&out.expect("sh runs").stdout), scripts.len())
    }

    #[test]
    fn many_checks_answer_as_each_alone_would() {
        let not = |reason: &str| Check::Not(reason.to_owned());
        let scripts = [
            "true",
            "false",
            "echo first; echo last; false",
            "echo to stderr >&2; exit 7",
            "exit 0",
            "cat; test -z \"$(cat)\"",
            "echo @7 0; false",
            "cd /; umask 0; true",
            "printf 'no newline'; false",
            "if [ 1 = 2 ]; then true; else echo differs; false; fi # a comment",
            "echo 'never closed",
            "true",
        ];
        let expected = [
            Check::True,
            not("not so"),
            not("last"),
            not("to stderr"),
            Check::True,
            Check::True,
            not("@7 0"),
            Check::True,
            not("no newline"),
            not("differs"),
        ];
        let found = run(&scripts);
        assert_eq!(found[..10], expected);
        assert!(matches!(&found[10], Check::Not(why) if why.contains("nterminated")), "{found:?}");
        assert_eq!(found[11], Check::True);
    }

    #[test]
    fn a_cut_off_answer_is_not_true() {
        assert_eq!(answers("@0 0\n\n@1", 2)[1], Check::Not("the check gave no answer".to_owned()));
    }
}
