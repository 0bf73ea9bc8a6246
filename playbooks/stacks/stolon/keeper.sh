# A keeper's start. Its two accounts are named after their passwords: Stolon never changes a
# password of theirs, and a keeper that does not know its own is ill. So new passwords are new
# accounts, which `databases` makes before the first keeper asks for them: keepers with the old ones
# and with the new ones work side by side while they take their turns.
set -eu
digest=$(cat /run/secrets/pgsql_superuser /run/secrets/pgsql_replication | sha256sum | cut -c 1-8)
exec stolon-keeper --pg-su-username="stolon_$digest" --pg-repl-username="repl_$digest"
