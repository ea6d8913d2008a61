//! Containers. One `/containers/json` fills every directory that shows containers and the leaves
//! that the listing holds; one inspect fills the rest of a container.

use crate::api::log::select;
use crate::api::{Container, ContainerInspect, ContainerSummary, service};
use crate::{Id, engine};
use omnifs_sdk::*;
use serde_json::{Value, json};

impl Object for Container {
    type Id = Id;

    const LEAVES: &'static [Leaf<Self>] = &[
        leaf("id", |c: &Self| scalar(&c.id)).immutable(),
        leaf("name", |c| scalar(&c.name)),
        detail("image", |c: &Self| Some(scalar(c.image.as_ref()?))).immutable(),
        leaf("state", |c: &Self| scalar(&c.state)).volatile_while(Container::is_leaving),
        leaf("status", |c: &Self| scalar(&c.status)).volatile_while(Container::is_leaving),
        detail("exit-code", |c| Some(scalar(c.exit_code?))),
        detail("created", |c: &Self| Some(scalar(&c.full.as_ref()?.created))).immutable(),
        detail("started", |c| Some(scalar(&c.full.as_ref()?.state.started_at))),
        detail("finished", |c| Some(scalar(&c.full.as_ref()?.state.finished_at))),
        leaf("command", |c: &Self| scalar(&c.command)).immutable(),
        leaf("ports", |c| lines(&c.ports)),
        map("labels", |c: &Self| scalars(&c.labels)).immutable(),
        leaf("mounts", |c| lines(&c.mounts)),
        // The engine raises no event where it connects a container that does not run.
        leaf("networks", |c: &Self| lines(&c.networks)).volatile_while(|c| !c.is_running()),
        detail("restart-count", |c| Some(scalar(c.full.as_ref()?.restart_count))),
        detail("health", |c| Some(scalar(c.health.as_ref()?))),
        detail("inspect.json", |c| Some(ContainerInspect::stable(c.full.as_ref()?))),
        log("logs", |id| read_log(id, "logs")).growing(|c| c.stream(&[0, 1, 2])),
        log("stdout.log", |id| read_log(id, "stdout.log")).growing(|c| c.stream(&[0, 1])),
        log("stderr.log", |id| read_log(id, "stderr.log")).growing(|c| c.stream(&[2])),
        now("top", top),
        now("stats.json", stats),
    ];

    fn id(&self) -> Id {
        Id::Container(self.id.clone())
    }

    /// When it was made: its entries stay the same from then on, and both answers hold it.
    fn directory_modified(&self) -> Option<u64> {
        Some(self.created? * 1000)
    }
}

const fn log(name: &'static str, read: fn(&Id) -> Result<Content>) -> Leaf<Container> {
    own(name, read).known(Container::no_log)
}

/// What a running container is at the moment.
const fn now(name: &'static str, read: fn(&Id) -> Result<Content>) -> Leaf<Container> {
    own(name, read).unlisted().present_if(Container::is_running).volatile_while(|_| true)
}

/// The processes, as the engine's `ps` lists them.
fn top(container: &Id) -> Result<Content> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Top {
        #[serde(default, deserialize_with = "json::null_as_default")]
        titles: Vec<String>,
        #[serde(default, deserialize_with = "json::null_as_default")]
        processes: Vec<Vec<String>>,
    }
    let Id::Container(id) = container else { return Err(Error::NotFound) };
    let Top { titles, processes } = engine::top(id).json()?;
    let mut table = Table::new(titles);
    processes.into_iter().for_each(|process| table.row(process.into_iter().map(Value::from)));
    Ok(table.content(Form::Tsv))
}

/// One sample, without the second one that the engine waits a second for.
fn stats(container: &Id) -> Result<Content> {
    let Id::Container(id) = container else { return Err(Error::NotFound) };
    let request = engine::stats(id).query("stream", "false").query("one-shot", "true");
    Ok(json(&request.json::<Value>()?))
}

/// The setting, and the query parameter of the engine.
pub const LOG_LINES: &str = "log-lines";

/// The engine's log of a container, each line with its time.
fn log_request(id: &str, tail: &str) -> http::Request {
    let request = engine::logs(id).query("stdout", 1).query("stderr", 1);
    request.query("timestamps", 1).query("tail", tail)
}

impl Container {
    /// The log of a container that may write to it, as far as these streams are concerned.
    fn stream(&self, shown: &[u8]) -> Option<Growing> {
        let lines = config::get(LOG_LINES).filter(|_| self.may_log())?;
        let hidden = (0..=2).filter(|stream| !shown.contains(stream)).collect();
        let frames = Frames {
            header: 8,
            number_at: 0,
            length_at: 4,
            shown: shown.to_vec(),
            hidden,
            error: Some(3),
            // A terminal's log.
            unframed: 1,
        };
        let request = log_request(&self.id, &lines).query("follow", 1);
        request.growing(Framing::Frames(frames), Some("since"))
    }

    /// How `directory` shows the container, if it does.
    fn entry(&self, directory: &Id) -> Option<Entry<Id>> {
        let named = || (!self.name.is_empty()).then(|| Entry::object(&self.name, self));
        match (directory, service(&self.labels)) {
            (Id::ById, _) => Some(Entry::object(&self.id, self)),
            (Id::ByName, _) => named(),
            (Id::Running, _) => named().filter(|_| self.is_running()),
            (Id::Stopped, _) => named().filter(|_| !self.is_running()),
            (Id::Compose, Some((p, _))) => Some(Entry::directory(p.clone(), Id::Project(p))),
            (Id::Project(asked), Some((p, s))) if *asked == p => {
                Some(Entry::directory(s.clone(), Id::Service(p, s)))
            }
            (Id::Service(project, service), Some((p, s))) if *project == p && *service == s => {
                let number = self.labels.get("com.docker.compose.container-number");
                let tie: String = self.id.chars().take(12).collect();
                Some(Entry::object(number.unwrap_or(&self.name), self).tie(tie))
            }
            _ => None,
        }
    }
}

/// Every container, the oldest first.
fn all() -> Result<Items<Container>> {
    let all: Items<ContainerSummary> = engine::containers().query("all", 1).json()?;
    let mut all = all.map(Container::from);
    all.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    Ok(all)
}

/// The entries of a directory of containers.
pub fn list(directory: &Id) -> Result<Listing<Id>> {
    let all = all()?;
    preload::part(Id::Root, table(&all).entries("containers", Id::Overview).into());
    views(directory, &all)
}

/// `containers.tsv` and `containers.jsonl`, with the directories of containers.
pub fn overview(form: Form) -> Result<Content> {
    let (all, containers) = (all()?, Entry::fixed(("containers", Id::Containers)));
    let table = table(&all);
    let beside = table.entries("containers", Id::Overview).into_iter().chain([containers]);
    // From the top down: a host keeps entries of directories that it knows.
    preload::part(Id::Root, beside.collect());
    preload::part(Id::Containers, ENTRIES.map(Entry::fixed).into());
    preload::whole(Id::ByName, views(&Id::ByName, &all)?);
    Ok(table.content(form))
}

/// What the directory of containers shows.
pub const ENTRIES: [(&str, Id); 4] = [
    ("by-name", Id::ByName),
    ("by-id", Id::ById),
    ("_running", Id::Running),
    ("_stopped", Id::Stopped),
];

/// Columns of the tables: what the listing holds, and an event tells of.
const COLUMNS: [&str; 10] =
    ["name", "id", "image", "state", "status", "created", "ports", "project", "service", "command"];

fn table(all: &Items<Container>) -> Table {
    let mut table = Table::new(COLUMNS);
    for c in all.iter() {
        let (project, service) = service(&c.labels).unzip();
        // No event tells how a removal goes on.
        let status = (!c.is_leaving()).then_some(&c.status);
        let state = if c.is_leaving() { "removing" } else { &c.state };
        let created = c.created.map(|seconds| time::rfc3339(seconds * 1000));
        table.row([
            json!(c.name),
            json!(c.id),
            json!(c.image),
            json!(state),
            json!(status),
            json!(created),
            json!(c.ports),
            json!(project),
            json!(service),
            json!(c.command),
        ]);
    }
    table.noting(all);
    table
}

/// The entries of a directory, with those of all others offered.
fn views(directory: &Id, all: &Items<Container>) -> Result<Listing<Id>> {
    let mut directories = vec![Id::ByName, Id::ById, Id::Running, Id::Stopped, Id::Compose];
    for (project, service) in all.iter().filter_map(|c| service(&c.labels)) {
        directories.extend([Id::Project(project.clone()), Id::Service(project, service)]);
    }
    preload::views(directory, &directories, all, |directory, c| c.entry(directory))
}

/// The engine also takes the beginning of an id: the SDK refuses what is answered under another
/// name. What cannot be a name is not asked for.
pub fn find(directory: &Id, name: &str) -> Result<Entry<Id>> {
    let valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !valid || (*directory == Id::ById && name.len() != 64) {
        return Err(Error::NotFound);
    }
    inspect(name)?.entry(directory).ok_or(Error::NotFound)
}

pub fn inspect(id: &str) -> Result<Container> {
    Ok(engine::container(id).json::<Raw<ContainerInspect>>()?.into())
}

/// The three files that show a container's log.
const LOGS: [&str; 3] = ["logs", "stdout.log", "stderr.log"];

/// Logs up to this size fill all three files at once; beyond it memory is better spent on the one
/// that was asked for.
const SHARED: usize = 4 << 20;

/// `logs`, `stdout.log` or `stderr.log`, each line with the engine's time. Of a log beyond the
/// host's limit, as many of the last lines as fit.
///
/// The container's state is not asked for: whether a log may be kept was settled when its file was
/// shown, and the host keeps the other two only where that said so.
fn read_log(container: &Id, leaf: &str) -> Result<Content> {
    let Id::Container(id) = container else { return Err(Error::NotFound) };
    let fetch = |tail| log_request(id, tail).send();
    let mut answer = fetch("all");
    for tail in ["100000", "2000"] {
        if matches!(answer, Err(Error::TooLarge)) {
            omnifs_sdk::log::warn(&format!(
                "the log of {id} is too large: its last {tail} lines are shown"
            ));
            answer = fetch(tail);
        }
    }
    let answer = answer?;
    if matches!(answer.status, 409 | 500 | 501) {
        return without_log(id, answer);
    }
    let body = answer.ok()?.body;
    if body.len() <= SHARED {
        for other in LOGS.into_iter().filter(|other| *other != leaf) {
            preload::leaf_content(container, other, &select(body.clone(), other)?);
        }
    }
    Ok(select(body, leaf)?.into())
}

/// A log that the engine does not answer: empty, and kept as such, where that is the container's
/// state and not an outage. Engines tell it by 501 (the driver keeps nothing that could be read), 409
/// (the container is being removed) or, as Podman does, 500: so the container is asked.
fn without_log(id: &str, answer: http::Response) -> Result<Content> {
    let mut container = inspect(id)?;
    container.unreadable |= answer.status == 501;
    if container.no_log().is_none() {
        answer.ok()?;
    }
    log::info(&format!("{id}: its log cannot be read from the engine, and is shown empty"));
    preload::offer_leaves(&container, LOGS.map(|leaf| (leaf, Content::default())));
    Ok(Content::default())
}
