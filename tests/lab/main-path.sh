#!/bin/bash
# The main path on real virtual machines, on a ground of its own, which is taken away at the end.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BP_GROUND=bp-test
export XDG_CACHE_HOME=$PWD/target/lab-cache

trap 'tests/lab/ground.sh down' EXIT
tests/lab/images.sh target/images etcd web
tests/lab/ground.sh fresh
tests/lab/ground.sh exec cargo test --locked --package tests --features lab --test lab -- --nocapture the_main_path
