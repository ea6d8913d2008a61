//! The keys of each section, and what to write in place of one that is in none or in another.

use super::error::plain;

pub(super) const FILE: &[&str] =
    &["instances", "cache", "limits", "mount", "network", "fleet", "relay"];
pub(super) const CACHE: &[&str] = &["nodes", "bytes", "disk"];
pub(super) const LIMITS: &[&str] = &["guest-memory", "call-time", "request-time", "content-size"];
pub(super) const MOUNT: &[&str] = &[
    "backend",
    "allow-other",
    "exec",
    "threads",
    "stale-if-error",
    "watch-events",
    "keeper",
    "webhook-listen",
    "webhook-url",
    "metrics-listen",
];
pub(super) const NETWORK: &[&str] = &["proxy", "no-proxy"];
pub(super) const FLEET: &[&str] =
    &["url", "domain", "credentials-file", "relays", "scopes", "share", "share-key-file"];
pub(super) const RELAY: &[&str] = &["key-file", "credentials-file"];
pub(super) const INSTANCE: &[&str] = &[
    "provider",
    "enabled",
    "endpoints",
    "credential-file",
    "credential-files",
    "client-id",
    "webhook-secret-file",
    "allow",
    "settings",
    "grant",
    "asks",
];
pub(super) const ENDPOINT: &[&str] = &["url", "redirect-hosts", "token-hosts", "ca-file"];

/// Each section under its name in messages.
const SECTIONS: [(&str, &[&str]); 8] = [
    ("[cache]", CACHE),
    ("[limits]", LIMITS),
    ("[mount]", MOUNT),
    ("[network]", NETWORK),
    ("[instances.NAME]", INSTANCE),
    ("[instances.NAME.endpoints.ENDPOINT]", ENDPOINT),
    ("[fleet]", FLEET),
    ("[relay]", RELAY),
];

/// Names that flags, variables and other programs have for what the file calls something else.
const ELSEWHERE: [(&[&str], &str); 9] = [
    (&["provider", "providers", "services"], "write [instances.NAME]"),
    (&["cache-capacity", "capacity", "size"], "write nodes and bytes in [cache]"),
    (&["token-file", "secret-file", "password-file"], "write credential-file in [instances.NAME]"),
    (
        &["base-url", "api-url", "host", "server"],
        "write endpoints.ENDPOINT = \"URL\" in [instances.NAME]",
    ),
    (&["timeout", "request-timeout"], "write request-time in [limits]"),
    (&["memory", "memory-limit"], "write guest-memory in [limits]"),
    (&["component", "wasm"], "write provider in [instances.NAME]"),
    (&["disabled"], "write enabled = false in [instances.NAME]"),
    (&["read-only", "readonly", "ro"], "leave it out: every mount is read-only"),
];

/// What to write in place of a key that `known` does not have, unless that is `nearest`, the one of them that is
/// most like it. `title` is its section in messages, and `table` says whether it holds one.
pub(super) fn in_place_of(
    key: &str,
    title: &str,
    known: &'static [&'static str],
    table: bool,
    nearest: Option<&str>,
) -> Option<String> {
    let key = plain(key);
    if nearest == Some(&*key) {
        return None;
    }
    let has = |keys: &[&str]| keys.contains(&key.as_str());
    if let Some((section, _)) = SECTIONS.iter().find(|(_, keys)| *keys != known && has(keys)) {
        // `[provider.NAME]` is a section, `provider = "NAME"` is a key.
        if !(table && key == "provider") {
            return Some(format!("write it in {section}"));
        }
    }
    if nearest.is_some() {
        return None;
    }
    if let Some((_, instead)) = ELSEWHERE.iter().find(|(names, _)| has(names)) {
        return Some((*instead).to_owned());
    }
    if known == FILE && table && super::valid_name(&key) {
        return Some(format!("for a provider write [instances.{key}]"));
    }
    (known == INSTANCE).then(|| {
        format!(
            "write it in {}.settings] if it is the provider's own; known here: {}",
            title.trim_end_matches(']'),
            known.join(", ")
        )
    })
}
