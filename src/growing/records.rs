//! From the bytes of a stream to those of a file: frames are taken apart, one line has one time, and
//! what a service says twice is shown once.
//!
//! Engines cut a long line into records of one time each, tell both streams of a process in turns, read a
//! log that was rotated again from somewhere before, and go on after a reconnection with the record that
//! was last. See `wit/types.wit` for what a provider says of a stream.

use crate::provider::{Frames, Framing, Growing, TimeForm};
use jiff::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// Bytes of one frame, and of a line without frames. Engines cut at 16 KiB.
const RECORD_MAX: usize = 1 << 20;

/// Records that are remembered to know them again, and bytes that wait for the end of another's line.
const REMEMBERED: usize = 8192;
const WAITING_MAX: usize = 1 << 20;
/// What a record that waits takes beside its bytes.
const WAITING_EACH: usize = 32;

/// The stream cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The service's own words.
    Said(String),
    Unreadable(String),
}

/// What has been shown of one stream of a process.
#[derive(Debug, Default)]
struct Line {
    /// Its last record did not end in a newline.
    unfinished: bool,
    stamp: Option<Stamp>,
}

/// A record's time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    text: Box<[u8]>,
    at: Timestamp,
    /// It has whole seconds, and so may be that of many records.
    coarse: bool,
}

#[derive(Debug)]
enum Input {
    /// Nothing has come on this connection.
    Unknown,
    Framed(Frames),
    /// Lines of this stream.
    Lines(u8),
    Bytes,
}

/// Reads one stream over all its connections.
#[derive(Debug)]
pub struct Records {
    stream: Growing,
    input: Input,
    /// What has come and is no whole record yet.
    pending: Vec<u8>,
    lines: HashMap<u8, Line>,
    /// The stream whose line is unfinished at the end of what was shown.
    at_end: Option<u8>,
    /// Records of other streams behind it.
    waiting: VecDeque<(u8, Vec<u8>)>,
    waiting_bytes: usize,
    /// The time of the last record, and how many records of each stream have it.
    newest: Option<Stamp>,
    at_newest: HashMap<u8, u32>,
    /// After a reconnection: how many of those will come again.
    again: HashMap<u8, u32>,
    seen: Seen,
    /// Without times: bytes shown, and how many of them will come again.
    shown: u64,
    skip: u64,
}

/// Digests of the last records.
#[derive(Debug, Default)]
struct Seen {
    keys: RandomState,
    order: VecDeque<u64>,
    counts: HashMap<u64, u32>,
}

impl Seen {
    fn digest(&self, number: u8, record: &[u8]) -> u64 {
        self.keys.hash_one((number, record))
    }

    fn add(&mut self, number: u8, record: &[u8]) {
        let digest = self.digest(number, record);
        self.order.push_back(digest);
        *self.counts.entry(digest).or_default() += 1;
        if self.order.len() > REMEMBERED
            && let Some(old) = self.order.pop_front()
            && let Some(count) = self.counts.get_mut(&old)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&old);
            }
        }
    }

    fn holds(&self, number: u8, record: &[u8]) -> bool {
        self.counts.contains_key(&self.digest(number, record))
    }
}

impl Records {
    pub fn new(stream: &Growing) -> Records {
        Records {
            stream: stream.clone(),
            input: Input::Unknown,
            pending: Vec::new(),
            lines: HashMap::new(),
            at_end: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            newest: None,
            at_newest: HashMap::new(),
            again: HashMap::new(),
            seen: Seen::default(),
            shown: 0,
            skip: 0,
        }
    }

    /// Another connection begins.
    pub fn reconnected(&mut self) {
        self.input = Input::Unknown;
        self.pending.clear();
        self.again = self.at_newest.clone();
        self.skip = if self.resumes() { 0 } else { self.shown };
    }

    /// Where the next connection is to begin, as the stream's service reads a time.
    pub fn since(&self) -> Option<String> {
        let at = self.newest.as_ref().filter(|_| self.resumes())?.at;
        Some(match self.stream.since.as_ref()?.form {
            TimeForm::Seconds => format!("{}.{:09}", at.as_second(), at.subsec_nanosecond()),
            TimeForm::Rfc3339 => at.to_string(),
        })
    }

    fn resumes(&self) -> bool {
        self.stream.timed && self.stream.since.is_some()
    }

    /// The time of the last record.
    pub fn newest(&self) -> Option<Timestamp> {
        self.newest.as_ref().map(|stamp| stamp.at)
    }

    /// What these bytes add to the file.
    ///
    /// # Errors
    /// What came before the fault is in `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if let Input::Unknown = self.input {
            let Some(first) = chunk.first() else { return Ok(()) };
            self.input = self.input_of(*first);
        }
        if let Input::Bytes = self.input {
            let skip = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
            self.skip -= skip as u64;
            self.shown += (chunk.len() - skip) as u64;
            out.extend_from_slice(&chunk[skip..]);
            return Ok(());
        }
        self.pending.extend_from_slice(chunk);
        let pending = std::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        let mut result = Ok(());
        while result.is_ok() {
            match self.next(&mut rest) {
                Ok(Some((number, record))) => result = self.record(number, record, out),
                Ok(None) => break,
                Err(broken) => result = Err(broken),
            }
        }
        self.pending = rest.to_vec();
        result
    }

    fn input_of(&self, first: u8) -> Input {
        match &self.stream.framing {
            Framing::Plain if self.stream.timed => Input::Lines(0),
            Framing::Plain => Input::Bytes,
            Framing::Frames(frames) => {
                // A frame begins with its stream's number wherever that is first in its header.
                let known = frames.number_at > 0
                    || frames.shown.contains(&first)
                    || frames.hidden.contains(&first)
                    || frames.error == Some(first);
                if known { Input::Framed(frames.clone()) } else { Input::Lines(frames.unframed) }
            }
        }
    }

    /// Takes a whole record from the front.
    fn next<'a>(&self, rest: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>, Broken> {
        match &self.input {
            Input::Framed(frames) => {
                let Some(header) = rest.get(..frames.header) else { return Ok(None) };
                // The header holds both, as the host has checked.
                let length = &header[frames.length_at..frames.length_at + 4];
                let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                if length > RECORD_MAX {
                    let why = format!("a frame of {length} bytes is longer than {RECORD_MAX}");
                    return Err(Broken::Unreadable(why));
                }
                let end = frames.header + length;
                let Some(payload) = rest.get(frames.header..end) else { return Ok(None) };
                *rest = &rest[end..];
                Ok(Some((header[frames.number_at], payload)))
            }
            Input::Lines(number) => {
                let end = match memchr::memchr(b'\n', rest) {
                    Some(end) => end + 1,
                    None if rest.len() >= RECORD_MAX => rest.len(),
                    None => return Ok(None),
                };
                let (line, after) = rest.split_at(end);
                *rest = after;
                Ok(Some((*number, line)))
            }
            Input::Unknown | Input::Bytes => Ok(None),
        }
    }

    fn record(&mut self, number: u8, record: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if let Framing::Frames(frames) = &self.stream.framing {
            if frames.error == Some(number) {
                let text = String::from_utf8_lossy(record);
                return Err(Broken::Said(text.trim_end().to_owned()));
            }
            if !frames.shown.contains(&number) {
                return Ok(());
            }
        }
        if self.at_end.is_some_and(|at_end| at_end != number) {
            self.waiting_bytes += record.len() + WAITING_EACH;
            self.waiting.push_back((number, record.to_vec()));
            if self.waiting_bytes > WAITING_MAX {
                self.settle(out);
            }
            return Ok(());
        }
        self.show(number, record, out);
        self.show_waiting(out);
        Ok(())
    }

    fn show_waiting(&mut self, out: &mut Vec<u8>) {
        while let Some((number, _)) = self.waiting.front() {
            if self.at_end.is_some_and(|at_end| at_end != *number) {
                return;
            }
            if let Some((number, record)) = self.waiting.pop_front() {
                self.waiting_bytes -= record.len() + WAITING_EACH;
                self.show(number, &record, out);
            }
        }
    }

    /// Nothing more comes for now: what waits for the end of a line is shown.
    pub fn settle(&mut self, out: &mut Vec<u8>) {
        if let Input::Lines(number) = self.input
            && !self.pending.is_empty()
        {
            let begun = std::mem::take(&mut self.pending);
            self.show(number, &begun, out);
        }
        while !self.waiting.is_empty() {
            self.at_end = None;
            out.push(b'\n');
            self.show_waiting(out);
        }
    }

    fn show(&mut self, number: u8, record: &[u8], out: &mut Vec<u8>) {
        let (stamp, text) = match self.stream.timed {
            true => split(record),
            false => (None, record),
        };
        let unfinished = self.lines.get(&number).is_some_and(|line| line.unfinished);
        let before = self.lines.get(&number).and_then(|line| line.stamp.clone());
        let goes_on = unfinished
            && match (&stamp, &before) {
                (Some(stamp), Some(before)) => *stamp == *before || stamp.coarse && before.coarse,
                _ => true,
            };
        if let Some(stamp) = &stamp
            && self.is_repeated(number, stamp, record, goes_on)
        {
            return;
        }
        let begin = out.len();
        if goes_on {
            self.put(text, before.as_ref(), out);
        } else {
            if unfinished {
                // An engine that drops the end of a long line drops its newline too.
                out.push(b'\n');
            }
            self.put(record, stamp.as_ref(), out);
        }
        self.shown += (out.len() - begin) as u64;
        let unfinished = !text.ends_with(b"\n");
        self.at_end = unfinished.then_some(number);
        let line = self.lines.entry(number).or_default();
        line.unfinished = unfinished;
        if !goes_on {
            line.stamp = stamp;
        }
    }

    /// A record's bytes. In a long line without frames the engine's time stands again at each cut.
    fn put(&self, record: &[u8], stamp: Option<&Stamp>, out: &mut Vec<u8>) {
        let (Input::Lines(_), Some(stamp)) = (&self.input, stamp) else {
            return out.extend_from_slice(record);
        };
        let again = [&stamp.text[..], b" "].concat();
        let own = if record.starts_with(&again) { again.len() } else { 0 };
        out.extend_from_slice(&record[..own]);
        let mut rest = &record[own..];
        while let Some(at) = memchr::memmem::find(rest, &again) {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at + again.len()..];
        }
        out.extend_from_slice(rest);
    }

    /// Whether this record was shown before. Notes it where it was not.
    fn is_repeated(&mut self, number: u8, stamp: &Stamp, record: &[u8], goes_on: bool) -> bool {
        let newest = self.newest.as_ref().map(|newest| newest.at);
        if newest == Some(stamp.at) {
            if let Some(left) = self.again.get_mut(&number).filter(|left| **left > 0) {
                *left -= 1;
                return true;
            }
            // Times of whole seconds are those of many records.
            if !goes_on && !stamp.coarse && self.seen.holds(number, record) {
                return true;
            }
            *self.at_newest.entry(number).or_default() += 1;
        } else {
            // An older one that was never shown is one of a clock that was set back. After one, what comes
            // again may be newer.
            let older = newest.is_some_and(|newest| stamp.at < newest);
            if (older || !stamp.coarse) && !goes_on && self.seen.holds(number, record) {
                return true;
            }
            self.newest = Some(stamp.clone());
            self.again.clear();
            self.at_newest = HashMap::from([(number, 1)]);
        }
        self.seen.add(number, record);
        false
    }
}

/// A record's time, and what follows it.
fn split(record: &[u8]) -> (Option<Stamp>, &[u8]) {
    let end = memchr::memchr(b' ', &record[..record.len().min(64)]);
    let stamp = end.and_then(|end| {
        let text = std::str::from_utf8(&record[..end]).ok()?;
        let at: Timestamp = text.parse().ok()?;
        Some(Stamp { text: text.as_bytes().into(), at, coarse: !text.contains('.') })
    });
    match (stamp, end) {
        (Some(stamp), Some(end)) => (Some(stamp), &record[end + 1..]),
        _ => (None, record),
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
