//! The names of images, by the grammar of the `reference` package of Distribution, which docker reads
//! them with.

/// Whether docker takes this as the name of an image: `[host[:port]/]path[:tag][@digest]`.
pub fn is_image(text: &str) -> bool {
    let (name, digest) = text.split_once('@').map_or((text, None), |(n, d)| (n, Some(d)));
    let behind = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name[behind..].split_once(':') {
        Some((last, tag)) => (&name[..behind + last.len()], Some(tag)),
        None => (name, None),
    };
    // Docker takes the first part for a host where it could be one.
    let path = match name.split_once('/') {
        Some((host, path))
            if host.contains(|c: char| c == '.' || c == ':' || c.is_ascii_uppercase())
                || host == "localhost" =>
        {
            if !is_host(host) {
                return false;
            }
            path
        }
        _ => name,
    };
    name.len() <= 255
        && path.split('/').all(is_component)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// Of a path: lower case, with single separators inside.
fn is_component(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(inner).filter(|s| !s.is_empty());
    text.starts_with(inner)
        && text.ends_with(inner)
        && separators
            .into_iter()
            .all(|s| [".", "_", "__"].contains(&s) || s.trim_matches('-').is_empty())
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let inner = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            let edge = |c: char| c.is_ascii_alphanumeric();
            label.starts_with(edge)
                && label.ends_with(edge)
                && label.chars().all(|c| edge(c) || c == '-')
        }),
    };
    inner && port.is_none_or(|p| !p.is_empty() && p.bytes().all(|c| c.is_ascii_digit()))
}

fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=128).contains(&text.len())
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || c == '.' || c == '-')
}

/// The engine knows no other digests.
fn is_digest(text: &str) -> bool {
    let (kind, hex) = text.split_once(':').unwrap_or_default();
    let length = match kind {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_that_docker_takes_and_others() {
        let digest = format!("web@sha256:{}", "0a".repeat(32));
        for right in [
            "redis",
            "redis:8.0.2",
            "lab/web:1",
            "a__b/c--d/e.f_g",
            "registry.lab.test/lab/web:1_2.3-rc",
            "localhost/web",
            "registry:5000/web",
            "Lab/web:1",
            "Registry.Lab.Test:5000/web:LATEST",
            "[::1]:5000/web",
            &digest,
            &digest.replace('@', ":1@"),
        ] {
            assert!(super::is_image(right), "{right}");
        }
        let long = "a".repeat(256);
        for wrong in [
            "",
            ":1",
            "/web",
            "web/",
            "a//b",
            "Web",
            "lab/Web:1",
            "web:",
            "web:-1",
            "web:a b",
            "web:1:2",
            "a___b",
            "-a",
            "a-",
            "a.-b",
            "https://registry.lab.test/web",
            "user:word@registry.lab.test/web:1",
            "web@sha256:0a",
            "web@md5:0a",
            "registry.lab.test:port/web",
            "registry..test/web",
            &long,
        ] {
            assert!(!super::is_image(wrong), "{wrong}");
        }
    }
}
