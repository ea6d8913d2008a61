//! Answers without an end: a push feed's stream, under the same checks as any other request.

use super::Outbound;
use crate::provider::{Failure, Request};
use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use std::fmt;

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
