//! The stack traefik: what is deployed, its certificates, and how it is asked.

use super::bench::{Bench, LAB};
use super::stubs::{is_sound, rendered};
use crate::secrets::Source;
use crate::shipped::{self, Shipped};

fn bench(stacks: &str) -> Bench {
    let files: [(&str, &[u8]); 2] = [("cert.pem", b"a certificate"), ("key.pem", b"a key")];
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
    assert_eq!(compose.files.iter().filter(|(_, b)| b == b"a certificate").count(), 1);
    assert!(!compose.text.contains("a key") && !compose.text.contains("tls_traefik"));
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
    assert_eq!(names(&format!("{lab}{stacks}")), "lab.test *.lab.test a.b.lab.test images.example.org");
    let short = LAB.replace("name: lab", "name: lab\ndomain: test");
    let stacks = "stacks: [traefik, registry]";
    assert_eq!(names(&format!("{short}{stacks}")), "registry.test traefik.test");
}
