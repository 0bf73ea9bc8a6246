# shellcheck shell=sh disable=SC2154
# redis.tar  redis:8.0.2, shaped like the real one: redis-server, redis-cli, redis-sentinel,
#            redis-benchmark and redis-check-* in /usr/local/bin, TLS built in, an entrypoint
#            that gives /data to the user redis (999) and becomes it, a shell, no modules.
#            No LANG: one without its locale ends the Sentinel.
#            Unlike the real one, it is built with protected mode on, as Redis itself is: a
#            server without a password answers to its own host alone.
# packages: redis-server,redis-sentinel,redis-tools,util-linux
version=8.0.2
root=$work/redis/root
skeleton "$root" redis 999 /data
take "$root" usr/bin/setpriv
mkdir -p "$root/usr/local/bin"
# One program under many names, as upstream installs it.
cp "$packages/usr/bin/redis-check-rdb" "$root/usr/local/bin/redis-server"
cp "$packages/usr/bin/redis-cli" "$packages/usr/bin/redis-benchmark" "$root/usr/local/bin/"
for name in redis-sentinel redis-check-aof redis-check-rdb; do
    ln -s redis-server "$root/usr/local/bin/$name"
done
libraries "$root"
applets "$root"
scripts "$root/usr/local/bin" redis/docker-entrypoint.sh
chroot_version=$("$packages/usr/$loader" --library-path "$root/usr/lib/$libraries" \
    "$root/usr/local/bin/redis-cli" --version)
[ "$chroot_version" = "redis-cli $version" ] ||
    die "Debian $suite has another Redis than $version: change the tag here and where it is used"
layer "$root" "$work/redis/layer.tar" 999 755 data
image "$work/redis/archive" "$work/redis/layer.tar" "redis:$version" \
    "$path,\"REDIS_VERSION=$version\"],\"WorkingDir\":\"/data\",\"Volumes\":{\"/data\":{}},\"Entrypoint\":[\"docker-entrypoint.sh\"],\"Cmd\":[\"redis-server\"],\"ExposedPorts\":{\"6379/tcp\":{}}"
archive "$work/redis/archive" redis.tar
