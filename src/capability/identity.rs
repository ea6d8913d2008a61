//! Whose requests an instance makes, without saying it.

use super::Outbound;
use crate::credentials::Chain;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::atomic::Ordering;

/// Which secrets an instance had at one moment. Worthless outside of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held(Vec<Option<u64>>);

impl Outbound {
    /// A digest of where its endpoints are and of all its secrets, by a key without which it tells nothing. The
    /// same in every process.
    pub async fn identity(&self, key: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length does");
        let mut say = |text: &str| {
            mac.update(&(text.len() as u64).to_le_bytes());
            mac.update(text.as_bytes());
        };
        for target in &self.shared.targets {
            say(&target.spec.name);
            say(&target.base.to_string());
        }
        for (_, chain) in &self.shared.credentials {
            say(chain.name());
            match chain.resolve().await {
                Ok(Some(found)) => say(found.secret.expose()),
                // There is none, or none that can be used.
                Ok(None) | Err(_) => say(""),
            }
        }
        mac.finalize().into_bytes().into()
    }

    /// Which secrets it has by now. Asks nobody.
    pub fn held(&self) -> Held {
        Held(self.shared.credentials.iter().map(|(_, chain)| Chain::fingerprint(chain)).collect())
    }

    /// Answers so far of which a service has said that they are not to be stored.
    pub fn forbidden(&self) -> u64 {
        self.shared.forbidden.load(Ordering::Relaxed)
    }

    /// Whether the service has answered in this process and refused no credential since.
    pub fn is_admitted(&self) -> bool {
        self.shared.admitted.load(Ordering::Relaxed)
    }
}
