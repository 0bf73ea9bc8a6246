//! The distribution's own engine.

use crate::host::Host;
use blueprints::EngineSource;

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_of_the_distribution() {
    let mut host = Host::new("distro", EngineSource::Distro);

    host.pin("1.");
    let said = host.refused("packages").await;
    let has = host.root.sh("apt-cache madison docker.io | awk '{ print $3; exit }'");
    let expected = format!("the distribution has no docker.io 1., but: {has}");
    assert!(said.contains(&expected), "{said}");

    host.lab.engine.version = None;
    host.makes("packages", "docker.io is not installed").await;
    assert_eq!(host.root.sh("apt-mark showhold"), "");

    let (major, _) = has.split_once('.').expect("a version has dots");
    host.pin(major);
    host.makes("packages", "docker.io is not held").await;
    assert_eq!(host.root.sh("apt-mark showhold"), "docker.io");
    assert_eq!(host.version("docker.io"), has);

    // Cut off between two packages: unpacked, and without what it needs.
    host.root.sh(
        "export DEBIAN_FRONTEND=noninteractive; cd /tmp && apt-get -q download docker.io && \
         apt-get -q -y --allow-change-held-packages remove docker.io containerd runc && \
         dpkg --unpack docker.io_*.deb && rm docker.io_*.deb",
    );
    host.makes("packages", "docker.io is not installed").await;
    assert_eq!(host.version("docker.io"), has);

    host.pin("1.");
    let reason = format!("docker.io is {has}, the blueprint says 1.");
    assert_eq!(host.reason("packages").await, Some(reason));

    host.root.sh("mv /usr/bin/apt-get /usr/bin/apt-get.away");
    let none = "there is no apt-get here: bp knows Debian and what is made of it";
    assert_eq!(host.reason("packages").await.as_deref(), Some(none));
    let said = host.refused("packages").await;
    assert!(said.ends_with(none), "{said}");

    let said = host.root.sh("docker --version; dockerd --version; curl --version | head -n 1");
    assert_eq!(said.matches("Docker version").count(), 2, "{said}");
    assert!(said.contains("curl"), "{said}");
}
