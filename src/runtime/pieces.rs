//! Files whose content is read in pieces, as somebody looks.
//!
//! An open file is one state of its content. Its pieces are kept by that state, so an event takes none of
//! them away: the service confirms the state with each piece, or the file ends in ESTALE.

use super::fetch::{Fetched, Had, Landed};
use super::{Open, Runtime, State};
use crate::cache::{Operation, PIECES_MAX, Query};
use crate::nodes::Node;
use crate::provider::{Cause, Failure, Piece};
use crate::remote::{At, PIECE, Remote, Summed};
use bytes::{Bytes, BytesMut};
use omnifs_platform::{Error, OpenId, Result};
use std::sync::Arc;

/// With more who read in order than this, the next pieces of all of them would drop what they are reading.
const AHEAD_FOR: u64 = PIECES_MAX as u64 / PIECE / 2;

/// A part of a content, or all of it where the service answers with no less.
enum Part {
    Piece(Bytes),
    Whole(Bytes),
}

impl Runtime {
    /// A part of an open file: `size` bytes at `offset`, fewer at its end.
    pub(super) async fn read_pieces(
        &self,
        open: OpenId,
        node: &Arc<Node>,
        offset: u64,
        size: u32,
    ) -> Result<Bytes> {
        let Some(Remote::At(at)) = &node.remote else { return Err(Error::Invalid) };
        let end = offset.saturating_add(size.into()).min(at.source.length);
        // What follows is of a content's piece, or of a whole that is held: as long as a usize.
        let slice = |bytes: &Bytes, from: u64, to: u64| bytes.slice(from as usize..to as usize);
        let mut read = BytesMut::new();
        let mut from = offset;
        while from < end {
            let (index, start) = At::piece_of(from);
            let piece = match self.piece(node, at, index).await? {
                Part::Piece(piece) => piece,
                Part::Whole(whole) => {
                    self.hold_whole(open, &whole);
                    return Ok(slice(&whole, offset, end));
                }
            };
            self.look_ahead(open, node, at, index);
            let to = end.min(start + PIECE);
            let part = slice(&piece, from - start, to - start);
            if from == offset && to == end {
                return Ok(part);
            }
            read.extend_from_slice(&part);
            from = to;
        }
        Ok(read.freeze())
    }

    async fn piece(&self, node: &Arc<Node>, at: &At, index: u64) -> Result<Part> {
        loop {
            if let Some(over) = at.over() {
                return Err(over.error());
            }
            let asked = at.to_ask(index);
            let operation = Operation::Piece { state: at.state, index: asked };
            let had = self.fetch_missing(node, operation, |state| state.part(node, at, index));
            let landed = match had.await {
                Had::Held(Part::Piece(bytes)) => return self.summed(node, at, index, bytes),
                Had::Held(whole @ Part::Whole(_)) => return Ok(whole),
                Had::Landed(landed) => landed,
            };
            match landed.result {
                Ok(Fetched::Piece(Piece { whole: Some(whole), .. })) => {
                    return Ok(Part::Whole(whole));
                }
                Ok(Fetched::Piece(Piece { bytes, .. })) if asked == index => {
                    return self.summed(node, at, index, bytes);
                }
                // Now it is known that there are parts.
                Ok(Fetched::Piece(_)) => {}
                Ok(_) => return Err(Error::Invalid),
                Err(failure) => return Err(self.piece_failed(node, at, failure)),
            }
        }
    }

    /// A piece that has come, and is the last that was missing to the sum only where that is right.
    fn summed(&self, node: &Arc<Node>, at: &At, index: u64, bytes: Bytes) -> Result<Part> {
        let mut summed = at.sum(index, &bytes);
        // Pieces may have come before their turn.
        while let Summed::Next(next) = summed {
            let query = Query::new(node, Operation::Piece { state: at.state, index: next });
            let piece = self.state().cache.piece(&query);
            summed = piece.map_or(Summed::Nothing, |piece| at.sum(next, &piece));
        }
        if summed != Summed::Wrong {
            return Ok(Part::Piece(bytes));
        }
        let provider = self.router.name(node.instance);
        let failure =
            Failure { provider, cause: Cause::Invalid, detail: at.wrong(), retry_after: None };
        Err(self.end(node, at, failure))
    }

    fn piece_failed(&self, node: &Arc<Node>, at: &At, failure: Failure) -> Error {
        match failure.cause {
            Cause::Changed => self.end(node, at, failure),
            Cause::NotFound => self.end(node, at, Failure { cause: Cause::Changed, ..failure }),
            _ => self.failed(node, None, failure),
        }
    }

    /// Nothing more is read of this state; what is there now is found by the name.
    fn end(&self, node: &Arc<Node>, at: &At, failure: Failure) -> Error {
        at.end(failure.cause);
        node.invalidate();
        let mut changes = Vec::new();
        let mut state = self.state();
        for handle in state.inodes.handles_of(node) {
            // By another one a newer state may be shown.
            if state.inodes.slot(handle).is_some_and(|slot| Arc::ptr_eq(&slot.node, node)) {
                state.supersede(handle, &mut changes);
            }
        }
        drop(state);
        let error = self.failed(node, None, failure);
        self.notify(changes);
        error
    }

    /// An open file whose service has answered with the whole holds that, as any other.
    fn hold_whole(&self, open: OpenId, whole: &Bytes) {
        let mut state = self.state();
        if let Some(opened) = state.opens.get_mut(&open)
            && let Open::Pieces { handle, .. } = opened
        {
            let (handle, bytes) = (*handle, whole.clone());
            *opened = Open::File { handle, bytes, volatile: false, at_end: false };
        }
    }

    /// Asks for the next piece of a file that is read in order, before it is wanted.
    fn look_ahead(&self, open: OpenId, node: &Arc<Node>, at: &Arc<At>, index: u64) {
        let next = index + 1;
        let mut state = self.state();
        let steps = state.steps + 1;
        let Some(Open::Pieces { ahead, step, .. }) = state.opens.get_mut(&open) else { return };
        // What is read once more in the same piece, or begins another run, asks for nothing.
        if std::mem::replace(ahead, next) != index {
            return;
        }
        *step = steps;
        state.steps = steps;
        let reads = |open: &&Open| match open {
            Open::Pieces { step, .. } => *step > 0 && *step + 2 * AHEAD_FOR > steps,
            _ => false,
        };
        let readers = state.opens.values().filter(reads).count() as u64;
        if readers > AHEAD_FOR || next.saturating_mul(PIECE) >= at.source.length {
            return;
        }
        drop(state);
        let (runtime, node, at) = (self.arc(), node.clone(), at.clone());
        // A failure is told to who comes for the piece.
        self.tokio.spawn(async move { drop(runtime.piece(&node, &at, next).await) });
    }

    /// Whether the content of this state is still there, by asking for its beginning.
    pub(super) async fn confirm_pieces(&self, node: &Arc<Node>, at: &At) -> Landed {
        self.fetch(node, Operation::Piece { state: at.state, index: 0 }).await
    }
}

impl State {
    /// What is held of the piece.
    fn part(&mut self, node: &Arc<Node>, at: &At, index: u64) -> Option<Part> {
        let query = Query::new(node, Operation::Piece { state: at.state, index });
        let piece = self.cache.piece(&query).map(Part::Piece);
        let held = piece.or_else(|| self.cache.content(node, None).map(Part::Whole));
        match held {
            Some(_) => self.cache.note_hit(node.instance),
            None => self.cache.note_miss(node.instance),
        }
        held
    }
}
