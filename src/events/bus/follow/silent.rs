//! A provider that never answers, for tests in which nobody asks it.

use crate::provider::{
    self, Answer, Delivery, Node, Progress, Provider, Reply, Request, ScopedChange,
};
use bytes::Bytes;
use futures_util::FutureExt;

/// Nobody is asked.
#[derive(Debug)]
pub struct Silent;

impl Provider for Silent {
    fn lookup_child<'a>(&'a self, _: &'a str, _: &'a str) -> Reply<'a, Answer<Node>> {
        std::future::pending().boxed()
    }

    fn list_children<'a>(&'a self, _: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        std::future::pending().boxed()
    }

    fn read_file<'a>(&'a self, _: &'a str) -> Reply<'a, Answer<Bytes>> {
        std::future::pending().boxed()
    }

    fn open_feed<'a>(&'a self, _: &'a provider::Position) -> Reply<'a, Request> {
        std::future::pending().boxed()
    }

    fn feed_line<'a>(&'a self, _: &'a provider::Position, _: Bytes) -> Reply<'a, Progress> {
        std::future::pending().boxed()
    }

    fn poll_feed<'a>(&'a self, _: &'a provider::Position) -> Reply<'a, Progress> {
        std::future::pending().boxed()
    }

    fn deliver(&self, _: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        std::future::pending().boxed()
    }
}
