//! Credentials of an instance, for the mount and for `omnifs auth`.

use super::{keep, refused};
use crate::capability::validators::Validators;
use crate::capability::{Outbound, Override, Setup};
use crate::config::{Config, Instance, Limits};
use crate::control::Refused;
use crate::credentials::keyring::Lookup;
use crate::credentials::{Chain, CredentialStatus, Elsewhere, Environment, Secret};
use crate::paths::Paths;
use crate::provider::Manifest;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// For a service to say whose a credential is, to a person who waits.
const ASK_PATIENCE: Duration = Duration::from_secs(10);

/// The way out of an instance, with its endpoints and credentials where the configuration has them.
pub(super) fn outbound(
    instance: &Instance,
    manifest: &Manifest,
    validators: Arc<Validators>,
    limits: &Limits,
) -> Result<Outbound, Refused> {
    Outbound::new(setup(instance, manifest, validators, limits)?).map_err(refused)
}

pub(super) fn setup(
    instance: &Instance,
    manifest: &Manifest,
    validators: Arc<Validators>,
    limits: &Limits,
) -> Result<Setup, Refused> {
    let mut setup = placed(instance, manifest, validators, limits);
    setup.credential_files = files(instance, manifest)?;
    // What a login has put into a file is for the place that the file is named after, as the keyring's entries are:
    // where the endpoints have moved since, it stays where it is.
    let kept = Paths::of_user().map(|paths| paths.secrets()).ok();
    let is_kept = |file: &Path| kept.as_ref().is_some_and(|kept| file.starts_with(kept));
    if setup.credential_files.values().any(|file| is_kept(file)) {
        let here = placed(instance, manifest, Arc::new(Validators::new(0)), limits);
        let here = Outbound::new(here).map_err(refused)?;
        setup.credential_files.retain(|name, file| {
            let named = here.credential(name).map(|chain| keep::file_name(chain.entry()));
            !is_kept(file) || named.as_deref().map(OsStr::new) == file.file_name()
        });
    }
    Ok(setup)
}

/// Where the instance's endpoints are, and none of its secrets.
fn placed(
    instance: &Instance,
    manifest: &Manifest,
    validators: Arc<Validators>,
    limits: &Limits,
) -> Setup {
    let mut setup = Setup::new(&instance.name, manifest.clone(), validators);
    setup.limits.total = limits.request_time;
    setup.limits.body = usize::try_from(limits.content_size).unwrap_or(usize::MAX);
    setup.keyring = Some(Lookup::system());
    setup.egress = instance.egress.clone();
    setup.settings = instance.config.settings.clone();
    for (name, endpoint) in &instance.config.endpoints {
        let place = Override {
            url: endpoint.url.clone().unwrap_or_default(),
            redirect_hosts: endpoint.redirect_hosts.clone(),
            token_hosts: endpoint.token_hosts.clone(),
            ca_file: endpoint.ca_file.clone(),
        };
        setup.overrides.insert(name.clone(), place);
    }
    setup
}

/// The files that the configuration names, each for a credential that there is.
pub(super) fn files(
    instance: &Instance,
    manifest: &Manifest,
) -> Result<HashMap<String, PathBuf>, Refused> {
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
pub(super) fn asking(instance: &Instance, manifest: &Manifest) -> Result<Outbound, Refused> {
    Outbound::new(asking_setup(instance, manifest)?).map_err(refused)
}

fn asking_setup(instance: &Instance, manifest: &Manifest) -> Result<Setup, Refused> {
    let limits = Limits { request_time: ASK_PATIENCE, ..Config::default().limits };
    setup(instance, manifest, Arc::new(Validators::new(0)), &limits)
}

/// What the service says of a secret that is not kept yet: whose it is, what it lacks, or that it is refused.
/// The status's source means nothing.
pub async fn examine(
    instance: &Instance,
    manifest: &Manifest,
    credential: &str,
    secret: &Secret,
) -> Result<CredentialStatus, Refused> {
    let mut setup = asking_setup(instance, manifest)?;
    let spec = manifest.credentials.iter().find(|c| c.name == credential);
    let own = spec.into_iter().flat_map(|c| c.environment.iter().chain(&c.environment_elsewhere));
    let own: Vec<String> = own.cloned().collect();
    setup.environment =
        Environment::from_fn(move |name| match own.iter().any(|variable| variable == name) {
            true => None,
            false => std::env::var(name).ok(),
        });
    setup.credential_files.remove(credential);
    let (name, entry) = (credential.to_owned(), format!("{}/{credential}", instance.name));
    let given = secret.clone();
    setup.keyring = Some(Lookup::from_fn(move |wanted| {
        let same =
            wanted.strip_prefix(&entry).is_some_and(|at| at.is_empty() || at.starts_with('@'));
        same.then(|| given.clone())
    }));
    let outbound = Outbound::new(setup).map_err(refused)?;
    outbound.ask_whose().await;
    let found = outbound.credentials().into_iter().find(|status| status.name == name);
    found.ok_or_else(|| unknown(credential))
}

/// The secret that a mount would use.
///
/// # Errors
/// There is none, or what is configured cannot be used.
pub async fn secret(
    instance: &Instance,
    manifest: &Manifest,
    credential: &str,
) -> Result<Secret, Refused> {
    let outbound = asking(instance, manifest)?;
    let chain = outbound.credential(credential).ok_or_else(|| unknown(credential))?;
    match chain.resolve().await.map_err(refused)? {
        Some(found) => Ok(found.secret.clone()),
        None => Err(Refused {
            message: format!("there is no {credential} for {}", instance.name),
            hint: Some(chain.wanted(&format!("omnifs auth login {}", instance.name))),
        }),
    }
}

pub(super) fn unknown(credential: &str) -> Refused {
    refused(format!("the provider uses no credential '{credential}'"))
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
