#!/bin/sh
# Stands in for the entrypoint of the image registry: a configuration file is served, and the
# registry's own commands need no name before them.
set -e
case ${1:-} in
    *.yml | *.yaml) set -- registry serve "$@" ;;
    serve | garbage-collect | help | -*) set -- registry "$@" ;;
esac
exec "$@"
