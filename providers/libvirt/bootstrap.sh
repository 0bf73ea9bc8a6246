#!/bin/sh
# Run by mmdebstrap on the new root file system: $1 is the stage, $2 its folder.
set -eu
root=$2
case $1 in
essential)
    # Before the kernel comes: a small initrd, for one kind of machine, unpacks faster.
    mkdir -p "$root/etc/initramfs-tools/conf.d" "$root/etc/initramfs-tools/hooks"
    echo 'MODULES=list' >"$root/etc/initramfs-tools/conf.d/lab.conf"
    cat >"$root/etc/initramfs-tools/hooks/lab" <<'EOF'
#!/bin/sh
[ "${1:-}" = prereqs ] && exit 0
. /usr/share/initramfs-tools/hook-functions
for module in virtio_pci virtio_blk virtio_scsi sd_mod ext4; do
    manual_add_modules "$module"
done
EOF
    chmod 0755 "$root/etc/initramfs-tools/hooks/lab"
    ;;
customize)
    # The kernel is booted from outside: packages installed in a guest need not make an initrd.
    sed -i 's/^update_initramfs=.*/update_initramfs=no/' \
        "$root/etc/initramfs-tools/update-initramfs.conf"
    echo '/dev/vda / ext4 defaults,discard 0 1' >"$root/etc/fstab"
    : >"$root/etc/hostname"
    echo '127.0.0.1 localhost' >"$root/etc/hosts"
    # Every machine has its own identity.
    rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id"
    echo uninitialized >"$root/etc/machine-id"
    # cloud-init: the seed is a disk, and nothing else is asked.
    mkdir -p "$root/etc/cloud/cloud.cfg.d"
    cat >"$root/etc/cloud/cloud.cfg.d/90-lab.cfg" <<'EOF'
datasource_list: [NoCloud, None]
apt_preserve_sources_list: true
ssh: {emit_keys_to_console: false}
EOF
    # Nothing installs, updates or cleans up by itself in the middle of a run.
    for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \
        fstrim.timer dpkg-db-backup.timer systemd-networkd-wait-online.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service
    chroot "$root" systemctl --quiet set-default multi-user.target
    # A lab's guest that dies is made anew; until then apt is much faster without flushing.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/lab"
    ;;
esac
