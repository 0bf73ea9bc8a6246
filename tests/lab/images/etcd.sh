# shellcheck shell=sh disable=SC2154
# etcd.tar  quay.io/coreos/etcd:v3.5.16, shaped like the real one: etcd, etcdctl and etcdutl
#           in /usr/local/bin, no shell, no entrypoint
# packages: etcd-server,etcd-client
version=3.5.16
root=$work/etcd/root
mkdir -p "$root/usr/local/bin" "$root/var/lib/etcd" "$root/etc" "$root/tmp" "$root/usr/lib64"
for dir in lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
chmod 1777 "$root/tmp"
chmod 700 "$root/var/lib/etcd"
for program in etcd etcdctl etcdutl; do
    cp "$packages/usr/bin/$program" "$root/usr/local/bin/"
done
libraries "$root"
printf 'root:x:0:0:root:/root:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
"$packages/usr/$loader" --library-path "$root/usr/lib/$libraries" \
    "$root/usr/local/bin/etcd" --version | grep -qx "etcd Version: $version" ||
    die "Debian $suite has another etcd than $version: change the tag here and where it is used"
layer "$root" "$work/etcd/layer.tar"
image "$work/etcd/archive" "$work/etcd/layer.tar" "quay.io/coreos/etcd:v$version" \
    "$path],\"WorkingDir\":\"/var/lib/etcd/\",\"Cmd\":[\"/usr/local/bin/etcd\"],\"ExposedPorts\":{\"2379/tcp\":{},\"2380/tcp\":{}}"
archive "$work/etcd/archive" etcd.tar
