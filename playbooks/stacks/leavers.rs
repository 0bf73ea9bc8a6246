//! Members that run on hosts where the blueprint has none any more: those that stay count them, so that no
//! change without them becomes healthy.

use crate::docker::SwarmView;
use crate::step::{Check, Failure, Step};
use std::collections::BTreeSet;

/// Fails before anything is sent that could not become healthy. `services` are those that each member
/// has, by the beginning of their names; `leads` is what its members call the one that must not go.
pub(super) fn step(
    stack: &str,
    services: &'static [&'static str],
    leads: &'static str,
    members: &[String],
) -> Step {
    let (stack, members) = (stack.to_owned(), members.to_vec());
    let why = "those that stay count those that leave, and wait for them";
    Step::lab(format!("{stack} membership"), why).check(move |cx| {
        let (stack, members) = (stack.clone(), members.clone());
        async move {
            match cx.swarm().await {
                Ok(view) => judge(&view, &stack, services, leads, &members),
                Err(why) => Check::Unknown(why),
            }
        }
    })
}

fn judge(
    view: &SwarmView,
    stack: &str,
    services: &[&str],
    leads: &str,
    members: &[String],
) -> Check {
    let of = |part: &&str| format!("{stack}_{part}-");
    let hosts = view.services.iter().filter_map(|service| {
        services.iter().find_map(|part| service.spec.name.strip_prefix(&of(part)))
    });
    let leave: BTreeSet<&str> = hosts.filter(|h| !members.iter().any(|m| m == h)).collect();
    let Some(first) = leave.first() else { return Check::True };
    let all = leave.iter().copied().collect::<Vec<_>>().join(", ");
    let gone: Vec<String> = services.iter().map(|part| of(part) + first).collect();
    let what =
        format!("{stack} has members on {all}, and is to have them on {}", members.join(", "));
    Check::Failed(Failure::new(what).hint(format!(
        "keep those, which `members` and the roles of the hosts decide; or take them away one after \
         another, none of them being the {leads}, then `bp up`: `docker service rm {}`",
        gone.join(" ")
    )))
}
