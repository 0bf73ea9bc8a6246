#!/bin/bash
# The stacks that bp ships, in two tests side by side, each on three hosts in a ground of its own, which is
# taken away at the end. Both wait for timers most of the time.
set -euo pipefail
cd "$(dirname "$0")/../.."
export XDG_CACHE_HOME=$PWD/target/lab-cache

images=
declare -A running
ended() {
    [ -z "$images" ] || kill "$images" 2>/dev/null || :
    # What runs in a ground ends with it.
    for ground in bp-services bp-changes; do
        BP_GROUND=$ground tests/lab/ground.sh down || :
    done
    wait
}
trap ended EXIT

# A test in a ground, its words in a file of the ground's name.
begin() {
    local ground=$1 test=$2
    BP_GROUND=$ground tests/lab/ground.sh fresh
    BP_GROUND=$ground tests/lab/ground.sh exec cargo test --locked --package tests --features lab --test lab -- \
        --nocapture "$test" >"target/$ground.log" 2>&1 &
    running[$!]=target/$ground.log
}

tests/lab/images.sh target/images &
images=$!
BP_GROUND=bp-services tests/lab/hosts.sh root
wait "$images"
images=
begin bp-services the_services
begin bp-changes their_changes
# The one that ends first speaks first; where it failed, the other one is not waited for.
for _ in "${!running[@]}"; do
    code=0
    wait -n -p first "${!running[@]}" || code=$?
    # shellcheck disable=SC2154 # `wait` sets it.
    cat "${running[$first]}"
    unset "running[$first]"
    [ $code = 0 ]
done
