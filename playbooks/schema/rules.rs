//! What docker refuses of a file whose every part is right, and what it ignores.

use super::forms::{named_volume, port};
use super::table::IGNORED;
use super::{list, nearest, short};
use serde_json::{Map, Value};

/// The rules over the file and over each service.
pub(super) fn check(
    document: &Map<String, Value>,
    problems: &mut Vec<String>,
    remarks: &mut Vec<String>,
) {
    declared_twice(document, problems);
    let empty = Map::new();
    let services = document.get("services").and_then(Value::as_object).unwrap_or(&empty);
    for (name, service) in services {
        let at = format!("services.{}", short(name));
        let Value::Object(service) = service else { continue };
        names(&at, service, document, problems);
        mode(&at, service, problems);
        mounts(&at, service, problems);
        healthcheck(&at, service, problems);
        limits(&at, service, problems);
        restart(&at, service, problems, remarks);
        addresses(&at, service, remarks);
    }
    for (key, instead) in IGNORED {
        let of = services.iter().filter(|(_, s)| s.get(*key).is_some_and(|v| !v.is_null()));
        let of: Vec<&str> = of.map(|(name, _)| name.as_str()).collect();
        if !of.is_empty() {
            let more = if instead.is_empty() { String::new() } else { format!(": {instead}") };
            remarks.push(format!("a swarm ignores `{key}` (of {}){more}", list(&of)));
        }
    }
}

/// What others made has no content here, and one name.
fn declared_twice(document: &Map<String, Value>, problems: &mut Vec<String>) {
    for section in ["networks", "volumes", "secrets", "configs"] {
        let entries = document.get(section).and_then(Value::as_object);
        for (name, entry) in entries.into_iter().flatten() {
            let at = format!("{section}.{}", short(name));
            let external = entry.get("external").is_some_and(|e| *e == true || e.is_object());
            let with = |key: &str| entry.get(key).is_some();
            if external && with("name") && entry["external"].get("name").is_some() {
                problems.push(format!("{at}: it has two names: leave `external: true` and `name`"));
            }
            let own = ["driver", "driver_opts", "labels"].into_iter().find(|key| with(key));
            if let (true, "volumes", Some(key)) = (external, section, own) {
                problems.push(format!("{at}: it is external, so it can't have `{key}`"));
            }
            if !external && ["secrets", "configs"].contains(&section) {
                match (with("driver"), with("file")) {
                    (true, true) => {
                        problems.push(format!("{at}: `driver` and `file` exclude each other"));
                    }
                    (false, false) if entry.is_object() => {
                        problems.push(format!("{at}: it needs `file`, or `external: true`"));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// What a service names is declared in the file.
fn names(
    at: &str,
    service: &Map<String, Value>,
    document: &Map<String, Value>,
    problems: &mut Vec<String>,
) {
    let mut used: Vec<(String, &str, &str)> = Vec::new();
    for section in ["networks", "volumes", "secrets", "configs"] {
        match service.get(section) {
            Some(Value::Object(map)) if section == "networks" => {
                used.extend(map.keys().map(|name| (format!("{at}.{section}"), section, &**name)));
            }
            Some(Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let name = match item {
                        Value::String(text) if section == "volumes" => named_volume(text),
                        Value::String(text) => Some(text.as_str()),
                        long if section == "volumes" => {
                            long["source"].as_str().filter(|_| long["type"] == "volume")
                        }
                        long => long["source"].as_str(),
                    };
                    used.extend(
                        name.map(|name| (format!("{at}.{section}[{index}]"), section, name)),
                    );
                }
            }
            _ => {}
        }
    }
    if let Some(name) = service.get("credential_spec").and_then(|c| c["config"].as_str()) {
        used.push((format!("{at}.credential_spec.config"), "configs", name));
    }
    for (place, section, name) in used {
        let declared = document.get(section).and_then(Value::as_object);
        let known: Vec<&str> = declared.into_iter().flatten().map(|(n, _)| n.as_str()).collect();
        if known.contains(&name) || (section, name) == ("networks", "default") {
            continue;
        }
        let meant = match nearest(name, &known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("declare it: `{section}: {{ {}: {} }}`", short(name), example(section)),
        };
        let kind = section.trim_end_matches('s');
        problems.push(format!("{place}: the file declares no {kind} `{}`; {meant}", short(name)));
    }
}

fn example(section: &str) -> &'static str {
    match section {
        "volumes" => "{}",
        _ => "{ external: true }",
    }
}

/// The kinds of services and what goes with them.
fn mode(at: &str, service: &Map<String, Value>, problems: &mut Vec<String>) {
    let Some(deploy) = service.get("deploy") else { return };
    let global = deploy["mode"].as_str().filter(|m| m.starts_with("global"));
    if let (Some(mode), Some(_)) = (global, deploy.get("replicas")) {
        problems.push(format!("{at}.deploy.replicas: `mode: {mode}` runs one task a node"));
    }
    let ports = service.get("ports").and_then(Value::as_array).into_iter().flatten();
    let meshed = ports.filter(|p| p["mode"].as_str() != Some("host")).count() > 0;
    if deploy["endpoint_mode"] == "dnsrr" && meshed {
        problems.push(format!(
            "{at}.deploy.endpoint_mode: `dnsrr` has no address to publish ports on: \
             `mode: host` for each port, or `vip`"
        ));
    }
    let job = deploy["mode"].as_str().is_some_and(|m| m.ends_with("-job"));
    if job && deploy.get("update_config").is_some() {
        problems.push(format!("{at}.deploy.update_config: a job is not updated"));
    }
    if job && deploy["restart_policy"]["condition"] == "any" {
        let what = "a job ends; `on-failure` or `none`";
        problems.push(format!("{at}.deploy.restart_policy.condition: {what}"));
    }
}

/// Long entries of volumes have what their types need.
fn mounts(at: &str, service: &Map<String, Value>, problems: &mut Vec<String>) {
    let entries = service.get("volumes").and_then(Value::as_array);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let Value::Object(entry) = entry else { continue };
        let at = format!("{at}.volumes[{index}]");
        let Some(kind) = entry.get("type").and_then(Value::as_str) else {
            problems.push(format!("{at}: it needs `type`, such as `type: bind`"));
            continue;
        };
        let given =
            |key: &str| entry.get(key).and_then(Value::as_str).is_some_and(|t| !t.is_empty());
        if !given("target") {
            problems.push(format!("{at}: it needs `target`, its place in the container"));
        }
        match (kind, given("source")) {
            ("bind" | "npipe" | "cluster", false) => {
                problems.push(format!("{at}: `type: {kind}` needs `source`"));
            }
            ("tmpfs", true) => {
                problems.push(format!("{at}.source: a tmpfs is made of nothing: leave it out"));
            }
            _ => {}
        }
        for other in ["bind", "volume", "tmpfs"].into_iter().filter(|o| *o != kind) {
            if entry.contains_key(other) && (kind, other) != ("npipe", "bind") {
                problems.push(format!("{at}.{other}: its type is `{kind}`"));
            }
        }
    }
}

fn healthcheck(at: &str, service: &Map<String, Value>, problems: &mut Vec<String>) {
    let Some(check) = service.get("healthcheck") else { return };
    if check["disable"] == true && check.get("test").is_some() {
        problems.push(format!("{at}.healthcheck: `disable` and `test` exclude each other"));
    }
}

fn limits(at: &str, service: &Map<String, Value>, problems: &mut Vec<String>) {
    for (name, limit) in service.get("ulimits").and_then(Value::as_object).into_iter().flatten() {
        if limit.is_object() && (limit.get("soft").is_none() || limit.get("hard").is_none()) {
            problems.push(format!("{at}.ulimits.{}: it needs `soft` and `hard`", short(name)));
        }
    }
}

/// `restart` of a container, which a swarm reads where there is no policy.
fn restart(
    at: &str,
    service: &Map<String, Value>,
    problems: &mut Vec<String>,
    remarks: &mut Vec<String>,
) {
    let Some(Value::String(restart)) = service.get("restart") else { return };
    if service.get("deploy").is_some_and(|d| d.get("restart_policy").is_some()) {
        remarks.push(format!("{at}: `restart` is ignored beside `deploy.restart_policy`"));
        return;
    }
    let (word, count) = restart.split_once(':').unwrap_or((restart, "1"));
    let right = count.parse::<u32>().is_ok() && (word == "on-failure" || count == "1");
    match word {
        "no" | "" => remarks.push(format!(
            "{at}: a swarm restarts it in spite of `restart: no`: \
             `deploy: {{ restart_policy: {{ condition: none }} }}`"
        )),
        "always" | "unless-stopped" | "on-failure" if right => {}
        _ => problems.push(format!(
            "{at}.restart: expected `always`, `on-failure`, `unless-stopped` or `no`, found `{}`",
            short(restart)
        )),
    }
}

/// A swarm publishes on all addresses of a node.
fn addresses(at: &str, service: &Map<String, Value>, remarks: &mut Vec<String>) {
    let ports = service.get("ports").and_then(Value::as_array);
    for text in ports.into_iter().flatten().filter_map(Value::as_str) {
        if let Ok(Some(address)) = port(text) {
            remarks.push(format!(
                "{at}: a swarm ignores the address `{address}` of the port `{}`: \
                 it is open on all of them",
                short(text)
            ));
        }
    }
    let networks = service.get("networks").and_then(Value::as_object);
    for (name, network) in networks.into_iter().flatten() {
        if network.get("ipv4_address").is_some() || network.get("ipv6_address").is_some() {
            let name = short(name);
            remarks.push(format!("{at}: a swarm ignores its fixed address on `{name}`"));
        }
    }
}
