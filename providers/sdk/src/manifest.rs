//! What a provider is and what it asks for, as a constant table. See `wit/manifest.wit` for what each
//! field means; the user approves what is written here.

mod path;

pub use path::{Path, Search};

#[derive(Clone, Copy, Debug)]
pub struct Manifest {
    /// Lower-case letters, digits and `-`.
    pub name: &'static str,
    /// `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// One line.
    pub summary: &'static str,
    pub config: &'static [Setting],
    pub endpoints: &'static [Endpoint],
    pub credentials: &'static [Credential],
    pub feeds: &'static [Feed],
    /// What paths there are, the likeliest first.
    pub guide: &'static [Path],
}

impl Manifest {
    /// A provider that asks for nothing.
    pub const fn new(name: &'static str, version: &'static str, summary: &'static str) -> Self {
        Manifest {
            name,
            version,
            summary,
            config: &[],
            endpoints: &[],
            credentials: &[],
            feeds: &[],
            guide: &[],
        }
    }
}

/// A setting that the user may give. Never a secret.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub name: &'static str,
    pub description: &'static str,
    pub default: Option<&'static str>,
}

/// A server, by name.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    pub name: &'static str,
    /// `https://HOST[/PREFIX]` or `unix:///PATH`.
    pub default_url: &'static str,
    /// The same on Windows, where it is another one: `npipe:////./pipe/NAME`.
    pub windows_url: Option<&'static str>,
    pub url_environment: Option<&'static str>,
    pub allow: &'static [Rule],
    /// Names of the manifest's credentials. No two travel in one header.
    pub credentials: &'static [&'static str],
    pub redirect_hosts: &'static [&'static str],
    pub limits: Option<Limits>,
    pub purpose: &'static str,
    pub nearby: Option<Nearby>,
    pub bodies: Option<Bodies>,
    pub session: Option<Session>,
    /// Of a database: what it may be asked. Its `default_url` is `sqlite:` or `postgres://HOST/DATABASE`.
    pub statements: &'static [Statement],
}

/// One statement that only reads, as `wit/sql.wit` describes it.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    pub name: &'static str,
    /// `{NAME}` stands for a parameter.
    pub text: &'static str,
    /// In the order of [`sql::query`](crate::sql::query)'s values.
    pub parameters: &'static [(&'static str, ParameterKind)],
}

/// What may be given for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    Value,
    Integer,
    Text,
    /// The name of a schema, table or column: the host looks it up, and quotes it.
    Identifier,
}

/// What the bodies of `post` requests may say: each is a JSON object whose member is one of these. The host refuses
/// any other.
#[derive(Clone, Copy, Debug)]
pub struct Bodies {
    pub member: &'static str,
    pub values: &'static [&'static str],
}

/// A session that the service names in a header of an answer. The host keeps the name and sends it with later requests.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// In lower case. It ends in `-session-id`.
    pub header: &'static str,
    /// The value of the bodies' member that begins a session.
    pub begun_by: &'static str,
    /// The one that says that its answer has come: other requests are sent within it from then on.
    pub confirmed_by: &'static str,
}

impl Endpoint {
    /// One without requests; the rest is filled in by `..`.
    pub const fn new(name: &'static str, default_url: &'static str, purpose: &'static str) -> Self {
        Endpoint {
            name,
            default_url,
            windows_url: None,
            url_environment: None,
            allow: &[],
            credentials: &[],
            redirect_hosts: &[],
            limits: None,
            purpose,
            nearby: None,
            bodies: None,
            session: None,
            statements: &[],
        }
    }
}

/// Where a user's machine may have an endpoint; see `wit/manifest.wit` for the paths.
#[derive(Clone, Copy, Debug)]
pub struct Nearby {
    pub contexts: Option<Contexts>,
    /// The likeliest first.
    pub sockets: &'static [&'static str],
}

/// JSON files of another program, one for each address that it knows.
#[derive(Clone, Copy, Debug)]
pub struct Contexts {
    pub files: &'static [&'static str],
    /// JSON pointers into each of them.
    pub name: &'static str,
    pub address: &'static str,
    pub chosen_environment: Option<&'static str>,
    pub chosen_files: &'static [&'static str],
    /// A JSON pointer into those.
    pub chosen: &'static str,
}

/// One kind of request: `*` stands for one path segment, `*%2F*` for one that may hold escaped slashes, a
/// last `**` for any number.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub method: Method,
    pub path: &'static str,
}

impl Rule {
    /// How many segments, or runs of segments, it leaves open.
    pub const fn places(&self) -> usize {
        let path = self.path.as_bytes();
        let (mut at, mut places) = (0, 0);
        while at < path.len() {
            // `*` and `**` are whole segments.
            if path[at] == b'*' && path[at - 1] == b'/' {
                places += 1;
            }
            at += 1;
        }
        places
    }

    /// Whether it allows this path, which has no query. As the host reads it: a segment is not empty, and
    /// `*` stands for none that a service could take for several.
    pub fn allows(&self, path: &str) -> bool {
        let (mut expected, mut path) = (self.path.split('/').peekable(), path.split('/'));
        while let Some(segment) = expected.next() {
            if segment == "**" && expected.peek().is_none() {
                return true;
            }
            match path.next() {
                Some(asked) if segment == "*" && !asked.is_empty() && !holds_slash(asked) => {}
                Some(asked) if segment == "*%2F*" && !asked.is_empty() => {}
                Some(asked) if segment == asked && !segment.contains('*') => {}
                _ => return false,
            }
        }
        path.next().is_none()
    }
}

/// Whether there is a slash of either kind in it, however often it is escaped.
pub(crate) fn holds_slash(text: &str) -> bool {
    let mut text = text.as_bytes().to_vec();
    loop {
        if text.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
            return true;
        }
        let mut decoded = Vec::with_capacity(text.len());
        let mut rest = &text[..];
        while let [byte, after @ ..] = rest {
            let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
            let escaped = digit(0).zip(digit(1)).filter(|_| *byte == b'%');
            // Two hexadecimal digits fit a byte.
            decoded.push(escaped.map_or(*byte, |(high, low)| (high * 16 + low) as u8));
            rest = if escaped.is_some() { &after[2..] } else { after };
        }
        if decoded.len() == text.len() {
            return false;
        }
        text = decoded;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
}

pub const fn get(path: &'static str) -> Rule {
    Rule { method: Method::Get, path }
}

pub const fn head(path: &'static str) -> Rule {
    Rule { method: Method::Head, path }
}

/// For GraphQL queries.
pub const fn post(path: &'static str) -> Rule {
    Rule { method: Method::Post, path }
}

/// How the endpoint's answers state its rate limits. Header names in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub windows: &'static [Window],
    /// Codes and parts of a message, in lower case, by which a refusal says that it is for the rate of
    /// requests.
    pub throttled: &'static [&'static str],
    /// Those of them that ask for a pause of at least a minute where the answer names none.
    pub slow_down: &'static [&'static str],
}

/// One rate limit; see `wit/manifest.wit`.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub name: WindowName,
    pub limit: &'static str,
    pub remaining: &'static str,
    pub reset: &'static str,
    pub reset_unit: ResetUnit,
    pub cost: Option<&'static str>,
    /// Until the reset the remainder never rises.
    pub fixed: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum WindowName {
    Fixed(&'static str),
    /// The header that holds the name.
    Header(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub enum ResetUnit {
    EpochSeconds,
    EpochMilliseconds,
    /// Seconds from now.
    Seconds,
}

/// A secret that the host holds and sends.
#[derive(Clone, Copy, Debug)]
pub struct Credential {
    pub name: &'static str,
    pub scheme: Scheme,
    /// Looked into while the endpoints that use it are the service's own.
    pub environment: &'static [&'static str],
    /// Looked into where one of them leads elsewhere.
    pub environment_elsewhere: &'static [&'static str],
    pub raw_prefixes: &'static [&'static str],
    pub oauth: Option<OAuth>,
    pub help_url: &'static str,
    /// The request that tells whose it is.
    pub whose: Option<Probe>,
    /// What it must allow.
    pub scopes: Option<Scopes>,
    /// Other programs that have one.
    pub logins: &'static [OtherLogin],
}

impl Credential {
    /// A bearer token from no variable; the rest is filled in by `..`.
    pub const fn new(name: &'static str, help_url: &'static str) -> Self {
        Credential {
            name,
            scheme: Scheme::Bearer,
            environment: &[],
            environment_elsewhere: &[],
            raw_prefixes: &[],
            oauth: None,
            help_url,
            whose: None,
            scopes: None,
            logins: &[],
        }
    }
}

/// How the probe's answer tells what a secret allows.
#[derive(Clone, Copy, Debug)]
pub struct Scopes {
    /// In lower case.
    pub header: &'static str,
    pub needed: &'static [Scope],
}

#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub name: &'static str,
    /// Scopes that hold this one.
    pub held_by: &'static [&'static str],
    /// What is not shown without it.
    pub purpose: &'static str,
}

/// A login that another program keeps; see `wit/manifest.wit`.
#[derive(Clone, Copy, Debug)]
pub struct OtherLogin {
    pub program: &'static str,
    /// What it is given so that it prints the secret for `{host}`.
    pub arguments: &'static [&'static str],
    /// YAML files: a map of hosts to maps.
    pub files: &'static [&'static str],
    /// JSON pointers into what such a file has of a host.
    pub secret: &'static str,
    pub user: &'static str,
    /// The host that is the service itself.
    pub own_host: &'static str,
    pub other_hosts: &'static [OtherHost],
}

/// Where the endpoint of another host is.
#[derive(Clone, Copy, Debug)]
pub struct OtherHost {
    /// The end of the host's name; empty for any.
    pub ends_with: &'static str,
    pub endpoint: &'static str,
    /// With `{host}`.
    pub url: &'static str,
}

/// How a secret travels.
#[derive(Clone, Copy, Debug)]
pub enum Scheme {
    /// `Authorization: Bearer SECRET`.
    Bearer,
    /// `Authorization: Basic` with this user name, or with a secret of the form `USER:PASSWORD`.
    Basic(Option<&'static str>),
    /// The header that holds the secret as it stands, in lower case.
    Header(&'static str),
    /// The host signs each request; see `wit/manifest.wit`. `region`: the setting that names it.
    AwsSigv4 { service: &'static str, region: Option<&'static str> },
    /// As the endpoint's own 401 asks for it, by a secret of the form `USER:PASSWORD`; see `wit/manifest.wit`. Hosts
    /// outside of the endpoint's origin that give tokens for it.
    Challenge(&'static [&'static str]),
}

/// A request that succeeds with a good secret, and the place of its owner's name.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pub endpoint: &'static str,
    pub method: Method,
    pub path: &'static str,
    /// A JSON text.
    pub body: Option<&'static str>,
    /// A JSON pointer (RFC 6901) into the answer.
    pub name: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub struct OAuth {
    pub authorize_url: &'static str,
    pub device_url: Option<&'static str>,
    pub token_url: &'static str,
    pub client_id: Option<&'static str>,
    pub scopes: &'static [&'static str],
    /// Where the endpoint leads elsewhere, the same paths at its origin are those of the login there.
    pub elsewhere: bool,
}

/// A source of events for the scope `scopes` or, where that is empty or ends in `:`, for every scope that
/// begins with it.
#[derive(Clone, Copy, Debug)]
pub struct Feed {
    pub name: &'static str,
    pub kind: FeedKind,
    pub scopes: &'static str,
    pub endpoint: Option<&'static str>,
    /// Push and webhook: seconds without a byte, or a delivery, after which the feed counts as lost.
    pub silence: Option<u32>,
    /// Webhook: how deliveries are signed.
    pub signature: Option<Signature>,
}

impl Feed {
    pub const fn push(name: &'static str, scopes: &'static str, endpoint: &'static str) -> Self {
        let endpoint = Some(endpoint);
        Feed { name, kind: FeedKind::Push, scopes, endpoint, silence: None, signature: None }
    }

    pub const fn poll(name: &'static str, scopes: &'static str, endpoint: &'static str) -> Self {
        let endpoint = Some(endpoint);
        Feed { name, kind: FeedKind::Poll, scopes, endpoint, silence: None, signature: None }
    }

    pub const fn webhook(name: &'static str, scopes: &'static str, signature: Signature) -> Self {
        let signature = Some(signature);
        Feed { name, kind: FeedKind::Webhook, scopes, endpoint: None, silence: None, signature }
    }
}

/// How a service signs its deliveries; see `wit/manifest.wit`. Header names in lower case.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    pub header: &'static str,
    pub algorithm: Algorithm,
    pub encoding: Encoding,
    pub prefix: &'static str,
    pub separator: Option<&'static str>,
    pub signed: &'static [Part],
    pub secret: SecretForm,
    pub timestamp: Option<Timestamp>,
    pub handshake: Option<Handshake>,
    /// Media types. Empty: `application/json`.
    pub content_types: &'static [&'static str],
    pub pass: &'static [&'static str],
}

impl Signature {
    /// HMAC-SHA256 of the body in hexadecimal, in this header; the rest is filled in by `..`.
    pub const fn new(header: &'static str) -> Self {
        Signature {
            header,
            algorithm: Algorithm::HmacSha256,
            encoding: Encoding::Hex,
            prefix: "",
            separator: None,
            signed: &[Part::Body],
            secret: SecretForm::Text,
            timestamp: None,
            handshake: None,
            content_types: &[],
            pass: &[],
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Algorithm {
    HmacSha256,
    Ed25519,
    /// The header is the secret itself.
    Plain,
}

#[derive(Clone, Copy, Debug)]
pub enum Encoding {
    Hex,
    Base64,
}

/// A part of the signed bytes.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Body,
    Literal(&'static str),
    Header(&'static str),
    Timestamp,
}

#[derive(Clone, Copy, Debug)]
pub enum SecretForm {
    Text,
    Hex,
    /// Base64 after this prefix.
    Base64(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub struct Timestamp {
    pub at: TimestampPlace,
    pub unit: TimestampUnit,
}

#[derive(Clone, Copy, Debug)]
pub enum TimestampPlace {
    Header(&'static str),
    /// A `NAME=` element of the signature's header.
    Element(&'static str),
    /// A JSON pointer into the body.
    Body(&'static str),
}

#[derive(Clone, Copy, Debug)]
pub enum TimestampUnit {
    Seconds,
    Milliseconds,
}

/// What the service only wants answered.
#[derive(Clone, Copy, Debug)]
pub enum Handshake {
    /// A signed delivery with `value` at `at`, and the place of the answer: JSON pointers into the body.
    Delivery { at: &'static str, value: &'static str, answer: &'static str },
    /// The parameter of a query whose value is the answer.
    Query(&'static str),
}

impl Feed {
    /// Whether it tells of this scope: of the very one that it names, or of every one below a prefix
    /// that ends in `:`.
    pub fn covers(&self, scope: &str) -> bool {
        let below = self.scopes.is_empty() || self.scopes.ends_with(':');
        scope == self.scopes || (below && scope.starts_with(self.scopes))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedKind {
    /// [`Provider::open`](crate::Provider::open) and [`Provider::line`](crate::Provider::line).
    Push,
    /// [`Provider::poll`](crate::Provider::poll).
    Poll,
    /// [`Provider::deliver`](crate::Provider::deliver).
    Webhook,
}

impl From<Method> for crate::bindings::service::omnifs::provider::types::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::Get,
            Method::Head => Self::Head,
            Method::Post => Self::Post,
        }
    }
}
