//! Cuts a stream into lines, however it is divided into chunks.

use bytes::{Bytes, BytesMut};

/// An event is some kilobytes; a line beyond this is not one, and is skipped without being held.
pub(super) const LINE_CAP: usize = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Without its line end.
    Whole(Bytes),
    /// A line beyond the cap has ended.
    TooLong,
}

#[derive(Debug)]
pub(super) struct Lines {
    cap: usize,
    rest: BytesMut,
    /// Of `rest`, how many bytes are known to hold no line end.
    searched: usize,
    skipping: bool,
}

impl Lines {
    pub fn new(cap: usize) -> Self {
        Lines { cap, rest: BytesMut::new(), searched: 0, skipping: false }
    }

    pub fn push(&mut self, chunk: &[u8]) {
        self.rest.extend_from_slice(chunk);
    }

    /// The next line that is whole. What follows the last line end stays for later.
    pub fn next(&mut self) -> Option<Line> {
        loop {
            let Some(end) = memchr::memchr(b'\n', &self.rest[self.searched..]) else {
                self.searched = self.rest.len();
                if self.skipping || self.rest.len() > self.cap {
                    self.skipping = true;
                    self.rest.clear();
                    self.searched = 0;
                }
                return None;
            };
            let mut line = self.rest.split_to(self.searched + end + 1);
            self.searched = 0;
            line.truncate(line.len() - 1);
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if std::mem::take(&mut self.skipping) || line.len() > self.cap {
                return Some(Line::TooLong);
            }
            // An empty line keeps a connection alive and says nothing.
            if !line.is_empty() {
                return Some(Line::Whole(line.freeze()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<Line> {
        std::iter::from_fn(|| lines.next()).collect()
    }

    #[test]
    fn lines_come_out_whole_however_the_chunks_fall() {
        let stream = b"one\ntwo\r\n\n\r\nthree\nhalf";
        for size in 1..=stream.len() {
            let mut lines = Lines::new(100);
            let mut found = Vec::new();
            for chunk in stream.chunks(size) {
                lines.push(chunk);
                found.extend(all(&mut lines));
            }
            let expected: Vec<_> =
                ["one", "two", "three"].map(|text| Line::Whole(Bytes::from(text))).into();
            assert_eq!(found, expected, "chunks of {size}");
        }
    }

    #[test]
    fn a_line_beyond_the_cap_is_skipped_and_not_held() {
        let mut lines = Lines::new(10);
        for _ in 0..1000 {
            lines.push(&[b'x'; 8]);
            assert_eq!(lines.next(), None);
            assert!(lines.rest.len() <= 18);
        }
        lines.push(b"end\nnext\n");
        assert_eq!(all(&mut lines), [Line::TooLong, Line::Whole(Bytes::from("next"))]);
        lines.push(b"elevenbytes\nok\n");
        assert_eq!(all(&mut lines), [Line::TooLong, Line::Whole(Bytes::from("ok"))]);
    }
}
