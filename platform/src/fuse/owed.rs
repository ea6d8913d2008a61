//! Answers that callers wait for, and callers that are told to stop.
//!
//! The kernel has a message for the latter (FUSE_INTERRUPT), which `fuser` answers by itself with ENOSYS, and
//! then it comes no more: somebody who presses Ctrl-C would wait for the service. So while an answer is not
//! ready, it is looked whether its caller has a signal that ends a wait. Then he is answered EINTR; the work
//! goes on, since others may wait for the same, and what it brings is given back.

use fuser::{
    Errno, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyOpen,
};
use parking_lot::Mutex;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked.
const PACE: Duration = Duration::from_millis(100);

/// What somebody sends to end what he waits for. A program that has a handler for one of these returns to it;
/// those that come by themselves, such as that of a window that changes its size, end nothing.
const ENDING: [i32; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGABRT,
    // Stands for every signal that ends a process which has no handler for it.
    libc::SIGKILL,
    libc::SIGALRM,
    libc::SIGTERM,
];

/// A reply that can be an error.
pub(super) trait Refuse: Send + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ty),*) => {
        $(impl Refuse for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

refuse!(
    ReplyAttr,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen
);

/// A reply that is given once: by the handler, or in its place.
#[derive(Debug)]
pub(super) struct Owed<R>(Arc<Mutex<Option<R>>>);

impl<R> Clone for Owed<R> {
    fn clone(&self) -> Owed<R> {
        Owed(self.0.clone())
    }
}

impl<R: Refuse> Owed<R> {
    pub fn new(reply: R) -> Owed<R> {
        Owed(Arc::new(Mutex::new(Some(reply))))
    }

    /// The reply, for the handler to give. `None`: its caller has gone, and what he would have got is to be
    /// given back.
    pub fn take(&self) -> Option<R> {
        self.0.lock().take()
    }

    /// Works on a reply that has several parts; `None` as [`Owed::take`].
    pub fn with<T>(&self, work: impl FnOnce(&mut R) -> T) -> Option<T> {
        self.0.lock().as_mut().map(work)
    }

    pub fn refuse(&self, errno: Errno) {
        if let Some(reply) = self.take() {
            reply.refuse(errno);
        }
    }
}

/// Waits until the thread of this number is to end what it waits for; for ever where it is not seen from
/// here (0: it is in another process namespace).
pub(super) async fn told_to_stop(thread: u32) {
    if thread == 0 {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(PACE).await;
        let status = fs::read_to_string(format!("/proc/{thread}/status"));
        if status.is_ok_and(|status| is_stopped(&status)) {
            return;
        }
    }
}

/// Whether this `/proc/PID/status` (see proc_pid_status(5)) has a signal that ends a wait.
fn is_stopped(status: &str) -> bool {
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()).unwrap_or(0)
    };
    let bit = |signal: i32| 1_u64 << (signal - 1);
    let ending = ENDING.into_iter().fold(0, |set, signal| set | bit(signal));
    // A timer comes again and again to a program that shows how far it is.
    let timer = bit(libc::SIGALRM) & set("SigCgt");
    let pending = (set("SigPnd") | set("ShdPnd")) & !set("SigBlk") & !set("SigIgn");
    pending & ending & !timer != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(own: u64, shared: u64, blocked: u64, ignored: u64) -> String {
        caught(own, shared, blocked, ignored, 0)
    }

    fn caught(own: u64, shared: u64, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tcat\nThreads:\t1\nSigQ:\t0/96\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\n\
             SigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn a_signal_ends_a_wait_unless_it_is_blocked_ignored_or_none_that_ends_anything() {
        const INT: u64 = 1 << 1;
        const KILL: u64 = 1 << 8;
        const CHLD: u64 = 1 << 16;
        const WINCH: u64 = 1 << 27;
        assert!(is_stopped(&status(KILL, 0, 0, 0)));
        assert!(is_stopped(&status(0, INT, 0, 0)));
        assert!(!is_stopped(&status(0, INT, INT, 0)));
        assert!(!is_stopped(&status(0, INT, 0, INT)));
        assert!(!is_stopped(&status(CHLD, WINCH, 0, 0)));
        assert!(!is_stopped(&status(0, 0, 0, 0)));
        // One that has a handler returns to it, but for a timer.
        const ALRM: u64 = 1 << 13;
        assert!(is_stopped(&caught(0, INT, 0, 0, INT)));
        assert!(!is_stopped(&caught(0, ALRM, 0, 0, ALRM)));
        assert!(!is_stopped("nonsense"));
    }
}
