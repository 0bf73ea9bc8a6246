//! The text as a tree with places, as the YAML parser sees it.
//!
//! Anchors, merge keys and the budgets against bombs are the parser's; what is left is data.

use crate::diagnostic::{Lines, Problem};
use crate::wording::short;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, Options};
use serde_saphyr::{Location, Spanned, UserMessageFormatter};
use std::collections::HashMap;

/// A range of bytes of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
}

/// The deepest nesting; the language itself has 8 levels.
const MAX_DEPTH: usize = 32;

/// The tree of a text, and what the parser says against it; no tree where it gave up.
pub(crate) fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
    match serde_saphyr::from_str_with_options(text, options(DuplicateKeyPolicy::Error)) {
        Ok(node) => (Some(node), Vec::new()),
        Err(error) => {
            let first = problem(&error, text);
            if !matches!(original(&error), serde_saphyr::Error::DuplicateMappingKey { .. }) {
                return (None, vec![first]);
            }
            // A key that is there twice is no reason to stop: read on for the other problems.
            let options = options(DuplicateKeyPolicy::LastWins);
            match serde_saphyr::from_str_with_options::<Node>(text, options) {
                Ok(mut node) => {
                    let mut problems = Vec::new();
                    take_duplicates(&mut node, &Lines::of(text), &mut problems);
                    if !problems.iter().any(|p| p.at == first.at) {
                        problems.push(first);
                    }
                    (Some(node), problems)
                }
                Err(error) => (None, vec![first, problem(&error, text)]),
            }
        }
    }
}

/// No tree of a sensible file comes near these bounds; an alias bomb meets them at once.
fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        duplicate_keys: duplicate_keys,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: 1,
            // A thousand hosts may well share one anchor.
            enforce_alias_anchor_ratio: false,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
        },
    }
}

/// The error itself, where it happened within an alias.
fn original(mut error: &serde_saphyr::Error) -> &serde_saphyr::Error {
    while let serde_saphyr::Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    error
}

/// What the parser says, in words that fit the file.
fn problem(error: &serde_saphyr::Error, text: &str) -> Problem {
    use serde_saphyr::Error;

    let error = original(error);
    let at = error.location().map_or(Span::default(), |location| located(&location, text));
    let message = match error {
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => too_deep(),
        Error::Budget { breach: BudgetBreach::Documents { .. }, .. }
        | Error::MultipleDocuments { .. } => "more than one document in the file".to_owned(),
        Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => {
            "the aliases stand for more than any blueprint needs".to_owned()
        }
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an alias of itself".to_owned(),
        Error::UnknownAnchor { .. } => "no anchor of this name comes before".to_owned(),
        Error::Unexpected { expected: "string scalar", .. } => {
            "expected a key of plain text".to_owned()
        }
        Error::NullIntoString { .. } => "expected a key, found nothing".to_owned(),
        _ => {
            let mut message = error.render_with_formatter(&UserMessageFormatter);
            message.truncate(message.rfind(" at line ").unwrap_or(message.len()));
            if message == "recursion limit exceeded" { too_deep() } else { message }
        }
    };
    let problem = Problem::error(at, message.clone());
    if message.starts_with("tabs") { problem.help("indent with spaces") } else { problem }
}

fn too_deep() -> String {
    format!("more than {MAX_DEPTH} levels of maps and lists")
}

/// The place of an error, which may know its line and column only.
fn located(location: &Location, text: &str) -> Span {
    if location.span().byte_offset().is_some() {
        return Span::of(location);
    }
    let line = location.line().saturating_sub(1) as usize;
    let start = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let column = location.column().saturating_sub(1) as usize;
    let start = start + text[start..].chars().take(column).map(char::len_utf8).sum::<usize>();
    Span { start, end: start }
}

/// Reports keys that a map has twice, and keeps the first of each.
fn take_duplicates(node: &mut Node, lines: &Lines, problems: &mut Vec<Problem>) {
    match &mut node.kind {
        Kind::List(items) => items.iter_mut().for_each(|i| take_duplicates(i, lines, problems)),
        Kind::Map(entries) => {
            let mut first: HashMap<String, Span> = HashMap::new();
            entries.retain(|entry| {
                let Some(at) = first.get(&entry.key) else {
                    first.insert(entry.key.clone(), entry.key_at);
                    return true;
                };
                let line = lines.number(at.start);
                let message = format!("duplicate key `{}`", short(&entry.key));
                let label = format!("first in line {line}");
                problems.push(Problem::error(entry.key_at, message).label(label));
                false
            });
            entries.iter_mut().for_each(|e| take_duplicates(&mut e.value, lines, problems));
        }
        _ => {}
    }
}

impl Span {
    fn of(location: &Location) -> Self {
        let span = location.span();
        let start = span.byte_offset().unwrap_or_default() as usize;
        Self { start, end: start + span.byte_len().unwrap_or_default() as usize }
    }
}

/// A value and where it stands (for an alias: where the anchor's value stands).
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub at: Span,
    pub kind: Kind,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_at: Span,
    pub value: Node,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { at: Span::of(&node.defined), kind: node.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Kind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value()?;
            entries.push(Entry { key: key.value, key_at: Span::of(&key.defined), value });
        }
        Ok(Kind::Map(entries))
    }
}
