//! Limits as data, each with its reason.

use std::time::Duration;

/// Hosts worked on at once. Package mirrors, the hypervisor's disk and its CPUs are shared by the
/// hosts, and beyond this many they only wait for each other.
pub(crate) const PARALLEL: usize = 25;

/// The first pause between two checks of a step that waits: most things are true at once.
pub(crate) const POLL_FASTEST: Duration = Duration::from_millis(200);

/// The longest pause between two checks of a step that waits. A poll is a command on a host; one
/// in two seconds is no load, and no run is late by more than that.
pub(crate) const POLL_SLOWEST: Duration = Duration::from_secs(2);

/// How often an apply is tried whose connection failed.
pub(crate) const APPLY_ATTEMPTS: usize = 3;

/// What steps in hand get after an interrupt.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);

/// Collecting what is shown with a failure; the failure itself is not held up by more.
pub(crate) const DIAGNOSIS: Duration = Duration::from_secs(30);

/// Logging in to a host that is up: TCP, key exchange, authentication, on a busy machine.
pub(crate) const CONNECT: Duration = Duration::from_secs(20);

/// How often a silent peer is asked whether it is there; three silences are a dead one.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(5);

/// A machine from its start until SSH answers. Emulated guests on a busy machine take minutes.
pub(crate) const BOOT: Duration = Duration::from_secs(600);

/// Removing one machine with its volumes.
pub(crate) const REMOVE: Duration = Duration::from_secs(180);

/// Packages installed on a host through a slow mirror, apt's own lock included.
pub(crate) const PACKAGES: Duration = Duration::from_secs(1200);

/// Joining a swarm: raft, certificates, overlay set-up.
pub(crate) const JOIN: Duration = Duration::from_secs(300);

/// A node that left its swarm until the managers see it as down: they hear it at once, or miss its
/// heartbeats (one in 5 s, three are missed), which a new leader counts anew.
pub(crate) const NODE_DOWN: Duration = Duration::from_secs(90);

/// How far the clocks of two hosts may be apart. etcd warns of peers from one second on
/// (`prober found high clock drift`); what else depends on time is more patient.
pub(crate) const CLOCK_SKEW: Duration = Duration::from_secs(1);

/// A time service from its start until the clock is right: a name resolved, a few answers of its
/// servers, and at most two of systemd-timesyncd's shortest pauses (32 s) between attempts.
pub(crate) const CLOCKS_AGREE: Duration = Duration::from_secs(180);

/// A question to GlusterFS's daemons. They lock the pool for some answers, wait for each other, and
/// their own command gives up after two minutes.
pub(crate) const GLUSTER_ASKED: Duration = Duration::from_secs(110);

/// A change of a volume or of the pool, several commands of gluster. Less than its step may take, so
/// that it is the change that says what it waited for.
pub(crate) const GLUSTER_CHANGED: Duration = Duration::from_secs(240);

/// Peers probed and connected in both directions, bricks started, a volume mounted.
pub(crate) const GLUSTER: Duration = Duration::from_secs(300);

/// Files healed onto a brick that was away: as many as were written meanwhile.
pub(crate) const HEAL: Duration = Duration::from_secs(3600);

/// A bound as people write it.
pub(crate) fn seconds(bound: Duration) -> String {
    match bound.as_secs() {
        0 => format!("{} ms", bound.as_millis()),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}
