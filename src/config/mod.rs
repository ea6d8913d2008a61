//! What the user wants: flags over environment over file over defaults.
//!
//! Invariants: an unknown key is an error, and no secret is ever a value in the file.

mod differences;
mod edit;
mod error;
mod fleet;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod instances;
mod keys;
mod read;
mod show;
pub mod units;

pub use edit::Editor;
pub use error::{Error, Place, nearest};
pub use fleet::{Fleet, Relay, Share};
pub use instances::{Approval, Instance, Source, valid_name};

use crate::allow::Allow;
use crate::capability::Egress;
use crate::{paths, trust};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use units::{Capacity, Size};

/// The whole configuration, with a value for everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it came from, where there is one.
    pub file: Option<PathBuf>,
    /// `[instances.NAME]` as written. [`Config::instances`] adds the shipped providers.
    pub written: BTreeMap<String, InstanceConfig>,
    pub cache: Cache,
    pub limits: Limits,
    pub mount: Mount,
    /// How requests leave this machine.
    pub egress: Egress,
    pub fleet: Option<Fleet>,
    /// Never without a fleet.
    pub relay: Option<Relay>,
}

/// One `[instances.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceConfig {
    /// A shipped provider, a component of the provider directory, or a component's path. Absent:
    /// the instance's own name.
    pub provider: Option<String>,
    /// Absent: true.
    pub enabled: Option<bool>,
    /// Where the user puts the provider's endpoints, by endpoint name.
    pub endpoints: BTreeMap<String, EndpointConfig>,
    /// The file that holds the secret of the provider's only credential.
    pub credential_file: Option<PathBuf>,
    /// The same by credential name, for a provider with several.
    pub credential_files: BTreeMap<String, PathBuf>,
    /// The OAuth application that the user has registered for logins.
    pub client_id: Option<String>,
    /// The file that holds the secret with which the service signs its webhooks.
    pub webhook_secret_file: Option<PathBuf>,
    /// What of it exists. Absent: everything.
    pub allow: Option<Allow>,
    /// The provider's own settings.
    pub settings: BTreeMap<String, String>,
    /// SHA-256 of the component whose capabilities were approved: `sha256:HEX`.
    pub grant: Option<String>,
    /// SHA-256 of what it asked for then: `sha256:HEX`.
    pub asks: Option<String>,
}

/// `endpoints.NAME = "URL"`, or a table with more.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EndpointConfig {
    /// `https://HOST[:PORT][/PREFIX]`, `http://` and `tcp://` to loopback, `unix:///PATH`. Absent:
    /// the provider's own.
    pub url: Option<String>,
    /// Origins beside the declared ones to which a redirect may lead, without the credential.
    pub redirect_hosts: Vec<String>,
    /// Origins beside the declared ones whose token service may be given the user's name and password.
    pub token_hosts: Vec<String>,
    /// PEM file of certificate authorities beside the system's own.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path of a URL may be what keeps others out.
        f.debug_struct("EndpointConfig").finish_non_exhaustive()
    }
}

/// How much the cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    pub nodes: u64,
    /// Content, listings and kept responses, in bytes.
    pub bytes: u64,
    /// Bytes on disk of what is kept for the next start; 0: nothing is.
    pub disk: u64,
}

/// Bounds on what a provider may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of guest memory in one call.
    pub guest_memory: u64,
    /// Guest computing time of one call, its requests not counted.
    pub call_time: Duration,
    /// One request to a service with its retries and redirects.
    pub request_time: Duration,
    /// Bytes of an answer, and so of a content that is not read in pieces.
    pub content_size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub backend: Backend,
    /// Other users may use the mount.
    pub allow_other: bool,
    /// Programs that lie in the mount may be run.
    pub exec: bool,
    /// Event loops of the back end.
    pub threads: usize,
    /// Serve what is known when the service cannot be reached.
    pub stale_if_error: bool,
    /// Raise inotify events for what changes upstream (FUSE).
    pub watch_events: bool,
    /// A mount in the background outlives the process that serves it.
    pub keeper: bool,
    pub webhook_listen: Option<SocketAddr>,
    /// Where services find what listens there, behind a tunnel or a proxy: `https://HOST[/PREFIX]`.
    pub webhook_url: Option<String>,
    /// Where metrics are served, on loopback.
    pub metrics_listen: Option<SocketAddr>,
}

/// How the tree is shown to the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Fuse,
    Nfs,
    Winfsp,
}

impl Backend {
    pub const ALL: [Backend; 3] = [Backend::Fuse, Backend::Nfs, Backend::Winfsp];

    pub const fn name(self) -> &'static str {
        match self {
            Backend::Fuse => "fuse",
            Backend::Nfs => "nfs",
            Backend::Winfsp => "winfsp",
        }
    }

    /// What this system mounts with unless told otherwise.
    pub const fn native() -> Backend {
        if cfg!(windows) {
            Backend::Winfsp
        } else if cfg!(target_os = "macos") {
            Backend::Nfs
        } else {
            Backend::Fuse
        }
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(name: &str) -> Result<Backend, String> {
        Backend::ALL.into_iter().find(|b| b.name() == name).ok_or_else(|| {
            format!("is not a back end; known: {}", Backend::ALL.map(Backend::name).join(", "))
        })
    }
}

/// An address on which only this machine's users can connect.
pub fn loopback(text: &str) -> Result<SocketAddr, String> {
    // It is not repeated: somebody may have written a token there.
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "is not an address; write for example 127.0.0.1:9464".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("is not of this machine alone; write 127.0.0.1:PORT".to_owned()),
    }
}

/// Bytes of a configuration file.
const MOST_BYTES: u64 = 4 << 20;

/// The most event loops that can be asked for; beyond the number of cores they only contend.
pub const MOST_THREADS: usize = 64;

/// What flags and environment say. Each part that is present wins over the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    pub backend: Option<Backend>,
    pub allow_other: Option<bool>,
    pub exec: Option<bool>,
    pub threads: Option<usize>,
    pub stale_if_error: Option<bool>,
    pub watch_events: Option<bool>,
    pub keeper: Option<bool>,
    pub webhook_listen: Option<SocketAddr>,
    pub metrics_listen: Option<SocketAddr>,
    pub cache_capacity: Option<Capacity>,
}

impl Default for Config {
    fn default() -> Config {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            file: None,
            written: BTreeMap::new(),
            cache: Cache { nodes: 250_000, bytes: 512 << 20, disk: 0 },
            limits: Limits {
                guest_memory: 256 << 20,
                call_time: Duration::from_secs(2),
                request_time: Duration::from_secs(20),
                content_size: 64 << 20,
            },
            mount: Mount {
                backend: Backend::native(),
                allow_other: false,
                exec: false,
                threads: cores.clamp(1, 4),
                stale_if_error: false,
                watch_events: true,
                keeper: true,
                webhook_listen: None,
                webhook_url: None,
                metrics_listen: None,
            },
            egress: Egress::Direct,
            fleet: None,
            relay: None,
        }
    }
}

impl Config {
    /// Reads the file. With `required`, its absence is an error; else it means the defaults.
    ///
    /// # Errors
    /// Every problem of the file, in its order. Never empty.
    pub fn load(file: &Path, required: bool) -> Result<Config, Vec<Error>> {
        let read = |source| vec![Error::Read { file: file.to_owned(), source }];
        if std::fs::metadata(file).is_ok_and(|found| !found.is_file()) {
            let why = std::io::Error::other("it is not a regular file");
            return Err(read(why));
        }
        // Who can write it can send the user's credentials to a server of his own.
        let absolute = std::path::absolute(file).map_err(read)?;
        trust::check(&absolute).map_err(|distrust| vec![distrust.into()])?;
        let mut text = String::new();
        match paths::open_regular(file) {
            Ok(opened) => opened.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(read)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                return Ok(Config::default());
            }
            Err(error) => return Err(read(error)),
        };
        if text.len() as u64 > MOST_BYTES {
            let why = format!("it is larger than {} MiB", MOST_BYTES >> 20);
            return Err(read(std::io::Error::new(std::io::ErrorKind::FileTooLarge, why)));
        }
        read::parse(file, &text)
    }

    /// Puts flags and environment over the file.
    pub fn over(mut self, overrides: &Overrides) -> Config {
        fn put<T: Clone>(to: &mut T, from: &Option<T>) {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        put(&mut self.mount.backend, &overrides.backend);
        put(&mut self.mount.allow_other, &overrides.allow_other);
        put(&mut self.mount.exec, &overrides.exec);
        put(&mut self.mount.threads, &overrides.threads);
        put(&mut self.mount.stale_if_error, &overrides.stale_if_error);
        put(&mut self.mount.watch_events, &overrides.watch_events);
        put(&mut self.mount.keeper, &overrides.keeper);
        if overrides.webhook_listen.is_some() {
            self.mount.webhook_listen = overrides.webhook_listen;
        }
        if overrides.metrics_listen.is_some() {
            self.mount.metrics_listen = overrides.metrics_listen;
        }
        if let Some(capacity) = overrides.cache_capacity {
            put(&mut self.cache.nodes, &capacity.nodes);
            put(&mut self.cache.bytes, &capacity.bytes.map(|Size(bytes)| bytes));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_in_the_documentation_is_a_valid_file() {
        let pages =
            [include_str!("../../docs/configuration.md"), include_str!("../../docs/fleet.md")];
        let examples = pages.iter().flat_map(|text| text.split("```toml\n").skip(1));
        let examples: Vec<_> = examples.map(|rest| rest.split("```").next().unwrap()).collect();
        assert!(examples.len() >= 5);
        for example in examples {
            if let Err(errors) = read::parse(Path::new("example"), example) {
                panic!("{}\n{example}", errors[0]);
            }
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_and_not_read_in_part() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let most = MOST_BYTES as usize;
        let text = format!("# {}\n[cache]\nnodes = 1000\n", "x".repeat(most));
        std::fs::write(&file, &text).unwrap();
        let error = Config::load(&file, true).unwrap_err();
        assert!(error[0].to_string().ends_with("it is larger than 4 MiB"), "{}", error[0]);
        std::fs::write(&file, &text[text.len() - most..]).unwrap();
        assert!(!Config::load(&file, true).unwrap_err()[0].to_string().contains("larger"));
        std::fs::write(&file, format!("#{}", &text[text.len() - most + 1..])).unwrap();
        assert_eq!(Config::load(&file, true).unwrap().cache.nodes, 1000);
    }

    #[test]
    fn overrides_win_and_what_they_leave_out_stays() {
        let capacity = Capacity { nodes: None, bytes: Some(Size(2 << 20)) };
        let overrides = Overrides {
            allow_other: Some(true),
            cache_capacity: Some(capacity),
            ..Overrides::default()
        };
        let config = Config::default().over(&overrides);
        assert!(config.mount.allow_other);
        assert_eq!(config.cache, Cache { bytes: 2 << 20, ..Config::default().cache });
        assert_eq!(config.mount.threads, Config::default().mount.threads);
    }
}
