# WHAT <FILE: brings GitLab's data (`data`), or the keys of its database (`keys`), back in its own
# container. One at a time: a link to its process says which.
set -e
restoring=/run/bp-restores archive=/var/opt/gitlab/backups/bp_gitlab_backup.tar
secrets=/etc/gitlab/gitlab-secrets.json
if ! ln -s $$ "$restoring" 2>/dev/null; then
    other=$(readlink "$restoring")
    ! grep -qs restoring "/proc/$other/cmdline" || { echo 'another restore runs' >&2; exit 1; }
    ln -sfn $$ "$restoring"
fi
trap 'rm -f "$archive" "$restoring"' EXIT
trap 'exit 1' HUP INT TERM

case $1 in
    data)
        (umask 077; cat >"$archive")
        chown git:git "$archive"
        # Nothing writes while it is brought back.
        gitlab-ctl stop puma
        gitlab-ctl stop sidekiq
        trap 'gitlab-ctl start; rm -f "$archive" "$restoring"' EXIT
        GITLAB_ASSUME_YES=1 gitlab-backup restore BACKUP=bp SKIP=db force=yes
        ;;
    keys)
        (umask 077; cat >"$secrets.new")
        [ -s "$secrets.new" ]
        # Without them, nobody reads what the database holds that was there.
        [ ! -e "$secrets" ] || cp -pf "$secrets" "$secrets.before-restore"
        mv -f "$secrets.new" "$secrets"
        gitlab-ctl reconfigure
        gitlab-ctl restart
        ;;
esac
