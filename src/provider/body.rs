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
    pub since: Option<Since>,
}

/// The query parameter that has a stream begin at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    pub parameter: String,
    pub form: TimeForm,
}

/// How a service reads a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// Since the Unix epoch, with a fraction.
    Seconds,
    Rfc3339,
}

impl Since {
    /// Of a parameter that takes seconds.
    pub fn seconds(parameter: impl Into<String>) -> Since {
        Since { parameter: parameter.into(), form: TimeForm::Seconds }
    }
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
    /// What the service calls the state that was read before.
    pub validator: Option<&'a Validator>,
}

/// What a service tells one state of a content from another by (RFC 9110, section 8.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validator {
    /// An entity tag as it is sent; one that begins with `W/` is weak.
    Tag(String),
    /// A `Last-Modified`. `settled`: the answer that brought it was made in a later second, so no other
    /// state has that date.
    Date { text: String, settled: bool },
}

impl Validator {
    /// Equal ones mean equal bytes.
    pub fn is_strong(&self) -> bool {
        match self {
            Validator::Tag(tag) => tag.starts_with('"'),
            Validator::Date { settled, .. } => *settled,
        }
    }

    /// Whether both name one state, as far as validators of their strength can tell.
    pub fn is_same(&self, other: &Validator) -> bool {
        match (self, other) {
            (Validator::Tag(one), Validator::Tag(two)) => one == two,
            (Validator::Date { text: one, .. }, Validator::Date { text: two, .. }) => one == two,
            _ => false,
        }
    }
}

/// A part of a content, of exactly the length that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub bytes: Bytes,
    /// What the service calls the state that it is of: where one was asked for, of the same form.
    pub validator: Option<Validator>,
    /// The whole content, where the service answered with no less.
    pub whole: Option<Bytes>,
}
