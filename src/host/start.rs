//! From configured instances to a mount that answers.

use super::reload::Followed;
use super::status::Core;
use super::{credentials, nfs, refused, shipped};
use crate::allow::Allowed;
use crate::approval;
use crate::cache::Capacity;
use crate::capability::Outbound;
use crate::capability::validators::Validators;
use crate::component;
use crate::config::{Backend, Config, Instance};
use crate::control::{Daemon, Refused};
use crate::daemon::{Mount, Options};
use crate::events::webhook::{self, Receiver, Subscriber};
use crate::events::{FeedState, FeedSupervisor, Feeds, Ledger as _, Pace};
use crate::guide::{self, About, Reports, RootFiles};
use crate::provider::{Cause, Failure, Feed, FeedKind, Manifest, Provider, Upstream};
use crate::router::{self, Router};
use crate::runtime::{Runtime, ServiceClock};
use crate::{paths, wasm};
use futures_util::future::BoxFuture;
use omnifs_platform::mounting::{self, UnmountMode};
use omnifs_platform::native;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long a mount waits for its push feeds before it says that it is ready. Until a feed stands
/// nothing can be kept, so the first reads would be asked for twice.
const FEEDS_PATIENCE: Duration = Duration::from_secs(1);

/// How long a mount waits, from when its components are loaded, for the services to say whose its
/// credentials are.
const WHOSE_PATIENCE: Duration = Duration::from_secs(2);

/// The part of the cache capacity that responses kept for revalidation may take: one eighth.
const VALIDATORS_SHARE: u64 = 8;

/// A mount that answers.
pub struct Mounted {
    pub daemon: Arc<dyn Daemon>,
    pub mount: Box<dyn Mount>,
    /// Providers that do not work, one line each. The others do.
    pub warnings: Vec<String>,
    /// Providers whose credentials are missing or refused, one line each with what to do.
    pub credentials: Vec<String>,
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

/// One instance whose component works.
pub(super) struct Working {
    pub name: String,
    pub manifest: Manifest,
    pub provider: Arc<dyn Provider>,
    pub outbound: Outbound,
}

/// Loads the instances' components, and mounts them. What it began it takes back when it fails or
/// is dropped.
pub async fn start(options: &Options) -> Result<Mounted, Refused> {
    let (backend, native) = (options.config.mount.backend, Backend::native());
    if backend != native && backend != Backend::Nfs {
        return Err(Refused {
            message: format!("this build cannot mount through {}", backend.name()),
            hint: Some(format!("use --backend {}", native.name())),
        });
    }
    let engine = wasm::Engine::new().map_err(refused)?;
    let config = &options.config;
    let kept = (config.cache.bytes / VALIDATORS_SHARE) as usize;
    let validators = Arc::new(Validators::new(kept));
    let mut warnings = Vec::new();
    let mut instances = Vec::new();
    let (mut working, mut reports, mut summaries) = (Vec::new(), Vec::new(), Vec::new());
    // Side by side, so that one which takes long to compile does not hold up the others.
    let loading = options
        .instances
        .iter()
        .map(|instance| load(&engine, instance, config, &options.paths.cache, &validators));
    let loaded = futures_util::future::join_all(loading).await;
    for (instance, loaded) in options.instances.iter().zip(loaded) {
        let (root, provider, manifest) = match &loaded {
            Ok(loaded) => {
                let root: Arc<str> = loaded.manifest.root.as_str().into();
                let provider = match instance.config.allow.clone() {
                    None => loaded.provider.clone(),
                    Some(allow) => {
                        let (name, root) = (instance.name.as_str().into(), root.clone());
                        Arc::new(Allowed::new(loaded.provider.clone(), name, root, allow))
                    }
                };
                (root, Ok(provider), Some(&loaded.manifest))
            }
            Err(problem) => {
                warnings.push(format!("{}: {}", instance.name, line(problem)));
                (Arc::<str>::from("unavailable"), Err(unavailable(&instance.name, problem)), None)
            }
        };
        let (name, settings) = (instance.name.as_str(), &instance.config.settings);
        let about = About { name, manifest, settings, allow: instance.config.allow.as_ref() };
        let written = Arc::new(Reports::default());
        let files = guide::Files::new(provider, root.clone(), &about, written.clone());
        reports.push((name.to_owned(), written));
        let summary = manifest.map_or("it does not work", |manifest| &manifest.summary);
        summaries.push((name.to_owned(), summary.to_owned()));
        instances.push(router::Instance { name: name.into(), root, provider: Ok(Arc::new(files)) });
        working.extend(loaded);
    }
    let summaries = summaries.iter().map(|(name, summary)| (name.as_str(), summary.as_str()));
    let router = Router::new(instances).with_files(RootFiles::new(summaries));
    let asking = ask_whose(&working);
    let capacity =
        Capacity { nodes: config.cache.nodes as usize, bytes: config.cache.bytes as usize - kept };
    let epoch = installation(&options.paths.state)?;
    let tokio = tokio::runtime::Handle::current();
    let runtime = Runtime::new(router, capacity, epoch, tokio.clone());
    runtime.set_stale_if_error(config.mount.stale_if_error);
    let feeds = start_feeds(&working, &runtime, options.poll_every);
    let webhook = listen(options, &working, &runtime).await?;
    await_push(&working, &feeds).await;
    let mount = {
        let (runtime, options) = (runtime.clone(), options);
        tokio::task::block_in_place(|| match backend {
            Backend::Nfs => nfs::mount(runtime, options, &tokio),
            _ => mount(runtime, options, &tokio),
        })?
    };
    // Each ends by itself at the deadline.
    futures_util::future::join_all(asking).await;
    let credentials: Vec<_> = working.iter().filter_map(credentials_line).collect();
    for line in &credentials {
        tracing::warn!("{line}");
    }
    let core = Arc::new(Core {
        runtime,
        working,
        problems: warnings.clone(),
        feeds,
        webhook,
        webhook_url: options.config.mount.webhook_url.clone(),
        validators,
        names: options.instances.iter().map(|instance| instance.name.clone()).collect(),
        followed: Followed::new(options),
    });
    core.write_reports(&reports);
    Ok(Mounted { daemon: core, mount, warnings, credentials })
}

/// Begins to ask every service whose its credentials are.
fn ask_whose(working: &[Working]) -> Vec<tokio::task::JoinHandle<()>> {
    let ask = |outbound: Outbound| async move {
        // What was learned by then is in the credentials' status.
        let _ = tokio::time::timeout(WHOSE_PATIENCE, outbound.ask_whose()).await;
    };
    working.iter().map(|instance| tokio::spawn(ask(instance.outbound.clone()))).collect()
}

/// What is wrong with the credentials of an instance and what to do, in one line.
fn credentials_line(instance: &Working) -> Option<String> {
    let all = instance.outbound.credentials();
    let bad = all.iter().filter(|credential| credential.state.is_bad());
    let told = bad.map(|credential| {
        let detail = credential.detail.as_deref().unwrap_or_default();
        format!("credential {}: {detail}", credential.summary())
    });
    let told: Vec<_> = told.collect();
    (!told.is_empty()).then(|| format!("{}: {}", instance.name, told.join("; ")))
}

/// What keeps an instance from working, and what to do, in one line.
fn line(problem: &Refused) -> String {
    match &problem.hint {
        Some(hint) => format!("{} ({hint})", problem.message),
        None => problem.message.clone(),
    }
}

fn unavailable(name: &str, problem: &Refused) -> Failure {
    Failure {
        provider: name.into(),
        cause: Cause::Invalid,
        detail: line(problem),
        retry_after: None,
    }
}

async fn load(
    engine: &wasm::Engine,
    instance: &Instance,
    config: &Config,
    cache: &Path,
    validators: &Arc<Validators>,
) -> Result<Working, Refused> {
    let hinted = |error: component::Error| Refused {
        message: error.to_string(),
        hint: error.hint(&instance.name),
    };
    let component = component::approved(instance, shipped()).map_err(hinted)?;
    let compiling = {
        let (engine, name, cache) = (engine.clone(), instance.name.clone(), cache.to_owned());
        tokio::task::spawn_blocking(move || {
            wasm::Component::load(&engine, &component.bytes, &name, Some(&cache))
        })
    };
    let loaded = compiling.await.map_err(refused)?.map_err(refused)?;
    let manifest = loaded.describe().await.map_err(refused)?;
    approval::bind(instance, &manifest).map_err(hinted)?;
    if let Some(unknown) =
        instance.config.settings.keys().find(|k| !manifest.config.iter().any(|c| c.name == **k))
    {
        let known: Vec<_> = manifest.config.iter().map(|c| c.name.as_str()).collect();
        return Err(Refused {
            message: format!("the provider has no setting '{unknown}'"),
            hint: Some(format!("it has: {}", known.join(", "))),
        });
    }
    let validators = validators.clone();
    let outbound = credentials::outbound(instance, &manifest, validators, &config.limits)?;
    let limits = wasm::Limits {
        memory: config.limits.guest_memory as usize,
        cpu: config.limits.call_time,
        content: config.limits.content_size as usize,
        ..wasm::Limits::default()
    };
    let upstream: Arc<dyn Upstream> = Arc::new(outbound.clone());
    let settings: BTreeMap<_, _> = instance.config.settings.clone();
    let provider =
        wasm::Instance::new(&instance.name, loaded, &manifest, &settings, Some(upstream), limits);
    Ok(Working { name: instance.name.clone(), manifest, provider: Arc::new(provider), outbound })
}

/// When omnifs was first used here: the time shown for what has none. A file's own modified time,
/// so that it is the same at every start.
fn installation(state: &Path) -> Result<SystemTime, Refused> {
    let file = state.join("installed");
    let made = || {
        paths::private_dir(state)?;
        match paths::private_file().write(true).create_new(true).open(&file) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        std::fs::metadata(&file)?.modified()
    };
    made().map_err(|error| Refused {
        message: format!("cannot write {}: {error}", file.display()),
        hint: paths::remedy(&file, &error),
    })
}

fn start_feeds(
    working: &[Working],
    runtime: &Arc<Runtime>,
    poll_every: Option<Duration>,
) -> Vec<Feeds> {
    working
        .iter()
        .map(|instance| {
            let feeds = &instance.manifest.feeds;
            let covered = feeds.iter().map(|feed| Arc::from(feed.scopes.as_str())).collect();
            runtime.declared(&instance.name, covered);
            for feed in feeds {
                if feed.kind == FeedKind::Poll {
                    runtime.polled(&instance.name, &feed.scopes);
                }
            }
            let outbound = instance.outbound.clone();
            let clock = ServiceClock(Arc::new(move || outbound.service_seconds()));
            runtime.set_clock(&instance.name, clock);
            let feeds = FeedSupervisor::start(
                &instance.name,
                instance.provider.clone(),
                &instance.manifest.feeds,
                instance.outbound.clone(),
                runtime.clone(),
                pace(poll_every),
            );
            runtime.set_prover(&instance.name, feeds.prover());
            feeds
        })
        .collect()
}

/// `OMNIFS_POLL_MS` replaces every poll interval: for a service of one's own, and for tests.
fn pace(wanted: Option<Duration>) -> Pace {
    let interval = std::env::var("OMNIFS_POLL_MS").ok().and_then(|text| text.parse().ok());
    Pace { poll_override: interval.map(Duration::from_millis).or(wanted), ..Pace::default() }
}

async fn listen(
    options: &Options,
    working: &[Working],
    runtime: &Arc<Runtime>,
) -> Result<Option<Receiver>, Refused> {
    let mut subscribers = Vec::new();
    for instance in working {
        let feeds = &instance.manifest.feeds;
        let signed =
            |feed: &Feed| feed.signature.clone().map(|signature| (feed.clone(), signature));
        let Some((feed, signature)) = feeds.iter().find_map(signed) else { continue };
        let configured = options.instances.iter().find(|i| i.name == instance.name);
        subscribers.push(Subscriber {
            instance: instance.name.as_str().into(),
            alone: webhook::stands_alone(&feed, feeds),
            feed,
            signature,
            provider: instance.provider.clone(),
            secret: credentials::webhook(
                &instance.name,
                configured.and_then(|i| i.config.webhook_secret_file.clone()),
            ),
        });
    }
    let Some(address) = options.config.mount.webhook_listen else {
        for subscriber in subscribers.iter().filter(|subscriber| subscriber.alone) {
            let why = "webhooks are not received: mount with --webhook-listen";
            runtime.rest(&subscriber.instance, &subscriber.feed.scopes, why);
        }
        return Ok(None);
    };
    let receiver =
        Receiver::bind(address, subscribers, runtime.clone(), webhook::Options::default());
    receiver.await.map(Some).map_err(refused)
}

async fn await_push(working: &[Working], feeds: &[Feeds]) {
    let deadline = Instant::now() + FEEDS_PATIENCE;
    let push =
        |instance: &Working| instance.manifest.feeds.iter().any(|f| f.kind == FeedKind::Push);
    let connecting = || {
        working.iter().zip(feeds).any(|(instance, feeds)| {
            push(instance)
                && feeds
                    .status()
                    .iter()
                    .any(|f| f.kind == "push" && f.state == FeedState::Connecting)
        })
    };
    while connecting() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Mounts through this system's own back end.
fn mount(
    runtime: Arc<Runtime>,
    options: &Options,
    tokio: &tokio::runtime::Handle,
) -> Result<Box<dyn Mount>, Refused> {
    let wanted = native::Options {
        allow_other: options.config.mount.allow_other,
        exec: options.config.mount.exec,
        watch_events: options.config.mount.watch_events,
        threads: options.config.mount.threads,
        identity: options.instances.iter().map(|instance| instance.name.clone()).collect(),
        created: installation(&options.paths.state)?,
    };
    match native::mount(runtime, &options.mountpoint, &wanted, tokio) {
        Ok(mounted) => Ok(Box::new(Native(mounted))),
        Err(native::Refusal { message, hint }) => Err(Refused { message, hint }),
    }
}

struct Native(native::Mounted);

impl Mount for Native {
    fn unmount(&mut self, how: UnmountMode) -> Result<(), mounting::Error> {
        self.0.unmount(how)
    }

    fn ended(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.ended())
    }
}
