#!/bin/bash
# What `make test` runs once bp is built. The services wait for timers most of the time: they run beside
# everything that needs no emulated machine. Those come last, with the cores for themselves.
set -euo pipefail
cd "$(dirname "$0")/.."
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
stage() { tests/lab/stage.sh "$@"; }

services=
ended() {
    [ -n "$services" ] || return 0
    # It takes its grounds away.
    $sudo kill "$services" 2>/dev/null || :
    wait "$services" || :
}
trap ended EXIT

await_services() {
    wait "$services" || { services='' && cat target/services.log && return 1; }
    services=
    grep -E '^(stage|test) ?' target/services.log
}

# They are built before the services begin: cargo runs one build at a time.
stage 'tests are built' cargo test --locked --workspace --features tests/lab --no-run
stage clippy cargo clippy --locked --workspace --all-targets --features tests/lab -- -D warnings
$sudo tests/lab/services.sh >target/services.log 2>&1 &
services=$!
stage tests cargo test --locked --workspace
stage parts $sudo tests/lab/parts.sh
echo '== services'
await_services
stage 'real lab' $sudo tests/lab/main-path.sh
