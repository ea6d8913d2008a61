//! The tree served by NFS on loopback, and mounted where that is asked for.

use super::refused;
use crate::control::{self, Refused};
use crate::daemon::{Mount, Options};
use crate::runtime::Runtime;
use crate::{mountpoint, paths};
use futures_util::future::BoxFuture;
use omnifs_platform::nfs::mounting::{Source, System, attach};
use omnifs_platform::nfs::{self, Server};
use std::path::{Path, PathBuf};
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
        return Ok(Box::new(Nfs { server: Some(server), source, point: None }));
    }
    attach(&source, &options.mountpoint).map_err(|error| Refused {
        message: format!("cannot mount at {}: {error}", options.mountpoint.display()),
        hint: error.hint().map(str::to_owned),
    })?;
    server.close_export();
    let point = Some(options.mountpoint.clone());
    Ok(Box::new(Nfs { server: Some(server), source, point }))
}

struct Nfs {
    server: Option<Server>,
    source: Source,
    /// Where it is mounted by this process.
    point: Option<PathBuf>,
}

impl Nfs {
    /// Somebody else's mount on the same path is not ours to take away.
    fn mounted(&self, point: &Path) -> bool {
        mountpoint::mounted_at(point).is_some_and(|mount| mount.source == self.source.text())
    }
}

impl Mount for Nfs {
    fn unmount(&mut self, force: bool) -> Result<(), mountpoint::Error> {
        // While the server still answers: the kernel may ask it something first.
        if let Some(point) = self.point.clone()
            && self.mounted(&point)
        {
            mountpoint::detach(&point, force)?;
        }
        self.point = None;
        self.server = None;
        Ok(())
    }

    fn ended(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let Some(point) = self.point.clone() else { return std::future::pending().await };
            while self.mounted(&point) {
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
        if let Err(error) = self.unmount(true) {
            tracing::warn!(%error, "unmounting");
        }
    }
}
