//! What `docker stack deploy` takes of a compose file: checked before anything is touched, with every
//! problem at once, each with its place.
//!
//! Docker names one problem at a time, on the manager, after what comes before is deployed; and it
//! ignores keys that mean something elsewhere.

mod forms;
mod rules;
mod table;

use blueprints::is_image;
use forms::{cpus, duration, mount, port, size, split};
use serde_json::{Map, Value};
use table::{DEPLOY, FILE, Key, Kind, NEWEST, REFUSED, SERVICE};

/// The problems that are named; more are counted.
const MOST: usize = 20;

/// What is said of a compose file.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// What docker refuses: the place and the reason.
    pub problems: Vec<String>,
    /// What docker ignores: one sentence each.
    pub remarks: Vec<String>,
    /// The oldest version of the format that has all that the file uses.
    pub version: String,
}

impl Said {
    /// All problems as one text.
    pub fn refused(&self) -> Option<String> {
        let more = self.problems.len().saturating_sub(MOST);
        let mut lines: Vec<String> = self.problems.iter().take(MOST).cloned().collect();
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

/// Checks a file, merge keys applied and variables refused already.
pub(crate) fn check(document: &Map<String, Value>) -> Said {
    let mut look = Look { problems: Vec::new(), asked: None, least: 0 };
    look.version(document.get("version"));
    look.map("", document, FILE, false);
    let mut remarks = Vec::new();
    rules::check(document, &mut look.problems, &mut remarks);
    let version = look.asked.unwrap_or(look.least.max(OLDEST_WRITTEN));
    Said { problems: look.problems, remarks, version: format!("3.{version}") }
}

/// Where the author leaves the version open: every engine that bp installs knows it.
const OLDEST_WRITTEN: u8 = 8;

struct Look {
    problems: Vec<String>,
    /// The version that the file names; `None`: any.
    asked: Option<u8>,
    /// The newest version of what it uses.
    least: u8,
}

impl Look {
    fn say(&mut self, at: &str, what: impl AsRef<str>) {
        let at = if at.is_empty() { "the file" } else { at };
        self.problems.push(format!("{at}: {}", what.as_ref()));
    }

    /// `3` and none at all stand for the newest.
    fn version(&mut self, version: Option<&Value>) {
        let Some(Value::String(text)) = version else { return };
        if ["", "3"].contains(&text.as_str()) {
            return;
        }
        let minor = text.strip_prefix("3.").filter(|m| *m == "0" || !m.starts_with('0'));
        match minor.and_then(|m| m.parse::<u8>().ok()).filter(|m| *m <= NEWEST) {
            Some(minor) => self.asked = Some(minor),
            None => self.say(
                "version",
                format!("`docker stack deploy` takes 3.0 to 3.{NEWEST}, found `{}`", short(text)),
            ),
        }
    }

    fn map(&mut self, at: &str, map: &Map<String, Value>, keys: &'static [Key], open: bool) {
        for (name, value) in map {
            let own = |k: &&Key| k.name == name || k.name == "x-" && name.starts_with("x-");
            let place = join(at, name);
            match keys.iter().find(own) {
                Some(key) => {
                    self.since(&place, key.since);
                    self.value(&place, value, &key.kind);
                }
                None if open => {}
                None => self.unknown(at, name, keys),
            }
        }
    }

    fn since(&mut self, at: &str, since: u8) {
        self.least = self.least.max(since);
        if let Some(asked) = self.asked.filter(|asked| *asked < since) {
            let what = if at.ends_with(']') { "a map here" } else { "it" };
            self.say(at, format!("{what} came with version 3.{since}; the file says 3.{asked}"));
        }
    }

    fn unknown(&mut self, at: &str, name: &str, keys: &'static [Key]) {
        let place = join(at, name);
        let has = |keys: &[Key], name: &str| keys.iter().any(|k| k.name == name);
        let (service, file) = (has(keys, "image"), has(keys, "services"));
        if let Some((_, instead)) = REFUSED.iter().find(|(key, _)| service && *key == name) {
            return self.say(&place, format!("`docker stack deploy` refuses it; {instead}"));
        }
        let names: Vec<&str> = keys.iter().map(|k| k.name).filter(|k| *k != "x-").collect();
        let known = match nearest(name, &names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if service && has(DEPLOY, name) => "it belongs under `deploy`".to_owned(),
            None if service => "no service has it".to_owned(),
            None if file && has(SERVICE, name) => "it belongs to a service".to_owned(),
            None => format!("there are {}", list(&names)),
        };
        self.say(&place, format!("unknown key; {known}"));
    }

    /// A value and what may stand in its place.
    fn value(&mut self, at: &str, value: &Value, kind: &'static Kind) {
        let wants = |look: &mut Self, what: &str| look.wrong(at, value, what);
        match (kind, value) {
            (Kind::Any, _) | (Kind::Maybe(_), Value::Null) => {}
            (Kind::Maybe(kind), _) => self.value(at, value, kind),
            (Kind::Or(_, since, kind), Value::Object(_)) => {
                self.since(at, *since);
                self.value(at, value, kind);
            }
            (Kind::Or(kind, ..), _) => self.value(at, value, kind),
            (Kind::Text, Value::String(_)) => {}
            (Kind::Text, _) => wants(self, "a text"),
            (Kind::Flag, Value::Bool(_)) => {}
            (Kind::Flag, _) => wants(self, "`true` or `false`"),
            (Kind::Whole, v) if is_whole(v) && v.as_f64().is_some_and(|n| n >= 0.0) => {}
            (Kind::Whole, _) => wants(self, "a whole number"),
            (Kind::Integer, v) if is_whole(v) => {}
            (Kind::Integer, _) => wants(self, "a whole number"),
            (Kind::Number, Value::Number(_)) => {}
            (Kind::Number, _) => wants(self, "a number"),
            (Kind::TextOrNumber, Value::String(_) | Value::Number(_)) => {}
            (Kind::TextOrNumber, _) => wants(self, "a text or a number"),
            (Kind::Value, Value::String(_) | Value::Number(_) | Value::Null) => {}
            (Kind::Value, _) => wants(self, "a text"),
            (Kind::Word(words), Value::String(text)) => self.word(at, text, words),
            (Kind::Word(words), _) => wants(self, &one_of(words)),
            (Kind::Duration, Value::String(text)) if duration(text) => {}
            (Kind::Duration, _) => wants(self, "a time such as `1m30s`"),
            (Kind::Size, Value::String(text)) if size(text) => {}
            (Kind::Size, _) => wants(self, "a size such as `512M`"),
            (Kind::Cpus, Value::String(text)) if cpus(text) => {}
            (Kind::Cpus, _) => wants(self, "a number of processors such as `\"0.5\"`"),
            (Kind::Image, Value::String(text)) if is_image(text) => {}
            // What stands before an `@` may be a login.
            (Kind::Image, Value::String(text)) if text.contains('@') => {
                self.say(at, "expected an image with its digest, such as `redis@sha256:...`");
            }
            (Kind::Image, _) => {
                wants(self, "an image such as `redis:8.0.2`, its path in lower case")
            }
            (Kind::Port, Value::String(text)) => {
                if let Err(why) = port(text) {
                    self.say(at, format!("`{}` is no port: {why}", short(text)));
                }
            }
            (Kind::Port, v) if v.as_u64().is_some_and(|n| n <= 65_535) => {}
            (Kind::Port, _) => wants(self, "a port such as `\"8080:80\"`"),
            (Kind::Mount, Value::String(text)) => {
                if let Err(why) = mount(text) {
                    self.say(at, format!("`{}` is no volume: {why}", short(text)));
                }
            }
            (Kind::Mount, _) => wants(self, "a volume such as `data:/data`"),
            (Kind::Command, Value::String(text)) => {
                if !split(text) {
                    self.say(at, "a quote in it is not closed");
                }
            }
            (Kind::Test | Kind::TextOrTexts, Value::String(_)) => {}
            (Kind::Test | Kind::Command, Value::Array(items)) => self.items(at, items, &Kind::Text),
            (Kind::Texts | Kind::TextOrTexts | Kind::Pairs, Value::Array(items)) => {
                self.items(at, items, &Kind::Text);
                self.once(at, items);
            }
            (Kind::Test | Kind::Command | Kind::TextOrTexts, _) => {
                wants(self, "a text or a list of texts");
            }
            (Kind::Texts, _) => wants(self, "a list of texts"),
            (Kind::Pairs, Value::Object(map)) => self.each(at, map, &Kind::Value),
            (Kind::Pairs, _) => wants(self, "a map, or a list of `key=value`"),
            (Kind::List(kind), Value::Array(items)) => {
                self.items(at, items, kind);
                if at.ends_with(".ports") || at.ends_with(".expose") {
                    self.once(at, items);
                }
            }
            (Kind::List(_), _) => wants(self, "a list"),
            (Kind::Map(keys), Value::Object(map)) => self.map(at, map, keys, false),
            (Kind::Open(keys), Value::Object(map)) => self.map(at, map, keys, true),
            (Kind::Free(kind), Value::Object(map)) => self.each(at, map, kind),
            (Kind::Names(kind), Value::Object(map)) => {
                for name in map.keys().filter(|n| !is_name(n)) {
                    let what = "a name has letters, digits, `.`, `_` and `-`";
                    self.say(&join(at, name), what);
                }
                self.each(at, map, kind);
            }
            (Kind::Map(_) | Kind::Open(_) | Kind::Free(_) | Kind::Names(_), _) => {
                wants(self, "a map");
            }
        }
    }

    fn items(&mut self, at: &str, items: &[Value], kind: &'static Kind) {
        for (index, item) in items.iter().enumerate() {
            self.value(&format!("{at}[{index}]"), item, kind);
        }
    }

    fn each(&mut self, at: &str, map: &Map<String, Value>, kind: &'static Kind) {
        for (name, value) in map {
            self.value(&join(at, name), value, kind);
        }
    }

    /// No entry is there twice. It is named by its place: it may hold a password.
    fn once(&mut self, at: &str, items: &[Value]) {
        let mut seen = std::collections::HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if let Some(first) = seen.insert(item.to_string(), index) {
                self.say(&format!("{at}[{index}]"), format!("the same as {at}[{first}]"));
            }
        }
    }

    fn word(&mut self, at: &str, text: &str, words: &[&str]) {
        if !words.contains(&text) {
            let meant = nearest(text, words).map(|w| format!("; did you mean `{w}`?"));
            let (all, meant) = (one_of(words), meant.unwrap_or_default());
            self.say(at, format!("expected {all}, found `{}`{meant}", short(text)));
        }
    }

    fn wrong(&mut self, at: &str, value: &Value, expected: &str) {
        // A text is shown only where a single value was to be: elsewhere it may be a password.
        let plain = !expected.contains("list") && !expected.contains("map");
        let (found, quotes) = match value {
            Value::Null => ("nothing".to_owned(), ""),
            Value::Bool(_) | Value::Number(_) if expected.starts_with("a text") => {
                (format!("`{value}`"), ": put it in quotes")
            }
            Value::Number(_) if expected.contains('"') => {
                (format!("the number {value}"), ": put it in quotes")
            }
            Value::Bool(_) | Value::Number(_) => (format!("`{value}`"), ""),
            Value::String(text) => {
                let number = expected.contains("number") && text.parse::<f64>().is_ok();
                let flag = expected.contains("`true`")
                    && ["true", "false"].contains(&text.to_lowercase().as_str());
                // YAML had more words for it once.
                let word = expected.contains("`true`") && is_old_flag(text);
                let quotes = match (number || flag, word) {
                    (true, _) => ": leave the quotes out",
                    (_, true) => ": yes and on are `true`, no and off are `false`",
                    _ => "",
                };
                (if plain { format!("`{}`", short(text)) } else { "a text".to_owned() }, quotes)
            }
            Value::Array(_) => ("a list".to_owned(), ""),
            Value::Object(_) if at.ends_with(".depends_on") => {
                ("a map".to_owned(), ": leave it out, a swarm starts all services side by side")
            }
            Value::Object(_) => ("a map".to_owned(), ""),
        };
        self.say(at, format!("expected {expected}, found {found}{quotes}"));
    }
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { short(name) } else { format!("{at}.{}", short(name)) }
}

fn is_old_flag(text: &str) -> bool {
    ["yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str())
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
}

fn is_name(text: &str) -> bool {
    let right = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    !text.is_empty() && text.bytes().all(right)
}

fn list(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}

fn one_of(words: &[&str]) -> String {
    match words {
        [most @ .., last] if !most.is_empty() => format!("{} or `{last}`", list(most)),
        words => list(words),
    }
}

/// The known word that the unknown one was most likely meant to be.
fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let bound = (word.chars().count() / 3).max(1);
    let distance = |k: &&&str| strsim::damerau_levenshtein(word, k);
    known.iter().min_by_key(distance).filter(|k| distance(k) <= bound).copied()
}

/// The first characters of a text, on one line.
fn short(text: &str) -> String {
    let line: String =
        text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.len() < text.len() { format!("{line}...") } else { line }
}
