//! Checks one delivery, cheapest check first, and queues it.

use super::{Queue, Queued, Sender, Shared, count, replay, signature};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::error::TrySendError;

use crate::provider::Delivery;

/// An answer: its status, and one line for who set the webhook up.
type Told = (StatusCode, &'static str);

const ACCEPTED: Told = (StatusCode::ACCEPTED, "accepted");
const UNSIGNED: Told = (StatusCode::UNAUTHORIZED, "the delivery has no signature; set a secret");
const BAD_SIGNATURE: Told = (StatusCode::UNAUTHORIZED, "the signature does not fit the secret");
const REPLAYED: Told = (StatusCode::CONFLICT, "this delivery was accepted before");
const STALE: Told = (StatusCode::CONFLICT, "the delivery's time is too far from now");
const OVERSIZED: Told = (StatusCode::PAYLOAD_TOO_LARGE, "the delivery is too large");
const OVERFLOWED: Told = (StatusCode::SERVICE_UNAVAILABLE, "too many deliveries are waiting");
const NO_SECRET: Told = (
    StatusCode::UNAUTHORIZED,
    "no secret is configured for this webhook; give the instance one and remount",
);

pub(super) async fn receive(shared: Arc<Shared>, sender: Sender, request: Request) -> Response {
    let (status, text) = match check(&shared, sender, request).await {
        Ok(()) => ACCEPTED,
        Err(told) => told,
    };
    // One request for each connection; see the listener.
    (status, [(header::CONNECTION, "close")], format!("{text}\n")).into_response()
}

async fn check(shared: &Arc<Shared>, sender: Sender, request: Request) -> Result<(), Told> {
    let counts = &shared.counts;
    let malformed = |status, text| {
        count(&counts.malformed);
        Err((status, text))
    };
    let (parts, body) = request.into_parts();
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if parts.method != Method::POST {
        return malformed(StatusCode::METHOD_NOT_ALLOWED, "webhooks are delivered by POST");
    }
    let media = text("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    if !media.trim().eq_ignore_ascii_case("application/json") {
        return malformed(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "set the webhook's content type to application/json",
        );
    }
    let (signature_name, id_name) = match sender {
        Sender::GitHub => ("x-hub-signature-256", "x-github-delivery"),
        Sender::Linear => ("linear-signature", "linear-delivery"),
    };
    let Some(signed) = text(signature_name) else {
        count(&counts.unsigned);
        return Err(UNSIGNED);
    };
    let hex = match sender {
        Sender::GitHub => signed.strip_prefix("sha256=").unwrap_or_default(),
        Sender::Linear => signed,
    };
    let Some(signature) = signature::parse(hex) else {
        count(&counts.bad_signature);
        return Err(BAD_SIGNATURE);
    };
    let id = text(id_name).filter(|id| (1..=128).contains(&id.len()));
    let Some(id) = id.map(str::to_owned) else {
        return malformed(StatusCode::BAD_REQUEST, "the delivery has no id");
    };
    let Some(length) = text("content-length").and_then(|length| length.parse::<usize>().ok())
    else {
        return malformed(StatusCode::LENGTH_REQUIRED, "the delivery does not say its length");
    };
    if length > sender.body_cap() {
        count(&counts.oversized);
        return Err(OVERSIZED);
    }
    let memory = room(shared, sender, length).await?;
    let Ok(body) = read(body, length).await else {
        return malformed(StatusCode::BAD_REQUEST, "the delivery's body is not what it says");
    };
    let queue = addressee(shared, sender, &body, signature).await?;
    // From here on the body is the sender's word.
    fresh(shared, sender, &body)?;
    let mark = replay::mark(&queue.subscriber.instance, &id);
    if !super::super::supervisor::lock(&shared.seen).insert(mark) {
        count(&counts.replayed);
        return Err(REPLAYED);
    }
    let delivery = Delivery {
        feed: queue.subscriber.feed.name.clone(),
        headers: passed_on(&parts.headers, signature_name),
        body,
    };
    counts.waiting.fetch_add(1, Ordering::Relaxed);
    match queue.sender.try_send(Queued { delivery, _memory: memory }) {
        Ok(()) => {
            count(&counts.accepted);
            Ok(())
        }
        Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
            counts.waiting.fetch_sub(1, Ordering::Relaxed);
            super::super::supervisor::lock(&shared.seen).remove(&mark);
            count(&counts.overflowed);
            shared.gap(&queue.subscriber);
            Err(OVERFLOWED)
        }
    }
}

/// Room for the body. Who finds none cannot be told from a real sender yet, so what may be a real
/// delivery becomes a gap.
async fn room(
    shared: &Arc<Shared>,
    sender: Sender,
    length: usize,
) -> Result<OwnedSemaphorePermit, Told> {
    let kib = u32::try_from(length.div_ceil(1 << 10).max(1)).unwrap_or(u32::MAX);
    let waiting = shared.memory.clone().acquire_many_owned(kib);
    match tokio::time::timeout(shared.options.request / 2, waiting).await {
        Ok(Ok(room)) => Ok(room),
        _ => {
            count(&shared.counts.overflowed);
            for queue in shared.queues.iter().filter(|queue| queue.subscriber.sender == sender) {
                shared.gap(&queue.subscriber);
            }
            Err(OVERFLOWED)
        }
    }
}

async fn read(body: Body, length: usize) -> Result<Bytes, ()> {
    let bytes = to_bytes(body, length).await.map_err(|_| ())?;
    if bytes.len() == length { Ok(bytes) } else { Err(()) }
}

/// Whose secret made the signature.
async fn addressee<'a>(
    shared: &'a Shared,
    sender: Sender,
    body: &Bytes,
    signature: [u8; 32],
) -> Result<&'a Queue, Told> {
    let mut configured = false;
    for queue in shared.queues.iter().filter(|queue| queue.subscriber.sender == sender) {
        let secret = match queue.subscriber.secret.resolve().await {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(provider = %queue.subscriber.instance, "webhook secret: {error}");
                continue;
            }
        };
        configured = true;
        let body = body.clone();
        // A hash over megabytes takes milliseconds, which other requests shall not wait for.
        let large = body.len() > 256 << 10;
        let check = move || signature::verify(secret.secret.expose(), &body, &signature);
        let fits =
            if large { tokio::task::spawn_blocking(check).await.unwrap_or(false) } else { check() };
        if fits {
            return Ok(queue);
        }
    }
    count(&shared.counts.bad_signature);
    Err(if configured { BAD_SIGNATURE } else { NO_SECRET })
}

/// That the body is JSON and, where it says its time (Linear, in milliseconds), that the time is now.
fn fresh(shared: &Shared, sender: Sender, body: &[u8]) -> Result<(), Told> {
    #[derive(Deserialize)]
    struct Timed {
        #[serde(rename = "webhookTimestamp")]
        at: u64,
    }
    const MALFORMED: Told = (StatusCode::BAD_REQUEST, "the delivery is not the JSON it should be");
    let at = match sender {
        Sender::GitHub => serde_json::from_slice::<IgnoredAny>(body).map(|_| None),
        Sender::Linear => serde_json::from_slice::<Timed>(body).map(|timed| Some(timed.at)),
    };
    let at = at.map_err(|_| {
        count(&shared.counts.malformed);
        MALFORMED
    })?;
    let now = shared.options.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if at.is_some_and(|at| now.abs_diff(Duration::from_millis(at)) > shared.options.window) {
        count(&shared.counts.replayed);
        return Err(STALE);
    }
    Ok(())
}

/// The sender's own headers; no other is the provider's business.
fn passed_on(headers: &HeaderMap, signature: &str) -> Vec<(String, String)> {
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            let own = name.starts_with("x-github-") || name.starts_with("linear-");
            (own || name == "content-type") && name != signature
        })
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}
