//! GitLab: what is deployed, what it is told, and what its checks ask.

use super::registry::{VOLUME, bench, deployed, document};

fn stacks(gitlab: &str) -> String {
    format!(
        "[etcd, {{ stolon: {{ databases: {{ gitlab: {{ extensions: [pg_trgm, btree_gist] }} }} }} }}, redis, traefik, {gitlab}]"
    )
}

#[test]
fn with_a_runner_and_mail() {
    let gitlab = "{ gitlab: { host: git.lab.test, ssh_port: 2222, smtp: { address: mail.lab.test, user: git@lab.test, password: mail } } }";
    let compose = deployed(&bench(VOLUME, &stacks(gitlab)), "gitlab");
    document(&compose);
    insta::assert_snapshot!(compose.text, @r#"
    {
      "version": "3.8",
      "services": {
        "gitlab": {
          "image": "gitlab/gitlab-ce:17.11.7-ce.0",
          "hostname": "git.lab.test",
          "environment": {
            "GITLAB_OMNIBUS_CONFIG": "from_file('/omnibus_config.rb')",
            "GITLAB_SKIP_PG_UPGRADE": "true"
          },
          "configs": [
            {
              "source": "gitlab",
              "target": "/omnibus_config.rb",
              "mode": 292
            },
            {
              "source": "ca",
              "target": "/etc/bp/ca.crt",
              "mode": 292
            },
            {
              "source": "runner-token",
              "target": "/etc/bp/runner.rb",
              "mode": 292
            }
          ],
          "secrets": [
            "gitlab_root_password",
            "pgsql_gitlab",
            "redis_password",
            "gitlab_runner_token",
            "mail"
          ],
          "networks": [
            "gitlab",
            "pgsql",
            "redis",
            "traefik"
          ],
          "ports": [
            {
              "target": 22,
              "published": 2222,
              "protocol": "tcp"
            }
          ],
          "volumes": [
            {
              "type": "bind",
              "source": "/srv/data/gitlab/config",
              "target": "/etc/gitlab"
            },
            {
              "type": "bind",
              "source": "/srv/data/gitlab/logs",
              "target": "/var/log/gitlab"
            },
            {
              "type": "bind",
              "source": "/srv/data/gitlab/data",
              "target": "/var/opt/gitlab"
            },
            {
              "type": "bind",
              "source": "/srv/data/backups/gitlab",
              "target": "/var/opt/gitlab/backups"
            },
            {
              "type": "tmpfs",
              "target": "/dev/shm",
              "tmpfs": {
                "size": 268435456
              }
            }
          ],
          "healthcheck": {
            "test": [
              "CMD",
              "/opt/gitlab/bin/gitlab-healthcheck",
              "--fail",
              "--max-time",
              "10"
            ],
            "interval": "30s",
            "timeout": "30s",
            "retries": 6,
            "start_period": "1200s"
          },
          "stop_grace_period": "120s",
          "deploy": {
            "replicas": 1,
            "labels": {
              "traefik.enable": "true",
              "traefik.swarm.network": "traefik",
              "traefik.http.routers.gitlab.rule": "Host(`git.lab.test`)",
              "traefik.http.routers.gitlab.entrypoints": "websecure",
              "traefik.http.routers.gitlab.tls": "true",
              "traefik.http.services.gitlab.loadbalancer.server.port": "80",
              "bp.spec": "4ce05b6d541a",
              "bp.lab": "lab"
            },
            "resources": {
              "limits": {
                "memory": "8G"
              }
            },
            "restart_policy": {
              "condition": "any",
              "delay": "10s"
            },
            "update_config": {
              "parallelism": 1,
              "order": "stop-first",
              "failure_action": "rollback",
              "monitor": "30s"
            },
            "rollback_config": {
              "parallelism": 1,
              "order": "stop-first"
            }
          }
        },
        "runner": {
          "image": "gitlab/gitlab-runner:alpine-v17.11.3",
          "entrypoint": [
            "/bin/sh",
            "/etc/bp/runner.sh"
          ],
          "configs": [
            {
              "source": "runner",
              "target": "/etc/bp/runner.sh",
              "mode": 292
            },
            {
              "source": "ca",
              "target": "/etc/bp/ca.crt",
              "mode": 292
            }
          ],
          "secrets": [
            "gitlab_runner_token"
          ],
          "networks": [
            "traefik"
          ],
          "stop_grace_period": "90s",
          "deploy": {
            "replicas": 1,
            "resources": {
              "limits": {
                "memory": "1G"
              }
            },
            "restart_policy": {
              "condition": "any",
              "delay": "10s"
            },
            "update_config": {
              "parallelism": 1,
              "order": "stop-first",
              "failure_action": "rollback",
              "monitor": "15s"
            },
            "rollback_config": {
              "parallelism": 1,
              "order": "stop-first"
            },
            "labels": {
              "bp.spec": "81f50a6cba0d",
              "bp.lab": "lab"
            }
          }
        }
      },
      "networks": {
        "gitlab": {
          "external": true
        },
        "pgsql": {
          "external": true
        },
        "redis": {
          "external": true
        },
        "traefik": {
          "external": true
        }
      },
      "configs": {
        "ca": {
          "external": true
        },
        "gitlab": {
          "file": "./file-0",
          "name": "gitlab_gitlab_a2aaf438719d"
        },
        "runner": {
          "file": "./file-1",
          "name": "gitlab_runner_38e82b6473d6"
        },
        "runner-token": {
          "file": "./file-2",
          "name": "gitlab_runner-token_b1855364b99b"
        }
      },
      "secrets": {
        "gitlab_root_password": {
          "external": true
        },
        "pgsql_gitlab": {
          "external": true
        },
        "redis_password": {
          "external": true
        },
        "gitlab_runner_token": {
          "external": true
        },
        "mail": {
          "external": true
        }
      }
    }
    "#);
    let file = |at: usize| String::from_utf8(compose.files[at].1.clone()).expect("text");
    insta::assert_snapshot!(file(0), @r#"
    # What GitLab is told at each start. Passwords are read from the task's memory.
    secret = ->(name) { File.read("/run/secrets/#{name}").strip }

    external_url 'https://git.lab.test'

    # Traefik ends TLS.
    nginx['listen_port'] = 80
    nginx['listen_https'] = false
    nginx['real_ip_header'] = 'X-Forwarded-For'
    nginx['real_ip_recursive'] = 'on'
    nginx['real_ip_trusted_addresses'] = ['10.200.0.0/16',]
    letsencrypt['enable'] = false

    gitlab_rails['gitlab_shell_ssh_port'] = 2222
    gitlab_rails['initial_root_password'] = secret.call('gitlab_root_password')
    gitlab_rails['store_initial_root_password'] = false
    gitlab_rails['display_initial_root_password'] = false
    gitlab_rails['monitoring_whitelist'] = ['127.0.0.0/8', '::1/128']

    # PostgreSQL: the proxies of the stack `stolon` lead to the master.
    postgresql['enable'] = false
    # The dump of a backup is made by a client of the server's own version.
    postgresql['version'] = 14
    gitlab_rails['db_adapter'] = 'postgresql'
    gitlab_rails['db_encoding'] = 'unicode'
    gitlab_rails['db_host'] = 'postgresql'
    gitlab_rails['db_port'] = 5432
    gitlab_rails['db_database'] = 'gitlab'
    gitlab_rails['db_username'] = 'gitlab'
    gitlab_rails['db_password'] = secret.call('pgsql_gitlab')
    gitlab_rails['db_sslmode'] = 'verify-full'
    gitlab_rails['db_sslrootcert'] = '/etc/bp/ca.crt'

    # Redis: the Sentinels of the stack `redis` say which one is the primary.
    redis['enable'] = false
    redis['master_name'] = 'redis'
    redis['master_password'] = secret.call('redis_password')
    gitlab_rails['redis_sentinels'] = [
      { 'host' => 'sentinel-node1', 'port' => 26379 },
      { 'host' => 'sentinel-node2', 'port' => 26379 },
      { 'host' => 'sentinel-node3', 'port' => 26379 },
    ]
    gitlab_rails['redis_sentinels_password'] = secret.call('redis_password')

    # What a lab of this size does without.
    prometheus_monitoring['enable'] = false
    gitlab_kas['enable'] = false
    puma['worker_processes'] = 2
    sidekiq['concurrency'] = 10

    # `gitlab-backup` writes here; what is older than a week goes with the next one.
    gitlab_rails['manage_backup_path'] = true
    gitlab_rails['backup_path'] = '/var/opt/gitlab/backups'
    gitlab_rails['backup_keep_time'] = 604800

    gitlab_rails['smtp_enable'] = true
    gitlab_rails['smtp_address'] = 'mail.lab.test'
    gitlab_rails['smtp_port'] = 587
    gitlab_rails['smtp_user_name'] = 'git@lab.test'
    gitlab_rails['smtp_password'] = secret.call('mail')
    gitlab_rails['smtp_authentication'] = 'login'
    gitlab_rails['smtp_enable_starttls_auto'] = true
    gitlab_rails['smtp_tls'] = false
    gitlab_rails['gitlab_email_from'] = 'git@lab.test'
    "#);
    insta::assert_snapshot!(file(1), @r#"
    #!/bin/sh
    # Starts the runner: its configuration is made in the container, of a token that is in its memory.
    set -eu
    umask 077
    trap 'exit 0' HUP INT QUIT TERM
    host=git.lab.test

    # Nodes may know the name by their own files alone; Traefik is on the same network as this task.
    if ! getent hosts "$host" >/dev/null; then
        traefik=$(getent hosts traefik | while read -r address _; do echo "$address"; break; done)
        [ -z "$traefik" ] || echo "$traefik $host" >>/etc/hosts
    fi

    mkdir -p /etc/gitlab-runner
    cat >/etc/gitlab-runner/config.toml <<END
    concurrent = 2
    check_interval = 3
    shutdown_timeout = 60

    [[runners]]
      name = "bp"
      url = "https://$host"
      token = "glrt-t1_$(cat /run/secrets/gitlab_runner_token)"
      tls-ca-file = "/etc/bp/ca.crt"
      # Jobs run in this container as a user without rights. What starts containers for them would be
      # given the node's engine, and with it the whole swarm.
      executor = "shell"
      shell = "bash"
      # Otherwise three failed questions, such as while GitLab starts, are answered with an hour's rest.
      unhealthy_requests_limit = 3
      unhealthy_interval = "60s"
    END

    # GitLab starts for minutes, and a token that it does not know yet would count as a failed question.
    until gitlab-runner verify >/dev/null 2>&1; do sleep 5; done
    set -- gitlab-runner run --user=gitlab-runner --working-directory=/home/gitlab-runner
    [ ! -x /usr/bin/dumb-init ] || set -- /usr/bin/dumb-init -- "$@"
    exec "$@"
    "#);
}
