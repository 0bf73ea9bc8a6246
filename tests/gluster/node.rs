//! A host that is namespaces of this machine: its own network, processes, `/etc`, `/run` and
//! GlusterFS's folders, the programs shared. Its disks outlive a power cut.

use async_trait::async_trait;
use providers::{Cmd, HoldError, Output, Session, SessionError, Stdin};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use tokio::io::AsyncWriteExt;

/// The folders that are a host's own, besides `/etc`.
const OWN: [&str; 4] = ["/var/lib/glusterd", "/var/log/glusterfs", "/run", "/srv"];

/// The network between hosts: a bridge in a namespace of its own.
pub struct Wire {
    first: Child,
}

impl Wire {
    /// An empty one.
    pub fn new() -> Self {
        let first = namespaces(&["--net"], "ip link add br0 type bridge && ip link set br0 up");
        Self { first }
    }
}

/// One host.
pub struct Node {
    dir: PathBuf,
    address: String,
    power: Mutex<Option<Child>>,
}

impl Node {
    /// A host with empty disks. `hosts` is what its `/etc/hosts` says.
    pub fn new(dir: &Path, address: &str, hosts: &str) -> Self {
        for own in OWN {
            std::fs::create_dir_all(dir.join(&own[1..])).expect("a folder");
            std::fs::create_dir_all(own).expect("a folder");
        }
        for part in ["etc", "work", "bin"] {
            std::fs::create_dir_all(dir.join(part)).expect("a folder");
        }
        std::fs::write(dir.join("etc/hosts"), hosts).expect("/etc/hosts");
        std::fs::write(dir.join("etc/fstab"), "# a comment\n").expect("/etc/fstab");
        let systemctl = Path::new(env!("CARGO_MANIFEST_DIR")).join("gluster/systemctl.sh");
        std::fs::copy(systemctl, dir.join("bin/systemctl")).expect("systemctl");
        let (dir, address) = (dir.to_owned(), address.to_owned());
        Self { dir, address, power: Mutex::new(None) }
    }

    /// Power on: what was enabled begins to run, and what fstab says is tried.
    pub fn boot(&self, wire: &Wire) {
        let dir = self.dir.display();
        let own = OWN.map(|own| format!("mount --bind '{dir}{own}' {own}")).join(" && ");
        let script = format!(
            "mount --make-rprivate / && mount -t proc proc /proc && {own} && rm -rf /run/* && \
             mkdir -p /run/gluster && \
             mount -t overlay overlay -o 'lowerdir=/etc,upperdir={dir}/etc,workdir={dir}/work' /etc && \
             mount --bind '{dir}/bin/systemctl' /usr/bin/systemctl && ip link set lo up"
        );
        let first = namespaces(&["--mount", "--net", "--uts", "--pid", "--fork"], &script);
        let (pid, switch) = (inner(first.id()), wire.first.id());
        let name = format!("v{pid}");
        sh(&format!(
            "nsenter --net=/proc/{switch}/ns/net ip link add {name} type veth peer name eth0 netns {pid} && \
             nsenter --net=/proc/{switch}/ns/net ip link set {name} master br0 up && \
             nsenter --net=/proc/{pid}/ns/net ip addr add {}/24 dev eth0 && \
             nsenter --net=/proc/{pid}/ns/net ip link set eth0 up",
            self.address
        ));
        *self.power.lock().expect("its power") = Some(first);
        self.sh("[ ! -e /etc/glusterd-is-enabled ] || systemctl start glusterd");
        // As at boot: what can't be mounted is left to whoever asks next.
        self.sh("awk '$3 == \"glusterfs\" { print $2 }' /etc/fstab | while read -r m; do mount \"$m\" || :; done");
    }

    /// Power off, without a word.
    pub fn cut(&self) {
        let first = self.power.lock().expect("its power").take();
        if let Some(mut first) = first {
            drop(first.stdin.take());
            let _ = first.wait();
        }
    }

    /// What a script printed that has to succeed.
    pub fn sh(&self, script: &str) -> String {
        let output = self.inside(script).expect("it is on").output().expect("nsenter");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{script}`: {err}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Starts a script that goes on.
    pub fn start(&self, script: &str) -> Child {
        self.inside(script).expect("it is on").spawn().expect("nsenter")
    }

    fn inside(&self, script: &str) -> Option<Command> {
        let power = self.power.lock().expect("its power");
        let pid = inner(power.as_ref()?.id());
        let mut command = Command::new("nsenter");
        command
            .args(["--mount", "--net", "--uts", "--pid", "--target", &pid.to_string(), "--"])
            .args(["sh", "-c", script])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
        Some(command)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.first.stdin.take());
        let _ = self.first.wait();
    }
}

#[async_trait]
impl Session for Node {
    async fn run(&self, cmd: &Cmd) -> Result<Output, SessionError> {
        let input = |e: std::io::Error| SessionError::Input(e.to_string());
        let off = || SessionError::Unreachable("no route to host".to_owned());
        let mut command = tokio::process::Command::from(self.inside(&cmd.script).ok_or_else(off)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(input)?;
        let mut stdin = child.stdin.take().expect("its input");
        if let Stdin::Bytes(bytes) = &cmd.stdin {
            stdin.write_all(bytes).await.map_err(input)?;
        }
        drop(stdin);
        let output = tokio::time::timeout(cmd.within, child.wait_with_output()).await;
        let output = output.map_err(|_| SessionError::Timeout(cmd.within))?.map_err(input)?;
        let code = output.status.code().ok_or(SessionError::NoExitStatus)?;
        Ok(Output { code, stdout: output.stdout, stderr: output.stderr })
    }

    async fn hold(&self, _: &Cmd) -> Result<(String, Box<dyn providers::Held>), HoldError> {
        Err(HoldError::Session(SessionError::Unreachable("no lock is needed here".to_owned())))
    }

    fn alive(&self) -> bool {
        self.power.lock().is_ok_and(|p| p.is_some())
    }
}

/// Namespaces that end with this program however that ends: their first process reads from it.
fn namespaces(which: &[&str], script: &str) -> Child {
    let script = format!("{script} && echo ready && exec cat >/dev/null");
    let mut first = Command::new("unshare")
        .args(which)
        .args(["--kill-child", "sh", "-c", &script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare");
    let mut ready = String::new();
    let stdout = first.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut ready).expect("it says ready");
    assert_eq!(ready, "ready\n", "no namespace");
    first
}

/// The first process inside, where `unshare` forked; itself elsewhere.
fn inner(unshare: u32) -> u32 {
    let children = format!("/proc/{unshare}/task/{unshare}/children");
    let inside = std::fs::read_to_string(children).unwrap_or_default();
    inside.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(unshare)
}

fn sh(script: &str) {
    let output = Command::new("sh").arg("-c").arg(script).output().expect("sh");
    assert!(output.status.success(), "`{script}`: {}", String::from_utf8_lossy(&output.stderr));
}
