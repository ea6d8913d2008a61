//! Where a poll resumes.
//!
//! Updates may become visible a little after the time they carry, so each poll looks back
//! [`OVERLAP`] before the newest one it has seen, and remembers what it saw there.

use omnifs_sdk::{Position, time};
use serde::{Deserialize, Serialize};

/// Milliseconds.
const OVERLAP: u64 = 10_000;

/// Changes remembered, of 11 bytes at most: the host keeps cursors of 4 KiB. What is forgotten is
/// told twice, which does no harm.
const REMEMBERED: usize = 300;

/// How far back the first poll looks where nobody knows when the first answer was given, as Linear
/// reads a duration. A scope is polled as soon as its first answer is there, and an answer takes two
/// minutes at most.
const RECENTLY: &str = "-PT5M";

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Cursor {
    /// The newest change seen, in milliseconds since the Unix epoch.
    pub mark: u64,
    /// Hashes of the changes seen in the time of the overlap.
    seen: Vec<u32>,
    /// Issues there were in all teams, archived ones too, where they could be counted.
    pub issues: Option<u64>,
    /// A hash of the teams and their keys.
    pub teams: Option<u32>,
    /// When the last recheck was, in seconds since the Unix epoch.
    pub checked: u64,
}

/// A change as a poll tells it: an object and the time of its last update.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    hash: u32,
    pub at: u64,
}

impl Seen {
    pub fn new(id: &str, at: u64) -> Self {
        Seen { hash: hash(&format!("{id}@{at}")), at }
    }
}

impl Cursor {
    /// One that has seen nothing, at this time in milliseconds.
    pub fn at(mark: u64) -> Self {
        Cursor { mark, ..Cursor::default() }
    }

    /// The cursor that the position holds. One that cannot be read counts as none.
    pub fn of(position: &Position) -> Option<Cursor> {
        serde_json::from_str(position.cursor.as_deref()?).ok()
    }

    /// What a filter asks for: newer than this.
    pub fn since(cursor: Option<&Cursor>, position: &Position) -> String {
        match (cursor, position.since) {
            (Some(cursor), _) => rfc3339(cursor.mark.saturating_sub(OVERLAP)),
            (None, 0) => RECENTLY.to_owned(),
            (None, since) => rfc3339((since * 1000).saturating_sub(OVERLAP)),
        }
    }

    pub fn knows(&self, seen: Seen) -> bool {
        self.seen.contains(&seen.hash)
    }

    /// Moves the mark to the newest of `seen` and keeps those that the next poll will see again.
    pub fn remember(&mut self, mut seen: Vec<Seen>) {
        seen.sort_by_key(|seen| std::cmp::Reverse(seen.at));
        self.mark = seen.first().map_or(self.mark, |newest| newest.at.max(self.mark));
        let from = self.mark.saturating_sub(OVERLAP);
        let again = seen.iter().filter(|seen| seen.at >= from).take(REMEMBERED);
        self.seen = again.map(|seen| seen.hash).collect();
    }

    pub fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }
}

/// FNV-1a, 32 bits. Two changes with one hash within ten seconds: one in millions of polls, and the
/// next recheck finds what it hid.
pub fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// `2026-01-05T09:00:00.000Z`. Days are counted in years that begin in March, as in
/// [`omnifs_sdk::time`].
fn rfc3339(ms: u64) -> String {
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (year + cycle * 400 + month / 10, (month + 2) % 12 + 1);
    let (h, m, s) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", in_day % 1000)
}

/// The later of two times as Linear writes them, in milliseconds; 0 where there is none.
pub fn latest(a: &str, b: Option<&str>) -> u64 {
    let ms = |text| time::rfc3339_ms(text).unwrap_or(0);
    ms(a).max(b.map_or(0, ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in [
            "1970-01-01T00:00:00.000Z",
            "1999-12-31T23:59:59.999Z",
            "2000-02-29T12:00:00.001Z",
            "2024-02-29T00:00:00.000Z",
            "2024-12-31T00:00:00.000Z",
            "2026-01-05T09:07:03.250Z",
            "2100-03-01T00:00:00.000Z",
        ] {
            assert_eq!(rfc3339(time::rfc3339_ms(text).unwrap()), text);
        }
        for day in 0..60_000 {
            let ms = day * 86_400_000;
            assert_eq!(time::rfc3339_ms(&rfc3339(ms)), Some(ms));
        }
    }

    #[test]
    fn what_was_seen_in_the_overlap_is_known_and_what_is_older_is_forgotten() {
        let mut cursor = Cursor::default();
        let (old, new) = (Seen::new("a", 80_000), Seen::new("b", 100_000));
        cursor.remember(vec![old, new]);
        assert_eq!(cursor.mark, 100_000);
        assert!(cursor.knows(new) && !cursor.knows(old));
        assert!(!cursor.knows(Seen::new("b", 100_001)), "a later update of the same object");
        cursor.remember(Vec::new());
        assert_eq!(cursor.mark, 100_000, "the mark never moves back");
    }

    #[test]
    fn a_cursor_stays_within_what_the_host_keeps() {
        let mut cursor =
            Cursor { issues: Some(u64::MAX), teams: Some(u32::MAX), ..Cursor::default() };
        let burst = (0..5_000).map(|n| Seen::new(&n.to_string(), 1_900_000_000_000)).collect();
        cursor.remember(burst);
        let text = cursor.text().unwrap();
        assert!(text.len() <= 4096, "{}", text.len());
        let position = Position { cursor: Some(text), ..Position::default() };
        assert_eq!(Cursor::of(&position).unwrap().mark, cursor.mark);
    }
}
