# WHAT BYTES <FILE: brings GitLab's data (`data`), or the keys of its database (`keys`), back in its own
# container. One at a time: a link to its process says which. While it is there and not older than
# four hours, the container's healthcheck is content with a GitLab that does not answer.
set -e
what=$1 bytes=$2
restoring=/run/bp-restores archive=/var/opt/gitlab/backups/bp_gitlab_backup.tar
secrets=/etc/gitlab/gitlab-secrets.json
if ! ln -s $$ "$restoring" 2>/dev/null; then
    other=$(readlink "$restoring")
    ! grep -qs restoring "/proc/$other/cmdline" || { echo 'another restore runs' >&2; exit 1; }
    ln -sfn $$ "$restoring"
fi
cut_off=
trap leave EXIT
trap 'cut_off=yes; exit 1' HUP INT TERM

# GitLab runs again, whatever became of the restore; who was cut off does not wait for that.
leave() {
    code=$?
    set +e
    gitlab-ctl start
    [ -n "$cut_off" ] || answers || code=1
    rm -f "$archive" "$secrets.new" "$restoring"
    exit "$code"
}

# Who carries it here may be ended before all of it has come.
whole() {
    [ "$(wc -c <"$1")" -eq "$bytes" ] || { echo 'it did not arrive whole' >&2; exit 1; }
}

answers() {
    tries=90
    until /opt/gitlab/bin/gitlab-healthcheck --fail --max-time 10 >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo 'GitLab does not answer after it' >&2; return 1; }
        sleep 10
    done
}

case $what in
    data)
        (umask 077; cat >"$archive")
        whole "$archive"
        chown git:git "$archive"
        # Nothing writes while it is brought back.
        gitlab-ctl stop puma
        gitlab-ctl stop sidekiq
        GITLAB_ASSUME_YES=1 gitlab-backup restore BACKUP=bp SKIP=db force=yes
        ;;
    keys)
        (umask 077; cat >"$secrets.new")
        whole "$secrets.new"
        # Without them, nobody reads what the database holds that was there.
        [ ! -e "$secrets" ] || cp -pf "$secrets" "$secrets.before-restore"
        mv -f "$secrets.new" "$secrets"
        gitlab-ctl reconfigure
        gitlab-ctl restart
        ;;
esac
