//! Contents that no answer holds: read in pieces, or growing.

use crate::nodes::digest;
use crate::provider::{Body, Cause, Growing, Piece, Source, Wanted};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes of a piece; the last one of a content is shorter.
pub const PIECE: u64 = 1 << 20;

/// Pieces that have come before their turn and wait to be summed.
const WAITING: usize = 8;

/// Where the content of a file comes from.
#[derive(Clone, Debug)]
pub enum Remote {
    At(Arc<At>),
    Growing(Arc<Growing>),
}

impl PartialEq for Remote {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Remote::At(one), Remote::At(two)) => one.source == two.source,
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

    /// Equal for equal contents, where anything proves that before they are read.
    pub fn proof(&self) -> Option<u64> {
        match self {
            Remote::At(at) => at.proof(),
            Remote::Growing(_) => None,
        }
    }
}

/// A digest that no other content has.
pub fn unproven() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    digest(format!("unproven {number}").as_bytes())
}

/// One state of a content that is read in pieces.
#[derive(Debug)]
pub struct At {
    pub source: Arc<Source>,
    immutable: bool,
    /// What the service calls this state: as the provider said, or as the first piece did.
    validator: OnceLock<Box<str>>,
    sum: Mutex<Sum>,
}

/// The sum of the pieces so far, where the content's is known.
#[derive(Debug)]
enum Sum {
    Counting {
        next: u64,
        hash: Sha256,
        waiting: BTreeMap<u64, Bytes>,
    },
    /// It was right, or there is nothing to compare with.
    Done,
    Wrong,
}

impl At {
    fn new(source: Arc<Source>, immutable: bool) -> At {
        let validator = source.validator.as_deref().map(Box::from).map(OnceLock::from);
        let counting = || Sum::Counting { next: 0, hash: Sha256::new(), waiting: BTreeMap::new() };
        let sum = source.digest.map_or(Sum::Done, |_| counting());
        At { immutable, validator: validator.unwrap_or_default(), sum: Mutex::new(sum), source }
    }

    fn proof(&self) -> Option<u64> {
        let Source { request, offset, length, validator, digest: sum } = &*self.source;
        if !self.immutable && validator.is_none() && sum.is_none() {
            return None;
        }
        let mut text = format!("{offset} {length} {validator:?} {sum:?}");
        // Formatting into a string does not fail.
        let _ = write!(text, " {} {} {:?}", request.endpoint, request.path, request.headers);
        Some(digest(text.as_bytes()))
    }

    /// The piece that holds this byte, and where it begins.
    pub fn piece_of(offset: u64) -> (u64, u64) {
        (offset / PIECE, offset / PIECE * PIECE)
    }

    /// The request for a piece of a content of which it is one.
    pub fn wanted(&self, piece: u64) -> Wanted<'_> {
        let start = piece * PIECE;
        Wanted {
            source: &self.source,
            start,
            length: PIECE.min(self.source.length - start),
            validator: self.validator.get().map(|tag| &**tag),
        }
    }

    /// Judges a piece that has come. `current`: no event has called this state out of date.
    ///
    /// # Errors
    /// [`Cause::Changed`] where it is, or may be, of another state; [`Cause::Invalid`] where the whole is
    /// not what its digest says.
    pub fn admit(&self, index: u64, piece: &Piece, current: bool) -> Result<(), (Cause, String)> {
        match &piece.validator {
            Some(tag) => {
                let held = self.validator.get_or_init(|| tag.as_str().into());
                if **held != **tag {
                    let detail = "the content was replaced while it was read".to_owned();
                    return Err((Cause::Changed, detail));
                }
            }
            None if !current && !self.immutable && self.source.digest.is_none() => {
                let detail = "the content may have been replaced while it was read".to_owned();
                return Err((Cause::Changed, detail));
            }
            None => {}
        }
        let right = match &piece.whole {
            Some(whole) => self.is_right_whole(whole),
            None => self.is_right(index, &piece.bytes),
        };
        if right {
            return Ok(());
        }
        Err((Cause::Invalid, "the content is not what the service's digest says".to_owned()))
    }

    fn is_right_whole(&self, whole: &Bytes) -> bool {
        let right = self
            .source
            .digest
            .is_none_or(|digest| digest == <[u8; 32]>::from(Sha256::digest(whole)));
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = if right { Sum::Done } else { Sum::Wrong };
        right
    }

    /// Sums up what is read in order. False once the whole is known to be wrong.
    fn is_right(&self, index: u64, bytes: &Bytes) -> bool {
        // No code panics between two changes that belong together.
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        let Sum::Counting { next, hash, waiting } = &mut *sum else {
            return !matches!(*sum, Sum::Wrong);
        };
        if index < *next {
            return true;
        }
        if index > *next {
            if waiting.len() < WAITING {
                waiting.insert(index, bytes.clone());
            }
            return true;
        }
        hash.update(bytes);
        *next += 1;
        while let Some(bytes) = waiting.remove(next) {
            hash.update(&bytes);
            *next += 1;
        }
        waiting.retain(|index, _| *index > *next);
        if *next * PIECE < self.source.length {
            return true;
        }
        let right = self.source.digest == Some(std::mem::take(hash).finalize().into());
        *sum = if right { Sum::Done } else { Sum::Wrong };
        right
    }
}
