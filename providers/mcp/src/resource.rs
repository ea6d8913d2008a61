//! Resources, what a read of one brings, and templates of their URIs.

use crate::Id;
use crate::api::{self, Listed, Named};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use omnifs_sdk::*;
use serde::Deserialize;
use serde_json::json;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    /// Of a resource `uri`, of a template `uriTemplate`.
    #[serde(alias = "uriTemplate")]
    uri: String,
    name: Option<String>,
    title: Option<String>,
    description: Option<String>,
    mime_type: Option<String>,
    size: Option<u64>,
}

/// One that the server lists, or, without a description, one that it only reads.
pub struct Resource {
    described: Raw<Described>,
    uri: String,
    is_listed: bool,
}

impl Object for Resource {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("uri", |r| scalar(&r.uri)),
        leaf("name", |r: &Resource| optional(r.described.name.as_ref()))
            .present_if(|r| r.is_listed),
        leaf("title", |r: &Resource| optional(r.described.title.as_ref()))
            .present_if(|r| r.is_listed),
        leaf("description", |r: &Resource| text(&r.described)).present_if(|r| r.is_listed),
        leaf("mime-type", |r: &Resource| optional(r.described.mime_type.as_ref()))
            .present_if(|r| r.is_listed),
        leaf("size", |r: &Resource| optional(r.described.size)).present_if(|r| r.is_listed),
        leaf("resource.json", |r: &Resource| r.described.json.content(&[]))
            .present_if(|r| r.is_listed),
        own("content", content),
        dir("contents", |r| Id::Contents(r.uri.clone())),
    ];

    fn id(&self) -> Id {
        Id::Resource(self.uri.clone())
    }
}

fn text(described: &Described) -> Content {
    document(described.description.clone().unwrap_or_default())
}

impl Named for Described {
    fn key(&self) -> &str {
        &self.uri
    }

    fn id(&self) -> Id {
        Id::Resource(self.uri.clone())
    }
}

fn listed(described: Raw<Described>) -> Resource {
    Resource { uri: described.uri.clone(), described, is_listed: true }
}

fn all() -> Result<Listed<Raw<Described>>> {
    api::list("resources/list")
}

pub fn list() -> Result<Listing<Id>> {
    Ok(all()?.entries(|one| Entry::object(one.uri.clone(), &listed(one))))
}

/// Whether it begins with a scheme (RFC 3986, section 3.1). That keeps away what tools look for in any directory.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    !rest.is_empty()
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(plain)
}

pub fn named(uri: &str) -> Result<Entry<Id>> {
    Ok(Entry::object(uri, &find(uri)?))
}

/// One that is listed, or else one that can be read all the same, as those of a template can.
pub fn find(uri: &str) -> Result<Resource> {
    if !is_uri(uri) {
        return Err(Error::NotFound);
    }
    match all()?.one(uri) {
        Ok(one) => Ok(listed(one)),
        Err(_) if read(uri)?.count() > 0 => {
            Ok(Resource { uri: uri.to_owned(), described: Raw::default(), is_listed: false })
        }
        Err(unlisted) => Err(unlisted),
    }
}

#[derive(Deserialize)]
struct Answer {
    contents: Items<Read>,
}

#[derive(Clone, Debug, Deserialize)]
struct Read {
    uri: String,
    text: Option<String>,
    blob: Option<String>,
}

impl Read {
    fn bytes(&self) -> Result<Content> {
        let invalid = |why| Error::Invalid(format!("resources/read: {}: {why}", self.uri));
        match (&self.text, &self.blob) {
            (Some(text), None) => Ok(document(text.clone())),
            (None, Some(blob)) => {
                BASE64.decode(blob).map(Content).map_err(|_| invalid("its blob is no base64"))
            }
            _ => Err(invalid("it has neither a text nor a blob")),
        }
    }
}

fn read(uri: &str) -> Result<Items<Read>> {
    let answer: Answer = api::ask("resources/read", &json!({ "uri": uri }))?;
    Ok(answer.contents)
}

/// The first of what a read brings, which most often is all.
fn content(id: &Id) -> Result<Content> {
    let Id::Resource(uri) = id else { return Err(Error::NotFound) };
    let contents = read(uri)?;
    match contents.first() {
        Some(first) if contents.is_whole() => first.bytes(),
        None if contents.is_whole() => Ok(Content::default()),
        // Which one is the first is not known.
        _ => Err(Error::Invalid(format!("resources/read: {uri}: not all of it can be read"))),
    }
}

/// All that a read brings, each by its URI.
pub fn contents(uri: &str) -> Result<Listing<Id>> {
    let contents = read(uri)?;
    let mut seen: Vec<String> = Vec::new();
    let entries = contents.map(|one| {
        let nth = seen.iter().filter(|other| **other == one.uri).count();
        seen.push(one.uri.clone());
        let id = Id::Part(uri.to_owned(), one.uri.clone(), nth);
        let entry = Entry::file(one.uri.clone(), id).tie((nth + 1).to_string());
        match one.bytes() {
            Ok(content) => entry.content(content),
            Err(_) => entry,
        }
    });
    Ok(entries.into())
}

pub fn part(uri: &str, part: &str, nth: usize) -> Result<Content> {
    let contents = read(uri)?;
    let mut own = contents.iter().filter(|one| one.uri == part);
    own.nth(nth).ok_or(Error::NotFound)?.bytes()
}

/// What URIs the server reads beside those that it lists.
pub struct Template(Raw<Described>);

impl Object for Template {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("uri-template", |t| scalar(&t.0.uri)),
        leaf("name", |t| optional(t.0.name.as_ref())),
        leaf("title", |t| optional(t.0.title.as_ref())),
        leaf("description", |t| text(&t.0)),
        leaf("mime-type", |t| optional(t.0.mime_type.as_ref())),
        leaf("template.json", |t| t.0.json.content(&[])),
    ];

    fn id(&self) -> Id {
        Id::Template(self.0.uri.clone())
    }
}

pub fn templates() -> Result<Listing<Id>> {
    let all: Listed<Raw<Described>> = api::list("resources/templates/list")?;
    Ok(all.entries(|one| Entry::object(one.uri.clone(), &Template(one))))
}

pub fn template(uri: &str) -> Result<Template> {
    Ok(Template(api::list("resources/templates/list")?.one(uri)?))
}
