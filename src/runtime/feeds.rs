//! What feeds say: of their scopes, and the events that they bring.

use super::{Borrowed, Runtime, ServiceClock, State};
use crate::events::{ActiveScope, Ledger, Prover};
use crate::inodes::ROOT;
use crate::nodes::InstanceId;
use crate::provider;
use crate::sharded::PARTS;
use omnifs_platform::{Barrier, Change, Error, Handle, Result, Vfs};
use std::sync::Arc;
use std::time::Duration;

/// Handles that are looked at under the lock at a time.
const HANDLES: usize = 8;
/// The longest that a command waits for kernels.
const HEARD: Duration = Duration::from_secs(2);

impl Runtime {
    /// Says that the instance's scopes under `prefix` are polled: what is fetched in them is
    /// covered from its own fetch on.
    pub fn polled(&self, instance: &str, prefix: &str) {
        self.on(instance, |state, id, _| state.ledger.polled(id, prefix));
    }

    /// Says which scopes the instance's feeds cover, by their prefixes. Comes before [`Runtime::polled`].
    pub fn declared(&self, instance: &str, prefixes: Vec<Arc<str>>) {
        self.on(instance, |state, id, out| {
            for scope in state.ledger.declared(id, prefixes) {
                let news =
                    state.ledger.rest(id, &scope, "no feed of the provider covers this any more");
                state.down(id, &scope, news, out);
            }
        });
    }

    /// Gives the instance's service a clock: seconds since the Unix epoch when it last answered.
    pub fn set_clock(&self, instance: &str, clock: ServiceClock) {
        self.on(instance, |state, id, _| state.clocks.insert(id, clock));
    }

    /// Gives the instance's feeds a way to be asked for a scope that is suspect, before a use of it.
    pub fn set_prover(&self, instance: &str, prover: Prover) {
        self.on(instance, |state, id, _| state.provers.insert(id, prover));
    }

    /// Has everything at and below `path` (below the mount point, empty for all) asked for again
    /// at its next use. Returns the number of objects concerned.
    ///
    /// # Errors
    /// Those of looking the path up.
    pub async fn refresh(&self, path: &str) -> Result<u64> {
        let mut handle = ROOT;
        let mut borrowed = Borrowed::new(self);
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            let entry = self.lookup(handle, name).await?.ok_or(Error::NotFound)?;
            handle = borrowed.take(entry.handle);
        }
        let mut out = Vec::new();
        let count = self.state().refresh(handle, &mut out)?;
        self.notify(out);
        Ok(count)
    }

    /// Ends once kernels have been told of all that has happened so far, or after [`HEARD`]: a request that is
    /// under way in a directory may hold back what is to be told of its names.
    pub async fn heard(&self) {
        let (barrier, passed) = Barrier::new();
        self.notify(vec![Change::Barrier(barrier)]);
        if tokio::time::timeout(HEARD, passed).await.is_err() {
            tracing::debug!("a kernel has not heard of all that has happened");
        }
    }

    /// Another provider has taken the place of the instance's: nothing that its predecessor has said is served
    /// without asking, what is on its way included. Inodes stay, and open files keep their content.
    ///
    /// # Errors
    /// There is no such instance.
    pub async fn renew(&self, instance: &str) -> Result<u64> {
        let id = self.on(instance, |state, id, _| {
            state.partials.retain(|(of, _), _| *of != id);
            // What is on its way, also of what never changes.
            state.ledger.overtake(id);
            state.renewed.insert(id, state.ledger.sequence());
            // What is on disk is of the one before.
            state.ledger.unsettle(id);
            state.touched.disk.iter().for_each(|disk| disk.leave(id));
            id
        });
        id.into_iter().for_each(|id| self.growths.end_for(id));
        self.refresh(instance).await
    }

    fn on<T>(
        &self,
        instance: &str,
        act: impl FnOnce(&mut State, InstanceId, &mut Vec<Change>) -> T,
    ) -> Option<T> {
        let Some(id) = self.router.find(instance) else {
            tracing::warn!(instance, "an event for an instance that is not mounted");
            return None;
        };
        let mut out = Vec::new();
        let mut state = self.state();
        let result = act(&mut state, id, &mut out);
        let suspected = std::mem::take(&mut state.suspected);
        drop(state);
        out.dedup();
        self.notify(out);
        for (instance, scope) in suspected {
            self.doubt(instance, &scope);
        }
        Some(result)
    }

    /// Has kernels ask for what they keep of a scope that has become suspect.
    fn doubt(&self, instance: InstanceId, scope: &str) {
        let mut aside = 0;
        if self.state().inodes.silent {
            self.each_handle(|state, handles, _| aside += state.put_aside(handles));
        }
        let mut room = (self.state().cache.capacity().bytes as u64).saturating_sub(aside);
        self.each_handle(|state, handles, out| {
            state.doubt(handles, (instance, scope), &mut room, out);
        });
    }

    /// Looks at every handle, a few at a time. What comes in between may be missed.
    fn each_handle(&self, mut act: impl FnMut(&mut State, &[Handle], &mut Vec<Change>)) {
        let mut part = 0;
        // Not under the lock: after a million frees an allocation of some size takes milliseconds.
        let mut handles = Vec::with_capacity(4096);
        while part < PARTS {
            handles.clear();
            let state = self.state();
            while part < PARTS && handles.len() < HANDLES {
                handles.extend(state.inodes.handles_in(part));
                part += 1;
            }
            drop(state);
            for some in handles.chunks(HANDLES) {
                let mut out = Vec::with_capacity(4 * HANDLES);
                act(&mut self.state(), some, &mut out);
                out.dedup();
                self.notify(out);
            }
        }
    }
}

impl Ledger for Runtime {
    fn up(&self, instance: &str, scopes: &str) {
        let news = self.on(instance, |state, id, out| {
            let news = state.ledger.up(id, scopes);
            if news {
                // It may be a feed that nobody had heard of.
                state.expire_root_absences(id, out);
            }
            news.then_some(id)
        });
        if let Some(id) = news.flatten()
            && self.state().inodes.silent
        {
            self.each_handle(|state, handles, _| {
                for &handle in handles {
                    if state.is_in(handle, id, scopes) {
                        state.drop_doubt(handle);
                    }
                }
            });
        }
    }

    fn resumed(&self, instance: &str, scopes: &str) {
        self.on(instance, |state, id, _| state.ledger.resumed(id, scopes));
    }

    fn lost(&self, instance: &str, scopes: &str, why: &str) {
        self.on(instance, |state, id, out| {
            let news = state.ledger.lost(id, scopes, why);
            state.down(id, scopes, news, out);
        });
    }

    fn rest(&self, instance: &str, scopes: &str, why: &str) {
        self.on(instance, |state, id, out| {
            let news = state.ledger.rest(id, scopes, why);
            state.down(id, scopes, news, out);
        });
    }

    fn idle(&self, instance: &str, scope: &str) {
        self.on(instance, |state, id, out| match state.ledger.idle(id, scope) {
            true => state.suspect(id, scope, out),
            // It vouches no more for the names that the root lacks.
            false => state.expire_root_absences(id, out),
        });
    }

    fn apply(&self, instance: &str, changes: &[provider::Change]) {
        self.on(instance, |state, id, out| {
            for change in changes {
                state.apply(id, instance, change, out);
                if let provider::Change::Invalidated(object) = change {
                    self.growths.stir(id, object);
                }
            }
        });
    }

    fn settled(&self, instance: &str, scope: &str, cursor: Option<&str>) {
        let (Some(disk), Some(cursor)) = (self.disk.get(), cursor) else { return };
        self.on(instance, |state, id, _| {
            if !disk.is_vouched(id) {
                return;
            }
            // Under the lock, so that it is written after all events that were told before.
            if let Some(settled) = state.ledger.settle(id, scope, cursor) {
                disk.settled(id, &scope.into(), settled);
            }
        });
    }

    fn cursor(&self, instance: &str, scope: &str) -> Option<String> {
        let cursor = |state: &mut State, id, _: &mut Vec<_>| {
            state.ledger.cursor(id, scope).map(str::to_owned)
        };
        self.on(instance, cursor).flatten()
    }

    fn take_active(&self, instance: &str, prefix: &str) -> Vec<ActiveScope> {
        let active = self.on(instance, |state, id, _| {
            state.note_open();
            state.ledger.take_active(id, prefix)
        });
        active.unwrap_or_default()
    }
}
