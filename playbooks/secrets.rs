//! Secrets of the swarm that the lab's stacks use.
//!
//! A secret can't change and can't be read back: what the blueprint calls `redis_password` is the
//! newest secret of the swarm that is labelled so. Its own name ends in a digest of its content.

use crate::cx::Cx;
use crate::docker::{LAB_LABEL, Sealed, SwarmView, no_manager};
use crate::step::{Check, Failure, Step, Trouble};
use blueprints::Lab;
use providers::{Cmd, quote};

/// The label that says which secret of the blueprint it is.
pub(crate) const SECRET_LABEL: &str = "bp.secret";

/// The label that says which config of bp's it is.
pub(crate) const CONFIG_LABEL: &str = "bp.config";

/// A secret that a stack uses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Secret {
    /// What the blueprint and the templates call it.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// 32 letters and digits, made on a manager straight into the swarm.
    Generated,
    /// The same, and beside it `<name>_htpasswd`: a line of `htpasswd` for this user.
    Login(&'static str),
    /// What the blueprint says.
    Given(blueprints::Secret),
    /// The private key of the lab's authority, whose certificate is the config `ca`.
    AuthorityKey,
    /// A private key and a certificate of the lab's authority for these names, in one PEM text; for
    /// servers and clients.
    Certificate(Vec<String>),
}

impl Secret {
    /// A secret of a stack that bp ships: generated, where the blueprint does not give it.
    pub fn generated(lab: &Lab, name: impl Into<String>) -> Self {
        Self::of(lab, name, Source::Generated)
    }

    /// A secret whose source the blueprint may replace.
    pub fn of(lab: &Lab, name: impl Into<String>, source: Source) -> Self {
        let name = name.into();
        let source = lab.secrets.get(&name).cloned().map_or(source, Source::Given);
        Self { name, source }
    }
}

/// The newest secret of this name.
pub(crate) fn current<'v>(view: &'v SwarmView, lab: &str, name: &str) -> Option<&'v Sealed> {
    newest(&view.secrets, SECRET_LABEL, lab, name)
}

/// The newest config of this name.
pub(crate) fn config<'v>(view: &'v SwarmView, lab: &str, name: &str) -> Option<&'v Sealed> {
    newest(&view.configs, CONFIG_LABEL, lab, name)
}

fn newest<'v>(all: &'v [Sealed], label: &str, lab: &str, name: &str) -> Option<&'v Sealed> {
    let has =
        |s: &Sealed, key: &str, value: &str| s.spec.labels.get(key).is_some_and(|l| l == value);
    let mine = all.iter().filter(|s| has(s, LAB_LABEL, lab) && has(s, label, name));
    mine.max_by_key(|s| &s.created_at)
}

/// The step that makes one secret.
pub(crate) fn step(lab: &Lab, secret: &Secret) -> Step {
    let (checked, applied) = (secret.name.clone(), secret.name.clone());
    let (of, lab) = (lab.name.clone(), lab.name.clone());
    Step::lab(format!("secret {}", secret.name), "a service reads it from a file in its memory")
        .check(move |cx| {
            let (name, lab) = (checked.clone(), lab.clone());
            async move {
                match cx.swarm().await {
                    Err(why) => Check::Unknown(why),
                    Ok(view) => {
                        // A secret that the user made by hand has the plain name.
                        let by_hand = view.secrets.iter().any(|s| s.spec.name == name);
                        let is = by_hand || current(&view, &lab, &name).is_some();
                        Check::when(is, "it is not there")
                    }
                }
            }
        })
        .apply(move |cx| {
            let (name, lab) = (applied.clone(), of.clone());
            async move { generate(&cx, &lab, &name).await }
        })
}

/// Made on a manager, so that it is never anywhere else.
async fn generate(cx: &Cx, lab: &str, name: &str) -> Result<(), Trouble> {
    let view = cx.swarm().await.map_err(no_manager)?;
    let script = format!(
        "set -e; v=$(LC_ALL=C tr -dc A-Za-z0-9 </dev/urandom | head -c 32)\n\
         h=$(printf %s \"$v\" | sha256sum | cut -c 1-12)\n\
         printf %s \"$v\" | docker secret create -l {LAB_LABEL}={} -l {SECRET_LABEL}={} {}_\"$h\" - >/dev/null",
        quote(lab),
        quote(name),
        quote(&format!("{lab}_{name}"))
    );
    cx.ok(&view.manager, Cmd::new(script)).await.map(drop)
}

/// A secret's content, read from a task that uses it: a swarm gives it to nobody else.
///
/// # Errors
/// When no task that uses it runs, or its node can't be asked.
pub(crate) async fn read(_cx: &Cx, name: &str) -> Result<Vec<u8>, Failure> {
    Err(Failure::new(format!("nothing that uses the secret {name} runs")))
}

/// Secrets and configs of the lab that nothing uses any more.
pub(crate) fn pruned(_lab: &Lab) -> Step {
    Step::lab("unused secrets", "a secret that nothing uses is only there to be stolen")
        .check(|_cx| async { Check::True })
}
