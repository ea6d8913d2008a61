//! One form for the two answers about a container.

use super::*;
use omnifs_sdk::{Content, json, time};

/// A container as both answers show it. The listing holds less: what it lacks is `None`.
#[derive(Debug, Default)]
pub struct Container {
    pub id: String,
    /// Without the engine's leading slash. Empty while a container is being removed.
    pub name: String,
    pub image: Option<String>,
    pub command: String,
    /// Seconds since the Unix epoch.
    pub created: Option<u64>,
    pub state: String,
    /// Without its age.
    pub status: String,
    pub exit_code: Option<i64>,
    pub health: Option<String>,
    /// `80/tcp -> 0.0.0.0:8080` as `docker port` writes it, `80/tcp` where nothing is bound.
    pub ports: Vec<String>,
    /// `SOURCE:DESTINATION:rw` as `docker run -v` takes it.
    pub mounts: Vec<String>,
    pub networks: Vec<String>,
    pub labels: Labels,
    /// Its log driver keeps nothing that the engine could read.
    pub unreadable: bool,
    /// The object's own answer.
    pub full: Option<Raw<ContainerInspect>>,
}

fn runs(state: &str) -> bool {
    matches!(state, "running" | "paused" | "restarting")
}

impl Container {
    /// Its process may write to the log, of which no event tells.
    pub fn is_running(&self) -> bool {
        runs(&self.state)
    }

    /// Its removal has begun, or failed, of which no event tells either.
    pub fn is_leaving(&self) -> bool {
        matches!(self.state.as_str(), "removing" | "dead")
    }

    /// What it logs may be read, and may grow.
    pub fn may_log(&self) -> bool {
        self.is_running() && !self.unreadable
    }

    /// A container that never started has logged nothing. What one has logged that is being removed,
    /// or that another place keeps, the engine does not answer.
    pub fn no_log(&self) -> Option<Content> {
        let none = self.unreadable || self.is_leaving() || self.state == "created";
        none.then(Content::default)
    }
}

impl From<ContainerSummary> for Container {
    fn from(c: ContainerSummary) -> Self {
        let (status, exit_code, health) = without_age(&c.status);
        // Names with a second slash are links from other containers.
        let mut names = c.names.iter().map(|name| name.trim_start_matches('/'));
        Container {
            name: names.find(|name| !name.contains('/')).unwrap_or_default().to_owned(),
            // The id stands in for a name that no longer leads to this image.
            image: (c.image != c.image_id).then_some(c.image),
            command: c.command,
            created: u64::try_from(c.created).ok(),
            state: c.state,
            status,
            exit_code,
            health,
            ports: port_lines(c.ports),
            mounts: mount_lines(&c.mounts),
            networks: c.network_settings.networks.into_keys().collect(),
            labels: c.labels,
            id: c.id,
            unreadable: false,
            full: None,
        }
    }
}

impl From<Raw<ContainerInspect>> for Container {
    fn from(c: Raw<ContainerInspect>) -> Self {
        let health = c.state.health.as_ref().map_or("none", |health| &health.status);
        Container {
            id: c.id.clone(),
            name: c.name.trim_start_matches('/').to_owned(),
            image: Some(c.config.image.clone()),
            command: c.command(),
            created: time::rfc3339_ms(&c.created).map(|ms| ms / 1000),
            state: c.state.status.clone(),
            status: c.state.line(),
            exit_code: Some(c.state.exit_code),
            health: Some(health.to_owned()),
            ports: port_lines(c.network_settings.ports()),
            mounts: mount_lines(&c.mounts),
            networks: c.network_settings.networks.keys().cloned().collect(),
            labels: c.config.labels.clone(),
            unreadable: c.host_config.log_config.is_unreadable(),
            full: Some(c),
        }
    }
}

impl ContainerInspect {
    /// The whole answer without what changes with no event, in an order of its own.
    pub fn stable(inspect: &Raw<Self>) -> Content {
        let health = ["Log", "FailingStreak"].map(|field| ["State", "Health", field]);
        let networks = ["NetworkSettings", "Networks"];
        let mut unannounced: Vec<&[&str]> = vec![&["ExecIDs"], &health[0], &health[1]];
        if !runs(&inspect.state.status) {
            unannounced.push(&networks);
        }
        let mut inspect = json::without(inspect.json.value(), &unannounced);
        if let Some(mounts) = inspect["Mounts"].as_array_mut() {
            mounts.sort_by_key(|mount| mount["Destination"].to_string());
        }
        json(&inspect)
    }

    /// As the listing writes it.
    fn command(&self) -> String {
        let quoted = |arg: &String| {
            if arg.contains(' ') { format!("'{arg}'") } else { arg.clone() }
        };
        let words = std::iter::once(self.path.clone()).chain(self.args.iter().map(quoted));
        words.collect::<Vec<_>>().join(" ")
    }
}

impl LogConfig {
    /// Whether the engine says so by itself. Engines before 20.10 read few drivers' logs, which shows
    /// when one is asked for.
    fn is_unreadable(&self) -> bool {
        let uncached = || self.config.get("cache-disabled").is_some_and(|off| off == "true");
        match self.kind.as_str() {
            "none" | "passthrough" => true,
            "json-file" | "local" | "journald" => false,
            _ => uncached(),
        }
    }
}

impl State {
    /// The listing's `Status` without its age.
    fn line(&self) -> String {
        let zero = |time: &str| time.is_empty() || time.starts_with("0001-");
        match self.health.as_ref().map(|health| health.status.as_str()) {
            _ if self.running && self.paused => "Up (Paused)".to_owned(),
            _ if self.running && self.restarting => format!("Restarting ({})", self.exit_code),
            Some("starting") if self.running => "Up (health: starting)".to_owned(),
            Some(health) if self.running => format!("Up ({health})"),
            None if self.running => "Up".to_owned(),
            _ if self.status == "removing" => "Removal In Progress".to_owned(),
            _ if self.dead => "Dead".to_owned(),
            _ if zero(&self.started_at) => "Created".to_owned(),
            _ if zero(&self.finished_at) => String::new(),
            _ => format!("Exited ({})", self.exit_code),
        }
    }
}

/// The listing's status without its age, and what it tells of exit code and health.
fn without_age(status: &str) -> (String, Option<i64>, Option<String>) {
    if let Some(up) = status.strip_prefix("Up ") {
        let note = up.strip_suffix(')').and_then(|up| Some(up.rsplit_once(" (")?.1));
        let health = match note {
            None => Some("none"),
            Some("Paused") => None,
            Some(note) => Some(note.trim_start_matches("health: ")),
        };
        let note = note.map(|note| format!(" ({note})")).unwrap_or_default();
        return (format!("Up{note}"), Some(0), health.map(str::to_owned));
    }
    let ended = ["Exited (", "Restarting ("].iter().any(|word| status.starts_with(word));
    match status.split_once(") ").filter(|_| ended) {
        Some((head, _)) => {
            let code = head.split_once('(').and_then(|(_, code)| code.parse().ok());
            (format!("{head})"), code, None)
        }
        None => (status.to_owned(), None, None),
    }
}

impl Networks {
    fn ports(&self) -> Vec<Port> {
        let one = |(port, bindings): (&String, &Option<Vec<Binding>>)| {
            let (private, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            let (private_port, protocol) = (private.parse().unwrap_or(0), protocol.to_owned());
            let port = Port { private_port, protocol, ..Port::default() };
            let bound = |binding: &Binding| Port {
                ip: binding.host_ip.clone(),
                public_port: binding.host_port.parse().unwrap_or(0),
                ..port.clone()
            };
            match bindings.as_deref().unwrap_or_default() {
                [] => vec![port],
                bindings => bindings.iter().map(bound).collect(),
            }
        };
        self.ports.iter().flat_map(one).collect()
    }
}

fn port_lines(mut ports: Vec<Port>) -> Vec<String> {
    ports.sort();
    let line = |port: Port| {
        let Port { private_port, protocol, ip, public_port } = port;
        match public_port {
            0 => format!("{private_port}/{protocol}"),
            _ if ip.contains(':') => format!("{private_port}/{protocol} -> [{ip}]:{public_port}"),
            _ => format!("{private_port}/{protocol} -> {ip}:{public_port}"),
        }
    };
    ports.into_iter().map(line).collect()
}

/// Sorted: the engine's order is random.
fn mount_lines(mounts: &[Mount]) -> Vec<String> {
    let line = |mount: &Mount| {
        let mut sources = [&mount.name, &mount.source, &mount.kind].into_iter();
        let source = sources.find(|source| !source.is_empty()).map_or("", |source| source);
        format!("{source}:{}:{}", mount.destination, if mount.writable { "rw" } else { "ro" })
    };
    let mut lines: Vec<_> = mounts.iter().map(line).collect();
    lines.sort();
    lines
}

/// A container's place in compose, by its labels: project and service.
pub fn service(labels: &Labels) -> Option<(String, String)> {
    let label = |name| labels.get(name).cloned();
    label("com.docker.compose.project").zip(label("com.docker.compose.service"))
}
