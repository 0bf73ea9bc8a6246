//! The versions of what bp ships, in one table, and which of them work together.

/// A version of a stack's software.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// The stack.
    pub stack: &'static str,
    /// The version as its users name it.
    pub version: &'static str,
    /// The image of its main service; empty where its authors publish none.
    pub image: &'static str,
    /// The oldest version of another stack that it works with.
    pub needs: Option<(&'static str, &'static str)>,
}

/// Every version that bp knows; the first of a stack is its default.
///
/// GitLab's needs are from its installation requirements (`docs.gitlab.com/install/requirements`);
/// its version 18 is one from 18.10 on, which speaks TLS to Sentinels. Stolon's last release, 0.17,
/// ends at PostgreSQL 13; the images of its main branch, where nothing moves any more, at 14.
pub const VERSIONS: &[Version] = &[
    v("etcd", "3.5", "quay.io/coreos/etcd:v3.5.16", None),
    v("stolon", "14", "sorintlab/stolon:master-pg14", None),
    v("stolon", "15", "", None),
    v("stolon", "16", "", None),
    v("stolon", "17", "", None),
    v("redis", "8.0", "redis:8.0.2", None),
    v("traefik", "3", "traefik:v3.7.15", None),
    v("registry", "2.8", "registry:2.8.3", None),
    v("gitlab", "17", "gitlab/gitlab-ce:17.11.7-ce.0", Some(("stolon", "14"))),
    v("gitlab", "18", "gitlab/gitlab-ce:18.11.11-ce.0", Some(("stolon", "16"))),
    v("gitlab", "19", "gitlab/gitlab-ce:19.4.1-ce.0", Some(("stolon", "17"))),
    v("portainer", "2", "portainer/portainer-ce:2.33.3", None),
];

const fn v(
    stack: &'static str,
    version: &'static str,
    image: &'static str,
    needs: Option<(&'static str, &'static str)>,
) -> Version {
    Version { stack, version, image, needs }
}

/// The image of the runner that goes with a version of GitLab: a runner has the version of the GitLab
/// that it asks for work.
pub(crate) fn runner(gitlab: &str) -> &'static str {
    match gitlab {
        "18" => "gitlab/gitlab-runner:alpine-v18.11.4",
        "19" => "gitlab/gitlab-runner:alpine-v19.4.1",
        _ => "gitlab/gitlab-runner:alpine-v17.11.4",
    }
}

/// The known versions of a stack, its default first.
pub fn of(stack: &str) -> impl Iterator<Item = &'static Version> {
    VERSIONS.iter().filter(move |v| v.stack == stack)
}

/// A version as numbers, to be compared.
pub(crate) fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}
