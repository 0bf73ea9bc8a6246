#!/bin/bash
# The ground of the real lab: a network namespace with NAT to the outside, and in it a
# libvirt of its own. Nothing of the machine's libvirt, addresses or DNS is touched.
#
#   ground.sh up            makes it; keeps one that lives, cleans what a crash left
#   ground.sh fresh         removes it with all its guests, makes it anew
#   ground.sh exec CMD...   runs a command inside, as root, with qemu:///system working
#   ground.sh status        exit 0 where it lives
#   ground.sh down          ends what runs inside, removes everything that was made
#
# Everything is named after $BP_GROUND (default `bp-test`) and kept in $BP_GROUND_ROOT
# (default /var/lib/bp-ground), which needs room for the guests' disks.
#
# What runs inside is in a process namespace of its own: ending its first process ends all
# of it and nothing else, and what ends inside is reaped (libvirtd waits ten seconds for
# each probe of QEMU that nobody reaps).
set -euo pipefail

id=${BP_GROUND:-bp-test}
root=${BP_GROUND_ROOT:-/var/lib/bp-ground}
dir=$root/$id
# What the grounds of one machine share: a lock, who is there, the setting they changed.
grounds=/run/bp-ground
self=$(readlink -f "$0")
# shellcheck source=tests/lab/namespace.sh
. "${self%/*}/namespace.sh"

say() { printf 'ground %s: %s\n' "$id" "$*"; }
die() { printf 'ground %s: %s\n' "$id" "$*" >&2; exit 1; }

# Waits up to $1 seconds for a command to succeed.
await() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# Removes a control group with those below it.
emptied() { find "$1" -depth -type d -exec rmdir '{}' ';'; [ ! -d "$1" ]; }

inside() { (exec_inside "$dir/init" "$@"); }

libvirt_answers() { inside virsh -q -c qemu:///system uri; }

is_up() { [ -e "$dir/ready" ] && lives "$dir/init" && libvirt_answers >/dev/null 2>&1; }

# A pair of addresses that no route of the machine covers (other than the default one).
# Out of 10.230.0.0/15: neither the lab's subnet nor the pools of swarm and docker.
free_pair() {
    local n at
    n=$(cksum <<<"$id")
    n=$((${n%% *} % 32768))
    for _ in $(seq 1000); do
        at="10.$((230 + n / 16384)).$((n / 64 % 256)).$((n % 64 * 4))"
        if ! ip -4 route show table all match "$at/30" | grep -qv '^default'; then
            echo "${at%.*} ${at##*.}"
            return
        fi
        n=$(((n + 1) % 32768))
    done
    die "no free addresses for the way out"
}

# The machine's resolvers as the namespace reaches them. One on the machine's loopback is
# reached through the machine's end of the way out ($1).
resolvers() {
    local file=/etc/resolv.conf found
    if [ -r /run/systemd/resolve/resolv.conf ]; then
        file=/run/systemd/resolve/resolv.conf
    fi
    found=$(awk '$1 == "nameserver" && $2 ~ /^[0-9.]+$/ { print $2 }' "$file")
    case $found in
        '') die "no IPv4 nameserver in $file" ;;
        127.*)
            sysctl -qw "net.ipv4.conf.$id-o.route_localnet=1"
            nft add chain ip "$id" dns '{ type nat hook prerouting priority dstnat; }'
            nft add rule ip "$id" dns iifname "$id-o" ip daddr "$1" meta l4proto '{ tcp, udp }' \
                th dport 53 dnat to "${found%%$'\n'*}"
            echo "$1"
            ;;
        *) echo "$found" ;;
    esac
}

network() {
    local net last device mtu out
    read -r net last < <(free_pair)
    out=$net.$((last + 1))
    device=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -n 1)
    [ -n "$device" ] || die "the machine has no default route"
    mtu=$(cat "/sys/class/net/$device/mtu")

    ip netns add "$id"
    ip link add "$id-o" mtu "$mtu" type veth peer name "$id-i" mtu "$mtu" netns "$id"
    ip addr add "$out/30" dev "$id-o"
    ip link set "$id-o" up
    ip -n "$id" link set lo up
    ip -n "$id" addr add "$net.$((last + 2))/30" dev "$id-i"
    ip -n "$id" link set "$id-i" up
    ip -n "$id" route add default via "$out"

    if [ "$(sysctl -n net.ipv4.ip_forward)" = 0 ]; then
        touch "$grounds/ip_forward-was-0"
        sysctl -qw net.ipv4.ip_forward=1
    fi
    # Guests count on 1500 bytes; where the way out takes less, large packets of their TCP
    # would vanish on networks that drop the notice.
    nft -f - <<RULES
table ip $id {
    chain way_out {
        type nat hook postrouting priority srcnat;
        ip saddr $net.$last/30 oifname != "$id-o" masquerade
    }
    chain clamp {
        type filter hook forward priority mangle;
        iifname "$id-o" tcp flags syn tcp option maxseg size set rt mtu
        oifname "$id-o" tcp flags syn tcp option maxseg size set rt mtu
    }
}
RULES
    # Docker and ufw drop what is forwarded unless told otherwise.
    if iptables -S FORWARD 2>/dev/null | grep -qx -- '-P FORWARD DROP'; then
        iptables -w -I FORWARD -i "$id-o" -j ACCEPT
        iptables -w -I FORWARD -o "$id-o" -j ACCEPT
    fi

    mkdir -p "/etc/netns/$id"
    resolvers "$out" | sed 's/^/nameserver /' >"/etc/netns/$id/resolv.conf"
    say "network namespace with NAT through $device (mtu $mtu)"
}

# Guests run as root, with no security driver and no cgroups: the same on every machine.
configure() {
    mkdir -p "$dir"/{etc,lib/images,log,cache}
    cat >"$dir/etc/libvirtd.conf" <<CONF
unix_sock_dir = "/run/libvirt"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
CONF
    cat >"$dir/etc/virtlogd.conf" <<CONF
log_outputs = "3:file:/var/log/libvirt/virtlogd.log"
CONF
    cat >"$dir/etc/qemu.conf" <<CONF
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
CONF
}

# The first process inside. The machine's /proc is still mounted when it starts, so that it
# can leave the number by which the machine knows it.
first() {
    local target
    leave_number "$dir/first"
    mount --make-rprivate /
    mount -t proc proc /proc
    mount -t tmpfs -o mode=755 run /run
    mkdir -p /run/libvirt /run/lock
    for at in /etc /var/lib /var/log /var/cache; do
        mount --bind "$dir/${at##*/}" "$at/libvirt"
    done
    # A resolv.conf that is a link into /run has lost its target.
    target=$(readlink -m /etc/resolv.conf)
    mkdir -p "${target%/*}"
    touch "$target"
    mount --bind "/etc/netns/$id/resolv.conf" "$target"
    mv "$dir/first" "$dir/init"
    exec tini -- "$self" daemons
}

daemons() {
    virtlogd -f /etc/libvirt/virtlogd.conf -p /run/virtlogd.pid &
    libvirtd -f /etc/libvirt/libvirtd.conf -p /run/libvirtd.pid &
    wait
}

up() {
    if is_up; then
        say "is up"
        return
    fi
    down
    mkdir -p "$dir"
    chmod 711 "$root"
    touch "$grounds/$id.ground"
    network
    configure
    setsid ip netns exec "$id" unshare --pid --fork --kill-child "$self" first \
        </dev/null >"$dir/daemons.log" 2>&1 9>&- &
    await 10 lives "$dir/init" || die "nothing runs inside: $(cat "$dir/daemons.log")"
    await 60 libvirt_answers || die "libvirtd does not answer: $(tail -n 5 "$dir/daemons.log")"
    inside virsh -q -c qemu:///system pool-define-as default dir --target /var/lib/libvirt/images
    inside virsh -q -c qemu:///system pool-autostart default
    inside virsh -q -c qemu:///system pool-start default
    touch "$dir/ready"
    say "libvirt $(inside libvirtd --version | awk '{ print $NF }') inside, storage pool \`default\`"
}

down() {
    local pid group left=
    if lives "$dir/init"; then
        end_namespace "$dir/init"
        left=1
    fi
    if [ -e "/run/netns/$id" ]; then
        # Where `up` was cut off, somebody may be inside who has not left a number yet.
        for pid in $(ip netns pids "$id"); do
            kill -KILL "$pid" 2>/dev/null || true
        done
        ip netns del "$id"
        left=1
    fi
    # The control groups of hosts, which hosts.sh makes.
    for group in "$(findmnt -n -t cgroup2 -o TARGET | head -n 1)/$id"-*; do
        [ ! -d "$group" ] || await 20 emptied "$group" || say "$group is still in use"
    done
    ip link del "$id-o" 2>/dev/null || true
    nft delete table ip "$id" 2>/dev/null || true
    while iptables -w -D FORWARD -i "$id-o" -j ACCEPT 2>/dev/null; do :; done
    while iptables -w -D FORWARD -o "$id-o" -j ACCEPT 2>/dev/null; do :; done
    rm -rf "/etc/netns/$id"
    rmdir /etc/netns 2>/dev/null || true
    if [ -d "$dir" ]; then
        chattr -f -i "$dir"/hosts/*/srv/* || true
        rm -rf --one-file-system "$dir"
        left=1
    fi
    rmdir "$root" 2>/dev/null || true
    rm -f "$grounds/$id.ground"
    if [ -e "$grounds/ip_forward-was-0" ] && [ -z "$(find "$grounds" -name '*.ground')" ]; then
        sysctl -qw net.ipv4.ip_forward=0
        rm "$grounds/ip_forward-was-0"
    fi
    [ -z "$left" ] || say "removed"
}

[[ $id =~ ^[a-z][a-z0-9-]{0,11}$ ]] || die "BP_GROUND: 1 to 12 of a-z, 0-9, \`-\`"
[ "$(id -u)" = 0 ] || die "needs root: \`sudo $0 $*\`"
export PATH=$PATH:/usr/sbin:/sbin LIBVIRT_DEFAULT_URI=qemu:///system

case ${1:-} in
    up | fresh | down)
        mkdir -p "$grounds"
        exec 9>"$grounds/lock"
        flock -w 120 9 || die "another up or down holds $grounds/lock"
        trap 'trap - EXIT; down' EXIT
        [ "$1" = up ] || down
        [ "$1" = down ] || up
        trap - EXIT
        ;;
    exec)
        shift
        lives "$dir/init" || die "is not up"
        exec_inside "$dir/init" "$@"
        ;;
    status)
        is_up || { say "is not up"; exit 1; }
        say "is up, domains running: $(inside virsh -q list --name | grep -c . || true)"
        ;;
    first) first ;;
    daemons) daemons ;;
    *) die "usage: $0 up|fresh|exec CMD...|status|down" ;;
esac
