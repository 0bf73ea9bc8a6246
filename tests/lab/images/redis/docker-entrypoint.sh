#!/bin/sh
# Stands in for the entrypoint of the image redis: options alone, or a configuration file, are
# for redis-server; root makes the working folder redis's own and becomes redis.
set -e
case ${1:-} in
    -* | *.conf) set -- redis-server "$@" ;;
esac
case ${1:-} in
    redis-server | redis-sentinel)
        if [ "$(id -u)" = 0 ]; then
            find . ! -user redis -exec chown redis '{}' +
            # By its path: busybox's shell would take its own, which changes no user.
            exec /usr/bin/setpriv --reuid=redis --regid=redis --clear-groups -- "$0" "$@"
        fi
        ;;
esac
# What Redis writes is for nobody else, unless somebody chose otherwise.
[ "$(umask)" != 0022 ] || umask 0077
exec "$@"
