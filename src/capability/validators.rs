//! Answers kept with their validators, so that an unchanged object costs a 304.
//!
//! **Invariant:** what is kept is never served without the server's word: it only turns a 304 into
//! the answer that the 304 confirms. Answers to different credentials are different entries.

use super::budget::headers::unchanged_for;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use lru::LruCache;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long an object was as it is before the server answered, so that its date tells it from what comes after. A date
/// has whole seconds: an object that changes at 10.2 s and again at 10.8 s has one date in both states, and who kept
/// the first would be told for ever that it is the last. RFC 9110 (section 8.8.2.2) asks for one second. The other
/// is for servers that look at a file before they look at the clock.
const SETTLED: Duration = Duration::from_secs(2);

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

/// A kept answer as it is written for other mounts: this line, then the body.
#[derive(Serialize, Deserialize)]
struct Line {
    etag: Option<String>,
    last_modified: Option<String>,
    headers: Vec<(String, String)>,
}

impl Kept {
    /// An answer 200, unless the service forbids to keep it.
    pub fn of(answer: &HeaderMap, headers: &[(String, String)], body: &Bytes) -> Option<Kept> {
        let settled = unchanged_for(answer).is_some_and(|age| age >= SETTLED);
        let forbidden =
            answer.get_all(header::CACHE_CONTROL).iter().any(|value| {
                value.to_str().is_ok_and(|v| v.to_ascii_lowercase().contains("no-store"))
            }) || answer.get_all(header::VARY).iter().any(|value| value.as_bytes() == b"*");
        (!forbidden).then(|| Kept {
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

    /// Nothing where a validator is not text.
    pub fn written(&self) -> Option<Bytes> {
        let text = |value: &Option<HeaderValue>| {
            value.as_ref().map(|value| value.to_str().map(str::to_owned)).transpose().ok()
        };
        let line = Line {
            etag: text(&self.etag)?,
            last_modified: text(&self.last_modified)?,
            headers: self.headers.clone(),
        };
        // JSON has no line feed but those that are escaped.
        let line = serde_json::to_vec(&line).ok()?;
        Some([&line, &b"\n"[..], &self.body].concat().into())
    }

    pub fn read(written: &Bytes) -> Option<Kept> {
        let end = written.iter().position(|byte| *byte == b'\n')?;
        let line: Line = serde_json::from_slice(&written[..end]).ok()?;
        let value = |text: Option<String>| text.map(HeaderValue::try_from).transpose().ok();
        Some(Kept {
            etag: value(line.etag)?,
            last_modified: value(line.last_modified)?,
            headers: line.headers,
            body: written.slice(end + 1..),
        })
    }

    /// As it was answered.
    pub fn own_headers(&self) -> &[(String, String)] {
        &self.headers
    }

    fn has_validator(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 48);
        self.body.len() + headers.sum::<usize>()
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
        }
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
        let mut store = self.lock();
        let kept = store.entries.get(key).map(|(kept, _)| kept.clone())?;
        store.revalidations += 1;
        Some(kept)
    }

    pub(super) fn confirmed(&self) {
        self.lock().not_modified += 1;
    }

    /// Keeps an answer 200, or forgets the one held where this one has no validator or must not be kept.
    pub(super) fn keep(&self, key: Key, kept: Option<&Arc<Kept>>) {
        let mut store = self.lock();
        store.remove(&key);
        let Some(kept) = kept.filter(|kept| kept.has_validator()) else { return };
        let bytes = ENTRY_OVERHEAD + key.bytes() + kept.bytes();
        if bytes > store.capacity / 4 {
            return;
        }
        store.entries.put(key, (kept.clone(), bytes));
        store.bytes += bytes;
        store.shrink();
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // No code panics between two changes that belong together.
        self.store.lock()
    }
}

impl Store {
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
        assert_eq!(Kept::read(&kept.written().unwrap()), Some(kept));
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
