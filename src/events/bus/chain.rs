//! The chain of a scope's changes: how a mount knows which of them it has not heard of, whatever was lost,
//! repeated or put in another order on the way.
//!
//! Each change has a number and a *head*, the digest of the head before it and of the change. A mount keeps
//! the number and the head that it has got to. A message holds the last [`WINDOW`] changes and the head
//! before them: where the mount's own head is on that chain, the changes behind it are all that it missed; where
//! it is not, something else was missed, and that is a gap. A number alone would not do: after the bus was put
//! back to an earlier state the same numbers are given to other changes.

use super::message::Message;
use crate::provider::Change;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Changes that a message holds at most.
pub const WINDOW: usize = 64;

/// Bytes of an id on the chain. What is longer is told as a gap.
const ID: usize = 16 << 10;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Head([u8; 32]);

impl Head {
    /// Where a new chain begins: at no place where another one could be.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn anywhere() -> Result<Head, String> {
        let mut head = [0; 32];
        getrandom::fill(&mut head).map_err(|error| error.to_string())?;
        Ok(Head(head))
    }

    pub fn then(&self, link: &Link) -> Head {
        let mut digest = Sha256::new();
        digest.update(self.0);
        // The kinds have no zero byte.
        digest.update(link.kind.word());
        digest.update([0]);
        digest.update(link.id.as_bytes());
        Head(digest.finalize().into())
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Head {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Head, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || D::Error::custom("not a head");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut head = Head::default();
        for (byte, at) in head.0.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(head)
    }
}

/// A change as it is told: `["invalidated", ID]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(Kind, Arc<str>)", into = "(Kind, Arc<str>)")]
pub struct Link {
    kind: Kind,
    id: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Invalidated,
    Removed,
    Children,
    Gap,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Invalidated => "invalidated",
            Kind::Removed => "removed",
            Kind::Children => "children",
            Kind::Gap => "gap",
        }
    }
}

impl From<(Kind, Arc<str>)> for Link {
    fn from((kind, id): (Kind, Arc<str>)) -> Link {
        Link { kind, id }
    }
}

impl From<Link> for (Kind, Arc<str>) {
    fn from(Link { kind, id }: Link) -> Self {
        (kind, id)
    }
}

impl Link {
    pub fn of(change: &Change) -> Link {
        let (kind, id) = match change {
            Change::Invalidated(id) => (Kind::Invalidated, id),
            Change::Removed(id) => (Kind::Removed, id),
            Change::ChildrenChanged(id) => (Kind::Children, id),
            // It is about the scope that the message is of.
            Change::Gap(_) => return Link::gap(),
        };
        if id.len() > ID { Link::gap() } else { Link { kind, id: id.clone() } }
    }

    pub fn gap() -> Link {
        Link { kind: Kind::Gap, id: "".into() }
    }

    /// Where somebody goes on: no other chain does so with the same head, also where the same changes are told again to a
    /// bus that was put back. About nothing that there is.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn mark() -> Result<Link, String> {
        Ok(Link { kind: Kind::Children, id: Head::anywhere()?.to_string().into() })
    }

    /// The change for the ledger. What a relay says is gone is asked for again, so that one that lies costs
    /// requests and hides nothing.
    pub fn change(&self, scope: &Arc<str>) -> Change {
        match self.kind {
            Kind::Invalidated | Kind::Removed => Change::Invalidated(self.id.clone()),
            Kind::Children => Change::ChildrenChanged(self.id.clone()),
            Kind::Gap => Change::Gap(scope.clone()),
        }
    }
}

/// How far on a scope's chain somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub n: u64,
    pub head: Head,
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is the one that the bus keeps now: nothing newer was ever said.
    Kept,
    /// As it was said, or later, or once more.
    Told,
}

/// What a message comes to for somebody at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These changes, oldest first, are all that was missed; often none.
    Resumed(Vec<Link>),
    /// What was missed is not known.
    Gap,
    /// Something newer has been heard of.
    Ignored,
}

/// Where a message leads, and what was missed on the way. `own` is absent before the first message, and what
/// was missed before it is not known.
pub fn apply(own: Option<&Position>, message: &Message, how: How) -> (Outcome, Position) {
    let mut head = message.base;
    let mut n = message.n.saturating_sub(message.win.len() as u64);
    let mut missed = None;
    for at in 0..=message.win.len() {
        if own.is_some_and(|own| own.n == n && own.head == head) {
            missed = Some(&message.win[at..]);
        }
        if let Some(link) = message.win.get(at) {
            head = head.then(link);
            n += 1;
        }
    }
    let there = Position { n, head };
    match (missed, own) {
        (Some(missed), _) => (Outcome::Resumed(missed.to_vec()), there),
        // A message that was overtaken. What the bus keeps now is not: it was put back.
        (None, Some(own)) if how == How::Told && n < own.n => (Outcome::Ignored, *own),
        (None, _) => (Outcome::Gap, there),
    }
}

/// The end of a chain that is written.
#[derive(Clone, Debug)]
pub struct Writer {
    n: u64,
    base: Head,
    win: VecDeque<Link>,
    head: Head,
}

impl Writer {
    /// # Errors
    /// The system has no random numbers.
    pub fn begin() -> Result<Writer, String> {
        let base = Head::anywhere()?;
        Ok(Writer { n: 0, base, win: VecDeque::new(), head: base })
    }

    /// Goes on where another has stopped.
    pub fn after(message: &Message) -> Writer {
        let (_, Position { n, head }) = apply(None, message, How::Kept);
        Writer { n, base: message.base, win: message.win.iter().cloned().collect(), head }
    }

    pub fn push(&mut self, link: Link) {
        self.head = self.head.then(&link);
        self.n += 1;
        self.win.push_back(link);
        if self.win.len() > WINDOW
            && let Some(oldest) = self.win.pop_front()
        {
            self.base = self.base.then(&oldest);
        }
    }

    pub fn position(&self) -> Position {
        Position { n: self.n, head: self.head }
    }

    pub fn base(&self) -> Head {
        self.base
    }

    pub fn window(&self) -> Vec<Link> {
        self.win.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
