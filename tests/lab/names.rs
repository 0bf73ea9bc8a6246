//! The lab's names: a real PowerDNS beside the guests, with records that are not the lab's.

use crate::bp::{Lab, sh};
use crate::replaced;
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A PowerDNS of the test's own; ends with it.
pub struct PowerDns(Child);

impl Drop for PowerDns {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the blueprint says about names.
pub const DNS: &str = "
dns:
  ttl: 60s
  server:
    powerdns: { url: \"http://127.0.0.1:8081\", api_key: { file: pdns.key }, zone: lab.test, answers: \"127.0.0.1:5300\" }
  records:
    traefik: { a: [node1, node2, node3] }
    gitlab: { cname: traefik }
    registry: { cname: traefik }
    note: { txt: [\"made by bp\"], ttl: 2m }
    _etcd-client._tcp: { srv: [{ port: 2379, target: node1 }] }
";

/// The key of its API, which is a secret.
pub const API_KEY: &str = "a-key-of-the-test";

const CONFIG: &str = "launch=gsqlite3
gsqlite3-database=pdns.db
local-address=127.0.0.1
local-port=5300
api=yes
api-key=a-key-of-the-test
webserver=yes
webserver-address=127.0.0.1
webserver-port=8081
socket-dir=.
guardian=no
daemon=no
disable-syslog=yes
log-timestamp=no
expand-alias=no
";

impl PowerDns {
    /// Starts it with the zone and a reverse zone, a stranger's records in both.
    pub fn start(lab: &Lab) -> Self {
        std::fs::write(lab.dir.join("pdns.conf"), CONFIG).expect("write pdns.conf");
        std::fs::write(lab.dir.join("pdns.key"), API_KEY).expect("write pdns.key");
        sh(
            "chmod 600 pdns.key pdns.conf
            schema=$(ls /usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql /usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql 2>/dev/null | head -n 1)
            sqlite3 pdns.db <$schema
            util='pdnsutil --config-dir=.'
            $util create-zone lab.test ns.lab.test
            $util create-zone 20.10.in-addr.arpa ns.lab.test
            $util add-record lab.test ns A 60 127.0.0.1
            $util add-record lab.test printer A 60 192.0.2.9
            $util add-record 20.10.in-addr.arpa 250.30 PTR 60 printer.lab.test",
            &lab.dir,
        );
        let log = std::fs::File::create(lab.dir.join("pdns.log")).expect("a log");
        let child = Command::new("pdns_server")
            .arg("--config-dir=.")
            .current_dir(&lab.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("pdns_server starts");
        let server = Self(child);
        let until = Instant::now() + Duration::from_secs(60);
        while sh(
            "curl -sf -m 5 -H \"X-API-Key: $(cat pdns.key)\" http://127.0.0.1:8081/api/v1/servers/localhost >/dev/null && echo up || echo down",
            &lab.dir,
        ) != "up"
        {
            assert!(Instant::now() < until, "{}", sh("cat pdns.log", &lab.dir));
        }
        server
    }
}

/// A zone's record sets, as the server's API gives them.
fn zone(lab: &Lab, zone: &str) -> Value {
    let ask = format!(
        "curl -sfS -m 20 -H \"X-API-Key: $(cat pdns.key)\" http://127.0.0.1:8081/api/v1/servers/localhost/zones/{zone}."
    );
    serde_json::from_str(&sh(&ask, &lab.dir)).expect("the API answers with JSON")
}

/// The values of a record set.
fn values(zone: &Value, name: &str, kind: &str) -> Vec<String> {
    let sets = zone["rrsets"].as_array().expect("a zone has record sets");
    let set = sets.iter().find(|s| s["name"] == name && s["type"] == kind);
    let records = set.and_then(|s| s["records"].as_array()).into_iter().flatten();
    let mut values: Vec<String> =
        records.filter_map(|r| r["content"].as_str().map(str::to_owned)).collect();
    values.sort();
    values
}

/// The names of a zone that hold something besides its own SOA and NS.
pub fn names(lab: &Lab, name: &str) -> Vec<String> {
    let zone = zone(lab, name);
    let sets = zone["rrsets"].as_array().expect("a zone has record sets");
    let own = |s: &&Value| s["type"] != "SOA" && s["type"] != "NS";
    let mut names: Vec<String> = sets
        .iter()
        .filter(own)
        .map(|s| {
            format!("{} {}", s["name"].as_str().unwrap_or(""), s["type"].as_str().unwrap_or(""))
        })
        .collect();
    names.sort();
    names
}

/// Changes a record set behind bp's back.
fn set_by_hand(lab: &Lab, name: &str, kind: &str, value: &str) {
    let patch = serde_json::json!({ "rrsets": [{
        "name": name, "type": kind, "ttl": 60, "changetype": "REPLACE",
        "records": [{ "content": value, "disabled": false }],
    }] });
    let send = format!(
        "curl -sfS -m 20 -X PATCH -H \"X-API-Key: $(cat pdns.key)\" --data '{patch}' \
         http://127.0.0.1:8081/api/v1/servers/localhost/zones/lab.test."
    );
    sh(&send, &lab.dir);
}

/// Every host's own resolver answers, forward and back; what others wrote is untouched.
fn answered(lab: &Lab) {
    let forward = zone(lab, "lab.test");
    let addresses: Vec<String> =
        (1..=3).flat_map(|n| values(&forward, &format!("node{n}.lab.test."), "A")).collect();
    assert_eq!(addresses.len(), 3, "{forward}");
    let mut all = addresses.clone();
    all.sort();
    assert_eq!(values(&forward, "traefik.lab.test.", "A"), all);
    assert_eq!(values(&forward, "gitlab.lab.test.", "CNAME"), ["traefik.lab.test."]);
    assert_eq!(values(&forward, "note.lab.test.", "TXT"), ["\"made by bp\""]);
    assert_eq!(
        values(&forward, "_etcd-client._tcp.lab.test.", "SRV"),
        ["0 0 2379 node1.lab.test."]
    );
    assert_eq!(values(&forward, "printer.lab.test.", "A"), ["192.0.2.9"]);
    for host in ["node1", "node2", "node3"] {
        let seen = lab.on(host, "getent ahostsv4 gitlab.lab.test | awk '{ print $1 }' | sort -u");
        assert_eq!(seen.lines().collect::<Vec<_>>(), all, "gitlab.lab.test on {host}");
        let back = lab.on(host, &format!("getent hosts {}", addresses[1]));
        assert!(back.contains("node2.lab.test"), "{} on {host}: {back}", addresses[1]);
    }
    let last = addresses[0].rsplit('.').next().expect("an address").to_owned();
    let reverse = zone(lab, "20.10.in-addr.arpa");
    assert_eq!(
        values(&reverse, &format!("{last}.30.20.10.in-addr.arpa."), "PTR"),
        ["node1.lab.test."]
    );
}

/// What somebody changed by hand is shown, and mended.
pub fn changed_by_hand(lab: &Lab) {
    answered(lab);
    set_by_hand(lab, "traefik.lab.test.", "A", "10.20.30.250");
    let plan = lab.expect(&["plan", "lab.yml", "--only", "dns"], 3);
    let up = lab.expect(&["up", "lab.yml", "--yes", "--only", "dns"], 0);
    // A wrong record makes the hosts' resolvers wrong: one that still remembers it forgets it. Nothing
    // else has to be mended.
    for found in [plan.marked("+"), up.applied()] {
        assert!(found.contains("dns/records/"), "{found:?}");
        let resolves = |step: &String| step.starts_with("dns/resolves/");
        assert!(found.iter().all(|step| step == "dns/records/" || resolves(step)), "{found:?}");
    }
    lab.expect(&["plan", "lab.yml", "--only", "dns"], 0);
    answered(lab);
}

/// What a stranger wrote, and nothing else, is in both zones.
pub fn only_the_strangers(lab: &Lab) {
    assert_eq!(names(lab, "lab.test"), ["ns.lab.test. A", "printer.lab.test. A"]);
    assert_eq!(names(lab, "20.10.in-addr.arpa"), ["250.30.20.10.in-addr.arpa. PTR"]);
}

/// A second blueprint in the same libvirt and the same zone: its `destroy` leaves the first whole.
pub fn second_lab(lab: &Lab) {
    let text = std::fs::read_to_string(lab.dir.join("lab.yml")).expect("lab.yml");
    let provider = text.split("machine:").next().expect("a provider comes first");
    let provider = replaced(provider, "name: lab\n", "name: other\n");
    let provider = replaced(&provider, "network: lab\n", "network: other\n");
    let provider = replaced(&provider, "subnet: 10.20.30.0/24", "subnet: 10.20.31.0/24");
    let other = format!(
        "{provider}machine: {{ cpus: 1, memory: 1GiB, disk: 10GiB }}\nhosts: {{ box: {{ role: none }} }}\n{}\
         phases: [machines, base, dns]\n",
        DNS.split("  records:").next().expect("records come last").to_owned()
            + "  records: { shop: { cname: box } }\n"
    );
    std::fs::write(lab.dir.join("other.yml"), other).expect("write other.yml");
    let before = (names(lab, "lab.test"), names(lab, "20.10.in-addr.arpa"));
    lab.expect(&["up", "other.yml", "--yes"], 0);
    lab.expect(&["plan", "other.yml"], 0);
    // What the two share: libvirt and the zones.
    let first_is_whole = || {
        for phase in ["machines", "dns"] {
            lab.expect(&["plan", "lab.yml", "--only", phase], 0);
        }
    };
    first_is_whole();
    let with = names(lab, "lab.test");
    for name in ["box.lab.test. A", "shop.lab.test. CNAME"] {
        assert!(with.iter().any(|n| n == name), "{name} is not in {with:?}");
    }
    // The reverse zone is the two labs' as well.
    let back = names(lab, "20.10.in-addr.arpa");
    assert!(back.iter().any(|n| n.contains(".31.20.10.in-addr.arpa. PTR")), "{back:?}");
    lab.expect(&["destroy", "other.yml", "--yes"], 0);
    assert_eq!((names(lab, "lab.test"), names(lab, "20.10.in-addr.arpa")), before);
    first_is_whole();
}
