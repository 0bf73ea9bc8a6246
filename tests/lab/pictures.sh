#!/bin/bash
# Pictures of the web faces of a lab that runs: `pictures.sh BP FOLDER OUT` makes OUT/traefik.png and
# OUT/gitlab.png of the lab whose lab.yml is in FOLDER. The browser trusts the lab's authority and no
# other, so a certificate that does not verify is what the picture shows.
# Needs chromium and certutil (packages chromium, libnss3-tools, fonts-dejavu-core).
set -euo pipefail
bp=$(realpath "$1")
out=$(realpath "$3")
cd "$2"
HOME=$(mktemp -d)
export HOME
trap 'rm -rf "$HOME"' EXIT
mkdir -p "$HOME/.pki/nssdb"
"$bp" ca lab.yml >"$HOME/ca.pem"
certutil -d "sql:$HOME/.pki/nssdb" -N --empty-password
certutil -d "sql:$HOME/.pki/nssdb" -A -t C,, -n lab -i "$HOME/ca.pem"
node=$("$bp" ssh -f lab.yml node1 -- "hostname -I | tr ' ' '\n' | grep -m 1 '^10\.20\.30\.'")

# An emulated machine takes its time: the page is there when its scripts have nothing more to do.
picture() {
    timeout 300 chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars \
        --user-data-dir="$HOME/browser" --host-resolver-rules="MAP *.lab.test $node" \
        --window-size=1280,800 --virtual-time-budget=60000 --screenshot="$out/$1.png" "$2" \
        >"$HOME/browser.log" 2>&1 || { cat "$HOME/browser.log"; exit 1; }
}

picture gitlab https://gitlab.lab.test/users/sign_in
# The one way to log in without a hand at the keyboard: the password is among the arguments of a
# browser that ends, of a lab that does not outlive its test.
picture traefik "https://admin:$("$bp" secret show traefik_password lab.yml)@traefik.lab.test/dashboard/"
