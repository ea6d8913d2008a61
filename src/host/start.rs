//! From configured instances to a mount that answers.

use super::fleet::join;
use super::reload::Followed;
use super::running::{Loader, Place, Running, Working, in_front, line};
use super::status::Core;
use super::{credentials, nfs, refused};
use crate::cache::Capacity;
use crate::capability::Outbound;
use crate::capability::validators::Validators;
use crate::config::{Backend, Instance};
use crate::control::{Daemon, Refused};
use crate::daemon::{FREED, Mount, Options, until_free};
use crate::disk::{Disk, Owner, Space, SpaceId};
use crate::events::Ledger as _;
use crate::events::webhook::{self, Receiver, Subscriber};
use crate::guide::{Reports, RootFiles};
use crate::provider::{Feed, Provider};
use crate::replaceable::Replaceable;
use crate::router::{self, Router};
use crate::runtime::Runtime;
use crate::{paths, wasm};
use futures_util::future::BoxFuture;
use omnifs_platform::mounting::{self, UnmountMode};
use omnifs_platform::native;
use parking_lot::RwLock;
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
pub(super) const VALIDATORS_SHARE: u64 = 8;

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
    let config = &options.config;
    let kept = (config.cache.bytes / VALIDATORS_SHARE) as usize;
    let validators = Arc::new(Validators::new(kept));
    let loader = Loader {
        engine: wasm::Engine::new().map_err(refused)?,
        config: config.clone(),
        cache: options.paths.cache.clone(),
        validators: validators.clone(),
        poll_every: options.poll_every,
        fleet: match &config.fleet {
            Some(fleet) => Some(join(fleet, fleet.credentials_file.as_deref()).await?),
            None => None,
        },
    };
    let mut warnings = Vec::new();
    let mut instances = Vec::new();
    let (mut working, mut reports, mut summaries) = (Vec::new(), Vec::new(), Vec::new());
    // Side by side, so that one which takes long to compile does not hold up the others.
    let loading = options.instances.iter().map(|instance| loader.load(instance, None));
    let loaded = futures_util::future::join_all(loading).await;
    for (instance, loaded) in options.instances.iter().zip(loaded) {
        let written = Arc::new(Reports::default());
        let (root, files) = in_front(instance, loaded.as_ref(), written.clone());
        let front = Arc::new(Replaceable::new(files));
        let summary = match &loaded {
            Ok(loaded) => loaded.manifest.summary.clone(),
            Err(problem) => {
                warnings.push(format!("{}: {}", instance.name, line(problem)));
                "it does not work".to_owned()
            }
        };
        summaries.push((instance.name.clone(), summary));
        reports.push((instance.name.clone(), written.clone()));
        let (name, provider) = (instance.name.as_str().into(), Ok(front.clone() as Arc<_>));
        instances.push(router::Instance { name, root, provider });
        working.extend(loaded.map(|loaded| (loaded, Place { front, reports: written })));
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
    let disk = match config.cache.disk {
        0 => None,
        room => Some(keep_on_disk(options, room, &runtime, &validators, &working).await),
    };
    let running = working.into_iter().map(|(working, place)| {
        let feeds = loader.start_feeds(&working, &runtime);
        Arc::new(Running { working, feeds, place })
    });
    let running: Vec<_> = running.collect();
    let goes_on = options.goes_on();
    let listening = match goes_on {
        // The process before may have the port until it has got its last answers.
        true => None,
        false => {
            let webhook = listen(options, &running, &runtime).await?;
            await_push(&running).await;
            Some(webhook)
        }
    };
    let mount = {
        let (runtime, options) = (runtime.clone(), options);
        tokio::task::block_in_place(|| match backend {
            Backend::Nfs => nfs::mount(runtime, options, &tokio),
            _ => mount(runtime, options, &tokio),
        })?
    };
    let webhook = match listening {
        Some(webhook) => webhook,
        None => {
            // It answers from here on.
            options.keeper.iter().for_each(|keeper| keeper.ready());
            let listening = async || listen(options, &running, &runtime).await;
            until_free(Some(FREED), listening).await.unwrap_or_else(|error| {
                let warning = format!("webhooks are not received: {}", error.message);
                tracing::warn!("{warning}");
                warnings.push(warning);
                None
            })
        }
    };
    // Each ends by itself at the deadline.
    futures_util::future::join_all(asking).await;
    let credentials = running.iter().filter_map(|running| credentials_line(&running.working));
    let credentials: Vec<_> = credentials.collect();
    for line in &credentials {
        tracing::warn!("{line}");
    }
    let core = Arc::new(Core {
        runtime,
        running: RwLock::new(running),
        loader,
        swapping: tokio::sync::Mutex::default(),
        instances: options.instances.clone(),
        problems: warnings.clone(),
        webhook,
        webhook_url: options.config.mount.webhook_url.clone(),
        validators,
        disk,
        followed: Followed::new(options),
        keeper: options.keeper.clone(),
    });
    core.write_reports(&reports);
    Ok(Mounted { daemon: core, mount, warnings, credentials })
}

/// Opens the store of this mount, and goes on with what it has of instances that are the same as they were.
async fn keep_on_disk(
    options: &Options,
    room: u64,
    runtime: &Arc<Runtime>,
    validators: &Validators,
    working: &[(Working, Place)],
) -> Arc<Disk> {
    let (cache, mountpoint) = (&options.paths.cache, &options.mountpoint);
    // Of a mount that has just been taken down, the process may still write.
    let open = || Disk::open(cache, mountpoint, room, true);
    let (disk, start) = tokio::task::block_in_place(open);
    let disk = Arc::new(disk);
    runtime.set_disk(disk.clone(), start);
    validators.set_disk(disk.clone());
    let key = disk.key();
    for (working, _) in working {
        let configured = options.instances.iter().find(|instance| instance.name == working.name);
        let (Some(instance), Some(configured)) = (runtime.router().find(&working.name), configured)
        else {
            continue;
        };
        let outbound = working.outbound.clone();
        // What was looked up once is not another secret when it is looked up again.
        let _ = outbound.identity(&key).await;
        let held = outbound.held();
        let identity = match outbound.identity(&key).await {
            Ok(identity) if outbound.held() == held => identity,
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(provider = %working.name, "its answers are not kept on disk: {error}");
                continue;
            }
        };
        let rules = format!("{:?} {:?}", configured.config.settings, configured.config.allow);
        let parts = [
            env!("CARGO_PKG_VERSION").as_bytes(),
            working.name.as_bytes(),
            &working.component,
            rules.as_bytes(),
            &identity,
        ];
        runtime.admit(Space {
            id: SpaceId::of(&key, &parts),
            name: working.name.as_str().into(),
            instance,
            // What a fleet's bus tells of has no cursor of this mount.
            vouched: options.config.fleet.is_none(),
            replaces: held.is_whole(),
            owner: Box::new(move || Owner {
                is_same: outbound.held() == held,
                is_admitted: outbound.is_admitted(),
                forbidden: outbound.forbidden(),
            }),
        });
    }
    disk
}

/// Begins to ask every service whose its credentials are.
fn ask_whose(working: &[(Working, Place)]) -> Vec<tokio::task::JoinHandle<()>> {
    let ask = |outbound: Outbound| async move {
        // What was learned by then is in the credentials' status.
        let _ = tokio::time::timeout(WHOSE_PATIENCE, outbound.ask_whose()).await;
    };
    working.iter().map(|(instance, _)| tokio::spawn(ask(instance.outbound.clone()))).collect()
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

async fn listen(
    options: &Options,
    running: &[Arc<Running>],
    runtime: &Arc<Runtime>,
) -> Result<Option<Receiver>, Refused> {
    let mut subscribers = Vec::new();
    for Running { working: instance, place, .. } in running.iter().map(|running| &**running) {
        let configured = options.instances.iter().find(|i| i.name == instance.name);
        subscribers.extend(subscriber(instance, place.front.clone(), configured));
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

/// An instance that takes webhooks, if its manifest says so. `provider` is what understands them.
pub(super) fn subscriber(
    instance: &Working,
    provider: Arc<dyn Provider>,
    configured: Option<&Instance>,
) -> Option<Subscriber> {
    let feeds = &instance.manifest.feeds;
    let signed = |feed: &Feed| feed.signature.clone().map(|signature| (feed.clone(), signature));
    let (feed, signature) = feeds.iter().find_map(signed)?;
    let secret = configured.and_then(|instance| instance.config.webhook_secret_file.clone());
    Some(Subscriber {
        instance: instance.name.as_str().into(),
        alone: webhook::stands_alone(&feed, feeds),
        feed,
        signature,
        provider,
        secret: credentials::webhook(&instance.name, secret),
    })
}

async fn await_push(running: &[Arc<Running>]) {
    let deadline = Instant::now() + FEEDS_PATIENCE;
    let connecting = || running.iter().any(|running| running.is_connecting());
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
        keeper: options.keeper.clone(),
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
