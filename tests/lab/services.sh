#!/bin/bash
# The stacks that bp ships, on three hosts in a ground of their own, which is taken away at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BP_GROUND=bp-services
export XDG_CACHE_HOME=$PWD/target/lab-cache

# The hosts share the machine's kernel, and bp sets this in it.
overcommit=$(cat /proc/sys/vm/overcommit_memory)
ended() {
    tests/lab/ground.sh exec tests/lab/hosts.sh down || :
    tests/lab/ground.sh down
    echo "$overcommit" >/proc/sys/vm/overcommit_memory
}
trap ended EXIT
tests/lab/images.sh target/images etcd web redis traefik registry stolon gitlab &
tests/lab/hosts.sh root
wait $!
tests/lab/ground.sh fresh
tests/lab/ground.sh exec cargo test --locked --package tests --features lab --test lab -- --nocapture the_services
