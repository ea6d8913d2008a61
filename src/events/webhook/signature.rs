//! Checks a delivery against what its manifest says of signatures. Whatever holds a secret is compared in
//! constant time.

use crate::provider::{
    Algorithm, Encoding, Part, SecretForm, Signature, TimestampPlace, TimestampUnit,
};
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Tells deliveries apart by what is signed of them: the first 16 bytes of its SHA-256.
pub(super) type Mark = [u8; 16];

/// Signatures that are tried of one header.
const TRIED: usize = 16;

/// What a delivery's headers claim.
pub(super) struct Claim {
    /// The signatures, at least one; with `plain`, the token.
    offered: Vec<Vec<u8>>,
    /// The signed bytes in their order. `None` is the body.
    signed: Vec<Option<Vec<u8>>>,
    timestamp: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A header that the signature needs is missing.
    Missing,
    /// No signature of this form is in the header.
    Form,
}

impl Claim {
    pub fn read(signature: &Signature, headers: &HeaderMap) -> Result<Claim, Flaw> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let header = text(&signature.header).ok_or(Flaw::Missing)?;
        let elements: Vec<&str> = match &signature.separator {
            Some(separator) => header.split(separator.as_str()).map(str::trim).collect(),
            None => vec![header.trim()],
        };
        let element = |name: &str| {
            let value =
                |element: &&str| element.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
            elements.iter().find_map(value)
        };
        let timestamp = match signature.timestamp.as_ref().map(|timestamp| &timestamp.at) {
            Some(TimestampPlace::Header(name)) => {
                Some(text(name).map(str::to_owned).ok_or(Flaw::Missing)?)
            }
            Some(TimestampPlace::Element(name)) => Some(element(name).ok_or(Flaw::Missing)?),
            Some(TimestampPlace::Body(_)) | None => None,
        };
        let part = |part: &Part| match part {
            Part::Body => Ok(None),
            Part::Literal(text) => Ok(Some(text.clone().into_bytes())),
            Part::Header(name) => text(name).map(|value| Some(value.into())).ok_or(Flaw::Missing),
            Part::Timestamp => timestamp.clone().map(|at| Some(at.into())).ok_or(Flaw::Missing),
        };
        let signed = signature.signed.iter().map(part).collect::<Result<_, Flaw>>()?;
        let offered: Vec<_> = elements
            .iter()
            .filter_map(|element| element.strip_prefix(signature.prefix.as_str()))
            .filter_map(|text| decoded(signature, text))
            .take(TRIED)
            .collect();
        if offered.is_empty() { Err(Flaw::Form) } else { Ok(Claim { offered, signed, timestamp }) }
    }

    /// Whether one of the signatures is the secret's.
    ///
    /// # Errors
    /// The secret is not of the form that the manifest wants. One line, which does not hold it.
    pub fn fits(&self, signature: &Signature, secret: &str, body: &[u8]) -> Result<bool, String> {
        let key = key(&signature.secret, secret)?;
        // HMAC takes keys of any length, so this cannot fail.
        let hmac = || Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string());
        let signed = self.signed.iter().map(|part| part.as_deref().unwrap_or(body));
        match signature.algorithm {
            Algorithm::HmacSha256 => {
                let mut mac = hmac()?;
                signed.for_each(|bytes| mac.update(bytes));
                Ok(self.offered.iter().any(|offered| mac.clone().verify_slice(offered).is_ok()))
            }
            Algorithm::Ed25519 => {
                let message: Vec<u8> = signed.flatten().copied().collect();
                let key = UnparsedPublicKey::new(&ED25519, &key[..]);
                Ok(self.offered.iter().any(|offered| key.verify(&message, offered).is_ok()))
            }
            // Codes of a fixed length stand for the token: neither its bytes nor its length show in the time.
            Algorithm::Plain => {
                let code = |bytes: &[u8]| hmac().map(|mac| mac.chain_update(bytes));
                let wanted = code(&key)?;
                let fits = |offered: &Vec<u8>| {
                    let code = code(offered)?.finalize().into_bytes();
                    Ok::<_, String>(wanted.clone().verify_slice(&code).is_ok())
                };
                self.offered.iter().map(fits).try_fold(false, |any, fits| Ok(any | fits?))
            }
        }
    }

    pub fn mark(&self, body: &[u8]) -> Mark {
        let mut hash = Sha256::new();
        self.signed.iter().flatten().for_each(|bytes| hash.update(bytes));
        hash.update(body);
        let mut mark = Mark::default();
        mark.copy_from_slice(&hash.finalize()[..16]);
        mark
    }

    /// When the delivery says that it was made.
    pub fn made(&self, signature: &Signature, body: &[u8]) -> Option<SystemTime> {
        let timestamp = signature.timestamp.as_ref()?;
        let text = match (&self.timestamp, &timestamp.at) {
            (Some(text), _) => text.clone(),
            (None, TimestampPlace::Body(pointer)) => {
                let body: serde_json::Value = serde_json::from_slice(body).ok()?;
                let found = body.pointer(pointer)?;
                found.as_str().map_or_else(|| found.to_string(), str::to_owned)
            }
            (None, _) => return None,
        };
        let number: u64 = text.split('.').next()?.parse().ok()?;
        let since = match timestamp.unit {
            TimestampUnit::Seconds => Duration::from_secs(number),
            TimestampUnit::Milliseconds => Duration::from_millis(number),
        };
        UNIX_EPOCH.checked_add(since)
    }
}

fn decoded(signature: &Signature, text: &str) -> Option<Vec<u8>> {
    match (signature.algorithm, signature.encoding) {
        (Algorithm::Plain, _) => Some(text.into()),
        (_, Encoding::Hex) => hex(text),
        (_, Encoding::Base64) => STANDARD.decode(text).ok(),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| {
        let [high, low] = pair else { return None };
        let digit = |byte: u8| char::from(byte).to_digit(16);
        // Two hexadecimal digits fit a byte.
        Some((digit(*high)? * 16 + digit(*low)?) as u8)
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

fn key(form: &SecretForm, secret: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let key = match form {
        SecretForm::Text => Some(secret.as_bytes().to_vec()),
        SecretForm::Hex => hex(secret),
        SecretForm::Base64(prefix) => {
            STANDARD.decode(secret.strip_prefix(prefix.as_str()).unwrap_or(secret)).ok()
        }
    };
    let key = key.filter(|key| !key.is_empty()).map(Zeroizing::new);
    key.ok_or_else(|| match form {
        SecretForm::Text => "the secret is empty".to_owned(),
        SecretForm::Hex => "the secret is not hexadecimal".to_owned(),
        SecretForm::Base64(prefix) => format!("the secret is not base64 after \"{prefix}\""),
    })
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
