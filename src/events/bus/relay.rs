//! A relay: hears of what changes as a mount does, and says it to all mounts.
//!
//! Several may run. One leads for a service at an address, by a lease that runs out when it says nothing any
//! more.
//!
//! **Invariant:** a message is appended only after the one that its writer knows as the last. So a relay that was
//! stopped and has been succeeded, or whose bus was put back, can append nothing: it begins anew from what the bus
//! keeps.

use super::chain::{Link, Position, Writer};
use super::keys::{PublicKey, Signer};
use super::message::{Beat, Message, State, VERSION};
use super::names::{Key, Pattern, Place};
use super::server::{Error, Kept, LEASES, STREAM, Server};
use super::{Rhythm, Want};
use crate::backoff::jittered;
use crate::events::{ActiveScope, Feeds, Ledger};
use crate::mutants::{Mutant, planted};
use crate::provider::{Change, ScopedChange};
use crate::scopes::covers;
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio::time::MissedTickBehavior;

/// Scopes that one relay follows of one instance, and bytes of a scope.
const SCOPES: usize = 10_000;
const SCOPE: usize = 1 << 10;

/// Changes told to the leading relay at once, and such that wait.
const TOLD: usize = 64;
const WAITING: usize = 1_024;

/// The lease of half an instance's scopes would be another one; there is one for all.
const SHARD: &str = "0";

/// What the relays of one process share.
#[derive(Clone, Debug)]
pub struct Station {
    pub server: Server,
    pub signer: Arc<Signer>,
    /// Whose messages it goes on from, beside its own.
    pub keys: Arc<[PublicKey]>,
    pub scopes: Arc<[Pattern]>,
    pub rhythm: Rhythm,
    /// Whether the fleet's mounts share answers.
    pub shares: bool,
    /// Which process this is, unlike any other.
    pub id: String,
}

impl Station {
    fn believes(&self) -> Vec<PublicKey> {
        self.keys.iter().copied().chain([self.signer.public()]).collect()
    }
}

/// The relay of one instance.
#[derive(Debug)]
pub struct Relay {
    station: Station,
    place: Place,
    instance: Arc<str>,
    pub(super) wanted: Mutex<HashMap<Arc<str>, Wanted>>,
    /// The lease that it holds, as its number on the bus.
    lease: Mutex<Option<u64>>,
    leads: AtomicBool,
    told: Mutex<Option<mpsc::Receiver<Vec<ScopedChange>>>>,
}

#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) until: Instant,
    /// Somebody does not hear of it yet.
    pub(super) new: bool,
}

/// Where a webhook receiver says what it has heard: whichever relay leads is told of it over the bus.
#[derive(Debug, Default)]
pub struct Post(HashMap<Arc<str>, mpsc::Sender<Vec<ScopedChange>>>);

impl Post {
    fn send(&self, instance: &str, changes: Vec<ScopedChange>) {
        // What finds no room is found by the next poll.
        if let Some(relay) = self.0.get(instance)
            && relay.try_send(changes).is_err()
        {
            tracing::warn!(provider = %instance, "a delivery could not be told to the leading relay");
        }
    }
}

impl Ledger for Post {
    fn up(&self, _: &str, _: &str) {}
    fn resumed(&self, _: &str, _: &str) {}
    fn lost(&self, _: &str, _: &str, _: &str) {}
    fn rest(&self, _: &str, _: &str, _: &str) {}

    fn apply(&self, instance: &str, changes: &[Change]) {
        let unscoped = |change: &Change| ScopedChange { scope: None, change: change.clone() };
        self.send(instance, changes.iter().map(unscoped).collect());
    }

    fn delivered(&self, instance: &str, changes: &[ScopedChange]) {
        self.send(instance, changes.to_vec());
    }

    fn take_active(&self, _: &str, _: &str) -> Vec<ActiveScope> {
        Vec::new()
    }
}

/// What a receiver has heard, for the relay that leads.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    changes: Vec<(Option<String>, Link)>,
    /// Of the scopes that a gap is about, where a change is one.
    gaps: Vec<String>,
    sig: String,
}

impl Told {
    fn said(&self, place: &Place) -> Vec<u8> {
        // Strings alone: this does not fail.
        serde_json::to_vec(&("omnifs fleet told", place.as_str(), &self.changes, &self.gaps))
            .unwrap_or_default()
    }
}

impl Relay {
    /// Registers with the post, so that what is delivered for the instance reaches whoever leads.
    pub fn new(station: Station, place: Place, instance: &str, post: &mut Post) -> Arc<Relay> {
        let (tell, told) = mpsc::channel(WAITING);
        post.0.insert(instance.into(), tell);
        Arc::new(Relay {
            station,
            place,
            instance: instance.into(),
            wanted: Mutex::default(),
            lease: Mutex::default(),
            leads: AtomicBool::new(false),
            told: Mutex::new(Some(told)),
        })
    }

    pub fn instance(&self) -> &str {
        &self.instance
    }

    pub fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    /// Never ends by itself. `start` starts the instance's feeds, which tell the ledger that it is given.
    pub async fn run(&self, start: impl Fn(Arc<dyn Ledger>) -> Feeds) {
        tokio::join!(self.hear_wants(), self.tell(), self.lead(start));
    }

    /// Gives the lease back, so that another relay need not wait until it has run out.
    pub async fn release(&self) {
        let held = self.lease.lock().take();
        if let Some(lease) = held {
            // Where that fails, it runs out.
            let _ = self.station.server.append(self.lease_subject(), lease, Vec::new()).await;
        }
    }

    async fn hear_wants(&self) {
        let prefix = format!("omnifs.want.{}", self.place.as_str());
        let Ok(mut wants) = self.station.server.subscribe(format!("{prefix}.>")).await else {
            return;
        };
        while let Some(message) = wants.next().await {
            let Ok(want) = serde_json::from_slice::<Want>(&message.payload) else { continue };
            let is_right = want.scope.len() <= SCOPE
                && self.station.scopes.iter().any(|pattern| pattern.covers(&want.scope))
                // Whoever may say it of one scope says it of no other.
                && self.place.key(&want.scope).want() == message.subject.as_str();
            if !is_right {
                continue;
            }
            let until = Instant::now() + self.station.rhythm.want * 3;
            let mut wanted = self.wanted.lock();
            let has_room = wanted.len() < SCOPES;
            if let Some(known) = wanted.get_mut(want.scope.as_str()) {
                known.until = until;
                known.new |= want.new;
            } else if has_room {
                wanted.insert(want.scope.as_str().into(), Wanted { until, new: want.new });
            }
        }
    }

    /// Tells the leading relay what this process's receiver has heard.
    async fn tell(&self) {
        let Some(mut told) = self.told.lock().take() else { return };
        while let Some(changes) = told.recv().await {
            for some in changes.chunks(TOLD) {
                let mut told = Told { changes: Vec::new(), gaps: Vec::new(), sig: String::new() };
                for ScopedChange { scope, change } in some {
                    match change {
                        Change::Gap(prefix) => told.gaps.push(prefix.to_string()),
                        change => told
                            .changes
                            .push((scope.as_deref().map(str::to_owned), Link::of(change))),
                    }
                }
                told.sig = self.station.signer.sign(&told.said(&self.place));
                if let Ok(payload) = serde_json::to_vec(&told) {
                    let published = self.station.server.publish(self.told_subject(), payload);
                    // A delivery that is larger than the bus takes is found by the next poll.
                    if let Err(error) = published.await {
                        tracing::warn!(provider = %self.instance, "a delivery could not be told to the leading relay: {error}");
                    }
                }
            }
        }
    }

    fn told_subject(&self) -> String {
        format!("omnifs.told.{}", self.place.as_str())
    }

    fn lease_subject(&self) -> String {
        format!("$KV.OMNIFS_LEASES.{}.{SHARD}", self.place.as_str())
    }

    async fn lead(&self, start: impl Fn(Arc<dyn Ledger>) -> Feeds) {
        let Station { server, rhythm, .. } = &self.station;
        let mut said = None;
        loop {
            let mut connection = server.connection();
            if connection.wait_for(Option::is_some).await.is_err() {
                return;
            }
            let taken = async {
                server.prepare(rhythm.lease).await?;
                if self.station.shares {
                    server.prepare_answers(rhythm.fetch).await?;
                }
                self.take_lease().await
            };
            let why = match taken.await {
                Ok(Some(valid_until)) => {
                    let session = Arc::new(Session::new(self, valid_until));
                    let feeds = start(session.clone());
                    self.leads.store(true, Ordering::Relaxed);
                    tracing::info!(provider = %self.instance, "this relay leads");
                    let why = tokio::select! {
                        why = session.work(self) => why,
                        why = self.renew(&session) => why,
                        _ = connection.wait_for(Option::is_none) => {
                            "there is no connection to the bus".to_owned()
                        }
                    };
                    self.leads.store(false, Ordering::Relaxed);
                    feeds.stop().await;
                    format!("this relay leads no more: {why}")
                }
                Ok(None) => "another relay leads".to_owned(),
                Err(error) => format!("this relay cannot lead: {error}"),
            };
            // Once for all attempts that come to the same.
            if said.as_ref() != Some(&why) {
                tracing::warn!(provider = %self.instance, "{why}");
                said = Some(why);
            }
            tokio::time::sleep(jittered(rhythm.lease / 5)).await;
        }
    }

    /// Until when it may lead; nothing where another one does.
    async fn take_lease(&self) -> Result<Option<Instant>, Error> {
        let Station { server, rhythm, id, .. } = &self.station;
        let subject = self.lease_subject();
        // Counted from before the request, so that it ends here before it does there.
        let began = Instant::now();
        let mut taken = server.append(subject.clone(), 0, id.clone().into()).await;
        if taken == Err(Error::Overtaken)
            && let Some(kept) = server.last(LEASES, &subject).await?
            && (kept.payload.is_empty() || *kept.payload == *id.as_bytes())
        {
            taken = server.append(subject, kept.sequence, id.clone().into()).await;
        }
        match taken {
            Ok(sequence) => {
                *self.lease.lock() = Some(sequence);
                Ok(Some(began + rhythm.lease * 4 / 5))
            }
            Err(Error::Overtaken) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn renew(&self, session: &Session) -> String {
        let Station { server, rhythm, id, .. } = &self.station;
        loop {
            tokio::time::sleep(rhythm.lease / 5).await;
            let Some(held) = *self.lease.lock() else { return "it gave its lease back".to_owned() };
            let began = Instant::now();
            match server.append(self.lease_subject(), held, id.clone().into()).await {
                Ok(sequence) => {
                    *self.lease.lock() = Some(sequence);
                    *session.valid_until.lock() = began + rhythm.lease * 4 / 5;
                }
                Err(Error::Overtaken) => return "another relay has taken the lease".to_owned(),
                // `work` ends once the lease has run out.
                Err(_) => {}
            }
        }
    }
}

/// What a session needs of the bus, of which the model check has one of its own.
pub(super) trait Log: Sync {
    fn last(&self, subject: &str) -> impl Future<Output = Result<Option<Kept>, Error>> + Send;

    fn append(
        &self,
        subject: String,
        after: u64,
        payload: Vec<u8>,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    fn tell(
        &self,
        subject: String,
        payload: Vec<u8>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Log for Server {
    fn last(&self, subject: &str) -> impl Future<Output = Result<Option<Kept>, Error>> + Send {
        Server::last(self, STREAM, subject)
    }

    fn append(
        &self,
        subject: String,
        after: u64,
        payload: Vec<u8>,
    ) -> impl Future<Output = Result<u64, Error>> + Send {
        Server::append(self, subject, after, payload)
    }

    fn tell(
        &self,
        subject: String,
        payload: Vec<u8>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.publish(subject, payload)
    }
}

/// The time from taking a lease to losing it. What the feeds tell it is appended to the scopes' chains.
pub(super) struct Session {
    signer: Arc<Signer>,
    place: Place,
    pub(super) valid_until: Mutex<Instant>,
    pub(super) lines: Mutex<HashMap<Arc<str>, Line>>,
    changed: Notify,
}

/// One scope.
pub(super) struct Line {
    key: Key,
    writer: Writer,
    /// The last message on the bus: its number, and where it leads.
    sequence: u64,
    said: (Position, State),
    cursor: Option<String>,
    state: State,
    /// The feed has come up and not said yet whether anything was missed.
    unproven: bool,
    /// Something is to be appended.
    dirty: bool,
    /// The bus keeps a message of somebody else: nothing is said before the line is opened anew.
    overtaken: bool,
    pub(super) beat_at: Instant,
    beats: u64,
}

impl Line {
    /// What is true of it until the feed has said all.
    fn state(&self) -> State {
        if self.unproven { State::Lost } else { self.state }
    }

    fn message(&self, signer: &Signer) -> Message {
        let sealed = |cursor: &String| signer.seal(self.key.as_str(), cursor);
        Message {
            v: VERSION,
            n: self.writer.position().n,
            base: self.writer.base(),
            win: self.writer.window(),
            state: self.state(),
            cursor: self.cursor.as_ref().and_then(sealed),
            sig: String::new(),
        }
    }
}

impl Session {
    pub(super) fn new(relay: &Relay, valid_until: Instant) -> Session {
        Session {
            signer: relay.station.signer.clone(),
            place: relay.place.clone(),
            valid_until: Mutex::new(valid_until),
            lines: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Until it can lead no more; says why.
    async fn work(&self, relay: &Relay) -> String {
        let Station { server, rhythm, .. } = &relay.station;
        let mut told = match server.subscribe(relay.told_subject()).await {
            Ok(told) => told,
            Err(error) => return error.to_string(),
        };
        let mut tick = tokio::time::interval((rhythm.beat / 20).max(Duration::from_millis(5)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.changed.notified() => {}
                Some(message) = told.next() => self.told(relay, &message.payload),
            }
            if let Err(error) = self.step(relay, server).await {
                return error.to_string();
            }
        }
    }

    pub(super) async fn step(&self, relay: &Relay, log: &impl Log) -> Result<(), Error> {
        let rhythm = &relay.station.rhythm;
        let now = Instant::now();
        let (mut new, mut asked) = (Vec::new(), Vec::new());
        {
            let mut wanted = relay.wanted.lock();
            wanted.retain(|_, wanted| wanted.until > now);
            let mut lines = self.lines.lock();
            lines.retain(|scope, _| wanted.contains_key(scope));
            for (scope, wanted) in wanted.iter_mut() {
                if lines.get(scope).is_none_or(|line| line.overtaken) {
                    new.push(scope.clone());
                } else if std::mem::take(&mut wanted.new) {
                    asked.push(scope.clone());
                }
            }
        }
        for scope in new {
            self.may_lead()?;
            match self.open(relay, log, &scope).await {
                Ok(mut line) => {
                    let mut lines = self.lines.lock();
                    let forgets = planted(Mutant::ForgetsWhatItWasTold);
                    if lines.get(&scope).is_some_and(|line| line.overtaken) && !forgets {
                        // What the line had been told since its last message is not known any more.
                        line.writer.push(Link::gap());
                        line.dirty = true;
                    }
                    lines.insert(scope, line);
                }
                // The next step tries again, and the other scopes go on.
                Err(Error::Overtaken) => {
                    tracing::debug!(%scope, "somebody else has written to it meanwhile");
                }
                Err(error) => return Err(error),
            }
        }
        let dirty: Vec<_> = {
            let mut lines = self.lines.lock();
            let taken = |(scope, line): (&Arc<str>, &mut Line)| {
                (!line.overtaken && std::mem::take(&mut line.dirty)).then(|| scope.clone())
            };
            lines.iter_mut().filter_map(taken).collect()
        };
        for scope in dirty {
            self.may_lead()?;
            match self.append(log, &scope).await {
                // Somebody else has written to this scope, and the lease is still held here. What the line knows is
                // no continuation of that: the next step opens it anew, and the other scopes go on.
                Err(Error::Overtaken) => {
                    tracing::warn!(%scope, "somebody else has written to it: it is begun anew");
                    if let Some(line) = self.lines.lock().get_mut(&scope) {
                        line.overtaken = true;
                    }
                }
                appended => appended?,
            }
        }
        for (subject, payload) in self.beats(&asked, rhythm.beat)? {
            log.tell(subject, payload).await?;
        }
        Ok(())
    }

    fn may_lead(&self) -> Result<(), Error> {
        match Instant::now() < *self.valid_until.lock() {
            true => Ok(()),
            false => Err(Error::Failed("its lease has run out".to_owned())),
        }
    }

    /// Goes on from what the bus keeps of the scope, and says so: from then on its predecessor can append
    /// nothing.
    async fn open(&self, relay: &Relay, log: &impl Log, scope: &Arc<str>) -> Result<Line, Error> {
        let key = self.place.key(scope);
        let kept = log.last(&key.scope()).await?;
        let sequence = kept.as_ref().map_or(0, |kept| kept.sequence);
        let read = kept.and_then(|kept| {
            let read = Message::read(&kept.payload, &relay.station.believes(), &key);
            let told = |fault| tracing::warn!(%scope, "what the bus keeps is not gone on from: it is {fault}");
            read.map_err(told).ok()
        });
        let mut writer = match &read {
            Some(message) => Writer::after(message),
            None => Writer::begin().map_err(Error::Failed)?,
        };
        if !planted(Mutant::WritesUnmarked) {
            writer.push(Link::turn().map_err(Error::Failed)?);
        }
        let sealed = read.and_then(|message| message.cursor);
        let now = Instant::now();
        let mut line = Line {
            cursor: sealed.and_then(|sealed| self.signer.open(key.as_str(), &sealed)),
            said: (writer.position(), State::Lost),
            writer,
            sequence,
            state: State::Lost,
            unproven: false,
            dirty: false,
            overtaken: false,
            beat_at: now,
            beats: 0,
            key,
        };
        let message = line.message(&self.signer);
        let payload = message.signed(&self.signer, &line.key).map_err(failed)?;
        line.sequence = log.append(line.key.scope(), sequence, payload).await?;
        Ok(line)
    }

    async fn append(&self, log: &impl Log, scope: &Arc<str>) -> Result<(), Error> {
        let (subject, after, payload, said) = {
            let lines = self.lines.lock();
            let Some(line) = lines.get(scope) else { return Ok(()) };
            let payload =
                line.message(&self.signer).signed(&self.signer, &line.key).map_err(failed)?;
            (line.key.scope(), line.sequence, payload, (line.writer.position(), line.state()))
        };
        let sequence = log.append(subject, after, payload).await?;
        if let Some(line) = self.lines.lock().get_mut(scope) {
            if line.said.1 != said.1 {
                // Mounts wait for that.
                line.beat_at = Instant::now();
            }
            (line.sequence, line.said, line.beats) = (sequence, said, 0);
        }
        Ok(())
    }

    /// The beats that are due, and those that somebody asks for.
    fn beats(&self, asked: &[Arc<str>], every: Duration) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.may_lead()?;
        let now = Instant::now();
        let mut lines = self.lines.lock();
        let due = lines
            .iter_mut()
            .filter(|(_, line)| !line.overtaken)
            .filter(|(scope, line)| line.beat_at <= now || asked.contains(*scope));
        let beat = |line: &mut Line| {
            line.beat_at = now + every;
            line.beats += 1;
            let (Position { n, head }, state) = line.said;
            let beat = Beat {
                v: VERSION,
                n,
                head,
                state,
                of: line.sequence,
                count: line.beats,
                every: u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1),
                sig: String::new(),
            };
            (line.key.beat(), beat.signed(&self.signer, &line.key))
        };
        Ok(due.map(|(_, line)| beat(line)).collect())
    }

    fn told(&self, relay: &Relay, payload: &[u8]) {
        let Ok(told) = serde_json::from_slice::<Told>(payload) else { return };
        let said = told.said(&self.place);
        if !relay.station.believes().iter().any(|key| key.verifies(&said, &told.sig)) {
            tracing::warn!(provider = %relay.instance, "what was told of a delivery was signed by nobody");
            return;
        }
        let changes =
            told.changes.into_iter().map(|(scope, link)| (scope.unwrap_or_default(), link));
        let gaps = told.gaps.into_iter().map(|prefix| (prefix, Link::gap()));
        let links: Vec<_> = changes.chain(gaps).collect();
        self.push(links.iter().map(|(prefix, link)| (prefix.as_str(), link)));
    }

    /// Appends each link to the chains of the scopes under its prefix. All or none of them is in a message: one that
    /// had only the first of sixty-five would make a mount know these, and the rest a second message.
    fn push<'a>(&self, links: impl IntoIterator<Item = (&'a str, &'a Link)>) {
        let mut lines = self.lines.lock();
        for (prefix, link) in links {
            for (_, line) in lines.iter_mut().filter(|(scope, _)| covers(prefix, scope)) {
                line.writer.push(link.clone());
                line.dirty = true;
            }
        }
        drop(lines);
        self.changed.notify_one();
    }

    fn each(&self, prefix: &str, mut act: impl FnMut(&mut Line)) {
        let mut lines = self.lines.lock();
        lines.iter_mut().filter(|(scope, _)| covers(prefix, scope)).for_each(|(_, line)| act(line));
    }

    fn down(&self, prefix: &str) {
        self.each(prefix, |line| {
            line.dirty |= line.state() == State::Live;
            (line.state, line.unproven) = (State::Lost, false);
        });
        self.changed.notify_one();
    }
}

impl Ledger for Session {
    fn up(&self, _: &str, prefix: &str) {
        self.each(prefix, |line| {
            if line.state != State::Live {
                (line.state, line.unproven) = (State::Live, true);
            }
        });
    }

    fn resumed(&self, _: &str, prefix: &str) {
        self.each(prefix, |line| line.unproven = false);
    }

    fn lost(&self, _: &str, prefix: &str, _: &str) {
        self.down(prefix);
    }

    fn rest(&self, _: &str, prefix: &str, _: &str) {
        self.down(prefix);
    }

    fn apply(&self, instance: &str, changes: &[Change]) {
        self.apply_in(instance, "", changes);
    }

    fn apply_in(&self, _: &str, prefix: &str, changes: &[Change]) {
        let links: Vec<_> = changes.iter().map(Link::of).collect();
        self.push(links.iter().map(|link| (prefix, link)));
    }

    fn settled(&self, _: &str, scope: &str, cursor: Option<&str>) {
        self.each(scope, |line| {
            if let Some(cursor) = cursor {
                line.cursor = Some(cursor.to_owned());
            }
            // A poll has succeeded of a scope that was given up and is followed again, before the feed knew of it.
            let anew = std::mem::replace(&mut line.state, State::Live) != State::Live;
            let unproven = std::mem::take(&mut line.unproven) && !planted(Mutant::ResumesUnproven);
            if unproven || anew {
                line.writer.push(Link::gap());
            }
            line.dirty = true;
        });
        self.changed.notify_one();
    }

    fn cursor(&self, _: &str, scope: &str) -> Option<String> {
        self.lines.lock().get(scope).and_then(|line| line.cursor.clone())
    }

    fn take_active(&self, _: &str, prefix: &str) -> Vec<ActiveScope> {
        let lines = self.lines.lock();
        let followed = lines.keys().filter(|scope| covers(prefix, scope));
        // All are used: it is the mounts that know better, and say what they want.
        followed.map(|id| ActiveScope { id: id.clone(), since: 0, used: true }).collect()
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let signer = Signer::new(&Signer::generate().unwrap()).unwrap();
        let place = Place::new("p", "1.0.0", "o");
        let writer = Writer::begin().unwrap();
        let line = Line {
            key: place.key("s:1"),
            said: (writer.position(), State::Lost),
            writer,
            sequence: 1,
            cursor: None,
            state: State::Lost,
            unproven: false,
            dirty: false,
            overtaken: false,
            beat_at: Instant::now(),
            beats: 0,
        };
        Session {
            signer: Arc::new(signer),
            place,
            valid_until: Mutex::new(Instant::now() + Duration::from_secs(3_600)),
            lines: Mutex::new([("s:1".into(), line)].into()),
            changed: Notify::new(),
        }
    }

    /// What would be appended now: the scope's state, and how many changes there were.
    fn said(session: &Session) -> (State, u64) {
        let lines = session.lines.lock();
        let message = lines["s:1"].message(&session.signer);
        (message.state, message.n)
    }

    #[test]
    fn a_feed_that_came_up_is_not_said_to_be_live_before_it_has_said_what_it_missed() {
        let session = session();
        session.up("m", "s:1");
        assert_eq!(said(&session), (State::Lost, 0));
        session.settled("m", "s:1", Some("cursor"));
        assert_eq!(said(&session), (State::Live, 1), "it proved nothing: a gap");
        session.lost("m", "s:1", "no answer");
        assert_eq!(said(&session), (State::Lost, 1));
        session.apply_in("m", "s:1", &[Change::Invalidated("a".into())]);
        session.up("m", "s:1");
        session.resumed("m", "s:1");
        session.settled("m", "s:1", None);
        assert_eq!(said(&session), (State::Live, 2), "the change, and no gap");
        assert_eq!(session.cursor("m", "s:1").as_deref(), Some("cursor"));
    }

    #[test]
    fn a_scope_that_was_given_up_and_is_followed_again_is_a_gap() {
        let session = session();
        // The feed goes on as if nothing had happened.
        session.resumed("m", "s:1");
        session.settled("m", "s:1", Some("7"));
        assert_eq!(said(&session), (State::Live, 1));
        session.resumed("m", "s:1");
        session.settled("m", "s:1", Some("8"));
        assert_eq!(said(&session), (State::Live, 1));
    }

    #[test]
    fn a_change_is_appended_to_the_scopes_that_it_is_about() {
        let session = session();
        let gap = Link::gap();
        session.push([("s:2", &gap), ("t:", &gap)]);
        assert_eq!(said(&session).1, 0);
        session.push([("s:1", &gap), ("s:", &gap), ("", &gap)]);
        assert_eq!(said(&session).1, 3);
    }

    #[test]
    fn what_one_poll_tells_is_in_one_message() {
        let session = session();
        let changes: Vec<_> = (0..65).map(|n| Change::Invalidated(format!("{n}").into())).collect();
        let rounds = 50;
        std::thread::scope(|threads| {
            threads.spawn(|| {
                for _ in 0..rounds {
                    session.apply_in("m", "s:1", &changes);
                }
            });
            let mut n = 0;
            while n < rounds * 65 {
                n = said(&session).1;
                assert_eq!(n % 65, 0, "a part of what one poll told");
                std::thread::yield_now();
            }
        });
    }

    #[test]
    fn whoever_has_no_lease_any_more_says_nothing() {
        let session = session();
        let every = Duration::from_secs(5);
        assert_eq!(session.beats(&[], every).unwrap().len(), 1);
        assert_eq!(session.beats(&[], every).unwrap().len(), 0, "not before it is due");
        assert_eq!(session.beats(&["s:1".into()], every).unwrap().len(), 1);
        *session.valid_until.lock() = Instant::now();
        assert!(session.beats(&["s:1".into()], every).is_err());
    }
}
