//! Checks what a component says of itself before a user is asked to approve it.
//!
//! Invariant: every name in a checked [`Manifest`] is unique and of one plain form, every URL is of a
//! kind the host can reach, and every reference leads to something that is declared.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod guide;
mod into;
mod nearby;
mod requests;
mod statements;

use super::bindings::exports::omnifs::provider::manifest as raw;
use super::convert::{self, Fault};
use super::limits;
use crate::capability::{Base, Placed, RedirectHost, pattern};
use crate::names::Quoted;
use crate::provider::{Cause, Manifest};
use requests::{check_bodies, check_variable, is_hosts};
pub(super) use statements::with_statements;
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
    convert::id(&raw.root, &"its root")?;

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
    raw.credentials.iter().try_for_each(|one| credential(one, &raw.config))?;

    short(&raw.endpoints, "endpoints")?;
    unique(raw.endpoints.iter().map(|e| e.name.as_str()), "endpoint")?;
    for endpoint in &raw.endpoints {
        check_endpoint(endpoint)?;
        check_credentials(endpoint, &raw.credentials)?;
        check_variable(endpoint, &raw.credentials)?;
        check_bodies(endpoint, &raw.credentials)?;
    }

    raw.credentials.iter().try_for_each(|c| check_probe(c, &raw.endpoints))?;
    nearby::check(&raw.endpoints, &raw.credentials)?;

    short(&raw.feeds, "feeds")?;
    unique(raw.feeds.iter().map(|feed| feed.name.as_str()), "feed")?;
    for feed in &raw.feeds {
        check_feed(feed, &raw.endpoints)?;
    }
    if raw.feeds.iter().filter(|feed| feed.kind == raw::FeedKind::Webhook).count() > 1 {
        return refuse("it has two webhook feeds, and an instance has one address for deliveries");
    }
    guide::check(&raw.guide)?;

    Ok(Manifest {
        name: identity.name,
        version: identity.version,
        summary: identity.summary,
        root: raw.root,
        config: raw.config.into_iter().map(into::config_key).collect(),
        endpoints: raw.endpoints.into_iter().map(into::endpoint).collect(),
        credentials: raw.credentials.into_iter().map(into::credential).collect(),
        feeds: raw.feeds.into_iter().map(into::feed).collect(),
        guide: raw.guide.into_iter().map(into::path_doc).collect(),
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
    if text.len() > limits::TEXT_MAX || omnifs_text::hidden(text).next().is_some() {
        let max = limits::TEXT_MAX;
        return refuse(format_args!(
            "the {what} is not one line of at most {max} bytes that all can be seen"
        ));
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
    // Secrets of webhooks are among them.
    if name.starts_with("OMNIFS_") {
        return refuse(format_args!("the environment variable {} is the host's own", Quoted(name)));
    }
    Ok(())
}

/// `https://HOST[/PREFIX]`, or `http` where the host is this machine.
fn web(text: &str, what: &str) -> Result<(), Fault> {
    let bad = |why: &str| refuse(format_args!("the {what} {}: {why}", Quoted(text)));
    if text.len() > limits::TEXT_MAX {
        return bad("it is too long");
    }
    // In another script a host can look like one that the user knows.
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return bad("write it in ASCII, the host as xn--...");
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

/// The base URL of an endpoint. What is plain http to this machine is for its user to confirm, in the
/// configuration.
fn base(text: &str) -> Result<(), Fault> {
    let bad = |why: &str| refuse(format_args!("the endpoint URL {}: {why}", Quoted(text)));
    if text.len() > limits::TEXT_MAX {
        return bad("it is too long");
    }
    if omnifs_text::hidden(text).next().is_some() {
        return bad("it contains a character that nobody can see");
    }
    // In another script a host can look like one that the user knows.
    if !text.starts_with("unix:") && !text.bytes().all(|b| b.is_ascii_graphic()) {
        return bad("write it in ASCII, the host as xn--...");
    }
    let source = match text.starts_with("http://") {
        true => Placed::Configuration,
        false => Placed::Default,
    };
    match Base::parse(text, &source) {
        Ok(Base::Unix(path)) if path.as_os_str().len() < 2 => bad("it names no socket"),
        Ok(_) => Ok(()),
        Err(why) => bad(&why),
    }
}

fn check_endpoint(endpoint: &raw::Endpoint) -> Result<(), Fault> {
    name(&endpoint.name, "endpoint")?;
    base(&endpoint.default_url)?;
    endpoint.windows_url.as_deref().map_or(Ok(()), base)?;
    if let Some(variable) = &endpoint.url_environment {
        environment(variable)?;
    }
    let max = limits::MANIFEST_LIST_MAX * 4;
    if endpoint.allow.len() > max {
        return refuse(format_args!("an endpoint has more than {max} rules"));
    }
    for rule in &endpoint.allow {
        let path = &rule.path;
        let wrong = |why| refuse(format_args!("the path pattern {}: {why}", Quoted(path)));
        if path.len() > limits::TEXT_MAX {
            return wrong("it is too long");
        }
        pattern::check(path).or_else(wrong)?;
    }
    hosts(&endpoint.redirect_hosts, "redirect hosts")?;
    endpoint.limits.as_ref().map_or(Ok(()), check_limits)?;
    line(&endpoint.purpose, "purpose of an endpoint")
}

fn hosts(all: &[String], what: &str) -> Result<(), Fault> {
    short(all, what)?;
    let bad = all.iter().find(|host| RedirectHost::parse(host, false).is_err());
    bad.map_or(Ok(()), |host| {
        refuse(format_args!(
            "{} is no host: use HOST, HOST:PORT or *.DOMAIN.TLD, in lower case",
            Quoted(host)
        ))
    })
}

fn credential(credential: &raw::Credential, config: &[raw::ConfigKey]) -> Result<(), Fault> {
    name(&credential.name, "credential")?;
    if credential.name == "webhook" {
        return refuse(
            "no credential is named webhook: that is the secret of an instance's deliveries",
        );
    }
    short(&credential.environment, "environment variables")?;
    credential.environment.iter().try_for_each(|variable| environment(variable))?;
    short(&credential.environment_elsewhere, "environment variables")?;
    credential.environment_elsewhere.iter().try_for_each(|variable| environment(variable))?;
    let twice = |variable: &&String| credential.environment_elsewhere.contains(variable);
    if let Some(variable) = credential.environment.iter().find(twice) {
        return refuse(format_args!(
            "the environment variable {} is for the service itself or for other places, not for both",
            Quoted(variable)
        ));
    }
    match &credential.scheme {
        raw::Scheme::Header(name) => {
            header(name)?;
            if is_hosts(name) {
                return refuse(format_args!("no credential travels in the header {name}"));
            }
        }
        raw::Scheme::Basic(Some(user)) => {
            line(user, "user name of a credential")?;
            if user.contains(':') {
                return refuse("a user name of basic authentication holds no colon");
            }
        }
        raw::Scheme::AwsSigv4(signed) => {
            let label =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if signed.service.is_empty() || !signed.service.bytes().all(label) {
                return refuse(format_args!("{} is no service's name", Quoted(&signed.service)));
            }
            let known = |name: &String| config.iter().any(|setting| setting.name == *name);
            if let Some(name) = signed.region.as_ref().filter(|name| !known(name)) {
                let name = Quoted(name);
                return refuse(format_args!("no setting {name} is declared, which names a region"));
            }
            for variables in [&credential.environment, &credential.environment_elsewhere] {
                if !matches!(variables.len(), 0 | 2 | 3) {
                    return refuse("a secret that signs is in two variables or in three");
                }
            }
        }
        raw::Scheme::Challenge(given) => hosts(given, "hosts of token services")?,
        raw::Scheme::Bearer | raw::Scheme::Basic(None) => {}
    }
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

/// What an endpoint uses is declared, and no two travel in one header.
fn check_credentials(endpoint: &raw::Endpoint, all: &[raw::Credential]) -> Result<(), Fault> {
    short(&endpoint.credentials, "credentials of an endpoint")?;
    let mut headers = HashSet::new();
    for wanted in &endpoint.credentials {
        let shown = Quoted(&endpoint.name);
        let Some(credential) = all.iter().find(|credential| credential.name == *wanted) else {
            let wanted = Quoted(wanted);
            return refuse(format_args!(
                "the endpoint {shown} uses the credential {wanted}, which is not declared"
            ));
        };
        let header = match &credential.scheme {
            raw::Scheme::Bearer
            | raw::Scheme::Basic(_)
            | raw::Scheme::AwsSigv4(_)
            | raw::Scheme::Challenge(_) => "authorization",
            raw::Scheme::Header(name) => name.as_str(),
        };
        if !headers.insert(header) {
            return refuse(format_args!(
                "the endpoint {shown} sends two credentials in the header {header}"
            ));
        }
    }
    Ok(())
}

/// A probe is one of the requests that the user approves.
fn check_probe(credential: &raw::Credential, endpoints: &[raw::Endpoint]) -> Result<(), Fault> {
    let Some(probe) = &credential.whose else { return Ok(()) };
    let shown = Quoted(&credential.name);
    let endpoint = endpoints.iter().find(|endpoint| endpoint.name == probe.endpoint);
    let uses = endpoint.is_some_and(|endpoint| endpoint.credentials.contains(&credential.name));
    if !uses {
        return refuse(format_args!(
            "the credential {shown} is probed at an endpoint that does not use it"
        ));
    }
    if probe.body.as_ref().is_some_and(|body| body.len() > limits::TEXT_MAX) {
        return refuse(format_args!("the probe of the credential {shown} is too long"));
    }
    line(&probe.path, "path of a probe")?;
    pointer(&probe.name)
}

/// A JSON pointer (RFC 6901).
fn pointer(text: &str) -> Result<(), Fault> {
    line(text, "JSON pointer")?;
    if !text.is_empty() && !text.starts_with('/') {
        return refuse(format_args!("{} is no JSON pointer", Quoted(text)));
    }
    Ok(())
}

/// A header's name in lower case (RFC 9110, section 5.1).
fn header(name: &str) -> Result<(), Fault> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        return refuse(format_args!("{} is no header's name in lower case", Quoted(name)));
    }
    Ok(())
}

fn check_limits(limits: &raw::Limits) -> Result<(), Fault> {
    short(&limits.windows, "rate limits")?;
    for window in &limits.windows {
        match &window.name {
            raw::WindowName::Fixed(text) => name(text, "rate limit")?,
            raw::WindowName::Header(text) => header(text)?,
        }
        let named = [&window.limit, &window.remaining, &window.reset];
        named.into_iter().chain(&window.cost).try_for_each(|name| header(name))?;
    }
    short(&limits.throttled, "texts of a refusal")?;
    for text in &limits.throttled {
        line(text, "text of a refusal")?;
        if text.is_empty() || *text != text.to_ascii_lowercase() {
            return refuse(format_args!("{} is no text of a refusal in lower case", Quoted(text)));
        }
    }
    match limits.slow_down.iter().find(|text| !limits.throttled.contains(text)) {
        Some(text) => refuse(format_args!("{} is no text of a refusal", Quoted(text))),
        None => Ok(()),
    }
}

fn is_in_a_header(timestamp: Option<&raw::Timestamp>) -> bool {
    timestamp.is_some_and(|timestamp| !matches!(timestamp.at, raw::TimestampPlace::Body(_)))
}

fn check_signature(signature: &raw::Signature) -> Result<(), Fault> {
    header(&signature.header)?;
    line(&signature.prefix, "prefix of a signature")?;
    if let Some(separator) = &signature.separator {
        line(separator, "separator of signatures")?;
        if separator.is_empty() {
            return refuse("the separator of signatures is empty");
        }
    }
    short(&signature.signed, "signed parts")?;
    let covers_body = signature.signed.contains(&raw::Part::Body);
    let plain = signature.algorithm == raw::Algorithm::Plain;
    if plain == covers_body {
        return refuse("a signature covers the body, and a plain token covers nothing");
    }
    for part in &signature.signed {
        match part {
            raw::Part::Header(name) => header(name)?,
            raw::Part::Literal(text) => line(text, "signed text")?,
            raw::Part::Timestamp if !is_in_a_header(signature.timestamp.as_ref()) => {
                return refuse("a signature covers a time of which it names no header");
            }
            raw::Part::Body | raw::Part::Timestamp => {}
        }
    }
    if let raw::SecretForm::Base64(prefix) = &signature.secret {
        line(prefix, "prefix of a secret")?;
    }
    let signs = |part: &raw::Part| signature.signed.contains(part);
    let time_is_signed = match signature.timestamp.as_ref().map(|timestamp| &timestamp.at) {
        Some(raw::TimestampPlace::Header(name)) => {
            header(name)?;
            signs(&raw::Part::Timestamp) || signs(&raw::Part::Header(name.clone()))
        }
        Some(raw::TimestampPlace::Element(text)) => {
            line(text, "name of a time")?;
            signs(&raw::Part::Timestamp)
        }
        Some(raw::TimestampPlace::Body(text)) => {
            pointer(text)?;
            covers_body
        }
        None => true,
    };
    if !time_is_signed {
        return refuse("the time of a delivery proves nothing, as the signature does not cover it");
    }
    match &signature.handshake {
        Some(raw::Handshake::Delivery(asking)) => {
            pointer(&asking.at)?;
            pointer(&asking.answer)?;
            line(&asking.value, "value of a handshake")?;
        }
        Some(raw::Handshake::Query(name)) => line(name, "parameter of a handshake")?,
        None => {}
    }
    short(&signature.content_types, "media types")?;
    signature.content_types.iter().try_for_each(|text| line(text, "media type"))?;
    short(&signature.pass, "headers of a delivery")?;
    let passed = |name: &String| header(name.strip_suffix('*').unwrap_or(name));
    signature.pass.iter().try_for_each(passed)
}

fn check_feed(feed: &raw::Feed, endpoints: &[raw::Endpoint]) -> Result<(), Fault> {
    name(&feed.name, "feed")?;
    let shown = Quoted(&feed.name);
    if feed.scopes.len() > limits::SCOPE_MAX {
        return refuse(format_args!("the scopes of the feed {shown} are too long"));
    }
    if feed.silence == Some(0) || feed.silence.is_some() && feed.kind == raw::FeedKind::Poll {
        return refuse(format_args!("the feed {shown} cannot be silent for so long"));
    }
    match &feed.signature {
        Some(_) if feed.kind != raw::FeedKind::Webhook => {
            return refuse(format_args!("the feed {shown} gets no deliveries to be signed"));
        }
        None if feed.kind == raw::FeedKind::Webhook => {
            return refuse(format_args!("the feed {shown} does not say how deliveries are signed"));
        }
        Some(signature) => check_signature(signature)?,
        None => {}
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

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
