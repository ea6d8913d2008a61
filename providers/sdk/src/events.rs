//! What a feed says, in the provider's own ids.

use crate::bindings::service::omnifs::provider::types::Header;
use crate::{Error, NodeId, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One thing that happened; see `wit/events.wit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Invalidated(String),
    Removed(String),
    ChildrenChanged(String),
    Gap(String),
}

/// What one item of a feed changed, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(pub Vec<Change>);

impl Changes {
    /// These objects' attributes, leaves or entries changed.
    pub fn invalidated<I: NodeId>(&mut self, ids: impl IntoIterator<Item = I>) -> &mut Self {
        self.extend(ids, Change::Invalidated)
    }

    /// These objects are gone, with their leaves.
    pub fn removed<I: NodeId>(&mut self, ids: impl IntoIterator<Item = I>) -> &mut Self {
        self.extend(ids, Change::Removed)
    }

    /// These objects changed, or are gone.
    pub fn moved<I: NodeId>(&mut self, ids: impl IntoIterator<Item = I>, gone: bool) -> &mut Self {
        if gone { self.removed(ids) } else { self.invalidated(ids) }
    }

    /// These directories' entry sets changed; the objects in them did not.
    pub fn children_changed<I: NodeId>(&mut self, ids: impl IntoIterator<Item = I>) -> &mut Self {
        self.extend(ids, Change::ChildrenChanged)
    }

    /// Events of this scope were or may have been missed.
    pub fn gap(&mut self, scope: impl Into<String>) -> &mut Self {
        self.push(Change::Gap(scope.into()))
    }

    fn extend<I: NodeId>(
        &mut self,
        ids: impl IntoIterator<Item = I>,
        change: impl Fn(String) -> Change,
    ) -> &mut Self {
        ids.into_iter().for_each(|id| {
            self.push(change(id.encode()));
        });
        self
    }

    /// Says each thing once: a later repetition within one item adds nothing.
    fn push(&mut self, change: Change) -> &mut Self {
        if !self.0.contains(&change) {
            self.0.push(change);
        }
        self
    }
}

/// Where a feed stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub feed: String,
    pub scope: String,
    pub cursor: Option<String>,
    /// Upstream seconds since the Unix epoch before which nothing of this scope was fetched.
    pub since: u64,
}

/// What one item of a feed came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub changes: Changes,
    /// Where to resume. `None` keeps the one held.
    pub cursor: Option<String>,
    /// The stream was resumed from the cursor and nothing was missed in between.
    pub resumed: bool,
    /// Poll: the shortest wait in seconds before the next one.
    pub wait: Option<u32>,
}

/// A webhook delivery whose signature the host has checked.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    pub feed: String,
    pub(crate) headers: Vec<Header>,
    pub body: Vec<u8>,
}

impl Delivery {
    /// For tests: header names in lower case.
    pub fn new(feed: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| Header { name: (*name).to_owned(), value: (*value).to_owned() });
        Delivery { feed: feed.to_owned(), headers: headers.collect(), body: body.into() }
    }

    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
    }

    /// What `read` finds in the payload. `None` is one that lacks what an event of this name must have:
    /// it is refused, which the host takes for a gap.
    pub fn read<T>(&self, event: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<T> {
        let lacks = || Error::Invalid(format!("the {event} delivery lacks what it is about"));
        read(&self.json()?).ok_or_else(lacks)
    }

    /// The payload.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        parse(&self.body, "the delivery")
    }
}

/// An item of a feed as JSON.
pub fn parse<T: DeserializeOwned>(item: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(item)
        .map_err(|error| Error::Invalid(format!("{what} is not as expected: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_that_is_no_json_or_lacks_its_subject_is_refused() {
        let read = |body: &str| {
            Delivery::new("hooks", &[], body).read("issues", |payload| payload["id"].as_u64())
        };
        assert_eq!(read(r#"{"id": 7}"#).unwrap(), 7);
        for body in [r#"{"id": "7"}"#, "{}", "{", ""] {
            assert!(matches!(read(body), Err(Error::Invalid(_))), "{body}");
        }
    }
}
