//! Feeds: webhook receiver, poller and push streams, all telling one [`Ledger`] what changed.
//!
//! **Invariant:** a feed that is not known to deliver is `lost`: a stream that broke, a poll that
//! failed, a task that ended or panicked. What may have been missed is a gap, never silence.

mod backoff;
mod lines;
mod poll;
mod push;
mod supervisor;
mod task;
pub mod webhook;

pub use supervisor::{FeedState, FeedStatus, FeedSupervisor, Feeds, Pace};

use crate::provider::Change;
use std::sync::Arc;

/// What the core keeps of coherence, as the feeds see it. None of these calls blocks.
///
/// A scope of a push or poll feed starts `lost`. `up` makes it live for what is fetched from then on;
/// what was fetched before stays suspect until `resumed` proves that nothing was missed.
pub trait Ledger: Send + Sync + 'static {
    /// The feed's connection stands: events from now on will arrive.
    fn up(&self, instance: &str, scopes: &str);
    /// The connection resumed where it was lost, and every event in between has been applied.
    fn resumed(&self, instance: &str, scopes: &str);
    /// No event will arrive until `up`. `why` is one line for `omnifs status`.
    fn lost(&self, instance: &str, scopes: &str, why: &str);
    /// Events, in upstream order.
    fn apply(&self, instance: &str, changes: &[Change]);
    /// The scopes with this prefix that cached nodes depend on, each with the upstream second
    /// before which none of them was fetched. Poll feeds poll no other scope.
    fn active_scopes(&self, instance: &str, prefix: &str) -> Vec<(Arc<str>, u64)>;
}
