#!/bin/bash
# Many hosts, cheaply: real sshd processes on loopback addresses of a network namespace.
#
#   sshd-farm.sh up N          127.1.0.1 and on, port 22, one host key, root by key
#   sshd-farm.sh exec CMD...   runs a command where these addresses are
#   sshd-farm.sh dir           prints the folder with key, known_hosts (and its fingerprint), hosts
#   sshd-farm.sh down          ends them all, removes the folder
#
# Every host has a name (h1, h2 ...) and a /srv of its own; all else is the machine's. Named
# after $BP_FARM (default `bp-farm`). The process namespace ends with its first process, and all
# hosts with it.
set -euo pipefail

id=${BP_FARM:-bp-farm}
dir=/var/lib/bp-ground/$id
self=$(readlink -f "$0")
# shellcheck source=tests/lab/namespace.sh
. "${self%/*}/namespace.sh"

say() { printf 'farm %s: %s\n' "$id" "$*"; }
die() { printf 'farm %s: %s\n' "$id" "$*" >&2; exit 1; }

address() { printf '127.1.%d.%d' $(($1 / 250)) $(($1 % 250 + 1)); }

# Whether all hosts greet; runs where they are.
greeted() {
    local host greeting
    while read -r host; do
        read -r -t 2 greeting <>"/dev/tcp/$host/22" && [[ $greeting == SSH-* ]] || return 1
    done <"$dir/hosts"
}

# The first process inside; the machine's /proc is still mounted when it starts.
first() {
    leave_number "$dir/first"
    mount --make-rprivate /
    mount -t proc proc /proc
    mount -t tmpfs -o mode=755 run /run
    mkdir /run/sshd
    ip link set lo up
    # Start-up files of the machine's root would be part of every measurement.
    sed "s|^root:.*|root:x:0:0:root:$dir/home:/bin/sh|" /etc/passwd >"$dir/passwd"
    mount --bind "$dir/passwd" /etc/passwd
    mv "$dir/first" "$dir/init"
    exec tini -- "$self" hosts
}

hosts() {
    local n=0 host
    while read -r host; do
        n=$((n + 1))
        unshare --mount --uts "$self" host "h$n" "$host" &
    done <"$dir/hosts"
    wait
}

host() {
    mkdir -p "$dir/srv/$1"
    mount --bind "$dir/srv/$1" /srv
    hostname "$1"
    exec /usr/sbin/sshd -D -f "$dir/sshd_config" -o "ListenAddress=$2" -o "PidFile=$dir/pid/$2"
}

up() {
    local n end=$((SECONDS + 60))
    [[ ${1:-} =~ ^[1-9][0-9]{0,3}$ ]] || die "up N, with N from 1 to 9999"
    down
    mkdir -p "$dir"/{pid,srv} "$dir/home/.ssh"
    chmod 711 "${dir%/*}"
    ssh-keygen -q -t ed25519 -N '' -C farm -f "$dir/host_key"
    ssh-keygen -q -t ed25519 -N '' -C operator -f "$dir/key"
    cp "$dir/key.pub" "$dir/home/.ssh/authorized_keys"
    chmod -R go= "$dir/home"
    for ((n = 0; n < $1; n++)); do
        address $n
        echo
    done >"$dir/hosts"
    printf '127.1.* %s\n' "$(cut -d ' ' -f 1,2 "$dir/host_key.pub")" >"$dir/known_hosts"
    ssh-keygen -l -f "$dir/host_key.pub" | cut -d ' ' -f 2 >"$dir/fingerprint"
    cat >"$dir/sshd_config" <<CONF
Port 22
HostKey $dir/host_key
AuthorizedKeysFile .ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
LogLevel ERROR
CONF
    setsid unshare --net --mount --pid --fork --kill-child "$self" first \
        </dev/null >"$dir/log" 2>&1 &
    until lives "$dir/init" && (exec_inside "$dir/init" "$self" greeted) 2>/dev/null; do
        [ $SECONDS -lt $end ] || die "not all hosts answer: $(tail -n 3 "$dir/log")"
        sleep 0.1
    done
    say "$1 hosts answer, from $(address 0) on"
}

down() {
    if lives "$dir/init"; then
        end_namespace "$dir/init"
        say "removed"
    fi
    rm -rf --one-file-system "$dir"
    rmdir "${dir%/*}" 2>/dev/null || true
}

[[ $id =~ ^[a-z][a-z0-9-]{0,30}$ ]] || die "BP_FARM: 1 to 31 of a-z, 0-9, \`-\`"
[ "$(id -u)" = 0 ] || die "needs root: \`sudo $0 $*\`"
export PATH=$PATH:/usr/sbin:/sbin

case ${1:-} in
    up) up "${2:-}" ;;
    down) down ;;
    exec)
        shift
        lives "$dir/init" || die "is not up"
        exec_inside "$dir/init" "$@"
        ;;
    dir) echo "$dir" ;;
    first) first ;;
    hosts) hosts ;;
    greeted) greeted ;;
    host) host "$2" "$3" ;;
    *) die "usage: $0 up N|exec CMD...|dir|down" ;;
esac
