//! The one back end that this system mounts with by itself, picked when it is built. NFS is beside it on
//! every system.

use crate::Vfs;
use crate::mounting::{self, UnmountMode};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use thiserror::Error;
use tokio::runtime;

#[cfg(target_os = "linux")]
pub use crate::fuse::Keeper;

/// There is none on this system.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub enum Keeper {}

#[cfg(not(target_os = "linux"))]
impl Keeper {
    pub fn goes_on(&self) -> bool {
        match *self {}
    }

    pub fn took_back(&self) -> bool {
        match *self {}
    }

    pub fn holds(&self) -> bool {
        match *self {}
    }

    pub fn ready(&self) {
        match *self {}
    }

    pub fn over(&self) {
        match *self {}
    }
}

/// How a mount is made. Each back end takes what it knows.
#[derive(Clone, Debug)]
pub struct Options {
    /// Lets every user in, not just the mounting one.
    pub allow_other: bool,
    /// Programs that lie in the mount may be run.
    pub exec: bool,
    /// Wakes those who watch files for what changes upstream.
    pub watch_events: bool,
    /// Threads that read requests; 0: as the system's size suggests.
    pub threads: usize,
    /// What the mount shows: the names of its directories.
    pub identity: Vec<String>,
    pub created: SystemTime,
    /// What has the mount outlive this process.
    pub keeper: Option<Arc<Keeper>>,
}

/// Why it was not mounted, and what to do about it.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct Refusal {
    pub message: String,
    pub hint: Option<String>,
}

/// A mounted file system. Dropping it unmounts.
#[derive(Debug)]
pub struct Mounted(system::Mounted);

impl Mounted {
    /// Unmounts. Blocks.
    ///
    /// # Errors
    /// It is in use, or the system refuses.
    pub fn unmount(&mut self, how: UnmountMode) -> Result<(), mounting::Error> {
        self.0.unmount(how)
    }

    /// Returns when it is unmounted, whoever has done it.
    pub async fn ended(&self) {
        self.0.ended().await;
    }
}

/// Mounts `vfs` at `point` and serves it until it is unmounted. Answers that have to wait are finished on
/// `runtime`. Blocks for a few system calls.
///
/// # Errors
/// The mount point cannot be used, or the system cannot mount.
pub fn mount<V: Vfs>(
    vfs: Arc<V>,
    point: &Path,
    options: &Options,
    runtime: &runtime::Handle,
) -> Result<Mounted, Refusal> {
    system::mount(vfs, point, options, runtime).map(Mounted)
}

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod system {
            use super::*;
            use crate::fuse;
            pub use fuse::Mounted;

            pub fn mount<V: Vfs>(
                vfs: Arc<V>,
                point: &Path,
                options: &Options,
                runtime: &runtime::Handle,
            ) -> Result<Mounted, Refusal> {
                let mut wanted = fuse::MountOptions {
                    allow_other: options.allow_other,
                    exec: options.exec,
                    watch_events: options.watch_events,
                    keeper: options.keeper.clone(),
                    ..fuse::MountOptions::default()
                };
                wanted.threads = options.threads.try_into().unwrap_or(wanted.threads);
                fuse::mount(vfs, point, &wanted, runtime).map_err(|error| {
                    let doctor = || "`omnifs doctor` checks what mounting needs".to_owned();
                    let hint = Some(error.hint().unwrap_or_else(doctor));
                    Refusal { message: error.to_string(), hint }
                })
            }
        }
    } else if #[cfg(all(windows, target_env = "msvc"))] {
        mod system {
            use super::*;
            use crate::winfsp;
            pub use winfsp::Mounted;

            pub fn mount<V: Vfs>(
                vfs: Arc<V>,
                point: &Path,
                options: &Options,
                runtime: &runtime::Handle,
            ) -> Result<Mounted, Refusal> {
                let wanted = winfsp::MountOptions {
                    allow_other: options.allow_other,
                    identity: options.identity.clone(),
                    created: options.created,
                };
                let refusal = |message: String| Refusal { message, hint: None };
                let point = mounting::point(point).map_err(|error| refusal(error.to_string()))?;
                winfsp::mount(vfs, point, &wanted, runtime)
                    .map_err(|error| refusal(error.to_string()))
            }
        }
    } else {
        mod system {
            use super::*;

            /// There is none.
            #[derive(Debug)]
            pub enum Mounted {}

            impl Mounted {
                pub fn unmount(&mut self, _: UnmountMode) -> Result<(), mounting::Error> {
                    match *self {}
                }

                pub async fn ended(&self) {
                    match *self {}
                }
            }

            pub fn mount<V: Vfs>(
                _: Arc<V>,
                _: &Path,
                _: &Options,
                _: &runtime::Handle,
            ) -> Result<Mounted, Refusal> {
                let message = "this build mounts through NFS alone".to_owned();
                Err(Refusal { message, hint: Some("use --backend nfs".to_owned()) })
            }
        }
    }
}
