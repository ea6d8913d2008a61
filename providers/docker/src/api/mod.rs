//! What the engine answers, as far as it is read here: its JSON, its log frames ([`log`]), and how
//! the two answers about a container or an image, its item in a listing and its own, come to the
//! same words ([`container`], [`image`]).
//!
//! Every field may be absent, but for what identifies an item of a list: `null` and an empty list are
//! the same, and an older engine leaves out what it does not know yet.

mod container;
mod image;
pub mod log;

pub use container::{Container, service};
pub use image::Image;

use omnifs_sdk::json::null_as_default as null;
use omnifs_sdk::{Content, Items, Raw, json, lines};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub type Labels = BTreeMap<String, String>;

/// One item of `GET /containers/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerSummary {
    pub id: String,
    #[serde(default, deserialize_with = "null")]
    pub names: Vec<String>,
    #[serde(default)]
    pub image: String,
    #[serde(default, rename = "ImageID")]
    pub image_id: String,
    #[serde(default)]
    pub command: String,
    #[serde(default)]
    pub created: i64,
    #[serde(default)]
    pub state: String,
    #[serde(default)]
    pub status: String,
    #[serde(default, deserialize_with = "null")]
    pub ports: Vec<Port>,
    #[serde(default, deserialize_with = "null")]
    pub labels: Labels,
    #[serde(default, deserialize_with = "null")]
    pub mounts: Vec<Mount>,
    #[serde(default, deserialize_with = "null")]
    pub network_settings: Networks,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "PascalCase", default)]
pub struct Port {
    pub private_port: u16,
    #[serde(rename = "Type")]
    pub protocol: String,
    #[serde(rename = "IP")]
    pub ip: String,
    pub public_port: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    #[serde(rename = "Type")]
    pub kind: String,
    pub name: String,
    pub source: String,
    pub destination: String,
    #[serde(rename = "RW")]
    pub writable: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Networks {
    #[serde(deserialize_with = "null")]
    pub networks: BTreeMap<String, serde::de::IgnoredAny>,
    /// `80/tcp` to its bindings. Only in a container's own answer.
    #[serde(deserialize_with = "null")]
    pub ports: BTreeMap<String, Option<Vec<Binding>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Binding {
    pub host_ip: String,
    pub host_port: String,
}

/// `GET /containers/{id}/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerInspect {
    pub id: String,
    pub name: String,
    pub created: String,
    pub path: String,
    #[serde(deserialize_with = "null")]
    pub args: Vec<String>,
    pub state: State,
    pub restart_count: i64,
    pub config: ContainerConfig,
    #[serde(deserialize_with = "null")]
    pub host_config: HostConfig,
    #[serde(deserialize_with = "null")]
    pub mounts: Vec<Mount>,
    #[serde(deserialize_with = "null")]
    pub network_settings: Networks,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    #[serde(deserialize_with = "null")]
    pub log_config: LogConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfig {
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(deserialize_with = "null")]
    pub config: Labels,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct State {
    pub status: String,
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    pub dead: bool,
    pub exit_code: i64,
    pub started_at: String,
    pub finished_at: String,
    pub health: Option<Health>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    pub status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    pub image: String,
    #[serde(deserialize_with = "null")]
    pub labels: Labels,
}

/// One item of `GET /images/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ImageSummary {
    pub id: String,
    #[serde(default, deserialize_with = "null")]
    pub repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "null")]
    pub repo_digests: Vec<String>,
    #[serde(default)]
    pub created: i64,
    #[serde(default, deserialize_with = "null")]
    pub labels: Labels,
}

/// `GET /images/{id}/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageInspect {
    pub id: String,
    #[serde(deserialize_with = "null")]
    pub repo_tags: Vec<String>,
    #[serde(deserialize_with = "null")]
    pub repo_digests: Vec<String>,
    pub created: Option<String>,
    pub size: u64,
    pub architecture: String,
    pub os: String,
    #[serde(deserialize_with = "null")]
    pub config: ImageConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    #[serde(deserialize_with = "null")]
    pub labels: Labels,
}

/// `GET /volumes`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volumes {
    pub volumes: Items<Volume>,
}

/// One volume, the same in a listing and by itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct VolumeInspect {
    pub name: String,
    #[serde(default)]
    pub driver: String,
    #[serde(default)]
    pub mountpoint: String,
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub scope: String,
    #[serde(default, deserialize_with = "null")]
    pub labels: Labels,
    #[serde(default, deserialize_with = "null")]
    pub options: Labels,
}

/// A volume with its whole answer.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Volume(pub Raw<VolumeInspect>);

impl Volume {
    /// The whole answer without what changes with no event.
    pub fn stable(&self) -> Content {
        let changing: &[&[&str]] = &[&["CreatedAt"], &["Status"], &["UsageData"]];
        self.0.json.content(changing)
    }
}

/// One network; a listing lacks its containers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkInspect {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub created: String,
    #[serde(default)]
    pub driver: String,
    #[serde(default)]
    pub scope: String,
    #[serde(default, rename = "EnableIPv6")]
    pub ipv6: bool,
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub attachable: bool,
    #[serde(default, rename = "IPAM", deserialize_with = "null")]
    pub ipam: Ipam,
    #[serde(default, deserialize_with = "null")]
    pub containers: BTreeMap<String, Member>,
    #[serde(default, deserialize_with = "null")]
    pub options: Labels,
    #[serde(default, deserialize_with = "null")]
    pub labels: Labels,
}

/// A network with its whole answer.
#[derive(Debug)]
pub struct Network {
    pub answer: Raw<NetworkInspect>,
    /// The network's own answer, which holds its containers.
    pub full: bool,
}

impl Network {
    pub fn members(&self) -> Option<Content> {
        let mut names: Vec<_> = self.answer.containers.values().map(|c| &c.name).collect();
        names.sort_unstable();
        self.full.then(|| lines(names))
    }

    /// The whole answer without what changes with no event.
    pub fn stable(&self) -> Option<Content> {
        let whole = self.answer.json.value();
        self.full.then(|| json(&json::without(whole, &[&["Status"], &["Peers"]])))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    #[serde(deserialize_with = "null")]
    pub config: Vec<Pool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Pool {
    pub subnet: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Member {
    pub name: String,
}

/// One line of `GET /events`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Event {
    #[serde(rename = "Type")]
    pub kind: String,
    pub action: String,
    #[serde(deserialize_with = "null")]
    pub actor: Actor,
    #[serde(rename = "timeNano")]
    pub time: u64,
}

impl Event {
    /// The event's time as `since` takes it.
    pub fn cursor(&self) -> String {
        format!("{}.{:09}", self.time / 1_000_000_000, self.time % 1_000_000_000)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(deserialize_with = "null")]
    pub attributes: Labels,
}

/// `GET /info`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Info(Map<String, Value>);

/// The fields that change with an event or with a new engine, and with nothing else. Left out are
/// clocks, counters of the process, the number of images (a build may add one with no event), kernel
/// settings that anybody may turn, and what a swarm or a storage driver reports of its own accord.
const INFO: &str = "ID Name Labels ServerVersion ExperimentalBuild ProductLicense Containers \
    ContainersRunning ContainersPaused ContainersStopped OperatingSystem OSVersion OSType \
    Architecture KernelVersion NCPU MemTotal Driver DockerRootDir Plugins LoggingDriver CgroupDriver \
    CgroupVersion Runtimes DefaultRuntime InitBinary ContainerdCommit RuncCommit InitCommit \
    Isolation LiveRestoreEnabled SecurityOptions IndexServerAddress RegistryConfig \
    DefaultAddressPools CDISpecDirs Containerd";

impl Info {
    pub fn stable(mut self) -> Content {
        self.0.retain(|field, _| INFO.split(' ').any(|kept| kept == field));
        json(&self.0)
    }
}

/// `GET /images/{id}/history`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct History(#[serde(deserialize_with = "null")] Vec<Map<String, Value>>);

impl History {
    /// Without `Tags`, which belong to the images that share a layer.
    pub fn stable(mut self) -> Content {
        self.0.iter_mut().for_each(|layer| drop(layer.remove("Tags")));
        json(&self.0)
    }
}
