//! Plain lines, for logs, pipes and CI.

use super::{Said, count, is_coloured, is_terminal, line, size, table};
use playbooks::event::{About, Event, Mark, Sums};
use std::collections::HashMap;

/// A step that waits says so again after this many seconds.
const REMIND_AFTER: f64 = 15.0;

/// Prints events as lines.
pub struct Plain {
    verb: &'static str,
    reminded: HashMap<String, f64>,
    /// How many steps of each phase are true, and how many there are.
    phases: Vec<(String, usize, usize)>,
}

impl Plain {
    /// For the run of this verb.
    pub fn new(verb: &'static str) -> Self {
        Self { verb, reminded: HashMap::new(), phases: Vec::new() }
    }

    /// Prints until the events end.
    pub async fn follow(mut self, mut events: Said) {
        while let Some(event) = events.next().await {
            if let Event::Table { title, head, rows } = &event {
                let width = is_terminal().then(|| size().0);
                line(&table::text(title, head, rows, width, is_coloured()));
            } else if let Some(text) = self.text(&event) {
                line(&shown(&text));
            }
        }
    }

    /// What is printed for an event.
    pub fn text(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Begin { verb, lab, hosts, .. } => {
                Some(format!("{verb} lab `{lab}`: {}", count(hosts.len(), "host")))
            }
            Event::Surveyed { already_true, apply, unknown } if self.verb == "up" => Some(format!(
                "survey: {already_true} true, {apply} to apply, {unknown} not known yet"
            )),
            Event::Surveyed { .. } if self.verb == "status" => Some(self.by_phase()),
            Event::Surveyed { .. } | Event::Table { .. } => None,
            Event::Note { text } => Some(format!("note: {text}")),
            Event::Survey { about, mark, reason, .. } => self.survey(about, *mark, reason),
            Event::Applying { about, reason } => Some(marked(about, " ", reason)),
            Event::Waiting { about, reason, seconds, within } => {
                let last = self.reminded.entry(title(about)).or_insert(0.0);
                if seconds - *last < REMIND_AFTER {
                    return None;
                }
                *last = *seconds;
                Some(format!(
                    "  {}: waits {} of {}: {reason}",
                    title(about),
                    clock(*seconds),
                    clock(*within)
                ))
            }
            Event::StepDone { about, applied, seconds } => {
                let waited = self.reminded.remove(&title(about)).is_some();
                let word = if *applied { "done" } else { "true" };
                (*applied || waited || *seconds > 1.0)
                    .then(|| format!("  {}: {word} in {}", title(about), clock(*seconds)))
            }
            Event::StepFailed { about, error, hint, .. } => {
                Some(failure(about, error, hint.as_deref()))
            }
            Event::Removed { what } => Some(format!("  removed {what}")),
            Event::NotRemoved { what, error } => {
                Some(format!("error: not removed: {what}: {error}"))
            }
            Event::Interrupted => Some("interrupted; `bp up` continues".to_owned()),
            Event::Done { verb, sums, seconds } => Some(summary(verb, sums, *seconds)),
        }
    }

    fn survey(&mut self, about: &About, mark: Mark, reason: &str) -> Option<String> {
        if self.phases.last().is_none_or(|(phase, ..)| *phase != about.phase) {
            self.phases.push((about.phase.clone(), 0, 0));
        }
        if let Some((_, is, all)) = self.phases.last_mut() {
            *is += usize::from(mark == Mark::True);
            *all += 1;
        }
        match self.verb {
            "plan" => Some(marked(about, mark.as_str(), reason)),
            "status" if mark != Mark::True => Some(marked(about, "!", reason)),
            _ => None,
        }
    }
}

impl Plain {
    /// A line for each phase: whether all of it is true.
    fn by_phase(&self) -> String {
        let width = self.phases.iter().map(|(phase, ..)| phase.len()).max().unwrap_or(0);
        let line = |(phase, is, all): &(String, usize, usize)| {
            let mark = if is == all { "=" } else { "!" };
            format!("{mark} {phase:width$}  {is} of {all} true")
        };
        self.phases.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// What hosts print may hold escape sequences: a terminal gets none of them.
pub fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// A step with its mark and why it is not true.
pub fn marked(about: &About, mark: &str, reason: &str) -> String {
    let title = title(about);
    if reason.is_empty() { format!("{mark} {title}") } else { format!("{mark} {title}: {reason}") }
}

/// `phase / step / host`.
pub fn title(about: &About) -> String {
    match about.host.as_str() {
        "" => format!("{} / {}", about.phase, about.step),
        host => format!("{} / {} / {host}", about.phase, about.step),
    }
}

/// A failure as errors are printed: what, to what, where; then what came back; then the hint.
pub fn failure(about: &About, error: &str, hint: Option<&str>) -> String {
    let body: String = error.lines().map(|l| format!("\n  {l}")).collect();
    let hint = hint.map(|h| format!("\nhint: {h}")).unwrap_or_default();
    format!("error: {}{body}{hint}", title(about))
}

/// Seconds as a person reads them.
pub fn clock(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match (whole / 60, whole % 60) {
        (0, s) => format!("{s} s"),
        (m, 0) => format!("{m} min"),
        (m, s) => format!("{m} min {s} s"),
    }
}

/// The last line of a run.
pub fn summary(verb: &str, sums: &Sums, seconds: f64) -> String {
    let parts = [
        (sums.applied, "applied"),
        (sums.apply, "to apply"),
        (sums.unknown, "not known yet"),
        (sums.already_true, "already true"),
        (sums.removed, "removed"),
        (sums.failed, if verb == "status" { "not true" } else { "failed" }),
    ];
    let parts: Vec<String> =
        parts.iter().filter_map(|(n, word)| n.map(|n| format!("{n} {word}"))).collect();
    let parts = if parts.is_empty() { "nothing done".to_owned() } else { parts.join(", ") };
    format!("{verb}: {parts}, in {}", clock(seconds))
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn a_terminal_gets_no_escapes_of_a_host() {
        assert_eq!(shown("a\x1b[31m\tb\r\nc\x07 ü"), "a[31m\tb\nc ü");
    }
}
