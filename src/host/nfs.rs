//! The tree served by NFS on loopback, and mounted where that is asked for.

use super::refused;
use crate::control::{self, Refused};
use crate::daemon::{Mount, Options};
use crate::paths;
use crate::runtime::Runtime;
use futures_util::future::BoxFuture;
use omnifs_platform::mounting::{self, UnmountMode};
use omnifs_platform::nfs::mounting::{Source, System, attach};
use omnifs_platform::nfs::{self, Server};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether somebody else has unmounted it: the kernel tells a server nothing.
const LOOK: Duration = Duration::from_millis(500);

/// Starts the server, and mounts it unless it is for others to mount. Blocks.
pub(super) fn mount(
    runtime: Arc<Runtime>,
    options: &Options,
    tokio: &tokio::runtime::Handle,
) -> Result<Box<dyn Mount>, Refused> {
    let state = options.paths.state.join("nfs").join(control::key(&options.mountpoint));
    paths::private_dir(&state).map_err(refused)?;
    let wanted =
        nfs::Options { allow_other: options.config.mount.allow_other, ..nfs::Options::new(state) };
    let server = nfs::serve(runtime, &wanted, tokio).map_err(refused)?;
    let source = Source::of(&server, options.config.mount.exec);
    if options.serve_only {
        return Ok(Box::new(Nfs { server: Some(server), source, mounted: false }));
    }
    attach(&source, &options.mountpoint).map_err(|error| Refused {
        message: format!("cannot mount at {}: {error}", options.mountpoint.display()),
        hint: error.hint(),
    })?;
    server.close_export();
    Ok(Box::new(Nfs { server: Some(server), source, mounted: true }))
}

struct Nfs {
    server: Option<Server>,
    source: Source,
    /// By this process.
    mounted: bool,
}

impl Nfs {
    /// Its line in the table, wherever its directory is by now: nobody else's has this source.
    fn line(&self) -> Option<mounting::Mount> {
        let source = self.source.text();
        mounting::table().into_iter().find(|mount| mount.source == source)
    }
}

impl Mount for Nfs {
    fn unmount(&mut self, how: UnmountMode) -> Result<(), mounting::Error> {
        // While the server still answers: the kernel may ask it something first.
        if self.mounted
            && let Some(mount) = self.line()
        {
            mounting::unmount(&mount, how)?;
        }
        self.mounted = false;
        self.server = None;
        Ok(())
    }

    fn ended(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if !self.mounted {
                return std::future::pending().await;
            }
            while self.line().is_some() {
                tokio::time::sleep(LOOK).await;
            }
        })
    }

    fn commands(&self) -> Vec<(&'static str, String)> {
        let line = |system: System| self.source.command_line(system, Path::new("DIRECTORY"));
        System::ALL.map(|system| (system.name(), line(system))).into()
    }
}

impl Drop for Nfs {
    fn drop(&mut self) {
        if let Err(error) = self.unmount(UnmountMode::Force) {
            tracing::warn!(%error, "unmounting");
        }
    }
}
