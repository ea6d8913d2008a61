//! What a provider says of itself: the host's side of `wit/manifest.wit`.

use super::Method;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a component says of itself; see `wit/manifest.wit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub summary: String,
    pub root: String,
    pub config: Vec<ConfigKey>,
    pub endpoints: Vec<Endpoint>,
    pub credentials: Vec<Credential>,
    pub feeds: Vec<Feed>,
    /// What paths there are, the likeliest first.
    pub guide: Vec<PathDoc>,
}

/// Paths of one form; see `wit/manifest.wit` for the pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathDoc {
    pub pattern: String,
    pub summary: String,
    /// Of a directory: names of files, and of directories with a `/` at the end.
    pub entries: Vec<String>,
    pub example: String,
    /// For the first look at it.
    pub requests: u32,
    /// Of a listing: how many entries one request brings.
    pub page: Option<u32>,
    pub each_open: bool,
    pub search: Search,
}

/// What a search that begins above a path does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Search {
    Enter,
    /// Passes it over: other paths show the same objects.
    Again,
    /// Passes it over: each file is a request of its own, or large.
    Costly,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigKey {
    pub name: String,
    pub description: String,
    pub default: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub name: String,
    pub default_url: String,
    pub url_environment: Option<String>,
    /// Method and path pattern: `*` one segment, a last `**` any number.
    pub allow: Vec<(Method, String)>,
    /// By name. No two travel in one header.
    pub credentials: Vec<String>,
    pub redirect_hosts: Vec<String>,
    pub limits: Limits,
    pub purpose: String,
    pub nearby: Option<Nearby>,
    pub bodies: Option<Bodies>,
    pub session: Option<Session>,
    /// Of a database: what it may be asked.
    pub statements: Vec<Statement>,
}

/// One statement that only reads; see `wit/sql.wit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub name: String,
    /// `{NAME}` stands for a parameter.
    pub text: String,
    /// In the order of a query's values.
    pub parameters: Vec<Parameter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    pub kind: ParameterKind,
}

/// What may be given for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParameterKind {
    Value,
    Integer,
    Text,
    /// A name that is in the database's catalogue.
    Identifier,
}

/// What the bodies of an endpoint's POST requests may say; see `wit/manifest.wit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bodies {
    pub member: String,
    pub values: Vec<String>,
}

/// A session that the service names in a header; see `wit/manifest.wit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub header: String,
    /// The value of the bodies' member that begins one, and the one by which others may use it.
    pub begun_by: String,
    pub confirmed_by: String,
}

/// Where a user's machine may have an endpoint; see `wit/manifest.wit` for the paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nearby {
    pub contexts: Option<Contexts>,
    /// The likeliest first.
    pub sockets: Vec<String>,
}

/// JSON files of another program, one for each address that it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contexts {
    pub files: Vec<String>,
    /// JSON pointers into each of them.
    pub name: String,
    pub address: String,
    pub chosen_environment: Option<String>,
    pub chosen_files: Vec<String>,
    /// A JSON pointer into those.
    pub chosen: String,
}

/// How an endpoint's answers state its rate limits. Header names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub windows: Vec<Window>,
    /// Codes and parts of a message, in lower case, by which a refusal says that it is for the rate of
    /// requests.
    pub throttled: Vec<String>,
    /// Those of them that ask for a pause of at least a minute where the answer names none.
    pub slow_down: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub name: WindowName,
    pub limit: String,
    pub remaining: String,
    pub reset: String,
    pub reset_unit: ResetUnit,
    pub cost: Option<String>,
    /// Until the reset the remainder never rises.
    pub fixed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowName {
    Fixed(String),
    /// The header that holds the name.
    Header(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResetUnit {
    EpochSeconds,
    EpochMilliseconds,
    /// Seconds from now.
    Seconds,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    pub name: String,
    pub scheme: Scheme,
    /// Looked into while the endpoints that use it are the service's own.
    pub environment: Vec<String>,
    /// Looked into where one of them leads elsewhere.
    pub environment_elsewhere: Vec<String>,
    pub raw_prefixes: Vec<String>,
    pub oauth: Option<OAuth>,
    pub help_url: String,
    pub whose: Option<Probe>,
    pub scopes: Option<Scopes>,
    /// Other programs that have such a secret.
    pub logins: Vec<OtherLogin>,
}

/// How the probe's answer tells what a secret allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    /// In lower case.
    pub header: String,
    pub needed: Vec<Scope>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    pub name: String,
    /// Scopes that hold this one.
    pub held_by: Vec<String>,
    /// What is not shown without it.
    pub purpose: String,
}

/// A login that another program keeps; see `wit/manifest.wit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherLogin {
    pub program: String,
    pub arguments: Vec<String>,
    /// YAML files: a map of hosts to maps.
    pub files: Vec<String>,
    /// JSON pointers into what such a file has of a host.
    pub secret: String,
    pub user: String,
    /// The host that is the service itself.
    pub own_host: String,
    pub other_hosts: Vec<OtherHost>,
}

/// Where the endpoint of another host is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherHost {
    /// The end of the host's name; empty for any.
    pub ends_with: String,
    pub endpoint: String,
    /// With `{host}`.
    pub url: String,
}

/// How a secret travels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    #[default]
    Bearer,
    /// With this user name, or with a secret of the form `USER:PASSWORD`.
    Basic(Option<String>),
    /// The header that holds the secret as it stands, in lower case.
    Header(String),
    /// The request is signed, with a secret of the form `KEY-ID:SECRET` or `KEY-ID:SECRET:SESSION-TOKEN`.
    AwsSigv4 {
        service: String,
        /// The setting that names it.
        region: Option<String>,
    },
    /// As the endpoint's refusal asks for it, by a secret of the form `USER:PASSWORD`.
    Challenge {
        /// Hosts of token services outside of the endpoint's origin.
        hosts: Vec<String>,
    },
}

impl Scheme {
    /// The header that the secret travels in.
    pub fn header(&self) -> &str {
        match self {
            Scheme::Header(name) => name,
            Scheme::Bearer
            | Scheme::Basic(_)
            | Scheme::AwsSigv4 { .. }
            | Scheme::Challenge { .. } => "authorization",
        }
    }
}

/// A request that succeeds with a good secret, and the place of its owner's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub endpoint: String,
    pub method: Method,
    pub path: String,
    pub body: Option<String>,
    /// A JSON pointer (RFC 6901) into the answer.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuth {
    pub authorize_url: String,
    pub device_url: Option<String>,
    pub token_url: String,
    pub client_id: Option<String>,
    pub scopes: Vec<String>,
    /// Where the endpoint leads elsewhere, the same paths at its origin are those of the login there.
    pub elsewhere: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FeedKind {
    Push,
    Poll,
    Webhook,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    pub name: String,
    pub kind: FeedKind,
    /// Covers every scope whose id begins with this.
    pub scopes: String,
    pub endpoint: Option<String>,
    /// Push and webhook: one without a byte, or a delivery, for so long is lost.
    pub silence: Option<Duration>,
    /// Webhook: how a delivery proves that it is the service's.
    pub signature: Option<Signature>,
}

/// How deliveries are signed; see `wit/manifest.wit`. Header names in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub header: String,
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    pub prefix: String,
    pub separator: Option<String>,
    pub signed: Vec<Part>,
    pub secret: SecretForm,
    pub timestamp: Option<Timestamp>,
    pub handshake: Option<Handshake>,
    /// Media types. Empty: `application/json`.
    pub content_types: Vec<String>,
    pub pass: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    HmacSha256,
    Ed25519,
    /// The header is the secret itself.
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encoding {
    Hex,
    Base64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    Body,
    Literal(String),
    Header(String),
    Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretForm {
    Text,
    Hex,
    /// Base64 after this prefix.
    Base64(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    pub at: TimestampPlace,
    pub unit: TimestampUnit,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimestampPlace {
    Header(String),
    /// A `NAME=` element of the signature's header.
    Element(String),
    /// A JSON pointer into the body.
    Body(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimestampUnit {
    Seconds,
    Milliseconds,
}

/// What the service only wants answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handshake {
    /// A signed delivery with `value` at `at`, and the place of the answer: JSON pointers into the body.
    Delivery { at: String, value: String, answer: String },
    /// The parameter of a query whose value is the answer.
    Query(String),
}
