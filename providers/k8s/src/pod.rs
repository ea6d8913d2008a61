//! The containers of a pod, and their logs.

use crate::api::cluster;
use crate::{Id, LOG_LINES};
use omnifs_sdk::http::Request;
use omnifs_sdk::*;
use serde_json::Value;

/// What a container's log is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Log {
    /// It has not run.
    Empty,
    Growing,
    /// It is over until the pod changes.
    Ended,
}

#[derive(Debug)]
pub struct Container {
    name: String,
    log: Log,
}

/// Those of a pod, first those that run before the others.
pub fn containers(pod: &Value) -> Vec<Container> {
    let list = |at: &str| pod.pointer(at).and_then(Value::as_array).into_iter().flatten();
    let kinds = [
        ("/spec/initContainers", "/status/initContainerStatuses"),
        ("/spec/containers", "/status/containerStatuses"),
        ("/spec/ephemeralContainers", "/status/ephemeralContainerStatuses"),
    ];
    let all = kinds.into_iter().flat_map(|(spec, status)| {
        list(spec).filter_map(move |container| {
            let name = container["name"].as_str()?.to_owned();
            let own = list(status).find(|one| one["name"] == name.as_str());
            let is = |at: &str| own.and_then(|own| own.pointer(at)).is_some_and(Value::is_object);
            let log = match () {
                () if is("/state/running") => Log::Growing,
                () if is("/state/terminated") || is("/lastState/terminated") => Log::Ended,
                () => Log::Empty,
            };
            Some(Container { name, log })
        })
    });
    all.collect()
}

impl Container {
    pub fn entry(&self, namespace: &str, pod: &str, uid: &str) -> Entry<Id> {
        let [space, name, uid] = [namespace, pod, uid].map(str::to_owned);
        let id = Id::Log(space, name, uid, self.name.clone());
        let entry = Entry::file(format!("{}.log", self.name), id);
        match self.log {
            Log::Empty => entry.content(Content::default()),
            Log::Growing => {
                let stream = request(namespace, pod, &self.name, lines()).query("follow", "true");
                entry.growing(stream.growing(Framing::Plain, Some("sinceTime=rfc3339")))
            }
            Log::Ended => entry,
        }
    }
}

fn lines() -> Option<String> {
    config::get(LOG_LINES).filter(|lines| lines != "all")
}

fn request(namespace: &str, pod: &str, container: &str, lines: Option<String>) -> Request {
    let log =
        cluster::log(namespace, pod).query("container", container).query("timestamps", "true");
    match lines {
        Some(lines) => log.query("tailLines", lines),
        None => log,
    }
}

/// The log of a container as far as it has come. Of one beyond the host's limit, its last lines.
pub fn log(namespace: &str, pod: &str, container: &str) -> Result<Content> {
    let mut answer = request(namespace, pod, container, lines()).send();
    if matches!(answer, Err(Error::TooLarge)) {
        omnifs_sdk::log::warn(&format!(
            "the log of {container} of {pod} is too large: its last 2000 lines are shown"
        ));
        answer = request(namespace, pod, container, Some("2000".to_owned())).send();
    }
    let answer = answer?;
    // The container waits to start, or its log is not there any more.
    if answer.status == 400 {
        omnifs_sdk::log::info(&format!("{container} of {pod} has no log: {}", answer.complaint()));
        return Ok(Content::default());
    }
    Ok(answer.ok()?.body.into())
}
