//! What reading a blueprint has at hand, and what it found wrong so far.

use crate::Outside;
use crate::diagnostic::{Lines, Problem};
use crate::field::{Field, Spanned};
use crate::tree::Span;
use crate::units::Net;
use ipnet::Ipv4Net;
use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The text, its surroundings, and the problems found.
pub(crate) struct Context<'a> {
    pub text: &'a str,
    pub dir: &'a Path,
    pub outside: &'a dyn Outside,
    pub problems: Vec<Problem>,
    lines: Lines,
    /// What unknown fields were most likely meant to be.
    meant: HashSet<String>,
}

impl<'a> Context<'a> {
    /// With the problems of form that are known already.
    pub fn new(
        text: &'a str,
        dir: &'a Path,
        outside: &'a dyn Outside,
        problems: Vec<Problem>,
    ) -> Self {
        let meant = problems.iter().filter_map(|p| p.label.clone()).collect();
        Self { text, dir, outside, problems, lines: Lines::of(text), meant }
    }

    /// Reports an error.
    pub fn error(&mut self, at: Span, message: impl Into<String>) {
        self.problems.push(Problem::error(at, message));
    }

    /// Reports an error with what the author can do about it.
    pub fn error_help(&mut self, at: Span, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::error(at, message).help(help));
    }

    /// Reports a field that must be there, unless a misspelling of it is reported already.
    pub fn missing(&mut self, at: Span, field: &str, what: &str, example: &str) {
        if !self.meant.contains(&format!("did you mean `{field}`?")) {
            self.error_help(at, format!("{what} needs `{field}`"), format!("such as `{example}`"));
        }
    }

    /// The path that a blueprint means: `~/` is the user's home, others start at its folder.
    pub fn path(&self, written: &str) -> PathBuf {
        match (written.strip_prefix("~/"), self.outside.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => self.dir.join(written.strip_prefix("./").unwrap_or(written)),
        }
    }

    /// The path of a file that must exist.
    pub fn existing(&mut self, field: &Field<String>) -> Option<PathBuf> {
        let written = field.given()?;
        let path = self.path(&written.value);
        if !self.outside.is_file(&path) {
            self.error(written.at, format!("no such file: `{}`", path.display()));
        }
        Some(path)
    }

    /// The path of a file that must exist, and what it says where files are looked at.
    pub fn existing_text(&mut self, field: &Field<String>) -> Option<(PathBuf, Option<String>)> {
        let (path, written) = (self.existing(field)?, field.given()?);
        let text = match self.outside.read(&path) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            // Said already, or not to be looked at.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => None,
            Err(e) => {
                self.error(written.at, format!("read `{}`: {e}", path.display()));
                None
            }
        };
        Some((path, text))
    }

    /// A network, without bits behind its prefix.
    pub fn net(&mut self, field: &Field<Net>) -> Option<Ipv4Net> {
        let written = field.given()?;
        let net = written.value.0;
        if net.addr() != net.network() {
            let right = net.trunc();
            self.problems.push(
                Problem::error(written.at, format!("`{net}` is an address, not a network"))
                    .label(format!("did you mean `{right}`?")),
            );
        }
        Some(net.trunc())
    }

    /// Reports a text that is not of the shape it must have.
    pub fn shape(&mut self, field: &Field<String>, right: fn(&str) -> bool, expected: &str) {
        if let Some(text) = field.given() {
            self.shape_of(text, right, expected);
        }
    }

    /// Reports one text, such as an item of a list, that is not of the shape it must have.
    pub fn shape_of(&mut self, text: &Spanned<String>, right: fn(&str) -> bool, expected: &str) {
        if !right(&text.value) {
            let found = crate::wording::short(&text.value);
            self.error(text.at, format!("expected {expected}, found `{found}`"));
        }
    }

    /// The number of the line on which a place is.
    pub fn line(&self, at: Span) -> usize {
        self.lines.number(at.start)
    }

    /// Whether there are so many problems that looking for more is of no use.
    pub fn is_full(&self) -> bool {
        self.problems.len() > 1000
    }
}

/// A DNS label: letters, digits and hyphens within, at most 63.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A DNS name: labels with dots between, at most 253 characters.
pub(crate) fn is_dns_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| is_dns_label(&label.to_ascii_lowercase()))
}

/// A DNS domain as blueprints write it: in lower case, without a dot at its end.
pub(crate) fn is_domain(text: &str) -> bool {
    is_dns_name(text) && !text.bytes().any(|c| c.is_ascii_uppercase())
}

/// What is said of a text that is not [`is_domain`].
pub(crate) const DOMAIN: &str =
    "a DNS domain such as `lab.test`, in lower case and without a dot at its end";

/// Whether a name is a domain itself or lies below it.
pub(crate) fn lies_in(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// An http or https URL with a host and, if it names one, a valid port.
pub(crate) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let Some(rest) = rest else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    text.bytes().all(|c| c.is_ascii_graphic()) && (is_host(authority) || is_host_port(authority))
}

/// A DNS name (underscores allowed, as services have them), an IPv4 or a bracketed IPv6 address.
fn is_host(text: &str) -> bool {
    if let Some(v6) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return v6.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !text.starts_with('_') && is_dns_name(&text.replace('_', "x"))
}

/// A host and a port from 1.
pub(crate) fn is_host_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|p| p > 0))
}

/// The address or name of a host.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok() || (is_dns_name(text) && !looks_like_ipv4(text))
}

/// Digits and dots alone: meant as an address, so not taken for a name.
fn looks_like_ipv4(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_digit() || c == b'.')
}

/// A login name: nothing that a command could take for an option or for two words.
pub(crate) fn is_user(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_alphanumeric() || "_.-@\\$".contains(c))
}

/// A name of something that a tool outside gave: visible characters, no path, no option.
pub(crate) fn is_plain_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && !text.starts_with('-')
        && !text.chars().any(|c| c.is_control() || c == '/' || c == ' ')
}

/// The fingerprint of a host key as ssh prints it.
pub(crate) fn is_fingerprint(text: &str) -> bool {
    text.strip_prefix("SHA256:").is_some_and(|hash| {
        hash.len() == 43
            && hash.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'/')
    })
}

/// Debian's rule for the names of packages; suites keep it too.
pub(crate) fn is_package(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-.".contains(&c);
    text.len() >= 2
        && text.bytes().all(inner)
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// An absolute folder that means the same to a shell, to fstab and to GlusterFS: nothing to
/// quote, no way up, and not the root. A slash at its end is taken.
pub(crate) fn is_folder(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || b"._-+@".contains(&c);
    let part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.starts_with('-')
            && part.bytes().all(inner)
    };
    let path = text.strip_suffix('/').unwrap_or(text);
    text.len() <= 255 && path.strip_prefix('/').is_some_and(|path| path.split('/').all(part))
}

/// What is said of a text that is not [`is_folder`].
pub(crate) const FOLDER: &str =
    "an absolute folder such as `/srv/docker`, of letters, digits, `.`, `_`, `-`, `+` and `@`";

/// The folder as it is resolved: without a slash at its end.
pub(crate) fn folder(text: &str) -> Option<String> {
    is_folder(text).then(|| text.strip_suffix('/').unwrap_or(text).to_owned())
}
