//! The provider calls that have taken longest lately, for people who wonder where the time goes.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Questions that are kept.
const KEPT: usize = 20;

/// One that was not put again for so long makes room, and is shown no more.
const LATELY: Duration = Duration::from_secs(600);

/// One question to a provider, with the longest time that an answer took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlowCall {
    pub provider: Arc<str>,
    /// Below the mount point.
    pub path: String,
    /// `lookup`, `list`, `read` or `piece`.
    pub operation: &'static str,
    /// The longest.
    pub took: Duration,
    /// How often it was among the slowest.
    pub count: u64,
    /// When the last of them ended.
    pub at: SystemTime,
    ended: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Slowest(Vec<SlowCall>);

impl Slowest {
    /// Whether a call that took so long would be kept.
    pub fn admits(&self, took: Duration, now: Instant) -> bool {
        self.0.len() < KEPT || self.0.iter().any(|call| call.took < took || call.is_old(now))
    }

    /// Keeps a call that was admitted, in place of the shortest.
    pub fn note(
        &mut self,
        provider: Arc<str>,
        path: String,
        operation: &'static str,
        took: Duration,
        now: Instant,
    ) {
        self.0.retain(|call| !call.is_old(now));
        let at = SystemTime::now();
        let same = |call: &&mut SlowCall| {
            call.path == path && call.operation == operation && call.provider == provider
        };
        if let Some(call) = self.0.iter_mut().find(same) {
            call.took = call.took.max(took);
            call.count += 1;
            (call.at, call.ended) = (at, now);
            return;
        }
        self.0.push(SlowCall { provider, path, operation, took, count: 1, at, ended: now });
        self.0.sort_by_key(|call| std::cmp::Reverse(call.took));
        self.0.truncate(KEPT);
    }

    /// The longest first.
    pub fn lately(&self, now: Instant) -> Vec<SlowCall> {
        let mut calls: Vec<_> = self.0.iter().filter(|call| !call.is_old(now)).cloned().collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.took));
        calls
    }
}

impl SlowCall {
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.ended) > LATELY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(slowest: &mut Slowest, path: &str, took: u64, now: Instant) {
        let took = Duration::from_millis(took);
        if slowest.admits(took, now) {
            slowest.note("hub".into(), path.into(), "read", took, now);
        }
    }

    fn paths(slowest: &Slowest, now: Instant) -> Vec<String> {
        slowest.lately(now).into_iter().map(|call| call.path).collect()
    }

    #[test]
    fn the_longest_calls_are_kept_each_question_once() {
        let (mut slowest, now) = (Slowest::default(), Instant::now());
        for number in 0..1000 {
            note(&mut slowest, &format!("hub/{number}"), number + 1, now);
        }
        note(&mut slowest, "hub/7", 3, now);
        note(&mut slowest, "hub/999", 2000, now);
        note(&mut slowest, "hub/999", 1500, now);
        let calls = slowest.lately(now);
        assert_eq!(calls.len(), KEPT);
        assert_eq!((&*calls[0].path, calls[0].count), ("hub/999", 3));
        assert_eq!(calls[0].took, Duration::from_millis(2000));
        assert_eq!(calls.last().unwrap().path, format!("hub/{}", 1000 - KEPT));
    }

    #[test]
    fn what_was_slow_long_ago_makes_room_for_what_is_less_slow_now() {
        let (mut slowest, now) = (Slowest::default(), Instant::now());
        for number in 0..KEPT {
            note(&mut slowest, &format!("hub/{number}"), 5000, now);
        }
        let soon = now + LATELY;
        note(&mut slowest, "hub/new", 1, soon);
        assert!(!paths(&slowest, soon).contains(&"hub/new".to_owned()));
        let later = soon + Duration::from_secs(1);
        assert_eq!(paths(&slowest, later), [""; 0]);
        note(&mut slowest, "hub/new", 1, later);
        assert_eq!(paths(&slowest, later), ["hub/new"]);
    }
}
