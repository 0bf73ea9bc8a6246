# Makes roles and databases as they are declared, then keeps a row alive by which replication is
# known to work, and writes dumps. /etc/bp/databases has a line for each database: its name, its
# owner, its extensions.
set -u
umask 077
. "${COMMON:-/etc/bp/common.sh}"
children=
trap 'kill $children 2>/dev/null; exit 0' TERM INT
rm -f "$state/converged"

say() {
    echo "$*" >&2
    echo "$*" >"$state/state.new" && mv -f "$state/state.new" "$state/state"
}

# A pause that a signal ends.
pause() {
    touch "$state/alive"
    sleep "$1" &
    wait $!
}

# role NAME SECRET RIGHTS [LOGIN LOGIN_SECRET]: a role that logs in with this password.
role() {
    export SECRET_FILE="$secrets/$2"
    as "${4:-bp}" "${5:-pgsql_bp}" postgres -v name="$1" <<SQL
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
SET password_encryption = 'scram-sha-256';
-- A standby that can't log in yet must not be waited for.
SET synchronous_commit = local;
\set password \`cat "\$SECRET_FILE"\`
SELECT format('CREATE ROLE %I', :'name')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" LOGIN $3 PASSWORD :'password';
SQL
}

# database NAME OWNER [EXTENSION...]
database() {
    name=$1 owner=$2
    shift 2
    as bp pgsql_bp postgres -v name="$name" -v owner="$owner" <<'SQL' || return
SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE template0 ENCODING ''UTF8''', :'name', :'owner')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SELECT format('ALTER DATABASE %I OWNER TO %I', :'name', :'owner')
  FROM pg_database WHERE datname = :'name' AND pg_get_userbyid(datdba) <> :'owner' \gexec
-- A restore that was cut off may have closed it.
SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS true', :'name')
  FROM pg_database WHERE datname = :'name' AND NOT datallowconn \gexec
REVOKE CONNECT, TEMPORARY ON DATABASE :"name" FROM PUBLIC;
SQL
    # Before PostgreSQL 15 everybody may write to this schema, and its owner is not the database's.
    as bp pgsql_bp "$name" -v owner="$owner" <<'SQL' || return
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO :"owner";
SQL
    for extension in "$@"; do
        as bp pgsql_bp "$name" -v extension="$extension" <<'SQL' || return
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS :"extension";
SQL
    done
}

# All that is declared. Safe to repeat, and to be cut off.
converge() {
    if ! as bp pgsql_bp postgres -c '' 2>/dev/null; then
        # A new cluster, or a new password of bp's own account.
        role bp pgsql_bp SUPERUSER "stolon_$digest" pgsql_superuser || return
    fi
    role "stolon_$digest" pgsql_superuser SUPERUSER || return
    role "repl_$digest" pgsql_replication 'REPLICATION NOSUPERUSER' || return
    # The superuser that people log in as.
    role postgres pgsql_superuser SUPERUSER || return
    while read -r name owner extensions; do
        role "$owner" "pgsql_$owner" 'NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION' </dev/null || return
        # shellcheck disable=SC2086 # one word for each extension
        database "$name" "$owner" $extensions </dev/null || return
    done <"$list"
    database bp bp || return
    as bp pgsql_bp bp <<'SQL'
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS probe (id int PRIMARY KEY, written_at timestamptz NOT NULL);
INSERT INTO probe VALUES (1, now()) ON CONFLICT (id) DO UPDATE SET written_at = now();
SQL
}

# The row is written again. A database that a restore left closed is opened. Accounts of keepers
# with former passwords end once no keeper uses them: each keeper's own stand in its instance's rules.
round() {
    restored=no
    ! restores || restored=yes
    as bp pgsql_bp bp -v digest="$digest" -v restored="$restored" -v names="$(cut -d ' ' -f 1 "$list")" <<'SQL' >"$state/former" || return
UPDATE probe SET written_at = now() WHERE id = 1;
SELECT format('ALTER DATABASE %I ALLOW_CONNECTIONS true', datname) FROM pg_database
  WHERE :'restored' = 'no' AND NOT datallowconn
    AND datname = ANY (string_to_array(:'names', chr(10))) \gexec
SELECT rolname FROM pg_roles
  WHERE rolcanlogin AND rolname ~ '^(stolon|repl)_[0-9a-f]{8}$' AND right(rolname, 8) <> :'digest';
SQL
    while read -r former; do
        for keeper in $KEEPERS; do
            used=$(PGHOST=$keeper; as bp pgsql_bp postgres -v name="$former" <<'SQL'
SELECT count(*) FROM pg_hba_file_rules WHERE :'name' = ANY (user_name);
SQL
            ) || return
            [ "$used" = 0 ] || return 0
        done
        as bp pgsql_bp postgres -v name="$former" <<'SQL' || return
ALTER ROLE :"name" NOLOGIN PASSWORD NULL;
SQL
        say "the keepers' former account $former is closed"
    done <"$state/former"
}

# Seconds since the newest dump of a database.
age() {
    newest=$(ls "$backup/$1"/*.dump 2>/dev/null | tail -n 1)
    [ -n "$newest" ] || { echo 9999999999; return; }
    echo $(($(date +%s) - $(stat -c %Y "$newest")))
}

# dump NAME: a dump is there whole or not at all.
dump() {
    mkdir -p "$backup/$1" || return
    rm -f "$backup/$1"/*.partial
    to=$backup/$1/$(date -u +%Y%m%dT%H%M%SZ).dump
    PGUSER=bp PGPASSWORD=$(cat "$secrets/pgsql_bp") pg_dump -w -Fc -d "$1" -f "$to.partial" &&
        sync "$to.partial" && mv -f "$to.partial" "$to" || return
    ls "$backup/$1"/*.dump | sort -r | tail -n "+$((BACKUP_KEEP + 1))" | while read -r old; do
        rm -f "$old"
    done
}

dumps() {
    while :; do
        while read -r name _; do
            [ "$(age "$name")" -ge "$BACKUP_EVERY" ] || continue
            if dump "$name" </dev/null; then
                rm -f "$undumped/$name"
            else
                echo "the dump of $name failed; again in a minute" >&2
                touch "$undumped/$name"
            fi
        done <"$list"
        sleep 60 &
        wait $!
    done
}

# What an interrupted restore left, which ended with the container that it ran in.
rm -f "$backup"/.restore.*
mkdir -p "$undumped"
touch "$state/alive"
say 'waiting for the database'
until why=$(converge 2>&1); do
    say "$(echo "$why" | tail -n 1)"
    pause 3
done
touch "$state/converged"
say 'roles and databases are as declared'
[ -n "${ONCE:-}" ] && exit 0
dumps &
children=$!
while :; do
    round || echo 'the database does not answer; again in 20 s' >&2
    pause 20
done
