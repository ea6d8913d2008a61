//! Every value that every object ever had, so that a test can tell a stale read from a fresh one.
//!
//! Objects are named by their upstream identity: GitHub `issue:{repository id}/{number}`,
//! `comment:{id}`, `repo:{id}`, `run:{id}`, `release:{id}`, `ref:{repository id}/{full ref}`;
//! Linear `issue:{uuid}`, `comment:{uuid}` and so on.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

/// One value of one object.
#[derive(Clone, Debug)]
pub struct Version {
    /// The change that made it: 1 for the first change to the twin, 0 for what it began with.
    pub sequence: u64,
    /// When it took effect; absent for what the twin began with.
    pub at: Option<Instant>,
    /// The object's fields, or nothing while it does not exist.
    pub value: Option<Value>,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    sequence: u64,
    versions: HashMap<String, Vec<Version>>,
}

impl History {
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Call with the lock that guards the data held: the change and its record are one step.
    pub fn record(&mut self, object: &str, before: Option<Value>, after: Option<Value>) -> u64 {
        self.sequence += 1;
        let sequence = self.sequence;
        let versions = self
            .versions
            .entry(object.to_owned())
            .or_insert_with(|| vec![Version { sequence: 0, at: None, value: before }]);
        versions.push(Version { sequence, at: Some(Instant::now()), value: after });
        sequence
    }

    /// Oldest first. `current` stands for an object that never changed.
    pub fn versions(&self, object: &str, current: Option<Value>) -> Vec<Version> {
        match self.versions.get(object) {
            Some(versions) => versions.clone(),
            None => vec![Version { sequence: 0, at: None, value: current }],
        }
    }

    /// The values the object had at any moment from just after change `from` until just after
    /// change `to`.
    pub fn between(
        &self,
        object: &str,
        current: Option<Value>,
        from: u64,
        to: u64,
    ) -> Vec<Option<Value>> {
        let versions = self.versions(object, current);
        let first = versions.iter().rposition(|v| v.sequence <= from).unwrap_or(0);
        let inside = versions[first..].iter().enumerate();
        inside.filter(|(i, v)| *i == 0 || v.sequence <= to).map(|(_, v)| v.value.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_window_holds_the_value_at_its_start_and_every_later_one_inside() {
        let mut history = History::default();
        history.record("a", Some(json!(0)), Some(json!(1)));
        history.record("b", None, Some(json!("b")));
        history.record("a", Some(json!(1)), Some(json!(2)));
        history.record("a", Some(json!(2)), None);
        assert_eq!(history.between("a", None, 0, 0), [Some(json!(0))]);
        assert_eq!(history.between("a", None, 2, 3), [Some(json!(1)), Some(json!(2))]);
        assert_eq!(history.between("a", None, 4, 9), [None]);
        assert_eq!(history.between("never", Some(json!(7)), 0, 9), [Some(json!(7))]);
    }
}
