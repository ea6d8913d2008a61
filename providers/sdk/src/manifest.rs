//! What a provider is and what it asks for, as a constant table. See `wit/manifest.wit` for what each
//! field means; the user approves what is written here.

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
    pub url_environment: Option<&'static str>,
    pub allow: &'static [Rule],
    /// The name of one of the manifest's credentials.
    pub credential: Option<&'static str>,
    pub redirect_hosts: &'static [&'static str],
    pub purpose: &'static str,
}

impl Endpoint {
    /// One without requests; the rest is filled in by `..`.
    pub const fn new(name: &'static str, default_url: &'static str, purpose: &'static str) -> Self {
        Endpoint {
            name,
            default_url,
            url_environment: None,
            allow: &[],
            credential: None,
            redirect_hosts: &[],
            purpose,
        }
    }
}

/// One kind of request: `*` stands for one path segment, a last `**` for any number.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub method: Method,
    pub path: &'static str,
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

/// A rule for each path.
pub const fn gets<const N: usize>(paths: [&'static str; N]) -> [Rule; N] {
    let mut rules = [get(""); N];
    let mut at = 0;
    while at < N {
        rules[at] = get(paths[at]);
        at += 1;
    }
    rules
}

pub const fn head(path: &'static str) -> Rule {
    Rule { method: Method::Head, path }
}

/// For GraphQL queries.
pub const fn post(path: &'static str) -> Rule {
    Rule { method: Method::Post, path }
}

/// A secret that the host holds and sends.
#[derive(Clone, Copy, Debug)]
pub struct Credential {
    pub name: &'static str,
    pub environment: &'static [&'static str],
    pub raw_prefixes: &'static [&'static str],
    pub oauth: Option<OAuth>,
    pub help_url: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub struct OAuth {
    pub authorize_url: &'static str,
    pub device_url: Option<&'static str>,
    pub token_url: &'static str,
    pub client_id: Option<&'static str>,
    pub scopes: &'static [&'static str],
}

/// A source of events for every scope whose id begins with `scopes`.
#[derive(Clone, Copy, Debug)]
pub struct Feed {
    pub name: &'static str,
    pub kind: FeedKind,
    pub scopes: &'static str,
    pub endpoint: Option<&'static str>,
}

impl Feed {
    pub const fn push(name: &'static str, scopes: &'static str, endpoint: &'static str) -> Self {
        Feed { name, kind: FeedKind::Push, scopes, endpoint: Some(endpoint) }
    }

    pub const fn poll(name: &'static str, scopes: &'static str, endpoint: &'static str) -> Self {
        Feed { name, kind: FeedKind::Poll, scopes, endpoint: Some(endpoint) }
    }

    pub const fn webhook(name: &'static str, scopes: &'static str) -> Self {
        Feed { name, kind: FeedKind::Webhook, scopes, endpoint: None }
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
