//! Two hosts and an operator, each in a network namespace of its own, on one bridge.

use crate::support::bp::{Desk, Ran, wait_until};
use crate::support::sshd::{keygen, text};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the hosts' sshd listens besides the port of logins: what is probed.
const PROBED: [u16; 6] = [80, 2377, 8080, 9100, 9999, 7946];

/// The ground. Everything on it ends with it.
pub struct Ground {
    /// The operator's folder.
    pub desk: Desk,
    name: String,
    hosts: Vec<Child>,
    fingerprint: String,
}

/// What becomes of a packet that knocks at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knock {
    /// It comes through: somebody answers, or the host itself says that nobody listens.
    Open,
    /// It does not come through.
    Closed,
}

impl Ground {
    /// One whose sshd takes logins on this port.
    pub fn new(ssh: u16) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bpfw{}x{count}", std::process::id());
        let desk = Desk::new().inside(&format!("{name}-op"));
        for file in ["host_ed25519", "key"] {
            keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &text(&desk.at(file))]);
        }
        std::fs::copy(desk.at("key.pub"), desk.at("authorized")).unwrap();
        let said = run(Command::new("ssh-keygen").arg("-lf").arg(desk.at("host_ed25519.pub")));
        let fingerprint = said.split(' ').nth(1).unwrap().to_owned();
        let mut ground = Self { desk, name, hosts: Vec::new(), fingerprint };
        let op = ground.space(0);
        sh(&format!(
            "ip netns add {op} && ip -n {op} link add br0 type bridge && ip -n {op} link set lo up && \
             ip -n {op} addr add 10.77.0.1/24 dev br0 && ip -n {op} link set br0 up"
        ));
        for number in [1, 2] {
            ground.add(number, ssh);
        }
        ground
    }

    fn space(&self, number: usize) -> String {
        if number == 0 { format!("{}-op", self.name) } else { format!("{}-{number}", self.name) }
    }

    fn add(&mut self, number: usize, ssh: u16) {
        let (op, space, address) = (self.space(0), self.space(number), address(number));
        sh(&format!(
            "ip netns add {space} && \
             ip -n {op} link add v{number} type veth peer name eth0 netns {space} && \
             ip -n {op} link set v{number} master br0 up && \
             ip -n {space} addr add {address}/24 dev eth0 && ip -n {space} link set eth0 up"
        ));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("firewall/host.sh");
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &space, "unshare", "--mount", "--pid", "--fork"])
            .args(["--kill-child", "--mount-proc", &text(&script), &text(&self.desk.at("."))])
            .arg(&address)
            .args(std::iter::once(ssh).chain(PROBED).map(|p| p.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "the host does not start");
        self.hosts.push(child);
    }

    /// Writes the blueprint: two nodes, this in the first one's map, and these walls.
    pub fn blueprint(&self, more: &str, firewall: &str) {
        let ssh = format!("ssh: {{ key: key, fingerprint: \"{}\" }}", self.fingerprint);
        self.desk.write(
            "bp.yml",
            &format!(
                "version: 1\nname: lab\nhosts:\n  \
                 node1: {{ provider: existing, role: manager, address: {}, {ssh}{more} }}\n  \
                 node2: {{ provider: existing, role: worker, address: {}, {ssh} }}\n\
                 firewall: {firewall}\nphases: [machines, firewall]\n",
                address(1),
                address(2)
            ),
        );
    }

    /// Runs `bp` as the operator.
    pub fn bp(&self, args: &[&str]) -> Ran {
        self.desk.bp(args)
    }

    /// Runs a script on a host that has to succeed.
    pub fn on(&self, number: usize, script: &str) -> String {
        let (ok, said) = self.try_on(number, script);
        assert!(ok, "node{number}: `{script}`: {said}");
        said
    }

    /// Runs a script on a host: whether it succeeded, and what it said.
    pub fn try_on(&self, number: usize, script: &str) -> (bool, String) {
        let pid = self.hosts[number - 1].id();
        let ns = |name: &str| format!("/proc/{pid}/ns/{name}");
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--mount={}", ns("mnt")))
            .arg(format!("--net={}", ns("net")))
            .arg(format!("--pid={}", ns("pid_for_children")))
            .args(["sh", "-c", script])
            .env("PATH", "/run/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
        let out = command.output().unwrap();
        let said = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// Knocks at `80/tcp` of a host, from the operator (0) or another host.
    pub fn knock(&self, from: usize, to: usize, port: &str) -> Knock {
        let (number, protocol) = port.split_once('/').unwrap();
        // A datagram that comes through to a port where nobody listens is answered by the host
        // itself, and the next write says so.
        let script = match protocol {
            "tcp" => format!("exec 3<>/dev/tcp/{}/{number} && read -r -u 3 line", address(to)),
            _ => format!(
                "exec 3<>/dev/udp/{}/{number}; for i in 1 2 3 4 5 6; do echo x >&3 || exit 0; \
                 read -r -t 0.2 -u 3 line; done; exit 1",
                address(to)
            ),
        };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(from), "timeout", "6", "bash", "-c", &script]);
        let out = command.env("LC_ALL", "C").output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        let refused = said.contains("Connection refused");
        let forbidden = said.contains("No route to host");
        if refused || (out.status.success() && !forbidden) { Knock::Open } else { Knock::Closed }
    }

    /// Asserts what becomes of knocks, as `from to port` in words.
    #[track_caller]
    pub fn assert(&self, open: &[(usize, usize, &str)], closed: &[(usize, usize, &str)]) {
        let open = open.iter().map(|k| (*k, Knock::Open));
        let all: Vec<_> = open.chain(closed.iter().map(|k| (*k, Knock::Closed))).collect();
        // All at once: what is dropped is known by its silence alone.
        let wrong: Vec<String> = std::thread::scope(|scope| {
            let knocks = all.iter().map(|&((from, to, port), expected)| {
                scope.spawn(move || {
                    (self.knock(from, to, port) != expected)
                        .then(|| format!("{port} of {to} from {from} is not {expected:?}"))
                })
            });
            let knocks: Vec<_> = knocks.collect();
            knocks.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(wrong, Vec::<String>::new());
    }

    /// Waits until nothing is armed on a host any more.
    #[track_caller]
    pub fn until_reverted(&self, number: usize) {
        wait_until("the change undoes itself", || {
            !self.try_on(number, "[ -e /run/bp-firewall/armed ]").0
        });
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            drop(host.stdin.take());
            let _ = host.wait();
        }
        for number in 0..=2 {
            let _ = Command::new("ip").args(["netns", "del", &self.space(number)]).status();
        }
    }
}

/// The address of the operator (0) or a host.
pub fn address(number: usize) -> String {
    if number == 0 { "10.77.0.1".to_owned() } else { format!("10.77.0.{}", 10 + number) }
}

/// Runs a script on this machine that has to succeed.
pub fn sh(script: &str) -> String {
    run(Command::new("sh").args(["-c", script]))
}

fn run(command: &mut Command) -> String {
    let out = command.stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}
