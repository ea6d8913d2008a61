//! Waiting between attempts: longer each time, never exactly as long as anybody else.

use std::time::Duration;

/// Doubles from the first wait up to the longest.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration) -> Self {
        Backoff { first, most, next: first }
    }

    /// The wait before the next attempt, and at least what the service asked for.
    pub fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let wait = jittered(self.next);
        self.next = self.next.saturating_mul(2).min(self.most);
        wait.max(asked.unwrap_or_default())
    }

    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Between half and all of `most`, so that clients that failed together do not come back together.
pub(crate) fn jittered(most: Duration) -> Duration {
    #[cfg(test)]
    if STEADY.get() {
        return most;
    }
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    most / 2 + most.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
thread_local! {
    /// Waits are as long as they may be: a run of a model check has to be the same each time.
    pub(crate) static STEADY: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_start_again_after_a_reset() {
        let (first, most) = (Duration::from_millis(50), Duration::from_secs(5));
        let mut backoff = Backoff::new(first, most);
        let waits: Vec<_> = (0..12).map(|_| backoff.wait(None)).collect();
        assert!(waits[0] >= first / 2 && waits[0] <= first);
        assert!(waits[11] >= most / 2 && waits.iter().all(|wait| *wait <= most));
        assert!(waits.iter().all(|wait| !wait.is_zero()));
        assert_eq!(backoff.wait(Some(Duration::from_secs(60))), Duration::from_secs(60));
        backoff.reset();
        assert!(backoff.wait(None) <= first);
    }
}
