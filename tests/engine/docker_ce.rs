//! A repository of the shape of Docker's.

use crate::host::Host;
use crate::{root, web};
use blueprints::EngineSource;
use std::sync::LazyLock;

/// The URL of the repositories.
static REPOSITORY: LazyLock<String> = LazyLock::new(|| {
    let dir = root::target().join("repository");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/engine/repository.sh");
    let at = dir.display();
    root::sh(&format!("rm -rf '{at}' && mkdir -p '{at}' && '{script}' '{at}'"));
    web::serve(&dir)
});

fn source(key: Option<String>) -> EngineSource {
    EngineSource::DockerCe { repository: Some(REPOSITORY.clone()), key }
}

/// The version that is installed, without epoch and suffix: of the engine and of its command.
fn installed(host: &Host) -> String {
    let engine = host.version("docker-ce");
    assert_eq!(host.version("docker-ce-cli"), engine);
    let held = host.root.sh("apt-mark showhold | sort | tr '\\n' ' '");
    assert_eq!(held, "containerd.io docker-ce docker-ce-cli");
    let version = engine.strip_prefix("5:").expect("an epoch");
    version.split('-').next().expect("a version").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_ce_on_debian() {
    let mut host = Host::new("debian", source(None));
    host.makes("prerequisites", "curl is not installed").await;
    keys(&mut host).await;
    versions(&mut host).await;
    settings_of_the_operator(&mut host).await;
    cut_off(&mut host).await;
    locks(&mut host).await;
    host.root.sh("apt-mark unhold containerd.io");
    host.makes("packages", "containerd.io is not held").await;
    repository_gone(&mut host).await;
}

/// The repository is trusted for its key alone, and a key that was mended is fetched.
async fn keys(host: &mut Host) {
    let nowhere = format!("{}/nowhere.asc", *REPOSITORY);
    host.lab.engine.source = source(Some(nowhere));
    let said = host.refused("repository").await;
    assert!(said.contains("404"), "{said}");
    assert_eq!(host.reason("repository").await.unwrap(), "the repository's key is not there");

    host.lab.engine.source = source(Some(format!("{}/other.asc", *REPOSITORY)));
    host.makes("repository", "the repository's key is not there").await;
    let said = host.refused("packages").await;
    assert!(said.contains("InRelease' is not signed"), "{said}");

    host.lab.engine.source = source(None);
    host.makes("repository", "the repository is not listed with this key").await;
    let line = host.root.sh("grep ^deb /etc/apt/sources.list.d/docker.list");
    let (key, url) = ("/etc/apt/keyrings/docker.asc", &*REPOSITORY);
    let arch = host.root.sh("dpkg --print-architecture");
    assert_eq!(line, format!("deb [arch={arch} signed-by={key}] {url}/debian trixie stable"));
}

/// A pin is a prefix that ends where a number ends; a changed one leads up and down.
async fn versions(host: &mut Host) {
    host.pin("26");
    let said = host.refused("packages").await;
    let all = ["28.10.0", "28.1.1", "27.5.1"].map(|v| format!("{v}-1~debian.13~trixie"));
    let expected = format!("the repository has no docker-ce 26, but: {}", all.join(" "));
    assert!(said.contains(&expected), "{said}");

    host.pin("28");
    host.makes("packages", "docker-ce is not installed").await;
    assert_eq!(installed(host), "28.10.0");
    assert_eq!(host.version("containerd.io"), "1.7.27-1");

    host.pin("27");
    let has = "5:28.10.0-1~debian.13~trixie";
    host.makes("packages", &format!("docker-ce is {has}, the blueprint says 27")).await;
    assert_eq!(installed(host), "27.5.1");
    host.root.sh("DEBIAN_FRONTEND=noninteractive apt-get -q -y dist-upgrade");
    assert_eq!(installed(host), "27.5.1", "held, and upgraded");

    host.pin("28.1");
    let has = "5:27.5.1-1~debian.13~trixie";
    host.makes("packages", &format!("docker-ce is {has}, the blueprint says 28.1")).await;
    assert_eq!(installed(host), "28.1.1");

    // A version as it stands in the list of the error.
    host.pin(&all[0]);
    host.apply("packages").await.expect("a whole version");
    assert_eq!(host.reason("packages").await, None);

    host.lab.engine.version = None;
    assert_eq!(host.reason("packages").await, None);
}

/// A configuration file that somebody changed is kept, and nobody is asked about it.
async fn settings_of_the_operator(host: &mut Host) {
    host.root.sh("echo '# mine' >/etc/default/docker");
    host.pin("27");
    host.apply("packages").await.expect("an installation that asks nobody");
    assert_eq!(host.root.sh("cat /etc/default/docker"), "# mine");
    assert_eq!(installed(host), "27.5.1");
}

/// Makes one of docker-ce's scripts wait, and gives what lets it go on.
fn hold(host: &Host, script: &str) -> String {
    let pipe = format!("/run/hold-{script}");
    host.root.sh(&format!("mkfifo {pipe}"));
    pipe
}

/// The power is cut at two moments of an installation; what is left is mended.
async fn cut_off(host: &mut Host) {
    // The script that waits, where dpkg runs it from, and what is left.
    let moments = [
        ("preinst", "tmp.ci/preinst", "half-installed"),
        ("postinst", "info/docker-ce.postinst", "half-configured"),
    ];
    for (script, at, left) in moments {
        host.root.sh("apt-get -q -y --allow-change-held-packages purge docker-ce");
        let pipe = hold(host, script);
        let applying = host.start("packages");
        host.until_runs(&format!("/bin/sh /var/lib/dpkg/{at}"), &applying).await;
        host.root.cut();
        assert!(applying.await.expect("it ends").is_err(), "cut off in its {script}, and done");
        host.root.sh(&format!("rm {pipe}"));
        let status = host.root.sh("dpkg-query -W -f '${Status}' docker-ce");
        assert!(status.ends_with(left), "cut off in its {script}: {status}");
        host.makes("packages", "docker-ce is not installed").await;
        assert_eq!(installed(host), "27.5.1");
    }

    // Between two packages: unpacked, and without what it needs.
    host.root.sh("apt-get -q -y --allow-change-held-packages purge containerd.io docker-ce");
    host.root.sh("cd /tmp && apt-get -q download docker-ce=5:27.5.1-1~debian.13~trixie && \
         dpkg --unpack docker-ce_*.deb && rm docker-ce_*.deb");
    let status = host.root.sh("dpkg-query -W -f '${Status}' docker-ce");
    assert!(status.ends_with("unpacked"), "{status}");
    host.makes("packages", "docker-ce is not installed").await;
    assert_eq!(installed(host), "27.5.1");
}

/// Who holds a lock is waited for: dpkg that a lost connection left at work, and somebody who
/// looks for updates.
async fn locks(host: &mut Host) {
    host.pin("28");
    let pipe = hold(host, "postinst");
    let lost = host.start("packages");
    host.until_runs("/bin/sh /var/lib/dpkg/info/docker-ce.postinst", &lost).await;
    lost.abort();
    let applying = host.start("packages");
    host.until_runs("sleep 2", &applying).await;
    assert!(!applying.is_finished());
    host.root.sh(&format!("mv {pipe} {pipe}.old; echo >{pipe}.old; rm {pipe}.old"));
    applying.await.expect("it ends").unwrap_or_else(|e| panic!("{}", e.message));
    assert_eq!(host.reason("packages").await, None);
    assert_eq!(installed(host), "28.10.0");

    host.pin("27");
    let (silent, url) = web::listen();
    host.root.sh(&format!("echo 'deb {url} trixie main' >/run/silent.list"));
    let root = host.root.clone();
    let other = tokio::task::spawn_blocking(move || {
        // What it says of a server that went away is no matter.
        root.sh(
            "apt-get update -o Dir::Etc::sourcelist=/run/silent.list -o Dir::Etc::sourceparts=- \
             -o APT::Get::List-Cleanup=0 -o Acquire::Retries=0 2>&1 || true",
        );
        Ok(())
    });
    host.until_runs("/usr/lib/apt/methods/http", &other).await;
    let applying = host.start("packages");
    host.until_runs("sleep 2", &applying).await;
    assert!(!applying.is_finished());
    drop(silent);
    applying.await.expect("it ends").unwrap_or_else(|e| panic!("{}", e.message));
    assert_eq!(installed(host), "27.5.1");
    other.await.expect("it ends").expect("apt-get ends");
}

/// A repository that does not answer any more is said to be that.
async fn repository_gone(host: &mut Host) {
    let (closed, url) = web::listen();
    drop(closed);
    let key = format!("{}/debian/gpg", *REPOSITORY);
    host.lab.engine.source =
        EngineSource::DockerCe { repository: Some(url.clone()), key: Some(key) };
    host.makes("repository", "the repository is not listed with this key").await;
    host.pin("28");
    let said = host.refused("packages").await;
    assert!(said.contains("the repository has no docker-ce 28, but: nothing"), "{said}");
    assert!(said.contains(&format!("W: Failed to fetch {url}")), "{said}");
    assert_eq!(installed(host), "27.5.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_ce_on_other_distributions() {
    let mut host = Host::new("others", source(None));
    let os_release = host.root.dir().join("usr/lib/os-release");
    let says = |text: &str| std::fs::write(&os_release, text).expect("write os-release");

    says("ID=fedora\nVERSION_ID=43\n");
    let unknown = "docker-ce is known for debian and ubuntu, not for fedora";
    assert_eq!(host.reason("prerequisites").await.as_deref(), Some(unknown));
    let said = host.refused("prerequisites").await;
    assert!(said.ends_with(unknown), "{said}");

    says("ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\n");
    host.makes("prerequisites", "curl is not installed").await;
    host.makes("repository", "the repository's key is not there").await;
    let line = host.root.sh("cat /etc/apt/sources.list.d/docker.list");
    assert!(line.ends_with(&format!("{}/ubuntu noble stable", *REPOSITORY)), "{line}");
    host.pin("28.1");
    host.makes("packages", "docker-ce is not installed").await;
    assert_eq!(host.version("docker-ce"), "5:28.1.1-1~ubuntu.24.04~noble");
    assert_eq!(installed(&host), "28.1.1");
}
