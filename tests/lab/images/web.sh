# shellcheck shell=sh disable=SC2154
# web.tar   lab/web:1, lab/web:2: `ok` at /health and `web 1` (or 2) at / on port 8080; with
#           BREAK=1 in the environment they print why and exit with 1
#           lab/broken:1: prints a line and exits with 1; lab/job:1: the same with 0
root=$work/web/root
skeleton "$root"
applets "$root"
mkdir -p "$root/www"
printf 'ok\n' >"$root/www/health"
scripts "$root/usr/bin" web/web web/broken web/job
layer "$root" "$work/web/layer.tar"
# Nothing handles SIGTERM here, and a first process that does not is not ended by it.
quick='"StopSignal":"SIGKILL"'
for version in 1 2; do
    image "$work/web/archive" "$work/web/layer.tar" "lab/web:$version" \
        "$path,\"VERSION=$version\"],\"Cmd\":[\"/bin/web\"],\"ExposedPorts\":{\"8080/tcp\":{}},$quick"
done
image "$work/web/archive" "$work/web/layer.tar" lab/broken:1 "$path],\"Entrypoint\":[\"/bin/broken\"],$quick"
image "$work/web/archive" "$work/web/layer.tar" lab/job:1 "$path],\"Cmd\":[\"/bin/job\"],$quick"
archive "$work/web/archive" web.tar
