//! The user's own stacks: healthy, broken, rolled back, finished.

use crate::bp::{Ended, Lab, sh};
use crate::{services, write_blueprint};

/// A stack's compose file; `image` and what else its one service says.
fn compose(image: &str, more: &str) -> String {
    format!(
        "version: '3.8'
services:
  web:
    image: {image}
    networks: [traefik]
{more}
networks:
  traefik: {{ external: true }}
"
    )
}

/// What a stack's change concerns: the rest of the lab was looked at by the stages before.
const UP: &[&str] = &["up", "lab.yml", "--yes", "--only", "stacks"];
const PLAN: &[&str] = &["plan", "lab.yml", "--only", "stacks"];

/// Its name stands for its tasks: `tests/lab/hosts.sh` says why.
const UPDATES: &str = "    deploy:
      endpoint_mode: dnsrr
      replicas: 2
      update_config: { parallelism: 1, order: stop-first, failure_action: rollback, monitor: 5s }
      rollback_config: { parallelism: 0 }";

fn write(lab: &Lab, compose: &str, stack: &str) {
    std::fs::write(lab.dir.join("own.yml"), compose).expect("write own.yml");
    services::write(lab, stack);
}

const OWN: &str = "  - own:
      file: own.yml
      within: 3m
      health:
        - { http: \"http://web:8080/health\", network: traefik, expect: 200, within: 2m }
        - { tcp: \"web:8080\", network: traefik }
        - { service: web, replicas: 2 }
        - { check: \"docker service ls --filter name=own_web -q | grep -q .\" }
";

/// One task, its virtual address, and its port on all nodes: the swarm's mesh, in the guests' own
/// kernels.
pub fn mesh(lab: &Lab) {
    let ports = "    ports: [{ target: 8080, published: 8090, mode: ingress }]";
    std::fs::write(lab.dir.join("own.yml"), compose("lab/web:1", ports)).expect("write own.yml");
    let stack = "  - own:
      file: own.yml
      health: [{ http: \"http://web:8080/\", network: traefik, expect: 200 }, { service: web, replicas: 1 }]
";
    write_blueprint(lab, &|text| text + stack);
    lab.expect(UP, 0);
    for node in ["node1", "node2", "node3"] {
        let address = lab.on(node, "hostname -I | tr ' ' '\\n' | grep '^10\\.20\\.30\\.'");
        let ask = format!("curl -sS -m 60 http://{address}:8090/ 2>&1 || :");
        services::until(&format!("{node} answers through the mesh"), || {
            sh(&ask, &lab.dir) == "web 1"
        });
    }
}

/// One after another on the same lab.
pub fn own_stacks(lab: &Lab) {
    write(lab, &compose("lab/web:1", UPDATES), OWN);
    let up = lab.expect(&["up", "lab.yml", "--yes"], 0);
    assert!(up.applied().contains("stacks/own deployed/"), "{:?}", up.applied());
    lab.expect(PLAN, 0);

    // A good change goes up.
    write(lab, &compose("lab/web:2", UPDATES), OWN);
    lab.expect(UP, 0);

    // Another image that somebody gave it goes again.
    lab.on(
        "node1",
        "docker service update -q --detach --no-resolve-image --image lab/web:1 own_web",
    );
    let plan = lab.expect(PLAN, 3);
    assert!(plan.shown().contains("stacks/own deployed/"), "{:?}", plan.shown());
    lab.expect(UP, 0);
    let image = "docker service inspect -f '{{.Spec.TaskTemplate.ContainerSpec.Image}}' own_web";
    assert_eq!(lab.on("node1", image), "lab/web:2");

    // One that does not start is rolled back by the swarm, and that is a failure.
    let broken = format!("{UPDATES}\n    environment: {{ BREAK: '1' }}");
    write(lab, &compose("lab/web:1", &broken), OWN);
    let failed = lab.expect(UP, 1);
    says(&failed, &["own_web was rolled back", "non-zero exit (1)"]);
    assert_eq!(failed.last()["failed"], 1);
    let plan = lab.expect(PLAN, 3);
    assert!(plan.shown().contains("stacks/own deployed/"), "{:?}", plan.shown());

    // What was there before is right again: nothing has to be rolled out for it.
    write(lab, &compose("lab/web:2", UPDATES), OWN);
    let back = lab.expect(UP, 0);
    assert_eq!(back.last()["applied"], 0, "{:?}", back.applied());

    // An image that never starts: its bound, its own error, its last words.
    write(lab, &compose("lab/broken:1", ""), &OWN.replace("own", "ill").replace("3m", "90s"));
    std::fs::rename(lab.dir.join("own.yml"), lab.dir.join("ill.yml")).expect("rename");
    let failed = lab.expect(UP, 1);
    says(
        &failed,
        &["not true within 90 s", "task ill_web.1", "non-zero exit", "last log lines of ill_web"],
    );
    assert!(failed.failures().contains(BROKEN_SAYS), "{}", failed.failures());

    // A finished job is done.
    let job = "    deploy: { restart_policy: { condition: none } }";
    let stack = "  - once: { file: own.yml, within: 2m }\n";
    write(lab, &compose("lab/job:1", job), stack);
    lab.expect(UP, 0);
    lab.expect(PLAN, 0);

    // What has left the file is removed, and `plan` says so before.
    services::write(lab, "");
    let plan = lab.expect(PLAN, 3);
    assert_eq!(plan.shown(), ["stacks/unlisted stacks/".to_owned()].into());
    lab.expect(UP, 0);
    let stacks = lab.on("node1", "docker stack ls --format '{{.Name}}' | sort | xargs");
    assert_eq!(stacks, "bp etcd gitlab redis registry stolon traefik");
}

/// What `lab/broken:1` prints before it ends.
const BROKEN_SAYS: &str = "broken";

fn says(ended: &Ended, parts: &[&str]) {
    let text = ended.failures();
    for part in parts {
        assert!(text.contains(part), "the failure does not say `{part}`:\n{text}");
    }
}
