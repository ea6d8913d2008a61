//! What is asked of a server, and what it answers (Model Context Protocol, revisions 2025-03-26 and 2025-06-18, over
//! Streamable HTTP).

use crate::{Id, sse};
use omnifs_sdk::http::Response;
use omnifs_sdk::json::null_as_default;
use omnifs_sdk::poll::digest;
use omnifs_sdk::{Entry, Error, Items, Listing, NodeId, Raw, Result, config, content, routes};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

routes! {
    pub mod server = "server" {
        post root() = "/",
        post below(path) = "/**",
    }
}

/// The revision that is asked for.
const VERSION: &str = "2025-06-18";
/// Entries of a list that are shown.
const MOST: usize = 10_000;
/// Pages beyond this are a server that leads in circles.
const PAGES: usize = 500;
/// Bytes of an id that the host takes.
const LONGEST_ID: usize = 1_000;

/// JSON-RPC's own codes, and the protocol's for a resource that is not there.
const NO_METHOD: i64 = -32601;
const INTERNAL: i64 = -32603;
const NO_RESOURCE: i64 = -32002;

fn post(message: &Value, version: Option<&str>) -> Result<Response> {
    let path = config::get("path").unwrap_or_default();
    let path = path.trim_start_matches('/');
    if !path.is_empty() && path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::Invalid(format!("no server is at the setting path: {path:?}")));
    }
    let request = if path.is_empty() { server::root() } else { server::below(path) };
    let request = request.body(message).header("accept", "application/json, text/event-stream");
    match version {
        Some(version) => request.header("mcp-protocol-version", version),
        None => request,
    }
    .send()
}

/// A request and its answer. The id is made of what is asked for: a component is new at each call and has nothing to
/// count by. The host sends no request of a session while the same one is under way.
fn send(method: &str, params: &Value, version: Option<&str>) -> Result<(String, Response)> {
    let id = format!("{method} {:016x}", digest::of(params));
    let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    Ok((id, post(&message, version)?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    protocol_version: String,
}

/// Begins a session, whose name the host keeps, and answers the revision that the server speaks.
fn begin() -> Result<String> {
    let client = json!({ "name": "omnifs", "version": env!("CARGO_PKG_VERSION") });
    let params = json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": client });
    let begun: Option<Begun> = result("initialize", send("initialize", &params, None)?)?;
    let version = begun.ok_or_else(|| unknown("initialize"))?.protocol_version;
    let message = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    there(post(&message, Some(&version))?)?.ok()?;
    Ok(version)
}

/// The result of a request; nothing where the server does not know the method. It is sent as if there were a session:
/// a server without sessions answers, and so does one whose session the host still holds. One that has none of that
/// name, as after it was started anew, answers 400 or 404.
fn ask_any<T: DeserializeOwned>(method: &str, params: &Value) -> Result<Option<T>> {
    let asked = send(method, params, Some(VERSION))?;
    if !matches!(asked.1.status, 400 | 404) {
        return result(method, asked);
    }
    let version = begin()?;
    result(method, send(method, params, Some(&version))?)
}

/// The same of a method that it has to know.
pub fn ask<T: DeserializeOwned>(method: &str, params: &Value) -> Result<T> {
    ask_any(method, params)?.ok_or_else(|| unknown(method))
}

fn unknown(method: &str) -> Error {
    Error::Invalid(format!("the server does not know {method}"))
}

#[derive(Deserialize)]
struct Message<T> {
    id: Option<Value>,
    result: Option<T>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: i64,
    #[serde(default, deserialize_with = "null_as_default")]
    message: String,
}

/// No object is gone because the server is not where it was looked for.
fn there(answer: Response) -> Result<Response> {
    if matches!(answer.status, 404 | 405 | 410) {
        let why = "no MCP server is there: check the endpoint, and the setting path";
        return Err(Error::Invalid(format!("{}: {why}", answer.complaint())));
    }
    Ok(answer)
}

fn result<T: DeserializeOwned>(
    method: &str,
    (id, mut answer): (String, Response),
) -> Result<Option<T>> {
    let kind = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("text/event-stream") {
        let answers = |data: &String| {
            let message = serde_json::from_str::<Message<IgnoredAny>>(data).ok();
            message.is_some_and(|m| m.id.as_ref().and_then(Value::as_str) == Some(&id))
        };
        let unanswered = || Error::Invalid(format!("{method}: the stream ends before the answer"));
        let data = sse::events(&answer.body).find(answers).ok_or_else(unanswered);
        answer.body = data?.into_bytes();
    }
    let message: Message<T> = match answer.json() {
        Ok(message) => message,
        Err(unreadable) => return Err(there(answer)?.ok().err().unwrap_or(unreadable)),
    };
    // An error may come with any status.
    if let Some(Fault { code, message }) = message.error {
        let said = content::one_line(&format!("{method}: {code}: {message}"));
        return match (code, answer.ok()) {
            (NO_METHOD, _) => Ok(None),
            (NO_RESOURCE, _) if method == "resources/read" => Err(Error::NotFound),
            (INTERNAL, _) => Err(Error::Unavailable(said)),
            (_, Err(error)) if !matches!(error, Error::Invalid(_) | Error::NotFound) => Err(error),
            _ => Err(Error::Invalid(said)),
        };
    }
    there(answer)?.ok()?;
    if message.id != Some(Value::from(&*id)) {
        return Err(Error::Invalid(format!("{method}: the server answers another request")));
    }
    let empty = || Error::Invalid(format!("{method}: the answer has no result"));
    message.result.map(Some).ok_or_else(empty)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    #[serde(alias = "resources", alias = "resourceTemplates", alias = "prompts", alias = "tools")]
    #[serde(bound = "T: DeserializeOwned")]
    items: Items<T>,
    next_cursor: Option<String>,
}

/// What a server lists.
pub struct Listed<T> {
    pub items: Items<T>,
    /// There are more than are shown.
    pub more: bool,
}

/// The items of all pages. A server that does not know the method has none.
pub fn list<T: DeserializeOwned>(method: &str) -> Result<Listed<T>> {
    let (mut items, mut params) = (Items::default(), json!({}));
    for _ in 0..PAGES {
        let page: Option<Page<T>> = ask_any(method, &params)?;
        let Some(page) = page else { return Ok(Listed { items, more: false }) };
        items.append(page.items);
        let next = page.next_cursor.filter(|cursor| !cursor.is_empty());
        match next {
            Some(next) if params["cursor"] == *next => break,
            Some(next) if items.count() < MOST => params = json!({ "cursor": next }),
            next => return Ok(Listed { items, more: next.is_some() }),
        }
    }
    Err(Error::Invalid(format!("{method}: the server's pages lead in circles")))
}

impl<T: Named> Listed<Raw<T>> {
    /// The one with this key; where it is not among those that could be read, why.
    pub fn one(self, key: &str) -> Result<Raw<T>> {
        let Listed { mut items, more } = self;
        items.retain(|one| one.key() == key);
        match items.one() {
            Err(Error::NotFound) if more => {
                Err(Error::Invalid("the list stops short, and may have it".to_owned()))
            }
            one => one,
        }
    }

    /// A directory of these. What has too long a name for the host is left out.
    pub fn entries(self, object: impl Fn(Raw<T>) -> Entry<Id>) -> Listing<Id> {
        let fits = |one: &Raw<T>| one.id().encode().len() <= LONGEST_ID;
        let long = self.items.iter().filter(|one| !fits(one)).count();
        let shown = self.items.flat_map(|one| fits(&one).then(|| object(one)));
        match (self.more, long) {
            (true, _) => Listing::partial(shown, format!("the first {MOST}")),
            (_, 1..) => {
                Listing::partial(shown, format!("{long} with too long a name are left out"))
            }
            _ => shown.into(),
        }
    }
}

/// What a list has an item by.
pub trait Named {
    fn key(&self) -> &str;
    fn id(&self) -> Id;
}
