//! Log frames.

use omnifs_sdk::{Error, Result};

/// The frames of one stream, or of all: a stream number in 4 bytes, a length in 4 (big-endian), the
/// payload. A terminal's log has no frames and only one stream: it begins with a time, and so with a
/// digit, where a frame begins with 0 to 3. Works in place, for logs are large.
pub fn select(mut log: Vec<u8>, leaf: &str) -> Result<Vec<u8>> {
    if log.first().is_none_or(u8::is_ascii_digit) {
        return Ok(if leaf == "stderr.log" { Vec::new() } else { log });
    }
    let half = || Error::Unavailable("engine: the log ends in the middle of a frame".to_owned());
    let (mut at, mut end) = (0, 0);
    while at < log.len() {
        let &[stream, _, _, _, a, b, c, d] = log[at..].first_chunk().ok_or_else(half)?;
        let start = at + 8;
        at = start + u32::from_be_bytes([a, b, c, d]) as usize;
        let payload = log.get(start..at).ok_or_else(half)?;
        match (stream, leaf) {
            (3, _) => {
                let message = String::from_utf8_lossy(payload);
                return Err(Error::Unavailable(format!("engine: {}", message.trim_end())));
            }
            (_, "logs") | (0 | 1, "stdout.log") | (2, "stderr.log") => {
                log.copy_within(start..at, end);
                end += at - start;
            }
            _ => {}
        }
    }
    log.truncate(end);
    Ok(log)
}
