//! How secrets are made: on a manager where nobody has to know them, from its standard input where
//! somebody gives them.

use super::{
    DIGEST_LABEL, HTPASSWD, OF_LABEL, SECRET_LABEL, Secret, Source, authority, certificate,
    current, read,
};
use crate::compose::digest;
use crate::cx::Cx;
use crate::docker::{LAB_LABEL, SwarmView};
use crate::shipped;
use crate::step::{Failure, Trouble};
use blueprints::Lab;
use providers::{Cmd, Stdin, quote};

/// The longest name that docker takes for a secret or a config.
const LONGEST: usize = 64;

/// Generates a password.
const GENERATE: &str = "v=$(LC_ALL=C tr -dc A-Za-z0-9 </dev/urandom | head -c 32)\n";

/// Twelve digits of a text's digest, after `printf %s "$x" |`.
const DIGITS: &str = "sha256sum | cut -c 1-12";

/// Makes a line of `htpasswd` of the password on standard input, for the user in its arguments.
/// Perl is on every Debian, and its `crypt` is libxcrypt's, which knows bcrypt.
const LINE: &str = r#"perl -e 'local $/; my $p = <STDIN>; open(my $r, "<:raw", "/dev/urandom") or die; read($r, my $b, 22) == 22 or die; my @c = ("a".."z", "A".."Z", 0..9, ".", "/"); my $s = join "", map { $c[ord($_) % 64] } split(//, $b); my $h = crypt($p, "\$2y\$10\$$s"); $h =~ /^\$2y\$10\$.{53}$/ or die "this crypt knows no bcrypt\n"; print "$ARGV[0]:$h"'"#;

/// Makes a secret anew, whatever there is of it.
pub(super) async fn make(cx: &Cx, view: &SwarmView, secret: &Secret) -> Result<(), Trouble> {
    let (lab, name) = (&cx.lab().name, &secret.name);
    let cmd = match &secret.source {
        Source::AuthorityKey => authority::made(lab, view.now)?,
        Source::Certificate(names) => certificate::made(cx, view, name, names).await?,
        Source::Generated => Cmd::new(format!("set -e; {GENERATE}{}", generated(lab, name))),
        Source::Login(user) => {
            Cmd::new(format!("set -e; {GENERATE}{}{}", generated(lab, name), line(lab, name, user)))
        }
        Source::Given(source) => made_of_given(cx, view, name, source, None).await?,
        Source::GivenLogin(user, source) => {
            made_of_given(cx, view, name, source, Some(user)).await?
        }
    };
    cx.ok(&view.manager, cmd).await.map(drop)
}

/// Keeps the password `$v`, and its name in `$n`.
fn generated(lab: &str, name: &str) -> String {
    format!(
        "n={}_$(printf %s \"$v\" | {DIGITS})\nprintf %s \"$v\" | {}\n",
        quote(&begin(lab, name)),
        create("secret", lab, &[(SECRET_LABEL, name)], "\"$n\"")
    )
}

/// Keeps a line of `htpasswd` for the password `$v` of the secret `$n`.
fn line(lab: &str, name: &str, user: &str) -> String {
    let name = format!("{name}{HTPASSWD}");
    let real = format!("{}_$(printf %s \"$w\" | {DIGITS})", quote(&begin(lab, &name)));
    let create = create("secret", lab, &[(SECRET_LABEL, &name)], "\"$l\"");
    let create = create.replacen(" create ", &format!(" create -l {OF_LABEL}=\"$n\" "), 1);
    format!(
        "w=$(printf %s \"$v\" | {LINE} {})\nl={real}\nprintf '%s\\n' \"$w\" | {create}\n",
        quote(user)
    )
}

/// A secret as somebody gave it.
pub(super) struct Given {
    text: String,
    /// Says whether it is the same one, without saying what it is.
    pub digest: String,
}

/// How often such a secret is digested: a short password is not to be found by trying.
const ROUNDS: u32 = 10_000;

/// What a swarm keeps in one secret, bytes: `MaxSecretSize` of its `api/validation`.
pub(crate) const LARGEST: usize = 500 << 10;

/// Asks for a given secret.
///
/// # Errors
/// When it can't be had, is empty, or is more than a swarm keeps.
pub(super) async fn asked(
    cx: &Cx,
    name: &str,
    source: &blueprints::Secret,
) -> Result<String, Failure> {
    let text = cx.world().secret(source).await.map_err(|failure| Failure {
        message: format!("the secret {name}: {}", failure.message),
        ..failure
    })?;
    read::hide(cx, text.as_bytes());
    match text.len() {
        0 => Err(Failure::new(format!("the secret {name} is given, and it is empty"))),
        size @ LARGEST.. => Err(Failure::new(format!(
            "the secret {name} has {size} bytes: a swarm keeps less than {LARGEST}"
        ))),
        _ if text.contains(char::is_control) && is_password(cx.lab(), name) => {
            let what = format!(
                "the secret {name} is a password, and has a line break in it or another control character"
            );
            Err(Failure::new(what).hint("a password is one line; Windows' line ends count, too"))
        }
        _ => Ok(text),
    }
}

/// Whether it is one of the blueprint's `secrets` that a stack of bp's takes. What the user's own stacks
/// take may be a key of many lines, and so is the one beside a given certificate.
fn is_password(lab: &Lab, name: &str) -> bool {
    if !lab.secrets.contains_key(name) {
        return false;
    }
    let taken =
        lab.stacks.iter().filter_map(|stack| shipped::of(lab, stack)).flat_map(|s| s.secrets);
    taken.into_iter().any(|secret| secret.name == name)
}

/// Asks for a given secret, and digests it.
///
/// # Errors
/// Those of [`asked`].
pub(super) async fn given(
    cx: &Cx,
    view: &SwarmView,
    name: &str,
    source: &blueprints::Secret,
) -> Result<Given, Failure> {
    let text = asked(cx, name, source).await?;
    let digest = slow_digest(&[view.id.as_bytes(), name.as_bytes(), text.as_bytes()]);
    Ok(Given { text, digest })
}

/// The digest of a secret that somebody chose, for names and labels that are shown.
pub(crate) fn slow_digest(parts: &[&[u8]]) -> String {
    (0..ROUNDS).fold(digest(parts), |last, _| digest(&[last.as_bytes()]))
}

async fn made_of_given(
    cx: &Cx,
    view: &SwarmView,
    name: &str,
    source: &blueprints::Secret,
    user: Option<&str>,
) -> Result<Cmd, Trouble> {
    let (lab, given) = (&cx.lab().name, given(cx, view, name, source).await?);
    let before = current(view, lab, name);
    let mut script = "set -e; v=$(cat; echo .); v=${v%.}\n".to_owned();
    match before.filter(|has| has.label(DIGEST_LABEL) == given.digest) {
        Some(has) => script.push_str(&format!("n={}\n", quote(&has.spec.name))),
        None => {
            // What is given again after something else was is still not the secret of that time,
            // which may be there yet under its name.
            let after = before.map_or("", |s| s.id.as_str());
            let last = digest(&[given.digest.as_bytes(), after.as_bytes()]);
            let labels = [(SECRET_LABEL, name), (DIGEST_LABEL, given.digest.as_str())];
            script.push_str(&format!(
                "n={}\nprintf %s \"$v\" | {}\n",
                quote(&format!("{}_{last}", begin(lab, name))),
                create("secret", lab, &labels, "\"$n\"")
            ));
        }
    }
    if let Some(user) = user {
        script.push_str(&line(lab, name, user));
    }
    let stdin = Stdin::Bytes(given.text.clone().into_bytes());
    Ok(Cmd::new(script).stdin(stdin).secret(given.text))
}

/// What the name of a secret or a config begins with, whose lab or stack comes first; a digest of twelve
/// digits follows.
pub(crate) fn begin(of: &str, name: &str) -> String {
    let mut begin = format!("{of}_{name}");
    begin.truncate(LONGEST - 13);
    begin
}

/// The command that keeps its standard input in the swarm. `name` is a word of shell.
pub(super) fn create(kind: &str, lab: &str, labels: &[(&str, &str)], name: &str) -> String {
    let all = std::iter::once((LAB_LABEL, lab)).chain(labels.iter().copied());
    let labels: String = all.map(|(key, value)| format!("-l {key}={} ", quote(value))).collect();
    format!("docker {kind} create {labels}{name} - >/dev/null")
}
