//! Phase images.

use super::bench::{Bench, LAB};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;

/// An archive as `docker save` writes it: tags and the ids of their images.
pub fn archive(images: &[(&str, &str)], zipped: bool) -> Vec<u8> {
    let entries: Vec<Value> = images
        .iter()
        .map(|(tag, id)| {
            json!({ "Config": format!("blobs/sha256/{id}"), "RepoTags": [tag], "Layers": [] })
        })
        .collect();
    files(&[("manifest.json", json!(entries).to_string().as_bytes())], zipped)
}

fn files(files: &[(&str, &[u8])], zipped: bool) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).expect("packed");
    }
    let bytes = builder.into_inner().expect("packed");
    if !zipped {
        return bytes;
    }
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    zip.write_all(&bytes).expect("zipped");
    zip.finish().expect("zipped")
}

/// What `docker load` makes of an archive.
pub fn content(path: &Path) -> BTreeMap<String, String> {
    read(&std::fs::read(path).expect("the archive"))
}

/// The same of its bytes.
pub fn read(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).expect("unzipped");
    } else {
        plain = bytes.to_vec();
    }
    let mut images = BTreeMap::new();
    for entry in tar::Archive::new(plain.as_slice()).entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        if entry.path().expect("a path").ends_with("manifest.json") {
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            let manifest: Vec<Value> = serde_json::from_str(&text).expect("JSON");
            for image in manifest {
                let id = image["Config"].as_str().expect("a config").replace("blobs/sha256/", "");
                let id = id.trim_end_matches(".json");
                let tag = image["RepoTags"][0].as_str().expect("a tag").to_owned();
                images.insert(tag, format!("sha256:{id}"));
            }
        }
    }
    images
}

const WEB: &str = "
services:
  web:
    image: example/web:1
    deploy: { placement: { constraints: ['node.role == worker', 'node.hostname != worker2'] } }
";

fn bench(archives: &str, files: &[(&str, &[u8])]) -> Bench {
    let blueprint = format!(
        "{LAB}\nimages: {{ archives: [{archives}] }}\nstacks: [{{ web: {{ file: web.yml }} }}]\n"
    );
    let all: Vec<(&str, &[u8])> =
        files.iter().copied().chain([("web.yml", WEB.as_bytes())]).collect();
    Bench::with(&blueprint, &all).with_engines().only(&["images"])
}

#[tokio::test(start_paused = true)]
async fn an_image_is_loaded_only_where_a_task_may_need_it() {
    let bench = bench("web.tar", &[("web.tar", &archive(&[("example/web:1", "11")], false))]);
    insta::assert_snapshot!(bench.transcript().await, @"
    + images / web.tar / worker1: it is not loaded
    ---
    worker1$ docker load -q <web.tar
    ---
    applied 1, already true 0, failed 0
    ");
    insta::assert_snapshot!(bench.transcript().await, @"applied 0, already true 1, failed 0");
}

#[tokio::test(start_paused = true)]
async fn an_image_that_no_stack_uses_is_loaded_everywhere() {
    let bench = bench("other.tar.gz", &[("other.tar.gz", &archive(&[("x/other:2", "22")], true))]);
    insta::assert_snapshot!(bench.transcript().await, @"
    + images / other.tar.gz / node1: it is not loaded
    + images / other.tar.gz / node2: it is not loaded
    + images / other.tar.gz / node3: it is not loaded
    + images / other.tar.gz / worker1: it is not loaded
    + images / other.tar.gz / worker2: it is not loaded
    ---
    node1$ docker load -q <other.tar.gz
    node2$ docker load -q <other.tar.gz
    node3$ docker load -q <other.tar.gz
    worker1$ docker load -q <other.tar.gz
    worker2$ docker load -q <other.tar.gz
    ---
    applied 5, already true 0, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn another_image_of_the_same_tag_is_replaced() {
    let bench = bench("web.tar", &[("web.tar", &archive(&[("example/web:1", "11")], false))]);
    bench.site.guest("worker1", |g| {
        g.images.insert("example/web:1".to_owned(), "sha256:old".to_owned());
    });
    insta::assert_snapshot!(bench.transcript().await, @"
    + images / web.tar / worker1: example/web:1 is another image
    ---
    worker1$ docker load -q <web.tar
    ---
    applied 1, already true 0, failed 0
    ");
}

#[test]
fn the_digest_of_containerds_store_counts_too() {
    let manifest = json!([{ "Config": "blobs/sha256/11", "RepoTags": ["example/web:1"] }]);
    let index = json!({ "manifests": [{ "digest": "sha256:99" }] });
    let bytes = files(
        &[
            ("./manifest.json", manifest.to_string().as_bytes()),
            ("index.json", index.to_string().as_bytes()),
        ],
        false,
    );
    let bench = bench("web.tar", &[("web.tar", &bytes)]);
    let crate::CheckBy::Shell(script) = &bench.steps()[0].check else { panic!("a shell check") };
    insta::assert_snapshot!(script, @"
    all=$(docker image inspect -f '{{.Id}}' example/web:1 2>/dev/null) || { echo 'it is not loaded'; exit 1; }
    set -- $all
    case $1 in sha256:11|sha256:99) shift;; *) echo example/web:1 is another image; exit 1;; esac
    ");
}

#[test]
fn what_is_no_archive_is_refused_before_any_host_is_touched() {
    let wrong: [(&str, Vec<u8>); 5] = [
        ("empty", Vec::new()),
        ("no archive", b"this is no archive, whatever its name says".repeat(30)),
        ("no manifest", files(&[("hello", b"world")], false)),
        ("no JSON", files(&[("manifest.json", b"[oops")], false)),
        ("no tag", files(&[("manifest.json", b"[{\"Config\": \"c.json\"}]")], false)),
    ];
    let mut said = String::new();
    for (what, bytes) in wrong {
        let bench = bench("web.tar", &[("web.tar", &bytes)]);
        let failure = crate::plan(&bench.lab, bench.dir.path(), &bench.site.world()).err();
        let message = failure.expect("refused").message;
        let message = message.replace(&bench.dir.path().display().to_string(), "");
        said.push_str(&format!("{what}: {message}\n"));
    }
    insta::assert_snapshot!(said, @"
    empty: read the image archive `/web.tar`: failed to fill whole buffer
    no archive: read the image archive `/web.tar`: it is no tar archive
    no manifest: read the image archive `/web.tar`: it holds no manifest.json
    no JSON: read the image archive `/web.tar`: its manifest.json: expected value at line 1 column 2
    no tag: read the image archive `/web.tar`: it names no image: save it by its tag
    ");
}

#[test]
fn what_starts_before_the_registry_does_not_come_from_it() {
    let stacks =
        "stacks: [etcd, { stolon: { databases: { shop: {} } } }, traefik, registry, portainer]";
    let replace = "images: { replace: { traefik: registry.lab.test/traefik } }";
    let bench = Bench::new(&format!("{LAB}\ndomain: lab.test\n{replace}\n{stacks}\n"));
    let early = crate::before_the_registry(&bench.lab, bench.dir.path()).expect("read");
    insta::assert_snapshot!(early.into_iter().collect::<Vec<_>>().join(" "), @"bp.invalid/pause quay.io/coreos/etcd registry sorintlab/stolon traefik");
}
