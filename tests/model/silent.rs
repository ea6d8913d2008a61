//! What a kernel does by itself that opens files and directories without a word.

use crate::feed::Start;
use crate::readers::{End, Position};
use crate::upstream::{Cover, Id};
use crate::world::{Class, Open, What, World};
use omnifs_platform::{Error, Handle, Kind, Vfs};
use std::sync::Arc;

impl World {
    /// Where files are opened without a word, what the walk has led to is what is shown, whatever
    /// happens from then on: it may be open.
    pub(super) fn judged_from(&self, id: &Id, begun: &Start) -> Start {
        if self.is_silent(id) { begun.clone() } else { self.start() }
    }

    /// A file that is opened without a word.
    pub(super) fn is_silent(&self, id: &Id) -> bool {
        self.shape.silent && self.kind(id) != Some(Kind::Directory)
    }

    /// Whether the kernel has held this name for another handle's. It drops that.
    pub(super) fn leads_elsewhere(&self, parent: Handle, name: &str, handle: Handle) -> bool {
        let mut model = self.model();
        let key = (parent, name.to_owned());
        let elsewhere = model.kernel.led_to.remove(&key).is_some_and(|before| before != handle);
        if elsewhere {
            model.kernel.names.remove(&key);
        }
        elsewhere
    }

    /// Reads what a path has just led to, as a kernel does that opens it by itself: its pages, or the
    /// content of the handle.
    pub(super) async fn read_silently(
        self: &Arc<Self>,
        at: &Position,
        begun: &Start,
        hold: bool,
    ) -> Result<(), End> {
        if self.kind(&at.id) == Some(Kind::Directory) {
            return Ok(());
        }
        self.listen();
        let pages = self.model().kernel.pages.get(&at.handle).cloned();
        if let Some(bytes) = pages {
            self.check_content(begun, &at.id, &bytes);
            return Ok(());
        }
        let answer = self.core.open(at.handle).await;
        self.listen();
        self.say(|| format!("read {} {:?}: {answer:?}", at.id, at.handle));
        let open = match answer {
            Ok(open) => open,
            Err(Error::Stale) => return Err(End::Stale),
            Err(error) => {
                self.check_error(begun, &at.id, error, "open");
                return Err(End::Failed);
            }
        };
        self.check_size(at.handle, &at.id, open.size);
        let Ok(bytes) = self.whole(open.id).await else {
            self.wrong(Class::Error, format!("{} was opened and cannot be read", at.id));
            return Err(End::Failed);
        };
        self.check_content(begun, &at.id, &bytes);
        {
            let mut model = self.model();
            model.opened.insert(at.handle);
            *model.kernel.opens.entry(at.handle).or_default() += 1;
            if !open.direct {
                model.kernel.pages.insert(at.handle, bytes.clone());
            }
        }
        let held = What::File { bytes, volatile: open.direct };
        let held = Open { id: open.id, handle: at.handle, object: at.id.clone(), held };
        self.keep_open(held, hold);
        Ok(())
    }

    /// Reads on by a handle that somebody may have had open for long: what its pages hold, or nothing.
    pub(super) async fn go_on(self: &Arc<Self>, at: &Position) {
        if self.kind(&at.id) == Some(Kind::Directory)
            || self.upstream.tree().cover(&at.id) == Cover::Volatile
        {
            return;
        }
        let Ok(open) = self.core.open(at.handle).await else { return };
        let bytes = self.whole(open.id).await;
        self.core.release(open.id);
        self.listen();
        let Ok(bytes) = bytes else { return };
        let mut model = self.model();
        let pages = model.kernel.pages.entry(at.handle).or_insert_with(|| bytes.clone()).clone();
        drop(model);
        if pages != bytes {
            self.wrong(
                Class::Snapshot,
                format!("{} was read as {pages:?}, and goes on as {bytes:?}", at.id),
            );
        }
    }

    /// What a kernel reads again by itself of a directory that it opens without a word. Where it may not
    /// keep the attributes it asks for them, and its copy is dropped with the answer.
    pub(super) async fn kept_listing(
        self: &Arc<Self>,
        at: &Position,
    ) -> Result<Option<Vec<(String, Id)>>, End> {
        if !self.model().kernel.attributes.contains_key(&at.handle) {
            let begun = self.start();
            self.attributes(at, &begun, true).await?;
            let mut model = self.model();
            if !model.kernel.attributes.contains_key(&at.handle) {
                model.kernel.listings.remove(&at.handle);
            }
        }
        let model = self.model();
        let version = model.kernel.version(at.handle);
        let kept = model.kernel.listings.get(&at.handle).filter(|(at, _)| *at == version);
        Ok(kept.map(|(_, names)| names.clone()))
    }
}
