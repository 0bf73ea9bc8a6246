# A keeper's start. Its two accounts are named after their passwords: Stolon never changes a
# password of theirs, and a keeper that does not know its own is ill. So new passwords are new
# accounts, which `databases` makes before the first keeper asks for them: keepers with the old ones
# and with the new ones work side by side while they take their turns.
set -eu
umask 077
secrets=${SECRETS:-/run/secrets}
data=${DATA:-/stolon-data}
digest=$(cat "$secrets/pgsql_superuser" "$secrets/pgsql_replication" | sha256sum | cut -c 1-8)
password() { sed "s/'/''/g" "$secrets/$1"; }

# Whether another keeper's instance knows the accounts.
known() {
    for keeper in $KEEPERS; do
        PGPASSWORD=$(cat "$secrets/pgsql_superuser") PGCONNECT_TIMEOUT=5 PGSSLMODE=verify-full \
            PGSSLROOTCERT=${CA:-/etc/bp/ca.crt} psql -X -q -w -h "$keeper" -U "stolon_$digest" \
            -d postgres -c '' 2>/dev/null && return
    done
    return 1
}

# Data may outlive the swarm that held their passwords. What was the master then is given the
# accounts before it starts, by the server itself; the others have them from it.
accounts() {
    for role in "stolon_$digest SUPERUSER pgsql_superuser" "repl_$digest REPLICATION pgsql_replication"; do
        # shellcheck disable=SC2086 # three words
        set -- $role
        printf "DO 'BEGIN CREATE ROLE %s; EXCEPTION WHEN duplicate_object THEN NULL; END';\n" "$1"
        printf "ALTER ROLE %s LOGIN %s PASSWORD '%s';\n" "$1" "$2" "$(password "$3")"
    done | postgres --single -D "$data/postgres" -c log_statement=none \
        -c log_min_error_statement=panic -c synchronous_standby_names= \
        -c password_encryption=scram-sha-256 postgres >/dev/null
}

if [ "$(cat "$data/bp-accounts" 2>/dev/null)" != "$digest" ]; then
    # What failed is tried again at the next start.
    if [ ! -e "$data/postgres/PG_VERSION" ] || [ -e "$data/postgres/standby.signal" ] || known || accounts; then
        echo "$digest" >"$data/bp-accounts"
    else
        echo 'the data can not be given the accounts' >&2
    fi
fi
exec stolon-keeper --pg-su-username="stolon_$digest" --pg-repl-username="repl_$digest"
