//! A service with a JSON interface, as a TOML file declares it: `docs/providers/rest.md` has the format.
//!
//! This component is no provider without a file, which the host writes into it ([`slot`]). What it shows,
//! what it may ask for and what its feeds see is in the file alone. What none of them sees ([`feed`]) is volatile: it
//! is asked for at each open.

mod content;
mod feed;
mod manifest;
mod serve;
mod slot;
mod spec;
mod template;

pub use spec::{Fault, Spec};

use omnifs_sdk::id::{Parts, join};
use omnifs_sdk::*;
use spec::Place;
use std::cell::Cell;
use std::fmt::Display;

/// Whose ids lead to it is in its keys, as the [`Place`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    Root,
    /// A directory, by the number of its place.
    Place {
        place: usize,
        keys: Vec<String>,
    },
    /// A file of the object that the place shows.
    File {
        place: usize,
        name: String,
        keys: Vec<String>,
    },
}

impl NodeId for Id {
    /// An object is known by its name in the file, so it stays itself when its path is declared anew.
    fn encode(&self) -> String {
        let spec = spec();
        let (tag, name, file, keys) = match self {
            Id::Root => return "root".to_owned(),
            Id::Place { place, keys } => match spec.places[*place].object {
                Some(object) => ("object", &spec.objects[object].name, None, keys),
                None => ("folder", &spec.places[*place].path, None, keys),
            },
            Id::File { place, name, keys } => {
                let place = &spec.places[*place];
                let object = place.object.map_or(&place.path, |object| &spec.objects[object].name);
                ("file", object, Some(name), keys)
            }
        };
        let params: Vec<&dyn Display> = std::iter::once(name)
            .chain(file)
            .chain(keys)
            .map(|text| text as &dyn Display)
            .collect();
        join(tag, &params)
    }

    fn decode(text: &str) -> Option<Self> {
        let spec = spec();
        let mut parts = Parts::of(text);
        let tag = parts.tag;
        if tag == "root" {
            return parts.end().then_some(Id::Root);
        }
        let name: String = parts.param()?;
        let shows = |place: &Place| match place.object {
            Some(object) => tag != "folder" && spec.objects[object].name == name,
            None => tag == "folder" && place.path == name,
        };
        let place = spec.places.iter().position(shows)?;
        let file = if tag == "file" { Some(parts.param()?) } else { None };
        let keys = spec.places[place].keys.iter().map(|_| parts.param());
        let keys: Vec<String> = keys.collect::<Option<_>>()?;
        let known = matches!(tag, "file" | "object" | "folder") && parts.end();
        known.then_some(match file {
            Some(name) => Id::File { place, name, keys },
            None => Id::Place { place, keys },
        })
    }

    fn coherence(&self) -> Coherence {
        match self {
            Id::Root => volatile(),
            Id::Place { place, keys } => feed::of_place(&spec().places[*place], keys),
            Id::File { place, keys, .. } => feed::of_file(&spec().places[*place], keys),
        }
    }
}

impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        match self {
            Id::Root => serve::directory(0, Vec::new()),
            Id::Place { place, keys } => serve::directory(place, keys),
            Id::File { place, name, keys } => file(move || serve::read(place, &name, &keys)),
        }
    }

    fn whole(&self) -> Option<Id> {
        match self {
            Id::File { place, keys, .. } => Some(Id::Place { place: *place, keys: keys.clone() }),
            Id::Root | Id::Place { .. } => None,
        }
    }
}

thread_local! {
    static SPEC: Cell<Option<&'static Spec>> = const { Cell::new(None) };
}

/// What is declared. A call has an instance of its own, which reads it once.
fn spec() -> &'static Spec {
    if let Some(spec) = SPEC.get() {
        return spec;
    }
    let text = slot::text().unwrap_or_else(|| {
        refuse("it declares no service: add a file of one, with `omnifs providers add FILE.toml`")
    });
    declare(&text).unwrap_or_else(|Fault(why)| refuse(&why))
}

/// Serves this file from now on: for tests, where no host has written one.
///
/// # Errors
/// What is wrong with it.
pub fn declare(text: &str) -> std::result::Result<&'static Spec, Fault> {
    let spec: &'static Spec = Box::leak(Box::new(Spec::read(text)?));
    SPEC.set(Some(spec));
    Ok(spec)
}

/// Ends the call. The host shows the line.
fn refuse(why: &str) -> ! {
    log::error(why);
    std::process::abort()
}

/// The provider.
#[derive(Debug)]
pub struct Declared;

impl Provider for Declared {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest =
        Manifest::new("rest", env!("CARGO_PKG_VERSION"), "A service that a file declares");

    fn manifest() -> Manifest {
        manifest::of(spec())
    }

    fn poll(position: &Position) -> Result<Progress> {
        feed::poll(position)
    }
}

export!(service, Declared);

#[cfg(test)]
mod tests;
