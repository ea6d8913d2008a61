//! Provider calls: one at a time for each (node, operation).
//!
//! An answer is kept only if no event that concerns it came between the beginning of the call and
//! its landing. Whoever asks while a call is under way shares it, unless such an event came before
//! they asked: then they would see something older than what they had been told, so they ask again.
//!
//! A call that a stuck service has kept waiting is shared for a moment longer: a kernel that gets an
//! error where it revalidates a name, or reads ahead, puts the same question again at once, and its
//! caller would wait twice.

use super::calls::{Call, SLOW};
use super::landing::Events;
use super::{Runtime, State};
use crate::cache::{Listing, Operation, Query};
use crate::mutants::{Mutant, planted};
use crate::nodes::Node;
use crate::provider::{self, Answer, Cause, Failure, Piece};
use bytes::Bytes;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::sync::Notify;

/// What a call brought.
#[derive(Clone, Debug)]
pub(super) enum Fetched {
    Child(Arc<Node>),
    Listing(Arc<Listing>),
    Content(Bytes, Arc<Node>),
    Piece(Piece),
}

#[derive(Clone, Debug)]
pub(super) struct Landed {
    pub result: Result<Fetched, Failure>,
    pub stamp: u64,
    /// The first event since the call began that concerns the answer.
    pub spoiled: Option<u64>,
}

impl Landed {
    /// The service has not answered.
    pub fn is_unanswered(&self) -> bool {
        let failure = self.result.as_ref().err();
        failure.is_some_and(|f| matches!(f.cause, Cause::TimedOut | Cause::Unavailable))
    }
}

#[derive(Debug)]
pub(super) struct Flight {
    /// When what it brings was asked for.
    pub stamp: AtomicU64,
    pub landed: OnceLock<Landed>,
    pub done: Notify,
}

impl Flight {
    async fn wait(&self) -> &Landed {
        loop {
            let done = self.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            if let Some(landed) = self.landed.get() {
                return landed;
            }
            done.await;
        }
    }
}

/// What was looked for in memory, or what a call brought.
pub(super) enum Had<T> {
    Held(T),
    Landed(Landed),
}

/// An answer as the provider gave it.
pub(super) enum Raw {
    Child(Answer<provider::Node>),
    Listing(Answer<Vec<provider::Node>>),
    Content(Answer<Bytes>),
    Piece(Piece),
}

impl Runtime {
    /// Asks the provider, or shares a call that is under way.
    pub(super) async fn fetch(&self, node: &Arc<Node>, operation: Operation) -> Landed {
        match self.fetch_missing(node, operation, |_| None::<Infallible>).await {
            Had::Landed(landed) => landed,
            Had::Held(never) => match never {},
        }
    }

    /// What memory holds of it; else asks the provider, or shares a call that is under way. Memory is looked
    /// into under the lock under which a call is joined: what lands between the two would be asked for twice.
    pub(super) async fn fetch_missing<T>(
        &self,
        node: &Arc<Node>,
        operation: Operation,
        mut held: impl FnMut(&mut State) -> Option<T>,
    ) -> Had<T> {
        let query = Query::new(node, operation);
        let mut asked = None;
        let mut waited = false;
        loop {
            let mut brings = None;
            let (flight, call) = {
                let mut state = self.state();
                if let Some(held) = held(&mut state) {
                    return Had::Held(held);
                }
                // What another call was to bring along and has not brought is asked for.
                if query.operation == Operation::Read && !std::mem::replace(&mut waited, true) {
                    brings = state.brings(node);
                }
                match &brings {
                    Some(flight) => (flight.clone(), None),
                    None => {
                        asked = asked.or_else(|| Some(state.ledger.sequence()));
                        self.join(&mut state, &query, node)
                    }
                }
            };
            if let Some(call) = call {
                // Its own task, so that the call lands whoever stops waiting for it.
                self.tokio.spawn(call.run());
            }
            let began = Instant::now();
            let landed = flight.wait().await;
            if brings.is_some() {
                // Nobody waits for a stuck service twice.
                if landed.is_unanswered() && began.elapsed() >= SLOW {
                    return Had::Landed(landed.clone());
                }
                continue;
            }
            match landed.spoiled {
                Some(event) if Some(event) <= asked && !planted(Mutant::SharesOvertaken) => {}
                _ => return Had::Landed(landed.clone()),
            }
        }
    }

    /// A call that is under way, or one that is to be run now.
    fn join(
        &self,
        state: &mut State,
        query: &Query,
        node: &Arc<Node>,
    ) -> (Arc<Flight>, Option<Call>) {
        if let Some(flight) = state.flights.get(query) {
            // A piece is of one state, whatever has happened since.
            if let Operation::Piece { .. } = query.operation {
                return (flight.clone(), None);
            }
            // One that an event has already overtaken is not worth waiting for.
            let events = Events::since(state, query.instance, flight.stamp.load(Ordering::Acquire));
            if events.on_binding(node).is_none() {
                return (flight.clone(), None);
            }
        }
        let stamp = state.ledger.begin();
        let flight =
            Arc::new(Flight { stamp: stamp.into(), landed: OnceLock::new(), done: Notify::new() });
        state.flights.insert(query.clone(), flight.clone());
        // Under this lock, so that whoever asks next knows what this call brings along.
        let place = match query.operation {
            Operation::Read => state.read_in_tree(node, &flight),
            _ => None,
        };
        let call = Call {
            runtime: self.arc(),
            query: query.clone(),
            node: node.clone(),
            stamp,
            began: Instant::now(),
            flight: flight.clone(),
            forbidden: 0,
            place,
        };
        (flight, Some(call))
    }
}
