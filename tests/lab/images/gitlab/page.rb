# frozen_string_literal: true

require 'cgi'

# The pages that a person sees. Each says that this is no GitLab.
module Page
  STYLE = <<~CSS
    *{box-sizing:border-box}body{margin:0;font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;
    color:#28272d;background:linear-gradient(160deg,#f6f5f9,#e8e6f2);min-height:100vh;display:flex;align-items:center;justify-content:center}
    main{width:min(880px,94vw);background:#fff;border-radius:14px;box-shadow:0 10px 40px #2a1f5a22;overflow:hidden}
    header{background:#332a5c;color:#fff;padding:22px 32px}header b{font-size:22px}header p{margin:2px 0 0;opacity:.85}
    .two{display:grid;grid-template-columns:1fr 1fr;gap:32px;padding:28px 32px}@media(max-width:640px){.two{grid-template-columns:1fr}}
    h2{font-size:16px;margin:0 0 12px}label{display:block;font-size:14px;margin:0 0 12px}
    input{width:100%;font:inherit;padding:8px 10px;margin-top:4px;border:1px solid #bfbec7;border-radius:6px}
    button{font:inherit;border:0;border-radius:6px;padding:9px 18px;background:#5943b6;color:#fff;width:100%}
    dl{display:grid;grid-template-columns:auto 1fr;gap:6px 14px;margin:0;font-size:14px}dt{color:#626168}dd{margin:0;word-break:break-word}
    .ok::before{content:"";display:inline-block;width:9px;height:9px;border-radius:50%;background:#2da160;margin-right:7px}
    .no{color:#ae1800}.alert{background:#fdf1f0;color:#ae1800;border-radius:6px;padding:8px 12px;margin:0 0 12px;font-size:14px}
    table{border-collapse:collapse;font-size:14px}td,th{text-align:left;padding:4px 18px 4px 0}
  CSS

  module_function

  def h(text) = CGI.escapeHTML(text.to_s)

  def frame(title, body)
    <<~HTML
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
      <title>#{h(title)} · GitLab stand-in</title><style>#{STYLE}</style></head>
      <body><main><header><b>GitLab stand-in</b><p>This is not GitLab. It takes GitLab's place in a test, and uses its database and its Redis.</p></header>
      #{body}</main></body></html>
    HTML
  end

  def text(title, message) = frame(title, "<div class=\"two\"><div><h2>#{h(title)}</h2>#{h(message)}</div></div>")

  def state(found) = found[:problem] ? "<dd class=\"no\">#{h(found[:problem])}</dd>" : "<dd class=\"ok\">#{h(found[:value])}</dd>"

  def sign_in(alert:, url:, host:, version:, database:, redis:)
    frame('Sign in', <<~HTML)
      <div class="two"><form action="/users/sign_in" method="post"><h2>Sign in</h2>
      #{"<p class=\"alert\">#{h(alert)}</p>" if alert}
      <label>Username or primary email<input name="user[login]" autocomplete="username" required></label>
      <label>Password<input name="user[password]" type="password" autocomplete="current-password" required></label>
      <button>Sign in</button></form>
      <div><h2>Connected to</h2><dl><dt>PostgreSQL</dt>#{state(database)}<dt>Redis primary</dt>#{state(redis)}
      <dt>Address</dt><dd>#{h(url)}</dd><dt>Host</dt><dd>#{h(host)}</dd><dt>Version</dt><dd>#{h(version)}</dd></dl></div></div>
    HTML
  end

  def home(user:, runners:)
    rows = runners.map { |one| "<tr><td>#{one.id}</td><td>#{h(one.description)}</td><td>#{h(one.status)}</td></tr>" }
    frame('Home', <<~HTML)
      <div class="two"><div><h2>Signed in as #{h(user)}</h2><p>There is nothing more to see here.</p></div>
      <div><h2>Runners</h2><table><tr><th>ID</th><th>Description</th><th>Status</th></tr>#{rows.join}</table></div></div>
    HTML
  end
end
