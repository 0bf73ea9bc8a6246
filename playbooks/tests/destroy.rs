//! Destroy: in its order, by tag, verified.

use super::bench::{Bench, LAB};
use super::fake::Fault;
use super::whole;
use crate::destroy::{destroy, doomed};
use crate::event::Event;
use providers::{Owned, OwnedKind};
use serde_json::json;

/// What would go, what went, and what is left.
async fn transcript(bench: &Bench) -> String {
    let (cx, mut events) = bench.cx();
    let found = doomed(&cx).await.unwrap_or_else(|f| panic!("{f:?}"));
    let mut said: Vec<String> = found.words();
    said.push("---".to_owned());
    assert_eq!(bench.site.changes(), "", "looking changes nothing");
    let sums = destroy(&cx, found).await;
    said.push(bench.site.changes());
    while let Ok(event) = events.try_recv() {
        if let Event::NotRemoved { what, error } = event {
            said.push(format!("not removed: {what}: {error}"));
        }
    }
    said.push(format!(
        "removed {}, failed {}",
        sums.removed.unwrap_or_default(),
        sums.failed.unwrap_or_default()
    ));
    said.join("\n")
}

/// Two hosts that bp did not make.
fn existing() -> Bench {
    let lab = "
version: 1
name: lab
hosts:
  a: { role: manager, provider: existing, address: 192.168.7.1 }
  b: { role: worker, provider: existing, address: 192.168.7.2 }
engine: { source: distro }
swarm: { networks: [web] }
";
    Bench::new(lab)
}

#[tokio::test(start_paused = true)]
async fn machines_go_before_what_they_share() {
    let bench = whole::bench();
    bench.done().await;
    bench.site.changes();
    insta::assert_snapshot!(transcript(&bench).await, @"
    machine lab-node1
    machine lab-node2
    machine lab-node3
    machine lab-worker1
    machine lab-worker2
    template template
    network network lab
    ---
    provider: remove machine lab-node1
    provider: remove machine lab-node2
    provider: remove machine lab-node3
    provider: remove machine lab-worker1
    provider: remove machine lab-worker2
    provider: remove template template
    provider: remove network network lab
    removed 7, failed 0
    ");
    insta::assert_snapshot!(transcript(&bench).await, @"
    ---

    removed 0, failed 0
    ");
    bench.done().await;
}

#[tokio::test(start_paused = true)]
async fn a_half_made_lab_and_a_host_that_left_the_blueprint_go_too() {
    let bench = Bench::new(LAB);
    let half = providers::State::Wrong("its disk is missing".to_owned());
    bench.site.guest("node1", |g| g.machine = Some(half));
    let gone = Owned {
        kind: OwnedKind::Machine,
        name: "lab-node9".to_owned(),
        host: Some("node9".to_owned()),
    };
    bench.site.lock().left_over.push(gone);
    insta::assert_snapshot!(transcript(&bench).await, @"
    machine lab-node1
    machine lab-node9
    ---
    provider: remove machine lab-node1
    provider: remove machine lab-node9
    removed 2, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_removed_is_listed() {
    let bench = Bench::new(LAB).with_engines();
    bench.site.lock().stuck.insert("lab-node2".to_owned(), "domain is locked".to_owned());
    bench.site.lock().shared.remove("network lab");
    bench.site.lock().shared.remove("template");
    insta::assert_snapshot!(transcript(&bench).await, @"
    machine lab-node1
    machine lab-node2
    machine lab-node3
    machine lab-worker1
    machine lab-worker2
    ---
    provider: remove machine lab-node1
    provider: remove machine lab-node3
    provider: remove machine lab-worker1
    provider: remove machine lab-worker2
    not removed: machine lab-node2: remove `lab-node2`: domain is locked
    removed 4, failed 1
    ");
}

#[tokio::test(start_paused = true)]
async fn hosts_that_bp_did_not_make_lose_what_bp_made_and_nothing_else() {
    let bench = existing();
    bench.done().await;
    bench.site.changes();
    {
        let mut state = bench.site.lock();
        let swarm = state.swarm();
        swarm.networks.push(json!({ "Name": "theirs", "Labels": {}, "IPAM": { "Config": null } }));
        for (stack, lab) in [("mine", "lab"), ("theirs", "another"), ("nobodys", "")] {
            let labels = json!({ "com.docker.stack.namespace": stack, "bp.lab": lab });
            swarm.services.push(json!({ "ID": stack, "Spec": { "Name": format!("{stack}_x"),
                "Labels": labels, "TaskTemplate": { "ContainerSpec": { "Image": "i" } },
                "Mode": { "Replicated": { "Replicas": 1 } } } }));
        }
    }
    insta::assert_snapshot!(transcript(&bench).await, @r#"
    stacks, networks and the swarm membership of a (the host stays)
    stacks, networks and the swarm membership of b (the host stays)
    the lab's block in /etc/hosts of a
    the lab's block in /etc/hosts of b
    template template
    network network lab
    ---
    a$ docker stack rm mine >/dev/null
    a$ ( docker network rm web >/dev/null || exit for i in $(seq 50); do docker network inspect web >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there after its removal' >&2; exit 1 ) || exit
    a$ rm -rf /var/tmp/bp-backup-lab; docker swarm leave --force
    b$ rm -rf /var/tmp/bp-backup-lab; docker swarm leave --force
    a$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 20 ] || { echo "$n bytes of 20" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost
    b$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 20 ] || { echo "$n bytes of 20" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost
    provider: remove template template
    provider: remove network network lab
    removed 8, failed 0
    "#);
    insta::assert_snapshot!(transcript(&bench).await, @"
    ---

    removed 0, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn hosts_in_a_swarm_that_is_not_the_labs_are_left_in_it() {
    let bench = existing().with_engines();
    {
        let mut state = bench.site.lock();
        let id = state.init("a");
        state.enter(&id, "b", "worker");
    }
    insta::assert_snapshot!(transcript(&bench).await, @"
    template template
    network network lab
    ---
    provider: remove template template
    provider: remove network network lab
    not removed: swarm membership of a: no node of the swarm swarm1 is marked as the lab's: `docker swarm leave` there, if you mean it
    not removed: swarm membership of b: no node of the swarm swarm1 is marked as the lab's: `docker swarm leave` there, if you mean it
    removed 2, failed 2
    ");
    assert!(bench.site.lock().guests["a"].node.is_some(), "it never was the lab's");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_answer_is_listed_and_the_rest_goes() {
    let bench = existing();
    bench.done().await;
    bench.site.changes();
    bench.site.cut("b");
    insta::assert_snapshot!(transcript(&bench).await, @r#"
    stacks, networks and the swarm membership of a (the host stays)
    GlusterFS on b
    the lab's block in /etc/hosts of a
    names on b
    template template
    network network lab
    ---
    a$ ( docker network rm web >/dev/null || exit for i in $(seq 50); do docker network inspect web >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there after its removal' >&2; exit 1 ) || exit
    a$ rm -rf /var/tmp/bp-backup-lab; docker swarm leave --force
    a$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 20 ] || { echo "$n bytes of 20" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost
    provider: remove template template
    provider: remove network network lab
    not removed: swarm membership of b: it can't be asked: b: connection refused: `docker swarm leave` there, if you mean it
    not removed: GlusterFS on b: it can't be asked: b: connection refused
    not removed: names on b: connection refused
    removed 5, failed 3
    "#);
    assert!(bench.site.lock().guests["b"].node.is_some(), "it is still a member");
}

#[tokio::test(start_paused = true)]
async fn a_host_without_docker_is_in_no_swarm() {
    let bench = existing();
    insta::assert_snapshot!(transcript(&bench).await, @"
    ---

    removed 0, failed 0
    ");
}

#[tokio::test(start_paused = true)]
async fn a_shell_that_says_more_than_it_is_asked_is_no_stranger() {
    let bench = existing();
    let said = Fault::Says(0, "welcome\n@no-docker", "warning: setlocale: cannot change locale");
    bench.site.fault("a", "command -v docker", 1, said);
    let (cx, _events) = bench.cx();
    assert_eq!(doomed(&cx).await.expect("an answer").words(), [""; 0]);
    assert_eq!(destroy(&cx, doomed(&cx).await.expect("an answer")).await.failed, Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_stack_that_does_not_go_is_listed_and_the_rest_goes() {
    let bench = existing();
    bench.done().await;
    bench.site.changes();
    let why = "Error response from daemon: network web is in use by service x";
    bench.site.fault("a", "( docker network rm web", 1, Fault::Says(1, "", why));
    insta::assert_snapshot!(transcript(&bench).await, @r#"
    stacks, networks and the swarm membership of a (the host stays)
    stacks, networks and the swarm membership of b (the host stays)
    the lab's block in /etc/hosts of a
    the lab's block in /etc/hosts of b
    template template
    network network lab
    ---
    a$ rm -rf /var/tmp/bp-backup-lab; docker swarm leave --force
    b$ rm -rf /var/tmp/bp-backup-lab; docker swarm leave --force
    a$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 20 ] || { echo "$n bytes of 20" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost
    b$ set -eu; umask 077; t=$(mktemp /etc/hosts.XXXXXX); trap 'rm -f "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM; cat >"$t"; n=$(wc -c <"$t"); [ "$n" -eq 20 ] || { echo "$n bytes of 20" >&2; exit 1; }; chmod 644 "$t"; chown root:root "$t"; mv -fT "$t" /etc/hosts <<<127.0.0.1 localhost
    provider: remove template template
    provider: remove network network lab
    not removed: network web: `( docker network rm web >/dev/null || exit for i in $(seq 50); do docker network inspect web >/dev/null 2>&1 || exit 0; sleep 0.2; done echo 'it is still there …` exited with 1
    Error response from daemon: network web is in use by service x
    removed 6, failed 1
    "#);
}
