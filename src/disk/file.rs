//! The store itself: a `redb` database, whose writes are whole or not at all.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | numbers, and the key of all checks |
//! | `spaces` | an instance | the space that it had last |
//! | `answers` | space, kind, digest of what was asked | check, sequence number, age, compressed answer |
//! | `ages` | age | key of the answer |
//! | `touched` | object | sequence numbers of its last event and its last removal |
//! | `scopes` | space, scope | check, where its feed settled |
//!
//! A file grows by doubling and never shrinks, and a page that was written anew is free two writes later. So a
//! quarter of the capacity holds answers, and the whole file stays within it.

use super::{Answer, SpaceId, Start, Work, is_read, private};
use crate::cache::Operation;
use crate::mutants::{Mutant, planted};
use crate::nodes::Key;
use crate::scopes::Settled;
use parking_lot::Mutex;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, WriteTransaction,
};
use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher13;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

type Bytes = &'static [u8];

const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
const SPACES: TableDefinition<'_, &str, Bytes> = TableDefinition::new("spaces");
const ANSWERS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("answers");
const AGES: TableDefinition<'_, u64, Bytes> = TableDefinition::new("ages");
const TOUCHED: TableDefinition<'_, u64, Bytes> = TableDefinition::new("touched");
const SCOPES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("scopes");

/// Of what stands in the tables.
const FORMAT: u64 = 2;
/// Of pages in memory, in bytes.
const PAGES: usize = 8 << 20;
/// The part of the capacity that answers may take.
const SHARE: u64 = 4;
/// An answer that would take more than this part of it is not kept.
const LARGEST: u64 = 16;
/// What an answer takes beside its bytes.
const OVERHEAD: u64 = 120;
/// Events on objects that are remembered; see [`Start::floor`].
const EVENTS: usize = 65_536;
/// Of the compression, which is fast.
const LEVEL: i32 = 1;
/// The most bytes that an answer has when it is read.
const MOST: usize = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("another mount has it")]
    InUse,
    /// It is not what was written, or of another version.
    #[error("the file cannot be read: {0}")]
    Broken(String),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Store(String),
}

/// What the store calls an error; those of a file that is not whole are among them.
fn store(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => Error::InUse,
        redb::Error::Io(error) => Error::Io(error),
        redb::Error::Corrupted(why) => Error::Broken(why),
        error => Error::Store(error.to_string()),
    }
}

/// The key of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place([u8; 33]);

impl Place {
    fn new(space: SpaceId, kind: u8, digest: &[u8]) -> Place {
        let mut key = [0; 33];
        key[..16].copy_from_slice(&space.0);
        key[16] = kind;
        key[17..].copy_from_slice(&digest[..16]);
        Place(key)
    }

    pub fn answer(space: SpaceId, id: &str, operation: &Operation) -> Option<Place> {
        let (kind, name) = match operation {
            Operation::List => (b'l', ""),
            Operation::Read => (b'r', ""),
            Operation::Lookup(name) => (b'n', &**name),
            Operation::Piece { .. } => return None,
        };
        let digest = Sha256::new()
            .chain_update((id.len() as u64).to_le_bytes())
            .chain_update(id)
            .chain_update(name);
        Some(Place::new(space, kind, &digest.finalize()))
    }

    pub fn validated(space: SpaceId, request: [u8; 16]) -> Place {
        Place::new(space, b'v', &request)
    }
}

/// What was found.
pub(super) struct Read {
    pub stamp: u64,
    pub bytes: Vec<u8>,
}

pub(super) struct File {
    database: Database,
    pub key: [u8; 32],
    room: u64,
    /// Of answers, their keys included.
    bytes: AtomicU64,
    answers: AtomicU64,
    scopes: AtomicU64,
    /// Of the writer.
    next: Mutex<Next>,
}

struct Next {
    age: u64,
    sequence: u64,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A file that is not what was written may have the store panic.
fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let broken = |_| Err(Error::Broken("reading it failed".into()));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(broken)
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn broken(what: &str) -> Error {
    Error::Broken(format!("{what} is not what was written"))
}

impl File {
    /// Opens the store or begins one. All of it is checked: after a crash, and for what somebody else did to the file.
    pub fn open(place: &Path, capacity: u64) -> Result<(File, Start), Error> {
        let file = private(place)?;
        let length = file.metadata()?.len();
        caught(|| {
            // Nobody else has it from here on.
            let backend = FileBackend::new(file).map_err(store)?;
            if length > capacity {
                return Err(Error::Broken("it is larger than it may be now".into()));
            }
            let mut builder = Builder::new();
            builder.set_cache_size(PAGES).set_check_integrity_on_open(true);
            let database = match builder.create_with_backend(backend) {
                Ok(database) => database,
                Err(DatabaseError::DatabaseAlreadyOpen) => return Err(Error::InUse),
                Err(error) => {
                    return Err(match store(error) {
                        // What it calls an I/O error is that of a file which ends too early, too.
                        Error::Io(error) if error.kind() != io::ErrorKind::StorageFull => {
                            Error::Broken(error.to_string())
                        }
                        Error::Store(why) => Error::Broken(why),
                        other => other,
                    });
                }
            };
            File::begin(database, capacity)
        })
    }

    fn begin(database: Database, capacity: u64) -> Result<(File, Start), Error> {
        let write = begin_write(&database)?;
        let mut key = [0; 32];
        let mut start = Start::default();
        let (mut bytes, mut age) = (0, 0);
        {
            let mut meta = write.open_table(META).map_err(store)?;
            let mut known = |name: &str, fresh: &[u8]| -> Result<Vec<u8>, Error> {
                if let Some(value) = meta.get(name).map_err(store)? {
                    return Ok(value.value().to_vec());
                }
                meta.insert(name, fresh).map_err(store)?;
                Ok(fresh.to_vec())
            };
            let mut fresh = [0; 32];
            getrandom::fill(&mut fresh).map_err(|error| Error::Store(error.to_string()))?;
            let format = known("format", &FORMAT.to_le_bytes())?;
            if number(&format) != Some(FORMAT) {
                return Err(Error::Broken("it is of another version".into()));
            }
            key.copy_from_slice(known("key", &fresh)?.get(..32).ok_or_else(|| broken("its key"))?);
            let mut count = |name| {
                let value = known(name, &0u64.to_le_bytes())?;
                number(&value).ok_or_else(|| broken(name))
            };
            start.sequence = count("sequence")?;
            start.floor = count("floor")?;
            bytes += count("bytes")?;
        }
        let (answers, scopes) = {
            write.open_table(SPACES).map_err(store)?;
            let scopes = write.open_table(SCOPES).map_err(store)?.len().map_err(store)?;
            let ages = write.open_table(AGES).map_err(store)?;
            if let Some((last, _)) = ages.last().map_err(store)? {
                age = last.value() + 1;
            }
            (write.open_table(ANSWERS).map_err(store)?.len().map_err(store)?, scopes)
        };
        {
            let mut table = write.open_table(TOUCHED).map_err(store)?;
            for row in table.iter().map_err(store)? {
                let (object, value) = row.map_err(store)?;
                let (object, value) = (object.value(), value.value());
                let read = || Some((number(value.get(..8)?)?, number(value.get(8..16)?)?));
                let (last, removed) = read().ok_or_else(|| broken("an event"))?;
                start.touched.push((Key(object), last, removed));
            }
            start.touched.sort_by_key(|(_, last, _)| *last);
            let most = start.touched.len().saturating_sub(EVENTS);
            for (object, last, _) in start.touched.drain(..most) {
                table.remove(object.0).map_err(store)?;
                start.floor = start.floor.max(last);
            }
        }
        {
            let mut meta = write.open_table(META).map_err(store)?;
            meta.insert("floor", &start.floor.to_le_bytes()[..]).map_err(store)?;
        }
        write.commit().map_err(store)?;
        let file = File {
            database,
            key,
            room: capacity / SHARE,
            bytes: bytes.into(),
            answers: answers.into(),
            scopes: scopes.into(),
            next: Mutex::new(Next { age, sequence: start.sequence }),
        };
        Ok((file, start))
    }

    /// Answers and scopes.
    pub fn counts(&self) -> (u64, u64) {
        (self.answers.load(Ordering::Relaxed), self.scopes.load(Ordering::Relaxed))
    }

    /// Notes the space that an instance has. Gives where its feeds stood, and the space that it had before.
    pub fn admit(&self, name: &str, space: SpaceId) -> Result<Admitted, Error> {
        caught(|| {
            let write = begin_write(&self.database)?;
            let mut rows = Vec::new();
            let before = {
                let mut spaces = write.open_table(SPACES).map_err(store)?;
                let before = spaces.insert(name, &space.0[..]).map_err(store)?;
                before.and_then(|before| Some(SpaceId(before.value().try_into().ok()?)))
            };
            for row in
                write.open_table(SCOPES).map_err(store)?.range(&space.0[..]..).map_err(store)?
            {
                let (key, value) = row.map_err(store)?;
                let Some(scope) = key.value().strip_prefix(&space.0) else { break };
                let (check, value) =
                    value.value().split_first_chunk().ok_or_else(|| broken("a cursor"))?;
                if u64::from_le_bytes(*check) != self.check(key.value(), value) {
                    return Err(broken("a cursor"));
                }
                let read =
                    || Some((std::str::from_utf8(scope).ok()?, postcard::from_bytes(value).ok()?));
                let (scope, settled): (&str, Settled) = read().ok_or_else(|| broken("a cursor"))?;
                rows.push((Arc::from(scope), settled));
            }
            write.commit().map_err(store)?;
            Ok((rows, before.filter(|before| *before != space)))
        })
    }

    fn check(&self, key: &[u8], value: &[u8]) -> u64 {
        let mut secret = [0; 16];
        secret.copy_from_slice(&self.key[..16]);
        let mut hasher = SipHasher13::new_with_key(&secret);
        use std::hash::Hasher;
        hasher.write_u64(key.len() as u64);
        hasher.write(key);
        hasher.write(value);
        hasher.finish()
    }

    /// What is kept there. `Err`: the file is not what was written.
    pub fn read(&self, place: &Place) -> Result<Option<Read>, Error> {
        caught(|| {
            let read = self.database.begin_read().map_err(store)?;
            let answers = read.open_table(ANSWERS).map_err(store)?;
            let Some(found) = answers.get(&place.0[..]).map_err(store)? else { return Ok(None) };
            let value = found.value();
            let (check, rest) = value.split_first_chunk().ok_or_else(|| broken("an answer"))?;
            if u64::from_le_bytes(*check) != self.check(&place.0, rest) {
                return Err(broken("an answer"));
            }
            let read = || {
                let (stamp, length) = (number(rest.get(..8)?)?, number(rest.get(16..24)?)?);
                let length = usize::try_from(length).ok().filter(|length| *length <= MOST)?;
                Some((stamp, zstd::bulk::decompress(rest.get(24..)?, length).ok()?))
            };
            let (stamp, bytes) = read().ok_or_else(|| broken("an answer"))?;
            Ok(Some(Read { stamp, bytes }))
        })
    }

    /// When that was asked for. It is not checked: who reads it finds that.
    pub fn stamp(&self, place: &Place) -> Result<Option<u64>, Error> {
        caught(|| {
            let read = self.database.begin_read().map_err(store)?;
            let answers = read.open_table(ANSWERS).map_err(store)?;
            let found = answers.get(&place.0[..]).map_err(store)?;
            Ok(found.and_then(|found| number(found.value().get(8..16)?)))
        })
    }

    /// Writes what happened, all of it or nothing.
    pub fn write(&self, batch: Vec<Work>) -> Result<(), Error> {
        self.write_until(batch, usize::MAX)
    }

    /// The same by a process that is killed after so many transactions.
    pub fn write_until(&self, batch: Vec<Work>, transactions: usize) -> Result<(), Error> {
        let mut parts = vec![batch];
        if planted(Mutant::SettlesBeforeItsEvents) {
            let is_settled = |work: &Work| matches!(work, Work::Settled { .. });
            let (settled, rest) = parts.remove(0).into_iter().partition(is_settled);
            parts = vec![settled, rest];
        }
        let mut parts = parts.into_iter().take(transactions);
        parts.try_for_each(|part| caught(|| self.write_whole(part)))
    }

    fn write_whole(&self, batch: Vec<Work>) -> Result<(), Error> {
        let write = begin_write(&self.database)?;
        let mut next = self.next.lock();
        let mut tables = Tables::new(self, &write)?;
        for work in batch {
            tables.put(work, &mut next)?;
        }
        tables.make_room(self.room)?;
        tables.trim_events()?;
        let (bytes, answers) = (tables.bytes, tables.answers.len().map_err(store)?);
        let scopes = tables.scopes.len().map_err(store)?;
        {
            let mut meta = write.open_table(META).map_err(store)?;
            meta.insert("bytes", &bytes.to_le_bytes()[..]).map_err(store)?;
            meta.insert("sequence", &next.sequence.to_le_bytes()[..]).map_err(store)?;
            if let Some(floor) = tables.floor {
                let before = meta.get("floor").map_err(store)?.and_then(|row| number(row.value()));
                let floor = floor.max(before.unwrap_or(0));
                meta.insert("floor", &floor.to_le_bytes()[..]).map_err(store)?;
            }
        }
        drop(tables);
        write.commit().map_err(store)?;
        self.bytes.store(bytes, Ordering::Relaxed);
        self.answers.store(answers, Ordering::Relaxed);
        self.scopes.store(scopes, Ordering::Relaxed);
        Ok(())
    }
}

/// Where an instance's feeds stood, and the space that it had before where that was another one.
type Admitted = (Vec<(Arc<str>, Settled)>, Option<SpaceId>);

fn begin_write(database: &Database) -> Result<WriteTransaction, Error> {
    let mut write = database.begin_write().map_err(store)?;
    // A file that a killed process has left is then opened as fast as any other.
    write.set_quick_repair(true);
    Ok(write)
}

type Table<'a, K> = redb::Table<'a, K, Bytes>;

/// The tables of one write.
struct Tables<'a> {
    file: &'a File,
    answers: Table<'a, Bytes>,
    ages: Table<'a, u64>,
    touched: Table<'a, u64>,
    scopes: Table<'a, Bytes>,
    bytes: u64,
    floor: Option<u64>,
}

impl<'a> Tables<'a> {
    fn new(file: &'a File, write: &'a WriteTransaction) -> Result<Self, Error> {
        Ok(Tables {
            file,
            answers: write.open_table(ANSWERS).map_err(store)?,
            ages: write.open_table(AGES).map_err(store)?,
            touched: write.open_table(TOUCHED).map_err(store)?,
            scopes: write.open_table(SCOPES).map_err(store)?,
            bytes: file.bytes.load(Ordering::Relaxed),
            floor: None,
        })
    }

    fn put(&mut self, work: Work, next: &mut Next) -> Result<(), Error> {
        match work {
            Work::Answer { space, query, memo, stamp } if is_read(&query.operation) => {
                let name = match &query.operation {
                    Operation::Lookup(name) => Some(&**name),
                    _ => None,
                };
                let place = Place::answer(space, &query.id, &query.operation);
                if let (Some(place), Some(bytes)) = (place, Answer::encode(&memo, name)) {
                    next.sequence = next.sequence.max(stamp);
                    self.keep(&place, stamp, &bytes, next)?;
                }
            }
            Work::Answer { .. } => {}
            Work::Outdated { space, query } => {
                if let Some(place) = Place::answer(space, &query.id, &query.operation) {
                    self.remove(&place.0)?;
                }
            }
            Work::Validated { space, request, bytes } => {
                let place = Place::validated(space, request);
                match bytes.is_empty() {
                    true => self.remove(&place.0)?,
                    false => self.keep(&place, 0, &bytes, next)?,
                }
            }
            Work::Touched { object, sequence, removed } => {
                next.sequence = next.sequence.max(sequence);
                let before = self.touched.get(object.0).map_err(store)?;
                let before = before.and_then(|before| number(before.value().get(8..16)?));
                let removal = if removed { sequence } else { before.unwrap_or(0) };
                let mut value = [0; 16];
                value[..8].copy_from_slice(&sequence.to_le_bytes());
                value[8..].copy_from_slice(&removal.to_le_bytes());
                self.touched.insert(object.0, &value[..]).map_err(store)?;
            }
            Work::Gap { space, scope } => self.forget_scopes(space, &scope)?,
            Work::Settled { space, scope, settled } => {
                next.sequence = next.sequence.max(settled.from);
                let key = [&space.0[..], scope.as_bytes()].concat();
                let Ok(value) = postcard::to_allocvec(&settled) else { return Ok(()) };
                let check = self.file.check(&key, &value).to_le_bytes();
                let value = [&check[..], &value].concat();
                self.scopes.insert(&key[..], &value[..]).map_err(store)?;
            }
            Work::Doubted(sequence) => {
                next.sequence = next.sequence.max(sequence);
                self.floor = self.floor.max(Some(sequence));
            }
            Work::Forgotten(space) => {
                self.forget_scopes(space, "")?;
                let of = self.answers.range(&space.0[..]..).map_err(store)?;
                let mut keys = Vec::new();
                for row in of {
                    let (key, _) = row.map_err(store)?;
                    if !key.value().starts_with(&space.0) {
                        break;
                    }
                    keys.push(key.value().to_vec());
                }
                keys.iter().try_for_each(|key| self.remove(key))?;
            }
        }
        Ok(())
    }

    /// Forgets where the feeds of all scopes stood that a gap in `scope` concerns.
    fn forget_scopes(&mut self, space: SpaceId, scope: &str) -> Result<(), Error> {
        let mut keys = Vec::new();
        for row in self.scopes.range(&space.0[..]..).map_err(store)? {
            let (key, _) = row.map_err(store)?;
            let Some(of) = key.value().strip_prefix(&space.0) else { break };
            let of = std::str::from_utf8(of).unwrap_or_default();
            if crate::scopes::covers(scope, of) || crate::scopes::covers(of, scope) {
                keys.push(key.value().to_vec());
            }
        }
        for key in keys {
            self.scopes.remove(&key[..]).map_err(store)?;
        }
        Ok(())
    }

    fn keep(
        &mut self,
        place: &Place,
        stamp: u64,
        bytes: &[u8],
        next: &mut Next,
    ) -> Result<(), Error> {
        self.remove(&place.0)?;
        let length = (bytes.len() as u64).to_le_bytes();
        let packed = zstd::bulk::compress(bytes, LEVEL)?;
        if bytes.len() > MOST || packed.len() as u64 > self.file.room / LARGEST {
            return Ok(());
        }
        let age = next.age;
        next.age += 1;
        let rest = [&stamp.to_le_bytes()[..], &age.to_le_bytes(), &length, &packed].concat();
        let check = self.file.check(&place.0, &rest).to_le_bytes();
        let value = [&check[..], &rest].concat();
        self.answers.insert(&place.0[..], &value[..]).map_err(store)?;
        self.ages.insert(age, &place.0[..]).map_err(store)?;
        self.bytes += value.len() as u64 + OVERHEAD;
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), Error> {
        let Some(old) = self.answers.remove(key).map_err(store)? else { return Ok(()) };
        let (length, age) = (old.value().len() as u64, old.value().get(16..24).and_then(number));
        drop(old);
        self.bytes = self.bytes.saturating_sub(length + OVERHEAD);
        if let Some(age) = age {
            self.ages.remove(age).map_err(store)?;
        }
        Ok(())
    }

    /// Forgets the oldest events where there are many more than are remembered.
    fn trim_events(&mut self) -> Result<(), Error> {
        if self.touched.len().map_err(store)? <= (EVENTS + EVENTS / 8) as u64 {
            return Ok(());
        }
        let mut events = Vec::new();
        for row in self.touched.iter().map_err(store)? {
            let (object, value) = row.map_err(store)?;
            let last = value.value().get(..8).and_then(number).ok_or_else(|| broken("an event"))?;
            events.push((last, object.value()));
        }
        events.sort_unstable();
        for (last, object) in &events[..events.len().saturating_sub(EVENTS)] {
            self.touched.remove(*object).map_err(store)?;
            self.floor = self.floor.max(Some(*last));
        }
        Ok(())
    }

    /// Drops what was written first.
    fn make_room(&mut self, room: u64) -> Result<(), Error> {
        while self.bytes > room {
            let oldest = self.ages.pop_first().map_err(store)?;
            let Some(key) = oldest.map(|(_, key)| key.value().to_vec()) else { break };
            self.remove(&key)?;
        }
        Ok(())
    }
}
