//! The phase `gluster` over real daemons: hosts are namespaces of this machine with networks and
//! disks of their own. Only systemd is stood in for, see `systemctl.sh`. Needs root, FUSE, and
//! Debian's `glusterfs-server` and `attr`.

mod changes;
mod ground;
mod node;
mod volume;
