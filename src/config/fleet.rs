//! `[fleet]` and `[relay]`.

use crate::events::bus::keys::PublicKey;
use crate::events::bus::names::Pattern;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The bus on which a fleet's relays tell its mounts what has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// `tls://HOST[:PORT]`, or `nats://` to loopback.
    pub url: String,
    /// The name that the bus's JetStream has for those who reach it through a leaf node.
    pub domain: Option<String>,
    /// The file that holds the mount's `USER:PASSWORD` on the bus.
    pub credentials_file: Option<PathBuf>,
    /// Of the relays that are believed. Never empty.
    pub relays: Vec<PublicKey>,
    /// By instance, of which scopes the relays tell. Never empty.
    pub scopes: BTreeMap<String, Vec<Pattern>>,
    /// With whom mounts share the answers of services. Absent where they do not.
    pub share: Option<Share>,
}

/// Which mounts share answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// Those with the same credential for the service.
    Credential,
    /// Those with the key of this file.
    KeyFile(PathBuf),
}

/// What this machine is a relay with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// The file that holds the key with which it signs.
    pub key_file: PathBuf,
    /// The file that holds the relay's `USER:PASSWORD` on the bus.
    pub credentials_file: Option<PathBuf>,
}

/// What a bus may be reached by.
///
/// # Errors
/// What is wrong with it, as the end of a sentence. It is not repeated.
pub(super) fn bus_url(url: &str) -> Result<(), String> {
    let wrong = || Err("write tls://HOST[:PORT], or nats://127.0.0.1:PORT on this machine".into());
    let Ok(parsed) = url::Url::parse(url) else { return wrong() };
    let is_plain = parsed.query().is_none()
        && parsed.fragment().is_none()
        && matches!(parsed.path(), "" | "/");
    let is_loopback = match parsed.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    match parsed.scheme() {
        "tls" if parsed.host().is_some() && is_plain => Ok(()),
        "nats" if is_loopback && is_plain => Ok(()),
        _ => wrong(),
    }
}
