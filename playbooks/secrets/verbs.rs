//! What `bp ca` and `bp secret` ask for.

use super::{Secret, Source, all, authority as ca, certificate, check, current, is_by_hand, make};
use crate::cx::Cx;
use crate::docker::{SwarmView, no_manager};
use crate::step::{Check, Failure, Step};
use crate::{compose, phase_name, shipped};
use blueprints::Phase;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// A secret of the lab, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What the blueprint calls it.
    pub name: String,
    /// Where it comes from, in words.
    pub source: String,
    /// Seconds since it was made; `None`: it is not there yet.
    pub age: Option<i64>,
    /// Seconds until it ends, of certificates.
    pub left: Option<i64>,
    /// The services that use it.
    pub users: Vec<String>,
}

/// The certificate of the lab's authority in PEM; `None`: there is none.
///
/// # Errors
/// When no manager answers.
pub async fn authority(cx: &Cx) -> Result<Option<String>, Failure> {
    let view = cx.swarm().await.map_err(no_manager)?;
    Ok(ca::certificate(&view, &cx.lab().name))
}

/// Asks for the given secrets of a plan, so that a run begins with none that can't be had.
///
/// # Errors
/// When one can't be had, is empty, or is more than a swarm keeps.
pub async fn asked(cx: &Cx, given: &[(String, blueprints::Secret)]) -> Result<(), Failure> {
    for (name, source) in given {
        make::asked(cx, name, source).await?;
    }
    Ok(())
}

/// What a secret holds, read from a task that uses it.
///
/// # Errors
/// When there is no such secret, or no task that uses it runs.
pub async fn show(cx: &Cx, name: &str) -> Result<Vec<u8>, Failure> {
    super::read(cx, name).await
}

/// The secrets that the lab's stacks use. `beside` is the blueprint's folder.
///
/// # Errors
/// When a compose file can't be read, or no manager answers.
pub async fn list(cx: &Cx, beside: &Path) -> Result<Vec<Listed>, Failure> {
    let secrets = of_the_lab(cx, beside)?;
    let view = cx.swarm().await.map_err(no_manager)?;
    let names =
        |s: &Secret| s.names().into_iter().map(|name| (name, s.clone())).collect::<Vec<_>>();
    Ok(secrets.iter().flat_map(names).map(|(name, s)| listed(&view, cx, &name, &s)).collect())
}

fn of_the_lab(cx: &Cx, beside: &Path) -> Result<Vec<Secret>, Failure> {
    let composes = compose::all(cx.lab(), beside)?;
    Ok(all(cx.lab(), &composes).concat())
}

fn listed(view: &SwarmView, cx: &Cx, name: &str, secret: &Secret) -> Listed {
    let by_hand = || view.secrets.iter().find(|s| s.spec.name == name);
    let made = current(view, &cx.lab().name, name);
    let source = match (made, by_hand()) {
        (None, Some(_)) => "made by hand".to_owned(),
        _ if name != secret.name => format!("a line for `{}`", secret.name),
        _ => words(&secret.source),
    };
    let has = made.or_else(by_hand);
    let born = has.and_then(|s| s.created_at.parse::<jiff::Timestamp>().ok());
    let until = made.and_then(|s| s.label(certificate::NOT_AFTER).parse::<i64>().ok());
    let uses = |service: &&crate::docker::Service| {
        let list = service.spec.task_template.container_spec["Secrets"].as_array();
        let mut entries = list.into_iter().flatten();
        entries.any(|e: &Value| has.is_some_and(|s| e["SecretID"] == s.id.as_str()))
    };
    Listed {
        name: name.to_owned(),
        source,
        age: born.map(|born| (view.now - born.as_second()).max(0)),
        left: until.map(|until| until - view.now),
        users: view.services.iter().filter(uses).map(|s| s.spec.name.clone()).collect(),
    }
}

fn words(source: &Source) -> String {
    match source {
        Source::Generated => "generated".to_owned(),
        Source::Login(user) => format!("generated, login of `{user}`"),
        Source::Given(given) => given_by(given),
        Source::GivenLogin(user, given) => format!("{}, login of `{user}`", given_by(given)),
        Source::AuthorityKey => "the lab's authority".to_owned(),
        Source::Certificate(_) => "a certificate of the lab's authority".to_owned(),
    }
}

fn given_by(given: &blueprints::Secret) -> String {
    match given {
        blueprints::Secret::Env(name) => format!("given by the variable `{name}`"),
        blueprints::Secret::File(path) => format!("given by the file `{}`", path.display()),
        // The command's text is the operator's, and may say too much.
        blueprints::Secret::Command(_) => "given by a command".to_owned(),
    }
}

/// The secret of this name, which is one that bp makes anew when asked to. Asks nobody.
///
/// # Errors
/// When it is none of the lab's, or none that bp makes anew.
pub fn rotatable(cx: &Cx, beside: &Path, name: &str) -> Result<Secret, Failure> {
    let secrets = of_the_lab(cx, beside)?;
    let Some(secret) = secrets.iter().find(|s| s.name == name) else {
        let names: Vec<&str> = secrets.iter().map(|s| s.name.as_str()).collect();
        let beside = secrets.iter().find(|s| s.names().iter().any(|n| n == name));
        let hint = match (beside, names.is_empty()) {
            (Some(of), _) => format!("it is made with `{}`: rotate that", of.name),
            (None, true) => "its stacks use none".to_owned(),
            (None, false) => format!("there are {}", names.join(", ")),
        };
        return Err(Failure::new(format!("the lab has no secret `{name}` to rotate")).hint(hint));
    };
    let mut shipped = cx.lab().stacks.iter().filter_map(|stack| shipped::of(cx.lab(), stack));
    if shipped.any(|shipped| shipped.read_once.contains(&name)) {
        let what = format!("the secret `{name}` is read at the first start only");
        return Err(Failure::new(what).hint("change the password in the service"));
    }
    match &secret.source {
        Source::AuthorityKey => {
            Err(Failure::new("the key of the lab's authority is not rotated").hint(
                "services that know only the one before would trust nobody else: a new authority is for a new lab",
            ))
        }
        Source::Given(given) | Source::GivenLogin(_, given) => {
            let what = format!("the secret `{name}` is {}", given_by(given));
            Err(Failure::new(what).hint("change it there; `bp up` takes it over"))
        }
        Source::Generated | Source::Login(_) | Source::Certificate(_) => Ok(secret.clone()),
    }
}

/// The step that makes a secret anew. What uses the one before has another definition after it.
///
/// # Errors
/// When it is not there, or no manager answers.
pub async fn rotation(cx: &Cx, secret: Secret) -> Result<Step, Failure> {
    let name = secret.name.as_str();
    let view = cx.swarm().await.map_err(no_manager)?;
    let Some(before) = current(&view, &cx.lab().name, name).map(|s| s.id.clone()) else {
        let by_hand = is_by_hand(&view, name);
        let why = if by_hand { "was made by hand" } else { "is not there yet" };
        let hint =
            if by_hand { "remove it, and `bp up` generates one" } else { "`bp up` makes it" };
        return Err(Failure::new(format!("the secret `{name}` {why}")).hint(hint));
    };
    let title = format!("rotation of {name}");
    let (checked, applied) = ((secret.clone(), before.clone()), (secret, before));
    let mut step = Step::lab(title, "whoever knows the old one is to know nothing any more")
        .check(move |cx| {
            let (secret, before) = checked.clone();
            async move {
                match cx.swarm().await {
                    Err(why) => Check::Unknown(why),
                    Ok(view) => is_rotated(&cx, &view, &secret, &before).await,
                }
            }
        })
        .apply(move |cx| {
            let (secret, before) = applied.clone();
            async move {
                let view = cx.swarm().await.map_err(no_manager)?;
                if is_rotated(&cx, &view, &secret, &before).await == Check::True {
                    return Ok(());
                }
                make::make(&cx, &view, &secret).await
            }
        });
    step.phase = phase_name(&Phase::Stacks);
    Ok(step)
}

async fn is_rotated(cx: &Cx, view: &SwarmView, secret: &Secret, before: &str) -> Check {
    match current(view, &cx.lab().name, &secret.name) {
        Some(now) if now.id != before => check(cx, view, secret).await,
        _ => Check::Not("it is the one that it was".to_owned()),
    }
}
