//! Values of records in one spelling: as a zone file has them, names whole and without a dot at
//! their end, addresses in their shortest form, each string of a text quoted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A text record's value: each string quoted, what is no printable ASCII as `\DDD` (RFC 1035, 5.1).
pub fn text<'a>(strings: impl IntoIterator<Item = &'a [u8]>) -> String {
    let quoted = |string: &[u8]| {
        let mut text = String::from("\"");
        for &byte in string {
            match byte {
                b'"' | b'\\' => text.extend(['\\', byte as char]),
                0x20..=0x7e => text.push(byte as char),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
        text + "\""
    };
    strings.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// The strings of a text record's value.
pub fn strings(value: &str) -> Vec<Vec<u8>> {
    let (mut strings, mut bytes) = (Vec::new(), value.bytes());
    while let Some(byte) = bytes.next() {
        let quoted = match byte {
            b' ' | b'\t' => continue,
            b'"' => true,
            _ => false,
        };
        let mut string = Vec::new();
        let mut next = if quoted { bytes.next() } else { Some(byte) };
        while let Some(byte) = next {
            match byte {
                b'"' if quoted => break,
                b' ' | b'\t' if !quoted => break,
                b'\\' => {
                    let escaped = bytes.next().unwrap_or(b'\\');
                    if escaped.is_ascii_digit() {
                        let digits = [Some(escaped), bytes.next(), bytes.next()];
                        let digit = |d: Option<u8>| u32::from(d.unwrap_or(b'0')) - 48;
                        let code = digits.into_iter().fold(0, |n, d| n * 10 + digit(d));
                        string.push(code as u8);
                    } else {
                        string.push(escaped);
                    }
                }
                byte => string.push(byte),
            }
            next = bytes.next();
        }
        strings.push(string);
    }
    strings
}

/// A name in lower case without the dot at its end.
pub fn name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// A value of any server's spelling in bp's own.
pub fn normal(kind: &str, value: &str) -> String {
    match kind {
        "A" => value.parse::<Ipv4Addr>().map_or(value.to_owned(), |ip| ip.to_string()),
        "AAAA" => value.parse::<Ipv6Addr>().map_or(value.to_owned(), |ip| ip.to_string()),
        "CNAME" | "PTR" | "NS" => name(value),
        "SRV" => {
            let words: Vec<&str> = value.split_whitespace().collect();
            name(&words.join(" "))
        }
        "TXT" => text(strings(value).iter().map(Vec::as_slice)),
        _ => value.to_owned(),
    }
}

/// The name that the reverse of an address has: `9.30.20.10.in-addr.arpa`.
pub fn reverse(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|b| [b & 15, b >> 4]);
            let labels: Vec<String> = nibbles.map(|n| format!("{n:x}")).collect();
            format!("{}.ip6.arpa", labels.join("."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_whole() {
        for strings_of in [
            vec!["plain"],
            vec!["a \"quoted\" one", "back\\slash"],
            vec![""],
            vec!["grüße; \t\u{1}"],
        ] {
            let bytes: Vec<&[u8]> = strings_of.iter().map(|s| s.as_bytes()).collect();
            let value = text(bytes.iter().copied());
            assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)), "{value}");
            assert_eq!(strings(&value), bytes, "{value}");
            assert_eq!(normal("TXT", &value), value);
        }
        assert_eq!(strings("bare words"), [b"bare".to_vec(), b"words".to_vec()]);
    }

    #[test]
    fn values_have_one_spelling() {
        assert_eq!(normal("AAAA", "FD00:0::1"), "fd00::1");
        assert_eq!(normal("CNAME", "Node1.LAB.test."), "node1.lab.test");
        assert_eq!(normal("SRV", "0 5  389 Node1.lab.test."), "0 5 389 node1.lab.test");
        assert_eq!(normal("TXT", "\"gr\\195\\188n\""), "\"gr\\195\\188n\"");
    }

    #[test]
    fn reverse_names() {
        let reverse = |ip: &str| super::reverse(ip.parse().expect("an address"));
        assert_eq!(reverse("10.20.30.9"), "9.30.20.10.in-addr.arpa");
        assert!(reverse("fd00::1").starts_with("1.0.0.0.0."));
        assert!(reverse("fd00::1").ends_with(".0.0.d.f.ip6.arpa"));
    }
}
