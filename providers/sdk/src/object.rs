//! Objects: directories whose files are computed from one fetched answer.

use crate::bindings::service::omnifs::provider::types::{Body, Coherence, Growing, Kind, Node};
use crate::entry::{Entry, Listing, Offer, length};
use crate::id;
use crate::shape::Tree;
use crate::{Content, Error, Map, NodeId, Result, name};
use std::marker::PhantomData;

/// An object of the service as one answer shows it, in a listing or by itself.
///
/// A listing often holds less of an object than the object's own answer. The same type stands for
/// both: rows made by [`detail`] answer `None` where this answer does not hold the value. What two
/// answers both hold must come out as the same bytes.
pub trait Object: Sized + 'static {
    type Id: Tree;

    /// The object's directory, as a table.
    const LEAVES: &'static [Leaf<Self>];

    fn id(&self) -> Self::Id;

    /// How long the object and its leaves may be kept: as its id says, unless only an answer
    /// tells, such as the team whose feed covers an issue.
    fn coherence(&self) -> Coherence {
        self.id().coherence()
    }

    /// Last change of the object and every leaf, in milliseconds since the Unix epoch. `None` where
    /// not every answer holds it, or where a leaf may change without it.
    fn modified(&self) -> Option<u64> {
        None
    }

    /// The same for the directory, which changes only with its entries.
    fn directory_modified(&self) -> Option<u64> {
        self.modified()
    }
}

/// A directory and every entry of it, but for those that could not be read.
pub type Holding<I> = (I, Listing<I>);

/// One row of [`Object::LEAVES`]: a name, and what it shows.
#[derive(Debug)]
pub struct Leaf<T: Object> {
    name: &'static str,
    shows: Shows<T>,
    immutable: bool,
    unlisted: bool,
    present: Option<fn(&T) -> bool>,
    volatile: Option<fn(&T) -> bool>,
    growing: Option<fn(&T) -> Option<Growing>>,
    part_of: Option<fn(&T) -> T::Id>,
}

#[derive(Debug)]
enum Shows<T: Object> {
    File(fn(&T) -> Content),
    Detail(fn(&T) -> Option<Content>),
    Own { read: fn(&T::Id) -> Result<Content>, known: Option<fn(&T) -> Option<Content>> },
    Map(fn(&T) -> Map),
    DetailMap(fn(&T) -> Option<Map>),
    Directory(fn(&T) -> T::Id),
    Holding(fn(&T) -> Holding<T::Id>),
}

const fn row<T: Object>(name: &'static str, shows: Shows<T>) -> Leaf<T> {
    let (present, volatile, growing, part_of) = (None, None, None, None);
    Leaf { name, shows, immutable: false, unlisted: false, present, volatile, growing, part_of }
}

/// A file that every answer holds.
pub const fn leaf<T: Object>(name: &'static str, value: fn(&T) -> Content) -> Leaf<T> {
    row(name, Shows::File(value))
}

/// A file that every full answer holds; `None` where this answer does not.
pub const fn detail<T: Object>(name: &'static str, value: fn(&T) -> Option<Content>) -> Leaf<T> {
    row(name, Shows::Detail(value))
}

/// A directory of files, such as `labels/{key}`, that every answer holds.
pub const fn map<T: Object>(name: &'static str, value: fn(&T) -> Map) -> Leaf<T> {
    row(name, Shows::Map(value))
}

/// A directory of files that every full answer holds.
pub const fn detail_map<T: Object>(name: &'static str, value: fn(&T) -> Option<Map>) -> Leaf<T> {
    row(name, Shows::DetailMap(value))
}

/// A file read by a request of its own: `read` gets the object's id.
pub const fn own<T: Object>(name: &'static str, read: fn(&T::Id) -> Result<Content>) -> Leaf<T> {
    row(name, Shows::Own { read, known: None })
}

/// A directory with an id, and so a [`Shape`](crate::Shape), of its own.
pub const fn dir<T: Object>(name: &'static str, id: fn(&T) -> T::Id) -> Leaf<T> {
    row(name, Shows::Directory(id))
}

/// As [`dir`], where this answer already holds every entry of it.
pub const fn dir_holding<T: Object>(
    name: &'static str,
    entries: fn(&T) -> Holding<T::Id>,
) -> Leaf<T> {
    row(name, Shows::Holding(entries))
}

impl<T: Object> Leaf<T> {
    /// The content of an [`own`] file where an answer about the object tells it already.
    pub const fn known(mut self, content: fn(&T) -> Option<Content>) -> Self {
        if let Shows::Own { read, .. } = self.shows {
            self.shows = Shows::Own { read, known: Some(content) };
        }
        self
    }

    /// Found by its name and not listed, so that a walk does not pay for it.
    pub const fn unlisted(mut self) -> Self {
        self.unlisted = true;
        self
    }

    /// Never changes while the object exists.
    pub const fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }

    /// No event tells of its changes while `condition` holds: asked again at each open.
    pub const fn volatile_while(mut self, condition: fn(&T) -> bool) -> Self {
        self.volatile = Some(condition);
        self
    }

    /// Grows with no event while `stream` answers where from: the host listens to that, and reads the
    /// file only where the service refuses the stream.
    pub const fn growing(mut self, stream: fn(&T) -> Option<Growing>) -> Self {
        self.growing = Some(stream);
        self
    }

    /// There only where `condition` holds, which every answer can tell.
    pub const fn present_if(mut self, condition: fn(&T) -> bool) -> Self {
        self.present = Some(condition);
        self
    }

    /// Changes with `whole` and not with the object: an event about `whole` covers it.
    pub const fn part_of(mut self, whole: fn(&T) -> T::Id) -> Self {
        self.part_of = Some(whole);
        self
    }

    fn is_volatile(&self, object: &T) -> bool {
        let volatile = || self.volatile.is_some_and(|condition| condition(object));
        !self.immutable && (volatile() || self.stream(object).is_some())
    }

    fn stream(&self, object: &T) -> Option<Growing> {
        self.growing.and_then(|growing| growing(object))
    }

    fn node(&self, of: &Whole<'_, T>, id: String, name: String, content: Option<Body>) -> Node {
        let coherence = match self.immutable {
            true => Coherence::Immutable,
            false if self.is_volatile(of.object) => Coherence::Volatile,
            false => of.coherence.clone(),
        };
        let whole = self.part_of.map(|whole| whole(of.object).encode());
        Node {
            id,
            name,
            kind: Kind::File,
            size: content.as_ref().and_then(length),
            modified: of.modified,
            version: None,
            content,
            coherence,
            part_of: whole.or_else(|| Some(of.id.clone())),
            complete: false,
        }
    }

    /// The leaf's node, and what it is known to hold in `offers`.
    fn nodes(&self, of: &Whole<'_, T>, offers: &mut Vec<Offer>) -> Node {
        let object = of.object;
        let id = || id::leaf(&of.id, self.name, None);
        let node = |content: Option<Body>| self.node(of, id(), self.name.to_owned(), content);
        let file = |content: Option<Content>| node(content.map(|content| Body::Held(content.0)));
        let mut directory = |map: Option<Map>| {
            if let Some(map) = map {
                let children = map.into_iter().map(|(key, content)| {
                    let id = id::leaf(&of.id, self.name, Some(&key));
                    self.node(of, id, name::escape(&key), Some(Body::Held(content.0)))
                });
                offers.push(Offer::whole(id(), children.collect()));
            }
            Node { kind: Kind::Directory, complete: true, ..file(None) }
        };
        match self.shows {
            Shows::File(value) => file(Some(value(object))),
            Shows::Detail(value) => file(value(object)),
            Shows::Own { known, .. } => {
                let known = known.and_then(|known| known(object));
                let held = known.map(|content| Body::Held(content.0));
                node(held.or_else(|| self.stream(object).map(Body::Growing)))
            }
            Shows::Map(value) => directory(Some(value(object))),
            Shows::DetailMap(value) => directory(value(object)),
            Shows::Directory(id) => Entry::directory(self.name, id(object)).into_node(offers),
            Shows::Holding(entries) => {
                let (id, entries) = entries(object);
                Entry::holding(self.name, id, entries).into_node(offers)
            }
        }
    }
}

/// What the leaves of an object have in common.
struct Whole<'a, T> {
    object: &'a T,
    id: String,
    modified: Option<u64>,
    coherence: Coherence,
}

impl<'a, T: Object> Whole<'a, T> {
    fn of(object: &'a T) -> Self {
        let (modified, coherence) = (object.modified(), object.coherence());
        Whole { object, id: object.id().encode(), modified, coherence }
    }
}

/// Every leaf of an object, and what their directories are known to hold.
pub(crate) struct Leaves {
    pub id: String,
    pub nodes: Vec<Node>,
    /// Those that no listing shows.
    unlisted: Vec<Node>,
    pub offers: Vec<Offer>,
}

impl Leaves {
    pub fn of<T: Object>(object: &T) -> Self {
        let (of, mut offers) = (Whole::of(object), Vec::new());
        let present =
            || T::LEAVES.iter().filter(|leaf| leaf.present.is_none_or(|present| present(object)));
        // No more room than they take: a listing holds thousands of these.
        let mut nodes = Vec::with_capacity(present().count());
        let mut unlisted = Vec::new();
        for leaf in present() {
            let node = leaf.nodes(&of, &mut offers);
            (if leaf.unlisted { &mut unlisted } else { &mut nodes }).push(node);
        }
        Leaves { id: of.id, nodes, unlisted, offers }
    }

    fn named(&self, name: &str) -> Result<Node> {
        let mut all = self.nodes.iter().chain(&self.unlisted);
        all.find(|node| node.name == name).cloned().ok_or(Error::NotFound)
    }

    /// What the host is offered of them.
    pub fn into_offers(self) -> Vec<Offer> {
        Offer::above(Offer::whole(self.id, self.nodes), self.offers)
    }

    fn send(self) {
        self.into_offers().into_iter().for_each(Offer::send);
    }

    /// The entries of a map.
    fn map(&self, leaf: &str) -> Result<Vec<Node>> {
        let id = id::leaf(&self.id, leaf, None);
        let offer = self.offers.iter().find(|offer| offer.parent == id);
        offer.map(|offer| offer.children.clone()).ok_or(Error::NotFound)
    }
}

/// Hands the host the contents of leaves that a request of their own brought along. Leaves that are
/// volatile at this moment are not offered: nobody could say how long they hold.
pub fn offer_leaves<T: Object>(
    object: &T,
    contents: impl IntoIterator<Item = (&'static str, Content)>,
) {
    let contents: Vec<_> = contents.into_iter().collect();
    let of = Whole::of(object);
    let children = T::LEAVES.iter().filter_map(|leaf| {
        let (_, content) = contents.iter().find(|(name, _)| *name == leaf.name)?;
        let fixed = leaf.immutable
            || !leaf.is_volatile(object) && !matches!(of.coherence, Coherence::Volatile);
        let node = || {
            let id = id::leaf(&of.id, leaf.name, None);
            let content = Body::Held(content.0.clone());
            leaf.node(&of, id, leaf.name.to_owned(), Some(content))
        };
        fixed.then(node)
    });
    let children: Vec<_> = children.collect();
    if !children.is_empty() {
        Offer::new(of.id, children, false).send();
    }
}

/// An object that has not been asked for yet.
pub(crate) trait AnyObject<I> {
    fn list(self: Box<Self>) -> Result<Vec<Node>>;
    fn lookup(self: Box<Self>, name: &str) -> Result<Node>;
    fn list_map(self: Box<Self>, leaf: &str) -> Result<Vec<Node>>;
    fn lookup_map(self: Box<Self>, leaf: &str, name: &str) -> Result<Node>;
    fn read(self: Box<Self>, id: &I, leaf: &str, key: Option<&str>) -> Result<Vec<u8>>;
    /// Whether a listing shows every leaf.
    fn is_complete(&self) -> bool;
}

pub(crate) struct Fetched<T, F> {
    fetch: F,
    object: PhantomData<T>,
}

impl<T: Object, F: FnOnce() -> Result<T>> Fetched<T, F> {
    pub fn new(fetch: F) -> Self {
        Fetched { fetch, object: PhantomData }
    }

    fn leaves(self) -> Result<Leaves> {
        Ok(Leaves::of(&(self.fetch)()?))
    }
}

fn named(nodes: &[Node], name: &str) -> Result<Node> {
    nodes.iter().find(|node| node.name == name).cloned().ok_or(Error::NotFound)
}

impl<T: Object, F: FnOnce() -> Result<T>> AnyObject<T::Id> for Fetched<T, F> {
    fn list(self: Box<Self>) -> Result<Vec<Node>> {
        let leaves = self.leaves()?;
        leaves.offers.into_iter().for_each(Offer::send);
        Ok(leaves.nodes)
    }

    fn lookup(self: Box<Self>, name: &str) -> Result<Node> {
        if !T::LEAVES.iter().any(|leaf| leaf.name == name) {
            return Err(Error::NotFound);
        }
        let leaves = self.leaves()?;
        let node = leaves.named(name);
        leaves.send();
        node
    }

    fn list_map(self: Box<Self>, leaf: &str) -> Result<Vec<Node>> {
        let leaves = self.leaves()?;
        let entries = leaves.map(leaf);
        leaves.send();
        entries
    }

    fn lookup_map(self: Box<Self>, leaf: &str, name: &str) -> Result<Node> {
        named(&self.list_map(leaf)?, name)
    }

    fn read(self: Box<Self>, id: &T::Id, leaf: &str, key: Option<&str>) -> Result<Vec<u8>> {
        let row = T::LEAVES.iter().find(|row| row.name == leaf).ok_or(Error::NotFound)?;
        if let Shows::Own { read, .. } = row.shows {
            return Ok(read(id)?.0);
        }
        let leaves = self.leaves()?;
        let id = id::leaf(&leaves.id, leaf, key);
        let node = match key {
            Some(_) => leaves.map(leaf)?.into_iter().find(|node| node.id == id),
            None => leaves.named(leaf).ok(),
        };
        leaves.send();
        let missing = || Error::Invalid(format!("the full answer for {id} does not hold it"));
        match node.ok_or(Error::NotFound)?.content {
            Some(Body::Held(bytes)) => Ok(bytes),
            _ => Err(missing()),
        }
    }

    fn is_complete(&self) -> bool {
        !T::LEAVES.iter().any(|leaf| leaf.unlisted)
    }
}
