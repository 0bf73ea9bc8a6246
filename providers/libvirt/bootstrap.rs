//! A root disk built on the operator's machine from distribution packages, by `mmdebstrap`.

use super::Tell;
use super::template::Files;
use crate::{ProviderError, quote};
use blueprints::Bootstrap;
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::Instant;

/// What is done to the root file system besides installing packages.
const SCRIPT: &str = include_str!("bootstrap.sh");

/// What every machine needs to be reached, named and driven.
const PACKAGES: [&str; 19] = [
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "e2fsprogs",
    "iproute2",
    "iptables",
    "kmod",
    "netbase",
    "nftables",
    "openssh-server",
    "procps",
    "qemu-guest-agent",
    "sudo",
    "systemd-resolved",
    "systemd-sysv",
    "systemd-timesyncd",
    "tzdata",
    "udev",
];

/// Documentation and translations: a third of the image.
const LEFT_OUT: [&str; 5] = [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/locale/*/LC_MESSAGES/*",
    "path-exclude=/usr/share/info/*",
];

/// A slow mirror and a slow machine; usual is one to three minutes.
const BUILD: Duration = Duration::from_secs(2400);

/// Debian's suites, whose kernel for virtual machines has another name than Ubuntu's.
const DEBIAN: [&str; 10] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// What tells one build from another: the inputs and the recipe.
fn key(inputs: &Bootstrap) -> String {
    let mut digest = Sha256::new();
    digest.update(arguments(inputs, Path::new(""), Path::new("")).join("\n"));
    digest.update(SCRIPT);
    digest.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// The built image in the cache; built where it is not there yet.
pub async fn build(inputs: &Bootstrap, cache: &Path, tell: &Tell) -> Result<Files, ProviderError> {
    let doing = format!("build template `{}`", inputs.suite);
    let failed = |cause: String, hint: Option<&str>| ProviderError {
        doing: doing.clone(),
        cause,
        hint: hint.map(str::to_owned),
    };
    let io = |e: std::io::Error| failed(e.to_string(), None);
    let place = cache.join(format!("{}-{}", inputs.suite, key(inputs)));
    let files = |folder: &Path| Files {
        disk: folder.join("disk.qcow2"),
        kernel: Some((folder.join("kernel"), folder.join("initrd"))),
    };
    if place.is_dir() {
        return Ok(files(&place));
    }
    for tool in ["mmdebstrap", "mkfs.ext4", "qemu-img"] {
        if !is_command(tool) {
            let hint = "`apt-get install mmdebstrap e2fsprogs qemu-utils`";
            return Err(failed(format!("there is no `{tool}` on this machine"), Some(hint)));
        }
    }
    fs::create_dir_all(cache).map_err(io)?;
    let started = Instant::now();
    let lock = File::create(cache.join(".lock")).map_err(io)?;
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if started.elapsed() < BUILD => {
                tell("template: another bp is building".to_owned());
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            Err(e) => return Err(failed(format!("another bp is building: {e}"), None)),
        }
    }
    // The other one may have built what is wanted here.
    if place.is_dir() {
        return Ok(files(&place));
    }
    let work = tempfile::Builder::new().prefix(".build-").tempdir_in(cache).map_err(io)?;
    let out = work.path().join("out");
    let root = work.path().join("root");
    let script = work.path().join("customize");
    fs::create_dir(&out).map_err(io)?;
    fs::write(&script, SCRIPT).map_err(io)?;
    let mut bootstrap = Command::new("mmdebstrap");
    bootstrap.args(arguments(inputs, &script, &root));
    let bound = |c: Command, what: &'static str| {
        let doing = doing.clone();
        let left = BUILD.saturating_sub(started.elapsed());
        async move {
            run(c, what, left, tell).await.map_err(|cause| ProviderError {
                doing,
                hint: hint(&cause),
                cause,
            })
        }
    };
    bound(bootstrap, "mmdebstrap").await?;
    for (prefix, name) in [("vmlinuz-", "kernel"), ("initrd.img-", "initrd")] {
        let found = newest(&root.join("boot"), prefix).map_err(io)?;
        let found =
            found.ok_or_else(|| failed(format!("no `/boot/{prefix}*` was installed"), None))?;
        fs::copy(found, out.join(name)).map_err(io)?;
    }
    let raw = work.path().join("disk.raw");
    let size = used(&root).map_err(io)? / 4 * 5 + (256 << 20);
    let disk = File::create(&raw).map_err(io)?;
    disk.set_len(size.next_multiple_of(64 << 20)).map_err(io)?;
    tell("template: making the disk".to_owned());
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F", "-L", "root", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-d"]);
    mkfs.arg(&root).arg(&raw);
    bound(mkfs, "mkfs.ext4").await?;
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "raw", "-O", "qcow2"]).arg(&raw).arg(out.join("disk.qcow2"));
    bound(convert, "qemu-img").await?;
    fs::rename(&out, &place).map_err(io)?;
    Ok(files(&place))
}

/// mmdebstrap's arguments.
fn arguments(inputs: &Bootstrap, script: &Path, root: &Path) -> Vec<String> {
    let hook = |stage: &str| {
        format!("--{stage}-hook=sh {} {stage} \"$1\"", quote(&script.to_string_lossy()))
    };
    let mut packages: Vec<&str> = PACKAGES.to_vec();
    packages.push(kernel(&inputs.suite));
    packages.extend(inputs.packages.iter().map(String::as_str));
    let mut arguments = vec![
        "--mode=root".to_owned(),
        "--format=directory".to_owned(),
        "--variant=apt".to_owned(),
        format!("--include={}", packages.join(",")),
        hook("essential"),
        hook("customize"),
    ];
    arguments.extend(LEFT_OUT.iter().map(|o| format!("--dpkgopt={o}")));
    arguments.push("--".to_owned());
    arguments.push(inputs.suite.clone());
    arguments.push(root.to_string_lossy().into_owned());
    arguments.extend(inputs.mirror.clone());
    arguments
}

fn kernel(suite: &str) -> &'static str {
    match (DEBIAN.contains(&suite), std::env::consts::ARCH) {
        (true, "aarch64") => "linux-image-cloud-arm64",
        (true, _) => "linux-image-cloud-amd64",
        (false, _) => "linux-image-virtual",
    }
}

fn hint(cause: &str) -> Option<String> {
    let hint = if cause.contains("root") && cause.contains("ermission") {
        "run `bp` as root for this, or name an image as template"
    } else if cause.contains("ailed to fetch") || cause.contains("esolv") {
        "is the mirror reachable from this machine? another one: `mirror:`"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

/// Runs a command to its end, telling its `I:` lines; on failure its last lines.
async fn run(
    mut command: Command,
    name: &str,
    within: Duration,
    tell: &Tell,
) -> Result<(), String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env("LC_ALL", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive");
    let mut child = command.spawn().map_err(|e| format!("`{name}`: {e}"))?;
    let mut last = std::collections::VecDeque::new();
    let stderr = child.stderr.take();
    let work = async {
        if let Some(stderr) = stderr {
            let mut lines = BufReader::new(stderr).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if let Some(news) = line.strip_prefix("I: ") {
                    tell(format!("{name}: {news}"));
                }
                last.push_back(line);
                if last.len() > 12 {
                    last.pop_front();
                }
            }
        }
        child.wait().await
    };
    match tokio::time::timeout(within, work).await {
        Err(_) => Err(format!("`{name}` did not end within its bound")),
        Ok(Err(e)) => Err(format!("`{name}`: {e}")),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("`{name}`: {status}\n{}", Vec::from(last).join("\n").trim())),
    }
}

fn is_command(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).any(|folder| folder.join(name).is_file())
}

/// The file of this prefix that sorts last.
fn newest(folder: &Path, prefix: &str) -> std::io::Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found.pop())
}

/// Bytes that the files of a folder take.
fn used(folder: &Path) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.path().symlink_metadata()?;
        // A file takes whole blocks, an inode a little.
        sum += meta.len().next_multiple_of(4096) + 512;
        if meta.is_dir() {
            sum += used(&entry.path())?;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    fn inputs(suite: &str) -> Bootstrap {
        Bootstrap { suite: suite.to_owned(), mirror: None, packages: vec!["docker.io".to_owned()] }
    }

    #[test]
    fn what_mmdebstrap_is_asked_for() {
        let mirror = Some("http://mirror.example/debian".to_owned());
        let inputs = Bootstrap { mirror, ..inputs("trixie") };
        let asked =
            arguments(&inputs, Path::new("/work dir/customize"), Path::new("/work dir/root"));
        insta::assert_snapshot!(asked.join("\n"));
    }

    #[test]
    fn a_build_is_known_by_its_inputs() {
        let one = inputs("trixie");
        assert_eq!(key(&one), key(&one.clone()));
        assert_ne!(key(&one), key(&inputs("bookworm")));
        assert_ne!(key(&one), key(&Bootstrap { packages: Vec::new(), ..one.clone() }));
        assert_eq!(kernel("noble"), "linux-image-virtual");
    }

    #[tokio::test]
    async fn commands_tell_and_fail_with_their_own_words() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell: Tell = {
            let told = told.clone();
            Arc::new(move |line| told.lock().expect("no panic").push(line))
        };
        let sh = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let minute = Duration::from_secs(60);
        run(sh("echo 'I: working' >&2"), "tool", minute, &tell).await.expect("it ends well");
        assert_eq!(*told.lock().expect("no panic"), ["tool: working"]);
        let error = run(sh("echo 'E: no space' >&2; exit 3"), "tool", minute, &tell).await;
        let error = error.expect_err("it failed");
        assert!(error.contains("exit status: 3") && error.contains("E: no space"), "{error}");
        let moment = Duration::from_millis(50);
        let error = run(sh("exec sleep 60"), "tool", moment, &tell).await;
        assert_eq!(error, Err("`tool` did not end within its bound".to_owned()));
    }
}
