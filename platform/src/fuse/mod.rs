//! The Linux back end: a [`Vfs`] shown through FUSE.
//!
//! The kernel keeps names, attributes, listings and content for ever and is told what to drop
//! (notify.rs); so what was looked at once costs no request at all. Node numbers are
//! [`Handle`](crate::Handle)s, one for each position of a directory, and st_ino is the
//! [`Inode`](crate::Inode).
//!
//! Files and directories are opened without a word (contents.rs, listings.rs), but in a writable mount that
//! others than its user may enter.
//!
//! Invariants: a request is answered by the thread that reads it unless the answer has to wait for
//! something outside; notifications are sent by threads that hold no lock, and no read waits for an
//! answer that waits for one; all references and open files are given back when the session ends.

mod attr;
mod contents;
mod device;
mod error;
#[cfg(test)]
mod fake;
mod filesystem;
mod handshake;
mod held;
mod keeper;
mod kept;
mod listings;
mod notify;
mod owed;
mod server;
mod stamps;
mod watch;
mod wire;

pub use device::{check, helper, user_allow_other};
pub use error::MountError;
pub use keeper::{Keeper, keep};

use crate::mounting::{self, Mount, Place, UnmountMode};
use crate::owner::Owner;
use crate::{Kind, Vfs};
use contents::Contents;
use device::Device;
use filesystem::OmniFilesystem;
use fuser::{Config, INodeNo, SessionACL};
use held::References;
use kept::{Head, Kept};
use listings::Listings;
use notify::Notifier;
use server::Server;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime;
use tokio::sync::watch as signal;
use watch::{Desk, Queue, Raiser};
use wire::{Told, Wire};

/// How long an unmount waits for the kernel to end the connection.
const ENDING: Duration = Duration::from_secs(2);
/// How long an unmount waits for a call that the daemon makes on its own mount.
const PAUSING: Duration = Duration::from_secs(1);

/// How a mount is made.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Lets every user in, not just the mounting one. An ordinary user needs `user_allow_other` in
    /// /etc/fuse.conf.
    pub allow_other: bool,
    /// What the mount table shows as the source; without commas.
    pub name: String,
    /// Threads that read requests, each from its own queue.
    pub threads: NonZeroUsize,
    /// Whose files they are shown to be: by default nobody's.
    pub owner: Owner,
    /// Programs that lie in the mount may be run.
    pub exec: bool,
    /// Raises inotify events for what changes upstream.
    pub watch_events: bool,
    /// What has the mount outlive this process.
    pub keeper: Option<Arc<Keeper>>,
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        let threads = thread::available_parallelism().map_or(2, NonZeroUsize::get).clamp(2, 8);
        MountOptions {
            allow_other: false,
            name: "omnifs".into(),
            threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
            owner: Owner::nobody(),
            exec: false,
            watch_events: false,
            keeper: None,
        }
    }
}

/// A mounted file system. Dropping it unmounts, by force if need be.
#[derive(Debug)]
pub struct Mounted {
    point: PathBuf,
    mount: Mount,
    session: signal::Receiver<Session>,
    unmounted: bool,
    events: Option<Arc<Queue>>,
    spare: Vec<File>,
}

/// How far the session that serves a mount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Serving,
    /// The kernel has said that the mount is gone, and the mount's number may be another's by now.
    Unmounted,
    /// The mount is still there, and answers nothing.
    Failed,
}

/// Descriptors that are held for the way out, which looks at the table of mounts and may start
/// fusermount3: a process that has used up its own could not unmount.
fn spare_descriptors() -> io::Result<Vec<File>> {
    const SPARE: usize = 6;
    (0..SPARE).map(|_| File::open("/dev/null")).collect()
}

/// Mounts `vfs` on the directory `path` and serves it until it is unmounted. A stale mount of a
/// killed process is repaired first. Answers that have to wait are finished on `runtime`. What a keeper holds
/// is gone on with instead.
///
/// Blocks for a few system calls, so an async caller may want `spawn_blocking`.
pub fn mount<V: Vfs>(
    vfs: Arc<V>,
    path: &Path,
    options: &MountOptions,
    runtime: &runtime::Handle,
) -> Result<Mounted, MountError> {
    let system = |what| move |source: io::Error| MountError::System { what, source };
    let spare = spare_descriptors().map_err(system("opening /dev/null"))?;
    let keeper = options.keeper.clone();
    let session = keeper.and_then(|keeper| Some((keeper.take_session()?, keeper)));
    let (point, device, vfs, start) = match session {
        Some((keeper::Session::Old { device, journal, left }, keeper)) => {
            // By the table alone: who looked at the path would wait for us.
            let (number, minor) = left.head.mount;
            let found = mounting::numbered(number).filter(|mount| mount.minor == minor);
            let mount = found.ok_or_else(|| {
                // There is nothing to go on with, also for the next process.
                keeper.over();
                mounting::Error::NotMounted(path.to_owned())
            })?;
            let head = left.head.clone();
            let device = Device { connection: device, read_only: head.read_only, mount };
            let vfs = Kept::new(vfs, keeper, journal, Some(*left));
            (path.to_owned(), device, vfs, Start::Old(head))
        }
        new => {
            let place = Place::take(path)?;
            let device = device::mount(&place, options)?;
            let (vfs, start) = match new {
                Some((keeper::Session::New(journal), keeper)) => {
                    (Kept::new(vfs, keeper.clone(), journal, None), Start::Kept(keeper))
                }
                _ => (Kept::plain(vfs), Start::Plain),
            };
            (place.path, device, vfs, start)
        }
    };
    let (mount, goes_on) = (device.mount.clone(), matches!(start, Start::Old(_)));
    match serve(Arc::new(vfs), point, device, start, options, runtime) {
        Ok(mut mounted) => {
            mounted.spare = spare;
            Ok(mounted)
        }
        // The next process may do better.
        Err(error) if goes_on => Err(error),
        Err(error) => {
            drop(spare);
            if let Err(error) = mounting::unmount(&mount, UnmountMode::Force) {
                tracing::warn!(%error, "a mount that could not be served stays");
            }
            Err(error)
        }
    }
}

/// How a session begins.
enum Start {
    Plain,
    /// So that another process can go on with it.
    Kept(Arc<Keeper>),
    /// It is another process's.
    Old(Head),
}

fn serve<V: Vfs>(
    vfs: Arc<Kept<V>>,
    point: PathBuf,
    device: Device,
    start: Start,
    options: &MountOptions,
    runtime: &runtime::Handle,
) -> Result<Mounted, MountError> {
    let system = |what| move |source: io::Error| MountError::System { what, source };
    let references = Arc::new(References::new());
    let left = vfs.left();
    for (handle, inode, kind) in &left {
        references.add_from_before(*handle, *inode, *kind);
    }
    let Device { connection, read_only, mount } = device;
    let copy = || connection.try_clone().map(Wire).map_err(system("copying the FUSE device"));
    let (wire, asking) = (copy()?, copy()?);
    vfs.silence_opens();
    // Subscribed before the first request, so no change is missed.
    let events = options.watch_events.then(|| Arc::new(Queue::default()));
    let queue = events.clone();
    let notifier = Notifier::start(wire, vfs.root(), references.clone(), vfs.changes(), queue)
        .map_err(system("starting the notifier"))?;
    let desk = Arc::new(Desk::default());
    let raiser = events.clone().map(|queue| Raiser {
        vfs: vfs.clone(),
        references: references.clone(),
        bulletin: notifier.bulletin.clone(),
        desk: desk.clone(),
        queue,
        point: point.clone(),
        read_only,
        minor: mount.minor,
        runtime: runtime.clone(),
    });
    let server = Arc::new(Server {
        vfs: vfs.clone(),
        runtime: runtime.clone(),
        owner: options.owner,
        references,
        contents: Contents::new(),
        listings: Listings::new(),
        notifier,
        desk,
    });
    let allow_other = match &start {
        Start::Old(head) => head.allow_other,
        Start::Plain | Start::Kept(_) => options.allow_other,
    };
    let acl = if allow_other { SessionACL::All } else { SessionACL::Owner };
    let mut config = Config::default();
    config.acl = acl;
    config.n_threads = Some(options.threads.get());
    // A queue for each thread, where this user may open the device again. What a thread has taken from a queue of its
    // own is lost with that.
    config.clone_fd = matches!(start, Start::Plain) && device::open().is_ok();
    // A failure drops the file system, and that closes the server.
    // Whoever else may enter could map a file of a writable mount and show others what he wrote there.
    let judges_opens = !read_only && allow_other;
    let filesystem = OmniFilesystem::new(server, judges_opens);
    let greeted = system("the FUSE handshake");
    let serving = match start {
        Start::Plain => {
            fuser::Session::from_fd(filesystem, connection, acl, config).map_err(greeted)?
        }
        Start::Kept(keeper) => {
            let (serving, greeting) =
                handshake::begin(filesystem, &connection, acl, config).map_err(greeted)?;
            let (secret, mount) = (*keeper.secret(), (mount.id, mount.minor));
            let point = point.clone();
            let head = Head { greeting, read_only, allow_other, mount, point, secret };
            hand_over(&vfs, &keeper, &connection, head);
            serving
        }
        Start::Old(head) => {
            let serving = handshake::resume(filesystem, &connection, acl, config, &head.greeting)
                .map_err(greeted)?;
            // Listings first: from one that is kept each name would be asked for by itself. Nobody holds a page of theirs.
            let directories = left.iter().filter(|(_, _, kind)| *kind == Kind::Directory);
            let directories = directories.map(|(handle, ..)| handle.0).chain([INodeNo::ROOT.0]);
            for directory in directories {
                asking.inval_inode(directory, true);
            }
            // What the process before had taken and not answered.
            if let Told::Failed(error) = asking.resend() {
                return Err(greeted(error.into()));
            }
            serving
        }
    };
    let (tell, session) = signal::channel(Session::Serving);
    thread::Builder::new()
        .name("omnifs-fuse".into())
        .spawn(move || {
            let end = serving.run();
            if let Err(error) = &end {
                tracing::warn!(%error, "the FUSE session ended");
            }
            tell.send_replace(if end.is_ok() { Session::Unmounted } else { Session::Failed });
        })
        .map_err(system("starting the FUSE session"))?;
    if let Some(raiser) = raiser {
        raiser.start().map_err(system("starting the thread that raises events"))?;
    }
    Ok(Mounted { point, mount, session, unmounted: false, events, spare: Vec::new() })
}

/// Has the keeper hold what another process needs to go on with the session. Without that the mount ends with this
/// process.
fn hand_over<V: Vfs>(vfs: &Kept<V>, keeper: &Keeper, device: &OwnedFd, head: Head) {
    if !head.greeting.has_resend() {
        tracing::info!("before Linux 6.9 a mount ends with its process");
        return;
    }
    if let Err(error) = vfs.hand_over(head, |files| keeper.give(device, files)) {
        tracing::warn!(%error, "the mount ends with this process");
    }
}

impl Mounted {
    /// The resolved path of the mount point.
    pub fn mountpoint(&self) -> &Path {
        &self.point
    }

    /// Returns when the session is over, whoever has unmounted it.
    pub async fn ended(&self) {
        // An error means that the session thread is gone, which is the end too.
        let _ = self.session.clone().wait_for(|session| *session != Session::Serving).await;
    }

    fn session(&self) -> Session {
        match *self.session.borrow() {
            // Its thread has panicked.
            Session::Serving if self.session.has_changed().is_err() => Session::Failed,
            session => session,
        }
    }

    /// Unmounts. Afterwards waits at most two seconds for the session to end; after
    /// [`UnmountMode::Lazy`] it may go on. Blocks.
    ///
    /// # Errors
    /// It is in use, or the system refuses.
    pub fn unmount(&mut self, how: UnmountMode) -> Result<(), mounting::Error> {
        if self.unmounted {
            return Ok(());
        }
        let how = match self.session() {
            Session::Serving => how,
            Session::Failed => UnmountMode::Force,
            Session::Unmounted => {
                self.unmounted = true;
                return Ok(());
            }
        };
        self.spare.clear();
        let unmounted = self.take_off(how);
        if unmounted.is_err() {
            // It lives on. Those that somebody else has taken meanwhile are missed at the next attempt.
            self.spare = spare_descriptors().unwrap_or_default();
        }
        unmounted
    }

    fn take_off(&mut self, how: UnmountMode) -> Result<(), mounting::Error> {
        // Before the daemon's own calls on the mount are waited for: it ends them.
        if how == UnmountMode::Force
            && let Err(error) = mounting::abort(&self.mount)
        {
            tracing::debug!(%error, "the connection could not be aborted");
        }
        if let Some(events) = &self.events {
            events.pause(PAUSING);
        }
        match mounting::unmount(&self.mount, how) {
            // Somebody else has unmounted it, and what is there now is not ours to take away.
            Ok(()) | Err(mounting::Error::NotMounted(_)) => {}
            Err(error) => {
                if let Some(events) = &self.events {
                    events.resume();
                }
                return Err(error);
            }
        }
        self.unmounted = true;
        if how != UnmountMode::Lazy {
            self.wait_for_end();
        }
        Ok(())
    }

    fn wait_for_end(&self) {
        let deadline = Instant::now() + ENDING;
        while self.session() == Session::Serving && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.unmount(UnmountMode::Clean).is_err()
            && let Err(error) = self.unmount(UnmountMode::Force)
        {
            tracing::warn!(%error, "unmounting");
        }
    }
}
