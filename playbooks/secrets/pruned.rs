//! Secrets and configs that nothing uses any more are removed.

use super::{CONFIG_LABEL, SECRET_LABEL, Secret, Source, authority, check, config, current};
use crate::compose::Compose;
use crate::cx::Cx;
use crate::docker::{LAB_LABEL, Sealed, Service, SwarmView, no_manager};
use crate::step::{Check, Step};
use blueprints::Lab;
use providers::{Cmd, quote};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What of the lab's secrets and configs is to stay.
struct Wanted {
    secrets: Vec<Secret>,
    /// What compose files make of files beside them, by their names in the swarm.
    files: BTreeSet<String>,
}

/// Secrets and configs of the lab that no service refers to, and that are not the current ones of a
/// name that the blueprint uses.
pub(crate) fn pruned(lab: &Lab, composes: &[Compose], secrets: Vec<Secret>) -> Step {
    let files = composes.iter().flat_map(Compose::made_of_files).collect();
    let wanted = Arc::new(Wanted { secrets, files });
    let applied = wanted.clone();
    let (of, lab) = (lab.name.clone(), lab.name.clone());
    Step::lab("unused secrets", "a secret that nothing uses is only there to be stolen")
        .check(move |cx| {
            let (lab, wanted) = (lab.clone(), wanted.clone());
            async move {
                match cx.swarm().await {
                    Err(why) => Check::Unknown(why),
                    Ok(view) => is_pruned(&cx, &view, &lab, &wanted).await,
                }
            }
        })
        .apply(move |cx| {
            let (lab, wanted) = (of.clone(), applied.clone());
            async move {
                let view = cx.swarm().await.map_err(no_manager)?;
                for kind in KINDS {
                    let left = left(&view, &lab, &wanted, kind, false);
                    if !left.is_empty() {
                        let ids: Vec<_> = left.iter().map(|s| quote(&s.id)).collect();
                        let rm = format!("docker {} rm {} >/dev/null", kind.command, ids.join(" "));
                        cx.ok(&view.manager, Cmd::new(rm)).await?;
                    }
                }
                Ok(())
            }
        })
}

async fn is_pruned(cx: &Cx, view: &SwarmView, lab: &str, wanted: &Wanted) -> Check {
    let left = |soon: bool| -> Vec<String> {
        let all = KINDS.iter().flat_map(|kind| left(view, lab, wanted, kind, soon));
        all.map(|s| s.spec.name.clone()).collect()
    };
    let unused = left(false);
    if !unused.is_empty() {
        return Check::Not(format!("nothing uses {}", unused.join(", ")));
    }
    // What a change of the stacks is about to set free goes after it.
    if let Some(name) = left(true).first() {
        return Check::Unknown(format!("{name} is still in use"));
    }
    for secret in &wanted.secrets {
        let is = |kind: &&Kind| {
            names(secret, kind).iter().any(|name| (kind.current)(view, lab, name).is_some())
        };
        if KINDS.iter().any(|kind| is(&kind)) && check(cx, view, secret).await != Check::True {
            return Check::Unknown(format!("the secret {} is made anew before", secret.name));
        }
    }
    Check::True
}

/// Secrets and configs are the same but for their names.
struct Kind {
    command: &'static str,
    /// The label that says what of bp's it is.
    label: &'static str,
    all: fn(&SwarmView) -> &[Sealed],
    current: for<'v> fn(&'v SwarmView, &str, &str) -> Option<&'v Sealed>,
    /// Where a service lists those that it uses, and by which key.
    used: (&'static str, &'static str),
}

const KINDS: &[Kind] = &[
    Kind {
        command: "secret",
        label: SECRET_LABEL,
        all: |view| &view.secrets,
        current,
        used: ("Secrets", "SecretID"),
    },
    Kind {
        command: "config",
        label: CONFIG_LABEL,
        all: |view| &view.configs,
        current: config,
        used: ("Configs", "ConfigID"),
    },
];

/// What comes of a secret, of one kind: the authority's certificate is a config beside its key.
fn names(secret: &Secret, kind: &Kind) -> Vec<String> {
    match (kind.command, &secret.source) {
        ("secret", _) => secret.names(),
        (_, Source::AuthorityKey) => vec![authority::CERTIFICATE.to_owned()],
        _ => Vec::new(),
    }
}

/// Those of the lab that are not wanted and that no service uses. With `soon`, services of the lab
/// itself do not count: they change to what is wanted.
fn left<'v>(
    view: &'v SwarmView,
    lab: &str,
    wanted: &Wanted,
    kind: &Kind,
    soon: bool,
) -> Vec<&'v Sealed> {
    let names: Vec<String> = wanted.secrets.iter().flat_map(|s| names(s, kind)).collect();
    let is_wanted = |s: &Sealed| {
        let label = s.label(kind.label);
        wanted.files.contains(&s.spec.name)
            || (names.iter().any(|n| n == label)
                && (kind.current)(view, lab, label).is_some_and(|c| c.id == s.id))
    };
    let counts = |s: &&Service| !soon || s.spec.labels.get(LAB_LABEL).is_none_or(|l| l != lab);
    let used = |sealed: &Sealed| {
        view.services.iter().filter(counts).any(|s| {
            let list = &s.spec.task_template.container_spec[kind.used.0];
            let mut entries = list.as_array().into_iter().flatten();
            entries.any(|e: &Value| e[kind.used.1] == sealed.id.as_str())
        })
    };
    let mine = (kind.all)(view).iter().filter(|s| s.label(LAB_LABEL) == lab);
    mine.filter(|s| !is_wanted(s) && !used(s)).collect()
}
