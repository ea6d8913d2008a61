//! Holds a call to its CPU budget and its deadlines.
//!
//! The epoch makes a running guest yield at each tick. Here the CPU time between two yields is
//! counted, as the thread's own clock has it: time in which the thread was not scheduled, the call
//! was queued or a request was on its way does not count, however loaded the machine is.

use super::limits::Limits;
use parking_lot::Mutex;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Why a call was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Cpu,
    Wait,
    Total,
}

/// What a call has spent on requests: shared by the host functions and the watcher of the call.
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Requests>);

#[derive(Clone, Copy, Debug, Default)]
struct Requests {
    cpu: Duration,
    waited: Duration,
    since: Option<Instant>,
    /// Bytes of their answers.
    received: usize,
}

impl Meter {
    // The lock is held for these few lines only, which cannot panic.
    fn with<T>(&self, f: impl FnOnce(&mut Requests) -> T) -> T {
        f(&mut self.0.lock())
    }

    /// Notes an answer, which the guest has to read: that is CPU time it did not choose to spend.
    pub(super) fn received(&self, bytes: usize) {
        self.with(|r| r.received += bytes);
    }

    /// Runs a request: its time is the host's, and so is the CPU it takes.
    pub(super) async fn request<T>(&self, request: impl Future<Output = T>) -> T {
        struct Ended<'a>(&'a Meter);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.with(|r| {
                    if let Some(since) = r.since.take() {
                        r.waited += since.elapsed();
                    }
                });
            }
        }
        let mut request = pin!(request);
        self.with(|r| r.since = Some(Instant::now()));
        let _ended = Ended(self);
        poll_fn(|context| {
            let before = thread_time();
            let polled = request.as_mut().poll(context);
            let spent = thread_time().saturating_sub(before);
            self.with(|r| r.cpu += spent);
            polled
        })
        .await
    }

    /// Runs a call that began at `started` until it ends or passes one of its limits.
    pub(super) async fn watch<T>(
        &self,
        limits: &Limits,
        started: Instant,
        call: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        let last = started + limits.total;
        let mut cpu = Duration::ZERO;
        let mut alarm = pin!(sleep_until(last.min(started + limits.wait)));
        let mut call = pin!(call);
        poll_fn(|context| {
            let before = thread_time();
            let polled = call.as_mut().poll(context);
            cpu += thread_time().saturating_sub(before);
            if let Poll::Ready(value) = polled {
                return Poll::Ready(Ok(value));
            }
            let requests = self.with(|r| *r);
            if cpu.saturating_sub(requests.cpu) > limits.cpu_for(requests.received) {
                return Poll::Ready(Err(Stop::Cpu));
            }
            while alarm.as_mut().poll(context).is_ready() {
                let now = Instant::now();
                if now >= last {
                    return Poll::Ready(Err(Stop::Total));
                }
                // What was spent on requests extends the wait. While one is on its way the alarm
                // looks again in a second at the earliest, instead of chasing the moving end.
                let mut end = started + limits.wait + requests.waited;
                if let Some(since) = requests.since {
                    end = (end + (now - since)).max(now + Duration::from_secs(1));
                }
                if now >= end {
                    return Poll::Ready(Err(Stop::Wait));
                }
                alarm.as_mut().reset(end.min(last));
            }
            Poll::Pending
        })
        .await
    }
}

/// CPU time of this thread.
#[cfg(unix)]
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    // The kernel keeps both fields in range and the clock begins at 0.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Elsewhere the thread clocks are too coarse (15 ms on Windows): the time that passes during a
/// poll stands for it.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    use std::sync::OnceLock;
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    /// All in milliseconds.
    fn limits(cpu: u64, wait: u64, total: u64) -> Limits {
        Limits {
            cpu: Duration::from_millis(cpu),
            wait: Duration::from_millis(wait),
            total: Duration::from_millis(total),
            ..Limits::default()
        }
    }

    #[tokio::test]
    async fn a_call_that_waits_for_ever_ends_at_its_wait_limit() {
        let meter = Meter::default();
        let started = Instant::now();
        let end = meter.watch(&limits(50, 30, 60_000), started, std::future::pending::<()>()).await;
        assert_eq!(end, Err(Stop::Wait));
        assert!(started.elapsed() >= Duration::from_millis(30));
    }

    #[tokio::test]
    async fn time_in_requests_extends_the_wait_up_to_the_total() {
        let meter = Meter::default();
        let started = Instant::now();
        let call = async {
            for _ in 0..4 {
                meter.request(sleep(Duration::from_millis(20))).await;
            }
            std::future::pending::<()>().await
        };
        let end = meter.watch(&limits(50, 50, 60_000), started, call).await;
        assert_eq!(end, Err(Stop::Wait));
        assert!(started.elapsed() >= Duration::from_millis(4 * 20 + 50));

        let started = Instant::now();
        let call = meter.request(std::future::pending::<()>());
        let end = meter.watch(&limits(50, 30, 100), started, call).await;
        assert_eq!(end, Err(Stop::Total));
        assert!(started.elapsed() >= Duration::from_millis(100));
    }

    fn burn(time: Duration) {
        let start = thread_time();
        while thread_time() - start < time {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn a_guest_pays_for_its_cpu_time_but_not_for_that_of_requests() {
        let meter = Meter::default();
        let call = async {
            loop {
                burn(Duration::from_millis(5));
                tokio::task::yield_now().await;
            }
        };
        let end: Result<(), Stop> =
            meter.watch(&limits(50, 30_000, 60_000), Instant::now(), call).await;
        assert_eq!(end, Err(Stop::Cpu));

        let call = async {
            for _ in 0..20 {
                let request = async {
                    burn(Duration::from_millis(5));
                    tokio::task::yield_now().await;
                };
                meter.request(request).await;
            }
            7
        };
        assert_eq!(meter.watch(&limits(50, 30_000, 60_000), Instant::now(), call).await, Ok(7));
    }

    #[test]
    fn what_was_fetched_may_be_read_and_nothing_makes_it_more_than_a_call_may_take() {
        let limits = limits(2_000, 30_000, 60_000);
        assert_eq!(limits.cpu_for(0), Duration::from_secs(2));
        // 20,000 issues of 3 KiB, at ten times what they take on a slow machine.
        assert!(limits.cpu_for(20_000 * 3 * 1024) >= Duration::from_secs(8));
        assert_eq!(limits.cpu_for(usize::MAX), limits.total);
    }
}
