//! Which scopes an instance's deliveries vouch for, where no stream and no poll does.
//!
//! A delivery proves that the service reaches this mount, and that it tells of the scopes that the
//! delivery names. From then on the service's silence is believed, until something speaks against it: a
//! machine that slept, the manifest's own bound on silence, the receiver's end.

use super::{Shared, Subscriber};
use crate::capability::Clock;
use crate::events::Ledger;
use crate::scopes::covers;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// So much sleep counts, be it what the system has counted, or by how much the wall clock ran ahead of the
/// time that we were running.
const SLEPT: Duration = Duration::from_secs(30);

/// Scopes vouched for. Further ones are asked at each use, as before their first delivery.
const MOST: usize = 10_000;

pub(super) struct Vouching {
    ledger: Arc<dyn Ledger>,
    subscriber: Subscriber,
    live: BTreeSet<Arc<str>>,
    heard: Instant,
    /// When it was last watched, by the wall clock and by ours, and how long the machine had slept by then.
    watched: (SystemTime, Instant, Duration),
}

impl Vouching {
    pub fn new(shared: &Shared, subscriber: &Subscriber) -> Self {
        let vouching = Vouching {
            ledger: shared.ledger.clone(),
            subscriber: subscriber.clone(),
            live: BTreeSet::new(),
            heard: Instant::now(),
            watched: read(&shared.options.clock),
        };
        vouching.down(&subscriber.feed.scopes, "no delivery has arrived yet");
        vouching
    }

    /// A delivery that came in time has taken effect; it named these scopes.
    pub fn heard(&mut self, mut named: Vec<Arc<str>>) {
        self.heard = Instant::now();
        if !self.subscriber.alone {
            return;
        }
        let own = &self.subscriber.feed.scopes;
        if !own.is_empty() && !own.ends_with(':') {
            // There is one scope, which each delivery concerns.
            named.push(own.as_str().into());
        }
        for scope in named {
            if covers(own, &scope) && self.live.len() < MOST && self.live.insert(scope.clone()) {
                self.ledger.up(&self.subscriber.instance, &scope);
            }
        }
    }

    pub fn watch(&mut self, clock: &Clock) {
        let (now, awake, slept) = read(clock);
        let (then, since, before) = std::mem::replace(&mut self.watched, (now, awake, slept));
        let ahead = now.duration_since(then).unwrap_or_default();
        if ahead > awake.duration_since(since) + SLEPT || slept.saturating_sub(before) > SLEPT {
            self.lost("this machine slept, and deliveries may have been missed");
        }
        if let Some(silence) = self.subscriber.feed.silence
            && self.heard.elapsed() > silence
        {
            self.lost(&format!("no delivery has arrived for {} s", silence.as_secs_f32()));
        }
    }

    fn lost(&mut self, why: &str) {
        for scope in std::mem::take(&mut self.live) {
            self.down(&scope, why);
        }
    }

    fn down(&self, scope: &str, why: &str) {
        if self.subscriber.alone {
            self.ledger.rest(&self.subscriber.instance, scope, why);
        }
    }
}

fn read(clock: &Clock) -> (SystemTime, Instant, Duration) {
    (clock.now(), Instant::now(), clock.slept())
}

impl Drop for Vouching {
    fn drop(&mut self) {
        self.lost("webhooks are not received any more");
    }
}
