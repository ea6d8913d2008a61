//! Which requests a manifest may ask for, and in which headers a credential may travel.

use super::{Fault, header, line, raw, refuse, short};
use crate::names::{Quoted, names_a_secret};

/// Headers by which a request is framed, routed or made conditional. Servers behind CGI and its heirs take
/// `a_b` and `a-b` for one name.
pub(super) fn is_hosts(header: &str) -> bool {
    const NAMES: &[&str] = &[
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "cookie2",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "max-forwards",
        "origin",
        "range",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
    ];
    const PREFIXES: &[&str] = &["if-", "proxy-", "sec-", "x-forwarded-", "x-original-"];
    let plain = header.replace('_', "-");
    NAMES.contains(&&*plain) || PREFIXES.iter().any(|prefix| plain.starts_with(prefix))
}

/// The variable that says where an endpoint is holds no secret: of what it holds, the host becomes known to a
/// resolver, and whoever is there is sent the requests.
pub(super) fn check_variable(
    endpoint: &raw::Endpoint,
    credentials: &[raw::Credential],
) -> Result<(), Fault> {
    let Some(variable) = &endpoint.url_environment else { return Ok(()) };
    let own = credentials.iter().flat_map(|c| c.environment.iter().chain(&c.environment_elsewhere));
    if names_a_secret(variable) || own.into_iter().any(|secret| secret == variable) {
        return refuse(format_args!(
            "the environment variable {} is for a secret, and cannot say where an endpoint is",
            Quoted(variable)
        ));
    }
    Ok(())
}

/// What bodies may say, and the session, whose header is neither the host's nor a credential's.
pub(super) fn check_bodies(
    endpoint: &raw::Endpoint,
    credentials: &[raw::Credential],
) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if let Some(bodies) = &endpoint.bodies {
        let member = &bodies.member;
        if !(1..=64).contains(&member.len()) || !member.bytes().all(plain) {
            return refuse(format_args!("{} is no name of a body's member", Quoted(member)));
        }
        short(&bodies.values, "values of a body's member")?;
        bodies.values.iter().try_for_each(|value| line(value, "value of a body's member"))?;
    }
    let Some(session) = &endpoint.session else { return Ok(()) };
    let name = &session.header;
    header(name)?;
    let carries = |credential: &raw::Credential| matches!(&credential.scheme, raw::Scheme::Header(own) if own.replace('_', "-") == *name);
    if !name.ends_with("-session-id") || is_hosts(name) || credentials.iter().any(carries) {
        return refuse(format_args!("no session is named in the header {name}"));
    }
    let bodies = endpoint.bodies.as_ref();
    for said in [&session.begun_by, &session.confirmed_by] {
        if !bodies.is_some_and(|bodies| bodies.values.contains(said)) {
            let said = Quoted(said);
            return refuse(format_args!("a session begins by {said}, which no body may say"));
        }
    }
    Ok(())
}
