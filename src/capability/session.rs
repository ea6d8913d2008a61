//! The session in which a service wants its requests, where a manifest says that there is one
//! ([`Spec`](crate::provider::Session)).
//!
//! A component is made anew for each call and has nothing in which it could keep a session's name, so the host does.
//! **Invariant:** the name goes to the endpoint's own origin, with the credentials for which it was given, and nowhere
//! else; the component never sees it.

use crate::provider::Session as Spec;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::OwnedMutexGuard;

/// Bytes of a session's name. Those of real services have some tens.
const LONGEST: usize = 1024;

/// The session of one endpoint.
#[derive(Debug)]
pub(super) struct Session {
    pub header: HeaderName,
    begun_by: String,
    confirmed_by: String,
    names: Mutex<Names>,
    /// Requests that are under way or wait, by their body.
    turns: Mutex<HashMap<Bytes, Weak<tokio::sync::Mutex<()>>>>,
}

#[derive(Debug, Default)]
struct Names {
    /// Of the session in which requests are sent.
    held: Option<Name>,
    /// Of one that has begun. Call A begins it; were B to send a request in it before A has said that it knows, a
    /// service may refuse that.
    begun: Option<Name>,
}

#[derive(Debug)]
struct Name {
    value: HeaderValue,
    /// Of the secrets that the request carried by which it began.
    credentials: Option<u64>,
}

impl Session {
    /// `None` where the header's name is none, which a checked manifest rules out.
    pub fn new(spec: &Spec) -> Option<Session> {
        Some(Session {
            header: HeaderName::from_bytes(spec.header.as_bytes()).ok()?,
            begun_by: spec.begun_by.clone(),
            confirmed_by: spec.confirmed_by.clone(),
            names: Mutex::default(),
            turns: Mutex::default(),
        })
    }

    /// Puts the name into a request that says this.
    pub fn put(&self, said: Option<&str>, credentials: Option<u64>, headers: &mut HeaderMap) {
        if said == Some(&*self.begun_by) {
            return;
        }
        let names = self.names.lock();
        let confirms = said == Some(&*self.confirmed_by);
        let name = names.begun.as_ref().filter(|_| confirms).or(names.held.as_ref());
        if let Some(name) = name.filter(|name| name.credentials == credentials) {
            headers.insert(self.header.clone(), name.value.clone());
        }
    }

    /// Learns from an answer to a request that says this and was sent with the name `sent`. An answer without a name
    /// is of a service that has no sessions.
    pub fn learn(
        &self,
        said: Option<&str>,
        credentials: Option<u64>,
        sent: Option<HeaderValue>,
        headers: &HeaderMap,
    ) {
        let mut names = self.names.lock();
        if said == Some(&*self.begun_by) {
            let given = headers.get(&self.header).filter(|given| given.len() <= LONGEST);
            names.begun = given.map(|given| {
                let mut value = given.clone();
                value.set_sensitive(true);
                Name { value, credentials }
            });
            if names.begun.is_none() {
                names.held = None;
            }
        } else if said == Some(&*self.confirmed_by) {
            // Another call may have begun another one meanwhile.
            names.begun = names.begun.take().filter(|begun| Some(&begun.value) != sent.as_ref());
            names.held = sent.map(|value| Name { value, credentials });
        }
    }

    /// Waits until no other request with this body is under way. Services tell the requests of a session apart by a
    /// number in the body, and a component, which knows of no other call, can only make that of what it asks for.
    pub async fn turn(&self, body: &Bytes) -> OwnedMutexGuard<()> {
        let turn: Arc<tokio::sync::Mutex<()>> = {
            let mut turns = self.turns.lock();
            turns.retain(|_, turn| turn.strong_count() > 0);
            let known = turns.get(body).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::default();
                turns.insert(body.clone(), Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}
