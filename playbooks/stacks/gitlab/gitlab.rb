# What GitLab is told at each start. Passwords are read from the task's memory.
secret = ->(name) { File.read("/run/secrets/#{name}").strip }

external_url 'https://{{host}}'

# Traefik ends TLS.
nginx['listen_port'] = 80
nginx['listen_https'] = false
nginx['real_ip_header'] = 'X-Forwarded-For'
nginx['real_ip_recursive'] = 'on'
nginx['real_ip_trusted_addresses'] = [{{#each trusted}}'{{this}}',{{/each}}]
letsencrypt['enable'] = false

gitlab_rails['gitlab_shell_ssh_port'] = {{ssh_port}}
gitlab_rails['initial_root_password'] = secret.call('gitlab_root_password')
gitlab_rails['store_initial_root_password'] = false
gitlab_rails['display_initial_root_password'] = false
gitlab_rails['monitoring_whitelist'] = ['127.0.0.0/8', '::1/128']

# PostgreSQL: the proxies of the stack `stolon` lead to the master.
postgresql['enable'] = false
{{#if client}}
# The dump of a backup is made by a client of the server's own version.
postgresql['version'] = {{client}}
{{/if}}
gitlab_rails['db_adapter'] = 'postgresql'
gitlab_rails['db_encoding'] = 'unicode'
gitlab_rails['db_host'] = 'postgresql'
gitlab_rails['db_port'] = 5432
gitlab_rails['db_database'] = 'gitlab'
gitlab_rails['db_username'] = '{{owner}}'
gitlab_rails['db_password'] = secret.call('pgsql_{{owner}}')
gitlab_rails['db_sslmode'] = 'verify-full'
gitlab_rails['db_sslrootcert'] = '/etc/bp/ca.crt'

# Redis: the Sentinels of the stack `redis` say which one is the primary.
redis['enable'] = false
redis['master_name'] = 'redis'
redis['master_password'] = secret.call('redis_password')
gitlab_rails['redis_sentinels'] = [
{{#each sentinels}}
  { 'host' => 'sentinel-{{this}}', 'port' => 26379 },
{{/each}}
]
gitlab_rails['redis_sentinels_password'] = secret.call('redis_password')
{{#if redis_tls}}
gitlab_rails['redis_ssl'] = true
gitlab_rails['redis_tls_ca_cert_file'] = '/etc/bp/ca.crt'
gitlab_rails['redis_sentinels_ssl'] = true
gitlab_rails['redis_sentinels_tls_ca_cert_file'] = '/etc/bp/ca.crt'
{{/if}}

# What a lab of this size does without.
prometheus_monitoring['enable'] = false
gitlab_kas['enable'] = false
puma['worker_processes'] = 2
sidekiq['concurrency'] = 10

# `gitlab-backup` writes here; what is older than a week goes with the next one.
gitlab_rails['manage_backup_path'] = true
gitlab_rails['backup_path'] = '/var/opt/gitlab/backups'
gitlab_rails['backup_keep_time'] = 604800

{{#if smtp}}
gitlab_rails['smtp_enable'] = true
gitlab_rails['smtp_address'] = '{{smtp.address}}'
gitlab_rails['smtp_port'] = {{smtp.port}}
gitlab_rails['smtp_user_name'] = '{{smtp.user}}'
gitlab_rails['smtp_password'] = secret.call('{{smtp.password}}')
gitlab_rails['smtp_authentication'] = 'login'
gitlab_rails['smtp_enable_starttls_auto'] = {{smtp.starttls}}
gitlab_rails['smtp_tls'] = {{smtp.tls}}
gitlab_rails['gitlab_email_from'] = '{{smtp.user}}'
{{else}}
gitlab_rails['gitlab_email_enabled'] = false
{{/if}}
