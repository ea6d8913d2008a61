//! What has come of a growing content: the end in memory, the rest in files without a name.
//!
//! Positions count from the first byte that ever came. The oldest are dropped, a file at a time, once
//! there are more than the bound.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

/// Bytes at the end that are held in memory.
const TAIL: usize = 256 << 10;
/// Bytes of one file.
const SEGMENT: u64 = 64 << 20;
/// How far the beginning of a line is looked for.
const FAR: u64 = 1 << 20;

#[derive(Debug, Default)]
pub struct Spool {
    segments: VecDeque<Segment>,
    /// Follows the last segment.
    tail: Vec<u8>,
    /// Of the tail's first byte.
    tail_at: u64,
    /// Of the first byte that is there.
    base: u64,
    /// Bytes, the tail included.
    bound: u64,
}

#[derive(Debug)]
struct Segment {
    file: File,
    at: u64,
    bytes: u64,
}

impl Spool {
    /// `bound` in bytes.
    pub fn new(bound: u64) -> Spool {
        Spool { bound: bound.max(2 * SEGMENT), ..Spool::default() }
    }

    /// The position after the last byte.
    pub fn end(&self) -> u64 {
        self.tail_at + self.tail.len() as u64
    }

    /// The position of the first byte that is there. It begins a line.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// # Errors
    /// No file can be made or written: how many of the bytes were appended, and why no more.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut left = bytes;
        while self.tail.len() + left.len() > TAIL {
            let room = TAIL - self.tail.len();
            let (now, later) = left.split_at(room);
            self.tail.extend_from_slice(now);
            if let Err(error) = self.spill() {
                self.tail.truncate(self.tail.len() - now.len());
                return Err((bytes.len() - left.len(), error));
            }
            left = later;
        }
        self.tail.extend_from_slice(left);
        self.trim().map_err(|error| (bytes.len(), error))
    }

    /// Moves the tail into a file.
    fn spill(&mut self) -> io::Result<()> {
        if self.segments.back().is_none_or(|last| last.bytes >= SEGMENT) {
            let file = tempfile::tempfile()?;
            self.segments.push_back(Segment { file, at: self.tail_at, bytes: 0 });
        }
        let Some(last) = self.segments.back_mut() else { return Ok(()) };
        write_at(&last.file, &self.tail, last.bytes)?;
        last.bytes += self.tail.len() as u64;
        self.tail_at += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    fn trim(&mut self) -> io::Result<()> {
        while self.end() - self.first() > self.bound && self.segments.len() > 1 {
            self.segments.pop_front();
            self.base = self.line_after(self.first())?;
        }
        Ok(())
    }

    fn first(&self) -> u64 {
        self.segments.front().map_or(self.tail_at, |first| first.at)
    }

    /// The beginning of the first line that begins after this position, or the position itself where
    /// that line is far.
    fn line_after(&self, from: u64) -> io::Result<u64> {
        let mut at = from;
        loop {
            if at - from >= FAR {
                return Ok(from);
            }
            let bytes = self.read(at, 64 << 10)?;
            if bytes.is_empty() {
                return Ok(at);
            }
            if let Some(end) = memchr::memchr(b'\n', &bytes) {
                return Ok(at + end as u64 + 1);
            }
            at += bytes.len() as u64;
        }
    }

    /// Up to `size` bytes at a position, fewer only at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] for what has been dropped.
    pub fn read(&self, position: u64, size: usize) -> io::Result<Vec<u8>> {
        if position < self.first() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut read = Vec::new();
        let mut at = position;
        for segment in &self.segments {
            let end = segment.at + segment.bytes;
            if at >= end || read.len() == size {
                continue;
            }
            // Both are at most `size`.
            let part = (size - read.len()).min((end - at) as usize);
            let from = read.len();
            read.resize(from + part, 0);
            read_at(&segment.file, &mut read[from..], at - segment.at)?;
            at += part as u64;
        }
        if read.len() < size && at >= self.tail_at {
            let start = usize::try_from(at - self.tail_at).unwrap_or(usize::MAX);
            let start = start.min(self.tail.len());
            let end = self.tail.len().min(start + size - read.len());
            read.extend_from_slice(&self.tail[start..end]);
        }
        Ok(read)
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        done += std::os::windows::fs::FileExt::seek_write(file, &bytes[done..], at + done as u64)?;
    }
    Ok(())
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let read =
            std::os::windows::fs::FileExt::seek_read(file, &mut bytes[done..], at + done as u64)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += read;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_appended_is_read_back_wherever_it_lies() {
        let mut spool = Spool::new(1 << 40);
        let line = |number: u64| format!("{number:015}\n");
        for number in 0..100_000u64 {
            spool.append(line(number).as_bytes()).expect("a file");
        }
        assert_eq!(spool.end(), 1_600_000);
        for number in [0, 1, 16_383, 16_384, 50_000, 99_999] {
            assert_eq!(spool.read(number * 16, 16).expect("there"), line(number).as_bytes());
        }
        assert_eq!(spool.read(0, 2 << 20).expect("there").len(), 1_600_000);
        assert_eq!(spool.read(1_599_990, 100).expect("there").len(), 10);
        assert!(spool.read(1_600_000, 100).expect("the end").is_empty());
    }

    #[test]
    fn beyond_its_bound_it_begins_at_a_later_line() {
        let mut spool = Spool::new(0);
        let lines: String = (0..10_000).map(|number| format!("{number:099}\n")).collect();
        for _ in 0..300 {
            spool.append(lines.as_bytes()).expect("a file");
        }
        assert_eq!(spool.end(), 300_000_000);
        assert!(spool.base() > 0 && spool.end() - spool.base() <= 2 * SEGMENT);
        assert_eq!(spool.base() % 100, 0, "a line begins there");
        assert_eq!(spool.read(0, 1).expect_err("dropped").kind(), io::ErrorKind::NotFound);
    }
}
