//! The answers of a service that a fleet's mounts share: what one of them was told is not asked for by the others.
//!
//! The bus keeps them under names that nobody can work out who does not have the secret with which the answer was asked
//! for, or the operator's key, and so that nobody else can read them. An answer says where its mount stood on the chain of
//! each scope that vouches for it, *before* it asked. Who stands there too, and is live, would be told nothing else.
//!
//! **Invariant:** an answer is taken without asking the service only where each scope that vouches for it stands for this
//! mount where it stood for the other one before its request. So one that is late, or of a bus that was put back, is
//! none; what cannot be read is none either.

use super::Rhythm;
use super::chain::{Head, Position};
use super::positions::Positions;
use super::server::{ANSWERS, Error, Kept, Server};
use crate::backoff::jittered;
use crate::credentials::Secret;
use bytes::Bytes;
use parking_lot::Mutex;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Bytes of an answer as the bus keeps it. A larger one is not shared: a server of NATS takes messages of 1 MiB.
pub const MOST: usize = 512 << 10;

/// The version of the format, which is its first byte.
const VERSION: u8 = 1;

/// Who shares answers with one another.
#[derive(Clone)]
pub enum Share {
    /// Mounts with the same secrets for the service.
    Credential,
    /// Mounts with this key, whatever their secrets.
    Key(Secret),
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Share::Credential => "Credential",
            Share::Key(_) => "Key",
        })
    }
}

/// What an instance shares.
pub struct Answers {
    server: Server,
    /// The bus's user, whose names are apart from those of others.
    group: String,
    /// The provider, its version and the place that it asks.
    place: String,
    share: Share,
    rhythm: Rhythm,
    pub positions: Arc<Positions>,
    /// The bus has not answered, and is not asked before then.
    quiet_until: Mutex<Option<Instant>>,
    taken: AtomicU64,
    told: AtomicU64,
    unreadable: AtomicU64,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswersStatus {
    /// Answers of other mounts that were taken in place of a request.
    pub taken: u64,
    /// Answers that others can take.
    pub told: u64,
    /// What the bus kept in place of an answer, and had no effect.
    pub unreadable: u64,
}

impl fmt::Display for AnswersStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AnswersStatus { taken, told, unreadable } = self;
        write!(
            f,
            "fleet: {taken} answers of other mounts, {told} told to them, {unreadable} unreadable"
        )
    }
}

/// The keys of those who share.
pub struct Identity {
    name: hmac::Key,
    seal: LessSafeKey,
}

/// An answer, and what vouches for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Each scope, and where its mount stood before it asked.
    pub scopes: Vec<(Arc<str>, Position)>,
    pub answer: Bytes,
}

/// What the bus has in answer to a request.
#[derive(Debug)]
pub enum Found {
    /// An answer that need not be asked for.
    Current(Entry),
    /// The service is to be asked. What was answered before, where something was.
    Before(Option<Entry>, Pending),
    /// The bus has nothing to do with it.
    Nothing,
}

/// A request that is made, whose answer others wait for.
pub struct Pending {
    identity: Box<Identity>,
    subject: String,
    /// The number of what the bus kept before.
    after: u64,
    /// Others wait.
    leased: bool,
}

/// What came of wanting to ask.
enum Lease {
    Held,
    /// Somebody has asked.
    Answered(Kept),
    /// Nobody waits for this mount, and it waits for nobody.
    None,
}

impl Identity {
    /// Nothing where the library refuses the length of a key, which it does for none of these.
    fn new(kind: &str, parts: &[&[u8]]) -> Option<Identity> {
        let mut text = Zeroizing::new(Vec::new());
        for part in [&[kind.as_bytes()], parts].concat() {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part);
        }
        let drawn = hkdf::Salt::new(hkdf::HKDF_SHA256, b"omnifs fleet answers").extract(&text);
        let name = hmac::Key::from(drawn.expand(&[b"name"], hmac::HMAC_SHA256).ok()?);
        let seal = UnboundKey::from(drawn.expand(&[b"seal"], &AES_256_GCM).ok()?);
        Some(Identity { name, seal: LessSafeKey::new(seal) })
    }

    fn name(&self, parts: &[&[u8]]) -> String {
        let mut context = hmac::Context::with_key(&self.name);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    fn seal(&self, subject: &str, entry: &Entry) -> Option<Vec<u8>> {
        let scopes: Vec<_> =
            entry.scopes.iter().map(|(scope, at)| (scope.clone(), at.n, at.head)).collect();
        let scopes = serde_json::to_vec(&scopes).ok()?;
        if entry.answer.len() + scopes.len() > MOST {
            return None;
        }
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut text = u32::try_from(scopes.len()).ok()?.to_be_bytes().to_vec();
        text.extend_from_slice(&scopes);
        text.extend_from_slice(&entry.answer);
        let (nonce_of, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(subject.as_bytes()));
        self.seal.seal_in_place_append_tag(nonce_of, aad, &mut text).ok()?;
        let sealed = [&[VERSION], &nonce[..], &text].concat();
        (sealed.len() <= MOST).then_some(sealed)
    }

    /// Nothing where another key has sealed it, or under another name.
    fn open(&self, subject: &str, sealed: &[u8]) -> Option<Entry> {
        let sealed = sealed.strip_prefix(&[VERSION]).filter(|sealed| sealed.len() <= MOST)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = sealed.to_vec();
        let text = self.seal.open_in_place(nonce, Aad::from(subject.as_bytes()), &mut text).ok()?;
        let (length, text) = text.split_at_checked(4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
        let (scopes, answer) = text.split_at_checked(length)?;
        let scopes: Vec<(Arc<str>, u64, Head)> = serde_json::from_slice(scopes).ok()?;
        let scopes = scopes.into_iter().map(|(scope, n, head)| (scope, Position { n, head }));
        Some(Entry { scopes: scopes.collect(), answer: Bytes::copy_from_slice(answer) })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl Answers {
    /// `place` is the provider, its version and what it asks: answers of another are others.
    pub fn new(
        server: Server,
        place: String,
        share: Share,
        rhythm: Rhythm,
        positions: Arc<Positions>,
    ) -> Answers {
        let group = server.user().to_owned();
        let (taken, told, unreadable) = Default::default();
        Answers {
            server,
            group,
            place,
            share,
            rhythm,
            positions,
            quiet_until: Mutex::default(),
            taken,
            told,
            unreadable,
        }
    }

    pub fn status(&self) -> AnswersStatus {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        AnswersStatus {
            taken: read(&self.taken),
            told: read(&self.told),
            unreadable: read(&self.unreadable),
        }
    }

    /// Of the secrets that a request carries, each with its credential's name. Nobody shares what is asked for without any.
    pub fn identity<'a>(
        &self,
        secrets: impl Iterator<Item = (&'a str, &'a Secret)>,
    ) -> Option<Identity> {
        match &self.share {
            Share::Key(key) => Identity::new("key", &[key.expose().as_bytes()]),
            Share::Credential => {
                let parts: Vec<_> = secrets
                    .flat_map(|(name, secret)| [name.as_bytes(), secret.expose().as_bytes()])
                    .collect();
                if parts.is_empty() {
                    return None;
                }
                Identity::new("credential", &parts)
            }
        }
    }

    /// Looks for the answer to a request, which `request` tells from all others, and waits for the one that another mount
    /// asks for. `about` is the scope of what the call is about, which it needs live. Where `anew`, none is taken.
    pub async fn find(
        &self,
        identity: Identity,
        request: &[&[u8]],
        about: Option<&str>,
        anew: bool,
    ) -> Found {
        let position = match about.map(|scope| self.positions.current(scope)) {
            // What it brings nobody can vouch for.
            Some(None) => return Found::Nothing,
            Some(Some(position)) => Some(position),
            None => None,
        };
        let request = [&[self.place.as_bytes()], request].concat();
        let subject = format!("omnifs.answer.{}.{}", self.group, identity.name(&request));
        let Ok(mut kept) = self.ask(self.server.last(ANSWERS, &subject)).await else {
            return Found::Nothing;
        };
        let mut entry = self.read(&identity, &subject, kept.as_ref());
        // Another mount has asked where this one stands, or tried to: waiting for one more would bring nothing else. Nor
        // does it where somebody has put there what nobody can read.
        let is_done = match (&entry, &kept) {
            (Some(entry), _) => about.is_none_or(|about| {
                entry.scopes.iter().any(|(of, at)| **of == *about && Some(*at) == position)
            }),
            (None, kept) => kept.is_some(),
        };
        let mut leased = false;
        if !anew {
            if let Some(entry) = entry.take_if(|entry| self.is_current(entry)) {
                return self.take(entry);
            }
            if !is_done {
                let at = position.map(|at| format!("{}.{}", at.n, at.head)).unwrap_or_default();
                let lease = [request, vec![b"fetch", at.as_bytes()]].concat();
                let lease = format!("omnifs.fetch.{}.{}", self.group, identity.name(&lease));
                match self.lease(&lease, &subject, sequence(kept.as_ref())).await {
                    Lease::Held => leased = true,
                    Lease::None => {}
                    Lease::Answered(other) => {
                        kept = Some(other);
                        entry = self.read(&identity, &subject, kept.as_ref()).or(entry);
                        if let Some(entry) = entry.take_if(|entry| self.is_current(entry)) {
                            return self.take(entry);
                        }
                    }
                }
            }
        }
        let after = sequence(kept.as_ref());
        let identity = Box::new(identity);
        Found::Before(entry, Pending { identity, subject, after, leased })
    }

    /// Takes the lease of a request, or waits until the bus keeps another answer than the one with the number `before`,
    /// within bounds.
    async fn lease(&self, lease: &str, subject: &str, before: u64) -> Lease {
        let end = Instant::now() + self.rhythm.fetch;
        let most = self.rhythm.fetch / 20;
        let mut pause = most / 8;
        loop {
            // It runs out by itself, where its holder has.
            match self.ask(self.server.append(lease.to_owned(), 0, Vec::new())).await {
                Ok(_) => return Lease::Held,
                Err(Some(Error::Overtaken)) if Instant::now() < end => {}
                Err(_) => return Lease::None,
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(most);
            match self.ask(self.server.last(ANSWERS, subject)).await {
                Ok(Some(kept)) if kept.sequence != before => return Lease::Answered(kept),
                Ok(_) => {}
                Err(_) => return Lease::None,
            }
        }
    }

    fn take(&self, entry: Entry) -> Found {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Found::Current(entry)
    }

    /// Whether nothing has changed in any of its scopes since before it was asked for.
    pub fn is_current(&self, entry: &Entry) -> bool {
        entry.scopes.iter().all(|(scope, at)| self.positions.current(scope) == Some(*at))
    }

    fn read(&self, identity: &Identity, subject: &str, kept: Option<&Kept>) -> Option<Entry> {
        let payload = kept.map(|kept| &kept.payload).filter(|payload| !payload.is_empty())?;
        let entry = identity.open(subject, payload);
        if entry.is_none() {
            self.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        entry
    }

    /// Whether those who share have one secret for the service, and not a key alone.
    pub fn is_of_one_secret(&self) -> bool {
        matches!(self.share, Share::Credential)
    }

    /// Has the bus keep an answer, for which the service was asked at `began`, and for which `scopes` vouch. Where one of
    /// them does not, it is not kept.
    pub async fn tell(
        &self,
        pending: Pending,
        began: Instant,
        scopes: impl IntoIterator<Item = Arc<str>>,
        answer: Bytes,
    ) {
        let at = |scope: Arc<str>| Some((scope.clone(), self.positions.at(&scope, began)?));
        let scopes: Option<Vec<_>> = scopes.into_iter().map(at).collect();
        let entry = scopes.map(|scopes| Entry { scopes, answer });
        let sealed = entry.and_then(|entry| pending.identity.seal(&pending.subject, &entry));
        let Some(sealed) = sealed else { return self.give_up(pending).await };
        let Pending { subject, after, .. } = pending;
        // Where somebody else was faster, theirs is as good.
        if self.ask(self.server.append(subject, after, sealed)).await.is_ok() {
            self.told.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets those go on who wait for an answer that will not be told.
    pub async fn give_up(&self, pending: Pending) {
        if pending.leased {
            let Pending { subject, after, .. } = pending;
            let _ = self.ask(self.server.append(subject, after, Vec::new())).await;
        }
    }

    /// Within bounds. A bus that does not answer is left alone for a beat, so that few reads wait for it.
    async fn ask<T>(
        &self,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Option<Error>> {
        let is_quiet = self.quiet_until.lock().is_some_and(|until| Instant::now() < until);
        if is_quiet || self.server.connection().borrow().is_none() {
            return Err(None);
        }
        let answer = tokio::time::timeout(self.rhythm.answer, asked).await;
        let answer = answer.map_err(|_| None).and_then(|answer| answer.map_err(Some));
        if let Err(None | Some(Error::Failed(_) | Error::NoStream)) = &answer {
            *self.quiet_until.lock() = Some(Instant::now() + self.rhythm.beat);
        }
        answer
    }
}

fn sequence(kept: Option<&Kept>) -> u64 {
    kept.map_or(0, |kept| kept.sequence)
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Of both streams, for how long the bus keeps what nobody has replaced.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Bytes of all answers together.
pub(super) const TOGETHER: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(secret: &str) -> Identity {
        Identity::new("credential", &[b"token", secret.as_bytes()]).unwrap()
    }

    fn entry() -> Entry {
        let at = super::super::chain::Writer::begin().unwrap().position();
        Entry { scopes: vec![("issues:1".into(), at)], answer: Bytes::from_static(b"{}") }
    }

    #[test]
    fn an_answer_is_read_with_its_own_secret_under_its_own_name() {
        let (one, same, other) = (identity("a"), identity("a"), identity("b"));
        let entry = entry();
        let sealed = one.seal("name", &entry).unwrap();
        assert_eq!(same.open("name", &sealed), Some(entry.clone()));
        assert_eq!(other.open("name", &sealed), None);
        assert_eq!(one.open("other", &sealed), None);
        assert_ne!(one.seal("name", &entry).unwrap(), sealed, "a nonce is used once");
        for at in 0..sealed.len() {
            let mut poisoned = sealed.clone();
            poisoned[at] ^= 1;
            assert_eq!(one.open("name", &poisoned), None, "byte {at}");
            assert_eq!(one.open("name", &sealed[..at]), None, "{at} bytes");
        }
        let text = String::from_utf8_lossy(&sealed).into_owned();
        assert!(!text.contains("issues"), "{text}");
        let large = Entry { answer: vec![0; MOST].into(), ..entry };
        assert_eq!(one.seal("name", &large), None);
    }

    #[test]
    fn names_are_of_one_request_and_one_secret() {
        let (one, same, other) = (identity("a"), identity("a"), identity("b"));
        assert_eq!(one.name(&[b"x", b"y"]), same.name(&[b"x", b"y"]));
        assert_ne!(one.name(&[b"x", b"y"]), other.name(&[b"x", b"y"]));
        assert_ne!(one.name(&[b"x", b"y"]), one.name(&[b"xy", b""]));
        let key = Identity::new("key", &[b"token", b"a"]).unwrap();
        assert_ne!(one.name(&[b"x"]), key.name(&[b"x"]));
        assert_eq!(one.name(&[]).len(), 64);
    }
}
