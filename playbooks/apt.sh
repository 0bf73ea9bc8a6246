command -v apt-get >/dev/null || { echo 'there is no apt-get here: bp knows Debian and what is made of it' >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
apt='apt-get -q -y -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold'
# Whoever holds a lock is waited for: dpkg that a cut-off run left at work, a new machine's own search for updates.
patiently() {
  i=0
  until said=$("$@" 2>&1 </dev/null); do
    case $said in *'Could not get lock'*|*' locked by another process'*) ;; *) return 1;; esac
    i=$((i + 1)); [ $i -lt 450 ] || return 1
    sleep 2
  done
}
# What a cut-off run left half done is ended, and what packages lack is installed. Where that fails, the rest says why.
patiently dpkg --force-confold --configure -a || echo "$said" >&2
patiently $apt update || { echo "$said" >&2; exit 1; }
