//! What is kept between two polls, in at most 4 KiB.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How far a listing by `updated_at` has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// As GitHub writes it; such times compare as text.
    pub at: String,
    /// Of the items with that very time.
    pub seen: u64,
}

impl Mark {
    /// Moves on over `items`, ascending by `updated_at`, and answers those that changed.
    pub fn pass<'a>(&mut self, items: &'a [Value]) -> Vec<&'a Value> {
        let at = |item: &Value| item["updated_at"].as_str().unwrap_or_default().to_owned();
        let of = |time: &str| digest(items.iter().filter(|item| at(item) == time));
        let newest = items.iter().map(at).max().unwrap_or_default().max(self.at.clone());
        let seen = of(&newest);
        let before = std::mem::replace(self, Mark { at: newest, seen });
        let same = of(&before.at) == before.seen;
        let changed = |item: &&Value| at(item) > before.at || (at(item) == before.at && !same);
        items.iter().filter(changed).collect()
    }
}

/// FNV-1a, 64 bits, over the items as JSON. 0 of no item.
pub fn digest<'a>(items: impl IntoIterator<Item = &'a Value>) -> u64 {
    let (mut hash, mut empty) = (0xcbf2_9ce4_8422_2325_u64, true);
    for item in items {
        empty = false;
        for byte in item.to_string().bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    if empty { 0 } else { hash }
}

/// Seconds since the Unix epoch as `2026-11-22T13:09:20Z`.
pub fn iso(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400, seconds % 86_400);
    // Years from March on, so that the leap day comes last, in cycles of 400 years (146,097 days),
    // counted from 0000-03-01, which lies 719,468 days before the epoch.
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let (year, hour) = (year + cycle * 400, clock / 3600);
    let (minute, second) = (clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use omnifs_sdk::time::rfc3339_ms;
    use serde_json::json;

    #[test]
    fn times_are_written_as_they_are_read() {
        assert_eq!(iso(1_795_352_960), "2026-11-22T13:09:20Z");
        for seconds in (0..40_000).map(|n| n * 86_399 + 1) {
            assert_eq!(rfc3339_ms(&iso(seconds)), Some(seconds * 1000), "{}", iso(seconds));
        }
    }

    #[test]
    fn a_mark_reports_each_change_once_and_a_second_one_in_the_same_second() {
        let item = |n: u64, at: &str| json!({"n": n, "updated_at": at});
        let mut mark = Mark { at: "2026-01-01T00:00:05Z".into(), seen: 0 };
        assert_eq!(mark.pass(&[]).len(), 0);
        let first = [item(1, "2026-01-01T00:00:05Z"), item(2, "2026-01-01T00:00:07Z")];
        assert_eq!(mark.pass(&first).len(), 2);
        assert_eq!(mark.pass(&first[1..]).len(), 0, "nothing new");
        let again = [json!({"n": 2, "updated_at": "2026-01-01T00:00:07Z", "title": "again"})];
        assert_eq!(mark.pass(&again).len(), 1);
        assert_eq!(mark.pass(&again).len(), 0);
        let more = [again[0].clone(), item(3, "2026-01-01T00:00:09Z")];
        assert_eq!(mark.pass(&more), [&more[1]], "what is known is not news beside what is");
    }
}
