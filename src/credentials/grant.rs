//! What an OAuth login keeps where the access token ends: that token, and what brings the next one.
//!
//! It is kept as one entry of the keyring, as JSON, in the place of a plain token.

use super::Secret;
use super::login::{self, LoginError, Patience, Tokens};
use crate::provider::OAuth;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::{Zeroize, Zeroizing};

/// An access token is renewed this long before its end, so that none ends on its way.
const MARGIN: Duration = Duration::from_secs(60);

// No Debug: it holds secrets.
#[allow(missing_debug_implementations)]
pub(super) struct Grant {
    pub access: Secret,
    refresh: Secret,
    client_id: Option<String>,
    /// `None`: the service has not said.
    expires: Option<SystemTime>,
}

/// The entry's text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    access_token: String,
    refresh_token: String,
    client_id: Option<String>,
    /// Seconds since the Unix epoch.
    expires_at: Option<u64>,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

impl Grant {
    /// `None` where the login brought a token that cannot be renewed: that is kept as it is.
    fn of(tokens: Tokens, client_id: Option<&str>, now: SystemTime) -> Result<Grant, Secret> {
        let Tokens { access, refresh, expires_in } = tokens;
        let Some(refresh) = refresh else { return Err(access) };
        let expires = expires_in.and_then(|lifetime| now.checked_add(lifetime));
        Ok(Grant { access, refresh, client_id: client_id.map(str::to_owned), expires })
    }

    /// What a keyring's entry holds, where it is not a plain token.
    pub fn read(entry: &Secret) -> Option<Grant> {
        let written: Written = serde_json::from_str(entry.expose()).ok()?;
        Some(Grant {
            access: Secret::trimmed(written.access_token.clone())?,
            refresh: Secret::trimmed(written.refresh_token.clone())?,
            client_id: written.client_id.clone(),
            expires: written.expires_at.map(|at| UNIX_EPOCH + Duration::from_secs(at)),
        })
    }

    pub fn entry(&self) -> Secret {
        let since = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let written = Written {
            access_token: self.access.expose().to_owned(),
            refresh_token: self.refresh.expose().to_owned(),
            client_id: self.client_id.clone(),
            expires_at: self.expires.map(since),
        };
        // INVARIANT: strings and a number can always be written as JSON.
        #[allow(clippy::expect_used)]
        let text = Zeroizing::new(serde_json::to_string(&written).expect("plain values"));
        Secret::new(text.to_string())
    }

    pub fn has_ended(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| now + MARGIN >= expires)
    }

    /// When the access token is to be renewed, from `now`.
    pub fn lasts(&self, now: SystemTime) -> Option<Duration> {
        let left = self.expires?.duration_since(now).unwrap_or_default();
        Some(left.saturating_sub(MARGIN))
    }

    /// The next grant. A service may keep the refresh token or give another one.
    ///
    /// # Errors
    /// As [`login::refresh`]; the refresh token may have ended or been revoked.
    pub async fn renew(&self, oauth: &OAuth) -> Result<Grant, LoginError> {
        let patience = Patience::default();
        let client = self.client_id.as_deref();
        let mut tokens = login::refresh(oauth, client, &self.refresh, &patience).await?;
        let refresh = tokens.refresh.take().unwrap_or_else(|| self.refresh.clone());
        let expires = tokens.expires_in.and_then(|l| SystemTime::now().checked_add(l));
        Ok(Grant { access: tokens.access, refresh, client_id: self.client_id.clone(), expires })
    }
}

/// What to keep of a login: all of the grant where it can be renewed, else the token alone.
pub fn entry_of(tokens: Tokens, client_id: Option<&str>) -> Secret {
    match Grant::of(tokens, client_id, SystemTime::now()) {
        Ok(grant) => grant.entry(),
        Err(access) => access,
    }
}

/// The token alone of what is to be kept: a file holds nothing that is renewed.
pub(crate) fn plain(entry: &Secret) -> Secret {
    Grant::read(entry).map_or_else(|| entry.clone(), |grant| grant.access.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_read_back_and_a_plain_token_is_none() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let tokens = |refresh: Option<&str>| Tokens {
            access: Secret::new("access-1".into()),
            refresh: refresh.map(|token| Secret::new(token.to_owned())),
            expires_in: Some(Duration::from_secs(3600)),
        };
        let Ok(grant) = Grant::of(tokens(Some("refresh-1")), Some("client"), now) else {
            panic!("it can be renewed")
        };
        let again = Grant::read(&grant.entry()).unwrap();
        assert_eq!((again.access.expose(), again.refresh.expose()), ("access-1", "refresh-1"));
        assert_eq!(again.client_id.as_deref(), Some("client"));
        assert_eq!(again.lasts(now), Some(Duration::from_secs(3540)));
        assert!(!again.has_ended(now + Duration::from_secs(3539)));
        assert!(again.has_ended(now + Duration::from_secs(3540)));
        assert!(Grant::of(tokens(None), None, now).is_err());
        for plain in ["ghp_abc", "{}", "{\"access_token\":\"x\"}", "[1]"] {
            assert!(Grant::read(&Secret::new(plain.to_owned())).is_none(), "{plain}");
        }
    }
}
