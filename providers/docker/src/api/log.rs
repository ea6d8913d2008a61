//! Log lines, out of what the engine sends.
//!
//! A log comes in frames: a stream number in 4 bytes, a length in 4 (big-endian), the payload, which
//! begins with a time stamp. The engine cuts a long line into several frames, each with the stamp of
//! the line, and frames of the other stream may come in between. A terminal's log has no frames, but
//! the same pieces.

use omnifs_sdk::{Error, Result};

/// What a file shows of a log.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Bit N stands for stream N.
    streams: u8,
    /// Bytes of a line in one frame. One that has as many goes on in the next frame of its stream.
    piece: usize,
    /// Bytes of the other stream that wait for the end of such a line. Then it is broken.
    room: usize,
}

const OUT: u8 = 1 << 1;
const ERR: u8 = 1 << 2;

impl Rule {
    fn of(leaf: &str) -> Rule {
        let streams = match leaf {
            "stdout.log" => OUT,
            "stderr.log" => ERR,
            _ => OUT | ERR,
        };
        Rule { streams, piece: 16 << 10, room: 64 << 10 }
    }

    fn shows(self, stream: u8) -> bool {
        self.streams & (1 << stream) != 0
    }
}

/// The lines of `log` that `leaf` shows, each with one time stamp. Works in place, for logs are
/// large.
pub fn select(log: Vec<u8>, leaf: &str) -> Result<Vec<u8>> {
    let rule = Rule::of(leaf);
    // A terminal's log begins with a time, and so with a digit, where a frame begins with 0 to 3.
    match log.first().is_none_or(u8::is_ascii_digit) {
        true if rule.shows(1) => Ok(of_terminal(log, rule)),
        true => Ok(Vec::new()),
        false => of_frames(log, rule),
    }
}

/// `2026-01-02T03:04:05.678901234Z ` at the beginning of `piece`, or nothing.
fn stamp(piece: &[u8]) -> &[u8] {
    const LENGTHS: std::ops::RangeInclusive<usize> = 21..=36;
    let digits = |byte: &u8| byte.is_ascii_digit() || b"-T:.Z+".contains(byte);
    let length = piece.iter().take_while(|byte| digits(byte)).count() + 1;
    match piece.get(..length) {
        Some(stamp) if LENGTHS.contains(&length) && stamp.ends_with(b" ") => stamp,
        _ => b"",
    }
}

fn of_terminal(mut log: Vec<u8>, rule: Rule) -> Vec<u8> {
    let (mut at, mut end) = (0, 0);
    let (mut line, mut cut) = (Vec::new(), false);
    while at < log.len() {
        let stamp = stamp(&log[at..]);
        let piece = &log[at + stamp.len()..];
        let piece = &piece[..piece.len().min(rule.piece)];
        let newline = piece.iter().position(|byte| *byte == b'\n');
        let next = at + stamp.len() + newline.map_or(piece.len(), |newline| newline + 1);
        if cut && *stamp == *line {
            at += stamp.len();
        } else {
            line = stamp.to_vec();
        }
        cut = newline.is_none() && piece.len() == rule.piece;
        log.copy_within(at..next, end);
        end += next - at;
        at = next;
    }
    log.truncate(end);
    log
}

fn of_frames(log: Vec<u8>, rule: Rule) -> Result<Vec<u8>> {
    let half = || Error::Unavailable("engine: the log ends in the middle of a frame".to_owned());
    let mut lines = Lines { rule, text: log, end: 0, last: None, waiting: Vec::new(), waits: 0 };
    let mut at = 0;
    while at < lines.text.len() {
        let &[stream, _, _, _, a, b, c, d] = lines.text[at..].first_chunk().ok_or_else(half)?;
        let start = at + 8;
        at = start + u32::from_be_bytes([a, b, c, d]) as usize;
        let payload = lines.text.get(start..at).ok_or_else(half)?;
        match stream {
            3 => {
                let message = String::from_utf8_lossy(payload);
                return Err(Error::Unavailable(format!("engine: {}", message.trim_end())));
            }
            stream if rule.shows(stream.max(1)) => lines.frame(stream.max(1), payload.to_vec()),
            _ => {}
        }
    }
    Ok(lines.finish())
}

/// Lines in the making, at the beginning of the text that they are made of: what a frame becomes is
/// never longer than the frame.
struct Lines {
    rule: Rule,
    text: Vec<u8>,
    /// The length of what is made.
    end: usize,
    /// The last line of it, where that has no end yet.
    last: Option<Unfinished>,
    /// Frames of the other stream, and their length.
    waiting: Vec<(u8, Vec<u8>)>,
    waits: usize,
}

struct Unfinished {
    stream: u8,
    stamp: Vec<u8>,
    /// The engine cut it here, so more is to come.
    cut: bool,
}

impl Lines {
    fn frame(&mut self, stream: u8, payload: Vec<u8>) {
        let cut = self.last.as_ref().is_some_and(|last| last.cut && last.stream != stream);
        if cut && self.waits + payload.len() <= self.rule.room {
            self.waits += payload.len();
            self.waiting.push((stream, payload));
            return;
        }
        if cut {
            self.let_in();
        }
        self.append(stream, &payload);
        if self.last.as_ref().is_none_or(|last| !last.cut) {
            self.let_in();
        }
    }

    /// Those that waited belong to one stream, and so none of them has to wait for another.
    fn let_in(&mut self) {
        self.waits = 0;
        for (stream, payload) in std::mem::take(&mut self.waiting) {
            self.append(stream, &payload);
        }
    }

    fn append(&mut self, stream: u8, payload: &[u8]) {
        let stamp = stamp(payload);
        let text = &payload[stamp.len()..];
        // Podman stamps each piece with its own second, and cuts lines wherever it was when it looked.
        let goes_on = |last: &Unfinished| {
            last.stream == stream && (last.stamp == stamp || !stamp.contains(&b'.'))
        };
        match &self.last {
            Some(last) if goes_on(last) => self.put(text),
            // The engine's driver `local` drops the end of a line that it cut.
            Some(_) => {
                self.put(b"\n");
                self.put(payload);
            }
            None => self.put(payload),
        }
        let cut = text.len() == self.rule.piece;
        let unfinished = Unfinished { stream, stamp: stamp.to_vec(), cut };
        self.last = (!payload.ends_with(b"\n")).then_some(unfinished);
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        self.text[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    fn finish(mut self) -> Vec<u8> {
        self.let_in();
        self.text.truncate(self.end);
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-26T22:15:18.384761740Z ";
    const LATER: &str = "2026-11-26T22:15:18.395269330Z ";

    fn frame(stream: u8, payload: &str) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], payload.as_bytes()].concat()
    }

    /// A line as the engine frames it.
    fn line(stream: u8, stamp: &str, text: &str) -> Vec<Vec<u8>> {
        let pieces = text.as_bytes().chunks(16 << 10);
        let text = |piece| std::str::from_utf8(piece).unwrap();
        pieces.map(|piece| frame(stream, &format!("{stamp}{}", text(piece)))).collect()
    }

    fn shown(frames: &[Vec<u8>], leaf: &str) -> String {
        String::from_utf8(select(frames.concat(), leaf).unwrap()).unwrap()
    }

    #[test]
    fn a_line_has_one_time_stamp_however_long_it_is() {
        for length in [0, 1, 16_383, 16_384, 16_385, 32_767, 32_768, 40_000, 1_000_000] {
            let text = format!("{}\n", "x".repeat(length));
            let framed = [line(1, TIME, &text), line(1, LATER, "next\n")].concat();
            let expected = format!("{TIME}{text}{LATER}next\n");
            assert_eq!(shown(&framed, "logs"), expected, "{length} bytes");
            assert_eq!(shown(&framed, "stdout.log"), expected, "{length} bytes");
            assert_eq!(shown(&framed, "stderr.log"), "", "{length} bytes");
            // A terminal's log is the payloads alone.
            let raw: Vec<Vec<u8>> = framed.iter().map(|frame| frame[8..].to_vec()).collect();
            assert_eq!(shown(&raw, "stdout.log"), expected, "{length} bytes on a terminal");
        }
    }

    #[test]
    fn lines_of_one_time_stay_lines() {
        let frames = [frame(1, &format!("{TIME}a\n")), frame(1, &format!("{TIME}b\n"))];
        assert_eq!(shown(&frames, "logs"), format!("{TIME}a\n{TIME}b\n"));
        let raw = format!("{TIME}a\n{TIME}{TIME}b\n{TIME}");
        assert_eq!(select(raw.clone().into_bytes(), "logs").unwrap(), raw.as_bytes());
    }

    #[test]
    fn a_long_line_is_not_cut_by_the_other_stream() {
        let (out, err) = (format!("{}\n", "o".repeat(40_000)), format!("{}\n", "e".repeat(40_000)));
        let (o, e) = (line(1, TIME, &out), line(2, LATER, &err));
        let woven: Vec<Vec<u8>> =
            [&e[0], &o[0], &o[1], &e[1], &e[2], &o[2]].into_iter().cloned().collect();
        assert_eq!(shown(&woven, "logs"), format!("{LATER}{err}{TIME}{out}"));
        assert_eq!(shown(&woven, "stdout.log"), format!("{TIME}{out}"));
        assert_eq!(shown(&woven, "stderr.log"), format!("{LATER}{err}"));
    }

    #[test]
    fn a_line_without_end_keeps_the_other_stream_waiting_for_so_long_and_no_longer() {
        let mut frames = vec![frame(1, &format!("{TIME}{}", "x".repeat(16 << 10)))];
        frames.extend((0..3000).map(|n| frame(2, &format!("{LATER}error {n}\n"))));
        frames.push(frame(1, &format!("{TIME}tail\n")));
        let shown = shown(&frames, "logs");
        let errors = shown.lines().filter_map(|line| line.strip_prefix(LATER));
        let expected: Vec<String> = (0..3000).map(|n| format!("error {n}")).collect();
        assert_eq!(errors.collect::<Vec<_>>(), expected);
        assert!(shown.ends_with(&format!("{TIME}tail\n")) && shown.lines().count() == 3002);
    }

    #[test]
    fn a_line_that_lost_its_end_does_not_run_into_the_next() {
        let frames = [frame(1, &format!("{TIME}no end")), frame(1, &format!("{LATER}next\n"))];
        assert_eq!(shown(&frames, "logs"), format!("{TIME}no end\n{LATER}next\n"));
        let whole = [line(1, TIME, &"x".repeat(20_000)), line(2, LATER, "error\n")].concat();
        assert_eq!(shown(&whole, "logs").lines().count(), 2);
        assert_eq!(shown(&whole[..2], "logs"), format!("{TIME}{}", "x".repeat(20_000)));
    }

    #[test]
    fn pieces_of_whole_seconds_are_one_line() {
        let (first, second) = ("2026-11-26T22:21:31Z ", "2026-11-26T22:21:33+01:00 ");
        let pieces = [format!("{first}abc"), format!("{second}def"), format!("{second}\n")];
        let mut frames: Vec<Vec<u8>> = pieces.iter().map(|piece| frame(1, piece)).collect();
        frames.push(frame(1, &format!("{second}next\n")));
        assert_eq!(shown(&frames, "logs"), format!("{first}abcdef\n{second}next\n"));
    }

    #[test]
    fn what_has_no_time_stamp_is_shown_as_it_stands() {
        let frames = [frame(2, "12 a\n"), frame(2, "b"), frame(2, "c\n"), frame(0, "")];
        assert_eq!(shown(&frames, "logs"), "12 a\nbc\n");
        assert_eq!(select(b"12 a\n1".to_vec(), "logs").unwrap(), b"12 a\n1");
    }
}
