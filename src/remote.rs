//! Contents that no answer holds: read in pieces, or growing.

use crate::nodes::digest;
use crate::provider::{Body, Cause, Growing, Piece, Source, Validator, Wanted};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

/// Bytes of a piece; the last one of a content is shorter.
pub const PIECE: u64 = 1 << 20;

/// Where the content of a file comes from.
#[derive(Clone, Debug)]
pub enum Remote {
    At(Arc<At>),
    Growing(Arc<Growing>),
}

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Remote::At(one), Remote::At(two)) => {
                one.source == two.source && !one.is_retired() && !two.is_retired()
            }
            (Remote::Growing(one), Remote::Growing(two)) => one == two,
            _ => false,
        }
    }
}

impl Remote {
    /// `immutable`: the id of its node proves the content.
    pub fn of(body: &Body, immutable: bool) -> Option<Remote> {
        match body {
            Body::Held(_) => None,
            Body::At(source) => Some(Remote::At(Arc::new(At::new(source.clone(), immutable)))),
            Body::Growing(stream) => Some(Remote::Growing(stream.clone())),
        }
    }

    /// Equal for equal contents, where anything proves that before they are read: the node's version
    /// does.
    pub fn proof(&self, version: Option<&str>) -> Option<u64> {
        match self {
            Remote::At(at) => at.proof(version),
            Remote::Growing(_) => None,
        }
    }

    /// What is said of the same place from now on is asked of it anew.
    pub fn retire(&self) {
        if let Remote::At(at) = self {
            at.retire();
        }
    }

    /// Bytes that it takes of memory, roughly.
    pub fn weight(&self) -> usize {
        let request = match self {
            Remote::At(at) => &at.source.request,
            Remote::Growing(growing) => &growing.request,
        };
        let headers = request.headers.iter().map(|(name, value)| name.len() + value.len() + 48);
        size_of::<At>() + size_of::<Source>() + request.path.len() + headers.sum::<usize>()
    }
}

/// A digest that no other content has, in another process neither.
pub fn unproven() -> u64 {
    static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    HASHES.hash_one(("unproven", next()))
}

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// One state of a content that is read in pieces.
#[derive(Debug)]
pub struct At {
    pub source: Arc<Source>,
    /// The name of this state: no other has it, so that what was read of two is never put together.
    pub state: u64,
    immutable: bool,
    /// What the service calls this state: as the provider said, or as the first piece did.
    validator: OnceLock<Validator>,
    /// The service is known to answer in parts.
    in_parts: AtomicBool,
    /// The piece that is asked for until that is known.
    first: OnceLock<u64>,
    sum: Mutex<Sum>,
    retired: AtomicBool,
    /// Why no more of it is read.
    over: OnceLock<Cause>,
}

/// The sum of the pieces so far, where the content's is known.
#[derive(Debug)]
enum Sum {
    Counting {
        next: u64,
        hash: Sha256,
    },
    /// It was right, or there is nothing to compare with.
    Done,
    Wrong,
}

/// What a piece has brought to the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summed {
    /// The piece whose turn it is.
    Next(u64),
    /// Nothing to do: not its turn, or all is summed and right.
    Nothing,
    /// The whole is not what its digest says.
    Wrong,
}

impl At {
    fn new(source: Arc<Source>, immutable: bool) -> At {
        let validator = source.validator.clone().map(|tag| OnceLock::from(Validator::Tag(tag)));
        let counting = || Sum::Counting { next: 0, hash: Sha256::new() };
        let sum = source.digest.map_or(Sum::Done, |_| counting());
        At {
            state: next(),
            immutable,
            validator: validator.unwrap_or_default(),
            in_parts: AtomicBool::new(false),
            first: OnceLock::new(),
            sum: Mutex::new(sum),
            retired: AtomicBool::new(false),
            over: OnceLock::new(),
            source,
        }
    }

    fn proof(&self, version: Option<&str>) -> Option<u64> {
        let Source { request, offset, length, validator, digest: sum } = &*self.source;
        if let Some(sum) = sum {
            return Some(digest(sum));
        }
        if !self.immutable && validator.is_none() && version.is_none() {
            return None;
        }
        let mut text = format!("{offset} {length} {validator:?} {version:?}");
        // Formatting into a string does not fail.
        let _ = write!(text, " {} {} {:?}", request.endpoint, request.path, request.headers);
        Some(digest(text.as_bytes()))
    }

    /// The piece that holds this byte, and where it begins.
    pub fn piece_of(offset: u64) -> (u64, u64) {
        (offset / PIECE, offset / PIECE * PIECE)
    }

    /// The piece to ask for where this one is wanted. Until the service is known to answer in parts it is
    /// asked for one at a time, since each answer may be the whole.
    pub fn to_ask(&self, piece: u64) -> u64 {
        if self.in_parts.load(Ordering::Acquire) {
            return piece;
        }
        *self.first.get_or_init(|| piece)
    }

    /// The request for a piece of a content of which it is one.
    pub fn wanted(&self, piece: u64) -> Wanted<'_> {
        let start = piece * PIECE;
        Wanted {
            source: &self.source,
            start,
            length: PIECE.min(self.source.length - start),
            validator: self.validator.get(),
        }
    }

    /// Judges a piece that has come. `current`: no event has called this state out of date.
    ///
    /// # Errors
    /// [`Cause::Changed`] where it is, or may be, of another state; [`Cause::Invalid`] where the whole is
    /// not what its digest says.
    pub fn admit(&self, piece: &Piece, current: bool) -> Result<(), (Cause, String)> {
        let replaced = |detail: &str| Err((Cause::Changed, detail.to_owned()));
        let known = match &piece.validator {
            // The first to come says which state this is; after an event nothing says that it is the one
            // that was told of.
            Some(now) if current || self.immutable => {
                Some(self.validator.get_or_init(|| now.clone()))
            }
            Some(_) => self.validator.get(),
            None => None,
        };
        if let Some((known, now)) = known.zip(piece.validator.as_ref())
            && !known.is_same(now)
        {
            return replaced("the content was replaced while it was read");
        }
        if !(current || self.immutable || known.is_some_and(Validator::is_strong)) {
            return replaced(
                "an event has named the content, and the service has no strong validator by which \
                 to tell whether it was replaced",
            );
        }
        self.in_parts.store(piece.whole.is_none(), Ordering::Release);
        let Some(whole) = &piece.whole else { return Ok(()) };
        let sum = self.source.digest;
        if sum.is_some_and(|sum| sum != <[u8; 32]>::from(Sha256::digest(whole))) {
            return Err((Cause::Invalid, self.wrong()));
        }
        *self.summed() = Sum::Done;
        Ok(())
    }

    /// Takes a piece into the sum where it is its turn.
    pub fn sum(&self, index: u64, bytes: &Bytes) -> Summed {
        let mut sum = self.summed();
        let (next, hash) = match &mut *sum {
            Sum::Counting { next, hash } => (next, hash),
            Sum::Done => return Summed::Nothing,
            // Also for who waited for the same piece as the one that completed the sum.
            Sum::Wrong => return Summed::Wrong,
        };
        if index != *next {
            return Summed::Nothing;
        }
        hash.update(bytes);
        *next += 1;
        if *next * PIECE < self.source.length {
            return Summed::Next(*next);
        }
        let right = self.source.digest == Some(std::mem::take(hash).finalize().into());
        let (state, summed) = match right {
            true => (Sum::Done, Summed::Nothing),
            false => (Sum::Wrong, Summed::Wrong),
        };
        *sum = state;
        summed
    }

    fn summed(&self) -> MutexGuard<'_, Sum> {
        // No code panics between two changes that belong together.
        self.sum.lock()
    }

    /// What is wrong with a content that is not what its digest says.
    pub fn wrong(&self) -> String {
        let bytes = self.source.length;
        format!("the {bytes} bytes that the service answered are not what its SHA-256 says")
    }

    /// Ends this state: who has it open is told so, and what is said of the same place is another one.
    pub fn end(&self, cause: Cause) {
        let _ = self.over.set(cause);
        self.retire();
    }

    pub fn over(&self) -> Option<Cause> {
        self.over.get().copied()
    }

    fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
