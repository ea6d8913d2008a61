//! AWS Signature Version 4: a request is signed with a key that is made of the secret, the day, the region and
//! the service. See "Signature Version 4 for API requests" in the IAM User Guide, and for S3 "Authenticating
//! Requests: Using the Authorization Header" in its API reference.
//!
//! Signed are the method, the path, the query, the host, the time, the session token and the body; no other header.

use super::Secret;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::time::SystemTime;
use url::Url;
use zeroize::Zeroizing;

/// Where neither a setting nor the host says another one. Services that are not AWS's own take it.
const REGION: &str = "us-east-1";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";
const CONTENT: &str = "x-amz-content-sha256";

/// The parts of a secret `KEY-ID:SECRET` or `KEY-ID:SECRET:SESSION-TOKEN`, and the service that it is for.
pub(super) struct Signer {
    service: String,
    key_id: String,
    secret: Secret,
    token: Option<Secret>,
}

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    pub method: &'a http::Method,
    pub url: &'a Url,
    pub body: &'a [u8],
    pub now: SystemTime,
    /// The user's own.
    pub region: Option<&'a str>,
}

impl Signer {
    /// `None` where the secret has another form.
    pub fn new(service: &str, secret: &str) -> Option<Signer> {
        let mut parts = secret.splitn(3, ':').map(str::trim);
        let mut part = || parts.next().filter(|part| !part.is_empty() && !part.contains(' '));
        let (key_id, secret) = (part()?.to_owned(), Secret::new(part()?.to_owned()));
        let token = part().map(|token| Secret::new(token.to_owned()));
        Some(Signer { service: service.to_owned(), key_id, secret, token })
    }

    /// The parts that nobody else may see. The key's id is none: services repeat it where they refuse a key.
    pub fn hidden(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.secret).chain(&self.token)
    }

    /// Adds the headers by which the service knows whose request it is.
    pub fn sign(&self, request: Signed<'_>, headers: &mut HeaderMap) {
        let time = Timestamp::try_from(request.now).unwrap_or_default().to_zoned(TimeZone::UTC);
        let time = time.strftime("%Y%m%dT%H%M%SZ").to_string();
        let host = host(request.url);
        let body = hex(&Sha256::digest(request.body));
        // In the order of their names.
        let mut signed = vec![("host", host.as_str())];
        if self.service == "s3" {
            signed.push((CONTENT, &body));
        }
        signed.push((DATE, &time));
        if let Some(token) = &self.token {
            signed.push((TOKEN, token.expose()));
        }
        let value = Zeroizing::new(self.authorization(&request, &time, &body, &signed));
        let mut put = |name: &'static str, text: &str, sensitive: bool| {
            // A time, a hash, or what was checked to be one line of ASCII.
            let Ok(mut value) = HeaderValue::from_str(text) else { return };
            value.set_sensitive(sensitive);
            headers.insert(HeaderName::from_static(name), value);
        };
        put("authorization", &value, true);
        put(DATE, &time, false);
        if self.service == "s3" {
            put(CONTENT, &body, false);
        }
        if let Some(token) = &self.token {
            put(TOKEN, token.expose(), true);
        }
    }

    /// The value of the header. `signed`: names in lower case, in order, with their values.
    fn authorization(
        &self,
        request: &Signed<'_>,
        time: &str,
        body: &str,
        signed: &[(&str, &str)],
    ) -> String {
        let names: Vec<_> = signed.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut canonical = Zeroizing::new(format!(
            "{}\n{}\n{}\n",
            request.method,
            self.path(request.url.path()),
            query(request.url.query().unwrap_or_default()),
        ));
        for (name, value) in signed {
            let _ = writeln!(canonical, "{name}:{value}");
        }
        let _ = write!(canonical, "\n{names}\n{body}");

        let day = time.split('T').next().unwrap_or_default();
        let region = request.region.or_else(|| region_of(request.url)).unwrap_or(REGION);
        let scope = format!("{day}/{region}/{}/aws4_request", self.service);
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        let first = Zeroizing::new(format!("AWS4{}", self.secret.expose()));
        let key = [day, region, &self.service, "aws4_request"]
            .iter()
            .fold(Zeroizing::new(first.as_bytes().to_vec()), |key, part| {
                Zeroizing::new(mac(&key, part))
            });
        let signature = hex(&mac(&key, &format!("{ALGORITHM}\n{time}\n{scope}\n{hash}")));
        let key_id = &self.key_id;
        format!(
            "{ALGORITHM} Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
    }

    /// S3 signs the path with each character escaped that may be, other services as it is sent with these escapes
    /// escaped once more. A request's path has no dot segments and no empty ones.
    fn path(&self, path: &str) -> String {
        match &*self.service {
            "s3" => escape(&unescape(path), b"/"),
            _ => escape(path.as_bytes(), b"/"),
        }
    }
}

/// As the client sends it.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The parameters in order, each escaped in full.
fn query(query: &str) -> String {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (escape(&unescape(name), b""), escape(&unescape(value), b""))
        })
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut out) = (text.as_bytes(), Vec::with_capacity(text.len()));
    while let [byte, rest @ ..] = bytes {
        let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
        // Two hexadecimal digits fit a byte.
        let escaped = digit(0).zip(digit(1)).filter(|_| *byte == b'%');
        out.push(escaped.map_or(*byte, |(high, low)| (high * 16 + low) as u8));
        bytes = if escaped.is_some() { &rest[2..] } else { rest };
    }
    out
}

fn escape(bytes: &[u8], keep: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || keep.contains(byte) {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // INVARIANT: HMAC takes a key of any length.
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The labels of `SERVICE.REGION.DOMAIN.TLD`, where a region's name has a hyphen.
fn labels(url: &Url) -> Option<[&str; 4]> {
    let mut labels = url.domain()?.split('.');
    let four = [labels.next()?, labels.next()?, labels.next()?, labels.next()?];
    (labels.next().is_none() && four[1].contains('-')).then_some(four)
}

fn region_of(url: &Url) -> Option<&str> {
    labels(url).map(|[_, region, _, _]| region)
}

/// Whether both are one service in regions of its own: `https://SERVICE.REGION.DOMAIN.TLD`.
pub fn is_same_service(one: &Url, other: &Url) -> bool {
    let alike = |url: &Url| {
        let [service, _, domain, top] = labels(url)?;
        Some((url.scheme().to_owned(), url.port(), [service, domain, top].map(str::to_owned)))
    };
    one.scheme() == "https" && alike(one).is_some() && alike(one) == alike(other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::header;

    const SECRET: &str = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const SUITE: &str = "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// What is added to a GET without a body.
    fn signed(service: &str, secret: &str, at: &str, url: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let request = Signed {
            method: &http::Method::GET,
            url: &url.parse().unwrap(),
            body: b"",
            now: at.parse::<Timestamp>().unwrap().into(),
            region: None,
        };
        Signer::new(service, secret).unwrap().sign(request, &mut headers);
        headers
    }

    /// From "Examples: Signature Calculations" of the S3 API reference.
    #[test]
    fn the_published_examples_of_s3_are_signed_as_published() {
        for (query, signature) in [
            ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            (
                "prefix=J&max-keys=2",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let url = format!("https://examplebucket.s3.amazonaws.com/?{query}");
            let headers = signed("s3", SECRET, "2013-05-24T00:00:00Z", &url);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
            );
            assert_eq!(headers[header::AUTHORIZATION], expected);
            assert!(headers[header::AUTHORIZATION].is_sensitive());
        }
    }

    /// `get-vanilla` and `get-vanilla-query-order-key-case` of the signature's test suite.
    #[test]
    fn the_published_test_suite_is_signed_as_published() {
        for (query, signature) in [
            ("", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                "?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            let url = format!("https://example.amazonaws.com/{query}");
            let headers = signed("service", SUITE, "2015-08-30T12:36:00Z", &url);
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            );
            assert_eq!(headers[header::AUTHORIZATION], expected);
            assert!(!headers.contains_key(CONTENT));
        }
    }

    #[test]
    fn a_secret_of_another_form_signs_nothing() {
        for bad in ["", "key", "key:", ":secret", "key: ", "a b:c"] {
            assert!(Signer::new("s3", bad).is_none(), "{bad:?}");
        }
        let hidden = |secret| Signer::new("s3", secret).unwrap().hidden().count();
        assert_eq!((hidden("key:secret"), hidden("key:secret:token")), (1, 2));
    }

    #[test]
    fn a_region_is_found_in_a_host_that_names_one() {
        let region = |url: &str| region_of(&url.parse().unwrap()).map(str::to_owned);
        assert_eq!(region("https://s3.eu-west-1.amazonaws.com").as_deref(), Some("eu-west-1"));
        for other in [
            "https://s3.amazonaws.com",
            "https://account.r2.cloudflarestorage.com",
            "https://bucket.s3.eu-west-1.amazonaws.com",
            "http://127.0.0.1:9000",
        ] {
            assert_eq!(region(other), None, "{other}");
        }
    }

    #[test]
    fn a_service_is_the_same_in_another_region_and_nowhere_else() {
        let own: Url = "https://s3.us-east-1.amazonaws.com".parse().unwrap();
        let same = |url: &str| is_same_service(&own, &url.parse().unwrap());
        assert!(same("https://s3.eu-west-1.amazonaws.com"));
        for other in [
            "http://s3.eu-west-1.amazonaws.com",
            "https://s3.eu-west-1.amazonaws.com:8443",
            "https://sqs.eu-west-1.amazonaws.com",
            "https://s3.eu-west-1.amazonaws.com.evil.example",
            "https://s3.eu-west-1.evil.com",
            "https://s3.eu-west-1.amazonaws.org",
            "https://s3.amazonaws.com",
            "https://s3.evil.eu-west-1.amazonaws.com",
            "https://127.0.0.1",
        ] {
            assert!(!same(other), "{other}");
        }
    }
}
