//! Every stack that bp ships, for 1, 3 and 5 members: what it publishes, holds and asks for.

use super::bench::{Bench, LAB};
use super::traefik::{CERTIFICATE, KEY};
use crate::compose::{Compose, all};
use crate::plan;
use crate::schema;
use crate::secrets::Source;
use crate::shipped::of;
use crate::step::CheckBy;
use blueprints::{Stack, StackKind};
use serde_json::Value;
use std::collections::BTreeSet;

/// A lab with all of them; three and five members have a volume to share.
fn bench(members: usize) -> Bench {
    bench_with(members, "internal")
}

/// With certificates from there.
fn bench_with(members: usize, tls: &str) -> Bench {
    let volume = match members {
        1 => String::new(),
        n => format!("gluster: {{ docker: {{ replica: {n}, mount: /srv/docker }} }}\n"),
    };
    let blueprint = format!(
        "
version: 1
name: lab
domain: lab.test
provider: {{ libvirt: {{ subnet: 10.20.30.0/24, template: debian-13.qcow2 }} }}
hosts: {{ 'node{{1..{members}}}': {{ role: manager, brick: /srv/gluster }} }}
engine: {{ source: distro }}
{volume}stacks:
  - etcd: {{ members: {members} }}
  - stolon:
      members: {members}
      databases: {{ gitlab: {{ extensions: [pg_trgm, btree_gist] }}, shop: {{ owner: seller }} }}
  - redis: {{ members: {members} }}
  - traefik: {{ tls: {tls} }}
  - registry
  - gitlab
  - portainer
"
    );
    Bench::with(&blueprint, &[("cert.pem", CERTIFICATE), ("key.pem", KEY)])
}

/// The stacks and what is deployed of them.
fn rendered(bench: &Bench) -> Vec<(Stack, Compose)> {
    let composes = all(&bench.lab, bench.dir.path()).unwrap_or_else(|f| panic!("{}", f.message));
    bench.lab.stacks.iter().cloned().zip(composes).collect()
}

fn document(compose: &Compose) -> Value {
    serde_json::from_str(&compose.text).expect("JSON")
}

/// The services of a document, with their names.
fn services(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    document["services"].as_object().expect("a map").iter()
}

/// All stacks for all numbers of members, and for all sources of certificates.
fn each(test: impl Fn(&Bench, &Stack, &Compose, &str)) {
    let acme = "{ acme: { email: ops@example.com } }";
    let files = "{ files: { cert: cert.pem, key: key.pem } }";
    let labs = [1, 3, 5].map(|n| (n, "internal")).into_iter();
    for (members, tls) in labs.chain([(1, acme), (3, acme), (3, files)]) {
        let bench = bench_with(members, tls);
        for (stack, compose) in rendered(&bench) {
            test(&bench, &stack, &compose, &format!("{} of {members}, {tls}", stack.name));
        }
    }
}

#[test]
fn what_is_deployed() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("shipped");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // Whatever changes is seen as it is; the digests of it need not be.
    settings.add_filter(r"bp\.spec: '?[0-9a-f]{12}'?", "bp.spec: [digest]");
    settings.add_filter(r"_[0-9a-f]{12}\n", "_[digest]\n");
    for members in [1, 3, 5] {
        for (stack, compose) in rendered(&bench(members)) {
            let text = serde_yaml::to_string(&document(&compose)).expect("YAML");
            let name = format!("{}_{members}", stack.name);
            settings.bind(|| insta::assert_snapshot!(name, text));
        }
    }
}

#[test]
fn what_is_made_for_a_stack_can_be_read_from_its_tasks() {
    each(|bench, stack, compose, what| {
        for secret in of(&bench.lab, stack).expect("shipped").secrets {
            // Nobody but bp signs with it.
            if secret.source != Source::AuthorityKey {
                let used = compose.outside.iter().any(|o| o.name == secret.name);
                assert!(used, "{what}: {} is in no service", secret.name);
            }
        }
    });
}

/// Two hosts that make one folder of a volume at one time get an input/output error of GlusterFS.
#[test]
fn what_lies_on_the_volume_is_made_by_one_host_at_a_time() {
    let mut made = BTreeSet::new();
    for step in bench_with(3, "{ acme: { email: ops@example.com } }").steps() {
        let CheckBy::Shell(check) = &step.check else { continue };
        if check.contains("/srv/docker") {
            assert!(step.alone.is_some(), "{} on {}", step.name, step.on.host());
            made.insert(step.name);
        }
    }
    let made = made.into_iter().collect::<Vec<_>>().join(", ");
    assert_eq!(made, "gitlab data, portainer data, registry data, stolon backups, traefik data");
}

#[test]
fn docker_takes_all_of_it_and_ignores_nothing() {
    each(|_, _, compose, what| {
        let document = document(compose);
        let said = schema::check(document.as_object().expect("a map"));
        assert_eq!(said.refused(), None, "{what}");
        assert!(compose.remarks.is_empty() && said.remarks.is_empty(), "{what}: {said:?}");
    });
}

#[test]
fn nothing_is_published_but_what_the_blueprint_knows_of() {
    each(|_, stack, compose, what| {
        let document = document(compose);
        let mut published = BTreeSet::new();
        for (name, service) in services(&document) {
            for port in service["ports"].as_array().into_iter().flatten() {
                assert!(port.is_object(), "{what}: {name} has a short port");
                let number = port["published"].as_u64().expect("a port of docker's choice");
                assert_eq!(port["protocol"].as_str().unwrap_or("tcp"), "tcp", "{what}: {name}");
                published.insert((number as u16, port["mode"] == "host"));
            }
        }
        let known: BTreeSet<(u16, bool)> = stack.kind.ports().into_iter().collect();
        assert_eq!(published, known, "{what}");
    });
}

#[test]
fn networks_are_those_that_the_blueprint_knows_of() {
    each(|_, stack, compose, what| {
        let document = document(compose);
        let networks = document["networks"].as_object().into_iter().flatten();
        let mut used = BTreeSet::new();
        for (name, network) in networks {
            let name = network["name"].as_str().unwrap_or(name);
            // One that is not external is the stack's alone.
            if network["external"] == true && name != "host" {
                used.insert(name.to_owned());
            }
        }
        let known: BTreeSet<String> =
            stack.kind.networks().iter().map(|n| (*n).to_owned()).collect();
        assert_eq!(used, known, "{what}");
    });
}

#[test]
fn secrets_are_made_outside_and_stand_nowhere() {
    for members in [1, 3, 5] {
        let bench = bench(members);
        let mut made = BTreeSet::new();
        for (stack, compose) in rendered(&bench) {
            let what = format!("{} of {members}", stack.name);
            let shipped = of(&bench.lab, &stack).expect("bp ships it");
            for secret in &shipped.secrets {
                made.insert(secret.name.clone());
                made.insert(format!("{}_htpasswd", secret.name));
            }
            let document = document(&compose);
            for (name, secret) in document["secrets"].as_object().into_iter().flatten() {
                assert_eq!(secret["external"], true, "{what}: {name}");
                assert!(made.contains(name), "{what}: nobody makes the secret {name}");
            }
            for (name, service) in services(&document) {
                for (key, value) in environment(service) {
                    let secret = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "_KEY"];
                    let names = secret.iter().any(|s| key.to_uppercase().contains(s));
                    let file = value.starts_with("/run/secrets/");
                    assert!(!names || file, "{what}: {name} has {key} in its environment");
                }
            }
            let files = compose.files.iter().map(|(_, b)| String::from_utf8_lossy(b).into_owned());
            for text in files.chain([compose.text.clone()]) {
                assert!(!text.contains("PRIVATE KEY"), "{what}");
            }
        }
    }
}

/// A service's environment, however it is written.
fn environment(service: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    match &service["environment"] {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), text(v))).collect(),
        Value::Array(list) => {
            let pair = |line: String| {
                line.split_once('=')
                    .map_or((line.clone(), String::new()), |(k, v)| (k.to_owned(), v.to_owned()))
            };
            list.iter().map(|line| pair(text(line))).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_service_is_bounded_and_comes_back() {
    each(|bench, _, compose, what| {
        let document = document(compose);
        for (name, service) in services(&document) {
            let (deploy, what) = (&service["deploy"], format!("{what}: {name}"));
            assert!(deploy["resources"]["limits"]["memory"].is_string(), "{what}: memory");
            let update = &deploy["update_config"];
            let action = update["failure_action"].as_str();
            assert!(["rollback", "pause"].map(Some).contains(&action), "{what}: failure_action");
            assert!(update["order"].is_string(), "{what}: the order of an update");
            assert!(deploy["restart_policy"]["condition"].is_string(), "{what}: restart_policy");
            assert!(service["stop_grace_period"].is_string(), "{what}: stop_grace_period");
            let image = service["image"].as_str().expect("an image");
            let tag = image.rsplit('/').next().and_then(|last| last.split_once(':'));
            assert!(tag.is_some_and(|(_, tag)| tag != "latest"), "{what}: {image}");
            for constraint in deploy["placement"]["constraints"].as_array().into_iter().flatten() {
                let text = constraint.as_str().expect("a text");
                let host = text.strip_prefix("node.labels.bp.host == ");
                let known = host.is_some_and(|h| bench.lab.host(h).is_some());
                assert!(known || text == "node.role == manager", "{what}: {text}");
            }
        }
    });
}

#[test]
fn every_stack_says_what_healthy_means() {
    each(|bench, stack, _, what| {
        let shipped = of(&bench.lab, stack).expect("bp ships it");
        let asks = stack.kind == StackKind::Authority || !shipped.health.is_empty();
        assert!(asks, "{what}");
    });
}

/// A member each on a host each.
#[test]
fn members_are_pinned_to_their_hosts() {
    each(|bench, stack, compose, what| {
        let members = match &stack.kind {
            StackKind::Etcd(members) | StackKind::Redis(members) => members,
            StackKind::Stolon(stolon) => &stolon.members,
            _ => return,
        };
        assert_eq!(members.len(), bench.lab.hosts.len(), "{what}");
        for member in members {
            let pinned = format!("node.labels.bp.host == {member}");
            let here: Vec<&str> = compose
                .services
                .iter()
                .filter(|s| s.constraints.contains(&pinned))
                .map(|s| s.name.as_str())
                .collect();
            assert!(here.iter().any(|s| s.ends_with(member.as_str())), "{what}: {member} {here:?}");
        }
    });
}

#[test]
fn a_given_secret_that_no_stack_uses_is_remarked() {
    let remarks = |secrets: &str| {
        let blueprint = format!("{LAB}\nstacks: [redis]\nsecrets: {{ {secrets} }}\n");
        let bench = Bench::new(&blueprint);
        plan(&bench.lab, bench.dir.path(), &bench.site.world()).expect("a plan").remarks
    };
    assert_eq!(remarks("redis_password: { command: pass redis }"), Vec::<String>::new());
    assert_eq!(
        remarks("redis_pasword: { command: pass redis }"),
        [
            "no stack uses what `secrets` gives: redis_pasword; they use ca_key, redis_password, tls_redis"
        ]
    );
}
