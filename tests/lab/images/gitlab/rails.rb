# frozen_string_literal: true

# The few of GitLab's own classes that a script of `gitlab-rails runner` may use here, on the
# stand-in's tables. Anything else is a NameError, as a typing error is in the real one.

require 'securerandom'
require_relative 'data'

# Root, the only user.
class User
  attr_reader :id, :username

  def self.all
    $database.open { |db| db.exec('SELECT id, username FROM users ORDER BY id').map { |row| new(row) } }
  end

  def self.first = all.first
  def self.find(id) = all.find { |user| user.id == id } || raise("Couldn't find User with 'id'=#{id}")
  def self.find_by_username(name) = all.find { |user| user.username == name }
  def self.find_by(username:) = find_by_username(username)
  def self.admins = all

  def initialize(row)
    @id = row['id'].to_i
    @username = row['username']
  end

  def personal_access_tokens = PersonalAccessTokens
end

# Tokens for the API: the database holds their digests alone.
class PersonalAccessTokens
  SCOPES = %w[api create_runner manage_runner admin_mode read_api].freeze

  def self.create(name:, scopes:, expires_at:)
    unknown = scopes.map(&:to_s) - SCOPES
    raise "unknown scopes here: #{unknown.join(', ')}" if unknown.any?

    new(name, expires_at)
  end

  def self.create!(...) = create(...)
  def self.digest(token) = OpenSSL::Digest::SHA256.hexdigest(token)

  def self.known?(token)
    sql = 'SELECT 1 FROM personal_access_tokens WHERE digest = $1 AND expires_at > now()'
    $database.open { |db| db.exec_params(sql, [digest(token)]).ntuples == 1 }
  end

  attr_reader :token

  def initialize(name, expires_at)
    @name = name
    @expires_at = expires_at
    @token = "glpat-#{SecureRandom.alphanumeric(20)}"
    @saved = false
  end

  def set_token(token)
    raise 'a token has at least 20 characters' if token.length < 20

    @token = token
  end

  def save!
    values = [@name, self.class.digest(@token), @expires_at.to_s]
    $database.open { |db| db.exec_params('INSERT INTO personal_access_tokens (name, digest, expires_at) VALUES ($1, $2, $3)', values) }
    true
  end
end

class Integer
  Span = Struct.new(:seconds) do
    def from_now = Time.now + seconds
  end

  def days = Span.new(self * 86_400)
  alias day days
end

module Gitlab
  module Auth
    # Without the mode of administrators, which this stand-in does not have, there is none to pass by.
    class CurrentUserMode
      def self.bypass_session!(_id) = yield
    end
  end
end

module Ci
  # A runner, as the table has it.
  class Runner
    # GitLab calls a runner online for two hours; a lab has less patience.
    PATIENCE = 60

    attr_reader :id, :token, :description, :contacted_at

    def self.all
      sql = "SELECT *, contacted_at > now() - interval '#{PATIENCE} seconds' AS online FROM ci_runners ORDER BY id"
      $database.open { |db| db.exec(sql).map { |row| new(row) } }
    end

    def self.online = all.select(&:online?)
    def self.instance_type = self
    def self.where(description:) = all.select { |runner| runner.description == description }
    def self.count = all.size
    def self.find_by(description:) = all.find { |runner| runner.description == description }
    def self.find_by_token(token) = all.find { |runner| runner.token == token }

    def self.create(description)
      values = ["glrt-#{SecureRandom.alphanumeric(20)}", description]
      $database.open { |db| db.exec_params('INSERT INTO ci_runners (token, description) VALUES ($1, $2)', values) }
      find_by_token(values.first)
    end

    def self.contacted(token)
      $database.open { |db| db.exec_params('UPDATE ci_runners SET contacted_at = now() WHERE token = $1', [token]).cmd_tuples == 1 }
    end

    def initialize(row)
      @id = row['id'].to_i
      @token = row['token']
      @description = row['description']
      @contacted_at = row['contacted_at']
      @online = row['online'] == 't'
    end

    def online? = @online

    def set_token(token)
      raise ArgumentError, 'token is blank' if token.to_s.empty?

      @token = token
    end

    def save!
      $database.open { |db| db.exec_params('UPDATE ci_runners SET token = $1 WHERE id = $2', [token, id]) }
      true
    end

    def destroy! = $database.open { |db| db.exec_params('DELETE FROM ci_runners WHERE id = $1', [id]) }

    def status
      return 'never_contacted' unless contacted_at

      online? ? 'online' : 'offline'
    end
  end

  module Runners
    # Makes a runner of the whole instance, with its authentication token.
    class CreateRunnerService
      Response = Struct.new(:payload, :message) do
        def success? = message.nil?
        def error? = !success?
      end
      KNOWN = %i[runner_type description tag_list run_untagged locked paused maintenance_note maximum_timeout].freeze

      def initialize(user:, params:)
        raise 'no such user' unless user.is_a?(User)

        unknown = params.keys.map(&:to_sym) - KNOWN
        raise "unknown params: #{unknown.join(', ')}" if unknown.any?
        raise 'this stand-in has runners of type instance_type alone' unless params[:runner_type].to_s == 'instance_type'

        @description = params[:description].to_s
      end

      def execute = Response.new({ runner: Runner.create(@description) }, nil)
    end
  end
end
