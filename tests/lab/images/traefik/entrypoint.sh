#!/bin/sh
# Stands in for the entrypoint of the image traefik: options, and Traefik's own commands, are
# for traefik; anything else is a command.
set -e
if [ "${1#-}" != "${1:-}" ]; then
    set -- traefik "$@"
elif [ "${1:-}" != traefik ] && traefik "${1:-}" --help >/dev/null 2>&1; then
    set -- traefik "$@"
fi
exec "$@"
