//! Answers the three read operations from the provider's tables.

use crate::entry::{self, Entry, Listing, Offer};
use crate::id::Address;
use crate::object::AnyObject;
use crate::shape::{Inner, Tree};
use crate::{Coherence, Node};
use crate::{Error, Result, host, name};

/// A decoded node id.
enum Target<I> {
    Id(I, Inner<I>),
    Leaf { id: I, object: Box<dyn AnyObject<I>>, leaf: String, key: Option<String> },
}

fn target<I: Tree>(id: &str) -> Result<Target<I>> {
    let unknown = || Error::Invalid(format!("no node has the id {id:?}"));
    let address = Address::of(id).ok_or_else(unknown)?;
    let typed = I::decode(address.object).ok_or_else(unknown)?;
    let shape = typed.clone().shape().0;
    match (address.leaf, shape) {
        (None, shape) => Ok(Target::Id(typed, shape)),
        (Some(leaf), Inner::Object(object)) => {
            Ok(Target::Leaf { id: typed, object, leaf: leaf.to_owned(), key: address.key })
        }
        (Some(_), _) => Err(unknown()),
    }
}

pub(crate) fn lookup_child<I: Tree>(parent: &str, name: &str) -> Result<Node> {
    match target::<I>(parent)? {
        Target::Id(_, Inner::Fixed(entries)) => {
            let entry = entries.into_iter().find(|(entry, _)| *entry == name);
            entry.map(fixed_node).ok_or(Error::NotFound)
        }
        Target::Id(id, Inner::Listing { list, find, beyond, .. }) => {
            let text = name::unescape(name);
            let (node, offers) = match (find, text) {
                (Some(find), Some(text)) => entry::found(find(&text)?, name)?,
                (_, None) if !name::is_cut(name) => return Err(Error::NotFound),
                (_, text) => {
                    // Nothing is lost: the listing is offered with the answer.
                    let listing = list()?;
                    // What could not be read may be what was asked for.
                    let (missing, stops_short) = (listing.missing(), listing.stops_short());
                    let mut offers = Offer::of(&id, listing);
                    let listed = |offer: &Offer| {
                        offer.children.iter().find(|node| node.name == name).cloned()
                    };
                    let node = offers.first().and_then(listed);
                    // What is to be listed anew at each open is not handed over unasked.
                    if matches!(id.coherence(), Coherence::Volatile) {
                        offers.remove(0);
                    }
                    match node {
                        Some(node) => (node, offers),
                        None => {
                            offers.into_iter().for_each(Offer::send);
                            match (missing, beyond, text) {
                                (Some(missing), ..) => return Err(Error::Invalid(missing)),
                                _ if !stops_short => return Err(Error::NotFound),
                                (_, Some(beyond), Some(text)) => {
                                    entry::found(beyond(&text)?, name)?
                                }
                                _ => {
                                    let why = "the listing stops short and may not show the name";
                                    return Err(Error::Invalid(why.to_owned()));
                                }
                            }
                        }
                    }
                }
            };
            offers.into_iter().for_each(Offer::send);
            Ok(node)
        }
        Target::Id(_, Inner::Object(object)) => object.lookup(name),
        Target::Leaf { object, leaf, key: None, .. } => object.lookup_map(&leaf, name),
        Target::Id(_, Inner::File(_)) | Target::Leaf { key: Some(_), .. } => {
            Err(not_a("directory", parent))
        }
    }
}

pub(crate) fn list_children<I: Tree>(parent: &str) -> Result<Vec<Node>> {
    match target::<I>(parent)? {
        Target::Id(_, Inner::Fixed(entries)) => Ok(entries.into_iter().map(fixed_node).collect()),
        Target::Id(id, Inner::Listing { list, .. }) => {
            let listing: Listing<I> = list()?;
            let note = listing.note();
            let (nodes, offers) = entry::nodes(listing.entries);
            offers.into_iter().for_each(Offer::send);
            if let Some(note) = note {
                let shown = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
                host::partial(&id.encode(), shown, &note);
            }
            Ok(nodes)
        }
        Target::Id(_, Inner::Object(object)) => object.list(),
        Target::Leaf { object, leaf, key: None, .. } => object.list_map(&leaf),
        Target::Id(_, Inner::File(_)) | Target::Leaf { key: Some(_), .. } => {
            Err(not_a("directory", parent))
        }
    }
}

pub(crate) fn read_file<I: Tree>(node: &str) -> Result<Vec<u8>> {
    match target::<I>(node)? {
        Target::Id(_, Inner::File(read)) => read(),
        Target::Leaf { id, object, leaf, key } => object.read(&id, &leaf, key.as_deref()),
        Target::Id(..) => Err(not_a("file", node)),
    }
}

fn fixed_node<I: Tree>(entry: (&'static str, I)) -> Node {
    Entry::fixed(entry).into_node(&mut Vec::new())
}

fn not_a(what: &str, id: &str) -> Error {
    Error::Invalid(format!("{id:?} is not a {what}"))
}
