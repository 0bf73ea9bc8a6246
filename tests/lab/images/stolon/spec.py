"""The cluster specification, and what Patroni is told for it."""

KNOWN = {
    "initMode", "newConfig", "sleepInterval", "requestTimeout", "failInterval",
    "deadKeeperRemovalInterval", "proxyCheckInterval", "proxyTimeout", "maxStandbys",
    "maxStandbysPerSender", "maxStandbyLag", "synchronousReplication", "minSynchronousStandbys",
    "maxSynchronousStandbys", "usePgrewind", "additionalWalSenders", "mergePgParameters", "role",
    "defaultSUReplAccessMode", "pgParameters", "pgHBA", "automaticPgRestart", "convergenceTimeout",
    "initTimeout", "syncTimeout", "dbWaitReadyTimeout",
}
# What the keeper sets itself: Stolon takes no other value for them either.
OWN = {"unix_socket_directories", "wal_keep_segments", "wal_keep_size", "hot_standby",
       "listen_addresses", "port", "max_replication_slots", "max_wal_senders", "wal_log_hints",
       "synchronous_standby_names"}


class Wrong(Exception):
    """A specification that cannot be."""


def check(spec):
    """Refuses a specification with anything that this stand-in does not do."""
    if not isinstance(spec, dict):
        raise Wrong("not an object")
    unknown = sorted(set(spec) - KNOWN)
    if unknown:
        raise Wrong("unknown: " + ", ".join(unknown))
    if spec.get("initMode") != "new":
        raise Wrong("initMode must be new here")
    if spec.get("role", "master") != "master":
        raise Wrong("role must be master here")
    for name in ("synchronousReplication", "usePgrewind", "mergePgParameters", "automaticPgRestart"):
        if not isinstance(spec.get(name) or False, bool):
            raise Wrong(f"{name} must be true or false")
    for name in ("minSynchronousStandbys", "maxSynchronousStandbys", "maxStandbys", "maxStandbyLag",
                 "additionalWalSenders"):
        if spec.get(name) is not None and (type(spec[name]) is not int or spec[name] < 0):
            raise Wrong(f"{name} must be a number")
    parameters = spec.get("pgParameters") or {}
    if not isinstance(parameters, dict) or any(not isinstance(v, str) for v in parameters.values()):
        raise Wrong("pgParameters must be strings by name")
    hba = spec.get("pgHBA") or []
    if not isinstance(hba, list) or any(not isinstance(line, str) for line in hba):
        raise Wrong("pgHBA must be lines")
    return spec


def dynamic(spec):
    """Patroni's configuration that all members share."""
    senders = (spec.get("maxStandbys") or 20) + (spec.get("additionalWalSenders") or 5)
    parameters = {name: value for name, value in (spec.get("pgParameters") or {}).items()
                  if name not in OWN}
    parameters |= {"max_wal_senders": senders, "max_replication_slots": senders}
    synchronous = bool(spec.get("synchronousReplication"))
    # Stolon waits 20 s for a keeper; the lease of Patroni's leader is longer, long enough on an
    # emulated guest for a round and its retries. A master alone waits for a standby, as Stolon's does.
    return {
        "ttl": 45, "loop_wait": 10, "retry_timeout": 17, "primary_start_timeout": 60,
        "maximum_lag_on_failover": spec.get("maxStandbyLag") or 1024 * 1024,
        "synchronous_mode": synchronous, "synchronous_mode_strict": synchronous,
        "synchronous_node_count": max(spec.get("maxSynchronousStandbys") or 1, 1),
        "postgresql": {"use_pg_rewind": bool(spec.get("usePgrewind")), "use_slots": True,
                       "parameters": parameters},
    }
