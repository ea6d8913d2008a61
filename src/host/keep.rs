//! Getting a secret by a login, and keeping one: in the system's keyring, or, where there is none, in a file that the
//! configuration names.
//!
//! **Invariant:** a file with a secret has mode 0600 in a directory of mode 0700, and its name says for which place
//! the secret is: what is kept for one is not overwritten by what is for another.

use super::credentials::{asking, files, unknown};
use super::refused;
use crate::capability::Outbound;
use crate::config::{self, Editor, Instance};
use crate::control::Refused;
use crate::credentials::keyring::{self, KeyringError, Lookup, PATIENT};
use crate::credentials::login::{self, NotKept, Patience, Tried};
use crate::credentials::{Elsewhere, Secret, plain};
use crate::paths::{self, Paths};
use crate::provider::Manifest;
use std::fmt;
use std::path::{Path, PathBuf};

/// What a user must do during a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginStep {
    /// Open this page.
    Open(String),
    /// Open this page and enter this code there.
    Enter { url: String, code: String },
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    Keyring,
    File(PathBuf),
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Store::Keyring => f.write_str("the system keyring"),
            Store::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A place that has been tried out.
#[derive(Debug)]
pub struct Ready {
    pub place: Store,
    tried: Tried,
}

/// A credential of an instance, and the user's directories.
#[derive(Clone, Copy, Debug)]
pub struct Keeping<'a> {
    pub instance: &'a Instance,
    pub manifest: &'a Manifest,
    pub credential: &'a str,
    pub paths: &'a Paths,
}

/// The name of the file for what the keyring would hold under `entry`.
pub(super) fn file_name(entry: &str) -> String {
    let entry = entry.replace("https://", "").replace("http://", "");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_@".contains(c);
    let (instance, rest) = entry.split_once('/').unwrap_or((&entry, ""));
    let safe: String = rest.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("{instance}.{safe}")
}

impl Keeping<'_> {
    fn outbound(&self) -> Result<Outbound, Refused> {
        asking(self.instance, self.manifest)
    }

    /// The keyring's entry for the credential, where the instance's endpoints are now.
    fn entry(&self) -> Result<String, Refused> {
        let outbound = self.outbound()?;
        let chain = outbound.credential(self.credential);
        Ok(chain.ok_or_else(|| unknown(self.credential))?.entry().to_owned())
    }

    /// `INSTANCE.CREDENTIAL`, or `INSTANCE.CREDENTIAL@HOST_PORT` where the endpoints lead elsewhere.
    fn file(&self) -> Result<PathBuf, Refused> {
        Ok(self.paths.secrets().join(file_name(&self.entry()?)))
    }

    /// The file that the configuration names for the credential, which is looked into first.
    fn configured(&self) -> Result<Option<PathBuf>, Refused> {
        Ok(files(self.instance, self.manifest)?.remove(self.credential))
    }

    /// Where a secret would be kept. Touches nothing.
    ///
    /// # Errors
    /// The configuration names a file of the user's, which is not overwritten.
    pub fn expected(&self) -> Result<Store, Refused> {
        match self.configured()? {
            Some(file) if file.starts_with(self.paths.secrets()) => Ok(Store::File(self.file()?)),
            Some(file) => Err(Refused {
                message: format!("the configuration names {} for it", file.display()),
                hint: Some(format!(
                    "write the new one into that file, or remove credential-file from \
                     [instances.{}] to have it kept elsewhere",
                    self.instance.name
                )),
            }),
            None if keyring::has_session() => Ok(Store::Keyring),
            None => Ok(Store::File(self.file()?)),
        }
    }

    /// Where a secret is likely to be kept, for a person. Whether a session's bus has a keyring shows only as something
    /// is put into it.
    ///
    /// # Errors
    /// As of [`Keeping::expected`].
    pub fn promised(&self) -> Result<String, Refused> {
        let place = self.expected()?;
        Ok(match place {
            Store::Keyring if keyring::MAY_BE_ABSENT => {
                format!("{place}, or, where there is none, in {}", self.file()?.display())
            }
            _ => place.to_string(),
        })
    }

    /// Where a secret will be kept, tried out: what a service issues can be issued once.
    pub async fn store(&self) -> Result<Ready, Refused> {
        let mut place = self.expected()?;
        if place == Store::Keyring {
            match login::tried(Lookup::within(PATIENT)).await {
                Ok(tried) => return Ok(Ready { place, tried }),
                Err(NotKept::NoStore(KeyringError::Absent)) => place = Store::File(self.file()?),
                Err(error) => return Err(with_file(error)),
            }
        }
        let Store::File(file) = &place else { return Err(refused("there is no store")) };
        let tried = login::tried(in_file(file.clone())).await.map_err(refused)?;
        Ok(Ready { place, tried })
    }

    /// Keeps it, and has the configuration say where if that is a file.
    pub async fn keep(&self, store: &Ready, secret: &Secret) -> Result<(), Refused> {
        let file = match &store.place {
            Store::Keyring => None,
            Store::File(file) => Some(file),
        };
        let was_there = file.is_some_and(|file| file.exists());
        store.tried.keep(&self.entry()?, secret.clone()).await.map_err(with_file)?;
        let Some(file) = file else { return Ok(()) };
        self.name_file(Some(file)).inspect_err(|_| {
            // Nobody would look into it, or know of it.
            if !was_there {
                let _ = std::fs::remove_file(file);
            }
        })
    }

    fn name_file(&self, file: Option<&Path>) -> Result<(), Refused> {
        let several = self.manifest.credentials.len() > 1;
        let credential = several.then_some(self.credential);
        edit(&self.paths.config, |editor| {
            editor.credential_file(&self.instance.name, credential, file);
        })
    }

    /// Forgets a kept secret. False: there was none.
    pub async fn forget(&self) -> Result<bool, Refused> {
        let own = self.configured()?.filter(|file| file.starts_with(self.paths.secrets()));
        if let Some(file) = own {
            // The secret first: a name that leads nowhere is the lesser evil.
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(refused(format!("cannot remove {}: {error}", file.display())));
                }
                _ => {}
            }
            self.name_file(None)?;
            return Ok(true);
        }
        keyring::remove(&self.entry()?, PATIENT).await.map_err(refused)
    }

    /// Gets a secret from the OAuth endpoints of the place where the instance's endpoints are. `show` is called with
    /// what the user must do.
    pub async fn login(
        &self,
        store: &Ready,
        client_id: Option<&str>,
        show: &mut (dyn FnMut(LoginStep) + Send),
    ) -> Result<Secret, Refused> {
        let outbound = self.outbound()?;
        let chain = outbound.credential(self.credential).ok_or_else(|| unknown(self.credential))?;
        let Some(oauth) = chain.oauth() else {
            let message = match chain.elsewhere().first() {
                Some(Elsewhere { endpoint, origin }) => format!(
                    "a login in the browser is one at the service itself, and the endpoint \
                     {endpoint} is at {origin}"
                ),
                None => format!("credential '{}' has no login in the browser", self.credential),
            };
            let hint = "make a secret there by hand and enter it with --with-token";
            return Err(Refused { message, hint: Some(hint.into()) });
        };
        let patience = Patience::default();
        let tokens = async {
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
        let client_id = client_id.or(oauth.client_id.as_deref());
        store.tried.secret(client_id, tokens).await.map_err(refused)
    }

    /// Whether there is a login in the browser, and with an application that is registered for it.
    pub fn browser_login(&self) -> Result<(bool, bool), Refused> {
        let outbound = self.outbound()?;
        let chain = outbound.credential(self.credential).ok_or_else(|| unknown(self.credential))?;
        let oauth = chain.oauth();
        Ok((oauth.is_some(), oauth.is_some_and(|oauth| oauth.client_id.is_some())))
    }

    /// The places that its endpoints lead to, where those are not the service's own.
    pub fn elsewhere(&self) -> Result<Vec<Elsewhere>, Refused> {
        let outbound = self.outbound()?;
        let chain = outbound.credential(self.credential).ok_or_else(|| unknown(self.credential))?;
        Ok(chain.elsewhere().to_vec())
    }
}

/// Changes the configuration.
pub fn edit(file: &Path, change: impl FnOnce(&mut Editor)) -> Result<(), Refused> {
    let first = |errors: Vec<config::Error>| match errors.into_iter().next() {
        Some(error) => Refused { message: error.to_string(), hint: error.hint() },
        None => refused("the configuration is wrong"),
    };
    let mut editor = Editor::open(file).map_err(first)?;
    change(&mut editor);
    editor.save().map_err(first)
}

fn with_file(error: NotKept) -> Refused {
    let hint = match &error {
        NotKept::NoStore(_) => {
            "make a token by hand, keep it in a file with mode 0600 and name that as credential-file"
        }
        NotKept::Lost(_) => "if the service has just issued it, revoke it there",
        NotKept::Login(_) => return refused(error),
    };
    Refused { message: error.to_string(), hint: Some(hint.into()) }
}

/// A file in the place of a keyring.
fn in_file(file: PathBuf) -> Lookup {
    let keep = move |entry: &str, secret: Option<Secret>| {
        let wrong = |error: std::io::Error| {
            KeyringError::File(format!("cannot write {}: {error}", file.display()))
        };
        let directory = file.parent().unwrap_or(Path::new("."));
        paths::private_dir(directory).map_err(wrong)?;
        match secret {
            // As the secret's own file will be made, and gone at once.
            _ if entry == keyring::TRIAL => {
                tempfile::NamedTempFile::new_in(directory).map(drop).map_err(wrong)
            }
            Some(secret) => write(&file, &plain(&secret)).map_err(wrong),
            None => std::fs::remove_file(&file).map_err(wrong),
        }
    };
    Lookup::from_fns(|_| None, keep)
}

/// A new file in the place of an old one, whatever mode that had. At no time is there half of one.
fn write(file: &Path, secret: &Secret) -> std::io::Result<()> {
    use std::io::Write;
    let directory = file.parent().unwrap_or(Path::new("."));
    // For the user alone from the start.
    let mut fresh = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(fresh, "{}", secret.expose())?;
    fresh.as_file().sync_all()?;
    fresh.persist(file)?;
    Ok(())
}
