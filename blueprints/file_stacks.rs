//! The stacks of a blueprint as they are written.

use crate::field::{Field, List, Map};
use crate::services::OnFailure;
use crate::units::Time;
use schemars::JsonSchema;
use serde::Deserialize;

/// A stack: the name of one that bp ships, or a name with its settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Stack {
    /// A stack that bp ships, as it is.
    #[serde(rename = "word")]
    Name(String),
    /// A name and its settings.
    #[serde(rename = "map")]
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    Settings(Map<StackBody>),
}

/// The settings of a stack.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ file: stacks/web.yml }`")]
pub(crate) struct StackBody {
    /// A compose file.
    pub file: Field<String>,
    /// Stacks that must be healthy before it.
    pub needs: Field<List<String>>,
    /// When it is healthy, besides all its tasks running.
    pub health: Field<List<Health>>,
    /// How long its services may take to converge; 5m by default, 10m for Traefik, 20m for GitLab.
    pub within: Field<Time>,
    /// What becomes of a change that does not become healthy: `rollback` (the default) or `keep`.
    pub on_failure: Field<OnFailure>,
    /// For what bp ships: the version, such as `"3.5"` of etcd, `"17"` of PostgreSQL.
    pub version: Field<String>,
    /// For what bp ships: another image of that version, with its tag.
    pub image: Field<String>,
    /// For `etcd`, `stolon`, `redis`: the number of members, 1, 3 or 5.
    pub members: Field<u32>,
    /// For `stolon`: databases by name.
    pub databases: Field<Map<Database>>,
    /// For `stolon`: whether a commit waits for a standby.
    pub synchronous: Field<bool>,
    /// For `stolon`: the scheduled dumps; every 24h, 7 kept, by default.
    pub backup: Field<Backup>,
    /// For `traefik` (its dashboard), `registry`, `gitlab`, `portainer`: the name it is reached by.
    pub host: Field<String>,
    /// For `traefik`: `internal` (the lab's own authority, the default), `acme` or `files`.
    pub tls: Field<Tls>,
    /// For `gitlab`: the published port of its SSH server; 22222 by default.
    #[schemars(range(min = 1))]
    pub ssh_port: Field<u16>,
    /// For `gitlab`: how it sends mail.
    pub smtp: Field<Smtp>,
    /// For `gitlab`: whether a runner is there (the default), or the image of the runner.
    pub runner: Field<Runner>,
}

/// A health check: one of `http`, `tcp`, `check`, `replicas`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ http: \"http://web:8080/\" }`")]
pub(crate) struct Health {
    /// A URL that answers a GET with the status that `expect` names.
    pub http: Field<String>,
    /// `host:port` that accepts a connection.
    pub tcp: Field<String>,
    /// A shell command that exits with 0 on a manager.
    pub check: Field<String>,
    /// So many running tasks of `service`.
    pub replicas: Field<u64>,
    /// The service of the compose file whose tasks are counted.
    pub service: Field<String>,
    /// The overlay network from which `http` or `tcp` is asked.
    pub network: Field<String>,
    /// The status that `http` expects; 200 by default.
    #[schemars(range(min = 100, max = 599))]
    pub expect: Field<u16>,
    /// How long it may take to become true; 2m by default.
    pub within: Field<Time>,
}

/// A database.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ extensions: [pg_trgm] }`")]
pub(crate) struct Database {
    /// The role that owns it; the database's name by default. Its password is the secret
    /// `pgsql_<owner>`.
    pub owner: Field<String>,
    /// Its extensions.
    pub extensions: Field<List<String>>,
}

/// Scheduled dumps.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map such as `{ every: 24h, keep: 7 }`")]
pub(crate) struct Backup {
    /// How often, from `1m` to `744h`; 24h by default.
    pub every: Field<Time>,
    /// How many are kept; 7 by default.
    #[schemars(range(min = 1, max = 1000))]
    pub keep: Field<u32>,
}

/// Where Traefik's certificates come from.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Tls {
    /// The lab's own authority.
    #[serde(rename = "word")]
    Known(InternalTls),
    /// Another source.
    #[serde(rename = "map")]
    Source(Box<TlsSource>),
}

/// The lab's own authority.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InternalTls {
    /// The lab's own authority.
    Internal,
}

/// A source of certificates: one of `acme`, `files`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `acme` or `files`")]
pub(crate) struct TlsSource {
    /// An ACME server.
    pub acme: Field<Acme>,
    /// Files of the operator's.
    pub files: Field<CertificateFiles>,
}

/// An ACME server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `email`")]
#[schemars(extend("required" = ["email"]))]
pub(crate) struct Acme {
    /// The account's address.
    pub email: Field<String>,
    /// The server's directory URL; Let's Encrypt by default.
    pub server: Field<String>,
    /// The authority of a server of your own, in PEM: who signed the certificate of its URL.
    pub ca: Field<String>,
}

/// Files of the operator's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `cert` and `key`")]
#[schemars(extend("required" = ["cert", "key"]))]
pub(crate) struct CertificateFiles {
    /// The certificate, with what stands between it and its root, in PEM, without the key.
    pub cert: Field<String>,
    /// Its private key, in PEM, without a passphrase.
    pub key: Field<String>,
}

/// How mail is sent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `address`, `user` and `password`")]
#[schemars(extend("required" = ["address", "user", "password"]))]
pub(crate) struct Smtp {
    /// The server.
    pub address: Field<String>,
    /// Its port; 587 by default.
    #[schemars(range(min = 1))]
    pub port: Field<u16>,
    /// The user, also the sender.
    pub user: Field<String>,
    /// The name of the secret that holds the password.
    pub password: Field<String>,
}

/// A runner.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Runner {
    /// Whether there is one, or its image.
    #[serde(rename = "word")]
    Is(bool),
    /// Its image, with its tag.
    #[serde(rename = "map")]
    Image(RunnerImage),
}

/// The image of a runner.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, expecting = "a map with `image`")]
#[schemars(extend("required" = ["image"]))]
pub(crate) struct RunnerImage {
    /// Its image, with its tag.
    pub image: Field<String>,
}
