//! Answers kept with their validators, so that an unchanged object costs a 304.
//!
//! **Invariant:** what is kept is never served without the server's word: it only turns a 304 into
//! the answer that the 304 confirms. Answers to different credentials are different entries.

use super::budget::headers::unchanged_for;
use crate::disk::Disk;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How long an object was as it is before the server answered, so that its date tells it from what comes after. A date
/// has whole seconds: an object that changes at 10.2 s and again at 10.8 s has one date in both states, and who kept
/// the first would be told for ever that it is the last. RFC 9110 (section 8.8.2.2) asks for one second. The other
/// is for servers that look at a file before they look at the clock.
const SETTLED: Duration = Duration::from_secs(2);

/// Whether the service says that an answer is not to be stored.
pub(super) fn is_forbidden(answer: &HeaderMap) -> bool {
    let mut said = answer.get_all(header::CACHE_CONTROL).iter();
    said.any(|value| value.to_str().is_ok_and(|v| v.to_ascii_lowercase().contains("no-store")))
}

/// What makes two requests the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub instance: Arc<str>,
    pub endpoint: String,
    /// Path and query.
    pub target: String,
    /// The guest's headers, sorted: any of them may select the answer.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Fingerprint of the secrets the request is made with.
    pub credentials: Option<u64>,
}

impl Key {
    pub fn headers_of(map: &HeaderMap) -> Vec<(String, Vec<u8>)> {
        let mut headers: Vec<_> = map
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect();
        headers.sort();
        headers
    }

    /// Its name on disk, beside the instance and its credentials, which are the same for all that is there.
    fn digest(&self) -> [u8; 16] {
        let asked = (&self.endpoint, &self.target, &self.headers, self.credentials.is_some());
        let asked = postcard::to_allocvec(&asked).unwrap_or_default();
        let mut first = [0; 16];
        first.copy_from_slice(&Sha256::digest(asked)[..16]);
        first
    }

    fn bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(n, v)| n.len() + v.len()).sum();
        self.instance.len() + self.endpoint.len() + self.target.len() + headers
    }
}

/// A kept answer with status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    etag: Option<HeaderValue>,
    /// Where no other state has it.
    last_modified: Option<HeaderValue>,
    headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// A kept answer as it is on disk and on a fleet's bus, before its body.
#[derive(Serialize, Deserialize)]
struct Written {
    etag: Option<Vec<u8>>,
    last_modified: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
}

impl Kept {
    /// An answer 200, unless the service forbids to keep it.
    pub fn of(answer: &HeaderMap, headers: &[(String, String)], body: &Bytes) -> Option<Kept> {
        let settled = unchanged_for(answer).is_some_and(|age| age >= SETTLED);
        let varies = answer.get_all(header::VARY).iter().any(|value| value.as_bytes() == b"*");
        (!varies && !is_forbidden(answer)).then(|| Kept {
            etag: answer.get(header::ETAG).cloned(),
            last_modified: answer.get(header::LAST_MODIFIED).filter(|_| settled).cloned(),
            headers: headers.to_vec(),
            body: body.clone(),
        })
    }

    /// As the answer 304 has confirmed it, with its headers.
    pub fn confirmed(&self, headers: Vec<(String, String)>) -> Kept {
        Kept { headers, ..self.clone() }
    }

    /// As it was answered.
    pub fn own_headers(&self) -> &[(String, String)] {
        &self.headers
    }

    fn has_validator(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    /// What it costs to hold.
    fn bytes(&self, key: &Key) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 48);
        ENTRY_OVERHEAD + key.bytes() + self.body.len() + headers.sum::<usize>()
    }

    pub fn written(&self) -> Vec<u8> {
        let text = |value: &Option<HeaderValue>| value.as_ref().map(|v| v.as_bytes().to_vec());
        let head = Written {
            etag: text(&self.etag),
            last_modified: text(&self.last_modified),
            headers: self.headers.clone(),
        };
        // Of strings and lists of them: that can be written.
        let mut bytes = postcard::to_allocvec(&head).unwrap_or_default();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn read(bytes: &Bytes) -> Option<Kept> {
        let (head, body) = postcard::take_from_bytes::<Written>(bytes).ok()?;
        let body = bytes.slice_ref(body);
        let value = |bytes: Option<Vec<u8>>| bytes.and_then(|b| HeaderValue::from_bytes(&b).ok());
        let Written { etag, last_modified, headers } = head;
        Some(Kept { etag: value(etag), last_modified: value(last_modified), headers, body })
    }

    /// The conditions under which the server may answer 304.
    pub fn conditions(&self, headers: &mut HeaderMap) {
        if let Some(etag) = &self.etag {
            headers.insert(header::IF_NONE_MATCH, etag.clone());
        } else if let Some(date) = &self.last_modified {
            headers.insert(header::IF_MODIFIED_SINCE, date.clone());
        }
    }

    /// The kept headers, renewed by those of the 304 (RFC 9111 section 4.3.4).
    pub fn headers(&self, fresh: Vec<(String, String)>) -> Vec<(String, String)> {
        const OF_THE_BODY: &[&str] =
            &["content-length", "content-type", "content-encoding", "content-range"];
        let fresh: Vec<_> =
            fresh.into_iter().filter(|(name, _)| !OF_THE_BODY.contains(&name.as_str())).collect();
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| !fresh.iter().any(|(other, _)| other == name))
            .cloned()
            .collect();
        headers.extend(fresh);
        headers
    }
}

/// The store, shared by all instances. Bounded by bytes, least recently used first out.
pub struct Validators {
    store: Mutex<Store>,
    /// Where they are kept for the next start. Set before the first request, if at all.
    disk: OnceLock<Arc<Disk>>,
}

struct Store {
    entries: LruCache<Key, (Arc<Kept>, usize)>,
    bytes: usize,
    capacity: usize,
    revalidations: u64,
    not_modified: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ValidatorStatus {
    pub entries: usize,
    /// Keys, headers and bodies.
    pub bytes: usize,
    pub capacity: usize,
    /// Conditional requests made.
    pub revalidations: u64,
    /// Those answered 304.
    pub not_modified: u64,
}

/// What an entry costs beside its strings and body: list links, the two allocations, vectors.
const ENTRY_OVERHEAD: usize = 512;

impl Validators {
    /// `capacity` in bytes; 0 keeps nothing.
    pub fn new(capacity: usize) -> Self {
        Validators {
            store: Mutex::new(Store {
                entries: LruCache::unbounded(),
                bytes: 0,
                capacity,
                revalidations: 0,
                not_modified: 0,
            }),
            disk: OnceLock::new(),
        }
    }

    /// Keeps them on disk too, and finds there what an earlier process has kept.
    pub fn set_disk(&self, disk: Arc<Disk>) {
        let _ = self.disk.set(disk);
    }

    pub fn set_capacity(&self, capacity: usize) {
        let mut store = self.lock();
        store.capacity = capacity;
        store.shrink();
    }

    pub fn status(&self) -> ValidatorStatus {
        let store = self.lock();
        ValidatorStatus {
            entries: store.entries.len(),
            bytes: store.bytes,
            capacity: store.capacity,
            revalidations: store.revalidations,
            not_modified: store.not_modified,
        }
    }

    pub(super) fn find(&self, key: &Key) -> Option<Arc<Kept>> {
        let held = self.lock().entries.get(key).map(|(kept, _)| kept.clone());
        let kept = match held {
            Some(kept) => kept,
            None => self.recall(key)?,
        };
        self.lock().revalidations += 1;
        Some(kept)
    }

    /// What an earlier process has kept. Reads the disk.
    fn recall(&self, key: &Key) -> Option<Arc<Kept>> {
        let bytes = self.disk.get()?.find_validated(&key.instance, key.digest())?;
        let kept = Arc::new(Kept::read(&bytes.into())?);
        let bytes = kept.bytes(key);
        let mut store = self.lock();
        if bytes <= store.capacity / 4 {
            store.put(key.clone(), kept.clone(), bytes);
        }
        Some(kept)
    }

    pub(super) fn confirmed(&self) {
        self.lock().not_modified += 1;
    }

    /// Keeps an answer 200, or forgets the one held where this one has no validator or must not be kept.
    pub(super) fn keep(&self, key: Key, kept: Option<&Arc<Kept>>) {
        let disk = self.disk.get().map(|disk| (disk, key.instance.clone(), key.digest()));
        let mut store = self.lock();
        let fits = |kept: &&Arc<Kept>| kept.bytes(&key) <= store.capacity / 4;
        let Some(kept) = kept.filter(|kept| kept.has_validator()).filter(fits) else {
            store.remove(&key);
            drop(store);
            if let Some((disk, instance, digest)) = disk {
                disk.forget_validated(&instance, digest);
            }
            return;
        };
        let bytes = kept.bytes(&key);
        store.put(key, kept.clone(), bytes);
        drop(store);
        if let Some((disk, instance, digest)) = disk {
            disk.keep_validated(&instance, digest, kept.written());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // No code panics between two changes that belong together.
        self.store.lock()
    }
}

impl Store {
    fn put(&mut self, key: Key, kept: Arc<Kept>, bytes: usize) {
        self.remove(&key);
        self.entries.put(key, (kept, bytes));
        self.bytes += bytes;
        self.shrink();
    }

    fn remove(&mut self, key: &Key) {
        if let Some((_, bytes)) = self.entries.pop(key) {
            self.bytes -= bytes;
        }
    }

    fn shrink(&mut self) {
        while self.bytes > self.capacity {
            match self.entries.pop_lru() {
                Some((_, (_, bytes))) => self.bytes -= bytes,
                None => break,
            }
        }
    }
}

impl fmt::Debug for Validators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validators").field("status", &self.status()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(target: &str, credentials: u64) -> Key {
        Key {
            instance: "github".into(),
            endpoint: "api".to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            credentials: Some(credentials),
        }
    }

    fn keep(validators: &Validators, key: Key, answer: &HeaderMap, body: &Bytes) {
        validators.keep(key, Kept::of(answer, &[], body).map(Arc::new).as_ref());
    }

    #[test]
    fn what_is_written_for_others_reads_back_as_the_same() {
        let headers = [("x-name".to_owned(), "a\n\u{e4}".to_owned())];
        let body = Bytes::from_static(b"one\ntwo\n");
        let kept = Kept::of(&tagged("W/\"a\""), &headers, &body).unwrap();
        assert_eq!(Kept::read(&kept.written().into()), Some(kept));
        for odd in ["", "{}", "{}\nbody", "\n"] {
            assert_eq!(Kept::read(&Bytes::from(odd)), None, "{odd}");
        }
    }

    fn tagged(etag: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static(etag))])
    }

    #[test]
    fn the_store_stays_within_its_capacity_and_drops_the_least_recently_used() {
        let validators = Validators::new(16 << 10);
        for number in 0..100 {
            let body = Bytes::from(vec![b'x'; 1000]);
            keep(&validators, key(&format!("/{number}"), 1), &tagged("\"a\""), &body);
            let status = validators.status();
            assert!(status.bytes <= status.capacity, "{status:?}");
            // Touched at every step, so it stays.
            assert!(validators.find(&key("/0", 1)).is_some(), "after {number}");
        }
        let status = validators.status();
        assert!(status.entries > 5 && status.entries < 16, "{status:?}");
        assert!(validators.find(&key("/50", 1)).is_none());
        validators.set_capacity(0);
        assert_eq!((validators.status().entries, validators.status().bytes), (0, 0));
    }

    #[test]
    fn entries_of_other_credentials_and_forbidden_answers_are_not_found() {
        let validators = Validators::new(1 << 20);
        let body = Bytes::from_static(b"body");
        keep(&validators, key("/a", 1), &tagged("\"a\""), &body);
        assert!(validators.find(&key("/a", 2)).is_none());
        assert!(validators.find(&key("/a", 1)).is_some());
        let mut secret = tagged("\"b\"");
        secret.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, No-Store"));
        keep(&validators, key("/a", 1), &secret, &body);
        assert!(validators.find(&key("/a", 1)).is_none());
        keep(&validators, key("/a", 1), &HeaderMap::new(), &body);
        assert!(validators.find(&key("/a", 1)).is_none());
    }
}
