//! Credentials of an instance, for the mount and for `omnifs auth`.

use super::refused;
use crate::config::Instance;
use crate::control::Refused;
use crate::credentials::keyring::{self, Lookup, PATIENT};
use crate::credentials::login::{self, Patience};
use crate::credentials::{self, Chain, Environment, Secret};
use crate::provider::{Credential, Manifest};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A credential of an instance, as `omnifs auth status` shows it. It never holds the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialStatus {
    pub name: String,
    /// `file /home/me/token`, `environment variable GITHUB_TOKEN`, `the system keyring`. Absent:
    /// there is none.
    pub source: Option<String>,
    /// Why it cannot be used, and what to do.
    pub problem: Option<String>,
}

/// What a user must do during a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginStep {
    /// Open this page.
    Open(String),
    /// Open this page and enter this code there.
    Enter { url: String, code: String },
}

fn file(instance: &Instance, manifest: &Manifest, credential: &str) -> Option<PathBuf> {
    let named = instance.config.credential_files.get(credential).cloned();
    let only = (manifest.credentials.len() == 1).then(|| instance.config.credential_file.clone());
    named.or_else(|| only.flatten())
}

fn chain(instance: &Instance, manifest: &Manifest, credential: &Credential) -> Chain {
    let file = file(instance, manifest, &credential.name);
    let environment = Environment::process();
    Chain::new(&instance.name, credential, file, environment, Some(Lookup::system()))
}

/// Where each declared credential is looked for.
pub(super) fn chains(instance: &Instance, manifest: &Manifest) -> HashMap<String, Arc<Chain>> {
    let credentials = manifest.credentials.iter();
    credentials.map(|c| (c.name.clone(), Arc::new(chain(instance, manifest, c)))).collect()
}

/// The secret with which a service signs its webhooks.
pub(super) fn webhook(instance: &str, file: Option<PathBuf>) -> Arc<Chain> {
    Arc::new(Chain::webhook(instance, file, Environment::process(), Some(Lookup::system())))
}

/// Where each of the instance's credentials comes from. Asks no service.
pub async fn credentials(
    instance: &Instance,
    manifest: &Manifest,
) -> Result<Vec<CredentialStatus>, Refused> {
    let mut rows = Vec::new();
    for credential in &manifest.credentials {
        let (source, problem) = match chain(instance, manifest, credential).resolve().await {
            Ok(found) => (found.map(|found| found.source.to_string()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        rows.push(CredentialStatus { name: credential.name.clone(), source, problem });
    }
    Ok(rows)
}

/// Gets a secret from the service's OAuth endpoints and keeps it. `show` is called with what the
/// user must do. Answers where the secret is kept.
pub async fn login(
    instance: &Instance,
    manifest: &Manifest,
    credential: &str,
    client_id: Option<&str>,
    show: &mut (dyn FnMut(LoginStep) + Send),
) -> Result<String, Refused> {
    let spec = manifest.credentials.iter().find(|c| c.name == credential);
    let oauth = spec.and_then(|spec| spec.oauth.as_ref()).ok_or_else(|| {
        let help = spec.map(|spec| spec.help_url.clone()).unwrap_or_default();
        Refused {
            message: format!("credential '{credential}' has no login in the browser"),
            hint: Some(format!("make a secret by hand and enter it with --with-token: {help}")),
        }
    })?;
    let patience = Patience::default();
    let tokens = if oauth.device_url.is_some() {
        let enter = |prompt: &login::DevicePrompt| {
            show(LoginStep::Enter { url: prompt.page.clone(), code: prompt.code.clone() });
        };
        login::device(oauth, client_id, &patience, enter).await
    } else {
        let open = |page: &url::Url| show(LoginStep::Open(page.to_string()));
        login::browser(oauth, client_id, 0, &patience, open).await
    };
    let client_id = client_id.or(oauth.client_id.as_deref());
    let kept = credentials::entry_of(tokens.map_err(refused)?, client_id);
    store(instance, credential, &kept).await
}

async fn store(instance: &Instance, credential: &str, secret: &Secret) -> Result<String, Refused> {
    let entry = keyring::entry(&instance.name, credential);
    keyring::set(&entry, secret, PATIENT).await.map_err(|error| Refused {
        message: error.to_string(),
        hint: Some("keep it in a file with mode 0600 and name that as credential-file".into()),
    })?;
    Ok("the system keyring".into())
}

/// Keeps a secret that the user typed. Answers where.
pub async fn keep(
    instance: &Instance,
    credential: &str,
    secret: Zeroizing<String>,
) -> Result<String, Refused> {
    let Some(secret) = Secret::trimmed(secret.to_string()) else {
        return Err(refused("the secret is empty"));
    };
    store(instance, credential, &secret).await
}

/// Forgets a kept secret. False: there was none.
pub async fn logout(instance: &Instance, credential: &str) -> Result<bool, Refused> {
    let entry = keyring::entry(&instance.name, credential);
    keyring::remove(&entry, PATIENT).await.map_err(refused)
}
