#!/bin/sh
# Stands in for systemd, which namespaces do not have: knows glusterd alone, and whether it starts
# with the machine.
enabled=/etc/glusterd-is-enabled
runs() { [ -e /run/glusterd.pid ] && kill -0 "$(cat /run/glusterd.pid)" 2>/dev/null; }
case $* in
'is-enabled --quiet glusterd') [ -e $enabled ] ;;
'is-active --quiet glusterd') runs ;;
'is-active glusterd') if runs; then echo active; else echo inactive; exit 3; fi ;;
'enable --now glusterd') : >$enabled && "$0" start glusterd ;;
'start glusterd') runs || exec glusterd -p /run/glusterd.pid ;;
'daemon-reload' | 'reset-failed glusterd') ;;
*)
  echo "this systemctl does not know: $*" >&2
  exit 64
  ;;
esac
