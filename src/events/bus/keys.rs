//! Who may say something on the bus: a relay's key, and the keys that a mount believes.

use crate::credentials::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Bytes of a key, private or public.
const KEY: usize = 32;

/// A relay's private key.
pub struct Signer {
    pair: Ed25519KeyPair,
    seal: LessSafeKey,
}

impl Signer {
    /// Of the text of a key file: 32 bytes in base64.
    ///
    /// # Errors
    /// It is something else. The text is not repeated.
    pub fn new(text: &Secret) -> Result<Signer, String> {
        let wrong = || "is not a relay's key; `omnifs relay key` makes one".to_owned();
        let seed = BASE64.decode(text.expose()).map_err(|_| wrong())?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| wrong())?;
        let mut digest = Sha256::new();
        digest.update(b"omnifs fleet cursor");
        digest.update(&seed);
        let seal = UnboundKey::new(&AES_256_GCM, &digest.finalize()).map_err(|_| wrong())?;
        Ok(Signer { pair, seal: LessSafeKey::new(seal) })
    }

    /// A new key as a file holds it.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate() -> Result<Secret, String> {
        let mut seed = [0; KEY];
        getrandom::fill(&mut seed).map_err(|error| error.to_string())?;
        Ok(Secret::new(BASE64.encode(seed)))
    }

    pub fn public(&self) -> PublicKey {
        let mut key = [0; KEY];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(key)
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> String {
        BASE64.encode(self.pair.sign(bytes))
    }

    /// What relays with this key alone can read, and only beside `key`.
    pub(super) fn seal(&self, key: &str, text: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut sealed = text.as_bytes().to_vec();
        let aad = Aad::from(key.as_bytes());
        self.seal
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .ok()?;
        Some(BASE64.encode([&nonce[..], &sealed].concat()))
    }

    /// Nothing where another key has sealed it.
    pub(super) fn open(&self, key: &str, sealed: &str) -> Option<String> {
        let mut bytes = BASE64.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let text = self.seal.open_in_place(nonce, Aad::from(key.as_bytes()), sealed).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// A relay's public key: `ed25519:` and 32 bytes in base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; KEY]);

impl PublicKey {
    pub(super) fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = BASE64.decode(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, &self.0).verify(bytes, &signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<PublicKey, String> {
        let key = text.strip_prefix("ed25519:").and_then(|key| BASE64.decode(key).ok());
        let key = key.and_then(|key| key.try_into().ok());
        key.map(PublicKey).ok_or_else(|| {
            "is not a relay's public key, ed25519:BASE64; `omnifs relay key` prints it".to_owned()
        })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new(&Signer::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_text() {
        let (one, other) = (signer(), signer());
        let signed = one.sign(b"text");
        assert!(one.public().verifies(b"text", &signed));
        assert!(!one.public().verifies(b"texts", &signed));
        assert!(!other.public().verifies(b"text", &signed));
        for odd in ["", "?", "AAAA", &signed[1..]] {
            assert!(!one.public().verifies(b"text", odd), "{odd}");
        }
    }

    #[test]
    fn a_sealed_cursor_is_read_by_its_own_key_beside_its_own_scope() {
        let (one, other) = (signer(), signer());
        let sealed = one.seal("a", "etag 7").unwrap();
        assert!(!sealed.contains("etag"));
        assert_eq!(one.open("a", &sealed).as_deref(), Some("etag 7"));
        assert_eq!(one.open("b", &sealed), None);
        assert_eq!(other.open("a", &sealed), None);
        assert_ne!(one.seal("a", "etag 7").unwrap(), sealed, "a nonce is used once");
        for odd in ["", "?", "AAAA"] {
            assert_eq!(one.open("a", odd), None);
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_never_repeated_in_errors() {
        let signer = signer();
        let public = signer.public();
        assert_eq!(public.to_string().parse(), Ok(public));
        let odd = "c2VjcmV0";
        assert!(!Signer::new(&Secret::new(odd.into())).unwrap_err().contains(odd));
        for odd in ["", "ed25519:", "ed25519:AAAA", "AAAA"] {
            assert!(odd.parse::<PublicKey>().is_err(), "{odd}");
        }
        assert!(!format!("{signer:?}").contains("seed"));
    }
}
