//! Which of the bus and the polls tells the ledger of a scope.

use super::Fleet;
use crate::events::Ledger;
use crate::events::bus::names::Place;
use crate::provider::Change;
use crate::scopes::ActiveScope;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::Notify;

/// The ledger as the polls of one feed see it: without the scopes that the bus tells of.
pub(in crate::events) struct Split {
    ledger: Arc<dyn Ledger>,
    pub(super) fleet: Fleet,
    pub(super) place: Place,
    /// Held while the ledger is told something for the polls, so that nothing of theirs comes after the bus
    /// has taken a scope back.
    pub(in crate::events::bus) scopes: Mutex<Scopes>,
    pub(super) changed: Notify,
}

#[derive(Default)]
pub(in crate::events::bus) struct Scopes {
    /// Those of the bus that cached nodes depend on.
    pub wanted: HashSet<Arc<str>>,
    /// Those among them that are polled, because nothing is heard of them.
    pub polled: HashSet<Arc<str>>,
    /// Those that a poll has brought up which has not been settled yet. Only that poll can say what was missed before: a
    /// mount's first poll has no cursor from the time in which the bus told it, and the later ones go on from that.
    rising: HashSet<Arc<str>>,
}

impl Split {
    pub fn new(ledger: Arc<dyn Ledger>, fleet: Fleet, place: Place) -> Arc<Split> {
        Arc::new(Split { ledger, fleet, place, scopes: Mutex::default(), changed: Notify::new() })
    }

    /// Whether the bus is to tell of a scope, and does or has not failed to for long.
    pub fn is_heard(&self, scope: &str) -> bool {
        self.fleet.covers(scope) && !self.scopes.lock().polled.contains(scope)
    }

    /// Tells the ledger what polls have to say, unless the scope is the bus's.
    fn unless_heard(&self, scope: &str, tell: impl FnOnce(&dyn Ledger)) {
        let scopes = self.scopes.lock();
        if !self.fleet.covers(scope) || scopes.polled.contains(scope) {
            tell(&*self.ledger);
        }
    }
}

impl Ledger for Split {
    fn up(&self, instance: &str, scope: &str) {
        if self.fleet.covers(scope) {
            self.scopes.lock().rising.insert(scope.into());
        }
        self.unless_heard(scope, |ledger| ledger.up(instance, scope));
    }

    fn resumed(&self, instance: &str, scope: &str) {
        if !self.fleet.covers(scope) || self.scopes.lock().rising.contains(scope) {
            self.unless_heard(scope, |ledger| ledger.resumed(instance, scope));
        }
    }

    fn settled(&self, instance: &str, scope: &str, cursor: Option<&str>) {
        self.scopes.lock().rising.remove(scope);
        self.ledger.settled(instance, scope, cursor);
    }

    fn lost(&self, instance: &str, scope: &str, why: &str) {
        self.unless_heard(scope, |ledger| ledger.lost(instance, scope, why));
    }

    fn rest(&self, instance: &str, scope: &str, why: &str) {
        self.unless_heard(scope, |ledger| ledger.rest(instance, scope, why));
    }

    fn idle(&self, instance: &str, scope: &str) {
        self.unless_heard(scope, |ledger| ledger.idle(instance, scope));
    }

    fn apply(&self, instance: &str, changes: &[Change]) {
        if !changes.is_empty() {
            self.fleet.positions.doubt();
        }
        self.ledger.apply(instance, changes);
    }

    fn apply_in(&self, instance: &str, scope: &str, changes: &[Change]) {
        // Before the ledger hears of it.
        if !changes.is_empty() && self.fleet.covers(scope) {
            self.fleet.positions.hear_elsewhere(scope);
        }
        self.apply(instance, changes);
    }

    fn take_active(&self, instance: &str, prefix: &str) -> Vec<ActiveScope> {
        let active = self.ledger.take_active(instance, prefix);
        let (heard, mut others): (Vec<_>, Vec<_>) =
            active.into_iter().partition(|scope| self.fleet.covers(&scope.id));
        let mut scopes = self.scopes.lock();
        let wanted: HashSet<_> = heard.iter().map(|scope| scope.id.clone()).collect();
        if wanted != scopes.wanted {
            scopes.polled.retain(|scope| wanted.contains(scope));
            scopes.wanted = wanted;
            self.changed.notify_one();
        }
        others.extend(heard.into_iter().filter(|scope| scopes.polled.contains(&scope.id)));
        others
    }
}
