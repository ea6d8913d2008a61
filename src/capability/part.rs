//! Parts of a content, by `Range` (RFC 9110, section 14) with `If-Match`.
//!
//! **Invariant:** a part is of the content that was asked for: the service confirms its tag, or tells it
//! with the answer, and a part of another one is a failure of its own.

use super::client::Fault;
use super::exchange::{Answer, Exchange};
use super::{Priority, Shared};
use crate::provider::{Cause, Failure, Piece, Wanted};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use lru::LruCache;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::Instant;
use url::Url;

/// Contents whose place behind a redirect is remembered, so that their further parts cost one request
/// each.
const PLACES: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// Where redirects from (endpoint, path and query) have led. Services hand out such addresses for
/// minutes, so each is asked for anew where it does not answer.
#[derive(Debug)]
pub(super) struct Places(Mutex<LruCache<(String, String), Url>>);

impl Places {
    pub fn new() -> Self {
        Places(Mutex::new(LruCache::new(PLACES)))
    }

    fn with<T>(&self, act: impl FnOnce(&mut LruCache<(String, String), Url>) -> T) -> T {
        // No code panics between two changes that belong together.
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Shared {
    pub(super) async fn part(
        &self,
        wanted: Wanted<'_>,
        priority: Priority,
    ) -> Result<Piece, Failure> {
        let began = Instant::now();
        let request = &wanted.source.request;
        let result = self
            .bounded(request, |target, checked, deadline| async move {
                let mut exchange = self.prepare(target, checked, priority, deadline).await?;
                exchange.extra = wanted.headers();
                let place = (request.endpoint.clone(), request.path.clone());
                exchange.place = self.places.with(|places| places.get(&place).cloned());
                let mut answer = exchange.attempts().await?;
                let here = matches!(answer.status.as_u16(), 200 | 206 | 412 | 416);
                if exchange.place.is_some() && !here {
                    exchange.place = None;
                    answer = exchange.attempts().await?;
                }
                self.places.with(|places| match &answer.place {
                    Some(url) => drop(places.put(place, url.clone())),
                    None => drop(places.pop(&place)),
                });
                exchange.piece(wanted, answer)
            })
            .await;
        tracing::trace!(path = request.path, elapsed = ?began.elapsed(), "a part of a content");
        result
    }
}

impl Wanted<'_> {
    /// What the host adds to the request. A compressed part would be one of other bytes.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let start = self.source.offset + self.start;
        let range = format!("bytes={start}-{}", start + self.length - 1);
        // INVARIANT: digits and ASCII words are a header's value.
        #[allow(clippy::expect_used)]
        let range = HeaderValue::from_str(&range).expect("digits");
        headers.insert(header::RANGE, range);
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let strong = self.validator.filter(|tag| tag.starts_with('"'));
        if let Some(tag) = strong.and_then(|tag| HeaderValue::from_str(tag).ok()) {
            headers.insert(header::IF_MATCH, tag);
        }
        headers
    }
}

impl Exchange<'_> {
    fn piece(&self, wanted: Wanted<'_>, answer: Answer) -> Result<Piece, Failure> {
        let fail = |cause, detail: &str| Err(self.fault(Fault::new(cause, detail.to_owned())));
        if answer.own {
            self.authorized(answer.status)?;
        }
        let headers = self.readable(&answer.headers);
        self.unseen_secret(&headers, &answer.body)?;
        let start = wanted.source.offset + wanted.start;
        let mut whole = None;
        let bytes = match answer.status {
            StatusCode::PARTIAL_CONTENT => {
                if first_byte(&answer.headers) != Some(start) {
                    return fail(
                        Cause::Invalid,
                        "the service answered another part than was asked",
                    );
                }
                answer.body
            }
            // The service knows no parts, and this is the whole.
            StatusCode::OK => {
                let place =
                    |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(answer.body.len());
                let source = wanted.source;
                let end = place(source.offset.saturating_add(source.length));
                whole = Some(answer.body.slice(place(source.offset)..end));
                answer.body.slice(place(start)..)
            }
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
                return fail(Cause::Changed, "the content was replaced while it was read");
            }
            status => return Err(self.refusal(status, &headers, &answer.body)),
        };
        let validator = validator(&answer.headers);
        if wanted.validator.zip(validator.as_deref()).is_some_and(|(was, is)| was != is) {
            return fail(Cause::Changed, "the content was replaced while it was read");
        }
        let length = usize::try_from(wanted.length).unwrap_or(usize::MAX);
        if bytes.len() < length {
            return fail(Cause::Changed, "the content is shorter than it was said to be");
        }
        let whole = whole.filter(|whole| whole.len() as u64 == wanted.source.length);
        Ok(Piece { bytes: bytes.slice(..length), validator, whole })
    }

    /// A status that is no content.
    fn refusal(&self, status: StatusCode, headers: &[(String, String)], body: &[u8]) -> Failure {
        let cause = match status.as_u16() {
            401 | 403 | 451 => Cause::Denied,
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
        let detail = format!("the content was answered with {}{said}", status.as_u16());
        self.fault(Fault::new(cause, detail))
    }
}

fn is_text(media: &str) -> bool {
    media.starts_with("text/") || media.starts_with("application/json")
}

/// The strong entity tag, else the weak one, else the date: what tells two contents apart.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    text(header::ETAG).or_else(|| text(header::LAST_MODIFIED))
}

/// Of `Content-Range: bytes FIRST-LAST/TOTAL`.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
