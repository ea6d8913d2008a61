//! A file system whose answers are overtaken.

use super::next;
use crate::memory::Memory;
use crate::{
    Attr, Change, DirPage, Entry, Handle, HandleError, Inode, OpenFile, OpenId, Opened, Result,
    Statfs, Vfs,
};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// A file system whose answers are now and then late: older than what has happened since.
#[derive(Debug)]
pub struct Late(pub Arc<Memory>, pub AtomicU64);

impl Late {
    async fn wait(&self) {
        if next(&self.1).is_multiple_of(3) {
            tokio::time::sleep(Duration::from_millis(next(&self.1) % 3)).await;
        }
    }
}

impl Vfs for Late {
    fn root(&self) -> Handle {
        self.0.root()
    }

    async fn lookup(&self, parent: Handle, name: &str) -> Result<Option<Entry>> {
        let found = self.0.lookup(parent, name).await;
        self.wait().await;
        found
    }

    async fn getattr(&self, handle: Handle) -> Result<Attr> {
        let found = self.0.getattr(handle).await;
        self.wait().await;
        found
    }

    async fn readlink(&self, handle: Handle) -> Result<Bytes> {
        self.0.readlink(handle).await
    }

    async fn open(&self, handle: Handle) -> Result<OpenFile> {
        let opened = self.0.open(handle).await;
        self.wait().await;
        opened
    }

    async fn read(&self, open: OpenId, offset: u64, size: u32) -> Result<Bytes> {
        self.0.read(open, offset, size).await
    }

    async fn opendir(&self, handle: Handle) -> Result<Opened, HandleError> {
        self.0.opendir(handle).await
    }

    async fn readdir(
        &self,
        open: OpenId,
        cookie: u64,
        limit: usize,
        plus: bool,
    ) -> Result<DirPage, HandleError> {
        self.0.readdir(open, cookie, limit, plus).await
    }

    fn release(&self, open: OpenId) {
        self.0.release(open);
    }

    fn parent(&self, handle: Handle) -> Result<(Handle, Inode)> {
        self.0.parent(handle)
    }

    fn forget(&self, handle: Handle, count: u64) {
        self.0.forget(handle, count);
    }

    fn statfs(&self) -> Statfs {
        self.0.statfs()
    }

    fn changes(&self) -> Receiver<Vec<Change>> {
        self.0.changes()
    }

    fn silence_opens(&self) {
        self.0.silence_opens();
    }
}
