//! Walks over more than there is room for.
//!
//! The listing of a directory may bring along what is in each of its directories: of 10,000 issues the
//! files of each. Where that is more than the cache holds, what is kept is what a walker comes to next,
//! and the rest is not kept at all, since it would only push that out. Who comes to an end of it asks
//! for a few directories one by one. Those tell in which order he walks, and then the listing is asked
//! for once more: for all that is missing, at a hundredth of the requests.

use super::State;
use super::landing::{Keyed, KeyedOffer};
use crate::cache::{Cost, Operation, Query, cookie};
use crate::nodes::{InstanceId, Key, Node};
use lru::LruCache;
use omnifs_platform::Change;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Directories of which it is known how they are walked.
const WALKED: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// Directories asked for one by one before their listing is asked for again: at least so many, and of a
/// long listing one in a thousand, a tenth of the requests that it costs where a page holds a hundred.
const ONE_BY_ONE: usize = 8;
const OF_A_LISTING: usize = 1000;

/// How many times more are asked for one by one where the listing has not brought what was missed.
const IN_VAIN: usize = 8;

/// Entries beyond which gnulib's `fts` (find, grep, du) goes by inode and not by the order of readdir.
const BY_INODE: usize = 10_000;

/// Entries of a listing that are looked at to tell how much of it is missing.
const SAMPLE: usize = 128;

/// Bytes of a node and its names, beside its content.
const NODE: usize = 512;

/// The share of the cache that is left to what did not come with the same answer.
const OTHERS: usize = 32;

/// A directory's place in its parent, in each of the orders in which directories are walked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    cookie: u64,
    /// As good as its inode.
    key: Key,
    name: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// That of readdir.
    Cookie,
    Inode,
    /// That of a shell's `*`.
    Name,
}

const ORDERS: [Order; 3] = [Order::Cookie, Order::Inode, Order::Name];

impl Order {
    fn compare(self, one: &Place, two: &Place) -> std::cmp::Ordering {
        match self {
            Order::Cookie => one.cookie.cmp(&two.cookie),
            Order::Inode => one.key.cmp(&two.key),
            Order::Name => one.name.cmp(&two.name),
        }
    }
}

/// How a directory is walked, and where the walker is.
#[derive(Clone, Debug)]
pub(super) struct Course {
    order: Order,
    from: Option<Place>,
}

impl Course {
    /// Of one that nobody has walked yet.
    fn of_new(entries: usize) -> Course {
        Course { order: if entries > BY_INODE { Order::Inode } else { Order::Cookie }, from: None }
    }

    /// Sorts places by when the walker comes to them. Who has come to the end begins anew.
    fn sort(&self, places: &mut [Place]) {
        places.sort_unstable_by(|one, two| self.order.compare(one, two));
        if let Some(from) = &self.from {
            let passed = places.partition_point(|place| self.order.compare(place, from).is_lt());
            places.rotate_left(passed);
        }
    }
}

#[derive(Debug)]
struct Scan {
    course: Course,
    /// The last directories that were missed.
    missed: Vec<Place>,
    /// How many of them have the listing asked for again.
    patience: usize,
}

impl Scan {
    /// The order in which they were missed: one may be out of place, where several walk together.
    fn order(&self) -> Option<Order> {
        let back = |order: Order| {
            self.missed.windows(2).filter(|pair| order.compare(&pair[0], &pair[1]).is_gt()).count()
        };
        ORDERS.into_iter().find(|order| back(*order) <= 1)
    }
}

/// The directories whose listings brought along more than was kept.
#[derive(Debug)]
pub(super) struct Scans(LruCache<(InstanceId, Arc<str>), Scan>);

impl Scans {
    pub fn new() -> Scans {
        Scans(LruCache::new(WALKED))
    }

    fn of(&mut self, directory: &Node) -> Option<&mut Scan> {
        self.0.get_mut(&(directory.instance, directory.id.clone()))
    }
}

impl State {
    /// How much of what comes along with a listing of this directory may be kept, and what of it.
    pub(super) fn course(&mut self, directory: &Node, entries: usize) -> (Option<Course>, Cost) {
        let scan = self.scans.of(directory);
        let course = scan.map(|scan| scan.course.clone());
        let capacity = self.cache.capacity();
        let room = Cost {
            nodes: (capacity.nodes - capacity.nodes / OTHERS).saturating_sub(entries),
            bytes: (capacity.bytes - capacity.bytes / OTHERS).saturating_sub(entries * NODE),
        };
        (course, room)
    }

    /// Notes whether all was kept that came along with the listing of this directory.
    pub(super) fn note_brought(&mut self, directory: &Node, entries: usize, all: bool) {
        let key = (directory.instance, directory.id.clone());
        if all {
            self.scans.0.pop(&key);
        } else if let Some(scan) = self.scans.0.get_mut(&key) {
            scan.missed.clear();
        } else {
            let patience = ONE_BY_ONE.max(entries / OF_A_LISTING);
            let course = Course::of_new(entries);
            self.scans.0.push(key, Scan { course, missed: Vec::new(), patience });
        }
    }

    /// Notes that what is in `node`, or its content, is not at hand. Gives the directory whose listing
    /// is to be asked for again, since it brings that along with more that is missing, and the directory
    /// in it that this is or belongs to.
    pub(super) fn miss(&mut self, node: &Arc<Node>) -> Option<(Arc<Node>, Arc<Node>)> {
        let (parent, name, child) = self.brought_by(node)?;
        // What an event has named is asked for by itself, as is what does not come along.
        if !child.is_live() || self.cache.holds(&Query::new(&child, Operation::List)) {
            return None;
        }
        let place = Place { cookie: cookie(&name), key: child.key, name };
        let scan = self.scans.of(&parent)?;
        if scan.missed.last() != Some(&place) {
            scan.missed.push(place.clone());
        }
        if scan.missed.len() < scan.patience {
            return None;
        }
        let order = scan.order();
        scan.missed.clear();
        let order = order.filter(|_| self.lacks(&parent))?;
        self.scans.of(&parent)?.course = Course { order, from: Some(place) };
        Some((parent, child))
    }

    /// Notes that a listing that was asked for again has not brought what was missed.
    pub(super) fn missed_again(&mut self, directory: &Node) {
        if let Some(scan) = self.scans.of(directory) {
            scan.patience = scan.patience.saturating_mul(IN_VAIN);
        }
    }

    /// The walked directory whose listing brought this along, and the directory in it that this is or
    /// belongs to.
    fn brought_by(&self, node: &Arc<Node>) -> Option<(Arc<Node>, Arc<str>, Arc<Node>)> {
        let mut at = node.clone();
        // A file of it, or what is in a directory of it.
        for _ in 0..3 {
            let handle = *self.inodes.handles_of(&at).first()?;
            let link = self.inodes.slot(handle)?.links.last()?;
            let parent = &self.inodes.slot(link.parent)?.node;
            if self.scans.0.contains(&(parent.instance, parent.id.clone())) {
                return Some((parent.clone(), link.name.clone(), at));
            }
            at = parent.clone();
        }
        None
    }

    /// Has back ends give back what they hold beyond the bound of the cache: it is kept beside that.
    pub(super) fn ask_back(&mut self) {
        for handle in self.inodes.unneeded(self.cache.capacity().nodes) {
            let Some(slot) = self.inodes.slot(handle) else { continue };
            let links = slot.links.iter().filter(|_| !slot.node.is_directory());
            let places = links.map(|link| (link.parent, link.name.to_string())).collect();
            self.pending.push(Change::Unneeded { handle, places });
        }
    }

    /// Whether a tenth of the directories in this one lacks what came along with them. Where nothing
    /// is known of them, they do.
    fn lacks(&mut self, directory: &Node) -> bool {
        let Some(listing) = self.cache.listing(directory) else { return true };
        let step = (listing.entries.len() / SAMPLE).max(1);
        let (mut seen, mut lacking) = (0, 0);
        for entry in listing.entries.iter().step_by(step).filter(|e| e.node.is_directory()) {
            seen += 1;
            let held = self.cache.holds(&Query::new(&entry.node, Operation::List));
            lacking += usize::from(!held);
        }
        lacking * 10 >= seen
    }
}

/// What a listing brought along for each of its directories, in the order in which it is to be kept: the
/// last is what the walker comes to first. False where that is not all.
pub(super) fn choose(
    children: &[Keyed],
    offers: Vec<KeyedOffer>,
    course: Option<Course>,
    room: Cost,
) -> (Vec<KeyedOffer>, bool) {
    let mut left = room;
    let mut fits = |cost: Cost| {
        let fits = cost.nodes <= left.nodes && cost.bytes <= left.bytes;
        if fits {
            left.nodes -= cost.nodes;
            left.bytes -= cost.bytes;
        }
        fits
    };
    let all = offers.iter().map(cost).fold(Cost::default(), |sum, cost| Cost {
        nodes: sum.nodes + cost.nodes,
        bytes: sum.bytes + cost.bytes,
    });
    if all.nodes <= room.nodes && all.bytes <= room.bytes {
        return (offers, true);
    }
    let course = course.unwrap_or_else(|| Course::of_new(children.len()));
    let ranks = ranks(children, &offers, &course);
    let rank = |offer: &KeyedOffer| ranks.get(&offer.key).copied().unwrap_or(usize::MAX);
    let mut offers = offers;
    offers.sort_by_key(rank);
    let kept = offers.iter().take_while(|offer| fits(cost(offer))).count();
    offers.truncate(kept);
    offers.sort_by_key(|offer| Reverse(rank(offer)));
    (offers, false)
}

/// When the walker comes to each directory, and to those in it.
fn ranks(children: &[Keyed], offers: &[KeyedOffer], course: &Course) -> HashMap<Key, usize> {
    let directories = children.iter().filter(|keyed| keyed.is_directory());
    let mut places: Vec<_> = directories
        .map(|keyed| Place {
            cookie: cookie(&keyed.node.name),
            key: keyed.key,
            name: keyed.node.name.as_str().into(),
        })
        .collect();
    course.sort(&mut places);
    let mut ranks: HashMap<_, _> =
        places.iter().enumerate().map(|(rank, place)| (place.key, rank)).collect();
    for offer in offers {
        if let Some(rank) = ranks.get(&offer.key).copied() {
            for below in offer.children.iter().filter(|keyed| keyed.is_directory()) {
                ranks.entry(below.key).or_insert(rank);
            }
        }
    }
    ranks
}

fn cost(offer: &KeyedOffer) -> Cost {
    let content = |keyed: &Keyed| keyed.content().map_or(0, bytes::Bytes::len);
    let bytes = offer.children.iter().map(|keyed| NODE + content(keyed)).sum();
    Cost { nodes: offer.children.len(), bytes }
}
