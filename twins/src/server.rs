//! The part both twins share: a loopback listener on threads of its own, the request log, and the
//! faults, applied where a network would apply them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use axum::serve::{IncomingStream, Listener};
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use crate::clock::{Clock, lock};
use crate::fault::{Fault, Faults};
use crate::requests::{Log, Request, credential_hash, secret_of};
use crate::webhook::Webhooks;

/// What a request may post. The largest real one is a GraphQL query of a few KiB.
const MAX_BODY: usize = 1024 * 1024;
/// What the log keeps of it.
const LOGGED_BODY: usize = 64 * 1024;

/// The state that is not data: clock, log, faults, latency, webhooks.
#[derive(Debug)]
pub(crate) struct Harness {
    pub clock: Clock,
    pub log: Mutex<Log>,
    pub faults: Mutex<Faults>,
    pub latency: Mutex<Duration>,
    pub webhooks: Webhooks,
}

impl Harness {
    pub fn new(floor: i64) -> Self {
        Self {
            clock: Clock::new(floor),
            log: Mutex::default(),
            faults: Mutex::default(),
            latency: Mutex::default(),
            webhooks: Webhooks::default(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub method: Method,
    /// As sent.
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Incoming {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The path's segments, percent-decoded.
    pub fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|s| !s.is_empty()).map(decode).collect()
    }

    /// The query's pairs, decoded, in order.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let query = self.query.as_deref().unwrap_or_default();
        let pairs = query.split('&').filter(|p| !p.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
            })
            .collect()
    }
}

/// Percent-decoding. What is no valid escape or no UTF-8 stays as it is or is replaced.
pub(crate) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let escape = bytes.get(i + 1..i + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[i] == b'%' => {
                out.push(byte);
                i += 3;
            }
            _ => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Percent-encoding of everything but the unreserved characters of RFC 3986 and those in `keep`.
pub(crate) fn encode(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = byte as char;
        if byte.is_ascii_alphanumeric() || "-._~".contains(c) || keep.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// Counts against the rate limit.
    pub counted: bool,
}

impl Answer {
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { status, headers, body: body.into(), counted: true }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.headers.retain(|(n, _)| *n != name);
        self.headers.push((name, value.into()));
    }
}

pub(crate) trait Service: Send + Sync + 'static {
    /// What the log calls this server.
    fn name(&self) -> &'static str;
    fn harness(&self) -> &Harness;
    fn answer(&self, request: &Incoming) -> Answer;
    /// The answer for a fault that shows as a status: in the service's own words.
    fn refuse(&self, fault: Fault, request: &Incoming) -> Answer;
}

/// A running server. Dropping it cuts every connection.
#[derive(Debug)]
pub(crate) struct Server {
    runtime: Option<Runtime>,
}

impl Server {
    /// Serves on a bound listener until dropped or stopped.
    pub fn start(service: Arc<dyn Service>, listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("twin")
            .enable_all()
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            Accept(TcpListener::from_std(listener)?)
        };
        let app = Router::new().fallback(handle).with_state(service);
        runtime.spawn(async move {
            let app = app.into_make_service_with_connect_info::<Reset>();
            // The future ends only with the runtime.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { runtime: Some(runtime) })
    }

    /// Cuts every connection and frees the port before it returns.
    pub fn stop(mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A runtime may not be shut down with a wait from a thread that runs async code.
            let waiter =
                std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(2)));
            let _ = waiter.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A listener on 127.0.0.1; port 0 means any free one.
pub(crate) fn bind(port: u16) -> io::Result<std::net::TcpListener> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

async fn handle(
    State(service): State<Arc<dyn Service>>,
    ConnectInfo(reset): ConnectInfo<Reset>,
    request: HttpRequest,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return bare(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let incoming = Incoming {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        body,
    };
    let harness = service.harness();
    let id = lock(&harness.log).arrive(note(&*service, &incoming));
    let fault = lock(&harness.faults).take(&incoming.path);
    let mut wait = *lock(&harness.latency);
    if let Some(Fault::Slow(by)) = fault {
        wait += by;
    }
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    let answer = match fault {
        Some(Fault::Reset) => {
            reset.0.store(true, Ordering::Release);
            return bare(StatusCode::OK);
        }
        Some(
            refusal @ (Fault::Status(_)
            | Fault::PrimaryLimit { .. }
            | Fault::SecondaryLimit { .. }
            | Fault::TooMany { .. }),
        ) => service.refuse(refusal, &incoming),
        _ => distort(service.answer(&incoming), fault),
    };
    lock(&harness.log).finish(id, answer.status, answer.counted, answer.body.len());
    respond(answer, fault, incoming.method == Method::HEAD)
}

fn note(service: &dyn Service, incoming: &Incoming) -> Request {
    let kept = incoming.headers.iter().filter(|(name, _)| name.as_str() != "authorization");
    Request {
        id: 0,
        at: Instant::now(),
        server: service.name(),
        method: incoming.method.to_string(),
        path: incoming.path.clone(),
        query: incoming.query.clone(),
        conditional: incoming.headers.contains_key("if-none-match")
            || incoming.headers.contains_key("if-modified-since"),
        credential: incoming.header("authorization").map(|a| credential_hash(secret_of(a))),
        headers: kept
            .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect(),
        body: incoming.body[..incoming.body.len().min(LOGGED_BODY)].to_vec(),
        status: 0,
        counted: false,
        sent: 0,
    }
}

/// The faults of the content. They only make sense on an answer that has some.
fn distort(mut answer: Answer, fault: Option<Fault>) -> Answer {
    match fault {
        Some(Fault::WrongContentType) => {
            answer.status = 200;
            answer.headers.retain(|(name, _)| *name != "etag" && *name != "last-modified");
            answer.set("content-type", "text/html; charset=utf-8");
            answer.body =
                Bytes::from_static(b"<!doctype html><title>Sign in to the network</title>");
        }
        Some(Fault::MalformedJson) => {
            let half = answer.body.len() / 2;
            answer.body.truncate(half);
            answer.headers.retain(|(name, _)| *name != "etag" && *name != "last-modified");
        }
        _ => {}
    }
    answer
}

fn respond(answer: Answer, fault: Option<Fault>, head: bool) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in &answer.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().append(*name, value);
        }
    }
    let whole = answer.body.len();
    let half = answer.body.slice(..whole / 2);
    *response.body_mut() = match fault {
        _ if head => Body::empty(),
        Some(Fault::Truncated) => {
            let broken = Err(io::Error::from(io::ErrorKind::ConnectionAborted));
            // Two steps, so that the half is written before the connection is given up.
            let late = stream::once(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                broken
            });
            Body::from_stream(stream::iter([Ok(half)]).chain(late))
        }
        Some(Fault::SlowBody(by)) => {
            let rest = answer.body.slice(whole / 2..);
            let late = stream::once(async move {
                tokio::time::sleep(by).await;
                Ok::<_, io::Error>(rest)
            });
            Body::from_stream(stream::iter([Ok(half)]).chain(late))
        }
        _ => Body::from(answer.body),
    };
    if answer.status != 304 && answer.status != 204 {
        response.headers_mut().insert("content-length", HeaderValue::from(whole));
    }
    response
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Set by a handler to have its connection reset in place of an answer.
#[derive(Clone, Debug)]
struct Reset(Arc<AtomicBool>);

impl Connected<IncomingStream<'_, Accept>> for Reset {
    fn connect_info(stream: IncomingStream<'_, Accept>) -> Self {
        Self(stream.io().reset.clone())
    }
}

#[derive(Debug)]
struct Accept(TcpListener);

impl Listener for Accept {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    let _ = stream.set_nodelay(true);
                    return (Connection { stream, reset: Arc::default() }, address);
                }
                // Out of descriptors, or a client that left: neither may end the server.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Connection {
    /// With a linger time of zero, closing the socket sends RST.
    fn broken(&self) -> Option<io::Error> {
        if !self.reset.load(Ordering::Acquire) {
            return None;
        }
        let _ = self.stream.set_zero_linger();
        Some(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.broken() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.broken() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.broken() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.stream).poll_shutdown(cx),
        }
    }
}
