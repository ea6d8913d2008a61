//! Answers without an end: a push feed's stream, under the same checks as any other request.

use super::exchange::path_of;
use super::{Outbound, Priority, Shared, client};
use crate::provider::{Cause, Failure, Request};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http::{HeaderValue, header};
use std::fmt;
use tokio::time::{Instant, timeout_at};
use url::Url;

/// When a stream's headers have to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Within the deadline of any request.
    InTime,
    /// When there is something to send.
    Whenever,
}

/// A stream whose headers have arrived. Dropping it closes the connection's part in it.
pub struct Opened {
    pub status: u16,
    /// The body as it comes, undivided.
    pub chunks: BoxStream<'static, Result<Bytes, Failure>>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Outbound {
    /// Makes the request and returns when the headers have arrived. Connecting and the headers have
    /// the deadline of any request; the body has none.
    ///
    /// # Errors
    /// As [`fetch`](crate::provider::Upstream::fetch). Redirects are not followed and nothing is
    /// retried: a feed has its own rhythm.
    pub async fn open(&self, request: Request) -> Result<Opened, Failure> {
        self.stream(request, Head::InTime).await
    }

    pub(super) async fn stream(&self, request: Request, head: Head) -> Result<Opened, Failure> {
        let endpoint = request.endpoint.clone();
        let response = self.shared.open(request, self.priority(), head).await?;
        let status = response.status().as_u16();
        let url = response.url().clone();
        let shared = self.shared.clone();
        let chunks = response
            .bytes_stream()
            .map(move |chunk| chunk.map_err(|error| shared.stream_fault(&endpoint, &url, &error)))
            .boxed();
        Ok(Opened { status, chunks })
    }
}

impl Shared {
    /// Opens a feed's stream: one attempt, no redirects, a deadline up to the headers only.
    async fn open(
        &self,
        request: Request,
        priority: Priority,
        head: Head,
    ) -> Result<reqwest::Response, Failure> {
        let (target, checked) = self.checked(&request)?;
        let deadline = Instant::now() + self.limits.total;
        let opening = async {
            let mut exchange = self.prepare(target, checked, priority, deadline).await?;
            // A compressed stream would reach us in the compressor's portions, not the service's.
            let plain = HeaderValue::from_static("identity");
            exchange.extra.insert(header::ACCEPT_ENCODING, plain);
            let _permit = exchange.admit().map_err(|limited| exchange.limited(limited))?;
            let url = exchange.url().map_err(|fault| exchange.fault(fault))?;
            let answered = exchange.execute(&url, true).await;
            let (response, _) = answered.map_err(|fault| exchange.fault(fault))?;
            let status = response.status().as_u16();
            exchange
                .observe(status, response.headers(), b"")
                .map_err(|limited| exchange.limited(limited))?;
            exchange.authorized(response.status())?;
            Ok(response)
        };
        let result = match head {
            Head::InTime => timeout_at(deadline, opening).await,
            Head::Whenever => Ok(opening.await),
        };
        let result = result.unwrap_or_else(|_| {
            let seconds = self.limits.total.as_secs_f32();
            Err(self.failure(
                Cause::TimedOut,
                format!("the stream {} was not opened within {seconds} s", path_of(&request.path)),
            ))
        });
        match &result {
            Ok(response) => target.counters.answered(response.status().as_u16()),
            Err(failure) => target.counters.failed(failure),
        }
        result
    }

    /// For a stream that broke after it had been opened.
    fn stream_fault(&self, endpoint: &str, url: &Url, error: &reqwest::Error) -> Failure {
        match self.target(endpoint) {
            Ok(target) => {
                let fault = client::fault(error, &self.service, &target.base, target.proxy(), url);
                let failure = self.failure(fault.cause, fault.detail);
                target.counters.failed(&failure);
                failure
            }
            Err(failure) => failure,
        }
    }
}
