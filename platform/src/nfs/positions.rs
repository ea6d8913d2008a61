//! Where things are, by position: the names that lead from the root to a handle's object.
//!
//! A handle carries a number for its position, not the names. They are kept here, and in a journal
//! that a restarted server reads. The table is bounded: what was not used for longest goes first.
//! Its handle is then good only as long as the object is held (objects.rs).
//!
//! Invariant: answering a request never waits for the journal.

use super::handle::{Position, Sealer};
use super::state::private_file;
use lru::LruCache;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const FILE: &str = "positions";
const MAGIC: &[u8] = b"omnifs positions 1\n";
/// Names above a position at most: more than any tree has.
const DEPTH: usize = 512;
/// How long entries gather before they are written.
const GATHER: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
struct Step {
    parent: Position,
    name: Arc<str>,
}

#[derive(Debug)]
struct Table {
    steps: LruCache<Position, Step>,
    /// Not written yet.
    fresh: Vec<Step>,
    /// More came than was kept in `fresh`: the journal is written anew as a whole.
    overflown: bool,
    ending: bool,
}

#[derive(Debug)]
struct Shared {
    sealer: Sealer,
    capacity: usize,
    table: Mutex<Table>,
    written: Condvar,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }
}

#[derive(Debug)]
pub(super) struct Positions {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Positions {
    /// Reads the journal in `directory`, and keeps it from now on.
    pub fn open(directory: &Path, sealer: Sealer, capacity: usize) -> io::Result<Positions> {
        let bound = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        let mut steps = LruCache::unbounded();
        let path = directory.join(FILE);
        read(&path, &sealer, bound.get(), &mut steps)?;
        let table = Table { steps, fresh: Vec::new(), overflown: false, ending: false };
        let shared = Arc::new(Shared {
            sealer,
            capacity: bound.get(),
            table: table.into(),
            written: Condvar::new(),
        });
        // Whatever the last run left, this one starts with a whole file.
        let journal = Journal::rewrite(path, &shared)?;
        let writer = {
            let shared = shared.clone();
            thread::Builder::new()
                .name("omnifs-nfs-positions".into())
                .spawn(move || journal.run(&shared))?
        };
        Ok(Positions { shared, writer: Some(writer) })
    }

    /// The position of `name` in the directory at `parent`, remembered.
    pub fn enter(&self, parent: Position, name: &str) -> (Position, Arc<str>) {
        let position = self.shared.sealer.position(parent, name);
        let mut table = self.shared.table();
        // What leads there is used too, and must not go before it.
        let mut above = parent;
        for _ in 0..DEPTH {
            let Some(step) = table.steps.get(&above) else { break };
            above = step.parent;
        }
        if let Some(step) = table.steps.get(&position) {
            return (position, step.name.clone());
        }
        let step = Step { parent, name: name.into() };
        let name = step.name.clone();
        table.steps.put(position, step.clone());
        if table.steps.len() > self.shared.capacity {
            table.steps.pop_lru();
        }
        if table.fresh.len() < self.shared.capacity {
            table.fresh.push(step);
        } else {
            table.overflown = true;
        }
        if table.fresh.len() == 1 {
            self.shared.written.notify_one();
        }
        (position, name)
    }

    /// The number of `name` in the directory at `parent`, without remembering it.
    pub fn of(&self, parent: Position, name: &str) -> Position {
        self.shared.sealer.position(parent, name)
    }

    /// Each position from just below the root down to `position`, with its name. `None` where a part
    /// of the way is not known (any more).
    pub fn way(&self, position: Position) -> Option<Vec<(Position, Arc<str>)>> {
        let mut table = self.shared.table();
        let mut way = Vec::new();
        let mut at = position;
        while at != Position::ROOT {
            let step = table.steps.get(&at)?;
            way.push((at, step.name.clone()));
            at = step.parent;
            if way.len() > DEPTH {
                return None;
            }
        }
        way.reverse();
        Some(way)
    }

    /// The position that holds `position`; the root holds itself.
    pub fn parent(&self, position: Position) -> Option<Position> {
        if position == Position::ROOT {
            return Some(position);
        }
        self.shared.table().steps.get(&position).map(|step| step.parent)
    }
}

impl Drop for Positions {
    fn drop(&mut self) {
        self.shared.table().ending = true;
        self.shared.written.notify_one();
        if let Some(writer) = self.writer.take() {
            // A panic in there was reported already.
            let _ = writer.join();
        }
    }
}

/// The journal's steps, the oldest first; what follows a torn record is dropped.
fn read(
    path: &Path,
    sealer: &Sealer,
    capacity: usize,
    steps: &mut LruCache<Position, Step>,
) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut input = BufReader::new(file);
    let mut magic = [0; MAGIC.len()];
    if input.read_exact(&mut magic).is_err() || magic != *MAGIC {
        return Ok(());
    }
    while let Some(step) = read_step(&mut input) {
        steps.put(sealer.position(step.parent, &step.name), step);
        if steps.len() > capacity {
            steps.pop_lru();
        }
    }
    Ok(())
}

fn read_step(input: &mut impl Read) -> Option<Step> {
    let (mut parent, mut length, mut name) = ([0; 16], [0], [0; 255]);
    input.read_exact(&mut parent).ok()?;
    input.read_exact(&mut length).ok()?;
    let name = &mut name[..usize::from(length[0])];
    input.read_exact(name).ok()?;
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    Some(Step { parent: Position(parent), name: name.into() })
}

fn write_step(step: &Step, out: &mut Vec<u8>) {
    // Names are at most 255 bytes long; a longer one was never entered.
    let Ok(length) = u8::try_from(step.name.len()) else { return };
    out.extend(step.parent.0);
    out.push(length);
    out.extend(step.name.as_bytes());
}

/// The file, as its own thread writes it.
struct Journal {
    path: PathBuf,
    file: File,
    /// Steps in the file, also those that the table has dropped.
    count: usize,
}

impl Journal {
    fn rewrite(path: PathBuf, shared: &Shared) -> io::Result<Journal> {
        let (file, count, next) = Journal::beside(&path, shared)?;
        fs::rename(&next, &path)?;
        Ok(Journal { path, file, count })
    }

    /// Writes the table to a new file: the file, its steps, and where it is.
    fn beside(path: &Path, shared: &Shared) -> io::Result<(File, usize, PathBuf)> {
        let mut out = MAGIC.to_vec();
        let count = {
            let mut table = shared.table();
            // From the least to the most recently used, as it will be read.
            table.steps.iter().rev().for_each(|(_, step)| write_step(step, &mut out));
            table.fresh.clear();
            table.overflown = false;
            table.steps.len()
        };
        let next = path.with_extension("next");
        let mut file = private_file(&next)?;
        file.write_all(&out)?;
        Ok((file, count, next))
    }

    /// Writes what is entered until the table ends.
    fn run(mut self, shared: &Shared) {
        loop {
            let mut table = shared.table();
            while table.fresh.is_empty() && !table.overflown && !table.ending {
                shared.written.wait(&mut table);
            }
            if !table.ending {
                shared.written.wait_while_for(&mut table, |table| !table.ending, GATHER);
            }
            let ending = table.ending;
            let fresh = std::mem::take(&mut table.fresh);
            let whole = table.overflown || self.count + fresh.len() > 2 * shared.capacity;
            drop(table);
            let written = if whole { self.replace(shared) } else { self.append(&fresh) };
            if let Err(error) = written {
                tracing::warn!(%error, "the journal of NFS positions was not written");
            }
            if ending {
                return;
            }
        }
    }

    fn replace(&mut self, shared: &Shared) -> io::Result<()> {
        let (file, count, next) = Journal::beside(&self.path, shared)?;
        // The old one is closed by this: not every system replaces a file that is open.
        (self.file, self.count) = (file, count);
        fs::rename(next, &self.path)
    }

    fn append(&mut self, fresh: &[Step]) -> io::Result<()> {
        let mut out = Vec::new();
        fresh.iter().for_each(|step| write_step(step, &mut out));
        self.count += fresh.len();
        self.file.write_all(&out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(directory: &Path, capacity: usize) -> Positions {
        Positions::open(directory, Sealer::new(&[7; 16]), capacity).unwrap()
    }

    fn enter(positions: &Positions, path: &str) -> Position {
        path.split('/').fold(Position::ROOT, |above, name| positions.enter(above, name).0)
    }

    fn way(positions: &Positions, position: Position) -> Option<String> {
        let names = positions.way(position)?;
        Some(names.iter().map(|(_, name)| &**name).collect::<Vec<_>>().join("/"))
    }

    #[test]
    fn positions_are_known_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path(), 100);
        let deep = enter(&first, "a/b/c");
        assert_eq!(way(&first, deep).unwrap(), "a/b/c");
        assert_eq!(first.parent(deep).unwrap(), enter(&first, "a/b"));
        drop(first);
        for _ in 0..2 {
            let again = open(directory.path(), 100);
            assert_eq!(way(&again, deep).unwrap(), "a/b/c");
            assert_eq!(way(&again, Position([3; 16])), None);
        }
    }

    #[test]
    fn the_table_and_the_journal_are_bounded_and_keep_what_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let positions = open(directory.path(), 50);
        let kept = enter(&positions, "above/kept");
        let gone = enter(&positions, "gone");
        for index in 0..5000 {
            enter(&positions, &format!("above/{index}"));
            assert!(way(&positions, kept).is_some());
        }
        assert_eq!(way(&positions, gone), None);
        drop(positions);
        let length = fs::metadata(directory.path().join(FILE)).unwrap().len();
        assert!(length < 150 * 40, "{length}");
        assert_eq!(way(&open(directory.path(), 50), kept).unwrap(), "above/kept");
    }

    #[test]
    fn a_torn_or_foreign_journal_costs_only_what_it_lost() {
        let directory = tempfile::tempdir().unwrap();
        let positions = open(directory.path(), 100);
        let (first, last) = (enter(&positions, "first"), enter(&positions, "last"));
        drop(positions);
        let path = directory.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 2]).unwrap();
        let torn = open(directory.path(), 100);
        assert!(way(&torn, first).is_some() && way(&torn, last).is_none());
        drop(torn);
        fs::write(&path, "something else").unwrap();
        assert_eq!(way(&open(directory.path(), 100), first), None);
    }
}
