//! The settings of stacks: in the schema, in the rules, and in the guide.

use super::*;
use crate::shipped::{NAMES, SETTINGS};
use serde_json::Value;

/// What every stack has, one's own too.
const COMMON: [&str; 4] = ["needs", "health", "within", "on_failure"];

const GUIDE: &str = include_str!("../docs/stacks.md");

fn definition<'s>(schema: &'s Value, name: &str) -> &'s Value {
    &schema["$defs"][name]["properties"]
}

/// The schema's definition that a field refers to, directly or among others.
fn refers(field: &Value) -> Option<&str> {
    let own = field["$ref"].as_str();
    let map = || field["additionalProperties"]["$ref"].as_str();
    let list = || field["items"]["$ref"].as_str();
    own.or_else(map).or_else(list).and_then(|path| path.rsplit('/').next())
}

/// Rows of a table: each field, then the fields of what it holds.
fn rows(schema: &Value, prefix: &str, fields: &Value, only: &dyn Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for (name, field) in fields.as_object().expect("a map") {
        if !only(name) {
            continue;
        }
        let said = field["description"].as_str().unwrap_or_default().replace('\n', " ");
        // Which stacks it is for is said by the table that it stands in.
        let said = match said.strip_prefix("For ").and_then(|rest| rest.split_once(": ")) {
            Some((_, rest)) => rest.to_owned(),
            None => said,
        };
        let said = said.trim_end_matches('.');
        let (first, rest) = said.split_at(said.chars().next().map_or(0, char::len_utf8));
        let said = first.to_uppercase() + rest;
        text += &format!("| `{prefix}{name}` | {said} |\n");
        let Some(held) = refers(field) else { continue };
        let prefix = match (&field["additionalProperties"], &field["items"]) {
            (Value::Object(_), _) => format!("{prefix}{name}.NAME."),
            (_, Value::Object(_)) => format!("{prefix}{name}[]."),
            _ => format!("{prefix}{name}."),
        };
        let definition = &schema["$defs"][held];
        if definition["properties"].is_object() {
            text += &rows(schema, &prefix, &definition["properties"], &|_| true);
        }
        for variant in definition["anyOf"].as_array().into_iter().flatten() {
            if let Some(held) = refers(variant)
                && schema["$defs"][held]["properties"].is_object()
            {
                text += &rows(schema, &prefix, &schema["$defs"][held]["properties"], &|_| true);
            }
        }
    }
    text
}

fn table(rows: &str) -> String {
    format!("| option | what it is |\n|---|---|\n{rows}")
}

/// The part of the guide under a heading.
fn chapter(heading: &str) -> &'static str {
    let start = GUIDE.find(&format!("\n## {heading}\n"));
    let start = start.unwrap_or_else(|| panic!("the guide has no chapter `{heading}`"));
    let text = &GUIDE[start + 1..];
    &text[..text[1..].find("\n## ").map_or(text.len(), |end| end + 1)]
}

#[test]
fn every_setting_belongs_to_somebody() {
    let schema = schema();
    let fields = definition(&schema, "StackBody").as_object().expect("a map");
    for name in fields.keys().map(String::as_str) {
        let common = COMMON.contains(&name) || name == "file";
        let owned = SETTINGS.iter().any(|(setting, _)| *setting == name);
        assert!(common != owned, "`{name}` is in neither list, or in both");
    }
    for (setting, owners) in SETTINGS {
        assert!(fields.contains_key(*setting), "{setting}");
        assert!(owners.iter().all(|o| NAMES.contains(o)), "{setting}");
    }
}

/// The guide's tables are the schema's.
#[test]
fn the_guide_has_every_option() {
    let schema = schema();
    let fields = definition(&schema, "StackBody");
    let mut missing = String::new();
    let mut expect = |heading: &str, table: &str| {
        if !chapter(heading).contains(table) {
            missing += &format!("## {heading}\n\n{table}\n");
        }
    };
    let every = |name: &str| COMMON.contains(&name);
    expect("Every stack", &table(&rows(&schema, "", fields, &every)));
    for stack in NAMES {
        let own = |name: &str| {
            SETTINGS.iter().any(|(setting, owners)| *setting == name && owners.contains(stack))
        };
        expect(stack, &table(&rows(&schema, "", fields, &own)));
    }
    expect("Your own", &table(&rows(&schema, "", fields, &|name| name == "file")));
    assert!(missing.is_empty(), "the guide has other tables than these:\n{missing}");
}

/// The guide's table of versions is the one that bp goes by.
#[test]
fn the_guide_has_every_version() {
    let mut table = "| stack | version | image | needs |\n|---|---|---|---|\n".to_owned();
    for version in versions::VERSIONS {
        let default =
            versions::of(version.stack).next().map(|v| v.version) == Some(version.version);
        let image = match version.image {
            "" => "your own: nobody publishes one".to_owned(),
            image => format!("`{image}`"),
        };
        let needs =
            version.needs.map_or(String::new(), |(stack, least)| format!("{stack} {least}"));
        let (stack, name) = (version.stack, version.version);
        let default = if default { ", the default" } else { "" };
        table += &format!("| {stack} | {name}{default} | {image} | {needs} |\n");
    }
    let there = chapter("Versions").contains(&table);
    assert!(there, "the guide has another table of versions than this:\n{table}");
}

/// Ports and needs stand in the guide as the rules know them.
#[test]
fn the_guide_has_needs_and_ports() {
    let text = "version: 1\nname: lab\nhosts: { node1: { role: manager, address: 192.0.2.1 } }\nstacks: [etcd, { stolon: { databases: { gitlab: { extensions: [pg_trgm, btree_gist] } } } }, redis, traefik, registry, gitlab, portainer]\n";
    let (lab, _) = tests::lab(text, &tests::World::default());
    for stack in lab.stacks.iter().filter(|s| NAMES.contains(&s.name.as_str())) {
        let chapter = chapter(&stack.name);
        let needs: Vec<String> = stack.needs.iter().map(|n| format!("`{n}`")).collect();
        let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
        let ports: Vec<String> =
            stack.kind.ports().iter().map(|(p, _)| format!("{p}/tcp")).collect();
        let ports = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
        let networks: Vec<String> =
            stack.kind.networks().iter().map(|n| format!("`{n}`")).collect();
        for line in [
            format!("- **Needs** {needs}."),
            format!("- **Published** {ports}."),
            format!("- **Networks** {}.", networks.join(", ")),
        ] {
            assert!(chapter.contains(&line), "{}: `{line}` is not in the guide", stack.name);
        }
    }
}
