//! A service that keeps no content: it makes the bytes of each part as it is asked for them.

use bytes::Bytes;
use futures_util::FutureExt;
use omnifs::provider::{
    Answer, Body, Cause, Change, Coherence, Delivery, Failure, Kind, Method, Node, Piece, Position,
    Progress, Provider, Reply, Request, ScopedChange, Source, Validator, Wanted,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Semaphore;

pub const ROOT: &str = "root";
pub const SCOPE: &str = "store";
pub const MIB: u64 = 1 << 20;

/// A file, what is said of it, and how it is answered.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub length: u64,
    /// Which content it has.
    pub state: u64,
    /// Where the content begins in what the request answers.
    pub offset: u64,
    /// What the answers to its parts carry.
    pub answered: Option<Validator>,
    /// What its node says.
    pub validator: Option<String>,
    pub digest: Option<[u8; 32]>,
    pub version: Option<String>,
    pub immutable: bool,
    /// The service knows no parts.
    pub whole: bool,
}

impl File {
    pub fn new(length: u64) -> File {
        File { length, ..File::default() }.in_state(1)
    }

    /// With another content, and a tag of its own.
    pub fn in_state(self, state: u64) -> File {
        File { state, answered: Some(tag(state)), ..self }
    }
}

fn tag(state: u64) -> Validator {
    Validator::Tag(format!("\"{state}\""))
}

/// The bytes of a content: eight at a time by their place.
pub fn bytes(state: u64, start: u64, length: u64) -> Vec<u8> {
    let (first, end) = (start / 8, (start + length).div_ceil(8));
    let mut made = Vec::with_capacity(((end - first) * 8) as usize);
    for word in first..end {
        let mut mixed = (word ^ state << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        made.extend_from_slice(&(mixed ^ (mixed >> 32)).to_le_bytes());
    }
    let skip = (start % 8) as usize;
    made.drain(..skip);
    made.truncate(length as usize);
    made
}

/// The SHA-256 of the first bytes of a content.
pub fn sum(state: u64, length: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    for start in (0..length).step_by(MIB as usize) {
        hash.update(bytes(state, start, MIB.min(length - start)));
    }
    hash.finalize().into()
}

#[derive(Debug, Default)]
pub struct Store {
    files: Mutex<BTreeMap<String, File>>,
    /// Left out of the listing, and still there.
    left: Mutex<BTreeSet<String>>,
    parts: Mutex<Vec<(String, u64)>>,
    fault: Mutex<Option<Cause>>,
    gate: Mutex<Option<Arc<Semaphore>>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().expect("no test panics under a lock")
}

impl Store {
    pub fn put(&self, name: &str, file: File) -> Vec<Change> {
        let new = lock(&self.files).insert(name.to_owned(), file).is_none();
        vec![if new { Change::ChildrenChanged(ROOT.into()) } else { named(name) }]
    }

    pub fn delete(&self, name: &str) -> Vec<Change> {
        lock(&self.files).remove(name);
        vec![Change::Removed(name.into()), Change::ChildrenChanged(ROOT.into())]
    }

    pub fn unlink(&self, name: &str) -> Vec<Change> {
        lock(&self.left).insert(name.to_owned());
        vec![Change::ChildrenChanged(ROOT.into())]
    }

    /// The parts of a file that were asked for since this was last asked, by their number.
    pub fn take_parts(&self, name: &str) -> Vec<u64> {
        let mut parts = lock(&self.parts);
        let of = parts.iter().filter(|(of, _)| of == name).map(|(_, index)| *index).collect();
        parts.retain(|(of, _)| of != name);
        of
    }

    /// How many parts of a file were asked for since.
    pub fn count(&self, name: &str) -> usize {
        lock(&self.parts).iter().filter(|(of, _)| of == name).count()
    }

    /// Has every part fail.
    pub fn fail(&self, cause: Option<Cause>) {
        *lock(&self.fault) = cause;
    }

    /// Holds every part back until the permits let it go.
    pub fn hold(&self, gate: Option<Arc<Semaphore>>) {
        *lock(&self.gate) = gate;
    }

    fn failure(cause: Cause) -> Failure {
        let detail = format!("the store answered {cause:?}");
        Failure { provider: "store".into(), cause, detail, retry_after: None }
    }

    fn node(name: &str, file: &File) -> Node {
        let request = Request {
            endpoint: "store".into(),
            method: Method::Get,
            path: format!("/{name}"),
            headers: Vec::new(),
            body: None,
        };
        let File { offset, length, digest, .. } = *file;
        let source = Source { request, offset, length, validator: file.validator.clone(), digest };
        Node {
            id: name.into(),
            name: name.to_owned(),
            kind: Kind::File,
            size: Some(length),
            modified: None,
            version: file.version.clone(),
            content: Some(Body::At(Arc::new(source))),
            coherence: match file.immutable {
                true => Coherence::Immutable,
                false => Coherence::Scoped(SCOPE.into()),
            },
            part_of: None,
            complete: false,
        }
    }

    fn part(&self, wanted: Wanted<'_>) -> Result<Piece, Failure> {
        let Wanted { source, start, length, validator } = wanted;
        let name = source.request.path.trim_start_matches('/');
        lock(&self.parts).push((name.to_owned(), start / MIB));
        if let Some(cause) = *lock(&self.fault) {
            return Err(Store::failure(cause));
        }
        let files = lock(&self.files);
        let file = files.get(name).ok_or_else(|| Store::failure(Cause::NotFound))?;
        // As a service does that honours If-Match.
        let differs = |now: &Validator| validator.is_some_and(|was| !was.is_same(now));
        if file.answered.as_ref().is_some_and(differs) {
            return Err(Store::failure(Cause::Changed));
        }
        let made = |start, length| Bytes::from(bytes(file.state, source.offset + start, length));
        let whole = file.whole.then(|| made(0, source.length));
        Ok(Piece { bytes: made(start, length), validator: file.answered.clone(), whole })
    }
}

fn named(name: &str) -> Change {
    Change::Invalidated(name.into())
}

impl Provider for Store {
    fn lookup_child<'a>(&'a self, _: &'a str, name: &'a str) -> Reply<'a, Answer<Node>> {
        let files = lock(&self.files);
        let there = files.get(name).filter(|_| !lock(&self.left).contains(name));
        let node = there.map(|file| Answer::plain(Store::node(name, file)));
        std::future::ready(node.ok_or_else(|| Store::failure(Cause::NotFound))).boxed()
    }

    fn list_children<'a>(&'a self, _: &'a str) -> Reply<'a, Answer<Vec<Node>>> {
        let (files, left) = (lock(&self.files), lock(&self.left));
        let there = files.iter().filter(|(name, _)| !left.contains(*name));
        let nodes = there.map(|(name, file)| Store::node(name, file)).collect();
        std::future::ready(Ok(Answer::plain(nodes))).boxed()
    }

    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>> {
        panic!("{node} says where its content is, and is asked for it");
    }

    fn read_part<'a>(&'a self, part: Wanted<'a>) -> Reply<'a, Piece> {
        let answer = self.part(part);
        let gate = lock(&self.gate).clone();
        async move {
            if let Some(gate) = gate {
                gate.acquire().await.expect("the gate is never closed").forget();
            }
            answer
        }
        .boxed()
    }

    fn open_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Request> {
        std::future::ready(Err(Store::failure(Cause::Invalid))).boxed()
    }

    fn feed_line<'a>(&'a self, _: &'a Position, _: Bytes) -> Reply<'a, Progress> {
        std::future::ready(Err(Store::failure(Cause::Invalid))).boxed()
    }

    fn poll_feed<'a>(&'a self, _: &'a Position) -> Reply<'a, Progress> {
        std::future::ready(Err(Store::failure(Cause::Invalid))).boxed()
    }

    fn deliver(&self, _: Delivery) -> Reply<'_, Vec<ScopedChange>> {
        std::future::ready(Err(Store::failure(Cause::Invalid))).boxed()
    }
}
