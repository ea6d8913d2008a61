//! One client's connection: calls in, replies out.
//!
//! A call is run on the connection's own task as far as it goes without waiting, which for what the
//! core knows is all the way; a call that has to wait goes on as a task of its own. Neither the calls
//! under way nor the replies not yet taken grow without bound: a client that does not read its replies
//! is not read from.

use super::procedures::Outcome;
use super::record::{self, MARK, Records};
use super::rpc;
use super::service::Service;
use crate::Vfs;
use bytes::Bytes;
use nfs3_types::rpc::accept_stat_data;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;

/// Calls of one connection that may wait at a time.
const WAITING: usize = 64;
/// Bytes of replies that are gathered before they are sent.
const GATHER: usize = 256 * 1024;
/// For a client to take what it is sent.
const TAKE: Duration = Duration::from_secs(30);

/// What the server knows of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    started: Instant,
    /// Milliseconds after `started` of the last complete message.
    last: AtomicU64,
    /// It has made a call that only somebody who may use the export can make.
    known: AtomicBool,
    /// A message has begun and is not complete.
    within: AtomicBool,
    close: Notify,
}

impl Peer {
    pub fn new() -> Arc<Peer> {
        Arc::new(Peer {
            started: Instant::now(),
            last: AtomicU64::new(0),
            known: AtomicBool::new(false),
            within: AtomicBool::new(false),
            close: Notify::new(),
        })
    }

    pub fn known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }

    pub fn within(&self) -> bool {
        self.within.load(Ordering::Relaxed)
    }

    pub fn idle(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(last)
    }

    pub fn close(&self) {
        self.close.notify_one();
    }

    /// Ready once it is to be closed.
    pub async fn closed(&self) {
        self.close.notified().await;
    }

    fn heard(&self) {
        // Milliseconds of a process's life fit.
        self.last.store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

type Answer = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Sends the reply of a call that waits, also where the call panics.
struct Late {
    sender: mpsc::UnboundedSender<Outcome>,
    outcome: Option<Outcome>,
    xid: u32,
}

impl Drop for Late {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| failed(self.xid));
        // Without the connection there is nobody to send to.
        let _ = self.sender.send(outcome);
    }
}

/// Runs a call as far as it goes; `None` where it panics.
fn begin(answer: &mut Answer) -> Option<Poll<Outcome>> {
    let mut context = Context::from_waker(Waker::noop());
    catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(&mut context))).ok()
}

/// The reply to a call that this server could not finish.
fn failed(xid: u32) -> Outcome {
    let mut out = vec![0; MARK];
    rpc::accepted(xid, accept_stat_data::SYSTEM_ERR, &mut out);
    Outcome::Reply(out, false)
}

struct Connection<V: Vfs> {
    service: Arc<Service<V>>,
    peer: Arc<Peer>,
    waiting: usize,
    late: mpsc::UnboundedSender<Outcome>,
    out: Vec<u8>,
}

/// Serves one connection until it ends. `slots` is how many calls of all connections may wait.
pub(super) async fn serve<V: Vfs>(
    stream: TcpStream,
    service: Arc<Service<V>>,
    peer: Arc<Peer>,
    slots: Arc<Semaphore>,
) {
    // Small replies go at once.
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    // Holds at most WAITING replies.
    let (late, mut done) = mpsc::unbounded_channel();
    let mut connection =
        Connection { service, peer: peer.clone(), waiting: 0, late, out: Vec::new() };
    let mut records = Records::default();
    loop {
        while connection.waiting < WAITING && connection.out.len() < GATHER {
            match records.next() {
                Ok(Some(message)) => {
                    if !connection.call(message, &slots).await {
                        return;
                    }
                }
                Ok(None) => break,
                Err(record::Broken) => return,
            }
        }
        peer.within.store(records.is_within(), Ordering::Relaxed);
        while let Ok(outcome) = done.try_recv() {
            connection.waiting -= 1;
            if !connection.take(outcome) {
                return;
            }
        }
        if !connection.out.is_empty() {
            match timeout(TAKE, writer.write_all(&connection.out)).await {
                Ok(Ok(())) => {}
                _ => return,
            }
            connection.out.clear();
            // A large reply's room is not kept for ever.
            connection.out.shrink_to(GATHER / 4);
            continue;
        }
        tokio::select! {
            Some(outcome) = done.recv() => {
                connection.waiting -= 1;
                if !connection.take(outcome) {
                    return;
                }
            }
            read = reader.read_buf(&mut records.input), if connection.waiting < WAITING => {
                if !matches!(read, Ok(1..)) {
                    return;
                }
            }
            () = peer.closed() => return,
        }
    }
}

impl<V: Vfs> Connection<V> {
    /// Runs a call. False: the connection is to be closed.
    async fn call(&mut self, message: Bytes, slots: &Arc<Semaphore>) -> bool {
        self.peer.heard();
        let xid = message.first_chunk::<4>().map_or(0, |xid| u32::from_be_bytes(*xid));
        let mut answer: Answer = Box::pin(self.service.clone().answer(message, MARK));
        let outcome = match begin(&mut answer) {
            Some(Poll::Ready(outcome)) => outcome,
            Some(Poll::Pending) => {
                // Never closed.
                let Ok(slot) = slots.clone().acquire_owned().await else { return false };
                self.waiting += 1;
                let sender = self.late.clone();
                tokio::spawn(async move {
                    let mut late = Late { sender, outcome: None, xid };
                    late.outcome = Some(answer.await);
                    drop(late);
                    drop(slot);
                });
                return true;
            }
            None => {
                tracing::error!("an NFS call panicked; it was answered with a system error");
                failed(xid)
            }
        };
        self.take(outcome)
    }

    fn take(&mut self, outcome: Outcome) -> bool {
        let Outcome::Reply(mut reply, known) = outcome else { return false };
        if known {
            self.peer.known.store(true, Ordering::Relaxed);
        }
        record::mark(&mut reply);
        if self.out.is_empty() {
            self.out = reply
        } else {
            self.out.extend_from_slice(&reply)
        }
        true
    }
}
