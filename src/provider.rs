//! What the core and a provider say to each other: the host's side of `wit/`.
//!
//! [`Provider`] is what a sandboxed component is to the core (`wasm`). Tests and benchmarks have a tree in
//! memory in its place.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

mod body;
mod manifest;
mod sql;

pub use body::{Body, Frames, Framing, Growing, Piece, Since, Source, TimeForm, Validator, Wanted};
pub use manifest::{
    Algorithm, Bodies, ConfigKey, Contexts, Credential, Encoding, Endpoint, Feed, FeedKind,
    Handshake, Limits, Manifest, Nearby, OAuth, OtherHost, OtherLogin, Parameter, ParameterKind,
    Part, PathDoc, Probe, ResetUnit, Scheme, Scope, Scopes, Search, SecretForm, Session, Signature,
    Statement, Timestamp, TimestampPlace, TimestampUnit, Window, WindowName,
};
pub use omnifs_platform::Kind;
pub use sql::{Query, Rows, Value};

/// How long an answer may be served without asking again; see `wit/types.wit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coherence {
    Immutable,
    /// Covered by the feed of this scope.
    Scoped(Arc<str>),
    /// Asked again at every lookup and open.
    Volatile,
}

tokio::task_local! {
    static ABOUT: Coherence;
}

/// Runs a call of a provider about a node of that coherence.
pub async fn about<F: Future>(node: Coherence, call: F) -> F::Output {
    ABOUT.scope(node, call).await
}

/// The coherence of what the call in this task is about. Absent in one that serves no use of a node, as a feed's.
pub fn asked_about() -> Option<Coherence> {
    ABOUT.try_with(Coherence::clone).ok()
}

/// One entry of a directory, as a provider answers it. Names and sizes have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: Arc<str>,
    pub name: String,
    pub kind: Kind,
    /// Bytes, exact, where known.
    pub size: Option<u64>,
    pub modified: Option<SystemTime>,
    pub version: Option<String>,
    pub content: Option<Body>,
    pub coherence: Coherence,
    pub part_of: Option<Arc<str>>,
    /// Directories: a name that the listing lacks does not exist.
    pub complete: bool,
}

/// Entries of another directory that an answer happened to hold.
#[derive(Clone, Debug)]
pub struct Offer {
    pub parent: Arc<str>,
    pub children: Vec<Node>,
    /// These are all of its entries.
    pub whole: bool,
}

/// The content of another file that an answer happened to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Along {
    pub node: Arc<str>,
    pub bytes: Bytes,
}

/// A program that reads the files of a tree one after the other; see `wit/preload.wit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// Those above the file, from its own to the one below which it reads.
    pub directories: Vec<Arc<str>>,
    /// Bytes of all files below that one, where all of them are known.
    pub size: Option<u64>,
    /// Files below it whose content is not held, the likeliest to be read first.
    pub files: Vec<Arc<str>>,
}

/// A listing that stops short of the end.
#[derive(Clone, Debug)]
pub struct Partial {
    pub directory: Arc<str>,
    pub shown: u32,
    /// One line: which entries, and what raises the bound.
    pub note: String,
}

/// A successful call with what came along.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    pub value: T,
    pub offers: Vec<Offer>,
    pub along: Vec<Along>,
    pub partials: Vec<Partial>,
}

impl<T> Answer<T> {
    pub fn plain(value: T) -> Self {
        Answer { value, offers: Vec::new(), along: Vec::new(), partials: Vec::new() }
    }
}

/// What went wrong in a call, one case for each row of the error table in ARCHITECTURE.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    NotFound,
    Denied,
    RateLimited,
    Unavailable,
    TimedOut,
    TooLarge,
    /// The service or the provider answered something that breaks the contract.
    Invalid,
    /// Another content has taken the place of the one that is being read.
    Changed,
    /// The provider trapped.
    Trap,
    /// The provider passed one of its limits (CPU, memory, an answer's size).
    Limit,
}

impl Cause {
    pub fn error(self) -> omnifs_platform::Error {
        use omnifs_platform::Error;
        match self {
            Cause::NotFound => Error::NotFound,
            Cause::Denied => Error::Denied,
            Cause::RateLimited => Error::RateLimited,
            Cause::Unavailable => Error::Unavailable,
            Cause::TimedOut => Error::TimedOut,
            Cause::TooLarge => Error::TooLarge,
            Cause::Changed => Error::Stale,
            Cause::Invalid | Cause::Trap | Cause::Limit => Error::Invalid,
        }
    }
}

/// A failed call: the cause, and a sentence for `omnifs status`. Neither holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{provider}: {detail}")]
pub struct Failure {
    /// The provider instance's name.
    pub provider: Arc<str>,
    pub cause: Cause,
    /// What happened and, where somebody can do something, what to do. One line.
    pub detail: String,
    /// When the service will answer again, where it said so.
    pub retry_after: Option<Duration>,
}

/// What an event says changed; see `wit/events.wit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Invalidated(Arc<str>),
    Removed(Arc<str>),
    ChildrenChanged(Arc<str>),
    Gap(Arc<str>),
}

/// A change, and the scope that it belongs to where the provider knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedChange {
    pub scope: Option<Arc<str>>,
    pub change: Change,
}

/// Where a feed stands, as the host keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub feed: String,
    pub scope: String,
    pub cursor: Option<String>,
    /// Upstream seconds since the Unix epoch before which nothing of this scope was fetched.
    pub since: u64,
}

/// What one item of a feed came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub changes: Vec<Change>,
    pub cursor: Option<String>,
    /// The stream resumed from its cursor and missed nothing in between.
    pub resumed: bool,
    /// The shortest wait before the next poll, where the service names one.
    pub wait: Option<Duration>,
}

/// A webhook delivery whose signature has been checked.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub feed: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// A body as it comes, undivided.
pub type Chunks = BoxStream<'static, Result<Bytes, Failure>>;

/// A stream whose headers have arrived. Dropping it ends it.
pub struct Followed {
    pub status: u16,
    pub chunks: Chunks,
}

pub type Reply<'a, T> = BoxFuture<'a, Result<T, Failure>>;

/// A provider instance: three read operations, and the reading of its feeds.
pub trait Provider: Send + Sync + 'static + fmt::Debug {
    fn lookup_child<'a>(&'a self, parent: &'a str, name: &'a str) -> Reply<'a, Answer<Node>>;
    fn list_children<'a>(&'a self, parent: &'a str) -> Reply<'a, Answer<Vec<Node>>>;
    fn read_file<'a>(&'a self, node: &'a str) -> Reply<'a, Answer<Bytes>>;
    /// The same for one of the files that a program walks over: others may come along.
    fn read_ahead<'a>(&'a self, node: &'a str, _walk: Walk) -> Reply<'a, Answer<Bytes>> {
        self.read_file(node)
    }

    /// A part of a content that is read in pieces.
    fn read_part<'a>(&'a self, _part: Wanted<'a>) -> Reply<'a, Piece> {
        Box::pin(std::future::ready(Err(holds_all())))
    }

    /// Opens the stream of a growing content. Headers have no deadline: a service may hold them back
    /// until it has something to send.
    fn follow<'a>(&'a self, _request: &'a Request) -> Reply<'a, Followed> {
        Box::pin(std::future::ready(Err(holds_all())))
    }

    /// The request that opens a push stream.
    fn open_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Request>;
    /// One line of a push stream.
    fn feed_line<'a>(&'a self, position: &'a Position, line: Bytes) -> Reply<'a, Progress>;
    fn poll_feed<'a>(&'a self, position: &'a Position) -> Reply<'a, Progress>;
    fn deliver(&self, delivery: Delivery) -> Reply<'_, Vec<ScopedChange>>;
}

/// Of a provider that has no contents but those it answers.
fn holds_all() -> Failure {
    let detail = "holds its contents itself".to_owned();
    Failure { provider: "".into(), cause: Cause::Invalid, detail, retry_after: None }
}

/// Of a way out that leads to no database.
fn no_database() -> Failure {
    let detail = "no database has been granted to this provider".to_owned();
    Failure { provider: "".into(), cause: Cause::Denied, detail, retry_after: None }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Method {
    Get,
    Head,
    Post,
}

/// A request as a provider makes it: an endpoint's name and a path, never a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub endpoint: String,
    pub method: Method,
    /// Absolute path with query, percent-encoded.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// The way out of the sandbox: carries out a provider instance's requests. Implemented by
/// `capability::Outbound` and by recorded exchanges in tests.
pub trait Upstream: Send + Sync + 'static + fmt::Debug {
    fn fetch(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>>;

    /// A part of a content. Where the service does not answer in part, the whole is held to the bound
    /// of any answer.
    fn part<'a>(&'a self, part: Wanted<'a>) -> BoxFuture<'a, Result<Piece, Failure>>;

    /// An answer without an end. Redirects are not followed and nothing is retried.
    fn follow<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Followed, Failure>>;

    /// All rows of a declared statement.
    fn query(&self, _query: Query) -> BoxFuture<'_, Result<Rows, Failure>> {
        Box::pin(std::future::ready(Err(no_database())))
    }
}
