#!/bin/sh
# Builds the images of the real lab out of Debian packages, as archives for `docker load`:
# no registry is asked. The same packages and the same tar make the same bytes.
#
#   images.sh OUTDIR        makes OUTDIR/etcd.tar and OUTDIR/web.tar; nothing where up to date
#
# etcd.tar  quay.io/coreos/etcd:v3.5.16, shaped like the real one: etcd, etcdctl and etcdutl
#           in /usr/local/bin, no shell, no entrypoint
# web.tar   lab/web:1, lab/web:2: `ok` at /health and `web 1` (or 2) at / on port 8080; with
#           BREAK=1 in the environment they print why and exit with 1
#           lab/broken:1: prints a line and exits with 1; lab/job:1: the same with 0
set -eu
umask 022

suite=trixie
etcd_version=3.5.16

say() { printf 'images: %s\n' "$*"; }
die() { printf 'images: %s\n' "$*" >&2; exit 1; }

[ $# -eq 1 ] || die "usage: $0 OUTDIR"
mkdir -p "$1"
out=$(cd "$1" && pwd)
recipe=$(sha256sum <"$0")
if [ -f "$out/etcd.tar" ] && [ -f "$out/web.tar" ] &&
    [ "$(cat "$out/.recipe" 2>/dev/null)" = "$recipe" ]; then
    say "up to date in $out"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

packed() {
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar "$@"
}

digest() { sha256sum "$1" | cut -d ' ' -f 1; }

# image ARCHIVE LAYER REFERENCE SETTINGS: adds an image of one layer to the folder of an
# archive. SETTINGS is the inside of its JSON object `config`.
image() {
    layer=$(digest "$2")
    mkdir -p "$1/$layer"
    cp "$2" "$1/$layer/layer.tar"
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
    say "$out/$2"
}

say "packages of Debian $suite"
mmdebstrap --quiet --variant=extract --include=etcd-server,etcd-client,busybox-static \
    "$suite" "$work/packages.tar"
mkdir "$work/packages" "$work/etcd" "$work/web"
tar -C "$work/packages" --no-same-owner --exclude=./dev -xf "$work/packages.tar"
arch=$(dpkg --print-architecture)
bin=$work/packages/usr/bin

# etcd, its loader and the libraries that it names.
top=$work/etcd/root
mkdir -p "$top/usr/local/bin" "$top/var/lib/etcd" "$top/etc" "$top/tmp"
chmod 1777 "$top/tmp"
chmod 700 "$top/var/lib/etcd"
cp "$bin/etcd" "$bin/etcdctl" "$bin/etcdutl" "$top/usr/local/bin/"
loader=$(cd "$work/packages/usr" && find lib64 lib -name 'ld-linux*' | sort -r | head -n 1)
libraries=$(cd "$work/packages/usr/lib" && dirname "$(find . -name libc.so.6)")
for program in etcd etcdctl etcdutl; do
    "$work/packages/usr/$loader" --library-path "$work/packages/usr/lib/$libraries" \
        --list "$bin/$program" >>"$work/needed"
done
mkdir -p "$top/${loader%/*}" "$top/lib/$libraries"
cp -L "$work/packages/usr/$loader" "$top/$loader"
sed -n 's|.* => .*/\([^/ ]*\.so[^ ]*\) (.*|\1|p' "$work/needed" | grep -v '^ld-linux' | sort -u |
    while read -r library; do
        cp -L "$work/packages/usr/lib/$libraries/$library" "$top/lib/$libraries/$library"
    done
printf 'root:x:0:0:root:/root:/sbin/nologin\n' >"$top/etc/passwd"
printf 'root:x:0:\n' >"$top/etc/group"
printf 'hosts: files dns\n' >"$top/etc/nsswitch.conf"
"$work/packages/usr/$loader" --library-path "$top/lib/$libraries" \
    "$top/usr/local/bin/etcd" --version | grep -qx "etcd Version: $etcd_version" ||
    die "Debian $suite has another etcd than $etcd_version: change the tag here and where it is used"
packed -C "$top" -cf "$work/layer.tar" .
path='"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"'
image "$work/etcd/archive" "$work/layer.tar" "quay.io/coreos/etcd:v$etcd_version" \
    "$path],\"WorkingDir\":\"/var/lib/etcd/\",\"Cmd\":[\"/usr/local/bin/etcd\"],\"ExposedPorts\":{\"2379/tcp\":{},\"2380/tcp\":{}}"
archive "$work/etcd/archive" etcd.tar

# The other images are one layer with different commands.
top=$work/web/root
mkdir -p "$top/bin" "$top/tmp" "$top/www"
chmod 1777 "$top/tmp"
cp "$bin/busybox" "$top/bin/busybox"
for applet in $("$bin/busybox" --list); do
    [ "$applet" = busybox ] || ln -s busybox "$top/bin/$applet"
done
printf 'ok\n' >"$top/www/health"
cat >"$top/bin/web" <<'WEB'
#!/bin/sh
if [ "${BREAK:-}" = 1 ]; then
    echo 'web: cannot open its database' >&2
    exit 1
fi
echo "web $VERSION" >/www/index.html
exec httpd -f -p 8080 -h /www
WEB
printf '#!/bin/sh\necho "broken: no such thing as a license" >&2\nexit 1\n' >"$top/bin/broken"
printf '#!/bin/sh\necho "job: done"\n' >"$top/bin/job"
chmod 755 "$top/bin/web" "$top/bin/broken" "$top/bin/job"
packed -C "$top" -cf "$work/layer.tar" .
# Nothing handles SIGTERM here, and a first process that does not is not ended by it.
quick='"StopSignal":"SIGKILL"'
for version in 1 2; do
    image "$work/web/archive" "$work/layer.tar" "lab/web:$version" \
        "$path,\"VERSION=$version\"],\"Cmd\":[\"/bin/web\"],\"ExposedPorts\":{\"8080/tcp\":{}},$quick"
done
image "$work/web/archive" "$work/layer.tar" lab/broken:1 "$path],\"Entrypoint\":[\"/bin/broken\"],$quick"
image "$work/web/archive" "$work/layer.tar" lab/job:1 "$path],\"Cmd\":[\"/bin/job\"],$quick"
archive "$work/web/archive" web.tar
printf '%s\n' "$recipe" >"$out/.recipe"
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID" "$out"
