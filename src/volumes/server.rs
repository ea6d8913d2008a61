//! The plugin's socket: one POST for each question, with JSON both ways. What goes wrong is said in `Err`.

use super::Error;
use super::kept::{Kept, shown};
use super::place::{Below, Tree, is_for_all};
use crate::control::channel::Listener;
use crate::control::{bound, key};
use crate::listener::{self, Bounded, Of};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// The engine asks for one container at a time.
const CONNECTIONS: usize = 64;
const CONNECTION_TIME: Duration = Duration::from_secs(90);
/// A name, a path and an id.
const MOST_REQUEST: usize = 64 << 10;

/// A socket that is served. Dropped, it is closed and removed.
#[derive(Debug)]
pub struct Plugin {
    socket: PathBuf,
    _task: JoinSet<()>,
}

struct Shared {
    kept: Mutex<Kept>,
    tree: Tree,
    mountpoint: PathBuf,
}

impl Plugin {
    /// Listens at `socket` for the user and root alone; the volumes are kept in `directory`. To be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// [`Error::Taken`] where another process serves that socket.
    pub fn start(socket: &Path, mountpoint: PathBuf, directory: &Path) -> Result<Plugin, Error> {
        let fail = |source| Error::Listen { path: socket.to_owned(), source };
        let kept = Kept::open(directory, &key(socket))?;
        room(socket).map_err(fail)?;
        let listener = Listener::bind(socket).map_err(fail)?;
        let tree = Tree::new(mountpoint.clone());
        let shared = Arc::new(Shared { kept: Mutex::new(kept), tree, mountpoint });
        let router = Router::new()
            .route("/Plugin.Activate", post(activate))
            .route("/VolumeDriver.Capabilities", post(capabilities))
            .route("/VolumeDriver.Create", post(create))
            .route("/VolumeDriver.Remove", post(remove))
            .route("/VolumeDriver.Mount", post(mount))
            .route("/VolumeDriver.Unmount", post(unmount))
            .route("/VolumeDriver.Path", post(path))
            .route("/VolumeDriver.Get", post(get))
            .route("/VolumeDriver.List", post(list))
            .layer(DefaultBodyLimit::max(MOST_REQUEST))
            .layer(middleware::from_fn(bound))
            .layer(middleware::from_fn(listener::hold))
            .with_state(shared);
        let listener = Bounded::new(listener, CONNECTIONS, CONNECTION_TIME);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let router = router.into_make_service_with_connect_info::<Of>();
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the plugin's socket is served no more");
            }
        });
        Ok(Plugin { socket: socket.to_owned(), _task: task })
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Makes the directory of the socket, and judges what is at its path: only a socket may be put out of the way.
fn room(socket: &Path) -> io::Result<()> {
    crate::trust::check(socket)?;
    if let Some(directory) = socket.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    match std::fs::symlink_metadata(socket) {
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "something else than a socket is there",
        )),
        _ => Ok(()),
    }
}

/// What is asked of a volume; the engine leaves out what a question does not need.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Question {
    name: String,
    #[serde(rename = "ID")]
    id: String,
    opts: Option<BTreeMap<String, String>>,
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Request(error.to_string()))
}

/// The engine takes the answer from the body, also where the question has failed.
fn answer(question: &str, name: &str, answered: Result<Value, Error>) -> Response {
    let body = match answered {
        Ok(mut value) => {
            tracing::debug!(question, name = shown(name), "answered");
            value["Err"] = "".into();
            value
        }
        Err(error) => {
            let why = error.line();
            // The engine looks in this way whether there is such a volume.
            match error {
                Error::Unknown(_) => tracing::debug!(question, why),
                _ => tracing::warn!(question, name = shown(name), why),
            }
            json!({ "Err": why })
        }
    };
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Reads the body, though it says nothing: a connection that is closed before is broken to who still writes.
async fn activate(_: Bytes) -> Response {
    answer("Activate", "", Ok(json!({ "Implements": ["VolumeDriver"] })))
}

/// The volumes are of this machine.
async fn capabilities(_: Bytes) -> Response {
    answer("Capabilities", "", Ok(json!({ "Capabilities": { "Scope": "local" } })))
}

async fn create(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let created = async |question: &Question| {
        let mut below = Below::default();
        for (option, value) in question.opts.iter().flatten() {
            match option.as_str() {
                "path" => below = Below::new(value)?,
                option => return Err(Error::Option(shown(option))),
            }
        }
        // A mistake is said at once where the mount says that it is one. A mount may also come later.
        match shared.tree.find(&below).await {
            Err(error) if !error.is_of_mount() => return Err(error),
            _ => {}
        }
        shared.kept.lock().create(&question.name, below)?;
        Ok(json!({}))
    };
    match read::<Question>(&body) {
        Ok(question) => answer("Create", &question.name, created(&question).await),
        Err(error) => answer("Create", "", Err(error)),
    }
}

async fn remove(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    with(&shared, "Remove", &body, |kept, tree, question| {
        kept.remove(&question.name, |at| tree.is_bound(at))?;
        Ok(json!({}))
    })
}

async fn mount(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let mounted = async |question: &Question| {
        let below = shared.kept.lock().get(&question.name)?.path.clone();
        let at = shared.tree.find(&below).await?;
        if !is_for_all(&shared.mountpoint) {
            tracing::info!(
                "the mount at {} is root's alone: containers whose user is another cannot read it (mount it with \
                 --allow-other)",
                shared.mountpoint.display()
            );
        }
        // It may have been removed meanwhile.
        shared.kept.lock().take(&question.name, &question.id, &at)?;
        Ok(json!({ "Mountpoint": at }))
    };
    match read::<Question>(&body) {
        Ok(question) => answer("Mount", &question.name, mounted(&question).await),
        Err(error) => answer("Mount", "", Err(error)),
    }
}

async fn unmount(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    with(&shared, "Unmount", &body, |kept, _, question| {
        kept.give_back(&question.name, &question.id)?;
        Ok(json!({}))
    })
}

async fn path(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    with(&shared, "Path", &body, |kept, tree, question| {
        Ok(json!({ "Mountpoint": tree.name(&kept.get(&question.name)?.path) }))
    })
}

async fn get(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    with(&shared, "Get", &body, |kept, tree, question| {
        let volume = kept.get(&question.name)?;
        Ok(json!({ "Volume": {
            "Name": question.name,
            "Mountpoint": tree.name(&volume.path),
            "Status": { "path": volume.path },
        } }))
    })
}

async fn list(State(shared): State<Arc<Shared>>, _: Bytes) -> Response {
    let volumes: Vec<Value> = shared
        .kept
        .lock()
        .all()
        .map(|(name, volume)| json!({ "Name": name, "Mountpoint": shared.tree.name(&volume.path) }))
        .collect();
    answer("List", "", Ok(json!({ "Volumes": volumes })))
}

/// Answers what the kept volumes say by themselves.
fn with(
    shared: &Shared,
    asked: &str,
    body: &Bytes,
    how: impl FnOnce(&mut Kept, &Tree, &Question) -> Result<Value, Error>,
) -> Response {
    match read::<Question>(body) {
        Ok(question) => {
            let answered = how(&mut shared.kept.lock(), &shared.tree, &question);
            answer(asked, &question.name, answered)
        }
        Err(error) => answer(asked, "", Err(error)),
    }
}
