//! The table: every key that `docker stack deploy` knows, since which version of the compose format,
//! and what may stand there. Found by asking docker 28.2 key by key, under each version.

/// What may stand at a place.
pub(super) enum Kind {
    /// Whatever the author likes.
    Any,
    /// A text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number from 0.
    Whole,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A text or a number.
    TextOrNumber,
    /// A text, a number or nothing.
    Value,
    /// Such as `1m30s`.
    Duration,
    /// Such as `512M`.
    Size,
    /// Such as `"0.5"`.
    Cpus,
    /// The name of an image.
    Image,
    /// An entry of `ports` in its short form.
    Port,
    /// An entry of `volumes` in its short form.
    Mount,
    /// Texts, each once.
    Texts,
    /// One text, or texts, each once.
    TextOrTexts,
    /// One text, or a list of texts.
    Test,
    /// One text that docker splits as a shell does, or a list of texts.
    Command,
    /// A map of values, or a list of `key=value`, each once.
    Pairs,
    /// A list.
    List(&'static Kind),
    /// A map with these keys.
    Map(&'static [Key]),
    /// A map with these keys; others are ignored by docker.
    Open(&'static [Key]),
    /// A map whose keys are names that the author gives.
    Names(&'static Kind),
    /// A map with keys of the author's, whatever they are.
    Free(&'static Kind),
    /// The first where it is no map or list, the second otherwise, which is there since a version.
    Or(&'static Kind, u8, &'static Kind),
    /// That, or nothing.
    Maybe(&'static Kind),
}

use Kind::{
    Any, Command, Cpus, Duration, Flag, Free, Image, Integer, List, Map, Maybe, Mount, Names,
    Number, Open, Or, Pairs, Port, Size, Test, Text, TextOrNumber, TextOrTexts, Texts, Value,
    Whole, Word,
};

/// A key of a map.
pub(super) struct Key {
    /// Its name; `x-` stands for all that begin so.
    pub name: &'static str,
    /// The minor version of the format that brought it.
    pub since: u8,
    /// What may stand there.
    pub kind: Kind,
}

const fn k(name: &'static str, since: u8, kind: Kind) -> Key {
    Key { name, since, kind }
}

/// The newest minor version of the format.
pub(super) const NEWEST: u8 = 13;

/// The file.
pub(super) const FILE: &[Key] = &[
    k("version", 0, Text),
    k("services", 0, Names(&Map(SERVICE))),
    k("networks", 0, Free(&Maybe(&Map(NETWORK)))),
    k("volumes", 0, Names(&Maybe(&Map(VOLUME)))),
    k("secrets", 1, Names(&Map(SECRET))),
    k("configs", 3, Names(&Map(CONFIG))),
    k("x-", 4, Any),
];

/// A service.
pub(super) const SERVICE: &[Key] = &[
    k("build", 0, Or(&Text, 0, &Open(&[]))),
    k("cap_add", 0, Texts),
    k("cap_drop", 0, Texts),
    k("cgroupns_mode", 9, Text),
    k("cgroup_parent", 0, Text),
    k("command", 0, Command),
    k("configs", 3, List(&Or(&Text, 3, &Open(GRANT)))),
    k("container_name", 0, Text),
    k(
        "credential_spec",
        3,
        Map(&[k("config", 8, Text), k("file", 3, Text), k("registry", 3, Text)]),
    ),
    k("depends_on", 0, Texts),
    k("deploy", 0, Maybe(&Map(DEPLOY))),
    k("devices", 0, Texts),
    k("dns", 0, TextOrTexts),
    k("dns_search", 0, TextOrTexts),
    k("domainname", 0, Text),
    k("entrypoint", 0, Command),
    k("env_file", 0, TextOrTexts),
    k("environment", 0, Pairs),
    k("expose", 0, List(&TextOrNumber)),
    k("external_links", 0, Texts),
    k("extra_hosts", 0, Pairs),
    k("healthcheck", 0, Map(HEALTHCHECK)),
    k("hostname", 0, Text),
    k("image", 0, Image),
    k("init", 7, Flag),
    k("ipc", 0, Text),
    k("isolation", 5, Text),
    k("labels", 0, Pairs),
    k("links", 0, Texts),
    k("logging", 0, Map(&[k("driver", 0, Text), k("options", 0, Free(&Value))])),
    k("mac_address", 0, Text),
    k("network_mode", 0, Text),
    k("networks", 0, Or(&Texts, 0, &Names(&Maybe(&Map(ATTACHMENT))))),
    k("oom_score_adj", 13, Integer),
    k("pid", 0, Maybe(&Text)),
    k("ports", 0, List(&Or(&Port, 2, &Map(PORT)))),
    k("privileged", 0, Flag),
    k("read_only", 0, Flag),
    k("restart", 0, Text),
    k("secrets", 1, List(&Or(&Text, 1, &Open(GRANT)))),
    k("security_opt", 0, Texts),
    k("shm_size", 0, TextOrNumber),
    k("stdin_open", 0, Flag),
    k("stop_grace_period", 0, Duration),
    k("stop_signal", 0, Text),
    k("sysctls", 0, Pairs),
    k("tmpfs", 0, TextOrTexts),
    k("tty", 0, Flag),
    k("ulimits", 0, Free(&Or(&Integer, 0, &Map(&[k("soft", 0, Integer), k("hard", 0, Integer)])))),
    k("user", 0, Text),
    k("userns_mode", 0, Text),
    k("volumes", 0, List(&Or(&Mount, 2, &Map(MOUNT)))),
    k("working_dir", 0, Text),
    k("x-", 7, Any),
];

/// A secret or a config that a service is given.
const GRANT: &[Key] = &[
    k("source", 0, Text),
    k("target", 0, Text),
    k("uid", 0, Text),
    k("gid", 0, Text),
    k("mode", 0, Whole),
];

/// A service's place on a network.
const ATTACHMENT: &[Key] = &[
    k("aliases", 0, Texts),
    k("driver_opts", 13, Free(&TextOrNumber)),
    k("ipv4_address", 0, Text),
    k("ipv6_address", 0, Text),
];

const PORT: &[Key] = &[
    k("mode", 0, Word(&["ingress", "host"])),
    k("target", 0, Whole),
    k("published", 0, Whole),
    k("protocol", 0, Word(&["tcp", "udp", "sctp"])),
];

const MOUNT: &[Key] = &[
    k("type", 0, Word(&["volume", "bind", "tmpfs", "npipe", "cluster"])),
    k("source", 0, Text),
    k("target", 0, Text),
    k("read_only", 0, Flag),
    k("consistency", 0, Text),
    k("bind", 0, Open(&[k("propagation", 0, Text)])),
    k("volume", 0, Open(&[k("nocopy", 0, Flag)])),
    k("tmpfs", 6, Open(&[k("size", 0, Whole)])),
];

const HEALTHCHECK: &[Key] = &[
    k("disable", 0, Flag),
    k("interval", 0, Duration),
    k("retries", 0, Whole),
    k("test", 0, Test),
    k("timeout", 0, Duration),
    k("start_period", 4, Duration),
    k("start_interval", 12, Duration),
];

/// How a service is deployed.
pub(super) const DEPLOY: &[Key] = &[
    k("mode", 0, Word(&["replicated", "global", "replicated-job", "global-job"])),
    k("endpoint_mode", 2, Word(&["vip", "dnsrr"])),
    k("replicas", 0, Whole),
    k("labels", 0, Pairs),
    k("update_config", 0, Map(UPDATE)),
    k("rollback_config", 7, Map(ROLLBACK)),
    k("resources", 0, Map(RESOURCES)),
    k("restart_policy", 0, Map(RESTART)),
    k("placement", 0, Map(PLACEMENT)),
];

const ORDER: Kind = Word(&["stop-first", "start-first"]);

const UPDATE: &[Key] = &[
    k("parallelism", 0, Whole),
    k("delay", 0, Duration),
    k("failure_action", 0, Word(&["pause", "continue", "rollback"])),
    k("monitor", 0, Duration),
    k("max_failure_ratio", 0, Number),
    k("order", 4, ORDER),
];

const ROLLBACK: &[Key] = &[
    k("parallelism", 0, Whole),
    k("delay", 0, Duration),
    k("failure_action", 0, Word(&["pause", "continue"])),
    k("monitor", 0, Duration),
    k("max_failure_ratio", 0, Number),
    k("order", 7, ORDER),
];

const RESOURCES: &[Key] = &[
    k("limits", 0, Map(&[k("cpus", 0, Cpus), k("memory", 0, Size), k("pids", 9, Integer)])),
    k(
        "reservations",
        0,
        Map(&[k("cpus", 0, Cpus), k("memory", 0, Size), k("generic_resources", 5, GENERIC)]),
    ),
];

const GENERIC: Kind = List(&Map(&[k(
    "discrete_resource_spec",
    5,
    Map(&[k("kind", 5, Text), k("value", 5, Integer)]),
)]));

const RESTART: &[Key] = &[
    k("condition", 0, Word(&["any", "on-failure", "none"])),
    k("delay", 0, Duration),
    k("max_attempts", 0, Whole),
    k("window", 0, Duration),
];

const PLACEMENT: &[Key] = &[
    k("constraints", 0, List(&Text)),
    k("preferences", 3, List(&Map(&[k("spread", 3, Text)]))),
    k("max_replicas_per_node", 8, Whole),
];

/// Made by others: `true`, or, as it was written before, a map with its name.
const EXTERNAL: Kind = Or(&Flag, 0, &Map(&[k("name", 0, Text)]));

const NETWORK: &[Key] = &[
    k("name", 5, Text),
    k("driver", 0, Text),
    k("driver_opts", 0, Free(&TextOrNumber)),
    k("ipam", 0, Map(&[k("driver", 0, Text), k("config", 0, List(&Map(&[k("subnet", 0, Text)])))])),
    k("external", 0, EXTERNAL),
    k("internal", 0, Flag),
    k("attachable", 2, Flag),
    k("labels", 0, Pairs),
    k("x-", 7, Any),
];

const VOLUME: &[Key] = &[
    k("name", 4, Text),
    k("driver", 0, Text),
    k("driver_opts", 0, Free(&TextOrNumber)),
    k("external", 0, EXTERNAL),
    k("labels", 0, Pairs),
    k("x-", 7, Any),
];

const SECRET: &[Key] = &[
    k("name", 5, Text),
    k("file", 1, Text),
    k("external", 1, EXTERNAL),
    k("labels", 1, Pairs),
    k("driver", 8, Text),
    k("driver_opts", 8, Free(&TextOrNumber)),
    k("template_driver", 8, Text),
    k("x-", 7, Any),
];

const CONFIG: &[Key] = &[
    k("name", 5, Text),
    k("file", 3, Text),
    k("external", 3, EXTERNAL),
    k("labels", 3, Pairs),
    k("template_driver", 8, Text),
    k("x-", 7, Any),
];

/// Keys of a service that docker refuses or that only `docker compose` knows, and what to write
/// instead.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("extends", "write the service out, or merge it from an anchor: `<<: *base`"),
    ("volume_driver", "name the driver under the file's `volumes`"),
    ("volumes_from", "name the volume under the file's `volumes` and in both services"),
    ("cpu_quota", "`deploy: { resources: { limits: { cpus: \"0.5\" } } }`"),
    ("cpu_shares", "`deploy: { resources: { limits: { cpus: \"0.5\" } } }`"),
    ("cpuset", "`deploy: { resources: { limits: { cpus: \"0.5\" } } }`"),
    ("cpus", "`deploy: { resources: { limits: { cpus: \"0.5\" } } }`"),
    ("mem_limit", "`deploy: { resources: { limits: { memory: 512M } } }`"),
    ("memswap_limit", "`deploy: { resources: { limits: { memory: 512M } } }`"),
    ("mem_reservation", "`deploy: { resources: { reservations: { memory: 256M } } }`"),
    ("pids_limit", "`deploy: { resources: { limits: { pids: 100 } } }`"),
    ("scale", "`deploy: { replicas: 2 }`"),
    ("log_driver", "`logging: { driver: json-file }`"),
    ("log_opt", "`logging: { options: {} }`"),
    ("net", "name the networks under `networks`"),
    ("profiles", "leave it out: a stack is deployed whole"),
    ("platform", "`deploy: { placement: { constraints: [node.platform.arch == x86_64] } }`"),
    ("pull_policy", "leave it out"),
    ("group_add", "`docker stack deploy` can't give a service more groups"),
    ("runtime", "`docker stack deploy` can't choose a runtime"),
    ("gpus", "`deploy: { resources: { reservations: { generic_resources: [] } } }`"),
    ("stop_timeout", "`stop_grace_period: 30s`"),
    ("dockerfile", "a swarm builds nothing: push the image to a registry"),
];

/// Keys of a service that a swarm ignores, and what becomes of it.
pub(super) const IGNORED: &[(&str, &str)] = &[
    ("build", "a swarm builds nothing: `image` has to be in a registry or among `images.archives`"),
    ("cgroup_parent", ""),
    ("cgroupns_mode", ""),
    (
        "container_name",
        "a task gets a name of its own; others reach the service by the service's name",
    ),
    ("depends_on", "all services start side by side; between stacks there is `needs`"),
    ("devices", "mount the device as a volume, or run it outside of the swarm"),
    ("domainname", "write it into `hostname`"),
    ("expose", "services on one network reach all ports of each other"),
    ("external_links", "put both services on one network"),
    ("ipc", ""),
    ("links", "services on one network reach each other by their names"),
    ("mac_address", ""),
    (
        "network_mode",
        "for the host's own network: `networks: [host]`, with `host: { external: true }`",
    ),
    ("pid", ""),
    ("privileged", "`cap_add` is what a swarm takes"),
    ("security_opt", ""),
    ("shm_size", "`volumes: [{ type: tmpfs, target: /dev/shm, tmpfs: { size: 268435456 } }]`"),
    ("tmpfs", "`volumes: [{ type: tmpfs, target: /tmp }]`"),
    ("userns_mode", ""),
];
