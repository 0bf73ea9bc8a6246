//! What is wrong with a blueprint, where, and how that is shown.

use crate::tree::Span;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The blueprint can't be used.
    Error,
    /// It can, but its author should know.
    Warning,
}

impl Severity {
    /// The word that is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A problem of a blueprint and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// The file, as the caller names it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The range of bytes in the text, within one line.
    pub span: std::ops::Range<usize>,
    /// What stands beside the caret, such as a suggestion.
    pub label: Option<String>,
    /// What the author can do.
    pub help: Option<String>,
}

/// A problem before its line and column are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub severity: Severity,
    pub at: Span,
    pub message: String,
    pub label: Option<String>,
    pub help: Option<String>,
}

impl Problem {
    pub fn error(at: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, at, message: message.into(), label: None, help: None }
    }

    pub fn warning(at: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(at, message) }
    }

    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Where each line of a text starts.
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The number of the line that holds this byte, from 1.
    pub fn number(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at)
    }
}

/// More problems than anybody reads at once.
const MOST: usize = 100;

/// The problems as diagnostics, sorted by place, each once, and not more than can be read.
pub(crate) fn sorted(mut problems: Vec<Problem>, text: &str, file: &str) -> Vec<Diagnostic> {
    problems.sort_by(|a, b| (a.at, &a.message).cmp(&(b.at, &b.message)));
    problems.dedup();
    if problems.len() > MOST {
        let more = problems.len() - MOST;
        let at = problems[MOST].at;
        problems.truncate(MOST);
        problems.push(Problem::error(at, format!("{more} more problems from here on")));
    }
    let lines = Lines::of(text);
    problems.into_iter().map(|problem| place(problem, text, &lines, file)).collect()
}

/// Counts line and column, and cuts the place down to one line of at least one character.
fn place(problem: Problem, text: &str, lines: &Lines, file: &str) -> Diagnostic {
    let start = floor(text, problem.at.start);
    let line = lines.number(start);
    let line_start = lines.0[line - 1];
    let line_end = text[start..].find(['\n', '\r']).map_or(text.len(), |at| start + at);
    let mut end = floor(text, problem.at.end.min(line_end));
    if end <= start {
        let word =
            text[start..line_end].find([' ', ':', ',', '}', ']']).unwrap_or(line_end - start);
        end = start + word.max(text[start..line_end].chars().next().map_or(0, char::len_utf8));
    }
    Diagnostic {
        severity: problem.severity,
        message: masked(&problem.message),
        file: file.to_owned(),
        line,
        column: text[line_start..start].chars().count() + 1,
        span: start..end,
        label: problem.label,
        help: problem.help,
    }
}

/// The last boundary between characters at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

/// A text with stars, byte for byte, for what stands before an `@` in URLs, and elsewhere where it has the
/// form of a login: a password may be in there.
fn masked(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "/?#\"'`".contains(c);
    let mut masked = String::with_capacity(text.len());
    for word in text.split_inclusive(ends) {
        let is_login = |&at: &usize| {
            let is_digest =
                ["sha256:", "sha384:", "sha512:"].iter().any(|d| word[at + 1..].starts_with(d));
            masked.ends_with("://") || word[..at].contains(':') && !is_digest
        };
        let login = word.rfind('@').filter(is_login).unwrap_or(0);
        masked += &"*".repeat(login);
        masked += &word[login..];
    }
    masked
}

/// What is said where a secret may stand in the blueprint, which is shown with stars then.
pub(crate) const SECRET_ITSELF: &str = "a secret itself has no place in a blueprint";

/// The same where a map may hold one, after what it names.
const SECRET_IN_A_MAP: &str = "expected `env`, `file` or `command`, found";

/// A text with stars from where a problem says that a secret may stand, to the end of its line: other
/// problems of the same line show it, too.
fn starred(mut text: String, diagnostics: &[Diagnostic]) -> String {
    for Diagnostic { message, span, .. } in diagnostics {
        let from = match message.as_str() {
            said if said.starts_with(SECRET_ITSELF) => span.start,
            said if said.starts_with(SECRET_IN_A_MAP) => span.end,
            _ => continue,
        };
        let from = floor(&text, from);
        let end = text[from..].find('\n').map_or(text.len(), |at| from + at);
        text.replace_range(from..end, &"*".repeat(end - from));
    }
    text
}

/// The diagnostics as text: each with its place in one line, the line of the source and a caret.
pub fn render(diagnostics: &[Diagnostic], text: &str, file: &str, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let text = starred(masked(text), diagnostics);
    let one = |d| format!("{}{}", first_line(d, file, color), body(d, &text, &renderer));
    diagnostics.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// `lab.yml:14:22: error: unknown field`, for people and for programs.
fn first_line(diagnostic: &Diagnostic, file: &str, color: bool) -> String {
    let Diagnostic { severity, message, line, column, .. } = diagnostic;
    let word = match (color, severity) {
        (false, _) => severity.as_str().to_owned(),
        (true, Severity::Error) => format!("\x1b[1;31m{}\x1b[0m", severity.as_str()),
        (true, Severity::Warning) => format!("\x1b[1;33m{}\x1b[0m", severity.as_str()),
    };
    format!("{file}:{line}:{column}: {word}: {message}\n")
}

/// The line of the source, the caret and the help.
fn body(diagnostic: &Diagnostic, text: &str, renderer: &Renderer) -> String {
    let mut shown = String::new();
    if diagnostic.span.end == 0 {
        // It is about the file as a whole.
        if let Some(help) = &diagnostic.help {
            shown.push_str(&format!("  = help: {help}\n"));
        }
        return shown;
    }
    let at = floor(text, diagnostic.span.start);
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let source = text[start..end].trim_end_matches('\r');
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let from = (at - start).min(source.len());
    let span = from..floor(source, diagnostic.span.end.saturating_sub(start)).max(from);
    let annotation = AnnotationKind::Primary.span(span).label(diagnostic.label.as_deref());
    let snippet =
        Snippet::source(source).line_start(diagnostic.line).fold(false).annotation(annotation);
    let mut group = level.primary_title(diagnostic.message.as_str()).element(snippet);
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let rendered = renderer.render(&[group]);
    // Its title is the first line above.
    for line in rendered.lines().skip(1) {
        shown.push_str(line);
        shown.push('\n');
    }
    shown
}
