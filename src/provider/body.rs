//! The bytes of a file, or where they come from: the host's side of `wit/types.wit`.

use super::Request;
use bytes::Bytes;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The whole content.
    Held(Bytes),
    /// Read in pieces when somebody looks.
    At(Arc<Source>),
    /// A stream that only grows, held while somebody has the file open.
    Growing(Arc<Growing>),
}

impl Body {
    /// Bytes, where known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Body::Held(bytes) => Some(bytes.len() as u64),
            Body::At(source) => Some(source.length),
            Body::Growing(_) => None,
        }
    }

    /// The content, where the answer holds it.
    pub fn held(&self) -> Option<&Bytes> {
        match self {
            Body::Held(bytes) => Some(bytes),
            Body::At(_) | Body::Growing(_) => None,
        }
    }
}

/// A content that the service answers in part to a `Range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub request: Request,
    /// Of the content in the answer's body, in bytes.
    pub offset: u64,
    pub length: u64,
    /// A strong entity tag.
    pub validator: Option<String>,
    /// SHA-256 of the content.
    pub digest: Option<[u8; 32]>,
}

/// A log that the service goes on sending while it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growing {
    pub request: Request,
    pub framing: Framing,
    /// Each record begins with an RFC 3339 time and a space.
    pub timed: bool,
    /// The query parameter that has the stream begin at a time.
    pub since: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    Plain,
    Frames(Frames),
}

/// Length-prefixed frames, each of one of several streams; see `wit/types.wit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frames {
    pub header: usize,
    pub number_at: usize,
    pub length_at: usize,
    pub shown: Vec<u8>,
    pub hidden: Vec<u8>,
    pub error: Option<u8>,
    pub unframed: u8,
}

/// A part of a content that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub source: &'a Source,
    /// In the content, in bytes; within it and not empty.
    pub start: u64,
    pub length: u64,
    /// The entity tag of what was read of it before.
    pub validator: Option<&'a str>,
}

/// A part of a content, of exactly the length that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub bytes: Bytes,
    /// The entity tag, or the date, by which the service tells this content from others.
    pub validator: Option<String>,
    /// The whole content, where the service answered with no less.
    pub whole: Option<Bytes>,
}
