# frozen_string_literal: true

# What the stand-ins speak: HTTP as a server and as a client, and Redis' protocol.

require 'json'
require 'net/http'
require 'openssl'
require 'socket'
require 'uri'

# One line to standard output, as a container's log.
def log(message)
  puts "#{Time.now.utc.strftime('%FT%TZ')} #{message}"
  $stdout.flush
end

# The end, with the reason.
def die(message)
  warn message
  exit 1
end

Request = Struct.new(:method, :path, :query, :headers, :body, :peer) do
  # The fields of a form or of a JSON object.
  def fields
    return JSON.parse(body) if headers['content-type'].to_s.start_with?('application/json')

    URI.decode_www_form(body).to_h
  end
end

# A server of HTTP/1.1 that closes after each answer; the block makes [status, headers, body].
class Web
  REASONS = { 200 => 'OK', 201 => 'Created', 204 => 'No Content', 302 => 'Found', 401 => 'Unauthorized',
              403 => 'Forbidden', 404 => 'Not Found', 409 => 'Conflict', 422 => 'Unprocessable Content',
              503 => 'Service Unavailable' }.freeze

  def initialize(port, tls: nil, &answer)
    @socket = TCPServer.new('0.0.0.0', port)
    @tls = tls
    @answer = answer
  end

  def run
    loop do
      connection = @socket.accept
      Thread.new { serve(connection) }
    end
  end

  private

  def serve(connection)
    peer = connection.peeraddr(false)[3]
    stream = connection
    if @tls
      stream = OpenSSL::SSL::SSLSocket.new(connection, @tls)
      stream.accept
    end
    request = read(stream, peer)
    write(stream, *@answer.call(request), request.method) if request
  rescue SystemCallError, IOError, OpenSSL::SSL::SSLError, JSON::ParserError => e
    log "a client's connection ended: #{e.message}"
  ensure
    stream&.close
    connection.close
  end

  def read(stream, peer)
    method, target, = stream.gets("\n", 8192)&.split
    return unless target

    headers = {}
    while (line = stream.gets("\n", 16_384)&.strip) && !line.empty?
      name, value = line.split(':', 2)
      headers[name.downcase] = value.to_s.strip
    end
    size = headers['content-length'].to_i
    body = size.positive? && size < 1 << 20 ? stream.read(size) : ''
    path, query = target.split('?', 2)
    Request.new(method, path, URI.decode_www_form(query.to_s).to_h, headers, body, peer)
  end

  def write(stream, status, headers, body, method)
    body = JSON.generate(body) unless body.is_a?(String)
    lines = ["HTTP/1.1 #{status} #{REASONS.fetch(status)}", "Content-Length: #{body.bytesize}", 'Connection: close']
    lines += { 'Content-Type' => 'application/json' }.merge(headers).map { |name, value| "#{name}: #{value}" }
    stream.write("#{lines.join("\r\n")}\r\n\r\n")
    stream.write(body) unless method == 'HEAD'
  end
end

# Asks by HTTP or HTTPS; the server must prove itself to `ca_file`, or to the system's authorities.
def ask(method, url, fields: nil, headers: {}, ca_file: nil, verify: true, timeout: 10)
  uri = URI(url)
  http = Net::HTTP.new(uri.host, uri.port, nil)
  http.open_timeout = http.read_timeout = timeout
  if uri.scheme == 'https'
    http.use_ssl = true
    http.verify_mode = verify ? OpenSSL::SSL::VERIFY_PEER : OpenSSL::SSL::VERIFY_NONE
    http.ca_file = ca_file if ca_file
  end
  request = Net::HTTP.const_get(method.capitalize).new(uri)
  headers.each { |name, value| request[name] = value }
  if fields
    request['Content-Type'] = 'application/json'
    request.body = JSON.generate(fields)
  end
  http.request(request)
end

# One connection to a Redis or a Sentinel.
class Redis
  class Failed < StandardError; end

  # TLS is nil, or the files of `ca`, `cert` and `key`, where there are any.
  def self.open(host, port, password: nil, tls: nil)
    redis = new(host, port, tls)
    redis.call('AUTH', password) if password
    yield redis
  rescue SystemCallError, SocketError, IOError, OpenSSL::SSL::SSLError, Failed => e
    raise Failed, "redis #{host}:#{port}: #{e.message}"
  ensure
    redis&.close
  end

  def initialize(host, port, tls)
    @socket = @stream = Socket.tcp(host, port, connect_timeout: 5)
    timeout = [5, 0].pack('l_2')
    @socket.setsockopt(Socket::SOL_SOCKET, Socket::SO_RCVTIMEO, timeout)
    secure(host, tls) if tls
  end

  def call(*words)
    @stream.write("*#{words.size}\r\n#{words.map { |word| "$#{word.to_s.bytesize}\r\n#{word}\r\n" }.join}")
    answer
  end

  def close
    @stream.close
    @socket.close
  end

  private

  def secure(host, tls)
    context = OpenSSL::SSL::SSLContext.new
    context.set_params(verify_mode: OpenSSL::SSL::VERIFY_PEER, ca_file: tls[:ca])
    if tls[:cert]
      context.add_certificate(OpenSSL::X509::Certificate.new(File.read(tls[:cert])),
                              OpenSSL::PKey.read(File.read(tls[:key])))
    end
    @stream = OpenSSL::SSL::SSLSocket.new(@socket, context)
    @stream.hostname = host
    @stream.connect
    @stream.post_connection_check(host)
  end

  def answer
    line = @stream.gets("\r\n") or raise Failed, 'the connection ended'
    rest = line[1..].chomp
    case line[0]
    when '+', ':' then rest
    when '-' then raise Failed, rest
    when '$' then rest == '-1' ? nil : @stream.read(rest.to_i + 2)[0...-2]
    when '*' then Array.new([rest.to_i, 0].max) { answer }
    else raise Failed, "not Redis: #{line[0, 40].inspect}"
    end
  end
end
