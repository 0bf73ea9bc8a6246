#!/bin/sh
# Stands in for the entrypoint of the image postgres, which Stolon's images are built on: a
# command is run as it is. A PostgreSQL without Stolon is not what this image is for.
set -e
case ${1:-postgres} in
    postgres | -*)
        echo 'stolon stand-in: name stolon-keeper, stolon-sentinel, stolon-proxy or stolonctl' >&2
        exit 1
        ;;
esac
exec "$@"
