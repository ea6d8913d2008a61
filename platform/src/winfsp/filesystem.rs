//! The volume: what WinFsp's requests come to, in terms of [`Vfs`].
//!
//! Windows keeps one set of attributes, sizes and pages for each *path* that is open, whoever has
//! opened it. So here, unlike with FUSE, an open file follows its path: once its object changes,
//! those who have it open go on with the new content from the next tick on, as they would with a
//! local file that is written while they read. Two versions under one path would be mixed by the
//! system's cache.

use super::cases::{Cases, Index};
use super::changes::{Changes, Notice};
use super::info::{FileInfo, attribute};
use super::listing::{Listing, Start};
use super::position::{Position, Table};
use super::status::{Result, Status};
use super::volume::READ_MAX;
use super::{names, reparse, volume};
use crate::{Attr, Entry, Error, Kind, OpenId, Vfs};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// `FILE_READ_DATA | FILE_EXECUTE`: whoever has one of them can read.
pub const READS: u32 = 0x1 | 0x20;
/// `FILE_WRITE_DATA`, `FILE_APPEND_DATA`, `FILE_WRITE_EA`, `FILE_DELETE_CHILD`,
/// `FILE_WRITE_ATTRIBUTES` and `DELETE`. `WRITE_DAC` and `WRITE_OWNER` are left to the call that
/// uses them: the owner has them whenever he asks for all he may.
pub const WRITES: u32 = 0x2 | 0x4 | 0x10 | 0x40 | 0x100 | 0x1_0000;
/// `FILE_DIRECTORY_FILE`.
pub const DIRECTORY_ONLY: u32 = 0x1;
/// `FILE_NON_DIRECTORY_FILE`.
pub const NO_DIRECTORY: u32 = 0x40;
/// `FILE_DELETE_ON_CLOSE`.
pub const DELETE_ON_CLOSE: u32 = 0x1000;
/// `FILE_OPEN_REPARSE_POINT`.
pub const THE_LINK_ITSELF: u32 = 0x20_0000;

/// Entries that one `readdir` is asked for.
const PAGE: usize = 1024;
/// Entries whose attributes are asked for ahead of what a page has room for.
const AHEAD: usize = 64;
/// Of those, how many at a time.
const AT_ONCE: usize = 16;
/// Links that one link may lead through, and parts of its target.
const LINKS: usize = 8;
const PARTS: usize = 64;

/// A [`Vfs`] as a Windows volume. No Windows type comes near it: the adapter translates, and the
/// tests drive it on every system.
pub struct Filesystem<V: Vfs> {
    vfs: Arc<V>,
    table: Arc<Table<V>>,
    root: Arc<Position<V>>,
    cases: Cases<V>,
    changes: Changes<V>,
    descriptor: Vec<u8>,
    opened: parking_lot::Mutex<HashMap<u64, Weak<Inner<V>>>>,
    next: AtomicU64,
}

impl<V: Vfs> fmt::Debug for Filesystem<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filesystem").field("cases", &self.cases).finish_non_exhaustive()
    }
}

/// An open file or directory: what WinFsp calls a file context.
pub struct Context<V: Vfs>(Arc<Inner<V>>);

struct Inner<V: Vfs> {
    id: u64,
    state: Mutex<State<V>>,
}

struct State<V: Vfs> {
    position: Arc<Position<V>>,
    open: Option<Arc<Open<V>>>,
    listing: Option<Arc<Listing>>,
}

impl<V: Vfs> fmt::Debug for Context<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({})", self.0.id)
    }
}

/// What an open gives.
#[derive(Debug)]
pub struct Opened<V: Vfs> {
    pub context: Context<V>,
    pub info: FileInfo,
    /// The path in the case of its names, as the system must know it.
    pub normalized: Vec<u16>,
    /// The system must not cache its content: it may grow while it is open.
    pub direct: bool,
}

/// What is at a path, for the access check that comes before an open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    Found {
        attributes: u32,
    },
    /// A symbolic link stands before the end of the path.
    Link,
}

/// An open of the [`Vfs`] that is given back whatever happens.
struct Open<V: Vfs> {
    vfs: Arc<V>,
    id: OpenId,
    size: u64,
    direct: bool,
}

impl<V: Vfs> Drop for Open<V> {
    fn drop(&mut self) {
        self.vfs.release(self.id);
    }
}

/// How far a path leads.
enum Walked<V: Vfs> {
    To(Arc<Position<V>>, Option<Attr>),
    Link,
}

impl<V: Vfs> Filesystem<V> {
    /// `descriptor` is the self-relative security descriptor of everything in the volume.
    pub fn new(vfs: Arc<V>, descriptor: Vec<u8>) -> Arc<Filesystem<V>> {
        let table = Table::new();
        // Subscribed before the first request, so that no change is missed.
        let changes = Changes::new(table.clone(), vfs.changes());
        Arc::new(Filesystem {
            root: Position::root(vfs.clone(), table.clone()),
            vfs,
            table,
            cases: Cases::new(),
            changes,
            descriptor,
            opened: parking_lot::Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    pub fn descriptor(&self) -> &[u8] {
        &self.descriptor
    }

    /// Bytes of the volume, and free ones.
    pub fn size(&self) -> (u64, u64) {
        volume::size(self.vfs.statfs())
    }

    /// What the system must be told now.
    pub fn notices(&self) -> Vec<Notice> {
        self.changes.take(&self.cases)
    }

    /// Gives back all references and open files, whatever is still open.
    pub fn end(&self) {
        self.cases.clear();
        let opened = std::mem::take(&mut *self.opened.lock());
        for inner in opened.into_values().filter_map(|inner| inner.upgrade()) {
            // One that is in use is given back by its user.
            if let Ok(mut state) = inner.state.try_lock() {
                state.open = None;
                state.listing = None;
                state.position = self.root.clone();
            }
        }
    }

    /// What is at a path. For the access check, the read-only bit is left out: it is the volume
    /// that refuses writes, as write-protected, and not the file, as denied.
    pub async fn look(&self, path: &[u16]) -> Result<Looked> {
        match self.walk(path).await? {
            Walked::Link => Ok(Looked::Link),
            Walked::To(position, _) => {
                let to_directory = self.leads_to_directory(&position).await;
                let kind = match (position.kind, to_directory) {
                    (Kind::Symlink, true) => attribute::REPARSE_POINT | attribute::DIRECTORY,
                    (Kind::Symlink, false) => attribute::REPARSE_POINT,
                    (Kind::Directory, _) => attribute::DIRECTORY,
                    (Kind::File | Kind::Executable, _) => 0,
                };
                Ok(Looked::Found { attributes: kind | attribute::NOT_CONTENT_INDEXED })
            }
        }
    }

    /// Opens what is at a path. `options` and `access` are NtCreateFile's.
    pub async fn open(&self, path: &[u16], options: u32, access: u32) -> Result<Opened<V>> {
        if access & WRITES != 0 || options & DELETE_ON_CLOSE != 0 {
            // What is not there is not found, also by somebody who would write to it.
            self.walk(path).await?;
            return Err(Status::MEDIA_WRITE_PROTECTED);
        }
        // A file that is replaced between look-up and open is looked up once more.
        let mut tries = 0..3;
        loop {
            tries.next();
            match self.try_open(path, options, access).await {
                Err(status) if status == Error::Stale.into() && !tries.is_empty() => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_open(&self, path: &[u16], options: u32, access: u32) -> Result<Opened<V>> {
        let Walked::To(position, attr) = self.walk(path).await? else {
            return Err(Status::REPARSE_POINT_NOT_RESOLVED);
        };
        let to_directory = self.leads_to_directory(&position).await;
        let directory = position.kind == Kind::Directory || to_directory;
        if directory && options & NO_DIRECTORY != 0 {
            return Err(Status::FILE_IS_A_DIRECTORY);
        }
        if !directory && options & DIRECTORY_ONLY != 0 {
            return Err(Status::NOT_A_DIRECTORY);
        }
        let file = matches!(position.kind, Kind::File | Kind::Executable);
        let open = match file && access & READS != 0 {
            true => Some(Arc::new(self.open_content(&position).await?)),
            false => None,
        };
        let attr = match attr.filter(|_| open.is_none()) {
            Some(attr) => attr,
            None => self.vfs.getattr(position.handle).await?,
        };
        let info = self.info_of(&position, attr, to_directory, open.as_deref());
        let direct = open.as_ref().is_some_and(|open| open.direct);
        let normalized = position.path.to_vec();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let inner =
            Arc::new(Inner { id, state: Mutex::new(State { position, open, listing: None }) });
        let mut opened = self.opened.lock();
        opened.insert(id, Arc::downgrade(&inner));
        Ok(Opened { context: Context(inner), info, normalized, direct })
    }

    async fn open_content(&self, position: &Position<V>) -> Result<Open<V>> {
        let open = self.vfs.open(position.handle).await?;
        Ok(Open { vfs: self.vfs.clone(), id: open.id, size: open.size, direct: open.direct })
    }

    /// Ends what [`Filesystem::open`] began.
    pub fn close(&self, context: Context<V>) {
        self.opened.lock().remove(&context.0.id);
    }

    /// Attributes as of now.
    pub async fn info(&self, context: &Context<V>) -> Result<FileInfo> {
        let mut state = context.0.state.lock().await;
        self.follow(&mut state).await?;
        let position = state.position.clone();
        let attr = self.vfs.getattr(position.handle).await?;
        let to_directory = self.leads_to_directory(&position).await;
        Ok(self.info_of(&position, attr, to_directory, None))
    }

    /// The size is that of the content that was opened, where one was.
    fn info_of(
        &self,
        position: &Position<V>,
        attr: Attr,
        to_directory: bool,
        open: Option<&Open<V>>,
    ) -> FileInfo {
        if !attr.cacheable {
            self.changes.take_back(&position.path);
        }
        let size = open.map_or(attr.size, |open| open.size);
        FileInfo::new(&Attr { size, ..attr }, to_directory)
    }

    /// Fills `buffer` from `offset` on; less only at the end of the file. At the end itself, an
    /// error says so.
    pub async fn read(
        &self,
        context: &Context<V>,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        // Reads run beside each other, and outlive a replacement of what is open.
        let open = {
            let mut state = context.0.state.lock().await;
            self.follow(&mut state).await?;
            if state.position.kind == Kind::Directory {
                return Err(Error::IsDirectory.into());
            }
            match &state.open {
                Some(open) => open.clone(),
                // Opened for its attributes, and read by the system all the same.
                None => {
                    let open = Arc::new(self.open_content(&state.position).await?);
                    state.open.insert(open).clone()
                }
            }
        };
        let mut filled = 0;
        while filled < buffer.len() {
            let wanted = (buffer.len() - filled).min(READ_MAX);
            let bytes = self.vfs.read(open.id, offset + filled as u64, wanted as u32).await?;
            buffer[filled..filled + bytes.len()].copy_from_slice(&bytes);
            filled += bytes.len();
            if bytes.len() < wanted {
                break;
            }
        }
        match filled {
            0 if !buffer.is_empty() => Err(Status::END_OF_FILE),
            filled => Ok(filled),
        }
    }

    /// Goes on with what is bound to the path now, if that has changed.
    async fn follow(&self, state: &mut State<V>) -> Result<()> {
        if !state.position.take_moved() {
            return Ok(());
        }
        let Some(parent) = state.position.parent.clone() else { return Ok(()) };
        let name = state.position.name.clone();
        let Ok(Some(entry)) = self.vfs.lookup(parent.handle, &name).await else {
            // Gone, or not to be told: what was opened stays readable.
            return Ok(());
        };
        let now = Position::new(&parent, &entry, &name, state.position.shown());
        let both = [now.kind, state.position.kind].map(|kind| kind == Kind::Directory);
        if now.handle == state.position.handle || both[0] != both[1] {
            return Ok(());
        }
        if state.open.is_some() {
            state.open = Some(Arc::new(self.open_content(&now).await?));
        }
        state.position = now;
        state.listing = None;
        Ok(())
    }

    /// Tells the entries after `marker`, from the beginning without one, until `sink` takes no more.
    pub async fn list(
        &self,
        context: &Context<V>,
        marker: Option<&[u16]>,
        mut sink: impl FnMut(&[u16], &FileInfo) -> bool + Send,
    ) -> Result<()> {
        let listed = self.listing(context, marker.is_none()).await;
        let (position, listing) = listed.map_err(Status::of_handle)?;
        let Start { dot, row } = listing.after(marker);
        let dots = [&b"."[..], b".."].map(|name| name.iter().map(|b| u16::from(*b)).collect());
        for (name, info) in dots.iter().zip(listing.dots.iter().flatten()).skip(dot) {
            let name: &Vec<u16> = name;
            if !sink(name, info) {
                return Ok(());
            }
        }
        let mut next = row;
        while next < listing.rows.len() {
            let until = (next + AHEAD).min(listing.rows.len());
            self.describe(&position, &listing, next..until).await;
            for row in &listing.rows[next..until] {
                let offline = || FileInfo::offline(row.inode, row.kind, listing.modified);
                let info = row.info.get().copied().unwrap_or_else(offline);
                if info.attributes & attribute::OFFLINE != 0 {
                    self.changes.take_back(&position.path);
                }
                if !sink(&row.shown, &info) {
                    return Ok(());
                }
            }
            next = until;
        }
        Ok(())
    }

    /// Where an open directory is by now, and its entries.
    async fn listing(
        &self,
        context: &Context<V>,
        begins: bool,
    ) -> Result<(Arc<Position<V>>, Arc<Listing>)> {
        let mut state = context.0.state.lock().await;
        self.follow(&mut state).await?;
        // A listing that begins anew is of the directory as it is now.
        let known = state.listing.take().filter(|_| !begins);
        let listing = match known {
            Some(listing) => listing,
            None => Arc::new(self.load(&state.position).await?),
        };
        state.listing = Some(listing.clone());
        Ok((state.position.clone(), listing))
    }

    /// Reads a directory.
    async fn load(&self, position: &Arc<Position<V>>) -> Result<Listing> {
        let own = self.vfs.getattr(position.handle).await?;
        if !own.cacheable {
            self.changes.take_back(&position.path);
        }
        let above = match &position.parent {
            None => None,
            Some(parent) => Some(self.vfs.getattr(parent.handle).await?),
        };
        let dots = above.map(|above| [&own, &above].map(|attr| FileInfo::new(attr, false)));
        let stamp = self.changes.take_in(&self.cases);
        let mut entries = Vec::new();
        let mut volatile = false;
        for entry in self.read_all(position, true).await? {
            let info = OnceLock::new();
            if let Some(Entry { attr: Some(attr), kind, .. }) = &entry.entry {
                volatile |= !attr.cacheable;
                // Where a link leads is found out when it is told.
                if *kind != Kind::Symlink {
                    let _ = info.set(FileInfo::new(attr, false));
                }
            }
            entries.push((entry, info));
        }
        if volatile {
            self.changes.take_back(&position.path);
        }
        let index = Arc::new(Index::new(entries.iter().map(|(entry, _)| entry.name.as_str())));
        if own.cacheable && self.changes.take_in(&self.cases) == stamp {
            self.cases.keep(position, &index);
        }
        Ok(Listing::new(dots, &index, entries, own.modified))
    }

    /// All entries; references that come with them are given back.
    async fn read_all(&self, position: &Position<V>, plus: bool) -> Result<Vec<crate::DirEntry>> {
        let opened = self.vfs.opendir(position.handle).await?;
        let open = Open { vfs: self.vfs.clone(), id: opened.id, size: 0, direct: false };
        let mut entries = Vec::new();
        let mut cookie = 0;
        loop {
            let page = self.vfs.readdir(open.id, cookie, PAGE, plus).await?;
            let Some(last) = page.entries.last() else { return Ok(entries) };
            cookie = last.cookie;
            for entry in &page.entries {
                if let Some(entry) = &entry.entry {
                    self.vfs.forget(entry.handle, 1);
                }
            }
            entries.extend(page.entries);
        }
    }

    /// Asks for the attributes of rows that have none yet. What cannot be told now is left out, and
    /// told as offline.
    async fn describe(
        &self,
        position: &Arc<Position<V>>,
        listing: &Arc<Listing>,
        rows: std::ops::Range<usize>,
    ) {
        let mut wanted = rows.filter(|row| listing.rows[*row].info.get().is_none());
        let mut asked = JoinSet::new();
        loop {
            while asked.len() < AT_ONCE
                && let Some(row) = wanted.next()
            {
                let (vfs, directory) = (self.vfs.clone(), position.clone());
                let name = listing.rows[row].name.clone();
                asked.spawn(async move { (row, describe(vfs, directory, &name).await) });
            }
            match asked.join_next().await {
                None => return,
                Some(Ok((row, Some((info, cacheable))))) => {
                    if !cacheable {
                        self.changes.take_back(&position.path);
                    }
                    let _ = listing.rows[row].info.set(info);
                }
                // A failure, or the runtime is at its end.
                Some(_) => {}
            }
        }
    }

    /// One entry of an open directory by its name, in any case.
    pub async fn entry(&self, context: &Context<V>, name: &[u16]) -> Result<(Vec<u16>, FileInfo)> {
        let parent = context.0.state.lock().await.position.clone();
        let (position, attr) =
            self.step(&parent, name).await?.ok_or(Status::OBJECT_NAME_NOT_FOUND)?;
        let attr = match attr {
            Some(attr) => attr,
            None => self.vfs.getattr(position.handle).await?,
        };
        let to_directory = self.leads_to_directory(&position).await;
        let info = self.info_of(&position, attr, to_directory, None);
        Ok((position.shown().to_vec(), info))
    }

    /// The reparse point of a symbolic link that is open.
    pub async fn link(&self, context: &Context<V>) -> Result<Vec<u8>> {
        let position = context.0.state.lock().await.position.clone();
        self.link_of(&position).await
    }

    /// The reparse point of a symbolic link at a path.
    pub async fn link_at(&self, path: &[u16]) -> Result<Vec<u8>> {
        match self.walk(path).await? {
            Walked::To(position, _) => self.link_of(&position).await,
            Walked::Link => Err(Status::REPARSE_POINT_NOT_RESOLVED),
        }
    }

    async fn link_of(&self, position: &Position<V>) -> Result<Vec<u8>> {
        if position.kind != Kind::Symlink {
            return Err(Status::NOT_A_REPARSE_POINT);
        }
        let target = self.vfs.readlink(position.handle).await?;
        let target = std::str::from_utf8(&target).map_err(|_| Status::from(Error::Invalid))?;
        reparse::buffer(&reparse::target(target)).ok_or(Error::NameTooLong.into())
    }

    async fn leads_to_directory(&self, position: &Arc<Position<V>>) -> bool {
        match &position.parent {
            Some(parent) if position.kind == Kind::Symlink => {
                leads_to_directory(&self.vfs, parent, position.handle).await
            }
            _ => false,
        }
    }

    /// Follows a path to its end, or to a link before it.
    async fn walk(&self, path: &[u16]) -> Result<Walked<V>> {
        let parts = names::components(path).ok_or(Status::OBJECT_NAME_INVALID)?;
        let mut position = self.root.clone();
        let mut attr = None;
        for (index, part) in parts.iter().enumerate() {
            match position.kind {
                Kind::Directory => {}
                Kind::Symlink => return Ok(Walked::Link),
                Kind::File | Kind::Executable => return Err(Status::OBJECT_PATH_NOT_FOUND),
            }
            match self.step(&position, part).await? {
                Some((below, its)) => (position, attr) = (below, its),
                None if index + 1 < parts.len() => return Err(Status::OBJECT_PATH_NOT_FOUND),
                None => return Err(Status::OBJECT_NAME_NOT_FOUND),
            }
        }
        Ok(Walked::To(position, attr))
    }

    /// The entry that is meant by `typed`. First as it is typed: that answers most look-ups without
    /// a listing. `None`: there is none, in no case.
    async fn step(
        &self,
        parent: &Arc<Position<V>>,
        typed: &[u16],
    ) -> Result<Option<(Arc<Position<V>>, Option<Attr>)>> {
        if typed.len() > usize::from(volume::NAME_MAX) {
            return Err(Error::NameTooLong.into());
        }
        if let Some(name) = names::decode(typed).filter(|name| names::encode(name) == typed) {
            // A name without capitals is the plain one of its kind. Of others the listing tells,
            // if it is known, or if a name that differs in case only is in use.
            self.changes.take_in(&self.cases);
            let plain = names::settled(&name)
                || match self.cases.get(parent.handle) {
                    Some(index) => index.find(typed).is_none_or(|(found, _)| found == name),
                    None => !self.table.contested(parent, &name, typed),
                };
            if plain && let Some(found) = self.bind(parent, &name, typed).await? {
                return Ok(Some(found));
            }
        }
        let index = self.index(parent).await?;
        match index.find(typed) {
            Some((name, shown)) => self.bind(parent, name, shown).await,
            None => Ok(None),
        }
    }

    async fn bind(
        &self,
        parent: &Arc<Position<V>>,
        name: &str,
        shown: &[u16],
    ) -> Result<Option<(Arc<Position<V>>, Option<Attr>)>> {
        match self.vfs.lookup(parent.handle, name).await {
            Ok(Some(entry)) => {
                let position = Position::new(parent, &entry, name, shown);
                Ok(Some((position, entry.attr)))
            }
            Ok(None) | Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of a directory, remembered until it changes.
    async fn index(&self, directory: &Arc<Position<V>>) -> Result<Arc<Index>> {
        let stamp = self.changes.take_in(&self.cases);
        if let Some(index) = self.cases.get(directory.handle) {
            return Ok(index);
        }
        let attr = self.vfs.getattr(directory.handle).await?;
        let entries = self.read_all(directory, false).await?;
        let index = Arc::new(Index::new(entries.iter().map(|entry| entry.name.as_str())));
        if attr.cacheable && self.changes.take_in(&self.cases) == stamp {
            self.cases.keep(directory, &index);
        }
        Ok(index)
    }
}

/// Attributes of an entry, and whether they may be kept.
async fn describe<V: Vfs>(
    vfs: Arc<V>,
    directory: Arc<Position<V>>,
    name: &str,
) -> Option<(FileInfo, bool)> {
    let entry = vfs.lookup(directory.handle, name).await.ok().flatten()?;
    let attr = match entry.attr {
        Some(attr) => Ok(attr),
        None => vfs.getattr(entry.handle).await,
    };
    let to_directory =
        entry.kind == Kind::Symlink && leads_to_directory(&vfs, &directory, entry.handle).await;
    vfs.forget(entry.handle, 1);
    let attr = attr.ok()?;
    Some((FileInfo::new(&attr, to_directory), attr.cacheable))
}

/// Whether a link in `directory` leads to a directory: Windows has two kinds of links. What cannot
/// be found out counts as a file.
async fn leads_to_directory<V: Vfs>(
    vfs: &Arc<V>,
    directory: &Arc<Position<V>>,
    link: crate::Handle,
) -> bool {
    let Ok(target) = vfs.readlink(link).await else { return false };
    let Ok(target) = std::str::from_utf8(&target) else { return false };
    let mut parts: Vec<String> = reversed(target);
    let mut at = directory.clone();
    let mut links = 0;
    while let Some(part) = parts.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => match &at.parent {
                Some(parent) => at = parent.clone(),
                None => return false,
            },
            name => {
                let Ok(Some(entry)) = vfs.lookup(at.handle, name).await else { return false };
                let shown = names::encode(name);
                let below = Position::new(&at, &entry, name, &shown);
                match below.kind {
                    Kind::Directory => at = below,
                    Kind::Symlink if links < LINKS => {
                        links += 1;
                        let Ok(target) = vfs.readlink(below.handle).await else { return false };
                        let Ok(target) = std::str::from_utf8(&target) else { return false };
                        parts.extend(reversed(target));
                    }
                    _ => return false,
                }
            }
        }
        if parts.len() > PARTS {
            return false;
        }
    }
    true
}

fn reversed(target: &str) -> Vec<String> {
    target.split('/').rev().map(str::to_owned).collect()
}
