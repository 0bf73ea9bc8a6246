//! YAML playbooks: "is it so? / make it so" on one host, as data with a hard ceiling.
//!
//! No `when`, no loops, no `register`, no handlers: a step that wants more becomes Rust.

use crate::limits;
use crate::step::{Failure, Step};
use blueprints::{Host, Lab, Role};
use handlebars::{
    Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason,
};
use providers::quote;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// A playbook as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Playbook {
    /// What it is for, one sentence.
    #[serde(default)]
    pub why: String,
    /// Which hosts: `all`, `nodes`, `managers`, `workers`, `bricks`, `mounts`, or one host's name.
    #[serde(default = "all")]
    pub on: String,
    /// Its steps, in order.
    pub steps: Vec<Written>,
}

/// A step as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Why it exists, one sentence.
    #[serde(default)]
    pub why: String,
    /// Which hosts, where not those of the playbook.
    pub on: Option<String>,
    /// Shell that exits with 0 when it is so, and otherwise says why on its last line.
    pub check: String,
    /// Shell that makes it so; without it the step is a health gate.
    pub apply: Option<String>,
    /// Its bound, such as `10m`.
    pub within: Option<String>,
    /// Whether hosts take turns.
    #[serde(default)]
    pub one_at_a_time: bool,
}

fn all() -> String {
    "all".to_owned()
}

/// `{{> apt}}`: what every apply that installs packages begins with. After it, `$apt` is apt-get,
/// its lists are new, and `patiently` waits for whoever holds its locks.
pub(crate) const APT: &str = include_str!("apt.sh");

/// The playbooks that bp brings, by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("base.yml", include_str!("base.yml")),
    ("engine-distro.yml", include_str!("engine-distro.yml")),
    ("engine-docker-ce.yml", include_str!("engine-docker-ce.yml")),
    ("etcd.yml", include_str!("stacks/etcd.yml")),
    ("gitlab.yml", include_str!("stacks/gitlab.yml")),
    ("gluster.yml", include_str!("gluster.yml")),
    ("portainer.yml", include_str!("stacks/portainer.yml")),
    ("redis.yml", include_str!("stacks/redis.yml")),
    ("registry.yml", include_str!("stacks/registry.yml")),
    ("stolon.yml", include_str!("stacks/stolon.yml")),
    ("traefik.yml", include_str!("stacks/traefik.yml")),
];

/// A built-in playbook, or the file of the same name beside the blueprint, with a remark then.
///
/// # Errors
/// When the file beside the blueprint can't be read, or is no playbook.
pub fn built_in(name: &str, beside: &Path) -> Result<(String, Option<String>), Failure> {
    let path = beside.join(name);
    if path.is_file() {
        let text = read_file(&path)?;
        if let Err(error) = serde_saphyr::from_str::<Playbook>(&text) {
            let what = format!("{}: {}", path.display(), error.to_string().trim_end());
            let hint = "a file of this name beside the blueprint stands in for bp's own playbook: \
                        give it another name where it is none";
            return Err(Failure::new(what).hint(hint));
        }
        return Ok((text, Some(format!("`{}` stands in for bp's own {name}", path.display()))));
    }
    let text = BUILT_IN.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned());
    text.map(|t| (t, None)).ok_or_else(|| Failure::new(format!("bp has no playbook `{name}`")))
}

/// Reads a playbook file.
///
/// # Errors
/// When it can't be read.
pub fn read_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|e| Failure::new(format!("read the playbook `{}`: {e}", path.display())))
}

/// The steps of a playbook for the hosts of a lab. `vars` are what its strings may name besides
/// `lab`, `domain` and `host`; `{{q name}}` fills a value in as words of shell.
///
/// # Errors
/// When it is no playbook, or a string of it names what does not exist. The message has the place.
pub fn steps(lab: &Lab, file: &str, text: &str, vars: &Value) -> Result<Vec<Step>, Failure> {
    let wrong = |what: String| Failure::new(format!("{file}: {what}"));
    let playbook: Playbook =
        serde_saphyr::from_str(text).map_err(|e| wrong(e.to_string().trim_end().to_owned()))?;
    let mut steps = Vec::new();
    for written in &playbook.steps {
        let at = |what: String| wrong(format!("step `{}`: {what}", written.name));
        let on = written.on.as_ref().unwrap_or(&playbook.on);
        let within = match &written.within {
            Some(text) => duration(text).map_err(at)?,
            None => limits::PACKAGES,
        };
        for host in select(lab, on).map_err(at)? {
            let mut values = vars.clone();
            values["lab"] = json!(lab.name);
            values["domain"] = json!(lab.domain);
            values["host"] =
                json!({ "name": host.name, "fqdn": lab.fqdn(host), "labels": host.labels });
            let render = |template: &str| render(template, &values).map_err(at);
            let why = if written.why.is_empty() { &playbook.why } else { &written.why };
            let mut step = Step::host(&host.name, render(&written.name)?, render(why)?)
                .within(within)
                .check_shell(render(&written.check)?);
            if let Some(apply) = &written.apply {
                step = step.apply_shell(render(apply)?);
            }
            if written.one_at_a_time {
                step = step.alone("one at a time");
            }
            steps.push(step);
        }
    }
    Ok(steps)
}

/// The hosts that a selector names.
fn select<'a>(lab: &'a Lab, on: &str) -> Result<Vec<&'a Host>, String> {
    let of = |is: fn(&Host) -> bool| lab.hosts.iter().filter(|h| is(h)).collect();
    Ok(match on {
        "all" => of(|_| true),
        "nodes" => of(|h| h.role != Role::None),
        "managers" => of(|h| h.role == Role::Manager),
        "workers" => of(|h| h.role == Role::Worker),
        "bricks" => lab.brick_hosts().collect(),
        "mounts" => lab.mount_hosts().collect(),
        name => match lab.host(name) {
            Some(host) => vec![host],
            None => {
                return Err(format!(
                    "`on: {name}` is neither `all`, `nodes`, `managers`, `workers`, `bricks`, `mounts` nor a host"
                ));
            }
        },
    })
}

/// Fills a string's variables in. Missing ones are an error, and so are blocks.
pub(crate) fn render(template: &str, values: &Value) -> Result<String, String> {
    let opens = |(at, _): (usize, &str)| {
        template[at..].trim_start_matches(|c: char| "{~".contains(c) || c.is_whitespace())
    };
    if template.match_indices("{{").any(|found| opens(found).starts_with('#')) {
        return Err("playbooks have no conditions and no loops: such a step belongs in Rust, \
                    or two steps with different `on`"
            .to_owned());
    }
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    engine.register_helper("q", Box::new(words));
    engine.register_partial("apt", APT).map_err(|e| e.to_string())?;
    engine
        .render_template(template, values)
        .map_err(|e| format!("{e}").lines().next().unwrap_or_default().to_owned())
}

/// `{{q value}}`: a value as words of shell that stand for exactly it, a list as one for each entry.
fn words(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("q", 0))?;
    if value.is_value_missing() {
        let path = value.relative_path().cloned();
        return Err(RenderErrorReason::MissingVariable(path).into());
    }
    let word = |value: &Value| match value {
        Value::String(text) => quote(text),
        other => quote(&other.to_string()),
    };
    let words = match value.value() {
        Value::Array(entries) => entries.iter().map(word).collect::<Vec<_>>().join(" "),
        one => word(one),
    };
    Ok(out.write(&words)?)
}

fn duration(text: &str) -> Result<Duration, String> {
    let span: Result<jiff::SignedDuration, _> = text.parse();
    let bound = span.ok().and_then(|s| Duration::try_from(s).ok()).filter(|d| !d.is_zero());
    bound.ok_or_else(|| format!("`within: {text}` is no duration such as `10m`"))
}
