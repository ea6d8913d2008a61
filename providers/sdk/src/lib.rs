//! Writes omnifs providers.
//!
//! A provider states its tree once. Three tables say everything:
//!
//! - [`ids!`] names the objects: one row for each kind, with the parameters that identify it
//!   upstream and the event scope it belongs to;
//! - [`Tree::shape`] says what each id is: fixed entries, a listing, an object, a file;
//! - [`Object::LEAVES`] says which files an object shows, each as a function of the fetched answer.
//!
//! From these the SDK answers `lookup-child`, `list-children` and `read-file`, and hands the host
//! every leaf that an answer holds (`preload.offer`), so that a listing of N objects fills N
//! directories. `providers/README.md` writes a provider step by step.
//!
//! Invariants kept here, so that no provider has to:
//! - an id never encodes a position: entries get their names from their parents;
//! - an object that the service answers under another name than the one asked is "not found";
//! - a name is escaped ([`name`]) and no listing holds one twice;
//! - a size is given only together with the content it is the size of, or as the service's own;
//! - a failed request never becomes "not found" unless the service said 404 or 410.
//!
//! There is no clock, environment, file or thread: a component has none.

#[doc(hidden)]
pub mod bindings;
mod component;
pub mod config;
pub mod content;
mod describe;
mod document;
mod entry;
pub mod events;
mod export;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod graphql;
mod group;
mod host;
pub mod http;
#[doc(hidden)]
pub mod id;
mod items;
pub mod json;
pub mod log;
pub mod manifest;
pub mod markdown;
pub mod name;
mod object;
mod pages;
pub mod poll;
pub mod preload;
mod routes;
mod serve;
mod shape;
pub mod sql;
mod table;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;

pub use bindings::service::omnifs::provider::types::{
    Body, Coherence, Error, Frames, Framing, Growing, Kind, Node,
};
pub use component::Provider;
#[doc(hidden)]
pub use component::{Component, Offline};
pub use content::{Content, Map, document, json, json_value, lines, optional, scalar, scalars};
pub use entry::{Entry, Listing};
pub use events::{Changes, Delivery, Position, Progress};
pub use group::Groups;
pub use id::{NodeId, immutable, scoped, volatile};
pub use items::{Items, Members, Odd};
pub use json::Raw;
pub use manifest::Manifest;
pub use object::{Holding, Leaf, Object, detail, detail_map, dir, dir_holding, leaf, map, own};
pub use pages::{Next, Pages};
pub use shape::{Shape, Tree, file, file_at, fixed, listing, object, open_ended, searchable};
pub use table::{Form, Table};

/// The examples of `providers/README.md`, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

/// What a call to the service, and so an answer to the host, comes to.
pub type Result<T> = std::result::Result<T, Error>;
