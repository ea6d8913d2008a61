//! Scopes and the order of events: what makes a cached answer right without asking.
//!
//! One counter, the *sequence*, orders events and fetches. A fetch notes it when it begins; an
//! event moves it. An answer is kept only if no event that concerns it came between its beginning
//! and its landing ([`Ledger::hits`]), and it is served only while the feed of its scope vouches
//! for its stamp ([`Scope::covers`]).

use crate::nodes::InstanceId;
use crate::provider::Change;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// A scope that no feed watches covers nothing.
const NEVER: u64 = u64::MAX;

/// What one feed covers.
#[derive(Debug)]
pub struct Scope {
    pub instance: InstanceId,
    pub id: Arc<str>,
    /// Answers fetched at or after this sequence number are covered; `NEVER` while the feed is
    /// down.
    covered_from: AtomicU64,
    era: AtomicU64,
    /// The service's own time, in seconds since the Unix epoch, before which nothing of this scope
    /// was fetched; 0 while unknown.
    since: AtomicU64,
}

impl Scope {
    /// Notes the service's time at the first fetch.
    pub fn began(&self, seconds: u64) {
        let _ = self.since.compare_exchange(0, seconds, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Moves with each turn of the feed. What was granted in an earlier era is not a grant any more:
    /// it would serve after a reconnect what was fetched before.
    pub fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }

    fn turn(&self, covered_from: u64) {
        self.covered_from.store(covered_from, Ordering::Release);
        self.era.fetch_add(1, Ordering::AcqRel);
    }

    pub fn covers(&self, stamp: u64) -> bool {
        stamp >= self.covered_from.load(Ordering::Acquire)
    }

    pub fn is_live(&self) -> bool {
        self.covered_from.load(Ordering::Acquire) != NEVER
    }
}

/// A scope's state for people; see [`Ledger::standings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub instance: InstanceId,
    pub scope: Arc<str>,
    pub live: bool,
    /// Why it is not live, or how it last came back.
    pub note: String,
    pub since: SystemTime,
    /// Events applied to the scope's feed so far.
    pub events: u64,
    /// Nodes and answers in memory that belong to it.
    pub nodes: u64,
}

/// A feed's coverage, by the prefix of the scope ids that it covers.
#[derive(Debug)]
struct Feed {
    instance: InstanceId,
    prefix: Arc<str>,
    /// As in [`Scope::covered_from`], for scopes that appear later.
    covered_from: u64,
    /// What it was before the feed went down, for a resume that proves nothing was missed.
    before: u64,
    note: String,
    since: SystemTime,
    events: u64,
}

/// Whether an event with the first sequence number came after a fetch that began at the second. The
/// one judgement that all of coherence rests on, and so the one that the model check replaces to
/// see whether it would notice.
pub type Overtakes = fn(event: u64, stamp: u64) -> bool;

#[derive(Debug)]
pub struct Ledger {
    sequence: u64,
    overtakes: Overtakes,
    /// Events since the oldest fetch under way began.
    log: VecDeque<(u64, InstanceId, Change)>,
    /// Beginnings of the fetches under way, with how many began there.
    under_way: BTreeMap<u64, usize>,
    scopes: HashMap<(InstanceId, Arc<str>), Arc<Scope>>,
    feeds: Vec<Feed>,
    /// Prefixes whose feeds ask `what changed since`, and so cover a scope from its first fetch on.
    polled: Vec<(InstanceId, Arc<str>)>,
}

/// Whether a feed that names `prefix` covers the scope `id`: the very id, or every id below a
/// prefix that ends in `:`.
pub fn covers(prefix: &str, id: &str) -> bool {
    id == prefix || (prefix.is_empty() || prefix.ends_with(':')) && id.starts_with(prefix)
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger::judging_by(|event, stamp| event > stamp)
    }
}

impl Ledger {
    /// A ledger with a judgement of its own: for the model check only.
    #[doc(hidden)]
    pub fn judging_by(overtakes: Overtakes) -> Self {
        Ledger {
            sequence: 0,
            overtakes,
            log: VecDeque::new(),
            under_way: BTreeMap::new(),
            scopes: HashMap::new(),
            feeds: Vec::new(),
            polled: Vec::new(),
        }
    }

    /// Starts a fetch: the stamp of whatever it brings. No two fetches share one, so that stamps say
    /// which answers came with the same call, also where no event lies between.
    pub fn begin(&mut self) -> u64 {
        self.sequence += 1;
        *self.under_way.entry(self.sequence).or_default() += 1;
        self.sequence
    }

    /// Ends the fetch that began at `stamp`. Call after [`Ledger::hits`].
    pub fn end(&mut self, stamp: u64) {
        if let Some(count) = self.under_way.get_mut(&stamp) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(&stamp);
            }
        }
        let oldest = self.under_way.keys().next().copied().unwrap_or(self.sequence);
        while self.log.front().is_some_and(|(sequence, ..)| *sequence <= oldest) {
            self.log.pop_front();
        }
    }

    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The events of an instance after `stamp`, oldest first, each with its sequence number.
    pub fn hits(&self, instance: InstanceId, stamp: u64) -> impl Iterator<Item = (u64, &Change)> {
        self.log
            .iter()
            .filter(move |(sequence, of, _)| *of == instance && (self.overtakes)(*sequence, stamp))
            .map(|(sequence, _, change)| (*sequence, change))
    }

    /// Records an event. A gap makes everything fetched before it suspect.
    pub fn record(&mut self, instance: InstanceId, change: &Change) {
        self.sequence += 1;
        if !self.under_way.is_empty() {
            self.log.push_back((self.sequence, instance, change.clone()));
        }
        if let Change::Gap(scope) = change {
            let from = self.sequence;
            for known in self.scopes_under(instance, scope) {
                known.turn(if known.is_live() { from } else { NEVER });
            }
            for feed in self.feeds.iter_mut().filter(|f| f.instance == instance) {
                if covers(scope, &feed.prefix) || covers(&feed.prefix, scope) {
                    if feed.covered_from != NEVER && covers(scope, &feed.prefix) {
                        feed.covered_from = from;
                    }
                    // What was missed stays missed: a later resume cannot vouch for it.
                    feed.before = NEVER;
                    feed.note = "events were missed; cached answers are asked again".into();
                    feed.since = SystemTime::now();
                }
            }
        }
    }

    /// Has no answer kept that is on its way for this instance, and nothing more.
    pub fn overtake(&mut self, instance: InstanceId) {
        self.sequence += 1;
        if !self.under_way.is_empty() {
            self.log.push_back((self.sequence, instance, Change::Gap("".into())));
        }
    }

    pub fn count_events(&mut self, instance: InstanceId, count: u64) {
        for feed in self.feeds.iter_mut().filter(|feed| feed.instance == instance) {
            feed.events += count;
        }
    }

    /// Says that scopes under `prefix` are polled from the time of their first fetch on.
    pub fn polled(&mut self, instance: InstanceId, prefix: &str) {
        self.polled.push((instance, prefix.into()));
    }

    /// The scope of this id, for an answer fetched at `stamp`. A new one takes over the standing
    /// of the feed that covers it.
    pub fn scope(&mut self, instance: InstanceId, id: &Arc<str>, stamp: u64) -> Arc<Scope> {
        if let Some(scope) = self.scopes.get(&(instance, id.clone())) {
            return scope.clone();
        }
        let covered_from = self
            .feeds
            .iter()
            .filter(|feed| feed.instance == instance && covers(&feed.prefix, id))
            .max_by_key(|feed| feed.prefix.len())
            .map(|feed| feed.covered_from);
        let covered_from = covered_from.unwrap_or_else(|| {
            if self.is_polled(instance, id) {
                let feed = self.feed(instance, id);
                feed.covered_from = stamp;
                feed.note = "watched by polling".into();
                stamp
            } else {
                NEVER
            }
        });
        let scope = Arc::new(Scope {
            instance,
            id: id.clone(),
            covered_from: AtomicU64::new(covered_from),
            era: AtomicU64::new(0),
            since: AtomicU64::new(0),
        });
        self.scopes.insert((instance, id.clone()), scope.clone());
        scope
    }

    fn is_polled(&self, instance: InstanceId, id: &str) -> bool {
        self.polled.iter().any(|(of, prefix)| *of == instance && covers(prefix, id))
    }

    fn scopes_under(&self, instance: InstanceId, prefix: &str) -> Vec<Arc<Scope>> {
        self.scopes
            .values()
            .filter(|scope| scope.instance == instance && covers(prefix, &scope.id))
            .cloned()
            .collect()
    }

    fn feed(&mut self, instance: InstanceId, prefix: &str) -> &mut Feed {
        let at = self.feeds.iter().position(|f| f.instance == instance && &*f.prefix == prefix);
        let at = at.unwrap_or_else(|| {
            self.feeds.push(Feed {
                instance,
                prefix: prefix.into(),
                covered_from: NEVER,
                before: NEVER,
                note: "the feed has not connected yet".into(),
                since: SystemTime::now(),
                events: 0,
            });
            self.feeds.len() - 1
        });
        &mut self.feeds[at]
    }

    /// The feed stands: what is fetched from now on is covered. Returns whether that is news.
    pub fn up(&mut self, instance: InstanceId, prefix: &str) -> bool {
        // Polls say so each time: what is under way in a live scope is not touched by that.
        if self.feed(instance, prefix).covered_from != NEVER {
            return false;
        }
        self.sequence += 1;
        let from = self.sequence;
        if !self.under_way.is_empty() {
            // A fetch that began before may not answer somebody who asks after.
            self.log.push_back((from, instance, Change::Gap(prefix.into())));
        }
        let feed = self.feed(instance, prefix);
        feed.covered_from = from;
        feed.note = "connected".into();
        feed.since = SystemTime::now();
        self.set(instance, prefix, from);
        true
    }

    /// The feed missed nothing while it was down: what it covered then is covered again.
    pub fn resumed(&mut self, instance: InstanceId, prefix: &str) {
        let feed = self.feed(instance, prefix);
        if feed.covered_from != NEVER && feed.before != NEVER {
            feed.covered_from = feed.before;
            feed.before = NEVER;
            feed.note = "resumed; nothing was missed".into();
            let from = feed.covered_from;
            self.set(instance, prefix, from);
        }
    }

    /// The feed is down: nothing is covered. Returns whether that is news.
    pub fn lost(&mut self, instance: InstanceId, prefix: &str, why: &str) -> bool {
        self.sequence += 1;
        // A polled scope is vouched for from its first fetch on, which may be under way.
        let known = self.feeds.iter().any(|f| f.instance == instance && *f.prefix == *prefix);
        let begins = !known && self.is_polled(instance, prefix);
        let feed = self.feed(instance, prefix);
        let news = feed.covered_from != NEVER || begins;
        if news {
            // A connection that no resume has proven vouches for itself alone: what was missed before
            // it stays missed, whatever a later one resumes from.
            feed.before = feed.covered_from;
            feed.covered_from = NEVER;
            feed.since = SystemTime::now();
        }
        feed.note = why.into();
        if news {
            if !self.under_way.is_empty() {
                // What such a fetch brings was vouched for when it began and is not any more: it may
                // not be served as the revalidation of somebody who asks from now on.
                self.log.push_back((self.sequence, instance, Change::Gap(prefix.into())));
            }
            self.set(instance, prefix, NEVER);
        }
        news
    }

    fn set(&mut self, instance: InstanceId, prefix: &str, from: u64) {
        for scope in self.scopes_under(instance, prefix) {
            scope.turn(from);
        }
    }

    /// Whether every feed of the instance vouches for what was fetched at `stamp`. Without a feed
    /// none does.
    pub fn vouches_for_all(&self, instance: InstanceId, stamp: u64) -> bool {
        let mut feeds = self.feeds.iter().filter(|feed| feed.instance == instance).peekable();
        feeds.peek().is_some() && feeds.all(|feed| stamp >= feed.covered_from)
    }

    /// Forgets scopes that no node refers to any more, and names those that are left, each with the
    /// service's time before which nothing of it was fetched (0: unknown).
    pub fn active(&mut self, instance: InstanceId, prefix: &str) -> Vec<(Arc<str>, u64)> {
        self.scopes.retain(|_, scope| Arc::strong_count(scope) > 1);
        let scopes = self.scopes_under(instance, prefix);
        let since = |scope: &Scope| scope.since.load(Ordering::Acquire);
        scopes.iter().map(|scope| (scope.id.clone(), since(scope))).collect()
    }

    /// One row for each feed.
    pub fn standings(&self) -> Vec<Standing> {
        self.feeds
            .iter()
            .map(|feed| Standing {
                instance: feed.instance,
                scope: feed.prefix.clone(),
                live: feed.covered_from != NEVER,
                note: feed.note.clone(),
                since: feed.since,
                events: feed.events,
                // One reference is the ledger's own.
                nodes: self
                    .scopes
                    .values()
                    .filter(|scope| {
                        scope.instance == feed.instance && covers(&feed.prefix, &scope.id)
                    })
                    .map(|scope| Arc::strong_count(scope) as u64 - 1)
                    .sum(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const I: InstanceId = InstanceId(0);

    fn ledger() -> (Ledger, Arc<Scope>) {
        let mut ledger = Ledger::default();
        let scope = ledger.scope(I, &Arc::from("engine"), 0);
        (ledger, scope)
    }

    #[test]
    fn a_scope_covers_nothing_until_its_feed_is_up() {
        let (mut ledger, scope) = ledger();
        let early = ledger.begin();
        assert!(!scope.covers(early));
        ledger.up(I, "engine");
        assert!(!scope.covers(early), "fetched before the feed stood");
        let late = ledger.begin();
        assert!(scope.covers(late));
    }

    #[test]
    fn a_lost_feed_covers_again_only_what_a_resume_proves() {
        let (mut ledger, scope) = ledger();
        ledger.up(I, "engine");
        let stamp = ledger.begin();
        ledger.end(stamp);
        ledger.lost(I, "engine", "cut");
        assert!(!scope.covers(stamp));
        ledger.up(I, "engine");
        assert!(!scope.covers(stamp), "nothing proves that no event was missed");
        ledger.resumed(I, "engine");
        assert!(scope.covers(stamp));
    }

    #[test]
    fn a_gap_spoils_a_later_resume() {
        let (mut ledger, scope) = ledger();
        ledger.up(I, "engine");
        let stamp = ledger.begin();
        ledger.lost(I, "engine", "cut");
        ledger.up(I, "engine");
        ledger.record(I, &Change::Gap("engine".into()));
        ledger.resumed(I, "engine");
        assert!(!scope.covers(stamp));
    }

    #[test]
    fn a_loss_overtakes_the_first_fetch_of_a_polled_scope() {
        let mut ledger = Ledger::default();
        ledger.polled(I, "repo:");
        let stamp = ledger.begin();
        assert!(ledger.lost(I, "repo:a", "refused"));
        assert_eq!(ledger.hits(I, stamp).count(), 1);
        assert!(!ledger.lost(I, "repo:a", "refused"), "no news");
        assert_eq!(ledger.hits(I, stamp).count(), 1);
        assert!(!ledger.scope(I, &Arc::from("repo:a"), stamp).covers(stamp));
    }

    #[test]
    fn a_feed_that_is_up_already_spoils_no_fetch_by_saying_so_again() {
        let (mut ledger, _) = ledger();
        ledger.up(I, "engine");
        let stamp = ledger.begin();
        ledger.up(I, "engine");
        assert_eq!(ledger.hits(I, stamp).count(), 0);
    }

    #[test]
    fn events_are_remembered_exactly_as_long_as_a_fetch_may_need_them() {
        let (mut ledger, _) = ledger();
        let stamp = ledger.begin();
        ledger.record(I, &Change::Invalidated("x".into()));
        ledger.record(InstanceId(1), &Change::Invalidated("x".into()));
        assert_eq!(ledger.hits(I, stamp).count(), 1);
        ledger.end(stamp);
        assert!(ledger.log.is_empty());
        ledger.record(I, &Change::Invalidated("y".into()));
        assert!(ledger.log.is_empty(), "no fetch under way needs it");
    }
}
