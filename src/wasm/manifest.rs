//! Checks what a component says of itself before a user is asked to approve it.
//!
//! Invariant: every name in a checked [`Manifest`] is unique and of one plain form, every URL is of a
//! kind the host can reach, and every reference leads to something that is declared.

use super::bindings::exports::omnifs::provider::manifest as raw;
use super::convert::{self, Fault};
use super::limits;
use crate::names::Quoted;
use crate::provider::{
    Cause, ConfigKey, Credential, Endpoint, Feed, FeedKind, Manifest, Method, OAuth,
};
use std::collections::HashSet;
use url::{Host, Url};

/// A manifest agrees with what its component imports and exports.
pub(super) fn check(
    raw: raw::Description,
    imports_http: bool,
    exports_events: bool,
) -> Result<Manifest, Fault> {
    let manifest = manifest(raw)?;
    if imports_http && manifest.endpoints.is_empty() {
        return refuse("the component imports omnifs:provider/http and declares no endpoint");
    }
    if !exports_events && !manifest.feeds.is_empty() {
        return refuse(
            "it declares feeds and the component does not export omnifs:provider/events",
        );
    }
    Ok(manifest)
}

fn refuse<T>(why: impl std::fmt::Display) -> Result<T, Fault> {
    Err(Fault { cause: Cause::Invalid, detail: format!("its manifest is not valid: {why}") })
}

fn manifest(raw: raw::Description) -> Result<Manifest, Fault> {
    let identity = raw.identity;
    name(&identity.name, "provider")?;
    if !is_semantic_version(&identity.version) {
        return refuse(format_args!(
            "{} is no version of the form MAJOR.MINOR.PATCH",
            Quoted(&identity.version)
        ));
    }
    line(&identity.summary, "summary")?;
    convert::id(&raw.root, "its root")?;

    short(&raw.config, "config keys")?;
    unique(raw.config.iter().map(|key| key.name.as_str()), "config key")?;
    for key in &raw.config {
        name(&key.name, "config key")?;
        line(&key.description, "description of a config key")?;
        if let Some(value) = &key.default_value {
            line(value, "default of a config key")?;
        }
    }

    short(&raw.credentials, "credentials")?;
    unique(raw.credentials.iter().map(|c| c.name.as_str()), "credential")?;
    raw.credentials.iter().try_for_each(credential)?;

    short(&raw.endpoints, "endpoints")?;
    unique(raw.endpoints.iter().map(|e| e.name.as_str()), "endpoint")?;
    for endpoint in &raw.endpoints {
        check_endpoint(endpoint)?;
        if let Some(wanted) = &endpoint.credential
            && !raw.credentials.iter().any(|c| c.name == *wanted)
        {
            let (endpoint, wanted) = (Quoted(&endpoint.name), Quoted(wanted));
            return refuse(format_args!(
                "the endpoint {endpoint} uses the credential {wanted}, which is not declared"
            ));
        }
    }

    short(&raw.feeds, "feeds")?;
    unique(raw.feeds.iter().map(|feed| feed.name.as_str()), "feed")?;
    for feed in &raw.feeds {
        check_feed(feed, &raw.endpoints)?;
    }

    Ok(Manifest {
        name: identity.name,
        version: identity.version,
        summary: identity.summary,
        root: raw.root,
        config: raw.config.into_iter().map(config_key).collect(),
        endpoints: raw.endpoints.into_iter().map(endpoint).collect(),
        credentials: raw.credentials.into_iter().map(into_credential).collect(),
        feeds: raw.feeds.into_iter().map(feed).collect(),
    })
}

fn short<T>(list: &[T], what: &str) -> Result<(), Fault> {
    let max = limits::MANIFEST_LIST_MAX;
    if list.len() > max {
        return refuse(format_args!("it has {} {what}, more than {max}", list.len()));
    }
    Ok(())
}

fn unique<'a>(names: impl Iterator<Item = &'a str>, what: &str) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return refuse(format_args!("it declares the {what} {} twice", Quoted(name)));
        }
    }
    Ok(())
}

/// Lower-case letters, digits, `-` and `_`, beginning with a letter or digit: fit for a file name, a
/// configuration key and a command line.
fn name(name: &str, what: &str) -> Result<(), Fault> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=64).contains(&name.len())
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || c == '-' || c == '_');
    if !fits {
        return refuse(format_args!(
            "{} is no {what} name: use 1 to 64 lower-case letters, digits, `-` and `_`",
            Quoted(name)
        ));
    }
    Ok(())
}

/// Text that is shown to the user before the component is trusted.
fn line(text: &str, what: &str) -> Result<(), Fault> {
    if text.len() > limits::TEXT_MAX || text.chars().any(char::is_control) {
        let max = limits::TEXT_MAX;
        return refuse(format_args!("the {what} is not one line of at most {max} bytes"));
    }
    Ok(())
}

/// Of semver.org: three numbers, then a pre-release or a build.
fn is_semantic_version(version: &str) -> bool {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = numbers.split('.');
    version.len() <= 64
        && version.chars().all(|c| c.is_ascii_alphanumeric() || "-+.".contains(c))
        && parts.by_ref().take(3).filter(|part| is_number(part)).count() == 3
        && parts.next().is_none()
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit())
}

fn is_environment(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn environment(name: &str) -> Result<(), Fault> {
    if !is_environment(name) {
        return refuse(format_args!("{} is no environment variable's name", Quoted(name)));
    }
    Ok(())
}

/// `https://HOST[/PREFIX]`, or `http` where the host is this machine.
fn web(text: &str, what: &str) -> Result<(), Fault> {
    let bad = |why: &str| refuse(format_args!("the {what} {}: {why}", Quoted(text)));
    if text.len() > limits::TEXT_MAX {
        return bad("it is too long");
    }
    let Ok(url) = Url::parse(text) else {
        return bad("it is no URL");
    };
    let local = match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return bad("it names no host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        "http" => return bad("http is for this machine only; use https"),
        _ => return bad("it is none of https://, unix:// and npipe://"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return bad("it holds a user name or password");
    }
    if url.fragment().is_some() {
        return bad("it has a fragment");
    }
    Ok(())
}

/// The base URL of an endpoint.
fn base(text: &str) -> Result<(), Fault> {
    let bad = |why: &str| refuse(format_args!("the endpoint URL {}: {why}", Quoted(text)));
    if let Some(path) = text.strip_prefix("unix://").or(text.strip_prefix("npipe://")) {
        if !path.starts_with('/') || path.len() < 2 || path.len() > limits::TEXT_MAX {
            return bad("a socket's or pipe's path is absolute");
        }
        if path.chars().any(char::is_control) {
            return bad("it contains a control character");
        }
        return Ok(());
    }
    web(text, "endpoint URL")?;
    if text.contains('?') {
        return bad("it has a query");
    }
    Ok(())
}

/// A path pattern: segments, `*` for any one, a last `**` for any number.
fn pattern(path: &str) -> Result<(), Fault> {
    let bad = |why: &str| refuse(format_args!("the path pattern {}: {why}", Quoted(path)));
    let Some(rest) = path.strip_prefix('/') else {
        return bad("it does not begin with `/`");
    };
    if path.len() > limits::TEXT_MAX {
        return bad("it is too long");
    }
    if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#' && b != b'\\') {
        return bad("it is not a percent-encoded path without a query");
    }
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "**" if segments.peek().is_some() => return bad("`**` stands only at the end"),
            "*" | "**" => {}
            "." | ".." => return bad("`.` and `..` match nothing"),
            _ if segment.contains('*') => return bad("`*` stands for a whole segment"),
            _ => {}
        }
    }
    Ok(())
}

fn is_redirect_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let (domain, wild) = match host.strip_prefix("*.") {
        Some(domain) => (domain, true),
        None => (host, false),
    };
    // A host written in another form than the URL parser's would never match, and `*.com` would
    // match too much.
    port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
        && !domain.contains('*')
        && (!wild || domain.contains('.'))
        && Host::parse(domain).is_ok_and(|parsed| parsed.to_string() == domain)
}

fn check_endpoint(endpoint: &raw::Endpoint) -> Result<(), Fault> {
    name(&endpoint.name, "endpoint")?;
    base(&endpoint.default_url)?;
    if let Some(variable) = &endpoint.url_environment {
        environment(variable)?;
    }
    let max = limits::MANIFEST_LIST_MAX * 4;
    if endpoint.allow.len() > max {
        return refuse(format_args!("an endpoint has more than {max} rules"));
    }
    for rule in &endpoint.allow {
        pattern(&rule.path)?;
    }
    short(&endpoint.redirect_hosts, "redirect hosts")?;
    for host in &endpoint.redirect_hosts {
        if !is_redirect_host(host) {
            return refuse(format_args!(
                "{} is no host: use HOST, HOST:PORT or *.DOMAIN.TLD, in lower case",
                Quoted(host)
            ));
        }
    }
    line(&endpoint.purpose, "purpose of an endpoint")
}

fn credential(credential: &raw::Credential) -> Result<(), Fault> {
    name(&credential.name, "credential")?;
    short(&credential.environment, "environment variables")?;
    credential.environment.iter().try_for_each(|variable| environment(variable))?;
    short(&credential.raw_prefixes, "prefixes")?;
    for prefix in &credential.raw_prefixes {
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_graphic()) {
            return refuse(format_args!("{} is no prefix of a secret", Quoted(prefix)));
        }
    }
    if let Some(oauth) = &credential.oauth {
        web(&oauth.authorize_url, "OAuth URL")?;
        web(&oauth.token_url, "OAuth URL")?;
        oauth.device_url.as_ref().map_or(Ok(()), |url| web(url, "OAuth URL"))?;
        oauth.client_id.as_ref().map_or(Ok(()), |id| line(id, "OAuth client id"))?;
        short(&oauth.scopes, "OAuth scopes")?;
        oauth.scopes.iter().try_for_each(|scope| line(scope, "OAuth scope"))?;
    }
    web(&credential.help_url, "help URL")
}

fn check_feed(feed: &raw::Feed, endpoints: &[raw::Endpoint]) -> Result<(), Fault> {
    name(&feed.name, "feed")?;
    let shown = Quoted(&feed.name);
    if feed.scopes.len() > limits::SCOPE_MAX {
        return refuse(format_args!("the scopes of the feed {shown} are too long"));
    }
    match &feed.endpoint {
        Some(wanted) if !endpoints.iter().any(|endpoint| endpoint.name == *wanted) => {
            let wanted = Quoted(wanted);
            refuse(format_args!(
                "the feed {shown} uses the endpoint {wanted}, which is not declared"
            ))
        }
        None if feed.kind != raw::FeedKind::Webhook => {
            refuse(format_args!("the feed {shown} needs an endpoint"))
        }
        _ => Ok(()),
    }
}

fn config_key(raw: raw::ConfigKey) -> ConfigKey {
    ConfigKey { name: raw.name, description: raw.description, default: raw.default_value }
}

/// Where a socket that a manifest names is on this system. Components are the same everywhere, and
/// Windows has pipes for sockets.
fn here(url: String) -> String {
    const PLACES: [(&str, &str); 1] =
        [("unix:///var/run/docker.sock", "npipe:////./pipe/docker_engine")];
    let place = PLACES.iter().find(|(socket, _)| cfg!(windows) && *socket == url);
    place.map_or(url, |(_, pipe)| (*pipe).to_owned())
}

fn endpoint(raw: raw::Endpoint) -> Endpoint {
    let rule = |rule: raw::Rule| -> (Method, String) { (convert::method(rule.method), rule.path) };
    Endpoint {
        name: raw.name,
        default_url: here(raw.default_url),
        url_environment: raw.url_environment,
        allow: raw.allow.into_iter().map(rule).collect(),
        credential: raw.credential,
        redirect_hosts: raw.redirect_hosts,
        purpose: raw.purpose,
    }
}

fn into_credential(raw: raw::Credential) -> Credential {
    Credential {
        name: raw.name,
        environment: raw.environment,
        raw_prefixes: raw.raw_prefixes,
        oauth: raw.oauth.map(|oauth| OAuth {
            authorize_url: oauth.authorize_url,
            device_url: oauth.device_url,
            token_url: oauth.token_url,
            client_id: oauth.client_id,
            scopes: oauth.scopes,
        }),
        help_url: raw.help_url,
    }
}

fn feed(raw: raw::Feed) -> Feed {
    let kind = match raw.kind {
        raw::FeedKind::Push => FeedKind::Push,
        raw::FeedKind::Poll => FeedKind::Poll,
        raw::FeedKind::Webhook => FeedKind::Webhook,
    };
    Feed { name: raw.name, kind, scopes: raw.scopes, endpoint: raw.endpoint }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
