//! How many requests the polls of one instance make within a minute.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Allowance {
    most: u64,
    window: Duration,
    /// Requests made within the window, the oldest first.
    made: VecDeque<(Instant, u64)>,
    /// Set aside for polls that are under way.
    under_way: u64,
}

impl Allowance {
    pub fn new(most: u64, window: Duration) -> Self {
        Allowance { most, window, made: VecDeque::new(), under_way: 0 }
    }

    /// Sets room aside for a poll that will make about so many requests, where that leaves as much as is
    /// `needed` soon for what is more urgent. False where there is none.
    pub fn admit(&mut self, requests: u64, needed: u64, now: Instant) -> bool {
        while self.made.front().is_some_and(|(at, _)| now.duration_since(*at) >= self.window) {
            self.made.pop_front();
        }
        let taken = self.under_way + self.made.iter().map(|(_, count)| count).sum::<u64>();
        // One that is dearer than all of it goes alone.
        let admitted = taken + needed == 0 || taken + needed + requests <= self.most;
        if admitted {
            self.under_way += requests;
        }
        admitted
    }

    /// The same for a poll that somebody waits for, which is not held up.
    pub fn charge(&mut self, requests: u64) {
        self.under_way += requests;
    }

    /// A poll has ended, for which `aside` had been set aside and that `made` so many.
    pub fn settle(&mut self, aside: u64, made: u64, now: Instant) {
        self.under_way = self.under_way.saturating_sub(aside);
        if made > 0 {
            self.made.push_back((now, made));
        }
    }

    /// When there will be more room than now, if no poll is under way.
    pub fn more_at(&self) -> Option<Instant> {
        self.made.front().map(|(at, _)| *at + self.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn no_minute_sees_more_requests_than_are_allowed() {
        let (start, mut made) = (Instant::now(), Vec::new());
        let mut allowance = Allowance::new(60, MINUTE);
        for second in 0..600 {
            let now = start + Duration::from_secs(second);
            while allowance.admit(3, 0, now) {
                allowance.settle(3, 2, now);
                made.push(now);
            }
        }
        for from in &made {
            let within = made.iter().filter(|at| (*from..*from + MINUTE).contains(*at)).count();
            assert!(within * 2 <= 60, "{within} polls of 2 requests");
        }
        assert!(made.len() >= 29 * 9, "{} polls in ten minutes", made.len());
    }

    #[test]
    fn what_somebody_waits_for_is_not_held_up_and_counts() {
        let now = Instant::now();
        let mut allowance = Allowance::new(10, MINUTE);
        allowance.charge(30);
        assert!(!allowance.admit(1, 0, now));
        allowance.settle(30, 30, now);
        assert!(!allowance.admit(1, 0, now + MINUTE / 2));
        assert_eq!(allowance.more_at(), Some(now + MINUTE));
        assert!(allowance.admit(1, 0, now + MINUTE));
    }

    #[test]
    fn a_poll_dearer_than_the_whole_allowance_goes_alone() {
        let now = Instant::now();
        let mut allowance = Allowance::new(10, MINUTE);
        assert!(allowance.admit(25, 0, now) && !allowance.admit(1, 0, now));
        allowance.settle(25, 25, now);
        assert!(!allowance.admit(25, 0, now) && allowance.admit(25, 0, now + MINUTE));
    }
}
