//! The back end over a socket in place of `/dev/fuse`, with the caches of a kernel at its other end.
//!
//! Answers come late, changes overtake them, and the kernel keeps what it may. Once all has been told
//! that is to be told, what it still keeps has to be what the file system shows. The rules of the kernel are
//! those of fs/fuse in Linux: a first lookup holds its directory's lock, for which the notification of a
//! name waits, and asking whether a name still stands holds none; an answer about attributes is not kept if
//! the inode was invalidated since it was asked for; an invalidation of pages waits for their reads.
//!
//! A socket takes every notification, so nothing here shows what happens when the kernel does not know an inode.

mod kernel;
mod late;

use super::contents::Contents;
use super::filesystem::OmniFilesystem;
use super::held::References;
use super::listings::Listings;
use super::notify::Notifier;
use super::server::Server;
use super::wire::Wire;
use crate::memory::{Memory, New};
use crate::owner::Owner;
use crate::{Error, Handle, Inode, Vfs};
use fuser::{Config, Session, SessionACL};
use kernel::{INIT, Kernel};
use late::Late;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

fn next(dice: &AtomicU64) -> u64 {
    let mut z = dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

struct Wired {
    memory: Arc<Memory>,
    notifier: Arc<Notifier>,
    kernel: Kernel,
    runtime: tokio::runtime::Runtime,
    directories: Vec<(u64, Inode)>,
}

fn wired(seed: u64) -> Wired {
    let memory = Memory::new();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    memory.silence_opens();
    let vfs = Arc::new(Late(memory.clone(), AtomicU64::new(seed)));
    let references = Arc::new(References::new());
    let wire = Wire(theirs.try_clone().unwrap());
    let notifier =
        Notifier::start(wire, vfs.root(), references.clone(), vfs.changes(), None).unwrap();
    let server = Arc::new(Server {
        vfs,
        runtime: runtime.handle().clone(),
        owner: Owner::nobody(),
        references,
        contents: Contents::new(),
        listings: Listings::new(),
        notifier: notifier.clone(),
        desk: Arc::default(),
    });
    thread::spawn(move || {
        let mut config = Config::default();
        config.acl = SessionACL::Owner;
        config.n_threads = Some(2);
        let session =
            Session::from_fd(OmniFilesystem::new(server, false), theirs, SessionACL::Owner, config)
                .unwrap();
        // Ends when the kernel's end of the socket is closed.
        let _ = session.run();
    });
    let mut kernel = Kernel::new(ours);
    let mut init = Vec::new();
    for number in [7_u32, 40, 1 << 17, u32::MAX, 0] {
        init.extend(number.to_ne_bytes());
    }
    init.extend([0; 44]);
    assert_eq!(kernel.ask(INIT, 0, &init).code, 0, "the handshake");
    Wired { memory, notifier, kernel, runtime, directories: vec![(1, crate::memory::ROOT)] }
}

impl Wired {
    /// One change of the file system.
    fn change(&self, dice: &AtomicU64) {
        let (_, directory) = self.directories[next(dice) as usize % self.directories.len()];
        let name = format!("n{}", next(dice) % 5);
        let other = format!("n{}", next(dice) % 5);
        let content = "x".repeat(next(dice) as usize % 40);
        // Which of these there is to change does not matter.
        let _ = match next(dice) % 4 {
            0 => self.memory.remove(directory, &name),
            1 => self.memory.rename(directory, &name, directory, &other),
            2 => self.memory.add(directory, &name, New::file(content)).map(drop),
            _ => {
                let at = if directory == crate::memory::ROOT { "" } else { "d/" };
                let found = self.memory.find(&format!("{at}{name}"));
                found.and_then(|file| self.memory.set_content(file, content))
            }
        };
    }

    /// Waits until everything is told and answered, and compares.
    fn rest(&mut self, round: usize) {
        let kernel = &mut self.kernel;
        kernel.until("the answers", |kernel| kernel.asked.is_empty());
        let last = format!("last{round}");
        kernel.lookup(1, &last);
        kernel.until("the last name", |kernel| kernel.asked.is_empty());
        self.memory.add(crate::memory::ROOT, &last, New::file("")).unwrap();
        let key = (1, last);
        kernel.until("the last change", |kernel| kernel.told.contains_key(&key));
        let notifier = &self.notifier;
        kernel.until("what is to be told", |kernel| {
            kernel.held.iter().all(|node| notifier.bulletin.is_told(*node))
        });
        while kernel.receive() {}
        assert!(kernel.waiting.is_empty());
        let (memory, kernel) = (&self.memory, &self.kernel);
        for ((parent, name), bound) in &kernel.names {
            let found = match self.runtime.block_on(memory.lookup(Handle(*parent), name)) {
                Ok(Some(entry)) => {
                    memory.forget(entry.handle, 1);
                    Some(entry.handle.0)
                }
                Ok(None) | Err(Error::NotFound) => None,
                Err(error) => panic!("{name}: {error:?}"),
            };
            assert_eq!(*bound, found, "the kernel keeps {parent}/{name}, round {round}");
        }
        for (node, size) in &kernel.sizes {
            // No name leads to what is gone.
            if let Ok(attr) = self.runtime.block_on(memory.getattr(Handle(*node))) {
                assert_eq!(attr.size, *size, "the size of {node}, round {round}");
            }
        }
        for (node, bytes) in &kernel.pages {
            let Ok(opened) = self.runtime.block_on(memory.open(Handle(*node))) else { continue };
            let found = self.runtime.block_on(memory.read(opened.id, 0, 4096)).unwrap();
            assert_eq!(*bytes, found, "{node}, round {round}");
            memory.release(opened.id);
        }
    }
}

#[test]
fn once_all_is_told_a_kernel_keeps_what_the_file_system_shows() {
    let dice = AtomicU64::new(1);
    let mut wired = wired(2);
    let d = wired.memory.add(crate::memory::ROOT, "d", New::Directory).unwrap();
    wired.kernel.lookup(1, "d");
    wired.kernel.until("a lookup", |kernel| kernel.asked.is_empty());
    let node = wired.kernel.known[&(1, "d".to_owned())];
    wired.directories.push((node, d));
    let mut kept = 0;
    for round in 0..120 {
        for _ in 0..60 {
            let (parent, _) = wired.directories[next(&dice) as usize % 2];
            let nodes: Vec<u64> = wired.kernel.known.values().copied().collect();
            let node = (!nodes.is_empty()).then(|| nodes[next(&dice) as usize % nodes.len()]);
            match (next(&dice) % 10, node) {
                (0..=3, _) => wired.kernel.lookup(parent, &format!("n{}", next(&dice) % 5)),
                (4, Some(node)) => wired.kernel.attributes(node),
                (5, Some(file)) if file != wired.directories[1].0 => wired.kernel.read(file),
                (6..=7, _) => wired.change(&dice),
                // So that it asks whether names stand that it knows.
                (8, _) => wired.notifier.bulletin.expire(parent, &format!("n{}", next(&dice) % 5)),
                _ => while wired.kernel.receive() {},
            }
        }
        wired.rest(round);
        kept += wired.kernel.names.len() + wired.kernel.sizes.len() + wired.kernel.pages.len();
    }
    assert!(kept > 300, "{kept} things were kept");
}
