//! Checks one delivery, cheapest check first, and queues it.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

use super::signature::{Claim, Flaw};
use super::{Queue, Shared, count};
use crate::listener::Place;
use crate::provider::{Delivery, Handshake, Signature};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header, request};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of a body: no service is known to deliver more.
const BODY: usize = 25 << 20;

/// Bytes of a small body, which nearly all are. Each connection has room for one, so that a flood of
/// large ones turns none away.
const SMALL: usize = 64 << 10;

/// Bytes of an answer that the service wants to have.
const CHALLENGE: usize = 1 << 10;

/// A delivery that says that it was made so long ago, or ahead, is late: it takes effect, and proves
/// nothing of the way by which deliveries come.
const LATE: Duration = Duration::from_secs(5 * 60);

/// An answer: its status, and one line for who set the webhook up.
type Told = (StatusCode, &'static str);

const UNSIGNED: Told = (StatusCode::UNAUTHORIZED, "the delivery has no signature; set a secret");
const BAD_SIGNATURE: Told = (StatusCode::UNAUTHORIZED, "the signature does not fit the secret");
const OVERSIZED: Told = (StatusCode::PAYLOAD_TOO_LARGE, "the delivery is too large");
const NO_SECRET: Told = (
    StatusCode::UNAUTHORIZED,
    "no secret is configured for this webhook; give the instance one and remount",
);
pub(super) const OVERFLOWED: Told =
    (StatusCode::SERVICE_UNAVAILABLE, "too many deliveries are waiting");

pub(super) async fn receive(
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    place: Arc<Place>,
    request: Request,
) -> Response {
    place.note_head();
    // Exactly 200: some services take any other answer for a failure, and deliver again.
    let (status, text) = match check(&shared, &queue, &place, request).await {
        Ok(text) => (StatusCode::OK, text),
        Err((status, text)) => (status, Cow::from(format!("{text}\n"))),
    };
    place.note_answer();
    let headers = [
        // One request for each connection; see the listener.
        (header::CONNECTION, "close"),
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text.into_owned()).into_response()
}

/// The text of the answer to a delivery that was accepted.
async fn check(
    shared: &Shared,
    queue: &Queue,
    place: &Place,
    request: Request,
) -> Result<Cow<'static, str>, Told> {
    let signature = &queue.subscriber.signature;
    let counts = &queue.counts;
    let malformed = |status, text| {
        count(&counts.malformed);
        (status, text)
    };
    let (parts, body) = request.into_parts();
    if let Some(challenge) = asked_by_query(signature, &parts) {
        return Ok(challenge.into());
    }
    if parts.method != Method::POST {
        return Err(malformed(StatusCode::METHOD_NOT_ALLOWED, "webhooks are delivered by POST"));
    }
    if !is_expected(signature, &parts.headers) {
        return Err(malformed(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "set the webhook's content type to the one that the provider reads: application/json",
        ));
    }
    let claim = Claim::read(signature, &parts.headers).map_err(|flaw| match flaw {
        Flaw::Missing => {
            count(&counts.unsigned);
            UNSIGNED
        }
        Flaw::Form => {
            count(&counts.bad_signature);
            BAD_SIGNATURE
        }
    })?;
    let (body, memory) = tokio::select! {
        read = read(shared, queue, place, &parts.headers, body) => read?,
        () = place.ended() => return Err(turned_away(queue)),
    };
    place.note_whole();
    let claim = genuine(queue, claim, &body).await?;
    // From here on the body is the sender's word.
    let now = shared.options.clock.now();
    let late = claim.made(signature, &body).is_some_and(|made| {
        let off = now.duration_since(made).unwrap_or_else(|early| early.duration());
        off > LATE
    });
    if late {
        count(&counts.late);
    }
    if let Some(answer) = asked_by_delivery(signature, &body) {
        count(&counts.accepted);
        // One that was overheard says nothing of the present.
        if !late && queue.seen.lock().insert(claim.mark(&body)) {
            queue.asked.notify_one();
        }
        return Ok(answer.into());
    }
    let delivery = Delivery {
        feed: queue.subscriber.feed.name.clone(),
        headers: passed_on(&parts.headers, signature),
        body,
    };
    let mark = claim.mark(&delivery.body);
    queue.accept(shared, (delivery, mark, late), memory)?;
    Ok("accepted\n".into())
}

/// The value of the query's parameter to which the service wants to hear it.
fn asked_by_query(signature: &Signature, parts: &request::Parts) -> Option<String> {
    let Some(Handshake::Query(name)) = &signature.handshake else { return None };
    let query = url::form_urlencoded::parse(parts.uri.query()?.as_bytes());
    let (_, value) = query.into_iter().find(|(key, _)| key == name)?;
    fitting(&value)
}

fn asked_by_delivery(signature: &Signature, body: &[u8]) -> Option<String> {
    let Some(Handshake::Delivery { at, value, answer }) = &signature.handshake else { return None };
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let asks = body.pointer(at)?.as_str()? == value;
    asks.then(|| body.pointer(answer)?.as_str().and_then(fitting)).flatten()
}

fn fitting(text: &str) -> Option<String> {
    (text.len() <= CHALLENGE).then(|| text.to_owned())
}

fn is_expected(signature: &Signature, headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = text.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if signature.content_types.is_empty() {
        return media.eq_ignore_ascii_case("application/json");
    }
    signature.content_types.iter().any(|expected| media.eq_ignore_ascii_case(expected))
}

fn turned_away(queue: &Queue) -> Told {
    queue.turn_away();
    OVERFLOWED
}

/// The body, and the room that a large one takes. It is reserved as the bytes arrive, not as a header
/// promises.
async fn read(
    shared: &Shared,
    queue: &Queue,
    place: &Place,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Told> {
    let oversized = || {
        count(&queue.counts.oversized);
        queue.doubted.notify_one();
        OVERSIZED
    };
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY as u64) {
        return Err(oversized());
    }
    let mut bytes = BytesMut::new();
    let mut memory: Option<OwnedSemaphorePermit> = None;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else {
            if place.is_ended() {
                return Err(turned_away(queue));
            }
            count(&queue.counts.malformed);
            queue.doubted.notify_one();
            return Err((StatusCode::BAD_REQUEST, "the delivery's body is not what it says"));
        };
        let length = bytes.len() + chunk.len();
        if length > BODY {
            return Err(oversized());
        }
        if length > SMALL {
            let held = memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = room(shared, queue, length.div_ceil(1 << 10).saturating_sub(held)).await?;
            match &mut memory {
                Some(memory) => memory.merge(more),
                None => memory = Some(more),
            }
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.freeze(), memory))
}

async fn room(shared: &Shared, queue: &Queue, kib: usize) -> Result<OwnedSemaphorePermit, Told> {
    // A body is at most `BODY` bytes.
    let kib = u32::try_from(kib).unwrap_or(u32::MAX);
    let waiting = shared.large.clone().acquire_many_owned(kib);
    match tokio::time::timeout(shared.options.request / 2, waiting).await {
        Ok(Ok(room)) => Ok(room),
        _ => Err(turned_away(queue)),
    }
}

/// That the instance's secret made the signature.
async fn genuine(queue: &Queue, claim: Claim, body: &Bytes) -> Result<Claim, Told> {
    let Some(secret) = queue.secret().await else {
        count(&queue.counts.bad_signature);
        queue.doubted.notify_one();
        return Err(NO_SECRET);
    };
    // A hash over megabytes takes milliseconds, which other requests shall not wait for.
    let large = body.len() > 256 << 10;
    let (signature, body) = (queue.subscriber.signature.clone(), body.clone());
    let check = move || {
        let fits = claim.fits(&signature, secret.secret.expose(), &body);
        (claim, fits)
    };
    let (claim, fits) = if large {
        // It is aborted only with the runtime.
        tokio::task::spawn_blocking(check).await.map_err(|_| BAD_SIGNATURE)?
    } else {
        check()
    };
    if fits.is_ok() {
        queue.trouble(None);
    }
    match fits {
        Ok(true) => Ok(claim),
        Ok(false) => {
            count(&queue.counts.bad_signature);
            Err(BAD_SIGNATURE)
        }
        Err(why) => {
            queue.trouble(Some(why));
            queue.doubted.notify_one();
            count(&queue.counts.bad_signature);
            Err(NO_SECRET)
        }
    }
}

/// The headers that the manifest names; never that of the signature, which may be the secret itself.
fn passed_on(headers: &HeaderMap, signature: &Signature) -> Vec<(String, String)> {
    let passes = |name: &str| {
        signature.pass.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
    };
    headers
        .iter()
        .filter(|(name, _)| passes(name.as_str()) && *name != signature.header.as_str())
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}
