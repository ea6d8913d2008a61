//! An API server in small: lists in pages, watches from a resource version, history that is compacted, discovery,
//! logs that are followed. What it answers is made of the service's own types (crate `k8s-openapi`); an object of a
//! custom kind, which has none, is a value.

use super::served::{self, Served};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extracted};
use axum::http::Response;
use futures_util::stream;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, Status, WatchEvent};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Which object: `GROUP/RESOURCE`, its namespace or nothing, its name.
type Key = (String, String, String);

/// Something that has happened to an object.
struct Happened {
    revision: u64,
    how: &'static str,
    key: Key,
    object: Value,
}

#[derive(Default)]
struct World {
    revision: u64,
    objects: BTreeMap<Key, Value>,
    history: Vec<Happened>,
    /// What happened until then is forgotten.
    compacted: u64,
    /// By namespace, pod and container.
    logs: HashMap<Key, Vec<(Timestamp, String)>>,
    /// How often streams of logs were cut.
    cuts: u64,
    pub behaviour: Behaviour,
    requests: Vec<String>,
}

/// What an API server may do in one way or the other.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// The only token that is taken; anybody where there is none.
    pub token: Option<String>,
    /// `GROUP/RESOURCE` of what nobody may see.
    pub forbidden: BTreeSet<String>,
    /// The only namespace in which anything may be seen.
    pub only: Option<String>,
    /// Older servers answer discovery for each group alone.
    pub one_by_one: bool,
    /// A watch that begins too early is answered by 200, and says so in its first line.
    pub gone_in_stream: bool,
    /// So many requests for a further page are too late.
    pub late: usize,
    /// Watches are answered by 503.
    pub no_watches: bool,
}

struct Shared {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
}

pub struct Twin {
    shared: Arc<Shared>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Twin {
    pub fn start() -> Twin {
        let shared = Shared { world: Mutex::default(), changed: watch::Sender::new(0) };
        let mut twin = Twin {
            shared: Arc::new(shared),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            runtime: None,
        };
        twin.start_again();
        twin
    }

    /// At the address that it had.
    pub fn start_again(&mut self) {
        let listener = TcpListener::bind(self.address).expect("a port");
        self.address = listener.local_addr().expect("an address");
        listener.set_nonblocking(true).expect("a listener");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads");
        let app = Router::new().fallback(handle).with_state(self.shared.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, app).await
        });
        self.runtime = Some(runtime);
    }

    /// Cuts all connections and frees the port before it returns.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().expect("no test panics while it holds this")
    }

    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let changed = change(&mut self.world());
        self.shared.changed.send_modify(|count| *count += 1);
        changed
    }

    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        self.change(|world| change(&mut world.behaviour));
    }

    /// Makes an object, or puts it in the place of the one of its name.
    pub fn put(&self, resource: &str, object: impl serde::Serialize) {
        let mut object = serde_json::to_value(object).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let key = (resource.to_owned(), text(&metadata["namespace"]), text(&metadata["name"]));
        self.change(|world| {
            world.revision += 1;
            let revision = world.revision;
            let before = world.objects.get(&key).map(|object| object["metadata"]["uid"].clone());
            let how = if before.is_some() { "MODIFIED" } else { "ADDED" };
            let uid = before.unwrap_or_else(|| format!("uid-{revision}").into());
            let metadata = &mut object["metadata"];
            metadata["uid"] = uid;
            metadata["resourceVersion"] = revision.to_string().into();
            metadata["creationTimestamp"] = "2026-01-05T09:00:00Z".into();
            metadata["managedFields"] = json!([{"manager": "kubectl", "operation": "Update"}]);
            world.objects.insert(key.clone(), object.clone());
            world.history.push(Happened { revision, how, key, object });
        });
    }

    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        self.change(|world| {
            let mut object = world.objects.remove(&key).expect("an object");
            world.revision += 1;
            let revision = world.revision;
            object["metadata"]["resourceVersion"] = revision.to_string().into();
            world.history.push(Happened { revision, how: "DELETED", key, object });
        });
    }

    /// Those of a resource, each with its namespace, its name and what it is.
    pub fn objects(&self, resource: &str) -> Vec<(String, String, Value)> {
        let world = self.world();
        let own = world.objects.iter().filter(|((own, ..), _)| own == resource);
        own.map(|((_, space, name), object)| (space.clone(), name.clone(), object.clone()))
            .collect()
    }

    /// Forgets all that has happened.
    pub fn compact(&self) {
        self.change(|world| {
            world.revision += 1;
            world.compacted = world.revision;
            world.history.clear();
        });
    }

    pub fn write_log(&self, namespace: &str, pod: &str, container: &str, line: &str) {
        let key = [namespace, pod, container].map(str::to_owned);
        self.change(|world| {
            let log = world.logs.entry(key.into()).or_default();
            // No two of a test at one time, as a runtime's clock has nanoseconds.
            let last = log.last().map_or(Timestamp::UNIX_EPOCH, |(at, _)| *at);
            let next = last + Duration::from_nanos(1);
            log.push((Timestamp::now().max(next), line.to_owned()));
        });
    }

    /// The lines of a log, each with its time.
    pub fn read_log(&self, namespace: &str, pod: &str, container: &str) -> String {
        let key: Key = [namespace, pod, container].map(str::to_owned).into();
        self.world().logs.get(&key).into_iter().flatten().map(timed).collect()
    }

    /// Ends the streams of all logs.
    pub fn cut_logs(&self) {
        self.change(|world| world.cuts += 1);
    }

    /// Each as `/path?query`, since this was last asked for.
    pub fn take_requests(&self) -> Vec<String> {
        std::mem::take(&mut self.world().requests)
    }
}

fn timed((at, line): &(Timestamp, String)) -> String {
    format!("{at:.9} {line}\n")
}

/// What is asked of a list or an object.
struct Asked {
    served: &'static Served,
    namespace: String,
    name: Option<String>,
    part: Option<String>,
    query: HashMap<String, String>,
    /// Of each object its metadata alone.
    partial: bool,
}

async fn handle(Extracted(shared): Extracted<Arc<Shared>>, request: Request) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let accept = header("accept").unwrap_or_default().to_owned();
    let secret = header("authorization").and_then(|text| text.strip_prefix("Bearer "));
    {
        let mut world = shared.world.lock().expect("no test panics while it holds this");
        let asked = request.uri().path_and_query().map_or("", |text| text.as_str());
        world.requests.push(asked.to_owned());
        if world.behaviour.token.as_deref().is_some_and(|token| Some(token) != secret) {
            return refusal(401, "Unauthorized", "Unauthorized");
        }
        let aggregated = !world.behaviour.one_by_one && accept.contains("APIGroupDiscoveryList");
        if let Some(answer) = served::discovery(&path, aggregated) {
            return answered(200, answer);
        }
    }
    let Some(asked) = Asked::of(&path, query, &accept) else {
        return Response::builder()
            .status(404)
            .body("404 page not found\n".into())
            .expect("an answer");
    };
    let behaviour = shared.world.lock().expect("as above").behaviour.clone();
    let resource = asked.served.resource();
    let elsewhere = behaviour.only.as_deref().is_some_and(|only| only != asked.namespace);
    if behaviour.forbidden.contains(&resource) || elsewhere {
        return refusal(
            403,
            "Forbidden",
            &format!("{resource} is forbidden: the account may not list it"),
        );
    }
    match (&asked.name, asked.part.as_deref()) {
        (Some(pod), Some("log")) => log(&shared, &asked, pod),
        (Some(name), None) => object(&shared, &asked, name),
        (None, _) if asked.query.contains_key("watch") && behaviour.no_watches => {
            refusal(503, "ServiceUnavailable", "try again")
        }
        (None, _) if asked.query.contains_key("watch") => {
            follow(shared, asked, behaviour.gone_in_stream)
        }
        (None, _) => list(&shared, &asked),
        _ => refusal(404, "NotFound", "there is no such part"),
    }
}

impl Asked {
    fn of(path: &str, query: HashMap<String, String>, accept: &str) -> Option<Asked> {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let (group, version, rest) = match parts[..] {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let (resource, name, part) = match rest {
            [resource] => (resource, None, None),
            [resource, name] => (resource, Some(*name), None),
            [resource, name, part] => (resource, Some(*name), Some((*part).to_owned())),
            _ => return None,
        };
        let served = served::SERVED
            .iter()
            .find(|one| (one.group, one.version, one.name) == (group, version, *resource))?;
        let partial = accept.contains("as=PartialObjectMetadata;");
        let name = name.map(|name| name.replace("%3A", ":"));
        Some(Asked { served, namespace: namespace.to_owned(), name, part, query, partial })
    }

    fn asks_for(&self, (resource, namespace, _): &Key) -> bool {
        *resource == self.served.resource()
            && (self.namespace.is_empty() || *namespace == self.namespace)
    }

    fn selects(&self, object: &Value) -> bool {
        let fields = self.query.get("fieldSelector").map_or("", String::as_str);
        fields.split(',').filter_map(|field| field.split_once('=')).all(|(field, value)| {
            let pointer = format!("/{}", field.replace('.', "/"));
            object.pointer(&pointer).and_then(Value::as_str) == Some(value)
        })
    }

    /// As it is sent.
    fn shown(&self, object: &Value) -> Value {
        match self.partial {
            true => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
            }),
            false => object.clone(),
        }
    }
}

fn answered(status: u16, body: Value) -> Response<Body> {
    let now = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let answer = Response::builder().status(status).header("date", now);
    answer
        .header("content-type", "application/json")
        .body(body.to_string().into())
        .expect("an answer")
}

fn failure(code: u16, reason: &str, message: &str) -> Status {
    Status {
        code: Some(code.into()),
        message: Some(message.to_owned()),
        reason: Some(reason.to_owned()),
        status: Some("Failure".to_owned()),
        ..Status::default()
    }
}

fn refusal(code: u16, reason: &str, message: &str) -> Response<Body> {
    answered(code, serde_json::to_value(failure(code, reason, message)).expect("JSON"))
}

fn object(shared: &Shared, asked: &Asked, name: &str) -> Response<Body> {
    let key = (asked.served.resource(), asked.namespace.clone(), name.to_owned());
    match shared.world.lock().expect("as above").objects.get(&key) {
        Some(object) => answered(200, asked.shown(object)),
        None => refusal(404, "NotFound", &format!("{} \"{name}\" not found", asked.served.name)),
    }
}

/// A page of a list. What leads to the next is the name of the last object.
fn list(shared: &Shared, asked: &Asked) -> Response<Body> {
    let mut world = shared.world.lock().expect("as above");
    let after = asked.query.get("continue");
    if after.is_some() && world.behaviour.late > 0 {
        world.behaviour.late -= 1;
        return refusal(410, "Expired", "The provided continue parameter is too old");
    }
    let limit = asked.query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let place = |key: &Key| format!("{}/{}", key.1, key.2);
    let all = world.objects.iter().filter(|(key, object)| {
        asked.asks_for(key)
            && asked.selects(object)
            && after.is_none_or(|after| place(key) > *after)
    });
    let mut page: Vec<(&Key, &Value)> = all.take(limit.saturating_add(1)).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|(key, _)| place(key));
    let metadata = ListMeta {
        continue_: next,
        resource_version: Some(world.revision.to_string()),
        ..ListMeta::default()
    };
    let items: Vec<Value> = page
        .iter()
        .map(|(_, object)| {
            let mut item = asked.shown(object);
            // An item of a kind that is no custom one does not say what it is.
            if let Some(item) =
                item.as_object_mut().filter(|_| !asked.served.is_custom() && !asked.partial)
            {
                item.remove("kind");
                item.remove("apiVersion");
            }
            item
        })
        .collect();
    let (kind, version) = match asked.partial {
        true => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        false => (format!("{}List", asked.served.kind), asked.served.api_version()),
    };
    answered(
        200,
        json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}),
    )
}

/// A watch: what has happened since, what happens until its time is over, and a bookmark.
fn follow(shared: Arc<Shared>, asked: Asked, gone_in_stream: bool) -> Response<Body> {
    let number = |name: &str| asked.query.get(name).and_then(|text| text.parse::<u64>().ok());
    let since = number("resourceVersion").unwrap_or(0);
    let too_old = || failure(410, "Expired", "too old resource version");
    if since < shared.world.lock().expect("as above").compacted {
        let event = WatchEvent::<Value>::ErrorStatus(too_old());
        return match gone_in_stream {
            true => answered(200, serde_json::to_value(event).expect("JSON")),
            false => answered(410, serde_json::to_value(too_old()).expect("JSON")),
        };
    }
    let bookmarks = asked.query.get("allowWatchBookmarks").is_some_and(|text| text == "true");
    let end = Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or(1800));
    let changed = shared.changed.subscribe();
    let state = (shared, asked, since, changed, false);
    let lines =
        stream::unfold(state, move |(shared, asked, since, mut changed, over)| async move {
            if over {
                return None;
            }
            changed.borrow_and_update();
            let (mut lines, revision) = {
                let world = shared.world.lock().expect("as above");
                let happened = world
                    .history
                    .iter()
                    .filter(|one| one.revision > since && asked.asks_for(&one.key));
                let lines: String =
                    happened.map(|one| told(one.how, asked.shown(&one.object))).collect();
                (lines, world.revision)
            };
            let over = tokio::time::timeout_at(end.into(), changed.changed()).await.is_err();
            if over && bookmarks {
                let (annotations, resource_version) = (BTreeMap::new(), revision.to_string());
                let event = WatchEvent::<Value>::Bookmark { annotations, resource_version };
                lines += &bookmark(&event, &asked);
            }
            Some((Ok::<_, Infallible>(lines), (shared, asked, revision, changed, over)))
        });
    let answer = Response::builder().header("content-type", "application/json");
    answer.body(Body::from_stream(lines)).expect("an answer")
}

fn told(how: &str, object: Value) -> String {
    let event = match how {
        "ADDED" => WatchEvent::Added(object),
        "MODIFIED" => WatchEvent::Modified(object),
        _ => WatchEvent::Deleted(object),
    };
    serde_json::to_string(&event).expect("JSON") + "\n"
}

/// It says of which kind the watch is.
fn bookmark(event: &WatchEvent<Value>, asked: &Asked) -> String {
    let mut event = serde_json::to_value(event).expect("JSON");
    event["object"]["kind"] = asked.served.kind.into();
    event["object"]["apiVersion"] = asked.served.api_version().into();
    event.to_string() + "\n"
}

/// A container's log, and where it is followed what is written to it.
fn log(shared: &Arc<Shared>, asked: &Asked, pod: &str) -> Response<Body> {
    let container = asked.query.get("container").cloned().unwrap_or_default();
    let key = (asked.namespace.clone(), pod.to_owned(), container);
    assert_eq!(asked.query.get("timestamps").map(String::as_str), Some("true"));
    // A kubelet is told of whole seconds.
    let since = asked.query.get("sinceTime").map(|text| {
        let at: Timestamp = text.parse().expect("a time");
        Timestamp::from_second(at.as_second()).expect("a second")
    });
    let follows = asked.query.contains_key("follow");
    let tail = asked.query.get("tailLines").map(|text| text.parse::<usize>().expect("a number"));
    let cuts = {
        let world = shared.world.lock().expect("as above");
        if !world.logs.contains_key(&key) {
            return refusal(400, "BadRequest", "the container is waiting to start");
        }
        world.cuts
    };
    let state = (shared.clone(), key, None, shared.changed.subscribe());
    let lines = stream::unfold(state, move |(shared, key, place, mut changed)| async move {
        loop {
            changed.borrow_and_update();
            {
                let world = shared.world.lock().expect("as above");
                let log = &world.logs[&key];
                let begins = || {
                    let first =
                        log.partition_point(|(at, _)| since.is_some_and(|since| *at < since));
                    first.max(log.len().saturating_sub(tail.unwrap_or(usize::MAX)))
                };
                let begin = place.unwrap_or_else(begins);
                let cut = world.cuts != cuts || !follows;
                if begin < log.len() || place.is_none() {
                    let text: String = log[begin..].iter().map(timed).collect();
                    let place = Some(log.len());
                    drop(world);
                    return Some((Ok::<_, Infallible>(text), (shared, key, place, changed)));
                }
                if cut {
                    return None;
                }
            }
            changed.changed().await.ok()?;
        }
    });
    let answer = Response::builder().header("content-type", "text/plain");
    answer.body(Body::from_stream(lines)).expect("an answer")
}
