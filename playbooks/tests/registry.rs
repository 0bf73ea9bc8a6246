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
            "interval": "15s",
            "timeout": "10s",
            "retries": 4,
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
              "bp.spec": "89dd86e80e87",
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
          "name": "registry_registry_aea0394b9c6d"
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
    "bp.spec": "d9161396d550",
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
