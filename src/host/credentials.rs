//! Credentials of an instance, for the mount and for `omnifs auth`.

use super::refused;
use crate::capability::validators::Validators;
use crate::capability::{Outbound, Override, Setup};
use crate::config::{Config, Instance, Limits};
use crate::control::Refused;
use crate::credentials::keyring::{self, Lookup, PATIENT};
use crate::credentials::login::{self, NotKept, Patience};
use crate::credentials::{Chain, CredentialStatus, Elsewhere, Environment, Secret};
use crate::provider::Manifest;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// For a service to say whose a credential is, to a person who waits.
const ASK_PATIENCE: Duration = Duration::from_secs(10);

/// Where a login is kept.
const KEPT: &str = "the system keyring";

/// What a user must do during a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginStep {
    /// Open this page.
    Open(String),
    /// Open this page and enter this code there.
    Enter { url: String, code: String },
}

/// The way out of an instance, with its endpoints and credentials where the configuration has them.
pub(super) fn outbound(
    instance: &Instance,
    manifest: &Manifest,
    validators: Arc<Validators>,
    limits: &Limits,
) -> Result<Outbound, Refused> {
    let mut setup = Setup::new(&instance.name, manifest.clone(), validators);
    setup.limits.total = limits.request_time;
    setup.limits.body = usize::try_from(limits.content_size).unwrap_or(usize::MAX);
    setup.keyring = Some(Lookup::system());
    setup.egress = instance.egress.clone();
    setup.credential_files = files(instance, manifest)?;
    for (name, endpoint) in &instance.config.endpoints {
        let place = Override {
            url: endpoint.url.clone().unwrap_or_default(),
            redirect_hosts: endpoint.redirect_hosts.clone(),
            ca_file: endpoint.ca_file.clone(),
        };
        setup.overrides.insert(name.clone(), place);
    }
    Outbound::new(setup).map_err(refused)
}

/// The files that the configuration names, each for a credential that there is.
fn files(instance: &Instance, manifest: &Manifest) -> Result<HashMap<String, PathBuf>, Refused> {
    let names: Vec<_> = manifest.credentials.iter().map(|c| c.name.as_str()).collect();
    let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let wrong = |message: String| Refused { message, hint: Some(format!("it uses: {known}")) };
    let mut files = HashMap::new();
    for (name, file) in &instance.config.credential_files {
        if !names.contains(&name.as_str()) {
            return Err(wrong(format!("credential-files: it uses no credential '{name}'")));
        }
        files.insert(name.clone(), file.clone());
    }
    if let Some(file) = &instance.config.credential_file {
        let [only] = &names[..] else {
            return Err(wrong(
                "credential-file: it does not use one credential; name each in credential-files"
                    .to_owned(),
            ));
        };
        files.entry((*only).to_owned()).or_insert_with(|| file.clone());
    }
    Ok(files)
}

/// [`outbound`] for a command that asks nothing but whose a credential is.
fn asking(instance: &Instance, manifest: &Manifest) -> Result<Outbound, Refused> {
    let limits = Limits { request_time: ASK_PATIENCE, ..Config::default().limits };
    outbound(instance, manifest, Arc::new(Validators::new(0)), &limits)
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
    let outbound = asking(instance, manifest)?;
    outbound.look_up().await;
    Ok(outbound.credentials())
}

/// Where each of the instance's credentials comes from, and whose it is by the service's word.
pub async fn ask_whose(
    instance: &Instance,
    manifest: &Manifest,
) -> Result<Vec<CredentialStatus>, Refused> {
    let outbound = asking(instance, manifest)?;
    outbound.ask_whose().await;
    Ok(outbound.credentials())
}

/// Which endpoints of the instance lead elsewhere than to the service's own origin, by credential.
pub fn elsewhere(
    instance: &Instance,
    manifest: &Manifest,
) -> Result<HashMap<String, Vec<Elsewhere>>, Refused> {
    let outbound = asking(instance, manifest)?;
    let of = |name: &str| outbound.credential(name).map(|chain| chain.elsewhere().to_vec());
    let names = manifest.credentials.iter().map(|credential| &credential.name);
    Ok(names.map(|name| (name.clone(), of(name).unwrap_or_default())).collect())
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
    let outbound = asking(instance, manifest)?;
    if let Some(place) = outbound.credential(credential).and_then(|c| c.elsewhere().first()) {
        let Elsewhere { endpoint, origin } = place;
        return Err(Refused {
            message: format!(
                "a login in the browser is one at the service itself, and the endpoint {endpoint} is \
                 at {origin}"
            ),
            hint: Some("make a secret there by hand and enter it with --with-token".into()),
        });
    }
    let patience = Patience::default();
    let login = async {
        if oauth.device_url.is_some() {
            let enter = |prompt: &login::DevicePrompt| {
                show(LoginStep::Enter { url: prompt.page.clone(), code: prompt.code.clone() });
            };
            login::device(oauth, client_id, &patience, enter).await
        } else {
            let open = |page: &url::Url| show(LoginStep::Open(page.to_string()));
            login::browser(oauth, client_id, 0, &patience, open).await
        }
    };
    let (store, entry) = (Lookup::within(PATIENT), entry(&outbound, credential)?);
    let client_id = client_id.or(oauth.client_id.as_deref());
    let kept = login::keep(&store, &entry, client_id, login).await;
    kept.map_err(|error| {
        Refused {
        message: error.to_string(),
        hint: match error {
            NotKept::NoStore(_) => Some(
                "make a token by hand, keep it in a file with mode 0600 and name that as \
                 credential-file"
                    .into(),
            ),
            NotKept::Lost(_) => Some(
                "revoke it at the service, where it stays valid; mend the keyring, and log in again"
                    .into(),
            ),
            NotKept::Login(_) => None,
        },
    }
    })?;
    Ok(KEPT.into())
}

/// The keyring's entry for the credential, where the instance's endpoints are now.
fn entry(outbound: &Outbound, credential: &str) -> Result<String, Refused> {
    let chain = outbound.credential(credential);
    let entry = chain.map(|chain| chain.entry().to_owned());
    entry.ok_or_else(|| refused(format!("the provider uses no credential '{credential}'")))
}

async fn store(entry: &str, secret: &Secret) -> Result<String, Refused> {
    keyring::set(entry, secret, PATIENT).await.map_err(|error| Refused {
        message: error.to_string(),
        hint: Some("keep it in a file with mode 0600 and name that as credential-file".into()),
    })?;
    Ok(KEPT.into())
}

/// Keeps a secret that the user typed. Answers where.
pub async fn keep(
    instance: &Instance,
    manifest: &Manifest,
    credential: &str,
    secret: Zeroizing<String>,
) -> Result<String, Refused> {
    let Some(secret) = Secret::trimmed(secret.to_string()) else {
        return Err(refused("the secret is empty"));
    };
    store(&entry(&asking(instance, manifest)?, credential)?, &secret).await
}

/// Forgets a kept secret. False: there was none.
pub async fn logout(
    instance: &Instance,
    manifest: &Manifest,
    credential: &str,
) -> Result<bool, Refused> {
    let entry = entry(&asking(instance, manifest)?, credential)?;
    keyring::remove(&entry, PATIENT).await.map_err(refused)
}
