//! Objects of any kind.

use crate::api::{self, Item, List};
use crate::kind::Kind;
use crate::pod::{self, Container};
use crate::{Id, SECRET_VALUES, yaml};
use omnifs_sdk::*;
use serde_json::{Value, json};

/// Objects of a kind that are listed. Any other is found by its name.
const LISTED: usize = 20_000;
/// Bytes that come along with a listing. What lies beyond is asked for when it is read.
const ALONG: usize = 48 << 20;

const MANIFEST: &str = "manifest.yaml";
const STATUS: &str = "status.yaml";
const LOGS: &str = "logs";
/// In no listing: it is a request for each object, and a walk over thousands would make as many.
const EVENTS: &str = "events.txt";

/// What an object may have.
pub const PARTS: [&str; 4] = [MANIFEST, STATUS, LOGS, EVENTS];

/// An object as it is shown.
pub struct Shown {
    kind: Kind,
    /// `Pod`.
    what: String,
    namespace: String,
    name: String,
    uid: String,
    created: Option<u64>,
    pub manifest: Content,
    pub status: Option<Content>,
    containers: Vec<Container>,
}

impl Shown {
    /// Of a list an item itself does not say its `kind` and `apiVersion`.
    fn of(kind: &Kind, namespace: &str, mut object: Value, version: &str, what: &str) -> Shown {
        for (member, listed) in [("apiVersion", version), ("kind", what)] {
            if object[member].is_null() && !listed.is_empty() {
                object[member] = listed.into();
            }
        }
        let containers = if kind.is_core("pods") { pod::containers(&object) } else { Vec::new() };
        if kind.is_core("secrets") && config::get(SECRET_VALUES).as_deref() != Some("shown") {
            object = without_values(object);
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let status = object.as_object_mut().and_then(|object| object.remove("status"));
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let metadata = &object["metadata"];
        Shown {
            kind: kind.clone(),
            what: text(&object["kind"]),
            namespace: namespace.to_owned(),
            name: text(&metadata["name"]),
            uid: text(&metadata["uid"]),
            created: time::member_ms(metadata, "creationTimestamp"),
            manifest: document(yaml::text(&object)),
            status: status
                .filter(|status| !status.is_null())
                .map(|status| document(yaml::text(&status))),
            containers,
        }
    }

    fn id(&self, id: fn(Kind, String, String, String) -> Id) -> Id {
        id(self.kind.clone(), self.namespace.clone(), self.name.clone(), self.uid.clone())
    }

    fn len(&self) -> usize {
        self.manifest.0.len() + self.status.as_ref().map_or(0, |status| status.0.len())
    }

    fn directory(self, along: bool) -> Entry<Id> {
        let (name, id, created) = (self.name.clone(), self.id(Id::Object), self.created);
        let entry = if along {
            Entry::holding(name, id, self.entries())
        } else {
            Entry::directory(name, id)
        };
        entry.modified(created)
    }

    pub fn entries(self) -> Vec<Entry<Id>> {
        let logs = (!self.containers.is_empty()).then(|| {
            let id = Id::Logs(self.namespace.clone(), self.name.clone(), self.uid.clone());
            Entry::holding(LOGS, id, self.logs())
        });
        let (manifest, status) = (self.id(Id::Manifest), self.id(Id::Status));
        let status = self.status.map(|content| Entry::file(STATUS, status).content(content));
        let manifest = Entry::file(MANIFEST, manifest).content(self.manifest);
        [manifest].into_iter().chain(status).chain(logs).collect()
    }

    /// One of [`PARTS`], if it has it.
    pub fn part(self, name: &str) -> Result<Entry<Id>> {
        if name == EVENTS {
            return Ok(Entry::file(EVENTS, Id::Events(self.what, self.namespace, self.name)));
        }
        self.entries().into_iter().find(|entry| entry.name() == name).ok_or(Error::NotFound)
    }

    /// Those of a pod, a file for each container.
    pub fn logs(&self) -> Vec<Entry<Id>> {
        let entry = |container: &Container| container.entry(&self.namespace, &self.name, &self.uid);
        self.containers.iter().map(entry).collect()
    }
}

/// A Secret with the length of each value in place of the value. An annotation may hold all of them: kubectl keeps
/// there what was applied. What no Secret is known to have is left out.
fn without_values(mut secret: Value) -> Value {
    let hidden = |values: &mut Value, length: fn(&str) -> usize| {
        let Value::Object(values) = values else { return *values = Value::Null };
        for value in values.values_mut() {
            *value = format!("({} bytes)", length(value.as_str().unwrap_or_default())).into();
        }
    };
    let base64 = |text: &str| text.trim_end_matches('=').len() * 3 / 4;
    hidden(&mut secret["data"], base64);
    hidden(&mut secret["stringData"], str::len);
    hidden(&mut secret["metadata"]["annotations"], str::len);
    let known = ["apiVersion", "kind", "metadata", "type", "immutable", "data", "stringData"];
    let members = secret.as_object_mut().into_iter().flatten();
    let kept = members.filter(|(name, value)| known.contains(&name.as_str()) && !value.is_null());
    let mut kept: Value = kept.map(|(name, value)| (name.clone(), value.take())).collect();
    if kept["metadata"]["annotations"].is_null() {
        kept["metadata"].as_object_mut().and_then(|metadata| metadata.remove("annotations"));
    }
    kept
}

pub fn list(kind: &Kind, namespace: &str) -> Result<Listing<Id>> {
    #[derive(Default)]
    struct Taken {
        entries: Items<Entry<Id>>,
        along: usize,
        more: bool,
    }
    let taken = api::pages(&api::list(kind, namespace), |taken: &mut Taken, page| {
        let List { api_version, kind: list, metadata, items } = page;
        let what = list.strip_suffix("List").unwrap_or_default();
        let entries = items.map(|Item(object)| {
            let shown = Shown::of(kind, namespace, object, &api_version, what);
            taken.along += shown.len();
            shown.directory(taken.along <= ALONG)
        });
        taken.entries.append(entries);
        taken.more = !metadata.next.is_empty() && taken.entries.count() >= LISTED;
        !taken.more
    })?;
    if !taken.more {
        return Ok(taken.entries.into());
    }
    Ok(Listing::partial(taken.entries, format!("the first {LISTED}, others are found by name")))
}

fn ask(kind: &Kind, namespace: &str, name: &str) -> Result<Shown> {
    let Item(object) = api::object(kind, namespace, name).json()?;
    Ok(Shown::of(kind, namespace, object, "", ""))
}

pub fn find(kind: &Kind, namespace: &str, name: &str) -> Result<Entry<Id>> {
    // What tools look for in any directory is the name of no object.
    let of = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '@' | '+');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(of) {
        return Err(Error::NotFound);
    }
    Ok(ask(kind, namespace, name)?.directory(true))
}

/// The object itself, and no other one that has got its name since.
pub fn get(kind: &Kind, namespace: &str, name: &str, uid: &str) -> Result<Shown> {
    let shown = ask(kind, namespace, name)?;
    if shown.uid == uid { Ok(shown) } else { Err(Error::NotFound) }
}

/// What has happened to an object, the oldest first: a line for each event. Those of what is in no namespace are in
/// the one named `default`.
pub fn events(what: &str, namespace: &str, name: &str) -> Result<Content> {
    let place = if namespace.is_empty() { "default" } else { namespace };
    let selected = format!("involvedObject.kind={what},involvedObject.name={name}");
    let request = api::list(&Kind::events(), place).query("fieldSelector", selected);
    let found = api::items(&request)?;
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let mut events: Vec<(String, String)> = found
        .iter()
        .map(|Item(event)| {
            let (series, source) = (&event["series"], &event["source"]);
            let times = [
                &series["lastObservedTime"],
                &event["lastTimestamp"],
                &event["eventTime"],
                &event["metadata"]["creationTimestamp"],
            ];
            let time = times.into_iter().find_map(text).unwrap_or_else(|| "-".to_owned());
            let count =
                [&series["count"], &event["count"], &json!(1)].into_iter().find_map(Value::as_u64);
            let from =
                [&source["component"], &event["reportingComponent"]].into_iter().find_map(text);
            let word = |value: &Value| text(value).unwrap_or_else(|| "-".to_owned());
            let line = format!(
                "{time} {} {} x{} {}: {}",
                word(&event["type"]),
                word(&event["reason"]),
                count.unwrap_or(1),
                from.as_deref().unwrap_or("-"),
                word(&event["message"]),
            );
            (time, line)
        })
        .collect();
    events.sort();
    Ok(lines(events.into_iter().map(|(_, line)| line)))
}
