//! Requests to declared endpoints, as [`routes!`](crate::routes) states them.
//!
//! | status | error |
//! |---|---|
//! | 401, 403, 451 | `denied` |
//! | 404, 410 | `not-found` |
//! | 429, and 403 with `retry-after` | `rate-limited` |
//! | 413 | `too-large` |
//! | 408, 504 | `timed-out` |
//! | other 5xx | `unavailable` |
//! | anything else but 2xx | `invalid` |
//!
//! A refusal that the manifest's `limits` describe never gets here: the host answers the request itself.

use crate::bindings::service::omnifs::provider::http::Response as Answer;
use crate::bindings::service::omnifs::provider::types::{self as wit, Header};
use crate::manifest::{self, Rule};
use crate::{Error, Framing, Growing, Result, content, host, json, log, time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{Display, Write as _};

/// What a segment of a path may hold as it stands, beside letters and digits.
const SEGMENT: &[u8] = b"-._~:@";

/// A request on its way. Nothing is sent before one of the methods that answer a `Result`.
#[derive(Clone, Debug)]
pub struct Request {
    wire: wit::Request,
    nowhere: bool,
    judge: Option<Judge>,
}

/// What a service says with an answer beyond its status: an error of its own where the module's
/// table would say less, or something wrong.
pub type Judge = fn(&Request, &Response) -> Option<Error>;

impl Request {
    /// The request that a row of [`routes!`](crate::routes) states: each `*` of its path is one of
    /// `segments`, percent-encoded, so that none can become two. What has a slash is no segment of a `*`.
    #[doc(hidden)]
    pub fn of(endpoint: &str, rule: &Rule, segments: &[&dyn Display]) -> Self {
        let mut segments = segments.iter();
        let wire = wit::Request {
            endpoint: endpoint.to_owned(),
            method: rule.method.into(),
            path: String::new(),
            headers: Vec::new(),
            body: None,
        };
        let mut request = Request { wire, nowhere: false, judge: None };
        for (at, part) in rule.path.split('/').enumerate() {
            if at > 0 {
                request.wire.path.push('/');
            }
            let text = match part {
                "*" | "*%2F*" | "**" => {
                    segments.next().map(ToString::to_string).unwrap_or_default()
                }
                part => {
                    request.wire.path.push_str(part);
                    continue;
                }
            };
            let keep: &[u8] = if part == "**" { b"-._~:@/" } else { SEGMENT };
            request.nowhere |= part == "*" && manifest::holds_slash(&text);
            let mut parts = text.split(|c| c == '/' && part == "**");
            request.nowhere |= parts.any(|part| matches!(part, "" | "." | ".."));
            // The host sends nothing that begins with `/@`, which may be read as another server's address.
            let first = request.wire.path == "/" && text.starts_with('@');
            let text = if first { &text[1..] } else { &text };
            request.wire.path.push_str(if first { "%40" } else { "" });
            encode_into(&mut request.wire.path, text, keep);
        }
        request
    }

    /// A body as JSON: of a query that does not fit into a path.
    pub fn body(mut self, body: &impl Serialize) -> Self {
        self.wire.body = serde_json::to_vec(body).ok();
        self.header("content-type", "application/json")
    }

    /// A body that is no JSON, of this media type.
    pub fn bytes(mut self, media_type: &str, body: Vec<u8>) -> Self {
        self.wire.body = Some(body);
        self.header("content-type", media_type)
    }

    /// The answer is judged by `judge` first: what that finds is the error of [`ok`](Response::ok)
    /// and of all that builds on it.
    pub fn judged_by(self, judge: Judge) -> Self {
        Request { judge: Some(judge), ..self }
    }

    /// Adds `name=value` to the query, both percent-encoded.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        let path = &mut self.wire.path;
        path.push(if path.contains('?') { '&' } else { '?' });
        encode_into(path, name, b"-._~");
        path.push('=');
        encode_into(path, &value.to_string(), b"-._~");
        self
    }

    /// Sets one of those that `wit/types.wit` names.
    pub fn header(mut self, name: &str, value: impl Display) -> Self {
        self.wire.headers.retain(|header| header.name != name);
        self.wire.headers.push(Header { name: name.to_owned(), value: value.to_string() });
        self
    }

    /// The answer, whatever its status.
    pub fn send(self) -> Result<Response> {
        let answer = host::fetch(&self.clone().into_wire()?)?;
        Ok(Response::of(&self, answer))
    }

    /// The answer, if the service said 2xx.
    pub fn ok(self) -> Result<Response> {
        self.send()?.ok()
    }

    /// The answer's JSON.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        self.ok()?.json()
    }

    /// The same request with another path and query.
    pub(crate) fn at(&self, path: &str) -> Request {
        let wire = wit::Request { path: path.to_owned(), ..self.wire.clone() };
        Request { wire, ..*self }
    }

    /// The text of a value in the query, as it was encoded.
    pub(crate) fn query_value(&self, name: &str) -> Option<&str> {
        let (_, query) = self.wire.path.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Some(pairs.find(|(own, _)| *own == name)?.1)
    }

    /// The same request with this number in the query, where a value of that name stands.
    pub(crate) fn in_query(self, name: &str, number: usize) -> Request {
        let Some((path, query)) = self.wire.path.split_once('?') else { return self };
        let pair = |pair: &str| match pair.split_once('=') {
            Some((own, _)) if own == name => format!("{name}={number}"),
            _ => pair.to_owned(),
        };
        let query: Vec<String> = query.split('&').map(pair).collect();
        let path = format!("{path}?{}", query.join("&"));
        Request { wire: wit::Request { path, ..self.wire }, ..self }
    }

    /// As [`query`](Request::query), in place of a value that is there already.
    pub(crate) fn set_query(self, name: &str, value: impl Display) -> Request {
        let mut encoded = String::new();
        encode_into(&mut encoded, name, b"-._~");
        let Some((path, query)) = self.wire.path.split_once('?') else {
            return self.query(name, value);
        };
        let others = query.split('&').filter(|pair| pair.split('=').next() != Some(&*encoded));
        let query = others.collect::<Vec<_>>().join("&");
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Request { wire: wit::Request { path, ..self.wire }, ..self }.query(name, value)
    }

    /// The content that this request's stream tells, for [`Leaf::growing`](crate::Leaf::growing). `since`
    /// names the query parameter by which a stream whose records begin with times begins later, as `since` of
    /// `growing` in `wit/types.wit`.
    /// `None` where it names nothing.
    pub fn growing(self, framing: Framing, since: Option<&str>) -> Option<Growing> {
        let (request, since) = (self.into_wire().ok()?, since.map(str::to_owned));
        Some(Growing { request, framing, timed: since.is_some(), since })
    }

    /// The wire form, for [`Provider::open`](crate::Provider::open).
    pub(crate) fn into_wire(self) -> Result<wit::Request> {
        if self.nowhere { Err(Error::NotFound) } else { Ok(self.wire) }
    }

    /// The content of a file of `length` bytes, as it is answered to this request (a `get`) and to a
    /// `Range` of it: for [`Entry::at`](crate::Entry::at).
    pub fn content(self, length: u64) -> Source {
        Source { request: self, offset: 0, length, validator: None, digest: None }
    }

    /// Path and query as they are sent.
    pub fn path(&self) -> &str {
        &self.wire.path
    }
}

/// Where a content is. What tells one state of it from another (a validator or a digest) spares readers
/// much: without either, whatever may have changed it has it read again.
#[derive(Clone, Debug)]
pub struct Source {
    request: Request,
    offset: u64,
    length: u64,
    validator: Option<String>,
    digest: Option<String>,
}

impl Source {
    /// Where the content begins in what is answered, in bytes.
    pub fn offset(mut self, bytes: u64) -> Self {
        self.offset = bytes;
        self
    }

    /// The strong entity tag with which it is answered, quotes included.
    pub fn validator(mut self, tag: impl Into<String>) -> Self {
        self.validator = Some(tag.into());
        self
    }

    /// `sha256:HEX` of the content, where the service says it. Anything else is left out.
    pub fn digest(mut self, digest: Option<&str>) -> Self {
        let sha256 = |text: &&str| {
            let hex = text.strip_prefix("sha256:").unwrap_or_default();
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        self.digest = digest.filter(sha256).map(str::to_owned);
        self
    }

    /// The wire form; none where the request leads nowhere.
    pub(crate) fn into_wire(self) -> Option<wit::Source> {
        let Source { request, offset, length, validator, digest } = self;
        let request = request.into_wire().ok()?;
        Some(wit::Source { request, offset, length, validator, digest })
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
    headers: Vec<Header>,
    endpoint: String,
    judged: Option<Error>,
}

/// The answers to several requests made side by side, whatever their status, in the order of the
/// requests. The host bounds how many are under way for one endpoint at a time.
pub fn fetch_all(requests: impl IntoIterator<Item = Request>) -> Vec<Result<Response>> {
    let requests: Vec<Request> = requests.into_iter().collect();
    let sent: Vec<_> =
        requests.iter().filter(|request| !request.nowhere).map(|r| r.wire.clone()).collect();
    let mut answers = host::fetch_all(&sent).into_iter();
    let mut answer = |request: &Request| {
        if request.nowhere {
            return Err(Error::NotFound);
        }
        // The host answers each request that it was given.
        let unanswered =
            || Err(Error::Unavailable(format!("{}: no answer", request.wire.endpoint)));
        Ok(Response::of(request, answers.next().unwrap_or_else(unanswered)?))
    };
    requests.iter().map(&mut answer).collect()
}

/// Says which requests are about to be sent: they are under way while this component works, side by side, and each
/// [`send`](Request::send) of one takes its answer. What is begun counts as made, also where nobody asks for it.
pub fn begin(requests: &[Request]) {
    let sent: Vec<_> =
        requests.iter().filter(|request| !request.nowhere).map(|r| r.wire.clone()).collect();
    host::begin(&sent);
}

/// What was asked for, or nothing where the service has none of it or shows none to this credential.
pub fn if_any<T>(asked: Result<T>) -> Result<Option<T>> {
    match asked {
        Err(Error::NotFound | Error::Denied(_)) => Ok(None),
        asked => asked.map(Some),
    }
}

impl Response {
    fn of(request: &Request, answer: Answer) -> Self {
        let (Answer { status, headers, body }, endpoint) = (answer, request.wire.endpoint.clone());
        let mut response = Response { status, body, headers, endpoint, judged: None };
        response.judged = request.judge.and_then(|judge| judge(request, &response));
        response
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn with_headers(headers: &[(&str, &str)]) -> Self {
        let header =
            |&(name, value): &(&str, &str)| Header { name: name.into(), value: value.into() };
        let headers = headers.iter().map(header).collect();
        let request = Request::of("api", &manifest::get("/"), &[]);
        Response::of(&request, Answer { status: 200, headers, body: Vec::new() })
    }

    /// The first header of this lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
    }

    /// The service's clock: the `Date` header in seconds since the Unix epoch.
    pub fn date(&self) -> Option<u64> {
        time::http_date(self.header("date")?)
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        // Most often it is UTF-8, which is quicker to see than where it is not.
        let text = match str::from_utf8(&self.body) {
            Ok(text) => text.into(),
            Err(_) => String::from_utf8_lossy(&self.body),
        };
        let (value, odd) = json::read(&text).map_err(|why| {
            Error::Invalid(format!("{}: the answer is not as expected: {why}", self.endpoint))
        })?;
        odd.iter().for_each(|why| log::warn(&format!("{}: {why}", self.endpoint)));
        Ok(value)
    }

    /// The target of the `Link` header's relation.
    pub fn link(&self, relation: &str) -> Option<&str> {
        let headers = self.headers.iter().filter(|header| header.name == "link");
        let links = headers.flat_map(|header| header.value.split('<').skip(1));
        let mut targets = links.filter_map(|link| {
            let (target, params) = link.split_once('>')?;
            let named = |param: &str| {
                let (name, value) =
                    param.trim().trim_end_matches(',').split_once('=').unwrap_or_default();
                let mut relations = value.trim().trim_matches('"').split(' ');
                name.trim().eq_ignore_ascii_case("rel") && relations.any(|word| word == relation)
            };
            params.split(';').any(named).then_some(target)
        });
        targets.next()
    }

    /// The number of the last page, as the `Link` header has it in the query's `page`: on every page but
    /// the last.
    pub fn last_page(&self) -> Option<u64> {
        let (_, query) = self.link("last")?.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix("page="))?.parse().ok()
    }

    /// This answer if its status is 2xx, else the error of the module's table, or of the request's
    /// [`Judge`].
    pub fn ok(self) -> Result<Self> {
        match self.judged {
            Some(error) => Err(error),
            None if (200..300).contains(&self.status) => Ok(self),
            None => Err(self.error()),
        }
    }

    fn error(&self) -> Error {
        match self.status {
            429 => Error::RateLimited(self.retry_after()),
            403 if self.header("retry-after").is_some() => Error::RateLimited(self.retry_after()),
            401 | 403 | 451 => Error::Denied(self.complaint()),
            404 | 410 => Error::NotFound,
            413 => Error::TooLarge,
            408 | 504 => Error::TimedOut,
            500.. => Error::Unavailable(self.complaint()),
            _ => Error::Invalid(self.complaint()),
        }
    }

    /// Whether a 403 is one of too many requests.
    pub fn is_throttled(&self) -> bool {
        self.header("retry-after").is_some()
    }

    /// Seconds until the service answers again, where it says so.
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.header("retry-after")?;
        let until = || time::http_date(value)?.checked_sub(self.date()?);
        value.parse().ok().or_else(until).and_then(|seconds: u64| u32::try_from(seconds).ok())
    }

    /// `ENDPOINT: STATUS: MESSAGE`, one line.
    pub fn complaint(&self) -> String {
        let json: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let message = json.as_ref().and_then(|json| {
            let texts = [&json["message"], &json["error_description"], &json["error"]];
            texts.into_iter().find_map(serde_json::Value::as_str)
        });
        self.saying(&content::one_line(message.unwrap_or_default()))
    }

    /// The same with a message that was found elsewhere.
    pub(crate) fn saying(&self, message: &str) -> String {
        const LONGEST: usize = 300;
        let mut line = format!("{}: {}", self.endpoint, self.status);
        if !message.is_empty() {
            let end = message.floor_char_boundary(LONGEST);
            let _ = write!(line, ": {}", &message[..end]);
        }
        line
    }
}

/// Percent-encodes every byte but letters, digits and those in `keep`.
fn encode_into(out: &mut String, text: &str, keep: &[u8]) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
