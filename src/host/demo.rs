//! The services of `omnifs demo`, as a mount's configuration.

use crate::config::{Config, EndpointConfig, InstanceConfig};
use crate::control::Refused;
use omnifs_twins::Request;
use omnifs_twins::demo;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

pub use omnifs_twins::demo::{Command, Happening};

/// The demo's services, running on loopback until this is dropped.
pub struct Demo {
    /// What to mount, with nothing of the user's own configuration.
    pub config: Config,
    /// Commands worth typing in the mountpoint, in this order.
    pub commands: Vec<Command>,
    services: Arc<demo::Demo>,
}

/// Has things happen in the demo until it is dropped.
#[derive(Debug)]
pub struct Live {
    _stop: Sender<()>,
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Demo {
    /// Has something happen each time that so much has passed, and tells of it.
    ///
    /// # Errors
    /// Where the system starts no thread.
    pub fn live(
        &self,
        every: Duration,
        mut tell: impl FnMut(Happening) + Send + 'static,
    ) -> std::io::Result<Live> {
        let (services, (stop, stopped)) = (self.services.clone(), channel::<()>());
        thread::Builder::new().name("demo".into()).spawn(move || {
            for turn in 0.. {
                if stopped.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                match services.step(turn) {
                    Ok(happening) => tell(happening),
                    Err(error) => return tracing::warn!(%error, "nothing more happens in the demo"),
                }
            }
        })?;
        Ok(Live { _stop: stop })
    }

    /// Why there is nothing of a service that the demo would show too, a line each.
    pub fn missing(&self) -> Vec<String> {
        let absent = self.services.absent().into_iter();
        absent.map(|instance| format!("no {instance}: no engine answers here")).collect()
    }

    /// Everything the twins were asked so far, polls among it.
    pub fn requests(&self) -> Vec<Request> {
        self.services.requests()
    }
}

/// Starts the demo's services.
///
/// # Errors
/// Where loopback ports cannot be had.
pub fn demo() -> Result<Demo, Refused> {
    let services = demo::Demo::start().map_err(|error| Refused {
        message: format!("cannot start the demo's services on 127.0.0.1: {error}"),
        hint: None,
    })?;
    let mut config = Config::default();
    for place in services.places() {
        let demo::Place { instance, endpoint, url, redirect_hosts } = place;
        let url = Some(url);
        let place = EndpointConfig { url, redirect_hosts, ..EndpointConfig::default() };
        let endpoints = [(endpoint.to_owned(), place)].into();
        let placed = InstanceConfig { endpoints, ..InstanceConfig::default() };
        config.written.insert(instance.to_owned(), placed);
    }
    for instance in services.absent() {
        let absent = InstanceConfig { enabled: Some(false), ..InstanceConfig::default() };
        config.written.insert(instance.to_owned(), absent);
    }
    Ok(Demo { config, commands: services.commands(), services: Arc::new(services) })
}
