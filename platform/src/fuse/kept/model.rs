//! A process that is killed between any two steps: what it was asked, what it has noted, what the kernel has
//! heard of it. The kernel here is a table of what it was shown, the service a tree that changes all the time,
//! and each life has handles of its own for it.
//!
//! What is held against each answer: a number has the inode, the kind and the content that it had before, in
//! whichever life, or is ESTALE; and that only where its object changed or is elsewhere. What a name leads to is
//! what is there now. The next life doubts every name and content that the kernel may have kept.

use super::*;
use crate::memory::{Memory as Service, New, ROOT};
use std::collections::BTreeMap;
use std::time::Instant;

/// Steps of an ordinary test run, and of one run.
const STEPS: usize = 100_000;
const RUN: usize = 200;

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

#[derive(Clone, Debug)]
enum Op {
    Directory(Inode, String),
    File(Inode, String, String),
    Remove(Inode, String),
    Rename(Inode, String, Inode, String),
    Content(Inode, String),
    /// Has the next content of the file get a handle of its own.
    Page(Inode),
}

/// Whether there was anything to change.
fn carry_out(service: &Arc<Service>, runtime: &tokio::runtime::Runtime, op: &Op) -> bool {
    match op {
        Op::Directory(at, name) => service.add(*at, name, New::Directory).is_ok(),
        Op::File(at, name, text) => service.add(*at, name, New::file(text.clone())).is_ok(),
        Op::Remove(at, name) => service.remove(*at, name).is_ok(),
        Op::Rename(from, old, to, new) => service.rename(*from, old, *to, new).is_ok(),
        Op::Content(file, text) => service.set_content(*file, text.clone()).is_ok(),
        Op::Page(file) => {
            let opened = runtime.block_on(service.open(Handle(file.0)));
            opened.map(|opened| service.release(opened.id)).is_ok()
        }
    }
}

/// What the kernel knows by a number.
#[derive(Clone, Debug)]
struct Known {
    inode: Inode,
    kind: Kind,
    count: u64,
    parent: Handle,
    name: String,
    /// What was read of it.
    pages: Option<Vec<u8>>,
    /// Since it was shown, its place led elsewhere, or its content was another.
    changed: bool,
}

struct World {
    dice: Dice,
    runtime: tokio::runtime::Runtime,
    ops: Vec<Op>,
    /// All that was ever there: the text of a file, and none of a directory.
    objects: HashMap<Inode, Option<String>>,
    service: Arc<Service>,
    kept: Kept<Service>,
    files: [OwnedFd; 2],
    known: BTreeMap<u64, Known>,
    /// Names that it was told are there or are not, and may still believe.
    names: HashMap<(Handle, String), Option<Handle>>,
    kills: usize,
    torn: usize,
    over: usize,
    shown: usize,
    story: Vec<String>,
    wrong: Option<String>,
}

fn both(files: &[OwnedFd; 2]) -> [OwnedFd; 2] {
    files.each_ref().map(|file| file.try_clone().unwrap())
}

fn lengths(files: &[OwnedFd; 2]) -> [u64; 2] {
    files.each_ref().map(|file| rustix::fs::fstat(file).unwrap().st_size as u64)
}

impl World {
    fn new(seed: u64) -> World {
        let tree = Service::new();
        tree.silence_opens();
        let journal = Journal::new().unwrap();
        let files = both(journal.files());
        World {
            dice: Dice(seed),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            ops: Vec::new(),
            objects: HashMap::from([(ROOT, None)]),
            kept: Kept::new(tree.clone(), Keeper::of_nobody(), journal, None),
            service: tree,
            files,
            known: BTreeMap::new(),
            names: HashMap::new(),
            kills: 0,
            torn: 0,
            over: 0,
            shown: 0,
            story: Vec::new(),
            wrong: None,
        }
    }

    fn say(&mut self, what: String) {
        self.story.push(what);
    }

    fn name(&mut self) -> String {
        format!("n{}", self.dice.below(4))
    }

    /// A directory that is there now.
    fn directory(&mut self) -> Inode {
        let mut at = (ROOT, String::new());
        for _ in 0..self.dice.below(3) {
            let name = self.name();
            let path = format!("{}{name}", at.1);
            match self.service.find(&path) {
                Ok(inode) if self.objects[&inode].is_none() => at = (inode, format!("{path}/")),
                _ => break,
            }
        }
        at.0
    }

    /// What a directory shows by a name now.
    fn truth(&self, directory: Inode, name: &str) -> Option<Inode> {
        self.service.child(directory, name).ok()
    }

    fn change(&mut self) {
        let (at, to) = (self.directory(), self.directory());
        let (name, other) = (self.name(), self.name());
        // Each is another one, and most are of one length.
        let text = format!("{:01$}", self.ops.len(), 3 + self.dice.below(8) / 7);
        let there = self.truth(at, &name);
        let file = there.filter(|inode| self.objects[inode].is_some());
        let op = match self.dice.below(12) {
            0..=1 => Op::Directory(at, name),
            2..=4 => Op::File(at, name, text),
            5 => Op::Remove(at, name),
            6 => Op::Rename(at, name, to, other),
            7 => match file {
                Some(file) => Op::Page(file),
                None => return,
            },
            _ => match file {
                Some(file) => Op::Content(file, text),
                None => return,
            },
        };
        self.say(format!("{op:?}"));
        if !carry_out(&self.service, &self.runtime, &op) {
            return;
        }
        self.ops.push(op.clone());
        match &op {
            Op::Directory(at, name) | Op::File(at, name, _) => {
                let inode = self.truth(*at, name).expect("what was added");
                let text = if let Op::File(_, _, text) = &op { Some(text.clone()) } else { None };
                self.objects.insert(inode, text);
            }
            Op::Content(file, text) => drop(self.objects.insert(*file, Some(text.clone()))),
            _ => {}
        }
        let mut changed: Vec<u64> = Vec::new();
        for (number, known) in &self.known {
            let parent = match known.parent == self.kept.root() {
                true => Some(ROOT),
                false => self.known.get(&known.parent.0).map(|known| known.inode),
            };
            let leads = parent.and_then(|parent| self.truth(parent, &known.name));
            let is_other = matches!(op, Op::Content(file, _) if file == known.inode);
            if leads != Some(known.inode) || is_other {
                changed.push(*number);
            }
        }
        for number in changed {
            self.known.entry(number).and_modify(|known| known.changed = true);
        }
    }

    /// Whether something on the way to it is not what it was.
    fn has_changed(&self, number: Handle) -> bool {
        number != self.kept.root()
            && self
                .known
                .get(&number.0)
                .is_none_or(|known| known.changed || self.has_changed(known.parent))
    }

    fn number(&mut self, wanted: impl Fn(&Known) -> bool) -> Option<Handle> {
        let numbers: Vec<_> = self.known.iter().filter(|(_, known)| wanted(known)).collect();
        let numbers: Vec<_> = numbers.into_iter().map(|(number, _)| *number).collect();
        (!numbers.is_empty()).then(|| Handle(numbers[self.dice.below(numbers.len())]))
    }

    /// Carries out what the kernel asks for. The process may be killed once it has its answer, and before
    /// the kernel has it: then it is asked again.
    fn asks<T>(&mut self, ask: impl Fn(&World) -> T) -> T {
        loop {
            let before = lengths(&self.files);
            let answer = ask(self);
            if !self.dice.percent(12) {
                return answer;
            }
            // What it had begun to write may be cut off anywhere.
            let after = lengths(&self.files);
            for at in 0..2 {
                if after[at] > before[at] && before[1 - at] == after[1 - at] {
                    let length = before[at] + self.dice.next() % (after[at] - before[at] + 1);
                    rustix::fs::ftruncate(&self.files[at], length).unwrap();
                    self.torn += 1;
                }
            }
            self.kill();
        }
    }

    fn lookup(&mut self) -> std::result::Result<(), String> {
        let root = self.kept.root();
        let parent = match self.dice.percent(40) {
            true => root,
            false => self.number(|known| known.kind == Kind::Directory).unwrap_or(root),
        };
        let name = self.name();
        self.say(format!("lookup {parent:?} {name}"));
        let found = self.asks(|world| world.runtime.block_on(world.kept.lookup(parent, &name)));
        let directory = match parent == root {
            true => ROOT,
            false => self.known[&parent.0].inode,
        };
        let told = found.as_ref().ok().map(|entry| entry.as_ref().map(|entry| entry.handle));
        self.say(format!("  told {told:?}"));
        let truth = self.truth(directory, &name);
        match found {
            Ok(Some(entry)) => {
                if truth != Some(entry.inode) {
                    return Err(format!(
                        "{parent:?} {name} leads to {entry:?}, and that is {truth:?}"
                    ));
                }
                self.shown += 1;
                self.names.insert((parent, name.clone()), Some(entry.handle));
                let (inode, kind) = (entry.inode, entry.kind);
                let new = Known {
                    inode,
                    kind,
                    count: 0,
                    parent,
                    name: name.clone(),
                    pages: None,
                    changed: false,
                };
                let known = self.known.entry(entry.handle.0).or_insert(new);
                if (known.inode, known.kind) != (inode, kind) {
                    return Err(format!("{:?} was {known:?} and is {entry:?}", entry.handle));
                }
                known.count += 1;
                (known.parent, known.name) = (parent, name);
                known.changed = false;
                self.read(entry.handle, true)
            }
            Ok(None) | Err(Error::NotFound) => {
                self.names.insert((parent, name.clone()), None);
                match truth {
                    Some(inode) => {
                        Err(format!("{parent:?} {name} is not there, and it is {inode:?}"))
                    }
                    None => Ok(()),
                }
            }
            Err(Error::Stale) => self.is_over(parent),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    fn is_over(&mut self, number: Handle) -> std::result::Result<(), String> {
        self.over += 1;
        match self.has_changed(number) {
            true => Ok(()),
            false => Err(format!(
                "{number:?} is over, and it is what it was: {:?}",
                self.known.get(&number.0)
            )),
        }
    }

    fn attributes(&mut self) -> std::result::Result<(), String> {
        let Some(number) = self.number(|_| true) else { return Ok(()) };
        self.say(format!("attributes {number:?}"));
        let known = self.known[&number.0].clone();
        match self.asks(|world| world.runtime.block_on(world.kept.getattr(number))) {
            Ok(attr) if (attr.inode, attr.kind) == (known.inode, known.kind) => Ok(()),
            Ok(attr) => Err(format!("{number:?} was {known:?} and is {attr:?}")),
            Err(Error::Stale | Error::NotFound) => self.is_over(number),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    /// `now`: a name has just led there.
    fn read(&mut self, number: Handle, now: bool) -> std::result::Result<(), String> {
        let known = self.known[&number.0].clone();
        if known.kind == Kind::Directory || now && self.dice.percent(50) {
            return Ok(());
        }
        self.say(format!("read {number:?}"));
        let bytes = self.asks(|world| {
            world.runtime.block_on(async {
                let open = world.kept.open(number).await?;
                let bytes = world.kept.read(open.id, 0, 100).await?;
                world.kept.release(open.id);
                Ok(bytes.to_vec())
            })
        });
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(Error::Stale | Error::NotFound) => return self.is_over(number),
            Err(error) => return Err(format!("{error:?}")),
        };
        if known.pages.as_ref().is_some_and(|pages| *pages != bytes) {
            return Err(format!("{number:?} had {known:?} and has {bytes:?}"));
        }
        let truth = self.objects[&known.inode].as_deref().unwrap_or_default();
        if now && !known.changed && truth.as_bytes() != bytes {
            return Err(format!("{number:?} has {bytes:?}, and it is {truth:?}"));
        }
        self.known.entry(number.0).and_modify(|known| known.pages = Some(bytes));
        Ok(())
    }

    fn forget(&mut self) {
        let has_children = |number: u64| self.known.values().any(|known| known.parent.0 == number);
        let leaves: Vec<_> =
            self.known.keys().copied().filter(|number| !has_children(*number)).collect();
        if leaves.is_empty() {
            return;
        }
        let number = leaves[self.dice.below(leaves.len())];
        let count = self.known[&number].count;
        self.say(format!("forget {number}"));
        self.kept.forget(Handle(number), count);
        self.known.remove(&number);
        // A name that is known holds what it leads to.
        self.names.retain(|_, held| *held != Some(Handle(number)));
    }

    fn kill(&mut self) {
        self.kills += 1;
        self.say("killed".to_owned());
        let tree = Service::new();
        tree.silence_opens();
        for op in &self.ops {
            carry_out(&tree, &self.runtime, op);
        }
        let (journal, left) = Journal::take(both(&self.files)).unwrap();
        let resumed = Kept::new(tree.clone(), Keeper::of_nobody(), journal, Some(left));
        (self.kept, self.service) = (resumed, tree);
        let doubted = self.doubts();
        self.wrong = self.wrong.take().or(doubted.err());
    }

    /// What the next life has the kernel drop.
    fn doubts(&mut self) -> std::result::Result<(), String> {
        let Ok(doubts) = self.kept.changes().recv() else { return Ok(()) };
        for number in self.known.keys() {
            let doubt = Change::Content { handle: Handle(*number), open: false };
            if !doubts.contains(&doubt) {
                return Err(format!("{number} is not doubted"));
            }
        }
        for (parent, name) in std::mem::take(&mut self.names).into_keys() {
            let is_held = parent == self.kept.root() || self.known.contains_key(&parent.0);
            let doubt = Change::Entry { parent, name, fate: Fate::Doubtful };
            if is_held && !doubts.contains(&doubt) {
                return Err(format!("{doubt:?} is not said"));
            }
        }
        Ok(())
    }

    fn step(&mut self) -> std::result::Result<(), String> {
        match self.dice.below(100) {
            0..=24 => {
                self.change();
                Ok(())
            }
            25..=64 => self.lookup(),
            65..=76 => self.attributes(),
            77..=88 => match self.number(|known| known.kind == Kind::File) {
                Some(number) => self.read(number, false),
                None => Ok(()),
            },
            89..=93 => {
                self.forget();
                Ok(())
            }
            _ => {
                self.kill();
                Ok(())
            }
        }?;
        self.wrong.take().map_or(Ok(()), Err)
    }
}

#[test]
fn a_kill_between_any_two_steps_gives_no_number_another_meaning() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let steps = number("OMNIFS_MODEL_STEPS").map_or(STEPS, |steps| steps as usize);
    let first = number("OMNIFS_MODEL_SEED").unwrap_or(1);
    let (mut done, mut seed, begun) = (0, first, Instant::now());
    let (mut kills, mut torn, mut over, mut shown) = (0, 0, 0, 0);
    while done < steps {
        let mut world = World::new(seed);
        for _ in 0..RUN {
            done += 1;
            if let Err(wrong) = world.step() {
                panic!("OMNIFS_MODEL_SEED={seed}: {wrong}\n{}", world.story.join("\n"));
            }
        }
        kills += world.kills;
        torn += world.torn;
        over += world.over;
        shown += world.shown;
        seed += 1;
    }
    println!(
        "{done} steps, {kills} kills, {torn} records cut off, {over} numbers over, {shown} shown, {:?}",
        begun.elapsed()
    );
    assert!(kills > done / 50 && torn > 0 && over > 0 && shown > done / 10);
}
