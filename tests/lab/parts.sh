#!/bin/bash
# The engine's packages in root file systems; GlusterFS and Redis in namespaces.
set -euo pipefail
cd "$(dirname "$0")/../.."
export XDG_CACHE_HOME=$PWD/target/lab-cache

redis=
trap 'kill $redis 2>/dev/null || :' EXIT
cargo test --locked --package tests --features lab --test engine
# Both wait for timers of what they run most of the time.
cargo test --locked --package tests --features lab --test redis >target/redis.log 2>&1 &
redis=$!
cargo test --locked --package tests --features lab --test gluster
wait $redis || { cat target/redis.log; exit 1; }
