use crate::cli::Context;
use crate::cli::failure::Failure;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Below `omnifs serve`.
pub const COMMAND: &str = "docker-volumes";

/// Directories of a mount as volumes for containers, as a plugin of Docker's engine
///
/// Runs beside the engine and the mount, as root, until Ctrl-C. Then `docker volume create -d omnifs -o path=DIR NAME`
/// makes a volume of a directory below the mountpoint, and `docker run -v NAME:/omnifs:ro` shows it in a container.
/// docs/containers.md says more.
#[derive(Debug, Args)]
pub struct Volumes {
    /// The mountpoint [default: the only running mount]
    path: Option<PathBuf>,
    /// Where the engine finds the plugin; the file's name is that of its driver
    #[arg(long, value_name = "FILE", default_value = "/run/docker/plugins/omnifs.sock")]
    socket: PathBuf,
}

#[cfg(target_os = "linux")]
pub fn run(context: &Context, args: &Volumes) -> Result<ExitCode, Failure> {
    use crate::cli::failure::Exit;
    use crate::cli::mount::{log_level, start_log};
    use crate::cli::{metrics, output, shown, terminal};
    use omnifs::stops::Stops;
    use omnifs::volumes::Plugin;
    use omnifs::{daemon, logs};
    use omnifs_platform::mounting;
    use serde_json::json;

    let mountpoint = match &args.path {
        Some(path) => mounting::resolve(path)?,
        None => metrics::only(context, &format!("serve {COMMAND}"))?.mountpoint.into(),
    };
    if mountpoint.to_str().is_none() {
        let text = format!("{} is not Unicode, as the engine wants paths", shown(&mountpoint));
        return Err(Failure::new(text).exit(Exit::Mountpoint));
    }
    let socket = std::path::absolute(&args.socket)
        .map_err(|e| Failure::new(format!("--socket: {e}")).exit(Exit::Usage))?;
    let log = logs::path(&context.paths.logs(), COMMAND);
    start_log(&log, log_level()?, !output::chosen().json)?;
    daemon::harden();
    let supervisor = omnifs::supervisor::Supervisor::of_environment()
        .map_err(|e| Failure::new(format!("NOTIFY_SOCKET names no socket: {e}")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(format!("cannot start a runtime: {e}")))?;
    let ended = runtime.block_on(async {
        let mut stops =
            Stops::new().map_err(|e| Failure::new(format!("cannot hear signals: {e}")))?;
        let plugin = Plugin::start(&socket, mountpoint.clone(), &context.paths.volumes())?;
        let at = shown(&socket);
        terminal::tell(
            "note",
            &format!("serving directories of {} at {at}; Ctrl-C ends it", shown(&mountpoint)),
        );
        // What cannot be written the plugin goes on without.
        let _ = terminal::begun("", json!({ "mountpoint": mountpoint, "socket": socket }));
        if let Some(supervisor) = &supervisor {
            supervisor.listening(&socket);
        }
        let signal = stops.next().await;
        tracing::info!(signal, "ending");
        drop(plugin);
        Ok(ExitCode::SUCCESS)
    });
    // A mount that does not answer holds up nobody but who asked.
    runtime.shutdown_background();
    ended
}

#[cfg(not(target_os = "linux"))]
pub fn run(_: &Context, args: &Volumes) -> Result<ExitCode, Failure> {
    let Volumes { path: _, socket: _ } = args;
    Err(Failure::new("volumes for containers are served on Linux alone"))
}
