//! A Debian root file system as a host: a session that runs its commands there.

use async_trait::async_trait;
use blueprints::Host;
use playbooks::{Failure, World};
use providers::{
    Access, Cmd, Existing, HoldError, Machine, Output, Provider, Session, SessionError, Stdin,
};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;

/// A root file system with process and mount namespaces of its own. Shares the network.
pub struct Root {
    dir: PathBuf,
    /// Its first process, which ends with this program however that ends: it reads from it.
    first: Child,
}

impl Root {
    /// A fresh Debian of this name.
    pub fn new(name: &str) -> Self {
        let dir = target().join(name);
        remove(&dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        let (tar, to) = (template(), dir.display());
        sh(&format!("tar -C '{to}' -xf '{}'", tar.display()));
        for file in ["resolv.conf", "hosts"] {
            std::fs::copy(Path::new("/etc").join(file), dir.join("etc").join(file)).expect(file);
        }
        // Nothing is started here, and loopback needs no proxy.
        sh(&format!(
            "printf '#!/bin/sh\\nexit 101\\n' >'{to}/usr/sbin/policy-rc.d' && \
             chmod 755 '{to}/usr/sbin/policy-rc.d' && \
             echo 'Acquire::http::Proxy::127.0.0.1 \"DIRECT\";' >'{to}/etc/apt/apt.conf.d/99direct'"
        ));
        let first = format!("mount -t proc proc '{to}/proc' && echo ready && exec cat >/dev/null");
        let mut first = std::process::Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &first])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut ready = String::new();
        let stdout = first.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut ready).expect("it says ready");
        assert_eq!(ready, "ready\n", "no namespace");
        Self { dir, first }
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What a script printed that has to succeed.
    pub fn sh(&self, script: &str) -> String {
        let output = self.inside(script).output().expect("nsenter");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{script}`: {err}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends every process inside, as a power cut does.
    pub fn cut(&self) {
        // The killing shell is among the killed.
        let _ = self.inside("kill -KILL -1").status();
    }

    /// Whether a process whose command line begins like this runs inside.
    pub fn runs(&self, command: &str) -> bool {
        self.processes().iter().any(|p| p.starts_with(command))
    }

    /// The arguments of every process that runs inside.
    fn processes(&self) -> Vec<String> {
        let all = std::fs::read_dir("/proc").expect("/proc").flatten().map(|e| e.path());
        all.filter(|p| std::fs::read_link(p.join("root")).is_ok_and(|root| root == self.dir))
            .filter_map(|p| std::fs::read(p.join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .collect()
    }

    fn inside(&self, script: &str) -> std::process::Command {
        let ns = |name: &str| format!("/proc/{}/ns/{name}", self.first.id());
        let mut command = std::process::Command::new("nsenter");
        command
            .arg(format!("--mount={}", ns("mnt")))
            .arg(format!("--pid={}", ns("pid_for_children")))
            .args(["--", "chroot"])
            .arg(&self.dir)
            .args(["sh", "-c", script])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(self.first.stdin.take());
        let _ = self.first.wait();
        remove(&self.dir);
    }
}

#[async_trait]
impl Session for Root {
    async fn run(&self, cmd: &Cmd) -> Result<Output, SessionError> {
        let input = |e: std::io::Error| SessionError::Input(e.to_string());
        let mut command = tokio::process::Command::from(self.inside(&cmd.script));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // As with a connection: what runs inside goes on when nobody listens any more.
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
        unreachable!("steps of hosts hold nothing")
    }

    fn alive(&self) -> bool {
        true
    }
}

/// A world of one host.
pub struct OneRoot(pub Arc<Root>);

#[async_trait]
impl World for OneRoot {
    fn providers(&self) -> Vec<Arc<dyn Provider>> {
        vec![Arc::new(Existing)]
    }

    fn provider(&self, _: &Host) -> Arc<dyn Provider> {
        Arc::new(Existing)
    }

    async fn connect(&self, _: &Host, _: &Machine) -> Result<Arc<dyn Session>, SessionError> {
        Ok(self.0.clone())
    }

    fn access(&self, host: &Host) -> Result<Access, Failure> {
        Err(Failure::new(format!("`{}` is there already", host.name)))
    }
}

/// Where everything of this test is kept.
pub fn target() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the workspace").join("target/engine")
}

/// A small Debian as an archive, made once.
fn template() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock();
    let tar = target().join("trixie.tar");
    if !tar.is_file() {
        let new = tar.with_extension("new.tar");
        let (new, tar) = (new.display(), tar.display());
        sh(&format!(
            "mmdebstrap --quiet --variant=minbase --include=ca-certificates trixie '{new}' && \
             mv '{new}' '{tar}'"
        ));
    }
    tar
}

/// Runs a script on this machine that has to succeed.
pub fn sh(script: &str) {
    let output = std::process::Command::new("sh").arg("-c").arg(script).output().expect("sh");
    assert!(output.status.success(), "`{script}`: {}", String::from_utf8_lossy(&output.stderr));
}

fn remove(dir: &Path) {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => panic!("{}: {e}", dir.display()),
        _ => {}
    }
}
