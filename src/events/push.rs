//! A push feed: one stream, held open.

use super::lines::{LINE_CAP, Line, Lines};
use super::task::{Feeding, Standing};
use crate::backoff::Backoff;
use crate::provider::{Failure, Position, Progress};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a stream ended.
struct Ended {
    why: String,
    retry_after: Option<Duration>,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Ended { why: failure.detail, retry_after: failure.retry_after }
    }
}

pub(super) async fn run(feeding: Feeding) {
    let scope: Arc<str> = feeding.feed.scopes.as_str().into();
    let mut standing = Standing::new(&feeding, &scope);
    let mut backoff = Backoff::new(feeding.pace.reconnect_first, feeding.pace.reconnect_most);
    let mut cursor = None;
    loop {
        let began = Instant::now();
        let ended = stream(&feeding, &mut standing, &mut cursor).await;
        standing.lost(&ended.why);
        // A server that accepts and hangs up at once is not one that has recovered.
        if began.elapsed() > feeding.pace.reconnect_most {
            backoff.reset();
        }
        standing.wait(backoff.wait(ended.retry_after), &ended.why).await;
    }
}

/// Opens the stream and reads it to its end.
async fn stream(feeding: &Feeding, standing: &mut Standing, cursor: &mut Option<String>) -> Ended {
    match read(feeding, standing, cursor).await {
        Ok(()) => {
            Ended { why: "the service closed the event stream".to_owned(), retry_after: None }
        }
        Err(ended) => ended,
    }
}

async fn read(
    feeding: &Feeding,
    standing: &mut Standing,
    cursor: &mut Option<String>,
) -> Result<(), Ended> {
    let mut position = position(feeding, cursor.clone());
    let request = feeding.call(feeding.provider.open_feed(&position)).await?;
    let mut opened = feeding.outbound.open(request).await?;
    if opened.status != 200 {
        let why = format!("the service answered the event stream with {}", opened.status);
        return Err(Ended { why, retry_after: None });
    }
    standing.up();
    let mut lines = Lines::new(LINE_CAP);
    while let Some(chunk) = within(feeding.feed.silence, opened.chunks.next()).await? {
        let arrived = Instant::now();
        lines.push(&chunk?);
        while let Some(line) = lines.next() {
            let Line::Whole(line) = line else {
                standing.gap("a line of the event stream is longer than 1 MiB");
                continue;
            };
            match feeding.call(feeding.provider.feed_line(&position, line)).await {
                Ok(progress) => took_effect(standing, &mut position, progress, arrived),
                Err(failure) => standing.gap(&failure.detail),
            }
            // Kept at each line: it must survive however this stream ends.
            cursor.clone_from(&position.cursor);
        }
    }
    // Half a line at the end is dropped: the cursor stands before it, so it comes again.
    Ok(())
}

/// What the stream brings next. One that has nothing to say for longer than its service ever has is lost:
/// a connection that only one side still knows of looks the same.
async fn within<T>(silence: Option<Duration>, next: impl Future<Output = T>) -> Result<T, Ended> {
    let Some(silence) = silence else { return Ok(next.await) };
    tokio::time::timeout(silence, next).await.map_err(|_| Ended {
        why: format!("not a byte came for {} s", silence.as_secs_f32()),
        retry_after: None,
    })
}

fn took_effect(standing: &Standing, position: &mut Position, progress: Progress, arrived: Instant) {
    standing.apply(&progress.changes);
    if progress.proves_all() {
        standing.resumed();
    }
    standing.item(&progress, Some(arrived));
    if progress.cursor.is_some() {
        position.cursor = progress.cursor;
    }
}

fn position(feeding: &Feeding, cursor: Option<String>) -> Position {
    let prefix = &feeding.feed.scopes;
    let active = feeding.ledger.take_active(&feeding.instance, prefix);
    Position {
        feed: feeding.feed.name.clone(),
        scope: prefix.clone(),
        cursor,
        since: active.iter().map(|scope| scope.since).min().unwrap_or(0),
    }
}
