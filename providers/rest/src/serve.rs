//! From a place and the ids that lead to it to what it holds.

use crate::content::{self, identity, plain};
use crate::spec::{Object, Place};
use crate::template::{Field, Template};
use crate::{Id, spec};
use omnifs_sdk::http::Request;
use omnifs_sdk::*;
use serde_json::Value;

/// The object that a place shows, and whose ids lead there.
#[derive(Clone, Copy)]
pub struct At<'a> {
    place: &'static Place,
    object: &'static Object,
    number: usize,
    keys: &'a [String],
}

/// The items of a list.
pub struct List {
    pub items: Vec<(String, Value)>,
    /// There are more than the file wants.
    pub is_cut: bool,
    /// Why it is not whole.
    note: Option<String>,
}

impl At<'_> {
    /// What the place of this number shows, to which `keys` lead.
    pub fn of(place: usize, keys: &[String]) -> Result<At<'_>> {
        let here = &spec().places[place];
        let number = here.object.ok_or(Error::NotFound)?;
        Ok(At { place: here, object: &spec().objects[number], number, keys })
    }
}

pub fn directory(place: usize, keys: Vec<String>) -> Shape<Id> {
    let here = &spec().places[place];
    if here.object.is_some() {
        return listing(move || {
            let at = At::of(place, &keys)?;
            let answer = find(at)?;
            Ok(entries(place, at, &answer, at.object.get.is_some()))
        });
    }
    let Some(listed) = here.listed else {
        let fixed_ids = here.fixed.iter().map(|(name, below)| {
            (name.as_str(), Id::Place { place: *below, keys: keys_of(here, &keys, *below, None) })
        });
        return fixed(fixed_ids.collect::<Vec<_>>());
    };
    let object = spec().places[listed].object.map(|object| &spec().objects[object]);
    if object.is_some_and(|object| object.get.is_some() && object.shown.is_none()) {
        let found = move |keys: &Vec<String>, name: &str| named(listed, here, keys, name);
        return match object.is_some_and(|object| object.pages.is_some()) {
            true => open_ended(keys, move |keys| all(listed, here, keys), found),
            false => searchable(keys, move |keys| all(listed, here, keys), found),
        };
    }
    listing(move || all(listed, here, &keys))
}

/// The content of a file.
pub fn read(place: usize, name: &str, keys: &[String]) -> Result<Content> {
    let at = At::of(place, keys)?;
    let mut files = at.object.files.iter().chain(&at.object.details);
    let (name, pointer) = files.find(|(own, _)| own == name).ok_or(Error::NotFound)?;
    Ok(content::file(&find(at)?, name, pointer))
}

/// The ids that lead to the place `below` one to which `keys` lead, and to the object `own` of it.
fn keys_of(here: &Place, keys: &[String], below: usize, own: Option<&str>) -> Vec<String> {
    let below = &spec().places[below];
    let own_object = own.and(below.object);
    let key = |object: &usize| match own {
        Some(own) if Some(*object) == own_object => own.to_owned(),
        _ => id_of(here, keys, *object),
    };
    below.keys.iter().map(key).collect()
}

/// The id of an object, which is among the keys of the place: `spec::tree` sees to that.
pub fn id_of(place: &Place, keys: &[String], object: usize) -> String {
    let at = place.keys.iter().position(|key| *key == object);
    at.and_then(|at| keys.get(at)).cloned().unwrap_or_default()
}

/// A request for what is in the place, to which `keys` lead.
fn request(template: &Template, place: &Place, keys: &[String], own: &str) -> Request {
    let id = |field| match field {
        Field::Own => own.to_owned(),
        // Of feeds alone.
        Field::Since => String::new(),
        Field::Enclosing(object) => id_of(place, keys, object),
    };
    template.request(&spec().name, id).header("accept", "application/json")
}

/// What leads to a value in an answer. An answer without it is not as declared.
pub fn part(mut answer: Value, pointer: &str, what: &str) -> Result<Value> {
    answer.pointer_mut(pointer).map(Value::take).ok_or_else(|| {
        Error::Invalid(format!("{}: the answer has no {what} at {pointer:?}", spec().name))
    })
}

/// The object as its own answer shows it, or else the list that it is in.
pub fn find(at: At<'_>) -> Result<Value> {
    let At { place, object, number, keys } = at;
    let own = if object.is_listed { id_of(place, keys, number) } else { String::new() };
    if let Some(get) = &object.get {
        let answer: Value = request(get, place, keys, &own).json()?;
        let found = part(answer, &object.item, "object")?;
        // A service may take what it is asked by for something else.
        let other = found.pointer(&object.id).and_then(identity).is_some_and(|id| id != own);
        return if object.is_listed && other { Err(Error::NotFound) } else { Ok(found) };
    }
    let list = list(object, place, keys)?;
    match (list.items.into_iter().find(|(id, _)| *id == own), list.note) {
        (Some((_, found)), _) => Ok(found),
        (None, Some(note)) => Err(Error::Invalid(note)),
        (None, None) => Err(Error::NotFound),
    }
}

/// Every item, as far as the file says. `place` is one whose keys its request needs.
pub fn list(object: &Object, place: &Place, keys: &[String]) -> Result<List> {
    let Some(template) = &object.list else { return Err(Error::NotFound) };
    let mut asked = request(template, place, keys, "");
    let mut strange = None;
    let mut take = |answer: Value| match part(answer, &object.items, "list") {
        Ok(Value::Array(items)) => Items::from(items),
        Ok(Value::Null) => Items::default(),
        Ok(_) => {
            let why = format!("{}: no list is at {:?}", spec().name, object.items);
            strange = Some(Error::Invalid(why));
            Items::default()
        }
        Err(error) => {
            strange = Some(error);
            Items::default()
        }
    };
    let (mut found, more) = match &object.pages {
        None => (take(asked.json()?), false),
        Some(pages) => {
            if let Some((name, size)) = pages.limit() {
                asked = asked.query(name, size);
            }
            let found = asked.pages(&pages.next(), pages.most, take)?;
            (found.items, found.more)
        }
    };
    if let Some(error) = strange {
        return Err(error);
    }
    let count = found.len();
    let items = std::mem::take(&mut *found).into_iter().filter_map(|item| {
        let id = item.pointer(&object.id).and_then(identity)?;
        Some((id, item))
    });
    let items: Vec<(String, Value)> = items.collect();
    let nameless = count - items.len();
    let note = match (more, nameless) {
        (true, _) => Some(format!("the first {count}; the file says how many, as `most` of pages")),
        (false, 0) => None,
        (false, nameless) => {
            Some(format!("{nameless} of {count} are left out, with no id at {:?}", object.id))
        }
    };
    Ok(List { items, is_cut: more, note })
}

/// The entries of a directory of objects.
fn all(listed: usize, here: &'static Place, keys: &[String]) -> Result<Listing<Id>> {
    let object = At::of(listed, keys)?.object;
    let List { items, note, .. } = list(object, here, keys)?;
    let entries: Vec<_> =
        items.iter().map(|(id, item)| entry(listed, here, keys, id, item, false)).collect();
    Ok(match note {
        Some(note) => Listing::partial(entries, note),
        None => entries.into(),
    })
}

/// The object of this id, asked for by it.
fn named(listed: usize, here: &'static Place, keys: &[String], id: &str) -> Result<Entry<Id>> {
    let own = keys_of(here, keys, listed, Some(id));
    let found = find(At::of(listed, &own)?)?;
    Ok(entry(listed, here, keys, id, &found, true))
}

/// An object's directory, with the files that the answer holds; `whole` if it is the object's own.
fn entry(
    listed: usize,
    here: &'static Place,
    keys: &[String],
    id: &str,
    item: &Value,
    whole: bool,
) -> Entry<Id> {
    let place = &spec().places[listed];
    let object = place.object.map(|object| &spec().objects[object]);
    let shown = object.and_then(|object| object.shown.as_ref());
    let name = shown.and_then(|pointer| item.pointer(pointer)).and_then(plain);
    let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| id.to_owned());
    let own = keys_of(here, keys, listed, Some(id));
    let directory = Id::Place { place: listed, keys: own.clone() };
    let Some((object, number)) = object.zip(place.object) else {
        return Entry::directory(name, directory);
    };
    let at = At { place, object, number, keys: &own };
    Entry::holding(name, directory, entries(listed, at, item, whole))
        .modified(modified(object, item))
        .tie(id)
}

pub fn modified(object: &Object, item: &Value) -> Option<u64> {
    content::time_ms(item.pointer(object.modified.as_ref()?)?)
}

/// What is in an object's directory. Details have a content only in its own answer.
fn entries(number: usize, at: At<'_>, item: &Value, whole: bool) -> Vec<Entry<Id>> {
    let changed = modified(at.object, item);
    let file = |name: &str| {
        let id = Id::File { place: number, name: name.to_owned(), keys: at.keys.to_vec() };
        Entry::file(name, id).modified(changed)
    };
    let held = at.object.files.iter();
    let held = held.map(|(name, pointer)| file(name).content(content::file(item, name, pointer)));
    let details = at.object.details.iter().map(|(name, pointer)| match whole {
        true => file(name).content(content::file(item, name, pointer)),
        false => file(name),
    });
    let fixed = at.place.fixed.iter().map(|(name, below)| {
        let keys = keys_of(at.place, at.keys, *below, None);
        Entry::fixed((name.as_str(), Id::Place { place: *below, keys }))
    });
    held.chain(details).chain(fixed).collect()
}
