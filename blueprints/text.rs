//! From the bytes of a file to a text that is worth parsing.

use crate::diagnostic::Problem;
use crate::tree::Span;

/// The largest file that is read. A blueprint of a thousand hosts has a tenth of it.
pub const MAX_BYTES: usize = 1 << 20;

/// The bytes as text.
///
/// # Errors
/// The problem, and the part of the text before it that can be shown.
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, (Problem, &str)> {
    let refuse = |message: String| Err((Problem::error(Span::default(), message), ""));
    if bytes.len() > MAX_BYTES {
        return refuse(format!("the file has {} bytes, more than 1 MiB", bytes.len()));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return refuse("the file is UTF-16; save it as UTF-8".to_owned());
    }
    let (text, bad) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let (good, _) = bytes.split_at(error.valid_up_to());
            (std::str::from_utf8(good).unwrap_or_default(), Some(error.valid_up_to()))
        }
    };
    if let Some(at) = text.find('\0') {
        let message = format!("byte {at} is NUL; this is no text file");
        return Err((Problem::error(Span { start: at, end: at + 1 }, message), text));
    }
    match bad {
        Some(at) => {
            let message = format!("byte {at} is not UTF-8");
            Err((Problem::error(Span { start: at, end: at }, message), text))
        }
        None => Ok(text),
    }
}
