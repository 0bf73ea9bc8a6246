//! The stack redis: what is deployed, and what its script is asked. The script itself is tested with
//! real servers.

use super::bench::{Bench, LAB};
use super::fake::State;
use super::shell::says;
use super::stubs::{Stubs, is_sound, named, rendered, shell};
use crate::secrets::Source;
use crate::shipped;
use crate::step::On;
use providers::Output;
use std::collections::BTreeSet;

fn bench(members: usize) -> Bench {
    Bench::new(&format!("{LAB}\nstacks: [{{ redis: {{ members: {members} }} }}]\n"))
}

#[test]
fn one_three_and_five_members() {
    for members in [1, 3, 5] {
        let bench = bench(members);
        let compose = rendered(&bench, "redis");
        is_sound(&compose, &[]);
        assert_eq!(compose.services.len(), members * 2);
        insta::assert_snapshot!(format!("redis_{members}"), compose.text);
    }
}

#[test]
fn a_primary_takes_writes_while_a_majority_follows_it() {
    let follows = |members: usize| {
        let bench = bench(members);
        let stack = bench.lab.stacks.iter().find(|s| s.name == "redis").expect("redis");
        let files = shipped::of(&bench.lab, stack).expect("shipped").files;
        let conf = &files.iter().find(|(name, _)| *name == "redis.conf").expect("a file").1;
        conf.lines().find(|l| l.starts_with("min-replicas-to-write")).expect("a line").to_owned()
    };
    assert_eq!(follows(1), "min-replicas-to-write 0");
    assert_eq!(follows(3), "min-replicas-to-write 1");
    assert_eq!(follows(5), "min-replicas-to-write 2");
}

#[test]
fn its_certificate_is_for_all_servers_and_sentinels() {
    let bench = bench(3);
    let stack = bench.lab.stacks.iter().find(|s| s.name == "redis").expect("redis");
    let shipped = shipped::of(&bench.lab, stack).expect("shipped");
    let [password, tls] = shipped.secrets.as_slice() else { panic!("two secrets") };
    assert_eq!((password.name.as_str(), &password.source), ("redis_password", &Source::Generated));
    let Source::Certificate(names) = &tls.source else { panic!("a certificate") };
    assert_eq!(
        names.join(" "),
        "redis-node1 redis-node2 redis-node3 sentinel-node1 sentinel-node2 sentinel-node3"
    );
    assert!(shipped.takes_turns);
}

#[test]
fn each_member_is_asked_on_its_own_node() {
    let bench = bench(3);
    let steps = named(&bench, "redis member");
    let hosts: Vec<&str> = steps.iter().map(|s| s.on.host()).collect();
    assert_eq!(hosts, ["node1", "node2", "node3"]);
    let ps = "'ps -q --filter label=com.docker.swarm.service.name=redis_redis-node2'";
    let asked = |answer: &str| {
        let arms =
            format!("{ps}) echo c2; echo c1;;\n'exec c2 sh /etc/bp/redis.sh well') {answer};;");
        Stubs::new().program("docker", &arms).run(shell(&steps[1]))
    };
    assert_eq!(asked("exit 0"), "ok");
    assert_eq!(asked("echo '1 of 2 replicas follow it'; exit 1"), "1: 1 of 2 replicas follow it");
    let away = Stubs::new().program("docker", &format!("{ps}) ;;")).run(shell(&steps[1]));
    assert_eq!(away, "1: the member of node2 does not run");
}

#[test]
fn its_folders_belong_to_the_user_of_the_image() {
    let bench = bench(3);
    let steps = named(&bench, "redis data");
    assert!(steps.iter().all(|s| matches!(&s.on, On::Host(h) if h.starts_with("node"))));
    assert_eq!(steps.len(), 3);
    let dir = tempfile::tempdir().expect("a folder");
    let script = shell(&steps[0]).replace("/srv/", &format!("{}/", dir.path().display()));
    assert!(Stubs::new().run(&script).ends_with("/redis is not there"));
    for folder in ["data", "sentinel"] {
        std::fs::create_dir_all(dir.path().join("redis").join(folder)).expect("made");
    }
    assert!(Stubs::new().run(&script).ends_with("it should be 700 999:999"));
    let stat = Stubs::new().program("stat", "'-c %a %u:%g '*) echo 700 999:999;;");
    assert_eq!(stat.run(&script), "ok");
}

impl State {
    /// Members are in order where all of them have the same password.
    pub fn look_redis(&mut self, script: &str) -> Option<Output> {
        if !script.contains("docker exec \"$c\" sh /etc/bp/redis.sh ") {
            return None;
        }
        let mut passwords = BTreeSet::new();
        for service in &self.swarm().services {
            let mounted = &service["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"];
            let held = mounted.as_array().into_iter().flatten();
            let password = |e: &&serde_json::Value| e["File"]["Name"] == "redis_password";
            passwords.extend(held.filter(password).map(|e| e["SecretID"].to_string()));
        }
        Some(match passwords.len() {
            1 => says(""),
            _ => Output { code: 1, ..says("its sentinel says nothing") },
        })
    }
}
