//! A provider in whose place another is put while it is in use.
//!
//! Invariant: a call ends with the provider that it began with.

use crate::provider::{
    Answer, Delivery, Followed, Node, Piece, Position, Progress, Provider, Reply, Request,
    ScopedChange, Walk, Wanted,
};
use bytes::Bytes;
use parking_lot::RwLock;
use std::sync::Arc;

#[derive(Debug)]
pub struct Replaceable(RwLock<Arc<dyn Provider>>);

impl Replaceable {
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Replaceable(RwLock::new(provider))
    }

    /// Calls that begin from now on are this provider's.
    pub fn replace(&self, provider: Arc<dyn Provider>) {
        *self.0.write() = provider;
    }

    fn current(&self) -> Arc<dyn Provider> {
        self.0.read().clone()
    }
}

impl Provider for Replaceable {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        let provider = self.current();
        Box::pin(async move { provider.lookup_child(parent, name).await })
    }

    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        let provider = self.current();
        Box::pin(async move { provider.list_children(parent).await })
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        let provider = self.current();
        Box::pin(async move { provider.read_file(node).await })
    }

    fn read_ahead<'a>(&'a self, node: &'a str, walk: Walk) -> Reply<'a, Answer<Bytes>> {
        let provider = self.current();
        Box::pin(async move { provider.read_ahead(node, walk).await })
    }

    fn read_part<'a>(&'a self, part: Wanted<'a>) -> Reply<'a, Piece> {
        let provider = self.current();
        Box::pin(async move { provider.read_part(part).await })
    }

    fn follow<'a>(&'a self, request: &'a Request) -> Reply<'a, Followed> {
        let provider = self.current();
        Box::pin(async move { provider.follow(request).await })
    }

    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request> {
        let provider = self.current();
        Box::pin(async move { provider.open_feed(position).await })
    }

    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress> {
        let provider = self.current();
        Box::pin(async move { provider.feed_line(position, line).await })
    }

    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress> {
        let provider = self.current();
        Box::pin(async move { provider.poll_feed(position).await })
    }

    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        let provider = self.current();
        Box::pin(async move { provider.deliver(delivery).await })
    }
}
