//! A bus that keeps the last message of one scope, may be put back to an earlier state, and answers late.

use super::super::chain::{Head, How, Position, apply};
use super::super::message::{Beat, Message, State};
use super::super::relay::Log;
use super::super::server::{Error, Kept};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

/// What is on its way to a mount. Each beat has a number of the model's own.
#[derive(Clone)]
pub enum Mail {
    Told(Bytes),
    Beat(usize, Bytes),
}

#[derive(Default)]
pub struct Bus {
    pub kept: Option<Kept>,
    next: u64,
    /// States that it may be put back to.
    copies: VecDeque<(Option<Kept>, u64)>,
    /// Who leads, and until when.
    pub lease: Option<(usize, u64)>,
    /// What was told since it was looked at last.
    pub told: Vec<Mail>,
    beats: usize,
    /// Up to which time of the service a place on the chain is complete, by some relay's word.
    pub complete: HashMap<String, usize>,
    /// The next answers that are lost: it is appended, and nobody hears so.
    pub mute: bool,
}

impl Bus {
    pub fn copy(&mut self) {
        self.copies.push_back((self.kept.clone(), self.next));
        if self.copies.len() > 4 {
            self.copies.pop_front();
        }
    }

    /// Is put back to one of its earlier states.
    pub fn put_back(&mut self, which: usize) -> bool {
        let Some((kept, next)) = self.copies.get(which).cloned() else { return false };
        (self.kept, self.next, self.lease) = (kept, next, None);
        true
    }

    pub fn complete(&self, head: &Head) -> usize {
        self.complete.get(&head.to_string()).copied().unwrap_or(0)
    }

    fn append(
        &mut self,
        after: u64,
        payload: &Bytes,
        complete: Option<(Head, usize)>,
    ) -> Result<u64, Error> {
        if self.kept.as_ref().map_or(0, |kept| kept.sequence) != after {
            return Err(Error::Overtaken);
        }
        self.next += 1;
        self.kept = Some(Kept { sequence: self.next, payload: payload.clone() });
        self.told.push(Mail::Told(payload.clone()));
        if let Some((head, time)) = complete {
            let known = self.complete.entry(head.to_string()).or_default();
            *known = (*known).max(time);
        }
        if std::mem::take(&mut self.mute) {
            return Err(Error::Failed("no answer".to_owned()));
        }
        Ok(self.next)
    }
}

/// The bus as one relay has it.
#[derive(Clone)]
pub struct Line {
    pub bus: Arc<Mutex<Bus>>,
    /// Nothing of this relay's arrives, and it hears nothing.
    pub stalled: Arc<AtomicBool>,
    /// The time of the service up to which its feed has told it everything.
    pub complete: Arc<AtomicUsize>,
}

impl Line {
    async fn arrives(&self) {
        std::future::poll_fn(|_| match self.stalled.load(Ordering::Relaxed) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }
}

/// Where a message leads, and whether it says that all was heard. Its signature is a mount's business.
fn place(payload: &[u8]) -> (Position, State) {
    let message: Message = serde_json::from_slice(payload).expect("a message of a relay");
    (apply(None, &message, How::Kept).1, message.state)
}

impl Log for Line {
    async fn last(&self, _: &str) -> Result<Option<Kept>, Error> {
        self.arrives().await;
        Ok(self.bus.lock().kept.clone())
    }

    async fn append(&self, _: String, after: u64, payload: Vec<u8>) -> Result<u64, Error> {
        // What the relay knows is what it knew when it wrote this.
        let (position, state) = place(&payload);
        let complete = self.complete.load(Ordering::Relaxed);
        let complete = (state == State::Live).then_some((position.head, complete));
        self.arrives().await;
        let appended = self.bus.lock().append(after, &payload.into(), complete);
        self.arrives().await;
        appended
    }

    async fn tell(&self, _: String, payload: Vec<u8>) -> Result<(), Error> {
        let _: Beat = serde_json::from_slice(&payload).expect("a beat of a relay");
        self.arrives().await;
        let mut bus = self.bus.lock();
        bus.beats += 1;
        let beat = Mail::Beat(bus.beats, payload.into());
        bus.told.push(beat);
        Ok(())
    }
}
