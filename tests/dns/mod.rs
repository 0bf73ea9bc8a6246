//! DNS servers as they really are: PowerDNS and BIND, started by the test on loopback.

mod bind;
mod pdns;
mod powerdns;
mod rfc2136;
mod whole;

use providers::dns::{Change, DnsServer, RecordSet};
use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Child;
use std::time::{Duration, Instant};

/// A record set.
fn set(name: &str, kind: &str, values: &[&str]) -> RecordSet {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    RecordSet { name: name.to_owned(), kind: kind.to_owned(), ttl: 300, values }
}

/// What was not there is to be there.
fn new(now: &RecordSet) -> Change {
    Change { was: None, now: Some(now.clone()) }
}

/// What was there is to be gone.
fn gone(was: &RecordSet) -> Change {
    Change { was: Some(was.clone()), now: None }
}

/// What a zone holds under names.
async fn read(server: &dyn DnsServer, zone: &str, names: &[&str]) -> Vec<RecordSet> {
    let names: BTreeSet<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let mut sets = server.read(zone, &names).await.unwrap().expect("the zone is there");
    sets.sort();
    sets
}

/// What is answered, in one line.
async fn answer(server: &dyn DnsServer, name: &str, kind: &str) -> String {
    let values = server.ask(name, kind).await.unwrap();
    values.into_iter().collect::<Vec<_>>().join(" | ")
}

/// A port of loopback that is free for TCP and UDP alike.
fn free_port() -> u16 {
    for _ in 0..100 {
        let tcp = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// Whether a server listens on these ports; it is ended where it does not come to that.
fn answers(child: &mut Child, ports: &[u16]) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end && child.try_wait().unwrap().is_none() {
        if ports.iter().all(|p| TcpStream::connect(("127.0.0.1", *p)).is_ok()) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}
