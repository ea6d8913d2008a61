//! Whose requests an instance makes, without saying it.

use super::Outbound;
use crate::credentials::{Chain, CredentialError};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::sync::atomic::Ordering;

/// Which secrets an instance had at one moment. Worthless outside of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held(Vec<Option<u64>>);

impl Held {
    /// Whether it has all that it may have. One that is absent may be in a keyring that could not be asked.
    pub fn is_whole(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }
}

impl Outbound {
    /// A digest of where its endpoints are and of all its secrets, by a key without which it tells nothing. The
    /// same in every process.
    ///
    /// # Errors
    /// A source of a secret that cannot be used: nobody knows whose the requests are.
    pub async fn identity(&self, key: &[u8]) -> Result<[u8; 32], CredentialError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length does");
        let mut say = |text: &str| {
            mac.update(&(text.len() as u64).to_le_bytes());
            mac.update(text.as_bytes());
        };
        for target in &self.shared.targets {
            say(&target.spec.name);
            say(&target.base.to_string());
            // With the path below which it is, which nobody is shown.
            say(target.url("/").as_ref().map_or("", |url| url.as_str()));
        }
        for (_, chain) in &self.shared.credentials {
            say(chain.name());
            match chain.resolve().await? {
                Some(found) => say(found.secret.expose()),
                None => say(""),
            }
        }
        Ok(mac.finalize().into_bytes().into())
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

#[cfg(test)]
mod tests {
    use super::super::Setup;
    use super::super::validators::Validators;
    use super::*;
    use crate::credentials::Environment;
    use crate::provider::{Credential, Endpoint, Manifest};
    use std::sync::Arc;

    fn outbound(url: &str, secret: Option<&'static str>) -> Outbound {
        let endpoint = Endpoint {
            name: "api".into(),
            default_url: "https://service.example".into(),
            allow: vec![(crate::provider::Method::Get, "/**".into())],
            credentials: vec!["token".into()],
            ..Endpoint::default()
        };
        let credential = Credential {
            name: "token".into(),
            environment: vec!["TOKEN".into()],
            environment_elsewhere: vec!["TOKEN".into()],
            ..Credential::default()
        };
        let manifest = Manifest {
            endpoints: vec![endpoint],
            credentials: vec![credential],
            ..Manifest::default()
        };
        let mut setup = Setup::new("i", manifest, Arc::new(Validators::new(0)));
        setup.overrides.insert("api".into(), url.into());
        setup.environment = Environment::from_fn(move |_| secret.map(str::to_owned));
        Outbound::new(setup).expect("it can be set up")
    }

    #[tokio::test]
    async fn another_secret_another_place_and_another_key_are_another_identity() {
        let of = async |url, secret, key: &[u8]| outbound(url, secret).identity(key).await.unwrap();
        let one = of("https://a.example/one", Some("s"), b"key").await;
        assert_eq!(one, of("https://a.example/one", Some("s"), b"key").await);
        for other in [
            of("https://a.example/two", Some("s"), b"key").await,
            of("https://b.example/one", Some("s"), b"key").await,
            of("https://a.example/one", Some("t"), b"key").await,
            of("https://a.example/one", None, b"key").await,
            of("https://a.example/one", Some("s"), b"other").await,
        ] {
            assert_ne!(one, other);
        }
    }

    #[tokio::test]
    async fn a_secret_that_is_found_later_is_not_what_was_held() {
        let outbound = outbound("https://a.example", Some("s"));
        let before = outbound.held();
        outbound.look_up().await;
        let held = outbound.held();
        assert_ne!(before, held);
        outbound.look_up().await;
        assert_eq!(held, outbound.held());
        assert!(!outbound.is_admitted());
    }
}
