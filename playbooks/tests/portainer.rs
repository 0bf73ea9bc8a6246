//! The stack portainer: what is deployed, and how it is asked.

use super::bench::{Bench, LAB};
use super::stubs::{Stubs, is_sound, named, rendered};
use crate::shipped;

const VOLUME: &str = "gluster: { docker: { replica: 3, mount: /srv/docker } }";

fn lab(more: &str, settings: &str) -> Bench {
    let bricks = LAB.replace("{ role: manager }", "{ role: manager, brick: /srv/gluster }");
    Bench::new(&format!("{bricks}{more}\nstacks: [traefik, {{ portainer: {{ {settings} }} }}]\n"))
}

#[test]
fn on_the_shared_volume_any_manager_may_run_it() {
    let compose = rendered(&lab(VOLUME, ""), "portainer");
    is_sound(&compose, &[]);
    insta::assert_snapshot!("portainer_shared", compose.text);
}

#[test]
fn without_one_it_stays_with_its_data() {
    let compose = rendered(&lab("", "host: containers.example.org"), "portainer");
    let server = compose.services.iter().find(|s| s.name == "server").expect("a service");
    assert_eq!(server.constraints, ["node.role == manager", "node.labels.bp.host == node1"]);
    assert!(compose.text.contains("\"source\": \"/srv/portainer\""));
    assert!(compose.text.contains("Host(`containers.example.org`)"));
}

#[test]
fn agents_come_from_where_the_server_comes_from() {
    let image = "image: \"registry.test:5000/tools/portainer-ee:2.40.1\"";
    let compose = rendered(&lab("", image), "portainer");
    let agent = compose.services.iter().find(|s| s.name == "agent").expect("a service");
    assert_eq!(agent.image, "registry.test:5000/tools/agent:2.40.1");
}

#[test]
fn its_folder_is_made_where_it_may_run() {
    let hosts = |bench: &Bench| {
        let steps = named(bench, "portainer data");
        steps.iter().map(|s| s.on.host().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(hosts(&lab("", "")), "node1");
    assert_eq!(hosts(&lab(VOLUME, "")), "node1 node2 node3");
    let bench = lab("", "");
    let stack = bench.lab.stacks.iter().find(|s| s.name == "portainer").expect("portainer");
    let shipped = shipped::of(&bench.lab, stack).expect("shipped");
    assert_eq!(shipped.secrets.len(), 1);
    assert_eq!(shipped.secrets[0].name, "portainer_password");
}

/// The script of the check, over a server that answers like this.
fn asked(code: &str, login: &str, agents: &str) -> String {
    let script = crate::stacks::portainer::question("portainer_server", "portainer.lab.test", 3);
    // The password is read from the server's own memory; here from a folder.
    let dir = tempfile::tempdir().expect("a folder");
    let secrets = dir.path().join("4711/root/run/secrets");
    std::fs::create_dir_all(&secrets).expect("made");
    std::fs::write(secrets.join("portainer_password"), "hunt\"er\\2").expect("written");
    let script = script.replace("/proc/", &format!("{}/", dir.path().display()));
    let docker = "'ps -q --filter label=com.docker.swarm.service.name=portainer_server') echo c1;;\n\
                  'inspect -f {{.State.Pid}} c1') echo 4711;;";
    let curl = format!(
        "'-sSk --max-time 10 -o /dev/null -w %{{http_code}} --resolve portainer.lab.test:443:127.0.0.1 https://portainer.lab.test/api/system/status') {code};;"
    );
    let nsenter = format!(
        "'-t 4711 -n curl -sS --max-time 20 -H Content-Type: application/json --data-binary @- http://127.0.0.1:9000/api/auth')\n\
         [ \"$(cat)\" = '{{\"Username\":\"admin\",\"Password\":\"hunt\\\"er\\\\2\"}}' ] || exit 98; {login};;\n\
         '-t 4711 -n curl -sS --max-time 20 -K - http://127.0.0.1:9000/api/endpoints/1/docker/v2/agents')\n\
         [ \"$(cat)\" = 'header = \"Authorization: Bearer a.b-c\"' ] || exit 98; {agents};;"
    );
    let stubs = Stubs::new().program("docker", docker).program("curl", &curl);
    stubs.program("nsenter", &nsenter).run(&script)
}

#[test]
fn it_is_well_when_it_lets_the_administrator_in_and_counts_all_agents() {
    let agent = |n: usize| {
        format!(
            "{{\"IPAddress\":\"10.0.1.{n}\",\"NodeName\":\"node{n}\",\"NodeRole\":\"manager\"}}"
        )
    };
    let list = |n: usize| format!("echo '[{}]'", (1..=n).map(agent).collect::<Vec<_>>().join(","));
    let (well, token) = ("printf 200", "echo '{\"jwt\":\"a.b-c\"}'");
    insta::assert_snapshot!(
        [
            asked(well, token, &list(3)),
            asked(well, token, &list(2)),
            asked(well, token, "echo '{\"message\":\"Unable to find an environment\"}'"),
            asked(well, "echo '{\"message\":\"Invalid credentials\"}'", "exit 97"),
            asked(well, "echo '{\"message\":\"no\"}'", "exit 97"),
            asked("printf 404", "exit 97", "exit 97"),
            asked("echo 'curl: (7) Failed to connect' >&2; printf 000; exit 7", "exit 97", "exit 97"),
        ].join("\n"),
        @"
    ok
    1: it counts 2 agents, not 3
    1: it counts 0 agents, not 3
    1: its administrator has another password than portainer_password, which it reads at its first start only: change it in Portainer
    1: it does not let the administrator in
    1: through Traefik it answers 404, not 200
    1: through Traefik it answers curl: (7) Failed to connect, not 200
    "
    );
}
