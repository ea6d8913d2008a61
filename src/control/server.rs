//! The mount's side of the control channel.

use super::{
    Claim, Daemon, Error, MOST_REQUEST, MountStatus, Record, RefreshRequest, Refused, Status,
    UnmountRequest, channel, metrics,
};
use crate::listener::{self, Bounded, Of};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Clients that are served at once; the rest waits to be accepted.
const CONNECTIONS: usize = 64;
/// A connection carries one request; one that lives longer is cut.
const CONNECTION_TIME: Duration = Duration::from_secs(90);
/// A refresh asks nothing of a service, so it takes as long as the walk over the cache.
const REQUEST_TIME: Duration = Duration::from_secs(60);

/// How often the mount looks whether its record is there as it wrote it: a disk may have been full, and
/// people and programs clean up.
const RECORD_CHECK: Duration = Duration::from_secs(5);

/// A client asks for the mount to end.
#[derive(Debug)]
pub struct Unmount {
    /// Also with files in use.
    pub force: bool,
    /// What came of it.
    pub answer: oneshot::Sender<Result<(), Refused>>,
}

/// A running control channel. Dropping it stops it and removes the mount's record.
#[derive(Debug)]
pub struct Server {
    task: tokio::task::JoinHandle<()>,
    end: oneshot::Sender<()>,
    keeper: tokio::task::JoinHandle<()>,
    warning: Option<String>,
    _claim: Arc<Claim>,
}

struct Shared {
    mount: MountStatus,
    daemon: Arc<dyn Daemon>,
    unmount: mpsc::Sender<Unmount>,
}

impl Server {
    /// Listens at the claim's place and publishes the mount's record. To be called within a tokio
    /// runtime.
    pub async fn start(
        claim: Claim,
        mount: MountStatus,
        daemon: Arc<dyn Daemon>,
        unmount: mpsc::Sender<Unmount>,
    ) -> Result<Server, Error> {
        let path = claim.channel().to_owned();
        let fail = |source| Error::Listen { path: path.clone(), source };
        let listener = channel::Listener::bind(&path).map_err(fail)?;
        let record = Record {
            pid: mount.pid,
            mountpoint: mount.mountpoint.clone(),
            channel: path,
            log: Path::new(&mount.log).to_owned(),
        };
        let shared = Shared { mount, daemon, unmount };
        let shared = Arc::new(shared);
        let router = Router::new()
            .route("/v1/status", get(status))
            .route("/v1/metrics", get(metrics_handler))
            .route("/v1/refresh", post(refresh))
            .route("/v1/reload", post(reload))
            .route("/v1/unmount", post(unmount_handler))
            .layer(DefaultBodyLimit::max(MOST_REQUEST))
            .layer(middleware::from_fn(bound))
            .layer(middleware::from_fn(listener::hold))
            .with_state(shared);
        let listener = Bounded::new(listener, CONNECTIONS, CONNECTION_TIME);
        let (end, ended) = oneshot::channel();
        let task = tokio::spawn(async move {
            let router = router.into_make_service_with_connect_info::<Of>();
            let serve = axum::serve(listener, router).with_graceful_shutdown(async {
                // An error is the drop of a server that was not stopped.
                let _ = ended.await;
            });
            if let Err(error) = serve.await {
                tracing::error!(%error, "the control channel ended");
            }
        });
        let warning = match claim.publish(&record) {
            Ok(()) => None,
            Err(Error::Registry { path, source }) if is_full(&source) => Some(format!(
                "{}: {source}: until there is room, `omnifs status` and `omnifs unmount` do not find \
                 this mount",
                path.display()
            )),
            Err(error) => return Err(error),
        };
        let claim = Arc::new(claim);
        let keeper = tokio::spawn(keep_record(Arc::downgrade(&claim), record));
        Ok(Server { task, end, keeper, warning, _claim: claim })
    }

    /// Why no client can find this mount yet.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Ends the channel once the answers on their way have left.
    pub async fn stop(mut self) {
        let (closed, _) = oneshot::channel();
        let _ = std::mem::replace(&mut self.end, closed).send(());
        let _ = tokio::time::timeout(Duration::from_secs(2), &mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        self.keeper.abort();
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Until the claim is given back.
async fn keep_record(claim: Weak<Claim>, record: Record) {
    let record = Arc::new(record);
    loop {
        tokio::time::sleep(RECORD_CHECK).await;
        let Some(claim) = claim.upgrade() else { return };
        let record = record.clone();
        let kept = tokio::task::spawn_blocking(move || claim.keep(&record)).await;
        if let Ok(Err(error)) = kept {
            tracing::debug!(%error, "the mount's record is not kept");
        }
    }
}

/// Answers within a minute, and closes the connection.
pub(crate) async fn bound(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(mut response) => {
            let close = header::HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

fn answer<T: Serialize>(result: &Result<T, Refused>) -> Response {
    let (code, body) = match result {
        Ok(value) => (StatusCode::OK, serde_json::to_vec(value)),
        Err(refused) => (StatusCode::CONFLICT, serde_json::to_vec(refused)),
    };
    match body {
        Ok(body) => (code, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|_| Refused {
        message: "the request is not understood".into(),
        hint: Some("the mount may be of another version: unmount and mount again".into()),
    })
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    let mut mount = shared.mount.clone();
    mount.stale_if_error = shared.daemon.stale_if_error().unwrap_or(mount.stale_if_error);
    mount.kept = shared.daemon.is_kept();
    answer(&Ok(Status { mount, core: shared.daemon.status() }))
}

async fn metrics_handler(State(shared): State<Arc<Shared>>) -> Response {
    let status = Status { mount: shared.mount.clone(), core: shared.daemon.status() };
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(&status)).into_response()
}

async fn refresh(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match read::<RefreshRequest>(&body) {
        Ok(request) => answer(&shared.daemon.refresh(&request.path).await),
        Err(refused) => answer::<()>(&Err(refused)),
    }
}

async fn reload(State(shared): State<Arc<Shared>>) -> Response {
    let daemon = Arc::clone(&shared.daemon);
    match tokio::task::spawn_blocking(move || daemon.reload()).await {
        Ok(reloaded) => answer(&reloaded),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn unmount_handler(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request: UnmountRequest = match read(&body) {
        Ok(request) => request,
        Err(refused) => return answer::<()>(&Err(refused)),
    };
    let (sender, receiver) = oneshot::channel();
    let asked = shared.unmount.send(Unmount { force: request.force, answer: sender }).await;
    // A mount that is ending already takes no more requests, which is what was wanted.
    let result = match asked {
        Ok(()) => receiver.await.unwrap_or(Ok(())),
        Err(_) => Ok(()),
    };
    answer(&result)
}
