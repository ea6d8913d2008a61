//! From what a guest says to what the core believes, and back.
//!
//! Invariant: a [`Node`] made here has an admitted name, an id and texts within their limits, and a size
//! that is its content's. What does not, is refused with the answer that holds it.

use super::bindings::omnifs::provider::{http, sql, types};
use super::text::one_line;
use super::{body, limits};
use crate::capability::RAISED_BY;
use crate::names::{self, Quoted};
use crate::provider::{
    Along, Body, Cause, Coherence, Failure, Kind, Method, Node, Offer, Partial, Query, Request,
    Response, Rows, Value,
};
use bytes::Bytes;
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A failure without its provider's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) cause: Cause,
    pub(super) detail: String,
}

pub(super) fn invalid<T>(detail: String) -> Result<T, Fault> {
    Err(Fault { cause: Cause::Invalid, detail })
}

pub(super) fn over<T>(detail: String) -> Result<T, Fault> {
    Err(Fault { cause: Cause::Limit, detail })
}

/// Checks the form of an id; `what` says whose it is.
pub(super) fn id(id: &str, what: &dyn Display) -> Result<(), Fault> {
    if id.is_empty() {
        return invalid(format!("gave an empty id for {what}"));
    }
    if id.starts_with(crate::guide::OWN) {
        return invalid(format!("gave an id of the host's own for {what}"));
    }
    within(id, limits::ID_MAX, "id", what)
}

fn within(text: &str, max: usize, field: &str, what: &dyn Display) -> Result<(), Fault> {
    if text.len() > max {
        return over(format!("the {field} of {what} has {} bytes, more than {max}", text.len()));
    }
    Ok(())
}

/// The answer to a lookup of `name`.
pub(super) fn found(raw: types::Node, parent: &str, name: &str) -> Result<Node, Fault> {
    if raw.name != name {
        let (other, name) = (Quoted(&raw.name), Quoted(name));
        return invalid(format!("was asked for {name} and answered {other}"));
    }
    node(raw, parent, &mut Shared::default())
}

/// Texts of the node before, which most often are those of the next one too: all leaves of an object are
/// part of it, and a listing is of one scope. A listing has tens of thousands.
#[derive(Default)]
struct Shared {
    scope: Option<Arc<str>>,
    whole: Option<Arc<str>>,
}

fn shared(before: &mut Option<Arc<str>>, text: &str) -> Arc<str> {
    match before {
        Some(same) if **same == *text => same.clone(),
        _ => before.insert(text.into()).clone(),
    }
}

/// The entries of `parent`, of a listing or an offer.
pub(super) fn listing(raw: Vec<types::Node>, parent: &str) -> Result<Vec<Node>, Fault> {
    if raw.len() > limits::LISTING_MAX {
        return over(format!(
            "listed {} entries in {}, more than {}: show fewer and say so with preload.partial",
            raw.len(),
            Quoted(parent),
            limits::LISTING_MAX
        ));
    }
    let mut nodes = Vec::with_capacity(raw.len());
    let mut before = Shared::default();
    for raw in raw {
        nodes.push(node(raw, parent, &mut before)?);
    }
    let mut names = HashSet::with_capacity_and_hasher(nodes.len(), RandomState::default());
    if let Some(twice) = nodes.iter().find(|node| !names.insert(node.name.as_str())) {
        let (name, parent) = (Quoted(&twice.name), Quoted(parent));
        return invalid(format!("listed the name {name} twice in {parent}"));
    }
    Ok(nodes)
}

pub(super) fn offer(
    parent: String,
    children: Vec<types::Node>,
    whole: bool,
) -> Result<Offer, Fault> {
    id(&parent, &"the directory of an offer")?;
    let children = listing(children, &parent)?;
    Ok(Offer { parent: parent.into(), children, whole })
}

pub(super) fn along(node: String, bytes: Vec<u8>, most: usize) -> Result<Along, Fault> {
    id(&node, &"an offered content")?;
    fits(bytes.len(), most, &Quoted(&node))?;
    Ok(Along { node: node.into(), bytes: bytes.into() })
}

pub(super) fn partial(directory: String, shown: u32, note: &str) -> Result<Partial, Fault> {
    id(&directory, &"a partial listing")?;
    let note = one_line(note, limits::TEXT_MAX);
    Ok(Partial { directory: directory.into(), shown, note })
}

/// One object is not at once a directory and something else, within an answer. `parent` is the
/// object that was asked, and `directory` what it thereby is.
pub(super) fn consistent(
    parent: &str,
    directory: bool,
    nodes: &[Node],
    offers: &[Offer],
) -> Result<(), Fault> {
    let count = nodes.len() + offers.iter().map(|offer| offer.children.len() + 1).sum::<usize>();
    let mut directories = HashMap::with_capacity_and_hasher(count + 1, RandomState::default());
    directories.insert(parent, directory);
    for offer in offers {
        if !*directories.entry(&offer.parent).or_insert(true) {
            let id = Quoted(&offer.parent);
            return invalid(format!("offered entries of {id}, which is a file"));
        }
    }
    for node in nodes.iter().chain(offers.iter().flat_map(|offer| &offer.children)) {
        let directory = node.kind == Kind::Directory;
        if *directories.entry(&node.id).or_insert(directory) != directory {
            let (id, name) = (Quoted(&node.id), Quoted(&node.name));
            return invalid(format!(
                "gave the object {id} (here named {name}) as a directory and as a file"
            ));
        }
    }
    Ok(())
}

/// 9999-12-31T23:59:59.999Z: beyond it, programs that print a date fail.
const MODIFIED_MAX: u64 = 253_402_300_799_999;

fn node(raw: types::Node, parent: &str, before: &mut Shared) -> Result<Node, Fault> {
    if let Err(refused) = names::admit(&raw.name) {
        let (name, parent) = (Quoted(&raw.name), Quoted(parent));
        let detail = format!("gave {name} as a name in {parent}: {refused}");
        return match refused {
            names::Refused::TooLong(_) => over(detail),
            _ => invalid(detail),
        };
    }
    // Written only where something is wrong: a listing holds tens of thousands.
    let what = Quoted(&raw.name);
    id(&raw.id, &what)?;
    let kind = match raw.kind {
        types::Kind::Directory => Kind::Directory,
        types::Kind::File => Kind::File,
        types::Kind::Executable => Kind::Executable,
        types::Kind::Symlink => Kind::Symlink,
    };
    let directory = kind == Kind::Directory;
    if directory && raw.id == parent {
        return invalid(format!("gave {what} as a directory that contains itself"));
    }
    let (size, volatile) = (raw.size, raw.coherence == types::Coherence::Volatile);
    let content = raw.content.map(|raw| body::body(raw, kind, volatile, &what)).transpose()?;
    let length = content.as_ref().and_then(Body::length);
    if let (Some(size), Some(length)) = (size, length)
        && size != length
    {
        return invalid(format!("gave {what} a size of {size} and a content of {length} bytes"));
    }
    if let Some(version) = &raw.version {
        within(version, limits::VERSION_MAX, "version", &what)?;
    }
    if let Some(whole) = &raw.part_of {
        id(whole, &format_args!("what {what} is part of"))?;
    }
    let modified = match raw.modified {
        None => None,
        Some(milliseconds) if milliseconds <= MODIFIED_MAX => {
            Some(SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds))
        }
        Some(milliseconds) => {
            return invalid(format!("gave {what} the time {milliseconds} ms, after the year 9999"));
        }
    };
    let coherence = match raw.coherence {
        types::Coherence::Immutable => Coherence::Immutable,
        types::Coherence::Volatile => Coherence::Volatile,
        types::Coherence::Scoped(scope) => {
            within(&scope, limits::SCOPE_MAX, "scope", &what)?;
            Coherence::Scoped(shared(&mut before.scope, &scope))
        }
    };
    Ok(Node {
        id: raw.id.into(),
        name: raw.name,
        kind,
        size: length.or(size).filter(|_| !directory),
        modified,
        version: raw.version,
        content,
        coherence,
        part_of: raw.part_of.map(|whole| shared(&mut before.whole, &whole)),
        complete: directory && raw.complete,
    })
}

/// Whether the contents that came with these nodes are such as the host holds: `most` bytes.
pub(super) fn fit(nodes: &[Node], most: usize) -> Result<(), Fault> {
    let held = |node: &Node| Some(node.content.as_ref()?.held()?.len());
    nodes.iter().try_for_each(|node| fits(held(node).unwrap_or(0), most, &Quoted(&node.name)))
}

fn fits(bytes: usize, most: usize, what: &dyn Display) -> Result<(), Fault> {
    if bytes <= most {
        return Ok(());
    }
    let detail = format!("gave {what} a content of {bytes} bytes, more than {most}; {RAISED_BY}");
    Err(Fault { cause: Cause::TooLarge, detail })
}

pub(super) fn check_content(
    content: &[u8],
    symlink: bool,
    what: &dyn Display,
) -> Result<(), Fault> {
    if symlink && (content.is_empty() || content.contains(&0)) {
        return invalid(format!(
            "gave the symbolic link {what} a target that is empty or has a NUL"
        ));
    }
    if symlink && content.len() > limits::TARGET_MAX {
        return over(format!(
            "gave the symbolic link {what} a target of {} bytes, more than {}",
            content.len(),
            limits::TARGET_MAX
        ));
    }
    Ok(())
}

/// The answer to a read of the object `node`.
pub(super) fn content(content: Vec<u8>, node: &str, most: usize) -> Result<Bytes, Fault> {
    fits(content.len(), most, &Quoted(node))?;
    Ok(content.into())
}

/// Bytes that the host holds for a node.
pub(super) fn weight(node: &types::Node) -> usize {
    size_of::<Node>()
        + node.id.len()
        + node.name.len()
        + node.content.as_ref().map_or(0, body::weight)
        + node.version.as_ref().map_or(0, String::len)
        + node.part_of.as_ref().map_or(0, String::len)
        + match &node.coherence {
            types::Coherence::Scoped(scope) => scope.len(),
            types::Coherence::Immutable | types::Coherence::Volatile => 0,
        }
}

/// A failed request, as the guest sees it.
pub(super) fn error(failure: &Failure) -> types::Error {
    let detail = || failure.detail.clone();
    match failure.cause {
        Cause::NotFound => types::Error::NotFound,
        Cause::Denied => types::Error::Denied(detail()),
        Cause::RateLimited => types::Error::RateLimited(failure.retry_after.map(seconds)),
        Cause::Unavailable => types::Error::Unavailable(detail()),
        Cause::TimedOut => types::Error::TimedOut,
        Cause::TooLarge => types::Error::TooLarge,
        Cause::Invalid | Cause::Changed | Cause::Trap | Cause::Limit => {
            types::Error::Invalid(detail())
        }
    }
}

/// Whole seconds, rounded up: an early retry is refused.
fn seconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX)
}

/// What a guest answered instead of a value. Where it passes on what one of its requests failed with,
/// the failure itself is kept, with its detail.
pub(super) fn failure(
    provider: &Arc<str>,
    error: types::Error,
    failed: &[(types::Error, Failure)],
    most: usize,
) -> Failure {
    if let Some((_, original)) = failed.iter().rev().find(|(seen, _)| *seen == error) {
        return Failure { provider: provider.clone(), ..original.clone() };
    }
    let said = |text: String, otherwise: &str| {
        let text = one_line(&text, limits::TEXT_MAX);
        if text.is_empty() { otherwise.to_string() } else { text }
    };
    let mut retry_after = None;
    let (cause, detail) = match error {
        types::Error::NotFound => (Cause::NotFound, "there is no such object".into()),
        types::Error::Denied(text) => (Cause::Denied, said(text, "the service denied access")),
        types::Error::RateLimited(None) => {
            (Cause::RateLimited, "the service throttles requests".into())
        }
        types::Error::RateLimited(Some(wait)) => {
            retry_after = Some(Duration::from_secs(wait.into()));
            (Cause::RateLimited, format!("the service throttles requests for {wait} s more"))
        }
        types::Error::Unavailable(text) => {
            (Cause::Unavailable, said(text, "the service is unavailable"))
        }
        types::Error::TimedOut => (Cause::TimedOut, "the service did not answer in time".into()),
        types::Error::TooLarge => {
            let most = most >> 20;
            (Cause::TooLarge, format!("the content is larger than {most} MiB; {RAISED_BY}"))
        }
        types::Error::Invalid(text) => {
            (Cause::Invalid, said(text, "the service answered something unexpected"))
        }
    };
    Failure { provider: provider.clone(), cause, detail, retry_after }
}

pub(super) fn request(raw: types::Request) -> Request {
    Request {
        endpoint: raw.endpoint,
        method: method(raw.method),
        path: raw.path,
        headers: raw.headers.into_iter().map(|h| (h.name, h.value)).collect(),
        body: raw.body.map(Bytes::from),
    }
}

pub(super) fn method(raw: types::Method) -> Method {
    match raw {
        types::Method::Get => Method::Get,
        types::Method::Head => Method::Head,
        types::Method::Post => Method::Post,
    }
}

pub(super) fn response(response: Response) -> http::Response {
    http::Response {
        status: response.status,
        headers: headers(response.headers),
        body: response.body.into(),
    }
}

pub(super) fn headers(headers: Vec<(String, String)>) -> Vec<types::Header> {
    headers.into_iter().map(|(name, value)| types::Header { name, value }).collect()
}

pub(super) fn query(endpoint: String, statement: String, values: Vec<sql::Value>) -> Query {
    let value = |value| match value {
        sql::Value::Null => Value::Null,
        sql::Value::Integer(number) => Value::Integer(number),
        sql::Value::Real(number) => Value::Real(number),
        sql::Value::Text(text) => Value::Text(text),
        sql::Value::Blob(bytes) => Value::Blob(bytes),
    };
    Query { endpoint, statement, parameters: values.into_iter().map(value).collect() }
}

pub(super) fn rows(rows: Rows) -> sql::Rows {
    let value = |value| match value {
        Value::Null => sql::Value::Null,
        Value::Integer(number) => sql::Value::Integer(number),
        Value::Real(number) => sql::Value::Real(number),
        Value::Text(text) => sql::Value::Text(text),
        Value::Blob(bytes) => sql::Value::Blob(bytes),
    };
    let row = |row: Vec<Value>| row.into_iter().map(value).collect();
    sql::Rows {
        columns: rows.columns,
        rows: rows.rows.into_iter().map(row).collect(),
        state: rows.state,
    }
}

#[cfg(test)]
#[path = "convert_tests.rs"]
mod tests;
