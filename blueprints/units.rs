//! Sizes and durations as people write them.

use crate::ground::{Port, Protocol};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::borrow::Cow;
use std::time::Duration;

/// Bytes: `512MiB`, `4GiB`, `1.5TiB`, `10GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub u64);

/// A span of time: `90s`, `2m`, `1h30m`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub Duration);

/// A port or a range of them: `80/tcp`, `5000-5010/udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports(pub Port);

/// The size of a log file as Docker reads it: `10m`, `512k`, `1g`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogSize(pub String);

const SIZES: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

const TIMES: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

fn size(text: &str) -> Option<Size> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit.trim_start_matches(' '))?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let bytes = whole.parse::<u64>().ok()?.checked_mul(*factor)?;
    if part.is_empty() || part.len() > 6 {
        return None;
    }
    let part = part.parse::<u64>().ok()?.checked_mul(*factor)? / 10_u64.pow(part.len() as u32);
    bytes.checked_add(part).map(Size)
}

fn time(text: &str) -> Option<Time> {
    let mut rest = text;
    let mut millis = 0_u64;
    let mut last = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let letters = &rest[digits..];
        let unit_end = letters.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(letters.len());
        let (_, factor) = TIMES.iter().find(|(name, _)| *name == &letters[..unit_end])?;
        if *factor >= last {
            return None;
        }
        last = *factor;
        let part = rest[..digits].parse::<u64>().ok()?.checked_mul(*factor)?;
        millis = millis.checked_add(part)?;
        rest = &letters[unit_end..];
    }
    (last != u64::MAX).then_some(Time(Duration::from_millis(millis)))
}

fn log_size(text: &str) -> Option<LogSize> {
    let number = text.strip_suffix(['k', 'm', 'g'])?;
    let right = number.parse::<u32>().is_ok_and(|n| n > 0) && !number.starts_with(['+', '0']);
    right.then(|| LogSize(text.to_owned()))
}

fn ports(text: &str) -> Option<Ports> {
    let (numbers, protocol) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let port = |text: &str| text.parse::<u16>().ok().filter(|p| *p > 0 && !text.starts_with('+'));
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some(Ports(Port { first, last, protocol }))
}

/// A type that is written as one word of text.
macro_rules! word {
    ($type:ident, $parse:ident, $expected:literal, $pattern:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Word;

                impl Visitor<'_> for Word {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<$type, E> {
                        let wrong = || E::invalid_value(Unexpected::Str(text), &self);
                        $parse(text).ok_or_else(wrong)
                    }
                }
                deserializer.deserialize_str(Word)
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $expected,
                    "pattern": $pattern,
                })
            }
        }
    };
}

fn net(text: &str) -> Option<Net> {
    text.parse().ok().map(Net)
}

/// An IPv4 network: `10.20.30.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Net(pub ipnet::Ipv4Net);

word!(Size, size, "a size such as `4GiB`", r"^[0-9]+(\.[0-9]{1,6})? *([KMGT]i?B|kB|B)$");
word!(
    Time,
    time,
    "a duration such as `90s` or `2m`",
    r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
);
word!(LogSize, log_size, "a size of a log file such as `10m`", r"^[1-9][0-9]*[kmg]$");
word!(
    Net,
    net,
    "an IPv4 network such as `10.20.30.0/24`",
    r"^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+/[0-9]+$"
);
word!(
    Ports,
    ports,
    "a port such as `443/tcp` or a range such as `5000-5010/udp`",
    r"^[0-9]+(-[0-9]+)?/(tcp|udp)$"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let bytes = |text| size(text).map(|s| s.0);
        assert_eq!(bytes("4GiB"), Some(4 << 30));
        assert_eq!(bytes("1.5GiB"), Some(3 << 29));
        assert_eq!(bytes("10GB"), Some(10_000_000_000));
        for wrong in
            ["", "4", "GiB", "4 gigs", "-1GiB", "4gib", "4.GiB", "1..5GiB", "99999999TiB", "ü"]
        {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times() {
        let millis = |text| time(text).map(|t| t.0.as_millis());
        assert_eq!(millis("90s"), Some(90_000));
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("500ms"), Some(500));
        for wrong in ["", "90", "s", "1m1h", "1m1m", "1 m", "1.5h", "99999999999999999999h", "ü"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn port_ranges() {
        let shown = |text| ports(text).map(|p| p.0.to_string());
        assert_eq!(shown("80/tcp").as_deref(), Some("80/tcp"));
        assert_eq!(shown("5000-5010/udp").as_deref(), Some("5000-5010/udp"));
        assert_eq!(shown("65535-65535/tcp").as_deref(), Some("65535/tcp"));
        for wrong in [
            "",
            "80",
            "/tcp",
            "80/",
            "80/TCP",
            "0/tcp",
            "65536/tcp",
            "2-1/tcp",
            "1-/tcp",
            "-1/tcp",
            "+1/tcp",
            "1-+2/tcp",
            "80/sctp",
            "ü/tcp",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn log_sizes() {
        assert!(log_size("10m").is_some());
        for wrong in ["", "10", "m", "0m", "10M", "10mb", "+1m", "ü"] {
            assert_eq!(log_size(wrong), None, "{wrong}");
        }
    }
}
