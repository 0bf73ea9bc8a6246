#!/bin/sh
# Builds the images of the real lab out of Debian packages, as archives for `docker load`:
# no registry is asked. The same packages and the same tar make the same bytes.
#
#   images.sh OUTDIR [NAME...]   makes OUTDIR/NAME.tar for each of images/NAME.sh, or for those
#                                named; nothing where an archive is of the recipe as it is now
#
# What each archive holds is told at the head of images/NAME.sh; what goes into the images
# besides packages is in images/NAME/. A piece is sourced by this script, in a shell of its own,
# and uses the functions below.
set -eu
umask 022

suite=trixie
# shellcheck disable=SC2034
path='"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"'

say() { printf 'images: %s\n' "$*"; }
die() { printf 'images: %s\n' "$*" >&2; exit 1; }

[ $# -ge 1 ] || die "usage: $0 OUTDIR [NAME...]"
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
here=$(cd "$(dirname "$0")/images" && pwd)
self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
[ $# -gt 0 ] || set -- etcd web redis traefik registry stolon gitlab portainer

# recipe NAME: the hash of all that decides about an archive, but for the packages' versions.
recipe() {
    { cat "$self" "$here/$1.sh"
      [ ! -d "$here/$1" ] || (cd "$here/$1" && find . -type f | LC_ALL=C sort | xargs sha256sum)
      case $1 in portainer) cat "$here/gitlab/wire.rb" ;; esac
    } | sha256sum | cut -d ' ' -f 1
}

wanted=
for name in "$@"; do
    [ -f "$here/$name.sh" ] || die "there is no recipe images/$name.sh"
    [ -f "$out/$name.tar" ] && [ "$(cat "$out/.$name" 2>/dev/null)" = "$(recipe "$name")" ] ||
        wanted="$wanted $name"
done
[ -n "$wanted" ] || { say "up to date in $out"; exit 0; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

packed() {
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar "$@"
}

digest() { sha256sum "$1" | cut -d ' ' -f 1; }

# image ARCHIVE LAYER REFERENCE SETTINGS: adds an image of one layer to the folder of an
# archive. SETTINGS is the inside of its JSON object `config`. The layer goes packed, since an
# emulated guest unpacks quicker than it receives; its digest is of what it holds.
image() {
    layer=$(digest "$2")
    mkdir -p "$1/$layer"
    [ -f "$1/$layer/layer.tar" ] || gzip -n -c "$2" >"$1/$layer/layer.tar"
    printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":{%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "$arch" "$4" "$layer" >"$1/config"
    config=$(digest "$1/config").json
    mv "$1/config" "$1/$config"
    printf '{"Config":"%s","RepoTags":["%s"],"Layers":["%s/layer.tar"]}\n' \
        "$config" "$3" "$layer" >>"$1/images"
}

# archive FOLDER NAME: the archive of all images that were added, in place at once.
archive() {
    { printf '['; paste -sd, "$1/images" | tr -d '\n'; printf ']'; } >"$1/manifest.json"
    rm "$1/images"
    packed -C "$1" -cf "$work/$2" .
    mv "$work/$2" "$out/$2"
    say "$out/$2: $(du -m "$out/$2" | cut -f 1) MB"
}

# skeleton TOP [USER UID HOME]: the folders that every image has, and its users.
skeleton() {
    mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" "$1/usr/lib64" "$1/usr/local/bin" \
        "$1/etc" "$1/root" "$1/run" "$1/tmp" "$1/var/tmp"
    chmod 1777 "$1/tmp" "$1/var/tmp"
    chmod 700 "$1/root"
    for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$1/$dir"; done
    ln -s /run "$1/var/run"
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$1/etc/passwd"
    printf 'root:x:0:\n' >"$1/etc/group"
    printf 'hosts: files dns\n' >"$1/etc/nsswitch.conf"
    if [ $# -gt 1 ]; then
        printf '%s:x:%s:%s::%s:/bin/sh\n' "$2" "$3" "$3" "$4" >>"$1/etc/passwd"
        printf '%s:x:%s:\n' "$2" "$3" >>"$1/etc/group"
    fi
}

# applets TOP: a shell and the small commands, out of one static program. What is there
# already stays.
applets() {
    cp "$packages/usr/bin/busybox" "$1/usr/bin/busybox"
    for applet in $("$packages/usr/bin/busybox" --list); do
        [ -e "$1/usr/bin/$applet" ] || ln -s busybox "$1/usr/bin/$applet"
    done
}

# take TOP PATH...: out of the packages, the same path in the image.
take() {
    top=$1
    shift
    for file in "$@"; do
        mkdir -p "$top/${file%/*}"
        cp -a "$packages/$file" "$top/$file"
    done
}

# libraries TOP: the loader, and every library that a program or a module below TOP names.
libraries() {
    find "$1" -type f \( -perm -100 -o -name '*.so*' \) | while read -r file; do
        "$packages/usr/$loader" --library-path "$packages/usr/lib/$libraries" --list "$file" \
            2>/dev/null || :
    done | sed -n 's|.* => .*/\([^/ ]*\.so[^ ]*\) (.*|\1|p' | grep -v '^ld-linux' | sort -u |
        while read -r library; do
            mkdir -p "$1/usr/lib/$libraries"
            cp -L "$packages/usr/lib/$libraries/$library" "$1/usr/lib/$libraries/$library"
        done
    mkdir -p "$1/usr/${loader%/*}"
    cp -L "$packages/usr/$loader" "$1/usr/$loader"
}

# certificates TOP: the authorities that Debian trusts, where programs look for them.
certificates() {
    mkdir -p "$1/etc/ssl/certs"
    find "$packages/usr/share/ca-certificates/mozilla" -name '*.crt' | LC_ALL=C sort |
        xargs cat >"$1/etc/ssl/certs/ca-certificates.crt"
}

# ruby TOP: the interpreter, and the least of its library that the stand-ins require.
ruby() {
    standard=usr/lib/ruby/3.3.0
    native=usr/lib/$libraries/ruby/3.3.0
    take "$1" usr/bin/ruby3.3 "$native"
    for file in json json.rb net openssl openssl.rb uri uri.rb digest digest.rb random cgi cgi.rb \
        set set.rb io fileutils.rb tmpdir.rb securerandom.rb ipaddr.rb timeout.rb socket.rb \
        time.rb resolv.rb date.rb delegate.rb forwardable.rb singleton.rb monitor.rb tempfile.rb; do
        take "$1" "$standard/$file"
    done
    ln -s ruby3.3 "$1/usr/bin/ruby"
    # No encodings but Unicode's and the West's, no parsers of other formats.
    find "$1/$native/enc" -type f ! -name encdb.so ! -name transdb.so ! -name 'utf_*' \
        ! -name single_byte.so -exec rm '{}' ';'
    for module in ripper nkf fiddle psych bigdecimal; do rm -f "$1/$native/$module.so"; done
}

# scripts TOP/PLACE FILE...: what this folder holds for an image, executable.
scripts() {
    place=$1
    shift
    mkdir -p "$place"
    for file in "$@"; do
        cp "$here/$file" "$place/${file##*/}"
        chmod 755 "$place/${file##*/}"
    done
}

# layer TOP FILE [UID MODE PATH]...: TOP as a layer, with folders that belong to others than root.
layer() {
    layer_top=$1
    layer_file=$2
    shift 2
    packed -C "$layer_top" -cf "$layer_file" .
    while [ $# -gt 0 ]; do
        mkdir -p "$layer_file.owned/$3"
        tar -C "$layer_file.owned" --mtime=@0 --owner="$1" --group="$1" --mode="$2" \
            --numeric-owner --format=ustar --no-recursion -rf "$layer_file" "./$3"
        shift 3
    done
}

say "packages of Debian $suite for$wanted"
include=busybox-static,ca-certificates
for name in $wanted; do
    more=$(sed -n 's/^# packages: //p' "$here/$name.sh")
    include=$include${more:+,$more}
done
mmdebstrap --quiet --variant=extract --include="$include" "$suite" "$work/packages.tar"
packages=$work/packages
mkdir "$packages"
tar -C "$packages" --no-same-owner --exclude=./dev -xf "$work/packages.tar"
rm "$work/packages.tar"
arch=$(dpkg --print-architecture)
loader=$(cd "$packages/usr" && find lib64 lib -name 'ld-linux*' | sort -r | head -n 1)
libraries=$(cd "$packages/usr/lib" && dirname "$(find . -name libc.so.6)")

jobs=
for name in $wanted; do
    mkdir "$work/$name"
    # shellcheck source=/dev/null
    (trap - EXIT; made=$name; . "$here/$name.sh"; recipe "$made" >"$out/.$made") &
    jobs="$jobs $!"
done
failed=
for job in $jobs; do wait "$job" || failed=yes; done
[ -z "$failed" ] || die "not every archive was made"
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID" "$out"
