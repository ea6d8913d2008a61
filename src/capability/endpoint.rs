//! The servers an instance talks to: declared by its manifest, placed by its user.
//!
//! **Invariant:** an address the manifest declares is never plain http and never a local network's;
//! those the user must configure.

use super::address::{Guard, judge_literal};
use super::counters::Counters;
use super::{Setup, client};
use crate::credentials::Elsewhere;
use crate::provider::Endpoint;
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use tokio::sync::{OnceCell, Semaphore};
use url::{Host, Url};

/// Where the user puts an endpoint.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Override {
    /// `https://HOST[:PORT][/PREFIX]`, `http://` and `tcp://` to loopback, `unix:///PATH`,
    /// `npipe:////./pipe/NAME`.
    pub url: String,
    /// Origins beside the declared ones to which a redirect may lead, without the credential.
    /// Plain http to loopback is allowed here.
    pub redirect_hosts: Vec<String>,
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

/// Who said where the endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Default,
    Environment(String),
    Configuration,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placed::Default => f.write_str("default"),
            Placed::Environment(name) => write!(f, "environment variable {name}"),
            Placed::Configuration => f.write_str("configuration"),
        }
    }
}

/// The address of an endpoint.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// An http or https origin with a path prefix; no query, no user info.
    Web(Url),
    Unix(PathBuf),
    /// A Windows named pipe, `\\.\pipe\NAME`.
    Pipe(String),
}

/// What a credential belongs to, and all that is shown of an address: scheme, host and port, or the socket.
impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Base::Web(url) => f.write_str(&client::origin(url)),
            Base::Unix(path) => write!(f, "unix://{}", path.display()),
            Base::Pipe(path) => write!(f, "npipe:{}", path.replace('\\', "/")),
        }
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base({self})")
    }
}

/// What may be shown of an endpoint's URL that somebody wrote: its origin, or nothing of it.
pub fn shown(url: &str) -> String {
    base(url, &Placed::Configuration)
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
    redirects: Vec<RedirectHost>,
    configured: HashSet<String>,
    ca_file: Option<PathBuf>,
    resolver: super::Resolver,
    client: OnceCell<reqwest::Client>,
    /// Requests that may be under way.
    pub turns: Semaphore,
}

/// `HOST`, `HOST:PORT`, `*.SUFFIX` (https), or a whole origin where the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RedirectHost {
    scheme: &'static str,
    host: String,
    port: u16,
    /// Any subdomain of `host`, and not `host` itself.
    wildcard: bool,
    configured: bool,
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
    let base = base(&text, &source).map_err(fail)?;
    let mut redirects = Vec::new();
    for host in &spec.redirect_hosts {
        redirects.push(redirect_host(host, false).map_err(fail)?);
    }
    for host in &given.redirect_hosts {
        redirects.push(redirect_host(host, true).map_err(fail)?);
    }
    let mut configured = HashSet::new();
    if source != Placed::Default
        && let Base::Web(url) = &base
        && let Some(Host::Domain(host)) = url.host()
    {
        configured.insert(host.to_ascii_lowercase());
    }
    for host in redirects.iter().filter(|host| host.configured && !host.wildcard) {
        configured.insert(host.host.clone());
    }
    let own = self::base(&spec.default_url, &Placed::Default).ok();
    let origin = base.to_string();
    let elsewhere = (own.map(|own| own.to_string()).as_ref() != Some(&origin))
        .then(|| Elsewhere { endpoint: spec.name.clone(), origin });
    Ok(Target {
        spec: spec.clone(),
        base,
        source,
        elsewhere,
        counters: Counters::default(),
        redirects,
        configured,
        ca_file: given.ca_file,
        resolver: setup.resolver.clone(),
        client: OnceCell::new(),
        turns: Semaphore::new(setup.limits.parallel.max(1)),
    })
}

/// The path of the named pipe in `npipe:////./pipe/NAME` or `npipe://./pipe/NAME`.
pub fn pipe(url: &str) -> Option<String> {
    let path = url.strip_prefix("npipe:")?.replace('/', "\\");
    let name = path.trim_start_matches('\\').strip_prefix(".\\pipe\\")?;
    let right = !name.is_empty() && !name.contains(['\\', '\0']);
    right.then(|| format!("\\\\.\\pipe\\{name}"))
}

/// The reasons repeat nothing of the text: a variable that a manifest names may hold a secret, and what a user
/// wrote a password.
fn base(text: &str, source: &Placed) -> Result<Base, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        if !path.starts_with('/') || path.contains('\0') {
            return Err("it must be unix:///PATH with an absolute path".to_owned());
        }
        return Ok(Base::Unix(PathBuf::from(path)));
    }
    if text.starts_with("npipe:") {
        let fail = || "it must be npipe:////./pipe/NAME".to_owned();
        return pipe(text).map(Base::Pipe).ok_or_else(fail);
    }
    let tcp = text.strip_prefix("tcp://").map(|rest| format!("http://{rest}"));
    let mut url = Url::parse(tcp.as_deref().unwrap_or(text))
        .map_err(|error| format!("it is not a URL ({error})"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL holds a user name or password; use a credential instead".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the URL must have no query and no fragment".to_owned());
    }
    let secure = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => {
            return Err("it must begin with https://, unix:/// or npipe:////./pipe/".to_owned());
        }
    };
    if !secure && *source != Placed::Configuration {
        return Err("it is not encrypted; to use it, write it as the endpoint's url in the \
                    configuration file"
            .to_owned());
    }
    check_host(&url, *source != Placed::Default)?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(Base::Web(url))
}

/// Whether this host may be connected to at all; names are judged again when they are resolved.
fn check_host(url: &Url, configured: bool) -> Result<(), String> {
    let address = match url.host() {
        Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
        Some(Host::Domain(_)) => None,
        None => return Err("the URL has no host".to_owned()),
    };
    if url.scheme() == "http" {
        let local = match address {
            Some(address) => super::address::reach(address) == super::address::Reach::Loopback,
            None => url.domain() == Some("localhost"),
        };
        if !local {
            return Err(format!(
                "plain http is spoken to loopback only, and {} is not; use https",
                url.host_str().unwrap_or_default()
            ));
        }
    }
    match address {
        Some(address) => judge_literal(address, configured).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

fn redirect_host(text: &str, configured: bool) -> Result<RedirectHost, String> {
    let wrong = || {
        // What a user wrote may be anything.
        let named = if configured { String::new() } else { format!(" {text:?}") };
        format!("a redirect host{named} must be HOST[:PORT] or *.HOST")
    };
    let (text, wildcard) = match text.strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let whole = text.contains("://");
    if whole && (!configured || wildcard) {
        return Err(wrong());
    }
    let url = if whole { Url::parse(text) } else { Url::parse(&format!("https://{text}")) };
    let url = url.map_err(|_| wrong())?;
    // Parsing lets characters through that no host name has, a second `*` among them.
    let named = url.host_str().is_some_and(|host| {
        host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    });
    let plain = named
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let scheme = match url.scheme() {
        "https" => "https",
        "http" if configured => "http",
        _ => return Err(wrong()),
    };
    // A wildcard over a whole top-level domain would be no bound at all.
    if !plain || (wildcard && !url.domain().is_some_and(|domain| domain.contains('.'))) {
        return Err(wrong());
    }
    check_host(&url, configured)?;
    Ok(RedirectHost {
        scheme,
        host: url.host_str().ok_or_else(wrong)?.to_ascii_lowercase(),
        port: url.port_or_known_default().ok_or_else(wrong)?,
        wildcard,
        configured,
    })
}

impl RedirectHost {
    fn admits(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        url.scheme() == self.scheme
            && url.port_or_known_default() == Some(self.port)
            && match host.strip_suffix(&self.host) {
                Some("") => !self.wildcard,
                Some(rest) => self.wildcard && rest.ends_with('.') && rest.len() > 1,
                None => false,
            }
    }
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
        }
    }

    /// Path and query of a URL of the own origin, as a request states them. `None` where the URL is not
    /// below the endpoint's own path.
    pub fn below(&self, url: &Url) -> Option<String> {
        let path = match &self.base {
            Base::Web(base) => url.path().strip_prefix(base.path().trim_end_matches('/'))?,
            Base::Unix(_) | Base::Pipe(_) => url.path(),
        };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        path.starts_with('/').then(|| format!("{path}{query}"))
    }

    /// Where a redirect leads, as far as its origin is concerned: which paths of the own one a request
    /// may have is for `request` to say.
    pub fn redirect(&self, from: &Url, location: &str) -> Result<Url, String> {
        let mut url =
            from.join(location).map_err(|_| "a redirect to something that is no URL".to_owned())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a redirect to a URL with a user name or password".to_owned());
        }
        url.set_fragment(None);
        if self.own(&url) {
            return Ok(url);
        }
        let place = client::origin(&url);
        let local = matches!(self.base, Base::Unix(_) | Base::Pipe(_));
        let host =
            self.redirects.iter().find(|host| !local && host.admits(&url)).ok_or_else(|| {
                format!(
                    "a redirect to {place}, which is not a declared redirect host; \
                     if it is the service's own, name it in redirect-hosts of this endpoint"
                )
            })?;
        check_host(&url, host.configured)?;
        Ok(url)
    }

    /// The endpoint's connections, made at first use.
    pub async fn client(&self, limits: &super::Limits) -> Result<&reqwest::Client, String> {
        self.client
            .get_or_try_init(|| async {
                let guard =
                    Guard { resolver: self.resolver.clone(), configured: self.configured.clone() };
                let (base, ca_file, limits) =
                    (self.base.clone(), self.ca_file.clone(), limits.clone());
                // Reads the system's certificates.
                tokio::task::spawn_blocking(move || {
                    client::build(&base, guard, ca_file.as_deref(), &limits)
                })
                .await
                .unwrap_or_else(|error| Err(format!("cannot set up the client: {error}")))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_cannot_place_an_endpoint_in_a_local_network() {
        for bad in [
            "http://127.0.0.1:8080",
            "http://api.github.com",
            "https://127.0.0.1",
            "https://[::1]",
            "https://0x7f.1",
            "https://2130706433",
            "https://10.0.0.1",
            "https://169.254.169.254",
            "https://[::ffff:169.254.169.254]",
            "https://[fd00:ec2::254]",
            "https://0.0.0.0",
            "tcp://127.0.0.1:2375",
            "file:///etc/passwd",
            "ftp://example.com",
            "https://user:secret@example.com",
            "https://example.com?x=y",
            "unix://relative",
            "npipe://",
            "nonsense",
            "",
        ] {
            assert!(base(bad, &Placed::Default).is_err(), "{bad:?} passed");
        }
        assert!(base("https://api.github.com", &Placed::Default).is_ok());
        assert!(base("unix:///var/run/docker.sock", &Placed::Default).is_ok());
    }

    #[test]
    fn an_environment_variable_may_name_a_socket_and_not_plain_tcp() {
        let source = Placed::Environment("DOCKER_HOST".to_owned());
        assert_eq!(
            base("unix:///run/user/1000/docker.sock", &source),
            Ok(Base::Unix("/run/user/1000/docker.sock".into()))
        );
        let error = base("tcp://127.0.0.1:2375", &source).expect_err("tcp");
        assert!(error.contains("configuration file"), "{error}");
        assert!(base("https://ghe.corp/api/v3", &source).is_ok());
    }

    #[test]
    fn nothing_of_an_address_is_shown_but_its_origin() {
        let environment = Placed::Environment("EXAMPLE_URL".to_owned());
        for bad in [
            "SeCrEt",
            "SeCrEt://x",
            "unix://SeCrEt",
            "npipe:SeCrEt",
            "tcp://SeCrEt:1",
            "http://SeCrEt",
            "ftp://example.com/SeCrEt",
            "https://SeCrEt:x@example.com",
            "https://x:SeCrEt@example.com",
            "https://example.com?SeCrEt",
            "https://example.com/#SeCrEt",
            "https://exa mple/SeCrEt",
            "https://example.com:SeCrEt",
            "https://0.0.0.0/SeCrEt",
        ] {
            let error = base(bad, &environment).expect_err(bad);
            assert!(!error.to_lowercase().contains("secret"), "{bad}: {error}");
            let debug = format!("{:?}", Override::from(bad)).to_lowercase();
            assert!(!debug.contains("secret"), "{bad}: {debug}");
            if let Err(error) = redirect_host(bad, true) {
                assert!(!error.contains("SeCrEt"), "{bad}: {error}");
            }
        }
        let good = base("https://ghe.example:8443/api/SeCrEt", &environment).expect("good");
        assert_eq!(good.to_string(), "https://ghe.example:8443");
        assert_eq!(format!("{good:?}"), "Base(https://ghe.example:8443)");
        assert_eq!(shown("tcp://127.0.0.1:2375/SeCrEt"), "http://127.0.0.1:2375");
        assert_eq!(shown("unix:///run/docker.sock"), "unix:///run/docker.sock");
    }

    #[test]
    fn the_user_may_configure_loopback_without_encryption() {
        let source = Placed::Configuration;
        for good in
            ["http://127.0.0.1:8080", "http://[::1]:1", "http://localhost:80", "https://10.1.2.3"]
        {
            assert!(base(good, &source).is_ok(), "{good}");
        }
        let tcp = base("tcp://127.0.0.1:2375", &source).expect("tcp on loopback");
        assert_eq!(tcp.to_string(), "http://127.0.0.1:2375");
        for bad in
            ["http://10.0.0.1", "tcp://10.0.0.1:2375", "http://example.com", "http://0.0.0.0:1"]
        {
            assert!(base(bad, &source).is_err(), "{bad}");
        }
    }

    #[test]
    fn named_pipes_are_read_as_docker_writes_them() {
        for text in ["npipe:////./pipe/docker_engine", "npipe://./pipe/docker_engine"] {
            let pipe = base(text, &Placed::Default).expect(text);
            assert_eq!(pipe, Base::Pipe(r"\\.\pipe\docker_engine".to_owned()));
        }
        assert!(base("npipe:////server/pipe/x", &Placed::Default).is_err());
        assert!(base("npipe:////./pipe/a/b", &Placed::Default).is_err());
    }

    #[test]
    fn a_redirect_host_is_compared_by_whole_labels() {
        let star = redirect_host("*.blob.core.windows.net", false).expect("wildcard");
        let url = |text: &str| Url::parse(text).expect("url");
        assert!(star.admits(&url("https://logs1.blob.core.windows.net/x?sig=y")));
        assert!(!star.admits(&url("https://blob.core.windows.net/")));
        assert!(!star.admits(&url("https://evilblob.core.windows.net/")));
        assert!(!star.admits(&url("https://a.blob.core.windows.net.evil.example/")));
        assert!(!star.admits(&url("http://logs1.blob.core.windows.net/")));
        assert!(!star.admits(&url("https://logs1.blob.core.windows.net:444/")));
        let one = redirect_host("codeload.github.com", false).expect("host");
        assert!(one.admits(&url("https://codeload.github.com/x")));
        assert!(!one.admits(&url("https://a.codeload.github.com/x")));
        for bad in ["*.com", "*", "http://127.0.0.1:1", "169.254.169.254", "a/b", "u@h", ""] {
            assert!(redirect_host(bad, false).is_err(), "{bad:?} passed");
        }
        assert!(redirect_host("http://127.0.0.1:1", true).is_ok());
        assert!(redirect_host("http://10.0.0.1:1", true).is_err());
    }
}
