//! A service that changes, and says what has changed since a cursor.

use crate::provider::Change;
use std::sync::Arc;

pub const OBJECTS: usize = 6;

/// Changes are counted: the time is how many there were.
#[derive(Default)]
pub struct Service {
    /// Which object each of them was about.
    changes: Vec<usize>,
    /// What it can still tell begins here.
    known: usize,
}

/// What a poll comes to.
pub struct Poll {
    pub changes: Vec<Change>,
    /// Nothing since the cursor is missing.
    pub proves: bool,
    pub cursor: String,
    /// The time up to which it is complete.
    pub time: usize,
}

pub fn id(object: usize) -> Arc<str> {
    format!("o{object}").into()
}

pub fn object(id: &str) -> usize {
    id[1..].parse().expect("an id of the model")
}

impl Service {
    pub fn time(&self) -> usize {
        self.changes.len()
    }

    pub fn change(&mut self, object: usize) {
        self.changes.push(object);
    }

    /// Nothing from before can be told any more.
    pub fn forget(&mut self) {
        self.known = self.time();
    }

    /// The first change of an object after `time` and not after `until`.
    pub fn changed(&self, object: usize, time: usize, until: usize) -> Option<usize> {
        let until = until.min(self.time());
        (time..until).find(|at| self.changes[*at] == object).map(|at| at + 1)
    }

    /// The object of one of the last changes.
    pub fn recent(&self, back: usize) -> Option<usize> {
        self.changes.iter().rev().nth(back).copied()
    }

    pub fn poll(&self, cursor: Option<&str>, scope: &str) -> Poll {
        let (time, cursor) = (self.time(), cursor.and_then(|cursor| cursor.parse().ok()));
        let (changes, proves) = match cursor {
            None => (Vec::new(), false),
            Some(at) if at < self.known => (vec![Change::Gap(scope.into())], false),
            Some(at) => {
                let named =
                    self.changes[at..].iter().map(|object| Change::Invalidated(id(*object)));
                (named.collect(), true)
            }
        };
        Poll { changes, proves, cursor: time.to_string(), time }
    }
}
