//! The control channel of a mount: what `omnifs status`, `unmount` and `refresh` talk to.
//!
//! The same on every system: HTTP over a unix socket among the user's private files, on Windows over a
//! named pipe that is the user's alone.
//!
//! Invariants: another user's connection learns nothing, changes nothing and takes nobody's place; a web
//! page cannot make one; and no client can hold the mount up.

pub(crate) mod channel;
mod client;
mod metrics;
mod registry;
mod scrape;
mod server;
mod status;

pub use client::Client;
pub(crate) use registry::hex;
pub use registry::{Claim, Record, Registry, key, lies_in};
pub use scrape::Scrape;
#[cfg(target_os = "linux")]
pub(crate) use server::bound;
pub use server::{Server, Unmount};
pub use status::*;

use crate::config::Instance;
use crate::paths::{self, quoted, quoted_text};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The mounted core, as the control channel sees it.
pub trait Daemon: Send + Sync + 'static {
    fn status(&self) -> CoreStatus;

    /// Asks again for everything below `path` (relative to the mountpoint, `/` between names, empty
    /// for all) at its next use.
    fn refresh<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Refreshed, Refused>>;

    /// Reads the configuration again, and does what it says as far as that can be done while it runs. Blocks.
    fn reload(&self) -> Result<Reloaded, Refused> {
        let hint = Some("unmount it and mount it again".to_owned());
        Err(Refused { message: "this mount follows no configuration file".into(), hint })
    }

    /// Has the component that this instance names, and that is approved in it, take the place of the one that
    /// runs under its name. Where that fails, the other goes on.
    fn swap<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<(), Refused>> {
        let message = format!("'{}' cannot be replaced while it is mounted", instance.name);
        let hint = Some("unmount it and mount it again".to_owned());
        Box::pin(std::future::ready(Err(Refused { message, hint })))
    }

    /// Whether it serves what is known where a service cannot be reached, should that have changed since it began.
    fn stale_if_error(&self) -> Option<bool> {
        None
    }

    /// Whether the mount would outlive this process now.
    fn is_kept(&self) -> bool {
        false
    }
}

/// What a reload came to: the keys that have changed, dotted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// In force from now on.
    pub applied: Vec<String>,
    /// In force from the next mount on.
    pub waiting: Vec<String>,
    /// Instances whose new component does not start, one line each that begins with the name. The one before
    /// goes on.
    #[serde(default)]
    pub refused: Vec<Refused>,
}

/// What a refresh came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// Cached nodes that will be asked for again.
    pub nodes: u64,
}

/// Why the mount did not do what it was asked, in one line, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    pub message: String,
    pub hint: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot keep the record of running mounts in {}: {source}", path.display())]
    Registry { path: PathBuf, source: io::Error },
    #[error("omnifs is already mounted at {}{}", mountpoint.display(), process(*.pid))]
    Taken { mountpoint: PathBuf, pid: Option<u32> },
    #[error("cannot make the control channel {}: {source}", path.display())]
    Listen { path: PathBuf, source: io::Error },
    #[error("cannot serve metrics on {address}: {source}")]
    Metrics { address: SocketAddr, source: io::Error },
    #[error("process {0} does not hold the mount's lock, and is not ended")]
    NotHolder(u32),
    #[error("the mount at {mountpoint} (process {pid}) does not answer: {why}")]
    Silent { mountpoint: String, pid: u32, why: String },
    #[error(transparent)]
    Refused(#[from] Refused),
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Registry { path, source } | Error::Listen { path, source } => Some(
                paths::remedy(path, source)
                    .unwrap_or_else(|| "`omnifs doctor` checks the directories".into()),
            ),
            Error::Taken { mountpoint, .. } => {
                Some(format!("unmount it first: omnifs unmount {}", quoted(mountpoint)))
            }
            Error::Metrics { .. } => {
                Some("choose another port of 127.0.0.1, or leave --metrics-listen out".into())
            }
            Error::NotHolder(pid) => Some(format!("look at it, and end it yourself: kill {pid}")),
            Error::Silent { mountpoint, .. } => {
                Some(format!("`omnifs unmount --force {}` ends it", quoted_text(mountpoint)))
            }
            Error::Refused(refused) => refused.hint.clone(),
        }
    }
}

/// The longest request body: a path is at most 4,096 bytes.
const MOST_REQUEST: usize = 16 << 10;
/// The longest answer a client takes.
const MOST_ANSWER: usize = 16 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct RefreshRequest {
    path: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct UnmountRequest {
    force: bool,
}

#[cfg(test)]
mod tests;
