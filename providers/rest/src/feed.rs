//! Polls of what the file declares, and what they prove.
//!
//! | scope | holds | a poll |
//! |---|---|---|
//! | `{object}`, or `{object}:in/{id}/{id}` where its request names enclosing objects | what `sees` promises | the request that the file declares |
//!
//! What no poll sees is volatile: a file unless changes are seen, an object's directory unless changes and
//! deletions are, and the directory that lists the objects unless all three are, and one request tells of every list.

use crate::content::{identity, plain};
use crate::serve::{self, At};
use crate::spec::{By, Feed, Lately, Object, Place};
use crate::template::Field;
use crate::{Id, spec};
use omnifs_sdk::id::{Parts, join};
use omnifs_sdk::poll::since::{Mark, Seen};
use omnifs_sdk::poll::{Poll, digest, once};
use omnifs_sdk::*;
use serde_json::{Value, json};
use std::fmt::Display;

/// Nothing has to be asked for again.
const NEVER: u64 = u64::MAX / 2;
/// What was modified, and shows in no poll all the same, is asked for again within so many seconds.
const RECHECK: u64 = 3600;
/// How far a question reaches back behind the newest change that was seen, in milliseconds.
const OVERLAP: u64 = 60_000;
/// Items of which a digest is kept one by one.
const KNOWN: usize = 128;

/// Whose changes its scope has: all that is shown of the object by its number, below the objects with these ids.
fn scope(object: &Object, keys: &[String]) -> String {
    if keys.is_empty() {
        return object.name.clone();
    }
    let keys: Vec<&dyn Display> = keys.iter().map(|key| key as &dyn Display).collect();
    format!("{}:{}", object.name, join("in", &keys))
}

/// Of the feed, as a manifest has it.
pub fn scopes(object: &Object, feed: &Feed) -> String {
    if feed.fields.is_empty() { object.name.clone() } else { format!("{}:", object.name) }
}

/// The ids of the objects that enclose the one that the place shows.
fn enclosing<'a>(object: &Object, keys: &'a [String]) -> &'a [String] {
    let own = usize::from(object.is_listed);
    keys.get(..keys.len().saturating_sub(own)).unwrap_or_default()
}

pub fn of_file(place: &Place, keys: &[String]) -> Coherence {
    let Some(object) = place.object.map(|object| &spec().objects[object]) else {
        return volatile();
    };
    match &object.feed {
        Some(feed) if feed.sees.changes => scoped(scope(object, enclosing(object, keys))),
        _ => volatile(),
    }
}

pub fn of_place(place: &Place, keys: &[String]) -> Coherence {
    let objects = &spec().objects;
    if let Some(object) = place.object.map(|object| &objects[object]) {
        return match &object.feed {
            Some(feed) if feed.sees.changes && (feed.sees.deletions || !object.is_listed) => {
                scoped(scope(object, enclosing(object, keys)))
            }
            _ => volatile(),
        };
    }
    match listed(place) {
        Some((object, feed)) if is_told(place, feed) => scoped(scope(object, keys)),
        _ => volatile(),
    }
}

/// What a directory lists, and its feed.
fn listed(place: &Place) -> Option<(&'static Object, &'static Feed)> {
    let object = &spec().objects[spec().places[place.listed?].object?];
    Some((object, object.feed.as_ref()?))
}

/// Whether the feed tells of every change of this list, and of which list each is.
fn is_told(place: &Place, feed: &Feed) -> bool {
    feed.sees.all() && place.keys.len() == feed.fields.len()
}

pub fn poll(position: &Position) -> Result<Progress> {
    let unknown = || Error::Invalid(format!("no feed polls the scope {:?}", position.scope));
    let (name, keys) = position.scope.split_once(':').unwrap_or((&position.scope, "in"));
    let spec = spec();
    let number = spec.objects.iter().position(|object| object.name == name).ok_or_else(unknown)?;
    let object = &spec.objects[number];
    let shows = |place: &Place| place.object == Some(number);
    let place = spec.places.iter().position(shows).ok_or_else(unknown)?;
    let feed = object.feed.as_ref().ok_or_else(unknown)?;
    let mut parts = Parts::of(keys);
    let keys: Option<Vec<String>> = feed.fields.iter().map(|_| parts.param()).collect();
    let keys = keys.filter(|_| parts.end()).ok_or_else(unknown)?;
    let polled = Polled { object, feed, place, keys };
    match &feed.by {
        By::Whole => once(position, NEVER, |poll, held| polled.whole(poll, held)),
        By::Lately(lately) => {
            once(position, RECHECK, |poll, mark| polled.lately(lately, poll, mark))
        }
    }
}

/// What one scope is about.
struct Polled {
    object: &'static Object,
    feed: &'static Feed,
    /// The number of the object's place.
    place: usize,
    /// The ids of the objects that enclose it.
    keys: Vec<String>,
}

impl Polled {
    fn id(&self, own: Option<String>) -> Id {
        Id::Place { place: self.place, keys: self.keys.iter().cloned().chain(own).collect() }
    }

    /// Says that there may be other objects in the list.
    fn list_changed(&self, poll: &mut Poll<'_>) {
        let lists = |place: &Place| place.listed == Some(self.place);
        let list = spec().places.iter().position(lists);
        if let Some(place) = list.filter(|at| is_told(&spec().places[*at], self.feed)) {
            poll.changes.children_changed([Id::Place { place, keys: self.keys.clone() }]);
        }
    }

    fn whole(&self, poll: &mut Poll<'_>, held: &mut digest::Listing) -> Result<()> {
        let place = &spec().places[self.place];
        let (items, more) = match self.object.is_listed {
            true => {
                let list = serve::list(self.object, place, &self.keys)?;
                (list.items, list.is_cut)
            }
            false => {
                let at = At::of(self.place, &self.keys)?;
                (vec![(String::new(), serve::find(at)?)], false)
            }
        };
        let shown = |(id, item): (String, Value)| (id, shown(self.object, item));
        let items: Vec<(String, Value)> = items.into_iter().map(shown).collect();
        let news = held.compare(&items, |(id, _)| digest::of(id));
        if !poll.resumed || more {
            poll.gap();
            return Ok(());
        }
        // Which of many is gone, or of those beyond the known ones has changed, is not known.
        if news.gone > 0 || news.any && items.len() > KNOWN {
            poll.gap();
        }
        for ((id, _), _) in news.each() {
            poll.changes.invalidated([self.id(self.object.is_listed.then(|| id.clone()))]);
        }
        if news.any {
            self.list_changed(poll);
        }
        Ok(())
    }

    fn lately(&self, lately: &Lately, poll: &mut Poll<'_>, mark: &mut Mark<OVERLAP>) -> Result<()> {
        let place = &spec().places[self.place];
        // At first from before anything was fetched, as far as that is known.
        let first = (poll.position.since * 1000).saturating_sub(OVERLAP);
        let from = if poll.resumed { mark.from() } else { first };
        let since = lately.since.map(|form| form.write(from));
        let fill = |field| match field {
            Field::Since => since.clone().unwrap_or_default(),
            Field::Own => String::new(),
            Field::Enclosing(object) => serve::id_of(place, &self.keys, object),
        };
        let request = lately.poll.request(&spec().name, fill);
        let answer = poll.note(request.header("accept", "application/json").ok()?);
        if poll.now() == 0 {
            let why = format!("{}: the service says no time (Date) with its answer", spec().name);
            return Err(Error::Invalid(why));
        }
        let items: Vec<Value> = match serve::part(answer.json()?, &lately.items, "list")? {
            Value::Array(items) => items,
            Value::Null => Vec::new(),
            _ => {
                let why = format!("{}: no list is at {:?}", spec().name, lately.items);
                return Err(Error::Invalid(why));
            }
        };
        mark.start(poll.beginning());
        let seen = |item: &Value| Seen::of(item, serve::modified(self.object, item));
        let items = Items::from(items);
        if lately.since.is_some() && items.count() >= lately.size {
            poll.gap();
        }
        let news = match lately.since {
            Some(_) => mark.pass(poll.now(), items, seen),
            None => mark.pass_newest(poll, items, lately.size, seen),
        };
        for item in news.iter() {
            let Some(id) = item.pointer(&self.object.id).and_then(identity) else {
                poll.gap();
                continue;
            };
            let gone = lately.deleted.as_ref().and_then(|pointer| item.pointer(pointer));
            poll.changes.moved([self.id(Some(id))], gone.is_some_and(says_so));
        }
        if !news.is_empty() {
            self.list_changed(poll);
        }
        Ok(())
    }
}

/// What is shown of an item. Details are not in it, so with those anything may tell of a change.
fn shown(object: &Object, item: Value) -> Value {
    if !object.details.is_empty() {
        return item;
    }
    let pointers = object.files.iter().map(|(_, pointer)| pointer);
    let pointers = pointers.chain(&object.shown).chain(&object.modified);
    let values: Vec<_> = pointers.map(|pointer| item.pointer(pointer)).collect();
    json!(values)
}

/// `true`, a time, or anything else that is not nothing.
fn says_so(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
        && plain(value).is_none_or(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
