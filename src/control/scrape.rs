//! Metrics for a collector that knows HTTP over TCP only: `/metrics` on a loopback port, where the user
//! asks for one.
//!
//! Invariants: any user of this machine may connect, so nothing but the metrics is served there, they are
//! made at most once a second, and nothing that the control channel needs is shared. A web page cannot
//! read them: its own name is not a name of this port.

use super::{Daemon, Error, MountStatus, Status, metrics, server};
use crate::listener::{self, Bounded, Of};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const CONNECTIONS: usize = 16;
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// How old an answer may be.
const KEPT: Duration = Duration::from_secs(1);

/// The port, which is taken before anything is mounted.
#[derive(Debug)]
pub struct Scrape(TcpListener);

struct Shared {
    mount: MountStatus,
    daemon: Arc<dyn Daemon>,
    made: Mutex<Option<(Instant, String)>>,
}

impl Scrape {
    /// # Errors
    /// [`Error::Metrics`]: the address is not of loopback, or is taken.
    pub async fn bind(address: SocketAddr) -> Result<Scrape, Error> {
        let fail = |source| Error::Metrics { address, source };
        if !address.ip().is_loopback() {
            let text = "it is not a loopback address";
            return Err(fail(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        TcpListener::bind(address).await.map(Scrape).map_err(fail)
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves until what is returned is dropped. To be called within a tokio runtime.
    pub fn serve(self, mount: MountStatus, daemon: Arc<dyn Daemon>) -> Serving {
        if let Ok(address) = self.local_addr() {
            tracing::info!("metrics are at http://{address}/metrics");
        }
        let shared = Arc::new(Shared { mount, daemon, made: Mutex::default() });
        let router = Router::new()
            .route("/metrics", get(answer))
            .layer(middleware::from_fn(local_name))
            .layer(middleware::from_fn(server::bound))
            .layer(middleware::from_fn(listener::hold))
            .with_state(shared);
        let listener = Bounded::new(self.0, CONNECTIONS, CONNECTION_TIME);
        let mut task = JoinSet::new();
        task.spawn(async move {
            // It ends only with its task.
            let router = router.into_make_service_with_connect_info::<Of>();
            let _ = axum::serve(listener, router).await;
        });
        Serving { _task: task }
    }
}

/// A port that is served. Dropping it closes it.
pub struct Serving {
    _task: JoinSet<()>,
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Serving")
    }
}

async fn answer(State(shared): State<Arc<Shared>>) -> Response {
    let mut made = shared.made.lock().await;
    let text = match &*made {
        Some((at, text)) if at.elapsed() < KEPT => text.clone(),
        _ => {
            let status = Status { mount: shared.mount.clone(), core: shared.daemon.status() };
            made.insert((Instant::now(), metrics::text(&status))).1.clone()
        }
    };
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

/// A page of a host whose name has been led to 127.0.0.1 sends that name along.
async fn local_name(request: Request, next: Next) -> Response {
    if is_local(request.headers()) {
        next.run(request).await
    } else {
        StatusCode::MISDIRECTED_REQUEST.into_response()
    }
}

fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.and_then(|host| host.parse::<Authority>().ok()).is_some_and(|authority| {
        let host = authority.host().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_led_here_by_its_own_name_reads_nothing() {
        let local = |host: &'static str| {
            is_local(&HeaderMap::from_iter([(
                header::HOST,
                header::HeaderValue::from_static(host),
            )]))
        };
        assert!(
            ["127.0.0.1:9464", "[::1]:9464", "127.0.0.1", "localhost:9464"]
                .map(local)
                .iter()
                .all(|l| *l)
        );
        assert!(
            !["evil.example:9464", "localhost.evil.example", "", "127.0.0.1.evil.example:1"]
                .map(local)
                .iter()
                .any(|l| *l)
        );
        assert!(!is_local(&HeaderMap::new()));
    }
}
