//! Secrets and configs of a fake swarm. The scripts that make them are run by a real shell, with a
//! `docker` that only writes down what it was asked for.

use super::fake::State;
use super::shell::{fails, says, words};
use crate::stacks::pause;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use providers::{Cmd, Output, Stdin};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tokio::time::Instant;

/// Writes down its arguments and its standard input; refuses a name that is taken.
const DOCKER: &str = "#!/bin/sh
for last; do [ \"$last\" = - ] || name=$last; done
if grep -qxF \"$1 $name\" taken; then
    echo \"Error response from daemon: rpc error: code = AlreadyExists desc = $1 $name already exists\" >&2
    exit 1
fi
n=$(ls | wc -l); mkdir call-$n; printf '%s\\n' \"$@\" >call-$n/args; cat >call-$n/input
";

/// One call of `docker secret create` or `docker config create`.
struct Call {
    kind: String,
    labels: BTreeMap<String, String>,
    name: String,
    input: Vec<u8>,
}

/// Runs a script and gives what it asked docker for.
fn run(script: &str, stdin: &[u8], taken: &str) -> (Output, Vec<Call>) {
    let dir = tempfile::tempdir().expect("a folder");
    let docker = dir.path().join("docker");
    std::fs::write(&docker, DOCKER).expect("written");
    std::fs::set_permissions(&docker, PermissionsExt::from_mode(0o755)).expect("set");
    std::fs::write(dir.path().join("taken"), taken).expect("written");
    let mut sh = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir.path())
        .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh runs");
    // A script that does not read what it is given ends the pipe.
    let _ = sh.stdin.take().expect("a pipe").write_all(stdin);
    let ended = sh.wait_with_output().expect("it ended");
    let code = ended.status.code().expect("a status");
    let output = Output { code, stdout: ended.stdout, stderr: ended.stderr };
    let mut folders: Vec<_> = std::fs::read_dir(dir.path())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    (output, folders.iter().map(|path| call(path)).collect())
}

fn call(path: &Path) -> Call {
    let args = std::fs::read_to_string(path.join("args")).expect("arguments");
    let args: Vec<&str> = args.lines().collect();
    let [kind @ ("secret" | "config"), "create", labels @ .., name, "-"] = args.as_slice() else {
        panic!("unknown command: docker {args:?}");
    };
    let labels = labels.chunks(2).map(|pair| {
        let ["-l", label] = pair else { panic!("no label: {pair:?}") };
        let (key, value) = label.split_once('=').expect("a key");
        (key.to_owned(), value.to_owned())
    });
    let input = std::fs::read(path.join("input")).expect("input");
    Call { kind: (*kind).to_owned(), labels: labels.collect(), name: (*name).to_owned(), input }
}

impl State {
    /// What makes secrets, removes them, and reads them in a task.
    pub fn seal(&mut self, host: &str, cmd: &Cmd) -> Option<Output> {
        let script = cmd.script.as_str();
        if script.contains("docker secret create ") {
            return Some(self.create_sealed(host, cmd));
        }
        if let Some(task) =
            script.strip_prefix("c=$(docker ps -q --filter label=com.docker.swarm.task.id=")
        {
            return Some(self.open(host, task));
        }
        for kind in ["secret", "config"] {
            let ids = script.strip_prefix(&format!("docker {kind} rm "));
            if let Some(ids) = ids.and_then(|s| s.strip_suffix(" >/dev/null")) {
                return Some(self.unseal(host, kind, &words(ids)));
            }
        }
        match script {
            "uname -m" => Some(says("x86_64")),
            "docker load -q" => {
                let Stdin::Bytes(archive) = &cmd.stdin else { return None };
                self.log.push(format!("{host}$ docker load -q <<<(the pause image)"));
                let images = super::images::read(archive);
                self.guests.get_mut(host)?.images.extend(images);
                Some(says("Loaded image"))
            }
            _ => None,
        }
    }

    /// Whether the pause image is there.
    pub fn has_pause(&self, host: &str, script: &str) -> Option<Output> {
        let asked = format!(
            "curl -sS --max-time 50 --unix-socket /var/run/docker.sock http://docker/images/{}/json | \
             grep -qF '\"bp.image\":\"",
            pause::IMAGE
        );
        let end = "\"' || { echo 'it is not loaded'; exit 1; }";
        let mark = script.strip_prefix(&asked)?.strip_suffix(end)?;
        assert_eq!(mark.len(), 12);
        let archive = pause::archive("x86_64").expect("packed");
        let right = super::images::read(&archive);
        let guest = &self.guests[host];
        let is = guest.engine && guest.images.get(pause::IMAGE) == right.get(pause::IMAGE);
        Some(if is { says("") } else { Output { code: 1, ..says("it is not loaded") } })
    }

    fn create_sealed(&mut self, host: &str, cmd: &Cmd) -> Output {
        let stdin = match &cmd.stdin {
            Stdin::Empty => Vec::new(),
            Stdin::Bytes(bytes) => bytes.clone(),
            Stdin::File(_) => panic!("a secret is in no file"),
        };
        assert!(
            stdin.is_empty() || cmd.secrets.iter().any(|s| s.as_bytes() == stdin),
            "what is kept is a secret of its command"
        );
        let mut taken = String::new();
        let swarm = self.managed(host);
        for (kind, all) in [("secret", &swarm.secrets), ("config", &swarm.configs)] {
            for sealed in all {
                taken.push_str(&format!(
                    "{kind} {}\n",
                    sealed["Spec"]["Name"].as_str().expect("a name")
                ));
            }
        }
        let (output, calls) = run(&cmd.script, &stdin, &taken);
        for Call { kind, labels, name, input } in calls {
            let what =
                labels.iter().find(|(k, _)| ["bp.secret", "bp.config"].contains(&k.as_str()));
            let what = what.map(|(_, v)| v.clone()).expect("it says what it is");
            self.log.push(format!("{host}$ docker {kind} create {what}"));
            self.keep(host, &kind, &name, json!(labels), &input);
        }
        output
    }

    /// Keeps a secret or a config.
    pub fn keep(&mut self, host: &str, kind: &str, name: &str, labels: Value, input: &[u8]) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(name.len() <= 64 && name.chars().all(plain), "no name for docker: {name}");
        assert!(!input.is_empty() && input.len() < 500 << 10, "docker takes 1 byte to 500 KiB");
        let id = format!("{kind}{}id", self.next());
        let passed = Instant::now().duration_since(self.began);
        let second = self.now();
        let at = jiff::Timestamp::new(second, passed.subsec_nanos() as i32).expect("a moment");
        let mut sealed = json!({ "ID": id, "CreatedAt": at.to_string(),
            "Spec": { "Name": name, "Labels": labels } });
        if kind == "config" {
            sealed["Spec"]["Data"] = json!(STANDARD.encode(input));
            self.managed(host).configs.push(sealed);
            return;
        }
        let text = String::from_utf8(input.to_vec()).expect("text");
        self.tokens.insert(text);
        let swarm = self.managed(host);
        swarm.secrets.push(sealed);
        swarm.kept.insert(id, input.to_vec());
    }

    fn unseal(&mut self, host: &str, kind: &str, ids: &[String]) -> Output {
        let swarm = self.managed(host);
        let (list, key) =
            if kind == "secret" { ("Secrets", "SecretID") } else { ("Configs", "ConfigID") };
        let mut removed = Vec::new();
        for id in ids {
            let user = swarm.services.iter().find(|s| {
                let used = &s["Spec"]["TaskTemplate"]["ContainerSpec"][list];
                used.as_array().into_iter().flatten().any(|e| e[key] == id.as_str())
            });
            if let Some(user) = user {
                let why = format!(
                    "{kind} '{id}' is in use by the following service: {}",
                    user["Spec"]["Name"]
                );
                return fails(1, &why);
            }
            let all = if kind == "secret" { &mut swarm.secrets } else { &mut swarm.configs };
            let at = all.iter().position(|s| s["ID"] == id.as_str());
            let Some(at) = at else { return fails(1, &format!("no such {kind}: {id}")) };
            let labels = all.remove(at)["Spec"]["Labels"].take();
            let of = labels.get("bp.secret").or(labels.get("bp.config"));
            removed.push(of.and_then(Value::as_str).unwrap_or("(of a file)").to_owned());
        }
        self.log.push(format!("{host}$ docker {kind} rm {}", removed.join(" ")));
        says("")
    }

    /// A secret in the memory of a task on this host.
    fn open(&mut self, host: &str, rest: &str) -> Output {
        let (task, rest) = rest.split_once(" | head -n 1)\n").expect("a task");
        let path = rest
            .strip_prefix(
                "[ -n \"$c\" ] || { echo 'its container does not run' >&2; exit 1; }\n\
                 p=$(docker inspect -f '{{.State.Pid}}' \"$c\") && cat \"/proc/$p/root\"",
            )
            .expect("it is read through /proc");
        let path = words(path).concat();
        let (swarm, node) = self.guests[host].node.clone().expect("a node");
        let swarm = &self.swarms[&swarm];
        let runs = |t: &&Value| {
            t["ID"] == task && t["NodeID"] == node.as_str() && t["Status"]["State"] == "running"
        };
        let Some(task) = swarm.tasks.iter().find(runs) else {
            return fails(1, "its container does not run");
        };
        let entries = task["Spec"]["ContainerSpec"]["Secrets"].as_array().into_iter().flatten();
        let entry = entries.into_iter().find(|e| {
            format!("/run/secrets/{}", e["File"]["Name"].as_str().expect("a file")) == path
        });
        let Some(entry) = entry else {
            return fails(1, &format!("cat: /proc/4711/root{path}: No such file or directory"));
        };
        let stdout = swarm.kept[entry["SecretID"].as_str().expect("an id")].clone();
        Output { code: 0, stdout, stderr: Vec::new() }
    }

    /// The secrets and configs of a compose file: made, where they are of files; and those of a
    /// service, as its container has them.
    pub fn sealed_of(
        &mut self,
        host: &str,
        compose: &Value,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), Output> {
        for (kind, list) in [("secret", "secrets"), ("config", "configs")] {
            for (key, entry) in compose[list].as_object().into_iter().flatten() {
                let name = entry["name"].as_str().unwrap_or(key).to_owned();
                let is = self.sealed(host, kind, &name).is_some();
                match entry["file"].as_str() {
                    None if !is => return Err(fails(1, &format!("{kind} not found: {name}"))),
                    Some(file) if !is => {
                        let content = files[file.trim_start_matches("./")].clone();
                        self.keep(host, kind, &name, entry["labels"].clone(), &content);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn sealed(&mut self, host: &str, kind: &str, name: &str) -> Option<String> {
        let swarm = self.managed(host);
        let all = if kind == "secret" { &swarm.secrets } else { &swarm.configs };
        let found = all.iter().find(|s| s["Spec"]["Name"] == name)?;
        found["ID"].as_str().map(str::to_owned)
    }

    /// What a service's container has of one list.
    pub fn mounted(&mut self, host: &str, compose: &Value, service: &Value, list: &str) -> Value {
        let kind = list.trim_end_matches('s');
        let (id_key, name_key, root) = match kind {
            "secret" => ("SecretID", "SecretName", ""),
            _ => ("ConfigID", "ConfigName", "/"),
        };
        let mut mounted = Vec::new();
        for entry in service[list].as_array().into_iter().flatten() {
            let source = entry.as_str().or(entry["source"].as_str()).expect("a source");
            let name = compose[list][source]["name"].as_str().unwrap_or(source).to_owned();
            let id = self.sealed(host, kind, &name).expect("it is there");
            let target = entry["target"].as_str().map_or(format!("{root}{source}"), str::to_owned);
            assert!(entry["mode"].is_null() || entry["mode"].is_u64(), "no mode: {entry}");
            mounted.push(json!({ id_key: id, name_key: name,
                "File": { "Name": target, "UID": "0", "GID": "0", "Mode": entry["mode"].as_u64().unwrap_or(0o444) } }));
        }
        json!(mounted)
    }
}
