//! Scopes and the order of events: what makes a cached answer right without asking.
//!
//! One counter, the *sequence*, orders events and fetches. A fetch notes it when it begins; an
//! event moves it. An answer is kept only if no event that concerns it came between its beginning
//! and its landing ([`Ledger::hits`]), and it is served only while the feed of its scope vouches
//! for its stamp ([`Scope::covers`]).

use crate::mutants::{Mutant, planted};
use crate::nodes::InstanceId;
use crate::provider::Change;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    /// While the feed tries to come back: answers fetched at or after this came after its last
    /// attempt. `NEVER` where none is made.
    attempted: AtomicU64,
    era: AtomicU64,
    /// Somebody has used what it covers since [`Ledger::take_active`] was last asked.
    used: AtomicBool,
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

    fn turn(&self, covered_from: u64, attempted: u64) {
        self.covered_from.store(covered_from, Ordering::Release);
        self.attempted.store(attempted, Ordering::Release);
        self.era.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes a use of what it covers.
    pub fn note_use(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether what was fetched at `stamp` came after the last attempt of a feed that is down and
    /// tries again. Then it may lead a path through a directory without being asked for once more.
    pub fn shares(&self, stamp: u64) -> bool {
        stamp >= self.attempted.load(Ordering::Acquire)
    }

    pub fn covers(&self, stamp: u64) -> bool {
        stamp >= self.covered_from.load(Ordering::Acquire)
    }

    pub fn is_live(&self) -> bool {
        self.covered_from.load(Ordering::Acquire) != NEVER
    }
}

/// A scope that cached nodes depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveScope {
    pub id: Arc<str>,
    /// The service's second since the Unix epoch before which nothing of it was fetched; 0: unknown.
    pub since: u64,
    /// Somebody has used it since this was last asked.
    pub used: bool,
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

/// The coverage of a feed.
#[derive(Debug)]
struct Feed {
    /// As in [`Scope::covered_from`], for scopes that appear later.
    covered_from: u64,
    attempted: u64,
    /// When it was last lost, failed to come back or came to rest.
    down: u64,
    /// What it was before the feed went down, for a resume that proves nothing was missed.
    before: u64,
    note: String,
    since: SystemTime,
    events: u64,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed {
            covered_from: NEVER,
            attempted: NEVER,
            down: NEVER,
            before: NEVER,
            note: "the feed has not connected yet".into(),
            since: SystemTime::now(),
            events: 0,
        }
    }
}

/// Where the feed of a scope stood when all that it had to tell was told.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settled {
    pub cursor: String,
    /// It vouches for what was fetched at or after this sequence number.
    pub from: u64,
    /// As in [`ActiveScope::since`].
    pub since: u64,
}

/// Scopes of which it is remembered where their feeds stood.
const SETTLED: usize = 4096;

#[derive(Debug, Default)]
pub struct Ledger {
    sequence: u64,
    /// Where feeds stood, of those whose cursors are kept for the next start.
    settled: HashMap<(InstanceId, Arc<str>), Settled>,
    /// Events since the oldest fetch under way began.
    log: VecDeque<(u64, InstanceId, Change)>,
    /// Beginnings of the fetches under way, with how many began there.
    under_way: BTreeMap<u64, usize>,
    scopes: BTreeMap<(InstanceId, Arc<str>), Arc<Scope>>,
    /// By the prefix of the scope ids that each covers.
    feeds: BTreeMap<(InstanceId, Arc<str>), Feed>,
    /// Prefixes whose feeds ask `what changed since`, and so cover a scope from its first fetch on.
    polled: Vec<(InstanceId, Arc<str>)>,
    /// Prefixes of all feeds of an instance's manifest, where it is known.
    declared: HashMap<InstanceId, Vec<Arc<str>>>,
}

/// Whether a feed that names `prefix` covers the scope `id`: the very id, or every id below a
/// prefix that ends in `:`.
pub fn covers(prefix: &str, id: &str) -> bool {
    id == prefix || (prefix.is_empty() || prefix.ends_with(':')) && id.starts_with(prefix)
}

/// Every prefix whose feed would cover the scope `id`, the longest first.
fn covering(id: &str) -> impl Iterator<Item = &str> {
    let parts = id.rmatch_indices(':').map(|(at, _)| &id[..=at]).filter(move |part| *part != id);
    std::iter::once(id).chain(parts).chain((!id.is_empty()).then_some(""))
}

impl Ledger {
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
        let overtakes = move |event| event > stamp && !planted(Mutant::LandsOverEvents);
        self.log
            .iter()
            .filter(move |(sequence, of, _)| *of == instance && overtakes(*sequence))
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
            self.settled.retain(|(of, settled), _| {
                *of != instance || !covers(scope, settled) && !covers(settled, scope)
            });
            // What is suspect already is not shared any longer either.
            let later = |at: u64| if at == NEVER { NEVER } else { from };
            for known in self.scopes_under(instance, scope) {
                let attempted = known.attempted.load(Ordering::Acquire);
                known.turn(if known.is_live() { from } else { NEVER }, later(attempted));
            }
            for ((of, prefix), feed) in &mut self.feeds {
                if *of == instance && (covers(scope, prefix) || covers(prefix, scope)) {
                    feed.attempted = later(feed.attempted);
                    feed.down = later(feed.down);
                    if feed.covered_from != NEVER && covers(scope, prefix) {
                        feed.covered_from = from;
                    }
                    feed.events += 1;
                    // What was missed stays missed: a later resume cannot vouch for it.
                    if !planted(Mutant::ResumesOverGaps) {
                        feed.before = NEVER;
                    }
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

    /// Goes on with the sequence of an earlier process, which has come this far.
    pub fn go_on(&mut self, sequence: u64) {
        self.sequence = self.sequence.max(sequence + 1);
    }

    /// Where the feeds of an instance stood when the mount ended: each proves what was missed since, or does not.
    pub fn stood(&mut self, instance: InstanceId, rows: Vec<(Arc<str>, Settled)>) {
        let rows = rows.into_iter().take(SETTLED);
        self.settled.extend(rows.map(|(scope, settled)| ((instance, scope), settled)));
    }

    /// Forgets where the feeds of an instance stood.
    pub fn unsettle(&mut self, instance: InstanceId) {
        self.settled.retain(|(of, _), _| *of != instance);
    }

    /// All that the feed of a live scope had to tell was told, and it goes on from `cursor`.
    pub fn settle(&mut self, instance: InstanceId, scope: &str, cursor: &str) -> Option<Settled> {
        let key = (instance, Arc::from(scope));
        let from = self.feeds.get(&key)?.covered_from;
        let room = self.settled.len() < SETTLED || self.settled.contains_key(&key);
        if from == NEVER || !room {
            return None;
        }
        let known = self.scopes.get(&key).map(|scope| scope.since.load(Ordering::Acquire));
        let settled = Settled { cursor: cursor.to_owned(), from, since: known.unwrap_or(0) };
        self.settled.insert(key, settled.clone());
        Some(settled)
    }

    /// Where the feed of a scope goes on from.
    pub fn cursor(&self, instance: InstanceId, scope: &str) -> Option<&str> {
        let settled = self.settled.get(&(instance, Arc::from(scope)))?;
        Some(&settled.cursor)
    }

    /// Counts an event for the feeds of the scopes that it concerns, once for each feed.
    pub fn count_event<'a>(
        &mut self,
        instance: InstanceId,
        scopes: impl IntoIterator<Item = &'a str>,
    ) {
        let prefixes: BTreeSet<&str> = scopes.into_iter().flat_map(covering).collect();
        for prefix in prefixes {
            if let Some(feed) = self.feeds.get_mut(&(instance, prefix.into())) {
                feed.events += 1;
            }
        }
    }

    /// Says that scopes under `prefix` are polled from the time of their first fetch on.
    pub fn polled(&mut self, instance: InstanceId, prefix: &str) {
        self.polled.push((instance, prefix.into()));
    }

    /// Says which scopes the feeds of the instance's manifest cover, by their prefixes. A scope beyond
    /// them is asked for at each use for ever, which is a mistake of the provider: it is told once. What was
    /// declared and polled of the instance before is so no longer. Gives the scopes that are live and that no
    /// feed covers from now on.
    pub fn declared(&mut self, instance: InstanceId, prefixes: Vec<Arc<str>>) -> Vec<Arc<str>> {
        self.polled.retain(|(of, _)| *of != instance);
        let live =
            self.scopes.values().filter(|scope| scope.instance == instance && scope.is_live());
        let is_covered = |id: &str| prefixes.iter().any(|prefix| covers(prefix, id));
        let left = live.map(|scope| scope.id.clone()).filter(|id| !is_covered(id)).collect();
        // What was known of single scopes by the polls of before.
        self.feeds.retain(|(of, prefix), _| *of != instance || prefixes.contains(prefix));
        self.declared.insert(instance, prefixes);
        left
    }

    /// A row for what no feed of the manifest covers, by the part of the id that is one for all.
    fn note_uncovered(&mut self, instance: InstanceId, id: &str) {
        let Some(prefixes) = self.declared.get(&instance) else { return };
        let shown = id.split_inclusive(':').next().unwrap_or(id);
        let known = |prefix: &str| self.feeds.contains_key(&(instance, prefix.into()));
        if prefixes.iter().any(|prefix| covers(prefix, id)) || covering(id).any(known) {
            return;
        }
        let note = "no feed of the provider's manifest covers this: it is asked for at each use";
        tracing::warn!(scope = shown, instance = instance.0, "{note}");
        self.feed(instance, shown).note = note.into();
    }

    /// The scope of this id, for an answer fetched at `stamp`. A new one takes over the standing
    /// of the feed that covers it.
    pub fn scope(&mut self, instance: InstanceId, id: &Arc<str>, stamp: u64) -> Arc<Scope> {
        if let Some(scope) = self.scopes.get(&(instance, id.clone())) {
            return scope.clone();
        }
        let known = covering(id)
            .find_map(|prefix| self.feeds.get(&(instance, prefix.into())))
            .map(|feed| (feed.covered_from, feed.attempted));
        let (covered_from, attempted) = known.unwrap_or_else(|| {
            if self.settled.contains_key(&(instance, id.clone())) {
                self.feed(instance, id).note = "it is polled before its next use".into();
                (NEVER, NEVER)
            } else if self.is_polled(instance, id) {
                let feed = self.feed(instance, id);
                feed.covered_from = stamp;
                feed.note = "watched by polling".into();
                (stamp, NEVER)
            } else {
                self.note_uncovered(instance, id);
                (NEVER, NEVER)
            }
        });
        let settled = self.settled.get(&(instance, id.clone()));
        let since = settled.map_or(0, |settled| settled.since);
        let scope = Arc::new(Scope {
            instance,
            id: id.clone(),
            covered_from: AtomicU64::new(covered_from),
            attempted: AtomicU64::new(attempted),
            era: AtomicU64::new(0),
            used: AtomicBool::new(true),
            since: AtomicU64::new(since),
        });
        self.scopes.insert((instance, id.clone()), scope.clone());
        scope
    }

    fn is_polled(&self, instance: InstanceId, id: &str) -> bool {
        self.polled.iter().any(|(of, prefix)| *of == instance && covers(prefix, id))
    }

    fn scopes_under(&self, instance: InstanceId, prefix: &str) -> Vec<Arc<Scope>> {
        let from = Bound::Included((instance, Arc::from(prefix)));
        self.scopes
            .range((from, Bound::Unbounded))
            .take_while(|((of, id), _)| *of == instance && id.starts_with(prefix))
            .filter(|((_, id), _)| covers(prefix, id))
            .map(|(_, scope)| scope.clone())
            .collect()
    }

    fn feed(&mut self, instance: InstanceId, prefix: &str) -> &mut Feed {
        let key = (instance, Arc::from(prefix));
        let (settled, down) = (&self.settled, self.sequence);
        self.feeds.entry(key).or_insert_with_key(|key| match settled.get(key) {
            // It rests, as far as anybody knows, and may prove what was missed.
            Some(settled) => Feed { before: settled.from, down, ..Feed::default() },
            None => Feed::default(),
        })
    }

    /// The feed stands: what is fetched from now on is covered. Returns whether that is news.
    pub fn up(&mut self, instance: InstanceId, prefix: &str) -> bool {
        // Polls say so each time: what is under way in a live scope is not touched by that.
        let stands = self.feed(instance, prefix).covered_from != NEVER;
        if stands && !planted(Mutant::DoubtsWhatStands) {
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
        feed.attempted = NEVER;
        feed.note = "connected".into();
        feed.since = SystemTime::now();
        self.set(instance, prefix, from, NEVER);
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
            self.set(instance, prefix, from, NEVER);
        }
    }

    /// The feed is down and tries to come back: nothing is covered. To be called at each attempt that
    /// fails. Returns whether it was not down before.
    pub fn lost(&mut self, instance: InstanceId, prefix: &str, why: &str) -> bool {
        self.down(instance, prefix, why, true)
    }

    /// The feed is down until somebody asks it to come back: nothing is covered. Returns whether it was
    /// not down before.
    pub fn rest(&mut self, instance: InstanceId, prefix: &str, why: &str) -> bool {
        self.down(instance, prefix, why, false)
    }

    fn down(&mut self, instance: InstanceId, prefix: &str, why: &str, tries: bool) -> bool {
        self.sequence += 1;
        let down = self.sequence;
        let attempted = if tries { down } else { NEVER };
        // A polled scope is vouched for from its first fetch on, which may be under way.
        let known = self.feeds.contains_key(&(instance, prefix.into()));
        let stood = self.settled.contains_key(&(instance, prefix.into()));
        let begins = !known && !stood && self.is_polled(instance, prefix);
        let feed = self.feed(instance, prefix);
        let news = feed.covered_from != NEVER || begins;
        if news {
            // A connection that no resume has proven vouches for itself alone: what was missed before
            // it stays missed, whatever a later one resumes from.
            feed.before = feed.covered_from;
            feed.covered_from = NEVER;
            feed.since = SystemTime::now();
        }
        feed.attempted = attempted;
        feed.down = down;
        feed.note = why.into();
        if !self.under_way.is_empty() {
            // What such a fetch brings was asked for before, and may not be served as the revalidation
            // of somebody who asks from now on.
            self.log.push_back((self.sequence, instance, Change::Gap(prefix.into())));
        }
        self.set(instance, prefix, NEVER, attempted);
        news
    }

    /// The scope is polled no more, because nothing in memory belonged to it. Returns whether it is
    /// suspect by now, since something does again. Else it is forgotten: what is fetched in it later is
    /// as in a scope that nobody has heard of.
    pub fn idle(&mut self, instance: InstanceId, scope: &str) -> bool {
        let key = (instance, Arc::from(scope));
        if self.scopes.get(&key).is_some_and(|scope| Arc::strong_count(scope) > 1) {
            return self.rest(instance, scope, "its next poll is still to come");
        }
        self.scopes.remove(&key);
        self.feeds.remove(&key);
        false
    }

    fn set(&mut self, instance: InstanceId, prefix: &str, from: u64, attempted: u64) {
        for scope in self.scopes_under(instance, prefix) {
            scope.turn(from, attempted);
        }
    }

    /// Whether no feed of the instance has turned since `stamp`: those that are up vouch for it, those
    /// that rest have done so since before. Never while one is lost, or without any.
    pub fn stands_for_all(&self, instance: InstanceId, stamp: u64) -> bool {
        let mut feeds = self.feeds.iter().filter(|((of, _), _)| *of == instance).peekable();
        let stands = |feed: &Feed| match feed.covered_from {
            NEVER => feed.attempted == NEVER && stamp >= feed.down,
            covered_from => stamp >= covered_from,
        };
        feeds.peek().is_some() && feeds.all(|(_, feed)| stands(feed))
    }

    /// Forgets scopes that no node refers to any more, and names those that are left. Which of them
    /// were used is told once.
    pub fn take_active(&mut self, instance: InstanceId, prefix: &str) -> Vec<ActiveScope> {
        self.scopes.retain(|_, scope| Arc::strong_count(scope) > 1);
        let scopes = self.scopes_under(instance, prefix);
        let active = |scope: &Arc<Scope>| ActiveScope {
            id: scope.id.clone(),
            since: scope.since.load(Ordering::Acquire),
            used: scope.used.swap(false, Ordering::Relaxed),
        };
        scopes.iter().map(active).collect()
    }

    /// One row for each feed.
    pub fn standings(&self) -> Vec<Standing> {
        let mut nodes: BTreeMap<(InstanceId, &str), u64> = BTreeMap::new();
        for ((instance, id), scope) in &self.scopes {
            // One reference is the ledger's own.
            let held = Arc::strong_count(scope) as u64 - 1;
            for prefix in covering(id) {
                *nodes.entry((*instance, prefix)).or_default() += held;
            }
        }
        self.feeds
            .iter()
            .map(|((instance, prefix), feed)| Standing {
                instance: *instance,
                scope: prefix.clone(),
                live: feed.covered_from != NEVER,
                note: feed.note.clone(),
                since: feed.since,
                events: feed.events,
                nodes: nodes.get(&(*instance, &**prefix)).copied().unwrap_or(0),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
