# shellcheck shell=sh disable=SC2154
# gitlab.tar  two STAND-INS on one layer:
#             lab/gitlab-stand-in:18 for GitLab 18: it evaluates the configuration of omnibus in
#             Ruby, and uses the PostgreSQL and the Redis that it names; it has a sign-in page,
#             the readiness of the real one, the API that a runner needs, backups of its own
#             tables, a banner on the port of SSH. It is no GitLab: no repositories to clone, no
#             jobs, no mail. Port 80 alone, in plain HTTP; what proxies do is for a proxy.
#             lab/gitlab-runner-stand-in:18 for its runner: it registers, and asks for jobs over
#             HTTPS that it verifies; it runs none.
#             Both: root, busybox for a shell; data where the real images have it.
# packages: ruby,ruby-pg
root=$work/gitlab/root
skeleton "$root" git 998 /var/opt/gitlab
printf 'gitlab-runner:x:999:999::/home/gitlab-runner:/bin/sh\n' >>"$root/etc/passwd"
printf 'gitlab-runner:x:999:\n' >>"$root/etc/group"
certificates "$root"
ruby "$root"
take "$root" "usr/lib/$libraries/ruby/vendor_ruby" usr/lib/ruby/vendor_ruby/pg usr/lib/ruby/vendor_ruby/pg.rb
libraries "$root"
applets "$root"
scripts "$root/opt/gitlab/stand-in" gitlab/wire.rb gitlab/omnibus.rb gitlab/data.rb gitlab/rails.rb \
    gitlab/server.rb gitlab/page.rb
scripts "$root/opt/gitlab/bin" gitlab/gitlab-healthcheck
scripts "$root/assets" gitlab/init-container
scripts "$root/usr/bin" gitlab/gitlab-ctl gitlab/gitlab-rails gitlab/gitlab-backup gitlab/gitlab-runner
scripts "$root" gitlab/runner-entrypoint
mkdir -p "$root/etc/gitlab" "$root/var/opt/gitlab" "$root/var/log/gitlab" "$root/etc/gitlab-runner"
layer "$root" "$work/gitlab/layer.tar" 999 755 home/gitlab-runner
quick="${path},\"LANG=C.UTF-8\"]"
image "$work/gitlab/archive" "$work/gitlab/layer.tar" lab/gitlab-stand-in:18 \
    "$quick,\"Cmd\":[\"/assets/init-container\"],\"Volumes\":{\"/etc/gitlab\":{},\"/var/opt/gitlab\":{},\"/var/log/gitlab\":{}},\"ExposedPorts\":{\"22/tcp\":{},\"80/tcp\":{},\"443/tcp\":{}},\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"/opt/gitlab/bin/gitlab-healthcheck --fail --max-time 10\"],\"Interval\":60000000000,\"Timeout\":30000000000,\"Retries\":5}"
image "$work/gitlab/archive" "$work/gitlab/layer.tar" lab/gitlab-runner-stand-in:18 \
    "$quick,\"Entrypoint\":[\"/runner-entrypoint\"],\"Cmd\":[\"run\",\"--user=gitlab-runner\",\"--working-directory=/home/gitlab-runner\"],\"StopSignal\":\"SIGQUIT\",\"Volumes\":{\"/etc/gitlab-runner\":{},\"/home/gitlab-runner\":{}}"
archive "$work/gitlab/archive" gitlab.tar
