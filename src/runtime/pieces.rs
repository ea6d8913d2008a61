//! Files whose content is read in pieces, as somebody looks.
//!
//! An open file is one state of its content. Its pieces are kept by that state, so an event takes none of
//! them away: the service confirms the state with each piece, or the file ends in ESTALE.

use super::fetch::Fetched;
use super::{Open, Runtime};
use crate::cache::{Operation, Query};
use crate::nodes::Node;
use crate::provider::Cause;
use crate::remote::{At, PIECE, Remote};
use bytes::{Bytes, BytesMut};
use omnifs_platform::{Error, OpenId, Result};
use std::sync::Arc;

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
        let mut read = BytesMut::new();
        let mut from = offset;
        while from < end {
            let (index, start) = At::piece_of(from);
            let piece = self.piece(node, index).await?;
            self.look_ahead(open, node, at, index);
            let to = end.min(start + PIECE);
            // A piece is as long as a usize.
            let part = piece.slice((from - start) as usize..(to - start) as usize);
            if from == offset && to == end {
                return Ok(part);
            }
            read.extend_from_slice(&part);
            from = to;
        }
        Ok(read.freeze())
    }

    async fn piece(&self, node: &Arc<Node>, index: u64) -> Result<Bytes> {
        let operation = self.piece_operation(node, index);
        {
            let mut state = self.state();
            let held = state.cache.piece(&Query::new(node, operation.clone()));
            let whole = || {
                let whole = state.cache.content(node, None)?;
                let start = usize::try_from(index * PIECE).ok()?.min(whole.len());
                let end = whole.len().min(start + PIECE as usize);
                Some(whole.slice(start..end))
            };
            if let Some(bytes) = held.or_else(whole) {
                state.cache.counters.hits += 1;
                return Ok(bytes);
            }
            state.cache.counters.misses += 1;
        }
        match self.fetch(node, operation).await.result {
            Ok(Fetched::Piece(bytes)) => Ok(bytes),
            Ok(_) => Err(Error::Invalid),
            Err(failure) => {
                let gone = matches!(failure.cause, Cause::Changed | Cause::NotFound);
                let error = self.failed(node, None, failure);
                if !gone {
                    return Err(error);
                }
                // What is there now is found by the name.
                node.invalidate();
                let mut changes = Vec::new();
                self.state().displace(node, None, &mut changes);
                self.notify(changes);
                Err(Error::Stale)
            }
        }
    }

    fn piece_operation(&self, node: &Node, index: u64) -> Operation {
        let state = *node.digest.get_or_init(crate::remote::unproven);
        Operation::Piece { state, index }
    }

    /// Asks for the next piece of a file that is read in order, before it is wanted.
    fn look_ahead(&self, open: OpenId, node: &Arc<Node>, at: &At, index: u64) {
        let next = index + 1;
        let mut state = self.state();
        let Some(Open::Pieces { ahead, .. }) = state.opens.get_mut(&open) else { return };
        let in_order = *ahead == index;
        if in_order || *ahead == next {
            *ahead = next;
        } else {
            // The first of a new run.
            *ahead = next;
            return;
        }
        if !in_order || next.saturating_mul(PIECE) >= at.source.length {
            return;
        }
        let operation = self.piece_operation(node, next);
        if state.cache.piece(&Query::new(node, operation)).is_some() {
            return;
        }
        drop(state);
        let (runtime, node) = (self.arc(), node.clone());
        // A failure is told to who comes for the piece.
        self.tokio.spawn(async move { drop(runtime.piece(&node, next).await) });
    }

    /// Whether the content of this state is still there, by asking for its beginning.
    pub(super) async fn confirm_pieces(&self, node: &Arc<Node>) -> super::fetch::Landed {
        self.fetch(node, self.piece_operation(node, 0)).await
    }
}
