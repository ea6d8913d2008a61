//! Where a mount stands on the chain of each scope: by that it judges an answer that another mount got, and others
//! judge its own.

use super::chain::Position;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Positions of one scope that are remembered with their times. A request does not see more changes of it.
const REMEMBERED: usize = 16;

/// Those of one instance. Its followers write them, always before the ledger hears of what has changed: so
/// nobody who was told of a change finds a position from before it here.
#[derive(Default)]
pub struct Positions(Mutex<HashMap<Arc<str>, Stand>>);

#[derive(Default)]
struct Stand {
    /// With the time at which each was reached, the newest at the end.
    reached: VecDeque<(Position, Instant)>,
    /// Until when the scope is live by the bus.
    until: Option<Instant>,
    /// Something was told since the last change that did not come by the bus.
    doubted: bool,
    /// The mount's own polls have told of changes here: they may be ahead of the bus, and by how much nobody says.
    ahead: bool,
}

impl Positions {
    /// Where a scope stands, if it is live by the bus and that is all that was heard of it.
    pub fn current(&self, scope: &str) -> Option<Position> {
        let stands = self.0.lock();
        let stand =
            stands.get(scope).filter(|stand| stand.is_live() && !stand.doubted && !stand.ahead)?;
        stand.reached.back().map(|(position, _)| *position)
    }

    /// Where a scope stood at a time, if it is live by the bus. What was asked for at that time is not older than that.
    pub fn at(&self, scope: &str, time: Instant) -> Option<Position> {
        let stands = self.0.lock();
        let stand = stands.get(scope).filter(|stand| stand.is_live())?;
        let reached = stand.reached.iter().rev().find(|(_, reached)| *reached <= time);
        reached.map(|(position, _)| *position)
    }

    /// Something was told that did not come by the bus, as by `omnifs refresh`. It may be newer than what the bus says.
    pub fn doubt(&self) {
        self.0.lock().values_mut().for_each(|stand| stand.doubted = true);
    }

    /// This mount's own poll has told of a change in a scope. Another mount's answer may be older than that from here on,
    /// however long, so none is taken.
    pub fn hear_elsewhere(&self, scope: &str) {
        self.0.lock().entry(scope.into()).or_default().ahead = true;
    }
}

impl Stand {
    /// Nobody follows the scope.
    fn leave(&mut self) {
        (self.reached, self.until) = Default::default();
    }

    fn is_live(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

impl fmt::Debug for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Positions").field("scopes", &self.0.lock().len()).finish()
    }
}

/// The place of one follower among them, which it leaves when this is dropped.
pub(super) struct Place {
    positions: Arc<Positions>,
    scope: Arc<str>,
}

impl Place {
    pub fn new(positions: &Arc<Positions>, scope: &Arc<str>) -> Place {
        // What was heard elsewhere stays heard.
        positions.0.lock().entry(scope.clone()).or_default().leave();
        Place { positions: positions.clone(), scope: scope.clone() }
    }

    fn change(&self, change: impl FnOnce(&mut Stand)) {
        change(self.positions.0.lock().entry(self.scope.clone()).or_default());
    }

    /// Nothing is known any more where `position` is absent.
    pub fn move_to(&self, position: Option<Position>) {
        self.change(|stand| match position {
            None => stand.reached.clear(),
            Some(position) if stand.reached.back().is_some_and(|(last, _)| *last == position) => {}
            Some(position) => {
                if stand.reached.len() == REMEMBERED {
                    stand.reached.pop_front();
                }
                stand.reached.push_back((position, Instant::now()));
                stand.doubted = false;
            }
        });
    }

    pub fn live_until(&self, until: Option<Instant>) {
        self.change(|stand| stand.until = until);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut stands = self.positions.0.lock();
        if let Some(stand) = stands.get_mut(&self.scope) {
            stand.leave();
        }
        stands.retain(|_, stand| {
            stand.doubted || stand.ahead || stand.until.is_some() || !stand.reached.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::Writer;
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_position_is_known_from_when_it_was_reached_and_while_the_scope_is_live() {
        let positions = Arc::new(Positions::default());
        let place = Place::new(&positions, &"s:1".into());
        let [first, second] = [(); 2].map(|()| Writer::begin().unwrap().position());
        let began = Instant::now();
        place.move_to(Some(first));
        let between = Instant::now();
        assert_eq!(positions.current("s:1"), None, "nobody speaks for it");
        place.live_until(Some(between + Duration::from_secs(3_600)));
        assert_eq!(positions.current("s:1"), Some(first));
        assert_eq!(positions.current("s:2"), None);
        place.move_to(Some(second));
        assert_eq!(positions.current("s:1"), Some(second));
        assert_eq!(positions.at("s:1", between), Some(first));
        assert_eq!(positions.at("s:1", Instant::now()), Some(second));
        assert!(positions.at("s:1", began).is_none_or(|at| at == first));
        place.live_until(Some(between));
        assert_eq!((positions.current("s:1"), positions.at("s:1", between)), (None, None));
        drop(place);
        assert_eq!(positions.current("s:1"), None);
    }

    #[test]
    fn what_did_not_come_by_the_bus_is_in_doubt_until_the_next_change() {
        let positions = Arc::new(Positions::default());
        let place = Place::new(&positions, &"s:1".into());
        let [first, second] = [(); 2].map(|()| Writer::begin().unwrap().position());
        place.live_until(Some(Instant::now() + Duration::from_secs(3_600)));
        place.move_to(Some(first));
        positions.doubt();
        place.move_to(Some(first));
        assert_eq!(positions.current("s:1"), None);
        // What this mount asks for from now on is not in doubt for others.
        assert_eq!(positions.at("s:1", Instant::now()), Some(first));
        place.move_to(Some(second));
        assert_eq!(positions.current("s:1"), Some(second));
    }
}
