//! Health checks of the user's own stacks: the scripts as text, and what is made of their answers.

use super::bench::{Bench, LAB};
use super::fake::Fault;
use crate::Check;
use crate::step::Step;
use crate::survey::check;
use blueprints::{Health, Probe};
use std::time::Duration;

const WEB: &str = "
services: { web: { image: example/web:1, networks: [web], deploy: { replicas: 2 } } }
networks: { web: { external: true } }
";

/// The stack with networks of its own, one of which has a name of its own.
fn compose() -> crate::compose::Compose {
    let networks = "networks: { web: { external: true }, back: {}, front: { name: faces }, old: { external: { name: web } } }";
    let text = WEB.replace("networks: { web: { external: true } }", networks);
    let blueprint = format!(
        "{LAB}\nswarm: {{ networks: [web] }}\nstacks: [{{ shop: {{ file: shop.yml }} }}]\n"
    );
    let bench = Bench::with(&blueprint, &[("shop.yml", text.as_bytes())]);
    super::stubs::rendered(&bench, "shop")
}

#[test]
fn a_network_is_called_as_the_compose_file_calls_it() {
    let compose = compose();
    let names =
        ["web", "back", "front", "old", "default", "redis"].map(|name| compose.network(name));
    assert_eq!(names, ["web", "shop_back", "faces", "web", "shop_default", "redis"]);
}

fn gate(probe: Probe) -> Step {
    crate::health::step(&compose(), &Health { probe, within: Duration::from_secs(30) })
}

/// A lab in which the stack runs.
async fn bench() -> Bench {
    let lab = format!(
        "{LAB}\nswarm: {{ networks: [web] }}\nstacks: [{{ shop: {{ file: shop.yml }} }}]\n"
    );
    let bench = Bench::with(&lab, &[("shop.yml", WEB.as_bytes())]);
    bench.done().await;
    bench.site.changes();
    bench
}

async fn asked(bench: &Bench, step: &Step) -> String {
    let (cx, _events) = bench.cx();
    match check(&cx, step).await {
        Check::True => "true".to_owned(),
        Check::Not(why) => format!("not: {why}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_page_of_the_labs_own_is_trusted_by_its_authority_too() {
    let asks = |authority: Option<&str>| {
        let curl = "'-sS -o /dev/null -w %{http_code} --max-time 8 --cacert '*' https://shop.lab.test/') \
             f=${*#*--cacert }; grep -qx lab \"${f%% *}\" && printf 200;; \
             '-sS -o /dev/null -w %{http_code} --max-time 8 https://shop.lab.test/') printf 404;;";
        let script = crate::health::get("https://shop.lab.test/", 200, authority);
        super::stubs::Stubs::new().program("curl", curl).run(&script)
    };
    assert_eq!(asks(Some("bGFiCg==")), "ok");
    assert_eq!(asks(None), "1: it answers 404, not 200");
}

fn http(network: Option<&str>) -> Step {
    let url = "http://web:80/health?a=1&b=it's".to_owned();
    gate(Probe::Http { url, network: network.map(str::to_owned), expect: 200 })
}

#[tokio::test(start_paused = true)]
async fn a_url_is_asked_from_a_manager() {
    let bench = bench().await;
    let script = "code=$(curl -sS -o /dev/null -w '%{http_code}' --max-time 8 'http://web:80/health?a=1&b=it'\\''s') || exit 1\n\
                  [ \"$code\" = 200 ] || { echo \"it answers $code, not 200\"; exit 1; }";
    bench.site.fault("node1", script, 1, Fault::Says(0, "", ""));
    assert_eq!(asked(&bench, &http(None)).await, "true");
    bench.site.fault("node1", script, 1, Fault::Says(1, "it answers 503, not 200\n", ""));
    assert_eq!(asked(&bench, &http(None)).await, "not: it answers 503, not 200");
    let refused = "curl: (7) Failed to connect to web port 80: Connection refused\n";
    bench.site.fault("node1", script, 1, Fault::Says(1, "", refused));
    insta::assert_snapshot!(asked(&bench, &http(None)).await, @"not: curl: (7) Failed to connect to web port 80: Connection refused");
}

#[tokio::test(start_paused = true)]
async fn inside_a_network_it_is_asked_where_a_container_is_on_it() {
    let bench = bench().await;
    let inside = "c=$(docker ps -q --filter network=web | head -n 1); [ -n \"$c\" ] || exit 42\n\
                  set -- $(docker inspect -f '{{.State.Pid}} {{.ResolvConfPath}}' \"$c\")\n\
                  exec nsenter -t \"$1\" -n unshare -m sh -c 'mount --bind \"$1\" /etc/resolv.conf && eval \"$2\"' sh \"$2\" 'code=$(curl ";
    bench.site.fault("node1", inside, 1, Fault::Says(42, "", ""));
    bench.site.fault("node2", inside, 1, Fault::Lost);
    bench.site.fault("node3", inside, 1, Fault::Says(0, "", ""));
    assert_eq!(asked(&bench, &http(Some("web"))).await, "true");
    for host in ["node1", "node2", "node3", "worker1", "worker2"] {
        bench.site.fault(host, inside, 1, Fault::Says(42, "", ""));
    }
    insta::assert_snapshot!(asked(&bench, &http(Some("web"))).await, @"not: no node has a container on the network `web` yet");
}

#[tokio::test(start_paused = true)]
async fn a_port_is_connected_to() {
    let bench = bench().await;
    for (address, host, port) in [("db:5432", "db", "5432"), ("[fd00::1]:80", "fd00::1", "80")] {
        let script =
            format!("timeout 8 bash -c 'exec 3<>\"/dev/tcp/$0/$1\"' {host} {port} || exit 1");
        bench.site.fault("node1", &script, 1, Fault::Says(0, "", ""));
        let step = gate(Probe::Tcp { address: address.to_owned(), network: None });
        assert_eq!(asked(&bench, &step).await, "true");
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_is_run_on_a_manager() {
    let bench = bench().await;
    let step = gate(Probe::Check("docker service ls -q | grep -q .".to_owned()));
    bench.site.fault("node1", "docker service ls -q | grep", 1, Fault::Says(0, "", ""));
    assert_eq!(asked(&bench, &step).await, "true");
    bench.site.fault("node1", "docker service ls -q | grep", 1, Fault::Says(1, "one\ntwo\n", ""));
    assert_eq!(asked(&bench, &step).await, "not: two");
    bench.site.fault("node1", "docker service ls -q | grep", 1, Fault::Hangs);
    insta::assert_snapshot!(asked(&bench, &step).await, @r#"Unknown("node1: no answer within 60s")"#);
}

#[tokio::test(start_paused = true)]
async fn replicas_are_counted() {
    let bench = bench().await;
    let step = |service: &str, count| gate(Probe::Replicas { service: service.to_owned(), count });
    assert_eq!(asked(&bench, &step("web", 2)).await, "true");
    assert_eq!(asked(&bench, &step("web", 3)).await, "not: 2 of 3 tasks of shop_web run");
    assert_eq!(asked(&bench, &step("nope", 1)).await, "not: 0 of 1 tasks of shop_nope run");
}

#[tokio::test(start_paused = true)]
async fn before_the_stack_is_deployed_nothing_is_known() {
    let bench = bench().await;
    bench.site.lock().swarm().services.clear();
    insta::assert_snapshot!(asked(&bench, &http(None)).await, @r#"Unknown("it is not deployed yet")"#);
}
