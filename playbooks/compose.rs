//! Compose files: a stack's template or the user's own file, rendered, completed, and read for what
//! bp needs to know of it.

use crate::docker::SwarmView;
use crate::secrets::{authority, make};
use crate::shipped::{self, Shipped};
use crate::stacks::registry;
use crate::step::Failure;
use crate::{images, schema, secrets};
use blueprints::{Host, Lab, OnFailure, Role, Stack, StackKind};
use handlebars::Handlebars;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::path::Path;

/// The label that says which definition of a service is deployed.
pub(crate) const SPEC_LABEL: &str = "bp.spec";

/// A stack as it is deployed.
#[derive(Clone, Debug)]
pub struct Compose {
    /// The docker stack's name.
    pub name: String,
    /// The compose file, as JSON (which is YAML).
    pub text: String,
    /// Files that it refers to, by the name it knows them by.
    pub files: Vec<(String, Vec<u8>)>,
    /// Its services.
    pub services: Vec<Wanted>,
    /// Whether every image comes from an archive: then no registry is asked.
    pub offline: bool,
    /// Secrets and configs that are made outside of the file, by the names that it knows them by.
    pub outside: Vec<Outside>,
    /// What a swarm ignores of it, one sentence each.
    pub remarks: Vec<String>,
}

/// A secret or a config that is made outside of a compose file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// `secrets` or `configs`.
    pub kind: &'static str,
    /// What the file calls it.
    pub name: String,
}

impl Compose {
    /// The stack with the names that its secrets and configs have in the swarm now, which are part
    /// of its services' definitions: where one was rotated, a service that uses it has changed.
    ///
    /// # Errors
    /// Which of them is not made yet.
    pub fn settled(&self, view: &SwarmView, lab: &str) -> Result<Self, String> {
        if self.outside.is_empty() {
            return Ok(self.clone());
        }
        let mut document: Value = serde_json::from_str(&self.text).map_err(|e| e.to_string())?;
        let mut real = Vec::new();
        for Outside { kind, name } in &self.outside {
            let (found, all) = match *kind {
                "secrets" => (secrets::current(view, lab, name), &view.secrets),
                _ => (secrets::config(view, lab, name), &view.configs),
            };
            let by_hand = || all.iter().find(|s| s.spec.name == *name);
            let found = found.or_else(by_hand).map(|s| s.spec.name.clone());
            let kind_of_one = kind.trim_end_matches('s');
            let found = found.ok_or_else(|| format!("the {kind_of_one} {name} is not made yet"))?;
            document[*kind][name] = json!({ "external": true, "name": found });
            real.push((*kind, name.clone(), found));
        }
        let mut settled = self.clone();
        for wanted in &mut settled.services {
            let service = &mut document["services"][&wanted.name];
            let mut parts = vec![wanted.spec.clone()];
            for (kind, name, found) in &real {
                let used = service[*kind].as_array().into_iter().flatten();
                let names = |entry: &Value| {
                    entry.as_str().or_else(|| entry["source"].as_str()) == Some(name)
                };
                if used.clone().any(names) {
                    parts.push(found.clone());
                }
            }
            if parts.len() > 1 {
                let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
                wanted.spec = digest(&parts);
                service["deploy"]["labels"][SPEC_LABEL] = json!(wanted.spec);
            }
        }
        settled.text = serde_json::to_string_pretty(&document).map_err(|e| e.to_string())?;
        Ok(settled)
    }

    /// What the swarm calls a network that the file, or nobody in it, declares under this name.
    pub(crate) fn network(&self, name: &str) -> String {
        let document: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let declared = document["networks"].get(name);
        let named = declared.and_then(|n| n["name"].as_str().or(n["external"]["name"].as_str()));
        let is_own = match declared {
            Some(network) => network.get("external").is_none_or(|e| *e == json!(false)),
            None => name == "default",
        };
        match named {
            Some(named) => named.to_owned(),
            None if is_own => format!("{}_{name}", self.name),
            None => name.to_owned(),
        }
    }

    /// The names in the swarm of the secrets and configs that are made of files.
    pub(crate) fn made_of_files(&self) -> Vec<String> {
        let document: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let entries = ["secrets", "configs"].map(|kind| document[kind].as_object().cloned());
        let entries = entries.into_iter().flatten().flat_map(|all| all.into_iter());
        let made = entries.filter(|(_, entry)| entry.get("file").is_some());
        made.filter_map(|(_, entry)| entry["name"].as_str().map(str::to_owned)).collect()
    }

    /// The stack with these services only; what else there is stays as it is.
    pub fn part(&self, services: &[String]) -> Result<Self, String> {
        let mut document: Value = serde_json::from_str(&self.text).map_err(|e| e.to_string())?;
        let mut part = self.clone();
        part.services.retain(|s| services.contains(&s.name));
        if let Some(all) = document["services"].as_object_mut() {
            all.retain(|name, _| services.contains(name));
        }
        part.text = serde_json::to_string_pretty(&document).map_err(|e| e.to_string())?;
        Ok(part)
    }
}

/// What bp knows of a service before it is deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name in the compose file.
    pub name: String,
    /// Its image, replacements applied.
    pub image: String,
    /// The definition's digest.
    pub spec: String,
    /// `replicated`, `global`, `replicated-job` or `global-job`.
    pub mode: String,
    /// How many tasks it keeps; `None` for global services and jobs.
    pub replicas: Option<u64>,
    /// Placement constraints.
    pub constraints: Vec<String>,
}

impl Wanted {
    /// Whether the blueprint's host satisfies the constraints. What bp does not know is taken as
    /// satisfied.
    pub fn may_run_on(&self, host: &Host) -> bool {
        self.constraints.iter().all(|constraint| {
            let (left, equal, right) = match constraint.split_once("==") {
                Some((left, right)) => (left.trim(), true, right.trim()),
                None => match constraint.split_once("!=") {
                    Some((left, right)) => (left.trim(), false, right.trim()),
                    None => return true,
                },
            };
            let has = match left {
                "node.role" if host.role == Role::Manager => "manager",
                "node.role" => "worker",
                "node.hostname" => host.name.as_str(),
                "node.labels.bp.host" => host.name.as_str(),
                label => match label.strip_prefix("node.labels.") {
                    Some(key) => host.labels.get(key).map_or("", String::as_str),
                    None => return true,
                },
            };
            (has == right) == equal
        })
    }
}

/// All stacks of a lab, rendered.
///
/// # Errors
/// When a template or a file is wrong; the message names it.
pub fn all(lab: &Lab, beside: &Path) -> Result<Vec<Compose>, Failure> {
    let brought = images::brought(lab)?;
    let mut all = Vec::new();
    for stack in &lab.stacks {
        let mut compose = render(lab, stack, beside)?;
        compose.offline = compose.services.iter().all(|s| brought.contains(&s.image));
        all.push(compose);
    }
    registry::is_there_in_time(lab, &all)?;
    Ok(all)
}

fn render(lab: &Lab, stack: &Stack, beside: &Path) -> Result<Compose, Failure> {
    let shipped = shipped::of(lab, stack);
    let (file, text, base) = match (&stack.kind, &shipped) {
        (StackKind::File(path), _) => {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path)
                .map_err(|e| Failure::new(format!("read the compose file `{name}`: {e}")))?;
            (name, text, path.parent().unwrap_or(beside))
        }
        (_, Some(shipped)) => {
            let mut values = shipped.values.clone();
            values["lab"] = json!(lab.name);
            values["image"] = json!(stack.image);
            (shipped.file.to_owned(), template(shipped.template, &values)?, beside)
        }
        (_, None) => return Err(Failure::new(format!("bp ships no stack {}", stack.name))),
    };
    let wrong = |what: String| {
        let lines: Vec<String> = what.lines().map(|line| format!("{file}: {line}")).collect();
        Failure::new(lines.join("\n"))
    };
    let mut document: serde_yaml::Value =
        serde_yaml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    document.apply_merge().map_err(|e| wrong(e.to_string()))?;
    let document = serde_json::to_value(document).map_err(|e| wrong(e.to_string()))?;
    let Value::Object(document) = document else {
        return Err(wrong("a compose file is a map".to_owned()));
    };
    let mut document = document;
    let is_bps_own = matches!(stack.kind, StackKind::Authority);
    if shipped.is_some() && !is_bps_own && stack.on_failure == OnFailure::Keep {
        keep(&mut document);
    }
    complete(lab, &stack.name, document, base, shipped.as_ref()).map_err(wrong)
}

/// A change that fails stays as it is, for whoever looks at it: the swarm takes it back by itself where
/// bp's template says so.
fn keep(document: &mut Map<String, Value>) {
    let services = document.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(|s| s.values_mut()) {
        if let Some(action) = service.pointer_mut("/deploy/update_config/failure_action") {
            *action = json!("pause");
        }
    }
}

/// Fills a template in; what it names has to exist.
pub(crate) fn template(text: &str, values: &Value) -> Result<String, Failure> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    engine
        .render_template(text, values)
        .map_err(|e| Failure::new(format!("a stack's template: {e}")))
}

/// Adds what bp needs: replaced images, labels, content-hash names of configs and secrets.
fn complete(
    lab: &Lab,
    name: &str,
    mut document: Map<String, Value>,
    base: &Path,
    shipped: Option<&Shipped>,
) -> Result<Compose, String> {
    refuse_interpolation(&Value::Object(document.clone()), "")?;
    document.remove("name");
    without_nothing(&mut document);
    let said = schema::check(&document);
    if let Some(refused) = said.refused() {
        return Err(refused);
    }
    document.insert("version".to_owned(), json!(said.version));
    let remarks = said.remarks.into_iter().map(|r| format!("stack {name}: {r}")).collect();
    let (mut files, mut outside) = (Vec::new(), Vec::new());
    for kind in ["configs", "secrets"] {
        if let Some(Value::Object(entries)) = document.get_mut(kind) {
            for (key, entry) in entries {
                name_by_content((&lab.name, name, kind, key), entry, base, shipped, &mut files)
                    .map_err(|why| format!("{kind}.{key}: {why}"))?;
                // One with a name of its own is the user's, whatever bp makes.
                let made_outside = entry.get("external") == Some(&json!(true));
                if made_outside && entry.get("name").is_none() {
                    if shipped.is_none() && kind == "secrets" && key == authority::KEY {
                        return Err(format!("secrets.{key}: {NO_AUTHORITY}"));
                    }
                    outside.push(Outside { kind, name: key.clone() });
                }
            }
        }
    }
    // What a service refers to is part of its definition; what only YAML refers to is not.
    let around: Map<String, Value> = document
        .iter()
        .filter(|(k, _)| *k != "services" && !k.starts_with("x-"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let Some(Value::Object(services)) = document.get_mut("services") else {
        return Err("it has no services".to_owned());
    };
    let mut wanted = Vec::new();
    for (key, service) in services {
        let Value::Object(service) = service else {
            return Err(format!("services.{key} is no map"));
        };
        let image = service.get("image").and_then(Value::as_str).map(|i| lab.images.resolve(i));
        let image =
            image.ok_or_else(|| format!("services.{key} has no image, which a swarm needs"))?;
        service.insert("image".to_owned(), json!(image));
        beside_the_file(service).map_err(|why| format!("services.{key}{why}"))?;
        let definition = serde_json::to_string(service).map_err(|e| e.to_string())?;
        let around = around_one(&around, service);
        let around = serde_json::to_string(&around).map_err(|e| e.to_string())?;
        let spec = digest(&[definition.as_bytes(), around.as_bytes()]);
        let deploy = service.entry("deploy").or_insert(json!({}));
        let Value::Object(deploy) = deploy else {
            return Err(format!("services.{key}.deploy is no map"));
        };
        wanted.push(Wanted {
            name: key.clone(),
            image,
            spec: spec.clone(),
            mode: mode(deploy).to_owned(),
            replicas: replicas(deploy),
            constraints: constraints(deploy),
        });
        let mut labels = as_map(deploy.get("labels"));
        labels.insert(SPEC_LABEL.to_owned(), json!(spec));
        labels.insert(crate::docker::LAB_LABEL.to_owned(), json!(lab.name));
        deploy.insert("labels".to_owned(), Value::Object(labels));
    }
    let text = serde_json::to_string_pretty(&document).map_err(|e| e.to_string())?;
    let name = name.to_owned();
    Ok(Compose { name, text, files, services: wanted, offline: false, outside, remarks })
}

/// A key whose content is commented out is none, to its author; docker asks for a map. And file
/// modes become numbers.
fn without_nothing(document: &mut Map<String, Value>) {
    document.retain(|_, section| !section.is_null());
    let services = document.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(|s| s.values_mut()) {
        if let Value::Object(service) = service {
            service.retain(|_, value| !value.is_null());
            octal_modes(service);
        }
    }
}

/// What stands around the services, without the configs and secrets that only others use: a change
/// of those is none of this one.
fn around_one(around: &Map<String, Value>, service: &Map<String, Value>) -> Map<String, Value> {
    let mut around = around.clone();
    for kind in ["configs", "secrets"] {
        let used = service.get(kind).and_then(Value::as_array).into_iter().flatten();
        let used: Vec<&str> =
            used.filter_map(|u| u.as_str().or_else(|| u["source"].as_str())).collect();
        if let Some(Value::Object(entries)) = around.get_mut(kind) {
            entries.retain(|name, _| used.contains(&name.as_str()));
        }
    }
    around
}

/// Docker would fill `${NAME}` in from root's environment on a manager, where nobody set it.
fn refuse_interpolation(value: &Value, at: &str) -> Result<(), String> {
    match value {
        Value::String(text) => {
            // The text is not said: it may be a password with a dollar sign in it.
            let text = text.replace("$$", "");
            let named = |c: char| c == '{' || c == '_' || c.is_ascii_alphabetic();
            if text.split('$').skip(1).any(|rest| rest.starts_with(named)) {
                return Err(format!(
                    "{at}: it takes a variable of the environment, and on the manager nobody sets it: \
                     write the value out, or `$$` for a dollar sign"
                ));
            }
            Ok(())
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .try_for_each(|(i, v)| refuse_interpolation(v, &format!("{at}[{i}]"))),
        Value::Object(map) => map.iter().try_for_each(|(key, v)| {
            let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            refuse_interpolation(v, &at)
        }),
        _ => Ok(()),
    }
}

/// What stands beside the compose file on the operator's machine is not on the nodes.
fn beside_the_file(service: &Map<String, Value>) -> Result<(), String> {
    if service.get("env_file").is_some_and(|v| !v.is_null()) {
        return Err(
            ".env_file: the file is not on the manager: write it as `environment`".to_owned()
        );
    }
    for volume in service.get("volumes").and_then(Value::as_array).into_iter().flatten() {
        let source = match volume {
            Value::String(short) => short.split(':').next().unwrap_or_default(),
            long => long.get("source").and_then(Value::as_str).unwrap_or_default(),
        };
        if source.starts_with(['.', '~']) {
            return Err(format!(
                ".volumes: `{source}` is a folder of the operator's machine: name one of the nodes, from `/` on"
            ));
        }
    }
    Ok(())
}

/// `mode: 0440`, as docker's documentation writes it, is an octal number to docker and a text to
/// YAML 1.2.
fn octal_modes(service: &mut Map<String, Value>) {
    for kind in ["configs", "secrets"] {
        for entry in service.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            let mode = entry.get("mode").and_then(Value::as_str);
            if let Some(mode) =
                mode.and_then(|m| u32::from_str_radix(m.trim_start_matches("0o"), 8).ok())
            {
                entry["mode"] = json!(mode);
            }
        }
    }
}

/// What a swarm keeps in one config, bytes: `MaxConfigSize` of its `api/validation`.
const LARGEST_CONFIG: usize = 1000 << 10;

/// Why no stack is given the key of the lab's authority.
const NO_AUTHORITY: &str = "this is the key of the lab's authority, which signs for every name; one of \
                            your own is told by a `name` beside `external`";

/// Swarm configs and secrets can't change: a changed file gets a name of its own.
fn name_by_content(
    (lab, stack, kind, key): (&str, &str, &str, &str),
    entry: &mut Value,
    base: &Path,
    shipped: Option<&Shipped>,
    files: &mut Vec<(String, Vec<u8>)>,
) -> Result<(), String> {
    let Some(path) = entry.get("file").and_then(Value::as_str) else { return Ok(()) };
    let own = shipped.and_then(|s| s.files.iter().find(|(name, _)| *name == path));
    let bytes = match own {
        Some((_, text)) => text.clone().into_bytes(),
        None => {
            let path = base.join(path);
            std::fs::read(&path).map_err(|e| format!("read `{}`: {e}", path.display()))?
        }
    };
    let at = format!("file-{}", files.len());
    // Docker can't change what has a name: a changed file needs a new one.
    if entry.get("name").is_some() {
        return Err(
            "a fixed `name` beside `file`: leave the name to bp, which changes it with the content"
                .to_owned(),
        );
    }
    let largest = if kind == "secrets" { make::LARGEST } else { LARGEST_CONFIG };
    match bytes.len() {
        0 => return Err("the file is empty, which a swarm does not take".to_owned()),
        size if size >= largest => {
            return Err(format!("the file has {size} bytes: a swarm takes less than {largest}"));
        }
        _ => {}
    }
    let digest = match kind {
        "secrets" => make::slow_digest(&[lab.as_bytes(), stack.as_bytes(), key.as_bytes(), &bytes]),
        _ => digest(&[&bytes]),
    };
    entry["name"] = json!(format!("{}_{digest}", make::begin(stack, key)));
    entry["file"] = json!(format!("./{at}"));
    // By its label it is found when nothing uses it any more.
    let mut labels = as_map(entry.get("labels"));
    labels.insert(crate::docker::LAB_LABEL.to_owned(), json!(lab));
    entry["labels"] = Value::Object(labels);
    files.push((at, bytes));
    Ok(())
}

fn mode(deploy: &Map<String, Value>) -> &str {
    deploy.get("mode").and_then(Value::as_str).unwrap_or("replicated")
}

fn replicas(deploy: &Map<String, Value>) -> Option<u64> {
    match mode(deploy) {
        "replicated" => deploy.get("replicas").map_or(Some(1), Value::as_u64),
        _ => None,
    }
}

fn constraints(deploy: &Map<String, Value>) -> Vec<String> {
    let list = deploy.get("placement").and_then(|p| p.get("constraints")).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Labels may be written as a map or as a list of `key=value`.
fn as_map(labels: Option<&Value>) -> Map<String, Value> {
    match labels {
        Some(Value::Object(map)) => map.clone(),
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(|l| l.split_once('=').unwrap_or((l, "")))
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect(),
        _ => Map::new(),
    }
}

/// Twelve hex digits of SHA-256 over the parts.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(6).map(|b| format!("{b:02x}")).collect()
}
