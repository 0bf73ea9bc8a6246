# frozen_string_literal: true

# The stand-in for GitLab's web face: it serves nothing before its configuration is evaluated and
# PostgreSQL and Redis answered once, and ends with the reason where they do not.

require 'fileutils'
require 'ipaddr'
require_relative 'page'
require_relative 'rails'

DATA = '/var/opt/gitlab'

# GitLab's own words for what it looks at, with the connection that stands behind each.
CHECKS = { 'master_check' => nil, 'db_check' => :database, 'cache_check' => :cache, 'queues_check' => :cache,
           'rate_limiting_check' => :cache, 'sessions_check' => :cache, 'shared_state_check' => :cache }.freeze

# The answers; all of them come from what PostgreSQL and Redis say now.
class GitLab
  def initialize(omnibus, database, cache)
    @omnibus = omnibus
    @database = database
    @cache = cache
    @sessions = {}
    @allowed = omnibus.get('gitlab_rails', 'monitoring_whitelist', %w[127.0.0.0/8 ::1/128]).map { |net| IPAddr.new(net) }
  end

  # What is connected, or what is wrong, by name.
  def look
    { database: @database, cache: @cache }.to_h do |name, service|
      [name, { value: service.check }]
    rescue Database::Failed, Redis::Failed => e
      log "#{name}: #{e.message}"
      [name, { problem: e.message }]
    end
  end

  def start
    password = @omnibus.get('gitlab_rails', 'initial_root_password')
    made = password.to_s.empty? ? SecureRandom.base64(33) : password
    die 'initial_root_password has less than 8 characters' if made.length < 8
    if @database.prepare(made) && made != password
      File.write('/etc/gitlab/initial_root_password', "Password: #{made}\n", perm: 0o600)
    end
    FileUtils.mkdir_p(["#{DATA}/git-data/repositories", "#{DATA}/backups"])
    keys = '/etc/gitlab/gitlab-secrets.json'
    File.write(keys, JSON.generate(gitlab_rails: { db_key_base: SecureRandom.hex(64) }), perm: 0o600) unless File.exist?(keys)
  end

  def answer(request)
    return html(502, Page.text('502', 'GitLab is not responding.')) if File.exist?('/run/gitlab/stopped')

    case [request.method, request.path]
    in ['GET' | 'HEAD', '/-/health' | '/-/liveness' | '/-/readiness'] then monitoring(request)
    in ['GET' | 'HEAD', '/users/sign_in'] then html(200, sign_in)
    in ['POST', '/users/sign_in'] then signing_in(request)
    in ['GET' | 'HEAD', '/'] then home(request)
    in [_, %r{\A/api/v4/}] then api(request)
    else html(404, Page.text('404', 'The page could not be found.'))
    end
  rescue Database::Failed => e
    log "database: #{e.message}"
    html(503, Page.text('503', 'The database does not answer.'))
  end

  private

  def html(status, body, headers = {}) = [status, { 'Content-Type' => 'text/html; charset=utf-8' }.merge(headers), body]

  # As GitLab does: who is not on the list finds no such page.
  def monitoring(request)
    client = IPAddr.new(request.headers['x-forwarded-for']&.split(',')&.last&.strip || request.peer)
    return html(404, Page.text('404', 'The page could not be found.')) unless @allowed.any? { |net| net.family == client.family && net.include?(client) }
    return [200, { 'Content-Type' => 'text/plain' }, 'GitLab OK'] if request.path == '/-/health'
    return [200, {}, { status: 'ok' }] if request.path == '/-/liveness'

    found = request.query['all'] == '1' ? look : {}
    results = CHECKS.select { |_, service| service.nil? || found[service] }.transform_values do |service|
      problem = service && found[service][:problem]
      [problem ? { status: 'failed', message: problem } : { status: 'ok' }]
    end
    failed = results.values.any? { |result| result.first[:status] == 'failed' }
    [failed ? 503 : 200, {}, { status: failed ? 'failed' : 'ok' }.merge(results)]
  end

  def sign_in(alert = nil)
    found = look
    Page.sign_in(alert: alert, url: @omnibus.url, host: Socket.gethostname, version: VERSION,
                 database: found[:database], redis: found[:cache])
  end

  def signing_in(request)
    fields = request.fields
    unless @database.password?(fields['user[login]'].to_s, fields['user[password]'].to_s)
      return html(422, sign_in('Invalid login or password.'))
    end

    session = SecureRandom.hex(16)
    @sessions[session] = fields['user[login]']
    [302, { 'Location' => '/', 'Set-Cookie' => "_gitlab_session=#{session}; path=/; HttpOnly" }, '']
  end

  def home(request)
    user = @sessions[request.headers['cookie'].to_s[/_gitlab_session=(\h+)/, 1]]
    return [302, { 'Location' => '/users/sign_in' }, ''] unless user

    html(200, Page.home(user: user, runners: Ci::Runner.all))
  end

  def api(request)
    token = request.headers['private-token']
    path = request.path.delete_prefix('/api/v4')
    case [request.method, path]
    in ['POST', '/runners/verify' | '/jobs/request'] then runner(request, path)
    in _ unless token && PersonalAccessTokens.known?(token) then [401, {}, { message: '401 Unauthorized' }]
    in ['GET', '/version'] then [200, {}, { version: VERSION, revision: 'stand-in' }]
    in ['POST', '/user/runners'] then create_runner(request)
    in ['GET', '/runners/all'] then [200, {}, runners(request.query['status'])]
    in ['POST', '/projects'] then create_project(request)
    in ['GET', '/projects'] then [200, {}, projects]
    else [404, {}, { error: '404 Not Found' }]
    end
  end

  def runner(request, path)
    token = request.fields['token'].to_s
    return [403, {}, { message: '403 Forbidden' }] unless Ci::Runner.contacted(token)
    return [204, {}, ''] if path == '/jobs/request'

    [200, {}, { id: Ci::Runner.find_by_token(token).id, token: token, token_expires_at: nil }]
  end

  def create_runner(request)
    params = request.fields.transform_keys(&:to_sym)
    made = Ci::Runners::CreateRunnerService.new(user: User.first, params: params).execute.payload[:runner]
    [201, {}, { id: made.id, token: made.token, token_expires_at: nil }]
  rescue RuntimeError => e
    [422, {}, { message: e.message }]
  end

  def runners(status)
    Ci::Runner.all.select { |one| status.nil? || one.status == status }.map do |one|
      { id: one.id, description: one.description, runner_type: 'instance_type', online: one.online?, status: one.status }
    end
  end

  def create_project(request)
    name = request.fields['name'].to_s
    return [422, {}, { message: 'name is invalid' }] unless name.match?(/\A[\w.-]{1,64}\z/)

    row = @database.open { |db| db.exec_params('INSERT INTO projects (name) VALUES ($1) RETURNING id, name', [name])[0] }
    FileUtils.mkdir_p("#{DATA}/git-data/repositories/#{name}.git")
    File.write("#{DATA}/git-data/repositories/#{name}.git/HEAD", "ref: refs/heads/main\n")
    [201, {}, { id: row['id'].to_i, name: row['name'] }]
  end

  def projects
    rows = @database.open { |db| db.exec('SELECT id, name FROM projects ORDER BY id').to_a }
    rows.map { |row| { id: row['id'].to_i, name: row['name'] } }
  end
end

# A server of SSH that has nothing behind it but its name.
def ssh
  server = TCPServer.new('0.0.0.0', 22)
  loop do
    Thread.new(server.accept) do |client|
      client.write("SSH-2.0-GitLab_stand_in\r\n")
      client.wait_readable(10)
    rescue SystemCallError
      nil
    ensure
      client.close
    end
  end
end

%w[TERM INT].each { |signal| trap(signal) { exit!(0) } }
omnibus, $database, cache = connections
gitlab = GitLab.new(omnibus, $database, cache)
log "stand-in for GitLab at #{omnibus.url}, on #{Socket.gethostname}"
tries = 0
begin
  gitlab.start
  $database.check
  cache.check
rescue Database::Failed, Redis::Failed => e
  # The real one tries its migrations once, and its container ends with them.
  tries += 1
  log "#{e.class.name.split('::').first.downcase}: #{e.message}"
  die 'gitlab stand-in: what it needs is not there' if tries == 5
  sleep 3
  retry
end
FileUtils.mkdir_p('/run/gitlab')
File.write('/run/gitlab/pid', Process.pid.to_s)
File.write('/run/gitlab/port', omnibus.port.to_s)
Thread.new { ssh }
log "serving on port #{omnibus.port}"
Web.new(omnibus.port) { |request| gitlab.answer(request) }.run
