//! Docker as files: containers, images, volumes, networks and compose projects of one engine.
//!
//! Every object and listing is in the one scope `engine`, which the engine's event stream covers, but
//! for those of which no event tells. SEMANTICS.md has the table. So no scoped file may hold what
//! changes without an event:
//!
//! - `status` is the engine's without its age: `Up`, `Up (healthy)`, `Up (health: starting)`,
//!   `Up (Paused)`, `Restarting (1)`, `Exited (137)`, `Created`, `Removal In Progress`, `Dead`;
//! - a container's `inspect.json` lacks `ExecIDs`, `State.Health.Log`, `State.Health.FailingStreak`
//!   and, while it does not run, `NetworkSettings.Networks`, and its `Mounts` are sorted; a volume's
//!   lacks `CreatedAt` (older engines move it when a file is made in the volume), `Status` and
//!   `UsageData`; a network's lacks `Status` and `Peers`;
//! - `history.json` lacks `Tags`: they belong to other images as well;
//! - `info.json` holds what changes with an event alone: the list is in `api`.
//!
//! Asked at each open, because no event tells of it: which ids `images/by-id` has (a build without a
//! tag), which networks there are (Podman), the `networks` of a container that does not run, the `state`
//! and `status` of one that is being removed, a volume's `created`, and the log of a running container.
//!
//! A log that the engine cannot read is empty, and kept as such: that of a container whose log driver
//! is `none` or another that the engine does not read from, and of one that is being removed.
//! `HostConfig.LogConfig` in `inspect.json` names the driver.
//!
//! What it costs in calls to the engine, while the event stream is live:
//!
//! - one listing fills every directory of containers, and of each container `id`, `name`, `state`,
//!   `status`, `command`, `ports`, `labels`, `mounts` and, where it runs, `networks`, most often also
//!   `image`, `exit-code` and `health`;
//! - one inspection fills the rest of one container, its log aside;
//! - the log of a container that is not running is one call for `logs`, `stdout.log` and `stderr.log`
//!   together up to 4 MiB, one for each beyond; that of a container that never started is none;
//! - the log of a running one is a stream for each of the three files, held for all who look, from the
//!   first open until a minute after the last use;
//! - `networks` of one that does not run is a call at each open.
//!
//! What a running container does at the moment, `top` and `stats.json`, is found by name and not listed: each
//! is a call at each open, after one for the container, and no walk pays for them. `containers.tsv` and
//! `containers.jsonl` come with the listing.
//!
//! So `grep -r` over a listed container costs 2 where it was never started, 3 where it has ended, 4
//! where it is running; and again 1, 1 and none.
//!
//! JSON is pretty-printed with sorted keys. Other values are the engine's own words; a time that
//! has not come is its `0001-01-01T00:00:00Z`.

mod api;
mod container;
mod feed;
mod guide;
mod image;
mod network;
mod volume;

use omnifs_sdk::http::Request;
use omnifs_sdk::manifest::{Contexts, Endpoint, Feed, Nearby, Setting};
use omnifs_sdk::*;

const SOCKET: &str = "unix:///var/run/docker.sock";

/// Where engines listen: Docker's own, rootless, Docker Desktop's, then Podman's in the same order.
const SOCKETS: &[&str] = &[
    SOCKET,
    "unix://$XDG_RUNTIME_DIR/docker.sock",
    "unix://~/.docker/run/docker.sock",
    "unix://$XDG_RUNTIME_DIR/podman/podman.sock",
    "unix:///run/podman/podman.sock",
];

/// `docker context`: which is in use stands in the configuration file of Docker's command line.
const CONTEXTS: Contexts = Contexts {
    files: &["$DOCKER_CONFIG/contexts/meta/*/meta.json", "~/.docker/contexts/meta/*/meta.json"],
    name: "/Name",
    address: "/Endpoints/docker/Host",
    chosen_environment: Some("DOCKER_CONTEXT"),
    chosen_files: &["$DOCKER_CONFIG/config.json", "~/.docker/config.json"],
    chosen: "/currentContext",
};

/// The scope of everything.
const ENGINE: &str = "engine";

ids! {
    pub enum Id {
        _: scoped(ENGINE),
        Root = "root", Version = "version", Info = "info", System = "system",
        /// What the engine's disk holds changes with each byte that a container writes.
        Df = "df": volatile(),
        /// Shown nowhere: the tables of containers are part of it.
        Tables = "tables", Overview(form: Form) = "containers-table",
        Containers = "containers", Container(id: String) = "container",
        ByName = "containers-by-name", ById = "containers-by-id",
        Running = "containers-running", Stopped = "containers-stopped",
        Compose = "compose", Project(name: String) = "compose-project",
        Service(project: String, name: String) = "compose-service",
        Images = "images", Image(id: String) = "image",
        ImageNames = "images-by-name",
        /// A build may make an image with no event.
        ImageIds = "images-by-id": volatile(),
        Volumes = "volumes", Volume(name: String) = "volume",
        /// Podman makes and removes networks with no event.
        Networks = "networks": volatile(),
        Network(id: String) = "network",
        /// Shown nowhere: what changes when any image gains or loses a tag is part of it.
        Tags = "image-tags",
        /// Shown nowhere: what changes when any container joins a network, leaves it or is renamed
        /// is part of it.
        Members = "network-members",
    }
}

fn system(name: &str) -> Result<Entry<Id>> {
    if name == "df.json" { Ok(Entry::file(name, Id::Df)) } else { Err(Error::NotFound) }
}

#[rustfmt::skip]
impl Tree for Id {
    fn shape(self) -> Shape<Id> {
        use Id::*;
        match self {
            Root => fixed([
                ("containers", Containers), ("images", Images), ("volumes", Volumes),
                ("networks", Networks), ("compose", Compose),
                ("version.json", Version), ("info.json", Info), ("system", System),
                ("containers.tsv", Overview(Form::Tsv)), ("containers.jsonl", Overview(Form::Jsonl)),
            ]),
            // An engine may take long to count its disk.
            System => fixed([("info.json", Info), ("version.json", Version)]).beyond(system),
            Df => file(|| Ok(json(&engine::df().json::<serde_json::Value>()?))),
            Overview(form) => file(move || container::overview(form)),
            Containers => fixed(container::ENTRIES),
            ByName | ById | Running | Stopped => searchable(self, container::list, container::find),
            Compose | Project(_) | Service(..) => listing(move || container::list(&self)),
            Container(id) => object(move || container::inspect(&id)),
            Images => fixed([("by-name", ImageNames), ("by-id", ImageIds)]),
            ImageNames => searchable(self, image::list, image::find),
            ImageIds => open_ended(self, image::list, image::find),
            Image(id) => object(move || image::inspect(&id)),
            Volumes => searchable((), |()| volume::list(), |(), name| volume::find(name)),
            Volume(name) => object(move || volume::inspect(&name)),
            Networks => listing(network::list),
            Network(id) => object(move || network::inspect(&id)),
            Version => file(|| Ok(json(&engine::version().json::<serde_json::Value>()?))),
            Info => file(|| Ok(engine::info().json::<api::Info>()?.stable())),
            Tags | Members | Tables => fixed([]),
        }
    }

    fn whole(&self) -> Option<Id> {
        matches!(self, Id::Overview(_)).then_some(Id::Tables)
    }
}

routes! {
    mod engine = "engine" {
        get ping() = "/_ping",
        get version() = "/version",
        get info() = "/info",
        get df() = "/system/df",
        get events() = "/events",
        get containers() = "/containers/json",
        get container(id) = "/containers/*/json",
        get logs(id) = "/containers/*/logs",
        get top(id) = "/containers/*/top",
        get stats(id) = "/containers/*/stats",
        get images() = "/images/json",
        // Also by name: `acme/tools:1.0`.
        get image(id) = "/images/*%2F*/json",
        get history(id) = "/images/*/history",
        get volumes() = "/volumes",
        get volume(name) = "/volumes/*",
        get networks() = "/networks",
        get network(id) = "/networks/*",
    }
}

/// The provider.
#[derive(Debug)]
pub struct Docker;

impl Provider for Docker {
    type Id = Id;
    const ROOT: Id = Id::Root;
    const MANIFEST: Manifest = Manifest {
        config: &[Setting {
            name: container::LOG_LINES,
            description: "with how many of its last lines a running container's log begins, or `all`",
            default: Some("100000"),
        }],
        endpoints: &[Endpoint {
            windows_url: Some("npipe:////./pipe/docker_engine"),
            url_environment: Some("DOCKER_HOST"),
            allow: engine::RULES,
            nearby: Some(Nearby { contexts: Some(CONTEXTS), sockets: SOCKETS }),
            ..Endpoint::new(
                engine::ENDPOINT,
                SOCKET,
                "reads containers, logs, images, volumes, networks",
            )
        }],
        feeds: &[Feed::push("events", ENGINE, engine::ENDPOINT)],
        guide: guide::GUIDE,
        ..Manifest::new("docker", env!("CARGO_PKG_VERSION"), "What a Docker engine holds")
    };

    fn open(position: &Position) -> Result<Request> {
        feed::open(position)
    }

    fn line(position: &Position, line: &[u8]) -> Result<Progress> {
        feed::line(position, line)
    }
}

export!(service, Docker);
