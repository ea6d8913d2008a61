//! A host in small: walks paths, keeps what it is given, checks the contract.

use super::host::{self, Trace};
use super::recorded::{self, Recorded};
use crate::bindings::service::omnifs::provider::types::Source;
use crate::component::Provider;
use crate::entry::length;
use crate::events::{Change, Changes, Delivery, Position, Progress};
use crate::manifest::Feed;
use crate::{Body, Coherence, Error, Kind, Node, NodeId, Result, serve};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

/// A provider instance as a test sees it. Paths are relative to the instance's directory; `""` is
/// that directory.
pub struct Mount<P> {
    state: RefCell<State>,
    provider: PhantomData<P>,
}

#[derive(Debug, Default)]
struct State {
    upstream: Recorded,
    cache: Cache,
    requests: Vec<String>,
    partials: Vec<(String, u32, String)>,
    log: Vec<String>,
    /// The feeds that are not connected.
    down: BTreeSet<&'static str>,
}

/// What was answered and offered, until an event says otherwise.
#[derive(Debug, Default)]
struct Cache {
    nodes: BTreeMap<String, Node>,
    listings: BTreeMap<String, Entries>,
}

/// The known entries of a directory, name to id.
#[derive(Debug, Default)]
struct Entries {
    whole: bool,
    /// The answer said that it stops short: names beyond it are found by lookup.
    partial: bool,
    ids: BTreeMap<String, String>,
}

impl<P> fmt::Debug for Mount<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("state", &self.state).finish()
    }
}

/// Feeds are connected from the start. What a connected feed covers is served as the host would:
/// without asking, until an event tells of it.
impl<P: Provider> Mount<P> {
    pub fn new(upstream: Recorded) -> Self {
        let state = State { upstream, ..State::default() };
        Mount { state: RefCell::new(state), provider: PhantomData }
    }

    /// The names in a directory, sorted.
    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        let id = self.walk(path)?;
        let mut names: Vec<_> = self.children(&id)?.into_iter().map(|node| node.name).collect();
        names.sort();
        Ok(names)
    }

    /// The text of a file or the target of a symlink.
    pub fn read(&self, path: &str) -> Result<String> {
        let bytes = self.read_bytes(path)?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|_| panic!("{path} is not UTF-8")))
    }

    /// The bytes of a file.
    pub fn read_bytes(&self, path: &str) -> Result<Vec<u8>> {
        let id = self.walk(path)?;
        self.content(&id)
    }

    /// The entry as it was last answered or offered.
    pub fn stat(&self, path: &str) -> Result<Node> {
        let id = self.walk(path)?;
        let node = self.state.borrow().cache.nodes.get(&id).cloned();
        Ok(node.unwrap_or_else(|| panic!("the instance's own directory has no entry")))
    }

    /// Every file below `path` with its content, as `grep -r` would read them.
    pub fn read_all(&self, path: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut files = BTreeMap::new();
        let mut open = vec![(path.to_owned(), self.walk(path)?)];
        while let Some((path, id)) = open.pop() {
            for node in self.children(&id)? {
                let path =
                    if path.is_empty() { node.name } else { format!("{path}/{}", node.name) };
                match node.kind {
                    Kind::Directory => open.push((path, node.id)),
                    _ => drop(files.insert(path, self.content(&node.id)?)),
                }
            }
        }
        Ok(files)
    }

    /// The requests since the last call of this, as `GET /path?query`, and statements, as `rows(albums, 10)`.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.borrow_mut().requests)
    }

    /// The listings that stopped short: directory id, entries shown, note.
    pub fn partials(&self) -> Vec<(String, u32, String)> {
        self.state.borrow().partials.clone()
    }

    /// Lines that were logged, as `warn: message`.
    pub fn log(&self) -> Vec<String> {
        self.state.borrow().log.clone()
    }

    /// From now on the service answers like this.
    pub fn upstream_changes(&self, to: Recorded) {
        self.state.borrow_mut().upstream.update(to);
    }

    /// The feed of this name loses its connection: what no other one covers is asked for at each use.
    pub fn down(&self, feed: &str) {
        let feed = feed_of::<P>(feed);
        self.state.borrow_mut().down.insert(feed.name);
    }

    /// It is connected again, and what was asked before is asked for anew.
    pub fn up(&self, feed: &str) {
        let feed = feed_of::<P>(feed);
        let state = &mut *self.state.borrow_mut();
        state.down.remove(feed.name);
        state.cache.drop_nodes(
            |node| matches!(&node.coherence, Coherence::Scoped(scope) if feed.covers(scope)),
        );
    }

    /// Whether what was answered may be served without asking.
    fn holds(&self, node: &Node) -> bool {
        let down = &self.state.borrow().down;
        let mut feeds = P::manifest().feeds.iter().filter(|feed| !down.contains(feed.name));
        match &node.coherence {
            Coherence::Scoped(scope) => feeds.any(|feed| feed.covers(scope)),
            _ => true,
        }
    }

    /// As [`holds`](Self::holds), of what is known by its id. The root belongs to the host.
    fn is_held(&self, id: &str) -> bool {
        let node = self.state.borrow().cache.nodes.get(id).cloned();
        node.is_none_or(|node| self.holds(&node))
    }

    /// A directory whose listing is asked for at each open.
    fn is_volatile(&self, id: &str) -> bool {
        let state = self.state.borrow();
        let node = state.cache.nodes.get(id);
        node.is_some_and(|node| matches!(node.coherence, Coherence::Volatile))
    }

    /// The path and query that open a push stream.
    pub fn open(&self, position: &Position) -> Result<String> {
        Ok(self.call(|| P::open(position))?.path().to_owned())
    }

    /// One line of a push stream; its changes are applied.
    pub fn line(&self, position: &Position, line: &str) -> Result<Progress> {
        let progress = self.call(|| P::line(position, line.as_bytes()))?;
        self.apply(&progress.changes);
        Ok(progress)
    }

    /// One poll; its changes are applied.
    pub fn poll(&self, position: &Position) -> Result<Progress> {
        let progress = self.call(|| P::poll(position))?;
        self.apply(&progress.changes);
        Ok(progress)
    }

    /// One webhook delivery; its changes are applied.
    pub fn deliver(&self, delivery: &Delivery) -> Result<Changes> {
        let changes = self.call(|| P::deliver(delivery))?;
        self.apply(&changes);
        Ok(changes)
    }

    /// Does what the host does with changes: forgets what they cover.
    pub fn apply(&self, changes: &Changes) {
        let cache = &mut self.state.borrow_mut().cache;
        for change in &changes.0 {
            match change {
                Change::ChildrenChanged(id) => drop(cache.listings.remove(id)),
                Change::Invalidated(id) | Change::Removed(id) => cache.forget(id),
                Change::Gap(scope) => cache.forget_scope(scope),
            }
        }
    }

    fn walk(&self, path: &str) -> Result<String> {
        let mut id = P::ROOT.encode();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            id = self.child(&id, name)?;
        }
        Ok(id)
    }

    fn child(&self, parent: &str, name: &str) -> Result<String> {
        let known = self.state.borrow().cache.child(parent, name);
        let held = |id: &String| self.is_held(id);
        if let Some(known) = known
            && known.as_ref().map_or_else(|_| self.is_held(parent), held)
        {
            return known;
        }
        let node = self.call(|| serve::lookup_child::<P::Id>(parent, name))?;
        assert_eq!(node.name, name, "a lookup must answer the name it was asked for");
        let id = node.id.clone();
        check_coverage::<P>(&node);
        self.state.borrow_mut().cache.keep(parent, vec![node], false);
        Ok(id)
    }

    fn children(&self, parent: &str) -> Result<Vec<Node>> {
        let known = self.state.borrow().cache.children(parent);
        if let Some(known) = known.filter(|_| self.is_held(parent) && !self.is_volatile(parent)) {
            return Ok(known);
        }
        let before = self.state.borrow().partials.len();
        let nodes = self.call(|| serve::list_children::<P::Id>(parent))?;
        nodes.iter().for_each(check_coverage::<P>);
        let state = &mut *self.state.borrow_mut();
        state.cache.keep(parent, nodes.clone(), true);
        if let Some(entries) = state.cache.listings.get_mut(parent) {
            entries.partial = state.partials[before..].iter().any(|(id, ..)| id == parent);
        }
        Ok(nodes)
    }

    fn content(&self, id: &str) -> Result<Vec<u8>> {
        let known = self.state.borrow().cache.nodes.get(id).cloned();
        let settled =
            known.filter(|node| !matches!(node.coherence, Coherence::Volatile) && self.holds(node));
        match settled.as_ref().and_then(|node| node.content.clone()) {
            Some(Body::Held(bytes)) => return Ok(bytes),
            Some(Body::At(source)) => return self.whole(id, &source),
            Some(Body::Growing(_)) => {
                panic!("the host reads {id} by itself: look at its node")
            }
            None => {}
        }
        let content = self.call(|| serve::read_file::<P::Id>(id))?;
        if let Some(size) = settled.and_then(|node| node.size) {
            let held = content.len() as u64;
            assert_eq!(size, held, "{id} was said to hold another number of bytes than it does");
        }
        if let Some(node) = self.state.borrow_mut().cache.nodes.get_mut(id) {
            node.size = Some(content.len() as u64);
            node.content = Some(Body::Held(content.clone()));
        }
        Ok(content)
    }

    /// What the host reads in pieces.
    fn whole(&self, id: &str, source: &Source) -> Result<Vec<u8>> {
        let answer = self.call(|| crate::host::fetch(&source.request))?;
        assert!(matches!(answer.status, 200 | 206), "{id}: {}", answer.status);
        let end = source.offset + source.length;
        let place = |at: u64| usize::try_from(at).ok();
        let range = place(source.offset).zip(place(end)).map(|(from, to)| from..to);
        let content = range.and_then(|range| answer.body.get(range));
        let content = content.unwrap_or_else(|| panic!("{id} is shorter than it was said to be"));
        Ok(content.to_vec())
    }

    fn call<T>(&self, call: impl FnOnce() -> T) -> T {
        let mut state = self.state.borrow_mut();
        let (value, trace) = host::run(P::manifest(), &mut state.upstream, call);
        let Trace { requests, queries, offers, contents, partials, log } = trace;
        state.requests.extend(requests.iter().map(recorded::line));
        state.requests.extend(queries);
        state.partials.extend(partials);
        state.log.extend(log);
        for (parent, nodes, whole) in offers {
            nodes.iter().for_each(check_coverage::<P>);
            state.cache.keep(&parent, nodes, whole);
        }
        for (id, bytes) in contents {
            state.cache.keep_content(&id, bytes);
        }
        value
    }
}

impl Cache {
    /// `None` where nothing is known of the name.
    fn child(&self, parent: &str, name: &str) -> Option<Result<String>> {
        let entries = self.listings.get(parent)?;
        match entries.ids.get(name).filter(|id| self.nodes.contains_key(*id)) {
            Some(id) => Some(Ok(id.clone())),
            None if entries.ids.contains_key(name) => None,
            None if entries.whole && !entries.partial && self.is_complete(parent) => {
                Some(Err(Error::NotFound))
            }
            None => None,
        }
    }

    fn is_complete(&self, directory: &str) -> bool {
        self.nodes.get(directory).is_some_and(|node| node.complete)
    }

    fn children(&self, parent: &str) -> Option<Vec<Node>> {
        let entries = self.listings.get(parent).filter(|entries| entries.whole)?;
        let node = |(name, id): (&String, &String)| {
            Some(Node { name: name.clone(), ..self.nodes.get(id)?.clone() })
        };
        entries.ids.iter().map(node).collect()
    }

    fn keep(&mut self, parent: &str, nodes: Vec<Node>, whole: bool) {
        let mut names = BTreeSet::new();
        for node in &nodes {
            check(node);
            assert!(names.insert(&node.name), "{parent} lists {:?} twice", node.name);
        }
        let entries = self.listings.entry(parent.to_owned()).or_default();
        if whole {
            *entries = Entries { whole: true, ..Entries::default() };
        }
        for node in nodes {
            entries.ids.insert(node.name.clone(), node.id.clone());
            match self.nodes.get_mut(&node.id) {
                // An answer that holds less does not take away what is known.
                Some(held) if node.content.is_none() && node.size.is_none() => {
                    held.name = node.name
                }
                _ => drop(self.nodes.insert(node.id.clone(), node)),
            }
        }
    }

    /// Only of what is shown already and may be kept.
    fn keep_content(&mut self, id: &str, content: Vec<u8>) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        assert!(!matches!(node.kind, Kind::Directory), "{id} is a directory and has no content");
        if !matches!(node.coherence, Coherence::Volatile) {
            node.size = Some(content.len() as u64);
            node.content = Some(Body::Held(content));
        }
    }

    fn forget(&mut self, id: &str) {
        self.drop_nodes(|node| node.id == id || node.part_of.as_deref() == Some(id));
        self.listings.remove(id);
    }

    fn forget_scope(&mut self, scope: &str) {
        self.drop_nodes(|node| matches!(&node.coherence, Coherence::Scoped(own) if own == scope));
    }

    fn drop_nodes(&mut self, gone: impl Fn(&Node) -> bool) {
        let ids: Vec<_> =
            self.nodes.values().filter(|node| gone(node)).map(|node| node.id.clone()).collect();
        for id in ids {
            self.nodes.remove(&id);
            self.listings.remove(&id);
        }
    }
}

fn feed_of<P: Provider>(name: &str) -> &'static Feed {
    let feed = P::manifest().feeds.iter().find(|feed| feed.name == name);
    feed.unwrap_or_else(|| panic!("the manifest has no feed {name:?}"))
}

/// A scope that no feed covers is never live: everything in it is asked for at each use, for ever.
/// What no event tells of is `volatile()`, and says so.
fn check_coverage<P: Provider>(node: &Node) {
    let Coherence::Scoped(scope) = &node.coherence else { return };
    let covered = P::manifest().feeds.iter().any(|feed| feed.covers(scope));
    assert!(covered, "{} has the scope {scope:?}, which no feed of the manifest covers", node.id);
}

/// What the host checks of every node.
fn check(node: &Node) {
    let Node { id, name, .. } = node;
    assert!(
        !id.is_empty() && id.len() <= 1024,
        "the id {id:?} is empty or longer than 1,024 bytes"
    );
    let plain = !name.is_empty() && name.len() <= 255 && name != "." && name != "..";
    let seen = !name.contains('/') && omnifs_text::hidden(name).next().is_none();
    let clean = seen && !omnifs_text::is_git_directory(name);
    assert!(plain && clean, "{name:?} is no name of an entry");
    if let (Some(size), Some(length)) = (node.size, node.content.as_ref().and_then(length)) {
        assert_eq!(size, length, "the size of {id} is not its content's");
    }
}
