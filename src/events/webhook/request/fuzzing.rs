//! See `crate::fuzzing`.

use super::*;
use crate::provider::{
    Algorithm, Encoding, Part, SecretForm, Timestamp, TimestampPlace, TimestampUnit,
};
use axum::http::{HeaderName, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::UNIX_EPOCH;

const SECRET: &str = "a secret that no seed holds";

/// A scheme by its number: five that services in use have.
fn scheme(number: u8) -> Signature {
    let literal = |text: &str| Part::Literal(text.to_owned());
    let at = |at| Some(Timestamp { at, unit: TimestampUnit::Seconds });
    let plain = Signature {
        header: "x-signature".into(),
        algorithm: Algorithm::HmacSha256,
        encoding: Encoding::Hex,
        prefix: "sha256=".into(),
        separator: None,
        signed: vec![Part::Body],
        secret: SecretForm::Text,
        timestamp: at(TimestampPlace::Body("/made".into())),
        handshake: Some(Handshake::Query("challenge".into())),
        content_types: Vec::new(),
        pass: vec!["x-*".into()],
    };
    match number % 5 {
        0 => plain,
        1 => Signature {
            signed: vec![literal("v0:"), Part::Timestamp, literal(":"), Part::Body],
            timestamp: at(TimestampPlace::Header("x-time".into())),
            handshake: Some(Handshake::Delivery {
                at: "/type".into(),
                value: "url_verification".into(),
                answer: "/challenge".into(),
            }),
            ..plain
        },
        2 => Signature {
            prefix: "v1=".into(),
            separator: Some(",".into()),
            signed: vec![Part::Timestamp, literal("."), Part::Body],
            timestamp: at(TimestampPlace::Element("t".into())),
            ..plain
        },
        3 => Signature {
            prefix: "v1,".into(),
            separator: Some(" ".into()),
            encoding: Encoding::Base64,
            signed: vec![
                Part::Header("x-id".into()),
                literal("."),
                Part::Timestamp,
                literal("."),
                Part::Body,
            ],
            timestamp: at(TimestampPlace::Header("x-time".into())),
            ..plain
        },
        _ => Signature {
            algorithm: Algorithm::Plain,
            prefix: String::new(),
            signed: Vec::new(),
            timestamp: None,
            ..plain
        },
    }
}

/// What the signature's header holds where a service signs these bytes.
fn signed(signature: &Signature, headers: &HeaderMap, time: &str, body: &[u8]) -> String {
    let Signature { prefix, separator, .. } = signature;
    if signature.algorithm == Algorithm::Plain {
        return SECRET.into();
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("a key of any length");
    for part in &signature.signed {
        match part {
            Part::Body => mac.update(body),
            Part::Literal(text) => mac.update(text.as_bytes()),
            Part::Timestamp => mac.update(time.as_bytes()),
            Part::Header(name) => mac.update(headers[name].as_bytes()),
        }
    }
    let code = mac.finalize().into_bytes();
    let code = match signature.encoding {
        Encoding::Hex => code.iter().map(|byte| format!("{byte:02x}")).collect(),
        Encoding::Base64 => STANDARD.encode(code),
    };
    match (separator, signature.timestamp.as_ref().map(|timestamp| &timestamp.at)) {
        (Some(separator), Some(TimestampPlace::Element(name))) => {
            format!("{name}={time}{separator}{prefix}{code}")
        }
        _ => format!("{prefix}{code}"),
    }
}

/// The number of a scheme, `NAME: VALUE` lines, an empty line, and the body.
pub fn delivery(input: &[u8]) {
    let Some((number, rest)) = input.split_first() else { return };
    let end = rest.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + 2..]));
    let signature = scheme(*number);
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(20) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let _ = is_expected(&signature, &headers);
    let passed = passed_on(&headers, &signature);
    assert!(passed.iter().all(|(name, _)| name.starts_with("x-") && *name != signature.header));
    let challenge = asked_by_delivery(&signature, body);
    assert!(challenge.is_none_or(|text| text.len() <= CHALLENGE));
    if let Ok(uri) = String::from_utf8_lossy(head).trim().parse::<axum::http::Uri>() {
        let (parts, ()) = axum::http::Request::get(uri).body(()).expect("a request").into_parts();
        let challenge = asked_by_query(&signature, &parts);
        assert!(challenge.is_none_or(|text| text.len() <= CHALLENGE));
    }

    // Who does not know the secret does not get in.
    if let Ok(claim) = Claim::read(&signature, &headers) {
        assert_eq!(claim.fits(&signature, SECRET, body), Ok(false));
        if let Some(made) = claim.made(&signature, body) {
            assert!(made >= UNIX_EPOCH);
        }
    }
    // Who does gets in with what was signed, and with nothing else.
    let time = body.len().to_string();
    headers.insert("x-id", HeaderValue::from_static("7"));
    headers.insert("x-time", HeaderValue::from_str(&time).expect("digits"));
    let value = signed(&signature, &headers, &time, body);
    headers.insert("x-signature", HeaderValue::from_str(&value).expect("ASCII"));
    let Ok(claim) = Claim::read(&signature, &headers) else { panic!("{value} is not read") };
    assert_eq!(claim.fits(&signature, SECRET, body), Ok(true), "{value}");
    let other = [body, b"."].concat();
    let covers_body = signature.algorithm != Algorithm::Plain;
    assert_eq!(claim.fits(&signature, SECRET, &other), Ok(!covers_body));
    assert_ne!(claim.mark(body), claim.mark(&other));
}
