//! Entries of a listing, and their way to the host.

use crate::bindings::service::omnifs::provider::preload::Coverage;
use crate::bindings::service::omnifs::provider::types::{Body, Coherence, Growing, Kind, Node};
use crate::http::Source;
use crate::items::{self, Items, Odd};
use crate::object::{Leaves, Object};
use crate::shape::{Inner, Tree};
use crate::{Content, Error, Result, host, name};
use std::collections::BTreeMap;

/// One entry: a name as the service writes it (the SDK escapes it), and what it shows.
#[derive(Debug)]
pub struct Entry<I> {
    name: String,
    tie: Option<String>,
    id: I,
    kind: Kind,
    size: Option<u64>,
    modified: Option<u64>,
    version: Option<String>,
    content: Option<Body>,
    coherence: Option<Coherence>,
    part_of: Option<String>,
    offers: Vec<Offer>,
}

/// Entries of another directory.
#[derive(Debug)]
pub(crate) struct Offer {
    pub parent: String,
    pub children: Vec<Node>,
    pub coverage: Coverage,
}

impl Offer {
    pub fn new(parent: String, children: Vec<Node>, whole: bool) -> Self {
        let coverage = if whole { Coverage::Whole } else { Coverage::Part };
        Offer { parent, children, coverage }
    }

    /// What a listing says of its directory, and of those below.
    pub fn of<I: Tree>(directory: &I, listing: Listing<I>) -> Vec<Offer> {
        let whole = listing.note().is_none();
        let (children, below) = nodes(listing.entries);
        Offer::above(Offer::new(directory.encode(), children, whole), below)
    }

    pub fn whole(parent: String, children: Vec<Node>) -> Self {
        Offer::new(parent, children, true)
    }

    /// The order in which offers are sent: a directory before those in it, because the host keeps
    /// entries of directories that it knows.
    pub fn above(parent: Offer, below: Vec<Offer>) -> Vec<Offer> {
        std::iter::once(parent).chain(below).collect()
    }

    pub fn send(self) {
        host::offer(&self.parent, &self.children, self.coverage);
    }
}

impl<I: Tree> Entry<I> {
    fn new(name: impl Into<String>, id: I, kind: Kind) -> Self {
        Entry {
            name: name.into(),
            tie: None,
            id,
            kind,
            size: None,
            modified: None,
            version: None,
            content: None,
            coherence: None,
            part_of: None,
            offers: Vec::new(),
        }
    }

    /// A directory. Whether its listing is complete comes from its shape.
    pub fn directory(name: impl Into<String>, id: I) -> Self {
        Entry::new(name, id, Kind::Directory)
    }

    /// An entry that is part of the program. Which object a fixed name shows never changes, so a fixed
    /// directory is immutable; a file keeps its id's own coherence.
    pub fn fixed((name, id): (&'static str, I)) -> Self {
        let file = matches!(id.clone().shape().0, Inner::File(_));
        Entry::new(name, id, if file { Kind::File } else { Kind::Directory })
    }

    /// A directory with every entry it has, known from this answer: `preload.offer` with coverage
    /// `whole`, or `part` where one of them could not be read.
    pub fn holding(name: impl Into<String>, id: I, entries: impl Into<Listing<I>>) -> Self {
        let mut entry = Entry::directory(name, id);
        entry.offers = Offer::of(&entry.id, entries.into());
        entry
    }

    /// An object's directory. Every leaf that `object` holds is offered with it.
    pub fn object<T: Object<Id = I>>(name: impl Into<String>, object: &T) -> Self {
        let mut entry = Entry::directory(name, object.id());
        entry.modified = object.directory_modified();
        entry.coherence = Some(object.coherence());
        entry.offers = Leaves::of(object).into_offers();
        entry
    }

    /// A regular file.
    pub fn file(name: impl Into<String>, id: I) -> Self {
        Entry::new(name, id, Kind::File)
    }

    /// A file with the execute bits.
    pub fn executable(name: impl Into<String>, id: I) -> Self {
        Entry::new(name, id, Kind::Executable)
    }

    /// A symbolic link. Its target is the content of `id`.
    pub fn symlink(name: impl Into<String>, id: I) -> Self {
        Entry::new(name, id, Kind::Symlink)
    }

    /// The content, and with it the size.
    pub fn content(mut self, content: Content) -> Self {
        self.content = Some(Body::Held(content.0));
        self
    }

    /// Where the content is, in place of the content: the host reads pieces of it. See `wit/types.wit`.
    /// Every listing and lookup of the file says so, and says the same.
    pub fn at(mut self, source: Source) -> Self {
        self.content = source.into_wire().map(Body::At);
        self
    }

    /// A content that only grows, and with no event: the host listens to this stream, and reads the file only where
    /// the service refuses it. See [`Leaf::growing`](crate::Leaf::growing).
    pub fn growing(mut self, stream: Option<Growing>) -> Self {
        if let Some(stream) = stream {
            self.content = Some(Body::Growing(stream));
            self.coherence = Some(Coherence::Volatile);
        }
        self
    }

    /// The exact size in bytes as the service says it.
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Last change in milliseconds since the Unix epoch, as the service says it.
    pub fn modified(mut self, ms: Option<u64>) -> Self {
        self.modified = ms;
        self
    }

    /// The service's token for this content: equal versions mean equal bytes.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Another coherence than the id's own.
    pub fn coherence(mut self, coherence: Coherence) -> Self {
        self.coherence = Some(coherence);
        self
    }

    /// An event about `whole` covers this entry too.
    pub fn part_of(mut self, whole: &I) -> Self {
        self.part_of = Some(whole.encode());
        self
    }

    /// Where the service lets two objects have one name, what tells this one from another: the
    /// first keeps the name, the others show as `NAME@TIE`. A directory with ties is a
    /// [`listing`](crate::listing), not searchable.
    pub fn tie(mut self, tie: impl Into<String>) -> Self {
        self.tie = Some(tie.into());
        self
    }

    /// The directories whose entries came along.
    pub(crate) fn offered(&self) -> impl Iterator<Item = &str> {
        self.offers.iter().map(|offer| offer.parent.as_str())
    }

    /// The name as the service writes it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The wire form under its escaped name; the offers that came along are moved to `offers`.
    pub(crate) fn into_node(self, offers: &mut Vec<Offer>) -> Node {
        let (id, name) = (self.id.encode(), name::escape(&self.name));
        self.named(id, name, offers)
    }

    /// The same, where its id and its escaped name are at hand.
    fn named(self, id: String, name: String, offers: &mut Vec<Offer>) -> Node {
        let directory = matches!(self.kind, Kind::Directory);
        let (fixed, complete) = match directory.then(|| self.id.clone().shape().0) {
            Some(Inner::Fixed(_)) => (true, true),
            Some(Inner::Listing { open_ended, .. }) => (false, !open_ended),
            Some(Inner::Object(object)) => (false, object.is_complete()),
            Some(Inner::File(_)) | None => (false, false),
        };
        let own = if fixed { Coherence::Immutable } else { self.id.coherence() };
        let whole = || self.id.whole().map(|whole| whole.encode());
        let part_of = self.part_of.or_else(whole);
        offers.extend(self.offers);
        Node {
            id,
            name,
            kind: self.kind,
            size: self.content.as_ref().and_then(length).or(self.size),
            modified: self.modified,
            version: self.version,
            content: self.content,
            coherence: self.coherence.unwrap_or(own),
            part_of,
            complete,
        }
    }
}

/// The size of a content, where it is known.
pub(crate) fn length(body: &Body) -> Option<u64> {
    match body {
        Body::Held(bytes) => Some(bytes.len() as u64),
        Body::At(source) => Some(source.length),
        Body::Growing(_) => None,
    }
}

/// The entries of a directory.
#[derive(Debug)]
pub struct Listing<I> {
    pub(crate) entries: Vec<Entry<I>>,
    /// Why it stops short.
    bound: Option<String>,
    /// What is left out of it, or shown with less, because the service's answer is not as expected.
    pub(crate) odd: Vec<Odd>,
}

impl<I> From<Vec<Entry<I>>> for Listing<I> {
    fn from(entries: Vec<Entry<I>>) -> Self {
        Listing { entries, bound: None, odd: Vec::new() }
    }
}

impl<I> From<Items<Entry<I>>> for Listing<I> {
    fn from(items: Items<Entry<I>>) -> Self {
        let (entries, odd) = items.into_parts();
        Listing { entries, bound: None, odd }
    }
}

impl<I> Listing<I> {
    /// A listing that stops short. `note` says in one line which entries it shows and which setting
    /// raises the bound. The directory's shape must be [`open_ended`](crate::open_ended).
    pub fn partial(entries: impl Into<Listing<I>>, note: impl Into<String>) -> Self {
        Listing { bound: Some(note.into()), ..entries.into() }
    }

    /// Says of other items, too, that they are not as expected: those of a list that the entries
    /// were made with.
    pub fn noting<T>(mut self, others: &Items<T>) -> Self {
        self.odd.extend_from_slice(others.odd());
        self
    }

    /// With more entries, which count to no bound.
    pub fn and(mut self, more: impl IntoIterator<Item = Entry<I>>) -> Self {
        self.entries.extend(more);
        self
    }

    /// Whether it does not show all there is, those that cannot be read aside.
    pub(crate) fn stops_short(&self) -> bool {
        self.bound.is_some()
    }

    /// What `omnifs status` says of it, where it is not all there is.
    pub(crate) fn note(&self) -> Option<String> {
        let notes: Vec<String> =
            self.bound.clone().into_iter().chain(items::note(&self.odd)).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// The note of those that are left out, whose names nobody knows.
    pub(crate) fn missing(&self) -> Option<String> {
        let missing: Vec<Odd> = self.odd.iter().filter(|odd| !odd.shown).cloned().collect();
        items::note(&missing)
    }
}

/// The wire form of a listing, each name once, with the offers that came along.
pub(crate) fn nodes<I: Tree>(entries: Vec<Entry<I>>) -> (Vec<Node>, Vec<Offer>) {
    let mut offers = Vec::new();
    // Where the node of each name is.
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut nodes: Vec<Node> = Vec::with_capacity(entries.len());
    for mut entry in entries {
        let (plain, id) = (entry.name.clone(), entry.id.encode());
        let tie = entry.tie.take().unwrap_or_default();
        let mut again = 1;
        let shown = loop {
            let shown = name::escape(&entry.name);
            match taken.get(&shown) {
                None => break Some(shown),
                // The same object under the same name says nothing new.
                Some(at) if nodes[*at].id == id => break None,
                Some(_) => {}
            }
            entry.name = match again {
                1 if !tie.is_empty() => format!("{plain}@{tie}"),
                n => format!("{plain}@{tie}{}{n}", if tie.is_empty() { "" } else { "@" }),
            };
            again += 1;
        };
        if let Some(shown) = shown {
            taken.insert(shown.clone(), nodes.len());
            nodes.push(entry.named(id, shown, &mut offers));
        }
    }
    (nodes, offers)
}

/// The wire form of one entry that was asked by `name`.
pub(crate) fn found<I: Tree>(entry: Entry<I>, name: &str) -> Result<(Node, Vec<Offer>)> {
    if name::escape(entry.name()) != name {
        return Err(Error::NotFound);
    }
    let mut offers = Vec::new();
    Ok((entry.into_node(&mut offers), offers))
}
