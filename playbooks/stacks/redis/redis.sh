# What runs in the containers of the stack redis, as `sh redis.sh WHAT`:
#
#   server, sentinel   a member: finds out which one is the primary, then runs, and is tended
#   well               whether this member is in order: the reason why not on the last line
#   read, write KEY [VALUE]   a key on every member; through the primary
#
# MEMBERS are the hosts that hold a member, HOST is this one, TLS is `no` where a client of the lab
# can't speak it. The password goes from the secret's file into configurations and into the environment
# of redis-cli, never into arguments. A server's configuration is in memory. A sentinel writes into its
# own what it promised and who is the primary, before it acts on it, and has to find that again after a
# loss of power: it is on the member's disk, password and all, for its user alone.
set -u
umask 077
export LC_ALL=C

password=$(cat /run/secrets/redis_password) || exit 1
# The same as one word of a configuration, whatever is in it.
word=\"$(printf %s "$password" | sed 's/[\\"]/\\&/g')\"
ca=/etc/bp/ca.crt
state=/sentinel/sentinel.conf
with_tls="--tls --cacert $ca"
[ "$TLS" = yes ] || with_tls=
first=${MEMBERS%% *}
count=0
for member in $MEMBERS; do count=$((count + 1)); done

say() { echo "bp: $*" >&2; }

# ask ADDRESS PORT [WORD...]: one question, or those of standard input; nothing where nobody answers.
ask() {
    address=$1 port=$2
    shift 2
    # shellcheck disable=SC2086
    REDISCLI_AUTH=$password timeout 8 redis-cli --no-auth-warning $with_tls \
        -h "$address" -p "$port" "$@" 2>/dev/null
}

here() { ask 127.0.0.1 6379 "$@" </dev/null; }

# each QUESTION...: what every member answers to this function of a member's name, side by side.
each() {
    for one in $MEMBERS; do "$@" "$one" </dev/null & done
    wait
}

# The primary as a sentinel knows it, after the epoch of that knowledge.
told_by() {
    ask "sentinel-$1" 26379 sentinel master redis | awk '
        NR % 2 { key = $0; next }
        key == "ip" { ip = $0 }
        key == "config-epoch" { epoch = $0 }
        END { if (ip != "") print epoch + 0, ip }'
}

# A member that others follow, after their number.
followed() {
    ask "redis-$1" 6379 info replication | tr -d '\r' | awk -v name="redis-$1" -F: '
        $1 == "role" { role = $2 }
        $1 == "connected_slaves" { followers = $2 }
        END { if (role == "master" && followers > 0) print followers, name }'
}

# A member that holds keys.
filled() {
    [ "$1" != "$HOST" ] || return 0
    keys=$(ask "redis-$1" 6379 dbsize)
    case $keys in '' | 0 | *[!0-9]*) ;; *) echo "$1" ;; esac
}

highest() { sort -n | tail -n 1 | cut -d ' ' -f 2; }

now() { date +%s; }

# The primary that most sentinels know of, the newest word of theirs. Where too few answer within a
# minute, the newest word there is; then what this node's own sentinel wrote down; then the first
# member, which a cluster begins with. An old word does no harm: a primary that too few follow takes
# no writes, and the sentinels turn it into a replica once they meet.
primary() {
    until=$(($(now) + $1))
    while :; do
        told=$(each told_by)
        answers=$(echo "$told" | grep -c .)
        [ $((answers * 2)) -le "$count" ] || break
        [ "$(now)" -lt "$until" ] || break
        sleep 1
    done
    found=$(echo "$told" | highest)
    [ -n "$found" ] || found=$(kept | cut -d ' ' -f 4)
    [ -n "$found" ] || found=$(each followed | highest)
    echo "${found:-redis-$first}"
}

# The line by which this node's sentinel knows its primary.
kept() { grep '^sentinel monitor redis ' "$state" 2>/dev/null | head -n 1; }

# The port, and whom it lets in.
listen() {
    printf 'requirepass %s\n' "$word"
    [ "$TLS" = yes ] || { echo "port $1"; return; }
    cat <<END
port 0
tls-port $1
tls-cert-file /run/secrets/tls_redis
tls-key-file /run/secrets/tls_redis
tls-ca-cert-file $ca
tls-auth-clients no
tls-replication yes
END
}

server() {
    primary=$(primary 60)
    # Replicas would empty themselves after a primary that comes back with an empty disk.
    until=$(($(now) + 180))
    while [ "$primary" = "redis-$HOST" ] && [ ! -d /data/appendonlydir ]; do
        holder=$(each filled | head -n 1)
        [ -n "$holder" ] || break
        [ "$(now)" -lt "$until" ] || { say "the disk is empty, $holder has keys, and no sentinel made another member the primary"; exit 1; }
        say "the disk is empty and $holder has keys: waiting for the sentinels to make another member the primary"
        sleep 3
        primary=$(primary 60)
    done
    {
        cat /etc/bp/redis.conf
        listen 6379
        printf 'masterauth %s\n' "$word"
        echo "replica-announce-ip redis-$HOST"
        echo 'replica-announce-port 6379'
        [ "$primary" = "redis-$HOST" ] || echo "replicaof $primary 6379"
    } >/run/redis/redis.conf || exit 1
    say "the primary is $primary"
    redis-server /run/redis/redis.conf &
    process=$!
    trap leave TERM INT
    attend ping
}

# Waits for the process, and asks it meanwhile.
attend() {
    tended "$1" &
    wait "$process"
    status=$?
    # A signal ends the wait, not the process.
    while kill -0 "$process" 2>/dev/null; do
        wait "$process"
        status=$?
    done
    exit "$status"
}

# In the place of docker's healthcheck: there each question starts processes of the engine's own, which
# small machines feel, and a member's name is hidden from the others until it is healthy. One that is silent for
# minutes hangs; a machine that has too much to do is helped by no restart.
tended() {
    missed=0
    while sleep 20; do
        missed=$((missed + 1))
        if ("$1"); then missed=0; fi
        [ "$missed" -lt 15 ] || { say "it has not answered $missed times"; kill -KILL "$process"; }
    done
}

# A primary that is asked to end hands over first: that takes two seconds, and the sentinels would
# need ten to miss it.
leave() {
    trap '' TERM INT
    [ "$count" -eq 1 ] || [ "$(here role | head -n 1)" != master ] || hand_over || say 'nobody took over in time'
    kill -TERM "$process"
}

# No write is acknowledged any more that the next primary does not have.
hand_over() {
    here client pause 60000 write >/dev/null
    until=$(($(now) + 10))
    until [ "$(here info replication | tr -d '\r' | awk -F '[:,=]' '
        $1 == "master_repl_offset" { all = $2 }
        /^slave[0-9]+:/ && /state=online/ { for (i = 1; i < NF; i++) if ($i == "offset") at[$0] = $(i + 1) }
        END { for (one in at) { some = 1; if (at[one] != all) behind = 1 } print (some && !behind) }')" = 1 ]; do
        [ "$(now)" -lt "$until" ] || return 1
        sleep 0.5
    done
    asked=
    until=$(($(now) + 20))
    while [ "$(now)" -lt "$until" ]; do
        for member in $HOST $MEMBERS; do
            [ -z "$asked" ] || break
            asked=$(ask "sentinel-$member" 26379 sentinel failover redis </dev/null | grep -x OK)
        done
        told=$(each told_by | highest)
        [ -z "$told" ] || [ "$told" = "redis-$HOST" ] || return 0
        sleep 0.5
    done
    return 1
}

# Epochs and other members, as the sentinel wrote them down itself; members that left are forgotten.
remembered() {
    grep -E '^sentinel (current-epoch|config-epoch redis|leader-epoch redis) ' "$state" 2>/dev/null
    for member in $MEMBERS; do
        grep -E "^sentinel known-(replica|sentinel) redis (redis|sentinel)-$member " "$state" 2>/dev/null
    done
}

sentinel() {
    primary=$(kept | cut -d ' ' -f 4)
    case " $MEMBERS " in *" ${primary#redis-} "*) ;; *) primary=$(primary 10) ;; esac
    {
        listen 26379
        cat <<END
dir /sentinel
sentinel myid $(echo "sentinel-$HOST" | sha1sum | cut -c 1-40)
sentinel sentinel-pass $word
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip sentinel-$HOST
sentinel announce-port 26379
sentinel deny-scripts-reconfig yes
sentinel monitor redis $primary 6379 $((count / 2 + 1))
sentinel auth-pass redis $word
sentinel down-after-milliseconds redis 10000
sentinel failover-timeout redis 30000
END
        remembered
        echo 'sentinel parallel-syncs redis 1'
    } >"$state.new" || exit 1
    mv -f "$state.new" "$state"
    say "the primary is $primary"
    redis-sentinel "$state" &
    process=$!
    trap 'kill -TERM "$process"' TERM INT
    attend watched
}

# The server answers, also while it still reads its file. A replica that the sentinels did not know of
# when its primary was lost would wait for that one for ever.
ping() {
    is=$(here info replication | tr -d '\r')
    case $is in
        *master_link_status:down*)
            told=$(each told_by)
            primary=$(echo "$told" | highest)
            if [ $(($(echo "$told" | grep -c .) * 2)) -gt "$count" ] && [ "$primary" != "redis-$HOST" ] &&
                [ "$primary" != "$(echo "$is" | sed -n 's/^master_host://p')" ]; then
                here replicaof "$primary" 6379 >/dev/null
            fi
            ;;
        *role:*) ;;
        *) case $(here ping) in *PONG* | *LOADING* | *MASTERDOWN*) ;; *) exit 1 ;; esac ;;
    esac
}

# The primary that most sentinels know of, where this one knows another and no newer one. A sentinel
# that hears of a new primary whose name it can't look up at that moment, as after a start, takes over the
# epoch and keeps the old name: whatever it hears later is no news to it.
astray() {
    mine=$(told_by "$HOST" </dev/null)
    # It watches nobody where the last line of its correction could not be carried out.
    [ -n "$mine" ] || case $says in *'No such master'*) mine='-1 nobody' ;; *) return 0 ;; esac
    { echo "$mine"; each told_by; } | awk -v count="$count" '
        NR == 1 { epoch = $1; name = $2; next }
        $2 != name && $1 >= epoch { known[$2]++ }
        END { for (one in known) if (known[one] * 2 > count) print one }'
}

# The sentinel answers. It never forgets by itself who left, and counts them into every majority: it
# is told to, while all members are there, and one sentinel after another.
watched() {
    says=$(printf '%s\n' ping 'sentinel master redis' 'sentinel replicas redis' 'sentinel sentinels redis' |
        ask 127.0.0.1 26379)
    [ "$(echo "$says" | head -n 1)" = PONG ] || exit 1
    primary=$(astray)
    if [ -n "$primary" ] && sleep 5 && [ "$(astray)" = "$primary" ]; then
        say "most sentinels know $primary as the primary: so does this one from now on"
        printf '%s\n' 'sentinel remove redis' "sentinel monitor redis $primary 6379 $((count / 2 + 1))" \
            "sentinel set redis auth-pass $word" 'sentinel set redis down-after-milliseconds 10000' \
            'sentinel set redis failover-timeout 30000' 'sentinel set redis parallel-syncs 1' |
            ask 127.0.0.1 26379 >/dev/null
        exit 0
    fi
    gone=$(echo "$says" | awk -v members=" $MEMBERS " '
        NR == 1 || NR % 2 == 0 { key = $0; next }
        key == "ip" { name = $0; sub(/^(redis|sentinel)-/, "", name) }
        key == "flags" && /s_down/ { if (index(members, " " name " ")) missing = 1; else gone = name }
        END { if (!missing) print gone }')
    [ -n "$gone" ] || exit 0
    turn=0
    for member in $MEMBERS; do
        [ "$member" != "$HOST" ] || break
        turn=$((turn + 1))
    done
    [ $(($(now) / 20 % count)) -ne "$turn" ] || ask 127.0.0.1 26379 sentinel reset redis >/dev/null
    exit 0
}

no() { echo "$*"; exit 1; }

well() {
    says=$(printf '%s\n' 'sentinel ckquorum redis' 'sentinel master redis' | ask "sentinel-$HOST" 26379)
    usable=$(echo "$says" | head -n 1)
    known() { echo "$says" | awk -v key="$1" 'NR > 1 && NR % 2 == 1 && last == key { print } { last = $0 }'; }
    primary=$(known ip)
    # Ten seconds until it is missed, and thirty in which the sentinels make another one. Where they did
    # not agree on who does, they begin anew every two failover-timeouts.
    silent=$(known last-ok-ping-reply)
    silent=$((${silent:-0} / 1000))
    [ "$silent" -lt 3 ] ||
        no "$primary has not answered for $silent s: another one takes over within $((silent < 40 ? 40 - silent : 60 - (silent - 40) % 60)) s"
    case $usable in
        "OK $count usable"*) ;;
        OK*) no "its sentinel says ${usable%%.*}, there should be $count" ;;
        *) no "its sentinel says ${usable:-nothing}" ;;
    esac
    # One that the sentinels do not know of would be left behind.
    [ "$(known num-slaves)" -ge $((count - 1)) ] || no "its sentinel knows $(known num-slaves) of $((count - 1)) replicas"
    is=$(here info replication | tr -d '\r')
    value() { echo "$is" | sed -n "s/^$1://p"; }
    if [ "$primary" = "redis-$HOST" ]; then
        [ "$(value role)" = master ] || no "its sentinel calls it the primary, and it is a ${is:+$(value role)}"
        online=$(echo "$is" | grep -c '^slave[0-9].*state=online')
        [ "$online" = $((count - 1)) ] || no "$online of $((count - 1)) replicas follow it"
    else
        [ "$(value role)" = slave ] || no "$primary is the primary, and it is no replica"
        [ "$(value master_host)" = "$primary" ] || no "it follows $(value master_host), and $primary is the primary"
        [ "$(value master_link_status)" = up ] || no "it is not in sync with $primary"
    fi
}

held_by() { echo "$1 $(ask "redis-$1" 6379 get "$key" </dev/null)"; }

key=${2:-}
case $1 in
    server | sentinel | well) "$1" ;;
    read)
        each held_by | while read -r member value; do
            [ "$value" = "$3" ] || no "\`$key\` reads \`$value\` on $member"
        done
        ;;
    write)
        told=$(told_by "$HOST" </dev/null | highest)
        [ "$(ask "${told:-redis-$HOST}" 6379 set "$key" "$3" </dev/null)" = OK ] || no 'the primary takes no write'
        ;;
    *) no "unknown: $1" ;;
esac
