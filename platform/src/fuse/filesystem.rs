//! The requests of the kernel, each turned into a call of [`Vfs`]. Whatever would write is answered
//! EROFS here, whoever asks; only the thread that raises events has its calls answered (watch/).
//!
//! Without `allow_other` the kernel lets in nobody but the mounting user, not even root
//! (fuse_allow_current_process in fs/fuse/dir.c), and `fuser` checks the user of each request
//! again.
//!
//! What cannot be answered at once waits in [`Server::run`], where a signal may end it.

use super::attr::{errno, errno_by_handle};
use super::server::{Server, UNKNOWN};
use crate::{Error, Kind, Vfs};
use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl,
    ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes, the longest name that POSIX systems agree on.
const LONGEST_NAME: usize = 255;
/// Requests in the background, such as readahead, at a time.
const BACKGROUND: u16 = 64;
/// The largest read, in bytes.
const LARGEST_READ: u32 = 1 << 20;
const BLOCK: u64 = 4096;

#[derive(Debug)]
pub(super) struct OmniFilesystem<V: Vfs>(Arc<Server<V>>, Announced);

/// Opens that the kernel asks about. It need not: what an open means is found out at the first read.
#[derive(Debug)]
struct Announced {
    files: bool,
    directories: bool,
}

impl<V: Vfs> OmniFilesystem<V> {
    /// `judges_opens`: no file may be opened for writing.
    pub fn new(server: Arc<Server<V>>, judges_opens: bool) -> OmniFilesystem<V> {
        OmniFilesystem(server, Announced { files: judges_opens, directories: false })
    }

    fn server(&self) -> Arc<Server<V>> {
        self.0.clone()
    }

    fn make(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        kinds: &[Kind],
        reply: ReplyEntry,
    ) {
        match name.to_str().filter(|_| self.0.desk.is_own(request)) {
            Some(name) => self.0.own_make(parent, name, kinds, reply),
            None => reply.error(Errno::EROFS),
        }
    }

    fn unmake(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let own = name.to_str().filter(|_| self.0.desk.is_own(request));
        match own {
            Some(name) if self.0.desk.unmakes(parent.0, name) => reply.ok(),
            Some(_) | None => reply.error(Errno::EROFS),
        }
    }
}

impl<V: Vfs> Filesystem for OmniFilesystem<V> {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            // Lookups and listings of one directory run beside each other.
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_CACHE_SYMLINKS,
            // Each page of a listing brings the entries with it. READDIRPLUS_AUTO stays off: `ls
            // -l` reads the whole listing before its first stat, so that all but the first page
            // would come without entries, and each entry would cost a lookup.
            InitFlags::FUSE_DO_READDIRPLUS,
            // A file that grows can be mapped although it is read past the page cache.
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
            // The kernel compares mtimes before it uses a cached listing or page whose attributes
            // were invalidated. It costs nothing while they are valid, and makes it impossible
            // that an answer overtaken by its notification stays. EXPLICIT_INVAL_DATA excludes it.
            InitFlags::FUSE_AUTO_INVAL_DATA,
        ];
        for flag in wanted {
            if config.add_capabilities(flag).is_err() {
                tracing::debug!(?flag, "not offered by this kernel");
            }
        }
        let announced = &mut self.1;
        announced.files |= config.add_capabilities(InitFlags::FUSE_NO_OPEN_SUPPORT).is_err();
        announced.directories =
            config.add_capabilities(InitFlags::FUSE_NO_OPENDIR_SUPPORT).is_err();
        // Refused only where out of range, and then the kernel's own value stays.
        let _ = config.set_max_background(BACKGROUND);
        let _ = config.set_max_write(LARGEST_READ);
        Ok(())
    }

    fn destroy(&mut self) {
        self.0.close();
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name.len() > LONGEST_NAME {
            return reply.error(Errno::ENAMETOOLONG);
        }
        // Every name of a Vfs is UTF-8.
        let Some(name) = name.to_str() else { return reply.error(Errno::ENOENT) };
        if self.0.desk.is_own(request) {
            return self.0.own_lookup(parent, name, reply);
        }
        let parent = self.0.handle(parent);
        let server = self.server();
        self.0.run(request, reply, |owed| server.lookup(parent, name.to_owned(), owed));
    }

    fn forget(&self, _: &Request, node: INodeNo, count: u64) {
        // The root needs no reference.
        if node != INodeNo::ROOT {
            self.0.take_back(self.0.handle(node), count);
        }
    }

    /// The kernel gives a file handle where it asks on its own account, for the size that a read has
    /// to know; stat and fstat give none (fuse_do_getattr in fs/fuse/dir.c).
    fn getattr(
        &self,
        request: &Request,
        node: INodeNo,
        open: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        let (server, handle) = (self.server(), self.0.handle(node));
        self.0.run(request, reply, |owed| server.getattr(handle, open.is_some(), owed));
    }

    fn readlink(&self, request: &Request, node: INodeNo, reply: ReplyData) {
        let (server, handle) = (self.server(), self.0.handle(node));
        self.0.run(request, reply, |owed| async move {
            match server.vfs.readlink(handle).await {
                Ok(target) => owed.take().into_iter().for_each(|reply| reply.data(&target)),
                Err(error) => owed.refuse(errno_by_handle(error)),
            }
        });
    }

    fn open(&self, request: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if !self.1.files {
            // The kernel opens by itself from now on.
            return reply.error(Errno::ENOSYS);
        }
        if flags.acc_mode() == OpenAccMode::O_WRONLY && self.0.desk.is_own(request) {
            return self.0.own_open(node, reply);
        }
        if flags.acc_mode() != OpenAccMode::O_RDONLY || flags.0 & libc::O_TRUNC != 0 {
            return reply.error(Errno::EROFS);
        }
        reply.opened(UNKNOWN, FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH);
    }

    fn read(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (server, handle) = (self.server(), self.0.handle(node));
        self.0.run(request, reply, |owed| server.read(handle, offset, size, owed));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.ok();
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if !self.1.directories {
            return reply.error(Errno::ENOSYS);
        }
        reply.opened(UNKNOWN, FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn readdir(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let (server, handle) = (self.server(), self.0.handle(node));
        self.0.run(request, reply, |owed| server.readdir(handle, offset, owed));
    }

    fn readdirplus(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let (server, handle) = (self.server(), self.0.handle(node));
        self.0.run(request, reply, |owed| server.readdirplus(handle, offset, owed));
    }

    fn releasedir(&self, _: &Request, _: INodeNo, _: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let now = self.0.vfs.statfs();
        let blocks = now.used.div_ceil(BLOCK);
        reply.statfs(blocks, 0, 0, now.nodes, 0, BLOCK as u32, LONGEST_NAME as u32, BLOCK as u32);
    }

    /// Asked for access(2) and chdir(2) only; everything may be read by whoever may enter.
    fn access(&self, request: &Request, node: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        if mask.contains(AccessFlags::W_OK) {
            return reply.error(Errno::EROFS);
        }
        if !mask.contains(AccessFlags::X_OK) {
            return reply.ok();
        }
        let (server, handle) = (self.server(), self.0.handle(node));
        self.0.run(request, reply, |owed| async move {
            match server.vfs.getattr(handle).await {
                Ok(attr) if attr.kind == Kind::File => owed.refuse(errno(Error::Denied)),
                Ok(_) => owed.take().into_iter().for_each(ReplyEmpty::ok),
                Err(error) => owed.refuse(errno_by_handle(error)),
            }
        });
    }

    // After ENOSYS the kernel answers these itself and asks no more: there are no extended
    // attributes (EOPNOTSUPP), and nothing to flush or sync.

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    /// The kernel answers SEEK_DATA and SEEK_HOLE from the size: a file is one piece of data.
    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: i64,
        _: i32,
        reply: fuser::ReplyLseek,
    ) {
        reply.error(Errno::ENOSYS);
    }

    /// Reading is always possible: the kernel says so by itself after this.
    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: fuser::PollNotifier,
        _: fuser::PollEvents,
        _: fuser::PollFlags,
        reply: fuser::ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    // Everything below would write.

    fn setattr(
        &self,
        request: &Request,
        node: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if self.0.desk.is_own(request) {
            return self.0.own_times(node, reply);
        }
        reply.error(Errno::EROFS);
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        self.make(request, parent, name, &[Kind::File, Kind::Executable], reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        self.make(request, parent, name, &[Kind::Directory], reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.unmake(request, parent, name, reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.unmake(request, parent, name, reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: &Path,
        reply: ReplyEntry,
    ) {
        self.make(request, parent, name, &[Kind::Symlink], reply);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let desk = &self.0.desk;
        let (old, new) = (name.to_str(), new.to_str());
        let renames = |old, new| desk.renames(parent.0, old, to.0, new);
        match old.zip(new) {
            Some((old, new)) if desk.is_own(request) && renames(old, new) => reply.ok(),
            Some(_) | None => reply.error(Errno::EROFS),
        }
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn create(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EROFS);
    }

    /// A kernel that opens files by itself opens them for writing too, where the mount is writable for the
    /// calls of ours. What was written to a mapping stands in the file's pages, so they go.
    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        _: u64,
        _: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::EROFS);
        self.0.notifier.drop_pages(node.0);
    }

    fn fallocate(
        &self,
        request: &Request,
        node: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: i32,
        reply: ReplyEmpty,
    ) {
        if self.0.desk.is_own(request) {
            return self.0.own_touch(node, reply);
        }
        reply.error(Errno::EROFS);
    }

    fn setxattr(
        &self,
        request: &Request,
        node: INodeNo,
        _: &OsStr,
        _: &[u8],
        _: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        if self.0.desk.is_own(request) {
            return self.0.own_touch(node, reply);
        }
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }
}
