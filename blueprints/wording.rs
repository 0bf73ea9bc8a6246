//! What is said about a value that is not what was expected.

use crate::diagnostic::Problem;
use crate::tree::Span;
use serde::de::{Expected, Unexpected};
use std::fmt::Display;

/// What is wrong with a value; placed where it is caught.
#[derive(Debug)]
pub(crate) struct Error {
    pub at: Option<Span>,
    pub message: String,
    pub label: Option<String>,
    pub help: Option<String>,
}

impl Error {
    pub fn new(message: String) -> Self {
        Self { at: None, message, label: None, help: None }
    }

    pub fn at(self, at: Span) -> Problem {
        let mut problem = Problem::error(self.at.unwrap_or(at), self.message);
        problem.label = self.label;
        problem.help = self.help;
        problem
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let mut error = Self::new(format!("expected {}, found {}", plain(&expected), name(&found)));
        let plain_value = matches!(
            found,
            Unexpected::Unsigned(_)
                | Unexpected::Signed(_)
                | Unexpected::Float(_)
                | Unexpected::Bool(_)
        );
        if plain_value && expected == "a string" {
            error.help = Some("put it in quotes".to_owned());
        }
        let quoted = |text: &str| match expected.as_str() {
            "u8" | "u16" | "u32" | "u64" => text.parse::<u64>().is_ok(),
            "a boolean" => text.parse::<bool>().is_ok(),
            _ => false,
        };
        if matches!(found, Unexpected::Str(text) if quoted(text)) {
            error.help = Some("leave the quotes out".to_owned());
        }
        error
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let words: Vec<String> = expected.iter().map(|w| format!("`{w}`")).collect();
        let mut error =
            Self::new(format!("expected {}, found `{}`", one_of(&words), short(variant)));
        error.label = nearest(variant, expected).map(|w| format!("did you mean `{w}`?"));
        error
    }
}

/// `a`, `b` or `c`.
pub(crate) fn one_of(words: &[String]) -> String {
    match words {
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
        [] => "nothing".to_owned(),
    }
}

/// The known word that the unknown one was most likely meant to be.
pub(crate) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let bound = (word.chars().count() / 3).max(1);
    let distance = |k: &&&str| strsim::damerau_levenshtein(word, k);
    known.iter().min_by_key(distance).filter(|k| distance(k) <= bound).copied()
}

/// The first characters of a text, on one line.
pub(crate) fn short(text: &str) -> String {
    let line: String =
        text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() { format!("{line}...") } else { line }
}

/// serde's names for types, in words for people.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" | "u64" => "a whole number",
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        other => other.strip_prefix("struct ").map_or(other, |_| "a map"),
    }
}

fn name(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(value) => format!("`{value}`"),
        Unexpected::Signed(value) => format!("`{value}`"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(value) => format!("`{}`", short(value)),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// The words, in backticks, with commas.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}
