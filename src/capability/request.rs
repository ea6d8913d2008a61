//! Checks a request against the manifest, before anything touches the network.
//!
//! **Invariant:** what passes is sent byte for byte: no later step decodes, normalizes or joins the
//! path, so the server sees the path that was compared with the rules.

use super::{Limits, bodies, pattern};
use crate::provider::{Endpoint, Method, Request};
use http::{HeaderMap, HeaderName, HeaderValue};

/// A request that may be sent.
#[derive(Debug)]
pub(super) struct Checked {
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// Which of the endpoint's rules allowed it.
    pub rule: usize,
    pub headers: HeaderMap,
    pub body: Option<bytes::Bytes>,
    /// What the body says where the manifest bounds that.
    pub said: Option<String>,
}

/// What a guest may say beside the path: which form of an answer it wants, and what its own body is. Every
/// other header is the host's. A list of what is refused would have to name what each proxy and framework
/// takes for another path, method or client (`X-Original-URL`, `X-HTTP-Method-Override`, `X-Forwarded-Host`).
/// `git-protocol` is the version of git's own protocol.
const ALLOWED: &[&str] = &["accept", "accept-language", "content-type", "git-protocol", "prefer"];

/// The version of a service's interface: `x-SERVICE-api-version`, `SERVICE-version`.
fn is_version(header: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let hosts = ["sec-", "proxy-", "x-forwarded-"].iter().any(|prefix| header.starts_with(prefix));
    header.ends_with("-version") && header.bytes().all(plain) && !hosts
}

/// `reserved`: the headers that credentials travel in.
pub(super) fn check<'a>(
    request: &Request,
    endpoint: &Endpoint,
    reserved: impl Iterator<Item = &'a str> + Clone,
    limits: &Limits,
) -> Result<Checked, String> {
    let rule = rule(request.method, &request.path, endpoint, limits)?;
    let headers = check_headers(&request.headers, reserved, limits)?;
    if let Some(body) = &request.body {
        if request.method != Method::Post {
            return Err(format!("a {} request has no body", name(request.method)));
        }
        if body.len() > limits.request_body {
            return Err(format!("the request body exceeds {} bytes", limits.request_body));
        }
    }
    let bounded = endpoint.bodies.as_ref().filter(|_| request.method == Method::Post);
    let said = bounded.map(|bounds| {
        let body = request.body.as_deref().unwrap_or_default();
        bodies::said(bounds, &headers, body).map_err(|why| format!("the body of a POST: {why}"))
    });
    Ok(Checked {
        method: request.method,
        target: request.path.clone(),
        rule,
        headers,
        body: request.body.clone(),
        said: said.transpose()?,
    })
}

/// Which of the endpoint's rules allows this path, whose query is free: one that the guest asks for, or one
/// to which a redirect leads.
pub(super) fn rule(
    method: Method,
    target: &str,
    endpoint: &Endpoint,
    limits: &Limits,
) -> Result<usize, String> {
    check_path(target, limits)?;
    let path = target.split('?').next().unwrap_or_default();
    let allows =
        |(own, pattern): &(Method, String)| *own == method && pattern::matches(pattern, path);
    endpoint.allow.iter().position(allows).ok_or_else(|| {
        format!("the manifest allows no {} {path} at endpoint {:?}", name(method), endpoint.name)
    })
}

pub(super) fn name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
    }
}

fn check_path(target: &str, limits: &Limits) -> Result<(), String> {
    let shown = || super::one_line(&target.chars().take(120).collect::<String>());
    if target.len() > limits.path {
        return Err(format!("the path exceeds {} bytes", limits.path));
    }
    if !target.starts_with('/') || target.starts_with("//") {
        return Err(format!("{:?} is not an absolute path of the endpoint", shown()));
    }
    if let Some(bad) = target.bytes().find(|byte| !is_uri_byte(*byte)) {
        return Err(match bad {
            b'#' => format!("the path {:?} has a fragment", shown()),
            _ => format!("the path {:?} must have byte {bad:#04x} percent-encoded", shown()),
        });
    }
    let path = target.split('?').next().unwrap_or_default();
    if !is_well_escaped(target) {
        return Err(format!("the path {:?} has a broken percent escape", shown()));
    }
    let mut segments = path[1..].split('/').peekable();
    let mut first = true;
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(format!("the path {:?} has an empty segment", shown()));
        }
        if first && segment.contains('@') {
            return Err(format!("the path {:?} must have its `@` percent-encoded", shown()));
        }
        first = false;
        check_segment(segment).map_err(|reason| format!("the path {:?} has {reason}", shown()))?;
    }
    Ok(())
}

/// RFC 3986 `pchar`, `/`, `?` and the escape; `[` and `]` as queries of real services have them.
fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%[]".contains(&byte)
}

fn check_segment(segment: &str) -> Result<(), &'static str> {
    for text in decodings(segment) {
        if text.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| {
            // `..;x` is `..` to servers that know path parameters.
            let part = part.split(|byte| *byte == b';').next().unwrap_or_default();
            part == b"." || part == b".."
        }) {
            return Err("a dot segment");
        }
        if text.iter().any(u8::is_ascii_control) {
            return Err("a control character");
        }
        // Servers that are lenient here read `%C0%AF` as a slash.
        if std::str::from_utf8(&text).is_err() {
            return Err("an escape that is not of UTF-8");
        }
    }
    Ok(())
}

/// The text, and what a server makes of it that decodes it once, twice, ...: `%252e%252e` is `..` to one
/// that decodes twice.
fn decodings(segment: &str) -> impl Iterator<Item = Vec<u8>> {
    std::iter::successors(Some(segment.as_bytes().to_vec()), |text| {
        let decoded = decode(text);
        (decoded != *text).then_some(decoded)
    })
}

/// Whether a server could take this segment for several.
pub(super) fn holds_slash(segment: &str) -> bool {
    decodings(segment).any(|text| text.iter().any(|byte| matches!(byte, b'/' | b'\\')))
}

/// What is no escape stands for itself, as it does with servers that do not refuse it.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let escaped = escape(&text[at..]);
        decoded.push(escaped.unwrap_or(text[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    decoded
}

/// The byte that a text beginning with `%XX` begins with.
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    // Two hexadecimal digits fit a byte.
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

fn is_well_escaped(target: &str) -> bool {
    let text = target.as_bytes();
    (0..text.len()).all(|at| text[at] != b'%' || escape(&text[at..]).is_some())
}

fn check_headers<'a>(
    headers: &[(String, String)],
    reserved: impl Iterator<Item = &'a str> + Clone,
    limits: &Limits,
) -> Result<HeaderMap, String> {
    if headers.len() > limits.request_headers {
        return Err(format!("a request has at most {} headers", limits.request_headers));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > limits.request_header_bytes {
        return Err(format!("request headers exceed {} bytes", limits.request_header_bytes));
    }
    let mut checked = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        // A name of ours in a message may be anything the guest wrote, so it is shown quoted; a
        // value never is.
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{:?} is not a header name", super::one_line(name)))?;
        let lower = parsed.as_str();
        // Servers behind CGI and its heirs take `a_b` and `a-b` for one name.
        if reserved.clone().any(|own| own.replace('_', "-") == lower)
            || !(ALLOWED.contains(&lower) || is_version(lower))
        {
            return Err(format!("the header {lower} is the host's to set"));
        }
        if !value.bytes().all(|byte| byte == b'\t' || (0x20..0x7f).contains(&byte)) {
            return Err(format!("the header {lower} has a character that no header may have"));
        }
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("the header {lower} has a character that no header may have"))?;
        checked.append(parsed, value);
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(target: &str) -> Result<(), String> {
        check_path(target, &Limits::default())
    }

    #[test]
    fn a_path_that_could_leave_the_endpoint_is_refused() {
        for bad in [
            "",
            "repos",
            "//evil.example/x",
            "/\\evil.example",
            "\\\\evil.example",
            "@evil.example/",
            "/@evil.example/",
            "https://evil.example/",
            "/a/../b",
            "/a/..",
            "/./a",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/.%2e",
            "/a/%2e",
            "/a/%252e%252e/b",
            "/a/%25252e%25252e/b",
            "/a/x%2f..%2fb",
            "/a/x%2F%2E%2E",
            "/a/..%5cb",
            "/a/..;x/b",
            // An escape that is broken after the first decoding ends nothing.
            "/a/x%252F%252E%252E%252F%25zz",
            "/a/..%c0%afb",
            "/a/%25ff",
            "/a//b",
            "/a#b",
            "/a?b#c",
            "/a b",
            "/a?b c",
            "/a\r\nHost: evil",
            "/a?x=\nb",
            "/a\tb",
            "/a\0b",
            "/a%00b",
            "/a%0d%0aHost:%20evil",
            "/a%7f",
            "/caf\u{e9}",
            "/a%zz",
            "/a%2",
            "/a?x=%",
            "/a?x={y}",
            "/a?x=\"y\"",
            "/a?x=<y>",
        ] {
            assert!(path(bad).is_err(), "{bad:?} passed");
        }
        assert!(path(&format!("/{}", "a".repeat(9000))).is_err());
    }

    #[test]
    fn an_ordinary_path_passes() {
        for good in [
            "/",
            "/repos/acme/api/issues?per_page=100&state=open",
            "/repos/acme/api/contents/a%20b/caf%C3%A9",
            "/repos/acme/api/branches/feature%2Fx",
            "/repos/acme/api/commits/v1...v2",
            "/repos/acme/.github/contents/..a/b..",
            "/images/name@sha256:abc/json",
            "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D&since=1.5",
            "/search?q=a%2Fb%0Ac&x[]=1",
            "/dir/",
            "/a%25b",
            "/graphql",
        ] {
            assert_eq!(path(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_header_that_says_more_than_which_answer_is_wanted_is_refused() {
        let limits = Limits::default();
        let own = || ["authorization", "dd-api-key", "x_key", "x_key-version"].into_iter();
        for bad in [
            ("Authorization", "x"),
            ("authorization", "x"),
            ("HOST", "evil.example"),
            ("Cookie", "a=b"),
            ("Connection", "close"),
            ("Content-Length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Proxy-Authorization", "x"),
            ("proxy-connection", "x"),
            ("TE", "trailers"),
            ("Trailer", "x"),
            ("Upgrade", "h2c"),
            ("Expect", "100-continue"),
            ("If-None-Match", "*"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("Accept-Encoding", "gzip"),
            ("X_Forwarded_For", "127.0.0.1"),
            ("DD-API-KEY", "x"),
            ("dd_api-key", "x"),
            ("X-Key", "x"),
            ("X-Key-Version", "x"),
            ("X-Original-URL", "/admin"),
            ("X-Rewrite-URL", "/admin"),
            ("X-Original-Host", "evil.example"),
            ("X-Host", "evil.example"),
            ("X-Forwarded-Version", "1"),
            ("Sec-WebSocket-Version", "13"),
            ("X_Api_Version", "1"),
            ("x-a_b-version", "1"),
            ("X-Amz-Target", "Delete"),
            ("True-Client-IP", "127.0.0.1"),
            ("Base-Url", "/admin"),
            ("Destination", "/admin"),
            ("Range", "bytes=0-1"),
            ("User-Agent", "x"),
            ("Accept", "a\r\nAuthorization: b"),
            ("Accept", "a\nb"),
            ("Accept", "a\0"),
            ("Accept", "caf\u{e9}"),
            ("X Bad", "a"),
            ("X-Bad:", "a"),
            ("X-Bad\r\nHost", "a"),
            (":authority", "evil"),
            ("", "a"),
        ] {
            let headers = vec![(bad.0.to_owned(), bad.1.to_owned())];
            assert!(check_headers(&headers, own(), &limits).is_err(), "{bad:?} passed");
        }
        let many = vec![("accept".to_owned(), "b".to_owned()); 65];
        assert!(check_headers(&many, own(), &limits).is_err());
        assert!(check_headers(&many[..64], own(), &limits).is_ok());
        let large = vec![("accept".to_owned(), "b".repeat(16 << 10))];
        assert!(check_headers(&large, own(), &limits).is_err());
        for good in [
            ("Accept", "application/vnd.github+json"),
            ("Accept-Language", "en"),
            ("Content-Type", "application/json"),
            ("Git-Protocol", "version=2"),
            ("Prefer", "return=minimal"),
            ("X-GitHub-Api-Version", "2022-11-28"),
            ("Notion-Version", "2022-06-28"),
        ] {
            let headers = [(good.0.to_owned(), good.1.to_owned())];
            assert!(check_headers(&headers, own(), &limits).is_ok(), "{good:?}");
        }
    }
}
