//! Waiting for a condition, with a bound.

use std::time::{Duration, Instant};

/// Asks `condition` until it gives a value, for at most `limit`. Asks once more at the end, so that
/// a slow machine does not fail a condition that holds.
pub fn wait_until<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        let last = Instant::now() >= end;
        if let Some(value) = condition() {
            return Some(value);
        }
        if last {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
