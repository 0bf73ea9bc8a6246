//! A libvirtd of the test's own, whose test driver runs nothing: its guests' addresses are loopback
//! addresses, on which a real `sshd` answers.

use crate::support::sshd::text;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The storage pool that the test driver brings.
pub const POOL: &str = "default-pool";

/// A running libvirtd. It ends with this.
pub struct Libvirtd {
    daemon: Child,
    /// A connection that stays open: with the last one the driver would forget everything.
    keeper: Child,
    dir: TempDir,
}

/// libvirtd in a mount and a network namespace of its own: it must not meet, nor start anything
/// of, the one that this machine may run.
const DAEMON: &str = "for d in /run /var/lib /var/log /var/cache /etc/libvirt; do \
    mount -t tmpfs tmpfs $d || exit; done; exec tini -s -- libvirtd -f \"$0/conf\" -p \"$0/pid\"";

impl Libvirtd {
    /// One with a volume `base` to start root disks from.
    pub fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let folder = text(dir.path());
        let conf = format!(
            "unix_sock_dir = \"{folder}\"\nunix_sock_rw_perms = \"0700\"\n\
             auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nmax_client_requests = 50\n\
             log_outputs = \"3:file:{folder}/log\"\n"
        );
        fs::write(dir.path().join("conf"), conf).unwrap();
        let mut daemon = Command::new("unshare")
            .args(["-m", "-n", "sh", "-c", DAEMON, &folder])
            .stdin(Stdio::null())
            .stderr(fs::File::create(dir.path().join("errors")).unwrap())
            .spawn()
            .expect("unshare runs");
        wait_for(&mut daemon, &folder);
        let libvirtd = Self { daemon, keeper: keep(&folder), dir };
        libvirtd.virsh(&["vol-create-as", POOL, "base", "1G", "--format", "qcow2"]);
        libvirtd
    }

    /// Where it is reached.
    pub fn uri(&self) -> String {
        uri(&text(self.dir.path()))
    }

    /// What `virsh` answers; it must succeed.
    #[track_caller]
    pub fn virsh(&self, args: &[&str]) -> String {
        let out = virsh(&self.uri(), args);
        assert!(out.status.success(), "virsh {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Defines a domain or a network from its XML.
    pub fn define(&self, verb: &str, xml: &str) {
        let path = self.dir.path().join("xml");
        fs::write(&path, xml).unwrap();
        self.virsh(&[verb, &text(&path)]);
    }

    /// Everything that is there: `domain NAME STATE`, `volume NAME`, `network NAME`, sorted.
    pub fn inventory(&self) -> Vec<String> {
        let mut all = Vec::new();
        for line in self.virsh(&["list", "--all"]).lines() {
            // Id, name, and a state of one word or two.
            all.extend(
                words(line).split_first().map(|(_, rest)| format!("domain {}", rest.join(" "))),
            );
        }
        for line in self.virsh(&["vol-list", POOL]).lines() {
            all.extend(line.split_whitespace().next().map(|name| format!("volume {name}")));
        }
        let networks = words(&self.virsh(&["net-list", "--all", "--name"]));
        all.extend(networks.into_iter().map(|name| format!("network {name}")));
        all.sort();
        all
    }
}

impl Drop for Libvirtd {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        let pid = fs::read_to_string(self.dir.path().join("pid")).unwrap_or_default();
        if let Ok(pid) = pid.trim().parse() {
            crate::support::sshd::signal("KILL", pid);
        } else {
            let _ = self.daemon.kill();
        }
        let _ = self.daemon.wait();
    }
}

fn uri(folder: &str) -> String {
    format!("test+unix:///default?socket={folder}/libvirt-sock")
}

fn virsh(uri: &str, args: &[&str]) -> Output {
    let mut virsh = Command::new("virsh");
    virsh.arg("-q").args(["-c", uri]).args(args).stdin(Stdio::null());
    virsh.output().expect("virsh runs: Debian's `libvirt-clients`")
}

fn wait_for(daemon: &mut Child, folder: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !virsh(&uri(folder), &["list"]).status.success() {
        let said = || fs::read_to_string(format!("{folder}/errors")).unwrap_or_default();
        let ended = daemon.try_wait().unwrap();
        assert!(ended.is_none() && Instant::now() < end, "libvirtd does not come up: {}", said());
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// A `virsh` that is connected and waits for something to do.
fn keep(folder: &str) -> Child {
    let mut keeper = Command::new("virsh")
        .args(["-q", "-c", &uri(folder)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("virsh runs: Debian's `libvirt-clients`");
    keeper.stdin.as_mut().unwrap().write_all(b"list --all --name\n").unwrap();
    let mut lines = BufReader::new(keeper.stdout.as_mut().unwrap()).lines();
    // The driver brings a domain of this name.
    assert!(lines.any(|line| line.unwrap() == "test"), "the keeper is not connected");
    keeper
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}
