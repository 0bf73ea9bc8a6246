//! The stack traefik: what is deployed, its certificates, and how it is asked.

use super::bench::{Bench, LAB};
use super::stubs::{Stubs, is_sound, named, rendered};
use crate::secrets::Source;
use crate::shipped::{self, Shipped};
use crate::step::CheckBy;

pub const CERTIFICATE: &[u8] =
    b"-----BEGIN CERTIFICATE-----\nno real one\n-----END CERTIFICATE-----\n";
pub const KEY: &[u8] = b"-----BEGIN PRIVATE KEY-----\nno real one\n-----END PRIVATE KEY-----\n";

fn bench(stacks: &str) -> Bench {
    let files: [(&str, &[u8]); 2] = [("cert.pem", CERTIFICATE), ("key.pem", KEY)];
    Bench::with(&format!("{LAB}\nstacks: {stacks}\n"), &files)
}

fn shipped(bench: &Bench) -> Shipped {
    let stack = bench.lab.stacks.iter().find(|s| s.name == "traefik").expect("traefik");
    shipped::of(&bench.lab, stack).expect("shipped")
}

fn file(shipped: &Shipped, name: &str) -> String {
    shipped.files.iter().find(|(n, _)| *n == name).expect("a file").1.clone()
}

const ACME: &str = "[{ traefik: { tls: { acme: { email: ops@example.com, server: \"https://acme.test/dir\" } } } }, registry]";
const FILES: &str = "[{ traefik: { tls: { files: { cert: cert.pem, key: key.pem } } } }]";

#[test]
fn an_instance_on_every_manager() {
    let bench = bench("[traefik]");
    let compose = rendered(&bench, "traefik");
    is_sound(&compose, &[80, 443]);
    insta::assert_snapshot!("traefik_internal", compose.text);
    let shipped = shipped(&bench);
    insta::assert_snapshot!("traefik_internal_fixed", file(&shipped, "traefik.yml"));
    insta::assert_snapshot!("traefik_internal_dynamic", file(&shipped, "dynamic.yml"));
}

#[test]
fn with_acme_one_instance_that_keeps_its_certificates() {
    let bench = bench(ACME);
    let compose = rendered(&bench, "traefik");
    is_sound(&compose, &[80, 443]);
    insta::assert_snapshot!("traefik_acme", compose.text);
    let shipped = shipped(&bench);
    insta::assert_snapshot!("traefik_acme_fixed", file(&shipped, "traefik.yml"));
    insta::assert_snapshot!("traefik_acme_dynamic", file(&shipped, "dynamic.yml"));
    let (playbook, hosts, _) = shipped.playbook.expect("a playbook");
    assert_eq!((playbook, hosts.join(" ").as_str()), ("traefik.yml", "node1"));
}

#[test]
fn a_certificate_of_the_operators_own() {
    let bench = bench(FILES);
    let compose = rendered(&bench, "traefik");
    is_sound(&compose, &[80, 443]);
    assert_eq!(compose.files.iter().filter(|(_, b)| b == CERTIFICATE).count(), 1);
    assert!(!compose.text.contains("PRIVATE KEY") && !compose.text.contains("tls_traefik"));
    let shipped = shipped(&bench);
    let key = shipped.secrets.iter().find(|s| s.name == "traefik_key").expect("a secret");
    let path = bench.dir.path().join("key.pem");
    assert_eq!(key.source, Source::Given(blueprints::Secret::File(path)));
    insta::assert_snapshot!("traefik_files_dynamic", file(&shipped, "dynamic.yml"));
}

#[test]
fn its_certificate_is_for_the_whole_domain_and_for_names_outside_of_it() {
    let names = |blueprint: &str| {
        let bench = Bench::new(blueprint);
        let shipped = shipped(&bench);
        let certified = shipped.secrets.iter().find_map(|s| match &s.source {
            Source::Certificate(names) => Some(names.join(" ")),
            _ => None,
        });
        certified.expect("a certificate")
    };
    let stacks = "stacks: [traefik, { registry: { host: images.example.org } }, { portainer: { host: a.b.lab.test } }]";
    let lab = LAB.replace("name: lab", "name: lab\ndomain: lab.test");
    assert_eq!(
        names(&format!("{lab}{stacks}")),
        "lab.test *.lab.test a.b.lab.test images.example.org"
    );
    let short = LAB.replace("name: lab", "name: lab\ndomain: test");
    let stacks = "stacks: [traefik, registry]";
    assert_eq!(names(&format!("{short}{stacks}")), "registry.test traefik.test");
}

/// What an instance says that knows these routers, and refuses those.
fn instance(known: &str, refused: &str) -> String {
    let list = |names: &str| {
        let router = |name| {
            format!("{{\"status\":\"enabled\",\"name\":\"{name}@swarm\",\"provider\":\"swarm\"}}")
        };
        format!("[{}]", names.split_whitespace().map(router).collect::<Vec<_>>().join(","))
    };
    let all = list(&format!("{known} {refused}"));
    format!(
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\nOK\n{all}\n\n{}",
        list(refused)
    )
}

/// The script of a check over an instance that says this, with these answers to a client.
fn asked(bench: &Bench, routers: &[&str], said: &str, curl: &str) -> String {
    let stack = bench.lab.stacks.iter().find(|s| s.name == "traefik").expect("traefik");
    let blueprints::StackKind::Traefik(traefik) = &stack.kind else { panic!("traefik") };
    let routers = routers.iter().map(|r| (*r).to_owned()).collect();
    let script = crate::stacks::traefik::question("traefik", traefik, &routers);
    let docker = format!(
        "'ps -q --filter label=com.docker.swarm.service.name=traefik_traefik') echo c1;;\n\
         'exec c1 sh -c a=http://127.0.0.1:8080; '*) cat <<'END'\n{said}\nEND\n;;"
    );
    let trust = match &traefik.tls {
        blueprints::Tls::Acme { server: None, .. } => "",
        blueprints::Tls::Acme { .. } => "-kv ",
        _ => "--cacert /dev/stdin ",
    };
    let curl = format!(
        "'-sS {trust}--max-time 10 -o /dev/null -w '*' --resolve traefik.lab.internal:443:127.0.0.1 \
         https://traefik.lab.internal/api/rawdata') \
         [ \"$(head -n 1)\" = '-----BEGIN CERTIFICATE-----' ] || exit 98; {curl};;"
    );
    Stubs::new().program("docker", &docker).program("curl", &curl).run(&script)
}

#[test]
fn an_instance_is_well_that_answers_knows_all_routers_and_is_trusted() {
    let bench = bench("[traefik]");
    let all = ["registry", "gitlab"];
    let said = |said: &str, curl: &str| asked(&bench, &all, said, curl);
    let well = instance("gitlab registry", "");
    insta::assert_snapshot!(
        [
            said(&well, "echo 401"),
            said(&instance("gitlab", ""), "echo 401"),
            said(&instance("gitlab", "registry"), "echo 401"),
            said("wget: can't connect to remote host (127.0.0.1): Connection refused", "exit 97"),
            said(&well, "echo 200"),
            said(&well, "echo 'curl: (60) SSL certificate problem' >&2; echo 000; exit 60"),
        ].join("\n"),
        @"
    ok
    1: Traefik does not know the router registry
    1: Traefik refuses the router registry
    1: it does not answer: wget: can't connect to remote host (127.0.0.1): Connection refused
    1: the dashboard answers 200 without its password, not 401
    1: traefik.lab.internal: curl: (60) SSL certificate problem
    "
    );
}

#[test]
fn a_certificate_of_others_is_the_one_that_was_given_or_asked_for() {
    let said = |stacks: &str, curl: &str| asked(&bench(stacks), &[], &instance("", ""), curl);
    let wrong =
        "echo 'curl: (60) SSL: no alternative certificate subject name' >&2; echo 000; exit 60";
    let shows = |subject: &str| {
        format!(
            "echo '*  subject: CN={subject}' >&2; echo 401; echo '* Connection #0 left intact' >&2"
        )
    };
    let public = "[{ traefik: { tls: { acme: { email: ops@example.com } } } }]";
    insta::assert_snapshot!(
        [
            said(FILES, "echo 401"),
            said(FILES, wrong),
            said(ACME, &shows("traefik.lab.internal")),
            said(ACME, &shows("TRAEFIK DEFAULT CERT")),
            said(public, "echo 401"),
            said(public, wrong),
        ].join("\n"),
        @"
    ok
    1: traefik.lab.internal: curl: (60) SSL: no alternative certificate subject name
    ok
    1: no certificate has come from the ACME server: the logs of traefik_traefik say why
    ok
    1: traefik.lab.internal: curl: (60) SSL: no alternative certificate subject name
    "
    );
}

#[test]
fn an_acme_server_of_the_labs_own_is_trusted_by_its_authority() {
    let acme = "[{ traefik: { tls: { acme: { email: ops@example.com, server: \"https://acme.test/dir\", ca: cert.pem } } } }]";
    let bench = bench(acme);
    let compose = rendered(&bench, "traefik");
    is_sound(&compose, &[80, 443]);
    assert_eq!(compose.files.iter().filter(|(_, b)| b == CERTIFICATE).count(), 1);
    let place = "\"target\": \"/etc/bp/acme_ca.pem\"";
    assert!(compose.text.contains(place), "{}", compose.text);
    let fixed = file(&shipped(&bench), "traefik.yml");
    assert!(fixed.ends_with("caCertificates: [/etc/bp/acme_ca.pem]\n"), "{fixed}");
}

#[test]
fn an_instance_that_is_not_there_is_missed() {
    let bench = bench("[traefik]");
    let stack = bench.lab.stacks.iter().find(|s| s.name == "traefik").expect("traefik");
    let blueprints::StackKind::Traefik(traefik) = &stack.kind else { panic!("traefik") };
    let script = crate::stacks::traefik::question("traefik", traefik, &Default::default());
    let none = Stubs::new().program("docker", "ps*) ;;");
    assert_eq!(none.run(&script), "1: no instance runs here");
}

#[tokio::test(start_paused = true)]
async fn its_own_gate_is_about_routers_of_bps_stacks_that_run() {
    let files: [(&str, &[u8]); 1] = [("shop.yml", b"services: { web: { image: a } }")];
    let stacks = "stacks: [traefik, registry, portainer, { shop: { file: shop.yml } }]";
    let bench = Bench::with(&format!("{LAB}\n{stacks}\n"), &files).with_swarm().await;
    {
        let mut state = bench.site.lock();
        let swarm = state.swarm();
        let node = swarm.nodes[0].id.clone();
        swarm.nodes[0].labels.insert("bp.host".to_owned(), "node1".to_owned());
        let names = ["registry_registry", "portainer_server", "shop_web", "other_web"];
        swarm.services = names.map(|name| {
            let stack = name.split('_').next();
            serde_json::json!({ "ID": name, "Spec": { "Name": name, "Mode": { "Replicated": { "Replicas": 1 } },
                "Labels": { "com.docker.stack.namespace": stack, "traefik.enable": "true",
                    format!("traefik.http.routers.{name}.rule"): "Host(`a`)" },
                "TaskTemplate": { "ContainerSpec": { "Image": "a" } } } })
        }).to_vec();
        // Portainer starts, or never will.
        swarm.tasks = names.map(|name| {
            let state = if name == "portainer_server" { "starting" } else { "running" };
            serde_json::json!({ "ID": name, "ServiceID": name, "NodeID": node, "DesiredState": "running",
                "Status": { "State": state }, "Spec": { "ContainerSpec": { "Image": "a" } } })
        }).to_vec();
    }
    let (cx, _events) = bench.cx();
    let view = cx.swarm().await.expect("a view");
    let names: Vec<String> = crate::stacks::traefik::running(cx.lab(), &view).into_iter().collect();
    assert_eq!(names, ["registry_registry"]);
}

#[tokio::test(start_paused = true)]
async fn each_stack_waits_until_every_instance_knows_its_routers() {
    let shop = "
services:
  web: { image: a, deploy: { labels: { traefik.enable: 'true', traefik.http.routers.web.rule: 'Host(`a`)', traefik.http.routers.web.tls: 'true', traefik.http.routers.api.rule: 'Host(`b`)' } } }
  off: { image: a, deploy: { labels: [traefik.enable=false, traefik.http.routers.off.rule=Host(`c`)] } }
  none: { image: a, deploy: { replicas: 0, labels: [traefik.enable=true, traefik.http.routers.none.rule=Host(`d`)] } }
  plain: { image: a }
";
    let files: [(&str, &[u8]); 1] = [("shop.yml", shop.as_bytes())];
    let stacks = "stacks: [{ early: { file: shop.yml } }, etcd, traefik, { shop: { file: shop.yml, needs: [traefik] } }]";
    let bench = Bench::with(&format!("{LAB}\n{stacks}\n"), &files).with_swarm().await;
    {
        let mut state = bench.site.lock();
        let swarm = state.swarm();
        let node = swarm.nodes[0].id.clone();
        for node in &mut swarm.nodes {
            node.labels.insert("bp.host".to_owned(), node.hostname.clone());
        }
        swarm.services = vec![
            serde_json::json!({ "ID": "t", "Spec": { "Name": "traefik_traefik", "Mode": { "Global": {} },
            "TaskTemplate": { "ContainerSpec": { "Image": "a" } } } }),
        ];
        swarm.tasks = vec![
            serde_json::json!({ "ID": "t", "ServiceID": "t", "NodeID": node, "DesiredState": "running",
            "Status": { "State": "running" }, "Spec": { "ContainerSpec": { "Image": "a" } } }),
        ];
    }
    let (cx, _events) = bench.cx();
    let steps = bench.steps();
    let mut said = String::new();
    for step in steps.iter().filter(|s| s.name.ends_with(" routers")) {
        let CheckBy::ShellOf(script) = &step.check else { panic!("a script") };
        let asked = match script(cx.clone()).await {
            Ok(script) => {
                let routers =
                    script.lines().filter_map(|l| l.split("does not know the router '").nth(1));
                routers.filter_map(|l| l.split(';').next()).collect::<Vec<_>>().join(" ")
            }
            Err(check) => format!("{check:?}"),
        };
        said += &format!("{} on {}: {asked}\n", step.name, step.on.host());
    }
    insta::assert_snapshot!(said, @"
    shop routers on node1: api web
    shop routers on node2: True
    shop routers on node3: True
    ");
}

#[tokio::test(start_paused = true)]
async fn a_paused_manager_is_asked_only_for_what_it_kept() {
    let bench = Bench::new(&format!("{LAB}\nstacks: [traefik, portainer]\n")).with_swarm().await;
    let service = |name: &str| {
        serde_json::json!({ "ID": name, "Spec": { "Name": name, "Mode": { "Global": {} },
            "TaskTemplate": { "ContainerSpec": { "Image": "a" } } } })
    };
    {
        let mut state = bench.site.lock();
        let swarm = state.swarm();
        for node in &mut swarm.nodes {
            node.labels.insert("bp.host".to_owned(), node.hostname.clone());
            if ["node2", "node3"].contains(&node.hostname.as_str()) {
                node.availability = "pause".to_owned();
            }
        }
        swarm.services = vec![service("traefik_traefik"), service("portainer_agent")];
        let task = |service: &str, node: &str| {
            serde_json::json!({ "ID": service, "ServiceID": service, "NodeID": node, "DesiredState": "running",
                "Status": { "State": "running" }, "Spec": { "ContainerSpec": { "Image": "a" } } })
        };
        let kept = swarm.nodes.iter().find(|n| n.hostname == "node3").expect("a node").id.clone();
        swarm.tasks = vec![task("traefik_traefik", &kept), task("portainer_agent", &kept)];
    }
    let (cx, _events) = bench.cx();
    let mut said = String::new();
    for step in named(&bench, "traefik instance") {
        let CheckBy::ShellOf(script) = &step.check else { panic!("a script") };
        let asked = match script(cx.clone()).await {
            Ok(_) => "asked".to_owned(),
            Err(check) => format!("{check:?}"),
        };
        said += &format!("{}: {asked}\n", step.on.host());
    }
    let view = cx.swarm().await.expect("a view");
    let agents = crate::stacks::portainer::agents(&bench.lab, &view, "portainer_agent");
    said += &format!("{agents} agents of 5");
    insta::assert_snapshot!(said, @"
    node1: asked
    node2: True
    node3: asked
    4 agents of 5
    ");
}
