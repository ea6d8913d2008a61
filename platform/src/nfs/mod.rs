//! The NFS version 3 back end: a [`Vfs`] served on the loopback interface, for macOS, where it needs
//! no kernel extension, for Linux without /dev/fuse, and for any other client.
//!
//! The protocol knows no callback and no open file. So attributes are asked for at each open, every
//! GETATTR is answered from the core, and what is being read is held here (streams.rs). Handles carry
//! an object's identity and position and a proof (handle.rs), and are good after a restart
//! (state.rs, positions.rs, objects.rs).
//!
//! Who gets in: the listener is bound to 127.0.0.1, on Linux another user's connection is refused
//! (gate.rs), the export has a name that cannot be guessed, is told to nobody and is another one at each
//! start, and each call must carry the owner's uid. docs/nfs.md says what that protects.
//!
//! Invariants: nothing that a client sends makes room for more than it has sent; connections, calls
//! under way, handles, positions and open files are bounded; every wait has a deadline.

mod connection;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gate;
mod handle;
pub mod mounting;
mod objects;
mod positions;
mod procedures;
mod record;
mod rpc;
mod service;
mod state;
mod streams;
mod wire;

use crate::Vfs;
use crate::owner::Owner;
use connection::Peer;
use gate::Gate;
use handle::Sealer;
use objects::Objects;
use parking_lot::{Mutex, MutexGuard};
use positions::Positions;
use service::Service;
use state::Identity;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, SystemTime};
use streams::Streams;
use thiserror::Error;
use tokio::runtime;
use tokio::sync::{Notify, Semaphore};
use wire::Export;

/// Handles whose objects are held, and positions that are remembered.
const OBJECTS: usize = 64 * 1024;
const POSITIONS: usize = 256 * 1024;
/// Open files and the bytes they may hold; open directories.
const FILES: usize = 64;
const FILE_BYTES: u64 = 64 << 20;
const LISTINGS: usize = 64;
/// Calls of all clients that may wait at a time.
const WAITING: usize = 512;
/// Connections at a time. A mount has one.
const CONNECTIONS: usize = 256;
/// For a connection to complete a message that it has begun, or to make its first good call.
const STRANGER: Duration = Duration::from_secs(30);
/// For a client that has made one to make another. It connects again when it needs to.
const QUIET: Duration = Duration::from_secs(600);
const SWEEP: Duration = Duration::from_millis(500);

/// How a server is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// A directory of this server's own, which is made if need be. A server that is started on it
    /// again is the same one to its clients.
    pub state: PathBuf,
    /// Serve calls and connections of every user, not of `uid` alone.
    pub allow_other: bool,
    /// Whose calls are served.
    pub uid: u32,
    /// Whose files they are shown to be.
    pub owner: Owner,
}

impl Options {
    /// For the user of this process.
    pub fn new(state: PathBuf) -> Options {
        #[cfg(unix)]
        let uid = rustix::process::geteuid().as_raw();
        // Where there are no such numbers, clients say what these say.
        #[cfg(not(unix))]
        let uid = 0;
        Options { state, allow_other: false, uid, owner: Owner::nobody() }
    }
}

#[derive(Debug, Error)]
pub enum ServeError {
    #[error("the state directory {} cannot be used: {source}", path.display())]
    State { path: PathBuf, source: io::Error },
    #[error("no port on 127.0.0.1 can be listened on: {0}")]
    Listen(io::Error),
    #[error("the root directory cannot be read: {0}")]
    Root(crate::Error),
    #[error("cannot start the NFS server: {0}")]
    System(io::Error),
}

/// A running server. Dropping it closes every connection.
#[derive(Debug)]
pub struct Server {
    port: u16,
    token: String,
    stop: Arc<Notify>,
    peers: Arc<Peers>,
    closed: Arc<AtomicBool>,
    gate: Arc<Gate>,
}

impl Server {
    /// The port on 127.0.0.1, of NFS and of the mount protocol.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What to mount: `/` and the export's name. Who knows it, may connect and may act as the owner's
    /// uid can read everything, so it is not for logs. Another one at each start.
    pub fn export(&self) -> String {
        format!("/{}", self.token)
    }

    /// Has the export mounted by nobody any more. Who has mounted it keeps it, also over a restart: the
    /// name is needed for a mount's first handle only, and every user can read it in the mount table.
    pub fn close_export(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Connections at this moment.
    pub fn connections(&self) -> usize {
        self.peers.all().len()
    }

    /// Connections that were refused because another user's program made them. Linux only.
    pub fn refused(&self) -> u64 {
        self.gate.refused()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.notify_one();
        self.peers.all().values().for_each(|peer| peer.close());
    }
}

/// Serves `vfs` until the [`Server`] is dropped. Connections and calls that wait run on `runtime`.
///
/// Blocks for a few file system calls, and while the root's attributes are asked for.
pub fn serve<V: Vfs>(
    vfs: Arc<V>,
    options: &Options,
    runtime: &runtime::Handle,
) -> Result<Server, ServeError> {
    let state = |source| ServeError::State { path: options.state.clone(), source };
    let mut identity = Identity::load(&options.state).map_err(state)?;
    let token = state::export_name().map_err(ServeError::System)?;
    let listener = listen(identity.port).map_err(ServeError::Listen)?;
    let port = listener.local_addr().map_err(ServeError::Listen)?.port();
    identity.port = port;
    identity.save(&options.state).map_err(state)?;
    let sealer = Sealer::new(&identity.key);
    let positions = Positions::open(&options.state, sealer.clone(), POSITIONS).map_err(state)?;
    // Subscribed before the first call, so no change is missed.
    let changes = vfs.changes();
    let root = runtime.block_on(vfs.getattr(vfs.root())).map_err(ServeError::Root)?.inode;
    // A nanosecond count, so that change times of this run differ from those of the last one.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let first = u64::from(now.subsec_nanos() / 2) + 1;
    let closed = Arc::new(AtomicBool::new(false));
    let service = Arc::new(Service {
        objects: Objects::new(vfs.clone(), positions, root, OBJECTS, first),
        vfs,
        uid: options.uid,
        export: Export { owner: options.owner, fsid: sealer.number() },
        sealer,
        token: token.clone(),
        closed: closed.clone(),
        allow_other: options.allow_other,
        files: Streams::new(FILES, FILE_BYTES),
        listings: Streams::new(LISTINGS, u64::MAX),
    });
    follow(Arc::downgrade(&service), changes).map_err(ServeError::System)?;
    let (stop, peers) = (Arc::new(Notify::new()), Arc::new(Peers::default()));
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener).map_err(ServeError::System)?
    };
    let gate = Arc::new(if options.allow_other { Gate::open() } else { Gate::of(owners(options)) });
    runtime.spawn(accept(service, peers.clone(), gate.clone(), stop.clone(), listener));
    Ok(Server { port, token, stop, peers, closed, gate })
}

/// The user of the files, and of this process.
fn owners(options: &Options) -> Vec<u32> {
    #[cfg(unix)]
    return vec![options.uid, rustix::process::geteuid().as_raw()];
    #[cfg(not(unix))]
    vec![options.uid]
}

/// The port of the last run, so that its mounts go on; if somebody else has it, any other.
fn listen(port: u16) -> io::Result<TcpListener> {
    // On unix the standard library sets the option that lets a server come back while connections of
    // its last run linger.
    let at = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listener = at(port).or_else(|error| {
        if port == 0 {
            return Err(error);
        }
        tracing::warn!(
            port,
            %error,
            "the port of the last run is another program's; mounts of that run would be answered by \
             it, so unmount them"
        );
        at(0)
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Applies changes in the order they come, on a thread of its own: it waits in no runtime.
fn follow<V: Vfs>(
    service: Weak<Service<V>>,
    changes: std::sync::mpsc::Receiver<Vec<crate::Change>>,
) -> io::Result<()> {
    let run = move || {
        loop {
            let batch = match changes.recv_timeout(SWEEP) {
                Ok(batch) => batch,
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Some(service) = service.upgrade() else { return };
            if !batch.is_empty() {
                service.apply(&batch);
            }
            service.sweep();
        }
    };
    thread::Builder::new().name("omnifs-nfs-changes".into()).spawn(run).map(drop)
}

/// The connections of a server.
#[derive(Debug, Default)]
struct Peers(Mutex<HashMap<u64, Arc<Peer>>>);

impl Peers {
    fn all(&self) -> MutexGuard<'_, HashMap<u64, Arc<Peer>>> {
        self.0.lock()
    }

    /// Closes the one that is missed least: idle for longest, strangers first.
    fn make_room(&self) {
        let mut all = self.all();
        let least = all.iter().max_by_key(|(_, peer)| (!peer.known(), peer.idle()));
        // Taken off at once: it ends soon, and must not be counted or chosen again.
        if let Some(peer) = least.map(|(number, _)| *number).and_then(|number| all.remove(&number))
        {
            peer.close();
        }
    }

    fn sweep(&self) {
        for peer in self.all().values() {
            let patience = if peer.known() && !peer.within() { QUIET } else { STRANGER };
            if peer.idle() > patience {
                peer.close();
            }
        }
    }
}

/// The listener is the last argument, so it is the first that is dropped: once the references are
/// given back, the port is free.
async fn accept<V: Vfs>(
    service: Arc<Service<V>>,
    peers: Arc<Peers>,
    gate: Arc<Gate>,
    stop: Arc<Notify>,
    listener: tokio::net::TcpListener,
) {
    let slots = Arc::new(Semaphore::new(WAITING));
    let mut turn = tokio::time::interval(SWEEP);
    let mut number = 0_u64;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = turn.tick() => {
                peers.sweep();
                continue;
            }
            () = stop.notified() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly: one that is given back helps.
                tracing::warn!(%error, "an NFS connection was not accepted");
                peers.make_room();
                turn.tick().await;
                continue;
            }
        };
        if peers.all().len() >= CONNECTIONS {
            peers.make_room();
        }
        number += 1;
        let (peer, peers, gate) = (Peer::new(), peers.clone(), gate.clone());
        peers.all().insert(number, peer.clone());
        let (service, slots) = (service.clone(), slots.clone());
        tokio::spawn(async move {
            let admitted = tokio::select! {
                admitted = gate.admits(&stream) => admitted,
                () = peer.closed() => false,
            };
            if admitted {
                connection::serve(stream, service, peer, slots).await;
            }
            peers.all().remove(&number);
        });
    }
}
