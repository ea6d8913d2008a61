//! From a configuration to relays that tell a fleet what changes. Nothing is mounted.

use super::fleet::{Joined, join, no_fleet, place_of, signer};
use super::refused;
use super::running::{Loader, Working, line, pace};
use super::start::{VALIDATORS_SHARE, subscriber};
use crate::capability::validators::Validators;
use crate::config::{Config, Instance};
use crate::control::Refused;
use crate::events::bus::keys::PublicKey;
use crate::events::bus::{Post, Relay, Station};
use crate::events::webhook::{self, Receiver};
use crate::events::{FeedSupervisor, Ledger};
use crate::provider::{Feed, FeedKind};
use crate::wasm;
use futures_util::future::join_all;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Relays that run. They end when this is dropped, each within the time of its lease; see [`Relays::end`].
pub struct Relays {
    relays: Vec<Arc<Relay>>,
    tasks: JoinSet<()>,
    receiver: Option<Receiver>,
    pub public: PublicKey,
    /// Instances that do not work, one line each.
    pub warnings: Vec<String>,
}

/// Loads the components of the fleet's instances, and begins to hear for them.
///
/// # Errors
/// The configuration has no fleet or no relay, a key or credential cannot be read, or no instance works.
pub async fn relay(
    config: &Config,
    instances: &[Instance],
    cache: &Path,
) -> Result<Relays, Refused> {
    let fleet = config.fleet.as_ref().ok_or_else(no_fleet)?;
    let relay = config.relay.as_ref().ok_or_else(|| Refused {
        message: "the configuration has no [relay]".into(),
        hint: Some("`omnifs relay key FILE` makes its key; docs/fleet.md has an example".into()),
    })?;
    let signer = Arc::new(signer(&relay.key_file)?);
    let public = signer.public();
    if !fleet.relays.contains(&public) {
        return Err(Refused {
            message: "no mount believes this relay: its key is not among `relays` of [fleet]"
                .into(),
            hint: Some(format!("add \"{public}\" there, for mounts as well")),
        });
    }
    let loader = Loader {
        engine: wasm::Engine::new().map_err(refused)?,
        config: config.clone(),
        cache: cache.to_owned(),
        validators: Arc::new(Validators::new((config.cache.bytes / VALIDATORS_SHARE) as usize)),
        poll_every: None,
        fleet: None,
    };
    let listed = instances.iter().filter(|instance| fleet.scopes.contains_key(&instance.name));
    let listed: Vec<_> = listed.collect();
    let loaded = join_all(listed.iter().map(|instance| loader.load(instance, None))).await;
    let mut warnings: Vec<_> = (fleet.scopes.keys())
        .filter(|name| !listed.iter().any(|instance| instance.name == **name))
        .map(|name| format!("{name}: it is not an enabled instance"))
        .collect();
    let mut working = Vec::new();
    for (instance, loaded) in listed.iter().zip(loaded) {
        match loaded {
            Ok(loaded) if polled(&loaded).next().is_none() => {
                warnings.push(format!(
                    "{}: no scope of it is polled, and no other is told of",
                    instance.name
                ));
            }
            Ok(loaded) => working.push((*instance, loaded)),
            Err(problem) => warnings.push(format!("{}: {}", instance.name, line(&problem))),
        }
    }
    if working.is_empty() {
        return Err(refused(format_args!("there is nothing to relay: {}", warnings.join("; "))));
    }
    let joined = join(fleet, relay.credentials_file.as_deref()).await?;
    let id = identity()?;
    let mut post = Post::default();
    let (mut relays, mut subscribers) = (Vec::new(), Vec::new());
    let mut tasks = JoinSet::new();
    for (instance, working) in working {
        let Joined { server, keys, scopes, rhythm, .. } = &joined;
        let station = Station {
            server: server.clone(),
            signer: signer.clone(),
            keys: keys.clone(),
            scopes: scopes.get(&instance.name).cloned().unwrap_or_default(),
            rhythm: rhythm.clone(),
            shares: fleet.share.is_some(),
            id: id.clone(),
        };
        let relay = Relay::new(station, place_of(&working), &instance.name, &mut post);
        let heard = subscriber(&working, working.provider.clone(), Some(instance));
        subscribers.extend(heard);
        relays.push(relay.clone());
        tasks.spawn(async move {
            let feeds: Vec<_> = polled(&working).cloned().collect();
            let start = |ledger: Arc<dyn Ledger>| {
                let Working { name, provider, outbound, .. } = &working;
                FeedSupervisor::start(
                    name,
                    provider.clone(),
                    &feeds,
                    outbound.clone(),
                    ledger,
                    pace(None),
                )
            };
            relay.run(start).await;
        });
    }
    let receiver = match config.mount.webhook_listen {
        Some(address) => {
            let options = webhook::Options::default();
            Some(
                Receiver::bind(address, subscribers, Arc::new(post), options)
                    .await
                    .map_err(refused)?,
            )
        }
        None => None,
    };
    Ok(Relays { relays, tasks, receiver, public, warnings })
}

fn polled(working: &Working) -> impl Iterator<Item = &Feed> {
    working.manifest.feeds.iter().filter(|feed| feed.kind == FeedKind::Poll)
}

/// Unlike that of any other process.
fn identity() -> Result<String, Refused> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(refused)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(random)))
}

impl Relays {
    pub fn instances(&self) -> Vec<&str> {
        self.relays.iter().map(|relay| relay.instance()).collect()
    }

    /// Ends them, and gives back what they lead.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
        drop(self.receiver.take());
        join_all(self.relays.iter().map(|relay| relay.release())).await;
    }
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relays").field("instances", &self.instances()).finish_non_exhaustive()
    }
}
