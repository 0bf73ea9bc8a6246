#!/bin/bash
# The stacks that bp ships, on three hosts in a ground of their own, which is taken away at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BP_GROUND=bp-services
export XDG_CACHE_HOME=$PWD/target/lab-cache

images=
trap 'kill $images 2>/dev/null || :; tests/lab/ground.sh down' EXIT
tests/lab/images.sh target/images &
images=$!
tests/lab/hosts.sh root
wait $images
tests/lab/ground.sh fresh
tests/lab/ground.sh exec cargo test --locked --package tests --features lab --test lab -- --nocapture the_services
