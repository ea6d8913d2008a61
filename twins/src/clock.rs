//! A twin's clock: wall time that never runs backwards and can be moved on.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Locks that outlive a panicking test: the data is plain and every update is a single step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wall time plus whatever the test moved it on by. Timestamps, `Date` headers and rate-limit
/// windows all read this clock.
#[derive(Debug)]
pub struct Clock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ahead: Duration,
    last_ms: i64,
}

impl Clock {
    /// `floor` in seconds since the Unix epoch: the newest time in the data, so that no change is
    /// older than what it changes even where the machine's clock is wrong.
    pub(crate) fn new(floor: i64) -> Self {
        Self {
            state: Mutex::new(State {
                ahead: Duration::ZERO,
                last_ms: floor.saturating_add(1).saturating_mul(1000),
            }),
        }
    }

    /// Milliseconds since the Unix epoch, never less than an earlier answer.
    pub fn now_ms(&self) -> i64 {
        let mut state = lock(&self.state);
        let now = wall_ms().saturating_add(state.ahead.as_millis() as i64);
        state.last_ms = state.last_ms.max(now);
        state.last_ms
    }

    /// Seconds since the Unix epoch. GitHub's times have this resolution: two changes within one
    /// second carry one `updated_at`.
    pub fn now(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }

    /// Moves the clock on, for good.
    pub fn advance(&self, by: Duration) {
        let mut state = lock(&self.state);
        state.ahead += by;
    }
}

pub(crate) fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// `2026-01-05T09:00:00Z`, as GitHub writes times.
pub(crate) fn iso(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// `2026-01-05T09:00:00.000Z`, as Linear writes times.
pub(crate) fn iso_ms(ms: i64) -> String {
    let t = Timestamp::from_millisecond(ms).unwrap_or_default();
    t.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Milliseconds since the Unix epoch of an RFC 3339 time.
pub(crate) fn parse_iso_ms(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(|t| t.as_millisecond())
}

/// `Mon, 05 Jan 2026 09:00:00 GMT` (RFC 9110 section 5.6.7).
pub(crate) fn http_date(seconds: i64) -> String {
    let t = Timestamp::from_second(seconds).unwrap_or_default();
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&t).unwrap_or_default()
}

pub(crate) fn parse_http_date(text: &str) -> Option<i64> {
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(|t| t.as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_in_the_services_own_forms() {
        assert_eq!(iso(1_767_603_600), "2026-01-05T09:00:00Z");
        assert_eq!(iso_ms(1_767_603_600_000), "2026-01-05T09:00:00.000Z");
        assert_eq!(http_date(1_767_603_600), "Mon, 05 Jan 2026 09:00:00 GMT");
        assert_eq!(parse_http_date("Mon, 05 Jan 2026 09:00:00 GMT"), Some(1_767_603_600));
        assert_eq!(parse_iso_ms("2026-01-05T09:00:00.250Z"), Some(1_767_603_600_250));
        assert_eq!(parse_iso_ms("yesterday"), None);
    }

    #[test]
    fn the_clock_never_runs_backwards_and_can_be_moved_on() {
        let far = wall_ms() / 1000 + 1_000_000;
        let clock = Clock::new(far);
        let first = clock.now_ms();
        assert!(first > far * 1000);
        clock.advance(Duration::from_secs(2_000_000));
        assert!(clock.now_ms() > first + 900_000_000);
    }
}
