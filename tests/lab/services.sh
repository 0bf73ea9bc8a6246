#!/bin/bash
# The services on real virtual machines, on a ground of its own, which is taken away at the end. Not
# a part of `make test`: it takes well over an hour on two cores that emulate.
set -euo pipefail
cd "$(dirname "$0")/../.."
export BP_GROUND=bp-services
export XDG_CACHE_HOME=$PWD/target/lab-cache

trap 'tests/lab/ground.sh down' EXIT
tests/lab/images.sh target/images etcd web redis traefik registry stolon gitlab
tests/lab/ground.sh fresh
tests/lab/ground.sh exec cargo test --locked --package tests --features lab --test lab -- --nocapture the_services
