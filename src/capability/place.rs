//! Where requests may go, as a manifest or a user writes it.
//!
//! **Invariant:** an address the manifest declares is never plain http and never a local network's;
//! those the user must configure.

use super::address::{Reach, judge_literal, reach};
use super::client;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use url::{Host, Url};

/// Who said where the endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
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
pub(crate) enum Base {
    /// An http or https origin with a path prefix; no query, no user info.
    Web(Url),
    Unix(PathBuf),
    /// A Windows named pipe, `\\.\pipe\NAME`.
    Pipe(String),
    /// A SQLite database's file. `None`: the user has not said which.
    Sqlite(Option<PathBuf>),
    Postgres(Server),
}

/// A PostgreSQL server of this machine, and one of its databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub host: Peer,
    pub port: u16,
    pub database: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(String),
    /// The directory of the server's sockets.
    Sockets(PathBuf),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Peer::Tcp(host) => write!(f, "postgres://{host}:{}", self.port),
            Peer::Sockets(path) => {
                write!(f, "postgres:///?host={}&port={}", path.display(), self.port)
            }
        }
    }
}

impl Base {
    /// Reads `https://HOST[:PORT][/PREFIX]`, `unix:///PATH`, `npipe:////./pipe/NAME`, and where a user writes it into
    /// the configuration `http://` and `tcp://` to this machine.
    ///
    /// # Errors
    /// The reasons repeat nothing of the text: a variable that a manifest names may hold a secret, and what a user
    /// wrote a password.
    pub fn parse(text: &str, source: &Placed) -> Result<Base, String> {
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
        if let Some(rest) = text.strip_prefix("sqlite:") {
            return sqlite(rest, source);
        }
        if let Some(rest) = text.strip_prefix("postgres://").or(text.strip_prefix("postgresql://"))
        {
            return server(rest).map(Base::Postgres);
        }
        if text.starts_with("ssh://") {
            return Err("ssh:// is not supported; forward the socket of the other machine with \
                        `ssh -NL PATH:SOCKET HOST` and use unix:///PATH"
                .to_owned());
        }
        let tcp = text.strip_prefix("tcp://").map(|rest| format!("http://{rest}"));
        let mut url = Url::parse(tcp.as_deref().unwrap_or(text))
            .map_err(|error| format!("it is not a URL ({error})"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "the URL holds a user name or password; use a credential instead".to_owned()
            );
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

    /// Whether it takes statements, and no requests over HTTP.
    pub fn is_database(&self) -> bool {
        matches!(self, Base::Sqlite(_) | Base::Postgres(_))
    }

    /// Whether an endpoint that was declared there may be put here.
    pub fn may_be_put_at(&self, other: &Base) -> bool {
        match (self, other) {
            (Base::Sqlite(_), other) => matches!(other, Base::Sqlite(_)),
            (Base::Postgres(_), other) => matches!(other, Base::Postgres(_)),
            (_, other) => !other.is_database(),
        }
    }
}

/// What follows `sqlite:`. Which file may be read is for the user alone to say.
fn sqlite(rest: &str, source: &Placed) -> Result<Base, String> {
    if rest.is_empty() && *source == Placed::Default {
        return Ok(Base::Sqlite(None));
    }
    if *source != Placed::Configuration {
        return Err("a database's file is named in the configuration file only".to_owned());
    }
    let path = rest.strip_prefix("//").filter(|path| path.starts_with('/') && path.len() > 1);
    let path = path.filter(|path| !path.contains('\0'));
    let path = path.ok_or("it must be sqlite:///PATH with an absolute path")?;
    // `/C:/PATH`.
    let path = if cfg!(windows) { path.trim_start_matches('/') } else { path };
    Ok(Base::Sqlite(Some(PathBuf::from(path))))
}

/// What follows `postgres://`: `HOST[:PORT]/DATABASE` or `/DATABASE?host=/DIRECTORY[&port=PORT]`, as libpq has it
/// (<https://www.postgresql.org/docs/current/libpq-connect.html>).
fn server(rest: &str) -> Result<Server, String> {
    const PORT: u16 = 5432;
    let form = || {
        "it must be postgres://HOST[:PORT]/DATABASE, or postgres:///DATABASE?host=/DIRECTORY for a socket"
            .to_owned()
    };
    if rest.contains(['@', '#', '%', '\0', '\\']) {
        return Err(
            "it holds a user name, a password or an escape; a role is given as a credential"
                .to_owned(),
        );
    }
    let (authority, path) = rest.split_once('/').ok_or_else(form)?;
    let (database, query) = path.split_once('?').unwrap_or((path, ""));
    if database.is_empty() || database.contains('/') {
        return Err(form());
    }
    let (mut port, mut sockets) = (PORT, None);
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "host" if value.starts_with('/') => sockets = Some(PathBuf::from(value)),
            "port" => port = value.parse().map_err(|_| form())?,
            _ => return Err(form()),
        }
    }
    let host = match (authority.is_empty(), sockets) {
        (true, Some(path)) => Peer::Sockets(path),
        (false, None) => {
            // As a URL has it: brackets around an address of IPv6.
            let url = Url::parse(&format!("http://{authority}")).map_err(|_| form())?;
            check_host(&url, true).map_err(|_| {
                "connections to a database are not encrypted, and so are made to this machine only: \
                 forward the port of another one with `ssh -NL`"
                    .to_owned()
            })?;
            // A URL's own port is left out where it is that of http.
            let last = authority.rsplit(':').next().unwrap_or_default();
            port = url.port().or_else(|| last.parse().ok()).unwrap_or(PORT);
            Peer::Tcp(url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned())
        }
        _ => return Err(form()),
    };
    Ok(Server { host, port, database: database.to_owned() })
}

/// What a credential belongs to, and all that is shown of an address: scheme, host and port, or the socket.
impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Base::Web(url) => f.write_str(&client::origin(url)),
            Base::Unix(path) => write!(f, "unix://{}", path.display()),
            Base::Pipe(path) => write!(f, "npipe:{}", path.replace('\\', "/")),
            Base::Sqlite(Some(path)) => write!(f, "sqlite://{}", path.display()),
            Base::Sqlite(None) => f.write_str("sqlite:"),
            Base::Postgres(server) => server.fmt(f),
        }
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Base({self})")
    }
}

/// `HOST`, `HOST:PORT`, `*.SUFFIX` (https), or a whole origin where the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedirectHost {
    scheme: &'static str,
    pub host: String,
    port: u16,
    /// Any subdomain of `host`, and not `host` itself.
    pub wildcard: bool,
    pub configured: bool,
}

/// The path of the named pipe in `npipe:////./pipe/NAME` or `npipe://./pipe/NAME`.
pub fn pipe(url: &str) -> Option<String> {
    let path = url.strip_prefix("npipe:")?.replace('/', "\\");
    let name = path.trim_start_matches('\\').strip_prefix(".\\pipe\\")?;
    let right = !name.is_empty() && !name.contains(['\\', '\0']);
    right.then(|| format!("\\\\.\\pipe\\{name}"))
}

/// Whether this host may be connected to at all; names are judged again when they are resolved.
pub(super) fn check_host(url: &Url, configured: bool) -> Result<(), String> {
    let address = match url.host() {
        Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
        Some(Host::Domain(_)) => None,
        None => return Err("the URL has no host".to_owned()),
    };
    if url.scheme() == "http" {
        let local = match address {
            Some(address) => reach(address) == Reach::Loopback,
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

impl RedirectHost {
    /// Reads one that a manifest declares, or that a user has configured. A declared one is written as the URL
    /// parser writes it: in another form it would match nothing that a person takes it for.
    ///
    /// # Errors
    /// The reasons repeat nothing that a user wrote.
    pub fn parse(text: &str, configured: bool) -> Result<RedirectHost, String> {
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
        let as_parsed =
            url.host_str().and_then(|host| text.strip_prefix(host)).is_some_and(|rest| {
                let port = rest.strip_prefix(':').map(str::parse::<u16>);
                rest.is_empty() || port.is_some_and(|port| port.is_ok_and(|port| port != 0))
            });
        if !configured && !as_parsed {
            return Err(wrong());
        }
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

    /// Whether a redirect to this URL leads there.
    pub fn admits(&self, url: &Url) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::{Override, shown};

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
            assert!(Base::parse(bad, &Placed::Default).is_err(), "{bad:?} passed");
        }
        assert!(Base::parse("https://api.github.com", &Placed::Default).is_ok());
        assert!(Base::parse("unix:///var/run/docker.sock", &Placed::Default).is_ok());
    }

    #[test]
    fn an_environment_variable_may_name_a_socket_and_not_plain_tcp() {
        let source = Placed::Environment("DOCKER_HOST".to_owned());
        assert_eq!(
            Base::parse("unix:///run/user/1000/docker.sock", &source),
            Ok(Base::Unix("/run/user/1000/docker.sock".into()))
        );
        let error = Base::parse("tcp://127.0.0.1:2375", &source).expect_err("tcp");
        assert!(error.contains("configuration file"), "{error}");
        assert!(Base::parse("https://ghe.corp/api/v3", &source).is_ok());
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
            let error = Base::parse(bad, &environment).expect_err(bad);
            assert!(!error.to_lowercase().contains("secret"), "{bad}: {error}");
            let debug = format!("{:?}", Override::from(bad)).to_lowercase();
            assert!(!debug.contains("secret"), "{bad}: {debug}");
            if let Err(error) = RedirectHost::parse(bad, true) {
                assert!(!error.contains("SeCrEt"), "{bad}: {error}");
            }
        }
        let good = Base::parse("https://ghe.example:8443/api/SeCrEt", &environment).expect("good");
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
            assert!(Base::parse(good, &source).is_ok(), "{good}");
        }
        let tcp = Base::parse("tcp://127.0.0.1:2375", &source).expect("tcp on loopback");
        assert_eq!(tcp.to_string(), "http://127.0.0.1:2375");
        for bad in
            ["http://10.0.0.1", "tcp://10.0.0.1:2375", "http://example.com", "http://0.0.0.0:1"]
        {
            assert!(Base::parse(bad, &source).is_err(), "{bad}");
        }
    }

    #[test]
    fn named_pipes_are_read_as_docker_writes_them() {
        for text in ["npipe:////./pipe/docker_engine", "npipe://./pipe/docker_engine"] {
            let pipe = Base::parse(text, &Placed::Default).expect(text);
            assert_eq!(pipe, Base::Pipe(r"\\.\pipe\docker_engine".to_owned()));
        }
        assert!(Base::parse("npipe:////server/pipe/x", &Placed::Default).is_err());
        assert!(Base::parse("npipe:////./pipe/a/b", &Placed::Default).is_err());
    }

    #[test]
    fn a_redirect_host_is_compared_by_whole_labels() {
        let star = RedirectHost::parse("*.blob.core.windows.net", false).expect("wildcard");
        let url = |text: &str| Url::parse(text).expect("url");
        assert!(star.admits(&url("https://logs1.blob.core.windows.net/x?sig=y")));
        assert!(!star.admits(&url("https://blob.core.windows.net/")));
        assert!(!star.admits(&url("https://evilblob.core.windows.net/")));
        assert!(!star.admits(&url("https://a.blob.core.windows.net.evil.example/")));
        assert!(!star.admits(&url("http://logs1.blob.core.windows.net/")));
        assert!(!star.admits(&url("https://logs1.blob.core.windows.net:444/")));
        let one = RedirectHost::parse("codeload.github.com", false).expect("host");
        assert!(one.admits(&url("https://codeload.github.com/x")));
        assert!(!one.admits(&url("https://a.codeload.github.com/x")));
        for bad in ["*.com", "*", "http://127.0.0.1:1", "169.254.169.254", "a/b", "u@h", ""] {
            assert!(RedirectHost::parse(bad, false).is_err(), "{bad:?} passed");
        }
        assert!(RedirectHost::parse("http://127.0.0.1:1", true).is_ok());
        assert!(RedirectHost::parse("http://10.0.0.1:1", true).is_err());
    }
}
