//! A mount that outlives the process which serves it.
//!
//! The keeper (process.rs) is the smallest process that can: it holds the device, and the memory in which is
//! noted what the kernel has been given (`kept/`), and starts the serving process again when that has died
//! without a word. Meanwhile the kernel's requests wait. This is the serving process's side.

mod process;

pub use process::keep;

use super::kept::{Head, Journal, Left};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{PidfdFlags, pidfd_open};
use rustix::thread::gettid;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// The descriptors that the keeper gives to the process it starts: first the socket.
const SOCKET: RawFd = 3;
/// The device and both files of the journal, to one that goes on with a session.
const HELD: [RawFd; 3] = [4, 5, 6];

/// What a serving process says: these three go with it, and are to be held.
const HOLD: u8 = b'h';
/// It lasts as long as the thread that goes with it.
const LIFE: u8 = b'l';
/// It answers.
const READY: u8 = b'r';
/// What is held is not to be gone on with.
const DROP: u8 = b'd';
/// There is no mount any more.
const OVER: u8 = b'o';

/// The keeper of this process's mount.
#[derive(Debug)]
pub struct Keeper {
    socket: OwnedFd,
    session: Mutex<Option<Session>>,
    secret: [u8; 16],
    before: Option<Before>,
    /// Another process can go on with the mount.
    holds: AtomicBool,
}

/// What holds of a session that another process has begun, whatever the configuration says by now.
#[derive(Clone, Debug)]
pub struct Before {
    /// Where it is mounted. Nobody may look at that path before it is served.
    pub point: PathBuf,
    pub allow_other: bool,
}

#[derive(Debug)]
pub(super) enum Session {
    New(Journal),
    /// What another process has begun.
    Old {
        device: OwnedFd,
        journal: Journal,
        left: Box<Left>,
    },
}

/// What a pidfd is of: a thread, and not all of a process (Linux 6.9).
const PIDFD_THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL.cast_unsigned());

/// Tells the keeper by which thread it sees that this process has ended: one that does nothing, and so ends when it
/// should. The system does not say that a process has ended before its last thread has, and one that waits in
/// the kernel may wait for the next process.
fn name_life(socket: &OwnedFd) -> io::Result<()> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::Builder::new().name("omnifs-life".into()).spawn(move || {
        // Who has started it waits for this.
        let _ = tell.send(pidfd_open(gettid(), PIDFD_THREAD));
        loop {
            std::thread::park();
        }
    })?;
    match told.recv().map_err(io::Error::other)? {
        Ok(life) => give(socket, LIFE, &[life.as_fd()]),
        // Before Linux 6.9, or in a sandbox, where nothing can be kept anyway.
        Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Says a word, with descriptors that go with it.
fn give(socket: &OwnedFd, word: u8, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(descriptors));
    sendmsg(socket, &[IoSlice::new(&[word])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

impl Keeper {
    /// The keeper that has started this process. Once, and before any other thread is started.
    ///
    /// # Errors
    /// It did not give what it should.
    pub fn of_this_process(resumed: bool) -> io::Result<Keeper> {
        let take = |number: RawFd| -> io::Result<OwnedFd> {
            // SAFETY: the keeper has put a descriptor there for this process, and nobody else here knows of it. One
            // that is not open is refused by the next call, and not closed.
            let descriptor = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
            fcntl_setfd(&*descriptor, FdFlags::CLOEXEC)?;
            Ok(std::mem::ManuallyDrop::into_inner(descriptor))
        };
        let socket = take(SOCKET)?;
        name_life(&socket)?;
        if !resumed {
            let mut secret = [0; 16];
            getrandom::fill(&mut secret).map_err(io::Error::other)?;
            let session = Mutex::new(Some(Session::New(Journal::new()?)));
            let holds = AtomicBool::new(false);
            return Ok(Keeper { socket, session, secret, before: None, holds });
        }
        let [device, one, two] = HELD.map(take);
        let (journal, left) = Journal::take([one?, two?])?;
        let Head { secret, point, allow_other, .. } = left.head.clone();
        let before = Some(Before { point, allow_other });
        let session =
            Mutex::new(Some(Session::Old { device: device?, journal, left: Box::new(left) }));
        Ok(Keeper { socket, session, secret, before, holds: AtomicBool::new(true) })
    }

    /// One that keeps nothing.
    #[cfg(test)]
    pub(super) fn of_nobody() -> std::sync::Arc<Keeper> {
        let socket = std::fs::File::open("/dev/null").unwrap().into();
        let (session, holds) = (Mutex::default(), AtomicBool::new(false));
        Keeper { socket, session, secret: [0; 16], before: None, holds }.into()
    }

    /// What contents are to be told apart by ([`crate::Vfs::edition`]).
    pub fn secret(&self) -> &[u8; 16] {
        &self.secret
    }

    /// Whether this process goes on with a session.
    pub fn goes_on(&self) -> bool {
        self.before.is_some()
    }

    /// Whether this process is of the program from before, since that which is installed did not come up.
    pub fn took_back(&self) -> bool {
        std::env::args_os().next().is_some_and(|program| program == process::OWN)
    }

    /// The session that this process goes on with.
    pub fn before(&self) -> Option<&Before> {
        self.before.as_ref()
    }

    /// Whether another process would go on with the mount if this one died now.
    pub fn holds(&self) -> bool {
        let mut socket = [PollFd::new(&self.socket, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let asked = poll(&mut socket, Some(&now));
        let gone = asked.is_ok() && socket[0].revents().contains(PollFlags::HUP);
        self.holds.load(Ordering::Relaxed) && !gone
    }

    /// Nobody is to go on with the session.
    pub(super) fn drop_session(&self) {
        self.holds.store(false, Ordering::Relaxed);
        self.say(DROP);
    }

    /// Once.
    pub(super) fn take_session(&self) -> Option<Session> {
        self.session.lock().take()
    }

    /// Has the keeper hold a session for the next process.
    pub(super) fn give(&self, device: &OwnedFd, files: &[OwnedFd; 2]) -> io::Result<()> {
        give(&self.socket, HOLD, &[device.as_fd(), files[0].as_fd(), files[1].as_fd()])?;
        self.holds.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The mount answers.
    pub fn ready(&self) {
        self.say(READY);
    }

    /// There is no mount any more, and nothing to go on with.
    pub fn over(&self) {
        self.holds.store(false, Ordering::Relaxed);
        self.say(OVER);
    }

    fn say(&self, word: u8) {
        // One that has been ended keeps nothing.
        if let Err(error) = rustix::net::send(&self.socket, &[word], SendFlags::NOSIGNAL) {
            self.holds.store(false, Ordering::Relaxed);
            tracing::warn!(%error, "the mount's keeper is gone: the mount ends with this process");
        }
    }
}
