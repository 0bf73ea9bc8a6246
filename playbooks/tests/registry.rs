//! The registry: what is deployed, and what its checks ask.

use super::bench::{Bench, LAB};
use crate::compose::{Compose, all};
use serde_json::Value;

pub const VOLUME: &str = "gluster: { data: { mount: /srv/data } }\n";

/// A lab with these stacks.
pub fn bench(more: &str, stacks: &str) -> Bench {
    let lab = LAB.replace("role: manager", "role: manager, brick: /srv/gluster");
    let lab = if more.is_empty() { LAB } else { lab.as_str() };
    Bench::new(&format!("{lab}{more}stacks: {stacks}\n"))
}

/// What is deployed of a stack.
pub fn deployed(bench: &Bench, name: &str) -> Compose {
    let all = all(&bench.lab, bench.dir.path()).unwrap_or_else(|f| panic!("{}", f.message));
    all.into_iter().find(|c| c.name == name).expect("the stack")
}

/// It is a compose file of version 3 that says nothing of any secret but its name.
pub fn document(compose: &Compose) -> Value {
    let document: Value = serde_json::from_str(&compose.text).expect("JSON");
    for service in document["services"].as_object().expect("services").values() {
        for (name, value) in service["environment"].as_object().into_iter().flatten() {
            let secret = ["password", "token", "secret"];
            assert!(!secret.iter().any(|s| name.to_lowercase().contains(s)), "{name}={value}");
        }
    }
    document
}

const STACKS: &str = "[traefik, registry]";

#[test]
fn on_one_node_and_on_the_shared_volume() {
    let pinned = deployed(&bench("", STACKS), "registry");
    insta::assert_snapshot!(pinned.text, @r#"
    {
      "version": "3.8",
      "services": {
        "registry": {
          "image": "registry:2.8.3",
          "entrypoint": [
            "/bin/sh",
            "-c",
            "REGISTRY_HTTP_SECRET=$$(cat /run/secrets/registry_http_secret) || exit\nexport REGISTRY_HTTP_SECRET\nexec /entrypoint.sh /etc/docker/registry/config.yml\n"
          ],
          "configs": [
            {
              "source": "registry",
              "target": "/etc/docker/registry/config.yml",
              "mode": 292
            }
          ],
          "secrets": [
            "registry_password",
            "registry_password_htpasswd",
            "registry_http_secret"
          ],
          "networks": [
            "traefik"
          ],
          "volumes": [
            {
              "type": "bind",
              "source": "/srv/registry",
              "target": "/var/lib/registry"
            }
          ],
          "healthcheck": {
            "test": [
              "CMD",
              "wget",
              "-q",
              "-T",
              "5",
              "-O",
              "/dev/null",
              "http://127.0.0.1:5000/"
            ],
            "interval": "20s",
            "timeout": "10s",
            "retries": 3,
            "start_period": "60s"
          },
          "stop_grace_period": "30s",
          "deploy": {
            "replicas": 1,
            "placement": {
              "constraints": [
                "node.labels.bp.host == node1"
              ]
            },
            "labels": {
              "traefik.enable": "true",
              "traefik.swarm.network": "traefik",
              "traefik.http.routers.registry.rule": "Host(`registry.lab.internal`)",
              "traefik.http.routers.registry.entrypoints": "websecure",
              "traefik.http.routers.registry.tls": "true",
              "traefik.http.services.registry.loadbalancer.server.port": "5000",
              "bp.spec": "0a1d2a40c877",
              "bp.lab": "lab"
            },
            "resources": {
              "limits": {
                "memory": "512M"
              }
            },
            "restart_policy": {
              "condition": "any",
              "delay": "5s"
            },
            "update_config": {
              "parallelism": 1,
              "order": "stop-first",
              "failure_action": "rollback",
              "monitor": "30s"
            },
            "rollback_config": {
              "parallelism": 1,
              "order": "stop-first"
            }
          }
        }
      },
      "networks": {
        "traefik": {
          "external": true
        }
      },
      "configs": {
        "registry": {
          "file": "./file-0",
          "name": "registry_registry_aea0394b9c6d",
          "labels": {
            "bp.lab": "lab"
          }
        }
      },
      "secrets": {
        "registry_password": {
          "external": true
        },
        "registry_password_htpasswd": {
          "external": true
        },
        "registry_http_secret": {
          "external": true
        }
      }
    }
    "#);
    assert_eq!(pinned.files, [("file-0".to_owned(), CONFIG.as_bytes().to_vec())]);
    let shared = deployed(&bench(VOLUME, STACKS), "registry");
    let (pinned, shared) = (document(&pinned), document(&shared));
    let (pinned, shared) = (&pinned["services"]["registry"], &shared["services"]["registry"]);
    insta::assert_snapshot!(difference(pinned, shared), @r#"
    "source": "/srv/data/registry",
    "bp.spec": "ff5a2c1f886f",
    "order": "start-first",
    "order": "start-first"
    "#);
}

const CONFIG: &str = include_str!("../stacks/registry/config.yml");

/// The lines of the second that the first does not have.
pub fn difference(first: &Value, second: &Value) -> String {
    let lines = |v: &Value| -> Vec<String> {
        let text = serde_json::to_string_pretty(v).expect("JSON");
        text.lines().map(|l| l.trim().to_owned()).collect()
    };
    let before = lines(first);
    let new: Vec<String> = lines(second).into_iter().filter(|l| !before.contains(l)).collect();
    new.join("\n")
}

#[test]
fn its_own_configuration_is_what_it_reads() {
    let config: Value = serde_yaml::from_str(CONFIG).expect("YAML");
    assert_eq!(config["auth"]["htpasswd"]["path"], "/run/secrets/registry_password_htpasswd");
    assert_eq!(config["storage"]["delete"]["enabled"], true);
    assert_eq!(config["http"]["secret"], Value::Null, "it comes from memory");
    assert_eq!(config["storage"]["cache"], Value::Null);
}

/// Programs that stand in for those of a node, each a script of shell, in a folder of their own.
pub struct Programs(tempfile::TempDir);

impl Programs {
    pub fn new(programs: &[(&str, &str)]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in programs {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("executable");
        }
        Self(dir)
    }

    /// Runs a script as a node's shell does: its exit status and the last line that it said.
    pub fn run(&self, script: &str) -> String {
        let mut shell = std::process::Command::new("sh");
        let path = format!("{}:{}", self.0.path().display(), env!("PATH"));
        let out = shell.args(["-c", script]).env("PATH", path).env("HERE", self.0.path());
        let out = out.output().expect("sh runs");
        let text = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        let said = text.trim_end().lines().last().unwrap_or_default().to_owned();
        format!("{} {said}", out.status.code().unwrap_or(-1)).trim_end().to_owned()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.0.path().join("log")).unwrap_or_default()
    }
}

/// A docker that has one container, which holds the password.
const DOCKER: &str = "case \"$*\" in
'ps -q --filter label=com.docker.swarm.service.name=registry_registry') echo c0ffee;;
'exec c0ffee cat /run/secrets/registry_password') printf '%s' 'hun\"ter\\2';;
*) echo \"docker does not know $*\" >&2; exit 1;;
esac";

/// A curl that answers as a registry does: it knows one login, and reads it from its input alone.
fn curl(anonymous: &str, known: &str, manifest: &str) -> String {
    format!(
        "echo \"$*\" >>\"$HERE/log\"
case \"$*\" in *--cacert' '/etc/docker/certs.d/registry.lab.internal/ca.crt*) ;; *) exit 60;; esac
case \"$*\" in *-K' '-*) [ \"$(cat)\" = 'user = \"bp:hun\\\"ter\\\\2\"' ] || {{ printf 401; exit; }};; *) printf {anonymous}; exit;; esac
case \"$*\" in *' https://registry.lab.internal/v2/') printf {known};; *-I*' https://registry.lab.internal/v2/bp/pause/manifests/pulled') printf {manifest};; *) exit 3;; esac"
    )
}

#[test]
fn a_change_that_is_kept_is_not_taken_back_by_the_swarm() {
    let stacks = STACKS.replace("registry", "{ registry: { on_failure: keep } }");
    let bench = bench("", &stacks);
    let composes = all(&bench.lab, bench.dir.path()).expect("rendered");
    let action = |name: &str| {
        let compose = composes.iter().find(|c| c.name == name).expect("a stack");
        let text: Value = serde_json::from_str(&compose.text).expect("JSON");
        text["services"][name]["deploy"]["update_config"]["failure_action"].clone()
    };
    assert_eq!((action("traefik"), action("registry")), ("rollback".into(), "pause".into()));
}

#[test]
fn hosts_that_stay_trust_it_no_more() {
    let left = |stacks: &str| crate::stacks::registry::forgotten(&bench("", stacks).lab);
    assert_eq!(left("[traefik]"), "");
    let d = "/etc/docker/certs.d/registry.lab.internal";
    assert_eq!(left(STACKS), format!("rm -f {d}/ca.crt; rmdir {d} 2>/dev/null; "));
}

#[test]
fn the_images_that_a_lab_needs_are_those_that_somebody_can_bring() {
    let bench = bench("", STACKS);
    let needed = crate::needed_images(&bench.lab, bench.dir.path()).expect("a list");
    let images: Vec<&str> = needed.iter().map(|n| n.image.as_str()).collect();
    assert_eq!(images, ["traefik:v3.7.15", "registry:2.8.3"]);
}

#[test]
fn what_starts_before_the_registry_does_not_come_from_it() {
    let from = |image: &str, stacks: &str| {
        let own = format!("images: {{ replace: {{ {image}: registry.lab.internal/{image} }} }}\n");
        let bench = Bench::new(&format!("{LAB}{own}stacks: {stacks}\n"));
        all(&bench.lab, bench.dir.path()).map_or_else(|f| f.message, |_| "taken".to_owned())
    };
    let said = [from("traefik", STACKS), from("registry", STACKS)].join("\n");
    insta::assert_snapshot!(said, @"
    the stack traefik needs the image registry.lab.internal/traefik:v3.7.15 before that registry runs
    the stack registry needs the image registry.lab.internal/registry:2.8.3 before that registry runs
    ");
    assert_eq!(from("redis", "[traefik, registry, redis]"), "taken");
}

#[test]
fn the_question_refuses_who_needs_no_login() {
    let bench = bench("", STACKS);
    let script =
        crate::stacks::registry::question(&bench.lab, "registry_registry", "registry.lab.internal");
    let mut said = String::new();
    for (what, answers) in [
        ("as it should be", ["401", "200", "200"]),
        ("empty", ["401", "200", "404"]),
        ("open to all", ["200", "200", "200"]),
        ("another password", ["401", "401", "200"]),
        ("no router yet", ["404", "404", "404"]),
        ("broken", ["401", "200", "503"]),
    ] {
        let [anonymous, known, manifest] = answers;
        let curl = curl(anonymous, known, manifest);
        let programs = Programs::new(&[("docker", DOCKER), ("curl", &curl)]);
        said.push_str(&format!("{what}: {}\n", programs.run(&script)));
        assert!(!programs.log().contains("hun"), "{}", programs.log());
    }
    let none = Programs::new(&[("docker", "exit 0"), ("curl", "exit 1")]);
    said.push_str(&format!("no task: {}\n", none.run(&script)));
    let away = Programs::new(&[
        ("docker", DOCKER),
        ("curl", "echo 'curl: (6) Could not resolve host' >&2; exit 6"),
    ]);
    said.push_str(&format!("no name: {}\n", away.run(&script)));
    insta::assert_snapshot!(said, @"
    as it should be: 0
    empty: 44 no node has pulled yet what another pushed
    open to all: 1 without the login it answers 200, not 401
    another password: 1 with the login it answers 401, not 200
    no router yet: 1 without the login it answers 404, not 401
    broken: 1 it answers 503 for an image
    no task: 1 its task does not run
    no name: 1 curl: (6) Could not resolve host
    ");
}

#[tokio::test(start_paused = true)]
async fn engines_trust_the_authority_once_it_is_there() {
    let bench = bench("", STACKS).with_swarm().await;
    let step = bench.steps().into_iter().find(|s| s.name == "registry trusted").expect("a step");
    let crate::CheckBy::ShellOf(script) = &step.check else { panic!("a shell check") };
    let (cx, _events) = bench.cx();
    let before = script(cx).await.expect_err("there is no authority");
    assert_eq!(before.reason(), "the authority of the lab is not made yet");
    bench.site.lock().swarm().configs.push(serde_json::json!({
        "ID": "c1", "CreatedAt": "2026-01-01T00:00:00Z",
        "Spec": { "Name": "lab_ca_1", "Data": "Y2VydGlmaWNhdGUK",
            "Labels": { "bp.lab": "lab", "bp.config": "ca" } }
    }));
    let (cx, _events) = bench.cx();
    let script = script(cx).await.expect("a script");
    let text = "i=$(cat; printf x); [ \"$1 $2 $3\" = '-s - /etc/docker/certs.d/registry.lab.internal/ca.crt' ] && [ \"$i\" = \"$(printf 'certificate\\nx')\" ]";
    assert_eq!(Programs::new(&[("cmp", text)]).run(&script), "0");
    let other = Programs::new(&[("cmp", "cat >/dev/null; exit 1")]);
    assert_eq!(other.run(&script), "1 the engine does not trust the authority of the lab");
}
