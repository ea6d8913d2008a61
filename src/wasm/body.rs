//! Contents that a guest does not hold itself: where they are, and where they come from.

use super::bindings::omnifs::provider::types;
use super::convert::{self, Fault, check_content, invalid, over};
use super::limits;
use crate::provider::{Body, Frames, Framing, Growing, Kind, Method, Since, Source, TimeForm};
use bytes::Bytes;
use std::fmt::Display;
use std::sync::Arc;

/// The content of `what`.
pub(super) fn body(
    raw: types::Body,
    kind: Kind,
    volatile: bool,
    what: &dyn Display,
) -> Result<Body, Fault> {
    let file = matches!(kind, Kind::File | Kind::Executable);
    match raw {
        _ if kind == Kind::Directory => invalid(format!("gave content for the directory {what}")),
        types::Body::Held(bytes) => {
            check_content(&bytes, kind == Kind::Symlink, what)?;
            Ok(Body::Held(Bytes::from(bytes)))
        }
        types::Body::At(_) | types::Body::Growing(_) if !file => {
            invalid(format!("gave the symbolic link {what} no target of its own"))
        }
        types::Body::At(_) if volatile => {
            invalid(format!("gave the volatile {what} a place for its content, which may change"))
        }
        types::Body::At(raw) => source(raw, what).map(|source| Body::At(Arc::new(source))),
        types::Body::Growing(_) if !volatile => {
            invalid(format!("gave {what} a growing content and does not call it volatile"))
        }
        types::Body::Growing(raw) => {
            growing(raw, what).map(|growing| Body::Growing(Arc::new(growing)))
        }
    }
}

fn source(raw: types::Source, what: &dyn Display) -> Result<Source, Fault> {
    let request = convert::request(raw.request);
    if request.method != Method::Get || request.body.is_some() {
        return invalid(format!("gave {what} a place that is not reached by GET"));
    }
    let own = ["range", "if-match", "if-none-match", "if-range", "if-modified-since"];
    if request.headers.iter().any(|(name, _)| own.iter().any(|own| name.eq_ignore_ascii_case(own)))
    {
        return invalid(format!(
            "asks for {what} with a range or a condition, which the host adds"
        ));
    }
    if raw.offset.checked_add(raw.length).is_none_or(|end| end > i64::MAX as u64) {
        return over(format!("gave {what} a place beyond {} bytes", i64::MAX));
    }
    if let Some(tag) = &raw.validator {
        let strong = tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"');
        if !strong || tag.len() > limits::VERSION_MAX || !tag.bytes().all(|b| b > b' ' && b != 127)
        {
            return invalid(format!("gave {what} a validator that is no strong entity tag"));
        }
    }
    let digest = raw.digest.as_deref().map(|digest| sha256(digest, what)).transpose()?;
    let (offset, length, validator) = (raw.offset, raw.length, raw.validator);
    Ok(Source { request, offset, length, validator, digest })
}

fn sha256(text: &str, what: &dyn Display) -> Result<[u8; 32], Fault> {
    let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.is_ascii());
    let mut digest = [0; 32];
    let read = hex.is_some_and(|hex| {
        digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)).all(|(byte, pair)| {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            // `from_str_radix` alone would take a sign.
            let value = u8::from_str_radix(pair, 16);
            pair.bytes().all(|b| b.is_ascii_hexdigit()) && value.map(|v| *byte = v).is_ok()
        })
    });
    if read { Ok(digest) } else { invalid(format!("gave {what} a digest that is no sha256:HEX")) }
}

fn growing(raw: types::Growing, what: &dyn Display) -> Result<Growing, Fault> {
    let request = convert::request(raw.request);
    if request.method != Method::Get || request.body.is_some() {
        return invalid(format!("gave {what} a stream that is not opened by GET"));
    }
    let framing = match raw.framing {
        types::Framing::Plain => Framing::Plain,
        types::Framing::Frames(frames) => Framing::Frames(check_frames(frames, what)?),
    };
    let since = raw.since.as_deref().map(since);
    if since.as_ref().is_some_and(|since| !raw.timed || since.is_none()) {
        return invalid(format!("gave {what} a stream that cannot be resumed as it says"));
    }
    Ok(Growing { request, framing, timed: raw.timed, since: since.flatten() })
}

/// The parameter, and how it takes a time; nothing where that cannot be known.
fn since(text: &str) -> Option<Since> {
    let (parameter, form) = match text.split_once('=') {
        None => (text, TimeForm::Seconds),
        Some((parameter, "rfc3339")) => (parameter, TimeForm::Rfc3339),
        Some(_) => return None,
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let named = (1..=64).contains(&parameter.len()) && parameter.bytes().all(plain);
    named.then(|| Since { parameter: parameter.to_owned(), form })
}

fn check_frames(raw: types::Frames, what: &dyn Display) -> Result<Frames, Fault> {
    let (header, number_at) = (usize::from(raw.header), usize::from(raw.number_at));
    let length_at = usize::from(raw.length_at);
    if header > 64 || number_at >= header || length_at + 4 > header {
        return invalid(format!("gave {what} frames whose header does not hold what it says"));
    }
    let types::Frames { shown, hidden, error, unframed, .. } = raw;
    Ok(Frames { header, number_at, length_at, shown, hidden, error, unframed })
}

/// Bytes that the host holds for a content.
pub(super) fn weight(body: &types::Body) -> usize {
    let request = |request: &types::Request| {
        let header = |h: &types::Header| size_of_val(h) + h.name.len() + h.value.len();
        let headers = request.headers.iter().map(header).sum::<usize>();
        let body = request.body.as_ref().map_or(0, Vec::len);
        size_of::<Source>() + request.path.len() + request.endpoint.len() + headers + body
    };
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    match body {
        types::Body::Held(bytes) => bytes.len(),
        types::Body::At(source) => request(&source.request) + text(&source.validator),
        types::Body::Growing(growing) => request(&growing.request) + text(&growing.since),
    }
}
