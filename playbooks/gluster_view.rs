//! What the pool says of its volumes: one question a round, at one host. And how it is changed.

use crate::cx::Cx;
use crate::gluster_host::{HostView, NOT_INSTALLED};
use crate::gluster_xml::{self as xml, Healing, Status, Volume};
use crate::limits;
use crate::step::{Failure, Trouble};
use blueprints::Lab;
use futures::future::join_all;
use providers::{Cmd, quote};
use std::collections::HashMap;

/// The pool as one of its hosts knows it.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    /// The host that was asked; changes are made there.
    pub host: String,
    pub volumes: Vec<Volume>,
    /// What runs; an answer of its own, because it needs all daemons and can be refused.
    pub status: Result<Vec<Status>, String>,
    /// What waits for healing, by volume.
    pub healing: HashMap<String, Result<Vec<Healing>, String>>,
    /// What is in split-brain, by volume; only where something waits.
    pub split: HashMap<String, Result<Vec<Healing>, String>>,
}

/// Asks gluster, `x`: again where another question or change holds the pool's lock. What waits for
/// healing is asked of volumes that hold copies alone.
pub(crate) const ASKS: &str = r#"x() {
  for i in 1 2 3 4 5; do
    r=$(timeout -k 2 60 gluster --mode=script --xml "$@" 2>&1)
    case $r in *'Another transaction is in progress'*|*'Locking failed'*) sleep 2;; *) break;; esac
  done
  printf '%s\n' "$r"
}
healing() {
  n=$(printf '%s\n' "$v" | awk -v n="<name>$1</name>" 'index($0, n) { on = 1 } on && /<replicaCount>/ { gsub(/[^0-9]/, ""); print; exit }')
  [ "${n:-1}" -gt 1 ] || return 0
  h=$(x volume heal "$1" info); echo "@heal $1"; echo "$h"
  case $h in *'<numberOfEntries>'[1-9]*) echo "@split $1"; x volume heal "$1" info split-brain;; esac
}
v=$(x volume info); echo @info; echo "$v"
echo @status; x volume status all
"#;

/// Changes something, `g`: waits where another question or change holds the pool's lock.
pub(crate) const CHANGES: &str = r#"g() {
  for i in 1 2 3 4 5 6 7 8 9 10; do
    if r=$(timeout -k 2 110 gluster --mode=script "$@" 2>&1); then printf '%s\n' "$r"; return; fi
    case $r in *'Another transaction is in progress'*|*'Locking failed'*) sleep 2;; *) break;; esac
  done
  printf '%s\n' "$r" >&2
  return 1
}
"#;

/// What the pool is asked. Whether a volume can heal is what it is, not what it is to be.
fn pool_question(lab: &Lab) -> String {
    let asked = lab.volumes.iter().map(|v| format!("healing {}\n", quote(&v.name)));
    format!("{ASKS}{}exit 0\n", asked.collect::<String>())
}

impl Pool {
    /// Asks the first host whose daemon answers, one with peers before one without.
    ///
    /// # Errors
    /// Why none does.
    pub async fn ask(cx: &Cx) -> Result<Self, String> {
        let hosts: Vec<String> = cx.lab().brick_hosts().map(|h| h.name.clone()).collect();
        let views = join_all(hosts.iter().map(|h| cx.gluster_host(h))).await;
        let mut answering = Vec::new();
        let mut why = format!("no host has a brick: {NOT_INSTALLED}");
        for (host, view) in hosts.iter().zip(views) {
            match view.as_ref().map(HostView::peers) {
                Ok(Ok(peers)) => {
                    let connected = peers.iter().filter(|p| p.lacks().is_none()).count();
                    answering.push((connected, host));
                }
                // One that may have it and can't say so says more than one that has it not.
                _ if !why.ends_with(NOT_INSTALLED) => {}
                Ok(Err(said)) => why = format!("{host}: {said}"),
                Err(check) => why = check.reason().to_owned(),
            }
        }
        let most = answering.iter().map(|(count, _)| *count).max();
        let Some((_, host)) = answering.iter().find(|(count, _)| Some(*count) == most) else {
            return Err(why);
        };
        let cmd = Cmd::new(pool_question(cx.lab())).within(limits::GLUSTER_ASKED);
        let output = cx.run(host, &cmd).await.map_err(|e| format!("{host}: {e}"))?;
        Self::read(host, &output.out())
    }

    fn read(host: &str, text: &str) -> Result<Self, String> {
        let mut parts: HashMap<&str, String> = HashMap::new();
        let mut part = "";
        for line in text.lines() {
            match line.strip_prefix('@') {
                Some(name) => part = name,
                None => {
                    let into = parts.entry(part).or_default();
                    into.push_str(line);
                    into.push('\n');
                }
            }
        }
        let of = |what: &str| parts.get(what).map(String::as_str).unwrap_or_default();
        let kept = |what: &str| {
            let named = parts.iter().filter_map(|(k, text)| Some((k.strip_prefix(what)?, text)));
            named.map(|(name, text)| (name.to_owned(), xml::healing(text))).collect()
        };
        Ok(Self {
            host: host.to_owned(),
            volumes: xml::volumes(of("info")).map_err(|why| format!("{host}: {why}"))?,
            status: xml::status(of("status")),
            healing: kept("heal "),
            split: kept("split "),
        })
    }

    /// The volume of this name.
    pub fn volume(&self, name: &str) -> Option<&Volume> {
        self.volumes.iter().find(|v| v.name == name)
    }

    /// What runs of a volume.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn running(&self, name: &str) -> Result<&Status, String> {
        let all = self.status.as_ref().map_err(Clone::clone)?;
        all.iter().find(|s| s.volume == name).ok_or_else(|| "it is not started".to_owned())
    }
}

/// Changes something in the pool: a script in which `g` is gluster, at the host that answered.
///
/// # Errors
/// When it does not exit with 0, or there is no answer.
pub(crate) async fn change(cx: &Cx, host: &str, script: &str) -> Result<(), Trouble> {
    let cmd = Cmd::new(format!("{CHANGES}{script}")).within(limits::GLUSTER_CHANGED);
    match cx.run(host, &cmd).await? {
        output if output.ok() => Ok(()),
        // What is said is what was to be done, without what every such script begins with.
        output => Err(Failure::command(&Cmd::new(script), &output).into()),
    }
}

/// A pool that nobody could ask.
pub(crate) fn no_pool(why: String) -> Trouble {
    Failure::new(why).hint("`systemctl status glusterd` on the hosts with a brick").into()
}
