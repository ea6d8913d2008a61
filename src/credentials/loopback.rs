//! The other end of a browser login: one request to a loopback address brings the code.

use super::Secret;
use crate::listener::{self, Bounded, Of};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::middleware;
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

/// At the same time: any user of the machine may connect.
const CONNECTIONS: usize = 64;

/// For a browser that sends its request at once.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

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
        let router = Router::new()
            .route("/callback", get(callback))
            .layer(middleware::from_fn(listener::hold))
            .with_state(waiting);
        let listener = Bounded::new(self.socket, CONNECTIONS, CONNECTION_TIME);
        let (end, ended) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let done = async {
                let _ = ended.await;
            };
            // Graceful, so that the browser gets its page.
            let router = router.into_make_service_with_connect_info::<Of>();
            let _ = axum::serve(listener, router).with_graceful_shutdown(done).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// Any user of the machine may connect, and say nothing.
    #[tokio::test]
    async fn connections_that_say_nothing_hold_up_no_login_and_take_a_bounded_number_of_places() {
        const IDLE: usize = 3 * CONNECTIONS;
        let listener = Listener::bind(0).await.unwrap();
        let address = (Ipv4Addr::LOCALHOST, listener.port);
        let state = || Zeroizing::new("state".to_owned());
        let waiting = tokio::spawn(listener.wait(state(), Duration::from_secs(20)));
        let mut idle = Vec::new();
        for _ in 0..IDLE {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let mut browser = TcpStream::connect(address).await.unwrap();
        let request = b"GET /callback?state=state&code=c HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";
        browser.write_all(request).await.unwrap();
        let mut answer = [0; 15];
        browser.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut closed = 0;
        for stream in &mut idle[..IDLE - CONNECTIONS] {
            closed += usize::from(matches!(stream.read(&mut answer).await, Ok(0) | Err(_)));
        }
        assert_eq!(closed, IDLE - CONNECTIONS);
        assert!(matches!(waiting.await.unwrap(), Some(Arrived::Code(_))));
    }
}
