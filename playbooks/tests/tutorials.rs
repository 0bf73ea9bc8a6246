//! Compose files in the shape of what is published for swarms: each is taken, or refused with a
//! precise reason.

use super::bench::{Bench, Disk, LAB};
use crate::compose::all;
use std::path::Path;

/// What the files name beside themselves.
const BESIDE: [(&str, &[u8]); 4] = [
    ("db_password.txt", b"a"),
    ("db_root_password.txt", b"b"),
    ("prometheus.yml", b"scrape_configs: []"),
    ("logstash.conf", b"input {}"),
];

/// What a lab's author is told about a file: by `bp check`, then by `bp plan`.
fn said(name: &str, text: &str) -> String {
    let blueprint = format!(
        "{LAB}\nswarm: {{ networks: [traefik-public] }}\nstacks:\n  - {name}: {{ file: {name}.yml }}\n"
    );
    let plain = "services: { web: { image: a } }".as_bytes();
    let file = format!("{name}.yml");
    let files: Vec<(&str, &[u8])> = BESIDE.iter().copied().chain([(&*file, plain)]).collect();
    let bench = Bench::with(&blueprint, &files);
    std::fs::write(bench.dir.path().join(&file), text).expect("written");
    let folder = format!("{}/", bench.dir.path().display());
    let checked = blueprints::read(blueprint.as_bytes(), "bp.yml", bench.dir.path(), &Disk);
    let told = match checked {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    let mut lines: Vec<String> = told.iter().map(|d| format!("check: {}", d.message)).collect();
    match all(&bench.lab, bench.dir.path()) {
        Err(failure) => lines.extend(failure.message.lines().map(|l| format!("plan: {l}"))),
        Ok(composes) => {
            let compose = &composes[0];
            lines.extend(compose.remarks.iter().map(|r| format!("plan: note: {r}")));
            let of = |s: &crate::compose::Wanted| match s.replicas {
                Some(count) => format!("{} {count}", s.name),
                None => format!("{} global", s.name),
            };
            let services: Vec<String> = compose.services.iter().map(of).collect();
            let outside: Vec<String> =
                compose.outside.iter().map(|o| format!(" {}.{}", o.kind, o.name)).collect();
            let made = if outside.is_empty() { "" } else { "; made before:" };
            lines.push(format!("deployed: {}{made}{}", services.join(", "), outside.join("")));
        }
    }
    lines.join("\n").replace(&folder, "")
}

#[test]
fn published_files_are_taken_or_refused_with_a_reason() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose_files");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("compose_files/said");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the folder is there") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_none_or(|e| e != "yml") {
            continue;
        }
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let said = said(&name, &text);
        settings.bind(|| insta::assert_snapshot!(&*name, said));
        names.push(name);
    }
    assert!(names.len() >= 15, "{names:?}");
}
