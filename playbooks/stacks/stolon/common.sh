# What the scripts of `databases` share. Passwords go through the environment, never through
# arguments.
export PGHOST=postgresql PGPORT=5432 PGAPPNAME=bp PGCONNECT_TIMEOUT=10
export PGSSLMODE=verify-full PGSSLROOTCERT=${CA:-/etc/bp/ca.crt}
secrets=${SECRETS:-/run/secrets}
list=${LIST:-/etc/bp/databases}
state=${STATE:-/tmp}
backup=${BACKUP:-/backup}
# The databases whose last dump failed.
undumped=$state/undumped
digest=$(cat "$secrets/pgsql_superuser" "$secrets/pgsql_replication" | sha256sum | cut -c 1-8)

# One restore at a time: a link to its process, which nothing but its container outlives.
restoring=$state/restoring

# A restore runs in this container.
restores() {
    pid=$(readlink "$restoring") && grep -qs restore.sh "/proc/$pid/cmdline"
}

# as ROLE SECRET DATABASE [ARGUMENT...]: psql as this role, what it prints bare.
as() {
    role=$1 password=$2 database=$3
    shift 3
    PGUSER=$role PGPASSWORD=$(cat "$secrets/$password") \
        psql -X -q -A -t -w -v ON_ERROR_STOP=1 -d "$database" "$@"
}
