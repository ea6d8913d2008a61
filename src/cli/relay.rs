use super::failure::Failure;
use super::mount::{log_level, start_log};
use super::{Context, shown, terminal};
use clap::{Args, Subcommand};
use omnifs::host::{self, Whose};
use omnifs::stops::Stops;
use omnifs::{daemon, logs};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Hear what changes for a fleet of mounts, and tell them over a bus
///
/// Mounts nothing. Asks the services of [fleet] in the configuration, signs what it hears with the key of [relay], and
/// runs until Ctrl-C. Of several relays one leads for each service; docs/fleet.md says more.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Relay {
    /// Listen for webhooks (127.0.0.1:8787)
    #[arg(long, value_name = "ADDR", env = "OMNIFS_WEBHOOK_LISTEN", hide_env_values = true)]
    webhook_listen: Option<SocketAddr>,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print what a mount is to be permitted on the bus, as a section of the server's configuration
    Acl {
        /// The mount's user on the bus
        #[arg(long, value_name = "NAME", default_value = "mount")]
        user: String,
        /// Print what the relay is to be permitted
        #[arg(long)]
        relay: bool,
    },
    /// Make a relay's key in FILE, or print the public half of the one that is there
    Key {
        /// Where the key is or will be, for [relay] key-file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub fn run(context: &Context, args: &Relay) -> Result<ExitCode, Failure> {
    match &args.what {
        Some(What::Acl { user, relay }) => {
            let config = context.config()?;
            let instances = context.instances(&config, &[])?;
            let whose = if *relay { Whose::Relay } else { Whose::Mount };
            let text = host::permissions(&config, &instances, context.cache(), whose, user)?;
            terminal::show(&text, json!({ "user": user, "permissions": text }))?;
        }
        Some(What::Key { file }) => {
            let public = match file.exists() {
                true => host::public_key(file)?,
                false => host::make_key(file)?,
            };
            terminal::show(&format!("{public}\n"), json!({ "public": public.to_string() }))?;
        }
        None => return relay(context, args),
    }
    Ok(ExitCode::SUCCESS)
}

fn relay(context: &Context, args: &Relay) -> Result<ExitCode, Failure> {
    let mut config = context.config()?;
    if args.webhook_listen.is_some() {
        config.mount.webhook_listen = args.webhook_listen;
    }
    let mut instances = context.instances(&config, &[])?;
    instances.retain(|instance| instance.enabled);
    let cache = context.cache().to_owned();
    let log = logs::path(&context.paths.logs(), "relay");
    start_log(&log, log_level()?, true)?;
    daemon::harden();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(format!("cannot start a runtime: {e}")))?;
    runtime.block_on(async {
        let mut stops =
            Stops::new().map_err(|e| Failure::new(format!("cannot hear signals: {e}")))?;
        let relays = tokio::select! {
            relays = host::relay(&config, &instances, &cache) => relays?,
            _ = stops.next() => {
                return Err(Failure::new("interrupted before the relay was ready"));
            }
        };
        for warning in &relays.warnings {
            terminal::tell("warning", warning);
        }
        let names = relays.instances().join(", ");
        terminal::tell(
            "note",
            &format!("relaying {names}; Ctrl-C ends it; the log is {}", shown(&log)),
        );
        // What cannot be written the relay goes on without.
        let _ = terminal::begun("", json!({ "relaying": relays.instances() }));
        let signal = stops.next().await;
        tracing::info!(signal, "ending");
        relays.end().await;
        Ok(ExitCode::SUCCESS)
    })
}
