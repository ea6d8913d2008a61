//! One run: a list of steps, each with its own dice, so that steps can be left out of it.

use crate::dice::Dice;
use crate::mutants::Bug;
use crate::upstream::{Call, Cover, Id, State};
use crate::world::{Class, Shape, World};
use omnifs_platform::{Kind, Vfs};
use std::collections::{BTreeMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub struct Plan {
    seed: u64,
    /// What the dice of each step begin with.
    pub steps: Vec<u64>,
}

impl Plan {
    pub fn new(seed: u64, steps: usize) -> Plan {
        let mut dice = Dice::new(seed);
        Plan { seed, steps: (0..steps).map(|_| dice.next()).collect() }
    }
}

#[derive(Debug, Default)]
pub struct Ran {
    pub steps: usize,
    pub wrong: Option<(Class, String)>,
    pub story: Vec<String>,
    pub tally: BTreeMap<&'static str, u64>,
}

impl Ran {
    pub fn add(&mut self, other: Ran) {
        self.steps += other.steps;
        for (what, count) in other.tally {
            *self.tally.entry(what).or_default() += count;
        }
    }
}

/// Readers at a time.
const READERS: usize = 4;
const HELD_OPEN: usize = 6;

pub fn run(plan: &Plan, bug: Option<Bug>, tell: bool) -> Ran {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut dice = Dice::new(plan.seed ^ 0xc0_ffee);
        let shape = Shape::new(&mut dice);
        let world = World::new(shape, &mut dice, bug, tell).await;
        world.say(|| format!("{shape:?}"));
        let mut ran = Ran::default();
        for seed in &plan.steps {
            ran.steps += 1;
            let mut dice = Dice::new(*seed);
            world.model().dice = Dice::new(dice.next());
            world.mark_late();
            step(&world, &mut dice).await;
            if world.model().wrong.is_some() {
                break;
            }
        }
        if world.model().wrong.is_none() {
            settle(&world).await;
        }
        let mut model = world.model();
        ran.wrong = model.wrong.take();
        ran.story = model.story.take().unwrap_or_default();
        ran.tally = std::mem::take(&mut model.tally);
        ran.tally.insert("walk", world.upstream.tree().walks);
        ran
    })
}

async fn step(world: &Arc<World>, dice: &mut Dice) {
    match dice.below(100) {
        0..=13 => world.change(dice),
        14..=35 => world.turn(dice),
        36..=45 => {
            world.upstream.release(dice);
        }
        46..=49 => forget(world, dice),
        50..=54 => by_handle(world, dice).await,
        55..=60 => look(world, dice).await,
        61 => {
            let scopes = omnifs::events::Ledger::take_active(&*world.core, "m", "t:");
            world.say(|| format!("active: {scopes:?}"));
        }
        62 if dice.percent(30) => {
            // A lookup of the instance may be under way nowhere, so this asks nobody.
            through(world, "refresh", world.refresh()).await;
        }
        63..=64 => quiet(world, dice).await,
        _ => read(world, dice),
    }
    // Tasks go on for as long as the dice say.
    for _ in 0..dice.below(4) {
        tokio::task::yield_now().await;
    }
}

/// A path that leads somewhere now, or led somewhere, or never did.
fn path(world: &World, dice: &mut Dice) -> Vec<String> {
    let tree = world.upstream.tree();
    let mut path = Vec::new();
    let mut at: Id = crate::upstream::ROOT.into();
    loop {
        let object = &tree.objects[&at];
        // A former state now and then.
        let back = if dice.percent(15) { dice.below(4) } else { 0 };
        let state = object.states.iter().rev().nth(back.min(object.states.len() - 1));
        let Some((_, Some(State::Directory(children)))) = state else { break };
        if dice.percent(8) {
            path.push(format!("n{}", dice.below(7)));
            break;
        }
        if !path.is_empty() && dice.percent(15) {
            break;
        }
        let names: Vec<_> = children.iter().collect();
        let Some((name, id)) = dice.pick(&names) else { break };
        path.push((*name).clone());
        at = (*id).clone();
    }
    path
}

/// A reader begins.
fn read(world: &Arc<World>, dice: &mut Dice) {
    if world.model().running >= READERS {
        return;
    }
    let path = path(world, dice);
    let hold = dice.percent(20) && world.model().opens.len() < HELD_OPEN;
    let kind = dice.below(10);
    world.model().running += 1;
    let world = world.clone();
    drop(tokio::task::spawn_local(async move {
        world.say(|| format!("read {kind} {path:?}"));
        let (what, end) = match kind {
            0..=4 => ("cat", world.cat(&path, hold).await),
            5..=7 => ("stat", world.stat(&path).await),
            _ => ("ls", world.list(&path, hold).await.map(drop)),
        };
        world.say(|| format!("{what} {path:?} ends: {end:?}"));
        world.count(what);
        if let Err(end) = end {
            world.count(match end {
                crate::readers::End::Absent => "absent",
                crate::readers::End::Stale => "stale",
                crate::readers::End::Failed => "failed",
            });
        }
        world.model().running -= 1;
    }));
}

fn forget(world: &World, dice: &mut Dice) {
    let mut model = world.model();
    let mut handles: Vec<_> = model.kernel.references.keys().copied().collect();
    handles.sort();
    // Names first: they keep their directory.
    if dice.percent(50) {
        let mut names: Vec<_> = model.kernel.names.keys().cloned().collect();
        names.sort();
        if let Some(name) = dice.pick(&names) {
            model.kernel.names.remove(name);
        }
    }
    let Some(handle) = dice.pick(&handles).copied() else { return };
    let count = model.kernel.forget(handle);
    drop(model);
    if let Some(count) = count {
        world.say(|| format!("forget {handle:?} {count}"));
        world.core.forget(handle, count);
    }
}

async fn by_handle(world: &Arc<World>, dice: &mut Dice) {
    let mut handles: Vec<_> =
        world.model().kernel.references.iter().map(|(h, (_, id))| (*h, id.clone())).collect();
    handles.sort();
    let running = world.model().running;
    if let (Some((handle, id)), true) = (dice.pick(&handles).cloned(), running < READERS) {
        world.model().running += 1;
        let world = world.clone();
        drop(tokio::task::spawn_local(async move {
            world.count("by handle");
            world.by_handle(handle, id).await;
            world.model().running -= 1;
        }));
    }
}

async fn look(world: &Arc<World>, dice: &mut Dice) {
    let opens = world.model().opens.clone();
    let Some(open) = dice.pick(&opens) else { return };
    world.count("look at what is open");
    through(world, "a look at what is open", world.look(open)).await;
    if dice.percent(40) {
        world.model().opens.retain(|other| other.id != open.id);
        world.say(|| format!("close {}", open.object));
        world.close(open);
    }
}

/// Carries something through to its end, letting held answers go where nothing else moves.
async fn through<T>(world: &World, what: &str, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut dice = Dice::new(2);
    for _ in 0..100_000 {
        let waited = std::pin::pin!(tokio::task::yield_now());
        match futures_util::future::select(future.as_mut(), waited).await {
            futures_util::future::Either::Left((value, _)) => return Some(value),
            futures_util::future::Either::Right(_) => {
                world.upstream.release(&mut dice);
            }
        }
    }
    world.wrong(Class::Stuck, format!("{what} does not come to an end"));
    None
}

/// Lets everything come to rest: answers land, readers end. The feeds stay as they are.
async fn settle(world: &Arc<World>) {
    let (hold, failing) = {
        let mut tree = world.upstream.tree();
        (std::mem::take(&mut tree.hold), std::mem::take(&mut tree.failing))
    };
    let mut dice = Dice::new(1);
    let mut rounds = 0;
    loop {
        while world.upstream.release(&mut dice) {}
        let before = world.model().activity;
        for _ in 0..12 {
            tokio::task::yield_now().await;
        }
        if world.model().running == 0 && world.model().activity == before {
            break;
        }
        rounds += 1;
        if rounds > 300 {
            world.wrong(Class::Stuck, "readers do not come to an end".into());
            break;
        }
    }
    let mut tree = world.upstream.tree();
    tree.hold = hold;
    tree.failing = failing;
}

/// With everything delivered and live, what has been looked at once costs nothing again; and after one
/// more change, only what the change concerns is asked for.
async fn quiet(world: &Arc<World>, dice: &mut Dice) {
    settle(world).await;
    world.hush(true);
    world.catch_up();
    settle(world).await;
    let (hold, failing) = {
        let mut tree = world.upstream.tree();
        (std::mem::take(&mut tree.hold), std::mem::take(&mut tree.failing))
    };
    world.say(|| "quiet".into());
    // The second walk also brings what the first one made known only on its way.
    let mut whole = true;
    let mut seen = HashSet::new();
    for asks in [false, true] {
        // What the kernel has kept spares the core a call that an event has made due, where the object of
        // a name has come anew by another name. So the second walk has the core asked for each name.
        world.model().asks = asks;
        whole &= through(world, "a walk", world.crawl(&mut seen)).await.unwrap_or(false);
    }
    world.model().asks = false;
    if !whole {
        world.wrong(Class::Error, "with everything delivered, something cannot be read".into());
    }
    // An offer may bring a directory anew whose entries had changed, and with it the question by which
    // name it goes. A kernel that opens directories by itself makes that come at any time.
    let at_any_time = world.shape.silent && world.shape.style.offers;
    if !world.shape.tiny && !at_any_time {
        world.count("quiet");
        world.upstream.tree().calls.clear();
        world.say(|| "quiet again".into());
        through(world, "a walk", world.crawl(&mut HashSet::new())).await;
        judge_calls(world, &HashSet::new(), "nothing has changed");
        world.upstream.tree().calls.clear();
        // The listing of the root asks no feed, and what it brings along proves no content by itself:
        // without a version to compare, each content that it names is read once more. What was polled for
        // the first time as it began to rest is asked for too.
        if world.shape.style.versions && !world.shape.polled {
            world.count("rested");
            world.rest();
            through(world, "a walk", world.crawl(&mut HashSet::new())).await;
            judge_calls(world, &HashSet::new(), "the feeds have rested");
            world.upstream.tree().calls.clear();
        }
        let mut concerned = one_change(world, dice);
        // What could not be reached before has not been asked for.
        concerned.extend(world.unseen(&seen));
        world.say(|| format!("after a change of {concerned:?}"));
        through(world, "a walk", world.crawl(&mut HashSet::new())).await;
        judge_calls(world, &concerned, "only those have changed");
    }
    let mut tree = world.upstream.tree();
    tree.hold = hold;
    tree.failing = failing;
    drop(tree);
    world.hush(false);
}

/// Changes something and delivers that. Returns what is concerned.
fn one_change(world: &World, dice: &mut Dice) -> HashSet<Id> {
    world.change(dice);
    let mut concerned: HashSet<Id> = HashSet::new();
    {
        use omnifs::provider::Change::{ChildrenChanged, Gap, Invalidated, Removed};
        let model = world.model();
        let tree = world.upstream.tree();
        for item in model.feeds.iter().flat_map(|feed| &feed.queue) {
            let (Invalidated(id) | Removed(id) | ChildrenChanged(id) | Gap(id)) = &item.change;
            concerned.insert(id.clone());
            // What is part of it, and what the directory held: bytes may have come with its listing.
            let states = tree.objects.get(id).map_or(&[][..], |object| &object.states);
            for (_, state) in states {
                if let Some(State::Directory(children)) = state {
                    concerned.extend(children.values().cloned());
                }
            }
            let parts = tree.objects.iter().filter(|(_, o)| o.owner.as_ref() == Some(id));
            concerned.extend(parts.map(|(part, _)| part.clone()));
        }
        // What was created, with what came with it.
        let new = tree.objects.iter().filter(|(_, o)| o.states[0].0 == tree.time);
        concerned.extend(new.map(|(id, _)| id.clone()));
    }
    world.catch_up();
    concerned
}

/// Whether each call since the last clearing had a reason.
fn judge_calls(world: &World, concerned: &HashSet<Id>, when: &str) {
    let found = {
        let tree = world.upstream.tree();
        tree.calls
            .iter()
            .find(|(id, call)| {
                let child = match call {
                    Call::Lookup(name) => tree.entries(id).and_then(|c| c.get(name)),
                    _ => None,
                };
                let directory = child
                    .and_then(|child| tree.objects.get(child))
                    .is_some_and(|object| object.kind == Kind::Directory);
                let dead = |id: &Id| world.shape.dead.map(Cover::Scope) == Some(tree.cover(id));
                let asked = |id: &Id| tree.cover(id) == Cover::Volatile || dead(id);
                // Without its feed a directory is asked, but not for the way to another one, unless an
                // offer has come in place of the listing that led there.
                let passed = !world.shape.style.offers
                    && directory
                    && child.is_some_and(|child| !asked(child));
                // A directory that an offer has brought anew may be asked for by its name once more, and a
                // root that is listed each time brings that at any time.
                let same = |other: &&(Id, Call)| other.0 == *id && other.1 == *call;
                let once = || tree.calls.iter().filter(same).count() == 1;
                let anew = world.shape.style.offers && directory && once();
                let free = anew
                    || asked(id) && !passed
                    || child.is_some_and(asked)
                    || **id == *crate::upstream::ROOT && *call == Call::List;
                !free && !concerned.contains(id) && !child.is_some_and(|c| concerned.contains(c))
            })
            .cloned()
    };
    if let Some(call) = found {
        world.wrong(Class::Refetched, format!("{when}, and the service is asked {call:?}"));
    }
}

/// The plan with as few steps as still make it fail, and its story.
pub fn shortest(plan: &Plan, bug: Option<Bug>) -> (Plan, Ran) {
    let mut plan = plan.clone();
    let ran = run(&plan, bug, false);
    plan.steps.truncate(ran.steps);
    let class = ran.wrong.map(|(class, _)| class);
    let mut piece = plan.steps.len() / 2;
    let patience = Instant::now() + Duration::from_secs(20);
    while piece > 0 && Instant::now() < patience {
        let mut at = 0;
        let mut shorter = false;
        while at < plan.steps.len() && Instant::now() < patience {
            let mut without = plan.clone();
            without.steps.drain(at..(at + piece).min(plan.steps.len()));
            let ran = run(&without, bug, false);
            if ran.wrong.is_some_and(|(found, _)| Some(found) == class) {
                without.steps.truncate(ran.steps);
                plan = without;
                shorter = true;
            } else {
                at += piece;
            }
        }
        if !shorter {
            piece /= 2;
        }
    }
    let ran = run(&plan, bug, true);
    (plan, ran)
}
