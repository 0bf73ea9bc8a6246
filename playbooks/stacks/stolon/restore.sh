# restore NAME OWNER <ARCHIVE: the database becomes what the archive holds. What is there stays until
# the whole archive stands beside it; then they change places. Safe to repeat, and to be cut off.
set -u
umask 077
. "${COMMON:-/etc/bp/common.sh}"
name=$1 owner=$2 new=bp_new_$1 old=bp_old_$1
if ! ln -s $$ "$restoring" 2>/dev/null; then
    ! restores || { echo 'another restore runs' >&2; exit 1; }
    ln -sfn $$ "$restoring" || exit
fi
archive= closed=
trap leave EXIT
trap 'exit 1' HUP INT TERM

# What did not change places is open again, for those that use it.
leave() {
    rm -f "$archive"
    [ -z "$closed" ] || as bp pgsql_bp postgres -v name="$name" <<'SQL'
SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS true', datname) FROM pg_database
  WHERE datname = :'name' AND NOT datallowconn \gexec
SQL
    rm -f "$restoring"
}

archive=$(mktemp "$backup/.restore.XXXXXX") || exit
cat >"$archive" || exit

as bp pgsql_bp postgres -v new="$new" -v old="$old" -v name="$name" -v owner="$owner" <<'SQL' || exit
SET client_min_messages = warning;
DROP DATABASE IF EXISTS :"new" WITH (FORCE);
CREATE DATABASE :"new" OWNER :"owner" TEMPLATE template0 ENCODING 'UTF8';
REVOKE CONNECT, TEMPORARY ON DATABASE :"new" FROM PUBLIC;
SQL
(
    PGUSER=bp PGPASSWORD=$(cat "$secrets/pgsql_bp")
    export PGUSER PGPASSWORD
    exec pg_restore -w --exit-on-error -d "$new" "$archive"
) || exit

# As many tables as the archive lists are there; those of extensions are the extensions' own.
listed=$(pg_restore -l "$archive" | grep -E '^[0-9]+; [0-9]+ [0-9]+ TABLE ' | grep -cvE ' TABLE (DATA|ATTACH) ')
there=$(as bp pgsql_bp "$new" <<'SQL'
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                    AND d.objid = c.oid AND d.deptype = 'e');
SQL
) || exit
[ "$listed" = "$there" ] || { echo "$there of $listed tables are there" >&2; exit 1; }

closed=yes
# Sessions of the old one end; who connects again finds the new one.
as bp pgsql_bp postgres -v new="$new" -v old="$old" -v name="$name" <<'SQL' || exit
SET client_min_messages = warning;
SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
  WHERE datname = :'old' AND EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS false', datname) FROM pg_database
  WHERE datname = :'name' \gexec
SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname = :'name' \g /dev/null
BEGIN;
SELECT format('ALTER DATABASE %I RENAME TO %I', datname, :'old') FROM pg_database
  WHERE datname = :'name' \gexec
ALTER DATABASE :"new" RENAME TO :"name";
COMMIT;
DROP DATABASE IF EXISTS :"old" WITH (FORCE);
SQL
closed=
echo "$there tables"
