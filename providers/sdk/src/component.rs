//! A [`Provider`] behind the exports of the three worlds.

use crate::bindings::service;
use crate::bindings::statements::exports::omnifs::provider::statements;
use crate::events::{Change, Changes, Delivery, Position, Progress};
use crate::http::Request;
use crate::id::Address;
use crate::manifest::Manifest;
use crate::{Coherence, Error, Node, Result, Tree, host, serve};
use service::exports::omnifs::provider::{events as wit, manifest as w, provider as three};
use std::marker::PhantomData;

/// A provider: its manifest, its root, and the reading of its feeds. The tree is its id's
/// [`Tree::shape`]. Exported by [`export!`](crate::export).
pub trait Provider: 'static {
    type Id: Tree;

    const MANIFEST: Manifest;

    /// What the instance's directory shows.
    const ROOT: Self::Id;

    /// The manifest, where it is no constant of the program.
    fn manifest() -> Manifest {
        Self::MANIFEST
    }

    /// Push: the request that opens the stream at this position.
    fn open(position: &Position) -> Result<Request> {
        Err(no_feed(&position.feed))
    }

    /// Push: one line of the stream, without its line end.
    fn line(position: &Position, _line: &[u8]) -> Result<Progress> {
        Err(no_feed(&position.feed))
    }

    /// Poll: what changed since the position.
    fn poll(position: &Position) -> Result<Progress> {
        Err(no_feed(&position.feed))
    }

    /// Webhook: what this delivery says.
    fn deliver(delivery: &Delivery) -> Result<Changes> {
        Err(no_feed(&delivery.feed))
    }
}

fn no_feed(name: &str) -> Error {
    Error::Invalid(format!("this provider has no feed {name:?} of this kind"))
}

/// What [`export!`](crate::export) exports.
#[doc(hidden)]
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: Provider> three::Guest for Component<P> {
    fn lookup_child(parent: String, name: String) -> Result<Node> {
        host::report_panics();
        serve::lookup_child::<P::Id>(&parent, &name)
    }

    fn list_children(parent: String) -> Result<Vec<Node>> {
        host::report_panics();
        serve::list_children::<P::Id>(&parent)
    }

    fn read_file(node: String) -> Result<Vec<u8>> {
        host::report_panics();
        serve::read_file::<P::Id>(&node)
    }
}

impl<P: Provider> wit::Guest for Component<P> {
    fn open(position: wit::Position) -> Result<service::omnifs::provider::types::Request> {
        host::report_panics();
        P::open(&position.into())?.into_wire()
    }

    fn line(position: wit::Position, line: Vec<u8>) -> Result<wit::Progress> {
        host::report_panics();
        P::line(&position.into(), &line).map(Into::into)
    }

    fn poll(position: wit::Position) -> Result<wit::Progress> {
        host::report_panics();
        P::poll(&position.into()).map(Into::into)
    }

    fn deliver(delivery: wit::Delivery) -> Result<Vec<wit::ScopedChange>> {
        host::report_panics();
        let wit::Delivery { feed, headers, body } = delivery;
        let changes = P::deliver(&Delivery { feed, headers, body })?;
        let scoped = |change: Change| wit::ScopedChange {
            scope: scope_of::<P::Id>(&change),
            change: change.into(),
        };
        Ok(changes.0.into_iter().map(scoped).collect())
    }
}

/// The scope that a change belongs to, as far as the id of its object says.
fn scope_of<I: Tree>(change: &Change) -> Option<String> {
    let id = match change {
        Change::Gap(scope) => return Some(scope.clone()),
        Change::Invalidated(id) | Change::Removed(id) | Change::ChildrenChanged(id) => id,
    };
    match I::decode(Address::of(id)?.object)?.coherence() {
        Coherence::Scoped(scope) => Some(scope),
        Coherence::Immutable | Coherence::Volatile => None,
    }
}

impl From<wit::Position> for Position {
    fn from(position: wit::Position) -> Self {
        let wit::Position { feed, scope, cursor, since } = position;
        Position { feed, scope, cursor, since }
    }
}

impl From<Change> for wit::Change {
    fn from(change: Change) -> Self {
        match change {
            Change::Invalidated(id) => wit::Change::Invalidated(id),
            Change::Removed(id) => wit::Change::Removed(id),
            Change::ChildrenChanged(id) => wit::Change::ChildrenChanged(id),
            Change::Gap(scope) => wit::Change::Gap(scope),
        }
    }
}

impl From<Progress> for wit::Progress {
    fn from(progress: Progress) -> Self {
        wit::Progress {
            changes: progress.changes.0.into_iter().map(Into::into).collect(),
            cursor: progress.cursor,
            standing: if progress.resumed {
                wit::Standing::Resumed
            } else {
                wit::Standing::Unchanged
            },
            wait: progress.wait,
        }
    }
}

impl<P: Provider> w::Guest for Component<P> {
    fn describe() -> w::Description {
        host::report_panics();
        crate::describe::description(&P::manifest(), crate::NodeId::encode(&P::ROOT))
    }
}

impl<P: Provider> statements::Guest for Component<P> {
    fn declared() -> Vec<statements::Database> {
        host::report_panics();
        crate::describe::databases(&P::manifest())
    }
}

/// The same for the world `offline`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Offline<P>(PhantomData<P>);

impl<P: Provider> w::Guest for Offline<P> {
    fn describe() -> w::Description {
        // Keeps the description of the world in the linked module.
        #[cfg(target_arch = "wasm32")]
        crate::bindings::offline::__link_custom_section_describing_imports();
        Component::<P>::describe()
    }
}

impl<P: Provider> three::Guest for Offline<P> {
    fn lookup_child(parent: String, name: String) -> Result<Node> {
        <Component<P> as three::Guest>::lookup_child(parent, name)
    }

    fn list_children(parent: String) -> Result<Vec<Node>> {
        <Component<P> as three::Guest>::list_children(parent)
    }

    fn read_file(node: String) -> Result<Vec<u8>> {
        <Component<P> as three::Guest>::read_file(node)
    }
}
