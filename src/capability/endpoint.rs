//! The servers an instance talks to: declared by its manifest, placed by its user.

use super::address::Guard;
use super::challenge::Passes;
use super::counters::Counters;
use super::egress::Via;
use super::place::{Base, Placed, RedirectHost, check_host};
use super::session::Session;
use super::{Setup, client, sql};
use crate::credentials::{Elsewhere, sigv4};
use crate::provider::{Endpoint, Scheme};
use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use tokio::sync::{OnceCell, Semaphore};
use url::{Host, Url};

/// Where the user puts an endpoint.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// `https://HOST[:PORT][/PREFIX]`, `http://` and `tcp://` to loopback, `unix:///PATH`,
    /// `npipe:////./pipe/NAME`, `sqlite:///PATH`, `postgres://HOST[:PORT]/DATABASE` to loopback.
    pub url: String,
    /// Origins beside the declared ones to which a redirect may lead, without the credential.
    /// Plain http to loopback is allowed here.
    pub redirect_hosts: Vec<String>,
    /// Origins beside the declared ones whose token service may be given a name and password, written
    /// likewise.
    pub token_hosts: Vec<String>,
    /// PEM file of certificate authorities beside the system's own.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Override").field("url", &shown(&self.url)).finish_non_exhaustive()
    }
}

impl From<&str> for Override {
    fn from(url: &str) -> Self {
        Override { url: url.to_owned(), ..Override::default() }
    }
}

/// Why an instance's endpoints cannot be set up. One line that names the setting.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("provider {provider} has no endpoint {name:?}; it has: {known}")]
    UnknownEndpoint { provider: String, name: String, known: String },
    #[error("endpoint {endpoint:?} ({source_name}): {reason}")]
    Address { endpoint: String, source_name: String, reason: String },
}

/// What may be shown of an endpoint's URL that somebody wrote: its origin, or nothing of it.
pub fn shown(url: &str) -> String {
    Base::parse(url, &Placed::Configuration)
        .map_or_else(|_| "an address that cannot be used".to_owned(), |base| base.to_string())
}

/// What shares one rate limit: the credentials, and where they are used if not at the service's own
/// origin.
pub(super) type BudgetKey = (Vec<String>, Option<String>);

/// One endpoint of an instance, ready to be asked.
pub(super) struct Target {
    pub spec: Endpoint,
    pub base: Base,
    pub source: Placed,
    /// Where it leads, if not to the origin of its default URL.
    pub elsewhere: Option<Elsewhere>,
    pub counters: Counters,
    pub session: Option<Session>,
    redirects: Vec<RedirectHost>,
    token_hosts: Vec<RedirectHost>,
    /// Where one of its credentials travels as a refusal asks.
    pub passes: Option<Passes>,
    configured: HashSet<String>,
    ca_file: Option<PathBuf>,
    resolver: super::Resolver,
    /// The proxy on the way there, or why none can be used.
    via: Result<Option<Via>, String>,
    client: OnceCell<reqwest::Client>,
    /// Requests that may be under way.
    pub turns: Semaphore,
    /// Where it takes statements.
    #[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "nothing runs"))]
    pub database: Option<sql::Database>,
}

pub(super) fn targets(setup: &Setup) -> Result<Vec<Target>, SetupError> {
    let declared = &setup.manifest.endpoints;
    for name in setup.overrides.keys() {
        if !declared.iter().any(|endpoint| &endpoint.name == name) {
            let known: Vec<_> = declared.iter().map(|endpoint| endpoint.name.as_str()).collect();
            return Err(SetupError::UnknownEndpoint {
                provider: setup.instance.to_string(),
                name: name.clone(),
                known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            });
        }
    }
    declared.iter().map(|endpoint| target(setup, endpoint)).collect()
}

fn target(setup: &Setup, spec: &Endpoint) -> Result<Target, SetupError> {
    let given = setup.overrides.get(&spec.name).cloned().unwrap_or_default();
    let environment = spec.url_environment.as_ref().and_then(|name| {
        setup.environment.get(name).filter(|value| !value.is_empty()).map(|value| (name, value))
    });
    let (text, source) = match (given.url.is_empty(), environment) {
        (false, _) => (given.url.clone(), Placed::Configuration),
        (true, Some((name, value))) => (value, Placed::Environment(name.clone())),
        (true, None) => (spec.default_url.clone(), Placed::Default),
    };
    let fail = |reason: String| SetupError::Address {
        endpoint: spec.name.clone(),
        source_name: source.to_string(),
        reason: super::one_line(&reason),
    };
    let base = Base::parse(&text, &source).map_err(fail)?;
    let own = Base::parse(&spec.default_url, &Placed::Default).ok();
    if own.as_ref().is_some_and(|own| !own.may_be_put_at(&base)) {
        return Err(fail(format!("it is of another kind than {}", spec.default_url)));
    }
    let hosts = |declared: &[String], given: &[String]| {
        let declared = declared.iter().map(|host| RedirectHost::parse(host, false));
        let given = given.iter().map(|host| RedirectHost::parse(host, true));
        declared.chain(given).collect::<Result<Vec<_>, _>>().map_err(fail)
    };
    let redirects = hosts(&spec.redirect_hosts, &given.redirect_hosts)?;
    let asked = schemes(setup, spec).find_map(|scheme| match scheme {
        Scheme::Challenge { hosts } => Some(hosts.as_slice()),
        _ => None,
    });
    let token_hosts = hosts(asked.unwrap_or_default(), &given.token_hosts)?;
    let mut configured = HashSet::new();
    if source != Placed::Default
        && let Base::Web(url) = &base
        && let Some(Host::Domain(host)) = url.host()
    {
        configured.insert(host.to_ascii_lowercase());
    }
    let others = redirects.iter().chain(&token_hosts);
    for host in others.filter(|host| host.configured && !host.wildcard) {
        configured.insert(host.host.clone());
    }
    let origin = base.to_string();
    let in_region = match (&own, &base) {
        (Some(Base::Web(own)), Base::Web(base)) if signs(setup, spec) => {
            sigv4::is_same_service(own, base)
        }
        _ => false,
    };
    let is_own = in_region || own.map(|own| own.to_string()).as_ref() == Some(&origin);
    let elsewhere = (!is_own).then(|| Elsewhere { endpoint: spec.name.clone(), origin });
    let via = match &base {
        Base::Web(_) => setup.egress.via(&setup.environment),
        // On this machine.
        Base::Unix(_) | Base::Pipe(_) | Base::Sqlite(_) | Base::Postgres(_) => Ok(None),
    };
    let database = sql::Database::new(&base);
    Ok(Target {
        spec: spec.clone(),
        base,
        source,
        elsewhere,
        counters: Counters::default(),
        session: spec.session.as_ref().and_then(Session::new),
        redirects,
        token_hosts,
        passes: asked.map(|_| Passes::default()),
        configured,
        ca_file: given.ca_file,
        resolver: setup.resolver.clone(),
        via,
        client: OnceCell::new(),
        turns: Semaphore::new(setup.limits.parallel.max(1)),
        database,
    })
}

/// Whether each of its credentials signs, so that no secret leaves.
fn signs(setup: &Setup, spec: &Endpoint) -> bool {
    let mut schemes = schemes(setup, spec).peekable();
    schemes.peek().is_some() && schemes.all(|scheme| matches!(scheme, Scheme::AwsSigv4 { .. }))
}

/// How its credentials travel.
fn schemes<'a>(setup: &'a Setup, spec: &'a Endpoint) -> impl Iterator<Item = &'a Scheme> {
    let all = setup.manifest.credentials.iter();
    let own = all.filter(|credential| spec.credentials.contains(&credential.name));
    own.map(|credential| &credential.scheme)
}

impl Target {
    /// For people: the credentials that share one rate limit, else the endpoint itself.
    pub fn budget_name(&self) -> String {
        match &self.spec.credentials[..] {
            [] => self.spec.name.clone(),
            all => all.join(" + "),
        }
    }

    pub fn budget_key(&self) -> BudgetKey {
        let elsewhere = self.elsewhere.as_ref().map(|elsewhere| elsewhere.origin.clone());
        match &self.spec.credentials[..] {
            [] => (vec![self.spec.name.clone()], elsewhere),
            all => (all.to_vec(), elsewhere),
        }
    }

    /// The URL for a checked path.
    pub fn url(&self, target: &str) -> Result<Url, String> {
        let text = match &self.base {
            Base::Web(base) => format!("{}{target}", base.as_str().trim_end_matches('/')),
            Base::Unix(_) | Base::Pipe(_) => format!("http://localhost{target}"),
            Base::Sqlite(_) | Base::Postgres(_) => return Err("a database has no URLs".to_owned()),
        };
        let url =
            Url::parse(&text).map_err(|error| format!("{target:?} makes no URL ({error})"))?;
        let sent = text.split('?').next().unwrap_or_default();
        let path = &url[url::Position::BeforeScheme..url::Position::AfterPath];
        // The checks of `request` leave nothing to normalize; if that were ever wrong, the server
        // would see another path than the rules did.
        if path != sent || !self.own(&url) {
            return Err(format!("{target:?} is not in its normal form"));
        }
        Ok(url)
    }

    /// Whether the URL is at the endpoint's own origin.
    pub fn own(&self, url: &Url) -> bool {
        match &self.base {
            Base::Web(base) => base.origin() == url.origin(),
            Base::Unix(_) | Base::Pipe(_) => {
                url.scheme() == "http"
                    && url.domain() == Some("localhost")
                    && url.port_or_known_default() == Some(80)
            }
            Base::Sqlite(_) | Base::Postgres(_) => false,
        }
    }

    /// Path and query of a URL of the own origin, as a request states them. `None` where the URL is not
    /// below the endpoint's own path.
    pub fn below(&self, url: &Url) -> Option<String> {
        let path = match &self.base {
            Base::Web(base) => url.path().strip_prefix(base.path().trim_end_matches('/'))?,
            Base::Unix(_) | Base::Pipe(_) => url.path(),
            Base::Sqlite(_) | Base::Postgres(_) => return None,
        };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        path.starts_with('/').then(|| format!("{path}{query}"))
    }

    /// Where a redirect leads, as far as its origin is concerned: which paths of the own one a request
    /// may have is for `request` to say.
    pub fn redirect(&self, from: &Url, location: &str) -> Result<Url, String> {
        let undeclared = |place: String| {
            format!(
                "a redirect to {place}, which is not a declared redirect host; \
                 if it is the service's own, name it in redirect-hosts of this endpoint"
            )
        };
        self.led(from, location, "a redirect to", &self.redirects, undeclared)
    }

    /// Where a refusal says that tokens are given, if a name and password may go there.
    pub fn token_service(&self, from: &Url, realm: &str) -> Result<Url, String> {
        let undeclared = |place: String| {
            format!(
                "that tokens are given at {place}, which is not a declared host of such a service; \
                 if it is the service's own, name it in token-hosts of this endpoint"
            )
        };
        self.led(from, realm, "that tokens are given at", &self.token_hosts, undeclared)
    }

    fn led(
        &self,
        from: &Url,
        location: &str,
        what: &str,
        hosts: &[RedirectHost],
        undeclared: impl FnOnce(String) -> String,
    ) -> Result<Url, String> {
        let mut url =
            from.join(location).map_err(|_| format!("{what} something that is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{what} a URL with a user name or password"));
        }
        url.set_fragment(None);
        if self.own(&url) {
            return Ok(url);
        }
        let local = !matches!(self.base, Base::Web(_));
        let host = hosts.iter().find(|host| !local && host.admits(&url));
        let host = host.ok_or_else(|| undeclared(client::origin(&url)))?;
        check_host(&url, host.configured)?;
        Ok(url)
    }

    /// The proxy on the way there: `http://HOST:PORT`.
    pub fn proxy(&self) -> Option<&str> {
        self.via.as_ref().ok()?.as_ref().map(|via| &*via.origin)
    }

    /// Where its host's name may lead.
    pub fn guard(&self) -> Guard {
        Guard { resolver: self.resolver.clone(), configured: self.configured.clone() }
    }

    /// The endpoint's connections, made at first use.
    pub async fn client(&self, limits: &super::Limits) -> Result<&reqwest::Client, String> {
        self.client
            .get_or_try_init(|| async {
                let guard = self.guard();
                let (base, ca_file, limits) =
                    (self.base.clone(), self.ca_file.clone(), limits.clone());
                let via = self.via.clone()?;
                // Reads the system's certificates.
                tokio::task::spawn_blocking(move || {
                    client::build(&base, guard, ca_file.as_deref(), via.as_ref(), &limits)
                })
                .await
                .unwrap_or_else(|error| Err(format!("cannot set up the client: {error}")))
            })
            .await
    }
}
