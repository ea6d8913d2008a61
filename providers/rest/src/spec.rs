//! A declared service, read and checked.
//!
//! Invariant: a [`Spec`] can be served as it stands. What is wrong with a file is told with the line.

mod feed;
mod raw;
mod tree;

pub use feed::{By, Feed, Lately};
pub use tree::Place;

use crate::content::plain;
use crate::template::{Field, Template};
use omnifs_sdk::Next;
use omnifs_sdk::manifest::Scheme;
use serde_json::Value;
use std::ops::Range;
use toml::Spanned;

/// What is wrong with a file: one line for its author, with the line's number where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault(pub String);

#[derive(Debug)]
pub struct Spec {
    /// Of the provider, its endpoint and its credential.
    pub name: String,
    pub summary: String,
    pub url: String,
    pub credential: Option<Credential>,
    /// In the order of the file.
    pub objects: Vec<Object>,
    /// The directories. The first is the instance's own.
    pub places: Vec<Place>,
}

#[derive(Debug)]
pub struct Credential {
    pub scheme: Scheme,
    /// Variables that the user may set.
    pub environment: Vec<&'static str>,
    pub help: String,
}

/// One kind of object.
#[derive(Debug)]
pub struct Object {
    pub name: String,
    /// Its directory: `projects/{project}/issues/{issue}`.
    pub path: String,
    /// Whether its directory is one of many, named by the object; else there is one object alone.
    pub is_listed: bool,
    pub list: Option<Template>,
    /// Where the list is in its answer.
    pub items: String,
    pub id: String,
    /// Where the directory's name is in an item, if it is not the id.
    pub shown: Option<String>,
    pub modified: Option<String>,
    pub pages: Option<Pages>,
    pub get: Option<Template>,
    /// Where the object is in the answer to `get`.
    pub item: String,
    /// Names and pointers of what each answer holds.
    pub files: Vec<(String, String)>,
    /// Those of what only the answer to `get` holds.
    pub details: Vec<(String, String)>,
    /// What tells of its changes. Without one, nothing of it is kept.
    pub feed: Option<Feed>,
}

/// How a list goes on.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    way: Way,
    /// Items of a page; 0 where the answer says by itself whether there is more.
    size: usize,
    /// The parameter that asks for pages of this size.
    limit: Option<&'static str>,
    /// Items in all. What is beyond them is not listed.
    pub most: usize,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Page {
        parameter: &'static str,
        first: usize,
    },
    Offset {
        parameter: &'static str,
    },
    /// The pointer to what the next page is asked for with.
    Cursor {
        parameter: &'static str,
        pointer: &'static str,
    },
    Link,
}

impl Pages {
    pub fn next(&self) -> Next<Value> {
        match self.way {
            Way::Page { parameter, first } => Next::number(parameter, first, self.size),
            Way::Offset { parameter } => Next::offset(parameter, self.size),
            Way::Cursor { parameter, pointer } => {
                Next::cursor(parameter, |page: &Value, _| plain(page.pointer(pointer)?))
            }
            Way::Link => Next::link(self.size),
        }
    }

    /// What asks for pages of this size.
    pub fn limit(&self) -> Option<(&'static str, usize)> {
        Some((self.limit?, self.size))
    }
}

/// A file's text, to say in which line something is.
#[derive(Clone, Copy)]
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn fault(self, at: Range<usize>, why: impl std::fmt::Display) -> Fault {
        let before = self.0.get(..at.start).unwrap_or(self.0);
        Fault(format!("line {}: {why}", before.matches('\n').count() + 1))
    }

    fn refuse<T>(self, value: &Spanned<T>, why: impl std::fmt::Display) -> Fault {
        self.fault(value.span(), why)
    }
}

impl Spec {
    /// # Errors
    /// The first thing that is wrong with the file.
    pub fn read(text: &str) -> Result<Spec, Fault> {
        let lines = Lines(text);
        let file: raw::File = toml::from_str(text).map_err(|error| {
            let why = error.message().replace('\n', " ");
            lines.fault(error.span().unwrap_or_default(), why)
        })?;
        let (name, summary, url) = (file.name, file.summary, file.url);
        if !is_name(name.get_ref()) {
            return Err(lines.refuse(&name, "the name has lower-case letters, digits and -"));
        }
        line(lines, &summary, "summary")?;
        if !["https://", "http://", "unix:///"].iter().any(|kind| url.get_ref().starts_with(kind)) {
            return Err(
                lines.refuse(&url, "the url begins with https://, or http:// for this machine")
            );
        }
        let credential = file.credential.map(|given| credential(lines, given)).transpose()?;
        let mut objects: Vec<_> = file.objects.into_iter().collect();
        objects.sort_by_key(|(name, _)| name.span().start);
        if objects.is_empty() {
            return Err(Fault("it declares no object: write [objects.NAME]".to_owned()));
        }
        let mut feeds = file.feed;
        let names: Vec<String> = objects.iter().map(|(name, _)| name.get_ref().clone()).collect();
        let mut paths = Vec::new();
        let mut read = Vec::new();
        for (name, given) in objects {
            let path = given.path.clone();
            let feed = feeds.remove_entry(name.get_ref().as_str());
            read.push(object(lines, &names, name, given, feed)?);
            paths.push(path);
        }
        if let Some((name, _)) = feeds.first_key_value() {
            let why = format!("a feed is of an object: there is no [objects.{}]", name.get_ref());
            return Err(lines.refuse(name, why));
        }
        let places = tree::build(lines, &read, &paths)?;
        Ok(Spec {
            name: name.into_inner(),
            summary: summary.into_inner(),
            url: url.into_inner(),
            credential,
            objects: read,
            places,
        })
    }
}

/// Letters in lower case, digits and `-`: as the host takes them.
fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-')
}

fn line(lines: Lines<'_>, text: &Spanned<String>, what: &str) -> Result<(), Fault> {
    let is_line = (1..=200).contains(&text.get_ref().len()) && !text.get_ref().contains('\n');
    is_line.then_some(()).ok_or_else(|| {
        lines.refuse(text, format_args!("the {what} is one line of at most 200 bytes"))
    })
}

fn credential(lines: Lines<'_>, given: raw::Credential) -> Result<Credential, Fault> {
    let header = given.header.map(|header| &*header.into_inner().leak());
    let scheme = match (given.scheme.get_ref().as_str(), header) {
        ("bearer", None) => Scheme::Bearer,
        ("basic", None) => Scheme::Basic(None),
        ("header", Some(header)) => Scheme::Header(header),
        ("header", None) => {
            let why = "the scheme header names one: header = \"x-api-key\"";
            return Err(lines.refuse(&given.scheme, why));
        }
        ("bearer" | "basic", Some(_)) => {
            return Err(lines.refuse(&given.scheme, "only the scheme header has a header"));
        }
        _ => return Err(lines.refuse(&given.scheme, "the scheme is bearer, basic or header")),
    };
    let page = given.help.get_ref();
    if !page.starts_with("https://") || page.contains('#') {
        let why = "help is the address of a page: https://..., without what stands after a #";
        return Err(lines.refuse(&given.help, why));
    }
    let environment = given.environment.into_iter().map(|name| &*name.leak()).collect();
    Ok(Credential { scheme, environment, help: given.help.into_inner() })
}

fn object(
    lines: Lines<'_>,
    names: &[String],
    name: Spanned<String>,
    given: raw::Object,
    feed: Option<(Spanned<String>, raw::Feed)>,
) -> Result<Object, Fault> {
    if !is_name(name.get_ref()) || ["id", "since"].contains(&name.get_ref().as_str()) {
        let why =
            "an object's name has lower-case letters, digits and -, and is neither id nor since";
        return Err(lines.refuse(&name, why));
    }
    let path = given.path.get_ref().trim_end_matches('/').to_owned();
    let (enclosing, is_listed) = tree::enclosing(names, name.get_ref(), &path)
        .map_err(|why| lines.refuse(&given.path, why))?;
    let reading = |text: &Spanned<String>, of_one: bool, of_feed: bool| {
        let field = |field: &str| {
            let place = names.iter().position(|name| name == field);
            match place.filter(|place| enclosing.contains(place)) {
                Some(place) => Ok(Field::Enclosing(place)),
                None if field == "id" && of_one => Ok(Field::Own),
                None if field == "since" && of_feed => Ok(Field::Since),
                None => Err(format!(
                    "{{{field}}} is no object that the path leads through{}",
                    if of_one { ", and not {id}" } else { "" }
                )),
            }
        };
        Template::read(text.get_ref(), field).map_err(|why| lines.refuse(text, why))
    };
    let template = |text: &Spanned<String>, of_one: bool| reading(text, of_one, false);
    let list = given.list.as_ref().map(|text| template(text, false)).transpose()?;
    let get = given.get.as_ref().map(|text| template(text, is_listed)).transpose()?;
    match (&list, &get) {
        (None, _) if is_listed => {
            let why = "an object whose path ends in its name in braces needs a list";
            return Err(lines.refuse(&name, why));
        }
        (Some(_), _) if !is_listed => {
            let why = format!("the path of an object with a list ends in {{{}}}", name.get_ref());
            return Err(lines.refuse(&given.path, why));
        }
        (None, None) => return Err(lines.refuse(&name, "it has neither a list nor a get")),
        (_, Some(get)) if is_listed && !get.has(Field::Own) => {
            let why = "the get of one object of many has {id} in it";
            return Err(lines.refuse(given.get.as_ref().unwrap_or(&name), why));
        }
        _ => {}
    }
    let pointer = |text: Option<Spanned<String>>, default: &str| match text {
        None => Ok(default.to_owned()),
        Some(text) if is_pointer(text.get_ref()) => Ok(text.into_inner()),
        Some(text) => Err(lines.refuse(&text, "a pointer is empty or begins with `/`")),
    };
    let modified = given.modified.map(|text| pointer(Some(text), "")).transpose()?;
    let shown = given.name.map(|text| pointer(Some(text), "")).transpose()?;
    let twofold = list.is_some() && get.is_some();
    let files = files(lines, given.files, |pointer| {
        (twofold && pointer.is_empty())
            .then_some("what the list and the get answer as a whole differs: put it under details")
    })?;
    let details = files_of(lines, given.details, twofold)?;
    if let Some((twice, _)) =
        details.iter().find(|(name, _)| files.iter().any(|(own, _)| own == name))
    {
        let why = format!("{twice:?} is among the files and among the details");
        return Err(lines.refuse(&name, why));
    }
    let pages = given.pages.map(|pages| read_pages(lines, pages, list.as_ref())).transpose()?;
    let mut object = Object {
        path,
        is_listed,
        list,
        items: pointer(given.items, "")?,
        id: pointer(given.id, "/id")?,
        shown,
        modified,
        pages,
        get,
        item: pointer(given.item, "")?,
        files,
        details,
        feed: None,
        name: name.into_inner(),
    };
    if let Some((of, given)) = feed {
        let read = feed::read(lines, &of, given, &object, |text| reading(text, false, true))?;
        object.feed = Some(read);
    }
    Ok(object)
}

fn is_pointer(text: &str) -> bool {
    text.is_empty() || text.starts_with('/')
}

fn files_of(
    lines: Lines<'_>,
    given: raw::Files,
    twofold: bool,
) -> Result<Vec<(String, String)>, Fault> {
    files(lines, given, |_| {
        (!twofold)
            .then_some("details are of an object with both a list and a get: put it under files")
    })
}

/// Names and pointers, each checked. `odd` says what is wrong with one beyond that.
fn files(
    lines: Lines<'_>,
    given: raw::Files,
    odd: impl Fn(&str) -> Option<&'static str>,
) -> Result<Vec<(String, String)>, Fault> {
    let mut files = Vec::new();
    for (name, pointer) in given {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-:@+~%,".contains(c);
        let text = name.get_ref();
        if text.is_empty() || text.len() > 64 || !text.chars().all(plain) || text.starts_with('.') {
            let why = format!("{text:?} is no name of a file: use letters, digits and . - _");
            return Err(lines.refuse(&name, why));
        }
        if !is_pointer(pointer.get_ref()) {
            let why = format!(
                "{:?} is no JSON pointer: one is empty or begins with `/`",
                pointer.get_ref()
            );
            return Err(lines.refuse(&pointer, why));
        }
        if let Some(why) = odd(pointer.get_ref()) {
            return Err(lines.refuse(&name, why));
        }
        files.push((name.into_inner(), pointer.into_inner()));
    }
    files.sort();
    Ok(files)
}

fn read_pages(
    lines: Lines<'_>,
    given: Spanned<raw::Pages>,
    list: Option<&Template>,
) -> Result<Pages, Fault> {
    let at = given.span();
    let given = given.into_inner();
    let leak = |text: Option<String>, default: &'static str| match text {
        Some(text) => text.leak(),
        None => default,
    };
    let parameter = given.parameter;
    let way = match (given.by.as_deref(), given.cursor) {
        (None | Some("cursor"), Some(cursor)) if is_pointer(&cursor) => {
            Way::Cursor { parameter: leak(parameter, "cursor"), pointer: cursor.leak() }
        }
        (_, Some(_)) => {
            let why =
                "a cursor is a pointer to what the next page is asked for with, and needs no `by`";
            return Err(lines.fault(at, why));
        }
        (Some("page"), None) => {
            Way::Page { parameter: leak(parameter, "page"), first: given.first.unwrap_or(1) }
        }
        (Some("offset"), None) => Way::Offset { parameter: leak(parameter, "offset") },
        (Some("link"), None) => Way::Link,
        _ => {
            let why = "pages go on by \"page\", \"offset\" or \"link\", or by a cursor";
            return Err(lines.fault(at, why));
        }
    };
    let most = given.most.unwrap_or(1000);
    let limit = given.limit.map(|text| &*text.leak());
    // Without a size, only what the answer says can lead on.
    let size = match way {
        Way::Cursor { .. } if limit.is_none() => Some(given.size.unwrap_or(0)),
        _ => given.size.filter(|size| *size > 0),
    };
    let Some(size) = size.filter(|size| *size <= 1000 && (1..=50_000).contains(&most)) else {
        let why = "a page has 1 to 1000 items (size), and a list at most 50000 (most)";
        return Err(lines.fault(at, why));
    };
    let parameters = [
        limit,
        match way {
            Way::Page { parameter, .. }
            | Way::Offset { parameter }
            | Way::Cursor { parameter, .. } => Some(parameter),
            Way::Link => None,
        },
    ];
    if let Some(twice) =
        parameters.iter().flatten().find(|name| list.is_some_and(|l| l.asks_for(name)))
    {
        let why = format!("the parameter {twice:?} is set by pages: take it out of the list");
        return Err(lines.fault(at, why));
    }
    Ok(Pages { way, size, limit, most })
}

#[cfg(test)]
mod tests;
