//! Logins of other programs: which hosts they know, and the secret, which is asked for only after the user agreed.

use super::Machine;
use crate::credentials::Secret;
use crate::names::names_a_secret;
use crate::paths;
use crate::provider::OtherLogin;
use serde_json::{Map, Value};
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use zeroize::Zeroizing;

/// For another program to print what it has; it may ask its own keyring.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than any token has.
const MOST: u64 = 16 << 10;

/// A login that another program keeps.
pub struct Login {
    pub program: String,
    /// The service itself, or a server of a company.
    pub host: String,
    /// Whose it is, by that program's word.
    pub user: Option<String>,
    /// Where the endpoint of the host is, by its name: absent for the service itself.
    pub endpoint: Option<(String, String)>,
    arguments: Vec<String>,
    /// What the program's file has.
    kept: Option<Secret>,
}

/// Why another program's login is of no use.
#[derive(Debug, thiserror::Error)]
pub enum OtherLoginError {
    #[error("{command} cannot be run: {source}")]
    Start { command: String, source: std::io::Error },
    #[error("{command} did not end within {} s", PATIENCE.as_secs())]
    Slow { command: String },
    #[error("{0} printed no token")]
    Nothing(String),
}

/// The hosts of the program's file.
pub(super) fn read(machine: &Machine, spec: &OtherLogin) -> Vec<Login> {
    let Some(hosts) = hosts(machine, spec) else { return Vec::new() };
    let login = |(host, of): (String, Value)| {
        let text = |at: &str| Some(of.pointer(at)?.as_str()?.to_owned());
        let endpoint = match host == spec.own_host {
            true => None,
            false => {
                let other = spec.other_hosts.iter().find(|o| host.ends_with(&o.ends_with))?;
                Some((other.endpoint.clone(), other.url.replace("{host}", &host)))
            }
        };
        let put = |argument: &String| argument.replace("{host}", &host);
        Some(Login {
            program: spec.program.clone(),
            user: text(&spec.user),
            endpoint,
            arguments: spec.arguments.iter().map(put).collect(),
            kept: text(&spec.secret).and_then(Secret::trimmed),
            host,
        })
    };
    hosts.into_iter().filter(|(host, _)| is_host(host)).filter_map(login).collect()
}

fn hosts(machine: &Machine, spec: &OtherLogin) -> Option<Map<String, Value>> {
    let file = spec.files.iter().flat_map(|pattern| machine.files(pattern)).next()?;
    let text = Zeroizing::new(String::from_utf8(paths::read_regular(&file).ok()?).ok()?);
    // What cannot be read is no login. The error would show a part of the file, which may hold a secret.
    serde_saphyr::from_str(&text).ok()
}

/// What is put into an argument and a URL.
fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    !text.is_empty() && text.bytes().all(plain) && !text.starts_with(['-', '.'])
}

impl Login {
    /// `PROGRAM, logged in at HOST as USER`.
    pub fn described(&self) -> String {
        let user = self.user.as_ref().map(|user| format!(" as {user}")).unwrap_or_default();
        format!("{}, logged in at {}{user}", self.program, self.host)
    }

    /// The command that prints the secret.
    pub fn command(&self) -> String {
        format!("`{} {}`", self.program, self.arguments.join(" "))
    }

    /// Asks the program. Where it is not there or has nothing, its file may have the secret.
    ///
    /// # Errors
    /// Neither has. What the program printed is in no error: it may be a secret.
    pub fn secret(&self) -> Result<Secret, OtherLoginError> {
        match (self.ask(), &self.kept) {
            (Err(_), Some(kept)) => Ok(kept.clone()),
            (asked, _) => asked,
        }
    }

    fn ask(&self) -> Result<Secret, OtherLoginError> {
        let command = || self.command();
        let fail = |source| OtherLoginError::Start { command: command(), source };
        // It finds its own by HOME and the like. Tokens are none of its business, and it would print them as its own.
        let variables = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy();
            !names_a_secret(&name) && !name.starts_with("OMNIFS_")
        });
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(fail)?;
        let (done, printed) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut text = Zeroizing::new(String::new());
                let read = stdout.take(MOST).read_to_string(&mut text);
                // Nobody waits for what comes after the deadline.
                let _ = done.send(read.ok().and_then(|_| Secret::trimmed(text.to_string())));
            });
        }
        let printed = printed.recv_timeout(PATIENCE);
        if printed.is_err() {
            let _ = child.kill();
        }
        let ended = child.wait().map_err(fail)?;
        match printed {
            Err(_) => Err(OtherLoginError::Slow { command: command() }),
            Ok(Some(secret)) if ended.success() => Ok(secret),
            Ok(_) => Err(OtherLoginError::Nothing(command())),
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("host", &self.host).finish_non_exhaustive()
    }
}
