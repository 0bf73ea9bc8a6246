#!/bin/bash
# Hosts that are there already, for the tests of what runs on hosts: containers with a systemd of
# their own, an SSH server and the packages of Debian's GlusterFS, on one wire. They share
# the machine's kernel, and so run at its full speed; what that kernel lacks, they lack. Without IPVS a
# swarm's virtual addresses and its mesh lead nowhere: the services here have names that stand for their
# tasks, and hosts/mesh stands in for the mesh. Real virtual machines are what the main path is about.
#
#   hosts.sh root           builds their root file system in the cache; nothing where it is there
#   hosts.sh up NAME...     makes them anew, at 10.20.30.11 and so on, and starts them
#   hosts.sh cut NAME       power off, at once
#   hosts.sh boot NAME      power on again
#   hosts.sh down           ends them and removes everything
#
# All but `root` is run inside a ground (`ground.sh exec`), which ends them with itself, and is what
# takes their control groups away then. `key` and
# `NAME.pub` in $BP_GROUND_ROOT/$BP_GROUND/hosts are the key that root logs in with and their host keys.
set -euo pipefail

hosts=${BP_GROUND_ROOT:-/var/lib/bp-ground}/$BP_GROUND/hosts
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bp-hosts
self=$(readlink -f "$0")
# shellcheck source=tests/lab/namespace.sh
. "${self%/*}/namespace.sh"
bridge=hosts

packages=systemd-sysv,dbus,openssh-server,glusterfs-server,iproute2,iptables
packages=$packages,nftables,curl,kmod,procps,ca-certificates,netbase,tzdata

say() { printf 'hosts: %s\n' "$*"; }
die() { printf 'hosts: %s\n' "$*" >&2; exit 1; }

await() {
    local what=$1 end=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || die "not so in time: $what"
        sleep 0.1
    done
}

# What their root file system is made by.
recipe() { { echo "$packages"; declare -f root; } | sha256sum | cut -d ' ' -f 1 | tail -c 17; }

root() {
    [ ! -d "$cache/$(recipe)" ] || return 0
    mkdir -p "$cache"
    exec 8>"$cache/lock"
    flock -w 1200 8 || die "another one builds for long"
    [ ! -d "$cache/$(recipe)" ] || return 0
    rm -rf --one-file-system "${cache:?}"/*/
    say "building their root file system"
    mmdebstrap --quiet --mode=root --variant=apt --format=directory --include="$packages" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*/LC_MESSAGES/*' trixie "$cache/new"
    # What would set the machine's own kernel, what makes two machines of one image the same to others,
    # and what waits for devices.
    rm -f "$cache/new"/usr/lib/sysctl.d/*.conf "$cache/new"/etc/ssh/ssh_host_* "$cache/new/etc/machine-id" "$cache/new/var/lib/dbus/machine-id"
    for unit in getty.target console-getty.service systemd-networkd.socket systemd-networkd.service \
        systemd-resolved.service apt-daily.timer apt-daily-upgrade.timer; do
        ln -sf /dev/null "$cache/new/etc/systemd/system/$unit"
    done
    mv "$cache/new" "$cache/$(recipe)"
}

# The v2 hierarchy of the machine's control groups, which the ground does not show: each host has a
# group of its own in it.
groups=/run/hosts-groups

address() { cat "$hosts/$1/address"; }

make() {
    local name=$1 dir=$hosts/$1
    mkdir -p "$dir"/{upper/etc/ssh,upper/root/.ssh,work,root,docker,containerd,srv}
    echo "$2" >"$dir/address"
    echo "$name" >"$dir/upper/etc/hostname"
    tr -d - </proc/sys/kernel/random/uuid >"$dir/upper/etc/machine-id"
    cp /etc/resolv.conf "$dir/upper/etc/resolv.conf"
    mesh "$dir/upper"
    chmod 700 "$dir/upper/root" "$dir/upper/root/.ssh"
    cp "$hosts/key.pub" "$dir/upper/root/.ssh/authorized_keys"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$dir/upper/etc/ssh/ssh_host_ed25519_key"
    cp "$dir/upper/etc/ssh/ssh_host_ed25519_key.pub" "$hosts/$name.pub"
}

# Where the kernel has no IPVS the swarm's mesh leads nowhere: hosts/mesh stands in for it.
mesh() {
    local units=$1/etc/systemd/system unit
    mkdir -p "$1/usr/local/bin" "$units/sockets.target.wants"
    cp "${self%/*}/hosts/mesh" "$1/usr/local/bin/mesh"
    cp "${self%/*}"/hosts/mesh-* "$units"
    for unit in mesh-all.socket mesh-here.socket; do
        ln -s "../$unit" "$units/sockets.target.wants/$unit"
    done
}

boot() {
    local name=$1 dir=$hosts/$1 group pid
    [ -d "$dir" ] || die "there is no $name"
    ! lives "$dir/init" || die "$name runs"
    group=$groups/$BP_GROUND-$name
    mkdir -p "$group"
    (
        echo 0 >"$group/cgroup.procs"
        exec setsid unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child \
            "$self" first "$name" </dev/null >>"$dir/log" 2>&1
    ) &
    await "$name begins" 20 lives "$dir/init"
    read -r pid _ <"$dir/init"
    ip link add "$bridge-$name" type veth peer name eth0 netns "$pid"
    ip link set "$bridge-$name" master $bridge up
}

# The first process of a host. The ground's /proc is still mounted when it starts.
first() {
    local name=$1 dir=$hosts/$1 root=$hosts/$1/root device
    leave_number "$dir/init"
    mount --make-rprivate /
    mount -t overlay -o "lowerdir=$cache/$(recipe),upperdir=$dir/upper,workdir=$dir/work" overlay "$root"
    for device in docker:var/lib/docker containerd:var/lib/containerd srv:srv; do
        mkdir -p "$root/${device#*:}"
        mount --bind "$dir/${device%%:*}" "$root/${device#*:}"
    done
    mount -t proc proc "$root/proc"
    # There is one of these for the machine: what bp sets is set for the host alone.
    [ -f "$dir/overcommit" ] || echo 0 >"$dir/overcommit"
    mount --bind "$dir/overcommit" "$root/proc/sys/vm/overcommit_memory"
    mount -t sysfs sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 run "$root/run"
    mount -t tmpfs -o mode=1777 tmp "$root/tmp"
    mount -t tmpfs -o mode=755 dev "$root/dev"
    for device in null:3 zero:5 full:7 random:8 urandom:9; do
        mknod -m 666 "$root/dev/${device%%:*}" c 1 "${device#*:}"
    done
    mknod -m 666 "$root/dev/tty" c 5 0
    mknod -m 666 "$root/dev/fuse" c 10 229
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    hostname "$name"
    await "the wire is there" 20 ip link show eth0
    ip link set lo up
    ip addr add "$(address "$name")/24" dev eth0
    ip link set eth0 up
    ip route add default via 10.20.30.1
    cd "$root"
    mkdir -p .machine
    pivot_root . .machine
    umount -l /.machine
    rmdir /.machine
    exec env -i container=bp PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /sbin/init systemd.log_level=warning
}

# A group of processes that have ended, with those below it.
removed() {
    [ ! -d "$1" ] || find "$1" -depth -type d -exec rmdir '{}' ';'
    [ ! -d "$1" ]
}

# Power off: all of it at once.
power_off() {
    local group
    ! lives "$hosts/$1/init" || end_namespace "$hosts/$1/init"
    ip link del "$bridge-$1" 2>/dev/null || true
    group=$groups/$BP_GROUND-$1
    await "no process of $1 is left" 30 removed "$group"
}

up() {
    local name number=11
    mkdir -p $groups
    mountpoint -q $groups || mount -t cgroup2 cgroup2 $groups
    down
    mkdir -p "$hosts"
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$hosts/key"
    ip link add $bridge type bridge
    ip addr add 10.20.30.1/24 dev $bridge
    ip link set $bridge up
    sysctl -qw net.ipv4.ip_forward=1
    nft -f - <<'RULES'
table ip hosts {
    chain way_out {
        type nat hook postrouting priority srcnat;
        ip saddr 10.20.30.0/24 ip daddr != 10.20.30.0/24 masquerade
    }
}
RULES
    for name in "$@"; do
        make "$name" "10.20.30.$number"
        boot "$name"
        number=$((number + 1))
    done
    for name in "$@"; do
        await "$name takes logins" 120 bash -c "exec 3<>/dev/tcp/$(address "$name")/22 && IFS= read -t 5 -r <&3"
    done
    say "$* run"
}

down() {
    local dir
    for dir in "$hosts"/*/; do
        [ ! -d "$dir" ] || power_off "$(basename "$dir")"
    done
    ip link del $bridge 2>/dev/null || true
    nft delete table ip hosts 2>/dev/null || true
    # bp makes the folder of a volume immutable while nothing is mounted there.
    chattr -f -i "$hosts"/*/srv/* || true
    rm -rf --one-file-system "$hosts"
}

[ "$(id -u)" = 0 ] || die "needs root"
export PATH=$PATH:/usr/sbin:/sbin
verb=${1:-}
[ $# = 0 ] || shift
case $verb in
    root) root ;;
    cut) power_off "$@" ;;
    up | boot | down | first) "$verb" "$@" ;;
    *) die "usage: $0 root | up NAME... | cut NAME | boot NAME | down" ;;
esac
