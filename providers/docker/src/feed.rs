//! The engine's event stream.
//!
//! The cursor is the time of the last event, `SECONDS.NANOSECONDS`, as `since` takes it. The engine
//! replays from its last 256 events those at `since` and later. So after a reconnection the first
//! line is the cursor's own event, and nothing was missed; or it is not, because the engine
//! forgot it or was started anew, and then what was cached stays suspect.
//!
//! The engine tells of some changes a moment before its own listing shows them: a listing that is
//! asked for in that moment would be kept, and stay wrong. An inspection waits for what the engine is
//! doing to the container, so one is asked before such a change is passed on.

use crate::api::{Actor, Event, service};
use crate::{ENGINE, Id, engine};
use omnifs_sdk::http::Request;
use omnifs_sdk::*;

pub fn open(position: &Position) -> Result<Request> {
    let since = match (&position.cursor, position.since) {
        (Some(cursor), _) => cursor.clone(),
        (None, 0) => {
            // The engine's clock, and one second earlier: the header counts whole seconds, and
            // replaying an event does no harm.
            let date = engine::ping().ok()?.date();
            let date =
                date.ok_or_else(|| Error::Invalid("engine: _ping has no Date".to_owned()))?;
            date.saturating_sub(1).to_string()
        }
        (None, since) => since.to_string(),
    };
    Ok(engine::events().query("since", since))
}

pub fn line(position: &Position, line: &[u8]) -> Result<Progress> {
    let mut progress = Progress::default();
    match events::parse::<Event>(line, "the event") {
        _ if line.trim_ascii().is_empty() => {}
        Ok(event) => {
            progress.resumed = position.cursor.as_ref() == Some(&event.cursor());
            progress.cursor = Some(event.cursor());
            if !settled(&event) {
                progress.changes.gap(ENGINE);
            }
            read(event, &mut progress.changes);
        }
        Err(error) => {
            log::warn(&format!("engine: what happened is not known: {error:?}"));
            progress.changes.gap(ENGINE);
        }
    }
    Ok(progress)
}

/// Waits until the engine's listing shows what the event tells. False where the engine did not say.
fn settled(event: &Event) -> bool {
    let container = match (event.kind.as_str(), event.action.as_str()) {
        ("container", "pause" | "unpause") => Some(&event.actor.id),
        ("network", "connect" | "disconnect") => event.actor.attributes.get("container"),
        _ => None,
    };
    let Some(id) = container else { return true };
    match engine::container(id).ok() {
        Ok(_) | Err(Error::NotFound) => true,
        Err(error) => {
            log::warn(&format!("engine: whether {id} has changed already is not known: {error:?}"));
            false
        }
    }
}

/// Actions that are not known are taken to change the object and every listing that shows it.
fn read(event: Event, changes: &mut Changes) {
    use Id::*;
    let Actor { id, attributes } = event.actor;
    // Podman tells a volume by its name alone.
    let id = match (event.kind.as_str(), attributes.get("name")) {
        ("volume", Some(name)) if id.is_empty() => name.clone(),
        _ => id,
    };
    // `health_status: healthy`, `exec_create: /bin/sh -c true`
    let action = event.action.split(':').next().unwrap_or_default();
    let object = |id: Id, changes: &mut Changes| match action {
        "destroy" | "remove" | "delete" => _ = changes.removed([id]),
        _ => _ = changes.invalidated([id]),
    };
    match (event.kind.as_str(), action) {
        // What was pruned is told one by one, but for volumes, which their listing corrects.
        ("container" | "network", "prune") => {}
        // These show in no file. Health probes are execs, three events each; what a signal did is
        // told by `die`.
        ("container", "attach" | "detach" | "top" | "resize" | "export" | "copy" | "kill") => {}
        ("container", "archive-path" | "extract-to-dir") => {}
        ("container", action) if action.starts_with("exec_") => {}
        ("volume", "mount" | "unmount") | ("image", "save") => {}

        ("container", "commit") | ("image", _) => {
            match action {
                "delete" if id.contains(':') => _ = changes.removed([Image(id)]),
                // Podman says so of an image that lost a tag, too, and leaves out the algorithm.
                "delete" | "remove" => _ = changes.invalidated([Image(format!("sha256:{id}"))]),
                _ => {}
            }
            // A tag that moved is shown by its image's id.
            changes.invalidated([Tags, Info, Tables]).children_changed([ImageNames, ImageIds]);
        }
        ("container", "health_status" | "update" | "oom") => {
            object(Container(id), changes);
            changes.invalidated([Tables]);
        }
        ("container", action) => {
            object(Container(id), changes);
            changes.invalidated([Info, Tables]);
            // No entry moves, and the engine announces a pause a moment before it lists it.
            if matches!(action, "pause" | "unpause") {
                return;
            }
            changes.children_changed([Running, Stopped]);
            if !matches!(action, "start" | "die" | "stop" | "restart") {
                changes.children_changed([ByName, ById]).invalidated([Members]);
                if let Some((project, name)) = service(&attributes) {
                    let service = Service(project.clone(), name);
                    changes.children_changed([Compose, Project(project), service]);
                }
            }
        }
        ("network", "connect" | "disconnect") => {
            let container = attributes.get("container").cloned().map(Container);
            changes.invalidated([Members, Tables]).invalidated(container);
        }
        ("network", _) => {
            object(Network(id), changes);
            changes.invalidated([Members]).children_changed([Networks]);
        }
        ("volume", _) => {
            object(Volume(id), changes);
            changes.children_changed([Volumes]);
        }
        ("daemon" | "plugin", _) => _ = changes.invalidated([Info, Version]),
        _ => {}
    }
}
