//! Feeds: webhook receiver, poller, push streams and a fleet's bus, all telling one [`Ledger`] what changed.
//!
//! **Invariant:** a feed that is not known to deliver is `lost`: a stream that broke, a poll that
//! failed, a task that ended or panicked. What may have been missed is a gap, never silence.

mod allowance;
pub mod bus;
mod lines;
mod poll;
mod push;
mod schedule;
mod supervisor;
mod task;
pub mod webhook;

pub use supervisor::{FeedState, FeedStatus, FeedSupervisor, Feeds, Pace};

pub use crate::scopes::ActiveScope;

use crate::provider::{Change, ScopedChange};
use futures_util::future::BoxFuture;
use std::fmt;
use std::sync::Arc;

/// How somebody who is about to use a scope that is suspect has its feed prove what it missed. The
/// future ends when the feed has tried, or at once where no attempt is due; it never takes long.
#[derive(Clone)]
pub struct Prover(pub Arc<dyn Fn(Arc<str>) -> BoxFuture<'static, ()> + Send + Sync>);

impl fmt::Debug for Prover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prover")
    }
}

/// What the core keeps of coherence, as the feeds see it. None of these calls blocks.
///
/// A scope of a push or poll feed starts `lost`. `up` makes it live for what is fetched from then on;
/// what was fetched before stays suspect until `resumed` proves that nothing was missed.
pub trait Ledger: Send + Sync + 'static {
    /// The feed's connection stands: events from now on will arrive.
    fn up(&self, instance: &str, scopes: &str);
    /// The connection resumed where it was lost, and every event in between has been applied.
    fn resumed(&self, instance: &str, scopes: &str);
    /// No event will arrive until `up`. The feed tries again by itself, and says so again after each
    /// attempt that fails. `why` is one line for `omnifs status`.
    fn lost(&self, instance: &str, scopes: &str, why: &str);
    /// No event will arrive until `up`, and the feed does not try until somebody asks for it.
    fn rest(&self, instance: &str, scopes: &str, why: &str);
    /// A scope that no cached node depends on any more is polled no longer.
    fn idle(&self, instance: &str, scope: &str) {
        self.rest(instance, scope, "idle");
    }
    /// Events, in upstream order.
    fn apply(&self, instance: &str, changes: &[Change]);
    /// The same of one scope, or of one prefix of scopes.
    fn apply_in(&self, instance: &str, _scopes: &str, changes: &[Change]) {
        self.apply(instance, changes);
    }
    /// The same of a delivery, which may concern several scopes.
    fn delivered(&self, instance: &str, changes: &[ScopedChange]) {
        let changes: Vec<_> = changes.iter().map(|scoped| scoped.change.clone()).collect();
        self.apply(instance, &changes);
    }
    /// All that a poll had to tell of the scope was told; the next one begins at `cursor`, or where this one did.
    fn settled(&self, _instance: &str, _scope: &str, _cursor: Option<&str>) {}
    /// Where the first poll of a scope begins, where that is known from before.
    fn cursor(&self, _instance: &str, _scope: &str) -> Option<String> {
        None
    }
    /// The scopes with this prefix that cached nodes depend on. Poll feeds poll no other scope. Which
    /// were used is told once.
    fn take_active(&self, instance: &str, prefix: &str) -> Vec<ActiveScope>;
}
