//! One run's world: the service, its feeds, the core, a kernel in front of it, and the judge.

use crate::dice::Dice;
use crate::feed::{Delivered, Feed, Item, Start, Turn, publish};
use crate::kernel::Kernel;
use crate::mutants::Bug;
use crate::upstream::{Cover, Id, SCOPES, State, Style, Upstream};
use bytes::Bytes;
use omnifs::cache::Capacity;
use omnifs::events::{Ledger, Prover};
use omnifs::provider::Change;
use omnifs::router::{Instance, Router};
use omnifs::runtime::{Runtime, Seams};
use omnifs_platform::{Error, Handle, Inode, OpenId, Vfs};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The instance's name.
pub const INSTANCE: &str = "m";

fn installed() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_600_000_000)
}

/// What a run is like, by its seed.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub style: Style,
    pub tiny: bool,
    /// The kernel opens files without a word, as every Linux does; else each open is told.
    pub silent: bool,
    /// The scopes are polled instead of pushed.
    pub polled: bool,
    /// The scope whose feed can never work.
    pub dead: Option<usize>,
    /// Percent of the provider's answers that are held back, and of those that fail.
    pub hold: u32,
    pub failing: u32,
    /// Percent of the moments between two locks at which something else comes in.
    pub interleave: u32,
}

impl Shape {
    pub fn new(dice: &mut Dice) -> Self {
        let mut half = || dice.percent(50);
        let style = Style {
            inline: half(),
            sizes: half(),
            versions: half(),
            modified: half(),
            offers: half(),
        };
        Shape {
            style,
            tiny: dice.percent(30),
            silent: dice.percent(50),
            polled: dice.percent(30),
            dead: dice.percent(20).then(|| dice.below(2)),
            hold: [0, 20, 60][dice.below(3)],
            failing: [0, 0, 10][dice.below(3)],
            interleave: [0, 3, 15][dice.below(3)],
        }
    }
}

/// A file or a directory that a process holds open.
#[derive(Clone, Debug)]
pub struct Open {
    pub id: OpenId,
    pub handle: Handle,
    pub object: Id,
    pub held: What,
}

#[derive(Clone, Debug)]
pub enum What {
    File { bytes: Bytes, volatile: bool },
    Directory(Vec<String>),
}

/// What kind of promise was broken: a shorter run must break the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Old,
    Unasked,
    Refetched,
    Snapshot,
    Deleted,
    Identity,
    Error,
    Stuck,
}

#[derive(Debug)]
pub struct Model {
    /// Of the present step.
    pub dice: Dice,
    pub feeds: [Feed; 2],
    pub delivered: Delivered,
    pub kernel: Kernel,
    pub opens: Vec<Open>,
    /// Something is being delivered: nothing else comes in.
    busy: bool,
    /// Uses served outside a live scope without a call, by object: era and count of each use.
    served: HashMap<(Id, &'static str), (u64, u64)>,
    inodes: HashMap<Inode, Id>,
    /// The first thing found wrong.
    pub wrong: Option<(Class, String)>,
    /// What happened, where it is to be told.
    pub story: Option<Vec<String>>,
    /// Operations by what they came to.
    pub tally: BTreeMap<&'static str, u64>,
    /// Times the core's state was locked: moves while anything goes on.
    pub activity: u64,
    pub running: usize,
    /// Handles that were ever open.
    pub opened: HashSet<Handle>,
    /// Nothing comes in between.
    hushed: bool,
    /// The kernel asks for each name and listing, whatever it keeps.
    pub asks: bool,
    /// What kernels were told of and the core has not heard of, where that is the bug.
    pub late: Option<(usize, Turn)>,
}

pub struct World {
    pub shape: Shape,
    pub upstream: Arc<Upstream>,
    pub core: Arc<Runtime>,
    pub top: Handle,
    pub bug: Option<Bug>,
    model: Mutex<Model>,
}

impl World {
    pub async fn new(shape: Shape, dice: &mut Dice, bug: Option<Bug>, tell: bool) -> Arc<World> {
        let upstream = Upstream::new(shape.style, Dice::new(dice.next()));
        let provider = Ok(upstream.clone() as Arc<dyn omnifs::provider::Provider>);
        let instance =
            Instance { name: INSTANCE.into(), root: crate::upstream::ROOT.into(), provider };
        let capacity = match shape.tiny {
            true => Capacity { nodes: 12, bytes: 1 << 20 },
            false => Capacity::default(),
        };
        let place: Arc<OnceLock<Weak<World>>> = Arc::default();
        let seen = place.clone();
        let asked = place.clone();
        let between = Box::new(move || {
            if let Some(world) = seen.get().and_then(Weak::upgrade) {
                world.between();
            }
        });
        let core = Runtime::with_seams(
            Router::new(vec![instance]),
            capacity,
            installed(),
            tokio::runtime::Handle::current(),
            Seams { mutant: bug.and_then(Bug::of_the_core), between: Some(between), meter: None },
        );
        if shape.silent {
            core.silence_opens();
        }
        let prover = Prover(Arc::new(move |scope| {
            let world = asked.get().and_then(Weak::upgrade);
            Box::pin(async move { world.iter().for_each(|world| world.prove(&scope)) })
        }));
        core.set_prover(INSTANCE, prover);
        let kernel = Kernel::new(core.changes());
        let entry = core.lookup(core.root(), INSTANCE).await;
        let top = entry.expect("lookup").expect("the instance shows").handle;
        let mut model = Model {
            dice: Dice::new(0),
            feeds: <[Feed; 2]>::default(),
            delivered: Delivered::default(),
            kernel,
            opens: Vec::new(),
            busy: false,
            served: HashMap::new(),
            inodes: HashMap::new(),
            wrong: None,
            story: tell.then(Vec::new),
            tally: BTreeMap::new(),
            activity: 0,
            running: 0,
            opened: HashSet::new(),
            hushed: false,
            asks: false,
            late: None,
        };
        if shape.polled {
            for (scope, name) in SCOPES.into_iter().enumerate() {
                core.polled(INSTANCE, name);
                model.feeds[scope] = Feed { up: true, polled: true, ..Feed::default() };
                model.delivered.up(scope, 0, true);
            }
        }
        if let Some(scope) = shape.dead {
            model.feeds[scope].dead = true;
        }
        upstream.tree().hold = shape.hold;
        upstream.tree().failing = shape.failing;
        let world = Arc::new(World { shape, upstream, core, top, bug, model: Mutex::new(model) });
        let _ = place.set(Arc::downgrade(&world));
        world
    }

    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().expect("no panic under the lock")
    }

    /// Adds a line to the story, if there is one.
    pub fn say(&self, line: impl FnOnce() -> String) {
        let mut model = self.model();
        if let Some(story) = &mut model.story {
            story.push(line());
        }
    }

    pub fn count(&self, what: &'static str) {
        *self.model().tally.entry(what).or_default() += 1;
    }

    /// Notes the first thing found wrong.
    pub fn wrong(&self, class: Class, what: String) {
        self.say(|| format!("WRONG: {what}"));
        self.model().wrong.get_or_insert((class, what));
    }

    pub fn start(&self) -> Start {
        let (time, shared) = {
            let tree = self.upstream.tree();
            (tree.time, tree.shared())
        };
        self.model().delivered.start(time, shared)
    }

    /// Keeps everything else out of the readers' way, or lets it in again.
    pub fn hush(&self, hushed: bool) {
        self.model().hushed = hushed;
    }

    /// Called by the core before it takes its lock: another thread may come in here.
    fn between(&self) {
        let mut model = self.model();
        model.activity += 1;
        if model.busy || model.hushed || self.shape.interleave == 0 {
            return;
        }
        let chance = self.shape.interleave;
        if !model.dice.percent(chance) {
            return;
        }
        let mut dice = Dice::new(model.dice.next());
        drop(model);
        self.outside(&mut dice);
    }

    /// The objects that no walk has come to.
    pub fn unseen(&self, seen: &HashSet<Id>) -> Vec<Id> {
        let tree = self.upstream.tree();
        let root = crate::upstream::ROOT;
        tree.objects.keys().filter(|id| !seen.contains(*id) && ***id != *root).cloned().collect()
    }

    /// Something that happens outside the readers.
    pub fn outside(&self, dice: &mut Dice) {
        match dice.below(10) {
            0..=2 => self.change(dice),
            3..=6 => self.turn(dice),
            _ => {
                if self.upstream.release(dice) {
                    self.say(|| "an answer is let go".into());
                }
            }
        }
    }

    pub fn change(&self, dice: &mut Dice) {
        let (time, told) = {
            let mut tree = self.upstream.tree();
            let told = tree.change(dice);
            (tree.time, told)
        };
        self.say(|| format!("service: {told:?} at {time}"));
        publish(&mut self.model().feeds, time, told);
    }

    /// One of the feeds takes a turn.
    pub fn turn(&self, dice: &mut Dice) {
        let scope = dice.below(2);
        let turn = self.model().feeds[scope].turn(dice, scope);
        self.take(scope, turn);
    }

    fn take(&self, scope: usize, turn: Turn) {
        if matches!(turn, Turn::Nothing) || self.put_off(scope, &turn) {
            return;
        }
        self.hand(scope, turn);
    }

    /// Hands a turn to the core, and then to the judge.
    pub(super) fn hand(&self, scope: usize, turn: Turn) {
        self.say(|| format!("feed {scope}: {turn:?}"));
        self.model().busy = true;
        let (core, name) = (&self.core, SCOPES[scope]);
        match &turn {
            Turn::Deliver(items) => {
                let polled = {
                    let model = self.model();
                    model.feeds[scope].polled && model.feeds[scope].up
                };
                let batch: Vec<_> = items.iter().map(|item| item.change.clone()).collect();
                if polled {
                    core.up(INSTANCE, name);
                }
                core.apply(INSTANCE, &batch);
                self.ignore_if_told();
            }
            Turn::Lost => core.lost(INSTANCE, name, "cut"),
            Turn::Rest => core.rest(INSTANCE, name, "nobody uses it"),
            Turn::Up => core.up(INSTANCE, name),
            Turn::Resumed => core.resumed(INSTANCE, name),
            Turn::Nothing => {}
        }
        let now = self.turned(scope, &turn);
        let mut model = self.model();
        match turn {
            Turn::Deliver(items) => {
                items.iter().for_each(|item| model.delivered.applied(item, now));
            }
            Turn::Lost => model.delivered.lost(scope, now, true),
            Turn::Rest => model.delivered.lost(scope, now, false),
            Turn::Up => model.delivered.up(scope, now, false),
            Turn::Resumed => model.delivered.resumed(scope),
            Turn::Nothing => {}
        }
        model.busy = false;
        drop(model);
        self.listen();
        self.check_kernel();
    }

    /// Somebody is about to use a scope whose feed is down: it tries, or has failed just now.
    fn prove(&self, name: &str) {
        let Some(scope) = SCOPES.iter().position(|known| *known == name) else { return };
        let mut model = self.model();
        let hushed = model.hushed;
        let luck = model.dice.below(100);
        let feed = &mut model.feeds[scope];
        let (rests, dead, resumable) = (feed.rests, feed.dead, feed.resumable);
        // One that never works backs off for long.
        let backs_off = if hushed { !rests } else { luck < if dead { 90 } else { 20 } };
        if feed.up || model.busy || backs_off {
            return;
        }
        let feed = &mut model.feeds[scope];
        feed.rests = false;
        if dead || !hushed && luck < 45 {
            drop(model);
            return self.take(scope, Turn::Lost);
        }
        let items = feed.drain();
        drop(model);
        // As a poll does: what it brings first, and then it is live.
        if resumable && !items.is_empty() {
            self.take(scope, Turn::Deliver(items));
        }
        self.model().feeds[scope].up = true;
        self.take(scope, Turn::Up);
        if resumable {
            self.take(scope, Turn::Resumed);
        }
    }

    /// Has the feeds that work rest until somebody asks.
    pub fn rest(&self) {
        for scope in 0..2 {
            let mut model = self.model();
            let feed = &mut model.feeds[scope];
            if feed.dead {
                continue;
            }
            feed.up = false;
            feed.rests = true;
            feed.resumable = true;
            drop(model);
            self.take(scope, Turn::Rest);
        }
    }

    /// Answers of an earlier era grant nothing in the next one.
    fn turned(&self, scope: usize, turn: &Turn) -> u64 {
        let mut tree = self.upstream.tree();
        let gap = |item: &Item| matches!(item.change, Change::Gap(_));
        let turns = match turn {
            Turn::Deliver(items) => items.iter().any(gap),
            _ => true,
        };
        if turns {
            let mut answers = std::mem::take(&mut tree.answers);
            answers.retain(|id, _| tree.cover(id) != Cover::Scope(scope));
            tree.answers = answers;
        }
        tree.time
    }

    /// Lets the kernel take its notifications.
    pub fn listen(&self) {
        let changes = self.model().kernel.listen();
        if !changes.is_empty() {
            self.say(|| format!("kernel: {changes:?}"));
        }
    }

    /// Connects every feed and delivers all that is on its way, in order.
    pub fn catch_up(&self) {
        for scope in 0..2 {
            let mut model = self.model();
            let feed = &mut model.feeds[scope];
            if feed.dead {
                feed.queue.clear();
                feed.up = false;
                // Its first attempt has failed by now, at the latest: until then what is polled is live,
                // without being told anything, and what is pushed has no attempt whose answers are shared.
                let tries = model.delivered.scopes[scope].tries;
                drop(model);
                if !tries {
                    self.take(scope, Turn::Lost);
                }
                continue;
            }
            let up = feed.up;
            if !up {
                feed.up = true;
                feed.rests = false;
                feed.replay = None;
                feed.queue.clear();
            }
            drop(model);
            if !up {
                self.take(scope, Turn::Up);
            }
            let mut model = self.model();
            let feed = &mut model.feeds[scope];
            let items = feed.drain();
            let proven = feed.replay.take().is_some();
            drop(model);
            if !items.is_empty() {
                self.take(scope, Turn::Deliver(items));
            }
            if proven {
                self.take(scope, Turn::Resumed);
            }
        }
        self.mark_late();
    }

    /// Everything is asked for again by hand.
    pub async fn refresh(&self) {
        self.say(|| "refresh".into());
        self.model().busy = true;
        let refreshed = self.core.refresh(INSTANCE).await;
        let now = self.upstream.tree().time;
        let mut model = self.model();
        model.busy = false;
        model.delivered.refreshed = now;
        drop(model);
        self.listen();
        if let Err(error) = refreshed {
            self.wrong(Class::Error, format!("refresh: {error:?}"));
        }
    }

    /// Without its feed nothing of a scope may be kept by the kernel.
    fn check_kernel(&self) {
        let found = {
            let model = self.model();
            let tree = self.upstream.tree();
            let lost = |id: &Id| match tree.cover(id) {
                Cover::Scope(scope) => !model.delivered.scopes[scope].live,
                _ => false,
            };
            let kernel = &model.kernel;
            let held = |handle: &Handle| kernel.references.get(handle).map(|(_, id)| id);
            let name = kernel.names.iter().find(|((parent, _), bound)| {
                *parent != self.top
                    && held(parent).is_some_and(&lost)
                    && bound.as_ref().is_none_or(|(to, _)| !kernel.opens.contains_key(to))
            });
            let attributes = kernel.attributes.iter().find(|(handle, _)| {
                !kernel.opens.contains_key(handle) && held(handle).is_some_and(&lost)
            });
            name.map(|found| format!("the kernel keeps the name {found:?} in a lost scope"))
                .or(attributes.map(|found| format!("the kernel keeps {found:?} in a lost scope")))
        };
        if let Some(found) = found {
            self.wrong(Class::Unasked, found);
        }
    }

    // What readers find, judged.

    /// The object that an inode stands for.
    pub fn object(&self, inode: Inode) -> Option<Id> {
        if let Some(id) = self.model().inodes.get(&inode) {
            return Some(id.clone());
        }
        let found = {
            let tree = self.upstream.tree();
            let of = |id: &Id| Inode(omnifs::inodes::key(INSTANCE, id).0.max(1 << 16));
            tree.objects.keys().find(|id| of(id) == inode).cloned()
        };
        match found {
            Some(id) => {
                self.model().inodes.insert(inode, id.clone());
                Some(id)
            }
            None => {
                self.wrong(Class::Identity, format!("{inode:?} is the inode of no object"));
                None
            }
        }
    }

    /// Whether `name` could be bound to `child` in `directory` at or after what had been told.
    pub fn check_binding(
        &self,
        start: &Start,
        directory: &Id,
        name: &str,
        child: Option<&Id>,
        by: &str,
    ) {
        let found = {
            let model = self.model();
            let tree = self.upstream.tree();
            let mut floor = if **directory == *crate::upstream::ROOT {
                model.delivered.root_floor(start, &tree, child)
            } else {
                model.delivered.entries_floor(start, &tree, directory)
            };
            if let Some(child) = child {
                floor = floor.max(model.delivered.removal_floor(start, child));
            }
            let possible = tree.objects.get(directory).is_some_and(|object| {
                object.since(floor).any(|state| match state {
                    Some(State::Directory(children)) => children.get(name) == child,
                    _ => child.is_none(),
                })
            });
            (!possible).then(|| {
                let names = &model.kernel.names;
                let names: Vec<_> = names.iter().filter(|((_, known), _)| known == name).collect();
                format!(
                    "{by}: {directory}/{name} is {child:?}, which was not so since {floor} ({names:?})"
                )
            })
        };
        if let Some(found) = found {
            self.wrong(Class::Old, found);
        }
    }

    /// Whether this could be the listing of `directory`.
    pub fn check_listing(&self, start: &Start, directory: &Id, names: &[(String, Id)]) {
        let found = {
            let model = self.model();
            let tree = self.upstream.tree();
            let mut floor = if **directory == *crate::upstream::ROOT {
                start.asked(directory)
            } else {
                model.delivered.entries_floor(start, &tree, directory)
            };
            for (_, child) in names {
                floor = floor.max(model.delivered.removal_floor(start, child));
            }
            let shown: BTreeMap<_, _> = names.iter().cloned().collect();
            let possible = tree.objects.get(directory).is_some_and(|object| {
                object.since(floor).any(|state| match state {
                    Some(State::Directory(children)) => *children == shown,
                    _ => false,
                })
            });
            (!possible || shown.len() != names.len())
                .then(|| format!("{directory} lists {names:?}, which was not so since {floor}"))
        };
        if let Some(found) = found {
            self.wrong(Class::Old, found);
        }
    }

    pub fn check_content(&self, start: &Start, id: &Id, bytes: &Bytes) {
        let found = {
            let model = self.model();
            let tree = self.upstream.tree();
            let floor = model.delivered.object_floor(start, &tree, id);
            let possible = tree.objects.get(id).is_some_and(|object| {
                object.since(floor).any(|state| match state {
                    Some(State::File(content)) => content == bytes,
                    _ => false,
                })
            });
            (!possible).then(|| format!("{id} reads {bytes:?}, which was not so since {floor}"))
        };
        if let Some(found) = found {
            self.wrong(Class::Old, found);
        }
    }

    pub fn check_attributes(&self, start: &Start, id: &Id, attr: &omnifs_platform::Attr, by: &str) {
        let found = {
            let model = self.model();
            let tree = self.upstream.tree();
            let floor = model.delivered.object_floor(start, &tree, id);
            let Some(object) = tree.objects.get(id) else { return };
            if object.cover == Cover::Volatile {
                return;
            }
            let size = object.since(floor).any(|state| match state {
                Some(State::File(content)) => content.len() as u64 == attr.size,
                Some(State::Directory(_)) => attr.size == 0,
                None => false,
            });
            let file = object.kind != omnifs_platform::Kind::Directory;
            // What is known by its content alone shows when an event last named it, or else when
            // omnifs was installed.
            let told = attr.modified == installed()
                || attr.modified > UNIX_EPOCH + Duration::from_secs(1_750_000_000);
            let modified = !file
                || !self.shape.style.modified
                || told
                || object.modified_since(floor).contains(&attr.modified);
            (!size || !modified || object.kind != attr.kind)
                .then(|| format!("{by}: {id} shows {attr:?}, which was not so since {floor}"))
        };
        if let Some(found) = found {
            self.wrong(Class::Old, found);
        }
    }

    /// A kernel cuts what it reads at the size that it knows, and an answer that an invalidation overtakes
    /// does not change that: so a handle that stands for one content has one size.
    pub fn check_size(&self, handle: Handle, id: &Id, size: u64) {
        let mut model = self.model();
        let tree = self.upstream.tree();
        let file = matches!(tree.objects.get(id), Some(object) if object.cover != Cover::Volatile
            && object.kind != omnifs_platform::Kind::Directory);
        drop(tree);
        if !self.shape.silent || !file || !model.kernel.references.contains_key(&handle) {
            return;
        }
        let known = *model.kernel.sizes.entry(handle).or_insert(size);
        drop(model);
        if known != size {
            let what = format!("{id} was {known} bytes long by {handle:?}, and is {size} now");
            self.wrong(Class::Snapshot, what);
        }
    }

    /// Whether an error had a reason.
    pub fn check_error(&self, start: &Start, id: &Id, error: Error, by: &str) {
        let failed = self.shape.failing > 0;
        let model = self.model();
        let tree = self.upstream.tree();
        let overtaken = tree.time > start.time || model.delivered.sequence != start.sequence;
        let gone = tree.objects.get(id).is_none_or(|object| object.deleted());
        let fine = match error {
            Error::Unavailable => failed || overtaken,
            Error::TimedOut | Error::RateLimited | Error::Denied => failed,
            Error::Stale => gone || overtaken,
            _ => false,
        };
        drop((model, tree));
        if !fine {
            self.wrong(Class::Error, format!("{by}: {id} answers {error:?} for no reason"));
        }
    }

    /// Counts a use of an object that the core served from memory outside a live scope. Each answer
    /// may serve each kind of use once.
    pub fn check_grant(&self, start: &Start, id: &Id, use_: &'static str, before: u64) {
        let tree = self.upstream.tree();
        let cover = tree.cover(id);
        let answers = tree.answers.get(id).copied().unwrap_or(0);
        drop(tree);
        if start.live(cover) || !matches!(cover, Cover::Scope(_)) || answers != before {
            return;
        }
        // A path leads through a directory unasked until the next attempt of its feed.
        let passed = use_ == "lookup" || use_ == "attributes";
        if passed && start.shares(cover) && self.kind(id) == Some(omnifs_platform::Kind::Directory)
        {
            return;
        }
        let era = start.era(cover);
        let mut model = self.model();
        if model.delivered.scopes.iter().map(|s| s.era).sum::<u64>() != start.eras() {
            return;
        }
        let served = model.served.entry((id.clone(), use_)).or_default();
        if served.0 != era {
            *served = (era, 0);
        }
        served.1 += 1;
        let served = served.1;
        drop(model);
        if served > answers {
            self.wrong(
                Class::Unasked,
                format!("{id}: {use_} was served {served} times from {answers} answers"),
            );
        }
    }

    pub fn answers(&self, id: &Id) -> u64 {
        self.upstream.tree().answers.get(id).copied().unwrap_or(0)
    }
}
