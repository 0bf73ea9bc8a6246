# shellcheck shell=sh disable=SC2154
# stolon.tar  lab/stolon-stand-in:0.17.0-pg17, a STAND-IN for Stolon: the real PostgreSQL 17, and
#             stolon-keeper, stolon-sentinel, stolon-proxy and stolonctl with the names and flags
#             of Stolon 0.17, but programs of this project around Patroni. Each tells at its head
#             what it does and what not. Shaped like the image that Stolon's own recipe makes of
#             the image postgres: user stolon (1000), gosu, psql, pg_dump and the rest, port 5432,
#             PGDATA /var/lib/postgresql/data. A shell (busybox), no bash.
#             Its etcd must let its own server certificate act as a client too, since Patroni
#             comes through etcd's JSON gateway; the real Stolon does not need that.
# packages: patroni,python3-etcd,postgresql-17,gosu,libc-bin
root=$work/stolon/root
skeleton "$root" stolon 1000 /home/stolon
printf 'postgres:x:999:999::/var/lib/postgresql:/bin/sh\n' >>"$root/etc/passwd"
printf 'postgres:x:999:\n' >>"$root/etc/group"
cp "$packages/usr/sbin/gosu" "$root/usr/local/bin/gosu"
take "$root" usr/lib/postgresql/17 usr/share/postgresql/17 usr/share/zoneinfo usr/lib/locale/C.utf8
# The compiler of queries, which needs all of LLVM, and what only builds or tests extensions.
rm -r "$root/usr/lib/postgresql/17/lib/bitcode" "$root/usr/lib/postgresql/17/lib/pgxs" \
    "$root"/usr/lib/postgresql/17/lib/llvmjit* "$root/usr/share/zoneinfo/right" \
    "$root/usr/share/zoneinfo/posix" 2>/dev/null || :
for program in clusterdb oid2name pg_amcheck pg_archivecleanup pg_combinebackup pg_createsubscriber \
    pg_receivewal pg_recvlogical pg_test_fsync pg_test_timing pg_upgrade pg_verifybackup \
    pg_waldump pg_walsummary pgbench vacuumlo; do
    rm -f "$root/usr/lib/postgresql/17/bin/$program"
done
find "$root/usr/share/postgresql" "$root/usr/lib/postgresql" -depth \
    \( -name man -o -name locale \) -exec rm -r '{}' ';'
take "$root" usr/bin/python3 usr/bin/python3.13 usr/lib/python3.13
(cd "$root/usr/lib/python3.13" && rm -rf test idlelib ensurepip pydoc_data turtledemo lib2to3 tkinter \
    config-* unittest venv wsgiref xmlrpc sqlite3 curses dbm lib-dynload/_sqlite3* lib-dynload/_curses* \
    lib-dynload/*test* lib-dynload/readline* lib-dynload/_codecs_*)
for module in patroni etcd urllib3 psycopg2 yaml _yaml dateutil dns psutil; do
    take "$root" "usr/lib/python3/dist-packages/$module"
done
libraries "$root"
cp -L "$packages/usr/lib/$libraries/libgcc_s.so.1" "$root/usr/lib/$libraries/"
applets "$root"
scripts "$root/usr/local/bin" stolon/stolon-keeper stolon/stolon-sentinel stolon/stolon-proxy \
    stolon/stolonctl stolon/docker-entrypoint.sh
scripts "$root/usr/lib/python3/dist-packages/stolon_stand_in" stolon/flags.py stolon/store.py stolon/spec.py
# Compiled now: no container could keep what an emulated one takes seconds for.
PYTHONHOME=$root/usr PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=0 "$packages/usr/$loader" \
    --library-path "$root/usr/lib/$libraries" "$root/usr/bin/python3.13" -m compileall -q \
    --invalidation-mode unchecked-hash -s "$root" "$root/usr/lib/python3.13" "$root/usr/lib/python3"
"$packages/usr/$loader" --library-path "$root/usr/lib/$libraries" \
    "$root/usr/lib/postgresql/17/bin/postgres" --version >&2
layer "$root" "$work/stolon/layer.tar" 1000 755 home/stolon 999 1777 var/lib/postgresql/data \
    999 3777 run/postgresql
image "$work/stolon/archive" "$work/stolon/layer.tar" lab/stolon-stand-in:0.17.0-pg17 \
    "${path%\"}:/usr/lib/postgresql/17/bin\",\"PG_MAJOR=17\",\"PGDATA=/var/lib/postgresql/data\"],\"Entrypoint\":[\"docker-entrypoint.sh\"],\"Cmd\":[\"postgres\"],\"StopSignal\":\"SIGINT\",\"Volumes\":{\"/var/lib/postgresql/data\":{}},\"ExposedPorts\":{\"5432/tcp\":{}}"
archive "$work/stolon/archive" stolon.tar
