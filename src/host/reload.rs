//! What a running mount makes of a configuration that has changed.

use super::shipped_names;
use crate::config::{Config, Instance};
use crate::control::{Refused, Reloaded};
use crate::daemon::{Options, Reread};
use crate::paths::Paths;
use parking_lot::Mutex;

/// The one key that takes effect while a mount runs, but for those of [`COMPONENT`].
const STALE_IF_ERROR: &str = "mount.stale-if-error";

/// Of `[instances.NAME]`: which component it is, and what approves it.
const COMPONENT: [&str; 3] = ["provider", "grant", "asks"];

/// What a mount is run with, and where that came from.
pub(super) struct Followed {
    reread: Option<Reread>,
    paths: Paths,
    running: Mutex<Running>,
    reloading: Mutex<()>,
}

struct Running {
    config: Config,
    /// Names of the instances that are shown.
    names: Vec<String>,
}

impl Followed {
    pub fn new(options: &Options) -> Followed {
        let running = Running { config: options.config.clone(), names: names(&options.instances) };
        let (reread, paths) = (options.reread.clone(), options.paths.clone());
        Followed { reread, paths, running: Mutex::new(running), reloading: Mutex::default() }
    }

    pub fn stale_if_error(&self) -> bool {
        self.running.lock().config.mount.stale_if_error
    }

    /// Reads the file again. `apply` is told the new `stale-if-error` where it has changed, and `replace` has an
    /// instance run another component, or says that it runs none.
    pub fn reload(
        &self,
        apply: impl FnOnce(bool),
        replace: impl Fn(&Instance) -> Option<Result<(), Refused>>,
    ) -> Result<Reloaded, Refused> {
        let Some(Reread { named, overrides, flags }) = &self.reread else {
            return Err(Refused {
                message: "this mount follows no configuration file".into(),
                hint: Some("unmount it and mount it again".into()),
            });
        };
        let wrong = |errors: Vec<crate::config::Error>| {
            let first = errors.into_iter().next();
            let told = first.as_ref().map(|error| (error.to_string(), error.hint()));
            let (message, hint) = told.unwrap_or_default();
            let hint = hint.unwrap_or_else(|| "`omnifs config check` shows every mistake".into());
            Refused { message: format!("nothing was changed: {message}"), hint: Some(hint) }
        };
        // Before the file is read: the last one to read it is the last one to apply it. Components are compiled
        // meanwhile, and a status waits for none of that.
        let _one = self.reloading.lock();
        let config = Config::load(&self.paths.config, *named).map_err(wrong)?.over(overrides);
        let instances = config.instances(&shipped_names(), &self.paths.providers(), flags);
        let mut enabled = instances.map_err(|error| wrong(vec![error]))?;
        enabled.retain(|instance| instance.enabled);
        let mut reloaded = Reloaded::default();
        let mut differ = self.running.lock().config.differences(&config);
        let shown = self.running.lock().names.clone();
        for instance in enabled.iter().filter(|instance| shown.contains(&instance.name)) {
            let keys = COMPONENT.map(|key| format!("instances.{}.{key}", instance.name));
            if flags.iter().any(|(name, _)| *name == instance.name)
                || !keys.iter().any(|key| differ.contains(key))
            {
                continue;
            }
            match replace(instance) {
                None => {}
                Some(Ok(())) => {
                    let written = &mut self.running.lock().config.written;
                    let known = written.entry(instance.name.clone()).or_default();
                    known.provider.clone_from(&instance.config.provider);
                    known.grant.clone_from(&instance.config.grant);
                    known.asks.clone_from(&instance.config.asks);
                    reloaded.applied.extend(keys.into_iter().filter(|key| differ.contains(key)));
                }
                Some(Err(Refused { message, hint })) => {
                    // Who asked may have stopped waiting.
                    tracing::warn!(provider = %instance.name, "no other component takes its place: {message}");
                    differ.retain(|key| !keys.contains(key));
                    let message = format!("{}: {message}", instance.name);
                    reloaded.refused.push(Refused { message, hint });
                }
            }
        }
        let mut running = self.running.lock();
        differ.retain(|key| !reloaded.applied.contains(key));
        for key in differ {
            match key == STALE_IF_ERROR {
                true => reloaded.applied.push(key),
                false => reloaded.waiting.push(key),
            }
        }
        // A component that was dropped into the provider directory is in no line of the file.
        let names = names(&enabled);
        for name in names.iter().chain(&running.names) {
            let told = format!("instances.{name}");
            let seen = |key: &String| *key == told || key.starts_with(&format!("{told}."));
            if names.contains(name) != running.names.contains(name)
                && !reloaded.waiting.iter().any(seen)
            {
                reloaded.waiting.push(told);
            }
        }
        if running.config.mount.stale_if_error != config.mount.stale_if_error {
            running.config.mount.stale_if_error = config.mount.stale_if_error;
            apply(config.mount.stale_if_error);
        }
        Ok(reloaded)
    }
}

fn names(instances: &[Instance]) -> Vec<String> {
    instances.iter().map(|instance| instance.name.clone()).collect()
}
