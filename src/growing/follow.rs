//! Who listens to one stream: opens it, reads it, and opens it again where it was.

use super::records::{Broken, Records};
use super::{Growth, Phase};
use crate::backoff::Backoff;
use crate::provider::{Cause, Chunks, Failure, Followed};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::{sleep_until, timeout};

/// Why a connection is over.
enum Over {
    /// The service has ended it. `grown`: something had come.
    Ended {
        grown: bool,
    },
    Broken(Failure),
    /// The service has nothing to stream here.
    Refused,
    /// Nobody has used it for long enough.
    Unused,
}

pub(super) struct Follower {
    growth: Arc<Growth>,
    /// `None` once they are given back.
    records: Option<Records>,
    /// The service has not answered yet, and it was taken for one that has nothing to send.
    unanswered: bool,
}

/// Who waits is told whatever happens here.
impl Drop for Follower {
    fn drop(&mut self) {
        let mut state = self.growth.state();
        state.records = self.records.take();
        if let Phase::Reading | Phase::Current | Phase::Between = state.phase {
            state.phase = Phase::Resting;
        }
        drop(state);
        self.growth.turned.notify_waiters();
    }
}

impl Follower {
    pub fn new(growth: Arc<Growth>, records: Records) -> Follower {
        Follower { growth, records: Some(records), unanswered: false }
    }

    pub async fn run(mut self) {
        let pace = self.growth.pace.clone();
        let mut backoff = Backoff::new(pace.retry_first, pace.retry_most);
        // The service has ended the stream before: one more without anything new is its end.
        let mut ended = false;
        loop {
            let began = Instant::now();
            match self.connection().await {
                Over::Unused => return,
                Over::Refused => return self.turn(Phase::Refused),
                Over::Ended { grown: false } if ended => return self.turn(Phase::Ended),
                Over::Ended { grown } => {
                    ended = true;
                    // It was opened, so what there was has come.
                    self.turn(Phase::Current);
                    if grown && began.elapsed() < pace.retry_most {
                        tokio::time::sleep(backoff.wait(None)).await;
                    } else {
                        backoff.reset();
                    }
                }
                Over::Broken(failure) => {
                    let lasting = matches!(
                        failure.cause,
                        Cause::NotFound
                            | Cause::Denied
                            | Cause::Invalid
                            | Cause::TooLarge
                            // No room of ours: each use tries once more, and says so.
                            | Cause::Limit
                    );
                    let was_current = !self.unanswered
                        && matches!(self.growth.phase(), Phase::Current | Phase::Between);
                    if lasting || !was_current {
                        return self.turn(Phase::Failed(failure));
                    }
                    tracing::debug!(path = self.path(), "a log's stream broke: {}", failure.detail);
                    self.turn(Phase::Between);
                    if began.elapsed() > pace.retry_most {
                        backoff.reset();
                    }
                    tokio::select! {
                        () = tokio::time::sleep(backoff.wait(failure.retry_after)) => {}
                        () = self.growth.leave.notified() => {}
                    }
                    if self.is_unused() {
                        return;
                    }
                }
            }
        }
    }

    fn path(&self) -> &str {
        &self.growth.stream.request.path
    }

    fn turn(&self, phase: Phase) {
        self.growth.state().phase = phase;
        self.growth.turned.notify_waiters();
    }

    fn is_unused(&self) -> bool {
        let state = self.growth.state();
        state.opens == 0 && state.used.elapsed() >= self.growth.pace.linger
    }

    /// One connection, from its request to its end.
    async fn connection(&mut self) -> Over {
        // What there was no room for comes first.
        if let Err(failure) = self.append(&[], &mut None) {
            return Over::Broken(failure);
        }
        let Some(records) = &mut self.records else { return Over::Unused };
        let mut request = self.growth.stream.request.clone();
        if let (Some(at), Some(since)) = (records.since(), &self.growth.stream.since) {
            let mark = if request.path.contains('?') { '&' } else { '?' };
            request.path = format!("{}{mark}{}={at}", request.path, since.parameter);
        }
        records.reconnected();
        let asked = Instant::now();
        let began = SystemTime::now();
        let provider = self.growth.provider.clone();
        let mut opening = provider.follow(&request);
        // A service may hold its headers back until there is something to send.
        let quiet = self.growth.pace.quiet;
        let headless = quiet.max(Duration::from_secs(1));
        let followed = loop {
            match timeout(headless, &mut opening).await {
                Ok(Ok(followed)) => break followed,
                Ok(Err(failure)) => return Over::Broken(failure),
                Err(_) if self.is_unused() => return Over::Unused,
                Err(_) => {
                    self.unanswered = true;
                    self.current();
                }
            }
        };
        self.unanswered = false;
        let Followed { status, chunks } = followed;
        if status != 200 {
            let cause = match status {
                401 | 403 => Cause::Denied,
                404 | 410 => Cause::NotFound,
                429 => Cause::RateLimited,
                408 | 502..=504 => Cause::Unavailable,
                _ => return Over::Refused,
            };
            let detail = format!("the service answered the log's stream with {status}");
            return Over::Broken(self.growth.failure(cause, detail));
        }
        // A service that is far away also pauses for as long as an answer takes.
        self.read(chunks, began, quiet.max(asked.elapsed() * 2)).await
    }

    async fn read(&mut self, mut chunks: Chunks, began: SystemTime, quiet: Duration) -> Over {
        let mut grown = false;
        let mut notice: Option<Instant> = None;
        let mut last = Instant::now();
        let mut settled = false;
        loop {
            let check = match (&notice, settled) {
                (Some(at), _) => *at,
                (None, false) => last + quiet,
                (None, true) => Instant::now() + self.growth.pace.linger.max(quiet),
            };
            tokio::select! {
                biased;
                () = self.growth.leave.notified() => {
                    if self.is_unused() {
                        return Over::Unused;
                    }
                }
                () = sleep_until(check.into()) => {
                    if notice.take_if(|at| *at <= Instant::now()).is_some() {
                        (self.growth.grown)();
                    }
                    if !settled && last.elapsed() >= quiet {
                        settled = true;
                        let mut out = Vec::new();
                        if let Some(records) = &mut self.records {
                            records.settle(&mut out);
                        }
                        if let Err(failure) = self.append(&out, &mut notice) {
                            return Over::Broken(failure);
                        }
                        self.current();
                    }
                    if self.is_unused() {
                        return Over::Unused;
                    }
                }
                chunk = chunks.next() => {
                    let mut out = Vec::new();
                    let result = match (chunk, &mut self.records) {
                        (Some(Ok(chunk)), Some(records)) => {
                            (last, settled) = (Instant::now(), false);
                            records.push(&chunk, &mut out).map_err(|broken| Some(broken_as(broken)))
                        }
                        (Some(Err(failure)), _) => Err(Some((failure.cause, failure.detail))),
                        (None, _) | (_, None) => Err(None),
                    };
                    if let (Err(_), Some(records)) = (&result, &mut self.records) {
                        records.settle(&mut out);
                    }
                    grown |= !out.is_empty();
                    if let Err(failure) = self.append(&out, &mut notice) {
                        return Over::Broken(failure);
                    }
                    if let Err(why) = result {
                        if notice.is_some() {
                            (self.growth.grown)();
                        }
                        return match why {
                            None => Over::Ended { grown },
                            Some((cause, detail)) => {
                                Over::Broken(self.growth.failure(cause, detail))
                            }
                        };
                    }
                    // What was written after it was asked for has come, so all before has.
                    let newest = self.records.as_ref().and_then(Records::newest);
                    if newest.is_some_and(|newest| SystemTime::from(newest) >= began) {
                        self.current();
                    }
                }
            }
        }
    }

    /// All that there was has come.
    fn current(&self) {
        let mut state = self.growth.state();
        if matches!(state.phase, Phase::Reading | Phase::Between) {
            state.phase = Phase::Current;
            drop(state);
            self.growth.turned.notify_waiters();
        }
    }

    fn append(&self, bytes: &[u8], notice: &mut Option<Instant>) -> Result<(), Failure> {
        let mut state = self.growth.state();
        let mut unkept = std::mem::take(&mut state.unkept);
        unkept.extend_from_slice(bytes);
        if unkept.is_empty() {
            return Ok(());
        }
        let appended = state.spool.append(&unkept);
        if let Err((taken, _)) = &appended {
            // The service does not send it again.
            state.unkept = unkept.split_off(*taken);
        }
        state.appended = Some(SystemTime::now());
        drop(state);
        if let Err((_, error)) = appended {
            let detail = format!("cannot keep what a log sends: {error}; make room in TMPDIR");
            return Err(self.growth.failure(Cause::Limit, detail));
        }
        notice.get_or_insert_with(|| Instant::now() + self.growth.pace.notice);
        Ok(())
    }
}

fn broken_as(broken: Broken) -> (Cause, String) {
    match broken {
        Broken::Said(text) => (Cause::Unavailable, format!("the service says: {text}")),
        Broken::Unreadable(why) => (Cause::Invalid, why),
    }
}
