#!/bin/bash
# What a `bp up` with nothing to do costs, as a ratio to the floor: in parallel one `ssh` and one
# script a host, doing the same 20 checks. Then `bp check` and `bp plan` over 1,000 hosts.
#
#   run.sh [BP] [N...]      default: target/release/bp, 1 25 100 hosts
#
# Every number is the median of five runs, the two sides taking turns.
set -euo pipefail

self=$(readlink -f "$0")
here=${self%/*}
farm=$here/../lab/sshd-farm.sh
export BP_FARM=bp-bench

# Milliseconds that a command takes.
took() {
    local begin end
    begin=${EPOCHREALTIME/./}
    "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; echo "bench: failed: $*" >&2; exit 1; }
    end=${EPOCHREALTIME/./}
    echo $(((end - begin) / 1000))
}

median() { sort -n | sed -n 3p; }

# The cheapest that ssh can do. Its own first choice of key exchange costs twice as much as the
# rest of the login, and bp does not choose it either.
floor() {
    local host pids=() pid
    while read -r host; do
        ssh -F none -i "$dir/key" -o IdentityAgent=none -o BatchMode=yes \
            -o KexAlgorithms=curve25519-sha256 -o "UserKnownHostsFile=$dir/known_hosts" \
            "root@$host" sh <"$work/floor.sh" &
        pids+=($!)
    done <"$dir/hosts"
    for pid in "${pids[@]}"; do
        wait "$pid" || return 1
    done
}

# Runs where the farm's hosts are.
measure() {
    local floors='' ups='' a b
    "$bp" up "$work/bench.yml" --yes >"$work/out" 2>&1 || { cat "$work/out" >&2; exit 1; }
    # Both sides must find everything as it should be, or the ratio says nothing.
    "$bp" up "$work/bench.yml" --yes --json | tail -n 1 | grep '"applied":0' |
        grep -q "\"already_true\":[1-9]" || { echo "bench: a second up applied something" >&2; exit 1; }
    for _ in 1 2 3 4 5; do
        floors+="$(took floor)"$'\n'
        ups+="$(took "$bp" up "$work/bench.yml" --yes)"$'\n'
    done
    a=$(printf %s "$floors" | median)
    b=$(printf %s "$ups" | median)
    printf '%5d hosts: floor %6d ms, bp up %6d ms, ratio %s\n' "$1" "$a" "$b" \
        "$(awk "BEGIN { printf \"%.2f\", $b / $a }")"
}

# Runs anywhere: nothing is connected to.
offline() {
    local checks='' plans=''
    for _ in 1 2 3 4 5; do
        checks+="$(took "$bp" check "$work/many.yml")"$'\n'
        plans+="$(took plan)"$'\n'
    done
    printf '%5d hosts: bp check %d ms, bp plan %d ms (libvirt test driver, nothing made yet)\n' \
        "$1" "$(printf %s "$checks" | median)" "$(printf %s "$plans" | median)"
}

# Changes are what it should find: exit 3.
plan() {
    local code=0
    "$bp" plan "$work/many.yml" || code=$?
    [ $code = 3 ]
}

if [ "${1:-}" = measure ]; then
    bp=$2 work=$4 dir=$5
    measure "$3"
    exit
fi

bp=$(readlink -f "${1:-target/release/bp}")
[ -x "$bp" ] || { echo "bench: no such program: $bp" >&2; exit 2; }
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- 1 25 100
work=$(mktemp -d)
trap '"$farm" down >/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
dir=$("$farm" dir)
echo "bench: $(nproc) cores, load $(cut -d ' ' -f 1 /proc/loadavg), $("$bp" --version)"
for n in "$@"; do
    "$farm" up "$n" >/dev/null
    rm -rf "${work:?}"
    mkdir "$work"
    "$here/generate.sh" hosts "$dir" "$work"
    "$farm" exec "$self" measure "$bp" "$n" "$work" "$dir"
done
"$here/generate.sh" many 1000 "$work"
offline 1000
