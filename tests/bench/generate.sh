#!/bin/bash
# What the benchmark measures, written into a folder.
#
#   generate.sh hosts FARM DIR    bench.yml (blueprint of the farm's hosts), steps.yml (playbook of
#                                 20 steps), floor.sh (the same 20 checks as one script)
#   generate.sh many N DIR        many.yml: N guests on libvirt's test driver
set -euo pipefail

# One step: its name, its check, its apply.
step() {
    printf '  - name: %s\n    why: the benchmark has something to look at\n' "$1" >>"$playbook"
    printf '    check: |\n      %s\n    apply: |\n      %s\n' "$2" "$3" >>"$playbook"
    printf '( %s ) || failed=1\n' "$2" >>"$floor"
}

# Directories, files with content, lines in files, guarded commands: five of each.
steps() {
    local n at
    printf 'why: what the benchmark looks at\non: all\nsteps:\n' >"$playbook"
    printf 'failed=0\n' >"$floor"
    for n in 1 2 3 4 5; do
        at=/srv/bench/dir$n
        step "directory $n" "[ -d $at ] && [ \"\$(stat -c '%a %U' $at)\" = '750 root' ]" \
            "install -d -m 750 -o root $at"
    done
    for n in 1 2 3 4 5; do
        at=/srv/bench/dir$n/settings
        step "file $n" "[ \"\$(cat $at)\" = 'setting = $n' ] && [ \"\$(stat -c %a $at)\" = 640 ]" \
            "printf 'setting = $n\\n' >$at.new && chmod 640 $at.new && mv $at.new $at"
    done
    for n in 1 2 3 4 5; do
        at=/srv/bench/lines
        step "line $n" "grep -qxF 'line $n' $at" "echo 'line $n' >>$at"
    done
    for n in 1 2 3 4 5; do
        at=/srv/bench/done$n
        step "command $n" "[ -e $at ]" "uname -a >/srv/bench/uname && touch $at"
    done
    echo "exit \$failed" >>"$floor"
}

hosts() {
    local n=0 address fingerprint
    playbook=$2/steps.yml
    floor=$2/floor.sh
    steps
    fingerprint=$(cat "$1/fingerprint")
    {
        printf 'version: 1\nname: bench\ndomain: bench.test\n'
        printf 'ssh: { user: root, key: %s }\nhosts:\n' "$1/key"
        while read -r address; do
            n=$((n + 1))
            printf '  h%d: { role: none, address: %s, ssh: { fingerprint: "%s" } }\n' \
                $n "$address" "$fingerprint"
        done <"$1/hosts"
        printf 'phases: [machines, ./steps.yml]\n'
    } >"$2/bench.yml"
}

many() {
    local n
    {
        printf 'version: 1\nname: many\ndomain: many.test\nprovider:\n  libvirt:\n'
        printf '    uri: test:///default\n    pool: default-pool\n    network: many\n'
        printf '    subnet: 10.99.0.0/16\n    template: { bootstrap: { suite: trixie } }\nhosts:\n'
        for ((n = 1; n <= $1; n++)); do
            printf '  h%d: { role: %s, labels: { nodename: h%d, rack: r%d } }\n' \
                $n "$([ $n -le 3 ] && echo manager || echo worker)" $n $((n % 40))
        done
        printf 'swarm:\n  networks: [etcd, pgsql, redis]\nstacks: [etcd]\n'
    } >"$2/many.yml"
}

case ${1:-} in
    hosts | many) "$@" ;;
    *) echo "usage: $0 hosts FARM DIR | many N DIR" >&2; exit 2 ;;
esac
