//! Secrets of the swarm that the lab's stacks use.
//!
//! A secret can't change and can't be read back: what the blueprint calls `redis_password` is the
//! newest secret of the swarm that is labelled so. Its own name ends in a digest.

pub(crate) mod authority;
pub(crate) mod certificate;
pub(crate) mod make;
mod pruned;
mod read;
pub mod verbs;

pub(crate) use pruned::pruned;
pub(crate) use read::read;

use crate::compose::Compose;
use crate::cx::Cx;
use crate::docker::{LAB_LABEL, Sealed, SwarmView, no_manager};
use crate::shipped;
use crate::step::{Check, Step};
use blueprints::Lab;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The label that says which secret of the blueprint it is.
pub(crate) const SECRET_LABEL: &str = "bp.secret";

/// The label that says which config of bp's it is.
pub(crate) const CONFIG_LABEL: &str = "bp.config";

/// The label of a given secret: a digest of what was given.
const DIGEST_LABEL: &str = "bp.digest";

/// The label of a line of `htpasswd`: the secret that holds its password.
const OF_LABEL: &str = "bp.of";

/// What the line of `htpasswd` is called, after the secret that holds its password.
const HTPASSWD: &str = "_htpasswd";

/// A secret that a stack uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Secret {
    /// What the blueprint and the templates call it.
    pub(crate) name: String,
    /// Where it comes from.
    pub(crate) source: Source,
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
    /// The same, and beside it `<name>_htpasswd`: a line of `htpasswd` for this user.
    GivenLogin(&'static str, blueprints::Secret),
    /// The private key of the lab's authority, whose certificate is the config `ca`.
    AuthorityKey,
    /// A private key and a certificate of the lab's authority for these names, in one PEM text; for
    /// servers and clients.
    Certificate(Vec<String>),
}

impl Source {
    /// The user of its line of `htpasswd`, where there is one.
    fn user(&self) -> Option<&'static str> {
        match self {
            Self::Login(user) | Self::GivenLogin(user, _) => Some(user),
            _ => None,
        }
    }
}

impl Secret {
    /// A secret of a stack that bp ships: generated, where the blueprint does not give it.
    pub(crate) fn generated(lab: &Lab, name: impl Into<String>) -> Self {
        Self::of(lab, name, Source::Generated)
    }

    /// A secret whose source the blueprint may replace.
    pub(crate) fn of(lab: &Lab, name: impl Into<String>, source: Source) -> Self {
        let name = name.into();
        let source = match (lab.secrets.get(&name).cloned(), source) {
            (Some(given), Source::Login(user)) => Source::GivenLogin(user, given),
            (Some(given), _) => Source::Given(given),
            (None, source) => source,
        };
        Self { name, source }
    }

    /// The names under which the swarm keeps what comes of it.
    fn names(&self) -> Vec<String> {
        let second = self.source.user().map(|_| format!("{}{HTPASSWD}", self.name));
        std::iter::once(self.name.clone()).chain(second).collect()
    }
}

/// The secrets that each stack needs, in the order of the stacks, each of them once: before the
/// first stack that uses it.
pub(crate) fn all(lab: &Lab, composes: &[Compose]) -> Vec<Vec<Secret>> {
    let own: Vec<Vec<Secret>> = lab
        .stacks
        .iter()
        .map(|stack| shipped::of(lab, stack).map(|s| s.secrets).unwrap_or_default())
        .collect();
    let mut known: BTreeMap<String, Secret> = BTreeMap::new();
    for secret in own.iter().flatten() {
        known.entry(secret.name.clone()).or_insert_with(|| secret.clone());
    }
    // What comes beside another secret is made with it.
    let beside: BTreeSet<String> = known.values().flat_map(|s| s.names().split_off(1)).collect();
    let mut made = BTreeSet::new();
    let mut all = Vec::new();
    for (own, compose) in own.iter().zip(composes) {
        let outside = compose.outside.iter().filter(|o| o.kind == "secrets").map(|o| &o.name);
        let names = own.iter().map(|s| &s.name).chain(outside.filter(|n| !beside.contains(*n)));
        let new = names.filter(|name| made.insert((*name).clone()));
        let secret = |name: &String| {
            known.get(name).cloned().unwrap_or_else(|| Secret::generated(lab, name))
        };
        all.push(new.map(secret).collect());
    }
    all
}

/// The secrets of the lab's stacks that somebody gives.
pub(crate) fn given(lab: &Lab, composes: &[Compose]) -> Vec<(String, blueprints::Secret)> {
    let given = |secret: Secret| match secret.source {
        Source::Given(given) | Source::GivenLogin(_, given) => Some((secret.name, given)),
        _ => None,
    };
    all(lab, composes).concat().into_iter().filter_map(given).collect()
}

/// A remark where the blueprint gives secrets that no stack uses: a name may be misspelled, and what
/// was meant would be generated.
pub(crate) fn unused(lab: &Lab, composes: &[Compose]) -> Option<String> {
    let used: Vec<String> = all(lab, composes).concat().into_iter().map(|s| s.name).collect();
    let unused: Vec<&str> =
        lab.secrets.keys().filter(|name| !used.contains(name)).map(String::as_str).collect();
    let there = if used.is_empty() { "none".to_owned() } else { used.join(", ") };
    (!unused.is_empty()).then(|| {
        format!("no stack uses what `secrets` gives: {}; they use {there}", unused.join(", "))
    })
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
    let mine = all.iter().filter(|s| s.label(LAB_LABEL) == lab && s.label(label) == name);
    // The texts are of different lengths: docker leaves zeros at their end out.
    mine.max_by_key(|s| s.created_at.parse::<jiff::Timestamp>().ok())
}

/// A secret that the user made by hand has the plain name.
fn is_by_hand(view: &SwarmView, name: &str) -> bool {
    view.secrets.iter().any(|s| s.spec.name == name)
}

/// The step that makes the secrets of a stack: one step, since every look at the swarm costs.
/// `None`: it has none.
pub(crate) fn step(stack: &str, secrets: &[Secret]) -> Option<Step> {
    let (checked, applied) = (secrets.to_vec(), secrets.to_vec());
    let name = match secrets {
        [] => return None,
        [one] => format!("secret {}", one.name),
        _ => format!("{stack} secrets"),
    };
    let step =
        Step::lab(name, "services read them from files in their memory: passwords, certificates")
            .within(Duration::from_secs(300))
            .check(move |cx| {
                let secrets = checked.clone();
                async move {
                    let view = match cx.swarm().await {
                        Ok(view) => view,
                        Err(why) => return Check::Unknown(why),
                    };
                    let mut missing = Vec::new();
                    for secret in &secrets {
                        match check(&cx, &view, secret).await {
                            Check::True => {}
                            Check::Failed(failure) => return Check::Failed(failure),
                            other if secrets.len() == 1 => return other,
                            Check::Unknown(why) => return Check::Unknown(why),
                            Check::Not(why) => missing.push(format!("{}: {why}", secret.name)),
                        }
                    }
                    Check::when(missing.is_empty(), missing.join(", "))
                }
            })
            .apply(move |cx| {
                let secrets = applied.clone();
                async move {
                    let view = cx.swarm().await.map_err(no_manager)?;
                    for secret in &secrets {
                        match check(&cx, &view, secret).await {
                            // An apply that was cut off may have made it.
                            Check::True => {}
                            Check::Failed(failure) => return Err(failure.into()),
                            _ => make::make(&cx, &view, secret).await?,
                        }
                    }
                    Ok(())
                }
            });
    Some(step)
}

/// Whether the newest secret of the name is the right one.
pub(crate) async fn check(cx: &Cx, view: &SwarmView, secret: &Secret) -> Check {
    let (lab, name) = (&cx.lab().name, &secret.name);
    let check = match &secret.source {
        Source::AuthorityKey => authority::check(view, lab),
        Source::Certificate(names) => certificate::check(view, lab, name, names),
        Source::Generated | Source::Login(_) => {
            let is = current(view, lab, name).is_some() || is_by_hand(view, name);
            Check::when(is, "it is not there")
        }
        Source::Given(source) | Source::GivenLogin(_, source) => {
            match make::given(cx, view, name, source).await {
                Err(failure) => Check::Failed(failure),
                Ok(given) => match current(view, lab, name) {
                    None => Check::Not("it is not there".to_owned()),
                    Some(has) => Check::when(
                        has.label(DIGEST_LABEL) == given.digest,
                        "another one is given now",
                    ),
                },
            }
        }
    };
    if check != Check::True || secret.source.user().is_none() {
        return check;
    }
    let line = format!("{name}{HTPASSWD}");
    let is = match (current(view, lab, name), current(view, lab, &line)) {
        (Some(password), Some(line)) => line.label(OF_LABEL) == password.spec.name,
        (None, None) => is_by_hand(view, &line),
        _ => false,
    };
    Check::when(is, format!("{line} is not of it"))
}

/// The secrets among these that a compose file uses and that will be made anew: what uses them is
/// not done with.
pub(crate) async fn in_change(
    cx: &Cx,
    view: &SwarmView,
    compose: &Compose,
    secrets: &[Secret],
) -> Option<String> {
    for secret in secrets {
        let mut names = secret.names();
        if secret.source == Source::AuthorityKey {
            names.push(authority::CERTIFICATE.to_owned());
        }
        let uses = compose.outside.iter().any(|o| names.contains(&o.name));
        if uses && check(cx, view, secret).await != Check::True {
            return Some(secret.name.clone());
        }
    }
    None
}
