//! A relay of the model: its session is the real one, what feeds it and when it goes on is not.

use super::super::Rhythm;
use super::super::keys::Signer;
use super::super::names::{Pattern, Place};
use super::super::relay::{Post, Relay, Session, Station, Wanted};
use super::super::server::{Error, Server};
use super::log::{Bus, Line};
use super::mount::{BEAT, SCOPE};
use super::service::Service;
use crate::events::Ledger;
use crate::provider::Change;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Of the bus, and what a relay takes it for.
pub const LEASE: u64 = 2 * BEAT;

pub struct Feeder {
    at: usize,
    relay: Arc<Relay>,
    line: Line,
    session: Option<Arc<Session>>,
    step: Option<BoxFuture<'static, Result<(), Error>>>,
    /// Until when it takes itself for the one that leads.
    leads_until: u64,
    beat_at: u64,
    /// Of its polls since the session began.
    cursor: Option<String>,
    /// It is stopped, as a process is.
    pub stopped: bool,
}

impl Feeder {
    pub fn new(at: usize, signer: &Arc<Signer>, server: &Server, bus: &Arc<Mutex<Bus>>) -> Feeder {
        let station = Station {
            server: server.clone(),
            signer: signer.clone(),
            keys: [].into(),
            scopes: [Pattern::new(">").expect("a pattern")].into(),
            shares: false,
            rhythm: Rhythm::at(Duration::from_secs(BEAT)),
            id: at.to_string(),
        };
        let line = Line {
            bus: bus.clone(),
            stalled: Arc::new(AtomicBool::new(false)),
            complete: Arc::new(AtomicUsize::new(0)),
        };
        let place = Place::new("p", "1.0.0", "o");
        let relay = Relay::new(station, place, "m", &mut Post::default());
        Feeder {
            at,
            relay,
            line,
            session: None,
            step: None,
            leads_until: 0,
            beat_at: 0,
            cursor: None,
            stopped: false,
        }
    }

    pub fn leads(&self) -> bool {
        self.session.is_some()
    }

    pub fn stall(&self, is_stalled: bool) {
        self.line.stalled.store(is_stalled, Ordering::Relaxed);
    }

    /// Takes the lease where nobody has it, or has it for longer.
    pub fn lead(&mut self, now: u64) {
        let mut bus = self.line.bus.lock();
        let is_mine = bus.lease.is_some_and(|(by, until)| by == self.at && until > now);
        if self.session.is_some() && !is_mine {
            drop(bus);
            return self.end();
        }
        if bus.lease.is_none_or(|(by, until)| by == self.at || until <= now) {
            bus.lease = Some((self.at, now + LEASE));
            self.leads_until = now + LEASE * 4 / 5;
            drop(bus);
            if self.session.is_none() {
                self.session = Some(Arc::new(Session::new(&self.relay, Instant::now())));
                self.line.complete.store(0, Ordering::Relaxed);
                self.beat_at = now;
            }
        }
    }

    /// The session ends, and what it had begun with it.
    pub fn end(&mut self) {
        (self.session, self.step, self.cursor) = (None, None, None);
    }

    /// Goes on with what it was at, or begins the next step.
    pub fn go_on(&mut self, now: u64, asks: bool) {
        let Some(session) = &self.session else { return };
        let (past, later) =
            (Instant::now() - Duration::from_secs(1), Instant::now() + Duration::from_secs(3_600));
        *session.valid_until.lock() = if now < self.leads_until { later } else { past };
        if self.step.is_none() {
            let mut wanted = self.relay.wanted.lock();
            let want = wanted.entry(SCOPE.into()).or_insert(Wanted { until: later, new: false });
            (want.until, want.new) = (later, want.new || asks);
            drop(wanted);
            if self.beat_at <= now {
                self.beat_at = now + BEAT;
                session.lines.lock().values_mut().for_each(|line| line.beat_at = past);
            }
            let (session, relay, line) = (session.clone(), self.relay.clone(), self.line.clone());
            self.step = Some(async move { session.step(&relay, &line).await }.boxed());
        }
        let step = self.step.as_mut().and_then(|step| step.as_mut().now_or_never());
        match step {
            None => {}
            Some(Ok(())) => self.step = None,
            Some(Err(_)) => self.end(),
        }
    }

    /// Its feed polls the service.
    pub fn poll(&mut self, service: &Service) {
        let Some(session) = &self.session else { return };
        if !session.lines.lock().contains_key(SCOPE) {
            return;
        }
        let cursor = self.cursor.clone().or_else(|| session.cursor("m", SCOPE));
        let poll = service.poll(cursor.as_deref(), SCOPE);
        if !poll.changes.is_empty() {
            session.apply_in("m", SCOPE, &poll.changes);
        }
        session.up("m", SCOPE);
        if poll.proves {
            session.resumed("m", SCOPE);
        }
        session.settled("m", SCOPE, Some(&poll.cursor));
        self.cursor = Some(poll.cursor);
        self.line.complete.store(poll.time, Ordering::Relaxed);
    }

    /// Its feed cannot reach the service.
    pub fn lose(&self) {
        if let Some(session) = &self.session {
            session.lost("m", SCOPE, "no answer");
        }
    }

    /// A delivery tells of a change.
    pub fn deliver(&self, object: usize) {
        if let Some(session) = &self.session {
            session.apply_in("m", SCOPE, &[Change::Removed(super::service::id(object))]);
        }
    }
}
