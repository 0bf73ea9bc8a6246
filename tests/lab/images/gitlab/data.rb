# frozen_string_literal: true

# The stand-in's real connections: to PostgreSQL and to Redis, with the settings of omnibus.

require 'pg'
require_relative 'omnibus'
require_relative 'wire'

VERSION = '18.0.0-stand-in'
# GitLab 18 runs on PostgreSQL 16 and later.
OLDEST_POSTGRESQL = 160_000
EXTENSIONS = %w[pg_trgm btree_gist].freeze

# The database: made on the first start, asked anew at every check.
class Database
  class Failed < StandardError; end

  TABLES = <<~SQL
    CREATE TABLE IF NOT EXISTS stand_in_values (name text PRIMARY KEY, value text NOT NULL);
    CREATE TABLE IF NOT EXISTS users (id serial PRIMARY KEY, username text UNIQUE NOT NULL, encrypted_password text NOT NULL);
    CREATE TABLE IF NOT EXISTS ci_runners (id serial PRIMARY KEY, token text UNIQUE NOT NULL, description text NOT NULL, contacted_at timestamptz);
    CREATE TABLE IF NOT EXISTS personal_access_tokens (id serial PRIMARY KEY, name text NOT NULL, digest text UNIQUE, expires_at date NOT NULL);
    CREATE TABLE IF NOT EXISTS projects (id serial PRIMARY KEY, name text UNIQUE NOT NULL);
  SQL
  NAMES = %w[stand_in_values users ci_runners personal_access_tokens projects].freeze

  def initialize(omnibus)
    rails = ->(key, default = nil) { omnibus.get('gitlab_rails', key, default) }
    @settings = {
      host: rails['db_host'], port: rails['db_port', 5432], user: rails['db_username', 'gitlab'],
      password: rails['db_password'], dbname: rails['db_database', 'gitlabhq_production'],
      sslmode: rails['db_sslmode'], sslrootcert: rails['db_sslrootcert'],
      connect_timeout: 5, application_name: 'gitlab-stand-in'
    }.compact
  end

  # Gives a connection to the block, within a transaction.
  def open(&work)
    connection = PG.connect(**@settings)
    connection.exec("SET statement_timeout TO '10s'")
    connection.transaction(&work)
  rescue PG::Error => e
    raise Failed, e.message.strip
  ensure
    connection&.close
  end

  # Says what is wrong with the server, and returns its version.
  def check
    open do |db|
      suits(db)
      mark = "#{Process.pid} #{Time.now.to_f}"
      db.exec_params("INSERT INTO stand_in_values VALUES ('mark', $1) ON CONFLICT (name) DO UPDATE SET value = $1", [mark])
      back = db.exec("SELECT value FROM stand_in_values WHERE name = 'mark'").getvalue(0, 0)
      raise Failed, 'what was written is not what is read' unless back == mark

      db.exec('SHOW server_version').getvalue(0, 0)
    end
  end

  # Makes the tables, and root with the password given, where they are not there yet.
  def prepare(password)
    open do |db|
      suits(db)
      db.exec("SET client_min_messages TO warning; SELECT pg_advisory_xact_lock(18)")
      db.exec(TABLES)
      known = db.exec("SELECT 1 FROM users WHERE username = 'root'").ntuples == 1
      db.exec_params("INSERT INTO users (id, username, encrypted_password) VALUES (1, 'root', $1)", [seal(password)]) unless known
      !known
    end
  end

  def seal(password, salt = OpenSSL::Random.random_bytes(16))
    key = OpenSSL::KDF.pbkdf2_hmac(password, salt: salt, iterations: 20_000, length: 32, hash: 'SHA256')
    "#{salt.unpack1('H*')}:#{key.unpack1('H*')}"
  end

  def password?(user, password)
    stored = open { |db| db.exec_params('SELECT encrypted_password FROM users WHERE username = $1', [user]).column_values(0).first }
    return false unless stored

    OpenSSL.fixed_length_secure_compare(seal(password, [stored.split(':').first].pack('H*')), stored)
  end

  private

  def suits(db)
    raise Failed, "PostgreSQL #{db.server_version / 10_000} is older than #{OLDEST_POSTGRESQL / 10_000}" if db.server_version < OLDEST_POSTGRESQL

    missing = EXTENSIONS - db.exec('SELECT extname FROM pg_extension').column_values(0)
    raise Failed, "extensions missing: #{missing.join(', ')}" if missing.any?
  end
end

# Redis: through the Sentinels, or at a fixed host.
class Cache
  def initialize(omnibus)
    rails = ->(key, default = nil) { omnibus.get('gitlab_rails', key, default) }
    @sentinels = rails['redis_sentinels', []].map { |one| one.transform_keys(&:to_s) }
    @sentinel_password = rails['redis_sentinels_password']
    @sentinel_tls = tls(rails, 'redis_sentinels') if rails['redis_sentinels_ssl']
    @name = omnibus.get('redis', 'master_name')
    @host = rails['redis_host']
    @port = rails['redis_port', 6379]
    @password = @sentinels.any? ? omnibus.get('redis', 'master_password') : rails['redis_password']
    @tls = tls(rails, 'redis') if rails['redis_ssl']
  end

  # Writes and reads on the master, and returns its address.
  def check
    host, port = master
    Redis.open(host, port, password: @password, tls: @tls) do |redis|
      role = redis.call('ROLE').first
      raise Redis::Failed, "it is #{role}, not master" unless role == 'master'

      mark = "#{Process.pid} #{Time.now.to_f}"
      redis.call('SET', 'gitlab-stand-in:mark', mark)
      raise Redis::Failed, 'what was written is not what is read' unless redis.call('GET', 'gitlab-stand-in:mark') == mark
    end
    "#{host}:#{port}"
  end

  private

  def tls(rails, prefix)
    { ca: rails["#{prefix}_tls_ca_cert_file"], cert: rails["#{prefix}_tls_client_cert_file"],
      key: rails["#{prefix}_tls_client_key_file"] }
  end

  # The master's address: the first Sentinel that knows one decides.
  def master
    return [@host, @port] if @sentinels.empty?

    problems = @sentinels.map do |one|
      Redis.open(one['host'], one['port'], password: @sentinel_password, tls: @sentinel_tls) do |sentinel|
        found = sentinel.call('SENTINEL', 'get-master-addr-by-name', @name)
        return found if found.size == 2
      end
      "#{one['host']}: it knows no #{@name}"
    rescue Redis::Failed => e
      "sentinel of #{e.message}"
    end
    raise Redis::Failed, problems.join('; ')
  end
end

# The configuration with its connections; a configuration that is wrong ends the program.
def connections
  omnibus = Omnibus.new
  [omnibus, Database.new(omnibus), Cache.new(omnibus)]
rescue Omnibus::Wrong => e
  die "gitlab stand-in: #{e.message}"
end
