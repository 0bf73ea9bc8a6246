#!/bin/bash
# The engine's packages in root file systems, GlusterFS and Redis in namespaces, then the main path
# on real virtual machines, on a ground of its own, which is taken away at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BP_GROUND=bp-test
export XDG_CACHE_HOME=$PWD/target/lab-cache

mkdir -p target
# The images are mostly unpacked and packed: there is time for it beside the tests before the lab.
tests/lab/images.sh target/images etcd web redis >target/images.log 2>&1 &
images=$!
redis=
trap 'kill $images $redis 2>/dev/null || :; tests/lab/ground.sh down' EXIT
cargo test --locked --package tests --features lab --test engine
wait $images || { cat target/images.log; exit 1; }
# Both wait for timers of what they run most of the time.
cargo test --locked --package tests --features lab --test redis >target/redis.log 2>&1 &
redis=$!
cargo test --locked --package tests --features lab --test gluster
wait $redis || { cat target/redis.log; exit 1; }
tests/lab/ground.sh fresh
tests/lab/ground.sh exec cargo test --locked --package tests --features lab --test lab -- --nocapture the_main_path
