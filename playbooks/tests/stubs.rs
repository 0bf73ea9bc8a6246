//! Shell scripts run for real, with programs in their way that know exactly what they are asked.

use crate::compose::{self, Compose};
use crate::step::{CheckBy, Step};
use crate::tests::bench::Bench;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A folder of programs that stand before all others.
pub struct Stubs(tempfile::TempDir);

impl Stubs {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A program: arms of a `case` over its arguments in one line. What is in none of them is
    /// written down and fails.
    pub fn program(self, name: &str, arms: &str) -> Self {
        let path = self.0.path().join(name);
        let asked = self.0.path().join("asked");
        let text = format!(
            "#!/bin/sh\ncase \"$*\" in\n{arms}\n*) echo \"{name} $*\" >>{}; echo \"{name}: unknown: $*\"; exit 99;;\nesac\n",
            asked.display()
        );
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("executable");
        self
    }

    /// Runs a script as a host does: `ok`, or the last line that it printed.
    pub fn run(&self, script: &str) -> String {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        let output = Command::new("sh").args(["-c", script]).env("PATH", path).output();
        let output = output.expect("sh runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = said + &String::from_utf8_lossy(&output.stderr);
        let asked = std::fs::read_to_string(self.0.path().join("asked")).unwrap_or_default();
        assert_eq!(asked, "", "something unknown was asked for\n{script}");
        match output.status.code() {
            Some(0) => "ok".to_owned(),
            code => format!("{}: {}", code.unwrap_or(-1), said.lines().last().unwrap_or_default()),
        }
    }
}

/// The stack of this name as it is deployed, but for the names of secrets.
pub fn rendered(bench: &Bench, name: &str) -> Compose {
    let all = compose::all(&bench.lab, bench.dir.path()).unwrap_or_else(|f| panic!("{f:?}"));
    all.into_iter().find(|c| c.name == name).expect("a stack of this name")
}

/// The steps of this name.
pub fn named(bench: &Bench, name: &str) -> Vec<Step> {
    let steps: Vec<Step> = bench.steps().into_iter().filter(|s| s.name == name).collect();
    assert!(!steps.is_empty(), "no step `{name}`");
    steps
}

/// The shell by which a step is checked.
pub fn shell(step: &Step) -> &str {
    match &step.check {
        CheckBy::Shell(script) => script,
        _ => panic!("`{}` is not checked by plain shell", step.name),
    }
}

/// What no stack that bp ships may have: published ports besides these, a secret in its text, a
/// service without limits or without a way back.
pub fn is_sound(compose: &Compose, published: &[u64]) {
    let document: serde_json::Value = serde_json::from_str(&compose.text).expect("JSON");
    let mut ports = Vec::new();
    for (name, service) in document["services"].as_object().expect("a map") {
        let deploy = &service["deploy"];
        assert!(deploy["resources"]["limits"]["memory"].is_string(), "{name} has no limit");
        assert_eq!(deploy["update_config"]["failure_action"], "rollback", "{name}");
        assert!(service["stop_grace_period"].is_string(), "{name}");
        // The short form of a secret is for every user of the container.
        let held = service["secrets"].as_array().into_iter().flatten();
        for secret in held {
            let mode = secret["mode"].as_u64().unwrap_or_else(|| panic!("{name}: {secret}"));
            assert_eq!(mode & 0o077, 0, "{name}: {secret}");
        }
        let all = service["ports"].as_array().into_iter().flatten();
        ports.extend(all.map(|p| p["published"].as_u64().expect("the long form")));
    }
    assert_eq!(ports, published);
    for (name, secret) in document["secrets"].as_object().expect("a map") {
        assert_eq!(secret["external"], true, "the secret {name} is in a file");
    }
}
