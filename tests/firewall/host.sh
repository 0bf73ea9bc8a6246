#!/bin/sh
# A host of its own inside one machine: namespaces of network, mounts and processes, a copy of
# /etc that nobody else sees, an empty /run, an sshd that listens on every port that is probed.
# Where no systemd runs, `systemctl` and `systemd-run` are stand-ins that know exactly what bp asks
# of them. Ends with its standard input. Run as: host.sh DIR ADDRESS PORT...
set -eu
dir=$1 address=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/etc/upper /run/etc/work /run/sshd /run/dbus /run/log /run/bin
mount -t overlay -o "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work" overlay /etc
mount --bind /run/log /var/log
mkdir -p /etc/systemd/system
ip link set lo up
# Refusals are what is measured.
echo 0 >/proc/sys/net/ipv4/icmp_ratelimit

cat >/run/bin/systemctl <<'END'
#!/bin/sh
# A stand-in for systemd's.
running() { [ -e "/run/$1.pid" ] && grep -qs '^State:.[^Z]' "/proc/$(cat "/run/$1.pid")/status"; }
case "$*" in
    'is-active -q firewalld') running firewalld ;;
    'is-active -q docker') exit 3 ;;
    'unmask firewalld' | 'enable -q firewalld' | 'disable -q firewalld' | 'enable -q ufw') ;;
    'start firewalld')
        if ! running dbus; then
            setsid dbus-daemon --system --nofork --nopidfile </dev/null >/run/dbus.log 2>&1 &
            echo $! >/run/dbus.pid
        fi
        setsid firewalld --nofork --nopid </dev/null >/run/firewalld.log 2>&1 &
        echo $! >/run/firewalld.pid
        i=0
        until firewall-cmd --state >/dev/null 2>&1; do
            i=$((i + 1)); [ $i -lt 300 ] || { cat /run/firewalld.log >&2; exit 1; }
            sleep 0.1
        done ;;
    'stop firewalld')
        running firewalld || exit 0
        kill "$(cat /run/firewalld.pid)"
        while running firewalld; do sleep 0.1; done ;;
    *) echo "the stand-in for systemctl does not know: $*" >&2; exit 1 ;;
esac
END
cat >/run/bin/systemd-run <<'END'
#!/bin/sh
# A stand-in for systemd's: runs the command later, whatever becomes of who asked for it.
case "$*" in
    '--quiet --collect --unit=bp-firewall-revert-'[0-9]*' --on-active=60 --timer-property=AccuracySec=1s /bin/sh /run/bp-firewall/revert') ;;
    *) echo "the stand-in for systemd-run does not know: $*" >&2; exit 1 ;;
esac
after=60
[ ! -e /run/revert-after ] || after=$(cat /run/revert-after)
# The shell's own number is the timer's, which ends before the command begins.
setsid sh -c "echo \$\$ >/run/revert.pid; while [ -e /run/hold ]; do sleep 0.05; done; sleep $after; rm -f /run/revert.pid; exec /bin/sh /run/bp-firewall/revert" </dev/null >/run/revert.log 2>&1 &
if [ -e /run/hold ]; then
    : >/run/held
    while [ -e /run/hold ]; do sleep 0.05; done
fi
END
chmod 755 /run/bin/*

{
    printf 'AuthorizedKeysFile %s/authorized\nHostKey %s/host_ed25519\n' "$dir" "$dir"
    printf 'PidFile none\nStrictModes no\nUsePAM no\nUseDNS no\nPermitRootLogin yes\n'
    printf 'SetEnv HOME=%s PATH=/run/bin:/usr/sbin:/usr/bin:/sbin:/bin\n' "$dir"
    for port; do printf 'ListenAddress %s:%s\n' "$address" "$port"; done
} >/run/sshd_config
/usr/sbin/sshd -D -e -f /run/sshd_config 2>/run/sshd.log &
i=0
until ss -ltn 2>/dev/null | grep -q ":$1 "; do
    i=$((i + 1)); [ $i -lt 300 ] || { cat /run/sshd.log >&2; exit 1; }
    sleep 0.1
done
echo ready
exec cat >/dev/null
