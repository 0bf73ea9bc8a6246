#!/bin/bash
# The engine's packages in root file systems; GlusterFS and Redis in namespaces, and the services on
# hosts that share the machine's kernel; then the main path on real virtual machines, on a ground of its
# own, which is taken away at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BP_GROUND=bp-test
export XDG_CACHE_HOME=$PWD/target/lab-cache

mkdir -p target
# The images are mostly unpacked and packed: there is time for it beside the tests before the lab.
tests/lab/images.sh target/images >target/images.log 2>&1 &
images=$!
redis=
services=
ended() {
    # shellcheck disable=SC2086
    kill $images $redis $services 2>/dev/null || :
    BP_GROUND=bp-services tests/lab/ground.sh down || :
    tests/lab/ground.sh down
}
trap ended EXIT
cargo test --locked --package tests --features lab --test engine
wait $images || { cat target/images.log; exit 1; }
# All three wait for timers of what they run most of the time.
tests/lab/services.sh >target/services.log 2>&1 &
services=$!
cargo test --locked --package tests --features lab --test redis >target/redis.log 2>&1 &
redis=$!
cargo test --locked --package tests --features lab --test gluster
wait $redis || { cat target/redis.log; exit 1; }
wait $services || { cat target/services.log; exit 1; }
grep -E '^(stage|test) ?' target/services.log
tests/lab/ground.sh fresh
tests/lab/ground.sh exec cargo test --locked --package tests --features lab --test lab -- --nocapture the_main_path
