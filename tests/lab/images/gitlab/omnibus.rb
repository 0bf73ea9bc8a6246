# frozen_string_literal: true

# The configuration, evaluated as omnibus does: GITLAB_OMNIBUS_CONFIG first, /etc/gitlab/gitlab.rb
# then. A name that omnibus does not know is an error, and so is a setting that this stand-in
# would have to act on and cannot.
class Omnibus
  class Wrong < StandardError; end

  HASHES = %w[
    alertmanager consul gitaly gitlab_exporter gitlab_kas gitlab_pages gitlab_rails gitlab_shell
    gitlab_sshd gitlab_workhorse letsencrypt logging logrotate manage_accounts
    manage_storage_directories mattermost mattermost_nginx monitoring_role nginx node_exporter
    package pages_nginx patroni pgbouncer postgres_exporter postgresql praefect prometheus
    prometheus_monitoring puma redis redis_exporter registry registry_nginx sentinel sidekiq
    user web_server
  ].freeze
  URLS = %w[external_url registry_external_url pages_external_url mattermost_external_url
            gitlab_kas_external_url].freeze
  FILE = '/etc/gitlab/gitlab.rb'

  # What a configuration may name.
  class Names
    def initialize(values, urls)
      @values = values
      @urls = urls
    end

    HASHES.each { |name| define_method(name) { @values[name] } }
    URLS.each { |name| define_method(name) { |value = nil| value ? @urls[name] = value : @urls[name] } }
    def roles(*) = raise(Wrong, 'this stand-in has no roles')
    def evaluate(text, from) = instance_eval(text, from)
  end

  def initialize
    vivid = proc { |hash, key| hash[key] = Hash.new(&vivid) }
    @values = Hash.new { |hash, key| hash[key] = Hash.new(&vivid) }
    @urls = {}
    names = Names.new(@values, @urls)
    names.evaluate(ENV['GITLAB_OMNIBUS_CONFIG'].to_s, 'GITLAB_OMNIBUS_CONFIG')
    names.evaluate(File.read(FILE), FILE) if File.exist?(FILE)
    check
  rescue Wrong
    raise
  rescue StandardError, ScriptError => e
    # The message of a NameError shows the object that lacks the name: its first line is enough.
    raise Wrong, "the configuration cannot be evaluated: #{e.class}: #{e.message.lines.first&.strip}"
  end

  # A setting; the default where it was not set.
  def get(section, key, default = nil)
    value = @values[section].fetch(key, default)
    value = default if value.is_a?(Hash) && value.empty?
    value
  end

  def url = @urls['external_url']

  def port
    get('nginx', 'listen_port', 80).to_i
  end

  private

  def check
    raise Wrong, 'external_url is not set' unless url.to_s.match?(%r{\Ahttps?://[^/]+})
    raise Wrong, "postgresql['enable'] is not false: this stand-in holds no PostgreSQL" unless get('postgresql', 'enable') == false
    raise Wrong, "redis['enable'] is not false: this stand-in holds no Redis" unless get('redis', 'enable') == false

    https = get('nginx', 'listen_https', url.start_with?('https'))
    raise Wrong, "nginx['listen_https'] is not false: this stand-in serves plain HTTP, behind a proxy" if https
    raise Wrong, "gitlab_rails['db_host'] is not set" unless get('gitlab_rails', 'db_host')
    raise Wrong, "gitlab_rails['db_password'] is not set" if get('gitlab_rails', 'db_password').to_s.empty?

    sentinels = get('gitlab_rails', 'redis_sentinels', [])
    unless sentinels.is_a?(Array) && sentinels.all? { |one| one.is_a?(Hash) && (one[:host] || one['host']) && (one[:port] || one['port']) }
      raise Wrong, "gitlab_rails['redis_sentinels'] is no list of hosts and ports"
    end
    raise Wrong, "redis['master_name'] is not set" if sentinels.any? && !get('redis', 'master_name')
    raise Wrong, "neither gitlab_rails['redis_sentinels'] nor gitlab_rails['redis_host'] is set" if sentinels.empty? && !get('gitlab_rails', 'redis_host')
  end
end
