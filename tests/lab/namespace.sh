# shellcheck shell=bash
# For scripts that keep processes in a process namespace: the namespace ends with its first
# process, so that one is known by its number and by when it started.

# When a process started, out of a line of /proc/PID/stat; nothing where it has ended.
started() {
    local after=${1##*) }
    [[ $after == Z* ]] || cut -d ' ' -f 20 <<<"$after"
}

# Leaves the number by which the machine knows this process in a file. To be called as the
# first process of a namespace while the machine's /proc is still mounted.
leave_number() {
    local stat
    read -r stat </proc/self/stat
    printf '%s %s\n' "${stat%% *}" "$(started "$stat")" >"$1.new"
    mv "$1.new" "$1"
}

# Whether the process of this file is the one that left it, not a later one of its number.
lives() {
    local pid start stat
    { read -r pid start <"$1" && read -r stat <"/proc/$pid/stat"; } 2>/dev/null || return 1
    [ "$(started "$stat")" = "$start" ]
}

# Ends the namespace of this file, and waits for it.
end_namespace() {
    local pid end=$((SECONDS + 30))
    read -r pid _ <"$1"
    kill -KILL "$pid"
    while lives "$1"; do
        if [ $SECONDS -ge $end ]; then
            echo "process $pid does not end" >&2
            return 1
        fi
        sleep 0.1
    done
}

# Runs a command inside, in place of this process.
exec_inside() {
    local pid
    read -r pid _ <"$1"
    shift
    exec nsenter -t "$pid" -m -n -p --wd="$PWD" -- "$@"
}
