//! Packet lines: four hexadecimal digits with the length of the whole line, and so much content.

use crate::{Error, Result};
use std::ops::Range;

/// The longest line with its length, as git reads them.
const LONGEST: usize = 65_520;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Where its content is, which may be empty.
    Data(Range<usize>),
    Delimiter,
    Flush,
}

/// The line that begins at `at`, which moves behind it.
pub(crate) fn next(bytes: &[u8], at: &mut usize) -> Result<Line> {
    const SHORT: Error = Error::Damaged("the answer ends within a line");
    let head = bytes.get(*at..*at + 4).ok_or(SHORT)?;
    let digit =
        |length: usize, byte: &u8| Some(length << 4 | char::from(*byte).to_digit(16)? as usize);
    let length = head.iter().try_fold(0, digit).ok_or(Error::Damaged("no packet line"))?;
    let start = *at + 4;
    let line = match length {
        0 => Line::Flush,
        1 => Line::Delimiter,
        4..=LONGEST => Line::Data(start..*at + length),
        _ => return Err(Error::Damaged("a packet line of no possible length")),
    };
    *at = match &line {
        Line::Data(range) if range.end > bytes.len() => return Err(SHORT),
        Line::Data(range) => range.end,
        _ => start,
    };
    Ok(line)
}

/// The content of a line of text; an error where it says one.
pub(crate) fn text(line: &[u8]) -> Result<&[u8]> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    match line.strip_prefix(b"ERR ") {
        Some(why) => Err(Error::Refused(String::from_utf8_lossy(why).into_owned())),
        None => Ok(line),
    }
}

/// Appends a line of text; `text` is a command or an argument, far below the longest.
pub(crate) fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

pub(crate) const DELIMITER: &[u8] = b"0001";
pub(crate) const FLUSH: &[u8] = b"0000";
