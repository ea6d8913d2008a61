//! Messages in a stream of bytes: the record marking of RFC 5531 section 11.

use bytes::{Buf, Bytes, BytesMut};

/// Bytes before each fragment: its length, and in the first bit whether it is the last.
pub(super) const MARK: usize = 4;
const LAST: u32 = 1 << 31;
/// Bytes of a message at most: a WRITE as large as FSINFO says, and its head.
pub(super) const MOST: usize = super::procedures::WRITE_MOST as usize + 4096;

/// The stream cannot be a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// Puts messages together from what arrives. Room is made for bytes that are there, never for what a
/// length promises.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub input: BytesMut,
    /// Fragments of a message so far.
    message: BytesMut,
}

impl Records {
    /// The next message that is complete.
    pub fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        while let Some(mark) = self.input.first_chunk::<MARK>() {
            let mark = u32::from_be_bytes(*mark);
            let (last, length) = (mark & LAST != 0, (mark & !LAST) as usize);
            // An empty fragment says nothing, and could go on for ever.
            if length == 0 || length > MOST - self.message.len() {
                return Err(Broken);
            }
            if self.input.len() < MARK + length {
                return Ok(None);
            }
            self.input.advance(MARK);
            let fragment = self.input.split_to(length);
            if last && self.message.is_empty() {
                return Ok(Some(fragment.freeze()));
            }
            self.message.extend_from_slice(&fragment);
            if last {
                return Ok(Some(self.message.split().freeze()));
            }
        }
        Ok(None)
    }

    /// A message has begun and is not complete.
    pub fn is_within(&self) -> bool {
        !self.input.is_empty() || !self.message.is_empty()
    }
}

/// Marks a reply that has [`MARK`] bytes before it as one whole message.
pub(super) fn mark(reply: &mut [u8]) {
    // A reply is at most a READ's bytes and some attributes.
    let length = reply.len().saturating_sub(MARK) as u32;
    if let Some(first) = reply.first_chunk_mut::<MARK>() {
        *first = (length | LAST).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(last: bool, content: &[u8]) -> Vec<u8> {
        let mark = content.len() as u32 | if last { LAST } else { 0 };
        [&mark.to_be_bytes(), content].concat()
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let stream = [
            fragment(true, b"one"),
            fragment(false, b"t"),
            fragment(false, b"w"),
            fragment(true, b"o"),
            fragment(true, b"three"),
        ]
        .concat();
        for piece in 1..stream.len() {
            let mut records = Records::default();
            let mut found = Vec::new();
            for part in stream.chunks(piece) {
                records.input.extend_from_slice(part);
                while let Some(message) = records.next().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, ["one", "two", "three"].map(Bytes::from), "pieces of {piece}");
            assert!(!records.is_within());
        }
    }

    #[test]
    fn no_length_makes_room_for_what_is_not_there() {
        for (mark, broken) in [
            (LAST | 100, false),
            (LAST | u32::MAX >> 1, true),
            (LAST | (MOST as u32 + 1), true),
            (MOST as u32, false),
            (0, true),
            (LAST, true),
        ] {
            let mut records = Records::default();
            records.input.extend_from_slice(&mark.to_be_bytes());
            assert_eq!(records.next(), if broken { Err(Broken) } else { Ok(None) }, "{mark:#x}");
            assert!(records.input.capacity() < 4096);
        }
        let mut records = Records::default();
        for _ in 0..MOST / 1000 {
            records.input.extend_from_slice(&fragment(false, &[0; 1000]));
            assert_eq!(records.next(), Ok(None));
        }
        records.input.extend_from_slice(&fragment(false, &[0; 1000]));
        assert_eq!(records.next(), Err(Broken));
    }

    #[test]
    fn a_reply_is_marked_as_one_message() {
        let mut reply = b"....reply".to_vec();
        mark(&mut reply);
        assert_eq!(reply, fragment(true, b"reply"));
    }
}
