#!/bin/sh
# The lab of blueprints/lab.yml on this machine, made and left running.
#
#   lab.sh up       a running libvirt, the images, `bp up`, `bp status`
#   lab.sh down     `bp destroy`, and the ground where it was made
#
# With systemd it is the machine's own libvirt. Without, a private one: see ground.sh.
set -eu

cd "$(dirname "$0")/../.."
export BP_GROUND=bp-lab
blueprint=blueprints/lab.yml
bp=$PWD/target/debug/bp

say() { printf 'lab: %s\n' "$*"; }

on_ground() { [ ! -d /run/systemd/system ]; }

lab() {
    if on_ground; then
        tests/lab/ground.sh exec "$bp" "$@"
    else
        "$bp" "$@"
    fi
}

machine_libvirt() {
    systemctl start libvirtd
    say "libvirt of this machine runs"
    if ! virsh -q -c qemu:///system pool-info default >/dev/null 2>&1; then
        virsh -q -c qemu:///system pool-define-as default dir --target /var/lib/libvirt/images
        virsh -q -c qemu:///system pool-autostart default
        say "storage pool \`default\` made in /var/lib/libvirt/images"
    fi
    if ! virsh -q -c qemu:///system pool-info default | grep -q '^State: *running'; then
        virsh -q -c qemu:///system pool-start default
    fi
}

case ${1:-} in
    up)
        if on_ground; then
            tests/lab/ground.sh up
        else
            machine_libvirt
        fi
        tests/lab/images.sh target/images etcd
        lab up "$blueprint" --yes
        lab status "$blueprint"
        if on_ground; then
            say "go on as root: BP_GROUND=$BP_GROUND tests/lab/ground.sh exec target/debug/bp ssh --file $blueprint HOST"
        else
            say "go on as root: target/debug/bp ssh --file $blueprint HOST"
        fi
        ;;
    down)
        if on_ground && ! tests/lab/ground.sh status >/dev/null; then
            # Every guest died with the ground.
            tests/lab/ground.sh down
        else
            lab destroy "$blueprint" --yes
            if on_ground; then
                tests/lab/ground.sh down
            fi
        fi
        ;;
    *)
        printf 'usage: %s up|down\n' "$0" >&2
        exit 2
        ;;
esac
