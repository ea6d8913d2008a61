//! Feeds against scripted services: streams, polls, webhooks.

#![cfg(unix)]
// A test says what went wrong by panicking.
#![allow(clippy::unwrap_used)]

mod alone;
mod poll;
mod prove;
mod push;
mod schemes;
mod script;
mod webhook;

use omnifs::capability::validators::Validators;
use omnifs::capability::{Outbound, Override, Setup};
use omnifs::events::{ActiveScope, Ledger};
use omnifs::provider::{Change, Endpoint, Feed, FeedKind, Manifest, Method};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a ledger was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Up(String),
    Resumed(String),
    Lost(String, String),
    Rests(String, String),
    Change(Change),
}

/// Writes down what it is told.
#[derive(Default)]
struct Record {
    told: Mutex<Vec<(Told, Instant)>>,
    active: Mutex<HashMap<String, u64>>,
    used: Mutex<HashSet<String>>,
}

impl Record {
    fn new() -> Arc<Record> {
        Arc::new(Record::default())
    }

    fn activate(&self, scope: &str, since: u64) {
        self.active.lock().unwrap().insert(scope.to_owned(), since);
        self.use_of(scope);
    }

    fn use_of(&self, scope: &str) {
        self.used.lock().unwrap().insert(scope.to_owned());
    }

    fn deactivate(&self, scope: &str) {
        self.active.lock().unwrap().remove(scope);
    }

    fn note(&self, told: Told) {
        self.told.lock().unwrap().push((told, Instant::now()));
    }

    fn all(&self) -> Vec<Told> {
        self.told.lock().unwrap().iter().map(|(told, _)| told.clone()).collect()
    }

    fn changes(&self) -> Vec<Change> {
        let change = |told| match told {
            Told::Change(change) => Some(change),
            _ => None,
        };
        self.all().into_iter().filter_map(change).collect()
    }

    fn count(&self, of: impl Fn(&Told) -> bool) -> usize {
        self.all().iter().filter(|told| of(told)).count()
    }

    fn ups(&self) -> usize {
        self.count(|told| matches!(told, Told::Up(_)))
    }

    fn losses(&self) -> usize {
        self.count(|told| matches!(told, Told::Lost(..) | Told::Rests(..)))
    }

    fn last_loss(&self) -> Option<String> {
        self.all().into_iter().rev().find_map(|told| match told {
            Told::Lost(_, why) | Told::Rests(_, why) => Some(why),
            _ => None,
        })
    }
}

impl Ledger for Record {
    fn up(&self, instance: &str, scopes: &str) {
        assert!(["example", "zzz"].contains(&instance), "{instance}");
        self.note(Told::Up(scopes.to_owned()));
    }

    fn resumed(&self, _: &str, scopes: &str) {
        self.note(Told::Resumed(scopes.to_owned()));
    }

    fn lost(&self, _: &str, scopes: &str, why: &str) {
        assert!(!why.contains('\n'), "{why}");
        self.note(Told::Lost(scopes.to_owned(), why.to_owned()));
    }

    fn apply(&self, _: &str, changes: &[Change]) {
        for change in changes {
            self.note(Told::Change(change.clone()));
        }
    }

    fn rest(&self, _: &str, scopes: &str, why: &str) {
        self.note(Told::Rests(scopes.to_owned(), why.to_owned()));
    }

    fn take_active(&self, _: &str, prefix: &str) -> Vec<ActiveScope> {
        let mut used = self.used.lock().unwrap();
        let active = self.active.lock().unwrap();
        let with = active.iter().filter(|(scope, _)| scope.starts_with(prefix));
        with.map(|(scope, since)| ActiveScope {
            id: scope.as_str().into(),
            since: *since,
            used: used.remove(scope),
        })
        .collect()
    }
}

/// Waits until `done`, for at most a minute.
async fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "it never came about that {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn feed(kind: FeedKind, scopes: &str) -> Feed {
    Feed {
        name: "events".to_owned(),
        kind,
        scopes: scopes.to_owned(),
        endpoint: Some("engine".to_owned()),
        silence: None,
        signature: None,
    }
}

fn outbound(url: &str) -> Outbound {
    let manifest = Manifest {
        name: "engine".to_owned(),
        endpoints: vec![Endpoint {
            name: "engine".to_owned(),
            default_url: "https://engine.example.test".to_owned(),
            allow: vec![(Method::Get, "/events".to_owned())],
            purpose: "tests".to_owned(),
            ..Endpoint::default()
        }],
        ..Manifest::default()
    };
    let mut setup = Setup::new("example", manifest, Arc::new(Validators::new(0)));
    setup.overrides.insert("engine".to_owned(), Override::from(url));
    setup.limits.total = Duration::from_secs(2);
    Outbound::new(setup).unwrap()
}
