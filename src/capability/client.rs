//! The HTTP client of one endpoint, and its errors in our words.

use super::Limits;
use super::address::{Guard, Refused};
use super::egress::Via;
use super::place::Base;
use crate::provider::Cause;
use crate::{paths, trust};
use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::time::Duration;
use url::Url;

pub(super) const USER_AGENT: &str = concat!("omnifs/", env!("CARGO_PKG_VERSION"));

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Fault {
    pub cause: Cause,
    pub detail: String,
    pub again: Again,
}

/// Whether the same request may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Nothing was sent: any request.
    Any,
    /// The server may have acted on it: idempotent requests.
    Idempotent,
    Never,
}

impl Fault {
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Fault { cause, detail: detail.into(), again: Again::Never }
    }
}

pub(super) fn build(
    base: &Base,
    guard: Guard,
    ca_file: Option<&Path>,
    via: Option<&Via>,
    limits: &Limits,
) -> Result<reqwest::Client, String> {
    let mut guard = guard;
    guard.configured.extend(via.map(|via| via.host.clone()));
    let encrypted = matches!(base, Base::Web(url) if url.scheme() == "https");
    match prepared(base, guard.clone(), ca_file, via, limits)?.build() {
        Ok(client) => Ok(client),
        // A bare container has no authorities, and an engine's socket or a double on loopback needs none. Where a
        // redirect leads to TLS from there, nothing is trusted.
        Err(_) if !encrypted && ca_file.is_none() => {
            let builder = prepared(base, guard, ca_file, via, limits)?.tls_certs_only([]);
            builder.build().map_err(|error| format!("cannot set up TLS: {}", root(&error)))
        }
        Err(error) => Err(format!("cannot set up TLS: {}", root(&error))),
    }
}

fn prepared(
    base: &Base,
    guard: Guard,
    ca_file: Option<&Path>,
    via: Option<&Via>,
    limits: &Limits,
) -> Result<reqwest::ClientBuilder, String> {
    // Fails where the process has one already, which is then used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .dns_resolver(guard)
        .connect_timeout(limits.connect)
        // Shorter than the idle time of common servers and balancers, so that a reused connection
        // is rarely one that the server has just given up.
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(32)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .tcp_keepalive_interval(Duration::from_secs(10))
        .tcp_keepalive_retries(3)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .http2_adaptive_window(true)
        .http2_max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    if let Some(via) = via {
        builder = builder.proxy(via.proxy.clone());
    }
    if let Some(path) = ca_file {
        let shown = path.display();
        let failed = |error: io::Error| format!("cannot read ca-file {shown}: {error}");
        // Who can write it can stand between this machine and the service.
        trust::check(&std::path::absolute(path).map_err(failed)?)
            .map_err(|distrust| format!("ca-file {shown}: {distrust} ({})", distrust.hint()))?;
        let pem = paths::read_regular(path).map_err(failed)?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|_| format!("ca-file {shown} holds no PEM certificates"))?;
        builder = builder.tls_certs_merge(roots);
    }
    local(builder, base)
}

#[cfg(unix)]
fn local(builder: reqwest::ClientBuilder, base: &Base) -> Result<reqwest::ClientBuilder, String> {
    match base {
        Base::Web(_) => Ok(builder),
        Base::Unix(path) => Ok(builder.unix_socket(path.as_path())),
        Base::Pipe(_) => Err("named pipes exist on Windows only; use unix:///PATH".to_owned()),
        Base::Sqlite(_) | Base::Postgres(_) => Err("a database is not asked over HTTP".to_owned()),
    }
}

#[cfg(windows)]
fn local(builder: reqwest::ClientBuilder, base: &Base) -> Result<reqwest::ClientBuilder, String> {
    match base {
        Base::Web(_) => Ok(builder),
        Base::Pipe(path) => Ok(builder.windows_named_pipe(path.as_str())),
        Base::Sqlite(_) | Base::Postgres(_) => Err("a database is not asked over HTTP".to_owned()),
        Base::Unix(_) => {
            Err("unix sockets are not for Windows; use npipe:////./pipe/NAME".to_owned())
        }
    }
}

/// `https://host[:port]`, without path and query.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The error at the bottom of a chain: the one that says what happened.
fn root(error: &(dyn StdError + 'static)) -> String {
    let mut bottom = error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    match bottom.downcast_ref::<reqwest::Error>() {
        // Its text ends with the whole URL.
        Some(error) if error.url().is_some() => "the request could not be sent".to_owned(),
        _ => bottom.to_string(),
    }
}

fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // An io::Error hides what it wraps from `source` of the wrapper itself.
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = find::<T>(inner)
        {
            return Some(found);
        }
        current = error.source();
    }
    None
}

/// Whether a body came whole and could not be unpacked, as a part of one that is compressed.
pub(super) fn is_undecodable(error: &reqwest::Error) -> bool {
    error.is_decode() && find::<hyper::Error>(error).is_none()
}

/// Says what happened and what to do. `service` is the provider's name; the URL's path and query
/// stay out. `proxy`: the one that was used.
pub(super) fn fault(
    error: &reqwest::Error,
    service: &str,
    base: &Base,
    proxy: Option<&str>,
    url: &Url,
) -> Fault {
    let place = match (base, proxy.filter(|_| url.scheme() == "https")) {
        (Base::Web(_), Some(proxy)) => format!("{} through the proxy {proxy}", origin(url)),
        (Base::Web(_), None) => origin(url),
        (Base::Unix(path), _) => path.display().to_string(),
        (Base::Pipe(path), _) => path.clone(),
        (base @ (Base::Sqlite(_) | Base::Postgres(_)), _) => base.to_string(),
    };
    let local = !matches!(base, Base::Web(_));
    let kind = find::<io::Error>(error).map(io::Error::kind);
    if let Some(refused) = find::<Refused>(error) {
        return Fault::new(Cause::Denied, refused.to_string());
    }
    if error.is_connect() {
        return connect_fault(error, service, &place, local, kind);
    }
    if let Some(hyper) = find::<hyper::Error>(error) {
        if hyper.is_parse_too_large() {
            return Fault::new(
                Cause::TooLarge,
                format!("{place} answered with more headers than the limit allows"),
            );
        }
        if hyper.is_parse() {
            return Fault::new(
                Cause::Invalid,
                format!("{place} answered something that is not HTTP"),
            );
        }
    }
    if error.is_timeout() {
        return Fault::new(Cause::TimedOut, format!("{place} did not answer in time"));
    }
    let cut = find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message);
    let reset = matches!(
        kind,
        Some(
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    );
    if error.is_decode() && !cut && !reset {
        return Fault::new(
            Cause::Invalid,
            format!("{place} answered a body that cannot be decompressed"),
        );
    }
    let what = match (error.is_body() || error.is_decode(), cut || reset) {
        (true, _) => "broke off in the middle of its answer".to_owned(),
        (false, true) => "closed the connection before it answered".to_owned(),
        (false, false) => format!("could not be asked: {}", root(error)),
    };
    Fault { cause: Cause::Unavailable, detail: format!("{place} {what}"), again: Again::Idempotent }
}

fn connect_fault(
    error: &reqwest::Error,
    service: &str,
    place: &str,
    local: bool,
    kind: Option<io::ErrorKind>,
) -> Fault {
    let unavailable = |detail: String, again| Fault { cause: Cause::Unavailable, detail, again };
    let again = if local { Again::Never } else { Again::Any };
    if error.is_timeout() {
        return Fault::new(
            Cause::TimedOut,
            format!("cannot reach {service} at {place}: no connection within the time limit"),
        );
    }
    if error.is_dns() {
        let host = place.split("://").last().unwrap_or(place);
        return unavailable(
            format!("cannot resolve {host}: {}; is this machine online?", root(error)),
            again,
        );
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return Fault::new(
            Cause::Unavailable,
            format!(
                "no trusted connection to {place}: {tls}; for a server with its own certificate \
                 authority set ca-file for this endpoint"
            ),
        );
    }
    let advice = match kind {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused; is it running?",
        Some(io::ErrorKind::NotFound) if local => "no such socket; is it running?",
        Some(io::ErrorKind::PermissionDenied) if local => {
            "permission denied; is this user in the group of the socket?"
        }
        _ => {
            return unavailable(
                format!("cannot reach {service} at {place}: {}", root(error)),
                again,
            );
        }
    };
    unavailable(format!("cannot reach {service} at {place}: {advice}"), again)
}
