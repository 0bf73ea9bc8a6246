//! A real `sshd` on a loopback port, with keys, configuration and home of its own.

use providers::ssh::{Become, HostKeys, Target, lab_key};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running `sshd`. It and everything it started end with this.
pub struct Sshd {
    child: Child,
    /// The port on 127.0.0.1.
    pub port: u16,
    /// Its folder: configuration, host keys, log, home of who logs in.
    pub dir: TempDir,
}

impl Sshd {
    /// One with an ed25519 host key.
    pub fn start() -> Self {
        Self::with(&["ed25519"], "")
    }

    /// One that answers on every address of this machine, loopback's 127.0.0.0/8 included.
    pub fn everywhere() -> Self {
        Self::on("0.0.0.0", &["ed25519"], "AllowUsers root@127.0.0.0/8")
    }

    /// One with host keys of these types, and more lines of configuration.
    pub fn with(types: &[&str], config: &str) -> Self {
        Self::on("127.0.0.1", types, config)
    }

    fn on(address: &str, types: &[&str], config: &str) -> Self {
        assert!(
            Path::new("/usr/sbin/sshd").exists(),
            "these tests need Debian's `openssh-server`: /usr/sbin/sshd is not there"
        );
        fs::create_dir_all("/run/sshd").expect("the tests run as root: /run/sshd can be made");
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| dir.path().join(name);
        for kind in types {
            keygen(&["-q", "-t", kind, "-N", "", "-f", &text(&at(&format!("host_{kind}")))]);
        }
        let public = lab_key(&at("key")).unwrap();
        fs::write(at("authorized"), public + "\n").unwrap();
        fs::create_dir(at("bin")).unwrap();
        // A port that was free may be taken in the meantime: then another one.
        for _ in 0..5 {
            let port = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
            let d = dir.path().display();
            let mut lines = format!(
                "ListenAddress {address}:{port}\nAuthorizedKeysFile {d}/authorized\nPidFile none\n\
                 StrictModes no\nUsePAM no\nPasswordAuthentication no\nLogLevel VERBOSE\n\
                 KbdInteractiveAuthentication no\nPermitRootLogin yes\n\
                 MaxStartups 1000\nUseDNS no\n\
                 SetEnv HOME={d} PATH={d}/bin:/usr/sbin:/usr/bin:/sbin:/bin\n{config}\n"
            );
            for kind in types {
                lines += &format!("HostKey {d}/host_{kind}\n");
            }
            fs::write(at("config"), lines).unwrap();
            let mut child = Command::new("/usr/sbin/sshd")
                .args(["-D", "-e", "-f"])
                .arg(at("config"))
                .stdin(Stdio::null())
                .stderr(fs::File::create(at("log")).unwrap())
                .spawn()
                .unwrap();
            if answers(&mut child, port) {
                return Self { child, port, dir };
            }
        }
        panic!("sshd does not start: {}", fs::read_to_string(at("log")).unwrap_or_default());
    }

    /// A file of its folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The public line of its host key of this type.
    pub fn host_key(&self, kind: &str) -> String {
        fs::read_to_string(self.at(&format!("host_{kind}.pub"))).unwrap()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap()
    }

    /// How it is reached: as root, with the right key, its ed25519 key pinned, short bounds.
    pub fn target(&self) -> Target {
        Target {
            host: "node1".into(),
            address: "127.0.0.1".into(),
            port: self.port,
            user: "root".into(),
            keys: vec![self.at("key")],
            agent: None,
            sudo: Become::Nothing,
            jump: None,
            host_keys: match self.at("host_ed25519.pub").exists() {
                true => HostKeys::Pinned(vec![self.host_key("ed25519")]),
                false => HostKeys::Pinned(Vec::new()),
            },
            connect_within: Duration::from_secs(20),
            keepalive: Duration::from_secs(5),
        }
    }

    /// An executable in a folder that stands first in the `PATH` of who logs in.
    pub fn program(&self, name: &str, script: &str) {
        let path = self.at("bin").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Ends it and everything it started; its files stay.
    pub fn stop(&mut self) {
        for pid in self.sessions() {
            signal("KILL", pid);
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The processes of its connections, those of the commands included.
    pub fn sessions(&self) -> Vec<u32> {
        descendants(self.child.id())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Sends a signal to a process, which may have ended.
pub fn signal(name: &str, pid: u32) {
    let kill = Command::new("kill").args(["-s", name, &pid.to_string()]).output();
    kill.expect("kill runs");
}

/// Runs `ssh-keygen`.
pub fn keygen(args: &[&str]) {
    let out = Command::new("ssh-keygen").args(args).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// A path as text.
pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Waits, with a bound, until something is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !so() {
        assert!(Instant::now() < end, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn answers(child: &mut Child, port: u16) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end && child.try_wait().unwrap().is_none() {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn descendants(of: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((pid, rest)) = stat.split_once(" (") else { continue };
        let fields = rest.rsplit_once(") ").map(|(_, f)| f.split(' '));
        let parent = fields.and_then(|mut f| f.nth(1)?.parse::<u32>().ok());
        if let (Ok(pid), Some(parent)) = (pid.parse::<u32>(), parent) {
            parents.push((pid, parent));
        }
    }
    let mut all = vec![of];
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        all.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    all.split_off(1)
}
