//! GitLab: what is deployed, what it is told, and what its checks ask.

use super::bench::Bench;
use super::registry::{Programs, VOLUME, bench, deployed, document};
use super::stubs::named;

fn stacks(gitlab: &str) -> String {
    format!(
        "[etcd, {{ stolon: {{ databases: {{ gitlab: {{ extensions: [pg_trgm, btree_gist] }} }} }} }}, redis, traefik, {gitlab}]"
    )
}

#[test]
fn with_a_runner_and_mail() {
    let gitlab = "{ gitlab: { host: git.lab.test, ssh_port: 2222, smtp: { address: mail.lab.test, user: git@lab.test, password: mail } } }";
    let more = format!("{VOLUME}secrets: {{ mail: {{ command: cat mail }} }}\n");
    let compose = deployed(&bench(&more, &stacks(gitlab)), "gitlab");
    let mut shown = document(&compose);
    let told = shown["services"]["gitlab"]["environment"]["GITLAB_OMNIBUS_CONFIG"].take();
    let shown = serde_json::to_string_pretty(&shown).expect("JSON");
    insta::assert_snapshot!(shown, @r#"
    {
      "version": "3.8",
      "services": {
        "gitlab": {
          "image": "gitlab/gitlab-ce:17.11.7-ce.0",
          "hostname": "git.lab.test",
          "environment": {
            "GITLAB_OMNIBUS_CONFIG": null,
            "GITLAB_SKIP_PG_UPGRADE": "true"
          },
          "configs": [
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
              "CMD-SHELL",
              "test -n \"$$(find /run/bp-restores -mmin -240 2>/dev/null)\" || exec /opt/gitlab/bin/gitlab-healthcheck --fail --max-time 10"
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
              "bp.spec": "8693995f41cc",
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
          "image": "gitlab/gitlab-runner:alpine-v17.11.4",
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
            {
              "source": "gitlab_runner_token",
              "mode": 256
            }
          ],
          "networks": [
            "traefik"
          ],
          "volumes": [
            {
              "type": "tmpfs",
              "target": "/etc/gitlab-runner",
              "tmpfs": {
                "size": 1048576
              }
            }
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
              "bp.spec": "fe065cb65c46",
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
        "runner": {
          "file": "./file-0",
          "name": "gitlab_runner_894d25396be1",
          "labels": {
            "bp.lab": "lab"
          }
        },
        "runner-token": {
          "file": "./file-1",
          "name": "gitlab_runner-token_b1855364b99b",
          "labels": {
            "bp.lab": "lab"
          }
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
    insta::assert_snapshot!(told.as_str().expect("the settings"), @r#"
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
    insta::assert_snapshot!(String::from_utf8_lossy(&compose.files[0].1), @r#"
    #!/bin/sh
    # Starts the runner: its configuration is made in memory, of a token that is there.
    set -eu
    umask 077
    trap 'exit 0' HUP INT QUIT TERM
    host=git.lab.test

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
    "#);
}

#[test]
fn whatever_the_mail_account_is_called_is_text_to_ruby_and_to_docker() {
    let gitlab = "{ gitlab: { smtp: { address: mail.lab.test, user: \"o'neil\\\\$x@lab.test\", password: mail } } }";
    let more = "secrets: { mail: { command: cat mail } }\n";
    let told = document(&deployed(&bench(more, &stacks(gitlab)), "gitlab"));
    let told = told["services"]["gitlab"]["environment"]["GITLAB_OMNIBUS_CONFIG"].clone();
    let told = told.as_str().expect("the settings");
    let lines: Vec<&str> = told.lines().filter(|l| l.contains("neil")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    gitlab_rails['smtp_user_name'] = 'o\'neil\\$$x@lab.test'
    gitlab_rails['gitlab_email_from'] = 'o\'neil\\$$x@lab.test'
    "#);
}

#[test]
fn memory_is_kept_for_it_on_a_node_that_is_known_to_have_it() {
    let reserved = |hosts: &str, volume: &str| {
        let stacks = stacks("gitlab");
        let lab = format!(
            "version: 1\nname: lab\nprovider: {{ libvirt: {{ subnet: 10.20.30.0/24, template: debian-13.qcow2 }} }}\nhosts: {{ {hosts} }}\nengine: {{ source: distro }}\n{volume}stacks: {stacks}\n"
        );
        let document = document(&deployed(&Bench::new(&lab), "gitlab"));
        document["services"]["gitlab"]["deploy"]["resources"]["reservations"]["memory"].to_string()
    };
    let small =
        "a: { role: manager, brick: /srv/gluster }, b: { role: manager, brick: /srv/gluster }";
    let large = "c: { role: manager, brick: /srv/gluster, machine: { memory: 8GiB } }";
    let existing = "e: { provider: existing, address: 10.1.1.1, role: manager }";
    let mut said = String::new();
    for (what, hosts, volume) in [
        ("all small", format!("{small}, c: {{ role: manager, brick: /srv/gluster }}"), VOLUME),
        ("a large one", format!("{small}, {large}"), VOLUME),
        ("a large one it may not go to", format!("{small}, {large}"), ""),
        ("pinned to a large one", large.replace(", brick: /srv/gluster", ""), ""),
        ("pinned to one of unknown size", existing.to_owned(), ""),
    ] {
        let hosts =
            if volume.is_empty() { hosts.replace(", brick: /srv/gluster", "") } else { hosts };
        said.push_str(&format!("{what}: {}\n", reserved(&hosts, volume)));
    }
    insta::assert_snapshot!(said, @r#"
    all small: null
    a large one: "3G"
    a large one it may not go to: null
    pinned to a large one: "3G"
    pinned to one of unknown size: null
    "#);
}

#[test]
fn it_is_not_ended_while_bp_waits_for_it() {
    let mut said = String::new();
    for within in ["5m", "20m", "1h"] {
        let stacks = stacks(&format!("{{ gitlab: {{ within: {within} }} }}"));
        let bench = bench("", &stacks);
        let start = &document(&deployed(&bench, "gitlab"))["services"]["gitlab"]["healthcheck"]["start_period"];
        let ready = &named(&bench, "gitlab ready")[0];
        said.push_str(&format!("{within}: {start}, ready within {:?}\n", ready.within));
    }
    insta::assert_snapshot!(said, @r#"
    5m: "1200s", ready within 300s
    20m: "1200s", ready within 1200s
    1h: "3600s", ready within 3600s
    "#);
}

#[test]
fn for_one_three_and_five_members_and_each_version() {
    let mut said = String::new();
    for (members, version) in [(1, "17"), (3, "18"), (3, "19")] {
        let server = if version == "17" { "14" } else { "17" };
        let stacks = format!(
            "[etcd, {{ stolon: {{ version: '{server}', image: 'lab/stolon:1', members: {members}, databases: {{ gitlab: {{ owner: git, extensions: [pg_trgm, btree_gist, amcheck] }} }} }} }}, {{ redis: {{ members: {members} }} }}, traefik, {{ gitlab: {{ version: '{version}', runner: false }} }}]"
        );
        let compose = deployed(&bench("", &stacks), "gitlab");
        let document = document(&compose);
        let services = document["services"].as_object().expect("services");
        assert_eq!(services.len(), 1, "no runner");
        let secrets: Vec<&str> =
            document["secrets"].as_object().expect("secrets").keys().map(String::as_str).collect();
        let told = services["gitlab"]["environment"]["GITLAB_OMNIBUS_CONFIG"].as_str();
        let picked: Vec<&str> = told
            .expect("the settings")
            .lines()
            .filter(|l| {
                l.contains("redis")
                    || l.contains("sentinel")
                    || l.contains("'db_username'")
                    || l.contains("['version']")
                    || l.contains("email")
            })
            .collect();
        said.push_str(&format!(
            "--- {members} members, GitLab {version}: {} with {}\n{}\n",
            services["gitlab"]["image"].as_str().expect("an image"),
            secrets.join(", "),
            picked.join("\n")
        ));
    }
    insta::assert_snapshot!(said, @"
    --- 1 members, GitLab 17: gitlab/gitlab-ce:17.11.7-ce.0 with gitlab_root_password, pgsql_git, redis_password
    postgresql['version'] = 14
    gitlab_rails['db_username'] = 'git'
    # Redis: the Sentinels of the stack `redis` say which one is the primary.
    redis['enable'] = false
    redis['master_name'] = 'redis'
    redis['master_password'] = secret.call('redis_password')
    gitlab_rails['redis_sentinels'] = [
      { 'host' => 'sentinel-node1', 'port' => 26379 },
    gitlab_rails['redis_sentinels_password'] = secret.call('redis_password')
    gitlab_rails['gitlab_email_enabled'] = false
    --- 3 members, GitLab 18: gitlab/gitlab-ce:18.11.11-ce.0 with gitlab_root_password, pgsql_git, redis_password
    postgresql['version'] = 17
    gitlab_rails['db_username'] = 'git'
    # Redis: the Sentinels of the stack `redis` say which one is the primary.
    redis['enable'] = false
    redis['master_name'] = 'redis'
    redis['master_password'] = secret.call('redis_password')
    gitlab_rails['redis_sentinels'] = [
      { 'host' => 'sentinel-node1', 'port' => 26379 },
      { 'host' => 'sentinel-node2', 'port' => 26379 },
      { 'host' => 'sentinel-node3', 'port' => 26379 },
    gitlab_rails['redis_sentinels_password'] = secret.call('redis_password')
    gitlab_rails['redis_ssl'] = true
    gitlab_rails['redis_tls_ca_cert_file'] = '/etc/bp/ca.crt'
    gitlab_rails['redis_sentinels_ssl'] = true
    gitlab_rails['redis_sentinels_tls_ca_cert_file'] = '/etc/bp/ca.crt'
    gitlab_rails['gitlab_email_enabled'] = false
    --- 3 members, GitLab 19: gitlab/gitlab-ce:19.4.1-ce.0 with gitlab_root_password, pgsql_git, redis_password
    postgresql['version'] = 17
    gitlab_rails['db_username'] = 'git'
    # Redis: the Sentinels of the stack `redis` say which one is the primary.
    redis['enable'] = false
    redis['master_name'] = 'redis'
    redis['master_password'] = secret.call('redis_password')
    gitlab_rails['redis_sentinels'] = [
      { 'host' => 'sentinel-node1', 'port' => 26379 },
      { 'host' => 'sentinel-node2', 'port' => 26379 },
      { 'host' => 'sentinel-node3', 'port' => 26379 },
    gitlab_rails['redis_sentinels_password'] = secret.call('redis_password')
    gitlab_rails['redis_ssl'] = true
    gitlab_rails['redis_tls_ca_cert_file'] = '/etc/bp/ca.crt'
    gitlab_rails['redis_sentinels_ssl'] = true
    gitlab_rails['redis_sentinels_tls_ca_cert_file'] = '/etc/bp/ca.crt'
    gitlab_rails['gitlab_email_enabled'] = false
    ");
}

#[test]
fn readiness_is_what_every_part_says() {
    use crate::stacks::gitlab::readiness;
    let mut said = String::new();
    for (what, printed) in [
        (
            "ready",
            r#"{"status":"ok","master_check":[{"status":"ok"}],"db_check":[{"status":"ok"}],"cache_check":[{"status":"ok"}]}"#,
        ),
        (
            "no database",
            r#"{"status":"failed","master_check":[{"status":"ok"}],"db_check":[{"status":"failed","message":"unexpected Db check result: 0"}]}"#,
        ),
        (
            "one store of two",
            r#"{"status":"failed","gitaly_check":[{"status":"ok"},{"status":"failed"}]}"#,
        ),
        ("not all was asked", r#"{"status":"ok"}"#),
        ("it starts", "<html>GitLab is not responding</html>"),
        ("nothing listens", "curl: (7) Failed to connect to 127.0.0.1 port 80"),
        ("nothing", ""),
    ] {
        said.push_str(&format!("{what}: {:?}\n", readiness(printed)));
    }
    insta::assert_snapshot!(said, @r#"
    ready: True
    no database: Not("db_check: unexpected Db check result: 0")
    one store of two: Not("gitaly_check: failed")
    not all was asked: Not("it does not say that it is ready: its first start makes the database, which takes up to 20 minutes")
    it starts: Not("it does not say that it is ready (<html>GitLab is not responding</html>): its first start makes the database, which takes up to 20 minutes")
    nothing listens: Not("it does not say that it is ready (curl: (7) Failed to connect to 127.0.0.1 port 80): its first start makes the database, which takes up to 20 minutes")
    nothing: Not("it does not say that it is ready (no answer): its first start makes the database, which takes up to 20 minutes")
    "#);
}

#[test]
fn users_reach_its_page_and_its_ssh() {
    let script = crate::stacks::gitlab::from_outside("git.lab.test", 2222, Some("Y2E="));
    let curl = |code: &str| {
        format!(
            "case \"$*\" in *'--resolve git.lab.test:443:127.0.0.1 https://git.lab.test/users/sign_in') ;; *) exit 2;; esac
while [ \"$1\" != --cacert ]; do shift; done; [ \"$(cat \"$2\")\" = ca ] || exit 60; printf {code}"
        )
    };
    let ssh = |line: &str| {
        format!(
            "printf '%s\\n' '{line}' >\"$HERE/ssh\"; [ \"$1 $2\" = '8 bash' ] || exit 1; shift; s=$(printf %s \"$3\" | sed \"s,/dev/tcp/127.0.0.1/2222,$HERE/ssh,\"); exec bash -c \"$s\""
        )
    };
    let mut said = String::new();
    for (what, code, line) in [
        ("reached", "200", "SSH-2.0-OpenSSH_9.2"),
        ("no page", "502", "SSH-2.0-OpenSSH_9.2"),
        ("no SSH", "200", "220 mail.lab.test"),
    ] {
        let programs = Programs::new(&[("curl", &curl(code)), ("timeout", &ssh(line))]);
        said.push_str(&format!("{what}: {}\n", programs.run(&script)));
    }
    insta::assert_snapshot!(said, @"
    reached: 0
    no page: 1 the sign-in page answers 502, not 200
    no SSH: 1 SSH does not answer on port 2222
    ");
}

/// The runner's start on a machine where these programs are; `sleep` writes down that it sleeps.
fn started(wget: &str, verify: &str) -> (String, String) {
    let compose = deployed(&bench("", &stacks("gitlab")), "gitlab");
    let script = compose.files.iter().map(|(_, text)| String::from_utf8_lossy(text));
    let script = script.into_iter().find(|t| t.starts_with("#!/bin/sh")).expect("the script");
    let script = script
        .replace("/etc/gitlab-runner", "\"$HERE\"/etc")
        .replace("/run/secrets", "\"$HERE\"/secrets")
        .replace("/usr/bin/dumb-init", "/nowhere");
    let runner = format!(
        "echo \"$*\" >>\"$HERE/log\"
case $1 in
verify) grep -q '^  token = \"glrt-t1_T0ken\"$' \"$HERE/etc/config.toml\" && {verify};;
run) [ \"$(stat -c %a \"$HERE/etc/config.toml\")\" = 600 ] && echo it runs;;
esac"
    );
    let wget = format!("echo \"page $*\" >>\"$HERE/log\"; {wget}");
    let sleep = "echo \"sleep $*\" >>\"$HERE/log\"";
    let programs = Programs::new(&[("gitlab-runner", &runner), ("wget", &wget), ("sleep", sleep)]);
    let ran = programs.run(&format!(
        "mkdir \"$HERE/secrets\"; printf T0ken >\"$HERE/secrets/gitlab_runner_token\"\n{script}"
    ));
    (ran, programs.log())
}

#[test]
fn the_runner_waits_until_gitlab_knows_its_token() {
    let slept = |n: u8| format!("[ \"$(grep -c sleep \"$HERE/log\")\" = {n} ]");
    let (ran, log) = started(&slept(1), &slept(2));
    assert_eq!(ran, "0 it runs");
    insta::assert_snapshot!(log, @"
    page -q -T 5 -O /dev/null http://tasks.gitlab/users/sign_in
    sleep 15
    page -q -T 5 -O /dev/null http://tasks.gitlab/users/sign_in
    verify
    sleep 15
    verify
    run --user=gitlab-runner --working-directory=/home/gitlab-runner
    ");
}

#[test]
fn a_runner_whose_token_gitlab_never_knows_ends() {
    let (ran, log) = started("true", "false");
    assert_eq!(ran, "1 GitLab has not known the token for 10 minutes");
    assert_eq!(log.lines().filter(|l| *l == "verify").count(), 40);
    assert!(!log.contains("run "), "{log}");
}

#[test]
fn an_upgrade_passes_no_stop_over() {
    use crate::step::Check;
    let image = |tag: &str| match tag {
        "" => String::new(),
        tag => format!("gitlab/gitlab-ce:{tag}"),
    };
    let mut said = String::new();
    for (runs, wanted) in [
        ("", "18.11.11-ce.0"),
        ("17.11.7-ce.0", "18.11.11-ce.0"),
        ("17.11.7-ce.0", "18.2.8-ce.0"),
        ("18.2.8-ce.0", "18.11.11-ce.0"),
        ("18.11.11-ce.0", "19.4.1-ce.0"),
        ("18.11.11-ce.0", "19.2.0-ce.0"),
        ("17.2.1-ce.0", "17.5.0-ce.0"),
        ("18.11.11-ce.0@sha256:00ff", "18.11.12-ce.0"),
        ("18.11.11-ce.0", "17.11.7-ce.0"),
        ("latest", "19.4.1-ce.0"),
    ] {
        let check = match crate::stacks::upgrades::passed_over(&image(runs), &image(wanted)) {
            Check::Failed(f) => format!("{}\n  {}", f.message, f.hint.unwrap_or_default()),
            other => format!("{other:?}"),
        };
        said.push_str(&format!("{runs} to {wanted}: {check}\n"));
    }
    insta::assert_snapshot!(said, @"
     to 18.11.11-ce.0: True
    17.11.7-ce.0 to 18.11.11-ce.0: GitLab 17.11 does not go to 18.11 at once: it stops at 18.2, 18.5, 18.8
      `image: gitlab/gitlab-ce:18.2.z-ce.0` first, its newest z; the next one when its background migrations have ended: docs.gitlab.com/update/upgrade_paths
    17.11.7-ce.0 to 18.2.8-ce.0: True
    18.2.8-ce.0 to 18.11.11-ce.0: GitLab 18.2 does not go to 18.11 at once: it stops at 18.5, 18.8
      `image: gitlab/gitlab-ce:18.5.z-ce.0` first, its newest z; the next one when its background migrations have ended: docs.gitlab.com/update/upgrade_paths
    18.11.11-ce.0 to 19.4.1-ce.0: GitLab 18.11 does not go to 19.4 at once: it stops at 19.2
      `image: gitlab/gitlab-ce:19.2.z-ce.0` first, its newest z; the next one when its background migrations have ended: docs.gitlab.com/update/upgrade_paths
    18.11.11-ce.0 to 19.2.0-ce.0: True
    17.2.1-ce.0 to 17.5.0-ce.0: GitLab 17.2 does not go to 17.5 at once: it stops at 17.3
      `image: gitlab/gitlab-ce:17.3.z-ce.0` first, its newest z; the next one when its background migrations have ended: docs.gitlab.com/update/upgrade_paths
    18.11.11-ce.0@sha256:00ff to 18.11.12-ce.0: True
    18.11.11-ce.0 to 17.11.7-ce.0: True
    latest to 19.4.1-ce.0: True
    ");
}

#[tokio::test(start_paused = true)]
async fn what_runs_is_what_is_upgraded() {
    let version = "{ gitlab: { version: '18' } }";
    let stacks =
        stacks(version).replace("stolon: {", "stolon: { version: '16', image: 'lab/stolon:16',");
    let stacks = stacks.replace("btree_gist", "btree_gist, amcheck");
    let bench = bench("", &stacks).with_swarm().await;
    let image = "gitlab/gitlab-ce:17.11.7-ce.0";
    bench.site.lock().swarm().services = vec![serde_json::json!({ "ID": "g", "Spec": {
        "Name": "gitlab_gitlab", "Mode": {}, "TaskTemplate": { "ContainerSpec": { "Image": image } } } })];
    let (cx, _events) = bench.cx();
    let step = &named(&bench, "gitlab upgrade path")[0];
    let said = crate::survey::check(&cx, step).await;
    assert!(said.reason().starts_with("GitLab 17.11 does not go to 18.11 at once"), "{said:?}");
}

#[test]
fn a_runner_that_waits_is_not_online() {
    use crate::stacks::gitlab::{WAITS, runner_question};
    let script = runner_question("gitlab_runner").replace("/proc/1", "\"$HERE\"");
    let docker = "case \"$*\" in
'ps -q --filter label=com.docker.swarm.service.name=gitlab_runner') echo c0ffee;;
'exec c0ffee sh -c '*) shift 2; exec \"$@\";;
esac";
    let verify =
        |code: u8| format!("[ \"$*\" = verify ] && echo 'Verifying runner...' && exit {code}");
    let mut said = String::new();
    let real = "/usr/bin/dumb-init\\0--\\0gitlab-runner\\0run\\0--user=gitlab-runner\\0";
    let stand_in = "/usr/bin/ruby\\0--disable=gems\\0/usr/bin/gitlab-runner\\0run\\0--user=a\\0";
    for (what, code, line) in [
        ("online", 0, real),
        ("a stand-in", 0, stand_in),
        ("waits", 0, "/bin/sh\\0/etc/bp/runner.sh\\0"),
        ("unknown", 1, real),
    ] {
        let verify = verify(code);
        let programs = Programs::new(&[("docker", docker), ("gitlab-runner", &verify)]);
        let script = format!("printf '{line}' >\"$HERE/cmdline\"\n{script}");
        said.push_str(&format!("{what}: {}\n", programs.run(&script)));
    }
    assert!(said.contains(&format!("waits: {WAITS} ")), "{said}");
    insta::assert_snapshot!(said, @"
    online: 0 Verifying runner...
    a stand-in: 0 Verifying runner...
    waits: 45 Verifying runner...
    unknown: 1 Verifying runner...
    ");
}
