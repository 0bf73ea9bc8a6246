//! Upgrades that the software itself refuses, which are said before anything is sent.

use crate::docker::SwarmView;
use crate::step::{Check, Failure, Step};
use blueprints::{Stack, versions};
use futures::future::join_all;
use providers::Cmd;

/// GitLab goes from stop to stop (`docs.gitlab.com/update/upgrade_paths`).
pub(super) fn gitlab(stack: &Stack) -> Step {
    let (service, image) = (format!("{}_gitlab", stack.name), stack.image.clone());
    let why = "GitLab makes its database anew from stop to stop, and refuses to pass one over";
    Step::lab(format!("{} upgrade path", stack.name), why).check(move |cx| {
        let (service, image) = (service.clone(), image.clone());
        async move {
            match cx.swarm().await {
                Ok(view) => passed_over(image_of(&view, &service), &image),
                Err(why) => Check::Unknown(why),
            }
        }
    })
}

fn image_of<'v>(view: &'v SwarmView, service: &str) -> &'v str {
    let found = view.services.iter().find(|s| s.spec.name == service);
    found.map_or("", |s| s.spec.task_template.image())
}

/// Whether a stop lies between two images. Tags of another shape than `18.2.1-ce.0` are not judged.
pub(crate) fn passed_over(runs: &str, wanted: &str) -> Check {
    let (Some(from), Some(to)) = (release(runs), release(wanted)) else { return Check::True };
    let majors = from.0..=to.0;
    let all = majors.flat_map(|major| stops(major).iter().map(move |minor| (major, *minor)));
    let between: Vec<String> = all
        .filter(|stop| from < *stop && *stop < to)
        .map(|(major, minor)| format!("{major}.{minor}"))
        .collect();
    let Some(first) = between.first() else { return Check::True };
    let what = format!(
        "GitLab {}.{} does not go to {}.{} at once: it stops at {}",
        from.0,
        from.1,
        to.0,
        to.1,
        between.join(", ")
    );
    let hint = format!(
        "`image: gitlab/gitlab-ce:{first}.z-ce.0` first, its newest z; the next one when its background migrations have ended: docs.gitlab.com/update/upgrade_paths"
    );
    Check::Failed(Failure::new(what).hint(hint))
}

/// The major and the minor version of an image's tag.
fn release(image: &str) -> Option<(u32, u32)> {
    let image = image.split('@').next()?;
    let numbers = image.rsplit_once(':')?.1.strip_suffix("-ce.0")?;
    let numbers: Vec<u32> = numbers.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let [major, minor, _] = numbers.as_slice() else { return None };
    Some((*major, *minor))
}

/// The minor versions of a major one that are stops.
fn stops(major: u32) -> &'static [u32] {
    match major {
        17 => &[3, 5, 8, 11],
        _ => &[2, 5, 8, 11],
    }
}

/// PostgreSQL reads the files of its own major version only.
pub(super) fn postgresql(stack: &Stack, members: &[String]) -> Step {
    let (stack, members) = (stack.clone(), members.to_vec());
    let why = "PostgreSQL reads what its own major version wrote, and nothing else";
    Step::lab(format!("{} version", stack.name), why).check(move |cx| {
        let (stack, members) = (stack.clone(), members.clone());
        async move {
            let view = match cx.swarm().await {
                Ok(view) => view,
                Err(why) => return Check::Unknown(why),
            };
            let same =
                |m: &String| image_of(&view, &format!("{}_keeper-{m}", stack.name)) == stack.image;
            if is_unsaid(&stack) || members.iter().all(same) {
                return Check::True;
            }
            let ask = Cmd::new("cat /srv/stolon/postgres/PG_VERSION 2>/dev/null");
            let held = join_all(members.iter().map(|member| cx.run(member, &ask))).await;
            for (member, held) in members.iter().zip(held) {
                if let Ok(output) = held
                    && output.ok()
                    && output.out() != stack.version
                {
                    return Check::Failed(other_major(member, &output.out(), &stack.version));
                }
            }
            Check::True
        }
    })
}

/// Whether an image of one's own stands beside the version that is there where none is written: which
/// one it holds is not known.
fn is_unsaid(stack: &Stack) -> bool {
    let default = versions::of(&stack.name).next();
    default.is_some_and(|v| v.version == stack.version && v.image != stack.image)
}

fn other_major(member: &str, held: &str, wanted: &str) -> Failure {
    let what =
        format!("{member} holds a database of PostgreSQL {held} in /srv/stolon, not of {wanted}");
    Failure::new(what).hint(
        "take it along: `bp backup`, `bp destroy`, `bp up` with the new version, `bp restore`",
    )
}
