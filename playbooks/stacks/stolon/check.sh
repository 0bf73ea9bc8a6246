# Whether clients find what is declared: changes nothing, prints each thing that is wrong.
set -u
. "${COMMON:-/etc/bp/common.sh}"
if [ ! -e "$state/converged" ]; then
    cat "$state/state" 2>/dev/null || echo 'it has not begun'
    exit 1
fi
said=$(mktemp -d) || exit
trap 'rm -rf "$said"' EXIT

# Every role logs in to its database with its own password, and finds the extensions there.
of_database() {
    name=$1 owner=$2
    shift 2
    found=$(as "$owner" "pgsql_$owner" "$name" -c 'SELECT extname FROM pg_extension' 2>&1) || {
        echo "$owner can't log in to $name: $(echo "$found" | tail -n 1)"
        return
    }
    for extension in "$@"; do
        echo "$found" | grep -qxF -- "$extension" || echo "the extension $extension is not in $name"
    done
}

# The row that is written through the proxy every 20 seconds is read on every standby.
of_keeper() {
    found=$(PGHOST=$1; as bp pgsql_bp bp -c "SELECT pg_is_in_recovery(), now() - written_at < interval '90 s' FROM probe" 2>&1)
    case $found in
        f\|t) echo master >>"$said/masters" ;;
        t\|t) ;;
        [ft]\|f) echo "what is written does not reach $1" ;;
        *) echo "$1: $(echo "$found" | tail -n 1)" ;;
    esac
}

# All at once: each costs a handshake.
number=0
while read -r name owner extensions; do
    number=$((number + 1))
    # shellcheck disable=SC2086 # one word for each extension
    of_database "$name" "$owner" $extensions >"$said/$number.wrong" </dev/null &
done <"$list"
for keeper in $KEEPERS; do
    of_keeper "$keeper" >"$said/$keeper.wrong" </dev/null &
done
wait
masters=$(wc -l <"$said/masters" 2>/dev/null || echo 0)
cat "$said"/*.wrong >"$said/all"
[ "$masters" -eq 1 ] || echo "$masters of the keepers are the master" >>"$said/all"
for name in "$undumped"/*; do
    [ ! -e "$name" ] || echo "the last dump of ${name##*/} failed: the logs of this service say why" >>"$said/all"
done
cat "$said/all"
[ ! -s "$said/all" ]
