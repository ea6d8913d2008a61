//! Which subject of the bus is about which scope.
//!
//! A scope's key is `PROVIDER@MAJOR.SITE.SCOPE`: mounts of one service at one address, with a provider of one
//! interface, share it. What is not of the form of a token is escaped, so that no two scopes have one key.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The provider and the place that the scopes of one instance belong to: the first part of each key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place(String);

impl Place {
    /// `version` is the component's own, `origin` where the instance's first endpoint leads.
    pub fn new(provider: &str, version: &str, origin: &str) -> Place {
        let major = version.split('.').next().unwrap_or_default();
        let digest = Sha256::digest(origin.as_bytes());
        let site = digest[..8].iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Place(format!("{}@{}.{site}", escaped(provider), escaped(major)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn key(&self, scope: &str) -> Key {
        Key(format!("{}.{}", self.0, tokens(scope)))
    }

    /// What a pattern of scopes is as part of a subject.
    pub fn pattern(&self, pattern: &Pattern) -> String {
        format!("{}.{}", self.0, pattern.tokens)
    }
}

/// What the subjects of one scope share, without the word in front.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the last message is kept.
    pub fn scope(&self) -> String {
        format!("omnifs.scope.{}", self.0)
    }

    /// Where each message is told as it is kept.
    pub fn now(&self) -> String {
        format!("omnifs.now.{}", self.0)
    }

    pub fn beat(&self) -> String {
        format!("omnifs.beat.{}", self.0)
    }

    pub fn want(&self) -> String {
        format!("omnifs.want.{}", self.0)
    }
}

/// Scopes of a provider: a scope in which `*` stands for any one part, and `>` at the end for all that is left.
/// A part ends after a `:` and before a `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    written: String,
    tokens: String,
}

impl Pattern {
    /// # Errors
    /// What is wrong with it, as the end of a sentence about it.
    pub fn new(written: &str) -> Result<Pattern, String> {
        let parts: Vec<_> = parts(written).collect();
        let odd = |(at, part): (usize, &&str)| {
            let wild = part.contains(['*', '>']);
            wild && !(*part == "*" || *part == ">" && at + 1 == parts.len())
        };
        if written.is_empty() || parts.iter().enumerate().any(odd) {
            return Err("is not a pattern of scopes; write for example issues:* or >".to_owned());
        }
        let token = |part: &&str| match *part {
            "*" | ">" => (*part).to_owned(),
            part => escaped(part),
        };
        let tokens: Vec<_> = parts.iter().map(token).collect();
        Ok(Pattern { written: written.to_owned(), tokens: tokens.join(".") })
    }

    pub fn as_str(&self) -> &str {
        &self.written
    }

    pub fn covers(&self, scope: &str) -> bool {
        let scope = tokens(scope);
        let (mut wanted, mut found) = (self.tokens.split('.'), scope.split('.'));
        loop {
            match (wanted.next(), found.next()) {
                (None, None) | (Some(">"), Some(_)) => return true,
                (Some("*"), Some(_)) => {}
                (Some(wanted), Some(found)) if wanted == found => {}
                _ => return false,
            }
        }
    }
}

/// `repo:acme/api` is `repo:`, `acme`, `api`.
fn parts(scope: &str) -> impl Iterator<Item = &str> {
    scope.split_inclusive(':').flat_map(|part| part.split('/'))
}

fn tokens(scope: &str) -> String {
    let tokens: Vec<_> = parts(scope).map(escaped).collect();
    if tokens.is_empty() { "%".to_owned() } else { tokens.join(".") }
}

/// A token is not empty, and has no character that means something in a subject.
fn escaped(part: &str) -> String {
    if part.is_empty() {
        return "%".to_owned();
    }
    part.bytes().fold(String::with_capacity(part.len()), |mut token, byte| {
        match byte {
            b'.' | b'*' | b'>' | b'%' | b'$' => {
                let _ = write!(token, "%{byte:02X}");
            }
            0x21..0x7f => token.push(char::from(byte)),
            _ => {
                let _ = write!(token, "%{byte:02X}");
            }
        }
        token
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_the_provider_its_major_version_the_site_and_the_scope() {
        let place = Place::new("github", "1.4.2", "https://api.github.com");
        let key = place.key("owner:org/acme");
        let tokens: Vec<_> = key.as_str().split('.').collect();
        assert_eq!(tokens[0], "github@1");
        assert!(tokens[1].len() == 16 && tokens[1].bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(tokens[2..], ["owner:", "org", "acme"]);
        let other = Place::new("github", "1.4.2", "https://github.example.com");
        assert_ne!(place.key("issues:1"), other.key("issues:1"));
        assert_ne!(
            place.key("issues:1"),
            Place::new("github", "2.0.0", "https://api.github.com").key("issues:1")
        );
        assert!(key.now().starts_with("omnifs.now.github@1."));
    }

    #[test]
    fn no_two_scopes_have_one_key_and_none_has_a_wildcard() {
        let place = Place::new("p", "1.0.0", "o");
        let scopes = [
            "", ":", "/", "//", "a", "a:", "a/", "/a", "a:b", "a/b", "a.b", "a*b", "*", ">",
            "a:/b", "a%2Eb", "%", "a b", "a\nb", "\u{e4}", "$JS.API", "a::b", "a/:b",
        ];
        let keys: std::collections::HashSet<_> =
            scopes.iter().map(|scope| place.key(scope)).collect();
        assert_eq!(keys.len(), scopes.len());
        for key in keys {
            assert!(key.as_str().bytes().all(|byte| (0x21..0x7f).contains(&byte)), "{key:?}");
            assert!(
                !key.as_str().contains(['*', '>', '$']) && !key.as_str().contains(".."),
                "{key:?}"
            );
            assert!(!key.as_str().ends_with('.'), "{key:?}");
        }
    }

    #[test]
    fn a_pattern_covers_what_the_server_would_deliver_for_it() {
        let covers = |pattern: &str, scope: &str| Pattern::new(pattern).unwrap().covers(scope);
        assert!(covers(">", "issues:12") && covers("issues:*", "issues:12"));
        assert!(covers("owner:>", "owner:org/acme") && covers("owner:*/acme", "owner:org/acme"));
        assert!(!covers("issues:*", "repo:12") && !covers("owner:*", "owner:org/acme"));
        assert!(!covers("issues:1", "issues:12") && !covers("issues:>", "issues"));
        for wrong in ["", "issues:1*", ">:a", "a*", "a>"] {
            assert!(Pattern::new(wrong).is_err(), "{wrong}");
        }
        let place = Place::new("p", "1.0.0", "o");
        assert!(place.pattern(&Pattern::new("issues:*").unwrap()).ends_with(".issues:.*"));
    }
}
