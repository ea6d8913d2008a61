//! Accepts connections: a bounded number, each for a bounded time.

use super::places::{Place, Places};
use super::{Queue, Shared, path, request};
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::routing::any;
use axum::serve::IncomingStream;
use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

/// At the same time. A further one takes the place of the oldest whose request is not whole.
const CONNECTIONS: usize = 64;

pub(super) async fn serve(socket: TcpListener, shared: Arc<Shared>, queues: Vec<Arc<Queue>>) {
    let lifetime = shared.options.request;
    let mut router = Router::new();
    for queue in &queues {
        let (shared, queue) = (shared.clone(), queue.clone());
        let path = path(&queue.subscriber.instance);
        router = router.route(
            &path,
            any(move |ConnectInfo(Of(place)): ConnectInfo<Of>, incoming: Request| {
                request::receive(shared.clone(), queue.clone(), place, incoming)
            }),
        );
    }
    let listener =
        Bounded { socket, places: Places::new(CONNECTIONS), queues: queues.into(), lifetime };
    // It ends only with its task.
    let _ = axum::serve(listener, router.into_make_service_with_connect_info::<Of>()).await;
}

/// The place of the connection on which a request came.
#[derive(Clone)]
struct Of(Arc<Place>);

impl Connected<IncomingStream<'_, Bounded>> for Of {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        Of(stream.io().place.clone())
    }
}

struct Bounded {
    socket: TcpListener,
    places: Places,
    queues: Arc<[Arc<Queue>]>,
    lifetime: Duration,
}

impl axum::serve::Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = axum::serve::Listener::accept(&mut self.socket).await;
        let (place, room) = self.places.take().await;
        let (of, lifetime) = (place.clone(), self.lifetime);
        let end = async move {
            // Each connection carries one request, so its life is the request's deadline.
            let _ = tokio::time::timeout(lifetime, of.ended()).await;
        };
        let queues = self.queues.clone();
        (Connection { stream, place, queues, end: Some(Box::pin(end)), _room: room }, address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// A connection whose reads and writes fail once its time is over, or its place is another's.
struct Connection {
    stream: TcpStream,
    place: Arc<Place>,
    /// For whom its request may have been, as long as that is not known.
    queues: Arc<[Arc<Queue>]>,
    /// Absent: it was ended.
    end: Option<BoxFuture<'static, ()>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn over<T>(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<T>> {
        if let Some(end) = &mut self.end {
            if end.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.end = None;
            if self.place.end() {
                self.queues.iter().for_each(|queue| queue.turn_away());
            }
        }
        Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.over(cx),
            ready => {
                if !buffer.filled().is_empty() {
                    self.place.note_bytes();
                }
                ready
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.over(cx),
            ready => ready,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
