#!/bin/sh
# Builds repositories of the shape of Docker's for Debian and Ubuntu: signed, with several
# versions of each package. The packages are stand-ins: names, versions, dependencies and a
# configuration file like the real ones', and programs that only say their version.
#
#   repository.sh OUTDIR    makes OUTDIR/{debian,ubuntu}/{gpg,dists/...} and OUTDIR/other.asc,
#                           a key that signs nothing
#
# docker-ce's scripts wait where /run/hold-preinst or /run/hold-postinst is a pipe, until
# somebody writes to it.
set -eu
umask 022

# gpg leaves an agent behind: it ends with a process namespace of its own.
if [ "${2:-}" != inside ]; then
    exec unshare --pid --fork --kill-child --mount-proc "$0" "$1" inside
fi
out=$1
arch=$(dpkg --print-architecture)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# package NAME VERSION DEPENDS POOL: adds a package; $work/tree is what it holds.
package() {
    mkdir -p "$work/tree/DEBIAN" "$4"
    printf 'Package: %s\nVersion: %s\nArchitecture: %s\nDepends: %s\nMaintainer: nobody <nobody@example.net>\nDescription: stand-in of a test\n' \
        "$1" "$2" "$arch" "$3" >"$work/tree/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone --build "$work/tree" "$4/$1_${2#*:}_$arch.deb" >/dev/null
    rm -rf "$work/tree"
}

# program NAME VERSION: a program for the next package.
program() {
    mkdir -p "$work/tree/usr/bin"
    printf '#!/bin/sh\necho "stand-in of %s, version %s"\n' "$1" "$2" >"$work/tree/usr/bin/$1"
    chmod 755 "$work/tree/usr/bin/$1"
}

# packages POOL SUFFIX
packages() {
    for version in 1.7.25-1 1.7.27-1; do
        program containerd "$version"
        package containerd.io "$version" libc6 "$1"
    done
    for version in 28.1.1 27.5.1 28.10.0; do
        program docker "$version"
        package docker-ce-cli "5:$version-1~$2" libc6 "$1"
        program dockerd "$version"
        mkdir -p "$work/tree/etc/default" "$work/tree/DEBIAN"
        echo "# dockerd $version" >"$work/tree/etc/default/docker"
        echo /etc/default/docker >"$work/tree/DEBIAN/conffiles"
        for script in preinst postinst; do
            printf '#!/bin/sh\n[ ! -p /run/hold-%s ] || read -r line </run/hold-%s\n' \
                $script $script >"$work/tree/DEBIAN/$script"
            chmod 755 "$work/tree/DEBIAN/$script"
        done
        package docker-ce "5:$version-1~$2" \
            'containerd.io (>= 1.6.24), docker-ce-cli, iptables, libc6' "$1"
    done
}

# repository ID CODENAME SUFFIX
repository() {
    base=$out/$1
    dist=$base/dists/$2
    mkdir -p "$dist/stable/binary-$arch"
    packages "$dist/pool/stable/$arch" "$3"
    (
        cd "$base"
        for file in "dists/$2/pool/stable/$arch"/*.deb; do
            dpkg-deb --field "$file"
            printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "$file" "$(wc -c <"$file")" \
                "$(sha256sum "$file" | cut -d ' ' -f 1)"
        done >"dists/$2/stable/binary-$arch/Packages"
    )
    index=stable/binary-$arch/Packages
    {
        printf 'Origin: Docker\nLabel: Docker CE\nSuite: %s\nCodename: %s\nDate: %s\n' "$2" "$2" \
            "$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S UTC')"
        printf 'Architectures: %s\nComponents: stable\nSHA256:\n' "$arch"
        printf ' %s %s %s\n' "$(sha256sum "$dist/$index" | cut -d ' ' -f 1)" \
            "$(wc -c <"$dist/$index")" "$index"
    } >"$dist/Release"
    gpg --local-user docker@example.net --clearsign --output "$dist/InRelease" "$dist/Release"
    gpg --local-user docker@example.net --armor --detach-sign --output "$dist/Release.gpg" \
        "$dist/Release"
    gpg --armor --export docker@example.net >"$base/gpg"
}

export GNUPGHOME="$work/gnupg"
mkdir -m 700 "$GNUPGHOME"
printf 'batch\nno-tty\nquiet\n' >"$GNUPGHOME/gpg.conf"
for who in docker other; do
    gpg --passphrase '' --quick-generate-key "$who@example.net" rsa3072 sign never
done
gpg --armor --export other@example.net >"$out/other.asc"
repository debian trixie debian.13~trixie
repository ubuntu noble ubuntu.24.04~noble
