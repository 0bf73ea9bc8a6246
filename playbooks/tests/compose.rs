//! Compose files: what bp adds to them, and what it refuses.

use super::bench::{Bench, LAB};
use crate::compose::{Compose, all, digest};
use serde_json::Value;

const WEB: &str = "
x-web: &web
  image: example/web:1
  environment: { MODE: fast }
services:
  web:
    <<: *web
    configs: [site]
    secrets: [password]
    deploy:
      replicas: 2
      labels: [\"tier=front\", \"bare\"]
      placement: { constraints: [\"node.role == worker\"] }
  agent:
    image: registry.example:5000/agent@sha256:0000000000000000000000000000000000000000000000000000000000000000
    deploy: { mode: global, labels: { tier: back } }
configs: { site: { file: site.conf } }
secrets: { password: { file: password.txt } }
";

fn bench(text: &str) -> Bench {
    let blueprint = format!(
        "{LAB}\nimages: {{ replace: {{ example/web: mirror.test/web }} }}\nstacks: [{{ shop: {{ file: shop.yml }} }}]\n"
    );
    let files: [(&str, &[u8]); 3] =
        [("shop.yml", WEB.as_bytes()), ("site.conf", b"listen 80"), ("password.txt", b"hunter2")];
    let bench = Bench::with(&blueprint, &files);
    // The blueprint's own checks have read the good file; what bp reads later may have changed.
    std::fs::write(bench.dir.path().join("shop.yml"), text).expect("written");
    bench
}

fn read(bench: &Bench) -> Result<Compose, String> {
    let read = all(&bench.lab, bench.dir.path());
    let cut = |m: String| m.replace(&bench.dir.path().display().to_string(), "");
    read.map(|mut all| all.remove(0)).map_err(|f| cut(f.message))
}

fn shop(text: &str) -> Compose {
    read(&bench(text)).unwrap_or_else(|why| panic!("{why}"))
}

fn specs(compose: &Compose) -> Vec<&str> {
    compose.services.iter().map(|s| s.spec.as_str()).collect()
}

#[test]
fn images_are_replaced_labels_added_files_named_by_their_content() {
    let compose = shop(WEB);
    insta::assert_snapshot!(compose.text, @r#"
    {
      "x-web": {
        "image": "example/web:1",
        "environment": {
          "MODE": "fast"
        }
      },
      "services": {
        "web": {
          "deploy": {
            "replicas": 2,
            "labels": {
              "tier": "front",
              "bare": "",
              "bp.spec": "514930de9b28",
              "bp.lab": "lab"
            },
            "placement": {
              "constraints": [
                "node.role == worker"
              ]
            }
          },
          "configs": [
            "site"
          ],
          "secrets": [
            "password"
          ],
          "image": "mirror.test/web:1",
          "environment": {
            "MODE": "fast"
          }
        },
        "agent": {
          "image": "registry.example:5000/agent@sha256:0000000000000000000000000000000000000000000000000000000000000000",
          "deploy": {
            "mode": "global",
            "labels": {
              "tier": "back",
              "bp.spec": "3f39ad0f0baf",
              "bp.lab": "lab"
            }
          }
        }
      },
      "configs": {
        "site": {
          "file": "./file-0",
          "name": "shop_site_251ac9112fb0",
          "labels": {
            "bp.lab": "lab"
          }
        }
      },
      "secrets": {
        "password": {
          "file": "./file-1",
          "name": "shop_password_07145ab7698d",
          "labels": {
            "bp.lab": "lab"
          }
        }
      },
      "version": "3.8"
    }
    "#);
    insta::assert_debug_snapshot!(compose.services, @r#"
    [
        Wanted {
            name: "web",
            image: "mirror.test/web:1",
            spec: "514930de9b28",
            mode: "replicated",
            replicas: Some(
                2,
            ),
            constraints: [
                "node.role == worker",
            ],
        },
        Wanted {
            name: "agent",
            image: "registry.example:5000/agent@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            spec: "3f39ad0f0baf",
            mode: "global",
            replicas: None,
            constraints: [],
        },
    ]
    "#);
    assert_eq!(compose.files[0], ("file-0".to_owned(), b"listen 80".to_vec()));
    assert!(!compose.offline);
}

#[test]
fn a_definition_has_a_new_digest_only_when_it_changes() {
    let first = shop(WEB);
    let same = shop(&format!("# a comment\n{}", WEB.replace("{ MODE: fast }", "\n    MODE: fast")));
    assert_eq!(specs(&same), specs(&first));
    let changed = shop(&WEB.replace("fast", "slow"));
    assert_ne!(specs(&changed)[0], specs(&first)[0]);
    assert_eq!(specs(&changed)[1], specs(&first)[1], "its neighbour did not change");
}

#[test]
fn a_changed_file_is_a_changed_definition() {
    let bench = bench(WEB);
    let first = read(&bench).expect("read");
    std::fs::write(bench.dir.path().join("site.conf"), "listen 81").expect("written");
    let second = read(&bench).expect("read");
    assert_ne!(specs(&first)[0], specs(&second)[0]);
    let name = |c: &Compose| {
        let text: Value = serde_json::from_str(&c.text).expect("JSON");
        text["configs"]["site"]["name"].as_str().expect("a name").to_owned()
    };
    assert_ne!(name(&first), name(&second));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("no YAML", "services: [", ""),
        ("a list", "- a", ""),
        ("no services", "version: '3'", ""),
        ("services are a list", "services: [web]", ""),
        ("a service is a word", "services: { web: nginx }", ""),
        ("no image", "services: { web: { build: . } }", ""),
        ("deploy is a word", "services: { web: { image: a, deploy: fast } }", ""),
        (
            "a missing file",
            "services: { web: { image: a } }\nconfigs: { c: { file: nope.conf } }",
            "",
        ),
        ("a key twice", "services: { web: { image: a } }\nservices: {}", ""),
    ];
    let mut said = String::new();
    for (what, text, _) in cases {
        let error = read(&bench(text)).err().unwrap_or_else(|| "ACCEPTED".to_owned());
        said.push_str(&format!("{what}: {error}\n"));
    }
    insta::assert_snapshot!(said, @r#"
    no YAML: /shop.yml: did not find expected node content at line 2 column 1, while parsing a flow node
    a list: /shop.yml: a compose file is a map
    no services: /shop.yml: it has no services
    services are a list: /shop.yml: services: expected a map, found a list
    a service is a word: /shop.yml: services.web: expected a map, found a text
    no image: /shop.yml: services.web has no image, which a swarm needs
    deploy is a word: /shop.yml: services.web.deploy: expected a map, found a text
    a missing file: /shop.yml: configs.c: read `/nope.conf`: No such file or directory (os error 2)
    a key twice: /shop.yml: duplicate entry with key "services"
    "#);
}

#[test]
fn what_only_the_operators_machine_has_is_refused() {
    let service = |more: &str| format!("services: {{ web: {{ image: a, {more} }} }}");
    let cases = [
        service("environment: { HOME: '${HOME}' }"),
        service("environment: ['TAG=$TAG']"),
        service("command: ['sh', '-c', 'echo $$$HOST']"),
        service("image: 'a:${TAG:-1}'").replace("image: a, ", ""),
        service("labels: { a: '$_x' }"),
        service("env_file: web.env"),
        service("env_file: [web.env]"),
        service("volumes: ['./data:/data']"),
        service("volumes: ['../data:/data:ro']"),
        service("volumes: ['~/data:/data']"),
        service("volumes: [{ type: bind, source: ./data, target: /data }]"),
        service("volumes: [{ type: bind, source: '~/data', target: /data }]"),
        service("configs: [site]") + "\nconfigs: { site: { name: site, file: site.conf } }",
        service("secrets: [password]") + "\nsecrets: { password: { file: password.txt, name: p } }",
    ];
    let said = cases.map(|text| match read(&bench(&text)) {
        Ok(_) => format!("ACCEPTED {text}"),
        Err(why) => why,
    });
    insta::assert_snapshot!(said.join("\n"), @"
    /shop.yml: services.web.environment.HOME: it takes a variable of the environment, and on the manager nobody sets it: write the value out, or `$$` for a dollar sign
    /shop.yml: services.web.environment[0]: it takes a variable of the environment, and on the manager nobody sets it: write the value out, or `$$` for a dollar sign
    /shop.yml: services.web.command[2]: it takes a variable of the environment, and on the manager nobody sets it: write the value out, or `$$` for a dollar sign
    /shop.yml: services.web.image: it takes a variable of the environment, and on the manager nobody sets it: write the value out, or `$$` for a dollar sign
    /shop.yml: services.web.labels.a: it takes a variable of the environment, and on the manager nobody sets it: write the value out, or `$$` for a dollar sign
    /shop.yml: services.web.env_file: the file is not on the manager: write it as `environment`
    /shop.yml: services.web.env_file: the file is not on the manager: write it as `environment`
    /shop.yml: services.web.volumes: `./data` is a folder of the operator's machine: name one of the nodes, from `/` on
    /shop.yml: services.web.volumes: `../data` is a folder of the operator's machine: name one of the nodes, from `/` on
    /shop.yml: services.web.volumes: `~/data` is a folder of the operator's machine: name one of the nodes, from `/` on
    /shop.yml: services.web.volumes: `./data` is a folder of the operator's machine: name one of the nodes, from `/` on
    /shop.yml: services.web.volumes: `~/data` is a folder of the operator's machine: name one of the nodes, from `/` on
    /shop.yml: configs.site: a fixed `name` beside `file`: leave the name to bp, which changes it with the content
    /shop.yml: secrets.password: a fixed `name` beside `file`: leave the name to bp, which changes it with the content
    ");
}

#[test]
fn what_only_looks_like_it_is_not_refused() {
    let compose = shop(
        "
services:
  web:
    image: a
    command: [sh, -c, 'echo $$HOME $${TAG} $$$$ costs 5$']
    env_file:
    volumes:
      - /srv/data:/data
      - data:/more
      - /anonymous
      - { type: bind, source: /srv, target: /srv }
      - { type: volume, source: data, target: /again }
      - { type: tmpfs, target: /tmp }
    configs: [site]
    deploy:
configs: { site: { name: site, external: true } }
volumes: { data: }
",
    );
    let text: Value = serde_json::from_str(&compose.text).expect("JSON");
    let web = &text["services"]["web"];
    // Docker makes one dollar sign of two.
    assert_eq!(web["command"][2], "echo $$HOME $${TAG} $$$$ costs 5$");
    assert_eq!(text["configs"]["site"]["name"], "site");
    // A key without a value is none.
    assert_eq!(web["deploy"]["labels"]["bp.lab"], "lab");
    assert_eq!(compose.services[0].replicas, Some(1));
    let without = shop("services: { web: { image: a } }");
    let null = shop("services: { web: { image: a, deploy: null } }");
    assert_eq!(specs(&null), specs(&without));
}

/// A stack with one service, and what stands beside its services.
fn beside(text: &str) -> String {
    format!("services: {{ web: {{ image: a, configs: [], secrets: [] }} }}\n{text}\n")
}

#[test]
fn what_a_swarm_keeps_of_a_file_is_bounded_and_its_name_too() {
    let password = "secrets: { password: { file: password.txt } }";
    let site = "configs: { site: { file: site.conf } }";
    let cases = [(password, "password.txt", 512_000), (site, "site.conf", 1_024_000)];
    let mut said = Vec::new();
    for (text, file, most) in cases {
        let bench = bench(&beside(text));
        for size in [0, most] {
            std::fs::write(bench.dir.path().join(file), vec![b'a'; size]).expect("written");
            said.push(read(&bench).expect_err("it is refused"));
        }
        std::fs::write(bench.dir.path().join(file), vec![b'a'; most - 1]).expect("written");
        read(&bench).expect("it is taken");
    }
    insta::assert_snapshot!(said.join("\n"), @"
    /shop.yml: secrets.password: the file is empty, which a swarm does not take
    /shop.yml: secrets.password: the file has 512000 bytes: a swarm takes less than 512000
    /shop.yml: configs.site: the file is empty, which a swarm does not take
    /shop.yml: configs.site: the file has 1024000 bytes: a swarm takes less than 1024000
    ");
    let key = "nginx_configuration_of_the_site_in_production_of_the_shop_v2";
    for (kind, file) in [("configs", "site.conf"), ("secrets", "password.txt")] {
        let compose = shop(&beside(&format!("{kind}: {{ {key}: {{ file: {file} }} }}")));
        let names = compose.made_of_files();
        assert!(names.len() == 1 && names[0].len() == 64, "{names:?}");
    }
}

#[test]
fn a_secrets_name_does_not_tell_a_short_one_by_trying_once() {
    let names = shop(WEB).made_of_files();
    let plain = digest(&[b"hunter2"]);
    assert!(names.iter().any(|name| name.starts_with("shop_password_")), "{names:?}");
    assert!(names.iter().all(|name| !name.ends_with(&plain)), "{names:?}");
}

#[test]
fn the_authoritys_key_is_given_to_no_stack() {
    let text = beside("secrets: { ca_key: { external: true } }");
    insta::assert_snapshot!(read(&bench(&text)).expect_err("it is refused"), @"/shop.yml: secrets.ca_key: this is the key of the lab's authority, which signs for every name; one of your own is told by a `name` beside `external`");
    read(&bench(&beside("secrets: { ca_key: { external: true, name: ca_key } }"))).expect("taken");
}

#[test]
fn a_files_mode_is_an_octal_number() {
    let modes = ["0440", "'0440'", "0o440", "288"].map(|mode| {
        let text = format!(
            "
services:
  web:
    image: a
    configs: [{{ source: site, target: /etc/site, mode: {mode} }}]
    secrets: [{{ source: password, mode: {mode} }}, password]
configs: {{ site: {{ file: site.conf }} }}
secrets: {{ password: {{ file: password.txt }} }}
"
        );
        let text: Value = serde_json::from_str(&shop(&text).text).expect("JSON");
        let web = &text["services"]["web"];
        [&web["configs"][0]["mode"], &web["secrets"][0]["mode"]].map(Value::as_u64)
    });
    assert_eq!(modes, [[Some(0o440); 2]; 4]);
}

#[test]
fn the_etcd_of_bp_has_a_member_for_each_host() {
    for (count, members) in [(1, "node1"), (3, "node1, node2, node3")] {
        let blueprint = format!(
            "{LAB}\nswarm: {{ networks: [etcd] }}\nstacks: [{{ etcd: {{ members: {count} }} }}]\n"
        );
        let bench = Bench::new(&blueprint);
        let compose = all(&bench.lab, bench.dir.path()).expect("read").remove(1);
        let names: Vec<&str> = compose.services.iter().map(|s| s.name.as_str()).collect();
        let expected: Vec<String> = members.split(", ").map(|m| format!("etcd-{m}")).collect();
        assert_eq!(names, expected);
        let cluster: Vec<String> =
            members.split(", ").map(|m| format!("etcd-{m}=https://etcd-{m}:2380")).collect();
        let cluster = format!("--initial-cluster={}\"", cluster.join(","));
        assert_eq!(compose.text.matches(&cluster).count(), expected.len(), "{}", compose.text);
        assert!(compose.text.contains("--initial-cluster-token=lab-etcd"));
    }
}
