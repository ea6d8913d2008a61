//! Parts of a content, by `Range` (RFC 9110, section 14) with `If-Match`.
//!
//! **Invariant:** a part is of the content that was asked for, as far as the service says what it is of:
//! a part of another one is a failure of its own, and so is one that is not where it was asked for.

use super::client::Fault;
use super::exchange::{Answer, Exchange};
use super::validators::Key;
use super::{Priority, Shared, budget};
use crate::provider::{Cause, Failure, Piece, Validator, Wanted};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::time::Duration;
use url::Url;

/// Contents whose place behind a redirect is remembered, so that their further parts cost one request
/// each.
const PLACES: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// What is wrong with a part whose bytes are not those that it says.
pub(super) const NOT_AS_LONG: &str =
    "the service's part is not as long as it says, as one that is compressed";

/// Where redirects out of an endpoint's origin have led. Services hand out such addresses for minutes,
/// so each is asked for anew where it does not answer. They may be signed, and are never shown.
pub(super) struct Places(Mutex<LruCache<Key, Url>>);

impl Places {
    pub fn new() -> Self {
        Places(Mutex::new(LruCache::new(PLACES)))
    }

    fn get(&self, key: &Key) -> Option<Url> {
        self.0.lock().get(key).cloned()
    }

    fn put(&self, key: Key, place: Option<Url>) {
        let mut places = self.0.lock();
        match place {
            Some(url) => drop(places.put(key, url)),
            None => drop(places.pop(&key)),
        }
    }
}

impl Shared {
    pub(super) async fn part(
        &self,
        wanted: Wanted<'_>,
        priority: Priority,
    ) -> Result<Piece, Failure> {
        let request = &wanted.source.request;
        self.bounded(request, |target, checked, deadline| async move {
            let mut exchange = self.prepare(target, checked, priority, deadline).await?;
            let mut piece = exchange.part(wanted).await?;
            // A service may answer less than it was asked for.
            let mut read = BytesMut::new();
            while piece.whole.is_none() && (read.len() + piece.bytes.len()) < wanted.asked() {
                read.extend_from_slice(&piece.bytes);
                let (start, length) = (wanted.start + read.len() as u64, read.len() as u64);
                let validator = piece.validator.as_ref().or(wanted.validator);
                let rest = Wanted { start, length: wanted.length - length, validator, ..wanted };
                let more = exchange.part(rest).await?;
                piece = Piece { validator: more.validator.clone().or(piece.validator), ..more };
            }
            if !read.is_empty() && piece.whole.is_none() {
                read.extend_from_slice(&piece.bytes);
                piece.bytes = read.freeze();
            }
            if let Some(whole) = &piece.whole {
                // Within it, since it is as long as it was said to be.
                let start = usize::try_from(wanted.start).unwrap_or(usize::MAX).min(whole.len());
                let end = start.saturating_add(wanted.asked()).min(whole.len());
                piece.bytes = whole.slice(start..end);
            }
            Ok(piece)
        })
        .await
    }
}

impl Wanted<'_> {
    /// Bytes that are asked for.
    fn asked(&self) -> usize {
        usize::try_from(self.length).unwrap_or(usize::MAX)
    }

    /// What the host adds to the request. A compressed part would be one of other bytes.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let start = self.source.offset + self.start;
        // Of an empty content one byte, since no range is shorter.
        let last = start + self.length.max(1) - 1;
        let mut put = |name, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        put(header::RANGE, &format!("bytes={start}-{last}"));
        put(header::ACCEPT_ENCODING, "identity");
        match self.validator {
            Some(Validator::Tag(tag)) if tag.starts_with('"') => put(header::IF_MATCH, tag),
            Some(Validator::Date { text, .. }) => put(header::IF_UNMODIFIED_SINCE, text),
            // A weak tag matches nothing by its definition.
            Some(Validator::Tag(_)) | None => {}
        }
        headers
    }
}

impl Exchange<'_> {
    /// One request for a part, where its content is known to be or else where the provider said.
    async fn part(&mut self, wanted: Wanted<'_>) -> Result<Piece, Failure> {
        self.extra = wanted.headers();
        self.most_of_part = wanted.asked().max(1);
        let key = self.key();
        self.place = self.shared.places.get(&key);
        let mut asked = self.ask_for(wanted).await;
        if self.place.is_some() && asked.is_err() {
            // An address that has expired may say anything.
            self.place = None;
            asked = self.ask_for(wanted).await;
        }
        self.shared.places.put(key, asked.as_ref().ok().and_then(|(_, place)| place.clone()));
        asked.map(|(piece, _)| piece)
    }

    async fn ask_for(&self, wanted: Wanted<'_>) -> Result<(Piece, Option<Url>), Failure> {
        let answer = self.attempts().await?;
        self.target.counters.answered(answer.status.as_u16());
        let place = answer.place.clone();
        Ok((self.piece(wanted, answer)?, place))
    }

    fn piece(&self, wanted: Wanted<'_>, answer: Answer) -> Result<Piece, Failure> {
        let fail = |cause, detail: &str| Err(self.fault(Fault::new(cause, detail.to_owned())));
        let replaced = || fail(Cause::Changed, "the content was replaced while it was read");
        if answer.own {
            self.authorized(answer.status)?;
        }
        let headers = self.readable(&answer.headers);
        self.unseen_secret(&headers, &answer.body)?;
        let validator = validator(&answer.headers, wanted.validator);
        let same = wanted.validator.zip(validator.as_ref()).map(|(was, is)| was.is_same(is));
        let range = match answer.status {
            StatusCode::PARTIAL_CONTENT => Range::of(&answer.headers),
            StatusCode::OK => None,
            StatusCode::RANGE_NOT_SATISFIABLE if wanted.length == 0 => None,
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
                return replaced();
            }
            _ => return Err(self.refusal(&answer, &headers)),
        };
        if same == Some(false) {
            return replaced();
        }
        // Of the state that was read before, it is the provider that is wrong.
        let cause = if same == Some(true) { Cause::Invalid } else { Cause::Changed };
        let source = wanted.source;
        let short = || fail(cause, "the content is shorter than it was said to be");
        let whole = match answer.status {
            StatusCode::RANGE_NOT_SATISFIABLE => Some(Bytes::new()),
            // The service knows no parts, and this is the whole.
            StatusCode::OK => {
                let place =
                    |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(answer.body.len());
                let end = place(source.offset.saturating_add(source.length));
                let whole = answer.body.slice(place(source.offset)..end);
                if whole.len() as u64 != source.length {
                    return short();
                }
                Some(whole)
            }
            _ => None,
        };
        if whole.is_some() {
            return Ok(Piece { bytes: Bytes::new(), validator, whole });
        }
        let start = source.offset + wanted.start;
        let Some(range) = range.filter(|range| range.first == start) else {
            return fail(Cause::Invalid, "the service answered another part than it was asked for");
        };
        if range.total.is_some_and(|total| total < source.offset + source.length) {
            return short();
        }
        if range.length() != Some(answer.body.len() as u64) || answer.body.is_empty() {
            return fail(Cause::Invalid, NOT_AS_LONG);
        }
        let asked = answer.body.slice(..answer.body.len().min(wanted.asked()));
        Ok(Piece { bytes: asked, validator, whole: None })
    }

    /// A status that is no content.
    fn refusal(&self, answer: &Answer, headers: &[(String, String)]) -> Failure {
        let (status, body) = (answer.status.as_u16(), &answer.body);
        let cause = match status {
            401 | 403 | 407 | 451 => Cause::Denied,
            404 | 410 => Cause::NotFound,
            413 => Cause::TooLarge,
            408 | 504 => Cause::TimedOut,
            429 => Cause::RateLimited,
            500.. => Cause::Unavailable,
            _ => Cause::Invalid,
        };
        let text = headers.iter().any(|(name, value)| name == "content-type" && is_text(value));
        let said = text.then(|| String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned());
        let said = said.map(|said| format!(": {said}")).unwrap_or_default();
        let detail = format!("the content was answered with {status}{said}");
        let wait = budget::headers::pause_asked(&answer.headers, self.shared.clock.now());
        Failure { retry_after: wait, ..self.fault(Fault::new(cause, detail)) }
    }
}

fn is_text(media: &str) -> bool {
    media.starts_with("text/") || media.starts_with("application/json")
}

/// What tells this content from others: in the form of `known`, else the best that the answer has.
fn validator(headers: &HeaderMap, known: Option<&Validator>) -> Option<Validator> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let tag = text(header::ETAG).map(|tag| Validator::Tag(tag.to_owned()));
    let date = text(header::LAST_MODIFIED).and_then(|text| {
        budget::headers::date(text)?;
        let unchanged = budget::headers::unchanged_for(headers);
        let settled = unchanged.is_some_and(|age| age >= Duration::from_secs(1));
        Some(Validator::Date { text: text.to_owned(), settled })
    });
    let strong = |one: &Option<Validator>| one.as_ref().is_some_and(Validator::is_strong);
    match known {
        Some(Validator::Tag(_)) => tag,
        Some(Validator::Date { .. }) => date,
        None if strong(&date) && !strong(&tag) => date,
        None => tag.or(date),
    }
}

/// A `Content-Range: bytes FIRST-LAST/TOTAL`. An answer of several parts has none.
struct Range {
    first: u64,
    last: u64,
    total: Option<u64>,
}

impl Range {
    fn of(headers: &HeaderMap) -> Option<Range> {
        let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
        let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.trim().split_once('-')?;
        let total = match total.trim() {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        Some(Range { first: first.parse().ok()?, last: last.parse().ok()?, total })
    }

    fn length(&self) -> Option<u64> {
        self.last.checked_sub(self.first)?.checked_add(1)
    }
}
