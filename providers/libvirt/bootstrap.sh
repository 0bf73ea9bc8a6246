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
apt: {preserve_sources_list: true}
ssh: {emit_keys_to_console: false}
cloud_init_modules: [bootcmd, write_files, growpart, resizefs, mounts, set_hostname,
  update_hostname, update_etc_hosts, users_groups, ssh]
cloud_config_modules: [set_passwords, timezone, runcmd]
cloud_final_modules: [scripts_per_boot, scripts_user, final_message]
EOF
    # The client id is the MAC: a machine made anew gets its old address, not a second lease.
    mkdir -p "$root/etc/systemd/network/10-cloud-init-eth0.network.d"
    printf '[DHCPv4]\nClientIdentifier=mac\n' \
        >"$root/etc/systemd/network/10-cloud-init-eth0.network.d/lab.conf"
    # Nothing installs, updates or cleans up by itself in the middle of a run; and each of these
    # takes part of a second of a boot under emulation.
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
        e2scrub_reap.service fstrim.timer cloud-init-hotplugd.socket cloud-init-hotplugd.service \
        dev-hugepages.mount dev-mqueue.mount getty@tty1.service serial-getty@ttyS0.service \
        ldconfig.service sys-kernel-debug.mount sys-kernel-tracing.mount \
        systemd-binfmt.service systemd-journal-catalog-update.service systemd-pstore.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service
    chroot "$root" systemctl --quiet set-default multi-user.target
    # A lab's guest that dies is made anew; until then apt is much faster without flushing.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/lab"
    ;;
esac
