//! An instance whose component works: how it is made, and how another component takes its place.
//!
//! Invariant: a component runs in a mount only after it was approved as any other, also where it takes the place
//! of one that runs.

use super::fleet::{Joined, place_of};
use super::status::Core;
use super::{credentials, refused, shipped, undescribed};
use crate::allow::Allowed;
use crate::approval::{self, Asks};
use crate::capability::Outbound;
use crate::capability::validators::Validators;
use crate::component;
use crate::config::{Config, Instance};
use crate::control::Refused;
use crate::events::bus::answers::Answers;
use crate::events::{FeedState, FeedSupervisor, Feeds, Pace};
use crate::guide::{self, About, Reports};
use crate::provider::{Cause, Failure, Feed, FeedKind, Manifest, Provider, Upstream};
use crate::replaceable::Replaceable;
use crate::runtime::{Runtime, ServiceClock};
use crate::sharing::Sharing;
use crate::wasm;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Working {
    pub name: String,
    /// SHA-256 of the component.
    pub component: [u8; 32],
    pub manifest: Manifest,
    pub provider: Arc<wasm::Instance>,
    pub outbound: Outbound,
    /// What it shares with the other mounts of a fleet.
    pub answers: Option<Arc<Answers>>,
}

/// Where an instance is in its mount, whichever component it has.
#[derive(Clone)]
pub(super) struct Place {
    /// What the router asks: the host's own files, and the provider behind them.
    pub front: Arc<Replaceable>,
    pub reports: Arc<Reports>,
}

/// Dropping it ends its feeds.
pub(super) struct Running {
    pub working: Working,
    pub feeds: Feeds,
    pub place: Place,
}

impl Running {
    /// Whether a push feed of it has not answered yet.
    pub fn is_connecting(&self) -> bool {
        let status = self.feeds.status();
        status.iter().any(|feed| feed.kind == "push" && feed.state == FeedState::Connecting)
    }
}

/// What makes instances work.
pub(super) struct Loader {
    pub engine: wasm::Engine,
    pub config: Config,
    /// Where compiled components are kept.
    pub cache: PathBuf,
    pub validators: Arc<Validators>,
    pub poll_every: Option<Duration>,
    /// Whose relays tell of scopes that are then not polled here.
    pub fleet: Option<Joined>,
}

impl Loader {
    /// `before` is what ran under this name: where nothing else is asked for, budgets and credentials go on as
    /// they are.
    pub async fn load(
        &self,
        instance: &Instance,
        before: Option<&Working>,
    ) -> Result<Working, Refused> {
        let hinted = |error: component::Error| Refused {
            message: error.to_string(),
            hint: error.hint(&instance.name),
        };
        let component = component::approved(instance, shipped()).map_err(hinted)?;
        let is_declared = component.is_declared;
        let source = wasm::Source {
            name: instance.name.as_str().into(),
            digest: component.sum,
            bytes: Arc::new({
                // A file is read again if need be: its bytes would be as large as what is made of them.
                let instance = instance.clone();
                move || match component::find(&instance, shipped()) {
                    Ok(component) => Ok(component.bytes().into_owned()),
                    Err(error) => Err(error.to_string()),
                }
            }),
            cache: self.cache.clone(),
        };
        let sum = component.sum;
        drop(component);
        let opened = wasm::Deferred::open(&self.engine, source).await;
        let (deferred, manifest) = opened.map_err(|error| match error {
            wasm::Unusable::Loaded(error) => refused(error),
            wasm::Unusable::Described(failure) => undescribed(failure, is_declared),
        })?;
        approval::bind(instance, &manifest).map_err(hinted)?;
        let settings = &instance.config.settings;
        if let Some(unknown) =
            settings.keys().find(|k| !manifest.config.iter().any(|c| c.name == **k))
        {
            let known: Vec<_> = manifest.config.iter().map(|c| c.name.as_str()).collect();
            return Err(Refused {
                message: format!("the provider has no setting '{unknown}'"),
                hint: Some(format!("it has: {}", known.join(", "))),
            });
        }
        let limits = &self.config.limits;
        let same = before.filter(|before| Asks::of(&before.manifest) == Asks::of(&manifest));
        let outbound = match same {
            Some(before) => before.outbound.clone(),
            None => credentials::outbound(instance, &manifest, self.validators.clone(), limits)?,
        };
        let limits = wasm::Limits {
            memory: limits.guest_memory as usize,
            cpu: limits.call_time,
            content: limits.content_size as usize,
            ..wasm::Limits::default()
        };
        let upstream: Arc<dyn Upstream> = Arc::new(outbound.clone());
        let name = instance.name.clone();
        let provider =
            wasm::Instance::new(&name, deferred, &manifest, settings, Some(upstream), limits);
        let fleet = self.fleet.as_ref().filter(|_| self.config.mount.webhook_listen.is_none());
        // A mount that gets webhooks itself may hear of a change before the bus does.
        let answers = fleet.and_then(|fleet| fleet.answers(&name, &sum, &manifest, &outbound));
        let (provider, answers) = (Arc::new(provider), answers.map(Arc::new));
        Ok(Working { name, component: sum, manifest, provider, outbound, answers })
    }

    /// Says what the feeds of an instance cover, and starts them.
    pub fn start_feeds(&self, instance: &Working, runtime: &Arc<Runtime>) -> Feeds {
        let (name, feeds) = (&instance.name, &instance.manifest.feeds);
        let covered = feeds.iter().map(|feed| Arc::from(feed.scopes.as_str())).collect();
        runtime.declared(name, covered);
        let fleet = self.fleet.as_ref().and_then(|fleet| fleet.of(name));
        let fleet = fleet.map(|fleet| (fleet, place_of(instance)));
        // What the bus tells of is covered from when it is heard on, not from its first fetch.
        let polled = |feed: &&Feed| feed.kind == FeedKind::Poll && fleet.is_none();
        for feed in feeds.iter().filter(polled) {
            runtime.polled(name, &feed.scopes);
        }
        let outbound = instance.outbound.clone();
        let clock = ServiceClock(Arc::new(move || outbound.service_seconds()));
        runtime.set_clock(name, clock);
        let (provider, outbound) = (instance.provider.clone(), instance.outbound.clone());
        let pace = pace(self.poll_every);
        let ledger = runtime.clone();
        let feeds =
            FeedSupervisor::start_in_fleet(name, provider, feeds, outbound, ledger, pace, fleet);
        runtime.set_prover(name, feeds.prover());
        feeds
    }
}

/// `OMNIFS_POLL_MS` replaces every poll interval: for a service of one's own, and for tests.
pub(super) fn pace(wanted: Option<Duration>) -> Pace {
    let interval = std::env::var("OMNIFS_POLL_MS").ok().and_then(|text| text.parse().ok());
    Pace { poll_override: interval.map(Duration::from_millis).or(wanted), ..Pace::default() }
}

/// What a mount shows of an instance, and the id of its root directory: what is allowed of its provider, and
/// the host's own files. One that does not work shows these and why.
pub(super) fn in_front(
    instance: &Instance,
    loaded: Result<&Working, &Refused>,
    reports: Arc<Reports>,
) -> (Arc<str>, Arc<dyn Provider>) {
    let (name, allow) = (instance.name.as_str(), instance.config.allow.as_ref());
    let (root, provider) = match loaded {
        Ok(loaded) => {
            let root: Arc<str> = loaded.manifest.root.as_str().into();
            let provider: Arc<dyn Provider> = match &loaded.answers {
                None => loaded.provider.clone(),
                Some(answers) => Arc::new(Sharing::new(loaded.provider.clone(), answers.clone())),
            };
            let provider = match allow.cloned() {
                None => provider,
                Some(allow) => Arc::new(Allowed::new(provider, name.into(), root.clone(), allow)),
            };
            (root, Ok(provider))
        }
        Err(problem) => ("unavailable".into(), Err(unavailable(name, problem))),
    };
    let manifest = loaded.ok().map(|loaded| &loaded.manifest);
    let about = About { name, manifest, settings: &instance.config.settings, allow };
    let files = guide::Files::new(provider, root.clone(), &about, reports);
    (root, Arc::new(files))
}

fn unavailable(name: &str, problem: &Refused) -> Failure {
    Failure {
        provider: name.into(),
        cause: Cause::Invalid,
        detail: line(problem),
        retry_after: None,
    }
}

/// What keeps an instance from working, and what to do, in one line.
pub(super) fn line(problem: &Refused) -> String {
    match &problem.hint {
        Some(hint) => format!("{} ({hint})", problem.message),
        None => problem.message.clone(),
    }
}

/// Whether a component with the manifest `after` can take the place of one with `before` while it is mounted.
fn replaces(before: &Manifest, after: &Manifest) -> Result<(), Refused> {
    let signed = |feed: &Feed| feed.signature.is_some();
    let delivered = before.feeds.iter().chain(&after.feeds).any(signed);
    let differs = if before.root != after.root {
        "its root directory is another one"
    } else if delivered && before.feeds != after.feeds {
        // The receiver knows how deliveries are signed, and what else vouches for their scopes.
        "it has other feeds, and takes webhooks"
    } else {
        return Ok(());
    };
    Err(Refused {
        message: format!("it cannot take the place of the one that runs: {differs}"),
        hint: Some("unmount and mount again".into()),
    })
}

impl Core {
    /// One after the other: see [`crate::control::Daemon::swap`]. Only where it comes from and what approves it
    /// is taken of `wanted`; the rest of the instance's configuration is the mount's.
    pub async fn replace(&self, wanted: &Instance) -> Result<(), Refused> {
        let _one = self.swapping.lock().await;
        let name = &wanted.name;
        let configured = self.instances.iter().find(|instance| instance.name == *name);
        let running = self.running();
        let before = running.iter().find(|running| running.working.name == *name);
        let (Some(configured), Some(before)) = (configured, before) else {
            return Err(Refused {
                message: "it does not run in this mount".into(),
                hint: Some("unmount and mount again".into()),
            });
        };
        let (source, approval) = (wanted.source.clone(), wanted.approval.clone());
        let instance = Instance { source, approval, ..configured.clone() };
        let working = self.loader.load(&instance, Some(&before.working)).await?;
        replaces(&before.working.manifest, &working.manifest)?;
        // What feeds say from now on is what the new component understands.
        before.feeds.stop().await;
        let place = before.place.clone();
        let (_, files) = in_front(&instance, Ok(&working), place.reports.clone());
        place.front.replace(files);
        let feeds = self.loader.start_feeds(&working, &self.runtime);
        // The calls that have begun are overtaken, whichever component they ask.
        if let Err(error) = self.runtime.renew(name).await {
            tracing::error!(provider = %name, %error, "what its predecessor said may still be shown");
        }
        // Who looks after the command has ended finds what is there now.
        self.runtime.heard().await;
        let after = Arc::new(Running { working, feeds, place });
        for running in self.running.write().iter_mut() {
            if running.working.name == *name {
                *running = after.clone();
            }
        }
        tracing::info!(provider = %name, "another component has taken its place");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Algorithm, Encoding, SecretForm, Signature};

    #[test]
    fn another_root_and_other_feeds_beside_a_webhook_need_a_new_mount() {
        let feed = |kind, scopes: &str, signature| Feed {
            name: "changes".into(),
            kind,
            scopes: scopes.into(),
            endpoint: None,
            silence: None,
            signature,
        };
        let signature = Signature {
            header: "x-signature".into(),
            algorithm: Algorithm::HmacSha256,
            encoding: Encoding::Hex,
            prefix: String::new(),
            separator: None,
            signed: Vec::new(),
            secret: SecretForm::Text,
            timestamp: None,
            handshake: None,
            content_types: Vec::new(),
            pass: Vec::new(),
        };
        let poll = |scopes| feed(FeedKind::Poll, scopes, None);
        let of = |feeds: &[Feed]| Manifest { feeds: feeds.to_vec(), ..Manifest::default() };
        let may = |before: &[Feed], after: &[Feed]| replaces(&of(before), &of(after)).is_ok();
        let hook = feed(FeedKind::Webhook, "a:", Some(signature));
        assert!(may(&[poll("a:")], &[poll("b:")]) && may(&[], &[poll("b:")]));
        assert!(may(&[hook.clone(), poll("a:")], &[hook.clone(), poll("a:")]));
        // Whether deliveries alone vouch for their scopes was settled as the mount began.
        assert!(!may(&[hook.clone(), poll("a:")], std::slice::from_ref(&hook)));
        assert!(!may(&[], &[hook]));
        let root = Manifest { root: "other".into(), ..Manifest::default() };
        assert!(replaces(&Manifest::default(), &root).is_err());
    }
}
