//! Files that grow while somebody looks, each fed by one stream for everybody.

use super::{Open, Runtime, State};
use crate::growing::{Growth, Pace};
use crate::nodes::{InstanceId, Node};
use crate::provider::{Cause, Failure, Growing};
use crate::remote::Remote;
use bytes::Bytes;
use omnifs_platform::{Change, Error, Handle, Result};
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;

/// Streams that are held although nobody is known to have their file open: a `grep` over many logs leaves
/// no more behind.
const UNOPENED: usize = 32;

/// The growing contents of a mount, by object.
#[derive(Debug, Default)]
pub(super) struct Growths {
    held: Mutex<HashMap<(InstanceId, Arc<str>), Entry>>,
    pace: Pace,
}

#[derive(Debug)]
struct Entry {
    growth: Arc<Growth>,
    /// What its file is part of.
    owner: Option<Arc<str>>,
}

impl Growths {
    /// Who has one open goes on with it; whoever opens it next begins anew.
    pub fn end_for(&self, instance: InstanceId) {
        self.held.lock().retain(|(of, _), _| *of != instance);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(InstanceId, Arc<str>), Entry>> {
        // No code panics between two changes that belong together.
        self.held.lock()
    }

    /// An event on an object: what has ended may go on.
    pub fn stir(&self, instance: InstanceId, object: &str) {
        for ((of, id), entry) in self.lock().iter() {
            let own = **id == *object || entry.owner.as_deref() == Some(object);
            if *of == instance && own {
                entry.growth.stir();
            }
        }
    }

    /// Gives up what nobody uses.
    fn sweep(held: &mut HashMap<(InstanceId, Arc<str>), Entry>, linger: std::time::Duration) {
        held.retain(|_, Entry { growth, .. }| {
            growth.is_open() || growth.is_held() || growth.idle() < linger
        });
        let mut unopened: Vec<_> = held
            .values()
            .map(|entry| &entry.growth)
            .filter(|growth| growth.is_held() && !growth.is_open())
            .collect();
        unopened.sort_by_key(|growth| growth.idle());
        for growth in unopened.into_iter().skip(UNOPENED) {
            growth.rest();
        }
    }
}

impl Runtime {
    /// The growing content of this node.
    fn growth(&self, node: &Node, stream: &Arc<Growing>) -> Result<Arc<Growth>> {
        let provider = match self.router.provider(node.instance) {
            Ok(provider) => provider,
            Err(failure) => return Err(self.failed(node, None, failure)),
        };
        let key = (node.instance, node.id.clone());
        let mut held = self.growths.lock();
        if let Some(entry) = held.get(&key).filter(|entry| **entry.growth.stream() == **stream) {
            return Ok(entry.growth.clone());
        }
        Growths::sweep(&mut held, self.growths.pace.linger);
        let (runtime, of) = (self.me.clone(), key.clone());
        let grown = move || {
            if let Some(runtime) = runtime.upgrade() {
                runtime.grew(of.0, &of.1);
            }
        };
        let growth = Growth::new(provider, stream.clone(), self.growths.pace.clone(), grown);
        let owner = node.owner.as_ref().map(|(id, _)| id.clone());
        held.insert(key, Entry { growth: growth.clone(), owner });
        Ok(growth)
    }

    /// The same, once all has come that was there when this was asked. `None` where there is no stream, and
    /// the content is to be read.
    pub(super) async fn grown(&self, node: &Arc<Node>, again: bool) -> Result<Option<Arc<Growth>>> {
        let Some(Remote::Growing(stream)) = &node.remote else { return Ok(None) };
        let growth = self.growth(node, stream)?;
        match self.on_tokio(growth.clone(), again).await {
            Ok(true) => Ok(Some(growth)),
            Ok(false) => Ok(None),
            Err(failure) if failure.cause == Cause::NotFound => Err(Error::Stale),
            Err(failure) => {
                let failure = Failure { provider: self.router.name(node.instance), ..failure };
                Err(self.failed(node, None, failure))
            }
        }
    }

    /// A back end may poll outside of a runtime.
    pub(super) async fn on_tokio(
        &self,
        growth: Arc<Growth>,
        again: bool,
    ) -> std::result::Result<bool, Failure> {
        if growth.is_current(again) {
            return Ok(true);
        }
        let waiting = self.tokio.spawn(async move { growth.current(again).await });
        waiting.await.unwrap_or_else(|_| {
            let detail = "the mount is ending".to_owned();
            Err(Failure {
                provider: "".into(),
                cause: Cause::Unavailable,
                detail,
                retry_after: None,
            })
        })
    }

    /// The growing content that is open by this handle, and where it begins for those who have it open.
    pub(super) fn growing(&self, handle: Handle) -> Option<(Arc<Growth>, u64)> {
        self.state().growing(handle)
    }

    /// Up to `size` bytes of an open growing content. Where there are none yet, the stream is held.
    pub(super) async fn read_growing(
        &self,
        growth: Arc<Growth>,
        position: u64,
        size: u32,
    ) -> Result<Bytes> {
        if position >= growth.end() {
            // A log that cannot be had at the moment has no more for now.
            let _ = self.on_tokio(growth.clone(), false).await;
        }
        growth.read(position, size).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::Stale,
            _ => {
                tracing::warn!("cannot read back what a log has sent: {error}");
                Error::Unavailable
            }
        })
    }

    /// Something was appended.
    fn grew(&self, instance: InstanceId, id: &Arc<str>) {
        let name = self.router.name(instance);
        let mut out: Vec<Change> = Vec::new();
        let state = self.state();
        if let Some(node) = state.registry.get(crate::inodes::key(&name, id), id) {
            state.stir(&node, &mut out);
        }
        drop(state);
        self.notify(out);
    }
}

impl State {
    pub(super) fn growing(&self, handle: Handle) -> Option<(Arc<Growth>, u64)> {
        self.opens.of(handle).find_map(|open| match open {
            Open::Growing { growth, begin, .. } => Some((growth.clone(), *begin)),
            _ => None,
        })
    }

    /// Where a growing content begins by a handle, all of whose openers see the same beginning.
    pub(super) fn beginning(&self, handle: Handle, growth: &Arc<Growth>) -> u64 {
        match self.growing(handle) {
            Some((same, begin)) if Arc::ptr_eq(&same, growth) => begin,
            _ => growth.base(),
        }
    }
}

impl Open {
    pub(super) fn handle(&self) -> Handle {
        match self {
            Open::File { handle, .. }
            | Open::Pieces { handle, .. }
            | Open::Growing { handle, .. }
            | Open::Directory { handle, .. } => *handle,
        }
    }
}
