//! The simulated service: objects with all the states they ever had, and a provider over it whose
//! answers the test holds back.

use crate::dice::Dice;
use bytes::Bytes;
use futures_util::FutureExt;
use omnifs::provider::{
    Along, Answer, Body, Cause, Change, Coherence, Delivery, Failure, Kind, Node, Offer, Position,
    Progress, Provider, Reply, Request, ScopedChange, Walk,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;

pub type Id = Arc<str>;
pub type Children = BTreeMap<String, Id>;

pub const ROOT: &str = "root";
pub const SCOPES: [&str; 2] = ["t:0", "t:1"];
/// Objects at a time, so that runs stay small and names meet again.
const MOST: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    Scope(usize),
    Immutable,
    Volatile,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    File(Bytes),
    Directory(Children),
}

#[derive(Debug)]
pub struct Object {
    pub kind: Kind,
    pub cover: Cover,
    pub owner: Option<Id>,
    complete: bool,
    /// Each state with the time from which on it held; `None` once it is deleted.
    pub states: Vec<(u64, Option<State>)>,
    /// When it or what it is part of changed: its version and modified time.
    pub touched: Vec<u64>,
}

impl Object {
    pub fn state(&self) -> Option<&State> {
        self.states.last().and_then(|(_, state)| state.as_ref())
    }

    /// The states it had at any moment from `from` until now.
    pub fn since(&self, from: u64) -> impl Iterator<Item = Option<&State>> {
        let first = self.states.iter().rposition(|(at, _)| *at <= from);
        // Before its first state there was no such object.
        let before = first.is_none().then_some(None);
        let rest = &self.states[first.unwrap_or(0)..];
        before.into_iter().chain(rest.iter().map(|(_, state)| state.as_ref()))
    }

    pub fn deleted(&self) -> bool {
        self.states.last().is_some_and(|(_, state)| state.is_none())
    }

    fn modified(at: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + at)
    }

    /// The modified times it showed at any moment from `from` until now.
    pub fn modified_since(&self, from: u64) -> Vec<SystemTime> {
        let first = self.touched.iter().rposition(|at| *at <= from).unwrap_or(0);
        self.touched[first..].iter().map(|at| Object::modified(*at)).collect()
    }
}

/// How this service answers.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub inline: bool,
    pub sizes: bool,
    pub versions: bool,
    pub modified: bool,
    pub offers: bool,
}

/// A change of the service: which feed (by scope) tells it, and what it tells.
pub type Told = (usize, Change);

#[derive(Debug)]
struct Held {
    go: oneshot::Sender<()>,
}

#[derive(Debug)]
pub struct Tree {
    pub time: u64,
    pub objects: BTreeMap<Id, Object>,
    next: u64,
    dice: Dice,
    style: Style,
    held: Vec<Held>,
    /// Percent of the calls whose answers are held back.
    pub hold: u32,
    /// Percent of the calls that fail, and how.
    pub failing: u32,
    pub faults: u64,
    /// Calls that were told what else is wanted.
    pub walks: u64,
    /// Calls, with the object asked about and for a lookup the name.
    pub calls: Vec<(Id, Call)>,
    /// Answers given that speak of each object.
    pub answers: HashMap<Id, u64>,
    /// What the answer that is being computed speaks of.
    spoken: Vec<Id>,
    /// Calls under way, with the time at which each began.
    under_way: Vec<(u64, Id)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    Lookup(String),
    List,
    Read,
}

#[derive(Debug)]
pub struct Upstream(Mutex<Tree>);

impl Upstream {
    pub fn new(style: Style, mut dice: Dice) -> Arc<Self> {
        let own = Dice::new(dice.next());
        let mut tree = Tree {
            time: 0,
            objects: BTreeMap::new(),
            next: 0,
            dice: own,
            style,
            held: Vec::new(),
            hold: 0,
            failing: 0,
            faults: 0,
            walks: 0,
            calls: Vec::new(),
            answers: HashMap::new(),
            spoken: Vec::new(),
            under_way: Vec::new(),
        };
        tree.put(ROOT.into(), Kind::Directory, Cover::Immutable, None, State::empty());
        for name in ["open", "closed", "all"] {
            let cover = Cover::Scope(dice.below(2));
            let id: Id = format!("view-{name}").into();
            tree.put(id.clone(), Kind::Directory, cover, None, State::empty());
            tree.children(ROOT).insert(name.into(), id);
        }
        for _ in 0..8 {
            tree.change(&mut dice);
        }
        Arc::new(Upstream(Mutex::new(tree)))
    }

    pub fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().expect("no panic under the lock")
    }

    /// Lets a held answer go. False where none is held.
    pub fn release(&self, dice: &mut Dice) -> bool {
        let mut tree = self.tree();
        if tree.held.is_empty() {
            return false;
        }
        let at = dice.below(tree.held.len());
        let _ = tree.held.swap_remove(at).go.send(());
        true
    }

    fn answer<T: Send + 'static>(
        &self,
        id: &str,
        call: Call,
        compute: impl Fn(&mut Tree) -> Result<Answer<T>, Cause> + Send + 'static,
    ) -> Reply<'_, Answer<T>> {
        let mut tree = self.tree();
        tree.calls.push((id.into(), call));
        let (hold, failing) = (tree.hold, tree.failing);
        let fails = tree.dice.percent(failing).then(|| {
            let causes = [Cause::Unavailable, Cause::TimedOut, Cause::RateLimited, Cause::Denied];
            causes[tree.dice.below(causes.len())]
        });
        tree.faults += u64::from(fails.is_some());
        let late = tree.dice.percent(40);
        let gate = tree.dice.percent(hold).then(|| {
            let (go, gone) = oneshot::channel();
            tree.held.push(Held { go });
            gone
        });
        let compute = move |tree: &mut Tree, asked: Id| {
            tree.spoken = vec![asked];
            let result = compute(tree);
            (result, std::mem::take(&mut tree.spoken))
        };
        let asked: Id = id.into();
        let early = (!late && fails.is_none()).then(|| compute(&mut tree, asked.clone()));
        let began = tree.time;
        tree.under_way.push((began, asked.clone()));
        drop(tree);
        async move {
            if let Some(gate) = gate {
                let _ = gate.await;
            }
            let mut tree = self.tree();
            let ends = (began, asked.clone());
            if let Some(at) = tree.under_way.iter().position(|call| *call == ends) {
                tree.under_way.swap_remove(at);
            }
            let (result, spoken) = match (fails, early) {
                (Some(cause), _) => (Err(cause), vec![asked]),
                (None, Some(early)) => early,
                (None, None) => compute(&mut tree, asked),
            };
            for id in spoken {
                *tree.answers.entry(id).or_default() += 1;
            }
            result.map_err(failure)
        }
        .boxed()
    }
}

fn failure(cause: Cause) -> Failure {
    Failure {
        provider: "m".into(),
        cause,
        detail: format!("the simulated service answered {cause:?}"),
        retry_after: None,
    }
}

impl State {
    fn empty() -> State {
        State::Directory(Children::new())
    }
}

impl Tree {
    fn put(&mut self, id: Id, kind: Kind, cover: Cover, owner: Option<Id>, state: State) {
        let (time, complete) = (self.time, !self.dice.percent(20));
        let states = vec![(time, Some(state))];
        let object = Object { kind, cover, owner, complete, states, touched: vec![time] };
        self.objects.insert(id, object);
    }

    fn fresh(&mut self, prefix: &str) -> Id {
        self.next += 1;
        format!("{prefix}{}", self.next).into()
    }

    /// The entries of a directory that exists, to be changed at the present time.
    fn children(&mut self, id: &str) -> &mut Children {
        let time = self.time;
        let object = self.objects.get_mut(id).expect("a directory that exists");
        let state = object.state().cloned();
        if object.states.last().is_some_and(|(at, _)| *at != time) {
            object.states.push((time, state));
            object.touched.push(time);
        }
        match object.states.last_mut() {
            Some((_, Some(State::Directory(children)))) => children,
            other => panic!("{id} is {other:?}"),
        }
    }

    /// The scope whose feed tells of changes of this object.
    fn feed(&self, id: &str) -> usize {
        match self.objects.get(id).map(|object| object.cover) {
            Some(Cover::Scope(scope)) => scope,
            _ => 0,
        }
    }

    fn told(&self, change: Change) -> Told {
        let (Change::Invalidated(id) | Change::Removed(id) | Change::ChildrenChanged(id)) = &change
        else {
            panic!("gaps are the feed's own");
        };
        (self.feed(id), change)
    }

    /// Ids of the directories that exist and whose entries may change.
    fn directories(&self) -> Vec<Id> {
        let open = self.objects.iter().filter(|(_, object)| {
            matches!(object.state(), Some(State::Directory(_))) && object.owner.is_none()
        });
        let fixed = |id: &Id| id.starts_with("issue") || id.starts_with("tree");
        open.map(|(id, _)| id.clone()).filter(|id| !fixed(id)).collect()
    }

    pub fn entries(&self, id: &str) -> Option<&Children> {
        match self.objects.get(id)?.state()? {
            State::Directory(children) => Some(children),
            State::File(_) => None,
        }
    }

    /// Directories that hold the object.
    fn holders(&self, id: &str) -> Vec<(Id, String)> {
        let mut holders = Vec::new();
        for (directory, object) in &self.objects {
            if let Some(State::Directory(children)) = object.state() {
                let names = children.iter().filter(|(_, child)| ***child == *id);
                holders.extend(names.map(|(name, _)| (directory.clone(), name.clone())));
            }
        }
        holders
    }

    fn text(&mut self) -> Bytes {
        // Lengths repeat, so that another content of the same size is common.
        let length = [3, 3, 9, 40][self.dice.below(4)];
        let number = self.time * 1000 + self.dice.below(1000) as u64;
        Bytes::from(format!("{number:0length$}"))
    }

    fn content(&mut self, id: &str, content: Bytes) -> Vec<Told> {
        let time = self.time;
        let Some(object) = self.objects.get_mut(id) else { return Vec::new() };
        object.states.push((time, Some(State::File(content))));
        let named = object.owner.clone().unwrap_or_else(|| id.into());
        if let Cover::Volatile = object.cover {
            object.touched.push(time);
            return Vec::new();
        }
        self.touch(&named);
        vec![self.told(Change::Invalidated(named))]
    }

    /// Moves the version of an object and of all that is part of it.
    fn touch(&mut self, whole: &Id) {
        let time = self.time;
        for (id, object) in &mut self.objects {
            if (id == whole || object.owner.as_ref() == Some(whole)) && !object.deleted() {
                object.touched.push(time);
            }
        }
    }

    fn delete(&mut self, id: &Id) -> Vec<Told> {
        let mut told = vec![self.told(Change::Removed(id.clone()))];
        for (directory, name) in self.holders(id) {
            // What is part of it goes with it.
            self.children(&directory).remove(&name);
            told.push(self.told(Change::ChildrenChanged(directory)));
        }
        let time = self.time;
        for (known, object) in &mut self.objects {
            if (known == id || object.owner.as_ref() == Some(id)) && !object.deleted() {
                object.states.push((time, None));
            }
        }
        told
    }

    fn name(&mut self) -> String {
        format!("n{}", self.dice.below(7))
    }

    /// Something happens at the service.
    pub fn change(&mut self, dice: &mut Dice) -> Vec<Told> {
        self.time += 1;
        self.dice = Dice::new(dice.next());
        let directories = self.directories();
        let directory = dice.pick(&directories).cloned().expect("the root is always there");
        let name = self.name();
        let living = self.objects.values().filter(|object| !object.deleted()).count();
        let files: Vec<Id> = self
            .objects
            .iter()
            .filter(|(_, o)| {
                o.cover != Cover::Immutable && matches!(o.state(), Some(State::File(_)))
            })
            .map(|(id, _)| id.clone())
            .collect();
        let entries: Vec<(String, Id)> = self
            .entries(&directory)
            .map(|children| children.iter().map(|(n, id)| (n.clone(), id.clone())).collect())
            .unwrap_or_default();
        let free = !entries.iter().any(|(known, _)| *known == name);
        match dice.below(20) {
            0..=7 => match dice.pick(&files).cloned() {
                Some(file) => {
                    let text = self.text();
                    self.content(&file, text)
                }
                None => Vec::new(),
            },
            8..=11 if free && living < MOST => self.create(&directory, &name, dice),
            12..=13 if free => match dice.pick(&entries).cloned() {
                // A retitle.
                Some((from, id)) => {
                    let children = self.children(&directory);
                    children.remove(&from);
                    children.insert(name, id);
                    vec![self.told(Change::ChildrenChanged(directory))]
                }
                None => Vec::new(),
            },
            14..=16 => {
                // Moves to another directory, or shows there as well.
                let Some(to) = dice.pick(&directories).cloned() else { return Vec::new() };
                let Some((from, id)) = dice.pick(&entries).cloned() else { return Vec::new() };
                // Nothing shows twice in one directory.
                let taken = self.entries(&to).is_some_and(|children| {
                    children.contains_key(&name) || children.values().any(|child| *child == id)
                });
                if taken || to == directory || &*id == ROOT || self.reaches(&id, &to) {
                    return Vec::new();
                }
                let mut told = Vec::new();
                if dice.percent(70) {
                    self.children(&directory).remove(&from);
                    told.push(self.told(Change::ChildrenChanged(directory)));
                }
                self.children(&to).insert(name, id);
                told.push(self.told(Change::ChildrenChanged(to)));
                told
            }
            17 => match dice.pick(&entries).cloned() {
                Some((from, _)) => {
                    self.children(&directory).remove(&from);
                    vec![self.told(Change::ChildrenChanged(directory))]
                }
                None => Vec::new(),
            },
            _ => match dice.pick(&entries).cloned() {
                Some((name, id)) if !id.starts_with("view") => {
                    let holds = self.entries(&id).is_some_and(|c| !c.is_empty());
                    if holds && !id.starts_with("issue") || self.cover(&id) == Cover::Immutable {
                        return Vec::new();
                    }
                    let mut told = self.delete(&id);
                    if dice.percent(40) {
                        // Something else under the same name.
                        told.extend(self.create(&directory, &name, dice));
                    }
                    told
                }
                _ => Vec::new(),
            },
        }
    }

    /// When the oldest calls under way began, by what they ask about. Who asks now may share one.
    pub fn shared(&self) -> BTreeMap<Id, u64> {
        let mut oldest = BTreeMap::new();
        for (began, id) in &self.under_way {
            let first: &mut u64 = oldest.entry(id.clone()).or_insert(*began);
            *first = (*first).min(*began);
        }
        oldest
    }

    pub fn cover(&self, id: &str) -> Cover {
        self.objects.get(id).map_or(Cover::Immutable, |object| object.cover)
    }

    /// Whether `below` is `id` or somewhere below it.
    fn reaches(&self, id: &str, below: &str) -> bool {
        *id == *below
            || self
                .entries(id)
                .is_some_and(|children| children.values().any(|child| self.reaches(child, below)))
    }

    fn create(&mut self, directory: &Id, name: &str, dice: &mut Dice) -> Vec<Told> {
        let cover = Cover::Scope(dice.below(2));
        let text = self.text();
        let id = match dice.below(10) {
            0..=1 => {
                let id = self.fresh("dir");
                self.put(id.clone(), Kind::Directory, cover, None, State::empty());
                id
            }
            2..=4 => {
                let id = self.fresh("issue");
                self.put(id.clone(), Kind::Directory, cover, None, State::empty());
                for leaf in ["title", "body"] {
                    let part: Id = format!("{id}/{leaf}").into();
                    let text = self.text();
                    let owner = Some(id.clone());
                    self.put(part.clone(), Kind::File, cover, owner, State::File(text));
                    self.children(&id).insert(leaf.into(), part);
                }
                id
            }
            5 => {
                let id = self.fresh("blob");
                self.put(id.clone(), Kind::File, Cover::Immutable, None, State::File(text));
                if dice.percent(50) { self.tree_of(id) } else { id }
            }
            6 => {
                let id = self.fresh("log");
                self.put(id.clone(), Kind::File, Cover::Volatile, None, State::File(text));
                id
            }
            _ => {
                let id = self.fresh("file");
                self.put(id.clone(), Kind::File, cover, None, State::File(text));
                id
            }
        };
        self.children(directory).insert(name.to_owned(), id);
        vec![self.told(Change::ChildrenChanged(directory.clone()))]
    }

    /// A directory that never changes, with this file and others like it.
    fn tree_of(&mut self, first: Id) -> Id {
        let id = self.fresh("tree");
        self.put(id.clone(), Kind::Directory, Cover::Immutable, None, State::empty());
        self.children(&id).insert("n0".into(), first);
        for name in ["n1", "n2"] {
            let (blob, text) = (self.fresh("blob"), self.text());
            self.put(blob.clone(), Kind::File, Cover::Immutable, None, State::File(text));
            self.children(&id).insert(name.into(), blob);
        }
        id
    }

    fn node(&mut self, name: &str, id: &Id) -> Option<Node> {
        let style = self.style;
        self.spoken.push(id.clone());
        let object = self.objects.get(id)?;
        let content = match object.state()? {
            State::File(content) if object.cover != Cover::Volatile => Some(content.clone()),
            _ => None,
        };
        let touched = object.touched.last().copied().unwrap_or(0);
        Some(Node {
            id: id.clone(),
            name: name.to_owned(),
            kind: object.kind,
            size: content.as_ref().filter(|_| style.sizes).map(|c| c.len() as u64),
            modified: (style.modified && content.is_some()).then(|| Object::modified(touched)),
            version: style.versions.then(|| touched.to_string()),
            content: content.filter(|_| style.inline).map(Body::Held),
            coherence: match object.cover {
                Cover::Scope(scope) => Coherence::Scoped(SCOPES[scope].into()),
                Cover::Immutable => Coherence::Immutable,
                Cover::Volatile => Coherence::Volatile,
            },
            part_of: object.owner.clone(),
            complete: object.complete,
        })
    }

    fn list(&mut self, id: &str) -> Result<Vec<Node>, Cause> {
        let children = self.entries(id).ok_or(Cause::NotFound)?.clone();
        Ok(children.iter().filter_map(|(name, id)| self.node(name, id)).collect())
    }

    /// What comes along with an answer that speaks of these objects.
    fn offers(&mut self, nodes: &[Node]) -> Vec<Offer> {
        if !self.style.offers {
            return Vec::new();
        }
        let mut offers = Vec::new();
        for node in nodes {
            let Ok(mut children) = self.list(&node.id) else { continue };
            let whole = node.id.starts_with("issue") || self.dice.percent(50);
            if !whole {
                children.truncate(1);
            }
            offers.push(Offer { parent: node.id.clone(), children, whole });
        }
        offers
    }

    /// Contents that come along with one: some of what is `wanted`, and of what nobody has asked for.
    fn along(&mut self, wanted: &[Id]) -> Vec<Along> {
        let mut ids: Vec<Id> = wanted.to_vec();
        let others = if self.style.offers { self.dice.below(3) } else { 0 };
        let known: Vec<Id> = self.objects.keys().cloned().collect();
        ids.extend((0..others).filter_map(|_| self.dice.pick(&known).cloned()));
        ids.retain(|_| self.dice.percent(70));
        let mut along = Vec::new();
        for node in ids {
            if let Some(State::File(content)) = self.objects.get(&node).and_then(Object::state) {
                let bytes = content.clone();
                self.spoken.push(node.clone());
                along.push(Along { node, bytes });
            }
        }
        along
    }
}

impl Upstream {
    fn read(&self, id: &str, wanted: Vec<Id>) -> Reply<'_, Answer<Bytes>> {
        let asked: Id = id.into();
        self.answer(id, Call::Read, move |tree| {
            let Some(State::File(content)) = tree.objects.get(&asked).and_then(Object::state)
            else {
                return Err(Cause::NotFound);
            };
            let content = content.clone();
            Ok(Answer { along: tree.along(&wanted), ..Answer::plain(content) })
        })
    }
}

impl Provider for Upstream {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        let (parent_id, wanted) = (parent.to_owned(), name.to_owned());
        self.answer(parent, Call::Lookup(name.to_owned()), move |tree| {
            let children = tree.entries(&parent_id).ok_or(Cause::NotFound)?;
            let id = children.get(&wanted).cloned().ok_or(Cause::NotFound)?;
            let node = tree.node(&wanted, &id).ok_or(Cause::NotFound)?;
            let offers = tree.offers(std::slice::from_ref(&node));
            Ok(Answer { value: node, offers, along: Vec::new(), partials: Vec::new() })
        })
    }

    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        let parent_id = parent.to_owned();
        self.answer(parent, Call::List, move |tree| {
            let nodes = tree.list(&parent_id)?;
            let offers = tree.offers(&nodes);
            Ok(Answer { value: nodes, offers, along: Vec::new(), partials: Vec::new() })
        })
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        self.read(node, Vec::new())
    }

    fn read_ahead<'a>(&'a self, node: &'a str, walk: Walk) -> Reply<'a, Answer<Bytes>> {
        let mut tree = self.tree();
        tree.walks += 1;
        let lasts = |id: &Id| tree.cover(id) == Cover::Immutable;
        assert!(walk.files.iter().all(lasts), "{walk:?}");
        drop(tree);
        self.read(node, walk.files)
    }

    fn open_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Request> {
        async { Err(failure(Cause::Invalid)) }.boxed()
    }

    fn feed_line<'a>(&'a self, _: &'a Position, _: Bytes) -> Reply<'a, Progress> {
        async { Err(failure(Cause::Invalid)) }.boxed()
    }

    fn poll_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Progress> {
        async { Err(failure(Cause::Invalid)) }.boxed()
    }

    fn deliver(&self, _: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        async { Err(failure(Cause::Invalid)) }.boxed()
    }
}
