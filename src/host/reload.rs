//! What a running mount makes of a configuration that has changed.

use super::shipped_names;
use crate::config::{Config, Instance};
use crate::control::{Refused, Reloaded};
use crate::daemon::{Options, Reread};
use crate::paths::Paths;
use parking_lot::Mutex;

/// The one key that takes effect while a mount runs.
const STALE_IF_ERROR: &str = "mount.stale-if-error";

/// What a mount is run with, and where that came from.
pub(super) struct Followed {
    reread: Option<Reread>,
    paths: Paths,
    running: Mutex<Running>,
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
        Followed { reread, paths, running: Mutex::new(running) }
    }

    pub fn stale_if_error(&self) -> bool {
        self.running.lock().config.mount.stale_if_error
    }

    /// Reads the file again. `apply` is told the new `stale-if-error` where it has changed.
    pub fn reload(&self, apply: impl FnOnce(bool)) -> Result<Reloaded, Refused> {
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
        let config = Config::load(&self.paths.config, *named).map_err(wrong)?.over(overrides);
        let instances = config.instances(&shipped_names(), &self.paths.providers(), flags);
        let mut enabled = instances.map_err(|error| wrong(vec![error]))?;
        enabled.retain(|instance| instance.enabled);
        let mut running = self.running.lock();
        let mut reloaded = Reloaded::default();
        for key in running.config.differences(&config) {
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
        if !reloaded.applied.is_empty() {
            running.config.mount.stale_if_error = config.mount.stale_if_error;
            apply(config.mount.stale_if_error);
        }
        Ok(reloaded)
    }
}

fn names(instances: &[Instance]) -> Vec<String> {
    instances.iter().map(|instance| instance.name.clone()).collect()
}
