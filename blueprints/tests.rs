//! Blueprints in, diagnostics out.

use super::*;
use std::collections::BTreeMap;
use std::io;

/// A world of a few files, one environment variable and no home but `/home/me`.
#[derive(Default)]
pub(crate) struct World(BTreeMap<PathBuf, Vec<u8>>);

impl World {
    pub fn with(mut self, path: &str, content: &str) -> Self {
        self.0.insert(path.into(), content.into());
        self
    }
}

impl Outside for World {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        let pattern = pattern.to_string_lossy();
        let (start, end) = pattern.split_once('*').unwrap_or((&pattern, ""));
        let matches = |path: &&PathBuf| {
            let path = path.to_string_lossy();
            if pattern.contains('*') {
                path.starts_with(start) && path.ends_with(end)
            } else {
                path == pattern
            }
        };
        Ok(self.0.keys().filter(matches).cloned().collect())
    }

    fn env_is_set(&self, name: &str) -> bool {
        name == "IS_SET"
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/me".into())
    }
}

/// A folder of this crate as the world, under `/lab`.
fn folder(name: &str) -> World {
    fn add(world: &mut World, real: &Path, shown: &Path) {
        for entry in std::fs::read_dir(real).expect("the folder is there") {
            let path = entry.expect("it can be read").path();
            let shown = shown.join(path.file_name().expect("it has a name"));
            if path.is_dir() {
                add(world, &path, &shown);
            } else {
                world.0.insert(shown, std::fs::read(&path).expect("it can be read"));
            }
        }
    }
    let mut world = World::default();
    add(&mut world, &Path::new(env!("CARGO_MANIFEST_DIR")).join(name), Path::new("/lab"));
    world
}

/// What is said about a file, as it is shown.
fn shown(bytes: &[u8], file: &str, world: &World) -> String {
    let text = String::from_utf8_lossy(bytes);
    match read(bytes, file, Path::new("/lab"), world) {
        Ok((_, warnings)) => render(&warnings, &text, file, false),
        Err(problems) => render(&problems, &text, file, false),
    }
}

/// Nothing is said against these.
#[test]
fn what_is_right_passes() {
    let world = World::default()
        .with("/lab/host.yml", "services: { a: { image: a, ports: [{ target: 1, published: 80, mode: host }] } }")
        .with("/lab/own.yml", "services: { a: { image: a, deploy: { placement: { constraints: ['node.labels.zone == ${ZONE}', node.labels.x != y, node.platform.os == linux] } } } }")
        .with("/lab/pinned.yml", "services: { a: { image: a, deploy: { placement: { constraints: [node.labels.bp.host == a] } } } }")
        .with("/lab/key", "");
    for body in [
        "hosts: { a: { role: manager, address: 192.0.2.1 } }",
        "hosts: { a: { role: manager, address: a.example.net, ssh: { user: ops, sudo: true, port: 2222 } } }",
        "provider: existing\nhosts: { a: { role: manager, address: '2001:db8::1' } }",
        "hosts:\n  w{01..01}: { address: 192.0.2.1, role: none }\nphases: [machines]",
        "hosts: { a: &a { role: manager, address: 192.0.2.1 }, b: { <<: *a, role: worker, address: 192.0.2.2 } }",
        "hosts: { a: { role: manager, address: 192.0.2.1 } }\nengine:\nswarm:\nstacks:\nssh:\nimages:\n",
        "hosts: { a: { role: manager, address: 192.0.2.1 } }\nstacks: [{ a: { file: host.yml } }, { b: { file: host.yml } }, { c: { file: own.yml } }, { d: { file: pinned.yml } }, { etcd: }]",
        "hosts: { a: { role: manager, address: 192.0.2.1, ssh: { jump: b1 } }, b: { address: 192.0.2.1, ssh: { jump: b2 } } }\nssh: { key: ./key }",
    ] {
        let text = format!("version: 1\nname: lab\n{body}\n");
        let (_, warnings) = lab(&text, &world);
        assert!(warnings.is_empty(), "{}", render(&warnings, &text, "lab.yml", false));
    }
}

#[test]
fn hosts_own_words_win_field_by_field() {
    let world = World::default().with("/lab/key", "").with("/lab/other", "");
    let (lab, _) = lab(
        "version: 1
name: lab
provider: { libvirt: { subnet: 10.20.30.0/24, template: { volume: base } } }
machine: { cpus: 4, memory: 1.5GiB }
ssh: { user: ops, key: key, port: 2222, jump: bastion }
hosts:
  w{08..10}: { machine: { memory: 8GiB }, ssh: { key: other } }
  old: { role: manager, provider: existing, address: 192.0.2.1, ssh: { user: root, jump: { address: 192.0.2.9 } } }
",
        &world,
    );
    let names: Vec<&str> = lab.hosts.iter().map(|h| h.name.as_str()).collect();
    assert_eq!(names, ["w08", "w09", "w10", "old"]);
    let made = &lab.hosts[0];
    assert_eq!(made.machine, Machine { cpus: 4, memory: 8 << 30, disk: 20 << 30 });
    assert_eq!((made.ssh.user.as_str(), made.ssh.port), ("ops", 2222));
    assert_eq!(made.ssh.key, Some("/lab/other".into()));
    assert_eq!(made.ssh.sudo, Sudo::Passwordless);
    let old = &lab.hosts[3];
    assert_eq!((old.ssh.user.as_str(), &old.ssh.sudo), ("root", &Sudo::No));
    assert_eq!(old.ssh.key, Some("/lab/key".into()));
    assert_eq!(old.ssh.jump.as_ref().map(|j| j.address.as_str()), Some("192.0.2.9"));
    assert_eq!(lab.ssh_key, Some("/lab/key".into()));
    let libvirt = lab.libvirt.expect("it is declared");
    assert_eq!((libvirt.network.as_str(), lab.domain.as_str()), ("lab", "lab.internal"));
}

/// Every file of `broken/` has its snapshot beside it, caret and all.
#[test]
fn broken_blueprints() {
    let world = folder("broken");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("broken/said");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let blueprint = |path: &&PathBuf| {
        path.parent() == Some(Path::new("/lab")) && path.extension().is_some_and(|e| e == "yml")
    };
    for path in world.0.keys().filter(blueprint) {
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let said = shown(&world.0[path], &format!("{name}.yml"), &world);
        assert!(!said.is_empty(), "nothing is said about {name}");
        settings.bind(|| insta::assert_snapshot!(name, said));
    }
}

/// The lab of a blueprint that must be right.
pub(crate) fn lab(text: &str, world: &World) -> (Lab, Vec<Diagnostic>) {
    read(text.as_bytes(), "lab.yml", Path::new("/lab"), world)
        .unwrap_or_else(|problems| panic!("{}", render(&problems, text, "lab.yml", false)))
}

#[test]
fn the_starter_passes() {
    let (lab, warnings) = lab(STARTER, &World::default());
    assert_eq!(warnings, []);
    assert_eq!(
        lab.managers().map(|h| h.name.as_str()).collect::<Vec<_>>(),
        ["node1", "node2", "node3"]
    );
}

#[test]
fn the_shipped_lab_passes() {
    let world = World::default().with("/lab/../target/images/etcd.tar", "");
    let (lab, warnings) = lab(include_str!("lab.yml"), &world);
    assert_eq!(warnings, []);
    assert_eq!(lab.images.archives, [PathBuf::from("/lab/../target/images/etcd.tar")]);
    let members = ["node1", "node2", "node3"].map(str::to_owned).to_vec();
    assert!(lab.stacks.iter().any(|s| s.kind == StackKind::Etcd(members.clone())));
    assert_eq!(lab.hosts[2].labels["placepoint"], "rp");
    assert_eq!(lab.hosts[0].machine, Machine { cpus: 1, memory: 2 << 30, disk: 10 << 30 });
}

/// The language by example, with all that this version reads.
const EXAMPLE: &str = include_str!("example.yml");

/// The world that the example names.
fn example_world() -> World {
    World::default()
        .with("/home/me/.ssh/id_ed25519", "")
        .with("/lab/images/etcd.tar", "")
        .with("/lab/my-hardening.yml", "")
        .with("/lab/stacks/grafana.yml", GRAFANA)
}

const GRAFANA: &str = "
services:
  grafana:
    image: grafana/grafana:12.0.0
    ports: [3000:3000]
    networks: [traefik]
    deploy: { placement: { constraints: [node.labels.placepoint == rp, node.role == manager] } }
networks:
  traefik: { external: true }
";

#[test]
fn the_example_is_read_whole() {
    let (lab, warnings) = lab(EXAMPLE, &example_world());
    assert_eq!(warnings, []);
    insta::with_settings!({snapshot_path => "broken/said", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_debug_snapshot!("example", lab);
    });
}

/// A file of this many bytes is answered, whatever is in it.
#[test]
fn files_that_are_none() {
    let world = World::default();
    let large = vec![b'a'; 10 << 20];
    insta::assert_snapshot!(shown(&large, "lab.yml", &world), @"lab.yml:1:1: error: the file has 10485760 bytes, more than 1 MiB");
    let mut bom = vec![0xef, 0xbb, 0xbf];
    bom.extend(STARTER.as_bytes());
    insta::assert_snapshot!(shown(&bom, "lab.yml", &world), @"");
    insta::assert_snapshot!(shown(b"\xff\xfe\x00", "lab.yml", &world), @"lab.yml:1:1: error: the file is UTF-16; save it as UTF-8");
    insta::assert_snapshot!(shown(b"", "lab.yml", &world), @r"
    lab.yml:1:1: error: the blueprint is empty
      = help: `bp init` writes one to start from
    ");
    insta::assert_snapshot!(shown(b"version: 1\n~: 3\n", "lab.yml", &world), @r"
    lab.yml:2:1: error: expected a key, found nothing
      |
    2 | ~: 3
      | ^
    ");
    insta::assert_snapshot!(shown(b"version: 1\n[a]: 3\n", "lab.yml", &world), @r"
    lab.yml:2:1: error: expected a key of plain text
      |
    2 | [a]: 3
      | ^
    ");
    insta::assert_snapshot!(shown(b"version: .inf\n", "lab.yml", &world), @r"
    lab.yml:1:10: error: value `.inf` is not a finite number
      |
    1 | version: .inf
      |          ^^^^
    ");
    insta::assert_snapshot!(shown(b"<<: 3\n", "lab.yml", &world), @r"
    lab.yml:1:5: error: YAML merge value must be mapping or sequence of mappings
      |
    1 | <<: 3
      |     ^
    ");
    insta::assert_snapshot!(shown(b"version: !!int x\n", "lab.yml", &world), @r"
    lab.yml:1:16: error: invalid u64
      |
    1 | version: !!int x
      |                ^
    ");
}

/// A line as long as the file may be, and as many problems as fit.
#[test]
fn large_files_are_answered() {
    let world = World::default();
    for unit in [
        "[", "- ", "a: ", "? ", "{a: ", "&a ", "*a ", "'", "x\n", "a: [\n", "\t", "# c\n", "!t ",
        "|\n ",
    ] {
        let text = unit.repeat((1 << 20) / unit.len());
        assert!(read(text.as_bytes(), "lab.yml", Path::new("/lab"), &world).is_err(), "{unit}");
    }
}

/// Files that make the most of a rule: none may take the time or the memory of the machine.
#[test]
fn large_maps_and_lists_are_answered() {
    let world = World::default();
    let head = "version: 1\nname: lab\nhosts: { node1: { role: manager, address: 192.0.2.1 } }\n";
    let body = |prefix: &str, item: &dyn Fn(usize) -> String| {
        let head = if prefix == "hosts:\n" { "version: 1\nname: lab\n" } else { head };
        let mut text = format!("{head}{prefix}");
        for n in 0.. {
            let item = item(n);
            if text.len() + item.len() > 1 << 18 {
                return text;
            }
            text += &item;
        }
        text
    };
    let host = |range: &str, fields: &str| {
        format!("version: 1\nname: lab\nhosts:\n  \"w{range}\": {{ {fields} }}\n")
    };
    let labels: String = (0..50_000).map(|n| format!("l{n}: v, ")).collect();
    let long = "x".repeat(900_000);
    let aliases = "*long, ".repeat(30_000);
    let ports: String = (1..20_000).map(|n| format!("{n}/tcp, ")).collect();
    let many_bricks = host("{1..10000}", "brick: /b");
    let volumes: String = (0..5000).map(|n| format!("  v{n}: {{ mount: /m/{n} }}\n")).collect();
    let names: String = (1..=10_000).map(|n| format!("w{n}, ")).collect();
    let dots = "a.".repeat(2000);
    let records: String = (0..10_000).map(|n| format!("r{n}: {{ cname: *dots }}, ")).collect();
    for text in [
        body("", &|n| format!("field{n}: 1\n")),
        body("", &|n| format!("f{}: 1\n", n % 60_000)),
        body("stacks:\n", &|_| "- web\n".to_owned()),
        body("stacks:\n", &|n| format!("- w{n}: {{ file: a, needs: [w1, wx] }}\n")),
        format!("{}] }}\n", body("stacks:\n- w: { file: a, needs: [", &|n| format!("n{n}, "))),
        body("phases:\n", &|n| format!("- a{n}.yml\n")),
        body("swarm:\n  networks:\n", &|_| "  - {}\n".to_owned()),
        body("swarm:\n  networks:\n", &|n| format!("  - {{ name: n{n}, subnet: 10.0.0.0/8 }}\n")),
        body("engine:\n  pools:\n", &|_| "  - { base: 10.0.0.0/8, size: 24 }\n".to_owned()),
        body("hosts:\n", &|n| format!("  \"A{n}{{1..10000}}\": {{}}\n")),
        body("hosts:\n", &|n| format!("  n{n}: {{ address: 10.0.0.1 }}\n")),
        host("{1..10000}", &format!("labels: {{ {labels} }}")),
        host("{1..10000}", &format!("ports: [{ports}]")),
        host("{1..10000}", &format!("brick: /b, labels: {{ l: v }} }}, x: {{ brick: /{long}")),
        format!("{many_bricks}gluster:\n{volumes}"),
        format!("{many_bricks}gluster: {{ v: {{ mount: /m, replica: 3, hosts: [{names}] }} }}"),
        body("firewall:\n  open:\n", &|n| format!("  - {}/tcp\n", n % 65_535 + 1)),
        body("firewall:\n  open:\n", &|_| "  - 1-65535/tcp\n".to_owned()),
        body("gluster:\n", &|n| format!("  v{n}: {{ mount: /m/{n}, replica: 2 }}\n")),
        body("dns:\n  records:\n", &|n| format!("    r{n}: {{ cname: r{} }}\n", n + 1)),
        body("dns:\n  records:\n", &|n| format!("    r{n}: {{ a: [node{n}, nod{n}] }}\n")),
        body("dns:\n  records:\n", &|_| "    r: { a: [node1], cname: r }\n".to_owned()),
        body("base:\n  packages:\n", &|_| "  - A\n".to_owned()),
        format!("{head}x: &dots {dots}\ndns: {{ records: {{ {records} }} }}\n"),
        host("{1..10000}", &format!("ssh: {{ user: {long} }}")),
        format!("{head}x: &long {long}\ny: [{}]\n", &aliases[..100_000]),
    ] {
        let problems = read(text.as_bytes(), "lab.yml", Path::new("/lab"), &world);
        let problems = problems.expect_err("it is wrong");
        assert!(!problems.is_empty() && problems.len() <= 101, "{}", problems.len());
        render(&problems, &text, "lab.yml", false);
    }
}

#[test]
fn a_thousand_hosts() {
    let mut text = STARTER.replace("\"node{1..3}\":", "\"node{1..3}\": &first");
    let extra: String = (0..1000)
        .map(|n| {
            format!(
                "  w{n}: {{ <<: *first, role: worker, brick: /srv/gluster, ports: [9100/tcp], address: 10.20.{}.{} }}\n",
                32 + n / 200,
                1 + n % 200
            )
        })
        .collect();
    text = text
        .replace("10.20.30.0/24", "10.20.0.0/16")
        .replace("# How to log in;", &format!("{extra}# How to log in;"));
    let names: String = (0..1000).map(|n| format!("w{n}, ")).collect();
    let records: String = (0..1000).map(|n| format!("    r{n}: {{ cname: w{n} }}\n")).collect();
    text += &format!(
        "firewall: {{ open: [443/tcp] }}\ngluster:\n  a: {{ mount: /srv/a, replica: 4 }}\n  b: {{ mount: /srv/b, hosts: [{names}] }}\ndns:\n  records:\n    all: {{ a: [{names}] }}\n{records}"
    );
    let (lab, warnings) = lab(&text, &World::default());
    assert_eq!((lab.hosts.len(), warnings), (1003, vec![]));
    assert_eq!((lab.volumes[1].bricks.len(), lab.dns.records.len()), (1000, 1001));
    assert_eq!((lab.brick_hosts().count(), lab.mount_hosts().count()), (1000, 1003));
    assert_eq!(lab.hosts[1002].labels["zone"], "a");
}

#[test]
fn diagnostics_for_programs_and_for_terminals() {
    let text =
        "version: 1\nname: lab\nhosts: { ö: {}, node1: { address: 192.0.2.1, rol: manager } }\n";
    let problems = read(text.as_bytes(), "lab.yml", Path::new("/lab"), &World::default());
    let problems = problems.expect_err("it is wrong");
    let json = serde_json::to_string(&problems[1]).expect("it is plain data");
    insta::assert_snapshot!(json, @r#"{"severity":"error","message":"unknown field `rol`","file":"lab.yml","line":3,"column":46,"span":{"start":67,"end":70},"label":"did you mean `role`?","help":null}"#);
    insta::assert_snapshot!(render(&problems[1..], text, "lab.yml", true).replace('\x1b', "ESC"), @r"
    lab.yml:3:46: ESC[1;31merrorESC[0m: unknown field `rol`
      ESC[1mESC[94m|ESC[0m
    ESC[1mESC[94m3ESC[0m ESC[1mESC[94m|ESC[0m hosts: { ö: {}, node1: { address: 192.0.2.1, rol: manager } }
      ESC[1mESC[94m|ESC[0m                                              ESC[1mESC[91m^^^ESC[0m ESC[1mESC[91mdid you mean `role`?ESC[0m
    ");
}

/// A text longer than any field needs.
#[test]
fn long_texts_are_refused() {
    let text = format!("version: 1\nname: {}\nhosts: {{ n: {{}} }}\n", "x".repeat(5000));
    let said = shown(text.as_bytes(), "lab.yml", &World::default());
    insta::assert_snapshot!(said.lines().next().unwrap_or_default(), @"lab.yml:2:7: error: a text of 5000 bytes, more than 4096");
}

/// The schema has the fields of the file, and refuses others.
#[test]
fn the_schema_is_of_the_same_fields() {
    let schema = schema();
    let keys: Vec<&String> = schema["properties"].as_object().expect("an object").keys().collect();
    insta::assert_snapshot!(format!("{keys:?}"), @r#"["version", "name", "domain", "provider", "machine", "hosts", "ssh", "base", "dns", "firewall", "engine", "gluster", "swarm", "images", "secrets", "stacks", "phases"]"#);
    insta::assert_snapshot!(schema["required"], @r#"["version","name","hosts"]"#);
    let mut maps = 0;
    let mut look = vec![&schema];
    while let Some(value) = look.pop() {
        if value.get("properties").is_some_and(serde_json::Value::is_object) {
            maps += 1;
            let one_of_variant = value["required"].as_array().is_some_and(|r| r.len() == 1)
                && value["properties"].as_object().is_some_and(|p| p.len() == 1);
            assert!(value["additionalProperties"] == false || one_of_variant, "{value:#}");
        }
        match value {
            serde_json::Value::Array(items) => look.extend(items),
            serde_json::Value::Object(fields) => look.extend(fields.values()),
            _ => {}
        }
    }
    assert!(maps > 20, "{maps} maps");
}

/// Thousands of damaged files: each is answered, and each answer can be shown.
#[test]
fn damaged_files_are_answered() {
    let world = example_world();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "  ",
        "&a ",
        "*a",
        "<<: ",
        "\"",
        "'",
        "#",
        "|",
        "~",
        "é",
        "\0",
        "\t",
        "..",
        "0",
        "-1",
        "99999999999999999999",
        "!!",
        "? ",
        "---\n",
        "node{1..9}",
    ];
    for round in 0..4_000 {
        let mut bytes = [STARTER, EXAMPLE][round % 2].as_bytes().to_vec();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => drop(bytes.drain(at..(at + random(40)).min(bytes.len()))),
                1 => drop(bytes.splice(at..at, pieces[random(pieces.len())].bytes())),
                2 => bytes[at] = random(256) as u8,
                _ => {
                    let piece = bytes[at..(at + random(60)).min(bytes.len())].to_vec();
                    let to = random(bytes.len());
                    drop(bytes.splice(to..to, piece));
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        shown(&bytes, "lab.yml", &world);
    }
}

/// What the stacks of bp's own say of each other and of the hosts.
#[test]
fn services_that_do_not_fit_are_warned_of() {
    let made = "provider: { libvirt: { subnet: 10.20.30.0/24, template: { volume: base } } }\nhosts: { a: { role: manager } }\n";
    let database = "databases: { gitlab: { extensions: [pg_trgm, btree_gist] } }";
    let mail = "smtp: { address: mail.lab.test, user: git, password: mail }";
    let mut said = String::new();
    for (what, more, stacks) in [
        ("a registry that nobody finds", "", "[traefik, registry]".to_owned()),
        (
            "a record of it",
            "dns: { records: { registry: { a: [a] } } }\n",
            "[traefik, registry]".to_owned(),
        ),
        (
            "a wildcard",
            "dns: { server: { powerdns: { url: 'http://10.20.30.1:8081', api_key: { env: IS_SET } } }, records: { '*.lab.internal': { a: [a] } } }\n",
            "[traefik, registry]".to_owned(),
        ),
        (
            "GitLab 17 with mail",
            "",
            format!(
                "[etcd, {{ stolon: {{ {database} }} }}, redis, traefik, {{ gitlab: {{ {mail} }} }}]"
            ),
        ),
        (
            "GitLab 18 on a large node",
            "machine: { memory: 8GiB }\n",
            format!(
                "[etcd, {{ stolon: {{ version: '16', image: 'x:1', {database} }} }}, redis, traefik, {{ gitlab: {{ version: '18' }} }}]"
            ),
        ),
    ] {
        let text = format!("version: 1\nname: lab\n{made}{more}stacks: {stacks}\n");
        said.push_str(&format!(
            "--- {what}\n{}",
            shown(text.as_bytes(), "lab.yml", &World::default())
        ));
    }
    insta::assert_snapshot!(said, @"
    --- a registry that nobody finds
    lab.yml:5:10: warning: nobody answers for `traefik.lab.internal`, the name of `traefik`
      |
    5 | stacks: [traefik, registry]
      |          ^^^^^^^
      |
      = help: `dns: { records: { traefik: { a: [a] } } }`

    lab.yml:5:19: warning: nodes ask `registry.lab.internal` for images, and no record of the lab has this name
      |
    5 | stacks: [traefik, registry]
      |                   ^^^^^^^^
      |
      = help: `dns: { records: { registry.lab.internal: { a: [a] } } }`
    --- a record of it
    lab.yml:6:10: warning: nobody answers for `traefik.lab.internal`, the name of `traefik`
      |
    6 | stacks: [traefik, registry]
      |          ^^^^^^^
      |
      = help: `dns: { records: { traefik: { a: [a] } } }`
    --- a wildcard
    --- GitLab 17 with mail
    lab.yml:5:101: warning: nobody answers for `traefik.lab.internal`, the name of `traefik`
      |
    5 | stacks: [etcd, { stolon: { databases: { gitlab: { extensions: [pg_trgm, btree_gist] } } } }, redis, traefik, { gitlab: { smtp: { addr...
      |                                                                                                     ^^^^^^^
      |
      = help: `dns: { records: { traefik: { a: [a] } } }`

    lab.yml:5:112: warning: GitLab 17 speaks no TLS to Sentinels: Redis goes without it
      |
    5 | stacks: [etcd, { stolon: { databases: { gitlab: { extensions: [pg_trgm, btree_gist] } } } }, redis, traefik, { gitlab: { smtp: { addr...
      |                                                                                                                ^^^^^^
      |
      = help: `swarm: { networks: [{ name: redis, encrypted: true }] }` encrypts what the nodes say to each other

    lab.yml:5:112: warning: GitLab needs 4 GiB of memory, and `a`, which it stays on, has 2.0 GiB
      |
    5 | stacks: [etcd, { stolon: { databases: { gitlab: { extensions: [pg_trgm, btree_gist] } } } }, redis, traefik, { gitlab: { smtp: { addr...
      |                                                                                                                ^^^^^^
      |
      = help: `machine: { memory: 8GiB }` of a node, or of all

    lab.yml:5:112: warning: nobody answers for `gitlab.lab.internal`, the name of `gitlab`
      |
    5 | stacks: [etcd, { stolon: { databases: { gitlab: { extensions: [pg_trgm, btree_gist] } } } }, redis, traefik, { gitlab: { smtp: { addr...
      |                                                                                                                ^^^^^^
      |
      = help: `dns: { records: { gitlab: { cname: traefik } } }`

    lab.yml:5:175: error: a secret itself has no place in a blueprint: this is the name of none of the `secrets`
      |
    5 | ...gitlab: { smtp: { address: mail.lab.test, user: git, password: ***********
      |                                                                   ^^^^
      |
      = help: `smtp: { password: smtp_password }`, and `secrets: { smtp_password: { env: SMTP_PASSWORD } }`
    --- GitLab 18 on a large node
    lab.yml:6:130: warning: nobody answers for `traefik.lab.internal`, the name of `traefik`
      |
    6 | ... gitlab: { extensions: [pg_trgm, btree_gist] } } } }, redis, traefik, { gitlab: { version: '18' } }]
      |                                                                 ^^^^^^^
      |
      = help: `dns: { records: { traefik: { a: [a] } } }`

    lab.yml:6:141: error: `gitlab` needs the extension `amcheck` in its database
      |
    6 | ... extensions: [pg_trgm, btree_gist] } } } }, redis, traefik, { gitlab: { version: '18' } }]
      |                                                                  ^^^^^^
      |
      = help: `- stolon: { databases: { gitlab: { extensions: [pg_trgm, btree_gist, amcheck] } } }`

    lab.yml:6:141: warning: nobody answers for `gitlab.lab.internal`, the name of `gitlab`
      |
    6 | ... extensions: [pg_trgm, btree_gist] } } } }, redis, traefik, { gitlab: { version: '18' } }]
      |                                                                  ^^^^^^
      |
      = help: `dns: { records: { gitlab: { cname: traefik } } }`
    ");
}
