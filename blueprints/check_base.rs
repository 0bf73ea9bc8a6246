//! Rules about the base of the hosts.

use crate::check::Plan;
use crate::context::{Context, is_address, is_package};
use crate::diagnostic::Problem;
use crate::wording::{nearest, short};

/// The areas of the tz database that hold places, and `Etc`; older aliases are left out, since
/// distributions no longer install them.
const AREAS: [&str; 11] = [
    "Africa",
    "America",
    "Antarctica",
    "Arctic",
    "Asia",
    "Atlantic",
    "Australia",
    "Europe",
    "Indian",
    "Pacific",
    "Etc",
];

/// The time zone is `UTC`, or an area and a city of the tz database.
pub(crate) fn timezone(plan: &Plan<'_>, context: &mut Context<'_>) {
    let Some(zone) = plan.file.base.get().and_then(|base| base.timezone.given()) else { return };
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-+".contains(&c))
    };
    let (area, city) = zone.value.split_once('/').unwrap_or((&zone.value, ""));
    if zone.value == "UTC" {
        return;
    }
    if city.is_empty() || city.len() > 40 || !zone.value.split('/').all(part) {
        let found = short(&zone.value);
        let message = format!("expected a time zone, found `{found}`");
        context.error_help(zone.at, message, "`UTC`, or an area and a city: `Europe/Berlin`");
    } else if !AREAS.contains(&area) {
        let mut problem =
            Problem::error(zone.at, format!("no area of time zones is called `{}`", short(area)));
        problem.label =
            nearest(area, &AREAS).map(|area| format!("did you mean `{area}/{}`?", short(city)));
        context.problems.push(problem);
    }
}

/// Time servers are addresses or names.
pub(crate) fn time_servers(plan: &Plan<'_>, context: &mut Context<'_>) {
    for server in plan.file.base.get().into_iter().flat_map(|base| base.time_servers.items()) {
        context.shape_of(server, is_address, "the address or name of a time server");
    }
}

/// Packages have names of packages.
pub(crate) fn packages(plan: &Plan<'_>, context: &mut Context<'_>) {
    for package in plan.file.base.get().into_iter().flat_map(|base| base.packages.items()) {
        context.shape_of(package, is_package, "the name of a package");
    }
}
