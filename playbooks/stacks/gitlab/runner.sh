#!/bin/sh
# Starts the runner: its configuration is made in memory, of a token that is there.
set -eu
umask 077
trap 'exit 0' HUP INT QUIT TERM
host={{host}}

mkdir -p /etc/gitlab-runner
chmod 0700 /etc/gitlab-runner
cat >/etc/gitlab-runner/config.toml <<END
concurrent = 2
check_interval = 3
shutdown_timeout = 60

[[runners]]
  name = "bp"
  url = "https://$host"
  token = "glrt-t1_$(cat /run/secrets/gitlab_runner_token)"
{{#if ca}}
  tls-ca-file = "/etc/bp/ca.crt"
{{/if}}
  # Jobs run in this container as a user without rights. What starts containers for them would be
  # given the node's engine, and with it the whole swarm.
  executor = "shell"
  shell = "bash"
  # Otherwise three failed questions, such as while GitLab starts, are answered with an hour's rest.
  unhealthy_requests_limit = 3
  unhealthy_interval = "60s"
END

# GitLab starts for minutes, and a token that it does not know yet would count as a failed question.
# Its page is asked for first, which costs little; a token that stays unknown ends the task.
answers() { ! command -v wget >/dev/null || wget -q -T 5 -O /dev/null http://tasks.gitlab/users/sign_in 2>/dev/null; }
known() { gitlab-runner verify >/dev/null 2>&1; }
# A signal ends it.
pause() { sleep 15 & wait $!; }
until answers; do pause; done
tries=0
until known; do
    tries=$((tries + 1))
    [ "$tries" -lt 40 ] || { echo 'GitLab has not known the token for 10 minutes' >&2; exit 1; }
    pause
done
set -- gitlab-runner run --user=gitlab-runner --working-directory=/home/gitlab-runner
[ ! -x /usr/bin/dumb-init ] || set -- /usr/bin/dumb-init -- "$@"
exec "$@"
