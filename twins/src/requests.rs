//! What a twin was asked: every request with its outcome, for counting and for checking.

use std::collections::VecDeque;
use std::time::Instant;

use sha2::{Digest, Sha256};

/// The log keeps this many requests; the counters go on.
const KEPT: usize = 200_000;

/// One request as the twin saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Counts from 1 and is never reused.
    pub id: u64,
    pub at: Instant,
    /// `api`, `storage` or `graphql`: which of the twin's servers was asked.
    pub server: &'static str,
    pub method: String,
    /// As sent, percent-encoding kept, without the query.
    pub path: String,
    pub query: Option<String>,
    /// It carried `If-None-Match` or `If-Modified-Since`.
    pub conditional: bool,
    /// [`credential_hash`] of the credential it carried, whichever scheme was used.
    pub credential: Option<String>,
    /// Names in lower case; `authorization` is left out.
    pub headers: Vec<(String, String)>,
    /// What was posted, at most 64 KiB of it.
    pub body: Vec<u8>,
    /// The status answered; 0 until it is, and for ever where the connection was reset.
    pub status: u16,
    /// It was counted against the rate limit.
    pub counted: bool,
    /// Bytes of the answer's body as sent.
    pub sent: usize,
}

impl Request {
    /// `GET /repos/acme/api/issues?page=2`
    pub fn line(&self) -> String {
        match &self.query {
            Some(query) => format!("{} {}?{query}", self.method, self.path),
            None => format!("{} {}", self.method, self.path),
        }
    }
}

/// Totals since the start or the last `reset_counts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Every request, storage downloads included.
    pub all: u64,
    pub conditional: u64,
    pub not_modified: u64,
    /// Answered with 400 or more.
    pub failed: u64,
    /// Counted against the rate limit.
    pub counted: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    last: u64,
    requests: VecDeque<Request>,
    counts: Counts,
}

impl Log {
    /// Notes the arrival: a client that gives up before the answer was a request all the same.
    pub fn arrive(&mut self, mut request: Request) -> u64 {
        self.last += 1;
        request.id = self.last;
        self.counts.all += 1;
        self.counts.conditional += u64::from(request.conditional);
        self.requests.push_back(request);
        if self.requests.len() > KEPT {
            self.requests.pop_front();
        }
        self.last
    }

    pub fn finish(&mut self, id: u64, status: u16, counted: bool, sent: usize) {
        // A reset in between has dropped the arrival, so the outcome goes with it.
        let Some(first) = self.requests.front().map(|r| r.id) else { return };
        let Some(index) = id.checked_sub(first) else { return };
        let Some(request) = self.requests.get_mut(index as usize) else { return };
        request.status = status;
        request.counted = counted;
        request.sent = sent;
        self.counts.not_modified += u64::from(status == 304);
        self.counts.failed += u64::from(status >= 400);
        self.counts.counted += u64::from(counted);
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.iter().cloned().collect()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn reset(&mut self) {
        self.requests.clear();
        self.counts = Counts::default();
    }
}

/// 16 hexadecimal digits that name a credential without telling it.
pub fn credential_hash(credential: &str) -> String {
    hex(&Sha256::digest(credential.as_bytes()))[..16].to_owned()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The secret of an `Authorization` header: what follows `Bearer` or `token`, or all of it.
pub(crate) fn secret_of(authorization: &str) -> &str {
    match authorization.split_once(' ') {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") =>
        {
            rest.trim()
        }
        _ => authorization,
    }
}
