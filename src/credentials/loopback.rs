//! The other end of a browser login: one request to a loopback address brings the code.

use super::Secret;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

pub(super) struct Listener {
    socket: TcpListener,
    port: u16,
}

pub(super) enum Arrived {
    Code(Secret),
    Refused,
}

struct Waiting {
    state: Zeroizing<String>,
    arrived: Mutex<Option<oneshot::Sender<Arrived>>>,
}

impl Listener {
    pub async fn bind(port: u16) -> std::io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = socket.local_addr()?.port();
        Ok(Listener { socket, port })
    }

    pub fn redirect_url(&self) -> String {
        format!("http://127.0.0.1:{}/callback", self.port)
    }

    /// The first answer that carries `state`; whatever else comes is turned away. `None` when
    /// nothing came within `bound`.
    pub async fn wait(self, state: Zeroizing<String>, bound: Duration) -> Option<Arrived> {
        let (sender, receiver) = oneshot::channel();
        let waiting = Arc::new(Waiting { state, arrived: Mutex::new(Some(sender)) });
        let router = Router::new().route("/callback", get(callback)).with_state(waiting);
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let done = async {
                let _ = ended.await;
            };
            // Graceful, so that the browser gets its page.
            let _ = axum::serve(self.socket, router).with_graceful_shutdown(done).await;
        });
        let arrived = tokio::time::timeout(bound, receiver).await.ok().and_then(Result::ok);
        let _ = end.send(());
        // A browser may hold its connection open: that must not hold up the login.
        let abort = serving.abort_handle();
        if tokio::time::timeout(Duration::from_secs(1), serving).await.is_err() {
            abort.abort();
        }
        arrived
    }
}

async fn callback(
    State(waiting): State<Arc<Waiting>>,
    Query(mut query): Query<HashMap<String, String>>,
) -> Response {
    let state = Zeroizing::new(query.remove("state").unwrap_or_default());
    if !same(state.as_bytes(), waiting.state.as_bytes()) {
        return page(StatusCode::BAD_REQUEST, "This is not the login that omnifs waits for.");
    }
    let code = query.remove("code").and_then(Secret::trimmed);
    let (arrived, told) = match code {
        Some(code) if !query.contains_key("error") => {
            (Arrived::Code(code), "omnifs has what it needs. You can close this page.")
        }
        _ => (Arrived::Refused, "The login was refused. You can close this page."),
    };
    let sender = waiting.arrived.lock().take();
    match sender {
        Some(sender) => {
            let _ = sender.send(arrived);
            page(StatusCode::OK, told)
        }
        None => page(StatusCode::GONE, "This login is over."),
    }
}

/// In a time that does not tell how much of it agrees.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

fn page(status: StatusCode, text: &'static str) -> Response {
    let html = format!("<!doctype html><meta charset=utf-8><title>omnifs</title><p>{text}</p>\n");
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONNECTION, "close"),
    ];
    (status, headers, Html(html)).into_response()
}
