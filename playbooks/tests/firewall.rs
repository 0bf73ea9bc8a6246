//! The phase firewall on fake hosts.

use super::bench::Bench;
use super::fake::{Fault, Guest};
use crate::compose;
use crate::firewall::doors::doors;
use std::time::Duration;

const WALLED: &str = "
version: 1
name: lab
provider: { libvirt: { subnet: 10.20.30.0/24, template: debian-13.qcow2 } }
hosts:
  node1: { role: manager, address: 10.20.30.11, brick: /srv/brick }
  node2: { role: worker, address: 10.20.30.12, brick: /srv/brick, ports: [9100/tcp] }
  node3: { role: worker, address: 10.20.30.13, labels: { web: 'yes' } }
  alone: { role: none, address: 10.20.30.14, ssh: { port: 2222 } }
firewall: { open: [80/tcp, 60000-60010/udp] }
gluster: { docker: { replica: 2, mount: /srv/docker } }
engine: { source: distro }
swarm: { networks: [{ name: back, encrypted: true }] }
stacks: [{ shop: { file: shop.yml } }]
";

const SHOP: &[u8] = b"
services:
  web:
    image: web:1
    ports: ['8080:80', '9', '53:53/udp']
    deploy: { placement: { constraints: [node.labels.web == yes] } }
  edge:
    image: edge:1
    ports:
      - { target: 443, published: 8443, mode: host }
      - '5000-5001:5000-5001/udp'
    deploy: { placement: { constraints: [node.labels.web == yes] } }
";

/// How the confirmation of a change begins.
const CONFIRM: &str = "set -eu; umask 077\nexec 9>>/run/bp-firewall.lock; flock -w 60 9 || { echo 'another change of the walls is at work' >&2; exit 1; }\ncd /run/bp-firewall\nif [ -e armed ]";

/// The phase alone, its machines up.
fn bench() -> Bench {
    let bench = Bench::with(WALLED, &[("shop.yml", SHOP)]).with_engines().only(&["firewall"]);
    bench.site.guest("alone", |g: &mut Guest| g.wall.sshd = 2222);
    bench
}

#[test]
fn the_doors_of_each_host() {
    let bench = Bench::with(WALLED, &[("shop.yml", SHOP)]);
    let stacks = compose::all(&bench.lab, bench.dir.path()).expect("compose files");
    let of = |name: &str| {
        let doors = doors(&bench.lab, &stacks, bench.lab.host(name).expect("a host"));
        let line =
            |d: crate::firewall::doors::Door| format!("{} {}: {}", d.what, d.from.as_str(), d.why);
        doors.into_iter().map(line).collect::<Vec<_>>()
    };
    let swarm = [
        "7946/tcp nodes: swarm gossip",
        "7946/udp nodes: swarm gossip",
        "4789/udp nodes: overlay networks",
        "esp nodes: encrypted overlay networks",
    ];
    let bricks = ["24007-24008/tcp storage: glusterd", "49152-60999/tcp storage: bricks"];
    let open = ["80/tcp anyone: open everywhere", "60000-60010/udp anyone: open everywhere"];
    let mesh = [
        "8080/tcp anyone: published by shop-web",
        "53/udp anyone: published by shop-web",
        "5000-5001/udp anyone: published by shop-edge",
    ];
    let all = |parts: &[&[&str]]| parts.concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let ssh: &[&str] = &["22/tcp anyone: ssh"];
    let manager = all(&[ssh, &open, &mesh, &["2377/tcp nodes: swarm"], &swarm, &bricks]);
    assert_eq!(of("node1"), manager);
    let own: &[&str] = &["9100/tcp anyone: open on this host"];
    assert_eq!(of("node2"), all(&[ssh, &open, own, &mesh, &swarm, &bricks]));
    let host_mode = "8443/tcp anyone: published by shop-edge";
    let with_edge = [mesh[0], mesh[1], host_mode, mesh[2]];
    assert_eq!(of("node3"), all(&[ssh, &open, &with_edge, &swarm]));
    assert_eq!(of("alone"), all(&[&["2222/tcp anyone: ssh"], &open]));
}

#[test]
fn networks_that_a_stack_encrypts_need_a_door_and_long_names_fit() {
    let text = WALLED.replace("swarm: { networks: [{ name: back, encrypted: true }] }", "");
    let long = "w".repeat(120);
    let shop = String::from_utf8_lossy(SHOP).replace("  web:", &format!("  {long}:"));
    let esp = |shop: &str| {
        let bench = Bench::with(&text, &[("shop.yml", shop.as_bytes())]);
        let stacks = compose::all(&bench.lab, bench.dir.path()).expect("compose files");
        let doors = doors(&bench.lab, &stacks, bench.lab.host("node1").expect("a host"));
        assert!(doors.iter().all(|d| d.why.len() <= 100), "{doors:?}");
        doors.iter().any(|d| d.what.to_string() == "esp")
    };
    assert!(!esp(&(shop.clone() + "networks: { own: { driver_opts: { other: '' } } }\n")));
    assert!(esp(&(shop + "networks: { own: { driver_opts: { encrypted: '' } } }\n")));
}

#[tokio::test(start_paused = true)]
async fn no_walls_where_the_blueprint_has_none() {
    let without =
        |firewall: &str| WALLED.replace("firewall: { open: [80/tcp, 60000-60010/udp] }", firewall);
    let bench = Bench::with(&without(""), &[("shop.yml", SHOP)]);
    assert!(bench.steps().iter().all(|s| s.phase != "firewall"));

    // Those that stood before go.
    let bench = super::firewall::bench();
    bench.done().await;
    let bench = bench.edited(&without("firewall: { backend: none }")).only(&["firewall"]);
    let plan = bench.plan().await;
    assert!(plan.starts_with("+ firewall / no walls / node1: bp's walls stand there\n"), "{plan}");
    bench.done().await;
    bench.site.guest("node1", |g: &mut Guest| {
        assert_eq!((g.wall.table.as_str(), g.wall.kept.0.as_str()), ("", ""));
    });
    assert_eq!(bench.plan().await, "");
}

#[tokio::test(start_paused = true)]
async fn fresh_hosts_are_walled() {
    let bench = bench();
    let plan = bench.plan().await;
    assert!(
        plan.starts_with(
            "+ firewall / program / node1: nftables is not installed\n\
         + firewall / doors / node1: nft is not there\n"
        ),
        "{plan}"
    );
    bench.done().await;
    bench.site.guest("node3", |g: &mut Guest| {
        let elements = "elements = { 10.20.30.11, 10.20.30.12, 10.20.30.13 }";
        assert_eq!(g.wall.table.matches(elements).count(), 1, "{}", g.wall.table);
        assert!(g.wall.table.contains(
            "ip saddr @nodes_v4 meta l4proto esp accept comment \"encrypted overlay networks\""
        ));
        assert!(g.wall.armed.is_none());
        assert!(g.wall.kept.0.ends_with(&g.wall.table));
        g.wall.boot();
    });
    assert_eq!(bench.plan().await, "", "the same after a boot");
}

#[tokio::test(start_paused = true)]
async fn drift_is_said_in_words_and_mended() {
    let bench = bench();
    bench.done().await;
    let drifts: [(&str, &str, &str); 7] = [
        ("\t\ttcp dport 80 accept comment \"open everywhere\"\n", "", "80/tcp is not open"),
        (
            "\t\ttcp dport 80 accept comment \"open everywhere\"\n",
            "\t\ttcp dport 80 accept comment \"open everywhere\"\n\t\ttcp dport 9999 accept\n",
            "9999/tcp is open, the blueprint does not say so",
        ),
        (
            "policy drop;",
            "policy accept;",
            "`type filter hook input priority filter; policy drop;` is missing, `type filter hook input priority filter; policy accept;` is there, the blueprint does not say so",
        ),
        ("10.20.30.12, ", "", "10.20.30.12 is not among nodes_v4"),
        (
            "10.20.30.12, ",
            "10.20.30.12, 10.20.30.99, ",
            "10.20.30.99 is among nodes_v4, the blueprint does not say so",
        ),
        (
            "ip saddr @nodes_v4 tcp dport 2377 accept comment \"swarm\"",
            "tcp dport 2377 accept",
            "2377/tcp from nodes is not open, 2377/tcp is open, the blueprint does not say so",
        ),
        (
            "\t\ticmp type echo-request accept\n",
            "\t\ttcp dport 80 drop\n",
            "`icmp type echo-request accept` is missing, `tcp dport 80 drop` is there, the blueprint does not say so",
        ),
    ];
    for (has, becomes, said) in drifts {
        bench.site.guest("node1", |g: &mut Guest| {
            let at = g.wall.table.find(has).expect(has);
            g.wall.table.replace_range(at..at + has.len(), becomes);
        });
        let plan = bench.plan().await;
        assert_eq!(plan, format!("+ firewall / doors / node1: {said}"));
        assert_eq!(bench.done().await.applied(), ["doors node1"]);
    }
    bench.site.guest("node2", |g: &mut Guest| g.wall.kept.2 = false);
    let plan = bench.plan().await;
    assert_eq!(
        plan,
        "+ firewall / doors / node2: the walls would not come back like this at a boot"
    );
    bench.done().await;
    bench.site.guest("node2", |g: &mut Guest| g.wall.table.clear());
    assert_eq!(bench.plan().await, "+ firewall / doors / node2: nothing is closed");
    bench.done().await;
}

#[tokio::test(start_paused = true)]
async fn a_wall_that_locks_the_operator_out_undoes_itself() {
    let bench = bench();
    bench.site.guest("node2", |g: &mut Guest| g.wall.sshd = 2222);
    let ran = bench.up().await;
    assert_eq!(ran.sums().failed, Some(1));
    assert_eq!(
        ran.failures(),
        "firewall / doors / node2: with the new walls nobody could log in within 40 s: no answer\n\
         the change undoes itself after 1 min: it has undone itself\n\
         hint: does sshd there listen on 22/tcp? where a port is forwarded, its own port is a door that `ports` of the host has to name"
    );
    bench.site.guest("node2", |g: &mut Guest| {
        assert!(g.wall.lets_in());
        assert_eq!((g.wall.table.as_str(), g.wall.kept.0.as_str()), ("", ""));
    });
    assert_eq!(bench.plan().await, "+ firewall / doors / node2: nothing is closed");
    // Its own port named, as the hint says.
    let text = WALLED.replace("ports: [9100/tcp]", "ports: [9100/tcp, 2222/tcp]");
    bench.edited(&text).done().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_before_the_confirmation_leaves_the_host_as_it_was() {
    let bench = bench();
    bench.done().await;
    let edited = WALLED.replace("open: [80/tcp,", "open: [81/tcp,");
    let bench = bench.edited(&edited);
    bench.site.fault("node1", CONFIRM, 99, Fault::Lost);
    let run = bench.up();
    assert!(tokio::time::timeout(Duration::from_secs(5), run).await.is_err(), "cut off");
    let (open, armed) = {
        let state = bench.site.lock();
        let wall = &state.guests["node1"].wall;
        (wall.table.clone(), wall.armed.is_some())
    };
    assert!(armed && open.contains("dport 81 ") && !open.contains("dport 80 "));
    let plan = bench.plan().await;
    assert_eq!(
        plan,
        "+ firewall / doors / node1: the walls would not come back like this at a boot, a change was not confirmed and is about to undo itself"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    let plan = bench.plan().await;
    assert!(plan.starts_with("+ firewall / doors / node1: 81/tcp is not open, 80/tcp is open, the blueprint does not say so"), "{plan}");
    assert!(bench.site.lock().guests["node1"].wall.kept.0.contains("dport 80 "));
}

#[tokio::test(start_paused = true)]
async fn an_up_after_a_cut_goes_back_to_what_was_confirmed_last() {
    let behind = |open: &str, ports: &str| {
        let text = WALLED.replace("open: [80/tcp,", open);
        text.replace("10.20.30.11, ", &format!("10.20.30.11, ports: [{ports}], "))
    };
    let bench = bench();
    bench.site.guest("node1", |g: &mut Guest| g.wall.sshd = 2222);
    let bench = bench.edited(&behind("open: [80/tcp,", "2222/tcp"));
    bench.done().await;
    let bench = bench.edited(&behind("open: [81/tcp,", "2222/tcp"));
    bench.site.fault("node1", CONFIRM, 1, Fault::Hangs);
    let ran = tokio::time::timeout(Duration::from_secs(5), bench.up()).await;
    assert!(ran.is_err(), "cut off");
    assert!(bench.site.lock().guests["node1"].wall.armed.is_some());
    // The next one locks the operator out: what it goes back to is what stood before the first.
    let bench = bench.edited(&behind("open: [82/tcp,", ""));
    let ran = bench.up().await;
    assert!(ran.failures().contains("it has undone itself"), "{}", ran.failures());
    let table = bench.site.lock().guests["node1"].wall.table.clone();
    assert!(table.contains("dport 80 ") && !table.contains("dport 81 "), "{table}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_the_confirmation_is_no_failure() {
    let bench = bench();
    bench.site.fault("node1", CONFIRM, 1, Fault::LostAfter);
    let ran = bench.up().await;
    assert_eq!(ran.sums().failed, Some(0), "{}", ran.failures());
}

#[tokio::test(start_paused = true)]
async fn answers_of_the_confirmation_that_are_all_lost_are_no_lock_out() {
    let bench = bench();
    bench.site.fault("node1", CONFIRM, 40, Fault::LostAfter);
    let ran = bench.up().await;
    assert_eq!(ran.sums().failed, Some(0), "{}", ran.failures());
    bench.site.guest("node1", |g: &mut Guest| assert!(g.wall.armed.is_none() && g.wall.kept.2));
}

#[tokio::test(start_paused = true)]
async fn two_walls_at_work_are_an_error() {
    let bench = bench();
    bench.site.guest("node1", |g: &mut Guest| g.wall.others = (true, true));
    let plan = bench.plan().await;
    let said = "firewalld and ufw are both at work, and each closes what the other opens";
    assert!(plan.contains(&format!("? firewall / doors / node1: {said}")), "{plan}");
    let ran = bench.up().await;
    let expected = format!(
        "firewall / doors / node1: {said}\n\
         hint: `ufw disable` there, or `systemctl disable --now firewalld` there"
    );
    assert_eq!(ran.failures(), expected);
}

#[tokio::test(start_paused = true)]
async fn another_table_that_drops_is_an_error() {
    let bench = bench();
    for (table, hint) in [
        (
            "inet filter",
            "`nft delete table inet filter` there, and no file that loads it, or `backend: none`",
        ),
        (
            "inet bp_old_one",
            "it is bp's, of a lab old-one: `bp destroy` of that one, or, where its blueprint is gone, \
             `nft delete table inet bp_old_one` there and its files in /etc/bp and /etc/systemd/system",
        ),
    ] {
        bench.site.guest("node1", |g: &mut Guest| {
            g.wall.nft = true;
            g.wall.other = format!(
                "table {table} {{\n\tchain input {{\n\t\ttype filter hook input priority filter; policy drop;\n\t}}\n}}\n"
            );
        });
        let expected = format!(
            "firewall / doors / node1: another table of nftables, {table}, drops what comes in\nhint: {hint}"
        );
        assert_eq!(bench.up().await.failures(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_open_is_shown_beside_what_is_wanted() {
    let bench = bench();
    bench.done().await;
    bench.site.guest("alone", |g: &mut Guest| {
        g.wall.table = g.wall.table.replace("tcp dport 80 accept", "tcp dport 9999 accept");
    });
    bench.site.guest("node1", |g: &mut Guest| g.running = false);
    let (cx, _events) = bench.cx();
    let tables = crate::firewall::shown(&cx).await;
    let [table] = &tables[..] else { panic!("{tables:?}") };
    let rows: Vec<String> = table.rows.iter().map(|r| r.join(" ")).collect();
    assert_eq!(table.head, ["host", "port", "from", "wanted", "open"]);
    assert!(rows.contains(&"node1 22/tcp anyone yes ?".to_owned()), "{rows:#?}");
    assert!(rows.contains(&"node2 24007-24008/tcp storage yes yes".to_owned()), "{rows:#?}");
    let alone = [
        "alone 2222/tcp anyone yes yes",
        "alone 80/tcp anyone yes no",
        "alone 60000-60010/udp anyone yes yes",
        "alone 9999/tcp anyone no yes",
    ];
    assert_eq!(rows[rows.len() - 4..], alone);
}

#[tokio::test(start_paused = true)]
async fn destroy_takes_the_walls_off_hosts_that_stay() {
    const STAYS: &str = "
version: 1
name: lab
hosts: { old: { provider: existing, address: 10.20.30.90, role: manager, ssh: { fingerprint: 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' } } }
firewall: {}
";
    let bench = Bench::new(STAYS).only(&["firewall"]);
    bench.done().await;
    let (cx, _events) = bench.cx();
    let doomed = crate::destroy::doomed(&cx).await.expect("known");
    assert_eq!(doomed.words(), ["walls of old"]);
    let sums = crate::destroy::destroy(&cx, doomed).await;
    assert_eq!((sums.removed, sums.failed), (Some(1), Some(0)));
    bench.site.guest("old", |g: &mut Guest| {
        assert_eq!((g.wall.table.as_str(), g.wall.kept.0.as_str()), ("", ""));
        assert!(g.wall.armed.is_none());
    });
    assert!(crate::destroy::doomed(&bench.cx().0).await.expect("known").is_empty());
}
