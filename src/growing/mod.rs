//! Contents that grow while somebody looks: a running container's log.
//!
//! One [`Growth`] holds one stream for all who have the file open. What has come is served from memory and
//! from the [`spool`]; nobody asks the service again. A stream that breaks is opened again where it
//! was, and what comes twice is shown once ([`records`]).
//!
//! **Invariant:** what was shown stays as it was: the content only gets longer, and what is dropped
//! at its beginning is refused, never shifted.

mod follow;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod records;
mod spool;

use crate::provider::{Cause, Failure, Growing, Provider};
use bytes::Bytes;
use follow::Follower;
use parking_lot::{Mutex, MutexGuard};
use spool::Spool;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// The bounds of a growing content.
#[derive(Clone, Debug)]
pub struct Pace {
    /// A stream that was silent for so long has told all there was when it was opened. No engine that was
    /// measured pauses for a fifth of it.
    pub quiet: Duration,
    /// How long a reader waits for that.
    pub patience: Duration,
    /// How long a stream is held after its last use where nobody has said that it is open.
    pub linger: Duration,
    /// Between two notices of growth.
    pub notice: Duration,
    pub retry_first: Duration,
    pub retry_most: Duration,
    /// Bytes kept of one content.
    pub spool: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            quiet: Duration::from_millis(100),
            patience: Duration::from_secs(20),
            linger: Duration::from_secs(60),
            notice: Duration::from_millis(50),
            retry_first: Duration::from_millis(50),
            retry_most: Duration::from_secs(5),
            spool: 1 << 30,
        }
    }
}

/// Where a stream stands.
#[derive(Clone, Debug)]
enum Phase {
    /// Nobody looks: it is not held.
    Resting,
    /// It was opened, and what was there is coming.
    Reading,
    /// All that was there has come, and the rest comes as it is written.
    Current,
    /// It broke after it was current, and is being opened again.
    Between,
    /// The service has ended it, and had nothing more when it was asked again.
    Ended,
    /// The service has no stream here: whoever it belongs to is asked for the content.
    Refused,
    Failed(Failure),
}

/// A content that grows, for all who look at it.
pub struct Growth {
    provider: Arc<dyn Provider>,
    stream: Arc<Growing>,
    pace: Pace,
    state: Mutex<State>,
    /// The phase has changed, or somebody has come.
    turned: Notify,
    /// It may be that nobody uses it any more.
    leave: Notify,
    grown: Box<dyn Fn() + Send + Sync>,
}

struct State {
    spool: Spool,
    phase: Phase,
    /// When something was appended last.
    appended: Option<SystemTime>,
    used: Instant,
    /// Opens that somebody will end.
    opens: usize,
    records: Option<records::Records>,
    /// What has come and could not be kept yet.
    unkept: Vec<u8>,
}

impl Growth {
    /// `grown` is called when something was appended, with no lock held.
    pub fn new(
        provider: Arc<dyn Provider>,
        stream: Arc<Growing>,
        pace: Pace,
        grown: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Growth> {
        let state = State {
            spool: Spool::new(pace.spool),
            phase: Phase::Resting,
            appended: None,
            used: Instant::now(),
            opens: 0,
            records: Some(records::Records::new(&stream)),
            unkept: Vec::new(),
        };
        Arc::new(Growth {
            provider,
            stream,
            pace,
            state: Mutex::new(state),
            turned: Notify::new(),
            leave: Notify::new(),
            grown: Box::new(grown),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics between two changes that belong together.
        self.state.lock()
    }

    pub fn stream(&self) -> &Arc<Growing> {
        &self.stream
    }

    /// The position after the last byte that has come.
    pub fn end(&self) -> u64 {
        self.state().spool.end()
    }

    /// The position of the first byte that is there.
    pub fn base(&self) -> u64 {
        self.state().spool.base()
    }

    /// When it grew last.
    pub fn appended(&self) -> Option<SystemTime> {
        self.state().appended
    }

    /// Somebody has it open from now on, until [`Growth::close`].
    pub fn open(&self) {
        self.state().opens += 1;
    }

    pub fn close(&self) {
        let mut state = self.state();
        state.opens = state.opens.saturating_sub(1);
        state.used = Instant::now();
    }

    pub fn is_open(&self) -> bool {
        self.state().opens > 0
    }

    /// How long nobody has used it.
    pub fn idle(&self) -> Duration {
        self.state().used.elapsed()
    }

    /// Whether the service is being listened to.
    pub fn is_held(&self) -> bool {
        matches!(self.state().phase, Phase::Reading | Phase::Current | Phase::Between)
    }

    /// An event says that it may go on: one that has ended is asked for again at its next use.
    pub fn stir(&self) {
        let mut state = self.state();
        if let Phase::Ended = state.phase {
            state.phase = Phase::Resting;
        }
    }

    /// Whether there is nothing to wait for; `again` as in [`Growth::current`]. Counts as a use.
    pub fn is_current(&self, again: bool) -> bool {
        let mut state = self.state();
        state.used = Instant::now();
        match state.phase {
            Phase::Current => true,
            Phase::Between => !again,
            _ => false,
        }
    }

    /// Gives the stream up, where nobody has it open.
    pub fn rest(&self) {
        let mut state = self.state();
        if let Some(long_ago) = Instant::now().checked_sub(self.pace.linger) {
            state.used = long_ago;
        }
        drop(state);
        self.leave.notify_one();
    }

    /// Has the stream held, and waits until all that was there when it was asked for has come. `again`:
    /// one that has ended is asked for once more, and one that broke is waited for. False where the service has no such stream.
    ///
    /// # Errors
    /// The stream cannot be opened, or what was there takes too long to come.
    pub async fn current(self: &Arc<Self>, again: bool) -> Result<bool, Failure> {
        let turned = self.turned.notified();
        tokio::pin!(turned);
        turned.as_mut().enable();
        // Who waits uses it: nobody else's logs may end it.
        let _waits = Waits::new(self);
        self.hold(again);
        let mut held_again = false;
        let waiting = async {
            loop {
                match self.phase() {
                    Phase::Current | Phase::Ended => return Ok(true),
                    Phase::Between if !again => return Ok(true),
                    Phase::Refused => return Ok(false),
                    Phase::Failed(failure) => return Err(failure),
                    Phase::Resting if !held_again => {
                        held_again = true;
                        self.hold(again);
                        continue;
                    }
                    Phase::Resting => return Ok(true),
                    Phase::Reading | Phase::Between => {}
                }
                turned.as_mut().await;
                turned.set(self.turned.notified());
                turned.as_mut().enable();
            }
        };
        match tokio::time::timeout(self.pace.patience, waiting).await {
            Ok(result) => result,
            Err(_) => Err(self.failure(
                Cause::TimedOut,
                "the service is still sending what the log holds; open it again".to_owned(),
            )),
        }
    }

    fn phase(&self) -> Phase {
        self.state().phase.clone()
    }

    fn failure(&self, cause: Cause, detail: String) -> Failure {
        Failure { provider: "".into(), cause, detail, retry_after: None }
    }

    /// Begins to listen where nobody does.
    fn hold(self: &Arc<Self>, again: bool) {
        let mut state = self.state();
        state.used = Instant::now();
        let begins = match state.phase {
            Phase::Resting | Phase::Refused | Phase::Failed(_) => true,
            Phase::Ended => again,
            Phase::Reading | Phase::Current | Phase::Between => false,
        };
        // Who listens has the records.
        if let Some(records) = state.records.take_if(|_| begins) {
            state.phase = Phase::Reading;
            drop(state);
            tokio::spawn(Follower::new(self.clone(), records).run());
        }
    }

    /// Up to `size` bytes at a position; fewer only at the end of what has come.
    ///
    /// # Errors
    /// What has been dropped, or cannot be read back.
    pub fn read(&self, position: u64, size: u32) -> std::io::Result<Bytes> {
        let mut state = self.state();
        state.used = Instant::now();
        state.spool.read(position, size as usize).map(Bytes::from)
    }
}

/// Somebody who waits for what there is.
struct Waits<'a>(&'a Growth);

impl Waits<'_> {
    fn new(growth: &Growth) -> Waits<'_> {
        growth.open();
        Waits(growth)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Growth")
            .field("path", &self.stream.request.path)
            .field("phase", &state.phase)
            .field("end", &state.spool.end())
            .field("opens", &state.opens)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
