//! The stacks of a resolved blueprint: what bp ships, and the user's own.

use crate::lab::Lab;
use indexmap::IndexMap;
use std::path::PathBuf;
use std::time::Duration;

/// A stack: one that bp ships, or the user's own compose file.
#[derive(Clone, Debug, PartialEq)]
pub struct Stack {
    /// Its name, also the name of the docker stack.
    pub name: String,
    /// What is deployed.
    pub kind: StackKind,
    /// The image of its main service, tag and all, `images.replace` not yet applied; empty for the
    /// user's own.
    pub image: String,
    /// The version of the software as its users name it (etcd `3.5`, PostgreSQL `17`, GitLab `18`);
    /// empty for the user's own.
    pub version: String,
    /// Stacks that must be healthy before it: those of the file and those that its kind needs.
    pub needs: Vec<String>,
    /// What its author calls healthy, besides all tasks running.
    pub health: Vec<Health>,
    /// How long its services may take to converge.
    pub within: Duration,
    /// What becomes of a change that does not become healthy within its bound.
    pub on_failure: OnFailure,
}

/// What becomes of a change that does not become healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The version before comes back.
    #[default]
    Rollback,
    /// It stays as it is, to be looked at.
    Keep,
}

/// What a stack deploys.
#[derive(Clone, Debug, PartialEq)]
pub enum StackKind {
    /// bp's own: holds the key of the lab's certificate authority.
    Authority,
    /// etcd, on managers.
    Etcd(Members),
    /// PostgreSQL under Stolon.
    Stolon(Stolon),
    /// Redis with Sentinel.
    Redis(Members),
    /// Traefik on all managers.
    Traefik(Traefik),
    /// A registry of the lab's own.
    Registry {
        /// The name under which it is reached, through Traefik.
        host: String,
    },
    /// GitLab, and a runner of it.
    Gitlab(Gitlab),
    /// Portainer, with an agent on every node.
    Portainer {
        /// The name under which it is reached, through Traefik.
        host: String,
    },
    /// The user's own compose v3 file.
    File(PathBuf),
}

impl StackKind {
    /// Whether it has certificates of the lab's authority.
    pub fn is_certified(&self) -> bool {
        !matches!(self, Self::Authority | Self::File(_))
    }

    /// The TCP ports that its template publishes, and whether only on the hosts of its tasks; the
    /// user's own file says by itself what it publishes.
    pub fn ports(&self) -> Vec<(u16, bool)> {
        match self {
            // An ACME server's question comes to any node, and one instance answers it.
            Self::Traefik(traefik) => {
                let on_its_hosts = !matches!(traefik.tls, Tls::Acme { .. });
                vec![(80, on_its_hosts), (443, on_its_hosts)]
            }
            Self::Gitlab(gitlab) => vec![(gitlab.ssh_port, false)],
            _ => Vec::new(),
        }
    }

    /// The name under which it is reached, through Traefik.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Traefik(traefik) => traefik.host.as_deref(),
            Self::Registry { host } | Self::Portainer { host } => Some(host),
            Self::Gitlab(gitlab) => Some(&gitlab.host),
            _ => None,
        }
    }

    /// The overlay networks that its template uses; made where nobody declares them.
    pub fn networks(&self) -> &'static [&'static str] {
        match self {
            Self::Etcd(_) => &["etcd"],
            Self::Stolon(_) => &["etcd", "pgsql"],
            Self::Redis(_) => &["redis"],
            Self::Traefik(_) | Self::Registry { .. } | Self::Portainer { .. } => &["traefik"],
            Self::Gitlab(_) => &["gitlab", "pgsql", "redis", "traefik"],
            Self::Authority | Self::File(_) => &[],
        }
    }
}

/// The memory of a node that GitLab starts on, in bytes, at least.
pub const GITLAB_MEMORY: u64 = 4 << 30;

impl Lab {
    /// Whether Redis speaks TLS: not beside a GitLab that speaks none to Sentinels, as before 18.10
    /// (`docs.gitlab.com/administration/redis/tls`); bp's version 18 is newer.
    pub fn redis_tls(&self) -> bool {
        let old = |s: &Stack| matches!(s.kind, StackKind::Gitlab(_)) && s.version == "17";
        !self.stacks.iter().any(old)
    }
}

/// The hosts that hold a member each: 1, 3 or 5 names, in the order of the file.
pub type Members = Vec<String>;

/// PostgreSQL under Stolon.
#[derive(Clone, Debug, PartialEq)]
pub struct Stolon {
    /// The hosts that hold a keeper, a sentinel and a proxy each.
    pub members: Members,
    /// Databases by name.
    pub databases: IndexMap<String, Database>,
    /// Whether a commit waits for a standby.
    pub synchronous: bool,
    /// The scheduled dumps.
    pub backup: Backup,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// The role that owns it and logs in to it; its password is the secret `pgsql_<owner>`.
    pub owner: String,
    /// Its extensions.
    pub extensions: Vec<String>,
}

/// Scheduled dumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// How often.
    pub every: Duration,
    /// How many are kept.
    pub keep: u32,
}

/// Traefik.
#[derive(Clone, Debug, PartialEq)]
pub struct Traefik {
    /// The name of its dashboard; `None`: there is none.
    pub host: Option<String>,
    /// Where its certificates come from.
    pub tls: Tls,
}

/// Where Traefik's certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// The lab's own authority.
    Internal,
    /// An ACME server.
    Acme {
        /// The account's address.
        email: String,
        /// The server's directory; `None`: Let's Encrypt.
        server: Option<String>,
        /// Who signed the certificate of its URL; `None`: one of the well-known authorities.
        ca: Option<PathBuf>,
    },
    /// Files of the operator's.
    Files {
        /// The certificate, with what stands between it and its root.
        cert: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// GitLab.
#[derive(Clone, Debug, PartialEq)]
pub struct Gitlab {
    /// The name under which it is reached, through Traefik.
    pub host: String,
    /// The published port of its SSH server.
    pub ssh_port: u16,
    /// How it sends mail; `None`: not at all.
    pub smtp: Option<Smtp>,
    /// The image of its runner; `None`: there is none.
    pub runner: Option<String>,
}

/// How mail is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smtp {
    /// The server.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The user, also the sender.
    pub user: String,
    /// The secret that holds the password.
    pub password: String,
}

/// One health check of a user's stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// How long it may take to become true.
    pub within: Duration,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A GET answered with this status.
    Http {
        /// The URL.
        url: String,
        /// The overlay network it is asked from; `None`: from a manager's own network.
        network: Option<String>,
        /// The expected status code.
        expect: u16,
    },
    /// A TCP connection that is accepted.
    Tcp {
        /// Host name or address, and port.
        address: String,
        /// The overlay network it is asked from; `None`: from a manager's own network.
        network: Option<String>,
    },
    /// A shell command on a manager that exits with 0.
    Check(String),
    /// So many running tasks of a service of the stack.
    Replicas {
        /// The service's name in the compose file.
        service: String,
        /// How many.
        count: u64,
    },
}
