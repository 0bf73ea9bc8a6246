//! The forms in which compose files write times, sizes, ports and volumes, as docker reads them.

use std::net::IpAddr;

/// Go's durations, those that are no less than nothing: `1m30s`, `1.5h`, `0`.
pub(super) fn duration(text: &str) -> bool {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut any = false;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let right =
            digits.contains(|c: char| c.is_ascii_digit()) && digits.matches('.').count() < 2;
        if !right || !["ns", "us", "µs", "μs", "ms", "s", "m", "h"].contains(&unit) {
            return false;
        }
        (rest, any) = (after, true);
    }
    any
}

/// Sizes: `512M`, `1.5g`, `2GiB`, `1 GB`, `1048576`.
pub(super) fn size(text: &str) -> bool {
    let Some(last) = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ') else {
        return false;
    };
    let (number, unit) = (&text[..=last], &text[last + 1..]);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let positive = number.parse::<f64>().is_ok_and(|n| n.is_finite() && n >= 0.0);
    let unit = unit.to_ascii_lowercase();
    let right = match unit.strip_prefix(['k', 'm', 'g', 't', 'p']) {
        Some(rest) => ["", "b", "ib"].contains(&rest),
        None => ["", "b"].contains(&unit.as_str()),
    };
    positive && right
}

/// Processors: `0.5`, `2`.
pub(super) fn cpus(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_digit() || c == b'.';
    // The engine counts billionths.
    let fine = text.split_once('.').is_none_or(|(_, behind)| behind.len() <= 9);
    text.bytes().all(plain) && fine && text.parse::<f64>().is_ok_and(|n| n > 0.0)
}

/// `[address:][published:]target[/protocol]`, each of the ports a number or a range. Returns the
/// address, which a swarm ignores.
pub(super) fn port(text: &str) -> Result<Option<&str>, String> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, ""));
    if !["", "tcp", "udp", "sctp"].contains(&protocol.to_lowercase().as_str()) {
        return Err(format!("no protocol is called `{protocol}`; there are tcp, udp and sctp"));
    }
    let mut parts = ports.rsplitn(3, ':');
    let (target, published) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let address = parts.next().unwrap_or_default();
    if !address.is_empty() {
        let plain = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        if plain.parse::<IpAddr>().is_err() {
            return Err(format!("`{address}` is no address"));
        }
    }
    let target = range(target)?;
    if !published.is_empty() {
        let published = range(published)?;
        // A range for one port: docker publishes it on all of them.
        if target != published && target != 0 {
            return Err("both ranges need the same length".to_owned());
        }
    }
    Ok((!address.is_empty()).then_some(address))
}

/// How many ports a range has besides its first.
fn range(text: &str) -> Result<u16, String> {
    let one = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        let number = text.parse::<u16>().ok().filter(|_| digits);
        number.ok_or_else(|| format!("expected a number from 1 to 65535, found `{text}`"))
    };
    match text.split_once('-') {
        None => one(text).map(|_| 0),
        Some((first, last)) => one(last)?
            .checked_sub(one(first)?)
            .ok_or_else(|| format!("`{text}` ends before it begins")),
    }
}

/// `source:target[:options]`, or `target` alone.
pub(super) fn mount(text: &str) -> Result<(), &'static str> {
    // Of two parts the second may be missing, of none the first.
    let parts: Vec<&str> = text.split(':').collect();
    let right = match parts.as_slice() {
        [one] => !one.is_empty(),
        parts => parts.iter().all(|p| !p.is_empty()),
    };
    if !right {
        return Err("there is nothing beside a colon");
    }
    let target = parts.get(1).unwrap_or(&parts[0]);
    if !target.starts_with('/') {
        return Err("its place in the container begins with `/`");
    }
    Ok(())
}

/// The volume that a short entry names, where it names one.
pub(super) fn named_volume(text: &str) -> Option<&str> {
    let (source, _) = text.split_once(':').filter(|_| mount(text).is_ok())?;
    (!source.starts_with(['/', '.', '~'])).then_some(source)
}

/// Whether every quote of a command is closed.
pub(super) fn split(text: &str) -> bool {
    let (mut quote, mut word) = (None, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => (quote, word) = (Some(c), true),
            (None | Some('"'), '\\') => {
                word = true;
                if chars.next().is_none() {
                    return false;
                }
            }
            (None, '#') if !word => drop(chars.by_ref().find(|c| *c == '\n')),
            (None, c) => word = !c.is_whitespace(),
            _ => {}
        }
    }
    quote.is_none()
}
