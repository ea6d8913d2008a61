//! The feeds of the simulated service, and what they let a reader rely on: the *floors*, the times
//! before which nothing may be shown any more.

use crate::dice::Dice;
use crate::upstream::{Cover, Id, Told, Tree};
use omnifs::provider::Change;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// One event on its way, with the time of the change it tells.
#[derive(Clone, Debug)]
pub struct Item {
    pub time: u64,
    pub change: Change,
}

/// One scope's feed.
#[derive(Debug, Default)]
pub struct Feed {
    pub up: bool,
    /// Known to the core as polled: covered from the first fetch on, and never said to be up before.
    pub polled: bool,
    pub queue: VecDeque<Item>,
    pub past: Vec<Item>,
    /// The service keeps what happens for when it is connected again.
    pub resumable: bool,
    /// Items to be delivered before the resume is proven.
    pub replay: Option<usize>,
    /// Nothing is tried until somebody asks for it.
    pub rests: bool,
    /// It can never work.
    pub dead: bool,
}

/// What a scope's feed vouches for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    pub live: bool,
    /// While it is live: nothing older may be served. While it is not: when it was lost.
    pub base: u64,
    /// What `base` was before the loss.
    before: Option<u64>,
    /// Moves with each turn.
    pub era: u64,
    /// While it is not live: it tries to come back by itself.
    pub tries: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    Object,
    Entries,
    Removed,
}

/// What has been delivered so far.
#[derive(Debug, Default)]
pub struct Delivered {
    /// Counts deliveries.
    pub sequence: u64,
    marks: HashMap<(Mark, Id), Vec<(u64, u64)>>,
    pub scopes: [Standing; 2],
    /// By `omnifs refresh` on everything.
    pub refreshed: u64,
}

/// The moment at which an operation began.
#[derive(Clone, Debug)]
pub struct Start {
    pub time: u64,
    pub sequence: u64,
    scopes: [Standing; 2],
    refreshed: u64,
    shared: BTreeMap<Id, u64>,
}

impl Delivered {
    pub fn start(&self, time: u64, shared: BTreeMap<Id, u64>) -> Start {
        let Delivered { sequence, scopes, refreshed, .. } = *self;
        Start { time, sequence, scopes, refreshed, shared }
    }

    fn mark(&mut self, mark: Mark, id: &Id, time: u64) {
        let sequence = self.sequence;
        self.marks.entry((mark, id.clone())).or_default().push((sequence, time));
    }

    /// An event has been applied.
    pub fn applied(&mut self, item: &Item, now: u64) {
        self.sequence += 1;
        match &item.change {
            Change::Invalidated(id) => {
                self.mark(Mark::Object, id, item.time);
                self.mark(Mark::Entries, id, item.time);
            }
            Change::Removed(id) => {
                self.mark(Mark::Object, id, item.time);
                self.mark(Mark::Entries, id, item.time);
                self.mark(Mark::Removed, id, item.time);
            }
            Change::ChildrenChanged(id) => self.mark(Mark::Entries, id, item.time),
            Change::Gap(scope) => {
                for (at, standing) in self.scopes.iter_mut().enumerate() {
                    if omnifs::scopes::covers(scope, crate::upstream::SCOPES[at]) {
                        standing.base = now;
                        standing.before = None;
                        standing.era += 1;
                    }
                }
            }
        }
    }

    pub fn up(&mut self, scope: usize, now: u64, polled: bool) {
        let standing = &mut self.scopes[scope];
        if !standing.live {
            *standing = Standing {
                live: true,
                base: if polled { 0 } else { now },
                era: standing.era + 1,
                ..*standing
            };
        }
    }

    /// Lost, or an attempt to come back has failed, or it rests.
    pub fn lost(&mut self, scope: usize, now: u64, tries: bool) {
        let standing = &mut self.scopes[scope];
        let before = if standing.live { Some(standing.base) } else { standing.before };
        let era = standing.era + 1;
        *standing = Standing { live: false, base: now, before, era, tries };
    }

    pub fn resumed(&mut self, scope: usize) {
        let standing = &mut self.scopes[scope];
        if let (true, Some(before)) = (standing.live, standing.before.take()) {
            standing.base = before;
            standing.era += 1;
        }
    }

    /// The newest change among these marks that had been delivered when the operation began.
    fn newest(&self, start: &Start, mark: Mark, id: &Id) -> u64 {
        let marks = self.marks.get(&(mark, id.clone())).map_or(&[][..], Vec::as_slice);
        let told = marks.iter().filter(|(sequence, _)| *sequence <= start.sequence);
        told.map(|(_, time)| *time).max().unwrap_or(0)
    }

    pub fn removed(&self, start: &Start, id: &Id) -> bool {
        self.newest(start, Mark::Removed, id) > 0
    }

    /// Nothing older than this may be served in a scope. A resume while the operation is under way
    /// vouches for what was there before.
    fn standing(&self, start: &Start, scope: usize) -> u64 {
        let (then, now) = (start.scopes[scope], self.scopes[scope]);
        if now.live { then.base.min(now.base) } else { then.base }
    }

    fn base(&self, start: &Start, cover: Cover, id: &Id) -> u64 {
        match cover {
            Cover::Scope(scope) => self.standing(start, scope).max(start.refreshed),
            Cover::Immutable => 0,
            Cover::Volatile => start.asked(id),
        }
    }

    /// Attributes and content of this object may be no older.
    pub fn object_floor(&self, start: &Start, tree: &Tree, id: &Id) -> u64 {
        let owner = tree.objects.get(id).and_then(|object| object.owner.clone());
        let whole = owner.map_or(0, |owner| self.newest(start, Mark::Object, &owner));
        let own = self.newest(start, Mark::Object, id);
        own.max(whole).max(self.base(start, tree.cover(id), id))
    }

    /// What is known of a directory's entries may be no older.
    pub fn entries_floor(&self, start: &Start, tree: &Tree, directory: &Id) -> u64 {
        self.newest(start, Mark::Entries, directory).max(self.base(
            start,
            tree.cover(directory),
            directory,
        ))
    }

    /// The same for one name of the instance's root, which no feed covers as a whole.
    pub fn root_floor(&self, start: &Start, tree: &Tree, child: Option<&Id>) -> u64 {
        let base = match child {
            // The call that is shared may be the one about the name.
            Some(child) if matches!(tree.cover(child), Cover::Volatile) => {
                start.asked(child).min(start.asked(&crate::upstream::ROOT.into()))
            }
            Some(child) => self.base(start, tree.cover(child), child),
            None => {
                let standings = (0..start.scopes.len()).map(|scope| self.standing(start, scope));
                standings.max().unwrap_or(0).max(start.refreshed)
            }
        };
        self.newest(start, Mark::Entries, &crate::upstream::ROOT.into()).max(base)
    }

    /// The floor that the removal of a child sets for the name that showed it.
    pub fn removal_floor(&self, start: &Start, child: &Id) -> u64 {
        self.newest(start, Mark::Removed, child)
    }
}

impl Start {
    /// How old an answer about this object may be where nothing covers it: as old as the call that is
    /// under way and shared.
    pub fn asked(&self, id: &Id) -> u64 {
        self.shared.get(id).copied().unwrap_or(self.time)
    }

    pub fn live(&self, cover: Cover) -> bool {
        match cover {
            Cover::Scope(scope) => self.scopes[scope].live,
            Cover::Immutable => true,
            Cover::Volatile => false,
        }
    }

    /// Whether what was asked for since the last attempt of the feed leads through directories.
    pub fn shares(&self, cover: Cover) -> bool {
        matches!(cover, Cover::Scope(scope) if self.scopes[scope].tries)
    }

    pub fn eras(&self) -> u64 {
        self.scopes.iter().map(|scope| scope.era).sum()
    }

    pub fn era(&self, cover: Cover) -> u64 {
        match cover {
            Cover::Scope(scope) => self.scopes[scope].era,
            _ => 0,
        }
    }
}

/// Hands a change to the feeds, in the order in which things happened.
pub fn publish(feeds: &mut [Feed; 2], time: u64, told: Vec<Told>) {
    for (scope, change) in told {
        feeds[scope].queue.push_back(Item { time, change });
    }
}

/// What a feed does next.
#[derive(Clone, Debug)]
pub enum Turn {
    Deliver(Vec<Item>),
    /// Cut, or an attempt to come back fails.
    Lost,
    Rest,
    Up,
    Resumed,
    Nothing,
}

impl Feed {
    pub fn turn(&mut self, dice: &mut Dice, scope: usize) -> Turn {
        if self.dead {
            self.up = false;
            return if dice.percent(3) { Turn::Lost } else { Turn::Nothing };
        }
        if !self.up {
            // What rests is looked after now and then, and stays suspect.
            if self.rests && self.resumable && dice.percent(30) && !self.queue.is_empty() {
                let count = 1 + dice.below(self.queue.len());
                return Turn::Deliver(self.queue.drain(..count).collect());
            }
            if !self.rests && dice.percent(5) {
                return Turn::Lost;
            }
            if dice.percent(if self.rests { 5 } else { 30 }) {
                self.up = true;
                self.rests = false;
                if self.resumable && dice.percent(80) {
                    self.replay = Some(self.queue.len());
                } else {
                    self.queue.clear();
                }
                return Turn::Up;
            }
            return Turn::Nothing;
        }
        if self.replay == Some(0) {
            self.replay = None;
            return Turn::Resumed;
        }
        match dice.below(100) {
            0..=2 => {
                self.up = false;
                self.replay = None;
                // What the service would have to keep is not always kept, nor asked for.
                self.resumable = dice.percent(60);
                Turn::Lost
            }
            16..=18 => {
                self.up = false;
                self.rests = true;
                self.replay = None;
                self.resumable = dice.percent(80);
                Turn::Rest
            }
            // Lost on the way, which the feed notices now or later.
            3..=5 if self.replay.is_none() && !self.queue.is_empty() => {
                let at = dice.below(self.queue.len());
                let lost = self.queue.remove(at);
                let time = lost.map_or(0, |item| item.time);
                let change = Change::Gap(crate::upstream::SCOPES[scope].into());
                let later = at + dice.below(self.queue.len() - at + 1);
                self.queue.insert(later, Item { time, change });
                Turn::Nothing
            }
            // Again, long after.
            6..=9 if !self.past.is_empty() => {
                let at = dice.below(self.past.len());
                Turn::Deliver(vec![self.past[at].clone()])
            }
            // Out of order.
            10..=15 if self.replay.is_none() && !self.queue.is_empty() => {
                let at = dice.below(self.queue.len());
                self.queue.remove(at).map_or(Turn::Nothing, |item| Turn::Deliver(vec![item]))
            }
            _ => {
                let count = (1 + dice.below(3)).min(self.queue.len());
                if count == 0 {
                    return Turn::Nothing;
                }
                let count = self.replay.map_or(count, |left| count.min(left).max(1));
                if let Some(left) = &mut self.replay {
                    *left -= count;
                }
                let items: Vec<_> = self.queue.drain(..count).collect();
                self.past.extend(items.iter().cloned());
                if self.past.len() > 20 {
                    self.past.drain(..self.past.len() - 20);
                }
                Turn::Deliver(items)
            }
        }
    }

    /// Everything that is on its way.
    pub fn drain(&mut self) -> Vec<Item> {
        self.queue.drain(..).collect()
    }
}
