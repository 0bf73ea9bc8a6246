//! etcd's keys: read at one revision, written back into a living cluster. Keys of Stolon and of bp
//! are not the user's, and those with a lease end with whoever holds it: both stay out. Keys that
//! are there and not in the backup stay as they are.

use super::{Part, carry};
use crate::cx::Cx;
use crate::stacks::etcd::etcdctl;
use crate::step::{Failure, Trouble};
use blueprints::StackKind;
use providers::{Cmd, Stdin, quote};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// Where keys begin that are no user's. With the slash they are those of Patroni, on which the tests'
/// stand-in for Stolon runs: what it said of another cluster would end this one's master.
const NOT_THE_USERS: [&[u8]; 3] = [b"stolon/cluster/", b"/stolon/cluster/", b"bp/"];

/// What etcd takes in one transaction, and in one request.
const MOST_KEYS: usize = 100;
const MOST_BYTES: usize = 512 << 10;

/// What is asked for at once: an answer stands several times over in the memory of the container.
const PAGE: usize = 500;

/// A key and its value, as `etcdctl -w json` writes them: in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pair {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default, skip_serializing)]
    lease: i64,
}

/// What `etcdctl txn -w json` answers of one question.
#[derive(Deserialize)]
struct Answer {
    header: Header,
    responses: [Response; 1],
}

#[derive(Deserialize)]
struct Header {
    revision: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    response: Range,
}

#[derive(Deserialize)]
struct Range {
    /// Its name before etcd 3.5 is the other one.
    #[serde(rename = "response_range", alias = "ResponseRange")]
    range: Pairs,
}

#[derive(Deserialize)]
struct Pairs {
    #[serde(default)]
    kvs: Vec<Pair>,
    /// Whether there are more than were asked for.
    #[serde(default)]
    more: bool,
}

pub(super) async fn fetch(cx: &Cx, part: &Part, to: &Path) -> Result<(), Failure> {
    let pairs = all(cx, part, to).await?;
    let text = serde_json::to_string(&pairs)
        .map_err(|e| Failure::new(format!("write `{}`: {e}", to.display())))?;
    crate::journal::private_file(to, &text)
        .map_err(|e| Failure::new(format!("write `{}`: {e}", to.display())))
}

/// The user's keys at one revision, page by page; `by` is a file for the answers.
async fn all(cx: &Cx, part: &Part, by: &Path) -> Result<Vec<Pair>, Failure> {
    let member = member(cx, part).await?;
    let (mut pairs, mut from, mut revision) = (Vec::new(), Vec::new(), None);
    loop {
        let _ = std::fs::remove_file(by);
        let script = page(&part.stack, &member, &from, revision);
        carry::fetch(cx, &member, &script, by).await?;
        let text = std::fs::read_to_string(by)
            .map_err(|e| Failure::new(format!("read `{}`: {e}", by.display())))?;
        let answer: Answer = serde_json::from_str(&text)
            .map_err(|e| Failure::new(format!("etcd answered what bp can't read: {e}")))?;
        let [Response { response: Range { range: Pairs { kvs, more } } }] = answer.responses;
        revision = revision.or(Some(answer.header.revision));
        let last = kvs.last().map(|pair| bytes(&pair.key)).transpose()?;
        pairs.extend(users(kvs)?);
        match last {
            Some(last) if more => from = [last, vec![0]].concat(),
            _ => return Ok(pairs),
        }
    }
}

/// Asks for the keys from this one on. A transaction takes any bytes, an argument does not.
fn page(stack: &str, member: &str, from: &[u8], revision: Option<i64>) -> String {
    let at = revision.map_or_else(String::new, |revision| format!(" --rev={revision}"));
    let ask = format!("\nget --from-key --limit={PAGE}{at} -- {}\n\n\n", quoted(from));
    let script = etcdctl(stack, member, "--command-timeout=300s txn -w json");
    // Warnings are no part of the answer.
    let script = script.strip_suffix(" 2>&1").unwrap_or(&script);
    script.replace("docker exec ", &format!("printf %s {} | docker exec -i ", quote(&ask)))
}

/// The first member that runs.
async fn member(cx: &Cx, part: &Part) -> Result<String, Failure> {
    let mut why = Failure::new("etcd has no member");
    for member in members(cx) {
        match cx.ok(&member, Cmd::new(etcdctl(&part.stack, &member, "version"))).await {
            Ok(_) => return Ok(member),
            Err(trouble) => why = trouble.into(),
        }
    }
    Err(why)
}

fn members(cx: &Cx) -> Vec<String> {
    let of = |s: &blueprints::Stack| match &s.kind {
        StackKind::Etcd(members) => Some(members.clone()),
        _ => None,
    };
    cx.lab().stacks.iter().find_map(of).unwrap_or_default()
}

/// Those that are the user's.
fn users(pairs: Vec<Pair>) -> Result<Vec<Pair>, Failure> {
    let mut users = Vec::new();
    for pair in pairs {
        let key = bytes(&pair.key)?;
        if pair.lease == 0 && !NOT_THE_USERS.iter().any(|not| key.starts_with(not)) {
            users.push(pair);
        }
    }
    Ok(users)
}

pub(super) async fn bring(cx: &Cx, part: &Part, from: &Path) -> Result<(), Failure> {
    let failed = |e: String| Failure::new(format!("read `{}`: {e}", from.display()));
    let text = std::fs::read_to_string(from).map_err(|e| failed(e.to_string()))?;
    let pairs: Vec<Pair> = serde_json::from_str(&text).map_err(|e| failed(e.to_string()))?;
    let transactions = transactions(&pairs)?;
    let member = member(cx, part).await?;
    write(cx, &part.stack, &member, &transactions).await?;
    verify(cx, part, &pairs, from).await
}

async fn write(cx: &Cx, stack: &str, member: &str, all: &[String]) -> Result<(), Trouble> {
    let script = etcdctl(stack, member, "--command-timeout=60s txn")
        .replace("docker exec ", "docker exec -i ");
    for transaction in all {
        let stdin = Stdin::Bytes(transaction.clone().into_bytes());
        let cmd = Cmd::new(script.clone()).stdin(stdin).within(Duration::from_secs(120));
        let said = cx.ok(member, cmd).await?.out();
        if !said.lines().any(|l| l.trim() == "SUCCESS") {
            let what = format!("etcd did not take the keys: {}", crate::step::tail(said, 3));
            return Err(Failure::new(what).into());
        }
    }
    Ok(())
}

/// Every key of the backup reads what it held.
async fn verify(cx: &Cx, part: &Part, pairs: &[Pair], from: &Path) -> Result<(), Failure> {
    let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let by = cx.dir().join(format!("{name}.now"));
    let found = all(cx, part, &by).await;
    let _ = std::fs::remove_file(&by);
    let found: HashSet<(String, String)> = found?.into_iter().map(|p| (p.key, p.value)).collect();
    let missing =
        pairs.iter().filter(|p| !found.contains(&(p.key.clone(), p.value.clone()))).count();
    if missing > 0 {
        let what = format!("{missing} of {} keys are not as they were", pairs.len());
        return Err(Failure::new(what));
    }
    cx.note(format!("etcd's keys: {} are there", pairs.len()));
    Ok(())
}

/// What `etcdctl txn` reads: no conditions, puts, nothing otherwise. Several, as etcd bounds one.
fn transactions(pairs: &[Pair]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    let (mut text, mut keys) = (String::new(), 0);
    for pair in pairs {
        let (key, value) = (quoted(&bytes(&pair.key)?), quoted(&bytes(&pair.value)?));
        // What begins with a dash is an option to it, but for what comes after this one.
        let put = format!("put -- {key} {value}\n");
        if keys > 0 && (keys == MOST_KEYS || text.len() + put.len() > MOST_BYTES) {
            all.push(format!("\n{text}\n\n"));
            (text, keys) = (String::new(), 0);
        }
        text.push_str(&put);
        keys += 1;
    }
    if keys > 0 {
        all.push(format!("\n{text}\n\n"));
    }
    Ok(all)
}

/// A text in Go's double quotes, which stands for any bytes.
fn quoted(bytes: &[u8]) -> String {
    let mut text = "\"".to_owned();
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            b' '..=b'~' => text.push(char::from(*byte)),
            // Writing to a text can't fail.
            other => _ = write!(text, "\\x{other:02x}"),
        }
    }
    text + "\""
}

/// What base64 stands for.
fn bytes(text: &str) -> Result<Vec<u8>, Failure> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|e| Failure::new(format!("etcd's answer is no base64: {e}")))
}
