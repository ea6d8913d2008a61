//! What the commands ask of the rooms below them, in one place.
//!
//! Invariant: a room that a build does not have is an error that says so, never an empty answer.

use crate::component::Component;
use crate::config::Instance;
use crate::control::{Daemon, Refused};
use crate::daemon::{Mount, Options};
use crate::provider::Manifest;
use std::any::Any;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

fn absent(what: &str) -> Refused {
    Refused { message: format!("this build has no {what}"), hint: None }
}

/// The components in this binary, by name.
pub fn shipped() -> &'static [(&'static str, &'static [u8])] {
    &[]
}

/// The names of [`shipped`].
pub fn shipped_names() -> Vec<&'static str> {
    shipped().iter().map(|(name, _)| *name).collect()
}

/// What a component says of itself, read with nothing granted. `cache` holds compiled components.
/// Blocks for a compilation where the cache does not have it; not to be called within a runtime.
pub fn describe(name: &str, component: &Component, cache: &Path) -> Result<Manifest, Refused> {
    let _ = (name, component, cache);
    Err(absent("component runtime"))
}

/// A mount that answers.
pub struct Mounted {
    pub daemon: Arc<dyn Daemon>,
    pub mount: Box<dyn Mount>,
    /// Providers that do not work, one line each. The others do.
    pub warnings: Vec<String>,
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

/// Loads the instances' components, and mounts them. What it began it takes back when it fails or
/// is dropped.
pub async fn start(options: &Options) -> Result<Mounted, Refused> {
    let _ = options;
    Err(absent("core"))
}

/// A credential of an instance, as `omnifs auth status` shows it. It never holds the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialStatus {
    pub name: String,
    /// `file /home/me/token`, `environment GITHUB_TOKEN`, `keyring`. Absent: there is none.
    pub source: Option<String>,
    /// Why it cannot be used, and what to do.
    pub problem: Option<String>,
}

/// Where each of the instance's credentials comes from. Asks no service.
pub async fn credentials(
    instance: &Instance,
    manifest: &Manifest,
) -> Result<Vec<CredentialStatus>, Refused> {
    let _ = instance;
    if manifest.credentials.is_empty() { Ok(Vec::new()) } else { Err(absent("credential store")) }
}

/// What a user must do during a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginStep {
    /// Open this page.
    Open(String),
    /// Open this page and enter this code there.
    Enter { url: String, code: String },
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
    let _ = (instance, manifest, credential, client_id, show);
    Err(absent("credential store"))
}

/// Keeps a secret that the user typed. Answers where.
pub async fn keep(
    instance: &Instance,
    credential: &str,
    secret: Zeroizing<String>,
) -> Result<String, Refused> {
    let _ = (instance, credential, secret);
    Err(absent("credential store"))
}

/// Forgets a kept secret. False: there was none.
pub async fn logout(instance: &Instance, credential: &str) -> Result<bool, Refused> {
    let _ = (instance, credential);
    Err(absent("credential store"))
}

/// The demo's services, running on loopback until this is dropped.
pub struct Demo {
    /// Instance, endpoint and its URL.
    pub endpoints: Vec<(String, String, String)>,
    /// Commands worth typing, relative to the mountpoint, each with what it costs.
    pub commands: Vec<(String, String)>,
    pub services: Box<dyn Any + Send>,
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// Starts the demo's services.
pub fn demo() -> Result<Demo, Refused> {
    Err(absent("demo"))
}
