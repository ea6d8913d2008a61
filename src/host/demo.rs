//! The services of `omnifs demo`: twins of GitHub and Linear on loopback.

use crate::control::Refused;
use std::any::Any;
use std::fmt;

/// The demo's services, running on loopback until this is dropped.
pub struct Demo {
    /// Instance, endpoint and its URL.
    pub endpoints: Vec<(String, String, String)>,
    /// Commands worth typing, relative to the mountpoint, each with what it costs.
    pub commands: Vec<(String, String)>,
    pub services: Box<dyn Any + Send>,
}

impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// Starts the demo's services.
pub fn demo() -> Result<Demo, Refused> {
    let commands = [
        ("cat docker/containers/by-name/api-server/state", "one request; again: none"),
        ("ls docker/containers/by-name", "one request for all containers"),
        ("tail -f docker/containers/by-name/api-server/logs", "asks the engine once a second"),
        ("grep -r . docker/containers/by-name/*/state", "nothing: the listing held it"),
        ("jq .HostConfig.NetworkMode docker/containers/by-name/api-server/inspect.json", "nothing"),
    ];
    Ok(Demo {
        endpoints: Vec::new(),
        commands: commands.map(|(line, cost)| (line.into(), cost.into())).to_vec(),
        services: Box::new(()),
    })
}
