//! Containers. One `/containers/json` fills every directory that shows containers and the leaves
//! that the listing holds; one inspect fills the rest of a container.

use crate::api::log::select;
use crate::api::{Container, ContainerInspect, ContainerSummary, service};
use crate::{Id, engine};
use omnifs_sdk::*;

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

/// The entries of a directory of containers.
pub fn list(directory: &Id) -> Result<Listing<Id>> {
    let all: Items<ContainerSummary> = engine::containers().query("all", 1).json()?;
    let mut all = all.map(Container::from);
    all.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let mut directories = vec![Id::ByName, Id::ById, Id::Running, Id::Stopped, Id::Compose];
    for (project, service) in all.iter().filter_map(|c| service(&c.labels)) {
        directories.extend([Id::Project(project.clone()), Id::Service(project, service)]);
    }
    preload::views(directory, &directories, &all, |directory, c| c.entry(directory))
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
