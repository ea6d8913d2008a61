//! What processes do: a path walk through the kernel's caches into the core, and then a `stat`, a
//! `cat` or an `ls`, each judged by what had been told when it began.

use crate::feed::Start;
use crate::upstream::{Cover, Id, ROOT};
use crate::world::{Class, Open, What, World};
use bytes::{Bytes, BytesMut};
use omnifs_platform::{Entry, Error, Handle, Kind, Vfs};
use std::collections::HashSet;
use std::sync::Arc;

/// How often a path walk starts over because a handle had been superseded.
const RETRIES: usize = 6;

/// Where a walk has come to. Pinned in the kernel until it is dropped.
pub struct Position {
    world: Arc<World>,
    pub handle: Handle,
    pub id: Id,
}

impl Position {
    fn new(world: &Arc<World>, handle: Handle, id: Id) -> Position {
        world.model().kernel.pin(handle);
        Position { world: world.clone(), handle, id }
    }
}

impl Drop for Position {
    fn drop(&mut self) {
        self.world.model().kernel.unpin(self.handle);
    }
}

/// How an operation ended, where it did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Absent,
    /// The walk starts over.
    Stale,
    Failed,
}

impl World {
    pub fn top(self: &Arc<Self>) -> Position {
        Position::new(self, self.top, ROOT.into())
    }

    /// Keeps an entry that the core answered, as far as that is allowed. The notifications sent
    /// before have been taken.
    fn keep(self: &Arc<Self>, parent: Handle, name: &str, entry: &Entry) -> Option<Position> {
        let id = self.object(entry.inode)?;
        let mut model = self.model();
        let kernel = &mut model.kernel;
        kernel.refer(entry.handle, &id);
        let key = (parent, name.to_owned());
        kernel.led_to.insert(key.clone(), entry.handle);
        if entry.kind == Kind::Directory {
            // A directory's inode has one name in Linux: another one moves it.
            kernel
                .names
                .retain(|_, bound| bound.as_ref().is_none_or(|(to, _)| *to != entry.handle));
        }
        match entry.cacheable {
            true => kernel.names.insert(key, Some((entry.handle, id.clone()))),
            false => kernel.names.remove(&key),
        };
        if let Some(attr) = &entry.attr {
            kernel.modified.insert(entry.handle, attr.modified);
        }
        match &entry.attr {
            Some(attr) if attr.cacheable => kernel.attributes.insert(entry.handle, attr.clone()),
            _ => kernel.attributes.remove(&entry.handle),
        };
        drop(model);
        if let Some(attr) = &entry.attr {
            self.check_size(entry.handle, &id, attr.size);
        }
        self.say(|| format!("kept: {parent:?}/{name} is {:?} {id}", entry.handle));
        Some(Position::new(self, entry.handle, id))
    }

    /// One step of a path walk.
    async fn step(
        self: &Arc<Self>,
        at: &Position,
        name: &str,
        force: bool,
    ) -> Result<Position, End> {
        self.listen();
        let start = self.start();
        let known = self.model().kernel.names.get(&(at.handle, name.to_owned())).cloned();
        let asks = force || self.model().asks;
        match known {
            Some(bound) if !asks => {
                self.say(|| format!("kept name {}/{name}: {bound:?}", at.id));
                let child = bound.as_ref().map(|(_, id)| id);
                self.check_binding(&start, &at.id, name, child, "the kernel's cache");
                return match bound {
                    Some((handle, id)) => Ok(Position::new(self, handle, id)),
                    None => Err(End::Absent),
                };
            }
            _ => {}
        }
        let expected = self.upstream.tree().entries(&at.id).and_then(|c| c.get(name).cloned());
        let before = expected.as_ref().map(|id| self.answers(id));
        let mut answer = self.core.lookup(at.handle, name).await;
        self.listen();
        if let Ok(Some(entry)) = &answer
            && self.shape.silent
            && self.leads_elsewhere(at.handle, name, entry.handle)
        {
            // A kernel that is told of another handle gives it back and asks once more.
            self.core.forget(entry.handle, 1);
            answer = self.core.lookup(at.handle, name).await;
            self.listen();
        }
        self.say(|| format!("lookup {}/{name}: {answer:?}", at.id));
        match answer {
            Ok(Some(entry)) => {
                let position = self.keep(at.handle, name, &entry).ok_or(End::Failed)?;
                self.check_binding(&start, &at.id, name, Some(&position.id), "lookup");
                if let Some(attr) = &entry.attr {
                    self.check_attributes(&start, &position.id, attr, "lookup");
                }
                if let Some(before) = before.filter(|_| expected.as_ref() == Some(&position.id)) {
                    self.check_grant(&start, &position.id, "lookup", before);
                }
                Ok(position)
            }
            Ok(None) => {
                let key = (at.handle, name.to_owned());
                self.model().kernel.names.insert(key, None);
                self.check_binding(&start, &at.id, name, None, "a lasting lookup");
                Err(End::Absent)
            }
            Err(error) => {
                self.model().kernel.names.remove(&(at.handle, name.to_owned()));
                match error {
                    Error::NotFound => {
                        self.check_binding(&start, &at.id, name, None, "lookup");
                        Err(End::Absent)
                    }
                    Error::Stale => {
                        self.check_error(&start, &at.id, error, "lookup");
                        Err(End::Stale)
                    }
                    error => {
                        self.check_error(&start, &at.id, error, "lookup");
                        Err(End::Failed)
                    }
                }
            }
        }
    }

    /// Walks a path, the last name `force`d where a handle was found stale.
    async fn walk(self: &Arc<Self>, path: &[String], force: bool) -> Result<Position, End> {
        let mut chain = vec![self.top()];
        for name in path {
            let at = chain.last().expect("begins with the top");
            if self.kind(&at.id) != Some(Kind::Directory) {
                return Err(End::Absent);
            }
            let next = self.step(at, name, force).await?;
            chain.push(next);
        }
        Ok(chain.pop().expect("begins with the top"))
    }

    pub fn kind(&self, id: &Id) -> Option<Kind> {
        self.upstream.tree().objects.get(id).map(|object| object.kind)
    }

    /// Does `act` where a path leads to, again after each stale handle, as a kernel does.
    async fn at<T>(
        self: &Arc<Self>,
        path: &[String],
        act: impl AsyncFn(&Position, &Start) -> Result<T, End>,
    ) -> Result<T, End> {
        let start = self.start();
        for round in 0..RETRIES {
            self.listen();
            let begun = self.start();
            let position = match self.walk(path, round > 0).await {
                Ok(position) => position,
                Err(End::Stale) => continue,
                Err(end) => return Err(end),
            };
            match act(&position, &begun).await {
                Err(End::Stale) => {}
                end => return end,
            }
        }
        self.count("stale to the end");
        let overtaken = {
            let now = self.start();
            now.time != start.time || now.sequence != start.sequence
        };
        if !overtaken {
            self.wrong(Class::Stuck, format!("{path:?} is stale however often it is walked"));
        }
        Err(End::Stale)
    }

    pub async fn stat(self: &Arc<Self>, path: &[String]) -> Result<(), End> {
        self.at(path, async |at, begun| self.attributes(at, begun, true).await).await
    }

    /// `walked`: a path has just led here.
    pub(super) async fn attributes(
        self: &Arc<Self>,
        at: &Position,
        begun: &Start,
        walked: bool,
    ) -> Result<(), End> {
        self.listen();
        let start = self.judged_from(&at.id, begun);
        let held = !walked && self.is_silent(&at.id);
        let kept = self.model().kernel.attributes.get(&at.handle).cloned();
        if let Some(attr) = kept {
            if held || self.model().kernel.opens.contains_key(&at.handle) {
                return Ok(());
            }
            self.check_attributes(&start, &at.id, &attr, "the kernel's cache");
            return Ok(());
        }
        let before = self.answers(&at.id);
        let opens = held || self.model().kernel.opens.contains_key(&at.handle);
        let removed = self.model().delivered.removed(&start, &at.id);
        let answer = self.core.getattr(at.handle).await;
        self.listen();
        self.say(|| format!("getattr {} {:?}: {answer:?}", at.id, at.handle));
        match answer {
            Ok(attr) => {
                if self.object(attr.inode).is_some_and(|id| id != at.id) {
                    self.wrong(
                        Class::Identity,
                        format!("{} changed its inode to {:?}", at.id, attr.inode),
                    );
                }
                self.check_size(at.handle, &at.id, attr.size);
                if opens {
                    // Those of a snapshot; the open file judges them.
                    return Ok(());
                }
                if removed {
                    self.wrong(
                        Class::Deleted,
                        format!("{} is deleted, and its handle answers {attr:?}", at.id),
                    );
                }
                self.check_attributes(&start, &at.id, &attr, "getattr");
                // The lookup before it has asked, where it may be open.
                if !self.is_silent(&at.id) {
                    self.check_grant(&start, &at.id, "attributes", before);
                }
                let kernel = &mut self.model().kernel;
                kernel.modified.insert(at.handle, attr.modified);
                if attr.cacheable {
                    kernel.attributes.insert(at.handle, attr);
                }
                Ok(())
            }
            Err(Error::Stale) => Err(self.stale(&start, at)),
            Err(error) => {
                self.check_error(&start, &at.id, error, "getattr");
                Err(End::Failed)
            }
        }
    }

    /// A handle that is stale without its object being gone was superseded: somebody had it open.
    fn stale(&self, start: &Start, at: &Position) -> End {
        // Or, where a handle has one content, changed since the walk.
        let file = self.kind(&at.id) != Some(Kind::Directory);
        let ever = self.model().opened.contains(&at.handle) || self.shape.silent && file;
        if !ever {
            self.check_error(start, &at.id, Error::Stale, "a handle");
        }
        End::Stale
    }

    pub async fn cat(self: &Arc<Self>, path: &[String], hold: bool) -> Result<(), End> {
        let silent = self.shape.silent;
        self.at(path, async |at, begun| match silent {
            true => self.read_silently(at, begun, hold).await,
            false => self.read(at, hold).await,
        })
        .await
    }

    async fn read(self: &Arc<Self>, at: &Position, hold: bool) -> Result<(), End> {
        if self.kind(&at.id) == Some(Kind::Directory) {
            return Ok(());
        }
        self.listen();
        let start = self.start();
        let before = self.answers(&at.id);
        let removed = self.model().delivered.removed(&start, &at.id);
        let answer = self.core.open(at.handle).await;
        self.listen();
        self.say(|| format!("open {} {:?}: {answer:?}", at.id, at.handle));
        let open = match answer {
            Ok(open) => open,
            Err(Error::Stale) => return Err(self.stale(&start, at)),
            Err(error) => {
                self.check_error(&start, &at.id, error, "open");
                return Err(End::Failed);
            }
        };
        self.check_size(at.handle, &at.id, open.size);
        if removed {
            self.wrong(Class::Deleted, format!("{} is deleted, and its handle opens", at.id));
        }
        {
            let mut model = self.model();
            model.opened.insert(at.handle);
            *model.kernel.opens.entry(at.handle).or_default() += 1;
            if !open.keep_cache {
                model.kernel.pages.remove(&at.handle);
            }
        }
        let Ok(bytes) = self.whole(open.id).await else {
            self.wrong(Class::Error, format!("{} was opened and cannot be read", at.id));
            return Err(End::Failed);
        };
        if bytes.len() as u64 != open.size && !open.direct {
            self.wrong(
                Class::Snapshot,
                format!("{} has size {} and holds {bytes:?}", at.id, open.size),
            );
        }
        if !open.direct {
            let mut model = self.model();
            let pages = model.kernel.pages.entry(at.handle).or_insert_with(|| bytes.clone());
            let agree = *pages == bytes;
            drop(model);
            if !agree {
                self.wrong(
                    Class::Snapshot,
                    format!("the kernel keeps other pages of {} than {bytes:?}", at.id),
                );
            }
        }
        self.check_content(&start, &at.id, &bytes);
        if !open.direct {
            self.check_grant(&start, &at.id, "content", before);
        }
        let held = What::File { bytes, volatile: open.direct };
        let held = Open { id: open.id, handle: at.handle, object: at.id.clone(), held };
        self.keep_open(held, hold);
        Ok(())
    }

    pub(super) fn keep_open(&self, open: Open, hold: bool) {
        if hold {
            self.model().opens.push(open);
        } else {
            self.close(&open);
        }
    }

    pub fn close(&self, open: &Open) {
        self.core.release(open.id);
        let mut model = self.model();
        if let Some(opens) = model.kernel.opens.get_mut(&open.handle) {
            *opens -= 1;
            if *opens == 0 {
                model.kernel.opens.remove(&open.handle);
            }
        }
    }

    /// The content of an open file, in pieces.
    pub(super) async fn whole(&self, open: omnifs_platform::OpenId) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        loop {
            let piece = self.core.read(open, whole.len() as u64, 16).await?;
            if piece.is_empty() {
                return Ok(whole.freeze());
            }
            whole.extend_from_slice(&piece);
        }
    }

    /// Looks at something that is held open: it is what it was when it was opened.
    pub async fn look(self: &Arc<Self>, open: &Open) {
        match &open.held {
            What::File { volatile: true, .. } => {}
            What::File { bytes, .. } => {
                match self.whole(open.id).await {
                    Ok(now) if now == *bytes => {}
                    other => self.wrong(
                        Class::Snapshot,
                        format!("{} is open, and reads {other:?}", open.object),
                    ),
                }
                self.listen();
                let kept = self.model().kernel.attributes.get(&open.handle).cloned();
                let attr = match kept {
                    Some(attr) => Ok(attr),
                    None => self.core.getattr(open.handle).await,
                };
                match attr {
                    Ok(attr) if attr.size == bytes.len() as u64 => {}
                    other => self.wrong(
                        Class::Snapshot,
                        format!(
                            "{} is open with {} bytes, and shows {other:?}",
                            open.object,
                            bytes.len()
                        ),
                    ),
                }
            }
            What::Directory(names) => match self.names(open.id, open.handle).await {
                Ok(now) => {
                    let now: Vec<_> = now.into_iter().map(|(name, _)| name).collect();
                    if now != *names {
                        self.wrong(
                            Class::Snapshot,
                            format!("{} is open, and lists {now:?}", open.object),
                        );
                    }
                }
                Err(error) => {
                    self.wrong(Class::Snapshot, format!("{} is open: {error:?}", open.object))
                }
            },
        }
    }

    /// Walks an open directory; what comes along is kept.
    async fn names(
        self: &Arc<Self>,
        open: omnifs_platform::OpenId,
        handle: Handle,
    ) -> Result<Vec<(String, Id)>, Error> {
        let mut names = Vec::new();
        let mut cookie = 0;
        loop {
            let plus = self.model().dice.percent(80);
            let page = self.core.readdir(open, cookie, 4, plus).await?;
            self.listen();
            let Some(last) = page.entries.last() else { return Ok(names) };
            cookie = last.cookie;
            for listed in page.entries {
                if let Some(entry) = &listed.entry {
                    self.keep(handle, &listed.name, entry);
                }
                let Some(id) = self.object(listed.inode) else { continue };
                names.push((listed.name, id));
            }
        }
    }

    /// Lists the directory that a path leads to, and gives its names.
    pub async fn list(
        self: &Arc<Self>,
        path: &[String],
        hold: bool,
    ) -> Result<Vec<(String, Id)>, End> {
        self.at(path, async |at, _| self.enumerate(at, hold).await).await
    }

    async fn enumerate(
        self: &Arc<Self>,
        at: &Position,
        hold: bool,
    ) -> Result<Vec<(String, Id)>, End> {
        if self.kind(&at.id) != Some(Kind::Directory) {
            return Err(End::Absent);
        }
        self.listen();
        let start = self.start();
        if self.shape.silent
            && !self.model().asks
            && let Some(kept) = self.kept_listing(at).await?
        {
            self.check_listing(&start, &at.id, &kept);
            return Ok(kept);
        }
        let before = self.answers(&at.id);
        let version = self.model().kernel.version(at.handle);
        let answer = self.core.opendir(at.handle).await.map_err(Error::from);
        self.listen();
        self.say(|| format!("opendir {}: {answer:?}", at.id));
        let open = match answer {
            Ok(open) => open,
            Err(Error::Stale) => {
                self.check_error(&start, &at.id, Error::Stale, "opendir");
                return Err(End::Stale);
            }
            Err(error) => {
                self.check_error(&start, &at.id, error, "opendir");
                return Err(End::Failed);
            }
        };
        self.model().opened.insert(at.handle);
        *self.model().kernel.opens.entry(at.handle).or_default() += 1;
        let kept =
            self.model().kernel.listings.get(&at.handle).cloned().filter(|_| open.keep_cache);
        let fresh = match self.names(open.id, at.handle).await {
            Ok(names) => names,
            Err(error) => {
                self.wrong(
                    Class::Error,
                    format!("{} was opened and cannot be listed: {error:?}", at.id),
                );
                return Err(End::Failed);
            }
        };
        if let Some((_, kept)) = kept {
            self.check_listing(&start, &at.id, &kept);
        }
        self.check_listing(&start, &at.id, &fresh);
        if *at.id != *ROOT {
            self.check_grant(&start, &at.id, "listing", before);
        }
        self.model().kernel.listings.insert(at.handle, (version, fresh.clone()));
        let names = fresh.iter().map(|(name, _)| name.clone()).collect();
        let held = What::Directory(names);
        self.keep_open(Open { id: open.id, handle: at.handle, object: at.id.clone(), held }, hold);
        Ok(fresh)
    }

    /// Uses a handle that was found some time ago, as a file server's client does.
    pub async fn by_handle(self: &Arc<Self>, handle: Handle, id: Id) {
        if !self.model().kernel.references.contains_key(&handle) {
            return;
        }
        let at = Position::new(self, handle, id);
        let begun = self.start();
        let _ = self.attributes(&at, &begun, false).await;
        if self.shape.silent {
            self.go_on(&at).await;
        } else if self.upstream.tree().cover(&at.id) != Cover::Volatile {
            let _ = self.read(&at, false).await;
        }
    }

    /// Looks at everything, and notes it. False where something could not be looked at.
    pub async fn crawl(self: &Arc<Self>, seen: &mut HashSet<Id>) -> bool {
        let mut whole = true;
        let mut paths = vec![Vec::new()];
        while let Some(path) = paths.pop() {
            match self.list(&path, false).await {
                Ok(names) => {
                    for (name, id) in names {
                        let mut below = path.clone();
                        below.push(name);
                        seen.insert(id.clone());
                        let ends = [self.stat(&below).await, self.cat(&below, false).await];
                        if let Some(end) = ends.iter().find_map(|end| end.err()) {
                            self.say(|| format!("the walk does not get {below:?}: {end:?}"));
                            whole = false;
                        }
                        if self.kind(&id) == Some(Kind::Directory) {
                            paths.push(below);
                        }
                    }
                }
                Err(end) => {
                    self.say(|| format!("the walk does not list {path:?}: {end:?}"));
                    whole = false;
                }
            }
        }
        whole
    }
}
