//! The `known_hosts` files of OpenSSH, as sshd(8) describes them.

use super::Target;
use super::host_keys::{Expected, refused};
use crate::SessionError;
use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PublicKey;
use sha1::Sha1;
use std::path::PathBuf;

/// What the files record for a host.
pub(super) fn lookup(files: &[PathBuf], target: &Target) -> Result<Expected, SessionError> {
    let name = lookup_name(&target.address, target.port);
    let mut found = Found::default();
    for file in files {
        match std::fs::read(file) {
            Ok(bytes) => found
                .read(&String::from_utf8_lossy(&bytes), &name, &file.display().to_string())
                .map_err(|e| refused(e, None))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            // An unreadable file may revoke the very key that is shown.
            Err(e) => return Err(refused(format!("read `{}`: {e}", file.display()), None)),
        }
    }
    let searched: Vec<_> = files.iter().map(|f| format!("`{}`", f.display())).collect();
    if found.keys.is_empty() {
        let scan = format!("ssh-keyscan -p {} {}", target.port, target.address);
        return Err(match found.authority {
            Some(place) => refused(
                format!("{} is known by a certificate authority only ({place})", target.name()),
                Some(format!("record its own key: `{scan}`, compared on its console")),
            ),
            None => refused(
                format!("host key of {} is not in {}", target.name(), searched.join(", ")),
                Some(format!(
                    "`{scan}` shows it: compare it on the host's console, then record it, or its \
                     fingerprint in the blueprint"
                )),
            ),
        });
    }
    Ok(Expected::Keys { keys: found.keys, revoked: found.revoked, place: found.places.join(", ") })
}

/// What lines say about one host.
#[derive(Debug, Default)]
struct Found {
    keys: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
    authority: Option<String>,
    places: Vec<String>,
}

impl Found {
    /// Takes the lines of one file that are about this host.
    fn read(&mut self, text: &str, name: &str, file: &str) -> Result<(), String> {
        for (number, line) in text.lines().enumerate() {
            let place = format!("{file}:{}", number + 1);
            let mut fields = line.split_ascii_whitespace().peekable();
            let marker = fields.next_if(|f| f.starts_with('@'));
            let Some(patterns) = fields.next().filter(|p| !p.starts_with('#')) else { continue };
            if !matches(patterns, name) {
                continue;
            }
            let (kind, key) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""));
            let key = PublicKey::from_openssh(&format!("{kind} {key}"));
            match (marker, key) {
                (None, Ok(key)) => {
                    self.keys.push(key);
                    self.places.push(place);
                }
                // A key that can't be read can't match either.
                (None, Err(_)) => {}
                (Some("@revoked"), Ok(key)) => {
                    self.revoked.push(key);
                    self.places.push(place);
                }
                (Some("@cert-authority"), _) => self.authority = Some(place),
                (Some(marker), Err(e)) => return Err(format!("`{marker}` at {place}: {e}")),
                (Some(marker), Ok(_)) => {
                    return Err(format!("unknown marker `{marker}` at {place}"));
                }
            }
        }
        Ok(())
    }
}

/// The name under which a host is recorded: other ports than 22 are part of it.
fn lookup_name(address: &str, port: u16) -> String {
    let address = address.to_ascii_lowercase();
    if port == 22 { address } else { format!("[{address}]:{port}") }
}

/// Whether a line's first field is about this host: a hash, or patterns with wildcards of which
/// one matches and none forbids.
fn matches(patterns: &str, name: &str) -> bool {
    if let Some(hashed) = patterns.strip_prefix("|1|") {
        return hashed.split_once('|').is_some_and(|(salt, hash)| hash_matches(salt, hash, name));
    }
    let mut any = false;
    for pattern in patterns.to_ascii_lowercase().split(',') {
        match pattern.strip_prefix('!') {
            Some(not) if glob(not.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => any |= glob(pattern.as_bytes(), name.as_bytes()),
        }
    }
    any
}

fn hash_matches(salt: &str, hash: &str, name: &str) -> bool {
    let decode = |text| base64::engine::general_purpose::STANDARD.decode(text);
    let (Ok(salt), Ok(hash)) = (decode(salt), decode(hash)) else { return false };
    let Ok(mac) = Hmac::<Sha1>::new_from_slice(&salt) else { return false };
    mac.chain_update(name.as_bytes()).verify_slice(&hash).is_ok()
}

/// Whether a pattern with `*` and `?` matches the whole text, in time that is bounded by the
/// product of their lengths.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    /// What one line says about a name: so many keys, so many revoked, an authority.
    fn said(line: &str, name: &str) -> Result<(usize, usize, bool), String> {
        let mut found = Found::default();
        found.read(line, name, "file")?;
        Ok((found.keys.len(), found.revoked.len(), found.authority.is_some()))
    }

    #[test]
    fn lines_are_about_the_hosts_that_their_patterns_match() {
        for (patterns, name, expected) in [
            ("node1", "node1", true),
            ("NODE1", "node1", true),
            ("node1", "node11", false),
            ("a,node1,b", "node1", true),
            ("node?", "node1", true),
            ("node?", "node", false),
            ("*.lab.test", "node1.lab.test", true),
            ("*.lab.test", "lab.test", false),
            ("*lab*test", "a.lab.lab.test", true),
            ("*", "anything", true),
            ("*.lab.test,!node1.lab.test", "node1.lab.test", false),
            ("*.lab.test,!node1.lab.test", "node2.lab.test", true),
            ("!node1", "node2", false),
            ("node1", "[node1]:2222", false),
            ("[node1]:2222", "[node1]:2222", true),
            ("[node1]:2222", "node1", false),
            ("[*]:2222", "[node1]:2222", true),
            // ssh-keygen -H of `node1`, and of another name.
            ("|1|AAECAwQFBgcICQoLDA0ODxAREhM=|HASH", "node1", true),
            ("|1|AAECAwQFBgcICQoLDA0ODxAREhM=|HASH", "node2", false),
            ("|1|AAECAwQFBgcICQoLDA0ODxAREhM=", "node1", false),
            ("|1|%|%", "node1", false),
        ] {
            let patterns = patterns.replace("HASH", "mFkKXp7gYYtwrI9fxvaW8ybOwwo=");
            assert_eq!(matches(&patterns, name), expected, "{patterns} for {name}");
        }
    }

    #[test]
    fn markers_and_what_is_no_line_are_taken_for_what_they_are() {
        assert_eq!(said(&format!("node1 {KEY} comment"), "node1"), Ok((1, 0, false)));
        assert_eq!(said(&format!("  node1\t{KEY}\r"), "node1"), Ok((1, 0, false)));
        assert_eq!(said(&format!("@revoked node1 {KEY}"), "node1"), Ok((0, 1, false)));
        assert_eq!(said(&format!("@cert-authority *1 {KEY}"), "node1"), Ok((0, 0, true)));
        assert_eq!(said(&format!("@cert-authority *2 {KEY}"), "node1"), Ok((0, 0, false)));
        for nothing in
            ["", "   ", "# node1", "#node1 ssh-ed25519 AAAA", "node1", "node1 ssh-ed25519"]
        {
            assert_eq!(said(nothing, "node1"), Ok((0, 0, false)), "{nothing:?}");
        }
        // What can't be honoured is an error, for the hosts that it is about.
        for line in ["@revoked node1 ssh-ed25519 AAAA", &format!("@other node1 {KEY}")] {
            assert!(said(line, "node1").is_err(), "{line}");
            assert_eq!(said(line, "node2"), Ok((0, 0, false)), "{line}");
        }
    }

    #[test]
    fn a_port_of_its_own_is_part_of_the_name() {
        assert_eq!(lookup_name("Node1", 22), "node1");
        assert_eq!(lookup_name("::1", 2222), "[::1]:2222");
    }
}
