# shellcheck shell=sh disable=SC2154
# registry.tar  registry:2.8.3, shaped like the real one: /bin/registry behind /entrypoint.sh,
#               its configuration in /etc/docker/registry/config.yml, data in /var/lib/registry,
#               port 5000, root, busybox for the rest.
# packages: docker-registry
version=2.8.3
root=$work/registry/root
skeleton "$root"
certificates "$root"
cp "$packages/usr/bin/docker-registry" "$root/usr/bin/registry"
libraries "$root"
applets "$root"
mkdir -p "$root/etc/docker/registry" "$root/var/lib/registry"
cp "$here/registry/config.yml" "$root/etc/docker/registry/config.yml"
scripts "$root" registry/entrypoint.sh
"$packages/usr/$loader" --library-path "$root/usr/lib/$libraries" "$root/usr/bin/registry" --version |
    grep -q " v*$version" ||
    die "Debian $suite has another registry than $version: change the tag here and where it is used"
layer "$root" "$work/registry/layer.tar"
image "$work/registry/archive" "$work/registry/layer.tar" "registry:$version" \
    "$path],\"Volumes\":{\"/var/lib/registry\":{}},\"Entrypoint\":[\"/entrypoint.sh\"],\"Cmd\":[\"/etc/docker/registry/config.yml\"],\"ExposedPorts\":{\"5000/tcp\":{}}"
archive "$work/registry/archive" registry.tar
