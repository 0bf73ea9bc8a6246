//! Host names with ranges: `worker{1..3}`, `rack{1..2}-node{01..10}`.

/// More hosts than any blueprint may have.
pub(crate) const MAX_HOSTS: usize = 10_000;

/// The names that a pattern stands for, in order.
///
/// # Errors
/// A message when a range is malformed, runs backwards, or stands for too many names.
pub(crate) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some(open) = rest.find(['{', '}']) {
        let close = rest[open..].find('}').map(|at| open + at);
        let (Some('{'), Some(close)) = (rest[open..].chars().next(), close) else {
            return Err("a brace without its partner".to_owned());
        };
        let numbers = range(&rest[open + 1..close])?;
        let prefix = &rest[..open];
        if names.len().saturating_mul(numbers.len()) > MAX_HOSTS {
            return Err(format!("the ranges stand for more than {MAX_HOSTS} hosts"));
        }
        names = names
            .iter()
            .flat_map(|name| numbers.iter().map(move |number| format!("{name}{prefix}{number}")))
            .collect();
        rest = &rest[close + 1..];
    }
    names.iter_mut().for_each(|name| name.push_str(rest));
    Ok(names)
}

/// The numbers of `1..3`, or of `01..10` with leading zeros.
fn range(text: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("expected a range such as `{{1..3}}`, found `{{{text}}}`");
    let (first, last) = text.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str| {
        let digits =
            !text.is_empty() && text.len() <= 9 && text.bytes().all(|c| c.is_ascii_digit());
        digits.then(|| text.parse::<usize>().ok()).flatten()
    };
    let (from, to) = (number(first).ok_or_else(wrong)?, number(last).ok_or_else(wrong)?);
    if from > to {
        return Err(format!("the range `{{{text}}}` runs backwards"));
    }
    if to - from >= MAX_HOSTS {
        return Err(format!("the ranges stand for more than {MAX_HOSTS} hosts"));
    }
    let width = if first.starts_with('0') || last.starts_with('0') { first.len() } else { 0 };
    Ok((from..=to).map(|n| format!("{n:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(expand("node1"), Ok(vec!["node1".to_owned()]));
        assert_eq!(expand("w{1..3}").unwrap(), ["w1", "w2", "w3"]);
        assert_eq!(
            expand("r{1..2}-n{09..10}b").unwrap(),
            ["r1-n09b", "r1-n10b", "r2-n09b", "r2-n10b"]
        );
        assert_eq!(expand("n{0..2}").unwrap(), ["n0", "n1", "n2"]);
    }

    #[test]
    fn wrong_ranges() {
        for wrong in [
            "w{1..",
            "w}1..2{",
            "w{}",
            "w{1}",
            "w{a..b}",
            "w{3..1}",
            "w{1..10001}",
            "{1..200}{1..200}",
            "w{1..2}}",
        ] {
            assert!(expand(wrong).is_err(), "{wrong}");
        }
    }
}
