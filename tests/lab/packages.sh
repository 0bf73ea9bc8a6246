#!/bin/sh
# Installs what building bp and its lab needs, from the distribution's packages alone.
# Does nothing, and asks nobody, where everything is there already.
#
#   packages.sh          what `make lab` needs
#   packages.sh tests    what `make test` and `make bench` need besides: servers and firewalls,
#                        never as services
set -eu

packages="
    libvirt-dev pkg-config gcc libc6-dev make
    libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base
    mmdebstrap debian-archive-keyring e2fsprogs tini
    iproute2 nftables iptables procps util-linux kmod
    openssh-client ca-certificates gpg gpg-agent shellcheck"
# What tests start by themselves, in places of their own. As a service of this machine none of
# them may run because of that: a firewall could lock its user out.
servers="pdns-server pdns-backend-sqlite3 sqlite3 python3-pip bind9 ufw firewalld dbus
    glusterfs-server attr openssh-server curl"
units="pdns named firewalld ufw glusterd ssh"
new=
# Since Debian 13 the daemon's drivers are packages of their own.
drivers="
    libvirt-daemon-driver-network libvirt-daemon-driver-storage libvirt-daemon-driver-qemu
    libvirt-daemon-driver-nwfilter libvirt-daemon-log"

say() { printf 'packages: %s\n' "$*"; }
die() { printf 'packages: %s\n' "$*" >&2; exit 1; }

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing() {
    for package in "$@"; do
        installed "$package" || printf '%s ' "$package"
    done
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
        -o Dpkg::Use-Pty=0 "$@" >&2
}

policy=/usr/sbin/policy-rc.d
quiet=

# What is installed from here on is not started. A policy that is there already is set aside.
no_services() {
    [ -z "$quiet" ] || return 0
    quiet=yes
    trap 'exit 130' INT TERM
    trap ended EXIT
    if [ -e $policy ]; then
        cp -p $policy $policy.not-bp
    fi
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
}

# However it ends: the policy is what it was, and new services do not start at the next boot either.
ended() {
    if [ -e $policy.not-bp ]; then
        mv -f $policy.not-bp $policy
    else
        rm -f $policy
    fi
    for unit in $new; do
        rm -f "/etc/systemd/system/multi-user.target.wants/$unit.service"
        if [ -d /run/systemd/system ] && [ -e "/lib/systemd/system/$unit.service" ]; then
            systemctl disable --quiet "$unit"
        fi
    done
}

# QEMU's packages depend on each other's exact version: where one is from backports
# already, the others must be too. The source is the machine's own Debian source,
# of the backports suite.
add_backports() {
    file=/etc/apt/sources.list.d/bp-backports.sources
    sources=$(apt-get indextargets --format "\$(RELEASE) \$(COMPONENT) \$(REPO_URI)" \
        'Created-By: Packages')
    if printf '%s\n' "$sources" | grep -q "^$codename-backports main "; then
        return
    fi
    uri=$(printf '%s\n' "$sources" | sed -n "s|^$codename main ||p" | head -n 1)
    [ -n "$uri" ] || die "no Debian source for \`$codename main\` to derive backports from"
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\nSigned-By: %s\n' \
        "$uri" "$codename" /usr/share/keyrings/debian-archive-keyring.gpg >"$file"
    say "source $codename-backports added in $file, because qemu-utils is from there"
}

if [ "${2:-}" != as-root ] && ! command -v cargo >/dev/null; then
    die "cargo is missing: install the Rust toolchain first (see https://rustup.rs)"
fi
[ -e /etc/debian_version ] || die "this is no Debian: install by hand:" "$packages"

# shellcheck source=/dev/null
codename=$(. /etc/os-release && printf %s "$VERSION_CODENAME")
[ "$codename" = bookworm ] || packages="$packages $drivers"

# shellcheck disable=SC2086
wanted=$(missing $packages)
extra=
if [ "${1:-}" = tests ]; then
    # shellcheck disable=SC2086
    extra=$(missing $servers)
fi
if [ -z "$wanted$extra" ]; then
    say "all there"
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "not root, and no sudo: run \`$0\` as root"
    exec sudo "$0" "${1:-}" as-root
fi

# shellcheck disable=SC2086
say "installing" $wanted $extra
# Without systemd an installed service would be started by its init script and stay behind.
[ -d /run/systemd/system ] || no_services
case "$(dpkg-query -W -f '${Version}' qemu-utils 2>/dev/null)" in
    *~bpo*)
        add_backports
        apt update
        installed qemu-system-x86 ||
            apt install --no-install-recommends -t "$codename-backports" qemu-system-x86
        ;;
    *) apt update ;;
esac
# shellcheck disable=SC2086
[ -z "$wanted" ] || apt install --no-install-recommends $wanted
if [ -n "$extra" ]; then
    new=$(for unit in $units; do
        [ -e "/lib/systemd/system/$unit.service" ] || echo "$unit"
    done)
    no_services
    # shellcheck disable=SC2086
    apt install --no-install-recommends $extra
fi
say "installed"
